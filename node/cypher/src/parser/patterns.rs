//! Paths, nodes, relationships, labels.

use super::{Parser, Result};
use crate::ast::*;
use crate::error::CypherError;
use crate::lexer::TokenKind as T;

impl Parser<'_> {
    /// Takes `p = shortestPath((a)-[r]->(b))` and everything simpler.
    pub(super) fn path(&mut self) -> Result<PathPattern> {
        let start = self.span();
        let variable = if self.is_name_at(0) && self.kind_at(1) == T::Equal {
            let variable = self.ident("a path variable")?;
            self.advance();
            Some(variable)
        } else {
            None
        };
        if self.kind_at(1) == T::ParenOpen
            && let Some(shortest) = shortest_by_name(self.word_at(0))
        {
            let mut path = self.shortest_path(shortest)?;
            path.variable = variable;
            path.span = self.since(start);
            return Ok(path);
        }
        let mut path = self.path_element()?;
        path.variable = variable;
        path.span = self.since(start);
        Ok(path)
    }

    /// Takes `shortestPath((a)-[r*]->(b))`.
    pub(super) fn shortest_path(&mut self, shortest: Shortest) -> Result<PathPattern> {
        self.advance();
        self.expect(T::ParenOpen, "`(`")?;
        let mut path = self.path_element()?;
        self.expect(T::ParenClose, "`)`")?;
        path.shortest = shortest;
        Ok(path)
    }

    /// Takes the nodes and relationships of a path. Parentheses around all of them mean nothing.
    pub(super) fn path_element(&mut self) -> Result<PathPattern> {
        if self.kind() == T::ParenOpen && self.kind_at(1) == T::ParenOpen {
            return self.deeper(|p| {
                p.advance();
                let path = p.path_element()?;
                p.expect(T::ParenClose, "`)`")?;
                Ok(path)
            });
        }
        let from = self.span();
        let start = self.node()?;
        let mut hops = Vec::new();
        while self.begins_relationship() {
            let relationship = self.relationship()?;
            let node = self.node()?;
            hops.push(Hop { relationship, node });
        }
        Ok(PathPattern { variable: None, shortest: Shortest::No, start, hops, span: self.since(from) })
    }

    fn begins_relationship(&self) -> bool {
        is_dash(self.kind()) || (matches!(self.kind(), T::Less | T::LeftHead) && is_dash(self.kind_at(1)))
    }

    /// Takes one line of an arrow.
    pub(super) fn dash(&mut self) -> Result<()> {
        if !self.eat(T::Dash) {
            self.expect(T::Minus, "`-`")?;
        }
        Ok(())
    }

    fn node(&mut self) -> Result<NodePattern> {
        let start = self.span();
        self.expect(T::ParenOpen, "a node: `(`")?;
        let variable = if self.is_name_at(0) && !self.is("WHERE") && !self.is("IS") {
            Some(self.ident("a variable")?)
        } else {
            None
        };
        let labels = self.labels(true)?;
        let properties = self.pattern_properties()?;
        let filter = self.pattern_filter()?;
        self.expect(T::ParenClose, "`)`")?;
        Ok(NodePattern { variable, var: VarId::NONE, labels, properties, filter, span: self.since(start) })
    }

    fn pattern_properties(&mut self) -> Result<Option<Box<Expr>>> {
        match self.kind() {
            T::BraceOpen | T::Dollar => Ok(Some(Box::new(self.atom()?))),
            _ => Ok(None),
        }
    }

    fn pattern_filter(&mut self) -> Result<Option<Box<Expr>>> {
        if self.eat_word("WHERE") { Ok(Some(Box::new(self.closed_expr()?))) } else { Ok(None) }
    }

    fn relationship(&mut self) -> Result<RelationshipPattern> {
        let start = self.span();
        let left = self.eat(T::Less) || self.eat(T::LeftHead);
        self.dash()?;
        let mut relationship = RelationshipPattern {
            variable: None,
            var: VarId::NONE,
            types: Vec::new(),
            direction: Direction::Both,
            length: None,
            properties: None,
            filter: None,
            span: start,
        };
        if self.eat(T::BracketOpen) {
            if self.is_name_at(0) && !self.is("WHERE") {
                relationship.variable = Some(self.ident("a variable")?);
            }
            if self.eat(T::Colon) {
                relationship.types.push(self.label_name("a relationship type")?);
                while self.eat(T::Bar) {
                    self.eat(T::Colon);
                    relationship.types.push(self.label_name("a relationship type")?);
                }
            }
            if self.kind() == T::Star {
                relationship.length = Some(self.variable_length()?);
            }
            relationship.properties = self.pattern_properties()?;
            relationship.filter = self.pattern_filter()?;
            if self.kind() == T::DotDot {
                return Err(CypherError::syntax(
                    "InvalidRelationshipPattern",
                    self.span(),
                    "A range of lengths begins with `*`, as in `[*1..3]`.",
                ));
            }
            self.expect(T::BracketClose, "`]`")?;
        }
        self.dash()?;
        let right = self.eat(T::Greater) || self.eat(T::RightHead);
        relationship.direction = match (left, right) {
            (true, false) => Direction::In,
            (false, true) => Direction::Out,
            _ => Direction::Both,
        };
        relationship.span = self.since(start);
        Ok(relationship)
    }

    fn variable_length(&mut self) -> Result<VariableLength> {
        let start = self.span();
        self.advance();
        let expansion = match self.word_at(0).to_ascii_uppercase().as_str() {
            "BFS" => Expansion::Bfs,
            "WSHORTEST" => Expansion::WeightedShortest { weight: None, total: None },
            "ALLSHORTEST" => Expansion::AllShortest { weight: None, total: None },
            "KSHORTEST" => Expansion::KShortest { limit: None },
            _ => Expansion::Walk,
        };
        if expansion != Expansion::Walk {
            self.advance();
        }
        let mut length =
            VariableLength { min: None, max: None, expansion, filter: None, span: self.since(start) };
        let weighted =
            matches!(length.expansion, Expansion::WeightedShortest { .. } | Expansion::AllShortest { .. });
        let first = self.bound()?;
        if self.eat(T::DotDot) {
            length.min = first;
            length.max = self.bound()?;
        } else if weighted {
            // `*WSHORTEST 10` limits the length; there is no exact one.
            length.max = first;
        } else {
            length.max = first.clone();
            length.min = first;
        }
        match &mut length.expansion {
            Expansion::Walk | Expansion::Bfs => {
                if self.begins_lambda() {
                    length.filter = Some(Box::new(self.lambda()?));
                }
            }
            Expansion::WeightedShortest { weight, total } | Expansion::AllShortest { weight, total } => {
                if self.begins_lambda() {
                    *weight = Some(Box::new(self.lambda()?));
                }
                if self.is_name_at(0) && !self.is("WHERE") {
                    *total = Some(self.ident("a variable for the total weight")?);
                }
                if self.begins_lambda() {
                    length.filter = Some(Box::new(self.lambda()?));
                }
            }
            Expansion::KShortest { limit } => {
                if self.eat(T::Bar) {
                    *limit = self.bound()?;
                }
                if self.begins_lambda() {
                    length.filter = Some(Box::new(self.lambda()?));
                }
            }
        }
        length.span = self.since(start);
        Ok(length)
    }

    fn bound(&mut self) -> Result<Option<Box<Expr>>> {
        match self.kind() {
            T::Integer | T::Dollar => Ok(Some(Box::new(self.atom()?))),
            T::Minus | T::Float | T::BadNumber => Err(CypherError::syntax(
                "InvalidRelationshipPattern",
                self.span(),
                "The length of a path must be a whole number that is not negative.",
            )),
            _ => Ok(None),
        }
    }

    fn begins_lambda(&self) -> bool {
        self.kind() == T::ParenOpen
    }

    fn lambda(&mut self) -> Result<Lambda> {
        let start = self.span();
        self.expect(T::ParenOpen, "`(`")?;
        let relationship = self.ident("a variable for the relationship")?;
        self.expect(T::Comma, "`,`")?;
        let node = self.ident("a variable for the node")?;
        let path = if self.eat(T::Comma) { Some(self.ident("a variable for the path")?) } else { None };
        let weight = if path.is_some() && self.eat(T::Comma) {
            Some(self.ident("a variable for the weight")?)
        } else {
            None
        };
        self.expect(T::Bar, "`|`")?;
        let body = self.closed_expr()?;
        self.expect(T::ParenClose, "`)`")?;
        Ok(Lambda { relationship, node, path, weight, body, span: self.since(start) })
    }

    // ------------------------------------------------------------------------------------- labels

    /// Takes `:A:B`, `:A|B`, `:A&!B`, `:%`, as often as it comes.
    pub(super) fn labels(&mut self, bar: bool) -> Result<Vec<LabelExpr>> {
        let mut labels = Vec::new();
        while self.eat(T::Colon) {
            labels.push(self.label_or(bar)?);
        }
        Ok(labels)
    }

    fn label_or(&mut self, bar: bool) -> Result<LabelExpr> {
        let mut any = vec![self.label_and()?];
        while bar && self.eat(T::Bar) {
            self.eat(T::Colon);
            any.push(self.label_and()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { LabelExpr::Or(any) })
    }

    fn label_and(&mut self) -> Result<LabelExpr> {
        let mut all = vec![self.label_not()?];
        while self.eat(T::Ampersand) {
            all.push(self.label_not()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { LabelExpr::And(all) })
    }

    fn label_not(&mut self) -> Result<LabelExpr> {
        match self.kind() {
            T::Exclamation => self.deeper(|p| {
                p.advance();
                Ok(LabelExpr::Not(Box::new(p.label_not()?)))
            }),
            T::ParenOpen => self.deeper(|p| {
                p.advance();
                let label = p.label_or(true)?;
                p.expect(T::ParenClose, "`)`")?;
                Ok(label)
            }),
            T::Percent => {
                self.advance();
                Ok(LabelExpr::Any)
            }
            _ => Ok(LabelExpr::Label(self.label_name("a label")?)),
        }
    }

    pub(super) fn label_name(&mut self, what: &str) -> Result<LabelName> {
        if self.kind() != T::Dollar {
            return Ok(LabelName::Name(self.symbol(what)?));
        }
        if self.kind_at(1) == T::ParenOpen {
            self.advance();
            self.advance();
            let name = self.closed_expr()?;
            self.expect(T::ParenClose, "`)`")?;
            return Ok(LabelName::Dynamic(Box::new(name)));
        }
        let mut name = self.atom()?;
        while self.kind() == T::Dot {
            self.advance();
            let key = self.symbol("a property")?;
            self.higher()?;
            let span = name.span.to(key.span);
            name = Expr::new(ExprKind::Property { base: Box::new(name), key }, span);
        }
        Ok(LabelName::Dynamic(Box::new(name)))
    }

    // ---------------------------------------------------------------------------------- look-ahead

    /// Tells whether a path with at least one hop begins that many tokens ahead, rather than an
    /// expression in parentheses.
    pub(super) fn begins_path_at(&self, ahead: usize) -> bool {
        if self.kind_at(ahead) != T::ParenOpen {
            return false;
        }
        let after = if self.is_name_at(ahead + 1) { ahead + 2 } else { ahead + 1 };
        let is_node = match self.kind_at(after) {
            T::ParenClose | T::Colon => true,
            T::BraceOpen => true,
            T::Word => self.is_at(after, "WHERE"),
            _ => false,
        };
        if !is_node {
            return false;
        }
        let mut open = 0usize;
        let mut at = ahead;
        loop {
            match self.kind_at(at) {
                T::ParenOpen | T::BracketOpen | T::BraceOpen => open += 1,
                T::ParenClose | T::BracketClose | T::BraceClose => open -= 1,
                T::End => return false,
                _ => {}
            }
            at += 1;
            if open == 0 {
                break;
            }
        }
        match (self.kind_at(at), self.kind_at(at + 1), self.kind_at(at + 2)) {
            (first, T::BracketOpen, _) => is_dash(first),
            (first, second, T::Greater | T::RightHead | T::ParenOpen) => is_dash(first) && is_dash(second),
            (T::Less | T::LeftHead, second, third) => {
                is_dash(second) && (is_dash(third) || third == T::BracketOpen)
            }
            _ => false,
        }
    }
}

fn is_dash(kind: T) -> bool {
    matches!(kind, T::Minus | T::Dash)
}

pub(super) fn shortest_by_name(word: &str) -> Option<Shortest> {
    match () {
        () if word.eq_ignore_ascii_case("shortestPath") => Some(Shortest::One),
        () if word.eq_ignore_ascii_case("allShortestPaths") => Some(Shortest::All),
        () => None,
    }
}
