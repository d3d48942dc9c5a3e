//! Patterns: what they bind, and what they may hold in which clause.

use super::expressions::Context;
use super::scope::{Analyzer, already_bound};
use super::types::{Base, Type};
use crate::ast::*;
use crate::error::CypherError;
use rustc_hash::FxHashSet;

type Result<T, E = CypherError> = std::result::Result<T, E>;

/// Who asks for something to be made.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Making {
    Create,
    Merge,
}

impl Analyzer<'_> {
    /// Binds what the patterns of a `MATCH` name, then looks into them.
    pub(super) fn match_patterns(&mut self, patterns: &mut [PathPattern]) -> Result<()> {
        let mut relationships = FxHashSet::default();
        for path in patterns.iter_mut() {
            self.bind_node(&mut path.start)?;
            for hop in &mut path.hops {
                self.bind_relationship(&mut hop.relationship, &mut relationships)?;
                self.bind_node(&mut hop.node)?;
            }
            if let Some(variable) = &mut path.variable {
                self.bind_new(variable, Type::of(Base::Path))?;
            }
            check_shortest(path)?;
        }
        patterns.iter_mut().try_for_each(|path| self.inside_path(path))
    }

    /// Looks into a pattern that is a condition: it names nothing new.
    pub(super) fn predicate_pattern(&mut self, path: &mut PathPattern) -> Result<()> {
        let mut relationships = FxHashSet::default();
        self.known_node(&path.start)?;
        self.bind_node(&mut path.start)?;
        for hop in &mut path.hops {
            if let Some(variable) = &mut hop.relationship.variable {
                self.resolve(variable)?;
            }
            self.bind_relationship(&mut hop.relationship, &mut relationships)?;
            self.known_node(&hop.node)?;
            self.bind_node(&mut hop.node)?;
        }
        check_shortest(path)?;
        self.inside_path(path)
    }

    fn known_node(&self, node: &NodePattern) -> Result<()> {
        match &node.variable {
            Some(variable) => self.resolve(&mut variable.clone()).map(|_| ()),
            None => Ok(()),
        }
    }

    fn bind_node(&mut self, node: &mut NodePattern) -> Result<()> {
        let Some(variable) = &mut node.variable else {
            node.var = self.make("".into(), Type::of(Base::Node));
            return Ok(());
        };
        if self.scope.contains_key(&variable.name) {
            let kind = self.resolve(variable)?;
            if !kind.can_be(&[Base::Node]) {
                return Err(conflict(variable, kind, "a node"));
            }
        } else {
            self.bind(variable, Type::of(Base::Node));
        }
        node.var = variable.var;
        Ok(())
    }

    fn bind_relationship(
        &mut self,
        relationship: &mut RelationshipPattern,
        seen: &mut FxHashSet<Name>,
    ) -> Result<()> {
        let kind = match relationship.length {
            Some(_) => Type::list_of(Base::Relationship),
            None => Type::of(Base::Relationship),
        };
        let Some(variable) = &mut relationship.variable else {
            relationship.var = self.make("".into(), kind);
            return Ok(());
        };
        if self.scope.contains_key(&variable.name) {
            let known = self.resolve(variable)?;
            let fits = known.can_be(&[kind.base])
                && (kind.base != Base::List || matches!(known.element, Base::Any | Base::Relationship));
            if !fits {
                return Err(conflict(variable, known, "a relationship"));
            }
            if seen.contains(&variable.name) {
                let message = format!("Relationship `{}` cannot stand twice in one pattern.", variable.name);
                return Err(CypherError::syntax("RelationshipUniquenessViolation", variable.span, message));
            }
        } else {
            self.bind(variable, kind);
        }
        seen.insert(variable.name.clone());
        relationship.var = variable.var;
        Ok(())
    }

    /// Looks into labels, properties and conditions.
    fn inside_path(&mut self, path: &mut PathPattern) -> Result<()> {
        self.inside_node(&mut path.start)?;
        for hop in &mut path.hops {
            let relationship = &mut hop.relationship;
            for name in &mut relationship.types {
                self.label_name(name)?;
            }
            if let Some(length) = &mut relationship.length {
                self.variable_length(length)?;
            }
            self.matched_properties(&mut relationship.properties)?;
            if let Some(filter) = &mut relationship.filter {
                self.condition(filter)?;
            }
            self.inside_node(&mut hop.node)?;
        }
        Ok(())
    }

    fn inside_node(&mut self, node: &mut NodePattern) -> Result<()> {
        node.labels.iter_mut().try_for_each(|label| self.label(label))?;
        self.matched_properties(&mut node.properties)?;
        match &mut node.filter {
            Some(filter) => self.condition(filter),
            None => Ok(()),
        }
    }

    fn matched_properties(&mut self, properties: &mut Option<Box<Expr>>) -> Result<()> {
        let Some(properties) = properties else { return Ok(()) };
        if let ExprKind::Parameter(name) = &properties.kind {
            let message = format!(
                "Parameter `${name}` cannot stand for all properties here; write `{{key: ${name}.key}}`."
            );
            return Err(CypherError::syntax("InvalidParameterUse", properties.span, message));
        }
        self.expr(properties, Context::VALUE).map(|_| ())
    }

    fn variable_length(&mut self, length: &mut VariableLength) -> Result<()> {
        for bound in [&mut length.min, &mut length.max].into_iter().flatten() {
            self.expr(bound, Context::VALUE)?;
        }
        if let Some(filter) = &mut length.filter {
            self.lambda(filter)?;
        }
        match &mut length.expansion {
            Expansion::Walk | Expansion::Bfs => Ok(()),
            Expansion::WeightedShortest { weight, total } | Expansion::AllShortest { weight, total } => {
                if let Some(weight) = weight {
                    self.lambda(weight)?;
                }
                if let Some(total) = total {
                    self.bind_new(total, Type::ANY)?;
                }
                Ok(())
            }
            Expansion::KShortest { limit } => match limit {
                Some(limit) => self.expr(limit, Context::VALUE).map(|_| ()),
                None => Ok(()),
            },
        }
    }

    fn lambda(&mut self, lambda: &mut Lambda) -> Result<()> {
        let Lambda { relationship, node, path, weight, body, .. } = lambda;
        let mut locals = vec![(relationship, Type::of(Base::Relationship)), (node, Type::of(Base::Node))];
        locals.extend(path.as_mut().map(|path| (path, Type::of(Base::Path))));
        locals.extend(weight.as_mut().map(|weight| (weight, Type::ANY)));
        self.with_locals(locals, |a| a.expr(body, Context::CONDITION).map(|_| ()))
    }

    // ------------------------------------------------------------------------------------- labels

    pub(super) fn label(&mut self, label: &mut LabelExpr) -> Result<()> {
        match label {
            LabelExpr::Label(name) => self.label_name(name),
            LabelExpr::Any => Ok(()),
            LabelExpr::Not(inner) => self.label(inner),
            LabelExpr::And(all) | LabelExpr::Or(all) => {
                all.iter_mut().try_for_each(|label| self.label(label))
            }
        }
    }

    pub(super) fn label_name(&mut self, name: &mut LabelName) -> Result<()> {
        match name {
            LabelName::Name(_) => Ok(()),
            LabelName::Dynamic(expr) => self.expr(expr, Context::VALUE).map(|_| ()),
        }
    }

    // ------------------------------------------------------------------------------------- making

    /// Looks into a pattern of which what is not bound is made.
    pub(super) fn made_pattern(&mut self, path: &mut PathPattern, making: Making) -> Result<()> {
        if path.shortest != Shortest::No {
            let message = "Shortest paths can be found, not made.";
            return Err(CypherError::syntax("UnexpectedSyntax", path.span, message));
        }
        let alone = path.hops.is_empty();
        // Properties see what stood before this path, and no part of it.
        self.made_node_inside(&mut path.start, making)?;
        for hop in &mut path.hops {
            self.made_relationship_inside(&mut hop.relationship, making)?;
            self.made_node_inside(&mut hop.node, making)?;
        }
        self.made_node(&mut path.start, alone)?;
        for hop in &mut path.hops {
            let relationship = &mut hop.relationship;
            match &mut relationship.variable {
                Some(variable) => {
                    relationship.var = self.bind_new(variable, Type::of(Base::Relationship))?;
                }
                None => relationship.var = self.make("".into(), Type::of(Base::Relationship)),
            }
            self.made_node(&mut hop.node, false)?;
        }
        match &mut path.variable {
            Some(variable) => self.bind_new(variable, Type::of(Base::Path)).map(|_| ()),
            None => Ok(()),
        }
    }

    fn made_node(&mut self, node: &mut NodePattern, alone: bool) -> Result<()> {
        let Some(variable) = &mut node.variable else {
            node.var = self.make("".into(), Type::of(Base::Node));
            return Ok(());
        };
        if self.scope.contains_key(&variable.name) {
            let kind = self.resolve(variable)?;
            if alone || !node.labels.is_empty() || node.properties.is_some() {
                return Err(already_bound(variable));
            }
            if !kind.can_be(&[Base::Node]) {
                return Err(conflict(variable, kind, "a node"));
            }
        } else {
            self.bind(variable, Type::of(Base::Node));
        }
        node.var = variable.var;
        Ok(())
    }

    fn made_node_inside(&mut self, node: &mut NodePattern, making: Making) -> Result<()> {
        for label in &mut node.labels {
            all_of(label, node.span)?;
            self.label(label)?;
        }
        no_filter(&node.filter)?;
        self.made_properties(&mut node.properties, making)
    }

    fn made_relationship_inside(
        &mut self,
        relationship: &mut RelationshipPattern,
        making: Making,
    ) -> Result<()> {
        let span = relationship.span;
        if let Some(variable) = &relationship.variable
            && self.scope.contains_key(&variable.name)
        {
            return Err(already_bound(variable));
        }
        if relationship.length.is_some() {
            let message = "A relationship of variable length can be found, not made.";
            return Err(CypherError::syntax("CreatingVarLength", span, message));
        }
        if relationship.types.len() != 1 {
            let message = "A relationship is made with exactly one type, as in `-[:KNOWS]->`.";
            return Err(CypherError::syntax("NoSingleRelationshipType", span, message));
        }
        if making == Making::Create && relationship.direction == Direction::Both {
            let message = "A relationship is made with one direction: `-[:T]->` or `<-[:T]-`.";
            return Err(CypherError::syntax("RequiresDirectedRelationship", span, message));
        }
        for name in &mut relationship.types {
            self.label_name(name)?;
        }
        no_filter(&relationship.filter)?;
        self.made_properties(&mut relationship.properties, making)
    }

    fn made_properties(&mut self, properties: &mut Option<Box<Expr>>, making: Making) -> Result<()> {
        match (making, properties) {
            (Making::Merge, properties) => self.matched_properties(properties),
            (Making::Create, Some(properties)) => self.expr(properties, Context::VALUE).map(|_| ()),
            (Making::Create, None) => Ok(()),
        }
    }
}

fn check_shortest(path: &PathPattern) -> Result<()> {
    if path.shortest != Shortest::No && path.hops.len() != 1 {
        let message = "A shortest path is asked for with one relationship, as in `(a)-[*]-(b)`.";
        return Err(CypherError::syntax("InvalidRelationshipPattern", path.span, message));
    }
    Ok(())
}

/// Refuses a label that is a choice or a negation, where something is made.
fn all_of(label: &LabelExpr, span: Span) -> Result<()> {
    match label {
        LabelExpr::Label(_) => Ok(()),
        LabelExpr::And(all) => all.iter().try_for_each(|label| all_of(label, span)),
        _ => {
            let message = "A node is made with labels that all hold: `:A:B`.";
            Err(CypherError::syntax("UnexpectedSyntax", span, message))
        }
    }
}

fn no_filter(filter: &Option<Box<Expr>>) -> Result<()> {
    match filter {
        Some(filter) => Err(CypherError::syntax(
            "UnexpectedSyntax",
            filter.span,
            "What is made cannot have a condition: `WHERE` belongs into a `MATCH`.",
        )),
        None => Ok(()),
    }
}

fn conflict(variable: &Ident, kind: Type, wanted: &str) -> CypherError {
    let message = format!("Variable `{}` is {}, it cannot be {wanted} here.", variable.name, kind.word());
    CypherError::syntax("VariableTypeConflict", variable.span, message)
}
