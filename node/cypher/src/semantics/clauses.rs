//! Queries and clauses in their order.

use super::expressions::{Context, wrong_type};
use super::patterns::Making;
use super::scope::{Analyzer, Scope};
use super::types::{Base, Type};
use super::{Analyzed, ArgumentKind, Catalog, VariableKind};
use crate::ast::*;
use crate::error::{CypherError, ErrorKind, did_you_mean};
use std::cell::Cell;

type Result<T, E = CypherError> = std::result::Result<T, E>;

/// Where a query stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// It is the statement.
    Statement,
    /// `CALL { ... }`
    Call,
    /// `EXISTS { ... }` and its like: it need not return anything.
    Expression,
}

pub(super) fn analyze(mut query: Query, catalog: &dyn Catalog, given: &[&str]) -> Result<Analyzed> {
    let mut analyzer = Analyzer {
        catalog,
        variables: Vec::new(),
        types: Vec::new(),
        scope: Scope::default(),
        given: vec![Cell::default(); given.len()],
        reads: false,
        writes: false,
        aggregates_seen: 0,
    };
    for name in given {
        let var = analyzer.make((*name).into(), Type::ANY);
        analyzer.scope.insert((*name).into(), var);
    }
    let Directives { periodic_commit, hops_limit, .. } = &mut query.directives;
    for number in [periodic_commit, hops_limit].into_iter().flatten() {
        analyzer.constant(number)?;
    }
    if query.parts.len() > 1 {
        // Only a call that is the whole statement stands by itself.
        for part in &mut query.parts {
            if let [Clause { kind: ClauseKind::Call(call), .. }] = part.clauses.as_mut_slice() {
                call.standalone = false;
            }
        }
    }
    let columns = analyzer.parts(&mut query, Place::Statement, |_, scope, _| scope.clone())?;
    for (variable, kind) in analyzer.variables.iter_mut().zip(&analyzer.types) {
        variable.kind = kind.kind();
    }
    let Analyzer { variables, given, reads, writes, .. } = analyzer;
    let named = given.iter().enumerate().filter(|(_, is_named)| is_named.get());
    let given = named.map(|(place, _)| VarId(place as u32)).collect();
    Ok(Analyzed { query, variables, given, columns, reads, writes })
}

impl Analyzer<'_> {
    /// Looks into a query inside an expression, which sees what is in scope.
    pub(super) fn nested_query(&mut self, query: &mut Query) -> Result<Vec<Name>> {
        self.parts(query, Place::Expression, |_, scope, _| scope.clone())
    }

    /// Looks into each part with the scope that `begin` gives it, and returns the columns.
    fn parts(
        &mut self,
        query: &mut Query,
        place: Place,
        begin: impl Fn(&Self, &Scope, &SingleQuery) -> Scope,
    ) -> Result<Vec<Name>> {
        let outer = self.scope.clone();
        let mut columns: Option<Vec<Name>> = None;
        for part in &mut query.parts {
            self.scope = begin(self, &outer, part);
            let names = self.part(part, place)?;
            let Some(columns) = &columns else {
                columns = Some(names);
                continue;
            };
            // A part may give the same columns in another order; its values follow the first part's.
            let order: Option<Vec<usize>> =
                columns.iter().map(|column| names.iter().position(|name| name == column)).collect();
            match order {
                Some(order) if names.len() == columns.len() => {
                    part.columns = order.into_iter().map(|n| part.columns[n]).collect();
                }
                _ => {
                    let message = format!(
                        "All parts of a `UNION` must return the same columns: ({}) is not ({}).",
                        names.join(", "),
                        columns.join(", ")
                    );
                    return Err(CypherError::syntax("DifferentColumnsInUnion", part.span, message));
                }
            }
        }
        self.scope = outer;
        Ok(columns.unwrap_or_default())
    }

    fn part(&mut self, part: &mut SingleQuery, place: Place) -> Result<Vec<Name>> {
        let last = part.clauses.len() - 1;
        let mut wrote: Option<&'static str> = None;
        for (n, clause) in part.clauses.iter_mut().enumerate() {
            let word = word(&clause.kind);
            match &clause.kind {
                ClauseKind::Return(_) if n < last => {
                    let message = "`RETURN` must be the last clause; use `WITH` to go on.";
                    return Err(CypherError::syntax("InvalidClauseComposition", clause.span, message));
                }
                ClauseKind::Match(_)
                | ClauseKind::Unwind(_)
                | ClauseKind::Call(_)
                | ClauseKind::LoadCsv(_) => {
                    if let Some(writer) = wrote {
                        let message = format!("A `WITH` is needed between `{writer}` and `{word}`.");
                        return Err(CypherError::syntax("InvalidClauseComposition", clause.span, message));
                    }
                }
                ClauseKind::With(_) => wrote = None,
                ClauseKind::Return(_) | ClauseKind::Subquery(_) => {}
                _ => wrote = Some(word),
            }
            let open = match &clause.kind {
                ClauseKind::Match(_)
                | ClauseKind::With(_)
                | ClauseKind::Unwind(_)
                | ClauseKind::LoadCsv(_) => true,
                ClauseKind::Subquery(call) => self.returns_something(call),
                _ => false,
            };
            if n == last && open && place != Place::Expression {
                let message = format!(
                    "A query cannot end with `{word}`: a `RETURN` or a clause that writes must follow."
                );
                return Err(CypherError::syntax("InvalidClauseComposition", clause.span, message));
            }
            self.clause(&mut clause.kind)?;
        }
        match &part.clauses[last].kind {
            ClauseKind::Return(projection) => {
                part.columns = projection.items.iter().map(|item| item.var).collect();
                Ok(projection.items.iter().map(|item| item.name.clone()).collect())
            }
            ClauseKind::Call(CallProcedure { standalone: true, yields: Yield::Items(items), .. }) => {
                part.columns = items.iter().map(|item| item.variable.var).collect();
                Ok(items.iter().map(|item| item.variable.name.clone()).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn returns_something(&self, call: &CallSubquery) -> bool {
        let last = call.query.parts.first().and_then(|part| part.clauses.last());
        matches!(last, Some(Clause { kind: ClauseKind::Return(_), .. }))
    }

    fn clause(&mut self, clause: &mut ClauseKind) -> Result<()> {
        match clause {
            ClauseKind::Match(clause) => {
                self.reads = true;
                self.match_patterns(&mut clause.patterns)?;
                for hint in &mut clause.hints {
                    if let Some(variable) = &mut hint.variable {
                        self.resolve(variable)?;
                    }
                }
                match &mut clause.filter {
                    Some(filter) => self.condition(filter),
                    None => Ok(()),
                }
            }
            ClauseKind::Create(patterns) => {
                self.writes = true;
                patterns.iter_mut().try_for_each(|path| self.made_pattern(path, Making::Create))
            }
            ClauseKind::Merge(merge) => {
                self.reads = true;
                self.writes = true;
                self.made_pattern(&mut merge.pattern, Making::Merge)?;
                let items = merge.on_create.iter_mut().chain(&mut merge.on_match);
                items.into_iter().try_for_each(|item| self.set_item(item))
            }
            ClauseKind::Set(items) => {
                self.writes = true;
                items.iter_mut().try_for_each(|item| self.set_item(item))
            }
            ClauseKind::Remove(items) => {
                self.writes = true;
                items.iter_mut().try_for_each(|item| self.remove_item(item))
            }
            ClauseKind::Delete(delete) => {
                self.writes = true;
                delete.targets.iter_mut().try_for_each(|target| self.delete_target(target))
            }
            ClauseKind::With(projection) => self.projection(projection, true),
            ClauseKind::Return(projection) => self.projection(projection, false),
            ClauseKind::Unwind(unwind) => {
                let kind = self.expr(&mut unwind.list, Context::VALUE)?;
                let element = if kind.base == Base::List { Type::of(kind.element) } else { Type::ANY };
                self.bind_new(&mut unwind.variable, element).map(|_| ())
            }
            ClauseKind::Call(call) => self.call(call),
            ClauseKind::Subquery(call) => self.subquery(call),
            ClauseKind::Foreach(foreach) => {
                let Foreach { variable, list, body } = foreach;
                let kind = self.expr(list, Context::VALUE)?;
                if !kind.can_be(&[Base::List]) {
                    return Err(wrong_type(list.span, "What stands behind `IN`", "a list", kind));
                }
                let element = if kind.base == Base::List { Type::of(kind.element) } else { Type::ANY };
                let outer = self.scope.clone();
                self.bind(variable, element);
                body.iter_mut().try_for_each(|clause| self.clause(&mut clause.kind))?;
                self.scope = outer;
                Ok(())
            }
            ClauseKind::LoadCsv(load) => {
                let LoadCsv { source, delimiter, quote, null_text, .. } = load;
                self.expr(source, Context::VALUE)?;
                for expr in [delimiter, quote, null_text].into_iter().flatten() {
                    self.expr(expr, Context::VALUE)?;
                }
                let row = if load.with_header { Base::Map } else { Base::List };
                self.bind_new(&mut load.variable, Type::of(row)).map(|_| ())
            }
        }
    }

    fn set_item(&mut self, item: &mut SetItem) -> Result<()> {
        match &mut item.kind {
            SetKind::Property { target, value, .. } => {
                self.entity(target)?;
                self.expr(value, Context::VALUE).map(|_| ())
            }
            SetKind::DynamicProperty { target, key, value } => {
                self.entity(target)?;
                self.expr(key, Context::VALUE)?;
                self.expr(value, Context::VALUE).map(|_| ())
            }
            SetKind::Replace { variable, value } | SetKind::Merge { variable, value } => {
                self.entity_variable(variable)?;
                let kind = self.expr(value, Context::VALUE)?;
                if !kind.can_be(&[Base::Map, Base::Node, Base::Relationship]) {
                    return Err(wrong_type(value.span, "What is set", "a map", kind));
                }
                Ok(())
            }
            SetKind::Labels { variable, labels } => self.labels_of(variable, labels),
        }
    }

    fn remove_item(&mut self, item: &mut RemoveItem) -> Result<()> {
        match &mut item.kind {
            RemoveKind::Property { target, .. } => self.entity(target),
            RemoveKind::DynamicProperty { target, key } => {
                self.entity(target)?;
                self.expr(key, Context::VALUE).map(|_| ())
            }
            RemoveKind::Labels { variable, labels } => self.labels_of(variable, labels),
        }
    }

    /// Looks into what must be a node or relationship to have properties set.
    fn entity(&mut self, target: &mut Expr) -> Result<()> {
        let kind = self.expr(target, Context::VALUE)?;
        check_entity(target.span, kind)
    }

    fn entity_variable(&mut self, variable: &mut Ident) -> Result<()> {
        let kind = self.resolve(variable)?;
        check_entity(variable.span, kind)
    }

    fn labels_of(&mut self, variable: &mut Ident, labels: &mut [LabelName]) -> Result<()> {
        let kind = self.resolve(variable)?;
        if !kind.can_be(&[Base::Node]) {
            return Err(wrong_type(variable.span, "What has labels", "a node", kind));
        }
        labels.iter_mut().try_for_each(|label| self.label_name(label))
    }

    fn delete_target(&mut self, target: &mut Expr) -> Result<()> {
        if matches!(target.kind, ExprKind::HasLabels { .. }) {
            let message = "`DELETE` takes nodes and relationships; use `REMOVE` for labels.";
            return Err(CypherError::syntax("InvalidDelete", target.span, message));
        }
        let kind = self.expr(target, Context::VALUE)?;
        if !kind.can_be(&[Base::Node, Base::Relationship, Base::Path]) {
            return Err(wrong_type(target.span, "What is deleted", "a node, relationship or path", kind));
        }
        Ok(())
    }

    fn subquery(&mut self, call: &mut CallSubquery) -> Result<()> {
        if let Some(InTransactions { rows: Some(rows), .. }) = &mut call.in_transactions {
            self.constant(rows)?;
        }
        let mut named = Scope::default();
        if let Imports::Named(idents) = &mut call.imports {
            for ident in idents {
                self.resolve(ident)?;
                named.insert(ident.name.clone(), ident.var);
            }
        }
        let imports = &call.imports;
        let columns = self.parts(&mut call.query, Place::Call, |_, outer, part| match imports {
            Imports::All => outer.clone(),
            Imports::Named(_) => named.clone(),
            Imports::Inside if imports_by_with(part) => outer.clone(),
            Imports::Inside => Scope::default(),
        })?;
        let inside = call.query.parts[0].columns.clone();
        call.returns.clear();
        for (name, var) in columns.into_iter().zip(inside) {
            let mut ident = Ident { name, span: call.query.span, var: VarId::NONE };
            let kind = if call.query.parts.len() == 1 { self.type_of(var) } else { Type::ANY };
            call.returns.push(self.bind_new(&mut ident, kind)?);
        }
        Ok(())
    }

    fn call(&mut self, call: &mut CallProcedure) -> Result<()> {
        let name = &call.name;
        let Some(shape) = self.catalog.procedure(&name.name) else {
            let message = format!("There is no procedure named '{}'.", name.name);
            return Err(CypherError::compile(
                ErrorKind::ProcedureError,
                "ProcedureNotFound",
                name.span,
                message,
            ));
        };
        self.reads = true;
        self.writes |= shape.writes;
        match &mut call.args {
            None if !call.standalone => {
                let message = format!(
                    "Inside a query the arguments of `{}` stand in parentheses behind it.",
                    name.name
                );
                return Err(CypherError::syntax("InvalidArgumentPassingMode", name.span, message));
            }
            None => {
                let parameters = shape
                    .args
                    .iter()
                    .map(|(argument, _)| Expr::new(ExprKind::Parameter(argument.clone()), name.span));
                call.args = Some(parameters.collect());
            }
            Some(args) => {
                if args.len() < shape.args_needed || args.len() > shape.args.len() {
                    let message = format!(
                        "Procedure `{}` takes {} argument(s), {} given.",
                        name.name,
                        shape.args.len(),
                        args.len()
                    );
                    return Err(CypherError::syntax("InvalidNumberOfArguments", name.span, message));
                }
                for (arg, (argument, wanted)) in args.iter_mut().zip(&shape.args) {
                    let kind = self.expr(arg, Context::VALUE)?;
                    if !fits(kind, *wanted) {
                        let what = format!("Argument `{argument}` of `{}`", name.name);
                        return Err(wrong_type(arg.span, &what, wanted.words(), kind));
                    }
                }
            }
        }
        let all = || -> Vec<YieldItem> {
            let item = |(field, _): &(Name, VariableKind)| YieldItem {
                field: Symbol { name: field.clone(), span: name.span },
                variable: Ident { name: field.clone(), span: name.span, var: VarId::NONE },
            };
            shape.fields.iter().map(item).collect()
        };
        match &call.yields {
            Yield::All if !call.standalone => {
                let message = "Inside a query the fields are named: `YIELD *` is only for a call by itself.";
                return Err(CypherError::syntax("UnexpectedSyntax", name.span, message));
            }
            Yield::None | Yield::All if call.standalone => call.yields = Yield::Items(all()),
            _ => {}
        }
        if let Yield::Items(items) = &mut call.yields {
            for item in items {
                let Some((_, kind)) = shape.fields.iter().find(|(field, _)| *field == item.field.name) else {
                    let mut message = format!("`{}` has no field `{}`.", name.name, item.field.name);
                    let fields = shape.fields.iter().map(|(field, _)| field.as_ref());
                    if let Some(meant) = did_you_mean(&item.field.name, fields) {
                        message.push_str(&format!(" Did you mean `{meant}`?"));
                    }
                    return Err(CypherError::syntax("UndefinedVariable", item.field.span, message));
                };
                self.bind_new(&mut item.variable, kind.as_type())?;
            }
        }
        match &mut call.filter {
            Some(filter) => self.condition(filter),
            None => Ok(()),
        }
    }
}

/// Tells whether a subquery begins with a `WITH` that names what it sees.
fn imports_by_with(part: &SingleQuery) -> bool {
    matches!(part.clauses.first(), Some(Clause { kind: ClauseKind::With(_), .. }))
}

fn check_entity(span: Span, kind: Type) -> Result<()> {
    if kind.can_be(&[Base::Node, Base::Relationship]) {
        return Ok(());
    }
    Err(wrong_type(span, "What has properties set", "a node or a relationship", kind))
}

fn fits(kind: Type, wanted: ArgumentKind) -> bool {
    match wanted {
        ArgumentKind::Any => true,
        ArgumentKind::Boolean => kind.can_be(&[Base::Boolean]),
        ArgumentKind::Integer => kind.can_be(&[Base::Integer]),
        ArgumentKind::Float | ArgumentKind::Number => kind.can_be(&[Base::Integer, Base::Float]),
        ArgumentKind::String => kind.can_be(&[Base::String]),
        ArgumentKind::List => kind.can_be(&[Base::List]),
        ArgumentKind::Map => kind.can_be(&[Base::Map, Base::Node, Base::Relationship]),
    }
}

/// Returns the keyword of a clause, for messages.
fn word(clause: &ClauseKind) -> &'static str {
    match clause {
        ClauseKind::Match(Match { optional: true, .. }) => "OPTIONAL MATCH",
        ClauseKind::Match(_) => "MATCH",
        ClauseKind::Create(_) => "CREATE",
        ClauseKind::Merge(_) => "MERGE",
        ClauseKind::Set(_) => "SET",
        ClauseKind::Remove(_) => "REMOVE",
        ClauseKind::Delete(_) => "DELETE",
        ClauseKind::With(_) => "WITH",
        ClauseKind::Return(_) => "RETURN",
        ClauseKind::Unwind(_) => "UNWIND",
        ClauseKind::Call(_) | ClauseKind::Subquery(_) => "CALL",
        ClauseKind::Foreach(_) => "FOREACH",
        ClauseKind::LoadCsv(_) => "LOAD CSV",
    }
}
