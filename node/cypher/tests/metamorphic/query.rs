//! Queries as trees, and their text.

use crate::values::literal;
use mgcypher::Params;
pub(crate) use mgcypher::ast::CompareOp;
use mgnode_core::types::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

pub(crate) type Var = String;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Out,
    In,
    Both,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) var: Var,
    /// The name is not written.
    pub(crate) is_anonymous: bool,
    pub(crate) labels: Vec<&'static str>,
    /// One of the labels is enough.
    pub(crate) is_any: bool,
    pub(crate) properties: Vec<(&'static str, Term)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rel {
    pub(crate) var: Var,
    pub(crate) is_anonymous: bool,
    /// Any of these; all types where there are none.
    pub(crate) types: Vec<&'static str>,
    pub(crate) direction: Direction,
    /// Least and most hops.
    pub(crate) length: Option<(usize, usize)>,
    pub(crate) properties: Vec<(&'static str, Term)>,
}

/// A path of a pattern.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) name: Option<Var>,
    pub(crate) start: Node,
    pub(crate) hops: Vec<(Rel, Node)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Term {
    Const(Value),
    /// The property of a vertex or an edge.
    Property(Var, &'static str),
    /// A value that has a name.
    Value(Var),
    Id(Var),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextOp {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Debug)]
pub(crate) enum Pred {
    Compare(Term, CompareOp, Term),
    /// `a < b <= c`
    Chain(Term, CompareOp, Term, CompareOp, Term),
    In(Term, Vec<Value>),
    Text(TextOp, Term, Term),
    IsNull(Term),
    IsNotNull(Term),
    HasLabel(Var, &'static str),
    /// Two vertices or two edges are the same.
    Same(Var, Var),
    /// A path that begins at something bound, as a pattern or in braces.
    Exists(Box<Path>, Option<Box<Pred>>),
    Not(Box<Pred>),
    And(Vec<Pred>),
    Or(Vec<Pred>),
    /// `p IS NULL`
    Unknown(Box<Pred>),
}

#[derive(Clone, Debug)]
pub(crate) enum Clause {
    Match {
        optional: bool,
        paths: Vec<Path>,
        filter: Option<Pred>,
    },
    Unwind(Var, Vec<Value>),
    /// `WITH`, of some variables; a limit comes with an order by all of them.
    With {
        keep: Vec<(Var, Kind)>,
        distinct: bool,
        /// Aggregates, of the rows that agree in all else.
        totals: Vec<(Var, Item)>,
        limit: Option<usize>,
        filter: Option<Pred>,
    },
    /// A clause in a subquery, with what it is given and what it returns.
    Call {
        given: Vec<Var>,
        clause: Box<Clause>,
        returns: Vec<Var>,
    },
    /// `WITH *`
    All(Option<Pred>),
}

/// What a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Node,
    Rel,
    /// The edges of a path of many hops.
    Rels,
    Path,
    Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    Term(Term),
    Whole(Var),
    /// The keys of the edges of a path of many hops, whose order is that of the pattern.
    Keys(Var),
    /// The keys of the vertices of a path.
    PathKeys(Var),
    Count,
    CountOf(Term, bool),
    Sum(Term),
    Min(Term),
    Max(Term),
    Collect(Term, bool),
    /// `COUNT { path WHERE .. }`
    CountPaths(Box<Path>, Option<Box<Pred>>),
    /// `[path WHERE .. | z.k]`, of a path whose end is `z`.
    Comprehension(Box<Path>, Option<Box<Pred>>),
}

impl Item {
    pub(crate) fn is_aggregate(&self) -> bool {
        use Item::{Collect, Count, CountOf, Max, Min, Sum};
        matches!(self, Count | CountOf(..) | Sum(_) | Min(_) | Max(_) | Collect(..))
    }

    /// A list whose order is left open.
    pub(crate) fn is_bag(&self) -> bool {
        matches!(self, Item::Collect(..) | Item::Keys(_) | Item::Comprehension(..))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) clauses: Vec<Clause>,
    pub(crate) distinct: bool,
    pub(crate) items: Vec<Item>,
    /// Columns and whether they fall: all of them, so that what is left open are rows that look alike.
    pub(crate) order: Vec<(usize, bool)>,
    pub(crate) skip: Option<usize>,
    pub(crate) limit: Option<usize>,
    /// What `RETURN` can name.
    pub(crate) vars: Vec<Var>,
    /// All but `RETURN` stands in a subquery that returns all variables.
    pub(crate) is_wrapped: bool,
    /// Values in conditions are parameters.
    pub(crate) with_params: bool,
}

impl Query {
    pub(crate) fn bags(&self) -> Vec<bool> {
        self.items.iter().map(Item::is_bag).collect()
    }

    /// Whether its order, and so what a limit leaves, is open. Which of several equal times, told in other zones, stands
    /// for them all where they group is open, and `ORDER BY` tells them apart.
    pub(crate) fn is_open(&self, rows: &[Vec<Value>]) -> bool {
        !self.order.is_empty() && rows.iter().flatten().any(|v| matches!(v, Value::Time(_)))
    }

    /// Writes it, with its parameters.
    pub(crate) fn text(&self) -> (String, Params) {
        let with_params = self.with_params;
        let mut t = Text { out: String::new(), params: BTreeMap::new(), with_params, is_value: false };
        if self.is_wrapped {
            t.out.push_str("CALL { ");
        }
        self.clauses.iter().for_each(|c| t.clause(c));
        if self.is_wrapped {
            write!(t.out, "RETURN {} }} ", self.vars.join(", ")).expect("it is a string");
        }
        t.out.push_str(if self.distinct { "RETURN DISTINCT " } else { "RETURN " });
        for (i, item) in self.items.iter().enumerate() {
            t.comma(i);
            t.item(item);
            write!(t.out, " AS c{i}").expect("it is a string");
        }
        for (i, (column, falls)) in self.order.iter().enumerate() {
            t.out.push_str(if i == 0 { " ORDER BY " } else { ", " });
            write!(t.out, "c{column}{}", if *falls { " DESC" } else { "" }).expect("it is a string");
        }
        for (word, rows) in [("SKIP", self.skip), ("LIMIT", self.limit)] {
            if let Some(rows) = rows {
                write!(t.out, " {word} {rows}").expect("it is a string");
            }
        }
        (t.out, Arc::new(t.params))
    }
}

struct Text {
    out: String,
    params: BTreeMap<Arc<str>, Value>,
    with_params: bool,
    is_value: bool,
}

impl Text {
    fn comma(&mut self, i: usize) {
        if i > 0 {
            self.out.push_str(", ");
        }
    }

    fn clause(&mut self, clause: &Clause) {
        match clause {
            Clause::Match { optional, paths, filter } => {
                self.out.push_str(if *optional { "OPTIONAL MATCH " } else { "MATCH " });
                for (i, path) in paths.iter().enumerate() {
                    self.comma(i);
                    if let Some(name) = &path.name {
                        write!(self.out, "{name} = ").expect("it is a string");
                    }
                    self.path(path);
                }
                self.filter(filter.as_ref());
            }
            Clause::Unwind(var, values) => {
                self.out.push_str("UNWIND ");
                self.value(&Value::list(values.clone()));
                write!(self.out, " AS {var}").expect("it is a string");
            }
            Clause::Call { given, clause, returns } => {
                self.out.push_str("CALL { ");
                if !given.is_empty() {
                    write!(self.out, "WITH {} ", given.join(", ")).expect("it is a string");
                }
                self.clause(clause);
                write!(self.out, "RETURN {} }}", returns.join(", ")).expect("it is a string");
            }
            Clause::With { keep, distinct, totals, limit, filter } => {
                self.out.push_str(if *distinct { "WITH DISTINCT " } else { "WITH " });
                for (i, (var, _)) in keep.iter().enumerate() {
                    self.comma(i);
                    self.out.push_str(var);
                }
                for (i, (var, item)) in totals.iter().enumerate() {
                    self.comma(keep.len() + i);
                    self.item(item);
                    write!(self.out, " AS {var}").expect("it is a string");
                }
                if let Some(limit) = limit {
                    let key = |(v, kind): &(Var, Kind)| match kind {
                        Kind::Node | Kind::Rel => format!("{v}.k"),
                        _ => v.clone(),
                    };
                    let keys: Vec<String> = keep.iter().map(key).collect();
                    write!(self.out, " ORDER BY {} LIMIT {limit}", keys.join(", ")).expect("it is a string");
                }
                self.filter(filter.as_ref());
            }
            Clause::All(filter) => {
                self.out.push_str("WITH *");
                self.filter(filter.as_ref());
            }
        }
        self.out.push(' ');
    }

    fn filter(&mut self, filter: Option<&Pred>) {
        if let Some(filter) = filter {
            self.out.push_str(" WHERE ");
            self.pred(filter);
        }
    }

    pub(crate) fn path(&mut self, path: &Path) {
        self.node(&path.start);
        for (rel, node) in &path.hops {
            self.rel(rel);
            self.node(node);
        }
    }

    fn node(&mut self, node: &Node) {
        self.out.push('(');
        if !node.is_anonymous {
            self.out.push_str(&node.var);
        }
        for (i, label) in node.labels.iter().enumerate() {
            let before = if node.is_any && i > 0 { '|' } else { ':' };
            write!(self.out, "{before}{label}").expect("it is a string");
        }
        self.properties(&node.properties);
        self.out.push(')');
    }

    fn properties(&mut self, properties: &[(&'static str, Term)]) {
        if properties.is_empty() {
            return;
        }
        self.out.push_str(" {");
        for (i, (key, value)) in properties.iter().enumerate() {
            self.comma(i);
            write!(self.out, "{key}: ").expect("it is a string");
            self.term(value);
        }
        self.out.push('}');
    }

    fn rel(&mut self, rel: &Rel) {
        self.out.push_str(if rel.direction == Direction::In { "<-[" } else { "-[" });
        if !rel.is_anonymous {
            self.out.push_str(&rel.var);
        }
        if !rel.types.is_empty() {
            write!(self.out, ":{}", rel.types.join("|")).expect("it is a string");
        }
        if let Some((min, max)) = rel.length {
            write!(self.out, "*{min}..{max}").expect("it is a string");
        }
        self.properties(&rel.properties);
        self.out.push_str(if rel.direction == Direction::Out { "]->" } else { "]-" });
    }

    fn value(&mut self, value: &Value) {
        if self.with_params {
            let name = format!("p{}", self.params.len());
            write!(self.out, "${name}").expect("it is a string");
            self.params.insert(name.into(), value.clone());
        } else {
            self.out.push_str(&literal(value));
        }
    }

    fn term(&mut self, term: &Term) {
        match term {
            Term::Const(value) => self.value(value),
            Term::Property(var, key) => write!(self.out, "{var}.{key}").expect("it is a string"),
            Term::Value(var) => self.out.push_str(var),
            Term::Id(var) => write!(self.out, "id({var})").expect("it is a string"),
        }
    }

    fn op(&mut self, op: CompareOp) {
        self.out.push_str(match op {
            CompareOp::Equal => " = ",
            CompareOp::NotEqual => " <> ",
            CompareOp::Less => " < ",
            CompareOp::LessOrEqual => " <= ",
            CompareOp::Greater => " > ",
            CompareOp::GreaterOrEqual => " >= ",
        });
    }

    fn several(&mut self, parts: &[Pred], word: &str) {
        self.out.push('(');
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                self.out.push_str(word);
            }
            self.pred(part);
        }
        self.out.push(')');
    }

    fn pred(&mut self, pred: &Pred) {
        match pred {
            Pred::Compare(a, op, b) => {
                self.term(a);
                self.op(*op);
                self.term(b);
            }
            Pred::Chain(a, first, b, second, c) => {
                self.term(a);
                self.op(*first);
                self.term(b);
                self.op(*second);
                self.term(c);
            }
            Pred::In(term, values) => {
                self.term(term);
                self.out.push_str(" IN ");
                self.value(&Value::list(values.clone()));
            }
            Pred::Text(op, a, b) => {
                self.term(a);
                self.out.push_str(match op {
                    TextOp::StartsWith => " STARTS WITH ",
                    TextOp::EndsWith => " ENDS WITH ",
                    TextOp::Contains => " CONTAINS ",
                });
                self.term(b);
            }
            Pred::IsNull(term) => {
                self.term(term);
                self.out.push_str(" IS NULL");
            }
            Pred::IsNotNull(term) => {
                self.term(term);
                self.out.push_str(" IS NOT NULL");
            }
            Pred::HasLabel(var, label) => write!(self.out, "{var}:{label}").expect("it is a string"),
            Pred::Same(a, b) => write!(self.out, "{a} = {b}").expect("it is a string"),
            // As a condition it may stand alone, as a value it may not.
            Pred::Exists(path, None) if !self.is_value => self.path(path),
            Pred::Exists(path, None) => {
                self.out.push_str("exists(");
                self.path(path);
                self.out.push(')');
            }
            Pred::Exists(path, filter) => {
                self.out.push_str("EXISTS { MATCH ");
                self.path(path);
                self.filter(filter.as_deref());
                self.out.push_str(" }");
            }
            Pred::Not(pred) => {
                self.out.push_str("NOT (");
                self.pred(pred);
                self.out.push(')');
            }
            Pred::And(parts) => self.several(parts, " AND "),
            Pred::Or(parts) => self.several(parts, " OR "),
            Pred::Unknown(pred) => {
                self.out.push('(');
                let outside = std::mem::replace(&mut self.is_value, true);
                self.pred(pred);
                self.is_value = outside;
                self.out.push_str(") IS NULL");
            }
        }
    }

    fn call(&mut self, name: &str, term: &Term) {
        write!(self.out, "{name}(").expect("it is a string");
        self.term(term);
        self.out.push(')');
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Term(term) => self.term(term),
            Item::Whole(var) => self.out.push_str(var),
            Item::Keys(var) => write!(self.out, "[e IN {var} | e.k]").expect("it is a string"),
            Item::PathKeys(var) => write!(self.out, "[n IN nodes({var}) | n.k]").expect("it is a string"),
            Item::Count => self.out.push_str("count(*)"),
            Item::CountOf(term, false) => self.call("count", term),
            Item::CountOf(term, true) => {
                self.out.push_str("count(DISTINCT ");
                self.term(term);
                self.out.push(')');
            }
            Item::Sum(term) => self.call("sum", term),
            Item::Min(term) => self.call("min", term),
            Item::Max(term) => self.call("max", term),
            Item::Collect(term, false) => self.call("collect", term),
            Item::Collect(term, true) => {
                self.out.push_str("collect(DISTINCT ");
                self.term(term);
                self.out.push(')');
            }
            Item::CountPaths(path, filter) => {
                self.out.push_str("COUNT { MATCH ");
                self.path(path);
                self.filter(filter.as_deref());
                self.out.push_str(" }");
            }
            Item::Comprehension(path, filter) => {
                self.out.push('[');
                self.path(path);
                self.filter(filter.as_deref());
                let end = path.hops.last().map_or(&path.start, |(_, node)| node);
                write!(self.out, " | {}.k]", end.var).expect("it is a string");
            }
        }
    }
}
