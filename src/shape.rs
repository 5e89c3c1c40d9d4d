//! What pruning and delta history must know of a checkpoint, read from msgpack without decoding it.
//!
//! Format read here: a map with `v` (int), `channel_versions` (map by channel) and `channel_values`
//! (map by channel; an ext of type 7 is a `DeltaChannel` snapshot). All else is skipped.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rmp::Marker;

use crate::model::TypedValue;

/// msgpack ext type of `_DeltaSnapshot`.
const DELTA_SNAPSHOT: i8 = 7;

/// The version from which checkpoints carry their own pending sends.
pub const VERSION_WITH_SENDS: i64 = 4;

/// How much a verb collects of checkpoints it cannot read before it asks for their serializer.
pub const UNKNOWN_BYTES: usize = 16 << 20;

/// The outline of one checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The checkpoint format's version.
    pub version: i64,
    /// Channels that have a version.
    pub channel_versions: HashSet<String>,
    /// Channels whose value is stored here, and whether it is a delta snapshot.
    pub channel_values: HashMap<String, bool>,
}

/// Outlines of checkpoints that only their serializer can read, by content.
#[derive(Debug, Default)]
pub struct ShapeBook(Mutex<HashMap<blake3::Hash, Shape>>);

impl ShapeBook {
    /// Remembers what a serializer found in `value`.
    pub fn learn(&self, value: &TypedValue, shape: Shape) {
        self.entries()
            .insert(digest(value.tag.as_deref(), value.payload.as_slice()), shape);
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<blake3::Hash, Shape>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outline of a stored checkpoint, if it can be known without Python.
    pub fn shape_of(&self, tag: Option<&str>, payload: &[u8]) -> Option<Shape> {
        if tag == Some("msgpack")
            && let Some(shape) = scan(payload)
        {
            return Some(shape);
        }
        if self.entries().is_empty() {
            return None;
        }
        self.entries().get(&digest(tag, payload)).cloned()
    }
}

fn digest(tag: Option<&str>, payload: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(tag.unwrap_or_default().as_bytes());
    hasher.update(&[0]);
    hasher.update(payload);
    hasher.finalize()
}

/// Reads the outline; `None` if the bytes are not a checkpoint in plain msgpack.
pub fn scan(bytes: &[u8]) -> Option<Shape> {
    let mut reader = Reader(bytes);
    let mut shape = Shape::default();
    for _ in 0..reader.map_length()? {
        match reader.text()? {
            b"v" => shape.version = reader.integer()?,
            b"channel_versions" => {
                for _ in 0..reader.map_length()? {
                    shape.channel_versions.insert(reader.owned_text()?);
                    reader.skip()?;
                }
            }
            b"channel_values" => {
                for _ in 0..reader.map_length()? {
                    let channel = reader.owned_text()?;
                    shape
                        .channel_values
                        .insert(channel, reader.skip()? == Some(DELTA_SNAPSHOT));
                }
            }
            _ => {
                reader.skip()?;
            }
        }
    }
    reader.0.is_empty().then_some(shape)
}

/// Whether the bytes are one msgpack value and nothing else.
pub fn is_whole(bytes: &[u8]) -> bool {
    let mut reader = Reader(bytes);
    reader.skip().is_some() && reader.0.is_empty()
}

/// A cursor over msgpack; every step checks the remaining length.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
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

    fn map_length(&mut self) -> Option<usize> {
        match self.marker()? {
            Marker::FixMap(length) => Some(length.into()),
            Marker::Map16 => self.length(2),
            Marker::Map32 => self.length(4),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = match self.marker()? {
            Marker::FixStr(length) => length.into(),
            Marker::Str8 => self.length(1)?,
            Marker::Str16 => self.length(2)?,
            Marker::Str32 => self.length(4)?,
            _ => return None,
        };
        self.take(length)
    }

    fn owned_text(&mut self) -> Option<String> {
        Some(std::str::from_utf8(self.text()?).ok()?.to_owned())
    }

    fn integer(&mut self) -> Option<i64> {
        match self.marker()? {
            Marker::FixPos(number) => Some(number.into()),
            Marker::FixNeg(number) => Some(number.into()),
            Marker::U8 => i64::try_from(self.unsigned(1)?).ok(),
            Marker::U16 => i64::try_from(self.unsigned(2)?).ok(),
            Marker::U32 => i64::try_from(self.unsigned(4)?).ok(),
            _ => None,
        }
    }

    /// Passes over one value of any depth without recursion; its ext type, if it is an ext.
    #[expect(clippy::option_option, reason = "outer: malformed; inner: not an ext")]
    fn skip(&mut self) -> Option<Option<i8>> {
        let mut extension = None;
        let mut pending: u64 = 1;
        let mut first = true;
        while pending > 0 {
            pending -= 1;
            let (width, extra, children) = match self.marker()? {
                Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
                    (0, 0, 0)
                }
                Marker::U8 | Marker::I8 => (0, 1, 0),
                Marker::U16 | Marker::I16 => (0, 2, 0),
                Marker::U32 | Marker::I32 | Marker::F32 => (0, 4, 0),
                Marker::U64 | Marker::I64 | Marker::F64 => (0, 8, 0),
                Marker::FixStr(length) => (0, usize::from(length), 0),
                Marker::Str8 | Marker::Bin8 => (1, 0, 0),
                Marker::Str16 | Marker::Bin16 => (2, 0, 0),
                Marker::Str32 | Marker::Bin32 => (4, 0, 0),
                Marker::FixArray(count) => (0, 0, u64::from(count)),
                Marker::Array16 => (0, 0, self.unsigned(2)?),
                Marker::Array32 => (0, 0, self.unsigned(4)?),
                Marker::FixMap(count) => (0, 0, u64::from(count) * 2),
                Marker::Map16 => (0, 0, self.unsigned(2)? * 2),
                Marker::Map32 => (0, 0, self.unsigned(4)? * 2),
                marker @ (Marker::FixExt1
                | Marker::FixExt2
                | Marker::FixExt4
                | Marker::FixExt8
                | Marker::FixExt16
                | Marker::Ext8
                | Marker::Ext16
                | Marker::Ext32) => {
                    let length = match marker {
                        Marker::FixExt1 => 1,
                        Marker::FixExt2 => 2,
                        Marker::FixExt4 => 4,
                        Marker::FixExt8 => 8,
                        Marker::FixExt16 => 16,
                        Marker::Ext8 => self.length(1)?,
                        Marker::Ext16 => self.length(2)?,
                        _ => self.length(4)?,
                    };
                    let kind = self.take(1)?[0].cast_signed();
                    if first {
                        extension = Some(kind);
                    }
                    (0, length, 0)
                }
                Marker::Reserved => return None,
            };
            let length = if width > 0 { self.length(width)? } else { extra };
            self.take(length)?;
            // Each pending value takes at least one byte, so a forged count fails here, not later.
            pending = pending
                .checked_add(children)
                .filter(|count| *count <= self.0.len() as u64)?;
            first = false;
        }
        Some(extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, value: &str) {
        rmp::encode::write_str(out, value).unwrap();
    }

    fn checkpoint() -> Vec<u8> {
        let mut out = Vec::new();
        rmp::encode::write_map_len(&mut out, 4).unwrap();
        text(&mut out, "v");
        rmp::encode::write_uint(&mut out, 4).unwrap();
        text(&mut out, "ts");
        rmp::encode::write_array_len(&mut out, 2).unwrap();
        rmp::encode::write_nil(&mut out).unwrap();
        rmp::encode::write_f64(&mut out, 1.5).unwrap();
        text(&mut out, "channel_values");
        rmp::encode::write_map_len(&mut out, 2).unwrap();
        text(&mut out, "plain");
        rmp::encode::write_bin(&mut out, &[0; 300]).unwrap();
        text(&mut out, "delta");
        rmp::encode::write_ext_meta(&mut out, 3, DELTA_SNAPSHOT).unwrap();
        out.extend([1, 2, 3]);
        text(&mut out, "channel_versions");
        rmp::encode::write_map_len(&mut out, 1).unwrap();
        text(&mut out, "plain");
        text(&mut out, "0001.5");
        out
    }

    #[test]
    fn the_outline_of_a_checkpoint_is_read_without_decoding_values() {
        let shape = scan(&checkpoint()).unwrap();
        assert_eq!(shape.version, 4);
        assert_eq!(shape.channel_versions, HashSet::from(["plain".to_owned()]));
        assert_eq!(
            shape.channel_values,
            HashMap::from([("plain".to_owned(), false), ("delta".to_owned(), true)])
        );
    }

    #[test]
    fn truncated_or_forged_bytes_have_no_outline() {
        let bytes = checkpoint();
        for length in 0..bytes.len() {
            assert_eq!(scan(&bytes[..length]), None, "cut at {length}");
        }
        assert_eq!(scan(&[0xdf, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(scan(&[0x81, 0xa1, b'x', 0xdd, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn a_value_is_whole_if_it_ends_where_the_bytes_do() {
        let bytes = checkpoint();
        assert!(is_whole(&bytes));
        assert!((0..bytes.len()).all(|length| !is_whole(&bytes[..length])));
        assert!(!is_whole(&[bytes.as_slice(), &[0]].concat()));
    }

    #[test]
    fn nesting_does_not_recurse() {
        let mut bytes = vec![0x81, 0xa1, b'x'];
        bytes.extend(vec![0x91; 1_000_000]);
        bytes.push(0xc0);
        assert_eq!(scan(&bytes), Some(Shape::default()));
    }

    #[test]
    fn a_book_knows_what_it_learned_by_content() {
        use crate::model::{Blob, Payload};

        let value = TypedValue {
            tag: Some("msgpack+aes".to_owned()),
            payload: Payload::Bytes(Blob::new(b"secret".to_vec())),
        };
        let book = ShapeBook::default();
        let shape = Shape {
            version: 1,
            ..Shape::default()
        };
        assert_eq!(book.shape_of(Some("msgpack+aes"), b"secret"), None);
        book.learn(&value, shape.clone());
        assert_eq!(book.shape_of(Some("msgpack+aes"), b"secret"), Some(shape));
        assert_eq!(book.shape_of(Some("msgpack+aes"), b"other"), None);
    }
}
