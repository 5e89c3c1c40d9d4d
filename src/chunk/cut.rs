//! Where a long value is cut: decided by the bytes near each cut alone, so that an insertion, an
//! appended element or a dropped one moves no cut but its neighbours.
//!
//! A rolling hash picks a place, which is moved to the next element end if one comes before the cap.

use crate::msgpack::Walker;

/// No leaf that ends with a cut is shorter.
pub(crate) const LEAST: usize = 1 << 10;
/// No leaf is longer.
pub(crate) const MOST: usize = 16 << 10;

/// One place in this many is picked, so that leaves are some 4 KiB long: `LEAST`, plus this, plus the
/// rest of an element.
const ODDS: u64 = 2816;

/// Bytes that the rolling hash depends on.
const WINDOW: usize = 64;

/// The values of the bytes in the rolling hash: `splitmix64` of 0 to 255.
const GEAR: [u64; 256] = {
    let mut table = [0; 256];
    let mut state: u64 = 0;
    let mut index = 0;
    while index < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        table[index] = mixed ^ (mixed >> 31);
        index += 1;
    }
    table
};

/// The cuts of one body.
pub(crate) struct Cutter<'a> {
    body: &'a [u8],
    /// None where the bytes are no msgpack, or stopped being any.
    walker: Option<Walker<'a>>,
}

impl<'a> Cutter<'a> {
    /// `raw` says that the bytes are those of a str or bin.
    pub(crate) fn new(body: &'a [u8], raw: bool) -> Self {
        let walker = (!raw).then(|| Walker::new(body));
        Self { body, walker }
    }

    /// Goes on at an element end that is known.
    pub(crate) fn seek(&mut self, element_end: usize) {
        if let Some(walker) = &mut self.walker {
            walker.seek(element_end);
        }
    }

    /// The end of the leaf that begins at `start`, and the first element end from there on; None if no
    /// cut comes before the body ends.
    pub(crate) fn next(&mut self, start: usize) -> Option<(usize, usize)> {
        let cap = start.saturating_add(MOST);
        let target = pick(self.body, start, cap)?;
        let element_end = self.element_end(target);
        let end = if element_end <= cap { element_end } else { target };
        (end < self.body.len()).then_some((end, element_end))
    }

    fn element_end(&mut self, target: usize) -> usize {
        let end = self.walker.as_mut().and_then(|walker| walker.element_end(target));
        if end.is_none() {
            self.walker = None;
        }
        // Without any, no element end comes before the cap.
        end.unwrap_or(usize::MAX)
    }
}

/// The first place after `start + LEAST` whose rolling hash is low enough; up to the cap, the last of the
/// lowest. So even bytes that repeat, where none is low enough, are cut at a place of their own, not at one
/// that depends on where they begin.
fn pick(body: &[u8], start: usize, cap: usize) -> Option<usize> {
    let first = start + LEAST;
    let warm = body.get(first - WINDOW..first)?;
    let mut hash = warm.iter().fold(0, |hash, byte| roll(hash, *byte));
    let (mut lowest, mut place) = (u64::MAX, first);
    for (offset, byte) in body.get(first..cap.min(body.len()))?.iter().enumerate() {
        if hash < u64::MAX / ODDS {
            return Some(first + offset);
        }
        if hash <= lowest {
            (lowest, place) = (hash, first + offset);
        }
        hash = roll(hash, *byte);
    }
    (cap < body.len()).then_some(place)
}

#[inline]
fn roll(hash: u64, byte: u8) -> u64 {
    (hash << 1).wrapping_add(GEAR[usize::from(byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(body: &[u8], raw: bool) -> Vec<usize> {
        let mut cutter = Cutter::new(body, raw);
        let mut cuts = Vec::new();
        let mut start = 0;
        while let Some((end, _)) = cutter.next(start) {
            assert!(end > start && end - start <= MOST, "{start}..{end}");
            cuts.push(end);
            start = end;
        }
        cuts
    }

    /// Strings of 100 to 800 bytes.
    fn elements(count: u64) -> Vec<Vec<u8>> {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 33
        };
        (0..count)
            .map(|_| {
                let text: String = (0..100 + random() % 700)
                    .map(|_| char::from(b'a' + u8::try_from(random() % 26).unwrap()))
                    .collect();
                let mut out = Vec::new();
                rmp::encode::write_str(&mut out, &text).unwrap();
                out
            })
            .collect()
    }

    #[test]
    fn leaves_are_some_4_kib_long_and_end_with_elements() {
        let elements = elements(2_000);
        let body = elements.concat();
        let mut ends = Vec::new();
        elements.iter().fold(0, |at, element| {
            ends.push(at + element.len());
            at + element.len()
        });
        let cuts = cuts(&body, false);
        let mean = body.len() / cuts.len();
        assert!((3_500..5_000).contains(&mean), "{mean}");
        // The few others are where the next element end is beyond the cap.
        let at_ends = cuts.iter().filter(|cut| ends.binary_search(cut).is_ok()).count();
        assert!(at_ends * 50 > cuts.len() * 49, "{at_ends} of {}", cuts.len());
    }

    #[test]
    fn what_is_dropped_in_front_moves_no_later_cut() {
        let elements = elements(400);
        let whole = elements.concat();
        let dropped = elements[3..].concat();
        let shift = whole.len() - dropped.len();
        let later: Vec<_> = cuts(&dropped, false).iter().map(|cut| cut + shift).collect();
        let whole = cuts(&whole, false);
        let same = later.iter().filter(|cut| whole.contains(cut)).count();
        assert!(same + 4 > whole.len(), "{same} of {}", whole.len());
    }

    #[test]
    fn a_long_element_is_cut_inside() {
        let mut body = Vec::new();
        rmp::encode::write_bin(&mut body, &elements(20_000).concat()).unwrap();
        assert!(body.len() > 8 << 20);
        let cuts = cuts(&body, false);
        assert!(cuts.len() > body.len() / MOST);
    }

    #[test]
    fn what_never_picks_is_cut_at_the_cap_and_what_always_picks_at_the_least() {
        let constant = vec![0xc0; 1 << 20];
        let never = cuts(&constant, true);
        let rows = constant.len() / never[0];
        assert!(never.len().abs_diff(rows) <= 1);
        assert!(rows <= constant.len() / LEAST);
        // No input can do worse: a leaf has at least LEAST bytes, a quarter of the target.
        let random = elements(4_000).concat();
        assert!(cuts(&random, true).len() <= random.len() / LEAST);
    }

    #[test]
    fn damaged_msgpack_is_cut_all_the_same() {
        let mut body = elements(100).concat();
        body[0] = 0xc1;
        assert_eq!(cuts(&body, false), cuts(&body, true));
    }
}
