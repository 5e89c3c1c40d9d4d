//! Chunks in the database: recipes to values, and the ids of chunks.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::row;
use super::statements as sql;
use super::threads::Noting;
use crate::chunk::{self, Binding, Cache, Draft, Hash, Ids, Known, Op, Recipe, Sealer, Unreadable};
use crate::error::{Error, Result};
use crate::model::{Blob, CheckpointKey, Payload, TypedValue};
use crate::progress;
use crate::shape::{self, Shape, ShapeBook};

/// What a chunk's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Leaf = 0,
    Node = 1,
    /// A leaf as a zstd frame.
    CompressedLeaf = 2,
}

/// A chunk as it is stored.
pub(super) struct Chunk {
    pub(super) thread_no: i64,
    pub(super) kind: i64,
    pub(super) hash: Hash,
    checksum: i64,
    pub(super) data: Vec<u8>,
}

impl Chunk {
    /// Whether its data are what was stored.
    pub(super) fn is_intact(&self) -> bool {
        chunk::checksum(self.kind, &self.hash, &self.data) == self.checksum
    }
}

/// Reads values, inside one transaction.
pub(super) struct Chunks<'a> {
    connection: &'a Connection,
    /// Selects a chunk; looked up in the connection's cache once, not for each leaf.
    select: RefCell<Option<CachedStatement<'a>>>,
    /// What a page of tuples shares is read once.
    kept: Option<RefCell<HashMap<i64, Rc<Leaf>>>>,
    /// What this process stored last.
    cache: Option<&'a Cache>,
}

/// A leaf that was checked.
struct Leaf {
    hash: Hash,
    data: Vec<u8>,
}

/// Fetches the body that belongs in a hole.
type Fill<'a> = &'a mut dyn FnMut(usize) -> Option<Vec<u8>>;

/// What cannot be read of a value, in words for [`Error::CorruptRow`].
type Fault = String;

impl<'a> Chunks<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            select: RefCell::default(),
            kept: None,
            cache: None,
        }
    }

    /// Looks in `cache` for what [`Self::latest_value`] asks for.
    pub(super) fn remembering(connection: &'a Connection, cache: &'a Cache) -> Self {
        Self {
            cache: Some(cache),
            ..Self::new(connection)
        }
    }

    /// Reads each chunk once, for many values.
    pub(super) fn keeping(connection: &'a Connection) -> Self {
        Self {
            connection,
            kept: Some(RefCell::default()),
            ..Self::new(connection)
        }
    }

    /// As `value`, of what may be the last checkpoint that this process stored in its namespace: then its bytes are
    /// at hand, and no chunk is read. The seal of the stored row, worked out anew with its key and metadata, says
    /// that they are its content, whatever became of the database meanwhile. At 200 messages a get takes 23
    /// instead of 55 µs below the border, at 1,000 37 instead of 178.
    pub(super) fn latest_value(
        &self,
        row: &Row<'_>,
        column: usize,
        binding: &Binding<'_>,
    ) -> Result<TypedValue> {
        let key = binding.key();
        let Some(bytes) = stored_recipe(row, column)? else {
            return row::typed_value(row, column, key);
        };
        let recipe = decode(bytes, key)?;
        let known = self
            .cache
            .and_then(|cache| cache.peek(&key.thread_id, &key.checkpoint_ns));
        match known.filter(|known| known.seal == recipe.seal && known.seal == known.draft.seal(binding)) {
            Some(known) => Ok(TypedValue {
                tag: Some(known.draft.tag().to_owned()),
                payload: Payload::Bytes(known.draft.value().clone()),
            }),
            None => self.assemble(&recipe, binding),
        }
    }

    /// The value whose tag and data are in `column` and the one after it.
    pub(super) fn value(&self, row: &Row<'_>, column: usize, binding: &Binding<'_>) -> Result<TypedValue> {
        match stored_recipe(row, column)? {
            None => row::typed_value(row, column, binding.key()),
            Some(bytes) => self.assemble(&decode(bytes, binding.key())?, binding),
        }
    }

    /// What pruning must know of a checkpoint; `None` if only its serializer can read it. Of a recipe no
    /// chunk is read but what holds the versions of the channels.
    pub(super) fn outline(
        &self,
        row: &Row<'_>,
        column: usize,
        binding: &Binding<'_>,
        shapes: &ShapeBook,
    ) -> Result<Option<Shape>> {
        let Some(bytes) = stored_recipe(row, column)? else {
            let tag: Option<String> = row.get(column)?;
            return Ok(shapes.shape_of(tag.as_deref(), row::bytes(row, column + 1)?));
        };
        let recipe = decode(bytes, binding.key())?;
        if recipe.tag == "msgpack"
            && let Some(shape) = self.scan(&recipe, binding.key())?
        {
            return Ok(Some(shape));
        }
        let value = self.assemble(&recipe, binding)?;
        Ok(shapes.shape_of(value.tag.as_deref(), value.payload.as_slice()))
    }

    /// The nodes that a checkpoint runs next; `None` if only its serializer can read it.
    pub(super) fn next_nodes(
        &self,
        row: &Row<'_>,
        column: usize,
        binding: &Binding<'_>,
    ) -> Result<Option<Vec<String>>> {
        let Some(bytes) = stored_recipe(row, column)? else {
            let tag: Option<String> = row.get(column)?;
            let value = row::bytes(row, column + 1)?;
            return Ok(match tag.as_deref() {
                Some("msgpack") => progress::next_nodes(value),
                _ => None,
            });
        };
        let recipe = decode(bytes, binding.key())?;
        if recipe.tag != "msgpack" {
            return Ok(None);
        }
        self.around(&recipe, binding.key(), |bytes, holes, fill| {
            progress::next_nodes_around(bytes, holes, fill)
        })
    }

    /// The bytes of one channel of a checkpoint; `Missing` if it is not stored there, `Unknown` if only the
    /// serializer can tell. No chunk of another channel is read.
    pub(super) fn channel(
        &self,
        row: &Row<'_>,
        column: usize,
        binding: &Binding<'_>,
        channel: &str,
    ) -> Result<shape::Channel> {
        let find = |bytes: &[u8], holes: &[usize], fill: Fill<'_>| {
            shape::channel_around(bytes, holes, channel, fill)
        };
        let found = match stored_recipe(row, column)? {
            None => {
                let tag: Option<String> = row.get(column)?;
                let value = row::bytes(row, column + 1)?;
                (tag.as_deref() == Some("msgpack"))
                    .then(|| find(value, &[], &mut |_| None))
                    .flatten()
            }
            Some(bytes) => {
                let recipe = decode(bytes, binding.key())?;
                if recipe.tag == "msgpack" {
                    self.around(&recipe, binding.key(), |bytes, holes, fill| {
                        find(bytes, holes, fill)
                    })?
                } else {
                    None
                }
            }
        };
        Ok(found.unwrap_or(shape::Channel::Unknown))
    }

    fn scan(&self, recipe: &Recipe<'_>, key: &CheckpointKey) -> Result<Option<Shape>> {
        self.around(recipe, key, |bytes, holes, fill| {
            shape::scan_around(bytes, holes, fill)
        })
    }

    /// Reads the inline bytes, around the bodies; `read` gets those it asks for.
    fn around<T>(
        &self,
        recipe: &Recipe<'_>,
        key: &CheckpointKey,
        read: impl FnOnce(&[u8], &[usize], Fill<'_>) -> Option<T>,
    ) -> Result<Option<T>> {
        let inline = recipe.inline.bytes().map_err(|_| unreadable(key))?;
        let Some(skeleton) = recipe.skeleton(&inline) else {
            return Ok(None);
        };
        let mut failed = None;
        let found = read(&skeleton.bytes, &skeleton.holes, &mut |hole| {
            let mut body = Vec::new();
            let (ops, tail) = &skeleton.bodies[hole];
            let mut rest = &inline[tail.clone()];
            for op in &recipe.ops[ops.clone()] {
                let appended = self.append(op, recipe, &mut rest, &mut body, None);
                if let Err(error) = appended {
                    failed = Some(error);
                    return None;
                }
            }
            Some(body)
        });
        match failed {
            Some(Failed::Damaged(detail)) => Err(row::damaged(key, &detail)),
            Some(Failed::Other(error)) => Err(error),
            None => Ok(found),
        }
    }

    fn assemble(&self, recipe: &Recipe<'_>, binding: &Binding<'_>) -> Result<TypedValue> {
        let key = binding.key();
        let inline = recipe.inline.bytes().map_err(|_| unreadable(key))?;
        let mut rest = &*inline;
        let mut sealer = Sealer::new(&recipe.tag);
        let mut value = Vec::with_capacity(recipe.length.min(MOST_RESERVED));
        for op in recipe.all_ops().iter() {
            self.append(op, recipe, &mut rest, &mut value, Some(&mut sealer))
                .map_err(|failed| match failed {
                    Failed::Damaged(detail) => row::damaged(key, &detail),
                    Failed::Other(error) => error,
                })?;
        }
        if value.len() != recipe.length || !rest.is_empty() || sealer.finish(binding) != recipe.seal {
            return Err(row::damaged(key, "a stored value does not match its checksum"));
        }
        Ok(TypedValue {
            tag: Some(recipe.tag.as_ref().to_owned()),
            payload: Payload::Bytes(Blob::new(value)),
        })
    }

    fn append(
        &self,
        op: &Op,
        recipe: &Recipe<'_>,
        inline: &mut &[u8],
        value: &mut Vec<u8>,
        mut sealer: Option<&mut Sealer>,
    ) -> Result<(), Failed> {
        match op {
            Op::Body(tail) => {
                if let Some(sealer) = &mut sealer {
                    sealer.body(*tail);
                }
            }
            Op::Inline(count) => {
                let (head, tail) = inline
                    .split_at_checked(*count)
                    .ok_or_else(|| Failed::Damaged("a stored value ends too early".to_owned()))?;
                check_room(recipe, value, head.len())?;
                if let Some(sealer) = &mut sealer {
                    sealer.inline(head);
                }
                value.extend_from_slice(head);
                *inline = tail;
            }
            Op::Leaves(ids) => {
                for id in ids {
                    let hash = self.leaf(*id, recipe, value)?;
                    if let Some(sealer) = &mut sealer {
                        sealer.leaf(&hash);
                    }
                }
            }
            Op::Nodes(ids) => {
                for id in ids {
                    let node = self.node(*id, recipe.thread_no)?;
                    if let Some(sealer) = &mut sealer {
                        sealer.node(&node.hash);
                    }
                    let leaves = chunk::decode_node(&node.data).ok_or_else(|| damaged(*id))?;
                    let mut hashes = Vec::with_capacity(leaves.len());
                    for leaf in leaves {
                        hashes.push(self.leaf(leaf, recipe, value)?);
                    }
                    if chunk::node_hash(hashes.iter()) != node.hash {
                        return Err(damaged(*id));
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends a leaf; its hash.
    fn leaf(&self, id: i64, recipe: &Recipe<'_>, value: &mut Vec<u8>) -> Result<Hash, Failed> {
        let kept = self.kept.as_ref();
        if let Some(leaf) = kept.and_then(|kept| kept.borrow().get(&id).cloned()) {
            return append_leaf(&leaf.data, leaf.hash, recipe, value);
        }
        let mut select = self.select.borrow_mut();
        let select = match &mut *select {
            Some(select) => select,
            empty => empty.insert(self.connection.prepare_cached(sql::SELECT_CHUNK)?),
        };
        let mut rows = select.query([id])?;
        let row = rows.next()?.ok_or_else(|| missing(id))?;
        let (thread_no, kind): (i64, i64) = (row.get(0)?, row.get(1)?);
        let hash: Hash = row::bytes(row, 2)?.try_into().unwrap_or_default();
        let (checksum, stored): (i64, _) = (row.get(3)?, row::bytes(row, 4)?);
        if chunk::checksum(kind, &hash, stored) != checksum {
            return Err(damaged(id));
        }
        let data = leaf_data(kind, stored).filter(|_| thread_no == recipe.thread_no);
        let data = &*data.ok_or_else(|| foreign(id))?;
        if let Some(kept) = kept {
            let data = data.to_vec();
            kept.borrow_mut().insert(id, Rc::new(Leaf { hash, data }));
        }
        append_leaf(data, hash, recipe, value)
    }

    /// A node; whether it is that of its leaves is not checked yet.
    fn node(&self, id: i64, thread_no: i64) -> Result<Chunk, Failed> {
        let node = read_chunk(self.connection, id)?.ok_or_else(|| missing(id))?;
        if !node.is_intact() {
            return Err(damaged(id));
        }
        if (node.thread_no, node.kind) != (thread_no, Kind::Node as i64) {
            return Err(foreign(id));
        }
        Ok(node)
    }
}

/// The bytes that a leaf stands for; `None` if it is none.
pub(super) fn leaf_data(kind: i64, stored: &[u8]) -> Option<Cow<'_, [u8]>> {
    if kind == Kind::Leaf as i64 {
        Some(Cow::Borrowed(stored))
    } else if kind == Kind::CompressedLeaf as i64 {
        chunk::decompress(stored, chunk::LONGEST_LEAF).map(Cow::Owned)
    } else {
        None
    }
}

fn append_leaf(data: &[u8], hash: Hash, recipe: &Recipe<'_>, value: &mut Vec<u8>) -> Result<Hash, Failed> {
    check_room(recipe, value, data.len())?;
    value.extend_from_slice(data);
    Ok(hash)
}

fn check_room(recipe: &Recipe<'_>, value: &[u8], more: usize) -> Result<(), Failed> {
    let length = value.len().checked_add(more);
    if length.is_some_and(|length| length <= recipe.length) {
        return Ok(());
    }
    Err(Failed::Damaged("a stored value is too long".to_owned()))
}

/// A forged length reserves no more than this; what is really there may be longer.
const MOST_RESERVED: usize = 16 << 20;

/// Why a value could not be put together.
enum Failed {
    Damaged(Fault),
    Other(Error),
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

fn missing(id: i64) -> Failed {
    Failed::Damaged(format!("chunk {id} is missing"))
}

fn damaged(id: i64) -> Failed {
    Failed::Damaged(format!("chunk {id} is damaged"))
}

fn foreign(id: i64) -> Failed {
    Failed::Damaged(format!("chunk {id} is another value's"))
}

/// The recipe in a row, if it holds one.
fn stored_recipe<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a [u8]>> {
    let is_recipe = matches!(row.get_ref(column)?, ValueRef::Text(tag) if tag == chunk::TAG.as_bytes());
    is_recipe.then(|| row::bytes(row, column + 1)).transpose()
}

/// Parses a recipe.
pub(super) fn decode<'a>(bytes: &'a [u8], key: &CheckpointKey) -> Result<Recipe<'a>> {
    Recipe::decode(bytes).map_err(|fault| match fault {
        Unreadable::Newer(version) => Error::NewerSchema {
            needs: version.into(),
        },
        Unreadable::Damaged => unreadable(key),
    })
}

fn unreadable(key: &CheckpointKey) -> Error {
    row::damaged(key, "a stored value cannot be read")
}

/// A chunk as it is stored; not checked yet.
pub(super) fn read_chunk(connection: &Connection, id: i64) -> Result<Option<Chunk>> {
    let mut statement = connection.prepare_cached(sql::SELECT_CHUNK)?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Chunk {
        thread_no: row.get(0)?,
        kind: row.get(1)?,
        // Of another length it matches nothing.
        hash: row::bytes(row, 2)?.try_into().unwrap_or_default(),
        checksum: row.get(3)?,
        data: row::bytes(row, 4)?.to_vec(),
    }))
}

/// Finds or makes the chunks of a draft. `base` tells ids that hold if nothing was removed since.
pub(super) fn store(noting: &mut Noting<'_>, draft: &Draft, base: Option<&Known>, epoch: u64) -> Result<Ids> {
    let thread = noting.thread()?;
    let (thread_no, revision) = (thread.number, thread.revision);
    let base = base.filter(|known| (known.ids.thread_no, known.ids.revision) == (thread_no, revision));
    let base = match base {
        Some(known) if known.ids.epoch == epoch || is_there(noting.connection(), known)? => Some(&known.ids),
        _ => None,
    };
    let mut store = Store {
        connection: noting.connection(),
        draft,
        base,
        ids: Ids {
            epoch,
            thread_no,
            revision,
            nodes: Vec::with_capacity(draft.nodes.len()),
            leaves: vec![0; draft.leaves.len()],
        },
        bytes: 0,
    };
    for (nodes, leaves) in draft.references() {
        for node in nodes {
            let id = store.node(node)?;
            store.ids.nodes.push(id);
        }
        for leaf in leaves {
            store.leaf(leaf)?;
        }
    }
    noting.add_bytes(store.bytes);
    Ok(store.ids)
}

/// Whether the latest of these chunks is there. It is not where the database was put back to an earlier
/// state, as a restored backup does under our feet: ids and numbers are then given again.
fn is_there(connection: &Connection, known: &Known) -> Result<bool> {
    let leaves = known
        .ids
        .leaves
        .iter()
        .zip(known.draft.leaves.iter().map(|leaf| &leaf.hash));
    let nodes = known
        .ids
        .nodes
        .iter()
        .zip(known.draft.nodes.iter().map(|node| &node.hash));
    let Some((id, hash)) = leaves.chain(nodes).max_by_key(|(id, _)| **id) else {
        return Ok(false);
    };
    Ok(find(connection, known.ids.thread_no, hash)? == Some(*id))
}

struct Store<'a> {
    connection: &'a Connection,
    draft: &'a Draft,
    base: Option<&'a Ids>,
    ids: Ids,
    /// Of chunks that were made.
    bytes: usize,
}

impl Store<'_> {
    fn node(&mut self, index: usize) -> Result<i64> {
        let node = &self.draft.nodes[index];
        if let (Some(base), Some(old)) = (self.base, node.old) {
            for leaf in node.leaves.clone() {
                let old = self.draft.leaves[leaf].old;
                self.ids.leaves[leaf] = old.map_or(0, |old| base.leaves[old]);
            }
            return Ok(base.nodes[old]);
        }
        // A node is swept before its leaves: while it is there, they are.
        if let Some(id) = find(self.connection, self.ids.thread_no, &node.hash)? {
            return Ok(id);
        }
        for leaf in node.leaves.clone() {
            self.leaf(leaf)?;
        }
        let data = chunk::encode_node(&self.ids.leaves[node.leaves.clone()]);
        self.bytes += data.len();
        insert(
            self.connection,
            self.ids.thread_no,
            Kind::Node as i64,
            &node.hash,
            &data,
        )
    }

    fn leaf(&mut self, index: usize) -> Result<()> {
        let leaf = &self.draft.leaves[index];
        let thread_no = self.ids.thread_no;
        let known = self.base.and_then(|base| Some(base.leaves[leaf.old?]));
        self.ids.leaves[index] = if let Some(id) = known.filter(|id| *id != 0) {
            id
        } else if let Some(id) = find(self.connection, thread_no, &leaf.hash)? {
            id
        } else {
            let (kind, data) = match &leaf.frame {
                Some(frame) => (Kind::CompressedLeaf, frame.as_slice()),
                None => (Kind::Leaf, self.draft.leaf_bytes(leaf)),
            };
            self.bytes += data.len();
            insert(self.connection, thread_no, kind as i64, &leaf.hash, data)?
        };
        Ok(())
    }
}

/// The chunk of a thread with this hash.
pub(super) fn find(connection: &Connection, thread_no: i64, hash: &Hash) -> Result<Option<i64>> {
    Ok(connection
        .prepare_cached(sql::FIND_CHUNK)?
        .query_row(params![thread_no, hash], |row| row.get(0))
        .optional()?)
}

/// Stores a chunk; its id.
pub(super) fn insert(
    connection: &Connection,
    thread_no: i64,
    kind: i64,
    hash: &Hash,
    data: &[u8],
) -> Result<i64> {
    connection.prepare_cached(sql::INSERT_CHUNK)?.execute(params![
        thread_no,
        kind,
        hash,
        chunk::checksum(kind, hash, data),
        data
    ])?;
    Ok(connection.last_insert_rowid())
}
