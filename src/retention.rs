//! What a retention policy says, and what was found. No Python, no SQL.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::Weight;
use crate::pending::{Cancel, Done, GiveUp, Pending, Work};

/// What shall go. Times are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// So many of the newest checkpoints of each namespace stay.
    pub keep_last: Option<usize>,
    /// Checkpoints that are younger stay.
    pub max_age: Option<i64>,
    /// Threads that got no checkpoint for so long go.
    pub thread_idle_for: Option<i64>,
    /// Threads that have nothing left to do go, so long after their last checkpoint.
    pub done_after: Option<i64>,
    /// Bytes in use, above which the threads that are idle longest go.
    pub max_bytes: Option<u64>,
    /// The database that threads go to before they are deleted.
    pub archive_to: Option<PathBuf>,
    /// The time to live of threads that have none of their own.
    pub default_ttl: Option<i64>,
    /// How often the engine looks by itself; never if none.
    pub interval: Option<Duration>,
}

/// Why something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Checkpoints beyond those to keep.
    History,
    /// The thread's time to live is over.
    Expired,
    /// Nothing happened for long.
    Idle,
    /// It is done for long.
    Done,
    /// The file is too large.
    Size,
}

impl Reason {
    /// The word for users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Expired => "expired",
            Self::Idle => "idle",
            Self::Done => "done",
            Self::Size => "size",
        }
    }
}

/// What a thread lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The thread.
    pub thread_id: String,
    /// Why.
    pub reason: Reason,
    /// How much.
    pub weight: Weight,
}

/// What the engine's own runs did, since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionStats {
    /// Runs that came to their end.
    pub runs: u64,
    /// Threads that were deleted.
    pub threads: u64,
    /// What went in all.
    pub weight: Weight,
    /// Threads left alone, because only their serializer can read them.
    pub skipped: u64,
    /// Threads or runs that failed.
    pub failed: u64,
}

/// What a user said about a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// It never goes, or may go again.
    Pinned(bool),
    /// It goes so many milliseconds after its last checkpoint; by the default if none.
    TimeToLive(Option<i64>),
    /// It was read: it stays at least so many milliseconds from now.
    Refreshed(i64),
}

/// A run of a policy, in steps.
pub trait Run: Send {
    /// Does a little; true at the end. Fails with `NeedShapes` as `prune` does; the step then is to be repeated.
    fn step(&mut self) -> Result<bool>;

    /// What went of threads, or would go, since the last call.
    fn take_outcomes(&mut self) -> Vec<Outcome>;
}

/// A run that is shared with whoever carries its steps out.
pub type SharedRun = Arc<Mutex<Box<dyn Run>>>;

/// A step of a run; whether it was the last one, and what it brought.
pub fn step(run: SharedRun) -> Pending<(bool, Vec<Outcome>)> {
    Pending::new(Step(run))
}

struct Step(SharedRun);

impl Step {
    fn take(&self) -> Result<(bool, Vec<Outcome>)> {
        let mut run = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = run.step()?;
        Ok((is_last, run.take_outcomes()))
    }
}

impl Work<(bool, Vec<Outcome>)> for Step {
    fn wait(self: Box<Self>, _: GiveUp) -> Result<(bool, Vec<Outcome>)> {
        self.take()
    }

    fn then(self: Box<Self>, done: Done<(bool, Vec<Outcome>)>) -> Cancel {
        let spawned = std::thread::Builder::new()
            .name("lgcheckpoint-step".to_owned())
            .spawn(move || {
                let take = std::panic::AssertUnwindSafe(|| self.take());
                let taken = std::panic::catch_unwind(take);
                done(taken.unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref()))));
            });
        // Where no thread can be had, `done` is dropped, which tells the caller.
        drop(spawned);
        Cancel::default()
    }
}
