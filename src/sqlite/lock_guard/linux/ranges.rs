//! A set of byte ranges: the shared locks that a read-only private descriptor holds.

/// Disjoint inclusive ranges, in no order. `SQLite` holds a handful at a time.
#[derive(Debug, Default)]
pub(super) struct RangeSet {
    ranges: Vec<(i64, i64)>,
}

/// The inclusive range of a lock request, whose length 0 means "to the end, however far the file grows".
pub(super) fn of_request(start: i64, length: i64) -> (i64, i64) {
    (
        start,
        if length == 0 {
            i64::MAX
        } else {
            start.saturating_add(length - 1)
        },
    )
}

/// The length that stands for an inclusive range in a lock request.
pub(super) fn length_of(range: (i64, i64)) -> i64 {
    if range.1 == i64::MAX {
        0
    } else {
        range.1 - range.0 + 1
    }
}

impl RangeSet {
    pub(super) fn insert(&mut self, range: (i64, i64)) {
        self.remove(range);
        self.ranges.push(range);
    }

    pub(super) fn remove(&mut self, (start, end): (i64, i64)) {
        let mut left = Vec::with_capacity(self.ranges.len() + 1);
        for &(first, last) in &self.ranges {
            if last < start || first > end {
                left.push((first, last));
                continue;
            }
            if first < start {
                left.push((first, start - 1));
            }
            if last > end {
                left.push((end + 1, last));
            }
        }
        self.ranges = left;
    }

    pub(super) fn clear(&mut self) {
        self.ranges.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.ranges.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(set: &RangeSet) -> Vec<(i64, i64)> {
        let mut ranges: Vec<_> = set.iter().collect();
        ranges.sort_unstable();
        ranges
    }

    #[test]
    fn a_removed_middle_leaves_both_ends() {
        let mut set = RangeSet::default();
        set.insert((10, 20));
        set.remove((13, 15));
        assert_eq!(sorted(&set), [(10, 12), (16, 20)]);
        set.insert((12, 16));
        assert_eq!(sorted(&set), [(10, 11), (12, 16), (17, 20)]);
        set.remove(of_request(0, 0));
        assert!(sorted(&set).is_empty());
    }

    #[test]
    fn a_length_of_zero_reaches_to_the_end() {
        assert_eq!(of_request(5, 0), (5, i64::MAX));
        assert_eq!(length_of((5, i64::MAX)), 0);
        assert_eq!(length_of(of_request(5, 3)), 3);
    }
}
