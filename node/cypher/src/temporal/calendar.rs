//! The proleptic Gregorian calendar, counted in days since 1970-01-01.

use std::ops::RangeInclusive;

/// The years that dates lie in.
pub(super) const YEARS: RangeInclusive<i64> = -999_999_999..=999_999_999;

/// Returns the day of a date. Month and day may lie beyond their ends by a little.
pub(super) fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Returns year, month and day of month.
pub(super) fn civil(day: i64) -> (i64, i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

pub(super) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(super) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns 1 for Monday to 7 for Sunday.
pub(super) fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7) + 1
}

/// Returns the Monday of the first week of an ISO year: the week with January 4 in it.
pub(super) fn first_week(year: i64) -> i64 {
    let fourth = days(year, 1, 4);
    fourth - weekday(fourth) + 1
}

/// Returns ISO year, week, and day of week.
pub(super) fn week_date(day: i64) -> (i64, i64, i64) {
    let thursday = day - weekday(day) + 4;
    let year = civil(thursday).0;
    (year, (day - first_week(year)).div_euclid(7) + 1, weekday(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for day in (-1_000_000..1_000_000).step_by(97) {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, m, d), day);
            assert!((1..=days_in_month(y, m)).contains(&d));
        }
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(civil(days(2000, 2, 29)), (2000, 2, 29));
    }

    #[test]
    fn weeks_belong_to_the_year_of_their_thursday() {
        assert_eq!(week_date(days(1984, 1, 1)), (1983, 52, 7));
        assert_eq!(week_date(days(1816, 12, 30)), (1817, 1, 1));
        assert_eq!(week_date(days(2015, 7, 21)), (2015, 30, 2));
    }
}
