//! Values for people and for scripts.

use mgbolt::{DateTime, Map, Node, PackValue, Path};
use serde_json::{Map as JsonMap, Value as Json, json};
use std::fmt::Write;

/// Turns JSON, as given on a command line, into a value. Whole numbers stay integers.
pub fn from_json(json: Json) -> PackValue {
    match json {
        Json::Null => PackValue::Null,
        Json::Bool(v) => PackValue::Bool(v),
        Json::Number(v) => match v.as_i64() {
            Some(v) => PackValue::Int(v),
            None => PackValue::Float(v.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(v) => PackValue::String(v),
        Json::Array(items) => PackValue::List(items.into_iter().map(from_json).collect()),
        Json::Object(pairs) => PackValue::Map(pairs.into_iter().map(|(k, v)| (k, from_json(v))).collect()),
    }
}

/// Turns a value into JSON. Dates and times become their ISO text, bytes become hexadecimal, and a
/// float that JSON has no number for becomes a string.
pub fn to_json(value: &PackValue) -> Json {
    match value {
        PackValue::Null => Json::Null,
        PackValue::Bool(v) => json!(v),
        PackValue::Int(v) => json!(v),
        PackValue::Float(v) if v.is_finite() => json!(v),
        PackValue::String(v) => json!(v),
        PackValue::List(items) => Json::Array(items.iter().map(to_json).collect()),
        PackValue::Map(map) => Json::Object(map_to_json(map)),
        PackValue::Node(v) => node_to_json(v),
        PackValue::Relationship(v) => json!({
            "id": v.id, "start": v.start, "end": v.end, "type": v.kind, "properties": map_to_json(&v.properties),
        }),
        PackValue::UnboundRelationship(v) => {
            json!({ "id": v.id, "type": v.kind, "properties": map_to_json(&v.properties) })
        }
        PackValue::Path(v) => {
            let mut nodes = vec![node_to_json(&v.nodes[0])];
            let mut relationships = Vec::new();
            for step in steps(v) {
                let (start, end) = if step.forward { (step.from, step.to) } else { (step.to, step.from) };
                relationships.push(json!({
                    "id": step.relationship.id,
                    "start": start.id,
                    "end": end.id,
                    "type": step.relationship.kind,
                    "properties": map_to_json(&step.relationship.properties),
                }));
                nodes.push(node_to_json(step.to));
            }
            json!({ "nodes": nodes, "relationships": relationships })
        }
        PackValue::Point(v) => {
            let mut point = json!({ "srid": v.srid, "x": to_json(&v.x.into()), "y": to_json(&v.y.into()) });
            if let Some(z) = v.z {
                point["z"] = to_json(&z.into());
            }
            point
        }
        PackValue::Structure(v) => {
            json!({ "tag": v.tag, "fields": v.fields.iter().map(to_json).collect::<Vec<_>>() })
        }
        other => json!(to_text(other)),
    }
}

/// Turns a value into the text of a table's cell: a string stands bare, inside a list or map it is
/// quoted.
pub fn to_text(value: &PackValue) -> String {
    match value {
        PackValue::String(v) => v.clone(),
        other => {
            let mut out = String::new();
            write_text(&mut out, other);
            out
        }
    }
}

fn map_to_json(map: &Map) -> JsonMap<String, Json> {
    map.iter().map(|(k, v)| (k.to_owned(), to_json(v))).collect()
}

fn node_to_json(v: &Node) -> Json {
    json!({ "id": v.id, "labels": v.labels, "properties": map_to_json(&v.properties) })
}

struct Step<'a> {
    from: &'a Node,
    to: &'a Node,
    relationship: &'a mgbolt::UnboundRelationship,
    forward: bool,
}

/// Walks a path. Its numbers were checked when it was decoded.
fn steps(path: &Path) -> impl Iterator<Item = Step<'_>> {
    let mut at = &path.nodes[0];
    path.indices.chunks_exact(2).map(move |pair| {
        let from = at;
        at = &path.nodes[pair[1] as usize];
        let relationship = &path.relationships[pair[0].unsigned_abs() as usize - 1];
        Step { from, to: at, relationship, forward: pair[0] > 0 }
    })
}

fn write_text(out: &mut String, value: &PackValue) {
    match value {
        PackValue::Null => out.push_str("null"),
        PackValue::Bool(v) => put(out, format_args!("{v}")),
        PackValue::Int(v) => put(out, format_args!("{v}")),
        PackValue::Float(v) => put(out, format_args!("{v:?}")),
        PackValue::Bytes(v) => {
            out.push_str("0x");
            v.iter().for_each(|byte| put(out, format_args!("{byte:02x}")));
        }
        PackValue::String(v) => put(out, format_args!("{v:?}")),
        PackValue::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                write_text(out, item);
            }
            out.push(']');
        }
        PackValue::Map(map) => write_map(out, map),
        PackValue::Node(v) => write_node(out, v),
        PackValue::Relationship(v) => write_relationship(out, &v.kind, &v.properties),
        PackValue::UnboundRelationship(v) => write_relationship(out, &v.kind, &v.properties),
        PackValue::Path(v) => {
            write_node(out, &v.nodes[0]);
            for step in steps(v) {
                out.push_str(if step.forward { "-" } else { "<-" });
                write_relationship(out, &step.relationship.kind, &step.relationship.properties);
                out.push_str(if step.forward { "->" } else { "-" });
                write_node(out, step.to);
            }
        }
        PackValue::Date(days) => write_date(out, *days),
        PackValue::LocalTime(nanos) => write_time(out, *nanos),
        PackValue::Time(v) => {
            write_time(out, v.nanos);
            write_offset(out, v.offset_seconds);
        }
        PackValue::LocalDateTime(v) => write_date_time(out, v.seconds, v.nanos),
        PackValue::DateTime(v) => match v.as_ref() {
            DateTime::Offset { utc_seconds, nanos, offset_seconds } => {
                write_date_time(out, utc_seconds.saturating_add(i64::from(*offset_seconds)), *nanos);
                write_offset(out, *offset_seconds);
            }
            DateTime::Zoned { utc_seconds, nanos, zone, .. } => {
                write_date_time(out, *utc_seconds, *nanos);
                put(out, format_args!("Z[{zone}]"));
            }
            DateTime::LocalZoned { local_seconds, nanos, zone } => {
                write_date_time(out, *local_seconds, *nanos);
                put(out, format_args!("[{zone}]"));
            }
        },
        PackValue::Duration(v) => {
            // The parts may differ in sign: -1 s and 500,000,000 ns are half a second back.
            let nanos = i128::from(v.seconds) * 1_000_000_000 + i128::from(v.nanos);
            let sign = if nanos < 0 { "-" } else { "" };
            let (seconds, fraction) =
                (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
            put(out, format_args!("P{}M{}DT{sign}{seconds}", v.months, v.days));
            if fraction != 0 {
                put(out, format_args!(".{fraction:09}"));
            }
            out.push('S');
        }
        PackValue::Point(v) => {
            put(out, format_args!("point({{srid: {}, x: {:?}, y: {:?}", v.srid, v.x, v.y));
            if let Some(z) = v.z {
                put(out, format_args!(", z: {z:?}"));
            }
            out.push_str("})");
        }
        PackValue::Structure(v) => put(out, format_args!("{v}")),
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
}

fn write_map(out: &mut String, map: &Map) {
    out.push('{');
    for (i, (key, value)) in map.iter().enumerate() {
        put(out, format_args!("{}{key}: ", if i > 0 { ", " } else { "" }));
        write_text(out, value);
    }
    out.push('}');
}

fn write_node(out: &mut String, v: &Node) {
    out.push('(');
    v.labels.iter().for_each(|label| put(out, format_args!(":{label}")));
    if !v.properties.is_empty() {
        out.push_str(if v.labels.is_empty() { "" } else { " " });
        write_map(out, &v.properties);
    }
    out.push(')');
}

fn write_relationship(out: &mut String, kind: &str, properties: &Map) {
    put(out, format_args!("[:{kind}"));
    if !properties.is_empty() {
        out.push(' ');
        write_map(out, properties);
    }
    out.push(']');
}

/// Days to year, month and day of the Gregorian calendar, by eras of 400 years from March on.
fn write_date(out: &mut String, days: i64) {
    let days = i128::from(days) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    let sign = if year < 0 { "-" } else { "" };
    put(out, format_args!("{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs()));
}

fn write_time(out: &mut String, nanos: i64) {
    let seconds = nanos.div_euclid(1_000_000_000);
    put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    let fraction = nanos.rem_euclid(1_000_000_000);
    if fraction != 0 {
        put(out, format_args!(".{fraction:09}"));
        out.truncate(out.trim_end_matches('0').len());
    }
}

fn write_date_time(out: &mut String, seconds: i64, nanos: u32) {
    write_date(out, seconds.div_euclid(86_400));
    out.push('T');
    write_time(out, seconds.rem_euclid(86_400) * 1_000_000_000 + i64::from(nanos));
}

fn write_offset(out: &mut String, seconds: i32) {
    if seconds == 0 {
        out.push('Z');
        return;
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    put(out, format_args!("{sign}{:02}:{:02}", minutes / 60, minutes % 60));
}

#[cfg(test)]
mod tests {
    use super::*;
    use mgbolt::{Duration, LocalDateTime, OffsetTime, Point, UnboundRelationship};

    fn node(id: i64, label: &str) -> Node {
        Node { id, labels: vec![label.into()], properties: Map::new(), element_id: id.to_string() }
    }

    fn path() -> PackValue {
        let likes = UnboundRelationship {
            id: 7,
            kind: "LIKES".into(),
            properties: Map::new().with("since", 2020i64),
            element_id: "7".into(),
        };
        PackValue::Path(Box::new(Path {
            nodes: vec![node(1, "A"), node(2, "B")],
            relationships: vec![likes],
            indices: vec![1, 1, -1, 0],
        }))
    }

    #[test]
    fn values_read_like_cypher() {
        let list = PackValue::List(vec!["a\"b".into(), 1i64.into(), 1.0.into(), PackValue::Null]);
        assert_eq!(to_text(&list), r#"["a\"b", 1, 1.0, null]"#);
        assert_eq!(to_text(&"bare".into()), "bare");
        assert_eq!(to_text(&Map::new().with("k", "v").into()), r#"{k: "v"}"#);
        assert_eq!(to_text(&path()), "(:A)-[:LIKES {since: 2020}]->(:B)<-[:LIKES {since: 2020}]-(:A)");
        let point = Point { srid: 4326, x: 1.5, y: 2.0, z: None };
        assert_eq!(to_text(&PackValue::Point(Box::new(point))), "point({srid: 4326, x: 1.5, y: 2.0})");
    }

    #[test]
    fn times_are_iso() {
        assert_eq!(to_text(&PackValue::Date(0)), "1970-01-01");
        assert_eq!(to_text(&PackValue::Date(19_782)), "2024-02-29");
        assert_eq!(to_text(&PackValue::Date(-719_529)), "-0001-12-31");
        assert!(to_text(&PackValue::Date(i64::MAX)).starts_with("252527"));
        assert_eq!(to_text(&PackValue::LocalTime(3_723_500_000_000)), "01:02:03.5");
        let time = OffsetTime { nanos: 0, offset_seconds: -5400 };
        assert_eq!(to_text(&PackValue::Time(time)), "00:00:00-01:30");
        let local = LocalDateTime { seconds: -1, nanos: 1 };
        assert_eq!(to_text(&PackValue::LocalDateTime(local)), "1969-12-31T23:59:59.000000001");
        let moment = DateTime::Offset { utc_seconds: 0, nanos: 0, offset_seconds: 3600 };
        assert_eq!(to_text(&PackValue::DateTime(Box::new(moment))), "1970-01-01T01:00:00+01:00");
        let length = Duration { months: 14, days: 3, seconds: 4, nanos: 5 };
        assert_eq!(to_text(&PackValue::Duration(Box::new(length))), "P14M3DT4.000000005S");
        let back = Duration { months: 0, days: 0, seconds: -1, nanos: 500_000_000 };
        assert_eq!(to_text(&PackValue::Duration(Box::new(back))), "P0M0DT-0.500000000S");
    }

    #[test]
    fn json_keeps_what_it_can() {
        let back = from_json(json!({"a": [1, 2.5, "x", null, true]}));
        assert_eq!(to_json(&back), json!({"a": [1, 2.5, "x", null, true]}));
        assert_eq!(to_json(&f64::NAN.into()), json!("NaN"));
        assert_eq!(to_json(&PackValue::Bytes(vec![0, 255])), json!("0x00ff"));
        let walked = to_json(&path());
        assert_eq!(walked["nodes"][2]["id"], 1);
        assert_eq!(walked["relationships"][1]["start"], 1);
        assert_eq!(walked["relationships"][1]["end"], 2);
    }
}
