//! Strings that repeat within one blob become one object.

use pyo3::prelude::*;
use pyo3::types::PyString;

/// Slots of the table; a power of two. A later string replaces an earlier one in its slot.
const SLOTS: usize = 256;
/// Longer strings are rarely repeated: ids and prose.
const LONGEST: usize = 32;

struct Slot<'py> {
    start: usize,
    length: usize,
    string: Bound<'py, PyString>,
}

/// The strings seen so far in one blob, at most [`SLOTS`] of them.
pub(super) struct SharedStrings<'py> {
    slots: Vec<Option<Slot<'py>>>,
}

impl<'py> SharedStrings<'py> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// The string at `start..end` of `blob`. `None` if it is not UTF-8.
    #[inline]
    pub(super) fn get(
        &mut self,
        py: Python<'py>,
        blob: &[u8],
        start: usize,
        end: usize,
    ) -> Option<Bound<'py, PyString>> {
        let text = blob.get(start..end)?;
        if text.is_empty() || text.len() > LONGEST {
            return PyString::from_bytes(py, text).ok();
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let slot = self.slots.get_mut(slot_of(text))?;
        if let Some(known) = slot
            && known.length == text.len()
            && blob.get(known.start..known.start + known.length) == Some(text)
        {
            return Some(known.string.clone());
        }
        let string = PyString::from_bytes(py, text).ok()?;
        *slot = Some(Slot {
            start,
            length: text.len(),
            string: string.clone(),
        });
        Some(string)
    }
}

/// The slot of a non-empty text: its ends and its length, mixed.
#[inline]
fn slot_of(text: &[u8]) -> usize {
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        let length = bytes.len().min(8);
        word[..length].copy_from_slice(&bytes[..length]);
        u64::from_le_bytes(word)
    };
    let tail = text.len().saturating_sub(8);
    let mixed = (word(text) ^ word(&text[tail..]).rotate_left(23) ^ text.len() as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as usize % SLOTS
}
