//! One group of jobs in one transaction.
//!
//! A savepoint does not isolate `SQLITE_FULL`, `IOERR` and `NOMEM`: SQLite then rolls back the whole
//! transaction and goes to autocommit, where later jobs would commit alone while earlier ones are
//! gone. So after each job, and after COMMIT, autocommit is looked at: a group that lost its
//! transaction is void, nothing of it is acknowledged, and each job goes back to the front of the queue, to
//! be tried once more, alone. After a failed sync nothing is tried again: the kernel may have dropped the pages.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::job::Job;
use super::statements as sql;
use super::transaction::{Transaction, WriteTransaction, isolated};
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
    transaction: &'a WriteTransaction<'a>,
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
    /// Those whose callers are told.
    pub(super) jobs: Verdicts,
    /// Those that go back to the front of the queue, nothing of them stored.
    pub(super) again: Vec<Box<dyn Job>>,
    pub(super) void: bool,
    /// False if the connection must be replaced.
    pub(super) usable: bool,
    pub(super) busy_for: Duration,
}

impl<'a> Group<'a> {
    pub(super) fn new(transaction: &'a WriteTransaction<'a>, alone: bool) -> Self {
        Self {
            transaction,
            since: Instant::now(),
            jobs: Vec::new(),
            bytes: 0,
            alone,
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
            job.run(self.transaction)
        } else {
            isolated(self.transaction.connection, || job.run(self.transaction))
        };
        self.void |= self.transaction.connection.is_autocommit() && !faults::planted(Fault::IgnoreAutocommit);
        if let Err(error) = &verdict
            && error.is_sync_failure()
        {
            self.failed_sync.get_or_insert_with(|| error.clone());
        }
        self.jobs.push((job, verdict));
    }

    /// Commits. Readers block it in `JournalMode::Delete` only; they are waited for until the first
    /// job's time is over, until one of the callers leaves, or until `stop` says true.
    pub(super) fn commit(self, mut stop: impl FnMut() -> bool) -> Outcome {
        let transaction = Transaction::resume(self.transaction.connection);
        let mut jobs = self.jobs;
        let deadline = jobs.iter().map(|(job, _)| job.order().deadline).min();
        let left = || stop() || jobs.iter().any(|(job, _)| job.order().cancel.is_cancelled());
        let committed = if self.alone && jobs.iter().any(|(_, verdict)| verdict.is_err()) {
            drop(transaction);
            Ok(())
        } else if faults::planted(Fault::AcknowledgeEarly) {
            transaction.keep();
            Ok(())
        } else {
            transaction.commit_by(deadline.unwrap_or(self.since), left)
        };
        let committed = match committed {
            Err(_) if faults::planted(Fault::IgnoreAutocommit) => Ok(()),
            committed => committed,
        };
        let given_up = matches!(committed, Err(Error::Interrupted));
        let void = !given_up && (self.void || committed.is_err());
        let failed_sync = self.failed_sync.or_else(|| {
            committed
                .as_ref()
                .err()
                .filter(|error| error.is_sync_failure())
                .cloned()
        });
        let mut again = Vec::new();
        if let Some(error) = &failed_sync {
            for (_, verdict) in &mut jobs {
                *verdict = Err(error.clone());
            }
        } else if given_up {
            again.extend(jobs.drain(..).map(|(job, _)| job));
        } else if void {
            for (mut job, verdict) in std::mem::take(&mut jobs) {
                if job.order().alone {
                    jobs.push((job, verdict.and_then(|()| committed.clone())));
                } else {
                    job.set_alone();
                    again.push(job);
                }
            }
        }
        Outcome {
            jobs,
            again,
            void,
            usable: failed_sync.is_none(),
            busy_for: self.since.elapsed(),
        }
    }
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
    /// Looks, inside a transaction, whether another connection committed since the last look; ours are
    /// readers.
    pub(super) fn look(&mut self, connection: &Connection) -> Result<bool> {
        let version: i64 = connection
            .prepare_cached(sql::DATA_VERSION)?
            .query_row([], |row| row.get(0))?;
        let changed = self.data_version != 0 && version != self.data_version;
        if changed {
            self.neighbour_seen = Some(Instant::now());
        }
        self.data_version = version;
        Ok(changed)
    }

    /// Notes a commit that held the lock for `held`.
    pub(super) fn note(&mut self, held: Duration) {
        let now = Instant::now();
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use rusqlite::params;

    use super::super::job::{Order, TypedJob};
    use super::super::settings::Synchronous;
    use super::super::sync::lock;
    use super::*;
    use crate::pending::Cancel;

    type Told = Arc<Mutex<Vec<(usize, bool)>>>;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn job(
        number: usize,
        told: &Told,
        work: impl FnMut(&WriteTransaction<'_>) -> Result<()> + Send + 'static,
    ) -> Box<dyn Job> {
        let told = Arc::clone(told);
        let now = Instant::now();
        let order = Order {
            synchronous: Synchronous::Normal,
            bytes: 0,
            since: now,
            deadline: now + PATIENCE,
            cancel: Cancel::default(),
            baton: None,
            alone: false,
        };
        Box::new(TypedJob {
            order,
            work,
            value: None,
            done: Box::new(move |result| lock(&told).push((number, result.is_ok()))),
        })
    }

    fn insert(bytes: usize) -> impl FnMut(&WriteTransaction<'_>) -> Result<()> + Send + 'static {
        move |write| {
            write
                .connection
                .execute("INSERT INTO stored VALUES (?1)", params![vec![7_u8; bytes]])?;
            Ok(())
        }
    }

    fn database(directory: &std::path::Path) -> Connection {
        let connection = Connection::open(directory.join("group.db")).unwrap();
        let wal: String = connection
            .query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))
            .unwrap();
        assert_eq!(wal, "wal");
        connection
            .execute_batch("CREATE TABLE stored (value BLOB)")
            .unwrap();
        connection
    }

    fn sizes(connection: &Connection) -> Vec<i64> {
        let mut statement = connection
            .prepare("SELECT length(value) FROM stored ORDER BY rowid")
            .unwrap();
        statement
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap()
    }

    /// Commits `jobs`, as the writer does; what their callers were told, and how many groups were void.
    fn commit(connection: &Connection, jobs: Vec<Box<dyn Job>>, told: &Told) -> (Vec<(usize, bool)>, usize) {
        let mut queue: std::collections::VecDeque<_> = jobs.into();
        let mut void = 0;
        let write = WriteTransaction {
            connection,
            format: std::cell::Cell::new(crate::model::Format::Interop),
            hides: std::cell::Cell::new(false),
            epoch: 0,
        };
        while !queue.is_empty() {
            Transaction::begin_write(connection).unwrap().keep();
            let alone = queue.len() == 1 || queue[0].order().alone;
            let mut group = Group::new(&write, alone);
            while let Some(job) = group.wants_more().then(|| queue.pop_front()).flatten() {
                group.run(job);
            }
            let outcome = group.commit(|| false);
            void += usize::from(outcome.void);
            for job in outcome.again.into_iter().rev() {
                queue.push_front(job);
            }
            for (job, verdict) in outcome.jobs {
                job.finish(verdict);
            }
            assert!(connection.is_autocommit());
        }
        (std::mem::take(&mut *lock(told)), void)
    }

    #[test]
    fn a_job_that_does_not_fit_takes_no_other_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let connection = database(directory.path());
        connection.execute_batch("PRAGMA max_page_count = 20").unwrap();
        let told = Told::default();
        let jobs = [100, 200, 1 << 20, 300]
            .into_iter()
            .enumerate()
            .map(|(number, bytes)| job(number, &told, insert(bytes)))
            .collect();
        let (answers, void) = commit(&connection, jobs, &told);
        // SQLITE_FULL rolled back what came before it: without the second try alone, jobs 0 and 1
        // would be acknowledged and gone.
        assert_eq!(void, 2);
        assert_eq!(answers, [(0, true), (1, true), (2, false), (3, true)]);
        assert_eq!(sizes(&connection), [100, 200, 300]);
    }

    #[test]
    fn a_job_that_fails_or_panics_leaves_its_neighbours_alone() {
        let directory = tempfile::tempdir().unwrap();
        let connection = database(directory.path());
        let told = Told::default();
        let failing = |write: &WriteTransaction<'_>| {
            insert(5)(write)?;
            Err(Error::Invalid("after its own insert".to_owned()))
        };
        let panicking = |write: &WriteTransaction<'_>| {
            insert(6)(write)?;
            panic!("planted")
        };
        let jobs = vec![
            job(0, &told, insert(1)),
            job(1, &told, failing),
            job(2, &told, panicking),
            job(3, &told, insert(2)),
        ];
        let (answers, void) = commit(&connection, jobs, &told);
        assert_eq!(void, 0);
        assert_eq!(answers, [(0, true), (1, false), (2, false), (3, true)]);
        assert_eq!(sizes(&connection), [1, 2]);
    }

    #[test]
    fn a_panic_of_a_job_alone_is_rolled_back() {
        let directory = tempfile::tempdir().unwrap();
        let connection = database(directory.path());
        let told = Told::default();
        let panicking = |write: &WriteTransaction<'_>| {
            insert(6)(write)?;
            panic!("planted")
        };
        let (answers, _) = commit(&connection, vec![job(0, &told, panicking)], &told);
        assert_eq!(answers, [(0, false)]);
        let (answers, _) = commit(&connection, vec![job(1, &told, insert(3))], &told);
        assert_eq!(answers, [(1, true)]);
        assert_eq!(sizes(&connection), [3]);
    }

    #[test]
    fn the_lock_is_left_alone_now_and_then() {
        let directory = tempfile::tempdir().unwrap();
        let connection = database(directory.path());
        let mut pace = Pace::default();
        let mut rests = 0;
        for _ in 0..100 {
            pace.look(&connection).unwrap();
            pace.note(Duration::from_millis(10));
            rests += u32::from(!pace.rest().is_zero());
        }
        // 100 x 10 ms of back-to-back commits with no neighbour in sight.
        assert!((1..=3).contains(&rests), "{rests}");
        let neighbour = Connection::open(directory.path().join("group.db")).unwrap();
        neighbour
            .execute_batch("INSERT INTO stored VALUES (x'00')")
            .unwrap();
        let mut free = Duration::ZERO;
        for _ in 0..100 {
            pace.look(&connection).unwrap();
            pace.note(Duration::from_millis(10));
            free += pace.rest();
        }
        assert!(free >= Duration::from_millis(90), "{free:?}");
    }
}
