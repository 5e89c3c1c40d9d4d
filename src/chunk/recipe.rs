//! The bytes of a recipe: `docs/format.md`.

use std::borrow::Cow;
use std::ops::Range;

use super::frame::{compress, decompress};
use super::seal::Seal;

/// The version of the format, the first byte.
const VERSION: u8 = 1;
/// Flag: the inline bytes are a zstd frame.
const COMPRESSED: u8 = 1;

/// Inline bytes below this are not compressed: beside chunks, and of a value that has none, where the time
/// shows more.
const LEAST_COMPRESSED: usize = 512;
const LEAST_COMPRESSED_WHOLE: usize = 2 << 10;
/// Inline bytes above this are not compressed, so that a forged length allocates no more.
const MOST_COMPRESSED: usize = 1 << 20;
/// A value as it is stored.
#[derive(Debug)]
pub(crate) struct Recipe<'a> {
    pub(crate) seal: Seal,
    /// The thread that owns the chunks; 0 without chunks.
    pub(crate) thread_no: i64,
    /// The serializer's tag of the value.
    pub(crate) tag: Cow<'a, str>,
    /// Length of the value.
    pub(crate) length: usize,
    pub(crate) inline: Inline<'a>,
    pub(crate) ops: Vec<Op>,
}

/// What to append next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// So many of the inline bytes.
    Inline(usize),
    /// These leaves.
    Leaves(Vec<i64>),
    /// All leaves of these nodes.
    Nodes(Vec<i64>),
    /// Nothing: the references that follow, and then so many inline bytes, end the value that was begun.
    Body(usize),
}

/// The inline bytes outside of bodies, with holes where those were.
#[derive(Debug, Default)]
pub(crate) struct Skeleton {
    pub(crate) bytes: Vec<u8>,
    /// Positions in `bytes`, ascending.
    pub(crate) holes: Vec<usize>,
    /// Per hole: its ops, and where its own inline bytes are.
    pub(crate) bodies: Vec<(Range<usize>, Range<usize>)>,
}

/// The inline bytes, compressed where that saves an eighth.
#[derive(Debug)]
pub(crate) struct Inline<'a> {
    length: usize,
    stored: Cow<'a, [u8]>,
    compressed: bool,
}

/// Why bytes are no recipe.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Written by a later version.
    Newer(u8),
    Damaged,
}

impl<'a> Inline<'a> {
    /// Of a value without chunks.
    pub(crate) fn whole(bytes: &'a [u8]) -> Self {
        Self::from_size(bytes.into(), LEAST_COMPRESSED_WHOLE)
    }

    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self::from_size(bytes.into(), LEAST_COMPRESSED)
    }

    fn from_size(bytes: Cow<'a, [u8]>, least: usize) -> Self {
        let length = bytes.len();
        if (least..=MOST_COMPRESSED).contains(&length)
            && let Some(frame) = compress(&bytes)
        {
            return Self {
                length,
                stored: frame.into(),
                compressed: true,
            };
        }
        Self {
            length,
            stored: bytes,
            compressed: false,
        }
    }

    /// The bytes, decompressed.
    pub(crate) fn bytes(&self) -> Result<Cow<'_, [u8]>, Unreadable> {
        if !self.compressed {
            return Ok(Cow::Borrowed(&self.stored));
        }
        if self.length > MOST_COMPRESSED {
            return Err(Unreadable::Damaged);
        }
        decompress(&self.stored, self.length)
            .filter(|bytes| bytes.len() == self.length)
            .map(Cow::Owned)
            .ok_or(Unreadable::Damaged)
    }
}

impl<'a> Recipe<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.inline.stored.len() + self.tag.len());
        out.push(VERSION);
        out.push(if self.inline.compressed { COMPRESSED } else { 0 });
        out.extend_from_slice(&self.seal);
        number(&mut out, self.thread_no.cast_unsigned());
        number(&mut out, self.tag.len() as u64);
        out.extend_from_slice(self.tag.as_bytes());
        number(&mut out, self.length as u64);
        number(&mut out, self.inline.length as u64);
        if self.inline.compressed {
            number(&mut out, self.inline.stored.len() as u64);
        }
        out.extend_from_slice(&self.inline.stored);
        let mut last = 0;
        for op in &self.ops {
            let (kind, count, ids) = match op {
                Op::Inline(count) => (0, *count, &[][..]),
                Op::Leaves(ids) => (1, ids.len(), ids.as_slice()),
                Op::Nodes(ids) => (2, ids.len(), ids.as_slice()),
                Op::Body(tail) => (3, *tail, &[][..]),
            };
            number(&mut out, (count as u64) << 2 | kind);
            references(&mut out, ids, &mut last);
        }
        out
    }

    /// The ops; a recipe without any is its inline bytes.
    pub(crate) fn all_ops(&self) -> Cow<'_, [Op]> {
        if self.ops.is_empty() && self.length > 0 {
            return Cow::Owned(vec![Op::Inline(self.length)]);
        }
        Cow::Borrowed(&self.ops)
    }

    /// The inline bytes outside of bodies; None if the ops contradict each other.
    pub(crate) fn skeleton(&self, inline: &[u8]) -> Option<Skeleton> {
        let mut skeleton = Skeleton::default();
        let mut at: usize = 0;
        let mut index = 0;
        while index < self.ops.len() {
            match self.ops[index] {
                Op::Inline(count) => {
                    skeleton
                        .bytes
                        .extend_from_slice(inline.get(at..at.checked_add(count)?)?);
                    at += count;
                    index += 1;
                }
                Op::Body(tail) => {
                    let first = index + 1;
                    let references = |op: &&Op| matches!(op, Op::Nodes(_) | Op::Leaves(_));
                    index = first + self.ops[first..].iter().take_while(references).count();
                    if tail > 0 {
                        (self.ops.get(index)? == &Op::Inline(tail)).then_some(())?;
                        index += 1;
                    }
                    skeleton.holes.push(skeleton.bytes.len());
                    skeleton.bodies.push((first..index, at..at.checked_add(tail)?));
                    at += tail;
                }
                Op::Leaves(_) | Op::Nodes(_) => return None,
            }
        }
        if self.ops.is_empty() {
            skeleton.bytes.extend_from_slice(inline);
        }
        Some(skeleton)
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        match bytes.first() {
            Some(&VERSION) => Self::parse(&mut Reader(&bytes[1..])).ok_or(Unreadable::Damaged),
            Some(&version) if version > VERSION => Err(Unreadable::Newer(version)),
            _ => Err(Unreadable::Damaged),
        }
    }

    fn parse(reader: &mut Reader<'a>) -> Option<Self> {
        let flags = reader.take(1)?[0];
        if flags & !COMPRESSED != 0 {
            return None;
        }
        let compressed = flags & COMPRESSED != 0;
        let seal = reader.take(8)?.try_into().ok()?;
        let thread_no = reader.number()?.cast_signed();
        let length = reader.length()?;
        let tag = Cow::Borrowed(std::str::from_utf8(reader.take(length)?).ok()?);
        let length = reader.length()?;
        let inline_length = reader.length()?;
        let stored = if compressed {
            reader.length()?
        } else {
            inline_length
        };
        let inline = Inline {
            length: inline_length,
            stored: Cow::Borrowed(reader.take(stored)?),
            compressed,
        };
        let mut ops = Vec::new();
        let mut last = 0;
        while !reader.0.is_empty() {
            let head = reader.number()?;
            let count = usize::try_from(head >> 2).ok()?;
            ops.push(match head & 3 {
                0 => Op::Inline(count),
                1 => Op::Leaves(reader.references(count, &mut last)?),
                2 => Op::Nodes(reader.references(count, &mut last)?),
                _ => Op::Body(count),
            });
        }
        Some(Self {
            seal,
            thread_no,
            tag,
            length,
            inline,
            ops,
        })
    }
}

/// The data of a node: the ids of its leaves.
pub(crate) fn encode_node(leaves: &[i64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(leaves.len() * 2);
    references(&mut out, leaves, &mut 0);
    out
}

/// The leaves of a node.
pub(crate) fn decode_node(bytes: &[u8]) -> Option<Vec<i64>> {
    let mut reader = Reader(bytes);
    let mut last = 0;
    let mut ids = Vec::new();
    while !reader.0.is_empty() {
        ids.push(reader.reference(&mut last)?);
    }
    Some(ids)
}

/// An id is stored as the difference to the one before, in zigzag.
fn references(out: &mut Vec<u8>, ids: &[i64], last: &mut i64) {
    for id in ids {
        let difference = id.wrapping_sub(*last);
        number(out, (difference << 1 ^ difference >> 63).cast_unsigned());
        *last = *id;
    }
}

/// LEB128: seven bits a byte, the lowest first.
fn number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    fn reference(&mut self, last: &mut i64) -> Option<i64> {
        let zigzag = self.number()?;
        let difference = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        *last = last.wrapping_add(difference);
        Some(*last)
    }

    /// Each takes at least one byte, so a forged count allocates no more than there is.
    fn references(&mut self, count: usize, last: &mut i64) -> Option<Vec<i64>> {
        if count > self.0.len() {
            return None;
        }
        (0..count).map(|_| self.reference(last)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(inline: &[u8], ops: Vec<Op>) -> Recipe<'_> {
        Recipe {
            seal: *b"12345678",
            thread_no: 7,
            tag: "msgpack".into(),
            length: 100_000,
            inline: Inline::whole(inline),
            ops,
        }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let inline = b"bytes that repeat, ".repeat(200);
        let ops = vec![
            Op::Inline(300),
            Op::Body(90_000),
            Op::Nodes(vec![5, 1 << 40]),
            Op::Leaves(vec![3, 4, i64::MAX, 1]),
            Op::Inline(3_500),
        ];
        for inline in [&inline[..], b"short"] {
            let bytes = recipe(inline, ops.clone()).encode();
            let decoded = Recipe::decode(&bytes).unwrap();
            assert_eq!(decoded.ops, ops);
            assert_eq!(decoded.inline.bytes().unwrap(), inline);
            assert_eq!((decoded.thread_no, decoded.length), (7, 100_000));
            assert_eq!((decoded.seal, &*decoded.tag), (*b"12345678", "msgpack"));
        }
        assert_eq!(decode_node(&encode_node(&[9, 2, 7])), Some(vec![9, 2, 7]));
    }

    #[test]
    fn damage_is_noticed_or_harmless_and_never_panics() {
        let bytes = recipe(&[1; 4_000], vec![Op::Leaves(vec![1, 2, 3]), Op::Inline(4_000)]).encode();
        for length in 0..bytes.len() {
            if let Ok(decoded) = Recipe::decode(&bytes[..length]) {
                assert!(decoded.ops.len() < 2);
            }
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                if let Ok(decoded) = Recipe::decode(&damaged) {
                    drop(decoded.inline.bytes());
                }
            }
        }
        assert_eq!(Recipe::decode(&[2]).unwrap_err(), Unreadable::Newer(2));
        assert_eq!(Recipe::decode(&[]).unwrap_err(), Unreadable::Damaged);
    }
}
