//! `prune`: finds what need not be kept; `remove` deletes it. It keeps the newest checkpoints of each namespace
//! and all that reading them needs.
//!
//! Kept, per namespace: the head (greatest id), so many before it, and those made since; their descendants, which sort before it when another
//! process' clock was behind; the parent that holds the pending sends of a checkpoint from before
//! version 4; and, for each channel that a kept checkpoint must rebuild, the ancestors back to the
//! one that stores it. The namespace of a subgraph call goes with the root checkpoint it started
//! from, once that one is saved. A run that begins anew at an older root checkpoint finds what its subgraphs
//! had then: of each namespace the newest before it. Writes go with a deleted checkpoint; writes whose
//! checkpoint is still to come are never touched.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::chunks::Chunks;
use super::engine::ReadTransaction;
use super::row;
use super::statements as sql;
use super::{terms, threads, weigh};
use crate::chunk::Binding;
use crate::error::{Error, Result};
use crate::model::{CheckpointKey, Keep, Removal, RemovalStep, TypedValue};
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
    keep: Keep,
    shapes: &ShapeBook,
) -> Result<Removal> {
    let connection = transaction.connection;
    let tree = read_tree(connection, thread_id)?;
    let mut outlines = Outlines::new(transaction, thread_id, shapes);
    let mut chosen = HashMap::new();
    for (checkpoint_ns, namespace) in &tree {
        chosen.insert(
            checkpoint_ns.as_str(),
            outlines.chosen(checkpoint_ns, namespace, keep)?,
        );
    }
    let roots = chosen.get("").cloned().unwrap_or_default();
    let mut kept = HashMap::new();
    for (checkpoint_ns, namespace) in &tree {
        let mut chosen = chosen.remove(checkpoint_ns.as_str()).unwrap_or_default();
        if !checkpoint_ns.is_empty() {
            // The newest root checkpoint needs the newest of each namespace, which is chosen.
            let older = roots.iter().rev().skip(1);
            let before = older.filter_map(|root| namespace.range(..root.clone()).next_back());
            chosen.extend(before.map(|(id, _)| id.clone()));
        }
        kept.insert(
            checkpoint_ns.as_str(),
            outlines.kept(checkpoint_ns, namespace, &chosen)?,
        );
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
    weigh::weigh(transaction, thread_id, &mut removal)?;
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
pub(super) struct Outlines<'a, 'c> {
    connection: &'a Connection,
    chunks: &'a Chunks<'c>,
    thread_id: &'a str,
    shapes: &'a ShapeBook,
    known: HashMap<(String, String), Arc<Shape>>,
    /// Those that only their serializer can read.
    pub(super) unknown: Vec<TypedValue>,
    bytes: usize,
}

impl<'a, 'c> Outlines<'a, 'c> {
    pub(super) fn new(
        transaction: &'a ReadTransaction<'c>,
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

    /// The checkpoints that shall stay: the newest, and those made since.
    fn chosen(&mut self, checkpoint_ns: &str, namespace: &Namespace, keep: Keep) -> Result<BTreeSet<String>> {
        let mut chosen = BTreeSet::new();
        for (place, checkpoint_id) in namespace.keys().rev().enumerate() {
            if place < keep.last.max(1) || self.is_since(checkpoint_ns, checkpoint_id, keep.since)? {
                chosen.insert(checkpoint_id.clone());
            }
        }
        Ok(chosen)
    }

    /// Whether a checkpoint was made since then; also if nobody knows when it was made.
    fn is_since(&mut self, checkpoint_ns: &str, checkpoint_id: &str, since: Option<i64>) -> Result<bool> {
        let Some(since) = since else { return Ok(false) };
        if let Some(made) = threads::time_of(checkpoint_id) {
            return Ok(made >= since);
        }
        let shape = self.outline(checkpoint_ns, checkpoint_id)?;
        let Some(timestamp) = shape.as_ref().and_then(|shape| shape.timestamp.as_deref()) else {
            return Ok(true);
        };
        let made = terms::time_in(self.connection, timestamp)?;
        Ok(made.is_none_or(|made| made >= since))
    }

    fn kept(
        &mut self,
        checkpoint_ns: &str,
        namespace: &Namespace,
        chosen: &BTreeSet<String>,
    ) -> Result<HashSet<String>> {
        self.with_needs(checkpoint_ns, namespace, with_descendants(namespace, chosen))
    }

    /// Checkpoints, and those that reading them needs.
    pub(super) fn with_needs(
        &mut self,
        checkpoint_ns: &str,
        namespace: &Namespace,
        roots: HashSet<String>,
    ) -> Result<HashSet<String>> {
        let mut kept = roots.clone();
        for checkpoint_id in &roots {
            let Some(node) = namespace.get(checkpoint_id) else {
                continue;
            };
            let Some(shape) = self.outline(checkpoint_ns, checkpoint_id)? else {
                continue;
            };
            if shape.version < VERSION_WITH_SENDS
                && let Some(parent) = &node.parent
                && self.has_pending_sends(checkpoint_ns, parent)?
            {
                kept.insert(parent.clone());
            }
            let missing: HashSet<String> = shape
                .channel_versions
                .iter()
                .filter(|channel| !shape.channel_values.contains_key(*channel))
                .cloned()
                .collect();
            if self.parent_sees_to(checkpoint_ns, namespace, node, &missing, &roots)? {
                continue;
            }
            self.keep_history(checkpoint_ns, namespace, node, missing, &mut kept)?;
        }
        Ok(kept)
    }

    /// Whether the parent stays in any case and needs the same ancestors, or more: then they are kept for it,
    /// and a long history is not walked once for each of its checkpoints.
    fn parent_sees_to(
        &mut self,
        checkpoint_ns: &str,
        namespace: &Namespace,
        node: &Node,
        missing: &HashSet<String>,
        roots: &HashSet<String>,
    ) -> Result<bool> {
        let Some(parent_id) = node.parent.as_ref().filter(|parent| roots.contains(*parent)) else {
            return Ok(false);
        };
        let Some(parent) = namespace.get(parent_id) else {
            return Ok(false);
        };
        let Some(shape) = self.outline(checkpoint_ns, parent_id)? else {
            return Ok(false);
        };
        Ok(missing.iter().all(|channel| {
            shape.channel_values.contains_key(channel)
                || shape.channel_versions.contains(channel)
                    && (parent.counters.contains(channel) || !node.counters.contains(channel))
        }))
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
    fn outline(&mut self, checkpoint_ns: &str, checkpoint_id: &str) -> Result<Option<Arc<Shape>>> {
        let slot = (checkpoint_ns.to_owned(), checkpoint_id.to_owned());
        if let Some(shape) = self.known.get(&slot) {
            return Ok(Some(Arc::clone(shape)));
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
            let shape = Arc::new(shape);
            self.known.insert(slot, Arc::clone(&shape));
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

/// The chosen checkpoints of a namespace and all that descends from them.
fn with_descendants(namespace: &Namespace, chosen: &BTreeSet<String>) -> HashSet<String> {
    let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
    for (checkpoint_id, node) in namespace {
        if let Some(parent) = &node.parent {
            children.entry(parent).or_default().push(checkpoint_id);
        }
    }
    let mut kept = HashSet::new();
    let mut pending: Vec<&str> = chosen.iter().map(String::as_str).collect();
    while let Some(checkpoint_id) = pending.pop() {
        if kept.insert(checkpoint_id.to_owned()) {
            pending.extend(children.get(checkpoint_id).into_iter().flatten());
        }
    }
    kept
}
