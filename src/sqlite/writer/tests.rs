//! Groups that are tried again, and commits that are given up.

use super::super::job::{Order, TypedJob};
use super::super::settings::JournalMode;
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

type Work = Box<dyn FnMut(&WriteTransaction<'_>) -> Result<()> + Send>;

fn writer(path: &Path, journal_mode: JournalMode, setting: &str) -> Arc<Writer> {
    let settings = Settings {
        journal_mode,
        ..Settings::default()
    };
    let location = manager::Location::File(path.to_path_buf());
    let (connection, _) = manager::open_writer(&location, &settings).unwrap();
    connection
        .execute_batch(&format!("CREATE TABLE stored (value BLOB); {setting}"))
        .unwrap();
    let reopen: Reopen = Box::new(|| Err(Error::Invalid("reopened".to_owned())));
    Arc::new(Writer::new(
        path,
        &settings,
        connection,
        Format::Interop,
        reopen,
        Box::new(|_| {}),
    ))
}

fn insert(bytes: i64) -> Work {
    Box::new(move |transaction| {
        transaction
            .connection
            .execute("INSERT INTO stored VALUES (zeroblob(?1))", [bytes])?;
        Ok(())
    })
}

/// Queues a job; where its outcome will be.
fn queue(writer: &Writer, baton: Option<&Arc<Baton>>, work: Work) -> Arc<Mutex<Option<Result<()>>>> {
    let now = Instant::now();
    let order = Order {
        synchronous: Synchronous::Normal,
        bytes: 0,
        since: now,
        deadline: now + PATIENCE,
        cancel: Cancel::default(),
        baton: baton.map(Arc::clone),
        alone: false,
    };
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    writer.enqueue(Box::new(TypedJob {
        order,
        work,
        value: None,
        done: Box::new(move |result| *lock(&tell) = Some(result)),
    }));
    told
}

fn is_stored(told: &Mutex<Option<Result<()>>>) -> Option<bool> {
    lock(told).as_ref().map(Result::is_ok)
}

#[test]
fn what_a_void_group_tries_again_waits_for_a_neighbour() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("writer.db");
    let writer = writer(&path, JournalMode::Wal, "PRAGMA max_page_count = 20");
    let first = queue(&writer, None, insert(100));
    let mut neighbour = Some(Connection::open(&path).unwrap());
    let mut too_large = insert(1 << 20);
    let full = queue(
        &writer,
        None,
        Box::new(move |transaction| {
            let result = too_large(transaction);
            // The full disk has rolled everything back, so that the lock is free.
            if let Some(neighbour) = neighbour.take() {
                neighbour.execute_batch("BEGIN IMMEDIATE").unwrap();
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(200));
                    drop(neighbour);
                });
            }
            result
        }),
    );
    let baton = Arc::new(Baton::default());
    let last = queue(&writer, Some(&baton), insert(200));
    writer
        .attend(&baton, &Cancel::default(), Instant::now() + PATIENCE, patient)
        .unwrap();
    let stored = [first, full, last].map(|told| is_stored(&told));
    assert_eq!(stored, [Some(true), Some(false), Some(true)]);
    assert!(writer.stats().lock_waits > 0);
}

#[test]
fn a_commit_that_readers_block_is_given_up_and_the_others_stay_queued() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("writer.db");
    let writer = writer(&path, JournalMode::Delete, "");
    let reader = Connection::open(&path).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM stored")
        .unwrap();
    let baton = Arc::new(Baton::default());
    let own = queue(&writer, Some(&baton), insert(100));
    let other_baton = Arc::new(Baton::default());
    let other = queue(&writer, Some(&other_baton), insert(200));
    let deadline = Instant::now() + PATIENCE;
    let given_up = writer.attend(&baton, &Cancel::default(), deadline, || true);
    assert!(matches!(given_up, Err(Error::Interrupted)));
    assert_eq!((is_stored(&own), is_stored(&other)), (None, None));
    drop(reader);
    writer
        .attend(&other_baton, &Cancel::default(), deadline, patient)
        .unwrap();
    assert_eq!((is_stored(&own), is_stored(&other)), (None, Some(true)));
    let bytes = |connection: &Connection| -> Result<i64> {
        let total = "SELECT sum(length(value)) FROM stored";
        Ok(connection.query_row(total, [], |row| row.get(0))?)
    };
    assert_eq!(writer.with_connection(bytes).unwrap(), 200);
}
