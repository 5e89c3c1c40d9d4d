//! Gives a stored recipe another place: without its parent, or in another thread with copies of its
//! chunks.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::chunks::{self, Kind};
use super::row;
use super::statements as sql;
use super::threads;
use crate::chunk::{self, Binding, Hash, Op, Sealer};
use crate::error::Result;
use crate::model::CheckpointKey;

/// Takes the parent from a checkpoint that is stored as a recipe; false if it is stored otherwise.
pub(super) fn cut_parent(connection: &Connection, key: &CheckpointKey, parent: &str) -> Result<bool> {
    let Some((found, bytes, metadata)) = recipe_of(connection, key)? else {
        return Ok(false);
    };
    if found.as_deref() == Some(parent) {
        let binding = |parent| Binding::Checkpoint {
            key,
            parent,
            metadata: metadata.as_deref(),
        };
        let mut chunks = Chunks {
            connection,
            target: None,
            known: HashMap::new(),
        };
        let bytes = chunks.rebind(&bytes, &binding(Some(parent)), &binding(None))?;
        update_recipe(connection, key, None, &bytes)?;
    }
    Ok(true)
}

type StoredRecipe = (Option<String>, Vec<u8>, Option<Vec<u8>>);

fn recipe_of(connection: &Connection, key: &CheckpointKey) -> Result<Option<StoredRecipe>> {
    let place = params![key.thread_id, key.checkpoint_ns, key.checkpoint_id, chunk::TAG];
    let mut statement = connection.prepare_cached(sql::SELECT_RECIPE)?;
    let mut rows = statement.query(place)?;
    let Some(found) = rows.next()? else {
        return Ok(None);
    };
    let metadata = row::optional_bytes(found, 2)?.map(<[u8]>::to_vec);
    Ok(Some((found.get(0)?, row::bytes(found, 1)?.to_vec(), metadata)))
}

fn update_recipe(
    connection: &Connection,
    key: &CheckpointKey,
    parent: Option<&str>,
    bytes: &[u8],
) -> Result<()> {
    connection.prepare_cached(sql::UPDATE_RECIPE)?.execute(params![
        key.thread_id,
        key.checkpoint_ns,
        key.checkpoint_id,
        parent,
        bytes
    ])?;
    Ok(())
}

/// Makes the rows that were copied from one thread to another refer to chunks of the latter.
pub(super) struct Mover<'a> {
    source: &'a str,
    target: &'a str,
    chunks: Chunks<'a>,
}

impl<'a> Mover<'a> {
    pub(super) fn new(connection: &'a Connection, source: &'a str, target: &'a str) -> Result<Self> {
        let thread_no = threads::raise_puts(connection, target)?;
        let chunks = Chunks {
            connection,
            target: Some(thread_no),
            known: HashMap::new(),
        };
        Ok(Self {
            source,
            target,
            chunks,
        })
    }

    /// Of the checkpoint that was copied last.
    pub(super) fn checkpoint(&mut self, checkpoint_ns: &str, checkpoint_id: &str) -> Result<()> {
        let (from, to) = self.keys(checkpoint_ns, checkpoint_id);
        let Some((parent, bytes, metadata)) = recipe_of(self.chunks.connection, &to)? else {
            return Ok(());
        };
        let binding = |key| Binding::Checkpoint {
            key,
            parent: parent.as_deref(),
            metadata: metadata.as_deref(),
        };
        let bytes = self.chunks.rebind(&bytes, &binding(&from), &binding(&to))?;
        update_recipe(self.chunks.connection, &to, parent.as_deref(), &bytes)
    }

    /// Of the writes of a checkpoint.
    pub(super) fn writes(&mut self, checkpoint_ns: &str, checkpoint_id: &str) -> Result<()> {
        type Found = (i64, String, String, i64, String, Vec<u8>);
        let (from, to) = self.keys(checkpoint_ns, checkpoint_id);
        let connection = self.chunks.connection;
        let place = params![
            to.thread_id,
            to.checkpoint_ns,
            to.checkpoint_id,
            chunk::TAG,
            from.thread_id
        ];
        let found: Vec<Found> = connection
            .prepare_cached(sql::SELECT_WRITES_RECIPES)?
            .query_map(place, |row| row.try_into())?
            .collect::<rusqlite::Result<_>>()?;
        for (rowid, task_id, task_path, index, channel, bytes) in &found {
            let binding = |key| Binding::Write {
                key,
                task_id,
                task_path,
                index: *index,
                channel,
            };
            let bytes = self.chunks.rebind(bytes, &binding(&from), &binding(&to))?;
            connection
                .prepare_cached(sql::UPDATE_WRITE_RECIPE)?
                .execute(params![rowid, bytes])?;
        }
        Ok(())
    }

    fn keys(&self, checkpoint_ns: &str, checkpoint_id: &str) -> (CheckpointKey, CheckpointKey) {
        let key = |thread_id: &str| CheckpointKey {
            thread_id: thread_id.to_owned(),
            checkpoint_ns: checkpoint_ns.to_owned(),
            checkpoint_id: checkpoint_id.to_owned(),
        };
        (key(self.source), key(self.target))
    }
}

/// The chunks that recipes refer to, in the place they come from and in the one they go to.
struct Chunks<'a> {
    connection: &'a Connection,
    /// The thread that gets copies; None where they stay.
    target: Option<i64>,
    /// By id: the hash, and the id in the new place.
    known: HashMap<i64, (Hash, i64)>,
}

impl Chunks<'_> {
    fn rebind(&mut self, bytes: &[u8], from: &Binding<'_>, to: &Binding<'_>) -> Result<Vec<u8>> {
        let key = from.key();
        let mut recipe = chunks::decode(bytes, key)?;
        let inline = recipe.inline.bytes();
        let inline = inline.map_err(|_| row::damaged(key, "a stored value cannot be read"))?;
        let mut rest = &*inline;
        let mut old_seal = Sealer::new(&recipe.tag);
        let mut new_seal = Sealer::new(&recipe.tag);
        let mut ops = Vec::with_capacity(recipe.ops.len());
        for op in recipe.all_ops().iter() {
            let (kind, ids) = match op {
                Op::Inline(count) => {
                    let (head, tail) = rest
                        .split_at_checked(*count)
                        .ok_or_else(|| row::damaged(key, "a stored value ends too early"))?;
                    rest = tail;
                    old_seal.inline(head);
                    new_seal.inline(head);
                    ops.push(op.clone());
                    continue;
                }
                Op::Body(tail) => {
                    old_seal.body(*tail);
                    new_seal.body(*tail);
                    ops.push(op.clone());
                    continue;
                }
                Op::Leaves(ids) => (Kind::Leaf, ids),
                Op::Nodes(ids) => (Kind::Node, ids),
            };
            let mut moved = Vec::with_capacity(ids.len());
            for id in ids {
                let (hash, id) = self.chunk(*id, kind, recipe.thread_no, key)?;
                let seal = if kind == Kind::Leaf {
                    Sealer::leaf
                } else {
                    Sealer::node
                };
                seal(&mut old_seal, &hash);
                seal(&mut new_seal, &hash);
                moved.push(id);
            }
            ops.push(if kind == Kind::Leaf {
                Op::Leaves(moved)
            } else {
                Op::Nodes(moved)
            });
        }
        if old_seal.finish(from) != recipe.seal {
            return Err(row::damaged(key, "a stored value does not match its checksum"));
        }
        drop(inline);
        recipe.seal = new_seal.finish(to);
        if !recipe.ops.is_empty() {
            recipe.ops = ops;
            recipe.thread_no = self.target.unwrap_or(recipe.thread_no);
        }
        Ok(recipe.encode())
    }

    fn chunk(&mut self, id: i64, kind: Kind, thread_no: i64, key: &CheckpointKey) -> Result<(Hash, i64)> {
        if let Some(known) = self.known.get(&id) {
            return Ok(*known);
        }
        let damaged = |what: &str| row::damaged(key, &format!("chunk {id} is {what}"));
        let chunk = chunks::read_chunk(self.connection, id)?.ok_or_else(|| damaged("missing"))?;
        let is_node = chunk.kind == Kind::Node as i64;
        if chunk.thread_no != thread_no || is_node != (kind == Kind::Node) {
            return Err(damaged("another value's"));
        }
        let hash = chunk.hash;
        let found = match self.target {
            None => Some(id),
            Some(target) => chunks::find(self.connection, target, &hash)?,
        };
        let new_id = match (found, self.target) {
            (Some(found), _) => found,
            (None, None) => id,
            (None, Some(target)) => {
                let data = if is_node {
                    let leaves = chunk::decode_node(&chunk.data).ok_or_else(|| damaged("damaged"))?;
                    let mut moved = Vec::with_capacity(leaves.len());
                    for leaf in leaves {
                        moved.push(self.chunk(leaf, Kind::Leaf, thread_no, key)?.1);
                    }
                    chunk::encode_node(&moved)
                } else {
                    chunks::leaf_data(chunk.kind, &chunk.data)
                        .filter(|bytes| chunk::leaf_hash(bytes) == hash)
                        .ok_or_else(|| damaged("damaged"))?;
                    chunk.data
                };
                chunks::insert(self.connection, target, chunk.kind, &hash, &data)?
            }
        };
        self.known.insert(id, (hash, new_id));
        Ok((hash, new_id))
    }
}
