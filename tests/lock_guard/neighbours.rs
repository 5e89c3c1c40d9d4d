//! Other code of the process opens and closes the same file (T16, T17 of the fault plan).

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use langgraph_checkpoint_rust::sqlite::{foreign_sqlite, lock_guard};

use crate::harness::{
    Actor, Role, SHARED_BYTES, Scene, commit, count, fork, leave, reap, say, set_posix_lock, sibling, visit,
    wait,
};
use crate::second_sqlite::{self, Neighbour};

pub(crate) const ROLES: &[Role] = &[
    ("visit", visit_as_the_last_one),
    ("plain_close", |scene| {
        ours(scene, || read_plainly(&scene.database));
    }),
    ("library_close", |scene| {
        ours(scene, || drop(Neighbour::open(&scene.database)));
    }),
    ("we_close", |scene| theirs(scene, || drop(scene.open()))),
    ("we_open_and_close_unused", |scene| {
        theirs(scene, || {
            drop(rusqlite::Connection::open(&scene.database).unwrap());
        });
    }),
    ("we_fork", |scene| {
        let inherited = scene.open();
        commit(&inherited, "ours", 1);
        theirs(scene, || {
            assert_eq!(reap(fork(|| commit(&scene.open(), "child", 100))), 0);
            drop(inherited);
        });
    }),
    ("parking", parking),
    ("detect", detect),
    ("exclude", exclude),
    ("mingle", mingle),
];

const FIRST: usize = 200;
const LATER: usize = 2_000;

fn read_plainly(path: &Path) {
    let mut header = [0; 16];
    File::open(path).unwrap().read_exact(&mut header).unwrap();
}

/// What `SQLite` before 3.51 does when a connection closes: with an exclusive lock on the database it is the
/// last one out, has the log copied and deletes it. (Later versions look at the `-shm` file's locks as well.)
fn visit_as_the_last_one(scene: &Scene) {
    let connection = scene.open();
    commit(&connection, "visitor", 1);
    let file = File::options()
        .read(true)
        .write(true)
        .open(&scene.database)
        .unwrap();
    if set_posix_lock(&file, libc::F_WRLCK, SHARED_BYTES) {
        connection
            .query_row("PRAGMA wal_checkpoint", [], |_| Ok(()))
            .unwrap();
        std::fs::remove_file(sibling(&scene.database, "-wal")).unwrap();
        std::fs::remove_file(sibling(&scene.database, "-shm")).unwrap();
    }
    leave(0);
}

/// We write, something happens in this process, another process visits, we write on until killed.
fn ours(scene: &Scene, disturb: impl FnOnce()) {
    let connection = scene.open();
    commit(&connection, "ours", FIRST);
    disturb();
    say("disturbed");
    wait();
    commit(&connection, "ours", LATER);
    say("acknowledged");
    wait();
}

/// The same, with the second library as the one that writes and whose commits are counted.
fn theirs(scene: &Scene, disturb: impl FnOnce()) {
    drop(scene.open());
    let neighbour = Neighbour::open(&scene.database);
    neighbour.commit("theirs", FIRST);
    disturb();
    say("disturbed");
    wait();
    neighbour.commit("theirs", LATER);
    say("acknowledged");
    wait();
}

/// Plays a scenario to its kill -9; returns how many acknowledged commits of `who` are gone.
fn lost(role: &str, who: &str, guarded: bool) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let mut writer = Actor::start(role, guarded, &database);
    writer.hear("disturbed");
    visit(&database);
    writer.go();
    writer.hear("acknowledged");
    writer.kill();
    let there = count(&database, who);
    FIRST + LATER - there
}

fn kept_only_with_the_guard(role: &str, who: &str) {
    assert_eq!(lost(role, who, true), 0, "with the guard");
    assert!(lost(role, who, false) >= LATER, "the planted fault was not seen");
}

#[test]
fn a_plain_open_and_close_loses_nothing() {
    kept_only_with_the_guard("plain_close", "ours");
}

#[test]
fn a_second_library_that_closes_loses_nothing_of_ours() {
    if second_sqlite::available() {
        kept_only_with_the_guard("library_close", "ours");
    }
}

#[test]
fn our_close_loses_nothing_of_the_neighbour() {
    if second_sqlite::available() {
        kept_only_with_the_guard("we_close", "theirs");
    }
}

#[test]
fn our_close_without_a_single_statement_loses_nothing_of_the_neighbour() {
    if second_sqlite::available() {
        kept_only_with_the_guard("we_open_and_close_unused", "theirs");
    }
}

#[test]
fn our_fork_loses_nothing_of_the_neighbour() {
    if second_sqlite::available() {
        assert_eq!(lost("we_fork", "theirs", true), 0);
    }
}

#[test]
fn python_that_visits_cannot_take_the_log_away() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let mut writer = Actor::start("plain_close", true, &database);
    writer.hear("disturbed");
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM t'); c.close()";
    let visited = Command::new("python3")
        .args(["-c", script])
        .arg(&database)
        .status();
    if !visited.is_ok_and(|status| status.success()) {
        return;
    }
    writer.go();
    writer.hear("acknowledged");
    writer.kill();
    assert_eq!(count(&database, "ours"), FIRST + LATER);
}

/// Descriptors parked for a neighbour are used again, and closed once the neighbour is gone.
fn parking(scene: &Scene) {
    drop(scene.open());
    let open_before = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let foreign = File::open(&scene.database).unwrap();
    drop(scene.open());
    assert_eq!(
        lock_guard::counters(),
        lock_guard::Counters::default(),
        "without a lock it has nothing to lose"
    );
    assert!(set_posix_lock(&foreign, libc::F_RDLCK, (0, 1)));
    for _ in 0..50 {
        let one = scene.open();
        let two = scene.open();
        commit(&one, "ours", 1);
        commit(&two, "ours", 1);
    }
    let counters = lock_guard::counters();
    assert!((1..=2).contains(&counters.parked_descriptors), "{counters:?}");
    assert_eq!(counters.private_descriptors, 1, "{counters:?}");
    assert_eq!(
        lock_guard::release_parked(),
        counters.parked_descriptors,
        "the neighbour is still there"
    );
    drop(foreign);
    assert_eq!(lock_guard::release_parked(), 0);
    assert_eq!(lock_guard::counters(), lock_guard::Counters::default());
    assert_eq!(std::fs::read_dir("/proc/self/fd").unwrap().count(), open_before);
}

#[test]
fn parked_descriptors_are_bounded_and_released() {
    crate::harness::play("parking");
}

/// The detector counts libraries, not connections.
fn detect(scene: &Scene) {
    assert!(!foreign_sqlite::is_present(&scene.database));
    let one = scene.open();
    let two = scene.open();
    commit(&one, "ours", 1);
    commit(&two, "ours", 1);
    assert!(!foreign_sqlite::is_present(&scene.database));
    let neighbour = Neighbour::open(&scene.database);
    neighbour.commit("theirs", 1);
    assert!(foreign_sqlite::is_present(&scene.database));
    drop(neighbour);
    assert!(!foreign_sqlite::is_present(&scene.database));
}

#[test]
fn the_detector_sees_a_second_library() {
    if second_sqlite::available() {
        crate::harness::play("detect");
    }
}

/// The two libraries exclude each other inside one process.
fn exclude(scene: &Scene) {
    let ours = scene.open();
    ours.busy_timeout(Duration::ZERO).unwrap();
    let neighbour = Neighbour::open(&scene.database);
    neighbour.execute("PRAGMA busy_timeout=0");
    ours.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(
        neighbour.try_execute("BEGIN IMMEDIATE"),
        rusqlite::ffi::SQLITE_BUSY
    );
    ours.execute_batch("ROLLBACK").unwrap();
    neighbour.execute("BEGIN IMMEDIATE");
    let busy = ours.execute_batch("BEGIN IMMEDIATE").unwrap_err();
    assert_eq!(busy.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
    neighbour.execute("ROLLBACK");
    ours.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
}

#[test]
fn both_libraries_of_a_process_exclude_each_other() {
    if second_sqlite::available() {
        crate::harness::play("exclude");
    }
}

const ROUNDS: usize = 40;
const PER_ROUND: usize = 10;

/// Threads of both libraries write, and open and close all the time.
fn mingle(scene: &Scene) {
    drop(scene.open());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..ROUNDS).for_each(|_| commit(&scene.open(), "ours", PER_ROUND)));
            scope.spawn(|| {
                (0..ROUNDS).for_each(|_| Neighbour::open(&scene.database).commit("theirs", PER_ROUND));
            });
        }
    });
    // A visiting process may have the file locked at this instant.
    while lock_guard::release_parked() > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(lock_guard::counters(), lock_guard::Counters::default());
}

/// Both libraries with two threads each in one process, beside a plain process that comes and goes.
#[test]
fn both_libraries_of_a_process_lose_nothing_under_load() {
    if !second_sqlite::available() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let crowd = Actor::start("mingle", true, &database);
    for _ in 0..10 {
        visit(&database);
    }
    crowd.finish();
    assert_eq!(count(&database, "ours"), 2 * ROUNDS * PER_ROUND);
    assert_eq!(count(&database, "theirs"), 2 * ROUNDS * PER_ROUND);
    assert_eq!(count(&database, "visitor"), 10);
}
