//! The settings of a SQLite store, and their defaults. `SqliteSettings` in Python mirrors this file.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::{Compression, Format};

/// How SQLite journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalMode {
    /// Readers never wait for the writer.
    Wal,
    /// For file systems that cannot share memory.
    Delete,
}

impl JournalMode {
    /// The word of the PRAGMA.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wal => "wal",
            Self::Delete => "delete",
        }
    }
}

/// When a commit is synced to the disk. The numbers are the PRAGMA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Synchronous {
    /// Power loss may take the un-synced tail, never consistency.
    Normal = 1,
    /// An acknowledged commit survives power loss.
    Full = 2,
    /// As `Full`; differs in `JournalMode::Delete` only.
    Extra = 3,
}

/// How a new file gives pages back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoVacuum {
    /// Never.
    None = 0,
    /// At every commit.
    Full = 1,
    /// When asked.
    Incremental = 2,
}

/// Where SQLite keeps temporary tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TempStore {
    /// In files.
    File = 1,
    /// In memory.
    Memory = 2,
}

/// Everything that can be set on a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `journal_mode`.
    pub journal_mode: JournalMode,
    /// `synchronous`.
    pub synchronous: Synchronous,
    /// How long a call waits for another writer.
    pub busy_timeout: Duration,
    /// Readers that stay open.
    pub pool_size: u32,
    /// Further readers under load, closed on return.
    pub max_overflow: u32,
    /// How long a call waits for a free reader.
    pub pool_timeout: Duration,
    /// Age at which a reader is replaced; never by default, since each close is a hazard.
    pub pool_recycle: Option<Duration>,
    /// Page cache of the whole saver, in bytes.
    pub cache_size: u64,
    /// `mmap_size`, in bytes.
    pub mmap_size: u64,
    /// `temp_store`.
    pub temp_store: TempStore,
    /// `journal_size_limit`, in bytes.
    pub journal_size_limit: u64,
    /// `wal_autocheckpoint`, in pages.
    pub wal_autocheckpoint: u32,
    /// `auto_vacuum` of new files.
    pub auto_vacuum: AutoVacuum,
    /// `cell_size_check`.
    pub cell_size_check: bool,
    /// `trusted_schema`.
    pub trusted_schema: bool,
    /// `SQLITE_DBCONFIG_DEFENSIVE`.
    pub defensive: bool,
    /// Never write; never create.
    pub read_only: bool,
    /// Keep our locks when other code of this process uses the file (64-bit Linux).
    pub lock_guard: bool,
    /// What to do about a second SQLite library that has the file open, where there is no guard.
    pub on_foreign_sqlite: OnForeignSqlite,
    /// The format of new files, and what an existing one must have.
    pub format: FormatChoice,
    /// How new chunks are kept.
    pub compression: Compression,
}

/// Which format a file shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatChoice {
    /// What it has; a new one is compact.
    Auto,
    /// Compact, or it is not opened.
    Compact,
    /// Interop, or it is not opened.
    Interop,
}

impl FormatChoice {
    pub(super) fn of_new_files(self) -> Format {
        match self {
            Self::Auto | Self::Compact => Format::Compact,
            Self::Interop => Format::Interop,
        }
    }

    pub(super) fn check(self, path: &Path, found: Format) -> Result<()> {
        let (name, other, verb) = match (self, found) {
            (Self::Compact, Format::Interop) => ("compact", "interop", "upgrade"),
            (Self::Interop, Format::Compact | Format::Downgrading) => ("interop", "compact", "downgrade"),
            _ => return Ok(()),
        };
        Err(Error::Invalid(format!(
            "format=\"{name}\" for `{}`, which is in the {other} format; open it with format=\"auto\", and \
             call {verb}() to convert it",
            path.display()
        )))
    }
}

/// What to do about a second SQLite library in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnForeignSqlite {
    /// Go on, and say so.
    Warn,
    /// Store nothing.
    Refuse,
}

/// A reader's page cache: one foreign commit empties it, so a larger one is wasted.
pub(super) const READER_CACHE: u64 = 2 << 20;

/// SQLite's own default; the writer gets no less, however many readers share the budget.
const LEAST_CACHE: u64 = 2 << 20;

impl Settings {
    /// The writer's part of the cache budget: what the readers leave.
    pub fn writer_cache(&self) -> u64 {
        let readers = u64::from(self.pool_size) * READER_CACHE;
        self.cache_size.saturating_sub(readers).max(LEAST_CACHE)
    }

    /// A reader's part of the cache budget.
    pub fn reader_cache(&self) -> u64 {
        let share = self.cache_size / (u64::from(self.pool_size) + 1);
        share.min(READER_CACHE)
    }
}

impl Settings {
    /// How two savers of one file disagree, in words. `synchronous` may differ: a commit takes the
    /// strictest level of its jobs.
    pub(super) fn conflicts(&self, other: &Self) -> Vec<String> {
        macro_rules! compare {
            ($($name:ident),+) => {
                [$((self.$name != other.$name).then(|| format!(
                    "{} is {} there and {} here",
                    stringify!($name), self.$name.in_python(), other.$name.in_python()
                ))),+]
            };
        }
        let differences = compare!(
            journal_mode,
            busy_timeout,
            pool_size,
            max_overflow,
            pool_timeout,
            pool_recycle,
            cache_size,
            mmap_size,
            temp_store,
            journal_size_limit,
            wal_autocheckpoint,
            auto_vacuum,
            cell_size_check,
            trusted_schema,
            defensive,
            read_only,
            on_foreign_sqlite
        );
        differences.into_iter().flatten().collect()
    }
}

/// A value as Python's users write it.
pub(super) trait InPython {
    fn in_python(&self) -> String;
}

macro_rules! as_displayed {
    ($($name:ty),+) => {
        $(impl InPython for $name {
            fn in_python(&self) -> String {
                self.to_string()
            }
        })+
    };
}

/// The engine's words are Python's, but for their case.
macro_rules! as_words {
    ($($name:ty: $case:ident),+) => {
        $(impl InPython for $name {
            fn in_python(&self) -> String {
                format!("\"{}\"", format!("{self:?}").$case())
            }
        })+
    };
}

as_displayed!(u32, u64);
as_words!(
    JournalMode: to_uppercase,
    TempStore: to_uppercase,
    AutoVacuum: to_uppercase,
    OnForeignSqlite: to_lowercase
);

impl InPython for bool {
    fn in_python(&self) -> String {
        if *self { "True" } else { "False" }.to_owned()
    }
}

impl InPython for Duration {
    fn in_python(&self) -> String {
        format!("{:?}", self.as_secs_f64())
    }
}

impl InPython for Option<Duration> {
    fn in_python(&self) -> String {
        self.as_ref()
            .map_or_else(|| "None".to_owned(), InPython::in_python)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            journal_mode: JournalMode::Wal,
            synchronous: Synchronous::Normal,
            busy_timeout: Duration::from_secs(30),
            pool_size: 8,
            max_overflow: 0,
            pool_timeout: Duration::from_secs(30),
            pool_recycle: None,
            cache_size: 64 << 20,
            mmap_size: 0,
            temp_store: TempStore::Memory,
            journal_size_limit: 64 << 20,
            wal_autocheckpoint: 1000,
            auto_vacuum: AutoVacuum::Incremental,
            cell_size_check: true,
            trusted_schema: false,
            defensive: true,
            read_only: false,
            lock_guard: true,
            on_foreign_sqlite: OnForeignSqlite::Warn,
            format: FormatChoice::Auto,
            compression: Compression::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_budget_is_the_savers_not_the_connections() {
        let settings = Settings::default();
        let readers = u64::from(settings.pool_size) * settings.reader_cache();
        assert_eq!(settings.writer_cache() + readers, settings.cache_size);
    }

    #[test]
    fn conflicts_are_told_in_words_of_python() {
        let here = Settings {
            journal_mode: JournalMode::Delete,
            busy_timeout: Duration::from_millis(1500),
            pool_size: 4,
            pool_recycle: Some(Duration::from_secs(90)),
            defensive: false,
            on_foreign_sqlite: OnForeignSqlite::Refuse,
            ..Settings::default()
        };
        let told = [
            r#"journal_mode is "WAL" there and "DELETE" here"#,
            "busy_timeout is 30.0 there and 1.5 here",
            "pool_size is 8 there and 4 here",
            "pool_recycle is None there and 90.0 here",
            "defensive is True there and False here",
            r#"on_foreign_sqlite is "warn" there and "refuse" here"#,
        ];
        assert_eq!(Settings::default().conflicts(&here), told);
    }

    #[test]
    fn a_tiny_budget_still_gives_the_writer_a_cache() {
        let settings = Settings {
            cache_size: 1 << 20,
            ..Settings::default()
        };
        assert_eq!(settings.writer_cache(), LEAST_CACHE);
        assert!(settings.reader_cache() < READER_CACHE);
    }
}
