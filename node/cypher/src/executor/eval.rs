//! Expressions.

use super::{Machine, Runtime};
use crate::ast::{ArithmeticOp, CompareOp, QuantifierKind, StringOp};
use crate::error::{CypherError, ErrorKind, placed};
use crate::fail;
use crate::functions::{Scope, graph};
use crate::plan::{Expr, KeyName, LabelTest, MapItem, Slot};
use crate::temporal;
use crate::value::{
    add, and, check_nesting, comparable, contains, divide, equal, memory, modulo, multiply, negate, or,
    power, subtract, truth, type_name,
};
use mgnode_core::types::{LabelId, Path, PathStep, Value};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// As many regular expressions are kept ready.
const PATTERNS_MAX: usize = 64;

/// A list that grows, and is accounted for as long as it does.
#[derive(Default)]
struct Growing {
    items: Vec<Value>,
    held: usize,
    /// Not yet accounted for.
    owed: usize,
}

impl Growing {
    /// The account is looked at once for so many bytes.
    const STEP: usize = 16 << 10;

    fn push(&mut self, v: Value, run: &mut Runtime) -> Result<(), CypherError> {
        self.owed += memory(&v);
        self.items.push(v);
        if self.owed >= Growing::STEP {
            run.hold(self.owed)?;
            self.held += std::mem::take(&mut self.owed);
        }
        Ok(())
    }

    /// Whoever keeps the list accounts for it from here on.
    fn finish(self, run: &mut Runtime) -> Value {
        run.release(self.held);
        Value::List(Arc::new(self.items))
    }
}

impl<'a> Machine<'a> {
    /// What functions may look at.
    pub(crate) fn scope(&mut self) -> Scope<'_> {
        Scope { tx: self.tx, run: self.run }
    }

    /// Whether a condition holds; unknown does not.
    pub(crate) fn test(&mut self, e: &'a Expr) -> Result<bool, CypherError> {
        Ok(self.condition(e)? == Some(true))
    }

    /// Evaluates to true, false or unknown; anything but a boolean is an error.
    fn condition(&mut self, e: &'a Expr) -> Result<Option<bool>, CypherError> {
        // The most usual one, without a copy.
        if let Expr::Compare(first, rest) = e
            && let [(op, second)] = &rest[..]
            && let (Some(a), Some(b)) = (self.look(first), self.look(second))
        {
            return Ok(compare(*op, a, b));
        }
        match self.eval(e)? {
            Value::Bool(b) => Ok(Some(b)),
            Value::Null => Ok(None),
            other => Err(fail::types(format!("a condition is a Boolean, not {}", type_name(&other)))),
        }
    }

    /// Returns a value that is there already.
    fn look(&self, e: &'a Expr) -> Option<&Value> {
        match e {
            Expr::Const(v) => Some(v),
            Expr::Param(i) => Some(&self.params[*i]),
            Expr::Slot(s) => Some(&self.row[*s]),
            _ => None,
        }
    }

    /// Evaluates an expression over the registers.
    pub(crate) fn eval(&mut self, e: &'a Expr) -> Result<Value, CypherError> {
        Ok(match e {
            Expr::Const(v) => v.clone(),
            Expr::Param(i) => self.params[*i].clone(),
            Expr::Slot(s) => self.row[*s].clone(),
            Expr::Property(base, key, span) => match &**base {
                // Without a copy of the map or entity.
                Expr::Slot(s) => match &self.row[*s] {
                    Value::Vertex(v) => {
                        let v = *v;
                        let key = key.find(self.tx.names());
                        let found = key.map_or(Value::Null, |k| self.tx.vertex_property(v, k));
                        if found.is_null() {
                            placed(graph::absent_of_vertex(&self.scope(), v, key), *span)?
                        } else {
                            found
                        }
                    }
                    Value::Map(m) => m.get(&key.name).cloned().unwrap_or_default(),
                    other => {
                        let other = other.clone();
                        placed(self.property(&other, key), *span)?
                    }
                },
                base => {
                    let base = self.eval(base)?;
                    placed(self.property(&base, key), *span)?
                }
            },
            Expr::Index(base, index, span) => {
                let base = self.eval(base)?;
                let index = self.eval(index)?;
                placed(self.index(base, index), *span)?
            }
            Expr::Slice(base, from, to, span) => {
                let base = self.eval(base)?;
                let mut ends = [0_i64, 0];
                let mut unknown = false;
                let Value::List(list) = &base else {
                    return match base {
                        Value::Null => Ok(Value::Null),
                        other => {
                            let what = format!("a slice is taken of a list, not of {}", type_name(&other));
                            Err(fail::types(what).at(*span))
                        }
                    };
                };
                let len = list.len() as i64;
                ends[1] = len;
                for (end, expr) in ends.iter_mut().zip([from, to]) {
                    let Some(expr) = expr else { continue };
                    match self.eval(expr)? {
                        Value::Int(i) => *end = if i < 0 { (len + i).max(0) } else { i.min(len) },
                        Value::Null => unknown = true,
                        other => {
                            let what = format!("a slice ends at integers, not at {}", type_name(&other));
                            return Err(fail::types(what).at(*span));
                        }
                    }
                }
                if unknown {
                    return Ok(Value::Null);
                }
                // Both lie within 0 and the length.
                let (from, to) = (ends[0] as usize, ends[1] as usize);
                Value::list(if from < to { &list[from..to] } else { &[] })
            }
            Expr::List(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    let v = self.eval(item)?;
                    if matches!(v, Value::List(_) | Value::Map(_)) {
                        check_nesting(&v)?;
                    }
                    out.push(v);
                }
                Value::List(Arc::new(out))
            }
            Expr::Map(pairs) => {
                let mut map = BTreeMap::new();
                for (key, item) in pairs {
                    let v = self.eval(item)?;
                    check_nesting(&v)?;
                    map.insert(key.clone(), v);
                }
                Value::Map(Arc::new(map))
            }
            Expr::MapProjection(slot, items) => self.map_projection(*slot, items)?,
            Expr::And(items) => {
                let mut answer = Some(true);
                for item in items {
                    answer = and(answer, self.condition(item)?);
                    if answer == Some(false) {
                        break;
                    }
                }
                truth(answer)
            }
            Expr::Or(items) => {
                let mut answer = Some(false);
                for item in items {
                    answer = or(answer, self.condition(item)?);
                    if answer == Some(true) {
                        break;
                    }
                }
                truth(answer)
            }
            Expr::Xor(items) => {
                let mut answer = Some(false);
                for item in items {
                    let b = self.condition(item)?;
                    answer = match (answer, b) {
                        (Some(a), Some(b)) => Some(a != b),
                        _ => None,
                    };
                }
                truth(answer)
            }
            Expr::Not(inner) => truth(self.condition(inner)?.map(|b| !b)),
            Expr::Compare(first, rest) => {
                let mut left = self.eval(first)?;
                let mut answer = Some(true);
                for (op, right) in rest {
                    let right = self.eval(right)?;
                    answer = and(answer, compare(*op, &left, &right));
                    if answer == Some(false) {
                        break;
                    }
                    left = right;
                }
                truth(answer)
            }
            Expr::Arithmetic(first, rest, span) => {
                let mut left = self.eval(first)?;
                for (op, right) in rest {
                    let right = self.eval(right)?;
                    match (&left, &right) {
                        (Value::String(a), Value::String(b)) => self.run.require(a.len() + b.len())?,
                        (Value::List(a), Value::List(b)) => {
                            self.run.require((a.len() + b.len()) * size_of::<Value>())?;
                        }
                        _ => {}
                    }
                    left = placed(arithmetic(*op, left, right), *span)?;
                }
                left
            }
            Expr::Negate(inner) => match self.eval(inner)? {
                Value::Duration(d) => temporal::negate(&d)?,
                v => negate(v)?,
            },
            Expr::Plus(inner) => match self.eval(inner)? {
                v @ (Value::Int(_) | Value::Float(_) | Value::Null | Value::Duration(_)) => v,
                other => return Err(fail::types(format!("`+` does not take {}", type_name(&other)))),
            },
            Expr::In(element, list) => {
                let element = self.eval(element)?;
                match self.eval(list)? {
                    Value::List(list) => truth(contains(&list, &element)),
                    Value::Null => Value::Null,
                    other => {
                        return Err(fail::types(format!("`IN` takes a list, not {}", type_name(&other))));
                    }
                }
            }
            Expr::StringTest(op, left, right) => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                let (Value::String(left), Value::String(right)) = (&left, &right) else {
                    return Ok(Value::Null);
                };
                Value::Bool(match op {
                    StringOp::StartsWith => left.starts_with(&**right),
                    StringOp::EndsWith => left.ends_with(&**right),
                    StringOp::Contains => left.contains(&**right),
                    StringOp::Matches => self.pattern(right)?.is_match(&**left),
                })
            }
            Expr::IsNull(inner, negated) => Value::Bool(self.eval(inner)?.is_null() != *negated),
            Expr::HasLabels(inner, test) => match self.eval(inner)? {
                Value::Null => Value::Null,
                v @ (Value::Vertex(_) | Value::Edge(_)) => Value::Bool(self.has_labels(&v, test)?),
                other => {
                    return Err(fail::types(format!(
                        "labels are tested of a node, not of {}",
                        type_name(&other)
                    )));
                }
            },
            Expr::Call(function, args, span) => {
                let mut values: SmallVec<[Value; 3]> = SmallVec::with_capacity(args.len());
                for arg in args {
                    values.push(self.eval(arg)?);
                }
                if function.strict && values.iter().any(Value::is_null) {
                    return Ok(Value::Null);
                }
                placed((function.code)(&mut self.scope(), &mut values), *span)?
            }
            Expr::Case { subject, branches, default } => {
                let subject = subject.as_ref().map(|s| self.eval(s)).transpose()?;
                for (when, then) in branches {
                    let hit = match &subject {
                        Some(subject) => {
                            let when = self.eval(when)?;
                            equal(subject, &when) == Some(true)
                        }
                        None => self.test(when)?,
                    };
                    if hit {
                        return self.eval(then);
                    }
                }
                return default.as_ref().map_or(Ok(Value::Null), |d| self.eval(d));
            }
            Expr::Comprehension { slot, list, filter, result } => {
                let Some(list) = self.list(list, "a list comprehension")? else { return Ok(Value::Null) };
                let mut out = Growing::default();
                for v in list.iter() {
                    self.run.tick()?;
                    self.row[*slot] = v.clone();
                    if let Some(filter) = filter
                        && !self.test(filter)?
                    {
                        continue;
                    }
                    let v = match result {
                        Some(result) => self.eval(result)?,
                        None => v.clone(),
                    };
                    check_nesting(&v)?;
                    out.push(v, self.run)?;
                }
                out.finish(self.run)
            }
            Expr::Quantifier { kind, slot, list, predicate } => {
                let Some(list) = self.list(list, "a quantifier")? else { return Ok(Value::Null) };
                let (mut yes, mut unknown, mut no) = (0_usize, false, false);
                for v in list.iter() {
                    self.run.tick()?;
                    self.row[*slot] = v.clone();
                    match self.condition(predicate)? {
                        Some(true) => yes += 1,
                        Some(false) => no = true,
                        None => unknown = true,
                    }
                    // What comes after cannot change the answer.
                    let decided = match kind {
                        QuantifierKind::All => no,
                        QuantifierKind::Any | QuantifierKind::None => yes > 0,
                        QuantifierKind::Single => yes > 1,
                    };
                    if decided {
                        break;
                    }
                }
                truth(match kind {
                    QuantifierKind::All if no => Some(false),
                    QuantifierKind::Any if yes > 0 => Some(true),
                    QuantifierKind::None if yes > 0 => Some(false),
                    QuantifierKind::Single if yes > 1 => Some(false),
                    _ if unknown => None,
                    QuantifierKind::All | QuantifierKind::None => Some(true),
                    QuantifierKind::Any => Some(false),
                    QuantifierKind::Single => Some(yes == 1),
                })
            }
            Expr::Reduce { accumulator, initial, slot, list, body } => {
                self.row[*accumulator] = self.eval(initial)?;
                let Some(list) = self.list(list, "`reduce()`")? else { return Ok(Value::Null) };
                for v in list.iter() {
                    self.run.tick()?;
                    self.row[*slot] = v.clone();
                    let v = self.eval_taking(body, *accumulator)?;
                    self.run.require(memory(&v))?;
                    self.row[*accumulator] = v;
                }
                std::mem::take(&mut self.row[*accumulator])
            }
            Expr::Exists(inner) => {
                self.reset(inner);
                let mut held = 0;
                let found = self.next_within(inner, &mut held)?;
                self.leave(inner, held);
                Value::Bool(found)
            }
            Expr::Count(inner) => {
                self.reset(inner);
                let (mut n, mut held) = (0, 0);
                while self.next_within(inner, &mut held)? {
                    self.run.tick()?;
                    n += 1;
                }
                self.leave(inner, held);
                Value::Int(n)
            }
            Expr::Collect(inner, slot) => {
                self.reset(inner);
                let (mut out, mut held) = (Growing::default(), 0);
                while self.next_within(inner, &mut held)? {
                    self.run.tick()?;
                    let v = self.row[*slot].clone();
                    check_nesting(&v)?;
                    out.push(v, self.run)?;
                }
                self.leave(inner, held);
                out.finish(self.run)
            }
            Expr::First(inner, slot) => {
                self.reset(inner);
                let mut held = 0;
                let found = self.next_within(inner, &mut held)?;
                let first = if found { self.row[*slot].clone() } else { Value::Null };
                self.leave(inner, held);
                first
            }
        })
    }

    /// Evaluates `accumulator + x` with the accumulator moved out of its register, so that a list
    /// grows in place; anything else as usual.
    fn eval_taking(&mut self, body: &'a Expr, accumulator: Slot) -> Result<Value, CypherError> {
        if let Expr::Arithmetic(first, rest, span) = body
            && matches!(**first, Expr::Slot(s) if s == accumulator)
            && let [(ArithmeticOp::Add, right @ (Expr::Slot(_) | Expr::Const(_) | Expr::Property(..)))] =
                &rest[..]
            && !matches!(right, Expr::Slot(s) if *s == accumulator)
        {
            let right = self.eval(right)?;
            let left = std::mem::take(&mut self.row[accumulator]);
            return placed(arithmetic(ArithmeticOp::Add, left, right), *span);
        }
        self.eval(body)
    }

    /// Evaluates to a list; None for Null.
    fn list(&mut self, e: &'a Expr, what: &str) -> Result<Option<Arc<Vec<Value>>>, CypherError> {
        match self.eval(e)? {
            Value::List(list) => Ok(Some(list)),
            Value::Null => Ok(None),
            other => Err(fail::types(format!("{what} takes a list, not {}", type_name(&other)))),
        }
    }

    /// Returns a property of anything that has properties.
    fn property(&mut self, base: &Value, key: &KeyName) -> Result<Value, CypherError> {
        Ok(match base {
            Value::Vertex(v) => {
                let key = key.find(self.tx.names());
                let found = key.map_or(Value::Null, |k| self.tx.vertex_property(*v, k));
                if found.is_null() { graph::absent_of_vertex(&self.scope(), *v, key)? } else { found }
            }
            Value::Edge(e) => {
                let key = key.find(self.tx.names());
                let found = key.map_or(Value::Null, |k| self.tx.edge_property(*e, k));
                if found.is_null() { graph::absent_of_edge(&self.scope(), *e, key)? } else { found }
            }
            Value::Map(m) => m.get(&key.name).cloned().unwrap_or_default(),
            Value::Null => Value::Null,
            Value::Point(p) => {
                let geographic = matches!(p.srid, 4326 | 4979);
                match &*key.name {
                    "x" => Value::Float(p.x),
                    "y" => Value::Float(p.y),
                    "z" => p.z.map_or(Value::Null, Value::Float),
                    "longitude" if geographic => Value::Float(p.x),
                    "latitude" if geographic => Value::Float(p.y),
                    "height" if geographic => p.z.map_or(Value::Null, Value::Float),
                    "srid" => Value::Int(i64::from(p.srid)),
                    "crs" => Value::string(match p.srid {
                        4326 => "wgs-84",
                        4979 => "wgs-84-3d",
                        7203 => "cartesian",
                        _ => "cartesian-3d",
                    }),
                    _ => Value::Null,
                }
            }
            other => match temporal::component(other, &key.name) {
                Some(v) => v?,
                None => {
                    return Err(fail::types(format!("{} has no property `{}`", type_name(other), key.name)));
                }
            },
        })
    }

    fn index(&mut self, base: Value, index: Value) -> Result<Value, CypherError> {
        Ok(match (&base, &index) {
            (Value::List(list), Value::Int(i)) => {
                let at = if *i < 0 { list.len() as i64 + i } else { *i };
                usize::try_from(at).ok().and_then(|at| list.get(at)).cloned().unwrap_or_default()
            }
            (Value::Map(m), Value::String(key)) => m.get(key).cloned().unwrap_or_default(),
            (Value::Vertex(_) | Value::Edge(_), Value::String(key)) => {
                self.property(&base, &KeyName::new(key.clone()))?
            }
            (Value::Null, _)
            | (Value::List(_) | Value::Map(_) | Value::Vertex(_) | Value::Edge(_), Value::Null) => {
                Value::Null
            }
            (Value::List(_), other) => {
                return Err(fail::types(format!(
                    "an element of a list is named by an integer, not by {}",
                    type_name(other)
                )));
            }
            (Value::Map(_) | Value::Vertex(_) | Value::Edge(_), other) => {
                return Err(CypherError::runtime(
                    ErrorKind::TypeError,
                    "MapElementAccessByNonString",
                    format!("an element of a map is named by a string, not by {}", type_name(other)),
                ));
            }
            (other, _) => return Err(fail::types(format!("{} has no elements", type_name(other)))),
        })
    }

    fn map_projection(&mut self, slot: Slot, items: &'a [MapItem]) -> Result<Value, CypherError> {
        let base = self.row[slot].clone();
        if base.is_null() {
            return Ok(Value::Null);
        }
        let mut map = BTreeMap::new();
        for item in items {
            match item {
                MapItem::Property(key) => {
                    let v = self.property(&base, key)?;
                    map.insert(key.name.clone(), v);
                }
                MapItem::Entry(key, e) => {
                    let v = self.eval(e)?;
                    check_nesting(&v)?;
                    map.insert(key.clone(), v);
                }
                MapItem::All => match graph::property_map(&self.scope(), &base)? {
                    Some(all) => map.extend(all.iter().map(|(k, v)| (k.clone(), v.clone()))),
                    None => {
                        return Err(fail::types(format!(
                            "{} has no properties to project",
                            type_name(&base)
                        )));
                    }
                },
            }
        }
        Ok(Value::Map(Arc::new(map)))
    }

    fn has_labels(&mut self, v: &Value, test: &'a LabelTest) -> Result<bool, CypherError> {
        Ok(match test {
            LabelTest::Label(label) => self.has_label(v, &label.name, label.find(self.tx.names()))?,
            LabelTest::Dynamic(e) => {
                let given = self.eval(e)?;
                for name in label_names(&given)? {
                    let id = self.tx.names().find_label(&name);
                    if !self.has_label(v, &name, id)? {
                        return Ok(false);
                    }
                }
                true
            }
            LabelTest::Any => match v {
                Value::Vertex(v) => !graph::labels_of(&self.scope(), *v)?.is_empty(),
                _ => true,
            },
            LabelTest::Not(inner) => !self.has_labels(v, inner)?,
            LabelTest::All(items) => {
                for item in items {
                    if !self.has_labels(v, item)? {
                        return Ok(false);
                    }
                }
                true
            }
            LabelTest::Or(items) => {
                for item in items {
                    if self.has_labels(v, item)? {
                        return Ok(true);
                    }
                }
                false
            }
        })
    }

    fn has_label(&mut self, v: &Value, name: &str, id: Option<LabelId>) -> Result<bool, CypherError> {
        match v {
            Value::Vertex(v) => {
                let found = id.is_some_and(|id| self.tx.has_label(*v, id));
                if found { Ok(true) } else { graph::had_label(&self.scope(), *v, id) }
            }
            Value::Edge(e) => {
                let info = graph::edge_info(&self.scope(), *e)?;
                Ok(&*self.tx.names().edge_type_name(info.edge_type) == name)
            }
            _ => Ok(false),
        }
    }

    fn pattern(&mut self, text: &Arc<str>) -> Result<Arc<regex_automata::meta::Regex>, CypherError> {
        if let Some(pattern) = self.run.patterns.get(text) {
            return Ok(pattern.clone());
        }
        // The whole string must match, as in Java and so in Cypher.
        let pattern = regex_automata::meta::Regex::new(&format!("^(?:{text})$")).map_err(|e| {
            let reason = e.syntax_error().map_or_else(|| e.to_string(), ToString::to_string);
            fail::value(format!("`{text}` is no regular expression: {reason}"))
        })?;
        let pattern = Arc::new(pattern);
        // Each row may have another one.
        if self.run.patterns.len() >= PATTERNS_MAX {
            self.run.patterns.clear();
        }
        self.run.patterns.insert(text.clone(), pattern.clone());
        Ok(pattern)
    }

    /// Puts a path together from a vertex, then edges (or lists of edges) and vertices in turn.
    pub(crate) fn path(&mut self, parts: &[Slot]) -> Result<Value, CypherError> {
        let Some((first, rest)) = parts.split_first() else { return Ok(Value::Null) };
        let Value::Vertex(start) = self.row[*first] else { return Ok(Value::Null) };
        let mut at = start;
        let mut steps = Vec::new();
        for pair in rest.chunks(2) {
            let edges: SmallVec<[Value; 4]> = match &self.row[pair[0]] {
                Value::List(list) => list.iter().cloned().collect(),
                Value::Null => return Ok(Value::Null),
                one => SmallVec::from_iter([one.clone()]),
            };
            for v in edges {
                let Value::Edge(edge) = v else { return Ok(Value::Null) };
                let info = graph::edge_info(&self.scope(), edge)?;
                let forward = info.from == at;
                at = if forward { info.to } else { info.from };
                steps.push(PathStep { edge, to: at, forward });
            }
        }
        Ok(Value::Path(Arc::new(Path { start, steps })))
    }
}

/// Returns the labels that an expression gave: a string or a list of strings.
pub(super) fn label_names(v: &Value) -> Result<Vec<Arc<str>>, CypherError> {
    let one = |v: &Value| match v {
        Value::String(s) => Ok(s.clone()),
        other => Err(fail::types(format!("a label is a string, not {}", type_name(other)))),
    };
    match v {
        Value::List(items) => items.iter().map(one).collect(),
        other => Ok(vec![one(other)?]),
    }
}

pub(super) fn compare(op: CompareOp, a: &Value, b: &Value) -> Option<bool> {
    if let (Value::Int(a), Value::Int(b)) = (a, b) {
        return Some(match op {
            CompareOp::Equal => a == b,
            CompareOp::NotEqual => a != b,
            CompareOp::Less => a < b,
            CompareOp::LessOrEqual => a <= b,
            CompareOp::Greater => a > b,
            CompareOp::GreaterOrEqual => a >= b,
        });
    }
    match op {
        CompareOp::Equal => equal(a, b),
        CompareOp::NotEqual => equal(a, b).map(|x| !x),
        _ => {
            // NaN compares as false with a number, everything else that does not compare is unknown.
            let nan = |v: &Value| matches!(v, Value::Float(f) if f.is_nan());
            let number = |v: &Value| matches!(v, Value::Float(_) | Value::Int(_));
            if number(a) && number(b) && (nan(a) || nan(b)) {
                return Some(false);
            }
            let order = comparable(a, b)?;
            Some(match op {
                CompareOp::Less => order == Ordering::Less,
                CompareOp::LessOrEqual => order != Ordering::Greater,
                CompareOp::Greater => order == Ordering::Greater,
                _ => order != Ordering::Less,
            })
        }
    }
}

fn arithmetic(op: ArithmeticOp, a: Value, b: Value) -> Result<Value, CypherError> {
    if let Some(result) = temporal::arithmetic(op, &a, &b) {
        return result;
    }
    match op {
        ArithmeticOp::Add => add(a, b),
        ArithmeticOp::Subtract => subtract(a, b),
        ArithmeticOp::Multiply => multiply(a, b),
        ArithmeticOp::Divide => divide(a, b),
        ArithmeticOp::Modulo => modulo(a, b),
        ArithmeticOp::Power => power(a, b),
        ArithmeticOp::Concatenate => match (&a, &b) {
            (Value::Null, _)
            | (_, Value::Null)
            | (Value::String(_), Value::String(_))
            | (Value::List(_), Value::List(_)) => add(a, b),
            _ => Err(fail::types(format!("`||` does not take {} and {}", type_name(&a), type_name(&b)))),
        },
    }
}
