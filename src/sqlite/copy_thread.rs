//! `copy_thread`: every row of a thread under another id, or of a part of it; ids and parents unchanged.
//! Writes come before checkpoints and older checkpoints before newer ones, so that whatever a reader of the
//! copy meets half-way is whole.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, params};

use super::delete_thread::{Deletion, delete_in};
use super::deletions;
use super::notes;
use super::read_thread::is_stored;
use super::rebind::{self, Mover};
use super::slice::Slice;
use super::statements as sql;
use super::threads::{self, Times};
use super::transaction::WriteTransaction;
use crate::error::{Error, Result};
use crate::model::{CheckpointKey, CopyProgress, Deleted, Format, OnExisting, Removal, RemovalStep, Rest};

/// A copy of a thread.
pub(super) struct Copy<'a> {
    pub(super) source: &'a str,
    pub(super) target: &'a str,
    /// What is left out, where not all is copied.
    pub(super) without: Option<&'a Removal>,
    pub(super) on_existing: OnExisting,
}

/// What is left to copy from; None at the end.
pub(super) fn copy_thread(
    transaction: &WriteTransaction<'_>,
    copy: &Copy<'_>,
    progress: CopyProgress,
) -> Result<Option<CopyProgress>> {
    let (source, target) = (copy.source, copy.target);
    if source == target {
        return Ok(None);
    }
    deletions::check_hidden(transaction, source)?;
    deletions::check_hidden(transaction, target)?;
    let connection = transaction.connection;
    let slice = Slice::begin();
    let mut progress = progress;
    if !progress.begun {
        if make_room(transaction, copy, &slice)? {
            return Ok(Some(progress));
        }
        progress.begun = true;
    }
    let mut mover = match transaction.format.get() {
        Format::Interop => None,
        Format::Downgrading => {
            return Err(Error::Invalid(
                "a database that is being downgraded copies no threads; call downgrade() to its end first"
                    .to_owned(),
            ));
        }
        Format::Compact => {
            connection
                .prepare_cached(sql::COPY_RUNS)?
                .execute([source, target])?;
            Some(Mover::new(connection, source, target)?)
        }
    };
    let part = copy.without.map(Part::new);
    loop {
        let (next_key, insert) = if progress.writes_done {
            (sql::NEXT_CHECKPOINT_KEY, sql::COPY_CHECKPOINT)
        } else {
            (sql::NEXT_WRITES_KEY, sql::COPY_WRITES)
        };
        match next(connection, next_key, source, progress.after.take())? {
            Some((ns, id)) => {
                if part.as_ref().is_none_or(|part| part.takes(&ns, &id))
                    && (part.is_none() || is_stored(connection, &key(source, &ns, &id), &id)?)
                {
                    connection
                        .prepare_cached(insert)?
                        .execute(params![source, target, ns, id])?;
                    if let Some(mover) = &mut mover {
                        if progress.writes_done {
                            mover.checkpoint(&ns, &id)?;
                        } else {
                            mover.writes(&ns, &id)?;
                        }
                    }
                    if progress.writes_done
                        && let Some(part) = &part
                    {
                        part.cut(connection, &key(target, &ns, &id))?;
                    }
                }
                progress.after = Some((ns, id));
            }
            None if progress.writes_done => break,
            None => progress.writes_done = true,
        }
        if slice.is_over() {
            if mover.is_some() {
                threads::recount(connection, target, Times::Now)?;
            }
            return Ok(Some(progress));
        }
    }
    if mover.is_some() {
        threads::recount(connection, target, Times::Now)?;
    }
    notes::copy_notes(connection, source, target)?;
    Ok(None)
}

/// Looks at the target; true if what it holds is not all deleted yet.
fn make_room(transaction: &WriteTransaction<'_>, copy: &Copy<'_>, slice: &Slice) -> Result<bool> {
    let connection = transaction.connection;
    let is_empty = || -> Result<bool> {
        Ok(
            next(connection, sql::NEXT_CHECKPOINT_KEY, copy.target, None)?.is_none()
                && next(connection, sql::NEXT_WRITES_KEY, copy.target, None)?.is_none(),
        )
    };
    match copy.on_existing {
        OnExisting::Merge => Ok(false),
        OnExisting::Refuse if is_empty()? => Ok(false),
        OnExisting::Refuse => Err(Error::ThreadExists {
            thread_id: copy.target.to_owned(),
        }),
        OnExisting::Replace => {
            let mut deleted = Deleted::default();
            delete_in(transaction, copy.target, Deletion::default(), slice, &mut deleted)?;
            Ok(deleted.rest != Rest::None)
        }
    }
}

fn next(
    connection: &Connection,
    statement: &str,
    thread_id: &str,
    after: Option<(String, String)>,
) -> Result<Option<(String, String)>> {
    let (ns, id) = after.unzip();
    let mut statement = connection.prepare_cached(statement)?;
    let mut rows = statement.query(params![thread_id, ns, id])?;
    Ok(match rows.next()? {
        Some(row) => Some((row.get(0)?, row.get(1)?)),
        None => None,
    })
}

fn key(thread_id: &str, checkpoint_ns: &str, checkpoint_id: &str) -> CheckpointKey {
    CheckpointKey {
        thread_id: thread_id.to_owned(),
        checkpoint_ns: checkpoint_ns.to_owned(),
        checkpoint_id: checkpoint_id.to_owned(),
    }
}

/// What is copied where not all is.
struct Part<'a> {
    left_out: HashSet<(&'a str, &'a str)>,
    /// By namespace and id: the parent that is not copied.
    cuts: HashMap<(&'a str, &'a str), &'a str>,
}

impl<'a> Part<'a> {
    fn new(without: &'a Removal) -> Self {
        let mut part = Self {
            left_out: HashSet::new(),
            cuts: HashMap::new(),
        };
        for step in &without.steps {
            match step {
                RemovalStep::Checkpoint(key) => {
                    part.left_out.insert((&key.checkpoint_ns, &key.checkpoint_id));
                }
                RemovalStep::CutParent(key, parent) => {
                    part.cuts.insert((&key.checkpoint_ns, &key.checkpoint_id), parent);
                }
                RemovalStep::NamespaceWrites { .. } | RemovalStep::Thread { .. } => {}
            }
        }
        part
    }

    fn takes(&self, checkpoint_ns: &str, checkpoint_id: &str) -> bool {
        !self.left_out.contains(&(checkpoint_ns, checkpoint_id))
    }

    fn cut(&self, connection: &Connection, key: &CheckpointKey) -> Result<()> {
        let place = (key.checkpoint_ns.as_str(), key.checkpoint_id.as_str());
        if let Some(parent) = self.cuts.get(&place) {
            rebind::cut_any_parent(connection, key, parent)?;
        }
        Ok(())
    }
}
