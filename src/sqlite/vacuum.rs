//! `vacuum`: gives free pages at the end of the file back, in slices.

use rusqlite::Connection;

use super::slice::Slice;
use super::statements as sql;
use crate::error::Result;
use crate::model::Vacuumed;

/// `PRAGMA auto_vacuum` of a file that gives pages back when asked.
const INCREMENTAL: i64 = 2;

/// A slice.
pub(super) fn vacuum(connection: &Connection) -> Result<Vacuumed> {
    let slice = Slice::begin();
    let number =
        |statement| Ok::<i64, crate::error::Error>(connection.query_row(statement, [], |row| row.get(0))?);
    let can_shrink = number(sql::AUTO_VACUUM)? == INCREMENTAL;
    let mut freed = 0;
    if can_shrink {
        let mut statement = connection.prepare(sql::INCREMENTAL_VACUUM)?;
        let mut steps = statement.raw_query();
        while !slice.is_over() && steps.next()?.is_some() {
            freed += 1;
        }
    }
    Ok(Vacuumed {
        can_shrink,
        freed,
        left: u64::try_from(number(sql::FREELIST_COUNT)?).unwrap_or_default(),
    })
}
