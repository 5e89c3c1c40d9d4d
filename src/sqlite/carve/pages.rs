//! The pages of a file that SQLite cannot open, with what is committed in its WAL. Nothing is written.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::record::{is_filled, number};

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Page sizes that are tried where nothing tells it, SQLite's default first.
const SIZES: [usize; 8] = [4096, 1024, 8192, 16384, 32768, 65536, 2048, 512];
/// Pages by which a size is told.
const SAMPLE: u64 = 512;
/// The byte that SQLite locks; its page is never used.
const PENDING_BYTE: usize = 0x4000_0000;

/// What a page holds, where a map of pages tells it.
const FREE: u8 = 2;

pub(super) struct Pages {
    file: File,
    wal: Option<Wal>,
    size: usize,
    /// The size without the bytes that SQLite leaves alone at the end.
    pub(super) usable: usize,
    pub(super) count: u32,
    /// Whether the first page begins as it has to.
    pub(super) has_header: bool,
}

/// Committed pages of a write-ahead log.
struct Wal {
    file: File,
    places: HashMap<u32, u64>,
    size: usize,
    count: u32,
}

impl Pages {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        let wal = Wal::open(path)?;
        let header = read_at(&mut file, 0, 100).unwrap_or_default();
        let told = header
            .starts_with(MAGIC)
            .then(|| number(&header, 16, 2))
            .flatten()
            .map(|size| if size == 1 { 65536 } else { size })
            .filter(|size| SIZES.contains(size));
        let spared = told.and_then(|_| number(&header, 20, 1)).unwrap_or(0);
        let size = told.or_else(|| wal.as_ref().map(|wal| wal.size));
        let size = size.unwrap_or_else(|| guess(&mut file, length));
        let wal = wal.filter(|wal| wal.size == size);
        let in_file = u32::try_from(length / size as u64).unwrap_or(u32::MAX);
        let kind = read_at(&mut file, 100, 1).map(|kind| kind[0]);
        Ok(Self {
            count: wal.as_ref().map_or(in_file, |wal| wal.count),
            file,
            wal,
            size,
            usable: size - spared.min(size / 2),
            // The schema is a table of one page or more.
            has_header: told.is_some() && matches!(kind, Some(5 | 13)),
        })
    }

    /// A page, of what is in use of it; None if the disk does not give it.
    pub(super) fn read(&mut self, page: u32) -> Option<Vec<u8>> {
        if page == 0 || page > self.count {
            return None;
        }
        let mut bytes = match self.wal.as_mut() {
            Some(wal) if wal.places.contains_key(&page) => {
                read_at(&mut wal.file, wal.places[&page], self.size)
            }
            _ => read_at(&mut self.file, u64::from(page - 1) * self.size as u64, self.size),
        }?;
        bytes.truncate(self.usable);
        Some(bytes)
    }

    /// The pages that hold nothing that is stored: free ones, and those that tell about pages. What lies on free
    /// pages was deleted, so it may not come back.
    pub(super) fn unused(&mut self) -> Vec<u32> {
        let mut unused = vec![1];
        let pending = u32::try_from(PENDING_BYTE / self.size + 1).unwrap_or(u32::MAX);
        unused.push(pending);
        if self.read(2).is_some_and(|map| self.is_map(&map)) {
            let mut page = 2;
            while page <= self.count {
                let at = if page == pending { page + 1 } else { page };
                unused.push(at);
                let map = self.read(at).unwrap_or_default();
                let kinds = map.chunks_exact(5).zip(at + 1..);
                unused.extend(kinds.filter(|(entry, _)| entry[0] == FREE).map(|(_, page)| page));
                page += self.per_map() + 1;
            }
        } else {
            for page in 2..=self.count {
                if let Some(listed) = self.read(page).and_then(|bytes| self.trunk(page, &bytes)) {
                    unused.push(page);
                    unused.extend(listed);
                }
            }
        }
        unused
    }

    fn per_map(&self) -> u32 {
        u32::try_from(self.usable / 5).unwrap_or(u32::MAX)
    }

    /// Whether a page tells of each page behind it what it holds: a kind and a parent.
    fn is_map(&self, bytes: &[u8]) -> bool {
        let told = (self.count.saturating_sub(2)).min(self.per_map());
        told > 0
            && bytes.chunks_exact(5).take(told as usize).all(|entry| {
                let parent = number(entry, 1, 4).unwrap_or(usize::MAX);
                matches!(entry[0], 1..=5) && parent <= self.count as usize
            })
    }

    /// The pages that a trunk of the list of free pages names.
    fn trunk(&self, page: u32, bytes: &[u8]) -> Option<Vec<u32>> {
        let next = number(bytes, 0, 4)?;
        let count = number(bytes, 4, 4)?;
        if next > self.count as usize || count == 0 || count > self.usable / 4 - 2 {
            return None;
        }
        let mut listed: Vec<u32> = (0..count)
            .map(|place| u32::try_from(number(bytes, 8 + 4 * place, 4)?).ok())
            .collect::<Option<_>>()?;
        listed.sort_unstable();
        let is_list = listed.windows(2).all(|pair| pair[0] < pair[1])
            && listed
                .iter()
                .all(|free| (2..=self.count).contains(free) && *free != page);
        is_list.then_some(listed)
    }
}

impl Wal {
    /// The log beside a database, as far as its checksums and its last commit go.
    fn open(database: &Path) -> std::io::Result<Option<Self>> {
        let mut name = database.file_name().unwrap_or_default().to_owned();
        name.push("-wal");
        let mut file = match File::open(database.with_file_name(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(header) = read_at(&mut file, 0, 32) else {
            return Ok(None);
        };
        let (Some(magic), Some(size)) = (number(&header, 0, 4), number(&header, 8, 4)) else {
            return Ok(None);
        };
        if magic & !1 != 0x377f_0682 || !SIZES.contains(&size) {
            return Ok(None);
        }
        let sum = Checksum(magic & 1 == 1);
        let mut state = sum.over((0, 0), &header[..24]);
        if !Checksum::is(state, &header[24..32]) {
            return Ok(None);
        }
        let mut wal = Self {
            file,
            places: HashMap::new(),
            size,
            count: 0,
        };
        let mut pending = HashMap::new();
        let mut place = 32;
        while let Some(frame) = read_at(&mut wal.file, place, 24 + size) {
            state = sum.over(sum.over(state, &frame[..8]), &frame[24..]);
            if frame[8..16] != header[16..24] || !Checksum::is(state, &frame[16..24]) {
                break;
            }
            let page = number(&frame, 0, 4).unwrap_or(0);
            pending.insert(u32::try_from(page).unwrap_or(0), place + 24);
            // A frame that ends a commit says how many pages the database then has.
            let count = number(&frame, 4, 4).unwrap_or(0);
            if count > 0 {
                wal.count = u32::try_from(count).unwrap_or(u32::MAX);
                wal.places.extend(pending.drain());
            }
            place += 24 + size as u64;
        }
        Ok(Some(wal).filter(|wal| wal.count > 0))
    }
}

/// The checksum of a log, of numbers in one byte order or the other.
struct Checksum(bool);

impl Checksum {
    fn over(&self, (mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
        let word = |bytes: &[u8]| {
            let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
            if self.0 {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            }
        };
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
        }
        (first, second)
    }

    fn is((first, second): (u32, u32), stored: &[u8]) -> bool {
        number(stored, 0, 4) == Some(first as usize) && number(stored, 4, 4) == Some(second as usize)
    }
}

/// The size by which most pages are leaves whose cells end where the page does.
fn guess(file: &mut File, length: u64) -> usize {
    let mut best = (0, SIZES[0]);
    for size in SIZES {
        let count = (length / size as u64).min(SAMPLE);
        let pages = (1..count).filter_map(|page| read_at(file, page * size as u64, size));
        let votes = pages.filter(|page| is_filled(page)).count();
        if votes > best.0 {
            best = (votes, size);
        }
    }
    best.1
}

fn read_at(file: &mut File, place: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(place)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}
