//! `USING PERIODIC COMMIT` and `CALL { } IN TRANSACTIONS`: a query that commits as it goes.
//!
//! What an operator remembers between two rows are positions (the last vertex of a scan, the last entry of an index),
//! and they hold in the next transaction too. What another transaction deleted meanwhile is met as deleted.

use super::rows::Rows;
use super::{Counters, Machine, State};
use crate::ast::OnError;
use crate::error::{CypherError, ErrorKind};
use crate::plan::{Expr, Gather, InTransactions, OpId};
use crate::value::type_name;
use mgnode_core::storage::Transaction;
use mgnode_core::types::Value;

/// Rows of one transaction where a query does not say.
const ROWS: u64 = 1000;

/// Whoever can end a query's transaction and go on with another.
pub trait Commits: Send + Sync {
    /// Commits what was written, and puts a new transaction in the place of the old one.
    ///
    /// # Errors
    /// It did not commit, or not surely; the query must end.
    fn commit(&self, tx: &mut Transaction) -> Result<(), CypherError>;

    /// Puts a new transaction in the place of the old one, whose writes are forgotten because of an error.
    fn give_up(&self, tx: &mut Transaction, why: &CypherError);
}

/// How far a query is that commits as it goes.
#[derive(Default)]
pub(crate) struct Batch {
    /// Rows of one transaction.
    size: u64,
    /// Rows since the last commit.
    rows: u64,
    /// An inner plan is at work for the row that counts.
    is_inside: bool,
    /// As many rows go by without their inner plan, since their batch failed.
    skipped: u64,
    /// What was changed before this batch.
    before: Counters,
    /// What the inner plan holds.
    held: usize,
    /// Rows whose batch has ended.
    gathered: Option<Gathered>,
    /// The input is at its end.
    is_over: bool,
}

/// Rows of a batch that has ended.
struct Gathered {
    rows: Rows,
    /// How many bytes they hold.
    bytes: usize,
    /// The last row of the input, which goes on from there.
    last: Vec<Value>,
}

impl<'a> Machine<'a> {
    fn batch(&mut self, id: OpId, rows: Option<&'a Expr>) -> Result<(), CypherError> {
        if !matches!(self.states[id], State::Batch(_)) {
            let size = match rows {
                None => ROWS,
                Some(rows) => match self.eval(rows)? {
                    Value::Int(n @ 1..) => n as u64,
                    Value::Int(n) => return Err(no_size(&n.to_string())),
                    other => return Err(no_size(type_name(&other))),
                },
            };
            self.states[id] = State::Batch(Batch { size, ..Batch::default() });
        }
        Ok(())
    }

    fn batch_mut(&mut self, id: OpId) -> &mut Batch {
        match &mut self.states[id] {
            State::Batch(batch) => batch,
            _ => unreachable!("made before"),
        }
    }

    fn commit(&mut self) -> Result<(), CypherError> {
        let commits = self.run.commits.clone().ok_or_else(explicit)?;
        // Whoever asked the query to stop wants no further transaction of it.
        self.run.check_cancelled()?;
        commits.commit(self.tx)?;
        self.run.release_written();
        // They were there to be named; of another transaction nobody does.
        self.run.deleted_edges.clear();
        Ok(())
    }

    /// Commits whenever so many rows have come through.
    pub(super) fn commit_each(&mut self, id: OpId, input: OpId, rows: &'a Expr) -> Result<bool, CypherError> {
        self.batch(id, Some(rows))?;
        if !self.next(input)? {
            return Ok(false);
        }
        let batch = self.batch_mut(id);
        batch.rows += 1;
        if batch.rows == batch.size {
            batch.rows = 0;
            self.commit()?;
        }
        Ok(true)
    }

    /// Runs an inner plan for each row, and commits whenever that was done for so many.
    pub(super) fn in_transactions(
        &mut self,
        id: OpId,
        call: &'a InTransactions,
    ) -> Result<bool, CypherError> {
        self.batch(id, call.rows.as_ref())?;
        if let Some(gather) = &call.gather {
            return self.gathered(id, call, gather);
        }
        loop {
            if self.batch_mut(id).is_inside {
                if call.returns {
                    let mut held = self.batch_mut(id).held;
                    let found = self.next_within(&call.inner, &mut held)?;
                    self.batch_mut(id).held = held;
                    if found {
                        return Ok(true);
                    }
                    self.leave(&call.inner, held);
                } else {
                    let before = self.run.held();
                    if let Err(error) = self.exhaust(&call.inner) {
                        self.leave(&call.inner, self.run.held().saturating_sub(before));
                        self.fail_batch(id, call, error)?;
                        return Ok(true);
                    }
                }
                let batch = self.batch_mut(id);
                batch.is_inside = false;
                batch.rows += 1;
                if batch.rows == batch.size {
                    self.end_batch(id, call)?;
                }
                if !call.returns {
                    return Ok(true);
                }
            }
            if !self.next(call.input)? {
                if self.batch_mut(id).rows > 0 {
                    self.end_batch(id, call)?;
                }
                return Ok(false);
            }
            self.run.tick()?;
            let counters = self.run.counters;
            let batch = self.batch_mut(id);
            batch.held = 0;
            if batch.skipped > 0 {
                batch.skipped -= 1;
                return Ok(true);
            }
            if batch.rows == 0 {
                batch.before = counters;
            }
            batch.is_inside = true;
            self.reset(&call.inner);
        }
    }

    fn end_batch(&mut self, id: OpId, call: &'a InTransactions) -> Result<(), CypherError> {
        if let Err(error) = self.commit() {
            return self.fail_batch(id, call, error);
        }
        self.batch_mut(id).rows = 0;
        Ok(())
    }

    /// A batch failed: what it wrote is forgotten, and the rest of its rows goes by.
    fn fail_batch(
        &mut self,
        id: OpId,
        call: &'a InTransactions,
        error: CypherError,
    ) -> Result<(), CypherError> {
        self.give_up(id, call, error)?;
        let batch = self.batch_mut(id);
        let done = batch.rows + u64::from(batch.is_inside);
        batch.skipped =
            if call.on_error == OnError::Break { u64::MAX } else { batch.size.saturating_sub(done) };
        batch.is_inside = false;
        batch.rows = 0;
        Ok(())
    }

    /// Forgets what a batch wrote; an error that is not of its rows alone ends the query.
    fn give_up(&mut self, id: OpId, call: &'a InTransactions, error: CypherError) -> Result<(), CypherError> {
        // A limit is the whole query's, and so is a wish to stop, or a commit that may stand.
        if call.on_error == OnError::Fail || error.kind == ErrorKind::Limit {
            return Err(error);
        }
        let commits = self.run.commits.clone().ok_or_else(explicit)?;
        commits.give_up(self.tx, &error);
        self.run.release_written();
        self.run.counters = self.batch_mut(id).before;
        Ok(())
    }

    /// Returns the rows of one batch after the other, each once it is known what became of the batch: those of one that
    /// failed are the input's, with Null for what the inner plan would have returned.
    fn gathered(
        &mut self,
        id: OpId,
        call: &'a InTransactions,
        gather: &'a Gather,
    ) -> Result<bool, CypherError> {
        loop {
            let State::Batch(batch) = &mut self.states[id] else { unreachable!("made before") };
            if let Some(gathered) = &mut batch.gathered {
                if let Some(row) = gathered.rows.take() {
                    for (slot, value) in gather.saved.iter().zip(row) {
                        self.row[*slot] = std::mem::take(value);
                    }
                    return Ok(true);
                }
                let Gathered { bytes, last, .. } = batch.gathered.take().expect("just seen");
                self.run.release(bytes);
                for (slot, value) in gather.saved.iter().zip(last) {
                    self.row[*slot] = value;
                }
            }
            let batch = self.batch_mut(id);
            if batch.is_over {
                return Ok(false);
            }
            if batch.skipped > 0 {
                // A batch failed, and none comes after it.
                if !self.next(call.input)? {
                    return Ok(false);
                }
                self.run.tick()?;
                self.set_null(gather);
                return Ok(true);
            }
            let gathered = self.gather(id, call, gather)?;
            self.batch_mut(id).gathered = Some(gathered);
        }
    }

    /// Takes as many rows as a batch has, and runs and commits it.
    fn gather(
        &mut self,
        id: OpId,
        call: &'a InTransactions,
        gather: &'a Gather,
    ) -> Result<Gathered, CypherError> {
        let counters = self.run.counters;
        let batch = self.batch_mut(id);
        batch.before = counters;
        let size = batch.size;
        let (mut inputs, mut input_bytes) = (Rows::new(gather.saved.len()), 0);
        let (mut made, mut made_bytes) = (Rows::new(gather.saved.len()), 0);
        let (mut count, mut has_failed, mut last) = (0, false, Vec::new());
        while count < size {
            if !self.next(call.input)? {
                self.batch_mut(id).is_over = true;
                break;
            }
            self.run.tick()?;
            count += 1;
            self.set_null(gather);
            last.clear();
            last.extend(gather.saved.iter().map(|slot| self.row[*slot].clone()));
            input_bytes += self.keep(&mut inputs, gather)?;
            if has_failed {
                continue;
            }
            let before = self.run.held();
            match self.run_inner(call, gather, &mut made) {
                Ok(bytes) => made_bytes += bytes,
                Err(error) => {
                    self.leave(&call.inner, self.run.held().saturating_sub(before));
                    self.give_up(id, call, error)?;
                    has_failed = true;
                }
            }
        }
        if count > 0
            && !has_failed
            && let Err(error) = self.commit()
        {
            self.give_up(id, call, error)?;
            has_failed = true;
        }
        let (rows, bytes, gone) =
            if has_failed { (inputs, input_bytes, made_bytes) } else { (made, made_bytes, input_bytes) };
        self.run.release(gone);
        if has_failed && call.on_error == OnError::Break {
            self.batch_mut(id).skipped = u64::MAX;
        }
        Ok(Gathered { rows, bytes, last })
    }

    /// Runs the inner plan for one row, and returns how many bytes its rows hold.
    fn run_inner(
        &mut self,
        call: &'a InTransactions,
        gather: &'a Gather,
        out: &mut Rows,
    ) -> Result<usize, CypherError> {
        self.reset(&call.inner);
        let (mut held, mut bytes, mut is_empty) = (0, 0, true);
        while self.next_within(&call.inner, &mut held)? {
            self.run.tick()?;
            is_empty = false;
            bytes += self.keep(out, gather)?;
        }
        self.leave(&call.inner, held);
        if is_empty && gather.optional {
            self.set_null(gather);
            bytes += self.keep(out, gather)?;
        }
        Ok(bytes)
    }

    fn keep(&mut self, rows: &mut Rows, gather: &Gather) -> Result<usize, CypherError> {
        let bytes = rows.push(gather.saved.iter().map(|slot| self.row[*slot].clone()));
        self.run.hold(bytes)?;
        Ok(bytes)
    }

    fn set_null(&mut self, gather: &Gather) {
        for slot in &gather.nulls {
            self.row[*slot] = Value::Null;
        }
    }
}

fn no_size(found: &str) -> CypherError {
    CypherError::runtime(
        ErrorKind::SyntaxError,
        "InvalidArgumentType",
        format!("a transaction has a number of rows from 1 on, not {found}"),
    )
}

fn explicit() -> CypherError {
    CypherError::statement(
        "A query with `USING PERIODIC COMMIT` or `CALL { } IN TRANSACTIONS` commits by itself: run it in a transaction \
         of its own, not between BEGIN and COMMIT.",
    )
}
