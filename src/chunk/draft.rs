//! A value divided into inline bytes, leaves and nodes, before the ids of its chunks are known.
//!
//! A long value of a channel, or of another key of the checkpoint, is a *body*: it is cut into leaves.
//! Heads of containers stay inline, so an element that is appended changes the last leaf only. Where the
//! previous encoding has the same bytes, its leaves are taken over without hashing: to hash everything
//! costs as much as to encode it.

mod bodies;

use std::ops::Range;

use self::bodies::Found;
use super::cache::Ids;
use super::cut::{Cutter, LEAST};
use super::frame::compress;
use super::recipe::{Inline, Op};
use super::seal::{Binding, Seal, Sealer};
use super::{Hash, leaf_hash, node_hash};
use crate::model::{Blob, Compression};
use crate::progress::{next_nodes, next_nodes_around};

/// References of a body from which on they are grouped into nodes. A node ends where a leaf's hash says
/// so, which is once in `NODE_ODDS`, within the bounds.
const LEAVES_WITHOUT_NODES: usize = 32;
const NODE_ODDS: u8 = 64;
const NODE_LEAST: usize = 16;
const NODE_MOST: usize = 256;

/// The least that is stored as a piece of what has no cut yet, and the most pieces of it.
const PIECE: usize = 512;
const MOST_PIECES: usize = 8;

/// How far ahead of the last leaf that was found again the next one is looked for.
const LOOK_AHEAD: usize = 256;

/// What kind of row a value is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Checkpoint,
    Write,
}

impl Kind {
    /// The length below which a value stays inline as a whole. A write is stored once: to divide it pays
    /// where the checkpoint will hold the same leaves, which takes several.
    fn least(self) -> usize {
        match self {
            Self::Checkpoint => 4 * LEAST,
            Self::Write => 8 * LEAST,
        }
    }
}

/// A divided value.
pub(crate) struct Draft {
    tag: String,
    value: Blob,
    bodies: Vec<Body>,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) nodes: Vec<Node>,
}

struct Body {
    /// Where its channel's name is; empty for a value without one.
    name: Range<usize>,
    range: Range<usize>,
    /// Its bytes are no msgpack.
    raw: bool,
    /// The values that follow its head, where that is of an array or a map; else 0.
    values: u64,
    leaves: Range<usize>,
    nodes: Range<usize>,
    /// Where the inline bytes after its last leaf begin.
    tail: usize,
}

/// A piece of a body.
pub(crate) struct Leaf {
    range: Range<usize>,
    pub(crate) hash: Hash,
    /// The leaf of the previous encoding that has the same bytes.
    pub(crate) old: Option<usize>,
    /// No cut ends it: a piece of what comes after the last one.
    open: bool,
    /// The first element end from its end on.
    element_end: usize,
    /// Its bytes as a zstd frame, of a new leaf that is to be compressed.
    pub(crate) frame: Option<Vec<u8>>,
}

/// Leaves in a row.
pub(crate) struct Node {
    pub(crate) leaves: Range<usize>,
    pub(crate) hash: Hash,
    /// The node of the previous encoding that has the same leaves.
    pub(crate) old: Option<usize>,
}

impl Draft {
    /// Divides a value; `previous` is the one that it may resemble.
    pub(crate) fn new(
        kind: Kind,
        tag: &str,
        value: Blob,
        previous: Option<&Self>,
        compression: Compression,
    ) -> Self {
        let mut draft = Self {
            tag: tag.to_owned(),
            value: value.clone(),
            bodies: Vec::new(),
            leaves: Vec::new(),
            nodes: Vec::new(),
        };
        let bytes = value.as_slice();
        for found in bodies::find(kind, tag, bytes, previous) {
            draft.divide(found);
        }
        if compression == Compression::Zstd {
            for leaf in draft.leaves.iter_mut().filter(|leaf| leaf.old.is_none()) {
                leaf.frame = compress(&bytes[leaf.range.clone()]);
            }
        }
        draft
    }

    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    pub(crate) fn value(&self) -> &Blob {
        &self.value
    }

    /// Length of the value in bytes.
    pub(crate) fn length(&self) -> usize {
        self.value.as_slice().len()
    }

    /// What it keeps in memory, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.length()
            + self.leaves.len() * size_of::<Leaf>()
            + self.nodes.len() * size_of::<Node>()
            + self.bodies.len() * size_of::<Body>()
    }

    /// Whether all of it is inline.
    pub(crate) fn is_inline(&self) -> bool {
        self.bodies.is_empty()
    }

    pub(crate) fn leaf_bytes(&self, leaf: &Leaf) -> &[u8] {
        self.bytes(&leaf.range)
    }

    /// Per body: its nodes, and the leaves that follow them.
    pub(crate) fn references(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        self.bodies
            .iter()
            .map(|body| (body.nodes.clone(), self.loose_leaves(body)))
    }

    /// What the recipe holds itself.
    pub(crate) fn inline(&self) -> Inline<'_> {
        if self.bodies.is_empty() {
            return Inline::whole(self.value.as_slice());
        }
        let mut bytes = Vec::new();
        for op in self.layout() {
            if let Part::Inline(range) = op {
                bytes.extend_from_slice(self.bytes(&range));
            }
        }
        Inline::new(bytes)
    }

    /// The recipe's ops, with the ids of nodes and leaves.
    pub(crate) fn ops(&self, ids: &Ids) -> Vec<Op> {
        self.layout()
            .map(|part| match part {
                Part::Inline(range) => Op::Inline(range.len()),
                Part::Body(tail) => Op::Body(tail),
                Part::Nodes(range) => Op::Nodes(ids.nodes[range].to_vec()),
                Part::Leaves(range) => Op::Leaves(ids.leaves[range].to_vec()),
            })
            .collect()
    }

    /// The nodes that the checkpoint runs next; `None` if it is not plain msgpack.
    pub(crate) fn next_nodes(&self) -> Option<Vec<String>> {
        if self.tag != "msgpack" || self.bodies.iter().any(|body| body.raw && body.name.is_empty()) {
            return None;
        }
        if self.bodies.is_empty() {
            return next_nodes(self.value.as_slice());
        }
        let mut bytes = Vec::new();
        let mut holes = Vec::with_capacity(self.bodies.len());
        let mut at = 0;
        for body in &self.bodies {
            bytes.extend_from_slice(self.bytes(&(at..body.range.start)));
            holes.push(bytes.len());
            at = body.range.end;
        }
        bytes.extend_from_slice(self.bytes(&(at..self.length())));
        next_nodes_around(&bytes, &holes, |hole| {
            Some(self.bytes(&self.bodies[hole].range).to_vec())
        })
    }

    pub(crate) fn seal(&self, binding: &Binding<'_>) -> Seal {
        let mut sealer = Sealer::new(&self.tag);
        for part in self.layout() {
            match part {
                Part::Inline(range) => sealer.inline(self.bytes(&range)),
                Part::Body(tail) => sealer.body(tail),
                Part::Nodes(range) => self.nodes[range].iter().for_each(|node| sealer.node(&node.hash)),
                Part::Leaves(range) => self.leaves[range].iter().for_each(|leaf| sealer.leaf(&leaf.hash)),
            }
        }
        sealer.finish(binding)
    }

    fn layout(&self) -> impl Iterator<Item = Part> {
        let mut at = 0;
        let mut parts = Vec::with_capacity(self.bodies.len() * 5 + 1);
        for body in &self.bodies {
            parts.extend([
                Part::Inline(at..body.range.start),
                Part::Body(body.range.end - body.tail),
                Part::Nodes(body.nodes.clone()),
                Part::Leaves(self.loose_leaves(body)),
                Part::Inline(body.tail..body.range.end),
            ]);
            at = body.range.end;
        }
        parts.push(Part::Inline(at..self.length()));
        parts.into_iter().filter(|part| !part.is_empty())
    }

    fn loose_leaves(&self, body: &Body) -> Range<usize> {
        let grouped = self.nodes[body.nodes.clone()].last();
        grouped.map_or(body.leaves.start, |node| node.leaves.end)..body.leaves.end
    }

    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.value.as_slice()[range.clone()]
    }

    fn divide(&mut self, found: Found<'_>) {
        let first_leaf = self.leaves.len();
        let tail = self.cut(&found);
        if self.leaves.len() == first_leaf {
            return;
        }
        let first_node = self.nodes.len();
        self.group(first_leaf, found.old);
        self.bodies.push(Body {
            name: found.name,
            range: found.range,
            raw: found.raw,
            values: found.values,
            leaves: first_leaf..self.leaves.len(),
            nodes: first_node..self.nodes.len(),
            tail,
        });
    }

    /// Cuts a body into leaves; where the rest begins that stays inline.
    fn cut(&mut self, found: &Found<'_>) -> usize {
        let value = self.value.clone();
        let (range, old) = (&found.range, found.old);
        let body = &value.as_slice()[range.clone()];
        let mut cutter = Cutter::new(body, found.raw);
        let mut at = 0;
        // The leaf of the previous encoding that comes next if nothing changed.
        let mut expected = old.map(|(_, body)| body.leaves.start);
        while at < body.len() {
            if let (Some((previous, old_body)), Some(index)) = (old, expected) {
                if let Some(leaf) = previous.leaves[index..old_body.leaves.end].first()
                    && !leaf.open
                    && found.has(body, at, leaf)
                {
                    self.take_over(previous, index, range.start + at);
                    at += leaf.range.len();
                    expected = Some(index + 1);
                    continue;
                }
                if let Some(leaf) = self.leaves.last().filter(|leaf| leaf.old.is_some()) {
                    cutter.seek(leaf.element_end.saturating_sub(range.start).min(body.len()));
                }
            }
            let Some((end, element_end)) = cutter.next(at) else {
                break;
            };
            let hash = leaf_hash(&body[at..end]);
            let ahead = old.and_then(|(previous, old_body)| {
                let from = expected.unwrap_or(old_body.leaves.start);
                let to = old_body.leaves.end.min(from + LOOK_AHEAD);
                let ahead = &previous.leaves[from..to];
                ahead
                    .iter()
                    .position(|leaf| leaf.hash == hash)
                    .map(|offset| from + offset)
            });
            self.leaves.push(Leaf {
                range: range.start + at..range.start + end,
                hash,
                old: ahead,
                open: false,
                element_end: range.start.saturating_add(element_end),
                frame: None,
            });
            expected = ahead.map(|index| index + 1).or(expected);
            at = end;
        }
        self.append(at, found, expected)
    }

    /// What comes after the last cut grows with each element that is appended: it is stored in pieces, the
    /// old ones and one of what is new, until a cut makes one leaf of them. To store it anew each time took
    /// 2.1 instead of 0.6 MB in a chat of 300 turns. Where the bytes begin that stay inline.
    fn append(&mut self, from: usize, found: &Found<'_>, expected: Option<usize>) -> usize {
        let value = self.value.clone();
        let (bytes, start) = (value.as_slice(), found.range.start);
        let rest = start + from..found.range.end;
        let first = self.leaves.len();
        let mut at = rest.start;
        if let (Some((previous, old_body)), Some(expected)) = (found.old, expected) {
            for index in expected..old_body.leaves.end {
                let leaf = &previous.leaves[index];
                if !leaf.open || !found.has(&bytes[found.range.clone()], at - start, leaf) {
                    break;
                }
                self.take_over(previous, index, at);
                at += leaf.range.len();
            }
        }
        if rest.end - at < PIECE {
            return at;
        }
        if self.leaves.len() - first >= MOST_PIECES {
            self.leaves.truncate(first);
            at = rest.start;
        }
        self.leaves.push(Leaf {
            hash: leaf_hash(&bytes[at..rest.end]),
            range: at..rest.end,
            old: None,
            open: true,
            element_end: rest.end,
            frame: None,
        });
        rest.end
    }

    /// Takes a leaf of the previous encoding, whose bytes are at `start` now.
    fn take_over(&mut self, previous: &Self, index: usize, start: usize) {
        let leaf = &previous.leaves[index];
        let distance = leaf.element_end.saturating_sub(leaf.range.start);
        self.leaves.push(Leaf {
            range: start..start + leaf.range.len(),
            hash: leaf.hash,
            old: Some(index),
            open: leaf.open,
            element_end: start.saturating_add(distance),
            frame: None,
        });
    }

    /// Groups the leaves of a body, from `first` on, into nodes.
    fn group(&mut self, first: usize, old: Option<(&Self, &Body)>) {
        if self.leaves.len() - first < LEAVES_WITHOUT_NODES {
            return;
        }
        let mut from = first;
        for index in first..self.leaves.len() {
            let leaf = &self.leaves[index];
            let count = index + 1 - from;
            let ends = count >= NODE_LEAST && leaf.hash[0].is_multiple_of(NODE_ODDS) && !leaf.open;
            if ends || count == NODE_MOST {
                let leaves = from..index + 1;
                from = index + 1;
                let same = old.and_then(|(previous, body)| self.same_node(&leaves, previous, body));
                let hash = same.map_or_else(
                    || node_hash(self.leaves[leaves.clone()].iter().map(|leaf| &leaf.hash)),
                    |(_, hash)| hash,
                );
                let old = same.map(|(old, _)| old);
                self.nodes.push(Node { leaves, hash, old });
            }
        }
    }

    /// The node of the previous encoding with the same leaves.
    fn same_node(&self, leaves: &Range<usize>, previous: &Self, body: &Body) -> Option<(usize, Hash)> {
        let first = self.leaves[leaves.start].old?;
        let nodes = &previous.nodes[body.nodes.clone()];
        let at = nodes
            .binary_search_by_key(&first, |node| node.leaves.start)
            .ok()?;
        let in_order = |(offset, leaf): (usize, &Leaf)| leaf.old == Some(first + offset);
        let same = nodes[at].leaves.len() == leaves.len()
            && self.leaves[leaves.clone()].iter().enumerate().all(in_order);
        same.then(|| (body.nodes.start + at, nodes[at].hash))
    }
}

/// A part of a recipe, by where it is in the draft.
enum Part {
    Inline(Range<usize>),
    Body(usize),
    Nodes(Range<usize>),
    Leaves(Range<usize>),
}

impl Part {
    fn is_empty(&self) -> bool {
        match self {
            Self::Inline(range) | Self::Nodes(range) | Self::Leaves(range) => range.is_empty(),
            Self::Body(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
