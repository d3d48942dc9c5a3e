//! Aggregates: state that takes values one by one and ends in one.

use crate::ast::{AggregateFunction, ArithmeticOp};
use crate::error::CypherError;
use crate::executor::Runtime;
use crate::fail;
use crate::temporal;
use crate::value::{Key, add, memory, orderable, type_name};
use mgnode_core::types::Value;
use rustc_hash::FxHashSet;
use std::cmp::Ordering;
use std::sync::Arc;

/// One aggregate of one group.
pub struct Accumulator {
    /// Values already seen, where `DISTINCT` was written.
    seen: Option<Box<Seen>>,
    state: State,
}

#[derive(Default)]
struct Seen {
    values: FxHashSet<Key>,
    /// Those of them that are integers and were met as such: most repeat, and are found here without a copy.
    numbers: FxHashSet<i64>,
}

enum State {
    Count(i64),
    Sum(Value),
    Avg {
        count: i64,
        sum: f64,
        /// Their sum, where the values are durations.
        durations: Option<Value>,
    },
    Min(Value),
    Max(Value),
    Collect(Vec<Value>),
    /// Welford's running mean and sum of squared distances.
    Deviation {
        count: i64,
        mean: f64,
        squares: f64,
        of_population: bool,
    },
    Percentile {
        values: Vec<Value>,
        at: f64,
        continuous: bool,
    },
}

impl Accumulator {
    /// Begins an aggregate over no values.
    pub fn new(function: AggregateFunction, distinct: bool) -> Accumulator {
        use AggregateFunction as F;
        Accumulator {
            seen: distinct.then(Box::default),
            state: match function {
                F::CountStar | F::Count => State::Count(0),
                F::Sum => State::Sum(Value::Int(0)),
                F::Avg => State::Avg { count: 0, sum: 0.0, durations: None },
                F::Min => State::Min(Value::Null),
                F::Max => State::Max(Value::Null),
                F::Collect => State::Collect(Vec::new()),
                F::StDev | F::StDevP => State::Deviation {
                    count: 0,
                    mean: 0.0,
                    squares: 0.0,
                    of_population: function == F::StDevP,
                },
                F::PercentileCont | F::PercentileDisc => State::Percentile {
                    values: Vec::new(),
                    at: 0.0,
                    continuous: function == F::PercentileCont,
                },
            },
        }
    }

    /// Counts rows, for `count(*)`.
    #[inline]
    pub fn rows(&mut self, count: i64) {
        if let State::Count(n) = &mut self.state {
            *n += count;
        }
    }

    /// Whether it counts every value but Null.
    pub fn is_count(&self) -> bool {
        self.seen.is_none() && matches!(self.state, State::Count(_))
    }

    /// Takes a value that stands in the row, without a copy where that will do.
    #[inline(always)]
    pub fn see(&mut self, v: &Value, run: &mut Runtime) -> Result<(), CypherError> {
        if self.seen.is_none() {
            match (&mut self.state, v) {
                (_, Value::Null) => return Ok(()),
                (State::Count(n), _) => {
                    *n += 1;
                    return Ok(());
                }
                (State::Min(Value::Int(least)), Value::Int(i)) => {
                    *least = (*least).min(*i);
                    return Ok(());
                }
                (State::Max(Value::Int(most)), Value::Int(i)) => {
                    *most = (*most).max(*i);
                    return Ok(());
                }
                (State::Avg { count, sum, durations: None }, Value::Int(i)) => {
                    *count += 1;
                    *sum += *i as f64;
                    return Ok(());
                }
                _ => {}
            }
        }
        if let (Some(seen), Value::Int(number)) = (&self.seen, v)
            && seen.numbers.contains(number)
        {
            return Ok(());
        }
        self.take(v.clone(), None, run)
    }

    /// Takes a value; `second` is the percentile's place. Null is passed over.
    pub fn take(&mut self, v: Value, second: Option<Value>, run: &mut Runtime) -> Result<(), CypherError> {
        if let (State::Percentile { at, .. }, Some(place)) = (&mut self.state, second) {
            *at = match place {
                Value::Int(i) => i as f64,
                Value::Float(f) => f,
                Value::Null => 0.0,
                other => {
                    return Err(fail::types(format!("a percentile is a number, not {}", type_name(&other))));
                }
            };
            if !(0.0..=1.0).contains(at) {
                return Err(fail::argument(
                    "NumberOutOfRange",
                    format!("a percentile lies within 0.0 and 1.0, not {at}"),
                ));
            }
        }
        if v.is_null() {
            return Ok(());
        }
        if let Some(seen) = &mut self.seen {
            let bytes = memory(&v);
            if let Value::Int(number) = v {
                if !seen.numbers.insert(number) {
                    return Ok(());
                }
                run.hold(size_of::<i64>())?;
            }
            if !seen.values.insert(Key(Box::new([v.clone()]))) {
                return Ok(());
            }
            run.hold(bytes + 16)?;
        }
        match &mut self.state {
            State::Count(n) => *n += 1,
            State::Sum(sum) => {
                if !matches!(v, Value::Int(_) | Value::Float(_) | Value::Duration(_)) {
                    return Err(fail::types(format!("`sum()` takes numbers, not {}", type_name(&v))));
                }
                let so_far = std::mem::take(sum);
                *sum = match (&so_far, &v) {
                    (Value::Int(0), Value::Duration(_)) => v,
                    (Value::Duration(_), _) => add_duration(&so_far, &v)?,
                    _ => add(so_far, v)?,
                };
            }
            State::Avg { count, sum, durations } => {
                *count += 1;
                match (&*durations, &v) {
                    (None, Value::Int(i)) => *sum += *i as f64,
                    (None, Value::Float(f)) => *sum += f,
                    (None, Value::Duration(_)) if *count == 1 => *durations = Some(v),
                    (Some(so_far), Value::Duration(_)) => *durations = Some(add_duration(so_far, &v)?),
                    (so_far, _) => {
                        let kind = match so_far {
                            None if *count == 1 => "numbers or durations",
                            None => "only numbers here",
                            Some(_) => "only durations here",
                        };
                        return Err(fail::types(format!("`avg()` takes {kind}, not {}", type_name(&v))));
                    }
                }
            }
            State::Min(least) => {
                if least.is_null() || orderable(&v, least) == Ordering::Less {
                    *least = v;
                }
            }
            State::Max(most) => {
                if most.is_null() || orderable(&v, most) == Ordering::Greater {
                    *most = v;
                }
            }
            State::Collect(items) => {
                run.hold(memory(&v))?;
                items.push(v);
            }
            State::Deviation { count, mean, squares, .. } => {
                let x = match v {
                    Value::Int(i) => i as f64,
                    Value::Float(f) => f,
                    other => {
                        return Err(fail::types(format!(
                            "`stDev()` takes numbers, not {}",
                            type_name(&other)
                        )));
                    }
                };
                *count += 1;
                let before = x - *mean;
                *mean += before / *count as f64;
                *squares += before * (x - *mean);
            }
            State::Percentile { values, .. } => {
                if !matches!(v, Value::Int(_) | Value::Float(_)) {
                    return Err(fail::types(format!(
                        "a percentile is taken of numbers, not of {}",
                        type_name(&v)
                    )));
                }
                run.hold(size_of::<Value>())?;
                values.push(v);
            }
        }
        Ok(())
    }

    /// Ends the aggregate.
    pub fn finish(self) -> Value {
        match self.state {
            State::Count(n) => Value::Int(n),
            State::Sum(v) | State::Min(v) | State::Max(v) => v,
            State::Avg { count: 0, .. } => Value::Null,
            State::Avg { count: 1, durations: Some(only), .. } => only,
            State::Avg { count, durations: Some(sum), .. } => {
                temporal::arithmetic(ArithmeticOp::Divide, &sum, &Value::Int(count))
                    .and_then(Result::ok)
                    .expect("half of a duration, or less, is one")
            }
            State::Avg { count, sum, .. } => Value::Float(sum / count as f64),
            State::Collect(items) => Value::List(Arc::new(items)),
            State::Deviation { count, squares, of_population, .. } => {
                let n = if of_population { count } else { count - 1 };
                Value::Float(if n <= 0 { 0.0 } else { (squares / n as f64).sqrt() })
            }
            State::Percentile { mut values, at, continuous } => {
                values.sort_by(orderable);
                percentile(&values, at, continuous)
            }
        }
    }
}

fn add_duration(a: &Value, b: &Value) -> Result<Value, CypherError> {
    temporal::arithmetic(ArithmeticOp::Add, a, b).unwrap_or_else(|| {
        Err(fail::types(format!("`sum()` takes only durations here, not {}", type_name(b))))
    })
}

fn percentile(sorted: &[Value], at: f64, continuous: bool) -> Value {
    let Some(last) = sorted.len().checked_sub(1) else { return Value::Null };
    if !continuous {
        let place = (at * sorted.len() as f64).ceil() as usize;
        return sorted[place.saturating_sub(1).min(last)].clone();
    }
    let number = |v: &Value| match v {
        Value::Int(i) => *i as f64,
        Value::Float(f) => *f,
        _ => f64::NAN,
    };
    let place = at * last as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(last);
    let (a, b) = (number(&sorted[low]), number(&sorted[high]));
    Value::Float(a + (b - a) * (place - low as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(function: AggregateFunction, distinct: bool, values: &[Value], second: Option<f64>) -> Value {
        let mut runtime = Runtime::for_tests();
        let mut a = Accumulator::new(function, distinct);
        for v in values {
            a.take(v.clone(), second.map(Value::Float), &mut runtime).unwrap();
        }
        a.finish()
    }

    #[test]
    fn aggregates_over_nothing() {
        use AggregateFunction as F;
        assert_eq!(run(F::Count, false, &[Value::Null], None), Value::Int(0));
        assert_eq!(run(F::Sum, false, &[], None), Value::Int(0));
        assert_eq!(run(F::Avg, false, &[], None), Value::Null);
        assert_eq!(run(F::Min, false, &[], None), Value::Null);
        assert_eq!(run(F::Collect, false, &[Value::Null], None), Value::list(vec![]));
        assert_eq!(run(F::PercentileCont, false, &[], Some(0.5)), Value::Null);
    }

    #[test]
    fn aggregates_over_numbers() {
        use AggregateFunction as F;
        let v: Vec<Value> = [1, 2, 2, 3].into_iter().map(Value::Int).collect();
        assert_eq!(run(F::Sum, false, &v, None), Value::Int(8));
        assert_eq!(run(F::Sum, true, &v, None), Value::Int(6));
        assert_eq!(run(F::Avg, false, &v, None), Value::Float(2.0));
        assert_eq!(run(F::Count, true, &v, None), Value::Int(3));
        assert_eq!(run(F::PercentileDisc, false, &v, Some(0.5)), Value::Int(2));
        assert_eq!(run(F::PercentileCont, false, &v, Some(1.0)), Value::Float(3.0));
        assert_eq!(run(F::StDevP, false, &[Value::Int(1), Value::Int(3)], None), Value::Float(1.0));
    }
}
