//! Times and sizes as people write them.

use std::time::Duration;

/// Reads a time with a unit, as `500ms`, `30s`, `2m`, `1h` or `1m30s`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(number)?)?;
        rest = &rest[end..];
    }
    Some(total)
}

/// Writes a time as [`parse_duration`] reads it.
pub fn show_duration(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        _ if !millis.is_multiple_of(1000) => format!("{millis}ms"),
        0 => "0s".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ => format!("{}s", millis / 1000),
    }
}

/// Reads a size with or without a unit, as `1073741824`, `512m`, `512MiB`, `1g` or `1.5GiB`. As in Docker, every
/// unit is a power of 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    decimal(number, 1 << shift)
}

/// Writes a size as the file may give it, in the largest unit that keeps it whole: `1536MiB`.
pub fn show_size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.iter().find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| bytes.to_string(), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// Reads a decimal number times `scale`, without the rounding of floating point.
pub(super) fn decimal(text: &str, scale: u64) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |t: &str| !t.is_empty() && t.len() <= 19 && t.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 9 {
        return None;
    }
    let fraction = u128::from(part.parse::<u64>().ok()?) * u128::from(scale) / 10u128.pow(part.len() as u32);
    let value = u128::from(whole.parse::<u64>().ok()?) * u128::from(scale) + fraction;
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let good = [("30s", 30_000), ("2m", 120_000), ("1m30s", 90_000), ("500ms", 500), ("1h", 3_600_000)];
        for (text, millis) in good {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "1d", "-1s", "1.5s", "99999999999s", "1s 2"] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in ["30s", "2m", "90s", "500ms", "1h", "0s"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_have_units_of_1024() {
        let good =
            [("512MiB", 512 << 20), ("1g", 1 << 30), ("1.5GiB", 3 << 29), ("1024", 1024), ("1kb", 1024)];
        for (text, bytes) in good {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "g", "1gb ", "1x", "-1g", "1..5g", "99999999999999999999", "18446744073709551615g"] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
        for text in ["512MiB", "1GiB", "1536MiB", "1KiB", "1000"] {
            assert_eq!(show_size(parse_size(text).unwrap()), text);
        }
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(decimal("1.5", 1_000_000_000), Some(1_500_000_000));
        assert_eq!(decimal("0.1", 1_000_000_000), Some(100_000_000));
        assert_eq!(decimal("4", 1_000_000_000), Some(4_000_000_000));
        for text in ["", ".", "1.", ".5", "1e3", "-1", "1.0000000001"] {
            assert_eq!(decimal(text, 1_000_000_000), None, "{text:?}");
        }
    }
}
