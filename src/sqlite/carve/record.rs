//! Cells and records of SQLite's b-tree pages, as `sqlite.org/fileformat2.html` specifies them.

use rusqlite::types::Value;

/// Bytes that one cell may hold in its page, by the page's usable size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    /// Rows of a table.
    Table,
    /// Entries of an index, or of a table without row ids.
    Index,
}

/// The beginning of a payload, as far as it is in its page.
pub(super) struct Cell<'a> {
    /// 0 in an index.
    pub(super) rowid: i64,
    pub(super) length: usize,
    pub(super) local: &'a [u8],
    /// The page that the rest begins on.
    pub(super) overflow: Option<u32>,
    /// Where it ends in its page.
    end: usize,
}

/// What kind of leaf a page is, if it is one.
pub(super) fn leaf(page: &[u8]) -> Option<Leaf> {
    match page.first()? {
        13 => Some(Leaf::Table),
        10 => Some(Leaf::Index),
        _ => None,
    }
}

/// Whether a page looks like one of a b-tree: its header and all its pointers are within bounds.
pub(super) fn is_tree(page: &[u8]) -> bool {
    places(page).is_some()
}

/// Whether a page is a leaf that is filled from its end, as SQLite fills pages.
pub(super) fn is_filled(page: &[u8]) -> bool {
    leaf(page).is_some_and(|leaf| {
        is_tree(page)
            && cells(page, leaf, page.len())
                .iter()
                .any(|cell| cell.end == page.len())
    })
}

/// Where the cells are, if that is within bounds.
fn places(page: &[u8]) -> Option<Vec<usize>> {
    let header = match page.first()? {
        2 | 5 => 12,
        10 | 13 => 8,
        _ => return None,
    };
    let cells = number(page, 3, 2)?;
    let first = header + 2 * cells;
    let place = |cell| number(page, header + 2 * cell, 2).filter(|place| (first..page.len()).contains(place));
    (0..cells).map(place).collect()
}

/// The cells of a leaf, those that are whole.
pub(super) fn cells(page: &[u8], leaf: Leaf, usable: usize) -> Vec<Cell<'_>> {
    let count = number(page, 3, 2).unwrap_or(0);
    let cells = (0..count).filter_map(|cell| {
        let place = number(page, 8 + 2 * cell, 2)?;
        read_cell(page.get(..usable)?, place, leaf, usable)
    });
    cells.collect()
}

fn read_cell(page: &[u8], place: usize, leaf: Leaf, usable: usize) -> Option<Cell<'_>> {
    let bytes = page.get(place..)?;
    let (length, mut from) = varint(bytes)?;
    let length = usize::try_from(length).ok()?;
    let mut rowid = 0;
    if leaf == Leaf::Table {
        let (found, more) = varint(&bytes[from..])?;
        (rowid, from) = (found, from + more);
    }
    let most = match leaf {
        Leaf::Table => usable - 35,
        Leaf::Index => (usable - 12) * 64 / 255 - 23,
    };
    if length <= most {
        let local = bytes.get(from..from + length)?;
        return Some(Cell {
            rowid,
            length,
            local,
            overflow: None,
            end: place + from + length,
        });
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let fitting = least + (length - least) % (usable - 4);
    let here = if fitting <= most { fitting } else { least };
    let local = bytes.get(from..from + here)?;
    let overflow = number(bytes, from + here, 4)?;
    Some(Cell {
        rowid,
        length,
        local,
        overflow: Some(u32::try_from(overflow).ok()?),
        end: place + from + here + 4,
    })
}

/// The columns of a record. Of one that is cut off, those that are whole; its first columns are keys.
pub(super) fn columns(payload: &[u8]) -> Option<(usize, Vec<Value>)> {
    let (length, mut from) = varint(payload)?;
    let header = payload.get(from..usize::try_from(length).ok()?)?;
    let mut kinds = Vec::new();
    from = 0;
    while from < header.len() {
        let (kind, more) = varint(&header[from..])?;
        kinds.push(kind);
        from += more;
    }
    let mut rest = &payload[usize::try_from(length).ok()?..];
    let mut values = Vec::with_capacity(kinds.len());
    for kind in &kinds {
        let Some((value, more)) = value(*kind, rest) else {
            break;
        };
        values.push(value);
        rest = &rest[more..];
    }
    Some((kinds.len(), values))
}

/// A value, and its length in bytes.
fn value(kind: i64, bytes: &[u8]) -> Option<(Value, usize)> {
    let length = match kind {
        0 | 8 | 9 => 0,
        1..=4 => usize::try_from(kind).ok()?,
        5 => 6,
        6 | 7 => 8,
        12.. => usize::try_from((kind - 12) / 2).ok()?,
        _ => return None,
    };
    let bytes = bytes.get(..length)?;
    let value = match kind {
        0 => Value::Null,
        1..=6 => Value::Integer(integer(bytes)),
        7 => Value::Real(f64::from_bits(integer(bytes).cast_unsigned())),
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        _ if kind % 2 == 0 => Value::Blob(bytes.to_vec()),
        _ => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
    };
    Some((value, length))
}

fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        -1
    } else {
        0
    };
    bytes
        .iter()
        .fold(sign, |value, byte| (value << 8) | i64::from(*byte))
}

/// A number of up to 9 bytes, and how many they are.
fn varint(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut value: u64 = 0;
    for (place, byte) in bytes.iter().take(8).enumerate() {
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value.cast_signed(), place + 1));
        }
    }
    let last = bytes.get(8)?;
    Some((((value << 8) | u64::from(*last)).cast_signed(), 9))
}

/// A big-endian number of up to 4 bytes.
pub(super) fn number(bytes: &[u8], place: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(place..place + length)?;
    Some(
        bytes
            .iter()
            .fold(0, |value, byte| (value << 8) | usize::from(*byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length() {
        assert_eq!(varint(&[0x7f]), Some((127, 1)));
        assert_eq!(varint(&[0x81, 0x00]), Some((128, 2)));
        assert_eq!(varint(&[0xff; 9]), Some((-1, 9)));
        assert_eq!(varint(&[0x81]), None);
        assert_eq!(integer(&[0xff, 0xfe]), -2);
        assert_eq!(integer(&[0x01, 0x00]), 256);
    }

    #[test]
    fn a_record_that_is_cut_off_tells_its_first_columns() {
        // NULL, 1, "ab", x'0102'.
        let record = [5, 0, 9, 17, 16, b'a', b'b', 1, 2];
        let whole = vec![
            Value::Null,
            Value::Integer(1),
            Value::Text("ab".to_owned()),
            Value::Blob(vec![1, 2]),
        ];
        assert_eq!(columns(&record), Some((4, whole.clone())));
        assert_eq!(columns(&record[..8]), Some((4, whole[..3].to_vec())));
        assert_eq!(columns(&record[..3]), None);
    }

    #[test]
    fn noise_is_no_page() {
        assert!(!is_tree(&[]));
        assert!(!is_tree(&[13, 0, 0, 0xff, 0xff, 0, 0, 0]));
        assert!(is_tree(&[13, 0, 0, 0, 0, 0, 0, 0]));
        // A cell that begins with the last byte.
        let mut page = [0; 512];
        page[..10].copy_from_slice(&[13, 0, 0, 0, 1, 0, 0, 0, 1, 255]);
        assert!(is_tree(&page));
        assert!(cells(&page, Leaf::Table, 512).is_empty());
    }
}
