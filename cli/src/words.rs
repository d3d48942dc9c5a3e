//! Numbers in words.

use std::fmt::Display;

/// Returns so many of a thing: `1 row`, `2 rows`, `0 vertices`.
pub fn count<N: Display + PartialEq + From<u8>>(n: N, one: &str) -> String {
    format!("{n} {}", things(n == N::from(1), one))
}

fn things(is_one: bool, one: &str) -> String {
    match (is_one, one.strip_suffix("ex"), one.strip_suffix('y')) {
        (true, _, _) => one.to_owned(),
        (false, Some("vert"), _) => "vertices".to_owned(),
        (false, _, Some(stem)) if !stem.ends_with(['a', 'e', 'o']) => format!("{stem}ies"),
        (false, _, _) => format!("{one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn one_is_counted_as_one() {
        assert_eq!([count(1_u64, "row"), count(2_usize, "row")], ["1 row", "2 rows"]);
        assert_eq!([count(1_i64, "vertex"), count(0_u32, "vertex")], ["1 vertex", "0 vertices"]);
        assert_eq!([count(3_u64, "property"), count(2_i64, "day")], ["3 properties", "2 days"]);
    }
}
