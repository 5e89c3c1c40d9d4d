//! msgpack on the wire: the writer. Knows no Python.
//!
//! Heads are the shortest form that fits, `str` and `bin` are distinct, integers are unsigned when they are
//! not negative: the choices of `ormsgpack`, whose bytes these must be.

#![allow(
    clippy::cast_possible_truncation,
    reason = "each cast is in the branch that checked the range"
)]

use std::mem::MaybeUninit;

use rmp::Marker;

/// Bytes of an encoding.
///
/// Long strings and arrays are not copied here: they stay segments until the whole is put together, so that
/// each of their bytes is copied once. Lengths and offsets count them in.
#[derive(Debug)]
pub(crate) struct Writer<S> {
    bytes: Vec<u8>,
    segments: Vec<Spliced<S>>,
    /// Length of all segments.
    spliced: usize,
}

/// A segment, and the position in the writer's own bytes before which it belongs.
#[derive(Debug)]
struct Spliced<S> {
    at: usize,
    segment: S,
}

/// A position to go back to when a fast path finds that it does not apply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    length: usize,
    segments: usize,
    spliced: usize,
}

impl<S: AsRef<[u8]>> Writer<S> {
    /// Writes into `bytes`, which is emptied first.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self {
            bytes,
            segments: Vec::new(),
            spliced: 0,
        }
    }

    /// Length of the whole.
    #[inline]
    pub(crate) fn length(&self) -> usize {
        self.bytes.len() + self.spliced
    }

    /// Fills `target`, which has the length of the whole, with the whole.
    pub(crate) fn copy_to(&self, mut target: &mut [MaybeUninit<u8>]) {
        let mut put = |bytes: &[u8]| {
            let (piece, rest) = std::mem::take(&mut target).split_at_mut(bytes.len());
            piece.write_copy_of_slice(bytes);
            target = rest;
        };
        let mut from = 0;
        for Spliced { at, segment } in &self.segments {
            put(&self.bytes[from..*at]);
            put(segment.as_ref());
            from = *at;
        }
        put(&self.bytes[from..]);
        assert!(target.is_empty(), "every byte of the target was written");
    }

    /// The whole, if no part of it is a segment.
    pub(crate) fn contiguous(&self) -> Option<&[u8]> {
        self.segments.is_empty().then_some(&self.bytes)
    }

    /// The whole.
    pub(crate) fn into_whole(self) -> Vec<u8> {
        if self.segments.is_empty() {
            return self.bytes;
        }
        let mut whole = Vec::with_capacity(self.length());
        let mut from = 0;
        for Spliced { at, segment } in &self.segments {
            whole.extend_from_slice(&self.bytes[from..*at]);
            whole.extend_from_slice(segment.as_ref());
            from = *at;
        }
        whole.extend_from_slice(&self.bytes[from..]);
        whole
    }

    /// The writer's own buffer, to be used again.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// The writer's own bytes, and each segment with the position in them before which it belongs.
    pub(crate) fn into_pieces(self) -> (Vec<u8>, impl Iterator<Item = (usize, S)>) {
        (
            self.bytes,
            self.segments
                .into_iter()
                .map(|Spliced { at, segment }| (at, segment)),
        )
    }

    /// Appends `segment` without copying it.
    pub(crate) fn splice(&mut self, segment: S) {
        self.spliced += segment.as_ref().len();
        self.segments.push(Spliced {
            at: self.bytes.len(),
            segment,
        });
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            length: self.bytes.len(),
            segments: self.segments.len(),
            spliced: self.spliced,
        }
    }

    pub(crate) fn roll_back(&mut self, mark: Mark) {
        self.bytes.truncate(mark.length);
        self.segments.truncate(mark.segments);
        self.spliced = mark.spliced;
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
        if utf8.len() < 32 {
            self.short_str(utf8);
        } else {
            self.str_head(utf8.len());
            self.raw(utf8);
        }
    }

    /// A str of fewer than 32 bytes: most keys. One growth check and inline copies instead of a call of `memcpy`;
    /// what it buys is in docs/codec.md.
    #[inline]
    fn short_str(&mut self, utf8: &[u8]) {
        let length = utf8.len();
        self.bytes.reserve(1 + 32);
        let spare = self.bytes.spare_capacity_mut();
        spare[0].write(Marker::FixStr(length as u8).to_u8());
        let target = &mut spare[1..=length];
        match length {
            16..32 => {
                copy::<16>(utf8, target, 0);
                copy::<16>(utf8, target, length - 16);
            }
            8..16 => {
                copy::<8>(utf8, target, 0);
                copy::<8>(utf8, target, length - 8);
            }
            4..8 => {
                copy::<4>(utf8, target, 0);
                copy::<4>(utf8, target, length - 4);
            }
            _ => {
                for (to, from) in target.iter_mut().zip(utf8) {
                    to.write(*from);
                }
            }
        }
        // SAFETY: the capacity was reserved, and the head and all `length` bytes after it were written.
        #[allow(unsafe_code, reason = "the bytes were just written")]
        unsafe {
            self.bytes.set_len(self.bytes.len() + 1 + length);
        }
    }

    /// The head of a str whose bytes follow.
    #[inline]
    pub(crate) fn str_head(&mut self, length: usize) {
        match length {
            short @ 0..32 => self.bytes.push(Marker::FixStr(short as u8).to_u8()),
            length => self.length_head(length, Some(Marker::Str8), Marker::Str16, Marker::Str32),
        }
    }

    pub(crate) fn bin(&mut self, bytes: &[u8]) {
        self.bin_head(bytes.len());
        self.raw(bytes);
    }

    /// The head of a bin whose bytes follow.
    pub(crate) fn bin_head(&mut self, length: usize) {
        self.length_head(length, Some(Marker::Bin8), Marker::Bin16, Marker::Bin32);
    }

    #[inline]
    pub(crate) fn array(&mut self, length: usize) {
        match length {
            short @ 0..16 => self.bytes.push(Marker::FixArray(short as u8).to_u8()),
            length => self.length_head(length, None, Marker::Array16, Marker::Array32),
        }
    }

    #[inline]
    pub(crate) fn map(&mut self, length: usize) {
        match length {
            short @ 0..16 => self.bytes.push(Marker::FixMap(short as u8).to_u8()),
            length => self.length_head(length, None, Marker::Map16, Marker::Map32),
        }
    }

    #[inline]
    fn length_head(&mut self, length: usize, one: Option<Marker>, two: Marker, four: Marker) {
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

/// Copies `N` bytes at `at`; both slices reach that far.
#[inline]
fn copy<const N: usize>(from: &[u8], to: &mut [MaybeUninit<u8>], at: usize) {
    to[at..at + N].write_copy_of_slice(&from[at..at + N]);
}

mod ext;
#[cfg(test)]
mod tests;
