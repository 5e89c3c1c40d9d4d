//! `prune`: finds what need not be kept; `remove` deletes it. It keeps the newest checkpoint of each namespace and all that reading it needs.
//!
//! Kept, per namespace: the head (greatest id); its descendants, which sort before it when another
//! process' clock was behind; the parent that holds the pending sends of a checkpoint from before
//! version 4; and, for each channel that a kept checkpoint must rebuild, the ancestors back to the
//! one that stores it. The namespace of a subgraph call goes with the root checkpoint it started
//! from, once that one is saved. Writes go with a deleted checkpoint; writes whose checkpoint is
//! still to come are never touched.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::chunks::Chunks;
use super::engine::ReadTransaction;
use super::row;
use super::statements as sql;
use crate::chunk::Binding;
use crate::error::{Error, Result};
use crate::model::{CheckpointKey, Removal, RemovalStep, TypedValue};
use crate::shape::{Shape, ShapeBook, UNKNOWN_BYTES, VERSION_WITH_SENDS};

/// One checkpoint of the tree.
pub(super) struct Node {
    pub(super) parent: Option<String>,
    /// The root graph's checkpoint that this one's subgraph call started from.
    pub(super) root: Option<String>,
    /// Channels that count updates since their last delta snapshot.
    counters: HashSet<String>,
}

/// One namespace: its checkpoints by id, greatest last.
pub(super) type Namespace = BTreeMap<String, Node>;

pub(super) fn prune(
    transaction: &ReadTransaction<'_>,
    thread_id: &str,
    shapes: &ShapeBook,
) -> Result<Removal> {
    let connection = transaction.connection;
    let tree = read_tree(connection, thread_id)?;
    let mut outlines = Outlines::new(transaction, thread_id, shapes);
    let mut kept = HashMap::new();
    for (checkpoint_ns, namespace) in &tree {
        kept.insert(checkpoint_ns.as_str(), outlines.kept(checkpoint_ns, namespace)?);
    }
    if !outlines.unknown.is_empty() {
        return Err(Error::NeedShapes(Arc::new(outlines.unknown)));
    }
    let empty = HashSet::new();
    let saved_roots = tree.get("");
    let kept_roots = kept.get("").unwrap_or(&empty);
    let mut removal = Removal::default();
    for (checkpoint_ns, namespace) in &tree {
        let call_root = namespace
            .last_key_value()
            .and_then(|(_, head)| head.root.as_deref());
        let finished = checkpoint_ns.contains(':')
            && call_root.is_some_and(|root| {
                saved_roots.is_some_and(|roots| roots.contains_key(root)) && !kept_roots.contains(root)
            });
        let kept = if finished {
            None
        } else {
            kept.get(checkpoint_ns.as_str())
        };
        sweep(
            &mut removal,
            thread_id,
            checkpoint_ns,
            namespace,
            kept.unwrap_or(&empty),
        );
        if finished {
            removal.steps.push(RemovalStep::NamespaceWrites {
                thread_id: thread_id.to_owned(),
                checkpoint_ns: checkpoint_ns.clone(),
            });
        }
    }
    Ok(removal)
}

/// Cuts the parents that go, then deletes what is not kept: a removal that stops half-way leaves no
/// parent that is not there.
pub(super) fn sweep(
    removal: &mut Removal,
    thread_id: &str,
    checkpoint_ns: &str,
    namespace: &Namespace,
    kept: &HashSet<String>,
) {
    let key = |checkpoint_id: &String| CheckpointKey {
        thread_id: thread_id.to_owned(),
        checkpoint_ns: checkpoint_ns.to_owned(),
        checkpoint_id: checkpoint_id.clone(),
    };
    let goes = |id: &String| namespace.contains_key(id) && !kept.contains(id);
    for (checkpoint_id, node) in namespace {
        if let Some(parent) = &node.parent
            && goes(parent)
            && !goes(checkpoint_id)
        {
            removal
                .steps
                .push(RemovalStep::CutParent(key(checkpoint_id), parent.clone()));
        }
    }
    let gone = namespace.keys().filter(|id| goes(id));
    removal
        .steps
        .extend(gone.map(|id| RemovalStep::Checkpoint(key(id))));
}

pub(super) fn read_tree(connection: &Connection, thread_id: &str) -> Result<BTreeMap<String, Namespace>> {
    let mut tree: BTreeMap<String, Namespace> = BTreeMap::new();
    let mut statement = connection.prepare_cached(sql::SELECT_TREE)?;
    let mut rows = statement.query([thread_id])?;
    while let Some(row) = rows.next()? {
        let counters: Option<String> = row.get(4)?;
        let node = Node {
            parent: row.get(2)?,
            root: row.get(3)?,
            counters: names(counters.as_deref()),
        };
        tree.entry(row.get(0)?).or_default().insert(row.get(1)?, node);
    }
    Ok(tree)
}

/// The keys of a JSON object; anything else has none.
fn names(object: Option<&str>) -> HashSet<String> {
    match object.map(serde_json::from_str) {
        Some(Ok(serde_json::Value::Object(members))) => members.into_iter().map(|(name, _)| name).collect(),
        _ => HashSet::new(),
    }
}

/// Reads the outlines of checkpoints, each at most once.
pub(super) struct Outlines<'a> {
    connection: &'a Connection,
    chunks: &'a Chunks<'a>,
    thread_id: &'a str,
    shapes: &'a ShapeBook,
    known: HashMap<(String, String), Shape>,
    /// Those that only their serializer can read.
    pub(super) unknown: Vec<TypedValue>,
    bytes: usize,
}

impl<'a> Outlines<'a> {
    pub(super) fn new(
        transaction: &'a ReadTransaction<'_>,
        thread_id: &'a str,
        shapes: &'a ShapeBook,
    ) -> Self {
        Self {
            connection: transaction.connection,
            chunks: &transaction.chunks,
            thread_id,
            shapes,
            known: HashMap::new(),
            unknown: Vec::new(),
            bytes: 0,
        }
    }

    fn kept(&mut self, checkpoint_ns: &str, namespace: &Namespace) -> Result<HashSet<String>> {
        self.with_needs(checkpoint_ns, namespace, with_descendants(namespace))
    }

    /// Checkpoints, and those that reading them needs.
    pub(super) fn with_needs(
        &mut self,
        checkpoint_ns: &str,
        namespace: &Namespace,
        mut kept: HashSet<String>,
    ) -> Result<HashSet<String>> {
        for checkpoint_id in kept.clone() {
            let Some(node) = namespace.get(&checkpoint_id) else {
                continue;
            };
            let Some(shape) = self.outline(checkpoint_ns, &checkpoint_id)? else {
                continue;
            };
            if shape.version < VERSION_WITH_SENDS
                && let Some(parent) = &node.parent
                && self.has_pending_sends(checkpoint_ns, parent)?
            {
                kept.insert(parent.clone());
            }
            let missing = shape
                .channel_versions
                .iter()
                .filter(|channel| !shape.channel_values.contains_key(*channel))
                .cloned()
                .collect();
            self.keep_history(checkpoint_ns, namespace, node, missing, &mut kept)?;
        }
        Ok(kept)
    }

    /// Keeps the ancestors that `node` needs to rebuild the channels it does not store. A channel
    /// that counts delta updates needs them back to where it is stored, or to the root; any other
    /// needs them only if that is a snapshot: else it is simply empty.
    fn keep_history(
        &mut self,
        checkpoint_ns: &str,
        namespace: &Namespace,
        node: &Node,
        mut missing: HashSet<String>,
        kept: &mut HashSet<String>,
    ) -> Result<()> {
        let mut path: Vec<&str> = Vec::new();
        let mut needed = 0;
        let mut next = node.parent.as_deref();
        while let Some(checkpoint_id) = next
            && !missing.is_empty()
            && !path.contains(&checkpoint_id)
            && let Some(ancestor) = namespace.get(checkpoint_id)
        {
            path.push(checkpoint_id);
            next = ancestor.parent.as_deref();
            let Some(shape) = self.outline(checkpoint_ns, checkpoint_id)? else {
                continue;
            };
            for (channel, is_snapshot) in &shape.channel_values {
                if missing.remove(channel) && (*is_snapshot || node.counters.contains(channel)) {
                    needed = path.len();
                }
            }
        }
        if missing.iter().any(|channel| node.counters.contains(channel)) {
            needed = path.len();
        }
        kept.extend(path[..needed].iter().map(|id| (*id).to_owned()));
        Ok(())
    }

    /// The outline, or `None` after noting a checkpoint that only its serializer can read.
    fn outline(&mut self, checkpoint_ns: &str, checkpoint_id: &str) -> Result<Option<Shape>> {
        let slot = (checkpoint_ns.to_owned(), checkpoint_id.to_owned());
        if let Some(shape) = self.known.get(&slot) {
            return Ok(Some(shape.clone()));
        }
        let key = CheckpointKey {
            thread_id: self.thread_id.to_owned(),
            checkpoint_ns: checkpoint_ns.to_owned(),
            checkpoint_id: checkpoint_id.to_owned(),
        };
        let mut statement = self.connection.prepare_cached(sql::SELECT_ANCESTOR)?;
        let mut rows = statement.query(params![key.thread_id, key.checkpoint_ns, key.checkpoint_id])?;
        let Some(found) = rows.next()? else {
            return Ok(None);
        };
        let parent: Option<String> = found.get(0)?;
        let binding = Binding::Checkpoint {
            key: &key,
            parent: parent.as_deref(),
            metadata: row::optional_bytes(found, 3)?,
        };
        if let Some(shape) = self.chunks.outline(found, 1, &binding, self.shapes)? {
            self.known.insert(slot, shape.clone());
            return Ok(Some(shape));
        }
        if self.bytes < UNKNOWN_BYTES {
            let value = self.chunks.value(found, 1, &binding)?;
            self.bytes += value.payload.as_slice().len();
            self.unknown.push(value);
        }
        Ok(None)
    }

    fn has_pending_sends(&self, checkpoint_ns: &str, checkpoint_id: &str) -> Result<bool> {
        let mut statement = self.connection.prepare_cached(sql::HAS_PENDING_SENDS)?;
        Ok(statement.query_row([self.thread_id, checkpoint_ns, checkpoint_id], |row| row.get(0))?)
    }
}

/// The head of a namespace and all that descends from it.
fn with_descendants(namespace: &Namespace) -> HashSet<String> {
    let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
    for (checkpoint_id, node) in namespace {
        if let Some(parent) = &node.parent {
            children.entry(parent).or_default().push(checkpoint_id);
        }
    }
    let mut kept = HashSet::new();
    let mut pending: Vec<&str> = namespace
        .last_key_value()
        .map(|(head, _)| head.as_str())
        .into_iter()
        .collect();
    while let Some(checkpoint_id) = pending.pop() {
        if kept.insert(checkpoint_id.to_owned()) {
            pending.extend(children.get(checkpoint_id).into_iter().flatten());
        }
    }
    kept
}
