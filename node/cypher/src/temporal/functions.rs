//! `date()`, `datetime.truncate()`, `duration.between()` and their like.

use super::calendar::{civil, days, first_week, week_date, weekday};
use super::fields;
use super::text::{month_day, parse, parse_duration, quarter_day, read_zone, week_day, year_day};
use super::{Amount, DAY_NANOS, Kind, Parts, SECOND_NANOS, Sum, Zone, duration};
use crate::error::CypherError;
use crate::fail;
use crate::functions::Scope;
use crate::value::type_name;
use mgnode_core::types::{DateTime, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

type Answer = Result<Value, CypherError>;
type Fields = BTreeMap<Arc<str>, Value>;

macro_rules! constructors {
    ($($make:ident $clock:ident $truncate:ident $kind:ident;)*) => {
        $(
            pub(crate) fn $make(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
                construct(Kind::$kind, scope, args)
            }

            pub(crate) fn $clock(scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
                clock(Kind::$kind, scope, args)
            }

            pub(crate) fn $truncate(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
                truncate(Kind::$kind, args)
            }
        )*
    };
}

constructors! {
    date date_now date_truncate Date;
    local_time local_time_now local_time_truncate LocalTime;
    time time_now time_truncate Time;
    local_date_time local_date_time_now local_date_time_truncate LocalDateTime;
    date_time date_time_now date_time_truncate DateTime;
}

fn now(scope: &Scope<'_>) -> Parts {
    let utc = Parts { zone: Some(Zone::Offset(0)), ..Parts::default() };
    utc.at_local(scope.run.now.as_nanos() as i128)
}

/// `datetime.statement([zone])`: what a clock shows, in a zone of one's own where one is named.
fn clock(kind: Kind, scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match args.first() {
        Some(Value::String(zone)) => now(scope).in_zone(&read_zone(zone)?)?.build(kind),
        _ => construct(kind, scope, args),
    }
}

fn construct(kind: Kind, scope: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    match args.first() {
        None => now(scope).build(kind),
        Some(Value::String(text)) => parse(kind, text)?.build(kind),
        Some(Value::Map(map)) => {
            if let ([(key, Value::String(zone))], true) =
                (&map.iter().collect::<Vec<_>>()[..], map.len() == 1)
                && &***key == "timezone"
            {
                return now(scope).in_zone(&read_zone(zone)?)?.build(kind);
            }
            exact(from_map(kind, map)?.build(kind)?, map)
        }
        Some(other) => match Parts::of(other) {
            Some(parts)
                if kind.has_date() && parts.day.is_none()
                    || kind.has_time() && parts.time.is_none() && !kind.has_date() =>
            {
                Err(fail::types(format!("{} cannot become what is asked for", type_name(other))))
            }
            Some(parts) => parts.build(kind),
            None => Err(fail::types(format!(
                "a point in time is made of a map or a string, not of {}",
                type_name(other)
            ))),
        },
    }
}

fn int(map: &Fields, key: &str) -> Result<Option<i64>, CypherError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Int(i)) => Ok(Some(*i)),
        Some(other) => Err(fail::types(format!("`{key}` is an integer, not {}", type_name(other)))),
    }
}

fn base(map: &Fields, key: &str) -> Result<Option<Parts>, CypherError> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(v) => match Parts::of(v) {
            Some(parts) => Ok(Some(parts)),
            None => Err(fail::types(format!("`{key}` is a point in time, not {}", type_name(v)))),
        },
    }
}

/// Returns the moment that a map names by itself, in nanoseconds since 1970 in UTC.
fn epoch_nanos(map: &Fields) -> Result<Option<i128>, CypherError> {
    let nanos = || Ok::<_, CypherError>(i128::from(int(map, "nanosecond")?.unwrap_or(0)));
    if let Some(seconds) = int(map, "epochSeconds")? {
        return Ok(Some(i128::from(seconds) * i128::from(SECOND_NANOS) + nanos()?));
    }
    if let Some(millis) = int(map, "epochMillis")? {
        return Ok(Some(i128::from(millis) * 1_000_000 + nanos()?));
    }
    Ok(None)
}

/// Puts right what the clock of a zone leaves open: where it is set back it shows two moments alike, and a map may name
/// one of them.
fn exact(made: Value, map: &Fields) -> Answer {
    match (made, epoch_nanos(map)?) {
        (Value::DateTime(t), Some(nanos)) if t.zone.is_some() => {
            let seconds = i64::try_from(nanos.div_euclid(i128::from(SECOND_NANOS)))
                .map_err(|_| fail::value("the date is too far away"))?;
            let zone = t.zone.clone().map(Zone::Named).expect("looked at above");
            let offset_seconds = zone.offset_at(seconds)?;
            Ok(Value::DateTime(Arc::new(DateTime { seconds, offset_seconds, ..(*t).clone() })))
        }
        (made, _) => Ok(made),
    }
}

/// Puts together what a map says: a base (`date`, `time`, `datetime`), then single fields over it.
fn from_map(kind: Kind, map: &Fields) -> Result<Parts, CypherError> {
    let zone = match map.get("timezone") {
        Some(Value::String(zone)) => Some(read_zone(zone)?),
        None | Some(Value::Null) => None,
        Some(other) => return Err(fail::types(format!("`timezone` is a string, not {}", type_name(other)))),
    };
    let mut parts = Parts::default();
    if let Some(both) = base(map, "datetime")? {
        parts = both;
    }
    if let Some(nanos) = epoch_nanos(map)? {
        fields::check(kind, map, true, true)?;
        let utc = Parts { zone: Some(Zone::Offset(0)), ..Parts::default() }.at_local(nanos);
        return zone.map_or(Ok(utc.clone()), |z| utc.in_zone(&z));
    }
    let moves_day = parts.day.is_some();
    if let Some(date) = base(map, "date")? {
        parts.day = date.day;
    }
    if let Some(time) = base(map, "time")? {
        parts.time = time.time;
        parts.zone = time.zone;
        // The offset of a named zone is that of the day that it comes from.
        if let (Some(Zone::Named(_)), Some(day), false) = (&parts.zone, time.day, kind.has_date()) {
            parts.day = parts.day.or(Some(day));
        }
    }
    fields::check(kind, map, parts.day.is_some(), parts.time.is_some())?;
    // A whole moment is moved to the zone before single fields are laid over it; a time of its own
    // is moved on the day that the fields say.
    if !moves_day {
        parts = date_fields(kind, map, parts)?;
    }
    if let Some(zone) = zone {
        if kind.has_zone() && parts.zone.is_some() && parts.time.is_some() {
            let day = parts.day;
            parts = parts.in_zone(&zone)?;
            if !moves_day {
                parts.day = day;
            }
        }
        parts.zone = Some(zone);
    }
    if moves_day {
        parts = date_fields(kind, map, parts)?;
    }
    time_fields(kind, map, parts, false)
}

/// Lays fields of the date over the parts.
fn date_fields(kind: Kind, map: &Fields, mut parts: Parts) -> Result<Parts, CypherError> {
    let bad = || fail::value("there is no such date");
    if kind.has_date() {
        let has = |key: &str| map.contains_key(key);
        let before = parts.day;
        let year = |iso: bool| -> Result<i64, CypherError> {
            match (int(map, "year")?, before) {
                (Some(year), _) => Ok(year),
                (None, Some(day)) => Ok(if iso { week_date(day).0 } else { civil(day).0 }),
                (None, None) => Err(fail::value("a date needs a `year`")),
            }
        };
        let (_, month, of_month) = before.map_or((0, 1, 1), civil);
        parts.day = if has("week") || has("dayOfWeek") {
            let (_, week, of_week) = before.map_or((0, 1, 1), week_date);
            let week = int(map, "week")?.unwrap_or(week);
            Some(week_day(year(true)?, week, int(map, "dayOfWeek")?.unwrap_or(of_week)).ok_or_else(bad)?)
        } else if has("ordinalDay") {
            Some(year_day(year(false)?, int(map, "ordinalDay")?.unwrap_or(1)).ok_or_else(bad)?)
        } else if has("quarter") || has("dayOfQuarter") {
            let quarter = int(map, "quarter")?.unwrap_or((month - 1) / 3 + 1);
            let of_quarter = before.map_or(1, |day| {
                let (y, m, _) = civil(day);
                day - days(y, (m - 1) / 3 * 3 + 1, 1) + 1
            });
            let of_quarter = int(map, "dayOfQuarter")?.unwrap_or(of_quarter);
            Some(quarter_day(year(false)?, quarter, of_quarter).ok_or_else(bad)?)
        } else if has("year") || has("month") || has("day") || before.is_none() {
            let month = int(map, "month")?.unwrap_or(month);
            Some(month_day(year(false)?, month, int(map, "day")?.unwrap_or(of_month)).ok_or_else(bad)?)
        } else {
            before
        };
    }
    Ok(parts)
}

/// Lays fields of the time over the parts. `adds`: sub-second fields come on top of what is there.
fn time_fields(kind: Kind, map: &Fields, mut parts: Parts, adds: bool) -> Result<Parts, CypherError> {
    if kind.has_time() {
        let t = parts.time.unwrap_or(0);
        let field = |key: &str, old: i64, max: i64| -> Result<i64, CypherError> {
            let n = int(map, key)?.unwrap_or(old);
            if (0..=max).contains(&n) {
                Ok(n)
            } else {
                Err(fail::value(format!("`{key}` lies within 0 and {max}, not at {n}")))
            }
        };
        if parts.time.is_none() && !map.contains_key("hour") && !kind.has_date() {
            return Err(fail::value("a time needs an `hour`"));
        }
        let hour = field("hour", t / 3_600_000_000_000, 23)?;
        let minute = field("minute", t / 60_000_000_000 % 60, 59)?;
        let second = field("second", t / SECOND_NANOS % 60, 59)?;
        let small = ["millisecond", "microsecond", "nanosecond"];
        let sub = if small.iter().any(|k| map.contains_key(*k)) {
            let kept = if adds { t % SECOND_NANOS } else { 0 };
            let sum = kept
                + field("millisecond", 0, 999)? * 1_000_000
                + field("microsecond", 0, 999_999)? * 1_000
                + field("nanosecond", 0, 999_999_999)?;
            if sum >= SECOND_NANOS {
                return Err(fail::value("the parts of a second add up to more than a second"));
            }
            sum
        } else {
            t % SECOND_NANOS
        };
        parts.time = Some((hour * 3600 + minute * 60 + second) * SECOND_NANOS + sub);
    }
    Ok(parts)
}

/// `date.truncate(unit, value [, fields])`
fn truncate(kind: Kind, args: &mut [Value]) -> Answer {
    let Value::String(unit) = &args[0] else {
        return Err(fail::types(format!("a unit is a string, not {}", type_name(&args[0]))));
    };
    let Some(mut parts) = Parts::of(&args[1]) else {
        return Err(fail::types(format!("a point in time is truncated, not {}", type_name(&args[1]))));
    };
    let unit = unit.to_ascii_lowercase();
    let is_of_date = matches!(
        unit.as_str(),
        "millennium" | "century" | "decade" | "year" | "weekyear" | "quarter" | "month" | "week"
    );
    let is_of_time = matches!(unit.as_str(), "hour" | "minute" | "second" | "millisecond" | "microsecond");
    if !is_of_date && !is_of_time && unit != "day" {
        return Err(fail::value(format!("there is no unit `{unit}`")));
    }
    if is_of_date && !kind.has_date() || is_of_time && !kind.has_time() {
        let size = if is_of_date { "large" } else { "small" };
        return Err(fail::value(format!("`{unit}` is too {size} a unit for what is truncated")));
    }
    if let Some(day) = parts.day {
        let (year, month, _) = civil(day);
        parts.day = Some(match unit.as_str() {
            "millennium" => days(year.div_euclid(1000) * 1000, 1, 1),
            "century" => days(year.div_euclid(100) * 100, 1, 1),
            "decade" => days(year.div_euclid(10) * 10, 1, 1),
            "year" => days(year, 1, 1),
            "weekyear" => first_week(week_date(day).0),
            "quarter" => days(year, (month - 1) / 3 * 3 + 1, 1),
            "month" => days(year, month, 1),
            "week" => day - weekday(day) + 1,
            _ => day,
        });
    } else if kind.has_date() {
        return Err(fail::value(format!("{} has no date to truncate", type_name(&args[1]))));
    }
    let step = match unit.as_str() {
        "hour" => 3_600_000_000_000,
        "minute" => 60_000_000_000,
        "second" => SECOND_NANOS,
        "millisecond" => 1_000_000,
        "microsecond" => 1_000,
        _ => DAY_NANOS,
    };
    parts.time = parts.time.map(|t| t - t % step).or(Some(0));
    if let Some(fields_over) = args.get(2) {
        let Value::Map(map) = fields_over else {
            return Err(fail::types(format!("fields are given as a map, not as {}", type_name(fields_over))));
        };
        fields::check(kind, map, true, true)?;
        if let Some(Value::String(zone)) = map.get("timezone") {
            parts.zone = Some(read_zone(zone)?);
        }
        parts = time_fields(kind, map, date_fields(kind, map, parts)?, true)?;
    }
    if !kind.has_date() && matches!(parts.zone, Some(Zone::Offset(_)) | None) {
        parts.day = None;
    }
    parts.build(kind)
}

pub(crate) fn from_epoch(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let (Value::Int(seconds), Value::Int(nanos)) = (&args[0], &args[1]) else {
        return Err(fail::types("`datetime.fromEpoch()` takes two integers"));
    };
    let utc = Parts { zone: Some(Zone::Offset(0)), ..Parts::default() };
    utc.at_local(i128::from(*seconds) * i128::from(SECOND_NANOS) + i128::from(*nanos)).build(Kind::DateTime)
}

pub(crate) fn from_epoch_millis(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let Value::Int(millis) = &args[0] else {
        return Err(fail::types("`datetime.fromEpochMillis()` takes an integer"));
    };
    let utc = Parts { zone: Some(Zone::Offset(0)), ..Parts::default() };
    utc.at_local(i128::from(*millis) * 1_000_000).build(Kind::DateTime)
}

/// `duration({...})` or `duration('P...')`
pub(crate) fn make_duration(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let map = match &args[0] {
        Value::String(text) => return parse_duration(text),
        Value::Duration(_) => return Ok(args[0].clone()),
        Value::Map(map) => map,
        other => {
            return Err(fail::types(format!(
                "a duration is made of a map or a string, not of {}",
                type_name(other)
            )));
        }
    };
    let mut sum = Sum::new();
    for (key, v) in map.iter() {
        let n = match v {
            Value::Int(i) => Amount::Whole(*i),
            Value::Float(f) => Amount::Fraction(*f),
            Value::Null => return Ok(Value::Null),
            other => return Err(fail::types(format!("`{key}` is a number, not {}", type_name(other)))),
        };
        match &**key {
            "years" => sum.add_months(n, 12),
            "quarters" => sum.add_months(n, 3),
            "months" => sum.add_months(n, 1),
            "weeks" => sum.add_days(n, 7),
            "days" => sum.add_days(n, 1),
            "hours" => sum.add_nanos(n, 3600 * SECOND_NANOS),
            "minutes" => sum.add_nanos(n, 60 * SECOND_NANOS),
            "seconds" => sum.add_nanos(n, SECOND_NANOS),
            "milliseconds" => sum.add_nanos(n, 1_000_000),
            "microseconds" => sum.add_nanos(n, 1_000),
            "nanoseconds" => sum.add_nanos(n, 1),
            other => return Err(fail::value(format!("a duration has no `{other}`"))),
        }
    }
    sum.duration()
}

/// Two points in time made comparable: what one lacks it takes from the other.
fn aligned(args: &[Value]) -> Result<(Parts, Parts, bool), CypherError> {
    let get = |v: &Value| {
        Parts::of(v).ok_or_else(|| {
            fail::types(format!("a duration lies between points in time, not {}", type_name(v)))
        })
    };
    let (mut a, mut b) = (get(&args[0])?, get(&args[1])?);
    let both_have_days = a.day.is_some() && b.day.is_some();
    a.day = a.day.or(b.day);
    b.day = b.day.or(a.day);
    a.zone = a.zone.or_else(|| b.zone.clone());
    b.zone = b.zone.or_else(|| a.zone.clone());
    Ok((a, b, both_have_days))
}

/// Whole months from one local moment to another, and the moment that many months after the first.
fn months_between(a: &Parts, b: &Parts) -> (i64, i128) {
    let (from, to) = (a.local(), b.local());
    let (y1, m1, d1) = civil(a.day.unwrap_or(0));
    let (y2, m2, _) = civil(b.day.unwrap_or(0));
    let mut months = (y2 - y1) * 12 + m2 - m1;
    let after = |months: i64| {
        let month = y1 * 12 + m1 - 1 + months;
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
        let day = days(year, month, d1.min(super::calendar::days_in_month(year, month)));
        i128::from(day) * i128::from(DAY_NANOS) + i128::from(a.time.unwrap_or(0))
    };
    if to >= from && after(months) > to {
        months -= 1;
    } else if to < from && after(months) < to {
        months += 1;
    }
    (months, after(months))
}

pub(crate) fn between(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let (a, b, both) = aligned(args)?;
    if !both {
        return duration(0, 0, b.instant()? - a.instant()?);
    }
    let b = match &a.zone {
        Some(zone) => b.in_zone(zone)?,
        None => b,
    };
    let (months, at) = months_between(&a, &b);
    let day = i128::from(DAY_NANOS);
    let days = (b.local() - at) / day;
    // What is left passes in the moment: a day on which the clock is put back has 25 hours.
    let rest = b.instant()? - a.at_local(at + days * day).instant()?;
    duration(months, days as i64, rest)
}

pub(crate) fn in_months(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let (a, b, both) = aligned(args)?;
    if !both {
        return duration(0, 0, 0);
    }
    let b = match &a.zone {
        Some(zone) => b.in_zone(zone)?,
        None => b,
    };
    duration(months_between(&a, &b).0, 0, 0)
}

pub(crate) fn in_days(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let (a, b, both) = aligned(args)?;
    if !both {
        return duration(0, 0, 0);
    }
    let b = match &a.zone {
        Some(zone) => b.in_zone(zone)?,
        None => b,
    };
    duration(0, ((b.local() - a.local()) / i128::from(DAY_NANOS)) as i64, 0)
}

pub(crate) fn in_seconds(_: &mut Scope<'_>, args: &mut [Value]) -> Answer {
    let (a, b, _) = aligned(args)?;
    duration(0, 0, b.instant()? - a.instant()?)
}
