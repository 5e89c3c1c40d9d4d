//! `convert`: from one format to the other, in slices, while others read and write.
//!
//! To compact: tables and marker come first, so that new rows are recipes; then the rows that are whole.
//! To interop: the marker says so first, so that new rows are whole; then the recipes; chunks, tables and
//! marker go last. Each recipe that is made is read back and compared before its slice is committed.
//! Stopped half-way, the file holds rows of both kinds, which every saver of this package reads; the next
//! call does the rest.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::chunks::Chunks;
use super::delete_thread::go_on;
use super::prepared::Prepared;
use super::row;
use super::schema::{self, Ended};
use super::slice::Slice;
use super::statements as sql;
use super::threads::{self, Noting};
use super::transaction::WriteTransaction;
use crate::chunk::{self, Binding, Kind, Known};
use crate::error::{Error, Result};
use crate::model::{CheckpointKey, Compression, Conversion, Deleted, Format, Rest, Stage, TypedValue};

/// The last checkpoint of a namespace, by which the next is divided.
type Bases = HashMap<(String, String), Arc<Known>>;

/// A slice; what is left, None at the end.
pub(super) fn convert(
    transaction: &WriteTransaction<'_>,
    target: Format,
    mut conversion: Conversion,
    compression: Compression,
) -> Result<Option<Conversion>> {
    let slice = Slice::begin();
    let mut bases = Bases::new();
    while !slice.is_over() {
        conversion.stage = match conversion.stage {
            Stage::Begin if is_deleting(transaction, &slice)? => Stage::Begin,
            Stage::Begin => {
                transaction
                    .format
                    .set(schema::begin_conversion(transaction.connection, target)?);
                match transaction.format.get() {
                    Format::Compact => Stage::Threads(0),
                    _ => Stage::Checkpoints(0),
                }
            }
            Stage::Threads(after) => match threads::recount_next(transaction.connection, after)? {
                Some(thread_no) => Stage::Threads(thread_no),
                None => Stage::Checkpoints(0),
            },
            Stage::Checkpoints(after) => {
                let next = next_row(transaction, Kind::Checkpoint, after, &mut bases, compression)?;
                conversion.rows += 1;
                next.map_or(Stage::Writes(0), Stage::Checkpoints)
            }
            Stage::Writes(after) => {
                let next = next_row(transaction, Kind::Write, after, &mut bases, compression)?;
                conversion.rows += 1;
                match (next, target) {
                    (Some(rowid), _) => Stage::Writes(rowid),
                    (None, Format::Compact) => return Ok(None),
                    (None, _) => Stage::End,
                }
            }
            Stage::End if is_deleting(transaction, &slice)? => Stage::End,
            Stage::End => match schema::end_downgrade(transaction.connection, &slice)? {
                Ended::Done => {
                    transaction.format.set(Format::Interop);
                    return Ok(None);
                }
                Ended::ChunksLeft => Stage::End,
                Ended::RecipesLeft => Stage::Checkpoints(0),
            },
        };
    }
    Ok(Some(conversion))
}

/// Goes on with deletions, whose rows must not come to light again; true if some are left.
fn is_deleting(transaction: &WriteTransaction<'_>, slice: &Slice) -> Result<bool> {
    let mut deleted = Deleted::default();
    go_on(transaction, slice, &mut deleted)?;
    Ok(deleted.rest != Rest::None)
}

/// Where a row belongs.
struct Place {
    rowid: i64,
    key: CheckpointKey,
    kind: PlaceKind,
}

enum PlaceKind {
    Checkpoint {
        parent: Option<String>,
        metadata: Option<Vec<u8>>,
    },
    Write {
        task_id: String,
        task_path: String,
        index: i64,
        channel: String,
    },
}

impl Place {
    /// Of a row of `rowid, thread_id, checkpoint_ns, checkpoint_id, type, data`, and the rest of its key.
    fn of(row: &Row<'_>, kind: Kind) -> Result<Self> {
        Ok(Self {
            rowid: row.get(0)?,
            key: CheckpointKey {
                thread_id: row.get(1)?,
                checkpoint_ns: row.get(2)?,
                checkpoint_id: row.get(3)?,
            },
            kind: match kind {
                Kind::Checkpoint => PlaceKind::Checkpoint {
                    parent: row.get(6)?,
                    metadata: row::optional_bytes(row, 7)?.map(<[u8]>::to_vec),
                },
                Kind::Write => PlaceKind::Write {
                    task_id: row.get(6)?,
                    task_path: row.get(7)?,
                    index: row.get(8)?,
                    channel: row.get(9)?,
                },
            },
        })
    }

    fn binding(&self) -> Binding<'_> {
        let key = &self.key;
        match &self.kind {
            PlaceKind::Checkpoint { parent, metadata } => Binding::Checkpoint {
                key,
                parent: parent.as_deref(),
                metadata: metadata.as_deref(),
            },
            PlaceKind::Write {
                task_id,
                task_path,
                index,
                channel,
            } => Binding::Write {
                key,
                task_id,
                task_path,
                index: *index,
                channel,
            },
        }
    }
}

/// Converts the row after `after`; its number, None at the end.
fn next_row(
    transaction: &WriteTransaction<'_>,
    kind: Kind,
    after: i64,
    bases: &mut Bases,
    compression: Compression,
) -> Result<Option<i64>> {
    let connection = transaction.connection;
    let Some((place, value, is_recipe)) = read_row(connection, kind, after)? else {
        return Ok(None);
    };
    let to_compact = transaction.format.get() == Format::Compact;
    if to_compact && !is_recipe {
        let slot = (place.key.thread_id.clone(), place.key.checkpoint_ns.clone());
        let base = bases.get(&slot).filter(|_| kind == Kind::Checkpoint).cloned();
        let mut prepared = Prepared::new(kind, value.clone(), true, base, compression);
        let mut noting = Noting::new(connection, &place.key.thread_id);
        let columns = prepared.store(transaction, &place.binding(), &mut noting)?;
        update(connection, kind)?.execute(params![place.rowid, columns.tag, columns.data])?;
        if kind == Kind::Checkpoint {
            noting.replace_bytes(i64::try_from(value.payload.as_slice().len()).unwrap_or_default());
            noting.add_bytes(columns.data.length());
            noting.thread()?;
        }
        noting.finish_writes()?;
        if let (Kind::Checkpoint, Some(known)) = (kind, columns.known) {
            bases.insert(slot, Arc::new(known));
        }
        let stored = read_row(connection, kind, after)?;
        let is_same = |stored: &TypedValue| {
            stored.tag == value.tag && stored.payload.as_slice() == value.payload.as_slice()
        };
        if !stored.is_some_and(|(_, stored, _)| is_same(&stored)) {
            return Err(Error::Panicked(
                "a converted row was read back differently".to_owned(),
            ));
        }
    } else if !to_compact && is_recipe {
        update(connection, kind)?.execute(params![place.rowid, value.tag, value.payload])?;
    }
    if to_compact && let PlaceKind::Checkpoint { metadata, .. } = &place.kind {
        let run = params![metadata, place.key.thread_id];
        connection.prepare_cached(sql::INSERT_RUN)?.execute(run)?;
    }
    Ok(Some(place.rowid))
}

fn read_row(connection: &Connection, kind: Kind, after: i64) -> Result<Option<(Place, TypedValue, bool)>> {
    let mut statement = connection.prepare_cached(match kind {
        Kind::Checkpoint => sql::NEXT_CHECKPOINT_ROW,
        Kind::Write => sql::NEXT_WRITE_ROW,
    })?;
    let mut rows = statement.query([after])?;
    let Some(found) = rows.next()? else {
        return Ok(None);
    };
    let place = Place::of(found, kind)?;
    let value = Chunks::new(connection).value(found, 4, &place.binding())?;
    let tag: Option<String> = found.get(4)?;
    Ok(Some((place, value, tag.as_deref() == Some(chunk::TAG))))
}

fn update(connection: &Connection, kind: Kind) -> Result<rusqlite::CachedStatement<'_>> {
    Ok(connection.prepare_cached(match kind {
        Kind::Checkpoint => sql::CONVERT_CHECKPOINT,
        Kind::Write => sql::CONVERT_WRITE,
    })?)
}
