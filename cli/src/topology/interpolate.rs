//! Variables of the environment in values, as in Compose: `${V}`, `${V:-default}`, `${V-default}`, `${V:?text}`,
//! `${V?text}`, `${V:+instead}`, and `$$` for a dollar sign. With the colon, an empty variable counts as unset. Any
//! other dollar sign stands for itself.

/// Why a variable could not be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InterpolationError {
    /// `${V}` without a value.
    Unset(String),
    /// `${V:?text}` without a value.
    Required { name: String, text: String },
    /// No closing brace.
    Open,
    /// Not a name of a variable, or an operator that does not exist.
    Malformed(String),
}

/// Puts the variables in. Values are not looked at again: a dollar sign in a variable is just that.
pub(super) fn interpolate(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<String, InterpolationError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = after.find('}').ok_or(InterpolationError::Open)?;
            out.push_str(&expand(&after[..end], variable)?);
            rest = &after[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn expand(inside: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, InterpolationError> {
    let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
    let (name, operator) = inside.split_at(end);
    let malformed = || InterpolationError::Malformed(inside.to_owned());
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || operator.contains("${") {
        return Err(malformed());
    }
    let value = variable(name);
    let filled = value.clone().filter(|value| !value.is_empty());
    let required = |text: &str| InterpolationError::Required { name: name.to_owned(), text: text.to_owned() };
    if operator.is_empty() {
        return value.ok_or_else(|| InterpolationError::Unset(name.to_owned()));
    }
    if let Some(default) = operator.strip_prefix(":-") {
        return Ok(filled.unwrap_or_else(|| default.to_owned()));
    }
    if let Some(default) = operator.strip_prefix('-') {
        return Ok(value.unwrap_or_else(|| default.to_owned()));
    }
    if let Some(text) = operator.strip_prefix(":?") {
        return filled.ok_or_else(|| required(text));
    }
    if let Some(text) = operator.strip_prefix('?') {
        return value.ok_or_else(|| required(text));
    }
    if let Some(instead) = operator.strip_prefix(":+") {
        return Ok(filled.map(|_| instead.to_owned()).unwrap_or_default());
    }
    Err(malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<String, InterpolationError> {
        interpolate(text, &|name| match name {
            "SET" => Some("value".into()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("${SET}".into()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_put_in() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a ${SET} b ${SET}", "a value b value"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}${EMPTY-d}", "d"),
            ("${NONE:-d e}${NONE-}", "d e"),
            ("${SET:+yes}${NONE:+no}", "yes"),
            ("${SET:?text}", "value"),
            ("$$ $x $", "$ $x $"),
            ("$${SET}", "${SET}"),
            ("${DOLLAR}", "${SET}"),
            ("ü${SET}ü", "üvalueü"),
        ] {
            assert_eq!(with(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_put_in_says_why() {
        use InterpolationError::*;
        assert_eq!(with("${NONE}"), Err(Unset("NONE".into())));
        assert_eq!(with("${EMPTY:?set it}"), Err(Required { name: "EMPTY".into(), text: "set it".into() }));
        assert_eq!(with("${SET"), Err(Open));
        for text in ["${}", "${1A}", "${A B}", "${A:}", "${A:-${B}}", "${A/B}"] {
            assert!(matches!(with(text), Err(Malformed(_))), "{text}");
        }
    }
}
