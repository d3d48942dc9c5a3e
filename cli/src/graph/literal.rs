//! Values as Cypher text that means the same value again.

use std::fmt::Write;

use mgbolt::{DateTime, Map, PackValue};

use crate::query::to_text;

/// A value that Cypher has no text for; its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritable(pub &'static str);

/// Writes a value. The text has no line break.
///
/// # Errors
///
/// Bytes, and what is no property: vertices, edges, paths.
pub fn write(out: &mut String, value: &PackValue) -> Result<(), Unwritable> {
    match value {
        PackValue::Null => out.push_str("null"),
        PackValue::Bool(v) => put(out, format_args!("{v}")),
        // Its digits alone are one more than the largest integer.
        PackValue::Int(i64::MIN) => out.push_str("(-9223372036854775807 - 1)"),
        PackValue::Int(v) => put(out, format_args!("{v}")),
        PackValue::Float(v) => write_float(out, *v),
        PackValue::String(v) => write_string(out, v),
        PackValue::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write(out, item)?;
            }
            out.push(']');
        }
        PackValue::Map(map) => match enumeration(map) {
            Some(name) => out.push_str(name),
            None => {
                out.push('{');
                for (i, (key, value)) in map.iter().enumerate() {
                    put(out, format_args!("{}{}: ", if i > 0 { ", " } else { "" }, name(key)));
                    write(out, value)?;
                }
                out.push('}');
            }
        },
        PackValue::Date(_) => call(out, "date", value),
        PackValue::LocalTime(_) => call(out, "localTime", value),
        PackValue::Time(_) => call(out, "time", value),
        PackValue::LocalDateTime(_) => call(out, "localDateTime", value),
        PackValue::DateTime(v) => match v.as_ref() {
            // Its clock is only known with the rules of the zone; the server has them.
            DateTime::Zoned { utc_seconds, nanos, zone, .. } => {
                put(
                    out,
                    format_args!("datetime({{epochSeconds: {utc_seconds}, nanosecond: {nanos}, timezone: "),
                );
                write_string(out, zone);
                out.push_str("})");
            }
            _ => call(out, "datetime", value),
        },
        PackValue::Duration(v) => {
            // Servers differ in the parts they know; a part that is 0 is left out.
            out.push_str("duration(\"P");
            if v.months != 0 {
                put(out, format_args!("{}M", v.months));
            }
            if v.days != 0 {
                put(out, format_args!("{}D", v.days));
            }
            let nanos = i128::from(v.seconds) * 1_000_000_000 + i128::from(v.nanos);
            let (seconds, fraction) =
                (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
            put(out, format_args!("T{}{seconds}", if nanos < 0 { "-" } else { "" }));
            if fraction != 0 {
                put(out, format_args!(".{fraction:09}"));
            }
            out.push_str("S\")");
        }
        PackValue::Point(v) => {
            put(out, format_args!("point({{srid: {}, x: ", v.srid));
            write_float(out, v.x);
            out.push_str(", y: ");
            write_float(out, v.y);
            if let Some(z) = v.z {
                out.push_str(", z: ");
                write_float(out, z);
            }
            out.push_str("})");
        }
        other => return Err(Unwritable(other.kind())),
    }
    Ok(())
}

/// How deep lists and maps of a parameter may nest: as deep as nobody's does.
const PARAMETER_DEPTH_MAX: usize = 32;

/// Days since 1970-01-01 of 0001-01-01 and 9999-12-31: every server takes what is between.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

/// Whether a value is the same as a parameter of Bolt, to every server and in every version of Bolt, as its text is in
/// a statement. Of what is not, the text is to be sent: it means the same, or is refused. E.g. an enum is a map as a
/// parameter, a point's reference system may be unknown, and nanoseconds may be cut off.
pub fn is_same_as_parameter(value: &PackValue) -> bool {
    is_same_at(value, PARAMETER_DEPTH_MAX)
}

fn is_same_at(value: &PackValue, depth: usize) -> bool {
    // Some servers know microseconds only.
    let has_micros = |nanos: i64| nanos % 1000 == 0;
    match value {
        PackValue::Null
        | PackValue::Bool(_)
        | PackValue::Int(_)
        | PackValue::Float(_)
        | PackValue::String(_) => true,
        PackValue::List(items) => depth > 0 && items.iter().all(|item| is_same_at(item, depth - 1)),
        PackValue::Map(map) => {
            let mut items = map.iter().map(|(_, item)| item);
            depth > 0 && map.get("__type").is_none() && items.all(|item| is_same_at(item, depth - 1))
        }
        PackValue::Date(days) => DAYS.contains(days),
        PackValue::LocalTime(nanos) => has_micros(*nanos),
        PackValue::LocalDateTime(v) => {
            // Memgraph reads a time of day before 1970 wrongly.
            let is_read_well = v.seconds >= 0 || (v.seconds % 86_400 == 0 && v.nanos == 0);
            is_read_well && has_micros(i64::from(v.nanos)) && DAYS.contains(&v.seconds.div_euclid(86_400))
        }
        _ => false,
    }
}

/// Returns a name in backquotes, whatever is in it.
pub fn name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

fn call(out: &mut String, function: &str, value: &PackValue) {
    put(out, format_args!("{function}(\"{}\")", to_text(value)));
}

fn write_float(out: &mut String, v: f64) {
    match v {
        v if v.is_nan() => out.push_str("(0.0 / 0.0)"),
        v if v.is_infinite() => out.push_str(if v > 0.0 { "(1.0 / 0.0)" } else { "(-1.0 / 0.0)" }),
        v => put(out, format_args!("{v:?}")),
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Lines must not break where some reader of lines sees one.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                put(out, format_args!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Memgraph's enums travel as maps; their text is `Name::Value`.
fn enumeration(map: &Map) -> Option<&str> {
    let is_enum = map.len() == 2 && map.get("__type").and_then(PackValue::as_str) == Some("mg_enum");
    let value = map.get("__value").and_then(PackValue::as_str).filter(|_| is_enum)?;
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
    value.split_once("::").filter(|(a, b)| is_name(a) && is_name(b)).map(|_| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mgbolt::{Duration, Point};

    fn text(value: impl Into<PackValue>) -> String {
        let mut out = String::new();
        write(&mut out, &value.into()).unwrap();
        out
    }

    #[test]
    fn plain_values() {
        assert_eq!(text(PackValue::Null), "null");
        assert_eq!(text(vec![PackValue::from(true), 1i64.into(), 1.0.into()]), "[true, 1, 1.0]");
        assert_eq!(text(i64::MIN), "(-9223372036854775807 - 1)");
        assert_eq!(text(f64::NAN), "(0.0 / 0.0)");
        assert_eq!(text(f64::NEG_INFINITY), "(-1.0 / 0.0)");
        assert_eq!(text(-0.0), "-0.0");
        assert_eq!(text(1e300), "1e300");
    }

    #[test]
    fn text_never_breaks_a_line_or_ends_its_quotes() {
        assert_eq!(text("a\"b\\c\nd\u{0}\u{2028}é;`"), r#""a\"b\\c\nd\u0000\u2028é;`""#);
        assert_eq!(text(Map::new().with("a`b", "x")), "{`a``b`: \"x\"}");
    }

    #[test]
    fn times_points_and_enums() {
        assert_eq!(text(PackValue::Date(19_782)), "date(\"2024-02-29\")");
        let zoned =
            DateTime::Zoned { utc_seconds: 5, nanos: 7, offset_seconds: None, zone: "Europe/Berlin".into() };
        assert_eq!(
            text(PackValue::DateTime(Box::new(zoned))),
            "datetime({epochSeconds: 5, nanosecond: 7, timezone: \"Europe/Berlin\"})"
        );
        let length = |months, days, seconds, nanos| {
            text(PackValue::Duration(Box::new(Duration { months, days, seconds, nanos })))
        };
        assert_eq!(length(0, 0, 0, 0), "duration(\"PT0S\")");
        assert_eq!(length(1, -2, -1, 500_000_000), "duration(\"P1M-2DT-0.500000000S\")");
        let point = Point { srid: 9757, x: 1.5, y: f64::INFINITY, z: Some(-0.5) };
        assert_eq!(
            text(PackValue::Point(Box::new(point))),
            "point({srid: 9757, x: 1.5, y: (1.0 / 0.0), z: -0.5})"
        );
        let enumeration = Map::new().with("__type", "mg_enum").with("__value", "Status::Good");
        assert_eq!(text(enumeration), "Status::Good");
        let forged = Map::new().with("__type", "mg_enum").with("__value", "x}) DETACH DELETE n //::y");
        assert!(text(forged).starts_with("{`__type`: "));
    }

    #[test]
    fn what_servers_may_read_otherwise_is_no_parameter() {
        let list = |item: PackValue| PackValue::List(vec![item]);
        let time = |nanos| PackValue::LocalTime(nanos);
        let at = |seconds, nanos| PackValue::LocalDateTime(mgbolt::LocalDateTime { seconds, nanos });
        let same = [
            PackValue::Null,
            f64::NAN.into(),
            list("x".into()),
            Map::new().with("a", list(1i64.into())).into(),
            PackValue::Date(0),
            time(1_000),
            at(-62_135_596_800, 0),
            at(3_600, 1_000),
        ];
        for value in same {
            assert!(is_same_as_parameter(&value), "{value:?}");
        }
        let enumeration = Map::new().with("__type", "mg_enum").with("__value", "Status::Good");
        let moment = DateTime::Offset { utc_seconds: 0, nanos: 0, offset_seconds: 0 };
        let deep = (0..100).fold(PackValue::Null, |inner, _| list(inner));
        let other = [
            list(enumeration.into()),
            PackValue::Date(2_932_897),
            time(1_001),
            at(-62_135_596_801, 0),
            at(-1, 0),
            at(-86_400, 1_000),
            at(0, 1),
            PackValue::DateTime(Box::new(moment)),
            PackValue::Bytes(vec![1]),
            deep,
        ];
        for value in other {
            assert!(!is_same_as_parameter(&value), "{value:?}");
        }
    }

    #[test]
    fn bytes_have_no_text() {
        let mut out = String::new();
        assert_eq!(write(&mut out, &PackValue::Bytes(vec![1])), Err(Unwritable("bytes")));
    }
}
