//! ISO 8601, read and written.

use super::calendar::{YEARS, civil, days, days_in_month, first_week, is_leap, week_date};
use super::{Amount, Kind, Parts, SECOND_NANOS, Sum, Zone, duration, total_nanos};
use crate::error::CypherError;
use crate::fail;
use mgnode_core::types::{Duration, Value};
use std::fmt::Write;

/// Writes a temporal value as `toString()` does; None for any other.
pub fn temporal_text(v: &Value) -> Option<String> {
    if let Value::Duration(d) = v {
        return Some(duration_text(d));
    }
    let parts = Parts::of(v)?;
    let mut out = String::new();
    if let Some(day) = parts.day {
        let (year, month, day) = civil(day);
        // Writing to a String cannot fail.
        let _ = match year {
            0..=9999 => write!(out, "{year:04}"),
            10_000.. => write!(out, "+{year}"),
            _ => write!(out, "-{:04}", -year),
        };
        let _ = write!(out, "-{month:02}-{day:02}");
    }
    if let Some(time) = parts.time {
        if parts.day.is_some() {
            out.push('T');
        }
        let seconds = time / SECOND_NANOS;
        let _ = write!(out, "{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
        let nanos = time % SECOND_NANOS;
        if seconds % 60 != 0 || nanos != 0 {
            let _ = write!(out, ":{:02}", seconds % 60);
            fraction(nanos, &mut out);
        }
    }
    match v {
        Value::Time(t) => out.push_str(&offset_text(t.offset_seconds)),
        Value::DateTime(t) => {
            out.push_str(&offset_text(t.offset_seconds));
            if let Some(zone) = &t.zone {
                let _ = write!(out, "[{zone}]");
            }
        }
        _ => {}
    }
    Some(out)
}

fn fraction(nanos: i64, out: &mut String) {
    if nanos != 0 {
        let digits = format!("{nanos:09}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

/// Writes `Z`, `+01:00` or `+00:53:28`.
pub(super) fn offset_text(seconds: i32) -> String {
    if seconds == 0 {
        return "Z".into();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let s = seconds.abs();
    let mut out = format!("{sign}{:02}:{:02}", s / 3600, s / 60 % 60);
    if s % 60 != 0 {
        let _ = write!(out, ":{:02}", s % 60);
    }
    out
}

fn duration_text(d: &Duration) -> String {
    let mut out = String::from("P");
    let mut part = |n: i64, unit: &str| {
        if n != 0 {
            let _ = write!(out, "{n}{unit}");
        }
    };
    part(d.months / 12, "Y");
    part(d.months % 12, "M");
    part(d.days, "D");
    let total = total_nanos(d);
    if total != 0 {
        out.push('T');
        let seconds = total / i128::from(SECOND_NANOS);
        let nanos = (total % i128::from(SECOND_NANOS)) as i64;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, (seconds % 60) as i64);
        if hours != 0 {
            let _ = write!(out, "{hours}H");
        }
        if minutes != 0 {
            let _ = write!(out, "{minutes}M");
        }
        if seconds != 0 || nanos != 0 {
            if seconds < 0 || nanos < 0 {
                out.push('-');
            }
            let _ = write!(out, "{}", seconds.abs());
            fraction(nanos.abs(), &mut out);
            out.push('S');
        }
    }
    if out == "P" { "PT0S".into() } else { out }
}

fn unreadable(what: &str, text: &str) -> CypherError {
    fail::value(format!("`{text}` cannot be read as {what}"))
}

/// Reads a point in time.
pub(super) fn parse(kind: Kind, text: &str) -> Result<Parts, CypherError> {
    let what = match kind {
        Kind::Date => "a date",
        Kind::LocalTime => "a local time",
        Kind::Time => "a time",
        Kind::LocalDateTime => "a local date and time",
        Kind::DateTime => "a date and time",
    };
    let bad = || unreadable(what, text);
    let (date, rest) = match (kind.has_date(), kind.has_time()) {
        (true, false) => (Some(text), None),
        (false, _) => (None, Some(text.strip_prefix('T').unwrap_or(text))),
        (true, true) => match text.split_once('T') {
            Some((date, time)) => (Some(date), Some(time)),
            None => (Some(text), None),
        },
    };
    let mut parts = Parts::default();
    if let Some(date) = date {
        parts.day = Some(read_date(date).ok_or_else(bad)?);
    }
    if let Some(rest) = rest {
        let (rest, name) = match rest.split_once('[') {
            Some((rest, name)) => (rest, Some(name.strip_suffix(']').ok_or_else(bad)?)),
            None => (rest, None),
        };
        let at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
        let (time, offset) = rest.split_at(at);
        parts.time = Some(read_time(time).ok_or_else(bad)?);
        if !offset.is_empty() {
            parts.zone = Some(Zone::Offset(read_offset(offset).ok_or_else(bad)?));
        }
        if let Some(name) = name {
            // The name says more than the offset, which only tells two equal clock times apart.
            super::named(name)?;
            parts.zone = Some(Zone::Named(name.into()));
        }
        if parts.zone.is_some() && !kind.has_zone() {
            return Err(bad());
        }
    }
    Ok(parts)
}

/// Reads a zone: `Z`, an offset, or a name.
pub(super) fn read_zone(text: &str) -> Result<Zone, CypherError> {
    if text.starts_with(['+', '-']) || text.eq_ignore_ascii_case("z") {
        return read_offset(text).map(Zone::Offset).ok_or_else(|| unreadable("an offset", text));
    }
    super::named(text)?;
    Ok(Zone::Named(text.into()))
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn read_date(text: &str) -> Option<i64> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if !body.is_ascii() {
        return None;
    }
    // With dashes the year may be longer than four digits.
    let year_end = body.find(['-', 'W']).unwrap_or(body.len());
    let year_end = if year_end == body.len() || body.as_bytes().get(year_end) == Some(&b'W') {
        year_end.min(4)
    } else if body.len() - year_end == body.len() {
        return None;
    } else {
        year_end
    };
    let year = sign * digits(body.get(..year_end)?)?;
    let rest = &body[year_end..];
    let rest = rest.strip_prefix('-').unwrap_or(rest);
    if let Some(week) = rest.strip_prefix('W') {
        let (number, day) = match week.len() {
            2 => (digits(week)?, 1),
            3 => (digits(&week[..2])?, digits(&week[2..])?),
            4 if week.as_bytes()[2] == b'-' => (digits(&week[..2])?, digits(&week[3..])?),
            _ => return None,
        };
        return week_day(year, number, day);
    }
    match rest.len() {
        0 => month_day(year, 1, 1),
        2 => month_day(year, digits(rest)?, 1),
        3 => year_day(year, digits(rest)?),
        4 => month_day(year, digits(&rest[..2])?, digits(&rest[2..])?),
        5 if rest.as_bytes()[2] == b'-' => month_day(year, digits(&rest[..2])?, digits(&rest[3..])?),
        _ => None,
    }
}

/// Returns the day of a date that exists.
pub(super) fn month_day(year: i64, month: i64, day: i64) -> Option<i64> {
    let there_is =
        YEARS.contains(&year) && (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    there_is.then(|| days(year, month, day))
}

/// Returns the day with that number in its year.
pub(super) fn year_day(year: i64, day: i64) -> Option<i64> {
    let there_is = YEARS.contains(&year) && (1..=365 + i64::from(is_leap(year))).contains(&day);
    there_is.then(|| days(year, 1, 1) + day - 1)
}

/// Returns the day with that number in its quarter.
pub(super) fn quarter_day(year: i64, quarter: i64, day: i64) -> Option<i64> {
    if !YEARS.contains(&year) || !(1..=4).contains(&quarter) {
        return None;
    }
    let first = days(year, quarter * 3 - 2, 1);
    let last = days(year, quarter * 3, days_in_month(year, quarter * 3));
    (1..=last - first + 1).contains(&day).then(|| first + day - 1)
}

/// Returns a day of an ISO week that exists.
pub(super) fn week_day(year: i64, week: i64, day: i64) -> Option<i64> {
    if !YEARS.contains(&year) || !(1..=53).contains(&week) || !(1..=7).contains(&day) {
        return None;
    }
    let at = first_week(year) + (week - 1) * 7;
    (week_date(at).0 == year).then(|| at + day - 1)
}

fn read_time(text: &str) -> Option<i64> {
    if !text.is_ascii() {
        return None;
    }
    let (clock, fraction) = match text.split_once(['.', ',']) {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let compact = clock.replace(':', "");
    let proper = if clock.contains(':') {
        clock.split(':').all(|p| p.len() == 2)
    } else {
        matches!(compact.len(), 2 | 4 | 6)
    };
    if !proper || compact.len() > 6 {
        return None;
    }
    let mut parts = [0; 3];
    for (part, at) in parts.iter_mut().zip((0..compact.len()).step_by(2)) {
        *part = digits(compact.get(at..at + 2)?)?;
    }
    let nanos = match fraction {
        None => 0,
        Some(f) if f.len() <= 9 && compact.len() == 6 => digits(f)? * 10_i64.pow(9 - f.len() as u32),
        Some(_) => return None,
    };
    (parts[0] < 24 && parts[1] < 60 && parts[2] < 60)
        .then(|| (parts[0] * 3600 + parts[1] * 60 + parts[2]) * SECOND_NANOS + nanos)
}

fn read_offset(text: &str) -> Option<i32> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let seconds = read_time(text.get(1..)?).or_else(|| {
        // One digit of hours, as in `+1:00`.
        read_time(&format!("0{}", text.get(1..)?))
    })? / SECOND_NANOS;
    (seconds <= 18 * 3600).then(|| sign * seconds as i32)
}

/// Reads a duration: `P1Y2M3W4DT5H6M7.8S`, each part with sign and fraction, or `P2012-02-02T14:37:21.545`.
pub(super) fn parse_duration(text: &str) -> Result<Value, CypherError> {
    let bad = || unreadable("a duration", text);
    let (sign, body) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let body = body.strip_prefix('P').ok_or_else(bad)?;
    if body.is_empty() || !body.is_ascii() {
        return Err(bad());
    }
    if digits(body.get(..4).unwrap_or("")).is_some() && body.get(4..5) == Some("-") && body.len() >= 10 {
        let (date, time) = body.split_once('T').unwrap_or((body, "00"));
        let mut numbers = date.split('-').map(digits);
        let (Some(Some(years)), Some(Some(months)), Some(Some(days)), None) =
            (numbers.next(), numbers.next(), numbers.next(), numbers.next())
        else {
            return Err(bad());
        };
        let nanos = read_time(time).ok_or_else(bad)?;
        let nanos = i128::from(nanos) * i128::from(sign);
        return duration(i64::from(sign) * (years * 12 + months), i64::from(sign) * days, nanos);
    }
    let mut sum = Sum::new();
    let mut in_time = false;
    let mut rest = body;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T') {
            if in_time || after.is_empty() {
                return Err(bad());
            }
            in_time = true;
            rest = after;
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(bad)?;
        let number = rest[..end].replace(',', ".");
        let n = Amount::read(&number).ok_or_else(bad)?;
        match (&rest[end..=end], in_time) {
            ("Y", false) => sum.add_months(n, 12 * sign),
            ("M", false) => sum.add_months(n, sign),
            ("W", false) => sum.add_days(n, 7 * sign),
            ("D", false) => sum.add_days(n, sign),
            ("H", true) => sum.add_nanos(n, 3600 * SECOND_NANOS * i64::from(sign)),
            ("M", true) => sum.add_nanos(n, 60 * SECOND_NANOS * i64::from(sign)),
            ("S", true) => sum.exact_nanos += exact_seconds(&number).ok_or_else(bad)? * i128::from(sign),
            _ => return Err(bad()),
        }
        rest = &rest[end + 1..];
    }
    sum.duration()
}

/// Reads seconds with a fraction as nanoseconds, without rounding.
fn exact_seconds(text: &str) -> Option<i128> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let fraction = fraction.get(..fraction.len().min(9))?;
    let nanos =
        if fraction.is_empty() { 0 } else { digits(fraction)? * 10_i64.pow(9 - fraction.len() as u32) };
    // The lowest number of seconds has no opposite.
    let seconds: u64 = whole.bytes().all(|b| b.is_ascii_digit()).then(|| whole.parse().ok()).flatten()?;
    Some(sign * (i128::from(seconds) * i128::from(SECOND_NANOS) + i128::from(nanos)))
}
