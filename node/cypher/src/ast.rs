//! What a query says, as a tree.
//!
//! The tree is flat where a text can be long: chains of `AND`, `+` or `=`, clauses, hops, `UNION`s are
//! vectors. Where it is deep the parser holds it below a fixed depth, so walks, `Clone`,
//! `Drop` and `==` may recurse.
//!
//! Equality is equality of meaning: two [`Span`]s are always equal.
//!
//! The parser leaves every [`VarId`] at [`VarId::NONE`]; analysis fills them in.

use mgnode_core::types::{SyncMode, TriggerEvent, TriggerPhase};
use std::sync::Arc;

/// A name as written, without backquotes.
pub type Name = Arc<str>;

/// Bytes of the query's text, `start..end`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// Returns the span from the beginning of `self` to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start, end: other.end.max(self.start) }
    }

    /// Returns what the span covers.
    pub fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or("")
    }
}

impl PartialEq for Span {
    fn eq(&self, _: &Span) -> bool {
        true
    }
}

/// Which variable: unique within a query, subqueries included.
///
/// `WITH x` keeps the id of `x`; `WITH x AS y` makes a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VarId(pub u32);

impl VarId {
    /// Not resolved.
    pub const NONE: VarId = VarId(u32::MAX);
}

/// A variable by name, where it is made or used.
#[derive(Clone, Debug, PartialEq)]
pub struct Ident {
    pub name: Name,
    pub span: Span,
    pub var: VarId,
}

/// A label, type, property key, function or procedure: a name that is no variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Symbol {
    pub name: Name,
    pub span: Span,
}

/// One statement of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    Query(Query),
    Explain(Query),
    Profile(Query),
    Transaction(TransactionStatement),
    Schema(SchemaStatement),
    Replication(ReplicationStatement),
    Show(ShowStatement),
    Admin(AdminStatement),
    /// Understood and not offered; `what` names it in the words of the language, in capitals.
    Unsupported {
        what: &'static str,
        span: Span,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatement {
    Begin,
    Commit,
    Rollback,
}

// ------------------------------------------------------------------------------------------ queries

/// One or more single queries joined by `UNION`.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// At least one.
    pub parts: Vec<SingleQuery>,
    /// True for `UNION ALL`; without meaning where there is one part.
    pub union_all: bool,
    pub directives: Directives,
    pub span: Span,
    /// What all spans point into; empty for a query inside another.
    pub text: Arc<str>,
}

/// What stands before or after a query and says how to run it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Directives {
    /// `USING PERIODIC COMMIT n`
    pub periodic_commit: Option<Expr>,
    /// `USING HOPS LIMIT n`
    pub hops_limit: Option<Expr>,
    /// `QUERY MEMORY LIMIT n MB`, in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// `USING INDEX :L(p), ...` before the first clause.
    pub hints: Vec<Hint>,
}

/// `USING INDEX [:L(p)]`, `USING INDEX n:L(p)`, `USING SCAN n:L`, `USING JOIN ON n`. May be ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct Hint {
    pub kind: HintKind,
    pub variable: Option<Ident>,
    pub label: Option<Symbol>,
    pub properties: Vec<Symbol>,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintKind {
    Index,
    Scan,
    Join,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SingleQuery {
    /// At least one.
    pub clauses: Vec<Clause>,
    /// After analysis: the variables that it returns, in the order of its columns.
    pub columns: Vec<VarId>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    pub kind: ClauseKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ClauseKind {
    Match(Match),
    Create(Vec<PathPattern>),
    Merge(Merge),
    Set(Vec<SetItem>),
    Remove(Vec<RemoveItem>),
    Delete(Delete),
    With(Projection),
    Return(Projection),
    Unwind(Unwind),
    Call(CallProcedure),
    Subquery(CallSubquery),
    Foreach(Foreach),
    LoadCsv(LoadCsv),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    pub optional: bool,
    pub patterns: Vec<PathPattern>,
    pub hints: Vec<Hint>,
    pub filter: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    pub pattern: PathPattern,
    pub on_create: Vec<SetItem>,
    pub on_match: Vec<SetItem>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    pub detach: bool,
    pub targets: Vec<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Unwind {
    pub list: Expr,
    pub variable: Ident,
}

/// `SET` one thing.
#[derive(Clone, Debug, PartialEq)]
pub struct SetItem {
    pub kind: SetKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SetKind {
    /// `target.key = value`
    Property { target: Expr, key: Symbol, value: Expr },
    /// `target[key] = value`
    DynamicProperty { target: Expr, key: Expr, value: Expr },
    /// `variable = value`: all properties are replaced.
    Replace { variable: Ident, value: Expr },
    /// `variable += value`
    Merge { variable: Ident, value: Expr },
    /// `variable:L:M`
    Labels { variable: Ident, labels: Vec<LabelName> },
}

/// `REMOVE` one thing.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoveItem {
    pub kind: RemoveKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RemoveKind {
    /// `target.key`
    Property { target: Expr, key: Symbol },
    /// `target[key]`
    DynamicProperty { target: Expr, key: Expr },
    /// `variable:L:M`
    Labels { variable: Ident, labels: Vec<LabelName> },
}

/// `WITH` or `RETURN`.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    pub distinct: bool,
    /// `*` was written. After analysis `items` begins with the variables that it stands for, by name.
    pub star: bool,
    pub items: Vec<ProjectionItem>,
    /// After analysis: sees the items' variables, and where there is neither `DISTINCT` nor an aggregate
    /// also the variables before the projection. A subexpression that is an item's is its variable.
    pub order_by: Vec<SortItem>,
    pub skip: Option<Expr>,
    pub limit: Option<Expr>,
    /// `WHERE`, only of a `WITH`. Sees what `order_by` sees.
    pub filter: Option<Expr>,
    /// After analysis: some item holds an aggregate. The items without one are the grouping keys.
    pub aggregates: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ProjectionItem {
    pub expr: Expr,
    pub alias: Option<Ident>,
    /// Column: the alias, or the text of the expression as written.
    pub name: Name,
    /// After analysis: the variable that holds it from here on.
    pub var: VarId,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SortItem {
    pub expr: Expr,
    pub descending: bool,
}

/// `CALL procedure(...) YIELD ...`
#[derive(Clone, Debug, PartialEq)]
pub struct CallProcedure {
    pub optional: bool,
    /// With its namespaces, `a.b.c`.
    pub name: Symbol,
    /// None where there are no parentheses: arguments come from parameters of the same names.
    pub args: Option<Vec<Expr>>,
    pub yields: Yield,
    pub filter: Option<Expr>,
    /// It is the whole query: what it yields is what the query returns.
    pub standalone: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Yield {
    /// Not written.
    None,
    /// `YIELD -`: nothing is kept.
    Nothing,
    /// `YIELD *`
    All,
    Items(Vec<YieldItem>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct YieldItem {
    pub field: Symbol,
    /// The field's name where no alias is written.
    pub variable: Ident,
}

/// `CALL { ... }`
#[derive(Clone, Debug, PartialEq)]
pub struct CallSubquery {
    pub optional: bool,
    pub query: Box<Query>,
    pub imports: Imports,
    pub in_transactions: Option<InTransactions>,
    /// After analysis: what it returns as seen outside, in the order of its columns, which inside are
    /// [`SingleQuery::columns`]. Empty where it returns nothing.
    pub returns: Vec<VarId>,
}

/// What a `CALL` subquery sees of the query around it.
#[derive(Clone, Debug, PartialEq)]
pub enum Imports {
    /// `CALL { WITH a ... }`: what its first `WITH` names, or nothing.
    Inside,
    /// `CALL (*) { ... }`
    All,
    /// `CALL (a, b) { ... }`
    Named(Vec<Ident>),
}

/// `IN TRANSACTIONS OF n ROWS`
#[derive(Clone, Debug, PartialEq)]
pub struct InTransactions {
    pub rows: Option<Expr>,
    pub on_error: OnError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    Fail,
    Continue,
    Break,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Foreach {
    pub variable: Ident,
    pub list: Expr,
    /// Writing clauses only.
    pub body: Vec<Clause>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LoadCsv {
    pub source: Expr,
    /// `HEADER` or `NO HEADER`; Neo4j's form without the word is `NO HEADER`.
    pub with_header: bool,
    /// Neo4j's form: records of any width, and an empty field is null.
    pub is_lenient: bool,
    pub ignore_bad: bool,
    pub delimiter: Option<Expr>,
    pub quote: Option<Expr>,
    pub null_text: Option<Expr>,
    pub variable: Ident,
}

// ----------------------------------------------------------------------------------------- patterns

/// `p = (a)-[r]->(b)-...`
#[derive(Clone, Debug, PartialEq)]
pub struct PathPattern {
    /// The path's name, where it has one.
    pub variable: Option<Ident>,
    pub shortest: Shortest,
    pub start: NodePattern,
    pub hops: Vec<Hop>,
    pub span: Span,
}

/// Whether all paths are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortest {
    /// All of them.
    No,
    /// `shortestPath(...)`
    One,
    /// `allShortestPaths(...)`
    All,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    pub relationship: RelationshipPattern,
    pub node: NodePattern,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NodePattern {
    pub variable: Option<Ident>,
    /// After analysis: its variable, for nodes without a name too.
    pub var: VarId,
    /// All of them must hold.
    pub labels: Vec<LabelExpr>,
    /// A map or a parameter.
    pub properties: Option<Box<Expr>>,
    /// `WHERE` inside the parentheses.
    pub filter: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RelationshipPattern {
    pub variable: Option<Ident>,
    /// After analysis: its variable, for relationships without a name too. A list where `length` is set.
    pub var: VarId,
    /// Any of them; all types where empty.
    pub types: Vec<LabelName>,
    pub direction: Direction,
    /// Set for `*`: the variable is a list of relationships.
    pub length: Option<VariableLength>,
    /// A map or a parameter.
    pub properties: Option<Box<Expr>>,
    /// `WHERE` inside the brackets.
    pub filter: Option<Box<Expr>>,
    pub span: Span,
}

/// As read from left to right. `<-->` is `Both`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `-->`
    Out,
    /// `<--`
    In,
    /// `--`
    Both,
}

/// `*min..max` and what Memgraph adds to it.
#[derive(Clone, Debug, PartialEq)]
pub struct VariableLength {
    /// 1 where not written. An integer literal, a parameter or another constant expression.
    pub min: Option<Box<Expr>>,
    /// Without limit where not written.
    pub max: Option<Box<Expr>>,
    pub expansion: Expansion,
    /// `(r, n | condition)`: every step must satisfy it.
    pub filter: Option<Box<Lambda>>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expansion {
    /// Every path without a repeated relationship.
    Walk,
    /// `*BFS`: one shortest path to each end.
    Bfs,
    /// `*WSHORTEST`: one path of the least weight to each end.
    WeightedShortest { weight: Option<Box<Lambda>>, total: Option<Ident> },
    /// `*ALLSHORTEST`: every path of the least weight to each end.
    AllShortest { weight: Option<Box<Lambda>>, total: Option<Ident> },
    /// `*KSHORTEST | k`
    KShortest { limit: Option<Box<Expr>> },
}

/// `(r, n [, path [, weight]] | body)`
#[derive(Clone, Debug, PartialEq)]
pub struct Lambda {
    pub relationship: Ident,
    pub node: Ident,
    pub path: Option<Ident>,
    pub weight: Option<Ident>,
    pub body: Expr,
    pub span: Span,
}

/// A label or type, known now or when the query runs.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelName {
    Name(Symbol),
    /// `:$name` or `:$(expression)`: a string, or a list of strings that all hold.
    Dynamic(Box<Expr>),
}

/// A condition on labels.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelExpr {
    Label(LabelName),
    /// `%`: at least one label.
    Any,
    Not(Box<LabelExpr>),
    And(Vec<LabelExpr>),
    Or(Vec<LabelExpr>),
}

// -------------------------------------------------------------------------------------- expressions

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

impl Expr {
    pub fn new(kind: ExprKind, span: Span) -> Expr {
        Expr { kind, span }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    Literal(Literal),
    /// `$name`, `$0`
    Parameter(Name),
    Variable(Ident),
    Property {
        base: Box<Expr>,
        key: Symbol,
    },
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// `base[from..to]`
    Slice {
        base: Box<Expr>,
        from: Option<Box<Expr>>,
        to: Option<Box<Expr>>,
    },
    List(Vec<Expr>),
    Map(Vec<(Symbol, Expr)>),
    MapProjection(Box<MapProjection>),
    /// `a AND b AND c`: two or more.
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Xor(Vec<Expr>),
    Not(Box<Expr>),
    /// `a < b <= c`: holds if every neighbouring pair does. `rest` is not empty.
    Comparison {
        first: Box<Expr>,
        rest: Vec<(CompareOp, Expr)>,
    },
    /// `a + b - c`: from left to right, operators of one precedence. `rest` is not empty.
    Arithmetic {
        first: Box<Expr>,
        rest: Vec<(ArithmeticOp, Expr)>,
    },
    /// `-a`; a minus before a number literal is part of the literal.
    Negate(Box<Expr>),
    /// `+a`
    Plus(Box<Expr>),
    In {
        element: Box<Expr>,
        list: Box<Expr>,
    },
    StringTest {
        op: StringOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    IsNull {
        expr: Box<Expr>,
        negated: bool,
    },
    /// `n:L:M`, for a relationship `r:T`. All of them must hold.
    HasLabels {
        expr: Box<Expr>,
        labels: Vec<LabelExpr>,
    },
    /// A function that is no aggregate; `name` as written, with its namespaces.
    Function {
        name: Symbol,
        args: Vec<Expr>,
    },
    Aggregate(Box<Aggregate>),
    Case(Box<Case>),
    ListComprehension(Box<ListComprehension>),
    PatternComprehension(Box<PatternComprehension>),
    Quantifier(Box<Quantifier>),
    Reduce(Box<Reduce>),
    /// `(a)-->(b)` as a condition: it names no new variable.
    PatternPredicate(Box<PathPattern>),
    /// `shortestPath(...)` and `allShortestPaths(...)` as a value: a path, or a list of them.
    ShortestPath(Box<PathPattern>),
    /// `EXISTS { ... }` and `exists((a)-->(b))`. A pattern alone is a `MATCH` without a `RETURN`.
    Exists(Box<Query>),
    /// `COUNT { ... }`
    CountSubquery(Box<Query>),
    /// `COLLECT { ... }`
    CollectSubquery(Box<Query>),
    /// `Enum::Value`
    Enum {
        name: Symbol,
        value: Symbol,
    },
}

#[derive(Clone, Debug)]
pub enum Literal {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    String(Arc<str>),
}

impl PartialEq for Literal {
    fn eq(&self, other: &Literal) -> bool {
        match (self, other) {
            (Literal::Null, Literal::Null) => true,
            (Literal::Boolean(a), Literal::Boolean(b)) => a == b,
            (Literal::Integer(a), Literal::Integer(b)) => a == b,
            (Literal::Float(a), Literal::Float(b)) => a.to_bits() == b.to_bits(),
            (Literal::String(a), Literal::String(b)) => a == b,
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithmeticOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    /// `||`: strings or lists one after the other.
    Concatenate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringOp {
    StartsWith,
    EndsWith,
    Contains,
    /// `=~`
    Matches,
}

/// `variable { .key, key: value, other, .* }`
#[derive(Clone, Debug, PartialEq)]
pub struct MapProjection {
    pub base: Ident,
    pub items: Vec<MapProjectionItem>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MapProjectionItem {
    /// `.key`
    Property(Symbol),
    /// `key: value`
    Entry(Symbol, Expr),
    /// `other`: its name is the key.
    Variable(Ident),
    /// `.*`
    All,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub function: AggregateFunction,
    pub distinct: bool,
    /// Empty for `CountStar`, two for the percentiles, else one.
    pub args: Vec<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateFunction {
    CountStar,
    Count,
    Sum,
    Avg,
    Min,
    Max,
    Collect,
    StDev,
    StDevP,
    PercentileCont,
    PercentileDisc,
}

impl AggregateFunction {
    /// Returns the aggregate of that name, whatever its case. `count(*)` is `CountStar`.
    pub fn by_name(name: &str) -> Option<AggregateFunction> {
        const NAMES: [(&str, AggregateFunction); 10] = [
            ("count", AggregateFunction::Count),
            ("sum", AggregateFunction::Sum),
            ("avg", AggregateFunction::Avg),
            ("min", AggregateFunction::Min),
            ("max", AggregateFunction::Max),
            ("collect", AggregateFunction::Collect),
            ("stdev", AggregateFunction::StDev),
            ("stdevp", AggregateFunction::StDevP),
            ("percentilecont", AggregateFunction::PercentileCont),
            ("percentiledisc", AggregateFunction::PercentileDisc),
        ];
        NAMES.iter().find(|(word, _)| word.eq_ignore_ascii_case(name)).map(|(_, function)| *function)
    }

    /// Returns how many arguments it takes.
    pub fn arity(self) -> usize {
        match self {
            AggregateFunction::CountStar => 0,
            AggregateFunction::PercentileCont | AggregateFunction::PercentileDisc => 2,
            _ => 1,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// `CASE subject WHEN value THEN ...`; None where each branch has a condition.
    pub subject: Option<Expr>,
    /// At least one: `WHEN`, `THEN`.
    pub branches: Vec<(Expr, Expr)>,
    pub default: Option<Expr>,
}

/// `[variable IN list WHERE filter | result]`
#[derive(Clone, Debug, PartialEq)]
pub struct ListComprehension {
    pub variable: Ident,
    pub list: Expr,
    pub filter: Option<Expr>,
    pub result: Option<Expr>,
}

/// `[(a)-->(b) WHERE filter | result]`
#[derive(Clone, Debug, PartialEq)]
pub struct PatternComprehension {
    pub pattern: PathPattern,
    pub filter: Option<Expr>,
    pub result: Expr,
}

/// `all(variable IN list WHERE predicate)`
#[derive(Clone, Debug, PartialEq)]
pub struct Quantifier {
    pub kind: QuantifierKind,
    pub variable: Ident,
    pub list: Expr,
    pub predicate: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantifierKind {
    All,
    Any,
    None,
    Single,
}

/// `reduce(accumulator = initial, variable IN list | body)`
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    pub accumulator: Ident,
    pub initial: Expr,
    pub variable: Ident,
    pub list: Expr,
    pub body: Expr,
}

// --------------------------------------------------------------------------------------- statements

/// Indexes, constraints and enums.
#[derive(Clone, Debug, PartialEq)]
pub enum SchemaStatement {
    CreateIndex {
        index: Index,
        /// Neo4j's form gives names; they are ignored, and the client is told.
        name: Option<Symbol>,
        if_not_exists: bool,
    },
    DropIndex {
        index: Index,
    },
    /// `DROP INDEX name`: indexes have no names here.
    DropNamedIndex {
        name: Symbol,
        if_exists: bool,
    },
    DropAllIndexes,
    CreateConstraint {
        constraint: Constraint,
        name: Option<Symbol>,
        if_not_exists: bool,
    },
    DropConstraint {
        constraint: Constraint,
    },
    /// `DROP CONSTRAINT name`: constraints have no names here.
    DropNamedConstraint {
        name: Symbol,
        if_exists: bool,
    },
    DropAllConstraints,
    CreateEnum {
        name: Symbol,
        values: Vec<Symbol>,
    },
    AlterEnumAdd {
        name: Symbol,
        value: Symbol,
    },
    AlterEnumUpdate {
        name: Symbol,
        from: Symbol,
        to: Symbol,
    },
    DropEnum {
        name: Symbol,
    },
    /// `CREATE TRIGGER name [ON event] BEFORE COMMIT EXECUTE statement`
    CreateTrigger {
        name: Symbol,
        event: TriggerEvent,
        phase: TriggerPhase,
        /// A query, as it was written.
        statement: Name,
    },
    DropTrigger {
        name: Symbol,
    },
}

/// An index by what it covers.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    pub kind: IndexKind,
    /// Label or type; None for the global kinds.
    pub label: Option<Symbol>,
    /// In the order written; `a.b` is a path inside a map.
    pub properties: Vec<PropertyPath>,
    /// `WITH CONFIG {...}`, `OPTIONS {...}`: not looked into.
    pub has_config: bool,
    pub span: Span,
}

/// A property, or a path inside a property that is a map.
#[derive(Clone, Debug, PartialEq)]
pub struct PropertyPath {
    /// At least one.
    pub parts: Vec<Symbol>,
    pub descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// `ON :L`, `ON :L(p, q)`
    Label,
    /// `CREATE EDGE INDEX ON :T[(p)]`
    EdgeType,
    /// `CREATE GLOBAL INDEX ON :(p)`
    GlobalProperty,
    /// `CREATE GLOBAL EDGE INDEX ON :(p)`
    GlobalEdgeProperty,
    Point,
    Text,
    TextEdge,
    Vector,
    VectorEdge,
    /// Neo4j's token lookup index.
    Lookup,
}

impl IndexKind {
    /// Returns the words of the statement, for messages.
    pub fn words(self) -> &'static str {
        match self {
            IndexKind::Label => "INDEX",
            IndexKind::EdgeType => "EDGE INDEX",
            IndexKind::GlobalProperty => "GLOBAL INDEX",
            IndexKind::GlobalEdgeProperty => "GLOBAL EDGE INDEX",
            IndexKind::Point => "POINT INDEX",
            IndexKind::Text => "TEXT INDEX",
            IndexKind::TextEdge => "TEXT EDGE INDEX",
            IndexKind::Vector => "VECTOR INDEX",
            IndexKind::VectorEdge => "VECTOR EDGE INDEX",
            IndexKind::Lookup => "LOOKUP INDEX",
        }
    }
}

/// A constraint by what it demands.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    pub kind: ConstraintKind,
    /// Label, or type where `on_relationship`.
    pub label: Symbol,
    pub on_relationship: bool,
    /// At least one, in the order written.
    pub properties: Vec<Symbol>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ConstraintKind {
    Exists,
    Unique,
    /// `IS TYPED STRING`, `IS :: STRING`; the word in capitals.
    Typed(Symbol),
    /// `IS NODE KEY`: exists and unique.
    NodeKey,
}

/// Roles, registrations and what an operator asks of them. All are refused inside a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplicationStatement {
    SetRoleMain {
        epoch: Option<u64>,
    },
    SetRoleReplica {
        port: u16,
    },
    ShowRole,
    ShowState,
    ShowLag,
    ShowReplicas,
    /// `address` is `host:port`, the default port filled in.
    Register {
        name: Name,
        mode: SyncMode,
        address: Name,
    },
    Drop {
        name: Name,
    },
    Fence {
        epoch: u64,
        by: Name,
    },
    ConfirmMain,
    Rewind {
        to: Name,
    },
    Release,
    TransactionOutcome {
        position: Name,
    },
}

/// Statements that answer with a table about the node.
#[derive(Clone, Debug, PartialEq)]
pub enum ShowStatement {
    Indexes,
    Constraints,
    StorageInfo(StorageScope),
    BuildInfo,
    Version,
    Databases,
    Database,
    Config,
    DatabaseSettings,
    DatabaseSetting(Name),
    Snapshots,
    NextSnapshot,
    /// Only those with one of these words where there are any: `running`, `committing`, `aborting`.
    Transactions(Vec<&'static str>),
    Triggers,
    Enums,
    Users,
    Roles,
    CurrentUser,
    ActiveUsers,
    LicenseInfo,
    SchemaInfo,
    MetricsInfo,
    Functions,
    Procedures,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StorageScope {
    /// `SHOW STORAGE INFO`
    Node,
    /// `ON CURRENT DATABASE`
    CurrentDatabase,
    /// `ON DATABASE name`
    Database(Symbol),
}

/// Statements that change how the node runs.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminStatement {
    CreateSnapshot,
    RecoverSnapshot {
        path: Expr,
        has_config: bool,
        force: bool,
    },
    FreeMemory,
    /// Ids as written: string literals or parameters; `"*"` stands for all.
    TerminateTransactions(Vec<Expr>),
    SetIsolationLevel {
        scope: IsolationScope,
        level: IsolationLevel,
    },
    SetStorageMode(StorageMode),
    AnalyzeGraph {
        labels: Vec<Symbol>,
        delete: bool,
    },
    DumpDatabase,
    DropGraph,
    LockDataDirectory,
    UnlockDataDirectory,
    DataDirectoryLockStatus,
    SetDatabaseSetting {
        name: Name,
        value: Name,
    },
    UseDatabase(Symbol),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationScope {
    Global,
    Session,
    NextTransaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationLevel {
    SnapshotIsolation,
    ReadCommitted,
    ReadUncommitted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageMode {
    InMemoryTransactional,
    InMemoryAnalytical,
    OnDiskTransactional,
}
