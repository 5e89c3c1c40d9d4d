//! A walk over msgpack without decoding it.

use rmp::Marker;

/// Extensions whose payload is msgpack again: upstream's constructors and methods (0 to 3), pydantic
/// models (4, 5), arrays (6) and delta snapshots (7).
const NESTING: std::ops::RangeInclusive<i8> = 0..=7;

/// A cursor over msgpack; every step checks the remaining length.
///
/// It may have holes: places after the heads of a value where the rest of that value was left out.
pub(crate) struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    holes: &'a [usize],
    passed: usize,
}

/// What a marker begins.
enum Head {
    /// A value that ends after this many more bytes.
    Scalar(usize),
    /// A str or bin of this many bytes.
    Bytes(usize),
    /// This many values follow.
    Children(u64),
    /// An extension: its type and its length.
    Extension(i8, usize),
}

impl<'a> Walker<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self::with_holes(bytes, &[])
    }

    /// `holes` are ascending positions in `bytes`.
    pub(crate) fn with_holes(bytes: &'a [u8], holes: &'a [usize]) -> Self {
        Self {
            bytes,
            at: 0,
            holes,
            passed: 0,
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len() && self.passed == self.holes.len()
    }

    pub(crate) fn holes_passed(&self) -> usize {
        self.passed
    }

    /// Passes over a hole that is here; its number.
    pub(crate) fn hole(&mut self) -> Option<usize> {
        (self.holes.get(self.passed) == Some(&self.at)).then(|| {
            self.passed += 1;
            self.passed - 1
        })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn unsigned(&mut self, width: usize) -> Option<u64> {
        Some(
            self.take(width)?
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    }

    fn length(&mut self, width: usize) -> Option<usize> {
        usize::try_from(self.unsigned(width)?).ok()
    }

    fn marker(&mut self) -> Option<Marker> {
        Some(Marker::from_u8(self.take(1)?[0]))
    }

    pub(crate) fn map_length(&mut self) -> Option<usize> {
        match self.marker()? {
            Marker::FixMap(length) => Some(length.into()),
            Marker::Map16 => self.length(2),
            Marker::Map32 => self.length(4),
            _ => None,
        }
    }

    pub(crate) fn text(&mut self) -> Option<&'a [u8]> {
        let length = match self.marker()? {
            Marker::FixStr(length) => length.into(),
            Marker::Str8 => self.length(1)?,
            Marker::Str16 => self.length(2)?,
            Marker::Str32 => self.length(4)?,
            _ => return None,
        };
        self.take(length)
    }

    pub(crate) fn owned_text(&mut self) -> Option<String> {
        Some(std::str::from_utf8(self.text()?).ok()?.to_owned())
    }

    /// Passes over one value; its text if it is a str.
    #[expect(clippy::option_option, reason = "outer: malformed; inner: not a str")]
    pub(crate) fn passed_text(&mut self) -> Option<Option<String>> {
        let (start, passed) = (self.at, self.passed);
        self.skip()?;
        let whole = (self.passed == passed).then_some(&self.bytes[start..self.at]);
        Some(whole.and_then(|bytes| Self::new(bytes).owned_text()))
    }

    pub(crate) fn integer(&mut self) -> Option<i64> {
        match self.marker()? {
            Marker::FixPos(number) => Some(number.into()),
            Marker::FixNeg(number) => Some(number.into()),
            Marker::U8 => i64::try_from(self.unsigned(1)?).ok(),
            Marker::U16 => i64::try_from(self.unsigned(2)?).ok(),
            Marker::U32 => i64::try_from(self.unsigned(4)?).ok(),
            _ => None,
        }
    }

    fn head(&mut self) -> Option<Head> {
        Some(match self.marker()? {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
                Head::Scalar(0)
            }
            Marker::U8 | Marker::I8 => Head::Scalar(1),
            Marker::U16 | Marker::I16 => Head::Scalar(2),
            Marker::U32 | Marker::I32 | Marker::F32 => Head::Scalar(4),
            Marker::U64 | Marker::I64 | Marker::F64 => Head::Scalar(8),
            Marker::FixStr(length) => Head::Bytes(length.into()),
            Marker::Str8 | Marker::Bin8 => Head::Bytes(self.length(1)?),
            Marker::Str16 | Marker::Bin16 => Head::Bytes(self.length(2)?),
            Marker::Str32 | Marker::Bin32 => Head::Bytes(self.length(4)?),
            Marker::FixArray(count) => Head::Children(count.into()),
            Marker::Array16 => Head::Children(self.unsigned(2)?),
            Marker::Array32 => Head::Children(self.unsigned(4)?),
            Marker::FixMap(count) => Head::Children(u64::from(count) * 2),
            Marker::Map16 => Head::Children(self.unsigned(2)? * 2),
            Marker::Map32 => Head::Children(self.unsigned(4)? * 2),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.length(1).and_then(|length| self.extension(length))?,
            Marker::Ext16 => self.length(2).and_then(|length| self.extension(length))?,
            Marker::Ext32 => self.length(4).and_then(|length| self.extension(length))?,
            Marker::Reserved => return None,
        })
    }

    fn extension(&mut self, length: usize) -> Option<Head> {
        Some(Head::Extension(self.take(1)?[0].cast_signed(), length))
    }

    /// Passes over one value of any depth without recursion; its ext type, if it is an ext.
    #[expect(clippy::option_option, reason = "outer: malformed; inner: not an ext")]
    pub(crate) fn skip(&mut self) -> Option<Option<i8>> {
        self.skip_values(1)
    }

    /// The same over so many values; the ext type of the first.
    #[expect(clippy::option_option, reason = "outer: malformed; inner: not an ext")]
    pub(crate) fn skip_values(&mut self, count: u64) -> Option<Option<i8>> {
        let mut extension = None;
        let mut pending = count;
        let mut first = true;
        while pending > 0 {
            pending -= 1;
            let (length, children) = match self.head()? {
                Head::Scalar(length) | Head::Bytes(length) => (length, 0),
                Head::Children(count) => (0, count),
                Head::Extension(kind, length) => {
                    if first {
                        extension = Some(kind);
                    }
                    (length, 0)
                }
            };
            if self.hole().is_some() {
                return Some(extension);
            }
            self.take(length)?;
            // Each pending value takes at least one byte, so a forged count fails here, not later.
            let left = (self.bytes.len() - self.at + self.holes.len()) as u64;
            pending = pending.checked_add(children).filter(|count| *count <= left)?;
            first = false;
        }
        Some(extension)
    }

    /// The bytes of the next value, which has no hole.
    pub(crate) fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.skip()?;
        self.bytes.get(start..self.at)
    }

    /// The values that follow the head of an array or a map, which is passed.
    pub(crate) fn children(&mut self) -> Option<u64> {
        match self.head()? {
            Head::Children(count) => Some(count),
            _ => None,
        }
    }

    /// The length of an array.
    pub(crate) fn array_length(&mut self) -> Option<u64> {
        let before = self.at;
        let first = *self.bytes.get(before)?;
        let is_array = matches!(first, 0x90..=0x9f | 0xdc | 0xdd);
        match self.head()? {
            Head::Children(count) if is_array => Some(count),
            _ => None,
        }
    }

    /// Goes into an extension, whose payload is msgpack again; where it ends.
    pub(crate) fn enter_extension(&mut self) -> Option<usize> {
        match self.head()? {
            Head::Extension(kind, length) if NESTING.contains(&kind) => self.at.checked_add(length),
            _ => None,
        }
    }

    /// All texts from here to the end, those in extensions too.
    pub(crate) fn texts(&mut self, texts: &mut Vec<&'a [u8]>) {
        while let Some(head) = self.head() {
            match head {
                Head::Children(_) => {}
                Head::Extension(kind, _) if NESTING.contains(&kind) => {}
                Head::Bytes(length) => texts.extend(self.take(length)),
                Head::Scalar(length) | Head::Extension(_, length) => {
                    if self.take(length).is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Passes over the head of a value, whose length changes with each element that is added: of
    /// extensions that nest too. True if the value is a str or bin, whose bytes are no msgpack.
    pub(crate) fn strip_head(&mut self) -> bool {
        let first = self.at;
        loop {
            let before = self.at;
            match self.head() {
                Some(Head::Children(_)) => return false,
                Some(Head::Extension(kind, _)) if NESTING.contains(&kind) => {}
                Some(Head::Bytes(_)) if before == first => return true,
                _ => {
                    self.at = before;
                    return false;
                }
            }
        }
    }

    /// Goes on to the first element end at `target` or after it, into extensions too. Heads and
    /// scalars follow each other with nothing in between, so this may begin at any element end.
    pub(crate) fn element_end(&mut self, target: usize) -> Option<usize> {
        let mut is_end = true;
        while self.at < target || !is_end {
            is_end = match self.head()? {
                Head::Children(_) => false,
                Head::Extension(kind, _) if NESTING.contains(&kind) => false,
                Head::Scalar(length) | Head::Bytes(length) | Head::Extension(_, length) => {
                    self.take(length)?;
                    true
                }
            };
        }
        Some(self.at)
    }

    pub(crate) fn seek(&mut self, position: usize) {
        self.at = position;
    }
}
