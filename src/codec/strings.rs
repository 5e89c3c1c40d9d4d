//! Strings that repeat within one blob become one object.

use pyo3::prelude::*;
use pyo3::types::PyString;

/// Slots of the table for small and for large blobs; powers of two. A later string replaces an earlier one
/// in its slot, so the table is bounded whatever the blob holds.
const FEW_SLOTS: usize = 16;
const MANY_SLOTS: usize = 512;
/// Blobs from this length on get many slots.
const LARGE: usize = 2048;
/// Blobs below this length get none.
const TINY: usize = 256;
/// Longer strings are rarely repeated: ids and prose. Two words tell those up to 16 bytes apart.
const LONGEST: usize = 24;
const TWO_WORDS: usize = 16;

/// What identifies a string: its first and last eight bytes, its length, and where it was.
#[derive(Clone, Copy)]
struct Slot {
    first: u64,
    last: u64,
    start: usize,
    /// 0 for an empty slot: empty strings are not kept.
    length: u32,
    /// Index of the string in `strings`.
    string: u32,
}

const EMPTY: Slot = Slot {
    first: 0,
    last: 0,
    start: 0,
    length: 0,
    string: 0,
};

/// The short strings seen so far in one blob. Strings live as long as the table: a key is found by number while
/// its value is decoded, without counting references.
pub(super) struct SharedStrings<'py> {
    slots: Vec<Slot>,
    strings: Vec<Bound<'py, PyString>>,
}

/// A string of the table, or one that is too long for it.
pub(super) enum Text<'py> {
    Shared(u32),
    Own(Bound<'py, PyString>),
}

impl<'py> SharedStrings<'py> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            strings: Vec::new(),
        }
    }

    /// A string that [`Self::get`] returned.
    #[inline]
    pub(super) fn at(&self, index: u32) -> Option<&Bound<'py, PyString>> {
        self.strings.get(index as usize)
    }

    /// The string at `start..end` of `blob`, as an object of its own reference.
    #[inline]
    pub(super) fn owned(
        &mut self,
        py: Python<'py>,
        blob: &[u8],
        start: usize,
        end: usize,
    ) -> Option<Bound<'py, PyString>> {
        match self.get(py, blob, start, end)? {
            Text::Own(string) => Some(string),
            Text::Shared(index) => self.at(index).cloned(),
        }
    }

    /// The string at `start..end` of `blob`. `None` if it is not UTF-8.
    #[inline]
    pub(super) fn get(
        &mut self,
        py: Python<'py>,
        blob: &[u8],
        start: usize,
        end: usize,
    ) -> Option<Text<'py>> {
        let text = blob.get(start..end)?;
        let length = text.len();
        if length == 0 || length > LONGEST || blob.len() < TINY {
            return PyString::from_bytes(py, text).ok().map(Text::Own);
        }
        let (first, last) = if length < 8 {
            (short_word(blob, start, length), 0)
        } else {
            (word(text), word(&text[length - 8..]))
        };
        if self.slots.is_empty() {
            self.slots = vec![EMPTY; if blob.len() < LARGE { FEW_SLOTS } else { MANY_SLOTS }];
        }
        let mixed = (first ^ last.rotate_left(23) ^ length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let index = (mixed >> 52) as usize & (self.slots.len() - 1);
        let slot = self.slots.get_mut(index)?;
        if slot.first == first
            && slot.last == last
            && slot.length as usize == length
            && (length <= TWO_WORDS || blob.get(slot.start..slot.start + length) == Some(text))
        {
            return Some(Text::Shared(slot.string));
        }
        let string = PyString::from_bytes(py, text).ok()?;
        let number = u32::try_from(self.strings.len()).ok()?;
        *slot = Slot {
            first,
            last,
            start,
            length: u32::try_from(length).ok()?,
            string: number,
        };
        self.strings.push(string);
        Some(Text::Shared(number))
    }
}

/// The first eight bytes.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Fewer than eight bytes, the rest zero.
#[inline]
fn short_word(blob: &[u8], start: usize, length: usize) -> u64 {
    if let Some(bytes) = blob[start..].first_chunk() {
        return u64::from_le_bytes(*bytes) & ((1 << (8 * length)) - 1);
    }
    let mut bytes = [0; 8];
    bytes[..length].copy_from_slice(&blob[start..start + length]);
    u64::from_le_bytes(bytes)
}
