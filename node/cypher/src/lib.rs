//! Cypher: from text to rows.
//!
//! A query goes through these rooms, and each knows only what the one before it yields:
//! text → [`parser`] → [`ast`] → [`semantics`] (names resolved, nonsense refused) → `planner` →
//! [`plan`] → `executor` → rows. [`value`] holds Cypher's rules over values, [`functions`] and
//! [`procedures`] what can be called, [`schema`] the statements about indexes and constraints, [`enums`] those about enums,
//! [`triggers`] those about triggers and what they run, [`analyze`] what measures them, [`dump`] the graph as statements, [`csv`] records of text for `LOAD CSV`.
//!
//! ```text
//! let Statement::Query(query) = parse(text)? else { ... };
//! let prepared = prepare(&query, &tx, &params)?;            // again when prepared.is_stale(&tx)
//! let mut run = Execution::new(prepared, params, limits)?;
//! while let Some(row) = run.next(&mut tx)? { ... }          // values in the order of prepared.columns
//! ```
//!
//! Nothing here reads a clock or throws dice: [`Limits`] carries the time and a seed.

pub mod analyze;
pub mod ast;
pub mod csv;
pub mod dump;
pub mod enums;
pub mod error;
mod executor;
mod fail;
pub mod functions;
mod lexer;
pub mod parser;
pub mod plan;
mod planner;
pub mod procedures;
pub mod schema;
pub mod semantics;
mod temporal;
pub mod triggers;
pub mod value;

pub use error::{CypherError, ErrorKind, Phase};
pub use executor::{Commits, Counters, Import, Limits, MemoryPool, Runtime, Taken};
pub use parser::{parse, refused_statements};
pub use procedures::{Builtin, Procedures};

use ast::{Name, Query};
use executor::{Machine, State};
use mgnode_core::storage::{Summary, Transaction};
use mgnode_core::types::Value;
use plan::{Plan, Slot};
use semantics::{Analyzed, Arity, Catalog, ProcedureShape};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Parameters of a query by name, without the `$`.
pub type Params = Arc<BTreeMap<Arc<str>, Value>>;

/// What a query does with the graph, as Bolt's `type` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// `r`
    Read,
    /// `w`
    Write,
    /// `rw`
    ReadWrite,
    /// `s`
    Schema,
}

impl QueryKind {
    /// Returns Bolt's letters.
    pub fn letters(self) -> &'static str {
        match self {
            QueryKind::Read => "r",
            QueryKind::Write => "w",
            QueryKind::ReadWrite => "rw",
            QueryKind::Schema => "s",
        }
    }
}

/// A query that is ready to run, with any parameters, in any transaction, any number of times.
pub struct Prepared {
    /// Names of the columns; empty where the query returns nothing.
    pub columns: Vec<Name>,
    pub kind: QueryKind,
    plan: Plan,
    analyzed: Analyzed,
    /// What it was planned with, see [`fingerprint`].
    schema: u64,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("columns", &self.columns)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Prepared {
    /// Whether indexes came or went since, or were measured anew: then it must be prepared again before it runs.
    pub fn is_stale(&self, tx: &Transaction) -> bool {
        self.schema != fingerprint(tx)
    }

    /// Whether it runs without walking, scanning, sorting or gathering: its work is in proportion to
    /// its text, its parameters and the hits of its index seeks.
    pub fn is_short(&self) -> bool {
        self.plan.is_short()
    }

    /// Whether it commits as it goes, and so must have its transaction for itself.
    pub fn commits(&self) -> bool {
        self.plan.commits()
    }

    /// Returns the plan as `EXPLAIN` shows it, one line a row.
    pub fn explain(&self, tx: &Transaction) -> Vec<String> {
        self.plan.explain(tx.names(), &|slot| self.variable(slot))
    }

    /// Returns the slots of the variables that it is given and names.
    fn given(&self) -> impl Iterator<Item = Slot> {
        self.analyzed.given.iter().map(|var| var.0 as Slot)
    }

    fn variable(&self, slot: Slot) -> String {
        match self.analyzed.variables.get(slot) {
            Some(v) if !v.name.is_empty() => v.name.to_string(),
            _ => format!("anon{slot}"),
        }
    }
}

/// Names the set of indexes, constraints and enums, and what was measured of them.
fn fingerprint(tx: &Transaction) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut h = rustc_hash::FxHasher::default();
    tx.schema_fingerprint().hash(&mut h);
    tx.graph().statistics_version().hash(&mut h);
    h.finish()
}

/// What the analysis may ask about functions and procedures.
struct Known<'a>(&'a dyn Procedures);

impl Catalog for Known<'_> {
    fn function(&self, name: &str) -> Option<Arity> {
        functions::by_name(name).map(|f| Arity { min: f.args_min, max: f.args_max })
    }

    fn function_names(&self) -> Vec<&str> {
        functions::names().collect()
    }

    fn procedure(&self, name: &str) -> Option<ProcedureShape> {
        self.0.shape(name)
    }
}

/// Analyzes and plans a query. The parameters are only looked at for those that are missing.
pub fn prepare(query: &Query, tx: &Transaction, params: &Params) -> Result<Arc<Prepared>, CypherError> {
    prepare_with(query, tx, params, &Builtin)
}

/// As [`prepare`], with other procedures than the built-in ones.
pub fn prepare_with(
    query: &Query,
    tx: &Transaction,
    params: &Params,
    procedures: &dyn Procedures,
) -> Result<Arc<Prepared>, CypherError> {
    prepare_any(query, tx, params, procedures, &[])
}

/// As [`prepare`], for a query that is given variables of these names. One that it names has the slot of its place.
fn prepare_given(
    query: &Query,
    tx: &Transaction,
    params: &Params,
    given: &[&str],
) -> Result<Arc<Prepared>, CypherError> {
    prepare_any(query, tx, params, &Builtin, given)
}

fn prepare_any(
    query: &Query,
    tx: &Transaction,
    params: &Params,
    procedures: &dyn Procedures,
    given: &[&str],
) -> Result<Arc<Prepared>, CypherError> {
    let analyzed = semantics::analyze_given(query, &Known(procedures), given)?;
    let plan = planner::plan(&analyzed, tx, procedures).map_err(|error| error.located(&query.text))?;
    let prepared = Prepared {
        columns: analyzed.columns.clone(),
        kind: match (analyzed.reads, analyzed.writes) {
            (_, false) => QueryKind::Read,
            (false, true) => QueryKind::Write,
            (true, true) => QueryKind::ReadWrite,
        },
        plan,
        analyzed,
        schema: fingerprint(tx),
    };
    parameters(&prepared.plan, params)?;
    Ok(Arc::new(prepared))
}

/// Puts parameters into the plan's order.
fn parameters(plan: &Plan, params: &Params) -> Result<Vec<Value>, CypherError> {
    plan.params
        .iter()
        .map(|plan::Param { name, span }| {
            params.get(name).cloned().ok_or_else(|| {
                CypherError::compile(
                    ErrorKind::ParameterMissing,
                    "MissingParameter",
                    *span,
                    format!("Parameter ${name} not provided."),
                )
                .located(&plan.text)
            })
        })
        .collect()
}

/// A query that is running. It holds no transaction: each pull is given the same one.
pub struct Execution {
    prepared: Arc<Prepared>,
    row: Vec<Value>,
    states: Vec<State>,
    params: Vec<Value>,
    run: Runtime,
    is_over: bool,
}

impl Execution {
    /// Begins to run a query. Fails where a parameter is missing.
    pub fn new(prepared: Arc<Prepared>, params: Params, limits: Limits) -> Result<Execution, CypherError> {
        let params = parameters(&prepared.plan, &params)?;
        let own = prepared.plan.memory_bytes_max.and_then(|bytes| usize::try_from(bytes).ok());
        let memory_bytes_max = limits.memory_bytes_max.min(own.unwrap_or(usize::MAX));
        let limits = Limits { memory_bytes_max, ..limits };
        let mut states = Vec::new();
        states.resize_with(prepared.plan.ops.len(), State::default);
        let mut run = Runtime::new(limits);
        if let Some(profile) = &mut run.profile {
            profile.of = prepared.plan.measured();
        }
        Ok(Execution {
            row: vec![Value::Null; prepared.plan.width],
            states,
            params,
            run,
            prepared,
            is_over: false,
        })
    }

    /// Gives the query its variables, which take so many bytes, and what they may name though it is deleted. To be done
    /// before the first row is asked for.
    fn give(
        &mut self,
        variables: Vec<(Slot, Value)>,
        past: Arc<Summary>,
        bytes: usize,
    ) -> Result<(), CypherError> {
        for (slot, value) in variables {
            self.row[slot] = value;
        }
        self.run.past = Some(past);
        self.run.hold(bytes)
    }

    /// Returns the next row, or None at the end. A query that returns nothing does all its work in
    /// the first call. After an error the transaction must be given up.
    pub fn next(&mut self, tx: &mut Transaction) -> Result<Option<Vec<Value>>, CypherError> {
        if self.is_over {
            return Ok(None);
        }
        self.run.check_cancelled()?;
        let plan = &self.prepared.plan;
        let mut machine = Machine {
            plan,
            row: &mut self.row,
            states: &mut self.states,
            params: &self.params,
            run: &mut self.run,
            tx,
        };
        match machine.next(plan.root) {
            Ok(true) => Ok(Some(plan.columns.iter().map(|slot| self.row[*slot].clone()).collect())),
            Ok(false) => {
                self.is_over = true;
                Ok(None)
            }
            Err(error) => {
                self.is_over = true;
                Err(error)
            }
        }
    }

    /// Returns what was changed so far.
    pub fn counters(&self) -> Counters {
        self.run.counters
    }

    /// Returns the rows of `PROFILE` as far as the query has run: operator, how often it was asked for a row, its part
    /// of the time, its time without that of the operators below it. None without [`Limits::profile_clock`].
    pub fn profile(&self, tx: &Transaction) -> Option<Vec<Vec<Value>>> {
        let of = &self.run.profile.as_ref()?.of;
        let total = of.iter().map(|m| m.own).sum::<Duration>().as_secs_f64();
        let prepared = &self.prepared;
        let lines = prepared.plan.lines(tx.names(), &|slot| prepared.variable(slot));
        let row = |line: plan::Line| {
            let name = Value::string(format!("{}{}", "| ".repeat(line.depth), line.text()));
            let Some((id, _)) = line.op else {
                let empty = || Value::string("");
                return vec![name, empty(), empty(), empty()];
            };
            let own = of[id].own.as_secs_f64();
            let part = if total > 0.0 { own / total * 100.0 } else { 0.0 };
            vec![
                name,
                Value::Int(i64::try_from(of[id].hits).unwrap_or(i64::MAX)),
                Value::string(format!("{part:10.6} %")),
                Value::string(format!("{:10.6} ms", own * 1000.0)),
            ]
        };
        Some(lines.into_iter().map(row).collect())
    }

    /// Returns the query that it runs.
    pub fn prepared(&self) -> &Arc<Prepared> {
        &self.prepared
    }
}
