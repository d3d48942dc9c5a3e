//! Dates, times and durations.
//!
//! Every temporal value but a duration is taken apart into [`Parts`] (a day, a time of day, a zone,
//! each where the type has it), changed there, and put together again as the type that is wanted.
//! [`calendar`] counts days, [`text`] reads and writes ISO 8601, [`functions`] is what queries call.
//! Zones by name come from the database that is compiled in, so every node knows the same ones.

mod calendar;
mod fields;
pub(crate) mod functions;
mod text;

pub use text::temporal_text;

use crate::ast::ArithmeticOp;
use crate::error::CypherError;
use crate::fail;
use crate::value::type_name;
use calendar::{YEARS, civil, days, days_in_month, week_date};
use mgnode_core::types::{Date, DateTime, Duration, LocalDateTime, LocalTime, OffsetTime, Value};
use std::sync::Arc;

const DAY_NANOS: i64 = 86_400_000_000_000;
const SECOND_NANOS: i64 = 1_000_000_000;
/// A year of 365.2425 days has twelve of these.
const AVERAGE_MONTH_SECONDS: f64 = 2_629_746.0;

/// The types that are points in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Date,
    LocalTime,
    Time,
    LocalDateTime,
    DateTime,
}

impl Kind {
    fn has_date(self) -> bool {
        matches!(self, Kind::Date | Kind::LocalDateTime | Kind::DateTime)
    }

    fn has_time(self) -> bool {
        self != Kind::Date
    }

    fn has_zone(self) -> bool {
        matches!(self, Kind::Time | Kind::DateTime)
    }
}

/// Where a clock stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Zone {
    Offset(i32),
    Named(Arc<str>),
}

/// A temporal value taken apart; clock and calendar of its zone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parts {
    /// Days since 1970-01-01.
    day: Option<i64>,
    /// Nanoseconds since midnight.
    time: Option<i64>,
    zone: Option<Zone>,
}

impl Zone {
    /// Returns the offset from UTC that is in force at a local time.
    fn offset(&self, day: i64, time: i64) -> Result<i32, CypherError> {
        let name = match self {
            Zone::Offset(seconds) => return Ok(*seconds),
            Zone::Named(name) => name,
        };
        let zone = named(name)?;
        let (year, month, d) = civil(day);
        let date_time = i16::try_from(year).ok().and_then(|year| {
            let nanos = (time % SECOND_NANOS) as i32;
            let seconds = time / SECOND_NANOS;
            jiff::civil::DateTime::new(
                year,
                month as i8,
                d as i8,
                (seconds / 3600) as i8,
                (seconds / 60 % 60) as i8,
                (seconds % 60) as i8,
                nanos,
            )
            .ok()
        });
        let found = date_time.and_then(|dt| zone.to_ambiguous_timestamp(dt).compatible().ok());
        found.map(|at| zone.to_offset(at).seconds()).ok_or_else(|| {
            fail::value(format!(
                "the offset of `{name}` is known for the years -9999 to 9999 only, not for {year}"
            ))
        })
    }

    /// Returns the offset from UTC that is in force at a moment.
    fn offset_at(&self, seconds: i64) -> Result<i32, CypherError> {
        match self {
            Zone::Offset(offset) => Ok(*offset),
            Zone::Named(name) => {
                let zone = named(name)?;
                jiff::Timestamp::from_second(seconds)
                    .map(|at| zone.to_offset(at).seconds())
                    .map_err(|_| fail::value(format!("the offset of `{name}` is not known at that time")))
            }
        }
    }
}

/// Returns the offset from UTC, in seconds, that is in force in a zone of that name at a moment, which is given in
/// seconds since 1970 in UTC. An error names a zone that is not known, or a time that is out of range.
pub fn zone_offset_at(zone: &str, utc_seconds: i64) -> Result<i32, CypherError> {
    Zone::Named(zone.into()).offset_at(utc_seconds)
}

/// The same for a moment that is given as the zone's own clock shows it. Of a time that is there twice, it is the first
/// one; one that is left out is taken by the offset before the gap.
pub fn zone_offset_of_local(zone: &str, local_seconds: i64) -> Result<i32, CypherError> {
    let day = local_seconds.div_euclid(DAY_NANOS / SECOND_NANOS);
    let time = local_seconds.rem_euclid(DAY_NANOS / SECOND_NANOS) * SECOND_NANOS;
    Zone::Named(zone.into()).offset(day, time)
}

fn named(name: &str) -> Result<jiff::tz::TimeZone, CypherError> {
    jiff::tz::TimeZone::get(name).map_err(|_| fail::value(format!("there is no time zone `{name}`")))
}

impl Parts {
    /// Takes a temporal value apart; None for any other.
    pub(crate) fn of(v: &Value) -> Option<Parts> {
        Some(match v {
            Value::Date(d) => Parts { day: Some(d.0), ..Parts::default() },
            Value::LocalTime(t) => Parts { time: Some(t.0), ..Parts::default() },
            Value::Time(t) => {
                Parts { day: None, time: Some(t.nanos), zone: Some(Zone::Offset(t.offset_seconds)) }
            }
            Value::LocalDateTime(t) => Parts {
                day: Some(t.seconds.div_euclid(86_400)),
                time: Some(t.seconds.rem_euclid(86_400) * SECOND_NANOS + i64::from(t.nanos)),
                zone: None,
            },
            Value::DateTime(t) => {
                let local = t.seconds + i64::from(t.offset_seconds);
                Parts {
                    day: Some(local.div_euclid(86_400)),
                    time: Some(local.rem_euclid(86_400) * SECOND_NANOS + i64::from(t.nanos)),
                    zone: Some(t.zone.clone().map_or(Zone::Offset(t.offset_seconds), Zone::Named)),
                }
            }
            _ => return None,
        })
    }

    /// Puts a value together. What the type needs and the parts lack is midnight, the first day of
    /// 1970, or UTC; what it does not have is left out.
    pub(crate) fn build(self, kind: Kind) -> Result<Value, CypherError> {
        let day = near(self.day.unwrap_or(0))?;
        let time = self.time.unwrap_or(0);
        let zone = self.zone.clone().unwrap_or(Zone::Offset(0));
        let day_seconds = day * 86_400 + time / SECOND_NANOS;
        let nanos = (time % SECOND_NANOS) as u32;
        Ok(match kind {
            Kind::Date => Value::Date(Date(day)),
            Kind::LocalTime => Value::LocalTime(LocalTime(time)),
            Kind::Time => Value::Time(OffsetTime { nanos: time, offset_seconds: zone.offset(day, time)? }),
            Kind::LocalDateTime => Value::LocalDateTime(LocalDateTime { seconds: day_seconds, nanos }),
            Kind::DateTime => {
                let offset_seconds = zone.offset(day, time)?;
                Value::DateTime(Arc::new(DateTime {
                    seconds: day_seconds - i64::from(offset_seconds),
                    nanos,
                    offset_seconds,
                    zone: if let Zone::Named(name) = zone { Some(name) } else { None },
                }))
            }
        })
    }

    /// Nanoseconds since 1970 on the local clock.
    fn local(&self) -> i128 {
        i128::from(self.day.unwrap_or(0)) * i128::from(DAY_NANOS) + i128::from(self.time.unwrap_or(0))
    }

    fn at_local(mut self, nanos: i128) -> Parts {
        self.day = Some(nanos.div_euclid(i128::from(DAY_NANOS)) as i64);
        self.time = Some(nanos.rem_euclid(i128::from(DAY_NANOS)) as i64);
        self
    }

    /// Nanoseconds since 1970 UTC.
    fn instant(&self) -> Result<i128, CypherError> {
        let offset = match &self.zone {
            Some(zone) => zone.offset(self.day.unwrap_or(0), self.time.unwrap_or(0))?,
            None => 0,
        };
        Ok(self.local() - i128::from(offset) * i128::from(SECOND_NANOS))
    }

    /// The same moment on the clock of another zone.
    fn in_zone(&self, zone: &Zone) -> Result<Parts, CypherError> {
        let instant = self.instant()?;
        let offset = zone.offset_at(instant.div_euclid(i128::from(SECOND_NANOS)) as i64)?;
        let moved = self.clone().at_local(instant + i128::from(offset) * i128::from(SECOND_NANOS));
        Ok(Parts { zone: Some(zone.clone()), ..moved })
    }
}

fn far_away() -> CypherError {
    fail::value("the date is too far away")
}

/// Returns the day if it lies in a year that dates have.
fn near(day: i64) -> Result<i64, CypherError> {
    Date(day).checked().map(|date| date.0).ok_or_else(far_away)
}

/// Makes a duration from months, days and nanoseconds.
fn duration(months: i64, days: i64, nanos: i128) -> Result<Value, CypherError> {
    let seconds = i64::try_from(nanos.div_euclid(i128::from(SECOND_NANOS))).map_err(|_| too_long())?;
    Ok(Value::Duration(Arc::new(Duration {
        months,
        days,
        seconds,
        nanos: nanos.rem_euclid(i128::from(SECOND_NANOS)) as i32,
    })))
}

fn too_long() -> CypherError {
    fail::arithmetic("NumberOutOfRange", "the duration is too long")
}

/// A number of some unit: whole, or with a fraction.
#[derive(Clone, Copy)]
enum Amount {
    Whole(i64),
    Fraction(f64),
}

impl Amount {
    /// Reads a number as it is written.
    fn read(text: &str) -> Option<Amount> {
        match text.parse() {
            Ok(whole) => Some(Amount::Whole(whole)),
            Err(_) => text.parse().ok().map(Amount::Fraction),
        }
    }

    fn float(self) -> f64 {
        match self {
            Amount::Whole(n) => n as f64,
            Amount::Fraction(n) => n,
        }
    }
}

/// The parts of a duration, summed up. Whole months and days are counted exactly, also those that no float can tell apart.
struct Sum {
    months: f64,
    days: f64,
    nanos: f64,
    exact_nanos: i128,
    /// The same months and days, as long as none had a fraction.
    whole: Option<(i128, i128)>,
}

impl Sum {
    fn new() -> Sum {
        Sum { months: 0.0, days: 0.0, nanos: 0.0, exact_nanos: 0, whole: Some((0, 0)) }
    }

    fn add_months(&mut self, n: Amount, by: i32) {
        self.months += n.float() * f64::from(by);
        self.whole = match (self.whole, n) {
            (Some((months, days)), Amount::Whole(n)) => Some((months + i128::from(n) * i128::from(by), days)),
            _ => None,
        };
    }

    fn add_days(&mut self, n: Amount, by: i32) {
        self.days += n.float() * f64::from(by);
        self.whole = match (self.whole, n) {
            (Some((months, days)), Amount::Whole(n)) => Some((months, days + i128::from(n) * i128::from(by))),
            _ => None,
        };
    }

    fn add_nanos(&mut self, n: Amount, by: i64) {
        match n {
            Amount::Whole(n) => self.exact_nanos += i128::from(n) * i128::from(by),
            // Whole units are counted exactly: all nanoseconds of a long time are more than a float tells apart.
            Amount::Fraction(n) if n.abs() < 9e18 => {
                self.exact_nanos += n.trunc() as i128 * i128::from(by);
                self.nanos += n.fract() * by as f64;
            }
            Amount::Fraction(n) => self.nanos += n * by as f64,
        }
    }

    /// Makes the duration; a fraction goes on as the next smaller part.
    fn duration(self) -> Result<Value, CypherError> {
        match self.whole {
            Some((months, days)) if self.nanos.is_finite() && self.nanos.abs() <= 9e18 => {
                let whole = |n: i128| i64::try_from(n).map_err(|_| too_long());
                duration(whole(months)?, whole(days)?, self.exact_nanos + self.nanos.trunc() as i128)
            }
            _ => duration_of(self.months, self.days, self.nanos, self.exact_nanos),
        }
    }
}

/// Makes a duration of parts with fractions; a fraction goes on as the next smaller part.
fn duration_of(months: f64, days: f64, nanos: f64, exact_nanos: i128) -> Result<Value, CypherError> {
    let whole_months = months.trunc();
    let month_seconds = (months - whole_months) * AVERAGE_MONTH_SECONDS;
    let month_days = (month_seconds / 86_400.0).trunc();
    let days = days + month_days;
    let whole_days = days.trunc();
    let seconds = (month_seconds - month_days * 86_400.0) + (days - whole_days) * 86_400.0;
    if [whole_months, whole_days, seconds, nanos].iter().any(|f| !f.is_finite() || f.abs() > 9e18) {
        return Err(too_long());
    }
    let fraction = (seconds * 1e9).round() + nanos.trunc();
    duration(whole_months as i64, whole_days as i64, exact_nanos + fraction as i128)
}

fn total_nanos(d: &Duration) -> i128 {
    i128::from(d.seconds) * i128::from(SECOND_NANOS) + i128::from(d.nanos)
}

/// Returns `-d`.
pub(crate) fn negate(d: &Duration) -> Result<Value, CypherError> {
    match (d.months.checked_neg(), d.days.checked_neg()) {
        (Some(months), Some(days)) => duration(months, days, -total_nanos(d)),
        _ => Err(too_long()),
    }
}

/// Computes with temporal values; None where neither side is one that the operator takes.
pub(crate) fn arithmetic(op: ArithmeticOp, a: &Value, b: &Value) -> Option<Result<Value, CypherError>> {
    use ArithmeticOp::{Add, Divide, Multiply, Subtract};
    // The usual case first: numbers and strings have nothing to do here.
    if !matches!(a, Value::Duration(_)) && !matches!(b, Value::Duration(_)) {
        return None;
    }
    let number = |v: &Value| match v {
        Value::Int(i) => Some(*i as f64),
        Value::Float(f) => Some(*f),
        _ => None,
    };
    Some(match (op, a, b) {
        (Add | Subtract, Value::Duration(x), Value::Duration(y)) => {
            let sign = if op == Add { 1 } else { -1 };
            let join = |p: i64, q: i64| q.checked_mul(sign).and_then(|q| p.checked_add(q));
            match (join(x.months, y.months), join(x.days, y.days)) {
                (Some(months), Some(days)) => {
                    duration(months, days, total_nanos(x) + total_nanos(y) * i128::from(sign))
                }
                _ => Err(too_long()),
            }
        }
        (Add, Value::Duration(d), other) if Parts::of(other).is_some() => moved(other, d, 1),
        (Add, other, Value::Duration(d)) if Parts::of(other).is_some() => moved(other, d, 1),
        (Subtract, other, Value::Duration(d)) if Parts::of(other).is_some() => moved(other, d, -1),
        (Multiply, Value::Duration(d), n) | (Multiply, n, Value::Duration(d)) => match n {
            Value::Int(n) => match (d.months.checked_mul(*n), d.days.checked_mul(*n)) {
                (Some(months), Some(days)) => total_nanos(d)
                    .checked_mul(i128::from(*n))
                    .ok_or_else(too_long)
                    .and_then(|t| duration(months, days, t)),
                _ => Err(too_long()),
            },
            n => match number(n) {
                Some(f) => scaled(d, |part| part * f),
                None => return None,
            },
        },
        (Divide, Value::Duration(d), n) => match number(n) {
            Some(0.0) => Err(fail::arithmetic("DivisionByZero", "a duration is divided by zero")),
            Some(f) => scaled(d, |part| part / f),
            None => return None,
        },
        _ => return None,
    })
}

/// Multiplies or divides each part of a duration. A float holds too few digits for all nanoseconds of a long one, so the
/// seconds are a part of their own.
fn scaled(d: &Duration, scale: impl Fn(f64) -> f64) -> Result<Value, CypherError> {
    let seconds = scale(d.seconds as f64);
    if seconds.is_nan() || seconds.abs() > 9.3e18 {
        return Err(too_long());
    }
    let whole = seconds.trunc();
    let nanos = (seconds - whole) * SECOND_NANOS as f64 + scale(f64::from(d.nanos));
    let whole_nanos = whole as i128 * i128::from(SECOND_NANOS);
    duration_of(scale(d.months as f64), scale(d.days as f64), nanos, whole_nanos)
}

/// Moves a point in time by a duration: months first, then days, then the rest.
fn moved(v: &Value, d: &Duration, sign: i64) -> Result<Value, CypherError> {
    let kind = kind_of(v).ok_or_else(|| fail::types(format!("{} cannot be moved", type_name(v))))?;
    let mut parts = Parts::of(v).unwrap_or_default();
    let nanos = total_nanos(d) * i128::from(sign);
    if let Some(day) = parts.day {
        let (year, month, of_month) = civil(day);
        let months = d
            .months
            .checked_mul(sign)
            .and_then(|m| m.checked_add(year * 12 + month - 1))
            .ok_or_else(far_away)?;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        if !YEARS.contains(&year) {
            return Err(far_away());
        }
        let moved = days(year, month, of_month.min(days_in_month(year, month)));
        let moved = d.days.checked_mul(sign).and_then(|n| moved.checked_add(n)).ok_or_else(far_away)?;
        parts.day = Some(near(moved)?);
    }
    match kind {
        Kind::Date => {
            let whole = (nanos / i128::from(DAY_NANOS)) as i64;
            parts.day = parts.day.map(|day| day + whole);
        }
        Kind::LocalTime | Kind::Time => {
            let time = i128::from(parts.time.unwrap_or(0)) + nanos;
            parts.time = Some(time.rem_euclid(i128::from(DAY_NANOS)) as i64);
        }
        Kind::LocalDateTime => parts = parts.clone().at_local(parts.local() + nanos),
        Kind::DateTime => {
            // Hours pass in the moment, not on the clock.
            let zone = parts.zone.clone().unwrap_or(Zone::Offset(0));
            let utc = Parts { zone: Some(Zone::Offset(0)), ..Parts::default() };
            parts = utc.at_local(parts.instant()? + nanos).in_zone(&zone)?;
        }
    }
    parts.build(kind)
}

pub(crate) fn kind_of(v: &Value) -> Option<Kind> {
    Some(match v {
        Value::Date(_) => Kind::Date,
        Value::LocalTime(_) => Kind::LocalTime,
        Value::Time(_) => Kind::Time,
        Value::LocalDateTime(_) => Kind::LocalDateTime,
        Value::DateTime(_) => Kind::DateTime,
        _ => return None,
    })
}

/// Returns a part of a temporal value, such as `year`; None where it is no temporal value.
pub(crate) fn component(v: &Value, name: &str) -> Option<Result<Value, CypherError>> {
    if let Value::Duration(d) = v {
        return Some(duration_component(d, name));
    }
    if let (Value::DateTime(t), "epochMillis") = (v, name) {
        let millis = t.seconds.checked_mul(1_000).and_then(|s| s.checked_add(i64::from(t.nanos / 1_000_000)));
        return Some(millis.map(Value::Int).ok_or_else(far_away));
    }
    point_component(v, name).map(Ok)
}

fn point_component(v: &Value, name: &str) -> Option<Value> {
    let parts = Parts::of(v)?;
    let int = |i: i64| Some(Value::Int(i));
    let from_day = parts.day.and_then(|day| {
        let (year, month, of_month) = civil(day);
        let (week_year, week, weekday) = week_date(day);
        let quarter = (month - 1) / 3 + 1;
        match name {
            "year" => int(year),
            "quarter" => int(quarter),
            "month" => int(month),
            "week" => int(week),
            "weekYear" => int(week_year),
            "day" => int(of_month),
            "ordinalDay" => int(day - days(year, 1, 1) + 1),
            "weekDay" | "dayOfWeek" => int(weekday),
            "dayOfQuarter" => int(day - days(year, quarter * 3 - 2, 1) + 1),
            _ => None,
        }
    });
    let from_time = parts.time.and_then(|t| match name {
        "hour" => int(t / 3_600_000_000_000),
        "minute" => int(t / 60_000_000_000 % 60),
        "second" => int(t / SECOND_NANOS % 60),
        "millisecond" => int(t % SECOND_NANOS / 1_000_000),
        "microsecond" => int(t % SECOND_NANOS / 1_000),
        "nanosecond" => int(t % SECOND_NANOS),
        _ => None,
    });
    let offset = match v {
        Value::Time(t) => Some(t.offset_seconds),
        Value::DateTime(t) => Some(t.offset_seconds),
        _ => None,
    };
    let from_zone = offset.and_then(|offset| match name {
        "timezone" => Some(match &parts.zone {
            Some(Zone::Named(name)) => Value::String(name.clone()),
            _ => Value::string(text::offset_text(offset)),
        }),
        "offset" => Some(Value::string(text::offset_text(offset))),
        "offsetMinutes" => int(i64::from(offset / 60)),
        "offsetSeconds" => int(i64::from(offset)),
        _ => None,
    });
    let from_moment = match (v, name) {
        (Value::DateTime(t), "epochSeconds") => int(t.seconds),
        _ => None,
    };
    Some(from_day.or(from_time).or(from_zone).or(from_moment).unwrap_or_default())
}

fn duration_component(d: &Duration, name: &str) -> Result<Value, CypherError> {
    let nanos = i64::from(d.nanos);
    // All of a long duration can be more of a small unit than an integer holds.
    let whole =
        |unit: i64| i64::try_from(total_nanos(d).div_euclid(i128::from(unit))).map_err(|_| too_long());
    Ok(Value::Int(match name {
        "years" => d.months / 12,
        "quarters" => d.months / 3,
        "months" => d.months,
        "weeks" => d.days / 7,
        "days" => d.days,
        "hours" => d.seconds / 3600,
        "minutes" => d.seconds / 60,
        "seconds" => d.seconds,
        "milliseconds" => whole(1_000_000)?,
        "microseconds" => whole(1_000)?,
        "nanoseconds" => whole(1)?,
        "quartersOfYear" => d.months % 12 / 3,
        "monthsOfQuarter" => d.months % 3,
        "monthsOfYear" => d.months % 12,
        "daysOfWeek" => d.days % 7,
        "minutesOfHour" => d.seconds / 60 % 60,
        "secondsOfMinute" => d.seconds % 60,
        "millisecondsOfSecond" => nanos / 1_000_000,
        "microsecondsOfSecond" => nanos / 1_000,
        "nanosecondsOfSecond" => nanos,
        _ => return Ok(Value::Null),
    }))
}
