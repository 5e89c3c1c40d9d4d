//! `storage`: what the stored state costs, by channel. Of recipes the inline bytes are read, and of chunks
//! their length: no value is put together.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::chunks::{self, Kind};
use super::engine::ReadTransaction;
use super::row;
use super::statements as sql;
use crate::chunk::{self, Op, Recipe};
use crate::error::Result;
use crate::model::{CheckpointKey, Cost, Storage, ThreadRange};
use crate::shape;

/// What stands for the channels of a checkpoint that cannot be looked into, and for what no channel holds.
const OPAQUE: &str = "";

/// Bytes of one checkpoint, by channel.
type Sizes = BTreeMap<String, u64>;

pub(super) fn storage(transaction: &ReadTransaction<'_>, threads: &ThreadRange) -> Result<Storage> {
    let connection = transaction.connection;
    let mut survey = Survey {
        connection,
        lengths: HashMap::new(),
        newest: HashMap::new(),
        storage: Storage::default(),
    };
    let mut statement = connection.prepare_cached(sql::SELECT_STORED_CHECKPOINTS)?;
    let mut rows = statement.query(params![threads.from, threads.until])?;
    while let Some(found) = rows.next()? {
        survey.checkpoint(found)?;
    }
    let mut statement = connection.prepare_cached(sql::SELECT_STORED_WRITES)?;
    let mut rows = statement.query(params![threads.from, threads.until])?;
    while let Some(found) = rows.next()? {
        survey.write(found)?;
    }
    for (_, sizes) in survey.newest.into_values() {
        for (channel, bytes) in sizes {
            survey.storage.channels.entry(channel).or_default().live_bytes += bytes;
        }
    }
    Ok(survey.storage)
}

struct Survey<'a> {
    connection: &'a Connection,
    /// Of chunks that were counted: the bytes they stand for.
    lengths: HashMap<i64, u64>,
    /// By thread and namespace: the newest checkpoint.
    newest: HashMap<(String, String), (String, Sizes)>,
    storage: Storage,
}

impl Survey<'_> {
    /// Of `thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, length(metadata)`.
    fn checkpoint(&mut self, row: &Row<'_>) -> Result<()> {
        let key = CheckpointKey {
            thread_id: row.get(0)?,
            checkpoint_ns: row.get(1)?,
            checkpoint_id: row.get(2)?,
        };
        let tag: Option<String> = row.get(3)?;
        let bytes = row::bytes(row, 4)?;
        self.storage.checkpoints += 1;
        self.storage.metadata_bytes += length(row, 5)?;
        let sizes = if tag.as_deref() == Some(chunk::TAG) {
            self.recipe(&chunks::decode(bytes, &key)?, bytes.len() as u64, &key)?
        } else {
            self.whole(tag.as_deref(), bytes)
        };
        for (channel, bytes) in &sizes {
            self.cost(channel).logical_bytes += bytes;
        }
        let slot = (key.thread_id, key.checkpoint_ns);
        let newest = self.newest.entry(slot).or_default();
        if newest.0 <= key.checkpoint_id {
            *newest = (key.checkpoint_id, sizes);
        }
        Ok(())
    }

    /// Of `thread_id, checkpoint_ns, checkpoint_id, type, value, channel`.
    fn write(&mut self, row: &Row<'_>) -> Result<()> {
        let bytes = row::bytes(row, 4)?;
        let tag: Option<String> = row.get(3)?;
        self.storage.writes += 1;
        self.storage.write_bytes += bytes.len() as u64;
        if tag.as_deref() == Some(chunk::TAG) {
            let key = CheckpointKey {
                thread_id: row.get(0)?,
                checkpoint_ns: row.get(1)?,
                checkpoint_id: row.get(2)?,
            };
            let channel: String = row.get(5)?;
            for op in chunks::decode(bytes, &key)?.ops {
                self.chunks_of(&op, &channel, &key)?;
            }
        }
        Ok(())
    }

    fn cost(&mut self, channel: &str) -> &mut Cost {
        self.storage.channels.entry(channel.to_owned()).or_default()
    }

    fn whole(&mut self, tag: Option<&str>, bytes: &[u8]) -> Sizes {
        let mut sizes = Sizes::new();
        let mut rest = bytes.len() as u64;
        let walked = (tag == Some("msgpack")).then(|| {
            shape::extents(bytes, &[], |channel, length, _| {
                sizes.insert(channel.to_owned(), length as u64);
                rest -= length as u64;
            })
        });
        if walked.flatten().is_none() {
            sizes.clear();
            rest = bytes.len() as u64;
        }
        sizes.insert(OPAQUE.to_owned(), rest);
        for (channel, bytes) in &sizes {
            self.cost(channel).stored_bytes += bytes;
        }
        sizes
    }

    fn recipe(&mut self, recipe: &Recipe<'_>, stored: u64, key: &CheckpointKey) -> Result<Sizes> {
        let mut sizes = Sizes::new();
        let mut bodies: Vec<(String, usize)> = Vec::new();
        let inline = recipe.inline.bytes();
        let inline = inline.map_err(|_| row::damaged(key, "a stored value cannot be read"))?;
        let skeleton = recipe.skeleton(&inline);
        let mut rest = recipe.length as u64;
        if let Some(skeleton) = skeleton.filter(|_| recipe.tag == "msgpack") {
            let walked = shape::extents(&skeleton.bytes, &skeleton.holes, |channel, length, hole| {
                sizes.insert(channel.to_owned(), length as u64);
                bodies.extend(hole.map(|hole| (channel.to_owned(), hole)));
            });
            if walked.is_none() {
                sizes.clear();
                bodies.clear();
            }
            for (channel, hole) in &bodies {
                let (ops, tail) = &skeleton.bodies[*hole];
                let mut length = tail.len() as u64;
                for op in &recipe.ops[ops.clone()] {
                    length += self.chunks_of(op, channel, key)?;
                }
                *sizes.entry(channel.clone()).or_default() += length;
            }
            rest = rest.saturating_sub(sizes.values().sum());
        }
        if bodies.is_empty() {
            for op in &recipe.ops {
                self.chunks_of(op, OPAQUE, key)?;
            }
        }
        // The inline bytes are compressed together: what they take is nobody's in particular.
        self.cost(OPAQUE).stored_bytes += stored;
        *sizes.entry(OPAQUE.to_owned()).or_default() += rest;
        Ok(sizes)
    }

    /// The bytes that references stand for. Chunks that are met for the first time are the channel's.
    fn chunks_of(&mut self, op: &Op, channel: &str, key: &CheckpointKey) -> Result<u64> {
        let (Op::Leaves(ids) | Op::Nodes(ids)) = op else {
            return Ok(0);
        };
        let mut length = 0;
        for id in ids {
            length += self.chunk(*id, channel, key)?;
        }
        Ok(length)
    }

    fn chunk(&mut self, id: i64, channel: &str, key: &CheckpointKey) -> Result<u64> {
        if let Some(length) = self.lengths.get(&id) {
            return Ok(*length);
        }
        let found = self
            .connection
            .prepare_cached(sql::SELECT_CHUNK_LENGTH)?
            .query_row([id], |row| Ok((row.get::<_, i64>(0)?, length(row, 1)?)))
            .optional()?;
        let missing = || row::damaged(key, &format!("chunk {id} is missing"));
        let (kind, stored) = found.ok_or_else(missing)?;
        let mut length = stored;
        if kind != Kind::Leaf as i64 {
            let chunk = chunks::read_chunk(self.connection, id)?.ok_or_else(missing)?;
            if let Some(bytes) = chunks::leaf_data(kind, &chunk.data) {
                length = bytes.len() as u64;
            } else {
                length = 0;
                for leaf in chunk::decode_node(&chunk.data).unwrap_or_default() {
                    length += self.chunk(leaf, channel, key)?;
                }
            }
        }
        self.lengths.insert(id, length);
        let cost = self.cost(channel);
        cost.chunks += 1;
        cost.stored_bytes += stored;
        Ok(length)
    }
}

fn length(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let length: Option<i64> = row.get(column)?;
    Ok(u64::try_from(length.unwrap_or_default()).unwrap_or_default())
}
