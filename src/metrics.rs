//! Counters of a verb: how often, how long, how many bytes. No locks: each number is an atomic of its own.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Buckets of an octave: a duration is known within a 32nd part of itself.
const PER_OCTAVE: usize = 16;
const LOG_PER_OCTAVE: u32 = PER_OCTAVE.trailing_zeros();
/// Up to 2^44 ns, which is almost five hours; what takes longer counts as that.
const LONGEST: u64 = (1 << 44) - 1;
const BUCKETS: usize = index(LONGEST) + 1;

/// How long something took, in log-linear buckets: one octave has `PER_OCTAVE` of the same width.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

/// What a [`Histogram`] held at one moment.
#[derive(Clone, Debug)]
pub struct Durations {
    buckets: Vec<u64>,
    /// The sum of all.
    pub total: Duration,
}

/// Figures of one verb.
#[derive(Debug, Default)]
pub struct Meter {
    /// Calls that came to an end, whichever.
    pub durations: Histogram,
    /// Bytes that came from the caller.
    pub bytes_in: AtomicU64,
    /// Bytes that went to the caller.
    pub bytes_out: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            nanoseconds: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).map_or(LONGEST, |exact| exact.min(LONGEST));
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
        if let Some(bucket) = self.buckets.get(index(nanoseconds)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// What was counted until now.
    pub fn snapshot(&self) -> Durations {
        Durations {
            buckets: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            total: Duration::from_nanos(self.nanoseconds.load(Relaxed)),
        }
    }
}

impl Durations {
    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The duration that this part of all did not exceed: the middle of its bucket. `None` of nothing.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank between 1 and a count far below 2^52"
        )]
        let rank = ((part * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        let found = self.buckets.iter().position(|bucket| {
            seen += bucket;
            seen >= rank
        })?;
        let (from, width) = bounds(found);
        Some(Duration::from_nanos(from + width / 2))
    }

    /// How many took less than 2^`exponent` nanoseconds. Exact: an octave begins with a bucket.
    pub fn below(&self, exponent: u32) -> u64 {
        let end = index((1_u64 << exponent).min(LONGEST));
        self.buckets.iter().take(end).sum()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "no bucket's number is above that of the longest"
)]
const fn index(nanoseconds: u64) -> usize {
    let bits = u64::BITS - nanoseconds.leading_zeros();
    if bits <= LOG_PER_OCTAVE {
        return nanoseconds as usize;
    }
    let shift = bits - LOG_PER_OCTAVE - 1;
    ((shift as usize) << LOG_PER_OCTAVE) + (nanoseconds >> shift) as usize
}

/// Where a bucket begins, and how wide it is.
fn bounds(index: usize) -> (u64, u64) {
    let octave = index >> LOG_PER_OCTAVE;
    if octave == 0 {
        return (index as u64, 1);
    }
    let shift = octave - 1;
    let mantissa = (index - (shift << LOG_PER_OCTAVE)) as u64;
    (mantissa << shift, 1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_lies_in_its_bucket_and_buckets_touch() {
        for nanoseconds in (0..5_000).chain((0..44).flat_map(|bit| [1 << bit, (1 << bit) * 7 / 5])) {
            let (from, width) = bounds(index(nanoseconds));
            assert!((from..from + width).contains(&nanoseconds), "{nanoseconds}");
            assert!(width <= 1 || width * 16 <= from, "{nanoseconds}");
        }
        for at in 1..BUCKETS {
            let (before, width) = bounds(at - 1);
            assert_eq!(before + width, bounds(at).0);
        }
        assert_eq!(index(LONGEST), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_within_a_thirty_second() {
        let histogram = Histogram::default();
        assert!(histogram.snapshot().quantile(0.5).is_none());
        for microseconds in 1..=1000 {
            histogram.record(Duration::from_micros(microseconds));
        }
        let durations = histogram.snapshot();
        assert_eq!(durations.count(), 1000);
        assert_eq!(durations.total, Duration::from_micros(500_500));
        for (part, exact) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = durations.quantile(part).unwrap().as_secs_f64() * 1e6;
            assert!((found - exact).abs() <= exact / 32.0, "{part}: {found}");
        }
        assert_eq!(durations.below(14), 16); // up to 16.384 µs
        assert_eq!(durations.below(63), 1000);
    }

    #[test]
    fn what_takes_for_ever_counts_as_the_longest() {
        let histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.snapshot().count(), 1);
        assert_eq!(histogram.snapshot().below(40), 0);
    }
}
