//! Expressions: names, types, and where aggregates may stand.

use super::scope::{Analyzer, Scope};
use super::types::{Base, Type};
use crate::ast::*;
use crate::error::{CypherError, ErrorKind, did_you_mean};

type Result<T, E = CypherError> = std::result::Result<T, E>;

/// Whether an aggregate may stand here.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Aggregates {
    /// Yes: an item of a projection.
    Here,
    /// No.
    Nowhere,
    /// No: this is inside one.
    Inside,
}

/// Where an expression stands.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) aggregates: Aggregates,
    /// A pattern may stand as a condition.
    pub(super) patterns: bool,
}

impl Context {
    pub(super) const VALUE: Context = Context { aggregates: Aggregates::Nowhere, patterns: false };
    pub(super) const CONDITION: Context = Context { aggregates: Aggregates::Nowhere, patterns: true };
    pub(super) const ITEM: Context = Context { aggregates: Aggregates::Here, patterns: false };

    fn value(self) -> Context {
        Context { patterns: false, ..self }
    }

    fn condition(self) -> Context {
        Context { patterns: true, ..self }
    }
}

impl Analyzer<'_> {
    /// Looks into a condition, such as that of a `WHERE`.
    pub(super) fn condition(&mut self, expr: &mut Expr) -> Result<()> {
        let kind = self.expr(expr, Context::CONDITION)?;
        check_boolean(expr, kind)
    }

    /// Resolves the names of an expression and returns its type.
    pub(super) fn expr(&mut self, expr: &mut Expr, context: Context) -> Result<Type> {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Literal(literal) => Ok(Type::of(match literal {
                Literal::Null => Base::Null,
                Literal::Boolean(_) => Base::Boolean,
                Literal::Integer(_) => Base::Integer,
                Literal::Float(_) => Base::Float,
                Literal::String(_) => Base::String,
            })),
            ExprKind::Parameter(_) | ExprKind::Enum { .. } => Ok(Type::ANY),
            ExprKind::Variable(ident) => self.resolve(ident),
            ExprKind::Property { base, key } => {
                let kind = self.expr(base, context.value())?;
                check_property(&key.name, span, kind)?;
                Ok(Type::ANY)
            }
            ExprKind::Index { .. } | ExprKind::Slice { .. } => self.indexed(expr, context.value()),
            ExprKind::List(items) => {
                let mut element: Option<Type> = None;
                for item in items {
                    let kind = self.expr(item, context.value())?;
                    element = Some(element.map_or(kind, |before| before.or(kind)));
                }
                Ok(Type::list_of(element.map_or(Base::Any, |element| element.base)))
            }
            ExprKind::Map(entries) => {
                for (_, value) in entries {
                    self.expr(value, context.value())?;
                }
                Ok(Type::of(Base::Map))
            }
            ExprKind::MapProjection(projection) => self.map_projection(projection, context.value()),
            ExprKind::And(all) | ExprKind::Or(all) | ExprKind::Xor(all) => {
                for operand in all {
                    let kind = self.expr(operand, context)?;
                    check_boolean(operand, kind)?;
                }
                Ok(Type::BOOLEAN)
            }
            ExprKind::Not(inner) => {
                let kind = self.expr(inner, context)?;
                check_boolean(inner, kind)?;
                Ok(Type::BOOLEAN)
            }
            ExprKind::Comparison { first, rest } => {
                self.expr(first, context)?;
                for (_, operand) in rest {
                    self.expr(operand, context)?;
                }
                Ok(Type::BOOLEAN)
            }
            ExprKind::Arithmetic { first, rest } => {
                let mut kind = self.expr(first, context.value())?;
                for (op, operand) in rest {
                    let right = self.expr(operand, context.value())?;
                    kind = arithmetic(*op, kind, right, span)?;
                }
                Ok(kind)
            }
            ExprKind::Negate(inner) | ExprKind::Plus(inner) => {
                let kind = self.expr(inner, context.value())?;
                if !kind.can_be(&[Base::Integer, Base::Float]) {
                    return Err(wrong_type(span, "A sign", "a number", kind));
                }
                Ok(kind)
            }
            ExprKind::In { element, list } => {
                self.expr(element, context.value())?;
                let kind = self.expr(list, context.value())?;
                if !kind.can_be(&[Base::List]) {
                    return Err(wrong_type(list.span, "The right side of `IN`", "a list", kind));
                }
                Ok(Type::BOOLEAN)
            }
            ExprKind::StringTest { left, right, .. } => {
                self.expr(left, context.value())?;
                self.expr(right, context.value())?;
                Ok(Type::BOOLEAN)
            }
            ExprKind::IsNull { expr: inner, .. } => {
                self.expr(inner, context.value())?;
                Ok(Type::BOOLEAN)
            }
            ExprKind::HasLabels { expr: inner, labels } => {
                let kind = self.expr(inner, context.value())?;
                if !kind.can_be(&[Base::Node, Base::Relationship]) {
                    return Err(wrong_type(span, "A label", "a node or a relationship", kind));
                }
                labels.iter_mut().try_for_each(|label| self.label(label))?;
                Ok(Type::BOOLEAN)
            }
            ExprKind::Function { name, args } => self.function(name, args, span, context.value()),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, span, context),
            ExprKind::Case(case) => self.case(case, context),
            ExprKind::ListComprehension(comprehension) => self.list_comprehension(comprehension, context),
            ExprKind::PatternComprehension(comprehension) => {
                self.pattern_comprehension(comprehension, context)
            }
            ExprKind::Quantifier(quantifier) => self.quantifier(quantifier, context),
            ExprKind::Reduce(reduce) => self.reduce(reduce, context),
            ExprKind::PatternPredicate(path) => {
                if !context.patterns {
                    return Err(CypherError::syntax(
                        "UnexpectedSyntax",
                        span,
                        "A pattern stands for a condition only in `WHERE` and its like; \
                         elsewhere write `exists(...)` or a pattern comprehension.",
                    ));
                }
                self.predicate_pattern(path)?;
                Ok(Type::BOOLEAN)
            }
            ExprKind::ShortestPath(path) => {
                let shortest = path.shortest;
                self.predicate_pattern(path)?;
                Ok(match shortest {
                    Shortest::All => Type::list_of(Base::Path),
                    _ => Type::of(Base::Path),
                })
            }
            ExprKind::Exists(query) => {
                self.subquery_expression(query, false)?;
                Ok(Type::BOOLEAN)
            }
            ExprKind::CountSubquery(query) => {
                self.subquery_expression(query, false)?;
                Ok(Type::of(Base::Integer))
            }
            ExprKind::CollectSubquery(query) => {
                self.subquery_expression(query, true)?;
                Ok(Type::of(Base::List))
            }
        }
    }

    fn indexed(&mut self, expr: &mut Expr, context: Context) -> Result<Type> {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Index { base, index } => {
                let kind = self.expr(base, context)?;
                let index_kind = self.expr(index, context)?;
                if !kind.can_be(&[Base::List, Base::Map, Base::Node, Base::Relationship]) {
                    let message = format!("{} has no elements to take by index.", capital(kind.word()));
                    return Err(CypherError::compile(
                        ErrorKind::TypeError,
                        "InvalidArgumentType",
                        span,
                        message,
                    ));
                }
                if kind.base == Base::List && !index_kind.can_be(&[Base::Integer]) {
                    let message = format!("A list is indexed by an integer, not by {}.", index_kind.word());
                    return Err(CypherError::compile(
                        ErrorKind::TypeError,
                        "InvalidArgumentType",
                        index.span,
                        message,
                    ));
                }
                Ok(if kind.base == Base::List { Type::of(kind.element) } else { Type::ANY })
            }
            ExprKind::Slice { base, from, to } => {
                let kind = self.expr(base, context)?;
                for bound in [from, to].into_iter().flatten() {
                    self.expr(bound, context)?;
                }
                Ok(if kind.base == Base::List { kind } else { Type::ANY })
            }
            _ => Ok(Type::ANY),
        }
    }

    fn map_projection(&mut self, projection: &mut MapProjection, context: Context) -> Result<Type> {
        let kind = self.resolve(&mut projection.base)?;
        if !kind.can_be(&[Base::Node, Base::Relationship, Base::Map]) {
            return Err(wrong_type(projection.base.span, "A map projection", "a node or a map", kind));
        }
        for item in &mut projection.items {
            match item {
                MapProjectionItem::Property(_) | MapProjectionItem::All => {}
                MapProjectionItem::Entry(_, value) => {
                    self.expr(value, context)?;
                }
                MapProjectionItem::Variable(variable) => {
                    self.resolve(variable)?;
                }
            }
        }
        Ok(Type::of(Base::Map))
    }

    fn function(&mut self, name: &Symbol, args: &mut [Expr], span: Span, context: Context) -> Result<Type> {
        let Some(arity) = self.catalog.function(&name.name) else {
            let mut message = format!("Unknown function `{}`.", name.name);
            let mut names = self.catalog.function_names();
            names.extend(["count", "sum", "avg", "min", "max", "collect", "stDev", "percentileCont"]);
            if let Some(meant) = did_you_mean(&name.name, names) {
                message.push_str(&format!(" Did you mean `{meant}`?"));
            }
            return Err(CypherError::syntax("UnknownFunction", name.span, message));
        };
        if args.len() < arity.min || args.len() > arity.max {
            let needed = match (arity.min, arity.max) {
                (min, max) if min == max => min.to_string(),
                (min, usize::MAX) => format!("at least {min}"),
                (min, max) => format!("{min} to {max}"),
            };
            let message = format!("`{}` takes {needed} argument(s), {} given.", name.name, args.len());
            return Err(CypherError::syntax("InvalidNumberOfArguments", span, message));
        }
        if context.aggregates == Aggregates::Inside && name.name.eq_ignore_ascii_case("rand") {
            let message =
                "`rand()` cannot stand inside an aggregate: it is not the same for a row each time.";
            return Err(CypherError::syntax("NonConstantExpression", span, message));
        }
        let mut kinds = Vec::with_capacity(args.len());
        for arg in args.iter_mut() {
            kinds.push(self.expr(arg, context)?);
        }
        let first = kinds.first().copied().unwrap_or(Type::ANY);
        let (takes, yields) = signature(&name.name, first);
        if !takes.is_empty() && !first.can_be(takes) {
            let wanted: Vec<&str> = takes.iter().map(|base| Type::of(*base).word()).collect();
            let what = format!("The argument of `{}`", name.name);
            return Err(wrong_type(span, &what, &wanted.join(" or "), first));
        }
        Ok(yields)
    }

    fn aggregate(&mut self, aggregate: &mut Aggregate, span: Span, context: Context) -> Result<Type> {
        match context.aggregates {
            Aggregates::Here => {}
            Aggregates::Inside => {
                let message = "An aggregate cannot stand inside an aggregate; use a `WITH` between them.";
                return Err(CypherError::syntax("NestedAggregation", span, message));
            }
            Aggregates::Nowhere => {
                let message = "An aggregate cannot stand here; compute it in a `WITH` before.";
                return Err(CypherError::syntax("InvalidAggregation", span, message));
            }
        }
        self.aggregates_seen += 1;
        let inside = Context { aggregates: Aggregates::Inside, patterns: false };
        let mut first = Type::ANY;
        for (n, arg) in aggregate.args.iter_mut().enumerate() {
            let kind = self.expr(arg, inside)?;
            if n == 0 {
                first = kind;
            }
        }
        Ok(match aggregate.function {
            AggregateFunction::CountStar | AggregateFunction::Count => Type::of(Base::Integer),
            AggregateFunction::Collect => Type::list_of(first.base),
            _ => Type::ANY,
        })
    }

    fn case(&mut self, case: &mut Case, context: Context) -> Result<Type> {
        if let Some(subject) = &mut case.subject {
            self.expr(subject, context.value())?;
        }
        let mut kind: Option<Type> = None;
        let mut add = |one: Type| kind = Some(kind.map_or(one, |before: Type| before.or(one)));
        for (when, then) in &mut case.branches {
            let when_context = if case.subject.is_none() { context.condition() } else { context.value() };
            let when_kind = self.expr(when, when_context)?;
            if case.subject.is_none() {
                check_boolean(when, when_kind)?;
            }
            add(self.expr(then, context)?);
        }
        match &mut case.default {
            Some(default) => add(self.expr(default, context)?),
            None => add(Type::of(Base::Null)),
        }
        Ok(kind.unwrap_or(Type::ANY))
    }

    fn list_comprehension(
        &mut self,
        comprehension: &mut ListComprehension,
        context: Context,
    ) -> Result<Type> {
        let ListComprehension { variable, list, filter, result } = comprehension;
        let element = self.listed(list, context)?;
        let inner = within(context);
        self.with_locals(vec![(variable, element)], |a| {
            if let Some(filter) = filter {
                let kind = a.expr(filter, inner.condition())?;
                check_boolean(filter, kind)?;
            }
            match result {
                Some(result) => Ok(Type::list_of(a.expr(result, inner)?.base)),
                None => Ok(Type::list_of(element.base)),
            }
        })
    }

    /// Returns the type of the elements of what must be a list.
    fn listed(&mut self, list: &mut Expr, context: Context) -> Result<Type> {
        let kind = self.expr(list, context.value())?;
        if !kind.can_be(&[Base::List]) {
            return Err(wrong_type(list.span, "What stands behind `IN`", "a list", kind));
        }
        Ok(if kind.base == Base::List { Type::of(kind.element) } else { Type::ANY })
    }

    fn pattern_comprehension(
        &mut self,
        comprehension: &mut PatternComprehension,
        context: Context,
    ) -> Result<Type> {
        let outer = self.scope.clone();
        self.reads = true;
        self.match_patterns(std::slice::from_mut(&mut comprehension.pattern))?;
        if let Some(filter) = &mut comprehension.filter {
            self.condition(filter)?;
        }
        let kind = self.expr(&mut comprehension.result, within(context))?;
        self.scope = outer;
        Ok(Type::list_of(kind.base))
    }

    fn quantifier(&mut self, quantifier: &mut Quantifier, context: Context) -> Result<Type> {
        let Quantifier { variable, list, predicate, .. } = quantifier;
        let element = self.listed(list, context)?;
        let inner = within(context).condition();
        self.with_locals(vec![(variable, element)], |a| {
            let kind = a.expr(predicate, inner)?;
            check_boolean(predicate, kind)
        })?;
        Ok(Type::BOOLEAN)
    }

    fn reduce(&mut self, reduce: &mut Reduce, context: Context) -> Result<Type> {
        let Reduce { accumulator, initial, variable, list, body } = reduce;
        self.expr(initial, context.value())?;
        let element = self.listed(list, context)?;
        let inner = within(context);
        self.with_locals(vec![(accumulator, Type::ANY), (variable, element)], |a| a.expr(body, inner))?;
        Ok(Type::ANY)
    }

    fn subquery_expression(&mut self, query: &mut Query, needs_column: bool) -> Result<()> {
        let outer: Scope = self.scope.clone();
        let wrote = std::mem::replace(&mut self.writes, false);
        let columns = self.nested_query(query)?;
        if self.writes {
            let message = "A subquery in an expression can only read.";
            return Err(CypherError::syntax("InvalidClauseComposition", query.span, message));
        }
        if needs_column && columns.len() != 1 {
            let message = "`COLLECT { ... }` must return exactly one column.";
            return Err(CypherError::syntax("UnexpectedSyntax", query.span, message));
        }
        self.writes = wrote;
        self.scope = outer;
        Ok(())
    }
}

/// Aggregates cannot use what is bound inside an expression.
fn within(context: Context) -> Context {
    let aggregates = match context.aggregates {
        Aggregates::Inside => Aggregates::Inside,
        _ => Aggregates::Nowhere,
    };
    Context { aggregates, ..context.value() }
}

/// Returns what the first argument of a function can be, where that is known, and what it yields.
fn signature(name: &str, first: Type) -> (&'static [Base], Type) {
    use Base::*;
    let lower = name.to_ascii_lowercase();
    let (takes, yields): (&'static [Base], Type) = match lower.as_str() {
        "length" => (&[Path, List, String], Type::of(Integer)),
        "size" => (&[List, String, Map], Type::of(Integer)),
        "properties" => (&[Node, Relationship, Map], Type::of(Map)),
        "labels" => (&[Node], Type::list_of(String)),
        "type" => (&[Relationship], Type::of(String)),
        "id" => (&[Node, Relationship], Type::of(Integer)),
        "nodes" => (&[Path, List], Type::list_of(Node)),
        "relationships" => (&[Path, List], Type::list_of(Relationship)),
        "startnode" | "endnode" => (&[Relationship], Type::of(Node)),
        "keys" => (&[Node, Relationship, Map], Type::list_of(String)),
        "range" => (&[], Type::list_of(Integer)),
        "tostring" => (&[], Type::of(String)),
        "split" => (&[], Type::list_of(String)),
        "tolower" | "toupper" | "trim" | "ltrim" | "rtrim" | "replace" | "substring" | "left" | "right" => {
            (&[], Type::of(String))
        }
        "reverse" => (&[], first),
        "tail" => (&[], if first.base == List { first } else { Type::of(List) }),
        "head" | "last" => (&[], if first.base == List { Type::of(first.element) } else { Type::ANY }),
        _ => (&[], Type::ANY),
    };
    (takes, yields)
}

fn arithmetic(op: ArithmeticOp, left: Type, right: Type, span: Span) -> Result<Type> {
    use Base::*;
    let numbers = |kind: Type| matches!(kind.base, Integer | Float);
    match op {
        ArithmeticOp::Add => Ok(match (left.base, right.base) {
            (List, List) if left.element == right.element => left,
            (List, _) | (_, List) => Type::of(List),
            (String, String) => left,
            (Integer, Integer) => left,
            (Integer | Float, Integer | Float) => Type::of(Float),
            _ => Type::ANY,
        }),
        ArithmeticOp::Concatenate => Ok(Type::ANY),
        _ => {
            for kind in [left, right] {
                if matches!(kind.base, Boolean | String | List | Map | Node | Relationship | Path) {
                    return Err(wrong_type(span, "An operand of arithmetic", "a number", kind));
                }
            }
            Ok(match (left.base, right.base) {
                (Integer, Integer) if op != ArithmeticOp::Power => left,
                _ if numbers(left) && numbers(right) => Type::of(Float),
                _ => Type::ANY,
            })
        }
    }
}

fn check_property(key: &str, span: Span, kind: Type) -> Result<()> {
    if kind.can_be(&[Base::Node, Base::Relationship, Base::Map]) {
        return Ok(());
    }
    let message = format!("{} has no property `{key}`.", capital(kind.word()));
    if kind.base == Base::Path {
        return Err(CypherError::syntax("InvalidArgumentType", span, message));
    }
    Err(CypherError::compile(ErrorKind::TypeError, "InvalidArgumentType", span, message))
}

fn check_boolean(expr: &Expr, kind: Type) -> Result<()> {
    if kind.can_be(&[Base::Boolean]) {
        return Ok(());
    }
    Err(wrong_type(expr.span, "A condition", "a boolean", kind))
}

pub(super) fn wrong_type(span: Span, what: &str, wanted: &str, kind: Type) -> CypherError {
    let message = format!("{what} must be {wanted}, not {}.", kind.word());
    CypherError::syntax("InvalidArgumentType", span, message)
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
