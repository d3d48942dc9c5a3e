//! Paths of many hops: every path, or the shortest.

use super::{Machine, State};
use crate::error::{CypherError, ErrorKind};
use crate::fail;
use crate::plan::{Expr, OpId, Shortest, Step, VarExpand};
use crate::value::type_name;
use mgnode_core::storage::{Direction, Expansion};
use mgnode_core::types::{EdgeId, EdgeTypeId, Value, VertexId};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// A walk in progress: depth first, on an explicit stack.
#[derive(Default)]
pub(crate) struct Walk {
    /// Edges of the path so far.
    path: Vec<EdgeId>,
    /// Hops not yet taken, of all depths, one after the other.
    hops: Vec<Expansion>,
    /// For each depth, the vertex, where its hops begin and which comes next.
    frames: Vec<(VertexId, usize, usize)>,
    min: usize,
    max: usize,
    types: SmallVec<[EdgeTypeId; 4]>,
    /// The path of no hops is to be given.
    start: Option<VertexId>,
    active: bool,
    /// Vertices that were given out, where each is wanted once.
    given: FxHashSet<VertexId>,
}

/// How each vertex was reached: its level, and the last hops of its shortest paths.
type Reached = FxHashMap<VertexId, (usize, SmallVec<[(EdgeId, VertexId); 1]>)>;

/// A vertex, and with how many hops it is reached where that counts.
type Place = (VertexId, usize);

/// How each place is reached at the least cost: the last hops of the paths there.
type Best = FxHashMap<Place, (Cost, SmallVec<[(EdgeId, Place); 1]>)>;

/// What a search from one end has reached: each vertex with the hop that led to it.
struct Side {
    reached: FxHashMap<VertexId, Option<(EdgeId, VertexId)>>,
    /// Vertices of the last level.
    rim: Vec<VertexId>,
    direction: Direction,
}

impl Side {
    fn new(end: VertexId, direction: Direction) -> Side {
        Side { reached: FxHashMap::from_iter([(end, None)]), rim: vec![end], direction }
    }

    /// Returns the edges of the way from a vertex back to this end.
    fn way(&self, mut at: VertexId) -> impl Iterator<Item = EdgeId> {
        std::iter::from_fn(move || {
            let (edge, before) = self.reached[&at]?;
            at = before;
            Some(edge)
        })
    }
}

/// A shortest path: its end, its edges, its weight.
pub(crate) struct Found {
    to: VertexId,
    edges: Vec<EdgeId>,
    weight: Option<Value>,
}

impl<'a> Machine<'a> {
    fn hops(&mut self, e: &'a Option<Expr>, default: usize) -> Result<usize, CypherError> {
        let Some(e) = e else { return Ok(default) };
        match self.eval(e)? {
            Value::Int(n) if n >= 0 => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
            Value::Int(n) => Err(CypherError::runtime(
                ErrorKind::ArgumentError,
                "NegativeIntegerArgument",
                format!("a path has no negative number of hops, such as {n}"),
            )),
            other => Err(fail::types(format!("a number of hops is an integer, not {}", type_name(&other)))),
        }
    }

    pub(super) fn var_expand(&mut self, id: OpId, e: &'a VarExpand) -> Result<bool, CypherError> {
        loop {
            if let State::Walk(_) = self.states[id] {
                let State::Walk(mut walk) = std::mem::take(&mut self.states[id]) else {
                    unreachable!("matched above")
                };
                let found = if walk.active { self.advance(&mut walk, e)? } else { false };
                walk.active = found;
                self.states[id] = State::Walk(walk);
                if found {
                    return Ok(true);
                }
            }
            if !self.next(e.hop.input)? {
                return Ok(false);
            }
            let mut walk = match std::mem::take(&mut self.states[id]) {
                State::Walk(walk) => walk,
                _ => Box::default(),
            };
            walk.path.clear();
            walk.hops.clear();
            walk.frames.clear();
            walk.active = false;
            if let Some(from) = self.vertex(e.hop.from)?
                && (!e.hop.into || self.vertex(e.hop.to)?.is_some())
            {
                walk.min = self.hops(&e.min, 1)?;
                walk.max = self.hops(&e.max, usize::MAX)?;
                walk.active = true;
                walk.start = (walk.min == 0).then_some(from);
                match self.types(&e.hop.types) {
                    Some(types) => {
                        walk.types = types;
                        self.descend(&mut walk, from, e);
                    }
                    // No hop is possible; the path of no hops is.
                    None => walk.frames.clear(),
                }
            }
            self.states[id] = State::Walk(walk);
        }
    }

    /// Lists the hops that leave a vertex, unless the path is as long as it may be.
    fn descend(&mut self, walk: &mut Walk, at: VertexId, e: &VarExpand) {
        let from = walk.hops.len();
        if walk.path.len() < walk.max {
            let types = (!e.hop.types.is_empty()).then_some(&walk.types[..]);
            self.tx.expand(at, e.hop.direction, types, &mut walk.hops);
        }
        walk.frames.push((at, from, from));
    }

    /// Goes on to the next path that counts.
    fn advance(&mut self, walk: &mut Walk, e: &'a VarExpand) -> Result<bool, CypherError> {
        if let Some(start) = walk.start.take()
            && self.is_wanted(&mut walk.given, start, e)?
            && self.give(&[], start, e)
        {
            return Ok(true);
        }
        while let Some((at, from, next)) = walk.frames.last_mut() {
            let Some((edge, _, other, _)) = walk.hops.get(*next).copied() else {
                walk.hops.truncate(*from);
                walk.frames.pop();
                walk.path.pop();
                continue;
            };
            *next += 1;
            let right = if e.reversed { *at } else { other };
            self.run.tick()?;
            if walk.path.contains(&edge)
                || self.is_taken(edge, &e.hop.others)
                || !self.step_holds(e.step.as_ref(), edge, right)?
            {
                continue;
            }
            walk.path.push(edge);
            let depth = walk.path.len();
            // The edge is taken off again when its frame is empty.
            self.descend(walk, other, e);
            if depth >= walk.min
                && self.is_wanted(&mut walk.given, other, e)?
                && self.give(&walk.path, other, e)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a path may end at a vertex: where each is wanted once, it must be the first.
    fn is_wanted(
        &mut self,
        given: &mut FxHashSet<VertexId>,
        to: VertexId,
        e: &VarExpand,
    ) -> Result<bool, CypherError> {
        if !e.hop.once {
            return Ok(true);
        }
        let is_new = given.insert(to);
        if is_new {
            self.run.hold(super::GIVEN_BYTES)?;
        }
        Ok(is_new)
    }

    /// Tests a hop with the vertex on its right, as the pattern is written: whichever way it is walked, each vertex of
    /// the path is tested but the leftmost.
    fn step_holds(
        &mut self,
        step: Option<&'a Step>,
        edge: EdgeId,
        right: VertexId,
    ) -> Result<bool, CypherError> {
        let Some(step) = step else { return Ok(true) };
        self.row[step.edge] = Value::Edge(edge);
        self.row[step.node] = Value::Vertex(right);
        self.test(&step.predicate)
    }

    /// Puts a path into the registers, if it ends where it must.
    fn give(&mut self, path: &[EdgeId], to: VertexId, e: &VarExpand) -> bool {
        if e.hop.into {
            if !matches!(self.row[e.hop.to], Value::Vertex(v) if v == to) {
                return false;
            }
        } else {
            self.row[e.hop.to] = Value::Vertex(to);
        }
        if e.keep_edges {
            self.row[e.hop.edge] = edge_list(path, e.reversed);
        }
        true
    }

    pub(super) fn shortest(&mut self, id: OpId, e: &'a Shortest) -> Result<bool, CypherError> {
        loop {
            if let State::Paths(found) = &mut self.states[id] {
                if let Some(found) = found.next() {
                    if !e.hop.into {
                        self.row[e.hop.to] = Value::Vertex(found.to);
                    }
                    self.row[e.hop.edge] = edge_list(&found.edges, e.reversed);
                    if let (Some((.., Some(total))), Some(weight)) = (&e.weight, found.weight) {
                        self.row[*total] = weight;
                    }
                    return Ok(true);
                }
                self.states[id] = State::Fresh;
            }
            if !self.next(e.hop.input)? {
                return Ok(false);
            }
            let mut found = Vec::new();
            if let Some(from) = self.vertex(e.hop.from)?
                && let Some(to) = if e.hop.into { self.vertex(e.hop.to)?.map(Some) } else { Some(None) }
            {
                let min = self.hops(&e.min, 1)?;
                let max = self.hops(&e.max, usize::MAX)?;
                match (&e.weight, self.types(&e.hop.types)) {
                    (None, Some(types)) => self.breadth_first(e, from, to, (min, max), &types, &mut found)?,
                    (Some(_), Some(types)) => self.cheapest(e, from, to, max, &types, &mut found)?,
                    (_, None) => {
                        if min == 0 && to.is_none_or(|to| to == from) {
                            found.push(Found { to: from, edges: Vec::new(), weight: None });
                        }
                    }
                }
            }
            self.states[id] = State::Paths(found.into_iter());
        }
    }

    /// Finds shortest paths level by level: one or all, to one vertex or to every one.
    fn breadth_first(
        &mut self,
        e: &'a Shortest,
        from: VertexId,
        to: Option<VertexId>,
        (min, max): (usize, usize),
        types: &[EdgeTypeId],
        found: &mut Vec<Found>,
    ) -> Result<(), CypherError> {
        if to == Some(from) || (to.is_none() && min == 0) {
            if min == 0 {
                found.push(Found { to: from, edges: Vec::new(), weight: None });
            }
            if to.is_some() {
                return Ok(());
            }
        }
        let types = (!e.hop.types.is_empty()).then_some(types);
        if let Some(to) = to
            && !e.all
            && min <= 1
            && e.step.is_none()
        {
            found.extend(self.meet(e, from, to, max, types)?);
            return Ok(());
        }
        let mut reached = Reached::default();
        reached.insert(from, (0, SmallVec::new()));
        let mut level = vec![from];
        let mut hits = Vec::new();
        let mut depth = 0;
        while !level.is_empty() && depth < max {
            depth += 1;
            let mut next = Vec::new();
            for at in level {
                hits.clear();
                self.tx.expand(at, e.hop.direction, types, &mut hits);
                for (edge, _, other, _) in hits.drain(..) {
                    self.run.tick()?;
                    if self.is_taken(edge, &e.hop.others) {
                        continue;
                    }
                    let known = reached.get(&other).map(|(d, _)| *d);
                    let right = if e.reversed { at } else { other };
                    if known.is_some_and(|d| d < depth || !e.all)
                        || !self.step_holds(e.step.as_ref(), edge, right)?
                    {
                        continue;
                    }
                    let entry = reached.entry(other).or_insert_with(|| (depth, SmallVec::new()));
                    entry.1.push((edge, at));
                    if known.is_none() {
                        next.push(other);
                    }
                }
            }
            self.run.require(reached.len() * 48)?;
            for end in &next {
                if depth >= min && to.is_none_or(|to| to == *end) {
                    self.trace(*end, &reached, found)?;
                }
            }
            if to.is_some_and(|to| reached.contains_key(&to)) {
                break;
            }
            level = next;
        }
        Ok(())
    }

    /// Finds one shortest path between two vertices from both ends at once, always going on where the last level is
    /// smaller. The first vertex that both have reached is on one: were there a shorter path, an earlier level
    /// of one side would have met the other.
    fn meet(
        &mut self,
        e: &'a Shortest,
        from: VertexId,
        to: VertexId,
        max: usize,
        types: Option<&[EdgeTypeId]>,
    ) -> Result<Option<Found>, CypherError> {
        let back = match e.hop.direction {
            Direction::Outgoing => Direction::Incoming,
            Direction::Incoming => Direction::Outgoing,
            Direction::Both => Direction::Both,
        };
        let (mut ahead, mut behind) = (Side::new(from, e.hop.direction), Side::new(to, back));
        let mut hits = Vec::new();
        for _ in 0..max {
            let is_ahead = ahead.rim.len() <= behind.rim.len();
            let (side, other_side) = if is_ahead { (&mut ahead, &behind) } else { (&mut behind, &ahead) };
            let mut next = Vec::new();
            let mut met = None;
            'level: for at in std::mem::take(&mut side.rim) {
                hits.clear();
                self.tx.expand(at, side.direction, types, &mut hits);
                for (edge, _, other, _) in &hits {
                    self.run.tick()?;
                    let Entry::Vacant(entry) = side.reached.entry(*other) else { continue };
                    if self.is_taken(*edge, &e.hop.others) {
                        continue;
                    }
                    entry.insert(Some((*edge, at)));
                    if other_side.reached.contains_key(other) {
                        met = Some(*other);
                        break 'level;
                    }
                    next.push(*other);
                }
            }
            if let Some(met) = met {
                let mut edges: Vec<EdgeId> = ahead.way(met).collect();
                edges.reverse();
                edges.extend(behind.way(met));
                self.run.hold(edges.len() * 8 + 48)?;
                return Ok(Some(Found { to, edges, weight: None }));
            }
            if next.is_empty() {
                return Ok(None);
            }
            side.rim = next;
            self.run.require((ahead.reached.len() + behind.reached.len()) * 40)?;
        }
        Ok(None)
    }

    /// Lists the paths that lead back from `end`, on an explicit stack.
    fn trace(&mut self, end: VertexId, reached: &Reached, found: &mut Vec<Found>) -> Result<(), CypherError> {
        let mut edges: Vec<EdgeId> = Vec::new();
        let mut stack: Vec<(VertexId, usize)> = vec![(end, 0)];
        while let Some((at, choice)) = stack.last_mut() {
            let (depth, hops) = &reached[at];
            if *depth == 0 {
                self.run.tick()?;
                self.run.hold(edges.len() * 8 + 48)?;
                found.push(Found { to: end, edges: edges.iter().rev().copied().collect(), weight: None });
            } else if let Some((edge, before)) = hops.get(*choice) {
                *choice += 1;
                edges.push(*edge);
                stack.push((*before, 0));
                continue;
            }
            stack.pop();
            edges.pop();
        }
        Ok(())
    }

    /// Dijkstra's algorithm: paths of the least sum of weights.
    fn cheapest(
        &mut self,
        e: &'a Shortest,
        from: VertexId,
        to: Option<VertexId>,
        max: usize,
        types: &[EdgeTypeId],
        found: &mut Vec<Found>,
    ) -> Result<(), CypherError> {
        let Some((edge_slot, node_slot, weight, _)) = &e.weight else { unreachable!("called for weights") };
        let types = (!e.hop.types.is_empty()).then_some(types);
        // A vertex may be worth reaching again with fewer hops, but only where hops are limited.
        let key = |v: VertexId, hops: usize| -> Place { (v, if max == usize::MAX { 0 } else { hops }) };
        let mut best = Best::default();
        let mut given: FxHashMap<VertexId, Cost> = FxHashMap::default();
        let mut heap = BinaryHeap::new();
        best.insert(key(from, 0), (Cost(0.0), SmallVec::new()));
        heap.push(Reverse((Cost(0.0), 0_usize, from)));
        let mut hits = Vec::new();
        // Places of one cost that paths are asked to. There may be more ways to them, over hops that cost nothing,
        // until something costs more.
        let mut ends: Vec<Place> = Vec::new();
        let mut level = Cost(0.0);
        while let Some(Reverse((cost, hops, at))) = heap.pop() {
            self.run.tick()?;
            let here = key(at, hops);
            if best.get(&here).is_some_and(|(c, _)| *c < cost) {
                continue;
            }
            if cost > level {
                self.ways(&mut ends, level, &best, e.all, found)?;
                if to.is_some() && !found.is_empty() {
                    return Ok(());
                }
                level = cost;
            }
            let first = !given.contains_key(&at);
            if at != from && (first || (e.all && max != usize::MAX && given[&at] == cost)) {
                given.insert(at, cost);
                if to.is_none_or(|to| to == at) {
                    ends.push(here);
                    if to.is_some() && !e.all {
                        break;
                    }
                }
            } else if at != from && max == usize::MAX {
                continue;
            }
            if hops >= max {
                continue;
            }
            hits.clear();
            self.tx.expand(at, e.hop.direction, types, &mut hits);
            for (edge, _, other, _) in hits.drain(..) {
                self.run.tick()?;
                let right = if e.reversed { at } else { other };
                if self.is_taken(edge, &e.hop.others) || !self.step_holds(e.step.as_ref(), edge, right)? {
                    continue;
                }
                self.row[*edge_slot] = Value::Edge(edge);
                self.row[*node_slot] = Value::Vertex(right);
                let step = match self.eval(weight)? {
                    Value::Int(i) => i as f64,
                    Value::Float(f) => f,
                    Value::Null => continue,
                    v => return Err(fail::types(format!("a weight is a number, not {}", type_name(&v)))),
                };
                if step.is_nan() || step < 0.0 {
                    return Err(fail::value(format!("a weight must not be negative, such as {step}")));
                }
                let total = Cost(cost.0 + step);
                let there = key(other, hops + 1);
                match best.get_mut(&there) {
                    Some((known, _)) if *known < total => {}
                    Some((known, hops)) if *known == total => {
                        if e.all && other != from {
                            hops.push((edge, here));
                        }
                    }
                    _ => {
                        best.insert(there, (total, SmallVec::from_iter([(edge, here)])));
                        self.run.require(best.len() * 64)?;
                        heap.push(Reverse((total, hops + 1, other)));
                    }
                }
            }
        }
        self.ways(&mut ends, level, &best, e.all, found)
    }

    /// Lists the paths that lead back from places, of each one or all. None has a vertex twice: hops that cost nothing
    /// may close circles.
    fn ways(
        &mut self,
        ends: &mut Vec<Place>,
        cost: Cost,
        best: &Best,
        all: bool,
        found: &mut Vec<Found>,
    ) -> Result<(), CypherError> {
        for end in ends.drain(..) {
            let mut edges: Vec<EdgeId> = Vec::new();
            let mut stack: Vec<(Place, usize)> = vec![(end, 0)];
            while let Some((place, choice)) = stack.last_mut() {
                let hops = &best[place].1;
                if hops.is_empty() {
                    self.run.hold(edges.len() * 8 + 48)?;
                    found.push(Found {
                        to: end.0,
                        edges: edges.iter().rev().copied().collect(),
                        weight: Some(Value::Float(cost.0)),
                    });
                } else if let Some((edge, before)) = hops.get(*choice)
                    && (all || *choice == 0)
                {
                    self.run.tick()?;
                    *choice += 1;
                    if !all || stack.iter().all(|((v, _), _)| *v != before.0) {
                        edges.push(*edge);
                        stack.push((*before, 0));
                    }
                    continue;
                }
                stack.pop();
                edges.pop();
            }
        }
        Ok(())
    }
}

fn edge_list(path: &[EdgeId], reversed: bool) -> Value {
    let mut out: Vec<Value> = path.iter().map(|e| Value::Edge(*e)).collect();
    if reversed {
        out.reverse();
    }
    Value::List(Arc::new(out))
}

/// A sum of weights, never NaN.
#[derive(Clone, Copy, PartialEq)]
struct Cost(f64);

impl Eq for Cost {}

impl PartialOrd for Cost {
    fn partial_cmp(&self, other: &Cost) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cost {
    fn cmp(&self, other: &Cost) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
