//! Scalar functions: a table from name to code.
//!
//! A function gets its evaluated arguments and may look at the graph. Where its row in the table says
//! `strict`, a Null among the arguments gives Null without a call. Aggregates live in [`aggregate`].

pub mod aggregate;
mod convert;
pub(crate) mod graph;
pub(crate) mod list;
mod math;
mod string;

use crate::error::{CypherError, did_you_mean};
use crate::executor::Runtime;
use crate::temporal::functions as temporal;
use mgnode_core::storage::Transaction;
use mgnode_core::types::Value;

/// What a function may use besides its arguments.
pub struct Scope<'a> {
    pub tx: &'a Transaction,
    pub run: &'a mut Runtime,
}

/// The code of a function. It may take its arguments apart.
pub type Code = fn(&mut Scope<'_>, &mut [Value]) -> Result<Value, CypherError>;

/// A function that queries can call.
pub struct Function {
    /// As manuals write it; lookups ignore case.
    pub name: &'static str,
    pub args_min: usize,
    pub args_max: usize,
    /// Null in, Null out, without a call.
    pub strict: bool,
    /// The same arguments give the same result, without the graph, the clock or dice.
    pub pure: bool,
    pub code: Code,
}

impl Function {
    /// Whether it is `range()`, whose list need not be there at once.
    pub(crate) fn is_range(&self) -> bool {
        self.name == "range"
    }
}

const ANY: usize = usize::MAX;

const fn pure(name: &'static str, args_min: usize, args_max: usize, code: Code) -> Function {
    Function { name, args_min, args_max, strict: true, pure: true, code }
}

const fn lax(name: &'static str, args_min: usize, args_max: usize, code: Code) -> Function {
    Function { name, args_min, args_max, strict: false, pure: true, code }
}

const fn reads(name: &'static str, args_min: usize, args_max: usize, code: Code) -> Function {
    Function { name, args_min, args_max, strict: true, pure: false, code }
}

static TABLE: &[Function] = &[
    // Graph.
    reads("id", 1, 1, graph::id),
    reads("elementId", 1, 1, graph::element_id),
    reads("labels", 1, 1, graph::labels),
    reads("type", 1, 1, graph::edge_type),
    reads("properties", 1, 1, graph::properties),
    reads("keys", 1, 1, graph::keys),
    reads("startNode", 1, 1, graph::start_node),
    reads("endNode", 1, 1, graph::end_node),
    reads("degree", 1, 1, graph::degree),
    reads("inDegree", 1, 1, graph::in_degree),
    reads("outDegree", 1, 1, graph::out_degree),
    reads("nodes", 1, 1, graph::nodes),
    reads("relationships", 1, 1, graph::relationships),
    reads("rels", 1, 1, graph::relationships),
    reads("length", 1, 1, graph::length),
    // Lists.
    pure("size", 1, 1, list::size),
    pure("head", 1, 1, list::head),
    pure("last", 1, 1, list::last),
    pure("tail", 1, 1, list::tail),
    pure("range", 2, 3, list::range),
    pure("reverse", 1, 1, list::reverse),
    pure("isEmpty", 1, 1, list::is_empty),
    pure("uniformSample", 2, 2, list::first_n),
    pure("toSet", 1, 1, list::to_set),
    lax("coalesce", 1, ANY, list::coalesce),
    lax("exists", 1, 1, list::exists),
    lax("nullIf", 2, 2, list::null_if),
    // Conversions.
    pure("toInteger", 1, 1, convert::to_integer),
    pure("toInt", 1, 1, convert::to_integer),
    pure("toFloat", 1, 1, convert::to_float),
    pure("toBoolean", 1, 1, convert::to_boolean),
    pure("toString", 1, 1, convert::to_string),
    pure("toIntegerOrNull", 1, 1, convert::to_integer_or_null),
    pure("toFloatOrNull", 1, 1, convert::to_float_or_null),
    pure("toBooleanOrNull", 1, 1, convert::to_boolean_or_null),
    pure("toStringOrNull", 1, 1, convert::to_string_or_null),
    pure("toIntegerList", 1, 1, convert::to_integer_list),
    pure("toFloatList", 1, 1, convert::to_float_list),
    pure("toBooleanList", 1, 1, convert::to_boolean_list),
    pure("toStringList", 1, 1, convert::to_string_list),
    lax("valueType", 1, 1, convert::value_type),
    // Clock and dice.
    reads("timestamp", 0, 0, convert::timestamp),
    reads("randomUUID", 0, 0, convert::random_uuid),
    reads("rand", 0, 0, convert::rand),
    // Strings.
    pure("split", 2, 2, string::split),
    pure("replace", 3, 3, string::replace),
    pure("substring", 2, 3, string::substring),
    pure("left", 2, 2, string::left),
    pure("right", 2, 2, string::right),
    pure("trim", 1, 1, string::trim),
    pure("bTrim", 1, 2, string::trim),
    pure("lTrim", 1, 2, string::ltrim),
    pure("rTrim", 1, 2, string::rtrim),
    pure("toUpper", 1, 1, string::to_upper),
    pure("upper", 1, 1, string::to_upper),
    pure("toLower", 1, 1, string::to_lower),
    pure("lower", 1, 1, string::to_lower),
    pure("char_length", 1, 1, string::char_length),
    pure("character_length", 1, 1, string::char_length),
    pure("startsWith", 2, 2, string::starts_with),
    pure("endsWith", 2, 2, string::ends_with),
    pure("contains", 2, 2, string::contains),
    // Numbers.
    pure("abs", 1, 1, math::abs),
    pure("sign", 1, 1, math::sign),
    pure("ceil", 1, 1, math::ceil),
    pure("ceiling", 1, 1, math::ceil),
    pure("floor", 1, 1, math::floor),
    pure("round", 1, 3, math::round),
    pure("sqrt", 1, 1, math::sqrt),
    pure("exp", 1, 1, math::exp),
    pure("log", 1, 1, math::log),
    pure("log10", 1, 1, math::log10),
    pure("log2", 1, 1, math::log2),
    pure("sin", 1, 1, math::sin),
    pure("cos", 1, 1, math::cos),
    pure("tan", 1, 1, math::tan),
    pure("cot", 1, 1, math::cot),
    pure("asin", 1, 1, math::asin),
    pure("acos", 1, 1, math::acos),
    pure("atan", 1, 1, math::atan),
    pure("atan2", 2, 2, math::atan2),
    pure("sinh", 1, 1, math::sinh),
    pure("cosh", 1, 1, math::cosh),
    pure("tanh", 1, 1, math::tanh),
    pure("degrees", 1, 1, math::degrees),
    pure("radians", 1, 1, math::radians),
    pure("haversin", 1, 1, math::haversin),
    pure("isNaN", 1, 1, math::is_nan),
    pure("pi", 0, 0, math::pi),
    pure("e", 0, 0, math::e),
    // Dates, times, durations.
    reads("date", 0, 1, temporal::date),
    reads("date.transaction", 0, 1, temporal::date_now),
    reads("date.statement", 0, 1, temporal::date_now),
    reads("date.realtime", 0, 1, temporal::date_now),
    pure("date.truncate", 2, 3, temporal::date_truncate),
    reads("localtime", 0, 1, temporal::local_time),
    reads("localtime.transaction", 0, 1, temporal::local_time_now),
    reads("localtime.statement", 0, 1, temporal::local_time_now),
    reads("localtime.realtime", 0, 1, temporal::local_time_now),
    pure("localtime.truncate", 2, 3, temporal::local_time_truncate),
    reads("time", 0, 1, temporal::time),
    reads("time.transaction", 0, 1, temporal::time_now),
    reads("time.statement", 0, 1, temporal::time_now),
    reads("time.realtime", 0, 1, temporal::time_now),
    pure("time.truncate", 2, 3, temporal::time_truncate),
    reads("localdatetime", 0, 1, temporal::local_date_time),
    reads("localdatetime.transaction", 0, 1, temporal::local_date_time_now),
    reads("localdatetime.statement", 0, 1, temporal::local_date_time_now),
    reads("localdatetime.realtime", 0, 1, temporal::local_date_time_now),
    pure("localdatetime.truncate", 2, 3, temporal::local_date_time_truncate),
    reads("datetime", 0, 1, temporal::date_time),
    reads("datetime.transaction", 0, 1, temporal::date_time_now),
    reads("datetime.statement", 0, 1, temporal::date_time_now),
    reads("datetime.realtime", 0, 1, temporal::date_time_now),
    pure("datetime.truncate", 2, 3, temporal::date_time_truncate),
    pure("datetime.fromEpoch", 2, 2, temporal::from_epoch),
    pure("datetime.fromEpochMillis", 1, 1, temporal::from_epoch_millis),
    pure("duration", 1, 1, temporal::make_duration),
    pure("duration.between", 2, 2, temporal::between),
    pure("duration.inMonths", 2, 2, temporal::in_months),
    pure("duration.inDays", 2, 2, temporal::in_days),
    pure("duration.inSeconds", 2, 2, temporal::in_seconds),
    pure("point", 1, 1, math::point),
    pure("point.distance", 2, 2, math::distance),
    pure("distance", 2, 2, math::distance),
];

/// Returns the function of that name, whatever its case.
pub fn by_name(name: &str) -> Option<&'static Function> {
    TABLE.iter().find(|f| f.name.eq_ignore_ascii_case(name))
}

/// Returns the function whose name was most likely meant.
pub fn similar(name: &str) -> Option<&'static str> {
    did_you_mean(name, TABLE.iter().map(|f| f.name))
}

/// Returns the names of all functions, as manuals write them.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|f| f.name)
}

/// Says that a function does not take this value.
fn refuse(function: &str, v: &Value) -> CypherError {
    crate::fail::types(format!("`{function}()` does not take {}", crate::value::type_name(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_whatever_their_case() {
        let mut seen = std::collections::BTreeSet::new();
        for f in TABLE {
            assert!(seen.insert(f.name.to_lowercase()), "{}", f.name);
            assert!(f.args_min <= f.args_max);
        }
        assert!(by_name("toInteger").is_some());
        assert_eq!(similar("toIntegr"), Some("toInteger"));
    }
}
