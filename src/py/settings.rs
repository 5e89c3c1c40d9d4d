//! `SqliteSettings` to the engine's settings.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::model::Compression;
use crate::sqlite::{
    AutoVacuum, FormatChoice, JournalMode, OnForeignSqlite, Settings, Synchronous, TempStore,
};

/// The attributes of `SqliteSettings`, as its dataclass checked them.
#[derive(FromPyObject)]
pub(super) struct PySettings {
    journal_mode: String,
    synchronous: String,
    busy_timeout: f64,
    pool_size: u32,
    max_overflow: u32,
    pool_timeout: f64,
    pool_recycle: Option<f64>,
    cache_size: u64,
    mmap_size: u64,
    temp_store: String,
    journal_size_limit: u64,
    wal_autocheckpoint: u32,
    auto_vacuum: String,
    cell_size_check: bool,
    trusted_schema: bool,
    defensive: bool,
    read_only: bool,
    lock_guard: bool,
    on_foreign_sqlite: String,
    format: String,
    compression: String,
}

impl TryFrom<PySettings> for Settings {
    type Error = PyErr;

    fn try_from(settings: PySettings) -> PyResult<Self> {
        Ok(Self {
            journal_mode: word(
                &settings.journal_mode,
                &[("WAL", JournalMode::Wal), ("DELETE", JournalMode::Delete)],
            )?,
            synchronous: word(
                &settings.synchronous,
                &[
                    ("NORMAL", Synchronous::Normal),
                    ("FULL", Synchronous::Full),
                    ("EXTRA", Synchronous::Extra),
                ],
            )?,
            busy_timeout: seconds("busy_timeout", settings.busy_timeout)?,
            pool_size: settings.pool_size,
            max_overflow: settings.max_overflow,
            pool_timeout: seconds("pool_timeout", settings.pool_timeout)?,
            pool_recycle: settings
                .pool_recycle
                .map(|age| seconds("pool_recycle", age))
                .transpose()?,
            cache_size: settings.cache_size,
            mmap_size: settings.mmap_size,
            temp_store: word(
                &settings.temp_store,
                &[("MEMORY", TempStore::Memory), ("FILE", TempStore::File)],
            )?,
            journal_size_limit: settings.journal_size_limit,
            wal_autocheckpoint: settings.wal_autocheckpoint,
            auto_vacuum: word(
                &settings.auto_vacuum,
                &[
                    ("INCREMENTAL", AutoVacuum::Incremental),
                    ("FULL", AutoVacuum::Full),
                    ("NONE", AutoVacuum::None),
                ],
            )?,
            cell_size_check: settings.cell_size_check,
            trusted_schema: settings.trusted_schema,
            defensive: settings.defensive,
            read_only: settings.read_only,
            lock_guard: settings.lock_guard,
            on_foreign_sqlite: word(
                &settings.on_foreign_sqlite,
                &[
                    ("warn", OnForeignSqlite::Warn),
                    ("refuse", OnForeignSqlite::Refuse),
                ],
            )?,
            format: word(
                &settings.format,
                &[
                    ("auto", FormatChoice::Auto),
                    ("compact", FormatChoice::Compact),
                    ("interop", FormatChoice::Interop),
                ],
            )?,
            compression: word(
                &settings.compression,
                &[("none", Compression::None), ("zstd", Compression::Zstd)],
            )?,
        })
    }
}

fn word<T: Copy>(given: &str, known: &[(&str, T)]) -> PyResult<T> {
    known
        .iter()
        .find(|(name, _)| *name == given)
        .map(|(_, value)| *value)
        .ok_or_else(|| PyValueError::new_err(format!("unknown setting value: {given:?}")))
}

/// SQLite counts milliseconds in 31 bits.
fn seconds(name: &str, given: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(given)
        .ok()
        .filter(|duration| duration.as_millis() <= i32::MAX as u128)
        .ok_or_else(|| {
            PyValueError::new_err(format!(
                "{name} must be between 0 and 2147483 seconds, not {given}"
            ))
        })
}
