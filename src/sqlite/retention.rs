//! A run of a retention policy, in steps of one short transaction: threads are looked at page by page; what goes
//! of one is found in a read transaction and removed in slices, as `prune` does.
//!
//! Two processes may run it at once, beside writers. What need not be kept of a thread goes first, which is right
//! at any moment; then the rest, in one transaction that first looks whether something was stored since.

use std::collections::VecDeque;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::archive::Archive;
use super::engine::{Engine, ReadTransaction};
use super::get_tuple;
use super::prune;
use super::remove::remove;
use super::row;
use super::slice::Slice;
use super::statements::retention as sql;
use super::sweep;
use super::terms::{self, Terms};
use super::threads;
use super::weigh;
use crate::error::{Error, Result};
use crate::model::{Keep, Removal, RemovalStep, SweepProgress, Swept, ThreadRange, Weight};
use crate::pending::patient;
use crate::retention::{Outcome, Policy, Reason, Run};
use crate::shape::ShapeBook;

/// Threads looked at in one transaction.
const PAGE: usize = 256;

/// How often to look for what nothing refers to, where puts come in between.
const MOST_SWEEPS: usize = 8;

/// Threads that got a checkpoint so recently, in ms, do not go because the file is too large.
const IN_USE: i64 = 3_600_000;

/// A run of a policy.
pub(super) struct Retention {
    engine: Arc<Engine>,
    policy: Arc<Policy>,
    dry_run: bool,
    shapes: Arc<ShapeBook>,
    /// The threads that were not looked at.
    threads: ThreadRange,
    /// All were looked at.
    is_looked: bool,
    found: VecDeque<(String, Reason)>,
    /// Threads by the time of their newest checkpoint.
    by_age: Vec<(i64, String)>,
    /// Bytes to free, once all threads were looked at.
    excess: Option<u64>,
    archive: Option<Archive>,
    removing: Option<(Outcome, Arc<Removal>, usize)>,
    done: Vec<Outcome>,
    /// Bytes of all outcomes.
    bytes: u64,
}

impl Retention {
    pub(super) fn new(
        engine: &Arc<Engine>,
        policy: Arc<Policy>,
        dry_run: bool,
        shapes: Arc<ShapeBook>,
        threads: ThreadRange,
    ) -> Self {
        Self {
            engine: Arc::clone(engine),
            policy,
            dry_run,
            shapes,
            threads,
            is_looked: false,
            found: VecDeque::new(),
            by_age: Vec::new(),
            excess: None,
            archive: None,
            removing: None,
            done: Vec::new(),
            bytes: 0,
        }
    }

    /// Leaves the thread alone that could not be done.
    pub(super) fn skip(&mut self) {
        self.found.pop_front();
    }

    /// Looks at some threads.
    fn look(&mut self) -> Result<()> {
        let (policy, threads) = (Arc::clone(&self.policy), self.threads.clone());
        let page = self
            .engine
            .read(Page::default, move |transaction| {
                look(transaction, &policy, threads)
            })
            .wait()?;
        self.is_looked = page.next.is_none();
        if let Some(last) = page.next {
            self.threads.begin_after(&last);
        }
        self.found.extend(page.found);
        if self.policy.max_bytes.is_some() {
            self.by_age.extend(page.by_age);
        }
        Ok(())
    }

    /// Once all threads were looked at: the next one that goes because the file is too large.
    fn shrink(&mut self) -> Result<bool> {
        let Some(most) = self.policy.max_bytes else {
            return Ok(true);
        };
        let excess = if let Some(excess) = self.excess {
            excess
        } else {
            let read = |transaction: &ReadTransaction<'_>| {
                let mut statement = transaction.connection.prepare_cached(sql::USED_BYTES)?;
                Ok(statement.query_row([], |found| row::count(found, 0))?)
            };
            let used = self.engine.read(|| 0, read).wait()?;
            let used = if self.dry_run {
                used.saturating_sub(self.bytes)
            } else {
                used
            };
            self.by_age.sort_unstable_by(|left, right| right.cmp(left));
            *self.excess.insert(used.saturating_sub(most))
        };
        if excess == 0 {
            return Ok(true);
        }
        let Some((_, thread_id)) = self.by_age.pop() else {
            return Ok(true);
        };
        self.found.push_back((thread_id, Reason::Size));
        Ok(false)
    }

    /// Finds what goes of a thread, and copies it to the archive if all of it does.
    fn begin(&mut self, thread_id: String, reason: Reason) -> Result<()> {
        let (policy, shapes) = (Arc::clone(&self.policy), Arc::clone(&self.shapes));
        let thread = thread_id.clone();
        let removal = self
            .engine
            .read(Removal::default, move |transaction| {
                plan(transaction, &policy, &thread, reason, &shapes)
            })
            .wait()?;
        let outcome = Outcome {
            thread_id,
            reason,
            weight: removal.weight,
        };
        if removal.steps.is_empty() || outcome.weight == Weight::default() {
            return Ok(());
        }
        if self.dry_run {
            self.finish(outcome);
            return Ok(());
        }
        if reason != Reason::History
            && let Some(path) = &self.policy.archive_to
        {
            let archive = match self.archive.take() {
                Some(archive) => archive,
                None => Archive::open(path, &self.engine)?,
            };
            self.archive
                .insert(archive)
                .add(&self.engine, &outcome.thread_id)?;
        }
        self.removing = Some((outcome, Arc::new(removal), 0));
        Ok(())
    }

    /// Removes a slice; at the end, the chunks that nothing refers to any more.
    fn remove(&mut self, outcome: Outcome, removal: Arc<Removal>, from: usize) -> Result<()> {
        let steps = Arc::clone(&removal);
        let done = self
            .engine
            .write(0, move |transaction| {
                remove(transaction, &steps, from, &Slice::short())
            })
            .wait()?;
        if done < removal.steps.len() {
            self.removing = Some((outcome, removal, done));
            return Ok(());
        }
        self.sweep(&outcome.thread_id)?;
        if outcome.reason == Reason::History || !self.exists(&outcome.thread_id)? {
            self.finish(outcome);
        }
        Ok(())
    }

    /// Whether a thread was left alone, since it changed meanwhile.
    fn exists(&self, thread_id: &str) -> Result<bool> {
        let thread_id = thread_id.to_owned();
        let read = self.engine.read(
            || false,
            move |transaction| {
                let mark = weigh::mark(transaction.connection, &thread_id)?;
                Ok(mark.newest.is_some())
            },
        );
        read.wait()
    }

    fn finish(&mut self, outcome: Outcome) {
        if let Some(excess) = &mut self.excess {
            *excess = excess.saturating_sub(outcome.weight.bytes);
        }
        self.bytes += outcome.weight.bytes;
        self.done.push(outcome);
    }

    fn sweep(&self, thread_id: &str) -> Result<()> {
        for _ in 0..MOST_SWEEPS {
            let thread = thread_id.to_owned();
            let garbage = self
                .engine
                .read(Default::default, move |transaction| {
                    sweep::garbage(transaction, &thread)
                })
                .wait()?;
            if garbage.chunks.is_empty() {
                return Ok(());
            }
            let garbage = Arc::new(garbage);
            let mut progress = SweepProgress::default();
            loop {
                let garbage = Arc::clone(&garbage);
                let swept = self
                    .engine
                    .write(0, move |transaction| {
                        sweep::sweep(transaction.connection, &garbage, progress)
                    })
                    .wait()?;
                match swept {
                    Swept::Done => return Ok(()),
                    Swept::Left(left) => progress = left,
                    Swept::Changed => break,
                }
            }
        }
        Ok(())
    }

    /// Fails as the next step would if the store is closed.
    pub(super) fn check_open(&self) -> Result<()> {
        self.engine.shared(patient).map(drop)
    }
}

impl Run for Retention {
    fn step(&mut self) -> Result<bool> {
        if let Some((outcome, removal, from)) = self.removing.take() {
            self.remove(outcome, removal, from)?;
        } else if let Some((thread_id, reason)) = self.found.front().cloned() {
            self.begin(thread_id, reason)?;
            self.found.pop_front();
        } else if !self.is_looked {
            self.look()?;
        } else {
            return self.shrink();
        }
        Ok(false)
    }

    fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.done)
    }
}

#[derive(Default)]
struct Page {
    found: Vec<(String, Reason)>,
    by_age: Vec<(i64, String)>,
    next: Option<String>,
}

fn look(transaction: &ReadTransaction<'_>, policy: &Policy, mut range: ThreadRange) -> Result<Page> {
    let connection = transaction.connection;
    let slice = Slice::begin();
    let mut page = Page::default();
    for _ in 0..PAGE {
        let Some(thread_id) = threads::next_thread(connection, &range)? else {
            page.next = None;
            return Ok(page);
        };
        let terms = Terms::read(connection, &thread_id)?;
        if !terms.pinned {
            let made = newest(transaction, &thread_id)?;
            let age = made.map(|made| threads::now() - made);
            let older = |limit: Option<i64>| limit.is_some_and(|limit| age.is_some_and(|age| age >= limit));
            if terms.is_over(made, policy.default_ttl) {
                page.found.push((thread_id.clone(), Reason::Expired));
            } else if older(policy.thread_idle_for) {
                page.found.push((thread_id.clone(), Reason::Idle));
            } else if older(policy.done_after) && is_done(connection, &thread_id)? {
                page.found.push((thread_id.clone(), Reason::Done));
            } else {
                if policy.keep_last.is_some() || policy.max_age.is_some() {
                    page.found.push((thread_id.clone(), Reason::History));
                }
                if let Some(made) = made
                    && older(Some(IN_USE))
                {
                    page.by_age.push((made, thread_id.clone()));
                }
            }
        }
        range.begin_after(&thread_id);
        page.next = Some(thread_id);
        if slice.is_over() {
            break;
        }
    }
    Ok(page)
}

/// When the newest checkpoint of a thread was made, if that can be told without its serializer.
fn newest(transaction: &ReadTransaction<'_>, thread_id: &str) -> Result<Option<i64>> {
    let connection = transaction.connection;
    let found = connection
        .prepare_cached(sql::SELECT_NEWEST)?
        .query_row([thread_id], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .optional()?;
    let Some((checkpoint_ns, checkpoint_id)) = found else {
        return Ok(None);
    };
    if let Some(made) = threads::time_of(&checkpoint_id) {
        return Ok(Some(made));
    }
    let tuple = get_tuple::get_tuple(transaction, thread_id, &checkpoint_ns, Some(&checkpoint_id))?;
    let shape = tuple.and_then(|tuple| {
        let value = tuple.value;
        ShapeBook::default().shape_of(value.tag.as_deref(), value.payload.as_slice())
    });
    match shape.and_then(|shape| shape.timestamp) {
        Some(timestamp) => terms::time_in(connection, &timestamp),
        None => Ok(None),
    }
}

/// Whether the root graph has nothing left to do, and no task stored anything at its newest checkpoint.
fn is_done(connection: &Connection, thread_id: &str) -> Result<bool> {
    let Some((key, progress)) = threads::progress_of(connection, thread_id)? else {
        return Ok(false);
    };
    let waits: bool = connection
        .prepare_cached(sql::HAS_WRITES)?
        .query_row([thread_id, &key.checkpoint_id], |row| row.get(0))?;
    Ok(!waits && progress.status(connection, &key)? == Some("done"))
}

fn plan(
    transaction: &ReadTransaction<'_>,
    policy: &Policy,
    thread_id: &str,
    reason: Reason,
    shapes: &ShapeBook,
) -> Result<Removal> {
    if reason == Reason::History {
        let since = policy.max_age.map(|age| threads::now().saturating_sub(age));
        let last = policy.keep_last.unwrap_or(1);
        return prune::prune(transaction, thread_id, Keep { last, since }, shapes);
    }
    let mark = weigh::mark(transaction.connection, thread_id)?;
    let whole = weigh::whole_thread(transaction, thread_id)?;
    // What need not be kept goes first: the rest then is little, and goes at once.
    let keep = Keep { last: 1, since: None };
    let mut steps = match prune::prune(transaction, thread_id, keep, shapes) {
        Ok(removal) => removal.steps,
        Err(Error::NeedShapes(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    steps.push(RemovalStep::Thread {
        thread_id: thread_id.to_owned(),
        unless_changed: Some(mark),
    });
    Ok(Removal {
        steps,
        weight: whole.weight,
        ..Removal::default()
    })
}
