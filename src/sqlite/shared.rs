//! What all savers of one file in this process share: one writer, one pool of readers, one
//! checkpointer. The last saver to go closes it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::checkpointer::Checkpointer;
use super::gate;
use super::manager::{self, Location};
use super::pool::Pool;
use super::reader::Reader;
use super::schema::{self, Access, Schema};
use super::settings::{OnForeignSqlite, Settings};
use super::sync::lock;
use super::transaction::Transaction;
use super::workers::Workers;
use super::writer::Writer;
use super::{foreign_sqlite, lock_guard};
use crate::chunk::Cache;
use crate::error::{Error, Result};
use crate::model::{Format, Opened, ReaderStats, Stats};
use crate::notice;
use crate::pending::{Cancel, GiveUp};

/// A file is the same file whatever its path. A reader that never writes is kept apart.
type Identity = (u64, u64, bool);

static OPEN: Mutex<Option<HashMap<Identity, Weak<Shared>>>> = Mutex::new(None);

/// Files that are open, those that are being closed included.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// How long one wait for a reader lasts before signals are looked at and a fork may pass.
const LOOK: Duration = Duration::from_millis(50);

/// Between two tries to open a file that another process has locked; one takes some 0.3 ms.
pub(super) const TRY_AGAIN: Duration = Duration::from_millis(5);

/// How often, in milliseconds, to look for a second SQLite library: a look takes some 0.2 ms.
const LOOK_FOREIGN_EVERY: u64 = 1_000;

/// How often, in milliseconds, a read checks that the path still leads to the open file. A write always does.
const CHECK_EVERY: u64 = 250;

/// The open connections to one database.
pub(super) struct Shared {
    pub(super) location: Location,
    pub(super) settings: Arc<Settings>,
    pub(super) schema: Schema,
    pub(super) opened: Opened,
    /// None if the file cannot be written.
    pub(super) writer: Option<Arc<Writer>>,
    pub(super) workers: Arc<Workers>,
    /// What was stored last.
    pub(super) chunks: Arc<Cache>,
    readers: Readers,
    checkpointer: Option<Arc<Checkpointer>>,
    identity: Option<Identity>,
    since: Instant,
    checked: AtomicU64,
    foreign_looked: AtomicU64,
    foreign_seen: AtomicBool,
    /// The process and the fork generation that opened it.
    process: u32,
    generation: u64,
}

enum Readers {
    Pool(Pool),
    /// A database in memory has one connection: the writer's.
    Writer,
}

impl Shared {
    /// The connections to a database, opened if no saver of this process has it open.
    pub(super) fn acquire(location: &Location, settings: &Arc<Settings>) -> Result<Arc<Self>> {
        let Location::File(path) = location else {
            return Ok(Arc::new(Self::open(location, settings)?));
        };
        if let Some(identity) = identify(path, settings.read_only)
            && let Some(shared) = find(identity)
        {
            return shared.agreeing(settings);
        }
        let opened = Self::open(location, settings)?;
        let Some(identity) = opened.identity else {
            return Ok(Arc::new(opened));
        };
        let mut open = lock(&OPEN);
        let open = open.get_or_insert_default();
        if let Some(shared) = open.get(&identity).and_then(usable) {
            // Another thread was faster; ours is closed again.
            return shared.agreeing(settings);
        }
        let shared = Arc::new(opened);
        open.retain(|_, other| other.strong_count() > 0);
        open.insert(identity, Arc::downgrade(&shared));
        Ok(shared)
    }

    fn agreeing(self: Arc<Self>, settings: &Settings) -> Result<Arc<Self>> {
        settings.format.check(self.location.path(), self.format())?;
        let conflicts = self.settings.conflicts(settings);
        if conflicts.is_empty() {
            return Ok(self);
        }
        Err(Error::Invalid(format!(
            "database `{}` is open in this process with other settings: {}; use the same settings for all \
             its savers, or close the other ones first",
            self.location.path().display(),
            conflicts.join(", ")
        )))
    }

    fn open(location: &Location, settings: &Arc<Settings>) -> Result<Self> {
        let _pass = gate::enter();
        let (connection, created) = manager::open_writer(location, settings)?;
        let read_only = connection.is_readonly("main")?;
        let mut schema = schema::inspect(&connection)?;
        if schema != Schema::Current && !read_only {
            let transaction = Transaction::begin_write(&connection)?;
            schema::migrate(&connection, settings.format.of_new_files())?;
            transaction.commit()?;
            schema = Schema::Current;
        }
        let path = location.path();
        let format = schema::format(&connection, Access::Read)?;
        settings.format.check(path, format)?;
        let readers = match location {
            Location::Memory => Readers::Writer,
            Location::File(path) => {
                let (path, settings_) = (path.clone(), Arc::clone(settings));
                let connect =
                    move || Reader::new(manager::open_reader(&path, &settings_)?, settings_.busy_timeout);
                Readers::Pool(Pool::new(settings, Box::new(connect)))
            }
        };
        let reconnect = {
            let (location, settings) = (location.clone(), Arc::clone(settings));
            move || manager::open_writer(&location, &settings).map(|(connection, _)| connection)
        };
        let checkpointer = (matches!(location, Location::File(_)) && !read_only)
            .then(|| Arc::new(Checkpointer::new(path, settings, Box::new(reconnect.clone()))));
        let writer = (!read_only).then(|| {
            let noted = checkpointer.clone();
            let committed = move |pages| {
                if let Some(checkpointer) = &noted {
                    checkpointer.note(pages);
                }
            };
            Arc::new(Writer::new(
                path,
                settings,
                connection,
                format,
                Box::new(reconnect),
                Box::new(committed),
            ))
        });
        if let (Some(checkpointer), Some(writer)) = (&checkpointer, &writer) {
            let writer = Arc::downgrade(writer);
            checkpointer.set_pause(Box::new(move |work| match writer.upgrade() {
                Some(writer) => writer.paused(work),
                None => work(),
            }));
        }
        let size = std::fs::metadata(path).map_or(0, |file| file.len());
        let identity = matches!(location, Location::File(_))
            .then(|| identify(path, settings.read_only))
            .flatten();
        if identity.is_some() {
            LIVE.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Self {
            location: location.clone(),
            settings: Arc::clone(settings),
            schema,
            opened: Opened {
                created,
                format,
                size,
            },
            chunks: Arc::new(Cache::new(settings.cache_size / 2)),
            writer,
            workers: Arc::new(Workers::new(settings.pool_size as usize)),
            readers,
            checkpointer,
            identity,
            since: Instant::now(),
            checked: AtomicU64::new(0),
            foreign_looked: AtomicU64::new(0),
            foreign_seen: AtomicBool::new(false),
            process: std::process::id(),
            generation: gate::generation(),
        })
    }

    /// Whether this process is the one that opened the connections.
    pub(super) fn is_ours(&self) -> bool {
        self.process == std::process::id() && self.generation == gate::generation()
    }

    /// The format as it was last looked at.
    pub(super) fn format(&self) -> Format {
        let writer = self.writer.as_ref();
        writer.map_or(self.opened.format, |writer| writer.format())
    }

    /// Whether no other saver, and no call, uses the connections.
    pub(super) fn is_last(self: &Arc<Self>) -> bool {
        let _open = lock(&OPEN);
        Arc::strong_count(self) == 1
    }

    /// Runs `job` on a reader.
    pub(super) fn with_reader<T>(
        &self,
        give_up: GiveUp,
        cancel: &Cancel,
        job: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        let Readers::Pool(pool) = &self.readers else {
            let writer = self.writer.as_ref().ok_or_else(|| self.read_only())?;
            return writer.with_connection(job);
        };
        let started = Instant::now();
        let mut again = false;
        loop {
            let pass = gate::enter();
            let locked = match pool.lend(LOOK.min(self.settings.pool_timeout), again) {
                Ok(Some(reader)) => return reader.run(give_up, cancel, job),
                Ok(None) => None,
                Err(error) if error.is_busy() => Some(error),
                Err(error) => return Err(error),
            };
            drop(pass);
            let waited = started.elapsed();
            if give_up() || cancel.is_cancelled() {
                return Err(Error::Interrupted);
            }
            match locked {
                Some(error) if waited >= self.settings.busy_timeout => return Err(error),
                Some(_) => std::thread::sleep(TRY_AGAIN),
                None if waited >= self.settings.pool_timeout => {
                    pool.timed_out();
                    let path = self.location.path().to_path_buf();
                    let size = pool.stats().size;
                    return Err(Error::PoolTimeout { path, size, waited });
                }
                None => again = true,
            }
        }
    }

    /// Fails if the path no longer leads to the open file.
    pub(super) fn check_replaced(&self, always: bool) -> Result<()> {
        let Some(identity) = self.identity else {
            return Ok(());
        };
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let checked = self.checked.load(Ordering::Relaxed);
        if !always && now < checked.saturating_add(CHECK_EVERY) {
            return Ok(());
        }
        self.checked.store(now, Ordering::Relaxed);
        if identify(self.location.path(), identity.2) == Some(identity) {
            return Ok(());
        }
        Err(Error::Replaced {
            path: self.location.path().to_path_buf(),
        })
    }

    /// Where no guard protects the locks: looks, at most once a second, for a second library in this
    /// process that has the file open.
    pub(super) fn check_foreign(&self) -> Result<()> {
        if lock_guard::status() == lock_guard::Status::Active || self.identity.is_none() {
            return Ok(());
        }
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let looked = self.foreign_looked.load(Ordering::Relaxed);
        if looked == 0 || now >= looked.saturating_add(LOOK_FOREIGN_EVERY) {
            self.foreign_looked.store(now.max(1), Ordering::Relaxed);
            let path = self.location.path();
            let seen = foreign_sqlite::is_present(path);
            if seen && !self.foreign_seen.swap(seen, Ordering::Relaxed) {
                notice::leave(
                    Error::ForeignSqlite {
                        path: path.to_path_buf(),
                    }
                    .to_string(),
                );
            }
            self.foreign_seen.store(seen, Ordering::Relaxed);
        }
        if self.foreign_seen.load(Ordering::Relaxed)
            && self.settings.on_foreign_sqlite == OnForeignSqlite::Refuse
        {
            return Err(Error::ForeignSqlite {
                path: self.location.path().to_path_buf(),
            });
        }
        Ok(())
    }

    /// Closes every connection; each is opened again when it is used.
    fn suspend(&self) {
        if let Readers::Pool(pool) = &self.readers {
            pool.clear();
        }
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.suspend();
        }
        if let Some(writer) = &self.writer
            && self.location != Location::Memory
        {
            writer.suspend();
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn read_only(&self) -> Error {
        let detail = if self.settings.read_only {
            "`read_only` is set"
        } else {
            "write-protected"
        };
        Error::ReadOnly {
            path: self.location.path().to_path_buf(),
            detail: detail.to_owned(),
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let readers = match &self.readers {
            Readers::Writer => ReaderStats::default(),
            Readers::Pool(pool) => pool.stats(),
        };
        let writer = self.writer.as_ref().map(|writer| writer.stats());
        let wal = self
            .checkpointer
            .as_ref()
            .map(|checkpointer| checkpointer.stats());
        Stats {
            writer: writer.unwrap_or_default(),
            readers,
            cache: self.chunks.stats(),
            wal: wal.unwrap_or_default(),
            ..Stats::default()
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.workers.close();
        if let Some(writer) = &self.writer {
            writer.drain();
        }
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.close();
        }
        if let Some(writer) = &self.writer {
            writer.close();
        }
        {
            // No connection is closed while a fork is under way.
            let _pass = gate::enter();
            self.suspend();
        }
        if self.identity.is_some() {
            LIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Connections of a long verb, outside the table. Without the lock guard a child that is forked
/// meanwhile may not use the library.
pub(super) struct Unlisted(());

impl Unlisted {
    pub(super) fn new() -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Unlisted {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// In a forked child: what the parent has open is not this process's.
pub(super) fn forget_all() {
    LIVE.store(0, Ordering::SeqCst);
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Shared({})", self.location.path().display())
    }
}

/// Closes every connection of this process, before a fork without the lock guard. False if a file is
/// being closed by a thread that waits for the fork: it is not in the table any more.
pub(super) fn suspend_all() -> bool {
    let open: Vec<_> = lock(&OPEN)
        .iter()
        .flatten()
        .filter_map(|(_, shared)| shared.upgrade())
        .collect();
    for shared in &open {
        shared.suspend();
    }
    LIVE.load(Ordering::SeqCst) == open.len()
}

fn find(identity: Identity) -> Option<Arc<Shared>> {
    lock(&OPEN).as_ref()?.get(&identity).and_then(usable)
}

/// The connections, unless they were inherited over a fork: to use or to close those would disturb
/// the parent.
fn usable(shared: &Weak<Shared>) -> Option<Arc<Shared>> {
    let shared = shared.upgrade()?;
    if shared.is_ours() {
        return Some(shared);
    }
    std::mem::forget(shared);
    None
}

#[cfg(unix)]
fn identify(path: &Path, read_only: bool) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;

    let file = std::fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), read_only))
}

#[cfg(not(unix))]
fn identify(_: &Path, _: bool) -> Option<Identity> {
    None
}
