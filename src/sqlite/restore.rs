//! `restore`: the content of a backup into the database, in place, by SQLite's backup API.
//!
//! Never a rename: a process that has the file open would go on writing to the old one. The database is
//! locked exclusively first, which SQLite refuses while anyone else has it open, and leaves WAL under
//! that lock. The pages are one transaction with a rollback journal, so a process that is killed leaves
//! the old content or the new.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backup::copy;
use super::engine::Engine;
use super::manager::{self, Location};
use super::reader::Reader;
use super::schema::{self, Schema};
use super::shared::Unlisted;
use super::statements::maintenance as sql;
use super::transaction::Transaction;
use super::{gate, statements};
use crate::error::{Error, Result};
use crate::model::Pages;
use crate::pending::patient;
use crate::stepwise::{Desk, Stepwise};

pub(super) fn restore(engine: Arc<Engine>, source: PathBuf) -> Result<Stepwise<Pages>> {
    Stepwise::start(engine.path().to_path_buf(), move |desk| {
        let since = Instant::now();
        let restored = run(&engine, &source, desk);
        restored.map_err(|error| error.at(engine.path(), since.elapsed()))
    })
}

fn run(engine: &Arc<Engine>, source: &Path, desk: &Desk<Pages>) -> Result<Pages> {
    let Location::File(path) = engine.location() else {
        return Err(Error::Invalid(
            "a database in memory cannot be restored; use `copy_from`".to_owned(),
        ));
    };
    if manager::is_same_file(path, source) {
        return Err(Error::Invalid(format!(
            "`{}` is the database itself",
            source.display()
        )));
    }
    let at_source = |error: Error| error.at(source, Duration::ZERO);
    let _unlisted = Unlisted::new();
    let pass = gate::enter();
    let backup = manager::open_source(path, source, engine.settings()).map_err(at_source)?;
    drop(pass);
    let restored = check(&backup, source, desk).map_err(at_source).and_then(|()| {
        let _alone = engine.take_over()?;
        let pass = gate::enter();
        let mut database = manager::open_exclusive(path, engine.settings())?;
        drop(pass);
        let copied = backup.run(patient, desk.cancel(), |backup| {
            copy(backup, (&mut database, path), &mut |pages| desk.report(pages))
        });
        let _pass = gate::enter();
        drop(database);
        copied
    });
    let _pass = gate::enter();
    drop(backup);
    restored
}

/// Whether the source is whole and holds checkpoints; leaves a transaction open, so that what is copied
/// is what was checked.
fn check(backup: &Reader, source: &Path, desk: &Desk<Pages>) -> Result<()> {
    let _pass = gate::enter();
    backup.run(patient, desk.cancel(), |connection| {
        let transaction = Transaction::begin_read(connection)?;
        connection.query_row(statements::SCHEMA_VERSION, [], |_| Ok(()))?;
        let verdict: String = connection.query_row(sql::QUICK_CHECK, [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(Error::Corrupt {
                path: source.to_path_buf(),
                detail: verdict,
            });
        }
        if schema::inspect(connection)? == Schema::Absent {
            return Err(Error::Invalid(format!(
                "`{}` has no table of checkpoints",
                source.display()
            )));
        }
        // A version to come is refused now, not once the data is gone.
        schema::format(connection, schema::Access::Read)?;
        transaction.keep();
        Ok(())
    })
}
