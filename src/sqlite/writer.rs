//! The one writer of a file: a queue of jobs, committed in groups.
//!
//! FIFO is the order of entering the queue. Whoever finds no leader leads: it takes the write lock,
//! commits what is queued in one transaction, tells all callers after COMMIT returned, and passes
//! the lead on. A thread that waits for its own job may lead; jobs that nobody waits for are led by
//! the writer's own thread, which starts with the first of them.
//!
//! Lock order: `connection` before `queue`; neither is held while a caller is told.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::deletions;
use super::gate;
use super::group::{self, Group};
use super::job::{Baton, Job, Turn};
use super::manager;
use super::schema::{self, Access};
use super::settings::{Settings, Synchronous};
use super::sync::{lock, wait};
use super::transaction::{Transaction, WriteTransaction};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::model::{Format, WriterStats};
use crate::pending::{Cancel, GiveUp, patient};

/// How often a waiting thread looks for signals.
const LOOK: Duration = Duration::from_millis(200);

/// Own polling for the write lock: SQLite's busy handler backs off to 100 ms, which a neighbour that
/// commits back to back does not survive.
const LEAST_PAUSE: Duration = Duration::from_micros(200);
const MOST_PAUSE: Duration = Duration::from_millis(5);

thread_local! {
    /// This thread leads.
    static LEADING: Cell<bool> = const { Cell::new(false) };
}

/// What the queue hands out to make the writer whole again after a failed sync.
pub(super) type Reopen = Box<dyn Fn() -> Result<Connection> + Send + Sync>;

/// Told after each group how many pages the WAL has.
pub(super) type Committed = Box<dyn Fn(u32) + Send + Sync>;

/// The writer of one database.
pub(super) struct Writer {
    path: PathBuf,
    queue: Mutex<Queue>,
    /// Rung for the writer's own thread.
    bell: Condvar,
    connection: Mutex<Slot>,
    reopen: Reopen,
    committed: Committed,
    statistics: Mutex<WriterStats>,
    /// The format when it was last looked at.
    format: Mutex<Format>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Box<dyn Job>>,
    /// Someone leads, or was told to.
    led: bool,
    /// The last try for the write lock found it taken by another process.
    blocked: bool,
    /// The writer's own thread was told to lead.
    rung: bool,
    /// The writer's own thread runs.
    staffed: bool,
    closed: bool,
}

struct Slot {
    connection: Option<Connection>,
    synchronous: Synchronous,
    /// None where it must be read again: another process may have changed it.
    format: Option<Format>,
    /// Whether threads may be being deleted; read with the format.
    hides: bool,
    /// Rises with each reading.
    epoch: u64,
    pace: group::Pace,
}

/// How one attempt to commit a group ended.
enum Round {
    /// Also if the group was void, and its jobs are in the queue again.
    Committed,
    Idle,
    GaveUp,
}

impl Writer {
    pub(super) fn new(
        path: &Path,
        settings: &Settings,
        connection: Connection,
        format: Format,
        reopen: Reopen,
        committed: Committed,
    ) -> Self {
        Self {
            path: path.to_path_buf(),
            queue: Mutex::default(),
            bell: Condvar::new(),
            connection: Mutex::new(Slot {
                connection: Some(connection),
                synchronous: settings.synchronous,
                format: None,
                hides: false,
                epoch: 0,
                pace: group::Pace::default(),
            }),
            reopen,
            committed,
            statistics: Mutex::default(),
            format: Mutex::new(format),
        }
    }

    /// The format as of the last group; another process may have changed it since.
    pub(super) fn format(&self) -> Format {
        *lock(&self.format)
    }

    /// Puts a job in the queue. Someone must then `attend` or `kick`.
    pub(super) fn enqueue(&self, job: Box<dyn Job>) {
        lock(&self.queue).jobs.push_back(job);
    }

    /// Waits for a queued job, leading where nobody else does. The job's result is delivered
    /// through its `done`; an error here means that it was withdrawn, and nothing of it is stored.
    pub(super) fn attend(
        self: &Arc<Self>,
        baton: &Arc<Baton>,
        cancel: &Cancel,
        deadline: Instant,
        give_up: GiveUp,
    ) -> Result<()> {
        let mut turn = if self.claim() { Turn::Lead } else { Turn::Wait };
        loop {
            match turn {
                Turn::Done => return Ok(()),
                Turn::Lead => {
                    let stopped = self.lead(Some(baton), give_up);
                    if stopped && self.withdraw(baton) {
                        return Err(Error::Interrupted);
                    }
                }
                Turn::Wait => {
                    if give_up() {
                        if self.withdraw(baton) {
                            return Err(Error::Interrupted);
                        }
                        // Another thread commits it, which may be waiting for readers.
                        cancel.cancel();
                    }
                    if Instant::now() >= deadline {
                        self.expire();
                    }
                }
            }
            turn = baton.wait(LOOK);
        }
    }

    /// Sees to it that queued jobs are led, though nobody waits.
    pub(super) fn kick(self: &Arc<Self>) {
        if self.claim() {
            self.ring();
        }
    }

    fn claim(&self) -> bool {
        let mut queue = lock(&self.queue);
        !std::mem::replace(&mut queue.led, true)
    }

    /// Hands the lead to the writer's own thread.
    fn ring(self: &Arc<Self>) {
        let mut queue = lock(&self.queue);
        queue.rung = true;
        if !queue.staffed {
            let writer = Arc::downgrade(self);
            let spawned = std::thread::Builder::new()
                .name("lgcheckpoint-writer".to_owned())
                .spawn(move || staff(&writer));
            queue.staffed = spawned.is_ok();
            if !queue.staffed {
                // No thread to be had: lead here, though it blocks the caller.
                queue.rung = false;
                drop(queue);
                self.lead(None, patient);
                return;
            }
        }
        self.bell.notify_one();
    }

    /// Commits groups until `own` is done (or, for the writer's own thread, until nothing is left),
    /// then passes the lead on. True if the caller gave up.
    fn lead(self: &Arc<Self>, own: Option<&Arc<Baton>>, give_up: GiveUp) -> bool {
        let outer = LEADING.replace(true);
        let mut stopped = false;
        loop {
            match self.round(give_up) {
                Round::Committed if own.is_none_or(|baton| !baton.is_done()) => {}
                Round::GaveUp => {
                    stopped = true;
                    break;
                }
                Round::Committed | Round::Idle => break,
            }
        }
        LEADING.set(outer);
        self.pass_on();
        stopped
    }

    /// Gives the lead to the first job's waiter, to the writer's own thread, or to nobody.
    fn pass_on(self: &Arc<Self>) {
        let mut queue = lock(&self.queue);
        let Some(first) = queue.jobs.front() else {
            queue.led = false;
            return;
        };
        if let Some(baton) = &first.order().baton {
            baton.give_lead();
        } else {
            drop(queue);
            self.ring();
        }
    }

    /// Takes the write lock and commits one group.
    fn round(&self, give_up: GiveUp) -> Round {
        let mut pause = LEAST_PAUSE;
        loop {
            self.expire();
            let Some(level) = self.strictest() else {
                return Round::Idle;
            };
            let pass = gate::enter();
            let mut slot = lock(&self.connection);
            // A leader that panicked would leave all others waiting.
            let begin = AssertUnwindSafe(|| self.begin(&mut slot, level));
            match catch_unwind(begin).unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref()))) {
                Ok(()) => {
                    lock(&self.queue).blocked = false;
                    let mut stopped = false;
                    let finished = self.commit_group(&mut slot, || {
                        stopped = stopped || give_up();
                        stopped
                    });
                    let rest = slot.pace.rest();
                    drop(slot);
                    (self.committed)(manager::take_wal_pages());
                    for (job, verdict) in finished {
                        job.finish(verdict);
                    }
                    // Telling takes locks of the border, which a forked child needs free.
                    drop(pass);
                    if !rest.is_zero() {
                        std::thread::sleep(rest);
                    }
                    return if stopped { Round::GaveUp } else { Round::Committed };
                }
                Err(error) if error.is_busy() => {
                    drop(slot);
                    drop(pass);
                    lock(&self.queue).blocked = true;
                    lock(&self.statistics).lock_waits += 1;
                    if give_up() {
                        return Round::GaveUp;
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(MOST_PAUSE);
                }
                Err(error) => {
                    drop(slot);
                    drop(pass);
                    // Nothing can be written now: say so to everyone who waits.
                    let jobs = std::mem::take(&mut lock(&self.queue).jobs);
                    for job in jobs {
                        job.finish(Err(error.clone()));
                    }
                    return Round::Idle;
                }
            }
        }
    }

    fn begin(&self, slot: &mut Slot, level: Synchronous) -> Result<()> {
        faults::trip(Fault::PanicInLeader);
        let connection = match &mut slot.connection {
            Some(connection) => connection,
            empty => {
                slot.format = None;
                empty.insert((self.reopen)()?)
            }
        };
        if slot.synchronous != level {
            // Has no effect inside a transaction.
            connection.pragma_update(None, "synchronous", level as i64)?;
            slot.synchronous = level;
        }
        if faults::planted(Fault::AcknowledgeEarly) && !connection.is_autocommit() {
            Transaction::resume(connection).commit()?;
        }
        let transaction = Transaction::begin_write(connection)?;
        if slot.pace.look(connection)? || slot.format.is_none() {
            slot.format = None;
            let format = schema::format(connection, Access::Write)?;
            slot.hides = !deletions::hidden(connection, format)?.is_empty();
            slot.epoch += 1;
            slot.format = Some(format);
            *lock(&self.format) = format;
        }
        transaction.keep();
        Ok(())
    }

    /// Commits a group; those whose callers are to be told.
    fn commit_group(&self, slot: &mut Slot, stop: impl FnMut() -> bool) -> Vec<(Box<dyn Job>, Result<()>)> {
        let level = slot.synchronous;
        let Some(connection) = slot.connection.take() else {
            return Vec::new();
        };
        let transaction = WriteTransaction {
            connection: &connection,
            format: Cell::new(slot.format.unwrap_or(Format::Interop)),
            hides: Cell::new(slot.hides),
            epoch: slot.epoch,
        };
        let alone = {
            let jobs = &lock(&self.queue).jobs;
            jobs.len() <= 1 || jobs.front().is_some_and(|job| job.order().alone)
        };
        let mut group = Group::new(&transaction, alone);
        while let Some(job) = group.wants_more().then(|| self.next(level)).flatten() {
            group.run(job);
        }
        let outcome = group.commit(stop);
        for job in outcome.again.into_iter().rev() {
            lock(&self.queue).jobs.push_front(job);
        }
        slot.pace.note(outcome.busy_for);
        let format = transaction.format.get();
        slot.format = Some(format).filter(|_| !outcome.void);
        slot.hides = transaction.hides.get();
        *lock(&self.format) = format;
        if outcome.usable {
            slot.connection = Some(connection);
        }
        let mut statistics = lock(&self.statistics);
        let committed = outcome.jobs.iter().filter(|(_, verdict)| verdict.is_ok()).count() as u64;
        statistics.groups += u64::from(committed > 0);
        statistics.jobs += committed;
        statistics.largest_group = statistics.largest_group.max(committed);
        statistics.void_groups += u64::from(outcome.void);
        outcome.jobs
    }

    /// The next job that may join a group of this level. A stricter one waits for the next group,
    /// and all behind it: the queue is first in, first out.
    fn next(&self, level: Synchronous) -> Option<Box<dyn Job>> {
        loop {
            let job = {
                let mut queue = lock(&self.queue);
                if queue.jobs.front()?.order().synchronous > level {
                    return None;
                }
                queue.jobs.pop_front()?
            };
            if !job.order().cancel.is_cancelled() {
                return Some(job);
            }
            job.finish(Err(Error::Interrupted));
        }
    }

    fn strictest(&self) -> Option<Synchronous> {
        let queue = lock(&self.queue);
        queue
            .jobs
            .iter()
            .take(group::MOST_JOBS)
            .map(|job| job.order().synchronous)
            .max()
    }

    /// Drops the jobs whose callers left, and fails those that waited too long for another process. To
    /// wait behind jobs of this process is not that.
    fn expire(&self) {
        let now = Instant::now();
        let over: Vec<_> = {
            let mut queue = lock(&self.queue);
            let blocked = queue.blocked;
            let is_over =
                |job: &dyn Job| job.order().cancel.is_cancelled() || (blocked && job.order().deadline <= now);
            if !queue.jobs.iter().any(|job| is_over(job.as_ref())) {
                return;
            }
            let all = std::mem::take(&mut queue.jobs).into_iter();
            let (over, kept) = all.partition::<Vec<_>, _>(|job| is_over(job.as_ref()));
            queue.jobs = kept.into();
            over
        };
        // Looked up once, and only for those who are told: it takes up to half a second.
        let is_told = over.iter().any(|job| !job.order().cancel.is_cancelled());
        let holder = is_told.then(|| holder_of(&self.path)).flatten();
        for job in over {
            if job.order().cancel.is_cancelled() {
                job.finish(Err(Error::Interrupted));
                continue;
            }
            let waited = now.duration_since(job.order().since);
            job.finish(Err(Error::Busy {
                path: self.path.clone(),
                waited,
                holder,
            }));
        }
    }

    /// Takes a job out of the queue; false if it has begun or is done.
    fn withdraw(self: &Arc<Self>, baton: &Arc<Baton>) -> bool {
        let mut queue = lock(&self.queue);
        let own = |job: &dyn Job| {
            job.order()
                .baton
                .as_ref()
                .is_some_and(|other| Arc::ptr_eq(other, baton))
        };
        let found = queue.jobs.iter().position(|job| own(job.as_ref()));
        let withdrawn = found.and_then(|index| queue.jobs.remove(index));
        drop(queue);
        if withdrawn.is_some() && baton.wait(Duration::ZERO) == Turn::Lead {
            // The lead came meanwhile; it must not be lost.
            self.pass_on();
        }
        withdrawn.is_some()
    }

    pub(super) fn stats(&self) -> WriterStats {
        let queued = lock(&self.queue).jobs.len() as u64;
        WriterStats {
            queued,
            ..*lock(&self.statistics)
        }
    }

    /// Runs `job` on the writer's connection, between two groups.
    pub(super) fn with_connection<T>(&self, job: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let _pass = gate::enter();
        let mut slot = lock(&self.connection);
        let slot = &mut *slot;
        let connection = match &mut slot.connection {
            Some(connection) => connection,
            empty => {
                slot.format = None;
                empty.insert((self.reopen)()?)
            }
        };
        job(connection)
    }

    /// Runs `work` while no group is committed.
    pub(super) fn paused(&self, work: &mut dyn FnMut()) {
        let slot = lock(&self.connection);
        work();
        drop(slot);
    }

    /// Commits what is queued.
    pub(super) fn drain(self: &Arc<Self>) {
        while !lock(&self.queue).jobs.is_empty() {
            if LEADING.get() {
                // A leader that told the last caller of the last saver: nobody else would go on.
                self.round(patient);
            } else if self.claim() {
                self.lead(None, patient);
            } else {
                std::thread::sleep(MOST_PAUSE);
            }
        }
    }

    /// Closes the connection; the next job opens it again.
    pub(super) fn suspend(&self) {
        let connection = lock(&self.connection).connection.take();
        drop(connection);
    }

    /// Sends the writer's own thread home and closes the connection.
    pub(super) fn close(&self) {
        lock(&self.queue).closed = true;
        self.bell.notify_all();
        let _pass = gate::enter();
        let connection = lock(&self.connection).connection.take();
        drop(connection);
    }
}

/// Who holds the write lock, where the kernel tells it.
#[cfg(target_os = "linux")]
fn holder_of(path: &Path) -> Option<u32> {
    super::lock_guard::holder::write_lock_holder(path)
}

#[cfg(not(target_os = "linux"))]
fn holder_of(_: &Path) -> Option<u32> {
    None
}

/// The writer's own thread: leads when it is rung for, and goes when the writer does.
fn staff(writer: &Weak<Writer>) {
    loop {
        let Some(writer) = writer.upgrade() else { return };
        let mut queue = lock(&writer.queue);
        while !queue.rung {
            if queue.closed {
                queue.staffed = false;
                return;
            }
            queue = wait(&writer.bell, queue);
        }
        queue.rung = false;
        drop(queue);
        writer.lead(None, patient);
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Writer")
    }
}

#[cfg(test)]
mod tests;
