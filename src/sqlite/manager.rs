//! Opens connections: the only place that does. Each setting is read back after it is set.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags};

use super::filesystem::{self, Verdict};
use super::lock_guard::{self, Status};
use super::reader::Reader;
use super::settings::{InPython, JournalMode, Settings, Synchronous};
use super::statements as sql;
use super::transaction::Transaction;
use crate::error::{Error, Result};

/// More statements than the verbs prepare; a `list` filter makes one per combination of conditions.
const STATEMENT_CACHE: usize = 64;

/// Between two tries to have a file alone.
const PAUSE: Duration = Duration::from_millis(5);

/// How long a restore waits for others to let go of the file: enough for a close, or a look of a health
/// check.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// Pages in the WAL after the last commit of this thread.
    static WAL_PAGES: Cell<u32> = const { Cell::new(0) };
}

/// Pages in the WAL after the last commit of this thread; 0 if it made none since it was asked.
pub(super) fn take_wal_pages() -> u32 {
    WAL_PAGES.take()
}

/// Where the database lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// One private connection.
    Memory,
    /// A file.
    File(PathBuf),
}

impl Location {
    /// The path, for messages.
    pub fn path(&self) -> &Path {
        match self {
            Self::Memory => Path::new(":memory:"),
            Self::File(path) => path,
        }
    }
}

/// Opens the writer; true if the database is new. It comes first: it makes the file, chooses the
/// journal, and meets the errors. It waits for nobody: where the file is locked, the caller tries again.
pub(super) fn open_writer(location: &Location, settings: &Settings) -> Result<(Connection, bool)> {
    let (mut connection, created) = match location {
        Location::Memory => (Connection::open_in_memory()?, true),
        Location::File(path) => {
            decide_guard(path, settings)?;
            if settings.journal_mode == JournalMode::Wal
                && let Verdict::Network { name } = filesystem::inspect(path)
            {
                return Err(Error::UnsupportedFilesystem {
                    path: path.clone(),
                    name,
                });
            }
            let created = !settings.read_only && create(path)?;
            let connection = connect(path, settings)?;
            if !connection.is_readonly("main")? {
                choose_vacuum(&connection, path, settings)?;
                switch_journal(&connection, path, settings)?;
            }
            (connection, created)
        }
    };
    configure(
        &mut connection,
        location.path(),
        settings,
        settings.writer_cache(),
    )?;
    Ok((connection, created))
}

/// Opens one of the pool's readers. It waits for nobody either.
pub(super) fn open_reader(path: &Path, settings: &Settings) -> Result<Connection> {
    // Not read-only: such a handle could not recover a WAL.
    let mut connection = connect(path, settings)?;
    configure(&mut connection, path, settings, settings.reader_cache())?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(path: &Path, settings: &Settings) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, open_flags(settings))?;
    // rusqlite sets five seconds.
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// Opens the new file of a backup.
pub(super) fn open_target(path: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.pragma_update(None, "synchronous", Synchronous::Full as i64)?;
    Ok(connection)
}

/// Opens a database that goes again: nothing of it is synced.
pub(super) fn open_scratch(path: &Path) -> Result<Connection> {
    let connection = open_target(path)?;
    connection.pragma_update(None, "synchronous", false)?;
    connection.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    Ok(connection)
}

/// Opens a backup to read it, for a restore of `database`.
pub(super) fn open_source(database: &Path, path: &Path, settings: &Settings) -> Result<Reader> {
    decide_guard(database, settings)?;
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(settings.busy_timeout)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    set(&connection, path, "cell_size_check", 1)?;
    Reader::new(connection, settings.busy_timeout)
}

/// Opens a database that nobody else has open, for this connection alone and out of WAL.
pub(super) fn open_exclusive(path: &Path, settings: &Settings) -> Result<Connection> {
    if settings.read_only {
        return Err(Error::ReadOnly {
            path: path.to_path_buf(),
            detail: "`read_only` is set".to_owned(),
        });
    }
    create(path)?;
    let connection = Connection::open_with_flags(path, open_flags(settings))?;
    connection.pragma_update(None, "synchronous", Synchronous::Full as i64)?;
    connection.busy_timeout(Duration::ZERO)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock_exclusively(&connection, path) {
            Err(error) if error.is_busy() && Instant::now() < deadline => {
                std::thread::sleep(PAUSE);
            }
            Err(error) if error.is_busy() => {
                return Err(Error::InUse {
                    path: path.to_path_buf(),
                });
            }
            result => return result.map(|()| connection),
        }
    }
}

/// In this locking mode the first transaction takes the lock that no other connection to the file
/// permits, and keeps it; so nobody comes in between it and the switch.
fn lock_exclusively(connection: &Connection, path: &Path) -> Result<()> {
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let transaction = Transaction::begin_exclusive(connection)?;
    transaction.commit()?;
    leave_wal(connection, path)
}

/// Makes the database one file.
pub(super) fn leave_wal(connection: &Connection, path: &Path) -> Result<()> {
    let wanted = JournalMode::Delete.as_str();
    let kept = connection.pragma_update_and_check(None, "journal_mode", wanted, |row| row.get(0))?;
    if kept == wanted {
        return Ok(());
    }
    Err(Error::SettingRefused {
        path: path.to_path_buf(),
        name: "journal_mode",
        wanted: wanted.to_owned(),
        kept,
    })
}

/// Whether both paths lead to one file.
pub(super) fn is_same_file(path: &Path, other: &Path) -> bool {
    match (std::fs::canonicalize(path), std::fs::canonicalize(other)) {
        (Ok(path), Ok(other)) => path == other || is_hard_link(&path, &other),
        _ => false,
    }
}

#[cfg(unix)]
fn is_hard_link(path: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let identity = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    identity(path).is_some() && identity(path) == identity(other)
}

#[cfg(not(unix))]
fn is_hard_link(_: &Path, _: &Path) -> bool {
    false
}

/// The guard is in force for the whole process, from the first opening on.
fn decide_guard(path: &Path, settings: &Settings) -> Result<()> {
    let status = if settings.lock_guard {
        lock_guard::install()
    } else {
        lock_guard::disable_before_first_open()
    };
    let agrees = match status {
        Status::Active => settings.lock_guard,
        Status::Disabled => !settings.lock_guard,
        Status::Unsupported(_) | Status::Undecided => true,
    };
    if agrees {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "lock_guard is {} for `{}`, but the first database that this process opened decided otherwise; \
         use one value for all savers of a process",
        settings.lock_guard.in_python(),
        path.display()
    )))
}

fn open_flags(settings: &Settings) -> OpenFlags {
    let access = if settings.read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    };
    // Each connection is used by one thread at a time: the pool and the writer's lock see to it.
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Makes the file, readable by its owner only, if it is not there; true if it was made.
pub(super) fn create(path: &Path) -> Result<bool> {
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::ReadOnly {
            path: path.to_path_buf(),
            detail: error.to_string(),
        },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::DiskFull {
            path: path.to_path_buf(),
        },
        _ => Error::CannotOpen {
            path: path.to_path_buf(),
            detail: error.to_string(),
        },
    };
    if path.try_exists().map_err(failed)? {
        return Ok(false);
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        // Another process made it first and is choosing its settings.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Takes effect only before the first table and before WAL, whoever made the file: another process
/// may be making its tables right now, and then its choice holds.
fn choose_vacuum(connection: &Connection, path: &Path, settings: &Settings) -> Result<()> {
    let is_empty = || connection.pragma_query_value(None, "page_count", |row| Ok(row.get::<_, i64>(0)? == 0));
    if !is_empty()? {
        return Ok(());
    }
    match set(connection, path, "auto_vacuum", settings.auto_vacuum as i64) {
        Err(Error::SettingRefused { .. }) if !is_empty()? => Ok(()),
        result => result,
    }
}

fn switch_journal(connection: &Connection, path: &Path, settings: &Settings) -> Result<()> {
    let wanted = settings.journal_mode.as_str();
    let current: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if current == wanted {
        return Ok(());
    }
    let kept: String = connection.pragma_update_and_check(None, "journal_mode", wanted, |row| row.get(0))?;
    if kept == wanted {
        return Ok(());
    }
    Err(Error::SettingRefused {
        path: path.to_path_buf(),
        name: "journal_mode",
        wanted: wanted.to_owned(),
        kept,
    })
}

/// Applies what holds per connection.
fn configure(connection: &mut Connection, path: &Path, settings: &Settings, cache: u64) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    set(connection, path, "synchronous", settings.synchronous as i64)?;
    // Negative: in KiB, whatever the page size.
    set(
        connection,
        path,
        "cache_size",
        -i64::try_from(cache / 1024).unwrap_or(i64::MAX),
    )?;
    set(connection, path, "temp_store", settings.temp_store as i64)?;
    set(
        connection,
        path,
        "cell_size_check",
        settings.cell_size_check.into(),
    )?;
    set(
        connection,
        path,
        "journal_size_limit",
        i64::try_from(settings.journal_size_limit).unwrap_or(i64::MAX),
    )?;
    if path != Location::Memory.path() {
        set(
            connection,
            path,
            "mmap_size",
            i64::try_from(settings.mmap_size).unwrap_or(i64::MAX),
        )?;
        // The checkpointer does it: no commit pays for it.
        set(connection, path, "wal_autocheckpoint", 0)?;
        connection.wal_hook(Some(|_: &mut Wal, pages| {
            WAL_PAGES.set(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }))?;
    }
    for (name, option, wanted) in [
        (
            "trusted_schema",
            DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
            settings.trusted_schema,
        ),
        (
            "defensive",
            DbConfig::SQLITE_DBCONFIG_DEFENSIVE,
            settings.defensive,
        ),
        ("triggers", DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        // Plans do not depend on bound values. Otherwise SQLite 3.54 prepares `ORDER BY … LIMIT` anew
        // each time that a value is bound: 17 instead of 7 µs a read.
        ("enable_qpsg", DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
    ] {
        let kept = connection.set_db_config(option, wanted)?;
        check(path, name, wanted.into(), kept.into())?;
    }
    // Opens the file and reads its header, so that a file of another kind is refused here.
    connection.query_row(sql::SCHEMA_VERSION, [], |_| Ok(()))?;
    Ok(())
}

fn set(connection: &Connection, path: &Path, name: &'static str, wanted: i64) -> Result<()> {
    connection.pragma_update(None, name, wanted)?;
    let kept = connection.pragma_query_value(None, name, |row| row.get(0))?;
    check(path, name, wanted, kept)
}

fn check(path: &Path, name: &'static str, wanted: i64, kept: i64) -> Result<()> {
    if wanted == kept {
        return Ok(());
    }
    Err(Error::SettingRefused {
        path: path.to_path_buf(),
        name,
        wanted: wanted.to_string(),
        kept: kept.to_string(),
    })
}

/// The compile options of the bundled library.
pub(super) fn compile_options() -> Result<Vec<String>> {
    let connection = Connection::open_in_memory()?;
    let mut statement = connection.prepare(sql::COMPILE_OPTIONS)?;
    let options = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(options)
}
