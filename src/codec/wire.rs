//! msgpack on the wire: the writer. Knows no Python.
//!
//! Heads are the shortest form that fits, `str` and `bin` are distinct, integers are unsigned when they are
//! not negative: the choices of `ormsgpack`, whose bytes these must be.

#![allow(
    clippy::cast_possible_truncation,
    reason = "each cast is in the branch that checked the range"
)]

use rmp::Marker;

/// Bytes kept free for the head of an extension whose length is not known yet: `ext16`, which most have.
const EXT_HEAD_GUESS: usize = 4;

/// Bytes of an encoding, and where its elements end.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
    cuts: Vec<usize>,
    /// Length from which the next element end is recorded; `usize::MAX` when nobody asked for cuts.
    next_cut: usize,
    cut_distance: usize,
}

/// A position to go back to when a fast path finds that it does not apply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    length: usize,
    cuts: usize,
    next_cut: usize,
}

impl Writer {
    /// Writes into `bytes`, which must be empty. With `cut_distance`, records an element end whenever that
    /// many bytes passed since the last recorded one.
    pub(crate) fn new(bytes: Vec<u8>, cut_distance: Option<usize>) -> Self {
        let next_cut = cut_distance.unwrap_or(usize::MAX);
        Self {
            bytes,
            cuts: Vec::new(),
            next_cut,
            cut_distance: next_cut,
        }
    }

    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<usize>) {
        (self.bytes, self.cuts)
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            length: self.bytes.len(),
            cuts: self.cuts.len(),
            next_cut: self.next_cut,
        }
    }

    pub(crate) fn roll_back(&mut self, mark: Mark) {
        self.bytes.truncate(mark.length);
        self.cuts.truncate(mark.cuts);
        self.next_cut = mark.next_cut;
    }

    /// Called after each element of a container; one comparison unless a cut is due.
    #[inline]
    pub(crate) fn element_end(&mut self) {
        if self.bytes.len() >= self.next_cut {
            self.cuts.push(self.bytes.len());
            self.next_cut = self.bytes.len().saturating_add(self.cut_distance);
        }
    }

    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    #[inline]
    pub(crate) fn nil(&mut self) {
        self.bytes.push(Marker::Null.to_u8());
    }

    #[inline]
    pub(crate) fn bool(&mut self, value: bool) {
        self.bytes
            .push(if value { Marker::True } else { Marker::False }.to_u8());
    }

    #[inline]
    pub(crate) fn float(&mut self, value: f64) {
        self.head8(Marker::F64, value.to_bits());
    }

    #[inline]
    pub(crate) fn signed(&mut self, value: i64) {
        if let Ok(value) = u64::try_from(value) {
            self.unsigned(value);
        } else if value >= -32 {
            self.raw(&(value as i8).to_be_bytes());
        } else if let Ok(value) = i8::try_from(value) {
            self.head1(Marker::I8, value.to_be_bytes()[0]);
        } else if let Ok(value) = i16::try_from(value) {
            self.head2(Marker::I16, value.cast_unsigned());
        } else if let Ok(value) = i32::try_from(value) {
            self.head4(Marker::I32, value.cast_unsigned());
        } else {
            self.head8(Marker::I64, value.cast_unsigned());
        }
    }

    #[inline]
    pub(crate) fn unsigned(&mut self, value: u64) {
        if value < 128 {
            self.bytes.push(value as u8);
        } else if let Ok(value) = u8::try_from(value) {
            self.head1(Marker::U8, value);
        } else if let Ok(value) = u16::try_from(value) {
            self.head2(Marker::U16, value);
        } else if let Ok(value) = u32::try_from(value) {
            self.head4(Marker::U32, value);
        } else {
            self.head8(Marker::U64, value);
        }
    }

    #[inline]
    pub(crate) fn str(&mut self, utf8: &[u8]) {
        self.bytes.reserve(utf8.len() + 5);
        match utf8.len() {
            short @ 0..32 => self.bytes.push(Marker::FixStr(short as u8).to_u8()),
            length => self.length(length, Some(Marker::Str8), Marker::Str16, Marker::Str32),
        }
        self.raw(utf8);
    }

    #[inline]
    pub(crate) fn bin(&mut self, bytes: &[u8]) {
        self.bytes.reserve(bytes.len() + 5);
        self.length(bytes.len(), Some(Marker::Bin8), Marker::Bin16, Marker::Bin32);
        self.raw(bytes);
    }

    #[inline]
    pub(crate) fn array(&mut self, length: usize) {
        match length {
            short @ 0..16 => self.bytes.push(Marker::FixArray(short as u8).to_u8()),
            length => self.length(length, None, Marker::Array16, Marker::Array32),
        }
    }

    #[inline]
    pub(crate) fn map(&mut self, length: usize) {
        match length {
            short @ 0..16 => self.bytes.push(Marker::FixMap(short as u8).to_u8()),
            length => self.length(length, None, Marker::Map16, Marker::Map32),
        }
    }

    /// A whole extension whose payload is already there.
    pub(crate) fn ext(&mut self, code: u8, payload: &[u8]) {
        let (head, length) = ext_head(code, payload.len());
        self.bytes.reserve(length + payload.len());
        self.raw(&head[..length]);
        self.raw(payload);
    }

    /// Starts an extension of unknown length; returns what [`Self::ext_end`] needs.
    #[inline]
    pub(crate) fn ext_start(&mut self) -> usize {
        let start = self.bytes.len();
        self.raw(&[0; EXT_HEAD_GUESS]);
        start
    }

    /// Writes the head of the extension that began at `start`, moving its payload if the guess was wrong.
    #[inline]
    pub(crate) fn ext_end(&mut self, start: usize, code: u8) {
        let payload = start + EXT_HEAD_GUESS;
        let (head, length) = ext_head(code, self.bytes.len() - payload);
        if length != EXT_HEAD_GUESS {
            self.move_payload(payload, length);
        }
        self.bytes[start..start + length].copy_from_slice(&head[..length]);
    }

    #[cold]
    fn move_payload(&mut self, payload: usize, head: usize) {
        let end = self.bytes.len();
        if head > EXT_HEAD_GUESS {
            let by = head - EXT_HEAD_GUESS;
            self.bytes.resize(end + by, 0);
            self.bytes.copy_within(payload..end, payload + by);
        } else {
            let by = EXT_HEAD_GUESS - head;
            self.bytes.copy_within(payload..end, payload - by);
            self.bytes.truncate(end - by);
        }
        for cut in self.cuts.iter_mut().rev().take_while(|cut| **cut > payload) {
            *cut = *cut + head - EXT_HEAD_GUESS;
        }
    }

    #[inline]
    fn length(&mut self, length: usize, one: Option<Marker>, two: Marker, four: Marker) {
        if let (Some(marker), Ok(length)) = (one, u8::try_from(length)) {
            self.head1(marker, length);
        } else if let Ok(length) = u16::try_from(length) {
            self.head2(two, length);
        } else {
            // A longer object is refused before it gets here: `encode::LONGEST`.
            self.head4(four, length as u32);
        }
    }

    #[inline]
    fn head1(&mut self, marker: Marker, value: u8) {
        self.raw(&[marker.to_u8(), value]);
    }

    #[inline]
    fn head2(&mut self, marker: Marker, value: u16) {
        let [a, b] = value.to_be_bytes();
        self.raw(&[marker.to_u8(), a, b]);
    }

    #[inline]
    fn head4(&mut self, marker: Marker, value: u32) {
        let [a, b, c, d] = value.to_be_bytes();
        self.raw(&[marker.to_u8(), a, b, c, d]);
    }

    #[inline]
    fn head8(&mut self, marker: Marker, value: u64) {
        let mut bytes = [marker.to_u8(); 9];
        bytes[1..].copy_from_slice(&value.to_be_bytes());
        self.raw(&bytes);
    }
}

/// The head of an extension and how many of its bytes count.
#[inline]
fn ext_head(code: u8, length: usize) -> ([u8; 6], usize) {
    let fixed = match length {
        1 => Some(Marker::FixExt1),
        2 => Some(Marker::FixExt2),
        4 => Some(Marker::FixExt4),
        8 => Some(Marker::FixExt8),
        16 => Some(Marker::FixExt16),
        _ => None,
    };
    if let Some(marker) = fixed {
        ([marker.to_u8(), code, 0, 0, 0, 0], 2)
    } else if let Ok(length) = u8::try_from(length) {
        ([Marker::Ext8.to_u8(), length, code, 0, 0, 0], 3)
    } else if let Ok(length) = u16::try_from(length) {
        let [a, b] = length.to_be_bytes();
        ([Marker::Ext16.to_u8(), a, b, code, 0, 0], 4)
    } else {
        let [a, b, c, d] = (length as u32).to_be_bytes();
        ([Marker::Ext32.to_u8(), a, b, c, d, code], 6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_of_any_length_equals_one_written_at_once() {
        for length in [0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 65_535, 65_536] {
            let payload = vec![7; length];
            let mut at_once = Writer::new(Vec::new(), None);
            at_once.ext(5, &payload);
            let mut open = Writer::new(Vec::new(), None);
            let start = open.ext_start();
            open.raw(&payload);
            open.ext_end(start, 5);
            assert_eq!(at_once.bytes, open.bytes, "length {length}");
        }
    }

    #[test]
    fn cuts_inside_an_extension_move_with_its_payload() {
        for payload in [100, 300, 70_000] {
            let mut writer = Writer::new(Vec::new(), Some(10));
            writer.raw(&[1; 20]);
            writer.element_end();
            let start = writer.ext_start();
            writer.raw(&[2; 50]);
            writer.element_end();
            writer.raw(&vec![3; payload - 50]);
            writer.ext_end(start, 5);
            writer.element_end();
            assert_eq!(writer.cuts[0], 20);
            assert_eq!(
                (writer.bytes[writer.cuts[1] - 1], writer.bytes[writer.cuts[1]]),
                (2, 3)
            );
            assert_eq!(writer.cuts[2], writer.bytes.len());
        }
    }

    #[test]
    fn rolling_back_forgets_bytes_and_cuts() {
        let mut writer = Writer::new(Vec::new(), Some(4));
        writer.raw(&[1; 3]);
        let mark = writer.mark();
        writer.raw(&[1; 9]);
        writer.element_end();
        writer.roll_back(mark);
        writer.element_end();
        assert_eq!(writer.into_parts(), (vec![1; 3], vec![]));
    }
}
