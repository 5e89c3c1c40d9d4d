//! The frames of a COMMIT in one write: as many commits as ever, and nothing lost of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use langgraph_checkpoint_rust::sqlite::lock_guard;
use rusqlite::{Connection, params};

use crate::harness::{Actor, Role, Scene, play, say, sibling};

pub(crate) const ROLES: &[Role] = &[
    ("writes_of_a_commit", writes_of_a_commit),
    ("everything_at_once", everything_at_once),
    ("full_disk", full_disk),
    ("padded", padded),
    ("acknowledge", acknowledge),
];

/// Rows, by id: how long the value is, and of which byte.
type Rows = BTreeMap<i64, (usize, u8)>;

fn open(path: &Path, setup: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA auto_vacuum=FULL; {setup} PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
             CREATE TABLE IF NOT EXISTS rows(id INTEGER PRIMARY KEY, value BLOB);
             CREATE INDEX IF NOT EXISTS by_value ON rows(substr(value, 1, 4));"
        ))
        .unwrap();
    connection
}

fn run(connection: &Connection, sql: &str) {
    connection
        .execute_batch(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// As the engine commits.
fn commit(connection: &Connection) -> rusqlite::Result<()> {
    let (committed, written) = lock_guard::gathered(|| connection.execute_batch("COMMIT"));
    assert!(committed.is_err() || written.is_ok());
    committed
}

fn set(connection: &Connection, rows: &mut Rows, id: i64, (length, byte): (usize, u8)) {
    connection
        .prepare_cached("INSERT OR REPLACE INTO rows VALUES (?1, ?2)")
        .unwrap()
        .execute(params![id, vec![byte; length]])
        .unwrap();
    rows.insert(id, (length, byte));
}

fn content(connection: &Connection) -> Rows {
    let healthy: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(healthy, "ok");
    connection
        .prepare("SELECT id, value FROM rows")
        .unwrap()
        .query_map([], |row| {
            let value: Vec<u8> = row.get(1)?;
            assert!(value.iter().all(|byte| *byte == value[0]), "torn");
            Ok((row.get(0)?, (value.len(), value[0])))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// Another connection's view, and that of whoever finds the files after a crash at this moment.
fn check(database: &Path, rows: &Rows) {
    assert!(content(&Connection::open(database).unwrap()) == *rows);
    let left = database.with_extension("left");
    for suffix in ["", "-wal"] {
        fs::copy(sibling(database, suffix), sibling(&left, suffix)).unwrap();
    }
    assert!(content(&Connection::open(&left).unwrap()) == *rows);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(sibling(&left, suffix));
    }
}

/// System calls of this thread that write.
fn writes() -> u64 {
    let figures = fs::read_to_string("/proc/thread-self/io").unwrap();
    let count = figures.lines().find_map(|line| line.strip_prefix("syscw: "));
    count.unwrap().parse().unwrap()
}

fn writes_of_a_commit(scene: &Scene) {
    for (page, synchronous) in [(1_024, "NORMAL"), (4_096, "FULL"), (65_536, "EXTRA")] {
        let path = scene.database.with_extension(page.to_string());
        let setup = format!("PRAGMA page_size={page}; PRAGMA synchronous={synchronous};");
        let (connection, mut rows) = (open(&path, &setup), Rows::new());
        for (id, length) in [(1, 3_000), (2, 3_000), (3, 300_000)] {
            run(&connection, "BEGIN IMMEDIATE");
            set(&connection, &mut rows, id, (length, 7));
            let before = writes();
            commit(&connection).unwrap();
            let made = writes() - before;
            assert!(
                made <= if length > 100_000 { 4 } else { 1 },
                "{made} for {length} bytes"
            );
            check(&path, &rows);
        }
        run(&connection, "BEGIN IMMEDIATE");
        set(&connection, &mut rows, 3, (30_000, 8));
        let before = writes();
        run(&connection, "COMMIT");
        assert!(writes() - before > 1, "what the engine does not ask for");
    }
}

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn id(&mut self) -> i64 {
        i64::try_from(self.below(40)).unwrap()
    }

    fn value(&mut self) -> (usize, u8) {
        let length = [30, 700, 5_000, 70_000][usize::try_from(self.below(4)).unwrap()];
        (length, u8::try_from(1 + self.below(255)).unwrap())
    }
}

fn change(connection: &Connection, rows: &mut Rows, random: &mut Random) {
    for _ in 0..=random.below(6) {
        let id = random.id();
        if random.below(4) == 0 {
            connection.execute("DELETE FROM rows WHERE id=?1", [id]).unwrap();
            rows.remove(&id);
        } else {
            set(connection, rows, id, random.value());
        }
    }
}

/// Two connections whose caches spill, with savepoints and transactions rolled back, checkpoints that start the
/// log afresh or truncate it, all page sizes and levels of synchronous.
fn everything_at_once(scene: &Scene) {
    for seed in 1..=6_u64 {
        let random = &mut Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let path = scene.database.with_extension(seed.to_string());
        let page = [512, 1_024, 4_096, 65_536][usize::try_from(seed % 4).unwrap()];
        let synchronous = ["OFF", "NORMAL", "FULL"][usize::try_from(seed % 3).unwrap()];
        let setup = format!(
            "PRAGMA page_size={page}; PRAGMA synchronous={synchronous}; PRAGMA cache_size=3;
             PRAGMA journal_size_limit={};",
            random.below(2) * 100_000
        );
        let connections = [open(&path, &setup), open(&path, &setup)];
        let mut rows = Rows::new();
        for number in 0..60 {
            let connection = &connections[usize::try_from(random.below(2)).unwrap()];
            let mut inside = rows.clone();
            run(connection, "BEGIN IMMEDIATE");
            change(connection, &mut inside, random);
            for _ in 0..random.below(3) {
                let mut within = inside.clone();
                run(connection, "SAVEPOINT s");
                change(connection, &mut within, random);
                if random.below(2) == 0 {
                    run(connection, "ROLLBACK TO s");
                } else {
                    inside = within;
                }
                run(connection, "RELEASE s");
            }
            if random.below(4) == 0 {
                run(connection, "ROLLBACK");
            } else {
                commit(connection).unwrap();
                rows = inside;
            }
            match random.below(12) {
                0 => run(connection, "PRAGMA wal_checkpoint(RESTART)"),
                1 => run(connection, "PRAGMA wal_checkpoint(TRUNCATE)"),
                2 => run(&connections[0], "PRAGMA wal_checkpoint(PASSIVE)"),
                _ => {}
            }
            if number % 4 == 0 {
                check(&path, &rows);
            }
        }
        check(&path, &rows);
        drop(connections);
        assert!(content(&Connection::open(&path).unwrap()) == rows);
    }
}

fn limit_files(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: reads one `rlimit`; a signal that is ignored runs no code.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}

/// A commit whose frames do not fit, by any number of bytes: it fails, and what came before and comes after stays.
fn full_disk(scene: &Scene) {
    let path = &scene.database;
    let (connection, mut rows) = (open(path, "PRAGMA page_size=1024;"), Rows::new());
    for number in 0..60 {
        let mut inside = rows.clone();
        run(&connection, "BEGIN IMMEDIATE");
        set(&connection, &mut inside, number, (4_000, 1));
        let size = fs::metadata(sibling(path, "-wal")).unwrap().len();
        limit_files(size + 97 * u64::try_from(number).unwrap());
        let before = writes();
        let committed = commit(&connection);
        limit_files(libc::RLIM_INFINITY);
        if committed.is_ok() {
            assert_eq!(writes() - before, 1);
            rows = inside;
        } else if !connection.is_autocommit() {
            run(&connection, "ROLLBACK");
        }
        check(path, &rows);
    }
    assert!((5..55).contains(&rows.len()), "{} rows", rows.len());
}

/// Without `SQLITE_IOCAP_POWERSAFE_OVERWRITE` a commit is padded to a sector, and synced before its last byte.
fn padded(scene: &Scene) {
    let name = format!("file:{}?psow=0", scene.database.display());
    let setup = "PRAGMA page_size=512; PRAGMA synchronous=FULL;";
    let (connection, mut rows) = (open(Path::new(&name), setup), Rows::new());
    let frames = |sql: &str| -> u64 {
        connection.query_row(sql, [], |_| Ok(())).unwrap();
        fs::metadata(sibling(&scene.database, "-wal")).unwrap().len() / (512 + 24)
    };
    let before = frames("SELECT 1");
    for id in 0..100 {
        run(&connection, "BEGIN IMMEDIATE");
        set(&connection, &mut rows, id % 9, (100, 5));
        commit(&connection).unwrap();
        if id % 10 == 0 {
            check(&scene.database, &rows);
        }
    }
    assert!(frames("SELECT 1") - before > 500, "nothing was padded");
    check(&scene.database, &rows);
}

/// Commits until it is killed; each row of a transaction has the transaction's number.
fn acknowledge(scene: &Scene) {
    let connection = open(&scene.database, "PRAGMA cache_size=20;");
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    run(&connection, "CREATE TABLE IF NOT EXISTS parts(number, value)");
    let newest = "SELECT coalesce(max(number), 0) FROM parts";
    let first: i64 = connection.query_row(newest, [], |row| row.get(0)).unwrap();
    say("open");
    for number in first + 1.. {
        run(&connection, "BEGIN IMMEDIATE");
        for part in 0..5 {
            connection
                .prepare_cached("INSERT INTO parts VALUES (?1, zeroblob(?2))")
                .unwrap()
                .execute(params![number, 100 + part * 2_000])
                .unwrap();
        }
        run(&connection, "DELETE FROM parts WHERE number % 50 = 0");
        commit(&connection).unwrap();
        say(&format!("has {number}"));
        if number % 40 == 0 {
            run(&connection, "PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }
}

#[test]
fn a_commit_is_one_write() {
    play("writes_of_a_commit");
}

#[test]
fn spills_rollbacks_and_checkpoints() {
    play("everything_at_once");
}

#[test]
fn a_full_disk_in_the_middle_of_the_frames() {
    play("full_disk");
}

#[test]
fn padding_to_sectors() {
    play("padded");
}

#[test]
fn killed_while_it_commits() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for _ in 0..25 {
        let mut actor = Actor::start("acknowledge", true, &database);
        actor.hear("open");
        let mut acknowledged = 0;
        for _ in 0..=random.below(60) {
            acknowledged = actor.hear("has").parse().unwrap();
        }
        std::thread::sleep(Duration::from_micros(random.below(3_000)));
        actor.kill();
        let connection = Connection::open(&database).unwrap();
        content(&connection);
        let newest: i64 = connection
            .query_row("SELECT max(number) FROM parts", [], |row| row.get(0))
            .unwrap();
        assert!(
            newest >= acknowledged - 1,
            "{acknowledged} was acknowledged, {newest} is there"
        );
        let torn: i64 = connection
            .query_row(
                "SELECT count(*) FROM (SELECT 1 FROM parts GROUP BY number HAVING count(*) <> 5)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(torn, 0);
    }
}
