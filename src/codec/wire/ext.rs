//! Extensions: their heads come before a payload whose length may not be known yet.

#![allow(
    clippy::cast_possible_truncation,
    reason = "each cast is in the branch that checked the range"
)]

use rmp::Marker;

use super::Writer;

/// Bytes kept free for the head of an extension whose length is not known yet: `ext16`, which most have.
const EXT_HEAD_GUESS: usize = 4;

/// The start of an extension whose length is not known yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenExt {
    start: usize,
    spliced: usize,
}

impl<S: AsRef<[u8]>> Writer<S> {
    /// The head of an extension whose payload follows.
    pub(crate) fn ext_head(&mut self, code: u8, length: usize) {
        let (head, length) = ext_head(code, length);
        self.raw(&head[..length]);
    }

    /// Starts an extension of unknown length; returns what [`Self::ext_end`] needs.
    #[inline]
    pub(crate) fn ext_start(&mut self) -> OpenExt {
        let start = self.bytes.len();
        self.raw(&[0; EXT_HEAD_GUESS]);
        OpenExt {
            start,
            spliced: self.spliced,
        }
    }

    /// Writes the head of an extension, moving its payload if the guess was wrong.
    #[inline]
    pub(crate) fn ext_end(&mut self, open: OpenExt, code: u8) {
        let payload = open.start + EXT_HEAD_GUESS;
        let (head, length) = ext_head(code, self.bytes.len() - payload + self.spliced - open.spliced);
        if length != EXT_HEAD_GUESS {
            self.move_payload(payload, length);
        }
        self.bytes[open.start..open.start + length].copy_from_slice(&head[..length]);
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
        for spliced in self
            .segments
            .iter_mut()
            .rev()
            .take_while(|spliced| spliced.at >= payload)
        {
            spliced.at = spliced.at + head - EXT_HEAD_GUESS;
        }
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
