//! The order inside a `MATCH`.
//!
//! A pattern is a graph of nodes and relationships, some of them bound already. From what is bound
//! the plan expands along relationships: first where both ends are bound, then along single hops,
//! then along paths of many hops. Where nothing is bound, it begins at the node that is cheapest to
//! list: by id, by an index, by the rarest label; or at a relationship, where an index of edges lists fewer than
//! the nodes and their relationships are. Each condition is tested as soon as what it names
//! is bound, and not at all where an index seek already implies it.

use super::{Effects, Planner, check_depth, pattern_slots, vars};
use crate::ast::{
    CompareOp, Direction, Expansion, Expr, ExprKind, LabelExpr, LabelName, Lambda, Literal, NodePattern,
    PathPattern, RelationshipPattern, Shortest, StringOp, VarId,
};
use crate::error::{CypherError, ErrorKind};
use crate::plan::{
    self, Bounds, EdgeEnds, Expand, KeyName, LabelRef, Op, OpId, Slot, Step, TypeRef, VarExpand,
};
use mgnode_core::storage;
use mgnode_core::types::{IndexSpec, LabelId, PropertyKeyId, Value};
use rustc_hash::FxHashSet;

/// A relationship of the pattern, waiting to be followed.
struct Hop<'p> {
    pattern: &'p RelationshipPattern,
    left: VarId,
    right: VarId,
    /// The path that it belongs to has a name, so its edges are needed.
    in_named_path: bool,
    shortest: Shortest,
}

/// A condition, waiting for its variables.
struct Condition<'p> {
    kind: Kind<'p>,
    /// Variables of this `MATCH` that it names.
    needs: FxHashSet<VarId>,
}

enum Kind<'p> {
    Where(&'p Expr),
    Labels(VarId, &'p [LabelExpr]),
    Property(VarId, &'p str, &'p Expr),
    /// A node that may be Null since it was bound before.
    Present(VarId),
}

/// Where to begin.
enum Start {
    All,
    Label(String),
    ById(usize),
    Index { spec: IndexSpec, sought: Sought, label: String },
}

/// The conditions that a seek in an index implies, by their places.
#[derive(Default)]
struct Sought {
    equal: Vec<usize>,
    range: Vec<usize>,
    list: Option<usize>,
}

/// What a condition says about one property of one node.
enum Fact<'p> {
    Equal(&'p str, &'p Expr),
    InList(&'p str, &'p Expr),
    /// The property is on the left.
    Range(&'p str, CompareOp, &'p Expr),
    Prefix(&'p str, &'p Expr),
    Id(&'p Expr),
}

impl Planner<'_> {
    /// Plans a `MATCH` behind `end`; its variables are bound afterwards.
    pub(super) fn matching(
        &mut self,
        mut end: OpId,
        patterns: &[PathPattern],
        filter: Option<&Expr>,
    ) -> Result<OpId, CypherError> {
        // What is bound by this clause.
        let mut new: FxHashSet<VarId> = FxHashSet::default();
        for p in patterns {
            new.extend(p.variable.iter().map(|v| v.var));
            new.insert(p.start.var);
            for hop in &p.hops {
                new.insert(hop.relationship.var);
                new.insert(hop.node.var);
                if let Some(length) = &hop.relationship.length
                    && let Expansion::WeightedShortest { total: Some(t), .. }
                    | Expansion::AllShortest { total: Some(t), .. } = &length.expansion
                {
                    new.insert(t.var);
                }
            }
        }
        new.retain(|v| !self.bound.contains(v));

        let mut conditions = Vec::new();
        let mut nodes: Vec<VarId> = Vec::new();
        let mut hops = Vec::new();
        for p in patterns {
            self.collect_node(&p.start, &new, &mut nodes, &mut conditions);
            let mut left = p.start.var;
            for hop in &p.hops {
                self.collect_node(&hop.node, &new, &mut nodes, &mut conditions);
                let r = &hop.relationship;
                if r.length.is_none() {
                    for (key, value) in property_pairs(r.properties.as_deref())? {
                        conditions.push(condition(
                            &new,
                            Kind::Property(r.var, key, value),
                            &[r.var],
                            Some(value),
                        ));
                    }
                    if let Some(filter) = &r.filter {
                        conditions.push(condition(&new, Kind::Where(filter), &[], Some(filter)));
                    }
                }
                hops.push(Hop {
                    pattern: r,
                    left,
                    right: hop.node.var,
                    in_named_path: p.variable.is_some(),
                    shortest: p.shortest,
                });
                left = hop.node.var;
            }
        }
        for n in patterns.iter().flat_map(|p| std::iter::once(&p.start).chain(p.hops.iter().map(|h| &h.node)))
        {
            for (key, value) in property_pairs(n.properties.as_deref())? {
                conditions.push(condition(&new, Kind::Property(n.var, key, value), &[n.var], Some(value)));
            }
        }
        if let Some(filter) = filter {
            split_and(filter, &mut |part| {
                conditions.push(condition(&new, Kind::Where(part), &[], Some(part)));
            });
        }

        let is_one_of_many = hops.len() > 1;
        let mut followed: Vec<(usize, &RelationshipPattern)> = Vec::new();
        end = self.place(end, &mut conditions)?;
        loop {
            check_depth(self.depths[end])?;
            let hop = self.next_hop(&hops);
            let next = match hop {
                Some(i) => {
                    let hop = hops.remove(i);
                    nodes.retain(|n| *n != hop.left && *n != hop.right);
                    self.follow(end, &hop, &mut followed, is_one_of_many)?
                }
                None => {
                    nodes.retain(|n| !self.bound.contains(n));
                    if nodes.is_empty() {
                        break;
                    }
                    self.begin(end, &mut nodes, &hops, &mut conditions)?
                }
            };
            end = self.place(next, &mut conditions)?;
        }
        for p in patterns {
            if let Some(name) = &p.variable {
                let parts = pattern_slots(self, p);
                let slot = self.slot(name.var);
                end = self.push(Op::NamedPath { input: end, slot, parts });
                self.bound.insert(name.var);
                end = self.place(end, &mut conditions)?;
            }
        }
        self.bound.extend(new);
        self.place(end, &mut conditions)
    }

    fn collect_node<'p>(
        &mut self,
        n: &'p NodePattern,
        new: &FxHashSet<VarId>,
        nodes: &mut Vec<VarId>,
        conditions: &mut Vec<Condition<'p>>,
    ) {
        if !nodes.contains(&n.var) {
            nodes.push(n.var);
            if self.bound.contains(&n.var) {
                conditions.push(condition(new, Kind::Present(n.var), &[], None));
            }
        }
        if !n.labels.is_empty() {
            let mut c = condition(new, Kind::Labels(n.var, &n.labels), &[n.var], None);
            for label in &n.labels {
                vars::in_label(label, &mut |v| {
                    if new.contains(&v) {
                        c.needs.insert(v);
                    }
                });
            }
            conditions.push(c);
        }
        if let Some(filter) = &n.filter {
            split_and(filter, &mut |part| {
                conditions.push(condition(new, Kind::Where(part), &[], Some(part)))
            });
        }
    }

    /// Puts the conditions whose variables are bound behind `end`, the cheap ones first.
    fn place(&mut self, mut end: OpId, conditions: &mut Vec<Condition<'_>>) -> Result<OpId, CypherError> {
        let mut ready = Vec::new();
        let mut i = 0;
        while i < conditions.len() {
            if conditions[i].needs.iter().all(|v| self.bound.contains(v)) {
                ready.push(conditions.remove(i));
            } else {
                i += 1;
            }
        }
        ready.sort_by_key(|c| match &c.kind {
            Kind::Present(_) => 0,
            Kind::Labels(..) => 1,
            Kind::Property(..) => 2,
            Kind::Where(_) => 3,
        });
        for c in ready {
            let span = match c.kind {
                Kind::Property(_, _, e) | Kind::Where(e) => e.span,
                Kind::Present(_) | Kind::Labels(..) => self.span,
            };
            let predicate = match c.kind {
                Kind::Present(var) => plan::Expr::IsNull(Box::new(plan::Expr::Slot(self.slot(var))), true),
                Kind::Labels(var, labels) => {
                    let test = self.label_test(labels)?;
                    plan::Expr::HasLabels(Box::new(plan::Expr::Slot(self.slot(var))), Box::new(test))
                }
                Kind::Property(var, key, value) => {
                    self.effects.reads |= Effects::PROPERTIES;
                    let property = plan::Expr::Property(
                        Box::new(plan::Expr::Slot(self.slot(var))),
                        KeyName::new(key.into()),
                        span,
                    );
                    plan::Expr::Compare(Box::new(property), vec![(CompareOp::Equal, self.expr(value)?)])
                }
                Kind::Where(e) => self.expr(e)?,
            };
            end = self.push_at(span, Op::Filter { input: end, predicate });
        }
        Ok(end)
    }

    // ------------------------------------------------------------------------------------- start

    /// Begins at the cheapest node, or at a relationship that is cheaper to list than the nodes are to list and to
    /// follow. None of the relationships touches what is bound.
    fn begin(
        &mut self,
        end: OpId,
        nodes: &mut Vec<VarId>,
        hops: &[Hop<'_>],
        conditions: &mut Vec<Condition<'_>>,
    ) -> Result<OpId, CypherError> {
        let mut best: Option<(f64, usize, Start)> = None;
        for (i, var) in nodes.iter().enumerate() {
            let (cost, start) = self.cheapest_start(*var, conditions);
            if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                best = Some((cost, i, start));
            }
        }
        let (cost, i, start) = best.expect("the caller has a node left");
        let counts = self.tx.counts();
        let degree = counts.edges as f64 / (counts.vertices as f64).max(1.0);
        if let Some((of_edges, var, spec, sought)) = self.cheapest_edges(hops, conditions)
            && of_edges < cost * (1.0 + degree)
        {
            let bounds = self.bounds(var, sought, conditions)?;
            self.effects.reads |= Effects::EDGES;
            let slot = self.slot(var);
            self.bound.insert(var);
            return Ok(self.push(Op::EdgeSeek { input: end, slot, index: spec, bounds }));
        }
        let var = nodes.remove(i);
        let slot = self.slot(var);
        self.effects.reads |= Effects::VERTICES;
        let op = match start {
            Start::All => Op::AllNodes { input: end, slot, columns: Vec::new() },
            Start::Label(name) => {
                drop_label(conditions, var, &name);
                self.effects.reads |= Effects::LABELS;
                Op::LabelScan { input: end, slot, label: LabelRef::new(name.into()), columns: Vec::new() }
            }
            Start::ById(c) => {
                let Some(Fact::Id(e)) = fact(&conditions[c].kind, var) else { unreachable!("chosen for it") };
                let id = self.expr(e)?;
                conditions.remove(c);
                Op::NodeById { input: end, slot, id }
            }
            Start::Index { spec, sought, label } => {
                let bounds = self.bounds(var, sought, conditions)?;
                drop_label(conditions, var, &label);
                self.effects.reads |= Effects::LABELS;
                Op::IndexSeek { input: end, slot, index: spec, bounds }
            }
        };
        self.bound.insert(var);
        Ok(self.push(op))
    }

    /// Makes the bounds of a seek, and forgets the conditions that it implies.
    fn bounds(
        &mut self,
        var: VarId,
        sought: Sought,
        conditions: &mut Vec<Condition<'_>>,
    ) -> Result<Bounds, CypherError> {
        let mut bounds = Bounds { equal: Vec::new(), from: None, to: None, prefix: None, any_of: None };
        for c in sought.equal.iter().chain(&sought.range).chain(&sought.list) {
            self.effects.reads |= Effects::PROPERTIES;
            let mut is_implied = true;
            match fact(&conditions[*c].kind, var) {
                Some(Fact::Equal(_, e)) => bounds.equal.push(self.expr(e)?),
                Some(Fact::Range(_, op, e)) => {
                    is_implied = is_totally_ordered(e);
                    let e = self.expr(e)?;
                    match op {
                        CompareOp::Greater => bounds.from = Some((e, false)),
                        CompareOp::GreaterOrEqual => bounds.from = Some((e, true)),
                        CompareOp::Less => bounds.to = Some((e, false)),
                        _ => bounds.to = Some((e, true)),
                    }
                }
                Some(Fact::Prefix(_, e)) => bounds.prefix = Some(self.expr(e)?),
                Some(Fact::InList(_, e)) => bounds.any_of = Some(self.expr(e)?),
                Some(Fact::Id(_)) | None => unreachable!("chosen for what they say of a property"),
            }
            if is_implied {
                conditions[*c].needs.insert(VarId::NONE);
            }
        }
        conditions.retain(|c| !c.needs.contains(&VarId::NONE));
        Ok(bounds)
    }

    /// Returns what conditions say of a node or a relationship whose other side is known before it is.
    fn facts<'p>(&self, var: VarId, conditions: &[Condition<'p>]) -> Vec<(usize, Fact<'p>)> {
        let is_known = |c: &Condition<'_>| c.needs.iter().all(|v| *v == var || self.bound.contains(v));
        let known = conditions.iter().enumerate().filter(|(_, c)| is_known(c));
        known
            .filter_map(|(i, c)| Some((i, fact(&c.kind, var)?)))
            .filter(|(_, f)| !names_variable(f.value(), var))
            .collect()
    }

    /// Returns the relationship that an index of edges lists with the least cost, and how.
    fn cheapest_edges(
        &self,
        hops: &[Hop<'_>],
        conditions: &[Condition<'_>],
    ) -> Option<(f64, VarId, IndexSpec, Sought)> {
        let indexes: Vec<IndexSpec> = self.tx.indexes().into_iter().filter(IndexSpec::is_of_edges).collect();
        let mut best: Option<(f64, VarId, IndexSpec, Sought)> = None;
        for hop in hops.iter().filter(|_| !indexes.is_empty()) {
            let r = hop.pattern;
            let [LabelName::Name(name)] = &r.types[..] else { continue };
            if r.length.is_some() || hop.shortest != Shortest::No || self.bound.contains(&r.var) {
                continue;
            }
            let facts = self.facts(r.var, conditions);
            let wanted = self.tx.names().find_edge_type(&name.name);
            for spec in &indexes {
                let found = match spec {
                    IndexSpec::EdgeType(of) if Some(*of) == wanted => {
                        Some((1.0 + self.tx.index_count(spec) as f64, Sought::default()))
                    }
                    IndexSpec::EdgeTypeProperties(of, _) if Some(*of) == wanted => {
                        self.index_cost(spec, false, &facts)
                    }
                    _ => None,
                };
                if let Some((cost, sought)) = found
                    && best.as_ref().is_none_or(|(least, ..)| cost < *least)
                {
                    best = Some((cost, r.var, spec.clone(), sought));
                }
            }
        }
        best
    }

    fn cheapest_start(&self, var: VarId, conditions: &[Condition<'_>]) -> (f64, Start) {
        let names = self.tx.names();
        let mut best = (self.tx.counts().vertices as f64 + 1.0, Start::All);
        let facts = self.facts(var, conditions);
        let mut labels: Vec<&str> = Vec::new();
        for c in conditions {
            match &c.kind {
                Kind::Labels(v, list) if *v == var => plain_labels(list, &mut labels),
                Kind::Where(Expr { kind: ExprKind::HasLabels { expr, labels: list }, .. }) if matches!(&expr.kind, ExprKind::Variable(v) if v.var == var) =>
                {
                    plain_labels(list, &mut labels);
                }
                _ => {}
            }
        }
        if let Some((i, _)) = facts.iter().find(|(_, f)| matches!(f, Fact::Id(_))) {
            return (0.5, Start::ById(*i));
        }
        for label in labels {
            let Some(id) = names.find_label(label) else {
                return (0.0, Start::Label(label.to_owned()));
            };
            let count = self.tx.label_count(id) as f64;
            if count < best.0 {
                best = (count, Start::Label(label.to_owned()));
            }
            for spec in self.tx.indexes() {
                let IndexSpec::LabelProperties(indexed, keys) = &spec else { continue };
                if *indexed == id
                    && let Some((cost, sought)) = self.index_cost(&spec, self.is_unique(id, keys), &facts)
                    && cost < best.0
                {
                    best = (cost, Start::Index { spec, sought, label: label.to_owned() });
                }
            }
        }
        best
    }

    /// Whether no two nodes with the label have equal values in these properties.
    fn is_unique(&self, label: LabelId, keys: &[PropertyKeyId]) -> bool {
        self.tx.constraints().iter().any(|c| {
            c.kind == mgnode_core::types::ConstraintKind::Unique
                && c.label == label
                && c.properties.iter().all(|p| keys.contains(p))
        })
    }

    /// What seeking in one index of properties would cost, with what is known about the node or the relationship.
    fn index_cost(
        &self,
        spec: &IndexSpec,
        is_unique: bool,
        facts: &[(usize, Fact<'_>)],
    ) -> Option<(f64, Sought)> {
        let (names, keys) = (self.tx.names(), spec.keys());
        // What lacks one of the properties is not in the index.
        let is_there = |key: &PropertyKeyId| {
            let name = names.key_name(*key);
            facts.iter().any(|(_, f)| f.property() == Some(&*name))
        };
        if !keys.iter().all(is_there) {
            return None;
        }
        let entries = self.tx.index_count(spec) as f64;
        let mut equal = Vec::new();
        for key in keys {
            let name = names.key_name(*key);
            match facts.iter().find(|(_, f)| matches!(f, Fact::Equal(k, _) if **k == *name)) {
                Some((i, _)) => equal.push(*i),
                None => break,
            }
        }
        if equal.len() == keys.len() {
            let measured = self.tx.graph().statistics(spec).map(|found| found.group_average);
            let hits = measured.unwrap_or_else(|| entries.sqrt() * 0.1);
            let sought = Sought { equal, ..Sought::default() };
            return Some((if is_unique { 1.0 } else { 1.0 + hits }, sought));
        }
        let next = names.key_name(keys[equal.len()]);
        if equal.is_empty()
            && keys.len() == 1
            && let Some((i, _)) = facts.iter().find(|(_, f)| matches!(f, Fact::InList(k, _) if **k == *next))
        {
            return Some((10.0 + entries.sqrt(), Sought { list: Some(*i), ..Sought::default() }));
        }
        let mut range = Vec::new();
        let prefix = facts.iter().find(|(_, f)| matches!(f, Fact::Prefix(k, _) if **k == *next));
        if let Some((i, _)) = prefix {
            range.push(*i);
        } else {
            let lower = |op: &CompareOp| matches!(op, CompareOp::Greater | CompareOp::GreaterOrEqual);
            for from in [true, false] {
                let found = facts
                    .iter()
                    .find(|(_, f)| matches!(f, Fact::Range(k, op, _) if **k == *next && lower(op) == from));
                range.extend(found.map(|(i, _)| *i));
            }
        }
        if range.is_empty() && equal.is_empty() {
            return None;
        }
        let part = 0.1_f64.powi(equal.len() as i32) * 0.3_f64.powi(range.len() as i32);
        Some((1.0 + entries * part, Sought { equal, range, list: None }))
    }

    // ---------------------------------------------------------------------------------- hops

    /// Chooses the next relationship to follow, from those that touch what is bound.
    fn next_hop(&self, hops: &[Hop<'_>]) -> Option<usize> {
        let rank = |h: &Hop<'_>| {
            let ends = usize::from(self.bound.contains(&h.left)) + usize::from(self.bound.contains(&h.right));
            let bound = self.bound.contains(&h.pattern.var) && h.pattern.length.is_none();
            let many = h.pattern.length.is_some() || h.shortest != Shortest::No;
            match (bound, ends, many) {
                (true, ..) => Some(0),
                (_, 2, false) => Some(1),
                (_, 1, false) => Some(2),
                // Shortest paths are looked for between ends that are known.
                (_, 2, true) => Some(3),
                (_, 1, true) if h.shortest == Shortest::No => Some(4),
                _ => None,
            }
        };
        hops.iter().enumerate().filter_map(|(i, h)| rank(h).map(|r| (r, i))).min().map(|(_, i)| i)
    }

    fn follow<'p>(
        &mut self,
        end: OpId,
        hop: &Hop<'p>,
        followed: &mut Vec<(usize, &'p RelationshipPattern)>,
        is_one_of_many: bool,
    ) -> Result<OpId, CypherError> {
        let r = hop.pattern;
        self.effects.reads |= Effects::EDGES;
        let others: Vec<usize> =
            followed.iter().filter(|(_, o)| may_be_same(o, r)).map(|(s, _)| *s).collect();
        let mut types = Vec::new();
        for t in &r.types {
            match t {
                LabelName::Name(name) => types.push(TypeRef::new(name.name.clone())),
                LabelName::Dynamic(_) => {
                    return Err(super::unsupported(
                        "A relationship type that is computed, in a MATCH,",
                        r.span,
                    ));
                }
            }
        }
        let (left, right) = (self.slot(hop.left), self.slot(hop.right));
        let direction = match r.direction {
            Direction::Out => storage::Direction::Outgoing,
            Direction::In => storage::Direction::Incoming,
            Direction::Both => storage::Direction::Both,
        };
        let mut edge = self.slot(r.var);
        if self.bound.contains(&r.var) && r.length.is_none() {
            let expand = EdgeEnds {
                edge,
                from: left,
                to: right,
                from_bound: self.bound.contains(&hop.left),
                to_bound: self.bound.contains(&hop.right),
                direction,
                types,
                others,
            };
            followed.push((edge, r));
            self.bound.extend([hop.left, hop.right]);
            return Ok(self.push_at(r.span, Op::EdgeEnds { input: end, expand }));
        }
        // A list of relationships that is bound must be the one that is found.
        let expected = self.bound.contains(&r.var).then_some(edge);
        if expected.is_some() {
            edge = self.temp();
        }
        let reversed = !self.bound.contains(&hop.left);
        let (from, to, to_var) = if reversed { (right, left, hop.left) } else { (left, right, hop.right) };
        let direction = match (direction, reversed) {
            (storage::Direction::Outgoing, true) => storage::Direction::Incoming,
            (storage::Direction::Incoming, true) => storage::Direction::Outgoing,
            (d, _) => d,
        };
        let mut into = self.bound.contains(&to_var);
        // Memgraph's shortest paths reach every end; one that is bound is looked for.
        if from == to {
            into = true;
        }
        let hop_op = Expand { input: end, from, edge, to, direction, types, into, others, once: false };
        followed.push((edge, r));
        self.bound.extend([hop.left, hop.right, r.var]);
        let end = match (&r.length, hop.shortest) {
            (None, Shortest::No) => self.push_at(r.span, Op::Expand(hop_op)),
            (length, shortest) => {
                let one = || Some(plan::Expr::Const(Value::Int(1)));
                let (mut min, mut max) = (one(), one());
                let mut lambda = None;
                let mut expansion = &Expansion::Walk;
                if let Some(length) = length {
                    min = length.min.as_deref().map(|e| self.expr(e)).transpose()?;
                    max = length.max.as_deref().map(|e| self.expr(e)).transpose()?;
                    lambda = length.filter.as_deref();
                    expansion = &length.expansion;
                }
                let step = self.step(r, lambda)?;
                let (all, weight) = match (expansion, shortest) {
                    (Expansion::Walk, Shortest::No) => {
                        // A relationship of the same `MATCH` must not take its edges again.
                        let keep_edges =
                            hop.in_named_path || r.variable.is_some() || expected.is_some() || is_one_of_many;
                        let walk = VarExpand { hop: hop_op, min, max, reversed, keep_edges, step };
                        let end = self.push_at(r.span, Op::VarExpand(walk));
                        return Ok(self.expect_edge(end, edge, expected));
                    }
                    (Expansion::Walk, shortest) => (shortest == Shortest::All, None),
                    (Expansion::Bfs, _) => (false, None),
                    (
                        Expansion::WeightedShortest { weight, total }
                        | Expansion::AllShortest { weight, total },
                        _,
                    ) => {
                        let total = total.as_ref().map(|t| {
                            self.bound.insert(t.var);
                            self.slot(t.var)
                        });
                        let weight = match weight {
                            Some(w) => (
                                self.slot(w.relationship.var),
                                self.slot(w.node.var),
                                self.expr(&w.body)?,
                                total,
                            ),
                            None => (self.temp(), self.temp(), plan::Expr::Const(Value::Int(1)), total),
                        };
                        (matches!(expansion, Expansion::AllShortest { .. }), Some(weight))
                    }
                    (Expansion::KShortest { .. }, _) => return Err(super::unsupported("*KSHORTEST", r.span)),
                };
                let path = plan::Shortest { hop: hop_op, min, max, reversed, step, all, weight };
                self.push_at(r.span, Op::Shortest(path))
            }
        };
        Ok(self.expect_edge(end, edge, expected))
    }

    /// Lets through only the edge that is bound already, if one is.
    fn expect_edge(&mut self, end: OpId, edge: Slot, expected: Option<Slot>) -> OpId {
        let Some(expected) = expected else { return end };
        let predicate = plan::Expr::Compare(
            Box::new(plan::Expr::Slot(edge)),
            vec![(CompareOp::Equal, plan::Expr::Slot(expected))],
        );
        self.push(Op::Filter { input: end, predicate })
    }

    /// What every hop of a path must satisfy: the pattern's properties and the lambda's condition.
    fn step(
        &mut self,
        r: &RelationshipPattern,
        lambda: Option<&Lambda>,
    ) -> Result<Option<Step>, CypherError> {
        let (edge, node) = match lambda {
            Some(l) => (self.slot(l.relationship.var), self.slot(l.node.var)),
            None => (self.temp(), self.temp()),
        };
        let mut tests = Vec::new();
        for (key, value) in property_pairs(r.properties.as_deref())? {
            self.effects.reads |= Effects::PROPERTIES;
            let property =
                plan::Expr::Property(Box::new(plan::Expr::Slot(edge)), KeyName::new(key.into()), value.span);
            tests.push(plan::Expr::Compare(Box::new(property), vec![(CompareOp::Equal, self.expr(value)?)]));
        }
        if let Some(l) = lambda {
            if let Some(name) = l.path.as_ref().or(l.weight.as_ref()) {
                return Err(super::unsupported("The path in the condition of an expansion", name.span));
            }
            tests.push(self.expr(&l.body)?);
        }
        if let Some(filter) = &r.filter {
            return Err(super::unsupported("WHERE inside a relationship of variable length", filter.span));
        }
        Ok(match tests.len() {
            0 => None,
            1 => tests.pop().map(|predicate| Step { edge, node, predicate }),
            _ => Some(Step { edge, node, predicate: plan::Expr::And(tests) }),
        })
    }
}

fn condition<'p>(
    new: &FxHashSet<VarId>,
    kind: Kind<'p>,
    also: &[VarId],
    names: Option<&Expr>,
) -> Condition<'p> {
    let mut needs: FxHashSet<VarId> = also.iter().copied().filter(|v| new.contains(v)).collect();
    if let Some(e) = names {
        vars::each_variable(e, &mut |v| {
            if new.contains(&v) {
                needs.insert(v);
            }
        });
    }
    Condition { kind, needs }
}

fn names_variable(e: &Expr, var: VarId) -> bool {
    let mut found = false;
    vars::each_variable(e, &mut |v| found |= v == var);
    found
}

/// Calls `f` for each part of a conjunction.
fn split_and<'p>(e: &'p Expr, f: &mut dyn FnMut(&'p Expr)) {
    match &e.kind {
        ExprKind::And(items) => items.iter().for_each(|e| split_and(e, f)),
        _ => f(e),
    }
}

/// Labels that must all be there, by name.
fn plain_labels<'p>(labels: &'p [LabelExpr], out: &mut Vec<&'p str>) {
    for label in labels {
        match label {
            LabelExpr::Label(LabelName::Name(name)) => out.push(&name.name),
            LabelExpr::And(items) => plain_labels(items, out),
            _ => {}
        }
    }
}

/// Forgets a condition that consists of this one label.
fn drop_label(conditions: &mut Vec<Condition<'_>>, var: VarId, label: &str) {
    let only = |list: &[LabelExpr]| matches!(list, [LabelExpr::Label(LabelName::Name(name))] if *name.name == *label);
    conditions.retain(|c| match &c.kind {
        Kind::Labels(v, list) => *v != var || !only(list),
        _ => true,
    });
}

/// Whether two relationships of a pattern could be the same edge, as far as their types say.
fn may_be_same(a: &RelationshipPattern, b: &RelationshipPattern) -> bool {
    a.types.is_empty() || b.types.is_empty() || a.types.iter().any(|t| b.types.contains(t))
}

fn property_pairs(properties: Option<&Expr>) -> Result<Vec<(&str, &Expr)>, CypherError> {
    match properties {
        None => Ok(Vec::new()),
        Some(Expr { kind: ExprKind::Map(pairs), .. }) => {
            Ok(pairs.iter().map(|(k, e)| (&*k.name, e)).collect())
        }
        Some(other) => Err(CypherError::compile(
            ErrorKind::SyntaxError,
            "InvalidParameterUse",
            other.span,
            "A parameter cannot stand for the properties of a pattern that is looked for; name each property.",
        )),
    }
}

impl<'p> Fact<'p> {
    /// Returns the property that must be there for it to hold.
    fn property(&self) -> Option<&'p str> {
        match self {
            Fact::Equal(key, _) | Fact::InList(key, _) | Fact::Range(key, ..) | Fact::Prefix(key, _) => {
                Some(key)
            }
            Fact::Id(_) => None,
        }
    }

    fn value(&self) -> &'p Expr {
        match self {
            Fact::Equal(_, e)
            | Fact::InList(_, e)
            | Fact::Range(_, _, e)
            | Fact::Prefix(_, e)
            | Fact::Id(e) => e,
        }
    }
}

/// What a condition says about a node, where an index can use it.
fn fact<'p>(kind: &Kind<'p>, var: VarId) -> Option<Fact<'p>> {
    let property = |e: &'p Expr| -> Option<&'p str> {
        match &e.kind {
            ExprKind::Property { base, key } => match &base.kind {
                ExprKind::Variable(v) if v.var == var => Some(&*key.name),
                _ => None,
            },
            _ => None,
        }
    };
    let is_id = |e: &Expr| match &e.kind {
        ExprKind::Function { name, args } => {
            name.name.eq_ignore_ascii_case("id")
                && matches!(&args[..], [Expr { kind: ExprKind::Variable(v), .. }] if v.var == var)
        }
        _ => false,
    };
    match kind {
        Kind::Property(v, key, value) if *v == var => Some(Fact::Equal(key, value)),
        Kind::Where(e) => match &e.kind {
            ExprKind::Comparison { first, rest } => {
                let [(op, second)] = &rest[..] else { return None };
                if *op == CompareOp::Equal && is_id(first) {
                    return Some(Fact::Id(second));
                }
                if *op == CompareOp::Equal && is_id(second) {
                    return Some(Fact::Id(first));
                }
                let (key, op, value) = match (property(first), property(second)) {
                    (Some(key), _) => (key, *op, second),
                    (None, Some(key)) => (key, turned(*op), &**first),
                    (None, None) => return None,
                };
                match op {
                    CompareOp::Equal => Some(Fact::Equal(key, value)),
                    CompareOp::NotEqual => None,
                    op => Some(Fact::Range(key, op, value)),
                }
            }
            ExprKind::In { element, list } => Some(Fact::InList(property(element)?, list)),
            ExprKind::StringTest { op: StringOp::StartsWith, left, right } => {
                Some(Fact::Prefix(property(left)?, right))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether every value of the kind that this bounds can be compared with it. Of durations, points, maps and others an
/// index has an order that Cypher's `<` does not have.
fn is_totally_ordered(bound: &Expr) -> bool {
    let ExprKind::Literal(literal) = &bound.kind else { return false };
    matches!(literal, Literal::Integer(_) | Literal::Float(_) | Literal::String(_))
}

fn turned(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Less => CompareOp::Greater,
        CompareOp::LessOrEqual => CompareOp::GreaterOrEqual,
        CompareOp::Greater => CompareOp::Less,
        CompareOp::GreaterOrEqual => CompareOp::LessOrEqual,
        same => same,
    }
}
