//! msgpack on the wire: the reader. Knows no Python; checks every length against what is left.

use rmp::Marker;

/// Why a blob cannot be decoded, in `ormsgpack`'s words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

pub(crate) const END_OF_FILE: Malformed = Malformed("unexpected end of file");
pub(crate) const RESERVED: Malformed = Malformed("invalid type Reserved");

/// The head of a value. Lengths of containers and bytes are not beyond the input's end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Head {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// The bytes that follow are at `start..end`.
    Str(usize, usize),
    Bin(usize, usize),
    Ext(i8, usize, usize),
    /// Items that follow, each at least one byte long.
    Array(usize),
    /// Pairs that follow, each at least two bytes long.
    Map(usize),
}

/// A position in a blob.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) blob: &'a [u8],
    pub(crate) position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(blob: &'a [u8]) -> Self {
        Self { blob, position: 0 }
    }

    /// Steps over `expected`, if it comes next.
    #[inline]
    pub(crate) fn skip(&mut self, expected: &[u8]) -> bool {
        let found = self.blob[self.position..].starts_with(expected);
        if found {
            self.position += expected.len();
        }
        found
    }

    pub(crate) const fn at_end(&self) -> bool {
        self.position == self.blob.len()
    }

    /// Reads the next head; steps over the bytes of a str, bin or ext as well.
    #[allow(
        clippy::inline_always,
        reason = "with the boxed error it keeps results in registers: docs/codec.md"
    )]
    #[inline(always)]
    pub(crate) fn head(&mut self) -> Result<Head, Malformed> {
        let [marker] = self.take::<1>()?;
        Ok(match Marker::from_u8(marker) {
            Marker::FixStr(length) => self.str(length.into())?,
            Marker::FixPos(value) => Head::Unsigned(value.into()),
            Marker::FixMap(length) => self.map(length.into())?,
            Marker::FixArray(length) => self.array(length.into())?,
            Marker::Null => Head::Nil,
            Marker::True => Head::Bool(true),
            Marker::False => Head::Bool(false),
            Marker::FixNeg(value) => Head::Signed(value.into()),
            Marker::Str8 => {
                let length = self.length1()?;
                self.str(length)?
            }
            Marker::Str16 => {
                let length = self.length2()?;
                self.str(length)?
            }
            Marker::Str32 => {
                let length = self.length4()?;
                self.str(length)?
            }
            Marker::U8 => Head::Unsigned(u8::from_be_bytes(self.take()?).into()),
            Marker::U16 => Head::Unsigned(u16::from_be_bytes(self.take()?).into()),
            Marker::U32 => Head::Unsigned(u32::from_be_bytes(self.take()?).into()),
            Marker::U64 => Head::Unsigned(u64::from_be_bytes(self.take()?)),
            Marker::I8 => Head::Signed(i8::from_be_bytes(self.take()?).into()),
            Marker::I16 => Head::Signed(i16::from_be_bytes(self.take()?).into()),
            Marker::I32 => Head::Signed(i32::from_be_bytes(self.take()?).into()),
            Marker::I64 => Head::Signed(i64::from_be_bytes(self.take()?)),
            Marker::F32 => Head::Float(f32::from_be_bytes(self.take()?).into()),
            Marker::F64 => Head::Float(f64::from_be_bytes(self.take()?)),
            Marker::Array16 => {
                let length = self.length2()?;
                self.array(length)?
            }
            Marker::Array32 => {
                let length = self.length4()?;
                self.array(length)?
            }
            Marker::Map16 => {
                let length = self.length2()?;
                self.map(length)?
            }
            Marker::Map32 => {
                let length = self.length4()?;
                self.map(length)?
            }
            Marker::Bin8 => {
                let length = self.length1()?;
                self.bin(length)?
            }
            Marker::Bin16 => {
                let length = self.length2()?;
                self.bin(length)?
            }
            Marker::Bin32 => {
                let length = self.length4()?;
                self.bin(length)?
            }
            Marker::FixExt1 => self.ext(1)?,
            Marker::FixExt2 => self.ext(2)?,
            Marker::FixExt4 => self.ext(4)?,
            Marker::FixExt8 => self.ext(8)?,
            Marker::FixExt16 => self.ext(16)?,
            Marker::Ext8 => {
                let length = self.length1()?;
                self.ext(length)?
            }
            Marker::Ext16 => {
                let length = self.length2()?;
                self.ext(length)?
            }
            Marker::Ext32 => {
                let length = self.length4()?;
                self.ext(length)?
            }
            Marker::Reserved => return Err(RESERVED),
        })
    }

    /// The bytes of the str that comes next, if a str comes next.
    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        match self.head() {
            Ok(Head::Str(start, end)) => self.blob.get(start..end),
            _ => None,
        }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.blob[self.position..].first_chunk::<N>().ok_or(END_OF_FILE)?;
        self.position += N;
        Ok(*bytes)
    }

    fn length1(&mut self) -> Result<usize, Malformed> {
        Ok(u8::from_be_bytes(self.take()?).into())
    }

    fn length2(&mut self) -> Result<usize, Malformed> {
        Ok(u16::from_be_bytes(self.take()?).into())
    }

    fn length4(&mut self) -> Result<usize, Malformed> {
        usize::try_from(u32::from_be_bytes(self.take()?)).map_err(|_| END_OF_FILE)
    }

    #[inline]
    fn bytes(&mut self, length: usize) -> Result<(usize, usize), Malformed> {
        let start = self.position;
        if length > self.blob.len() - start {
            return Err(END_OF_FILE);
        }
        self.position = start + length;
        Ok((start, self.position))
    }

    #[inline]
    fn str(&mut self, length: usize) -> Result<Head, Malformed> {
        let (start, end) = self.bytes(length)?;
        Ok(Head::Str(start, end))
    }

    fn bin(&mut self, length: usize) -> Result<Head, Malformed> {
        let (start, end) = self.bytes(length)?;
        Ok(Head::Bin(start, end))
    }

    fn ext(&mut self, length: usize) -> Result<Head, Malformed> {
        let [code] = self.take::<1>()?;
        let (start, end) = self.bytes(length)?;
        Ok(Head::Ext(i8::from_be_bytes([code]), start, end))
    }

    #[inline]
    fn array(&mut self, length: usize) -> Result<Head, Malformed> {
        if length > self.blob.len() - self.position {
            Err(END_OF_FILE)
        } else {
            Ok(Head::Array(length))
        }
    }

    #[inline]
    fn map(&mut self, length: usize) -> Result<Head, Malformed> {
        if length > (self.blob.len() - self.position) / 2 {
            Err(END_OF_FILE)
        } else {
            Ok(Head::Map(length))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_end_is_refused_before_anything_is_allocated() {
        for blob in [
            b"\xdd\xff\xff\xff\xff\x01".as_slice(),
            b"\xdf\xff\xff\xff\xff\x01\x01",
            b"\xdb\xff\xff\xff\xffab",
            b"\xc6\xff\xff\xff\xffab",
            b"\xc9\xff\xff\xff\xff\x05ab",
            b"\x92\x01",
            b"\x81\x01",
            b"\xa1",
            b"\xcb\x00",
            b"",
        ] {
            assert_eq!(Cursor::new(blob).head(), Err(END_OF_FILE), "{blob:x?}");
        }
        assert_eq!(Cursor::new(b"\xc1").head(), Err(RESERVED));
    }

    #[test]
    fn every_first_byte_is_read_without_panic() {
        for first in 0..=255 {
            for length in 0..20 {
                let mut blob = vec![first];
                blob.extend(std::iter::repeat_n(0xff, length));
                let mut cursor = Cursor::new(&blob);
                let _ = cursor.head();
                assert!(cursor.position <= blob.len());
            }
        }
    }
}
