//! Which fields a map may have that a point in time is made of.
//!
//! Fields may be missing from the smallest unit up, and where others are put over another point in time. A field that
//! would be passed over is refused: it was meant.

use super::Kind;
use crate::error::{CypherError, did_you_mean};
use crate::fail;
use mgnode_core::types::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the rest comes from.
const BASES: [&str; 6] = ["date", "time", "datetime", "epochSeconds", "epochMillis", "timezone"];
/// The ways to name a day of a year, each from its larger unit to its smaller one.
const DAYS: [&[&str]; 4] =
    [&["month", "day"], &["week", "dayOfWeek"], &["quarter", "dayOfQuarter"], &["ordinalDay"]];
const CLOCK: [&str; 3] = ["hour", "minute", "second"];
const SMALL: [&str; 3] = ["millisecond", "microsecond", "nanosecond"];

/// Refuses fields that nobody knows, or that do not fit together or to what is made. `is_over_day` and `is_over_time`
/// tell where they are put over something.
pub(super) fn check(
    kind: Kind,
    map: &BTreeMap<Arc<str>, Value>,
    is_over_day: bool,
    is_over_time: bool,
) -> Result<(), CypherError> {
    let has = |key: &str| map.get(key).is_some_and(|value| !value.is_null());
    let of_date = || std::iter::once("year").chain(DAYS.concat());
    let of_time = || CLOCK.into_iter().chain(SMALL);
    let is_moment = has("epochSeconds") || has("epochMillis");
    for key in map.keys() {
        let all = || BASES.into_iter().chain(of_date()).chain(of_time());
        if !all().any(|known| known == &**key) {
            let meant = did_you_mean(key, all()).map(|meant| format!(" Did you mean `{meant}`?"));
            return Err(fail::value(format!("there is no field `{key}`.{}", meant.unwrap_or_default())));
        }
    }
    let foreign = if kind.has_date() { None } else { of_date().find(|key| has(key)) };
    let foreign = foreign.or(if kind.has_time() { None } else { of_time().find(|key| has(key)) });
    if let Some(key) = foreign {
        let what = if kind.has_date() { "a date has" } else { "a time of day has" };
        return Err(fail::value(format!("{what} no `{key}`")));
    }
    let named: Vec<&str> = DAYS.iter().filter_map(|way| way.iter().find(|key| has(key)).copied()).collect();
    if let [one, other, ..] = named[..] {
        return Err(fail::value(format!("a day is named by `{one}` or by `{other}`, not by both")));
    }
    let missing = |smaller: &str, larger: &str| {
        Err(fail::value(format!(
            "`{smaller}` says nothing without `{larger}`; only smaller units may be missing"
        )))
    };
    if !is_over_day {
        for way in DAYS {
            if let [larger, smaller] = way
                && has(smaller)
                && !has(larger)
            {
                return missing(smaller, larger);
            }
        }
    }
    if !is_over_time && !is_moment {
        for pair in CLOCK.windows(2) {
            if has(pair[1]) && !has(pair[0]) {
                return missing(pair[1], pair[0]);
            }
        }
        if let Some(small) = SMALL.into_iter().find(|key| has(key))
            && !has("second")
        {
            return missing(small, "second");
        }
    }
    Ok(())
}
