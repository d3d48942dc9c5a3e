//! Random queries.

use crate::dice::Dice;
use crate::model::{LABELS, TYPES, value_of};
use crate::query::{
    Clause, CompareOp, Direction, Item, Kind, Node, Path, Pred, Query, Rel, Term, TextOp, Var,
};
use mgnode_core::types::Value;

const NODE_KEYS: &[&str] = &["x", "x", "y", "y", "s", "w", "k"];
const REL_KEYS: &[&str] = &["p", "p", "w", "k"];

/// Makes up queries for one graph.
pub(crate) struct Author<'a> {
    dice: &'a mut Dice,
    /// The graph is large, so that patterns are kept short.
    is_large: bool,
    scope: Vec<(Var, Kind)>,
    /// How much a query asks for, of a hundred: one that asks for much finds nothing.
    demand: usize,
    /// Its clauses begin with what an index may hold, and look for that.
    is_seeker: bool,
    /// Relationships that were bound before and stand in this clause.
    taken: Vec<Var>,
    names: usize,
}

/// Throws a query.
pub(crate) fn any_query(dice: &mut Dice, is_large: bool) -> Query {
    let is_seeker = dice.chance(40);
    let demand = if is_seeker { dice.pick(&[0, 5, 25]) } else { dice.pick(&[5, 5, 15, 25, 40, 100]) };
    Author { dice, is_large, scope: Vec::new(), demand, is_seeker, taken: Vec::new(), names: 0 }.query()
}

/// Throws a condition over what a query's end can name, for a query that returns all rows as they are.
pub(crate) fn any_condition(dice: &mut Dice, query: &Query, scope: &[(Var, Kind)]) -> Pred {
    // Names that the query has not.
    let names = query.clauses.len() * 1000;
    Author {
        dice,
        is_large: false,
        scope: scope.to_vec(),
        demand: 100,
        is_seeker: false,
        taken: Vec::new(),
        names,
    }
    .pred(2)
}

/// Returns what can be named behind some clauses.
pub(crate) fn scope_of(clauses: &[Clause]) -> Vec<(Var, Kind)> {
    let mut scope: Vec<(Var, Kind)> = Vec::new();
    let add = |scope: &mut Vec<(Var, Kind)>, var: &Var, kind| {
        if !scope.iter().any(|(v, _)| v == var) {
            scope.push((var.clone(), kind));
        }
    };
    for clause in clauses {
        match clause {
            Clause::Match { paths, .. } => {
                for path in paths {
                    let nodes = std::iter::once(&path.start).chain(path.hops.iter().map(|(_, n)| n));
                    nodes.filter(|n| !n.is_anonymous).for_each(|n| add(&mut scope, &n.var, Kind::Node));
                    for (rel, _) in path.hops.iter().filter(|(r, _)| !r.is_anonymous) {
                        let kind = if rel.length.is_some() { Kind::Rels } else { Kind::Rel };
                        add(&mut scope, &rel.var, kind);
                    }
                    path.name.iter().for_each(|name| add(&mut scope, name, Kind::Path));
                }
            }
            Clause::Unwind(var, _) => add(&mut scope, var, Kind::Value),
            Clause::With { keep, totals, .. } => {
                scope.clone_from(keep);
                scope.extend(totals.iter().map(|(v, _)| (v.clone(), Kind::Value)));
            }
            Clause::All(_) => {}
            Clause::Call { returns, clause, .. } => {
                let inside = scope_of(std::slice::from_ref(clause));
                inside.iter().filter(|(v, _)| returns.contains(v)).for_each(|(v, k)| add(&mut scope, v, *k));
            }
        }
    }
    scope
}

impl Author<'_> {
    /// As [`Dice::chance`], for what leaves rows out.
    fn demands(&mut self, percent: usize) -> bool {
        self.dice.chance(percent * self.demand / 100)
    }

    fn name(&mut self, letter: char) -> Var {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    fn of_kind(&self, kinds: &[Kind]) -> Vec<Var> {
        self.scope.iter().filter(|(_, k)| kinds.contains(k)).map(|(v, _)| v.clone()).collect()
    }

    fn query(mut self) -> Query {
        let mut clauses = Vec::new();
        if self.dice.chance(15) {
            let var = self.name('u');
            let values = (0..self.dice.below(4)).map(|_| value_of(self.dice, "x")).collect();
            clauses.push(Clause::Unwind(var.clone(), values));
            self.scope.push((var, Kind::Value));
        }
        let most = if self.is_large { 2 } else { 3 };
        let matches = if self.dice.chance(55) { 1 } else { self.dice.within(1, most) };
        for i in 0..matches {
            if i > 0 && self.dice.chance(25) {
                clauses.push(self.with());
            }
            let optional = self.dice.chance(if i == 0 { 5 } else { 35 });
            clauses.push(self.matching(optional));
        }
        if self.dice.chance(10) {
            clauses.push(self.with());
        }
        let (items, distinct) = self.items();
        let mut query = Query {
            clauses,
            distinct,
            vars: self.scope.iter().map(|(v, _)| v.clone()).collect(),
            order: Vec::new(),
            skip: None,
            limit: None,
            is_wrapped: false,
            with_params: self.dice.chance(40),
            items,
        };
        if !query.items.iter().any(Item::is_bag) && self.dice.chance(40) {
            query.order = (0..query.items.len()).map(|i| (i, self.dice.chance(40))).collect();
            self.dice.shuffle(&mut query.order);
            query.skip = self.dice.chance(25).then(|| self.dice.below(4));
            query.limit = self.dice.chance(50).then(|| self.dice.within(1, 8));
        }
        query
    }

    fn with(&mut self) -> Clause {
        if self.scope.is_empty() || self.dice.chance(30) {
            let filter = self.demands(60).then(|| self.pred(1));
            return Clause::All(filter);
        }
        let mut keep: Vec<(Var, Kind)> = self.scope.clone();
        keep.retain(|_| self.dice.chance(65));
        if keep.is_empty() {
            keep.push(self.dice.pick(&self.scope.clone()));
        }
        let mut totals = Vec::new();
        if self.dice.chance(25) {
            if self.dice.chance(15) {
                keep.clear();
            }
            for _ in 0..self.dice.within(1, 2) {
                let total = self.aggregate();
                // What is collected has no order.
                if !total.is_bag() {
                    totals.push((self.name('u'), total));
                }
            }
            if keep.is_empty() && totals.is_empty() {
                totals.push((self.name('u'), Item::Count));
            }
        }
        self.scope.clone_from(&keep);
        self.scope.extend(totals.iter().map(|(v, _)| (v.clone(), Kind::Value)));
        let is_sortable = keep.iter().all(|(_, k)| matches!(k, Kind::Node | Kind::Rel | Kind::Value));
        let limit = (is_sortable && self.dice.chance(35)).then(|| self.dice.within(1, 6));
        let filter = self.demands(40).then(|| self.pred(1));
        let distinct = totals.is_empty() && self.dice.chance(40);
        let limit = limit.filter(|_| totals.is_empty());
        Clause::With { keep, distinct, totals, limit, filter }
    }

    fn matching(&mut self, optional: bool) -> Clause {
        let before = self.scope.clone();
        self.taken.clear();
        let count = match self.dice.below(100) {
            0..72 => 1,
            72..96 => 2,
            _ if self.is_large => 1,
            _ => 3,
        };
        let mut hops_left = if self.is_large { 2 } else { 4 };
        let paths: Vec<Path> = (0..count).map(|_| self.path(&before, &mut hops_left)).collect();
        let mut all: Vec<Pred> = Vec::new();
        if self.demands(60) {
            all.push(self.pred(2));
        }
        // Of those that ask for little, some ask for this alone.
        if self.is_seeker || self.demands(75) || (all.is_empty() && self.dice.chance(30)) {
            self.seek(&paths, &before, &mut all);
        }
        let filter = (!all.is_empty()).then(|| if all.len() == 1 { all.remove(0) } else { Pred::And(all) });
        Clause::Match { optional, paths, filter }
    }

    /// Adds conditions that an index may answer, about something that has a label or a type.
    fn seek(&mut self, paths: &[Path], before: &[(Var, Kind)], all: &mut Vec<Pred>) {
        let mut sought: Vec<(Var, &[&'static str])> = Vec::new();
        for path in paths {
            let nodes = std::iter::once(&path.start).chain(path.hops.iter().map(|(_, n)| n));
            for node in nodes.filter(|n| !n.is_anonymous && !n.is_any) {
                let keys: &[&str] = match node.labels.first() {
                    Some(&"A") => &["x", "y", "s", "k"],
                    Some(&"B") => &["x", "y", "s", "w"],
                    Some(&"C") => &["w"],
                    _ => continue,
                };
                sought.push((node.var.clone(), keys));
            }
            for (rel, _) in &path.hops {
                if !rel.is_anonymous && rel.length.is_none() && rel.types.len() == 1 {
                    sought.push((rel.var.clone(), &["p", "w"]));
                }
            }
        }
        let Some((var, keys)) = self.dice.maybe(&sought) else { return };
        if self.is_large && keys.contains(&"k") && self.dice.chance(50) {
            // More than an index gives at once.
            let least = Term::Const(Value::Int(self.dice.below(60) as i64));
            all.push(Pred::Compare(Term::Property(var, "k"), CompareOp::GreaterOrEqual, least));
            return;
        }
        let conditions = if self.demands(50) { self.dice.within(2, 3) } else { 1 };
        for _ in 0..conditions {
            let key = self.dice.pick(keys);
            let term = Term::Property(var.clone(), key);
            match self.dice.below(20) {
                0..8 => all.push(Pred::Compare(term, CompareOp::Equal, self.known(before, key))),
                8..11 => {
                    let values = (0..self.dice.within(2, 5)).map(|_| value_of(self.dice, key)).collect();
                    all.push(Pred::In(term, values));
                }
                11 | 12 => {
                    let text = Term::Const(value_of(self.dice, "s"));
                    all.push(Pred::Text(TextOp::StartsWith, term, text));
                }
                13 if !keys.contains(&"p") => {
                    let id = Term::Const(Value::Int(self.dice.below(12) as i64));
                    all.push(Pred::Compare(Term::Id(var.clone()), CompareOp::Equal, id));
                }
                n => {
                    for _ in 0..if n > 16 { 2 } else { 1 } {
                        let compared = self.range(term.clone(), before, key);
                        all.push(compared);
                    }
                }
            }
        }
    }

    /// Compares something by `<` or its kin, written either way.
    fn range(&mut self, term: Term, before: &[(Var, Kind)], key: &'static str) -> Pred {
        let ops = [CompareOp::Greater, CompareOp::GreaterOrEqual, CompareOp::Less, CompareOp::LessOrEqual];
        let (op, bound) = (self.dice.pick(&ops), self.known(before, key));
        if self.dice.chance(35) { Pred::Compare(bound, op, term) } else { Pred::Compare(term, op, bound) }
    }

    /// Something that is known when a clause begins.
    fn known(&mut self, before: &[(Var, Kind)], key: &'static str) -> Term {
        let known: Vec<&(Var, Kind)> =
            before.iter().filter(|(_, k)| *k != Kind::Path && *k != Kind::Rels).collect();
        match self.dice.maybe(&known) {
            Some((var, kind)) if self.dice.chance(40) => match kind {
                Kind::Value => Term::Value(var.clone()),
                Kind::Node => Term::Property(var.clone(), self.dice.pick(NODE_KEYS)),
                _ => Term::Property(var.clone(), self.dice.pick(REL_KEYS)),
            },
            _ => Term::Const(value_of(self.dice, key)),
        }
    }

    fn path(&mut self, before: &[(Var, Kind)], hops_left: &mut usize) -> Path {
        let mut start = self.node(before);
        if self.is_seeker && !start.is_anonymous && start.labels.is_empty() {
            start.labels.push(self.dice.pick(&["A", "A", "B", "C"]));
        }
        let hops = self.dice.pick(&[0, 0, 1, 1, 1, 1, 2, 2, 3]).min(*hops_left);
        *hops_left -= hops;
        let hops: Vec<(Rel, Node)> = (0..hops).map(|_| (self.rel(before), self.node(before))).collect();
        let name = self.dice.chance(10).then(|| self.name('p'));
        self.scope.extend(name.iter().map(|name| (name.clone(), Kind::Path)));
        Path { name, start, hops }
    }

    fn properties(&mut self, keys: &[&'static str], before: &[(Var, Kind)]) -> Vec<(&'static str, Term)> {
        if !self.demands(25) {
            return Vec::new();
        }
        let key = self.dice.pick(keys);
        let term = self.known(before, key);
        vec![(key, term)]
    }

    fn node(&mut self, before: &[(Var, Kind)]) -> Node {
        let known = self.of_kind(&[Kind::Node]);
        let (var, is_anonymous) = match self.dice.maybe(&known) {
            Some(var) if self.dice.chance(4) || self.demands(30) => (var, false),
            _ => {
                let var = self.name('n');
                let is_anonymous = self.dice.chance(20);
                if !is_anonymous {
                    self.scope.push((var.clone(), Kind::Node));
                }
                (var, is_anonymous)
            }
        };
        let mut labels = Vec::new();
        if self.dice.chance(15) || self.demands(60) {
            labels.push(self.dice.pick(&["A", "A", "B", "C"]));
            if self.dice.chance(16) {
                labels.push(self.dice.pick(LABELS));
            }
            if self.dice.chance(2) {
                labels = vec!["Nobody"];
            }
        }
        let is_any = labels.len() > 1 && self.dice.chance(60);
        Node { var, is_anonymous, labels, is_any, properties: self.properties(NODE_KEYS, before) }
    }

    fn types(&mut self) -> Vec<&'static str> {
        let mut types = Vec::new();
        if self.dice.chance(25) || self.demands(60) {
            types.push(self.dice.pick(&["R", "R", "S", "T"]));
            if self.dice.chance(20) {
                let other = self.dice.pick(TYPES);
                types.extend((!types.contains(&other)).then_some(other));
            }
            if self.dice.chance(2) {
                types = vec!["NEVER"];
            }
        }
        types
    }

    fn rel(&mut self, before: &[(Var, Kind)]) -> Rel {
        let direction = self.dice.pick(&[Direction::Out, Direction::Out, Direction::In, Direction::Both]);
        let mut rel = Rel {
            var: self.name('r'),
            is_anonymous: self.dice.chance(45),
            types: self.types(),
            direction,
            length: None,
            properties: self.properties(REL_KEYS, before),
        };
        // A relationship that is known, once in a clause.
        let known: Vec<Var> =
            before.iter().filter(|(_, k)| *k == Kind::Rel).map(|(v, _)| v.clone()).collect();
        if let Some(var) = self.dice.maybe(&known)
            && self.dice.chance(8)
            && !self.taken.contains(&var)
        {
            self.taken.push(var.clone());
            rel.var = var;
            rel.is_anonymous = false;
            return rel;
        }
        if self.dice.chance(22) {
            let min = self.dice.pick(&[0, 1, 1, 2]);
            let max = min + self.dice.below(if self.is_large { 2 } else { 3 });
            rel.length = Some((min, max.max(1)));
        }
        if !rel.is_anonymous {
            let kind = if rel.length.is_some() { Kind::Rels } else { Kind::Rel };
            self.scope.push((rel.var.clone(), kind));
        }
        rel
    }

    // -------------------------------------------------------------------------------- conditions

    fn pred(&mut self, depth: usize) -> Pred {
        if depth > 0 && self.dice.chance(40) {
            return match self.dice.below(6) {
                0 | 1 => Pred::And((0..self.dice.within(2, 3)).map(|_| self.pred(depth - 1)).collect()),
                2 | 3 => Pred::Or((0..self.dice.within(2, 3)).map(|_| self.pred(depth - 1)).collect()),
                4 => Pred::Not(Box::new(self.pred(depth - 1))),
                _ => Pred::Unknown(Box::new(self.pred(depth - 1))),
            };
        }
        let nodes = self.of_kind(&[Kind::Node]);
        let rels = self.of_kind(&[Kind::Rel]);
        match self.dice.below(100) {
            0..8 if !nodes.is_empty() => {
                let var = self.dice.pick(&nodes);
                Pred::HasLabel(var, self.dice.pick(LABELS))
            }
            8..16 if !nodes.is_empty() => self.exists(&nodes),
            16..20 if nodes.len() > 1 => Pred::Same(self.dice.pick(&nodes), self.dice.pick(&nodes)),
            20..23 if rels.len() > 1 => Pred::Same(self.dice.pick(&rels), self.dice.pick(&rels)),
            23..30 => {
                let (term, _) = self.left();
                if self.dice.chance(50) { Pred::IsNull(term) } else { Pred::IsNotNull(term) }
            }
            30..42 => {
                let (term, key) = self.left();
                let mut values: Vec<Value> =
                    (0..self.dice.below(5)).map(|_| value_of(self.dice, key)).collect();
                if self.dice.chance(15) {
                    values.push(Value::Null);
                }
                Pred::In(term, values)
            }
            42..54 => {
                let op = self.dice.pick(&[
                    TextOp::StartsWith,
                    TextOp::StartsWith,
                    TextOp::EndsWith,
                    TextOp::Contains,
                ]);
                let (term, _) = self.left();
                let right = match self.dice.below(10) {
                    0 => self.left().0,
                    1 => Term::Const(value_of(self.dice, "x")),
                    _ => Term::Const(value_of(self.dice, "s")),
                };
                Pred::Text(op, term, right)
            }
            54..60 => {
                let (term, key) = self.left();
                let ops = [CompareOp::Less, CompareOp::LessOrEqual];
                let [low, high] = [(), ()].map(|()| Term::Const(value_of(self.dice, key)));
                Pred::Chain(low, self.dice.pick(&ops), term, self.dice.pick(&ops), high)
            }
            60..66 => {
                // Two bounds of one property, each of its own kind.
                let (term, key) = self.left();
                let [low, high] = [(), ()].map(|()| Term::Const(value_of(self.dice, key)));
                let [from, to] = [CompareOp::Greater, CompareOp::LessOrEqual];
                Pred::And(vec![Pred::Compare(term.clone(), from, low), Pred::Compare(term, to, high)])
            }
            _ => {
                let (left, key) = self.left();
                let right = self.right(key);
                let op = self.dice.pick(&[
                    CompareOp::Equal,
                    CompareOp::Equal,
                    CompareOp::Equal,
                    CompareOp::NotEqual,
                    CompareOp::Less,
                    CompareOp::LessOrEqual,
                    CompareOp::Greater,
                    CompareOp::GreaterOrEqual,
                ]);
                if self.dice.chance(20) {
                    Pred::Compare(right, op, left)
                } else {
                    Pred::Compare(left, op, right)
                }
            }
        }
    }

    /// Something that a condition is about, and which values it may have.
    fn left(&mut self) -> (Term, &'static str) {
        let known: Vec<(Var, Kind)> =
            self.scope.iter().filter(|(_, k)| !matches!(k, Kind::Path | Kind::Rels)).cloned().collect();
        let Some((var, kind)) = self.dice.maybe(&known) else {
            return (Term::Const(value_of(self.dice, "x")), "x");
        };
        let keys = match kind {
            Kind::Value => return (Term::Value(var), "x"),
            Kind::Node => NODE_KEYS,
            _ => REL_KEYS,
        };
        if self.dice.chance(5) {
            return (Term::Id(var), "k");
        }
        let key = self.dice.pick(keys);
        (Term::Property(var, key), key)
    }

    fn right(&mut self, key: &'static str) -> Term {
        match self.dice.below(10) {
            0..3 => self.left().0,
            3 if key == "k" => Term::Const(Value::Float(self.dice.below(12) as f64)),
            4 if self.dice.chance(30) => Term::Const(Value::Null),
            _ => Term::Const(value_of(self.dice, key)),
        }
    }

    /// A path from something that is bound, to `z`.
    fn way(&mut self, nodes: &[Var], names_end: bool) -> Path {
        let bare = |var| Node {
            var,
            is_anonymous: false,
            labels: Vec::new(),
            is_any: false,
            properties: Vec::new(),
        };
        let start = bare(self.dice.pick(nodes));
        let mut rel = Rel {
            var: self.name('r'),
            is_anonymous: true,
            types: self.types(),
            direction: self.dice.pick(&[Direction::Out, Direction::In, Direction::Both]),
            length: None,
            properties: Vec::new(),
        };
        if self.dice.chance(15) {
            rel.length = Some((1, 2));
        }
        let mut end = bare(self.name('z'));
        end.is_anonymous = !names_end;
        if self.dice.chance(40) {
            end.labels.push(self.dice.pick(LABELS));
        }
        if !names_end && self.dice.chance(20) {
            end = bare(self.dice.pick(nodes));
        }
        Path { name: None, start, hops: vec![(rel, end)] }
    }

    fn exists(&mut self, nodes: &[Var]) -> Pred {
        if self.dice.chance(50) {
            return Pred::Exists(Box::new(self.way(nodes, false)), None);
        }
        let (path, filter) = self.way_and_filter(nodes);
        Pred::Exists(path, Some(filter))
    }

    fn way_and_filter(&mut self, nodes: &[Var]) -> (Box<Path>, Box<Pred>) {
        let path = self.way(nodes, true);
        let end = path.hops[0].1.var.clone();
        self.scope.push((end, Kind::Node));
        let filter = self.pred(0);
        self.scope.pop();
        (Box::new(path), Box::new(filter))
    }

    // ------------------------------------------------------------------------------------- items

    fn items(&mut self) -> (Vec<Item>, bool) {
        let Some(only) = self.dice.maybe(&self.scope.clone()) else {
            return (vec![Item::Count], false);
        };
        if self.dice.chance(15) {
            // What may be given out once a vertex.
            let items = (0..self.dice.within(1, 2)).map(|_| self.item(&only)).collect();
            return (items, true);
        }
        let count = self.dice.within(1, 3);
        let mut items: Vec<Item> = (0..count)
            .map(|_| {
                let of = self.dice.pick(&self.scope.clone());
                self.item(&of)
            })
            .collect();
        if self.dice.chance(30) {
            for _ in 0..self.dice.within(1, 3) {
                let total = self.aggregate();
                items.push(total);
            }
            if self.dice.chance(30) {
                items.retain(Item::is_aggregate);
            }
            // A list whose order is left open is no key.
            items.retain(|i| i.is_aggregate() || !i.is_bag());
            return (items, false);
        }
        (items, self.dice.chance(20))
    }

    fn item(&mut self, (var, kind): &(Var, Kind)) -> Item {
        match kind {
            Kind::Node => match self.dice.below(20) {
                0..5 => Item::Whole(var.clone()),
                5..8 => Item::Term(Term::Property(var.clone(), "k")),
                8 => {
                    let (path, filter) = self.way_and_filter(std::slice::from_ref(var));
                    Item::CountPaths(path, Some(filter))
                }
                9 => {
                    let (path, filter) = self.way_and_filter(std::slice::from_ref(var));
                    Item::Comprehension(path, Some(filter))
                }
                _ => Item::Term(Term::Property(var.clone(), self.dice.pick(NODE_KEYS))),
            },
            Kind::Rel if self.dice.chance(30) => Item::Whole(var.clone()),
            Kind::Rel => Item::Term(Term::Property(var.clone(), self.dice.pick(REL_KEYS))),
            Kind::Rels => Item::Keys(var.clone()),
            Kind::Path => Item::PathKeys(var.clone()),
            Kind::Value => Item::Term(Term::Value(var.clone())),
        }
    }

    fn aggregate(&mut self) -> Item {
        let known = self.of_kind(&[Kind::Node, Kind::Rel]);
        let Some(var) = self.dice.maybe(&known) else { return Item::Count };
        let is_node = self.scope.contains(&(var.clone(), Kind::Node));
        let key = self.dice.pick(if is_node { NODE_KEYS } else { REL_KEYS });
        let weight = || Term::Property(var.clone(), "w");
        let any = Term::Property(var.clone(), key);
        match self.dice.below(8) {
            0 | 1 => Item::Count,
            2 => Item::CountOf(any, self.dice.chance(50)),
            3 => Item::Sum(weight()),
            4 => Item::Min(if is_node && self.dice.chance(40) {
                Term::Property(var.clone(), "s")
            } else {
                weight()
            }),
            5 => Item::Max(if is_node && self.dice.chance(40) {
                Term::Property(var.clone(), "s")
            } else {
                weight()
            }),
            _ => Item::Collect(any, self.dice.chance(40)),
        }
    }
}
