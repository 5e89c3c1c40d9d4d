//! `backup`: the database, as of one moment, to a new file, by SQLite's backup API.
//!
//! The source is read inside one read transaction: outside of one SQLite begins anew at each commit of
//! another connection, and never ends under load. While it runs, the WAL cannot start afresh.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::ffi;

use super::engine::Engine;
use super::manager::{self, Location};
use super::shared::{Shared, Unlisted};
use super::statements::maintenance as sql;
use super::transaction::Transaction;
use super::{gate, statements};
use crate::error::{Error, Result};
use crate::model::Pages;
use crate::pending::patient;
use crate::stepwise::{Desk, Stepwise};

/// Pages in one call of SQLite's.
const BATCH: i32 = 64;

/// How long a step lasts; a fork, and a caller who cancels, wait for so long.
const TIME: Duration = Duration::from_millis(10);

/// Files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

pub(super) fn backup(engine: Arc<Engine>, target: PathBuf) -> Result<Stepwise<Pages>> {
    Stepwise::start(engine.path().to_path_buf(), move |desk| {
        let since = Instant::now();
        let copied = run(&engine, &target, desk);
        copied.map_err(|error| error.at(engine.path(), since.elapsed()))
    })
}

fn run(engine: &Arc<Engine>, target: &Path, desk: &Desk<Pages>) -> Result<Pages> {
    let shared = engine.shared(|| desk.cancel().is_cancelled())?;
    shared.check_replaced(true)?;
    refuse_companion(&shared.location, target)?;
    let _unlisted = Unlisted::new();
    let at_target = |error: Error| error.at(target, Duration::ZERO);
    // Before the connection, so that it is dropped after it.
    let unfinished = Unfinished::new(target)?;
    let mut connection = {
        let _pass = gate::enter();
        manager::open_target(target).map_err(at_target)?
    };
    let copied = copy_shared(&shared, (&mut connection, target), desk);
    let _pass = gate::enter();
    let pages = copied?;
    // The header was copied too: one file that opens anywhere needs no WAL.
    manager::leave_wal(&connection, target).map_err(at_target)?;
    drop(connection);
    unfinished.keep();
    Ok(pages)
}

fn copy_shared(shared: &Shared, target: (&mut Connection, &Path), desk: &Desk<Pages>) -> Result<Pages> {
    let Location::File(path) = &shared.location else {
        // The writer's only connection: nobody else could use it between two steps.
        return shared.with_reader(patient, desk.cancel(), |source| {
            copy(source, target, &mut |_| Ok(()))
        });
    };
    let pass = gate::enter();
    let source = manager::open_reader(path, &shared.settings)?;
    let transaction = Transaction::begin_read(&source)?;
    // BEGIN takes no snapshot; the first read does.
    source.query_row(statements::SCHEMA_VERSION, [], |_| Ok(()))?;
    drop(pass);
    let copied = copy(&source, target, &mut |pages| desk.report(pages));
    let _pass = gate::enter();
    drop(transaction);
    drop(source);
    copied
}

/// Copies all pages in one transaction of the target. An error of `report` ends it and rolls it back;
/// after the last page it is not asked.
pub(super) fn copy(
    source: &Connection,
    (target, path): (&mut Connection, &Path),
    report: &mut dyn FnMut(Pages) -> Result<()>,
) -> Result<Pages> {
    let pass = gate::enter();
    let page_size: u32 = source.query_row(sql::PAGE_SIZE, [], |row| row.get(0))?;
    let backup = Backup::new(source, target)?;
    drop(pass);
    loop {
        let pass = gate::enter();
        let step = step(&backup);
        let progress = backup.progress();
        let total = u64::try_from(progress.pagecount).unwrap_or(0);
        let pages = Pages {
            done: total - u64::try_from(progress.remaining).unwrap_or(0),
            total,
            page_size,
        };
        let outcome = match step {
            Ok(StepResult::Done) => Ok(true),
            Ok(StepResult::More) => {
                drop(pass);
                report(pages).map(|()| false)
            }
            Ok(_) => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None).into()),
            // SQLite does not say whose error it is; of the two files one is written.
            Err(error) if error.is_damage() => Err(error),
            Err(error) => Err(error.at(path, Duration::ZERO)),
        };
        match outcome {
            Ok(false) => {}
            ended => {
                let _pass = gate::enter();
                drop(backup);
                return ended.map(|_| pages);
            }
        }
    }
}

fn step(backup: &Backup<'_, '_>) -> Result<StepResult> {
    let since = Instant::now();
    loop {
        let result = backup.step(BATCH)?;
        if result != StepResult::More || since.elapsed() >= TIME {
            return Ok(result);
        }
    }
}

/// A file that takes the place of a journal would be played back into the database.
fn refuse_companion(location: &Location, target: &Path) -> Result<()> {
    let Location::File(path) = location else {
        return Ok(());
    };
    let same_directory = directory(path) == directory(target);
    let is_companion = |suffix| Some(companion(path, suffix).as_os_str()) == target.file_name();
    if same_directory && COMPANIONS.into_iter().any(is_companion) {
        return Err(Error::Invalid(format!(
            "`{}` is a name that SQLite keeps for the database's own files; choose another",
            target.display()
        )));
    }
    Ok(())
}

fn directory(path: &Path) -> Option<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    std::fs::canonicalize(parent.unwrap_or(Path::new("."))).ok()
}

/// The name of a file that SQLite keeps beside `path`.
fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    name.into()
}

/// A file that was made here and goes again unless it is kept.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn new(path: &Path) -> Result<Self> {
        if !manager::create(path)? {
            return Err(Error::Exists {
                path: path.to_path_buf(),
            });
        }
        Ok(Self(Some(path.to_path_buf())))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(path) = &self.0 else { return };
        drop(std::fs::remove_file(path));
        for suffix in COMPANIONS {
            drop(std::fs::remove_file(path.with_file_name(companion(path, suffix))));
        }
    }
}
