//! A write on its way: what to do, and whom to tell.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::settings::Synchronous;
use super::sync::{lock, wait_for};
use super::transaction::WriteTransaction;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::pending::{Cancel, Done};

/// What the queue needs to know of a job.
#[derive(Debug)]
pub(super) struct Order {
    /// The level its commit must have.
    pub(super) synchronous: Synchronous,
    /// Bytes it holds, to bound a group.
    pub(super) bytes: usize,
    /// When it was handed in.
    pub(super) since: Instant,
    /// When it gives up waiting for another writer.
    pub(super) deadline: Instant,
    /// Set when its caller was cancelled: it is dropped if it has not begun, or if readers block its
    /// commit.
    pub(super) cancel: Cancel,
    /// The thread that waits for it, if one does.
    pub(super) baton: Option<Arc<Baton>>,
    /// It gets a group of its own: the one that it was in was void.
    pub(super) alone: bool,
}

/// A job of any result.
pub(super) trait Job: Send {
    fn order(&self) -> &Order;

    /// Has it tried once more, in a group of its own.
    fn set_alone(&mut self);

    /// Does the work inside a transaction. May be called again after a rollback.
    fn run(&mut self, transaction: &WriteTransaction<'_>) -> Result<()>;

    /// Tells the caller, after COMMIT returned or when all hope is gone.
    fn finish(self: Box<Self>, verdict: Result<()>);
}

/// A job whose work yields a `T`.
pub(super) struct TypedJob<T, F> {
    pub(super) order: Order,
    pub(super) work: F,
    pub(super) value: Option<T>,
    pub(super) done: Done<T>,
}

impl<T: Send, F: FnMut(&WriteTransaction<'_>) -> Result<T> + Send> Job for TypedJob<T, F> {
    fn order(&self) -> &Order {
        &self.order
    }

    fn set_alone(&mut self) {
        self.order.alone = true;
    }

    fn run(&mut self, transaction: &WriteTransaction<'_>) -> Result<()> {
        let work = AssertUnwindSafe(|| {
            let value = (self.work)(transaction)?;
            faults::trip(Fault::PanicInTransaction);
            Ok(value)
        });
        self.value = Some(catch_unwind(work).unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))?);
        Ok(())
    }

    fn finish(self: Box<Self>, verdict: Result<()>) {
        let Self {
            order, value, done, ..
        } = *self;
        let baton = order.baton;
        let outcome = verdict.and_then(|()| {
            value.ok_or_else(|| Error::Panicked("a job was acknowledged before it ran".to_owned()))
        });
        let tell = AssertUnwindSafe(|| {
            faults::trip(Fault::PanicAfterCommit);
            done(outcome);
        });
        // Whatever becomes of this caller, the others are told too.
        drop(catch_unwind(tell));
        if let Some(baton) = baton {
            baton.set_done();
        }
    }
}

/// What a waiting thread shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Wait on.
    Wait,
    /// Commit the next group.
    Lead,
    /// Fetch the result.
    Done,
}

/// Where a thread waits for its job, or for its turn to lead.
#[derive(Debug, Default)]
pub(super) struct Baton {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lead: bool,
    done: bool,
}

impl Baton {
    pub(super) fn give_lead(&self) {
        lock(&self.state).lead = true;
        self.changed.notify_all();
    }

    pub(super) fn set_done(&self) {
        lock(&self.state).done = true;
        self.changed.notify_all();
    }

    /// Waits for a turn, for at most `time`. The lead comes first and is taken: it must be used or
    /// passed on, even if the job was done meanwhile.
    pub(super) fn wait(&self, time: Duration) -> Turn {
        let mut state = lock(&self.state);
        if !state.lead && !state.done && !time.is_zero() {
            state = wait_for(&self.changed, state, time);
        }
        if std::mem::take(&mut state.lead) {
            Turn::Lead
        } else if state.done {
            Turn::Done
        } else {
            Turn::Wait
        }
    }

    pub(super) fn is_done(&self) -> bool {
        lock(&self.state).done
    }
}
