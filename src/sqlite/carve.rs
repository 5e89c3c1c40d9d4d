//! `carve`: what `recover` does where SQLite cannot read the schema, or not even the header. The pages are
//! read without SQLite: rows of our tables are told by their columns, and go into a new database, which is then
//! read as any damaged one, with all its checks.
//!
//! A checkpoint or a write that goes on on a page that is lost is taken over without its value, so that its name
//! is among what is lost. Markers of deletions are taken over too: what they hide stays hidden.

mod pages;
mod record;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use self::pages::Pages;
use self::record::{Leaf, cells, columns, is_tree, leaf};
use super::gate;
use super::manager;
use super::schema::{self, Ended};
use super::slice::Slice;
use super::statements::maintenance as sql;
use super::transaction::Transaction;
use crate::chunk;
use crate::error::{Error, Result};
use crate::model::{Carved, Format};
use crate::stepwise::{Desk, Stepwise};

/// Pages read between two looks at the clock.
const BATCH: u32 = 64;

/// How long a step lasts.
const TIME: Duration = Duration::from_millis(10);

/// The tag of a value that was lost: no bytes are no msgpack.
const LOST: &str = "msgpack";

pub(super) fn carve(source: PathBuf, target: PathBuf) -> Result<Stepwise<Carved>> {
    Stepwise::start(source.clone(), move |desk| {
        let since = Instant::now();
        run(&source, &target, desk).map_err(|error| error.at(&source, since.elapsed()))
    })
}

fn run(source: &Path, target: &Path, desk: &Desk<Carved>) -> Result<Carved> {
    let unreadable = |error: std::io::Error| Error::CannotOpen {
        path: source.to_path_buf(),
        detail: error.to_string(),
    };
    let connection = {
        let _pass = gate::enter();
        manager::open_scratch(target).map_err(|error| error.at(target, Duration::ZERO))?
    };
    let mut carved = Carved::default();
    let pages = Pages::open(source).map_err(unreadable)?;
    Carver::new(pages, &connection)?.run(&mut carved, desk)?;
    let _pass = gate::enter();
    drop(connection);
    Ok(carved)
}

struct Carver<'a> {
    pages: Pages,
    connection: &'a Connection,
    /// By page: whether it is known what it is there for.
    known: Vec<bool>,
    format: Format,
}

/// A table of ours, as a row of it looks.
enum Row {
    Checkpoint,
    Write,
    Chunk,
    Thread,
    Deletion,
}

impl<'a> Carver<'a> {
    fn new(pages: Pages, connection: &'a Connection) -> Result<Self> {
        let _pass = gate::enter();
        schema::migrate(connection, Format::Compact)?;
        Ok(Self {
            known: vec![false; pages.count as usize + 1],
            pages,
            connection,
            format: Format::Interop,
        })
    }

    fn run(&mut self, carved: &mut Carved, desk: &Desk<Carved>) -> Result<()> {
        let connection = self.connection;
        carved.total = self.pages.count.into();
        let unused = self.pages.unused();
        let mut skipped = vec![false; self.known.len()];
        for page in unused {
            if let Some(known) = self.known.get_mut(page as usize) {
                *known = true;
                skipped[page as usize] = true;
            }
        }
        self.known[1] = self.pages.has_header;
        let pass = gate::enter();
        let transaction = Transaction::begin_write(connection)?;
        drop(pass);
        let mut since = Instant::now();
        for page in 1..=self.pages.count {
            if !skipped[page as usize] {
                let _pass = gate::enter();
                self.take_page(page, carved)?;
            }
            carved.done = page.into();
            if page % BATCH == 0 && since.elapsed() >= TIME {
                desk.report(*carved)?;
                since = Instant::now();
            }
        }
        let _pass = gate::enter();
        if self.format == Format::Interop {
            schema::begin_conversion(connection, Format::Interop)?;
            while !matches!(schema::end_downgrade(connection, &Slice::begin())?, Ended::Done) {}
        }
        transaction.commit()?;
        carved.gaps = self.known[1..].iter().filter(|known| !**known).count() as u64;
        Ok(())
    }

    fn take_page(&mut self, number: u32, carved: &mut Carved) -> Result<()> {
        let Some(page) = self.pages.read(number).filter(|page| is_tree(page)) else {
            return Ok(());
        };
        self.known[number as usize] = true;
        let Some(leaf) = leaf(&page) else { return Ok(()) };
        for cell in cells(&page, leaf, self.pages.usable) {
            let mut payload = cell.local.to_vec();
            let is_read = self.follow(cell.overflow, cell.length, &mut payload);
            if let Some((count, values)) = columns(&payload)
                && let Some(row) = kind_of(leaf, count, &values)
            {
                let is_whole = is_read && values.len() == count;
                carved.rows += self.insert(&row, cell.rowid, count, values, is_whole)?;
            }
        }
        Ok(())
    }

    /// Reads on on the pages that a value goes on on; false if they do not lead to its end.
    fn follow(&mut self, mut next: Option<u32>, length: usize, payload: &mut Vec<u8>) -> bool {
        while let Some(number) = next.filter(|_| payload.len() < length) {
            let Some(page) = self.pages.read(number) else {
                return false;
            };
            let told = record::number(&page, 0, 4).and_then(|next| u32::try_from(next).ok());
            let more = (length - payload.len()).min(page.len() - 4);
            let is_last = payload.len() + more == length;
            // A page that is another value's, or that does not end where the value does, is not its page.
            let known = &mut self.known[number as usize];
            if std::mem::replace(known, true) || told.is_none_or(|told| (told == 0) != is_last) {
                return false;
            }
            payload.extend_from_slice(&page[4..4 + more]);
            next = told;
        }
        payload.len() == length
    }

    fn insert(
        &mut self,
        row: &Row,
        rowid: i64,
        count: usize,
        mut values: Vec<Value>,
        is_whole: bool,
    ) -> Result<u64> {
        let insert = match row {
            Row::Checkpoint => {
                if !is_whole {
                    values.truncate(3);
                    values.extend([
                        Value::Null,
                        LOST.to_owned().into(),
                        Value::Blob(Vec::new()),
                        Value::Null,
                    ]);
                }
                self.note_tag(&values[4]);
                sql::CARVED_CHECKPOINT
            }
            Row::Write => {
                if !is_whole {
                    values.truncate(if count == 9 && is_text(&values[4]) { 7 } else { 6 });
                    values.extend([LOST.to_owned().into(), Value::Blob(Vec::new())]);
                }
                if !is_text(&values[4]) {
                    // Upstream added `task_path` behind the others.
                    let path = if values.len() > 8 {
                        values.remove(8)
                    } else {
                        String::new().into()
                    };
                    values.insert(4, path);
                }
                self.note_tag(&values[7]);
                sql::CARVED_WRITE
            }
            Row::Chunk | Row::Thread | Row::Deletion if !is_whole => return Ok(0),
            Row::Chunk => {
                self.format = Format::Compact;
                sql::CARVED_CHUNK
            }
            Row::Thread => {
                if matches!(values[6], Value::Integer(checkpoints) if checkpoints > 0) {
                    self.format = Format::Compact;
                }
                sql::CARVED_THREAD
            }
            Row::Deletion => sql::CARVED_DELETION,
        };
        match row {
            Row::Checkpoint | Row::Write => values.insert(0, Value::Integer(rowid)),
            Row::Chunk | Row::Thread => values[0] = Value::Integer(rowid),
            Row::Deletion => {}
        }
        let mut statement = self.connection.prepare_cached(insert)?;
        Ok(statement.execute(params_from_iter(values))? as u64)
    }

    fn note_tag(&mut self, tag: &Value) {
        if matches!(tag, Value::Text(tag) if tag == chunk::TAG) {
            self.format = Format::Compact;
        }
    }
}

/// The table that a record is a row of. Of one that is cut off its keys are told.
fn kind_of(leaf: Leaf, count: usize, values: &[Value]) -> Option<Row> {
    let has = |kinds: &str| {
        let kinds = kinds.bytes().take(count);
        let mut found = values.iter();
        kinds
            .into_iter()
            .all(|kind| found.next().is_none_or(|value| is_kind(value, kind)))
    };
    let is_keyed = values.len() >= 3;
    match (leaf, count) {
        (Leaf::Table, 7) if is_keyed && has("tttTTBB") => Some(Row::Checkpoint),
        (Leaf::Table, 9) if values.len() >= 7 && has("tttttitTB") => Some(Row::Write),
        (Leaf::Table, 8 | 9) if values.len() >= 6 && has("ttttitTBt") => Some(Row::Write),
        (Leaf::Table, 6) if values.len() == 6 && has("niibib") => Some(Row::Chunk),
        (Leaf::Table, 23) if values.len() == 23 && has("nTiiIIiiTITTTTTTiiIITiI") => Some(Row::Thread),
        (Leaf::Index, 3) if values.len() == 3 && has("tIi") => {
            matches!(values[2], Value::Integer(0 | 1)).then_some(Row::Deletion)
        }
        _ => None,
    }
}

/// Text, integer, blob or null; a capital may be null too, and `B` is text or a blob.
fn is_kind(value: &Value, kind: u8) -> bool {
    match value {
        Value::Null => kind == b'n' || kind.is_ascii_uppercase(),
        Value::Text(_) => matches!(kind, b't' | b'T' | b'B'),
        Value::Integer(_) => matches!(kind, b'i' | b'I'),
        Value::Blob(_) => matches!(kind, b'b' | b'B'),
        Value::Real(_) => false,
    }
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::Text(_))
}
