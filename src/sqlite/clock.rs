//! Wall-clock time, and the ids of checkpoints made at a time: LangGraph's are UUIDs of version 6, which
//! sort by it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 100 ns from 1582-10-15, where UUIDs count from, to 1970.
const UUID_EPOCH: i64 = 0x01b2_1dd2_1381_4000;

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The greatest id of a checkpoint made by now, or by `age` before. Exact to 100 ns: the first checkpoint
/// of a new run may follow within a microsecond.
pub(super) fn newest_id(age: Duration) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    id_at(i64::try_from(since.saturating_sub(age).as_nanos() / 100).unwrap_or(i64::MAX))
}

/// The greatest id of the time that is so many 100 ns after 1970.
fn id_at(ticks: i64) -> String {
    let ticks = ticks.saturating_add(UUID_EPOCH);
    format!(
        "{:08x}-{:04x}-6{:03x}-ffff-ffffffffffff",
        (ticks >> 28) & 0xffff_ffff,
        (ticks >> 12) & 0xffff,
        ticks & 0xfff
    )
}

/// When a checkpoint was made, in milliseconds since 1970; none for an id that does not tell.
pub(super) fn time_of(checkpoint_id: &str) -> Option<i64> {
    let parts: Vec<&str> = checkpoint_id.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    if lengths != [8, 4, 4, 4, 12] {
        return None;
    }
    let low = parts[2].strip_prefix('6')?;
    let number = |text| i64::from_str_radix(text, 16).ok();
    let ticks = number(parts[0])? << 28 | number(parts[1])? << 12 | number(low)?;
    Some(ticks.checked_sub(UUID_EPOCH)? / 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_the_time_that_it_was_made_at() {
        for time in [0, 1_795_273_200_000, 1_795_273_200_001] {
            assert_eq!(time_of(&id_at(time * 10_000)), Some(time));
        }
        assert!(id_at(17_952_732_000_000_000) < id_at(17_952_732_000_000_001));
        assert!(newest_id(Duration::from_secs(1)) < newest_id(Duration::ZERO));
        assert_eq!(time_of("0001"), None);
        assert_eq!(time_of("1f000000-0000-4000-8000-000000000000"), None);
    }
}
