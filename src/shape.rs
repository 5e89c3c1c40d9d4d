//! What pruning and delta history must know of a checkpoint, read from msgpack without decoding it.
//!
//! Format read here: a map with `v` (int), `ts` (ISO 8601), `channel_versions` (map by channel) and `channel_values`
//! (map by channel; an ext of type 7 is a `DeltaChannel` snapshot). All else is skipped.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::TypedValue;
use crate::msgpack::Walker;

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
    /// When it was made, as it says.
    pub timestamp: Option<String>,
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
    scan_around(bytes, &[], |_| None)
}

/// As [`scan`], of bytes with holes where the long values were; `fill` fetches what belongs in one.
pub(crate) fn scan_around(
    bytes: &[u8],
    holes: &[usize],
    mut fill: impl FnMut(usize) -> Option<Vec<u8>>,
) -> Option<Shape> {
    let mut walker = Walker::with_holes(bytes, holes);
    let mut shape = Shape::default();
    for _ in 0..walker.map_length()? {
        match walker.text()? {
            b"v" => shape.version = walker.integer()?,
            b"ts" => shape.timestamp = walker.passed_text()?,
            b"channel_versions" => {
                let count = walker.map_length()?;
                if let Some(hole) = walker.hole() {
                    let versions = fill(hole)?;
                    shape.read_versions(&mut Walker::new(&versions), count)?;
                } else {
                    shape.read_versions(&mut walker, count)?;
                }
            }
            b"channel_values" => {
                for _ in 0..walker.map_length()? {
                    let channel = walker.owned_text()?;
                    let is_delta = walker.skip()? == Some(DELTA_SNAPSHOT);
                    shape.channel_values.insert(channel, is_delta);
                }
            }
            _ => {
                walker.skip()?;
            }
        }
    }
    walker.is_at_end().then_some(shape)
}

/// Whether the bytes are one msgpack value and nothing else.
pub fn is_whole(bytes: &[u8]) -> bool {
    let mut walker = Walker::new(bytes);
    walker.skip().is_some() && walker.is_at_end()
}

/// Tells of each channel of a checkpoint its name, the bytes that its value takes here, and the hole that
/// the rest of it is in. `None` if the bytes are not a checkpoint.
pub(crate) fn extents(
    bytes: &[u8],
    holes: &[usize],
    mut tell: impl FnMut(&str, usize, Option<usize>),
) -> Option<()> {
    let mut walker = Walker::with_holes(bytes, holes);
    for _ in 0..walker.map_length()? {
        if walker.text()? != b"channel_values" {
            walker.skip()?;
            continue;
        }
        for _ in 0..walker.map_length()? {
            let channel = walker.owned_text()?;
            let (start, passed) = (walker.position(), walker.holes_passed());
            walker.skip()?;
            let hole = (walker.holes_passed() > passed).then_some(passed);
            tell(&channel, walker.position() - start, hole);
        }
    }
    walker.is_at_end().then_some(())
}

/// One channel of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// It has no value here.
    Missing,
    /// Only the serializer can tell.
    Unknown,
    /// Its bytes, and whether they are a delta snapshot.
    Value(Vec<u8>, bool),
}

/// The value of `channel`, read as [`scan_around`] reads.
pub(crate) fn channel_around(
    bytes: &[u8],
    holes: &[usize],
    channel: &str,
    fill: &mut dyn FnMut(usize) -> Option<Vec<u8>>,
) -> Option<Channel> {
    let mut walker = Walker::with_holes(bytes, holes);
    for _ in 0..walker.map_length()? {
        if walker.text()? != b"channel_values" {
            walker.skip()?;
            continue;
        }
        for _ in 0..walker.map_length()? {
            let is_wanted = walker.text()? == channel.as_bytes();
            let (start, passed) = (walker.position(), walker.holes_passed());
            let is_delta = walker.skip()? == Some(DELTA_SNAPSHOT);
            if is_wanted {
                let mut value = bytes[start..walker.position()].to_vec();
                if walker.holes_passed() > passed {
                    value.extend(fill(passed)?);
                }
                return Some(Channel::Value(value, is_delta));
            }
        }
        return Some(Channel::Missing);
    }
    Some(Channel::Missing)
}

impl Shape {
    fn read_versions(&mut self, walker: &mut Walker<'_>, count: usize) -> Option<()> {
        for _ in 0..count {
            self.channel_versions.insert(walker.owned_text()?);
            walker.skip()?;
        }
        Some(())
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
        assert_eq!(shape.timestamp, None);
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
