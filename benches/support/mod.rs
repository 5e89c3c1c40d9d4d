//! What the benchmarks of the engine share: values, an engine beside a bare connection, batches.

#![allow(dead_code, reason = "each benchmark uses some of it")]

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::Criterion;
use langgraph_checkpoint_rust::backend::Backend;
use langgraph_checkpoint_rust::model::{
    Blob, CheckpointKey, EncodedCheckpoint, EncodedWrite, EncodedWrites, OnConflict, Payload, StoredTuple,
    TypedValue,
};
use langgraph_checkpoint_rust::sqlite::{Location, Settings, SqliteBackend};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

/// About 2, 200 and 1,000 messages.
pub(crate) const SIZES: [usize; 3] = [1_000, 60_000, 300_000];
const BATCH: u64 = 64;
pub(crate) const THREAD: &str = "thread";
pub(crate) const METADATA: &[u8] = br#"{"source": "loop", "step": 1, "parents": {}}"#;

const UPSERT: &str = "INSERT OR REPLACE INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id,
    parent_checkpoint_id, type, checkpoint, metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const INSERT_WRITE: &str = "INSERT OR IGNORE INTO writes (thread_id, checkpoint_ns, checkpoint_id, task_id,
    task_path, idx, channel, type, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const SELECT_LATEST: &str = "SELECT checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
    FROM checkpoints WHERE thread_id = ?1 AND checkpoint_ns = ?2 ORDER BY checkpoint_id DESC LIMIT 1";
const SELECT_WRITES: &str = "SELECT task_id, channel, type, value FROM writes WHERE thread_id = ?1
    AND checkpoint_ns = ?2 AND checkpoint_id = ?3 ORDER BY task_path, task_id, idx";
const SELECT_PAGE: &str = "SELECT thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type,
    checkpoint, metadata FROM checkpoints WHERE thread_id = ?1 AND checkpoint_ns = '' ORDER BY checkpoint_id
    DESC LIMIT ?2";

pub(crate) fn checkpoint_id(number: u64) -> String {
    format!("1f000000-0000-6000-8000-{number:012}")
}

pub(crate) fn typed(bytes: &[u8]) -> TypedValue {
    TypedValue {
        tag: Some("msgpack".to_owned()),
        payload: Payload::Bytes(Blob::new(bytes.to_vec())),
    }
}

pub(crate) fn key(number: u64) -> CheckpointKey {
    CheckpointKey {
        thread_id: THREAD.to_owned(),
        checkpoint_ns: String::new(),
        checkpoint_id: checkpoint_id(number),
    }
}

pub(crate) fn checkpoint(number: u64, bytes: &[u8]) -> EncodedCheckpoint {
    EncodedCheckpoint {
        key: key(number),
        parent_checkpoint_id: Some(checkpoint_id(number.saturating_sub(1))),
        value: typed(bytes),
        metadata: Blob::new(METADATA),
        outline: None,
        chunkable: true,
    }
}

pub(crate) fn writes(number: u64, bytes: &[u8]) -> EncodedWrites {
    let write = |index: i64, channel: &str| EncodedWrite {
        index,
        channel: channel.to_owned(),
        value: typed(bytes),
    };
    EncodedWrites {
        key: key(number),
        task_id: "task".to_owned(),
        task_path: "~__pregel_pull, agent".to_owned(),
        on_conflict: OnConflict::Ignore,
        writes: vec![write(0, "messages"), write(1, "branch:to:tools")],
        chunkable: true,
    }
}

/// An engine and a bare connection, each on a file of its own.
pub(crate) struct Pair {
    pub(crate) engine: SqliteBackend,
    pub(crate) bare: Connection,
    _directory: tempfile::TempDir,
}

impl Pair {
    pub(crate) fn new(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = settings.writer_cache();
        let bare_path = directory.path().join("bare.db");
        // The engine makes the bare file's tables too, so that both are laid out alike.
        let maker = SqliteBackend::new(Location::File(bare_path.clone()), settings.clone(), None);
        maker.setup().wait().unwrap();
        maker.close();
        let engine = SqliteBackend::new(Location::File(directory.path().join("engine.db")), settings, None);
        engine.setup().wait().unwrap();
        Self {
            engine,
            bare: bare(&bare_path, cache),
            _directory: directory,
        }
    }

    pub(crate) fn fill(&self, rows: u64, bytes: &[u8]) {
        for number in 0..rows {
            self.engine.put(checkpoint(number, bytes), None).wait().unwrap();
            self.engine
                .put_writes(writes(number, b"small"), None)
                .wait()
                .unwrap();
            bare_put(&self.bare, &checkpoint(number, bytes));
            bare_put_writes(&self.bare, &writes(number, b"small"));
        }
    }

    pub(crate) fn empty(&self) {
        self.engine
            .delete_threads(vec![THREAD.to_owned()], false)
            .wait()
            .unwrap();
        self.bare
            .execute_batch("DELETE FROM checkpoints; DELETE FROM writes")
            .unwrap();
    }
}

fn bare(path: &Path, cache: u64) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "synchronous", "NORMAL").unwrap();
    let kibibytes = i64::try_from(cache / 1024).unwrap();
    connection.pragma_update(None, "cache_size", -kibibytes).unwrap();
    connection.pragma_update(None, "cell_size_check", true).unwrap();
    // As the engine: a compact file's own triggers refuse inserts, and without stable plans `ORDER BY ... LIMIT` is
    // prepared anew at each bind.
    let set = |option, value| connection.set_db_config(option, value).unwrap();
    assert!(!set(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false));
    assert!(set(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true));
    connection
}

pub(crate) fn transaction(connection: &Connection, begin: &str, job: impl FnOnce()) {
    connection.prepare_cached(begin).unwrap().execute([]).unwrap();
    job();
    connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
}

pub(crate) fn bare_put(connection: &Connection, row: &EncodedCheckpoint) {
    transaction(connection, "BEGIN IMMEDIATE", || {
        insert_checkpoint(connection, row);
    });
}

pub(crate) fn insert_checkpoint(connection: &Connection, row: &EncodedCheckpoint) {
    connection
        .prepare_cached(UPSERT)
        .unwrap()
        .execute(params![
            row.key.thread_id,
            row.key.checkpoint_ns,
            row.key.checkpoint_id,
            row.parent_checkpoint_id,
            row.value.tag,
            row.value.payload.as_slice(),
            row.metadata.as_slice(),
        ])
        .unwrap();
}

pub(crate) fn bare_put_writes(connection: &Connection, call: &EncodedWrites) {
    transaction(connection, "BEGIN IMMEDIATE", || {
        let mut statement = connection.prepare_cached(INSERT_WRITE).unwrap();
        for write in &call.writes {
            statement
                .execute(params![
                    call.key.thread_id,
                    call.key.checkpoint_ns,
                    call.key.checkpoint_id,
                    call.task_id,
                    call.task_path,
                    write.index,
                    write.channel,
                    write.value.tag,
                    write.value.payload.as_slice(),
                ])
                .unwrap();
        }
    });
}

pub(crate) fn bare_get_tuple(connection: &Connection) -> usize {
    let mut bytes = 0;
    transaction(connection, "BEGIN", || {
        let id: String = connection
            .prepare_cached(SELECT_LATEST)
            .unwrap()
            .query_row([THREAD, ""], |row| {
                bytes += row.get::<_, Vec<u8>>(3)?.len() + row.get::<_, Vec<u8>>(4)?.len();
                row.get(0)
            })
            .unwrap();
        let mut statement = connection.prepare_cached(SELECT_WRITES).unwrap();
        let mut rows = statement.query([THREAD, "", &id]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            bytes += row.get::<_, Vec<u8>>(3).unwrap().len();
        }
    });
    bytes
}

pub(crate) fn bare_list(connection: &Connection, limit: usize) -> usize {
    let mut bytes = 0;
    transaction(connection, "BEGIN", || {
        let mut statement = connection.prepare_cached(SELECT_PAGE).unwrap();
        let mut writes = connection.prepare_cached(SELECT_WRITES).unwrap();
        let limit = i64::try_from(limit).unwrap();
        let mut rows = statement.query(params![THREAD, limit]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            bytes += row.get::<_, Vec<u8>>(5).unwrap().len();
            let id: String = row.get(2).unwrap();
            let mut found = writes.query([THREAD, "", &id]).unwrap();
            while let Some(row) = found.next().unwrap() {
                bytes += row.get::<_, Vec<u8>>(3).unwrap().len();
            }
        }
    });
    bytes
}

pub(crate) fn latest(engine: &SqliteBackend) -> StoredTuple {
    let found = engine.get_tuple(THREAD.to_owned(), String::new(), None);
    found.wait().unwrap().unwrap()
}

/// Times `verb` in batches, and empties the files between them.
pub(crate) fn batches(pair: &Pair, iterations: u64, verb: impl Fn(u64)) -> Duration {
    let mut taken = Duration::ZERO;
    let mut done = 0;
    while done < iterations {
        let batch = BATCH.min(iterations - done);
        let started = Instant::now();
        (done..done + batch).for_each(&verb);
        taken += started.elapsed();
        pair.empty();
        done += batch;
    }
    taken
}

/// Runs benchmarks with the samples that all of them take.
pub(crate) fn run(benchmarks: &[fn(&mut Criterion)]) {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for benchmark in benchmarks {
        benchmark(&mut criterion);
    }
    criterion.final_summary();
}
