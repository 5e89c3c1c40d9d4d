//! One group of jobs in one transaction.
//!
//! A savepoint does not isolate `SQLITE_FULL`, `IOERR` and `NOMEM`: SQLite then rolls back the whole
//! transaction and goes to autocommit, where later jobs would commit alone while earlier ones are
//! gone. So after each job, and after COMMIT, autocommit is looked at: a group that lost its
//! transaction is void, nothing of it is acknowledged, and each job is tried once more, alone. After
//! a failed sync nothing is tried again: the kernel may have dropped the pages.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::job::Job;
use super::statements as sql;
use super::transaction::{Transaction, isolated};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};

/// Bounds of a group: the first to be reached ends it.
pub(super) const MOST_JOBS: usize = 256;
const MOST_BYTES: usize = 16 << 20;
/// A transaction shall not last over 250 ms; the last job and COMMIT need some of that.
const MOST_TIME: Duration = Duration::from_millis(100);

type Verdicts = Vec<(Box<dyn Job>, Result<()>)>;

/// A group whose transaction is open.
pub(super) struct Group<'a> {
    connection: &'a Connection,
    since: Instant,
    jobs: Verdicts,
    bytes: usize,
    /// A group of one needs no savepoint.
    alone: bool,
    void: bool,
    /// The error of the first job whose writes could not be synced.
    failed_sync: Option<Error>,
}

/// How a group ended.
pub(super) struct Outcome {
    pub(super) jobs: Verdicts,
    pub(super) void: bool,
    /// False if the connection must be replaced.
    pub(super) usable: bool,
    pub(super) busy_for: Duration,
}

impl<'a> Group<'a> {
    pub(super) fn new(connection: &'a Connection, queued: usize) -> Self {
        Self {
            connection,
            since: Instant::now(),
            jobs: Vec::new(),
            bytes: 0,
            alone: queued <= 1,
            void: false,
            failed_sync: None,
        }
    }

    pub(super) fn wants_more(&self) -> bool {
        !self.void
            && self.jobs.len() < if self.alone { 1 } else { MOST_JOBS }
            && self.bytes < MOST_BYTES
            && self.since.elapsed() < MOST_TIME
    }

    pub(super) fn run(&mut self, mut job: Box<dyn Job>) {
        self.bytes += job.order().bytes;
        let verdict = if self.alone {
            job.run(self.connection)
        } else {
            isolated(self.connection, || job.run(self.connection))
        };
        self.void |= self.connection.is_autocommit() && !faults::planted(Fault::IgnoreAutocommit);
        if let Err(error) = &verdict
            && error.is_sync_failure()
        {
            self.failed_sync.get_or_insert_with(|| error.clone());
        }
        self.jobs.push((job, verdict));
    }

    /// Commits. Readers block it in `JournalMode::Delete` only; they are waited for until the first
    /// job's time is over.
    pub(super) fn commit(self) -> Outcome {
        let transaction = Transaction::resume(self.connection);
        let mut jobs = self.jobs;
        let mut void = self.void;
        let mut failed_sync = self.failed_sync;
        let deadline = jobs.iter().map(|(job, _)| job.order().deadline).min();
        let deadline = deadline.unwrap_or(self.since);
        if self.alone && jobs.iter().any(|(_, verdict)| verdict.is_err()) {
            drop(transaction);
        } else if faults::planted(Fault::AcknowledgeEarly) {
            transaction.keep();
        } else if !void
            && let Err(error) = transaction.commit_by(deadline)
            && !faults::planted(Fault::IgnoreAutocommit)
        {
            void = true;
            failed_sync = Some(error).filter(Error::is_sync_failure);
        }
        if void {
            for (job, verdict) in &mut jobs {
                *verdict = match &failed_sync {
                    Some(error) => Err(error.clone()),
                    None => retry(self.connection, job.as_mut()),
                };
                if let Err(error) = verdict
                    && error.is_sync_failure()
                {
                    failed_sync = Some(error.clone());
                }
            }
        }
        Outcome {
            jobs,
            void,
            usable: failed_sync.is_none(),
            busy_for: self.since.elapsed(),
        }
    }
}

/// One job in a transaction of its own.
fn retry(connection: &Connection, job: &mut dyn Job) -> Result<()> {
    let transaction = Transaction::begin_write(connection)?;
    job.run(connection)?;
    transaction.commit_by(job.order().deadline)
}

/// Leaves room for other processes: the lock is free for at least 15 % of the time while another
/// one commits to the file, and now and then even where none was seen, so that one can be.
///
/// A back-to-back loop at FULL gave a neighbour with SQLite's own busy handler a p99 of 0.8 s; with
/// a gap of 2 ms, 54 ms.
#[derive(Debug, Default)]
pub(super) struct Pace {
    data_version: i64,
    neighbour_seen: Option<Instant>,
    /// Time that the lock was held since it was last left free for long enough.
    held: Duration,
    released: Option<Instant>,
}

/// How long a neighbour counts after its last commit.
const NEIGHBOUR_MEMORY: Duration = Duration::from_secs(10);
/// Held time after which a gap is due: with a neighbour, and without.
const SHARED_STRETCH: Duration = Duration::from_millis(12);
const ALONE_STRETCH: Duration = Duration::from_millis(400);
/// The gap that a polling neighbour meets. 2.1 of 14.1 ms is 15 %.
const GAP: Duration = Duration::from_micros(2_150);

impl Pace {
    /// Notes a commit that held the lock for `held`.
    pub(super) fn note(&mut self, connection: &Connection, held: Duration) {
        let now = Instant::now();
        // Changes only by commits of other connections; ours are readers.
        if let Ok(version) = connection
            .prepare_cached(sql::DATA_VERSION)
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
            && version != self.data_version
        {
            if self.data_version != 0 {
                self.neighbour_seen = Some(now);
            }
            self.data_version = version;
        }
        let idle = self
            .released
            .map_or(GAP, |released| now.duration_since(released).saturating_sub(held));
        self.held = if idle >= GAP { held } else { self.held + held };
        self.released = Some(now);
    }

    /// How long to leave the lock alone now.
    pub(super) fn rest(&mut self) -> Duration {
        let shared = self
            .neighbour_seen
            .is_some_and(|seen| seen.elapsed() < NEIGHBOUR_MEMORY);
        let stretch = if shared { SHARED_STRETCH } else { ALONE_STRETCH };
        if self.held < stretch {
            return Duration::ZERO;
        }
        self.held = Duration::ZERO;
        GAP
    }
}
