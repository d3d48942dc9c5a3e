//! Values as text.

use mgnode_core::types::Value;
use std::fmt::Write;

/// Writes a float so that it reads back as a float: `1.0`, `-0.5`, `1.0E20`, `NaN`, `Infinity`.
pub fn float_text(f: f64) -> String {
    if f.is_nan() {
        return "NaN".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    if f != 0.0 && (f.abs() >= 1e7 || f.abs() < 1e-3) {
        let s = format!("{f:E}");
        return match s.split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
            _ => s,
        };
    }
    format!("{f:?}")
}

/// Writes a value as a Cypher literal, as plans and messages show it.
pub fn write_literal(v: &Value, out: &mut String) {
    match v {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => {
            // Writing to a String cannot fail.
            let _ = write!(out, "{i}");
        }
        Value::Float(f) => out.push_str(&float_text(*f)),
        Value::String(s) => {
            out.push('\'');
            for c in s.chars() {
                if c == '\'' || c == '\\' {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('\'');
        }
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_literal(item, out);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, (k, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                out.push_str(k);
                out.push_str(": ");
                write_literal(item, out);
            }
            out.push('}');
        }
        other => {
            let _ = write!(out, "<{}>", super::type_name(other));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_read_back_as_floats() {
        for (f, text) in [(1.0, "1.0"), (-0.5, "-0.5"), (1e20, "1.0E20"), (1.5e-9, "1.5E-9"), (0.0, "0.0")] {
            assert_eq!(float_text(f), text);
            assert_eq!(float_text(f).parse::<f64>().unwrap(), f);
        }
    }

    #[test]
    fn literals_escape_quotes() {
        let mut s = String::new();
        write_literal(&Value::list(vec![Value::string("it's"), Value::Null]), &mut s);
        assert_eq!(s, "['it\\'s', null]");
    }
}
