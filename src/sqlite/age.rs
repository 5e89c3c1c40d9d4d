//! When a checkpoint was made. Its id tells, being a UUID of version 6; of any other, the `ts` inside.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use super::statements::retention as sql;
use crate::error::Result;

/// 100 ns steps from 1582-10-15, where the time of a UUID begins, to 1970.
const BEFORE_1970: u64 = 0x01b2_1dd2_1381_4000;

/// Now, in milliseconds after 1970.
pub(super) fn now() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds after 1970; none if the id does not tell.
pub(super) fn of_id(checkpoint_id: &str) -> Option<i64> {
    let bytes = checkpoint_id.as_bytes();
    if bytes.len() != 36 || bytes[14] != b'6' || !checkpoint_id.is_ascii() {
        return None;
    }
    let digits = |range| u64::from_str_radix(&checkpoint_id[range], 16).ok();
    let (high, middle, low) = (digits(0..8)?, digits(9..13)?, digits(15..18)?);
    let steps = high << 28 | middle << 12 | low;
    i64::try_from(steps.checked_sub(BEFORE_1970)? / 10_000).ok()
}

/// Milliseconds after 1970; none if it is no time.
pub(super) fn of_timestamp(connection: &Connection, timestamp: &str) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached(sql::MILLISECONDS)?;
    Ok(statement.query_row([timestamp], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_from_ids_of_version_6_only() {
        // Made by langgraph at 2024-07-31T20:14:19.804+00:00.
        assert_eq!(
            of_id("1ef4f797-8335-6428-8001-8a1503f9b875"),
            Some(1_722_456_859_803)
        );
        assert_eq!(of_id("1ef4f797-8335-1428-8001-8a1503f9b875"), None);
        assert_eq!(of_id("00000000-0000-6000-8000-000000000000"), None);
        assert_eq!(of_id("short"), None);
        assert_eq!(of_id("1ef4f797-8335-6é28-8001-8a1503f9b875"), None);
    }
}
