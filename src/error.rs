//! What can go wrong below the border, by what the caller can do next. No user data in messages.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::model::TypedValue;

/// The result of every engine call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of the engine. `src/py/errors.rs` maps each variant to one Python class.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another connection held the lock for longer than `busy_timeout`.
    #[error(
        "database `{path}` is busy: waited {waited:.2?} for {}; retry, or raise `busy_timeout`",
        holder.map_or_else(|| "another writer".to_owned(), |pid| format!("the writer in process {pid}"))
    )]
    Busy {
        /// The database file.
        path: PathBuf,
        /// How long this call waited.
        waited: Duration,
        /// The process that holds the lock, where the kernel tells it.
        holder: Option<u32>,
    },

    /// The file system cannot share memory or locks as WAL needs them.
    #[error(
        "`{path}` is on a `{name}` file system, where WAL loses data; put it on a local one, \
         or set journal_mode=\"DELETE\" if only one host uses it"
    )]
    UnsupportedFilesystem {
        /// The database file.
        path: PathBuf,
        /// The file system, as `mount` names it.
        name: String,
    },

    /// A second SQLite library of this process has the file open, and no guard protects the locks.
    #[error(
        "a second SQLite library in this process has `{path}` open; when it closes the file, our locks are \
         gone and commits can be lost; use one library for the file, or run where the lock guard works"
    )]
    ForeignSqlite {
        /// The database file.
        path: PathBuf,
    },

    /// Every reader of the pool was in use for `pool_timeout`.
    #[error(
        "no free connection to `{path}` after {waited:.2?}: all {size} readers were busy; \
         raise `pool_size` or `pool_timeout`"
    )]
    PoolTimeout {
        /// The database file.
        path: PathBuf,
        /// How many connections the pool may hold.
        size: u32,
        /// How long this call waited.
        waited: Duration,
    },

    /// The saver was closed.
    #[error("the saver of `{path}` is closed; make a new one")]
    Closed {
        /// The database file.
        path: PathBuf,
    },

    /// The file is not a database, or a page of it is damaged.
    #[error("database `{path}` is damaged ({detail}); restore a backup")]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// SQLite's words.
        detail: String,
    },

    /// A stored row holds what no saver writes.
    #[error("thread `{thread_id}`, checkpoint `{checkpoint_id}`: {detail}")]
    CorruptRow {
        /// The thread the row belongs to.
        thread_id: String,
        /// The checkpoint the row belongs to.
        checkpoint_id: String,
        /// What is wrong with it.
        detail: String,
    },

    /// The disk, the quota or `max_page_count` is exhausted.
    #[error("no space left for database `{path}`; nothing of this call was stored; free space and retry")]
    DiskFull {
        /// The database file.
        path: PathBuf,
    },

    /// The file or its directory cannot be written.
    #[error("database `{path}` is read-only ({detail}); check the permissions of the file and its directory")]
    ReadOnly {
        /// The database file.
        path: PathBuf,
        /// What refused.
        detail: String,
    },

    /// The file could not be opened or made.
    #[error("database `{path}` cannot be opened ({detail}); check that the path exists and is a file")]
    CannotOpen {
        /// The database file.
        path: PathBuf,
        /// What the system or SQLite said.
        detail: String,
    },

    /// SQLite took a setting without an error and kept another value.
    #[error("SQLite refused `{name}` = {wanted} on `{path}` and kept {kept}")]
    SettingRefused {
        /// The database file.
        path: PathBuf,
        /// The setting.
        name: &'static str,
        /// What was asked for.
        wanted: String,
        /// What is in force.
        kept: String,
    },

    /// The file was written in a version of the format that this library does not know.
    #[error(
        "database `{path}` needs version {needs} of the compact format, and this library knows version 1; \
         update langgraph-checkpoint-rust"
    )]
    SchemaVersion {
        /// The database file.
        path: PathBuf,
        /// The version that it asks for.
        needs: i64,
    },

    /// A [`Self::SchemaVersion`] that has not met its path yet.
    #[error("version {needs} of the compact format is needed")]
    NewerSchema {
        /// The version that the file asks for.
        needs: i64,
    },

    /// Misuse that Python's own checks let through.
    #[error("{0}")]
    Invalid(String),

    /// The thread was deleted after the run began that stores in it.
    #[error(
        "thread `{thread_id}` was deleted after this run began; nothing of this call was stored; start a new \
         run, or set on_deleted_thread=\"allow\""
    )]
    ThreadDeleted {
        /// The thread.
        thread_id: String,
    },

    /// Another run stored in the namespace since this one read it.
    #[error(
        "thread `{thread_id}` went on elsewhere: its newest checkpoint is {head} by now; nothing of this call was \
         stored; read the state again and retry, or set on_conflict=\"fork\""
    )]
    ConcurrentWrite {
        /// The thread.
        thread_id: String,
        /// The newest checkpoint.
        head: String,
    },

    /// The thread that shall be made by a copy is there.
    #[error("thread `{thread_id}` exists; pass another target_thread_id, or on_existing=\"replace\"")]
    ThreadExists {
        /// The thread.
        thread_id: String,
    },

    /// The checkpoint that a copy shall end with is not stored.
    #[error(
        "checkpoint {checkpoint_id} is not stored in the root graph of thread `{thread_id}`; nothing was copied"
    )]
    CheckpointMissing {
        /// The thread.
        thread_id: String,
        /// The checkpoint.
        checkpoint_id: String,
    },

    /// The lease of the thread expired, or is another's by now.
    #[error(
        "the lease of thread `{thread_id}` is lost: it expired, or the thread was deleted; nothing of this call \
         was stored; take a new lease, with a longer ttl or renew(), and read the state again"
    )]
    LeaseLost {
        /// The thread.
        thread_id: String,
    },

    /// The thread is being deleted: to be done first. The border does it and calls again; this never
    /// reaches a user.
    #[error("a thread is being deleted")]
    BeingDeleted,

    /// The verb must read checkpoints that only their serializer can. The border decodes them
    /// and calls again; this never reaches a user.
    #[error("{} checkpoints need their serializer", .0.len())]
    NeedShapes(Arc<Vec<TypedValue>>),

    /// The disk failed while a commit was synced. The kernel may have dropped the pages, so nothing
    /// is tried again.
    #[error(
        "syncing `{path}` failed ({detail}): whether this call was stored is unknown; \
         check the disk, then read back before you retry"
    )]
    OutcomeUnknown {
        /// The database file.
        path: PathBuf,
        /// SQLite's words.
        detail: String,
    },

    /// The path leads to another file than the one that is open, or to none.
    #[error(
        "database `{path}` was replaced or deleted while it was open; close the saver and make a new one"
    )]
    Replaced {
        /// The database file.
        path: PathBuf,
    },

    /// Someone else has the file open, or this saver is being restored.
    #[error(
        "database `{path}` is in use: by another process, another saver or call of this process, or a \
         restore under way; close the others and retry"
    )]
    InUse {
        /// The database file.
        path: PathBuf,
    },

    /// The file to be made is there.
    #[error("`{path}` exists; nothing is ever overwritten: choose a new name")]
    Exists {
        /// The file.
        path: PathBuf,
    },

    /// This process was forked from one that holds the database in a way that cannot be shared.
    #[error("the saver of `{path}` was opened before this process was forked; make a new one in the child")]
    Forked {
        /// The database file.
        path: PathBuf,
    },

    /// The caller no longer wants the answer: a signal came, or its task was cancelled.
    #[error("interrupted")]
    Interrupted,

    /// A defect: code below the border panicked.
    #[error("a defect of langgraph-checkpoint-rust: {0}; nothing of this call was stored; please report it")]
    Panicked(String),

    /// A defect: the outcome of a call was lost on the way to its caller.
    #[error(
        "a defect of langgraph-checkpoint-rust: a call ended without an outcome; it may have been stored, \
         read back before you retry; please report it"
    )]
    Untold,

    /// Any other error of SQLite.
    #[error("SQLite on `{path}`: {message} (extended code {extended_code})")]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// SQLite's words.
        message: String,
        /// <https://sqlite.org/rescode.html>
        extended_code: i32,
    },

    /// An error of SQLite that has not met its path yet; [`Error::at`] sorts it.
    #[error(transparent)]
    Raw(Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Raw(Arc::new(error))
    }
}

impl Error {
    /// What a caught panic says.
    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("a panic without a message").to_owned())
    }

    /// Sorts a raw SQLite error by what the caller can do; others pass unchanged.
    #[must_use]
    pub fn at(self, path: &Path, waited: Duration) -> Self {
        use rusqlite::ErrorCode;

        let path = path.to_path_buf();
        let source = match self {
            Self::Raw(source) => source,
            Self::NewerSchema { needs } => return Self::SchemaVersion { path, needs },
            other => return other,
        };
        let detail = source.to_string();
        let Some(failure) = source.sqlite_error() else {
            return Self::Corrupt { path, detail };
        };
        match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy {
                path,
                waited,
                holder: None,
            },
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt { path, detail },
            ErrorCode::DiskFull => Self::DiskFull { path },
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Self::ReadOnly { path, detail },
            ErrorCode::CannotOpen => Self::CannotOpen { path, detail },
            ErrorCode::OperationInterrupted => Self::Interrupted,
            _ if failure.extended_code == SQLITE_IOERR_FSYNC => Self::OutcomeUnknown { path, detail },
            _ => Self::Sqlite {
                path,
                message: detail,
                extended_code: failure.extended_code,
            },
        }
    }

    /// Whether another connection holds a lock that this one needs.
    pub(crate) fn is_busy(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        matches!(self, Self::Raw(source) if matches!(source.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked)))
    }

    /// Whether what is stored cannot be read, as against a call that cannot be made.
    pub(crate) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Corrupt { .. } | Self::CorruptRow { .. } => true,
            Self::Raw(source) => {
                let code = source.sqlite_error_code();
                code.is_none_or(|code| matches!(code, DatabaseCorrupt | NotADatabase))
            }
            _ => false,
        }
    }

    /// Whether a sync of the disk failed.
    pub(crate) fn is_sync_failure(&self) -> bool {
        matches!(self, Self::Raw(source)
            if source.sqlite_error().is_some_and(|failure| failure.extended_code == SQLITE_IOERR_FSYNC))
    }
}

/// `SQLITE_IOERR | (4 << 8)`: <https://sqlite.org/rescode.html#ioerr_fsync>
const SQLITE_IOERR_FSYNC: i32 = 1034;
