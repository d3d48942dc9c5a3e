//! Plans: operators over one row of slots.
//!
//! A query runs over a single row of registers. Each variable has its slot, given out once, so an
//! operator writes only slots of its own and everything bound before stays readable without copying.
//! Operators that must hold rows back (sort, aggregate, eager) save the slots that live on and put
//! them back one row after the other.
//!
//! Operators stand in one list and name their input by index. An inner plan (of `OPTIONAL MATCH`,
//! `EXISTS { }`, a pattern comprehension) is a contiguous part of that list; running it again means
//! forgetting the states of that part. Its leaf is [`Op::Argument`], which yields one row: the
//! registers as they are.

use crate::ast::{AggregateFunction, ArithmeticOp, CompareOp, OnError, QuantifierKind, Span, StringOp};
use crate::executor::Measured;
use crate::functions::Function;
use crate::schema::index_owner;
use mgnode_core::storage::Direction;
use mgnode_core::types::{EdgeTypeId, IndexSpec, LabelId, NameLimit, Names, PropertyKeyId, Value};
use std::fmt::Write;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A register of the row.
pub type Slot = usize;

/// An operator, by its place in [`Plan::ops`].
pub type OpId = usize;

/// A parameter, and where the query names it first.
#[derive(Debug)]
pub struct Param {
    pub name: Arc<str>,
    pub span: Span,
}

/// What a query does, ready to run with any parameters in any transaction.
#[derive(Debug)]
pub struct Plan {
    pub ops: Vec<Op>,
    pub root: OpId,
    /// Number of registers.
    pub width: usize,
    /// By their index in [`Expr::Param`].
    pub params: Vec<Param>,
    /// Registers of the columns.
    pub columns: Vec<Slot>,
    /// `QUERY MEMORY LIMIT`: it may hold no more, whatever else it could.
    pub memory_bytes_max: Option<u64>,
    /// What each operator was made of: its clause, or the expression that it stands for.
    pub spans: Vec<Span>,
    /// What all spans point into.
    pub text: Arc<str>,
}

macro_rules! late {
    ($(#[$doc:meta])* $name:ident, $id:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            pub name: Arc<str>,
            id: OnceLock<$id>,
        }

        impl $name {
            pub fn new(name: Arc<str>) -> $name {
                $name { name, id: OnceLock::new() }
            }
        }
    };
}

late! {
    /// A label by name; its id is looked up when it is needed, since it may come up later.
    LabelRef, LabelId
}
late! {
    /// An edge type by name.
    TypeRef, EdgeTypeId
}
late! {
    /// A property key by name.
    KeyName, PropertyKeyId
}

impl LabelRef {
    /// Returns the id if the label is known by now.
    pub fn find(&self, names: &Names) -> Option<LabelId> {
        self.id.get().copied().or_else(|| {
            let id = names.find_label(&self.name)?;
            Some(*self.id.get_or_init(|| id))
        })
    }

    /// Returns the id, making the label known.
    pub fn intern(&self, names: &Names) -> LabelId {
        *self.id.get_or_init(|| names.label(&self.name))
    }
}

impl TypeRef {
    /// Returns the id if the type is known by now.
    pub fn find(&self, names: &Names) -> Option<EdgeTypeId> {
        self.id.get().copied().or_else(|| {
            let id = names.find_edge_type(&self.name)?;
            Some(*self.id.get_or_init(|| id))
        })
    }

    /// Returns the id, making the type known.
    ///
    /// # Errors
    /// There are as many types as there can be.
    pub fn intern(&self, names: &Names) -> Result<EdgeTypeId, NameLimit> {
        match self.id.get() {
            Some(id) => Ok(*id),
            None => {
                let id = names.edge_type(&self.name)?;
                Ok(*self.id.get_or_init(|| id))
            }
        }
    }
}

impl KeyName {
    /// Returns the id if the key is known by now.
    pub fn find(&self, names: &Names) -> Option<PropertyKeyId> {
        self.id.get().copied().or_else(|| {
            let id = names.find_key(&self.name)?;
            Some(*self.id.get_or_init(|| id))
        })
    }

    /// Returns the id, making the key known.
    pub fn intern(&self, names: &Names) -> PropertyKeyId {
        *self.id.get_or_init(|| names.key(&self.name))
    }
}

/// A plan inside a plan.
#[derive(Clone, Debug)]
pub struct Inner {
    pub root: OpId,
    /// All of its operators.
    pub ops: Range<OpId>,
}

/// One step of a plan. `input` yields the rows that it works on.
#[derive(Debug)]
pub enum Op {
    /// One row: the registers as they are.
    Argument,
    /// No rows.
    Nothing,
    /// The rows of its input: a place where an `Eager` turned out not to be needed.
    Pass {
        input: OpId,
    },
    /// `columns` are properties that are read with the vertices, each into a slot of its own.
    AllNodes {
        input: OpId,
        slot: Slot,
        columns: Vec<(KeyName, Slot)>,
    },
    LabelScan {
        input: OpId,
        slot: Slot,
        label: LabelRef,
        columns: Vec<(KeyName, Slot)>,
    },
    IndexSeek {
        input: OpId,
        slot: Slot,
        index: IndexSpec,
        bounds: Bounds,
    },
    /// Edges by an index; their ends are bound by an [`Op::EdgeEnds`] above.
    EdgeSeek {
        input: OpId,
        slot: Slot,
        index: IndexSpec,
        bounds: Bounds,
    },
    /// The vertex whose id the expression gives.
    NodeById {
        input: OpId,
        slot: Slot,
        id: Expr,
    },
    Expand(Expand),
    VarExpand(VarExpand),
    Shortest(Shortest),
    /// The ends of an edge that is bound already.
    EdgeEnds {
        input: OpId,
        expand: EdgeEnds,
    },
    Filter {
        input: OpId,
        predicate: Expr,
    },
    Project {
        input: OpId,
        items: Vec<(Expr, Slot)>,
        /// Of the items.
        spans: Vec<Span>,
    },
    /// Puts a path together.
    NamedPath {
        input: OpId,
        slot: Slot,
        parts: Vec<Slot>,
    },
    /// Rows of the inner plan, or one with Null in its slots.
    Optional {
        input: OpId,
        inner: Inner,
        nulls: Vec<Slot>,
    },
    /// Rows of the inner plan for each row.
    Apply {
        input: OpId,
        inner: Inner,
    },
    /// Runs the inner plan to its end for each row.
    ForEffect {
        input: OpId,
        inner: Inner,
    },
    Unwind {
        input: OpId,
        list: Expr,
        slot: Slot,
    },
    Aggregate {
        input: OpId,
        keys: Vec<(Expr, Slot)>,
        aggregates: Vec<AggregateItem>,
        /// Of the keys.
        spans: Vec<Span>,
    },
    Distinct {
        input: OpId,
        slots: Vec<Slot>,
    },
    /// Sorts, keeping only the first rows where `top` says how many (skip plus limit).
    Sort {
        input: OpId,
        keys: Vec<(Expr, bool)>,
        saved: Vec<Slot>,
        top: Vec<Expr>,
        /// Of the keys, then of `top`.
        spans: Vec<Span>,
    },
    Skip {
        input: OpId,
        count: Expr,
    },
    /// `drains`: something below writes, and a limit on the rows is no limit on the writes.
    Limit {
        input: OpId,
        count: Expr,
        drains: bool,
    },
    /// Holds all rows back until the input is at its end.
    Eager {
        input: OpId,
        saved: Vec<Slot>,
    },
    /// Rows of each part, its slots moved to `slots`.
    Union {
        parts: Vec<(OpId, Vec<Slot>)>,
        slots: Vec<Slot>,
    },
    Create {
        input: OpId,
        items: Vec<CreateItem>,
    },
    Merge(Merge),
    Set {
        input: OpId,
        items: Vec<(SetOp, Span)>,
    },
    /// Deletes when the input is at its end, then yields the rows.
    Delete {
        input: OpId,
        targets: Vec<(Expr, Span)>,
        detach: bool,
        saved: Vec<Slot>,
    },
    Foreach {
        input: OpId,
        slot: Slot,
        list: Expr,
        inner: Inner,
    },
    Call {
        input: OpId,
        name: Arc<str>,
        args: Vec<Expr>,
        outputs: Vec<(usize, Slot)>,
        has_fields: bool,
    },
    LoadCsv(LoadCsv),
    /// Commits whenever so many rows have come through.
    CommitEach {
        input: OpId,
        rows: Expr,
    },
    InTransactions(InTransactions),
    /// Runs the input to its end and yields nothing.
    Drain {
        input: OpId,
    },
}

/// Which entries of an index a seek wants.
#[derive(Debug)]
pub struct Bounds {
    pub equal: Vec<Expr>,
    /// Lower and upper bound, with whether the bound itself is in.
    pub from: Option<(Expr, bool)>,
    pub to: Option<(Expr, bool)>,
    /// The property starts with this.
    pub prefix: Option<Expr>,
    /// The first property equals one of the list.
    pub any_of: Option<Expr>,
}

impl Bounds {
    /// Whether all that is asked is that the first properties equal something.
    pub fn is_equality(&self) -> bool {
        let Bounds { equal, from, to, prefix, any_of } = self;
        !equal.is_empty() && from.is_none() && to.is_none() && prefix.is_none() && any_of.is_none()
    }
}

/// One hop.
#[derive(Debug)]
pub struct Expand {
    pub input: OpId,
    pub from: Slot,
    pub edge: Slot,
    pub to: Slot,
    pub direction: Direction,
    pub types: Vec<TypeRef>,
    /// `to` is bound already.
    pub into: bool,
    /// Edges (or lists of them) of the same `MATCH`, none of which may come again.
    pub others: Vec<Slot>,
    /// Each vertex is wanted once, on whatever way: the rest of the plan looks at nothing else of a row, and drops what
    /// repeats.
    pub once: bool,
}

/// Many hops: every path without a repeated edge.
#[derive(Debug)]
pub struct VarExpand {
    pub hop: Expand,
    pub min: Option<Expr>,
    pub max: Option<Expr>,
    /// The pattern is walked from right to left, its list is given from left to right.
    pub reversed: bool,
    /// The list of edges is needed.
    pub keep_edges: bool,
    pub step: Option<Step>,
}

/// What each hop must satisfy: its edge, and the vertex on its right as the pattern is written, are put into the slots first.
#[derive(Debug)]
pub struct Step {
    pub edge: Slot,
    pub node: Slot,
    pub predicate: Expr,
}

/// Shortest paths.
#[derive(Debug)]
pub struct Shortest {
    pub hop: Expand,
    pub min: Option<Expr>,
    pub max: Option<Expr>,
    pub reversed: bool,
    pub step: Option<Step>,
    /// Every shortest path instead of one.
    pub all: bool,
    /// Length of an edge, instead of 1: edge and vertex slot, expression, slot for the sum.
    pub weight: Option<(Slot, Slot, Expr, Option<Slot>)>,
}

/// Checks or binds the ends of a bound edge.
#[derive(Debug)]
pub struct EdgeEnds {
    pub edge: Slot,
    pub from: Slot,
    pub to: Slot,
    pub from_bound: bool,
    pub to_bound: bool,
    pub direction: Direction,
    pub types: Vec<TypeRef>,
    pub others: Vec<Slot>,
}

#[derive(Debug)]
pub struct AggregateItem {
    pub function: AggregateFunction,
    pub distinct: bool,
    pub args: Vec<Expr>,
    pub slot: Slot,
    pub span: Span,
}

/// A label or type of something new.
#[derive(Debug)]
pub enum NewName<Ref = LabelRef> {
    Name(Ref),
    Dynamic(Expr),
}

/// Properties of something new.
#[derive(Debug)]
pub enum Properties {
    /// With the spans of the values.
    Pairs(Vec<(KeyName, Expr, Span)>),
    Map(Expr, Span),
}

#[derive(Debug)]
pub enum CreateItem {
    Node { slot: Slot, labels: Vec<NewName>, properties: Properties, span: Span },
    Edge { slot: Slot, from: Slot, to: Slot, edge_type: NewName<TypeRef>, properties: Properties, span: Span },
}

/// Rows of a file.
#[derive(Debug)]
pub struct LoadCsv {
    pub input: OpId,
    pub slot: Slot,
    pub source: Expr,
    /// The first record holds the names of the columns: rows are maps, else lists.
    pub with_header: bool,
    /// Records of any width, and an empty field is null, as Neo4j has it.
    pub is_lenient: bool,
    pub ignore_bad: bool,
    pub delimiter: Option<Expr>,
    pub quote: Option<Expr>,
    pub null_text: Option<Expr>,
}

/// An inner plan whose writes are committed as it goes.
#[derive(Debug)]
pub struct InTransactions {
    pub input: OpId,
    pub inner: Inner,
    pub rows: Option<Expr>,
    pub on_error: OnError,
    /// Its rows go on; else it is run for its effects.
    pub returns: bool,
    /// How its rows wait for their commit, where a row may have to go on without what it returns.
    pub gather: Option<Gather>,
}

/// Rows that wait for the transaction of their batch.
#[derive(Debug)]
pub struct Gather {
    /// What is kept of a row.
    pub saved: Vec<Slot>,
    /// What is Null where the batch failed, or the inner plan of an optional call gave no row.
    pub nulls: Vec<Slot>,
    pub optional: bool,
}

#[derive(Debug)]
pub struct Merge {
    pub input: OpId,
    /// Looks for the pattern.
    pub matching: Inner,
    pub create: Vec<CreateItem>,
    /// The path's slot and parts, where it has a name.
    pub path: Option<(Slot, Vec<Slot>)>,
    /// Slots that a match binds.
    pub saved: Vec<Slot>,
    pub on_create: Vec<(SetOp, Span)>,
    pub on_match: Vec<(SetOp, Span)>,
}

#[derive(Debug)]
pub enum SetOp {
    Property { target: Expr, key: KeyName, value: Expr },
    Dynamic { target: Expr, key: Expr, value: Expr },
    Replace { slot: Slot, value: Expr },
    Merge { slot: Slot, value: Expr },
    AddLabels { slot: Slot, labels: Vec<NewName> },
    RemoveLabels { slot: Slot, labels: Vec<NewName> },
}

/// An expression whose names are slots, parameters, functions. Those that fail most often know where they stand.
#[derive(Debug)]
pub enum Expr {
    Const(Value),
    Param(usize),
    Slot(Slot),
    Property(Box<Expr>, KeyName, Span),
    Index(Box<Expr>, Box<Expr>, Span),
    Slice(Box<Expr>, Option<Box<Expr>>, Option<Box<Expr>>, Span),
    List(Vec<Expr>),
    Map(Vec<(Arc<str>, Expr)>),
    MapProjection(Slot, Vec<MapItem>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Xor(Vec<Expr>),
    Not(Box<Expr>),
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    Arithmetic(Box<Expr>, Vec<(ArithmeticOp, Expr)>, Span),
    Negate(Box<Expr>),
    Plus(Box<Expr>),
    In(Box<Expr>, Box<Expr>),
    StringTest(StringOp, Box<Expr>, Box<Expr>),
    IsNull(Box<Expr>, bool),
    HasLabels(Box<Expr>, Box<LabelTest>),
    Call(&'static Function, Vec<Expr>, Span),
    Case {
        subject: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        default: Option<Box<Expr>>,
    },
    Comprehension {
        slot: Slot,
        list: Box<Expr>,
        filter: Option<Box<Expr>>,
        result: Option<Box<Expr>>,
    },
    Quantifier {
        kind: QuantifierKind,
        slot: Slot,
        list: Box<Expr>,
        predicate: Box<Expr>,
    },
    Reduce {
        accumulator: Slot,
        initial: Box<Expr>,
        slot: Slot,
        list: Box<Expr>,
        body: Box<Expr>,
    },
    /// Whether the inner plan has a row.
    Exists(Inner),
    /// How many rows it has.
    Count(Inner),
    /// A slot of all its rows.
    Collect(Inner, Slot),
    /// A slot of its first row, or Null.
    First(Inner, Slot),
}

#[derive(Debug)]
pub enum MapItem {
    Property(KeyName),
    Entry(Arc<str>, Expr),
    All,
}

#[derive(Debug)]
pub enum LabelTest {
    Label(LabelRef),
    Dynamic(Expr),
    Any,
    Not(Box<LabelTest>),
    All(Vec<LabelTest>),
    Or(Vec<LabelTest>),
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Op {
    /// Returns where its rows come from, and the plan inside it.
    pub(crate) fn below(&self) -> (Option<OpId>, Option<&Inner>) {
        match self {
            Op::Argument | Op::Nothing | Op::Union { .. } => (None, None),
            Op::Optional { input, inner, .. }
            | Op::Apply { input, inner }
            | Op::ForEffect { input, inner }
            | Op::Foreach { input, inner, .. } => (Some(*input), Some(inner)),
            Op::InTransactions(call) => (Some(call.input), Some(&call.inner)),
            Op::LoadCsv(csv) => (Some(csv.input), None),
            Op::Merge(m) => (Some(m.input), Some(&m.matching)),
            Op::Expand(e) => (Some(e.input), None),
            Op::VarExpand(e) => (Some(e.hop.input), None),
            Op::Shortest(e) => (Some(e.hop.input), None),
            Op::Pass { input }
            | Op::AllNodes { input, .. }
            | Op::LabelScan { input, .. }
            | Op::IndexSeek { input, .. }
            | Op::EdgeSeek { input, .. }
            | Op::NodeById { input, .. }
            | Op::EdgeEnds { input, .. }
            | Op::Filter { input, .. }
            | Op::Project { input, .. }
            | Op::NamedPath { input, .. }
            | Op::Unwind { input, .. }
            | Op::Aggregate { input, .. }
            | Op::Distinct { input, .. }
            | Op::Sort { input, .. }
            | Op::Skip { input, .. }
            | Op::Limit { input, .. }
            | Op::Eager { input, .. }
            | Op::Create { input, .. }
            | Op::Set { input, .. }
            | Op::Delete { input, .. }
            | Op::Call { input, .. }
            | Op::CommitEach { input, .. }
            | Op::Drain { input } => (Some(*input), None),
        }
    }
}

impl Op {
    /// Returns the length of the longest chain that ends here, given those of all before it.
    pub(crate) fn depth(&self, before: &[usize]) -> usize {
        let (input, inner) = self.below();
        let parts = if let Op::Union { parts, .. } = self { &parts[..] } else { &[] };
        let below = input.into_iter().chain(inner.map(|i| i.root)).chain(parts.iter().map(|(root, _)| *root));
        1 + below.map(|b| before[b]).max().unwrap_or(0)
    }
}

/// A line of a plan as it is shown.
pub(crate) struct Line {
    /// How many inner plans it is in.
    pub(crate) depth: usize,
    /// The operator and its title; None where an inner plan begins.
    pub(crate) op: Option<(OpId, String)>,
}

impl Line {
    /// Returns the line without what it is indented by.
    pub(crate) fn text(&self) -> String {
        match &self.op {
            Some((_, title)) => format!("* {title}"),
            None => "|\\".to_owned(),
        }
    }
}

impl Plan {
    /// Whether no operator walks, scans, sorts, gathers or multiplies rows by more than an index seek
    /// finds.
    pub(crate) fn is_short(&self) -> bool {
        self.ops.iter().all(|op| {
            matches!(
                op,
                Op::Argument
                    | Op::Nothing
                    | Op::Pass { .. }
                    | Op::IndexSeek { .. }
                    | Op::NodeById { .. }
                    | Op::Filter { .. }
                    | Op::Project { .. }
                    | Op::Optional { .. }
                    | Op::Apply { .. }
                    | Op::ForEffect { .. }
                    | Op::Skip { .. }
                    | Op::Limit { .. }
                    | Op::Eager { .. }
                    | Op::Create { .. }
                    | Op::Merge(_)
                    | Op::Set { .. }
                    | Op::Drain { .. }
            )
        })
    }

    /// Whether an operator ends the transaction and goes on in another.
    pub(crate) fn commits(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::CommitEach { .. } | Op::InTransactions(_)))
    }

    /// Returns how many operators may be asked for a row within each other: the longest chain below
    /// the root, and everything inside expressions.
    pub(crate) fn depth(&self) -> usize {
        // Inputs and inner plans stand before the operator that uses them.
        let mut depth = vec![1; self.ops.len()];
        for (id, op) in self.ops.iter().enumerate() {
            depth[id] = op.depth(&depth);
        }
        let mut is_reached = vec![false; self.ops.len()];
        let mut stack = vec![self.root];
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut is_reached[id], true) {
                continue;
            }
            let (input, inner) = self.ops[id].below();
            stack.extend(input.into_iter().chain(inner.map(|i| i.root)));
            if let Op::Union { parts, .. } = &self.ops[id] {
                stack.extend(parts.iter().map(|(root, _)| *root));
            }
        }
        depth[self.root] + is_reached.iter().filter(|reached| !**reached).count()
    }

    /// Returns a place for what each operator is seen to do, and which of them the plan shows.
    pub(crate) fn measured(&self) -> Vec<Measured> {
        let mut of = vec![Measured::default(); self.ops.len()];
        let mut stack = vec![self.root];
        while let Some(id) = stack.pop() {
            of[id].is_shown = !matches!(self.ops[id], Op::Pass { .. });
            let (input, inner) = self.ops[id].below();
            stack.extend(input.into_iter().chain(inner.map(|i| i.root)));
            if let Op::Union { parts, .. } = &self.ops[id] {
                stack.extend(parts.iter().map(|(root, _)| *root));
            }
        }
        of
    }

    /// Writes the plan as `EXPLAIN` shows it: the last operator first, inner plans indented before
    /// the operator's input. `variable` names a slot.
    pub fn explain(&self, names: &Names, variable: &dyn Fn(Slot) -> String) -> Vec<String> {
        self.lines(names, variable)
            .into_iter()
            .map(|line| format!("{} {}", " |".repeat(line.depth), line.text()))
            .collect()
    }

    /// Returns the same lines with the operators that they stand for.
    pub(crate) fn lines(&self, names: &Names, variable: &dyn Fn(Slot) -> String) -> Vec<Line> {
        let mut lines = Vec::new();
        // Operator and indentation; an explicit stack, since plans can be long.
        let mut stack = vec![(self.root, 0)];
        while let Some((id, depth)) = stack.pop() {
            let op = &self.ops[id];
            if let Op::Pass { input } = op {
                stack.push((*input, depth));
                continue;
            }
            lines.push(Line { depth, op: Some((id, self.title(op, names, variable))) });
            if let Op::Union { parts, .. } = op {
                for (part, _) in parts.iter().rev() {
                    stack.push((*part, depth + 1));
                }
            }
            let (input, inner) = op.below();
            if let Some(input) = input {
                stack.push((input, depth));
            }
            if let Some(inner) = inner {
                lines.push(Line { depth, op: None });
                stack.push((inner.root, depth + 1));
            }
        }
        lines
    }

    fn title(&self, op: &Op, names: &Names, variable: &dyn Fn(Slot) -> String) -> String {
        let hop = |e: &Expand, star: &str| {
            let types = e.types.iter().map(|t| &*t.name).collect::<Vec<_>>().join("|");
            let types = if types.is_empty() { String::new() } else { format!(":{types}") };
            let (left, right) = match e.direction {
                Direction::Outgoing => ("-", "->"),
                Direction::Incoming => ("<-", "-"),
                Direction::Both => ("-", "-"),
            };
            format!(
                "({}){left}[{}{types}{star}]{right}({})",
                variable(e.from),
                variable(e.edge),
                variable(e.to)
            )
        };
        match op {
            Op::Argument => "Once".into(),
            Op::Nothing | Op::Pass { .. } => "EmptyResult".into(),
            Op::AllNodes { slot, .. } => format!("ScanAll ({})", variable(*slot)),
            Op::LabelScan { slot, label, .. } => {
                format!("ScanAllByLabel ({} :{})", variable(*slot), label.name)
            }
            Op::IndexSeek { slot, index, .. } => {
                let mut text = format!("ScanAllByLabelProperties ({}", variable(*slot));
                if let IndexSpec::LabelProperties(label, keys) = index {
                    // Writing to a String cannot fail.
                    let _ = write!(text, " :{} {{", names.label_name(*label));
                    for (i, key) in keys.iter().enumerate() {
                        let _ = write!(text, "{}{}", if i > 0 { ", " } else { "" }, names.key_name(*key));
                    }
                    text.push('}');
                }
                text.push(')');
                text
            }
            Op::EdgeSeek { slot, index, bounds, .. } => {
                let how = match bounds {
                    _ if index.keys().is_empty() => "",
                    Bounds { from: None, to: None, prefix: None, .. } => "PropertyValue",
                    _ => "PropertyRange",
                };
                let keys: Vec<_> = index.keys().iter().map(|key| names.key_name(*key).to_string()).collect();
                let keys = if keys.is_empty() { String::new() } else { format!(" {{{}}}", keys.join(", ")) };
                let owner = index_owner(index, names);
                format!("ScanAllByEdgeType{how} [{} :{owner}{keys}]", variable(*slot))
            }
            Op::NodeById { slot, .. } => format!("ScanAllById ({})", variable(*slot)),
            Op::Expand(e) => format!("Expand{} {}", if e.into { "Into" } else { "" }, hop(e, "")),
            Op::VarExpand(e) => format!("ExpandVariable {}", hop(&e.hop, "*")),
            Op::Shortest(e) => {
                let word = match (&e.weight, e.all) {
                    (Some(_), false) => "WeightedShortestPath",
                    (None, false) => "BFSExpand",
                    (_, true) => "AllShortestPaths",
                };
                format!("{word} {}", hop(&e.hop, "*"))
            }
            Op::EdgeEnds { expand, .. } => format!("EdgeEnds [{}]", variable(expand.edge)),
            Op::Filter { .. } => "Filter".into(),
            Op::Project { items, .. } => {
                format!(
                    "Produce {{{}}}",
                    items.iter().map(|(_, s)| variable(*s)).collect::<Vec<_>>().join(", ")
                )
            }
            Op::NamedPath { slot, .. } => format!("ConstructNamedPath ({})", variable(*slot)),
            Op::Optional { .. } => "Optional".into(),
            Op::Apply { .. } => "Apply".into(),
            Op::ForEffect { .. } => "Apply (unit)".into(),
            Op::Unwind { slot, .. } => format!("Unwind {{{}}}", variable(*slot)),
            Op::Aggregate { keys, aggregates, .. } => format!(
                "Aggregate {{{}}} {{{}}}",
                aggregates.iter().map(|a| variable(a.slot)).collect::<Vec<_>>().join(", "),
                keys.iter().map(|(_, s)| variable(*s)).collect::<Vec<_>>().join(", ")
            ),
            Op::Distinct { .. } => "Distinct".into(),
            Op::Sort { top, .. } => {
                if top.is_empty() {
                    "OrderBy".into()
                } else {
                    "OrderBy (top)".into()
                }
            }
            Op::Skip { .. } => "Skip".into(),
            Op::Limit { .. } => "Limit".into(),
            Op::Eager { .. } => "Accumulate".into(),
            Op::Union { .. } => "Union".into(),
            Op::Create { items, .. } => items
                .iter()
                .map(|item| match item {
                    CreateItem::Node { slot, .. } => format!("CreateNode ({})", variable(*slot)),
                    CreateItem::Edge { slot, from, to, .. } => {
                        format!(
                            "CreateExpand ({})-[{}]->({})",
                            variable(*from),
                            variable(*slot),
                            variable(*to)
                        )
                    }
                })
                .collect::<Vec<_>>()
                .join(", "),
            Op::Merge(_) => "Merge".into(),
            Op::Set { .. } => "SetProperty".into(),
            Op::Delete { detach, .. } => {
                if *detach {
                    "DetachDelete".into()
                } else {
                    "Delete".into()
                }
            }
            Op::Foreach { slot, .. } => format!("Foreach {{{}}}", variable(*slot)),
            Op::Call { name, .. } => format!("CallProcedure<{name}>"),
            Op::LoadCsv(csv) => format!("LoadCsv {{{}}}", variable(csv.slot)),
            Op::CommitEach { .. } => "PeriodicCommit".into(),
            Op::InTransactions(_) => "PeriodicSubquery".into(),
            Op::Drain { .. } => "EmptyResult".into(),
        }
    }
}
