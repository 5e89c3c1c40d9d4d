//! Inodes, descriptors and their limits.

use std::fs;
use std::mem::forget;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use langgraph_checkpoint_rust::sqlite::lock_guard::{self, Counters};
use rusqlite::{Connection, OpenFlags};

use crate::harness::{
    Role, SHARED_BYTES, Scene, commit, fork, leave, open, play, reap, set_posix_lock, sibling,
};

pub(crate) const ROLES: &[Role] = &[
    ("inode_again", inode_again),
    ("closed_behind_our_back", closed_behind_our_back),
    ("read_only_first", read_only_first),
    ("many_files", many_files),
    ("no_descriptor_left", no_descriptor_left),
    ("exec_leaves_nothing", exec_leaves_nothing),
];

/// What another process gets when it asks for an exclusive lock on all readers' bytes.
fn free_for_others(scene: &Scene) -> bool {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(&scene.database)
        .unwrap();
    let granted = reap(fork(|| {
        leave(i32::from(set_posix_lock(&file, libc::F_WRLCK, SHARED_BYTES)))
    })) == 1;
    drop(file);
    granted
}

/// A deleted database's inode number is handed to the next new file.
fn inode_again(scene: &Scene) {
    let mut seen = Vec::new();
    let mut again = 0;
    for _ in 0..40 {
        let connection = scene.open();
        connection.execute_batch("PRAGMA journal_mode=DELETE").unwrap();
        let inode = fs::metadata(&scene.database).unwrap().ino();
        again += usize::from(seen.contains(&inode));
        seen.push(inode);
        assert!(free_for_others(scene));
        connection.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
        assert!(!free_for_others(scene), "the reader's lock is not there");
        connection.execute_batch("COMMIT").unwrap();
        assert!(free_for_others(scene), "the reader's lock is still there");
        drop(connection);
        lock_guard::release_parked();
        assert_eq!(lock_guard::counters(), Counters::default());
        fs::remove_file(&scene.database).unwrap();
    }
    // Without this the loop above has shown nothing; tmpfs and others count inodes upwards for good.
    let directory = scene.database.parent().unwrap();
    let reuses = (0..3).map(|_| {
        let path = directory.join("probe");
        let inode = fs::File::create(&path).unwrap().metadata().unwrap().ino();
        fs::remove_file(path).unwrap();
        inode
    });
    let reuses: Vec<u64> = reuses.collect();
    assert!(again > 0 || reuses[0] != reuses[1], "no inode number came again");
}

#[test]
fn a_reused_inode_number_is_a_new_file() {
    play("inode_again");
}

/// A program that closes all descriptors (as old daemons do) and opens the database afresh: the numbers come
/// again, each of them once as the database, once as a private descriptor, once as another file.
fn closed_behind_our_back(scene: &Scene) {
    drop(scene.open());
    for fillers in [0, 3, 4, 0, 1, 2] {
        // SAFETY: no memory is involved; the connection that loses its descriptors is never used again.
        unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
        let filler: Vec<fs::File> = (0..fillers)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let connection = Connection::open(&scene.database).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode=DELETE; BEGIN; SELECT count(*) FROM t")
            .unwrap();
        assert!(
            !free_for_others(scene),
            "the lock went elsewhere, fillers: {fillers}"
        );
        assert_eq!(
            descriptors_of(&scene.database),
            2,
            "the database and its private descriptor"
        );
        connection.execute_batch("COMMIT").unwrap();
        assert!(free_for_others(scene), "fillers: {fillers}");
        forget(connection);
        forget(filler);
    }
}

fn descriptors_of(path: &std::path::Path) -> usize {
    let all = fs::read_dir("/proc/self/fd").unwrap();
    all.filter(|entry| fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|link| link == path))
        .count()
}

#[test]
fn descriptors_closed_behind_our_back_mislead_nobody() {
    play("closed_behind_our_back");
}

/// A read-only connection first, so that the private descriptor cannot carry a write lock.
fn read_only_first(scene: &Scene) {
    let writer = scene.open();
    writer.execute_batch("PRAGMA journal_mode=DELETE").unwrap();
    commit(&writer, "ours", 1);
    drop(writer);
    let reader = Connection::open_with_flags(&scene.database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    assert!(!free_for_others(scene));
    let writer = Connection::open(&scene.database).unwrap();
    writer.busy_timeout(Duration::ZERO).unwrap();
    writer
        .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES ('ours')")
        .unwrap();
    assert!(!free_for_others(scene), "the reader's lock was not carried over");
    // The write lock is there, for all processes.
    let immediate = || {
        reap(fork(|| {
            let other = Connection::open(&scene.database).unwrap();
            other.busy_timeout(Duration::ZERO).unwrap();
            leave(i32::from(other.execute_batch("BEGIN IMMEDIATE").is_ok()));
        }))
    };
    assert_eq!(immediate(), 0);
    writer.execute_batch("COMMIT").unwrap_err();
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(immediate(), 1);
    assert!(!free_for_others(scene), "the reader's lock is gone");
    reader.execute_batch("COMMIT").unwrap();
    assert!(free_for_others(scene));
    writer.execute_batch("INSERT INTO t VALUES ('ours')").unwrap();
    drop(writer);
    drop(reader);
    assert_eq!(lock_guard::release_parked(), 0);
    assert_eq!(lock_guard::counters(), Counters::default());
}

#[test]
fn a_writer_after_a_reader_keeps_the_readers_lock() {
    play("read_only_first");
}

fn set_descriptor_limit(soft: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads and writes one `rlimit`.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        let before = limit.rlim_cur;
        limit.rlim_cur = soft.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        before
    }
}

fn many_files(scene: &Scene) {
    const DATABASES: usize = 320;
    set_descriptor_limit(16_384);
    let paths: Vec<PathBuf> = (0..DATABASES)
        .map(|number| scene.database.with_extension(number.to_string()))
        .collect();
    let connections: Vec<Connection> = paths.iter().map(|path| open(path)).collect();
    for connection in &connections {
        commit(connection, "ours", 2);
    }
    let counters = lock_guard::counters();
    assert_eq!(
        (counters.private_descriptors, counters.parked_descriptors),
        (2 * DATABASES, 0),
        "{counters:?}"
    );
    drop(connections);
    assert_eq!(lock_guard::counters(), Counters::default());
    assert!(paths.iter().all(|path| !sibling(path, "-wal").exists()));
}

#[test]
fn hundreds_of_databases_at_once() {
    play("many_files");
}

/// With no descriptor left for the private one, a request is refused, not taken as a POSIX lock.
fn no_descriptor_left(scene: &Scene) {
    drop(scene.open());
    let connection = Connection::open(&scene.database).unwrap();
    let highest = fs::read_dir("/proc/self/fd").unwrap();
    let highest = highest
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .max()
        .unwrap();
    let mut filler = Vec::new();
    let before = set_descriptor_limit(highest);
    while let Ok(file) = fs::File::open("/dev/null") {
        filler.push(file);
    }
    let refused = connection
        .query_row("SELECT count(*) FROM t", [], |_| Ok(()))
        .unwrap_err();
    assert_eq!(
        refused.sqlite_error_code(),
        Some(rusqlite::ErrorCode::SystemIoFailure),
        "{refused}"
    );
    let counters = lock_guard::counters();
    assert!(counters.refused_locks > 0);
    assert_eq!(counters.last_refusal, libc::EMFILE);
    drop(connection);
    assert_eq!(
        lock_guard::counters().parked_descriptors,
        0,
        "closing needs no descriptor"
    );
    set_descriptor_limit(before);
    commit(&scene.open(), "ours", 1);
    drop(filler);
    assert_eq!(lock_guard::release_parked(), 0);
    let counters = lock_guard::counters();
    assert_eq!(
        (
            counters.files,
            counters.private_descriptors,
            counters.parked_descriptors
        ),
        (0, 0, 0)
    );
}

#[test]
fn without_a_private_descriptor_there_is_no_lock() {
    play("no_descriptor_left");
}

/// A new program inherits neither private nor parked descriptors.
fn exec_leaves_nothing(scene: &Scene) {
    drop(scene.open());
    let foreign = fs::File::open(&scene.database).unwrap();
    assert!(set_posix_lock(&foreign, libc::F_RDLCK, (0, 1)));
    drop(scene.open());
    let connection = scene.open();
    commit(&connection, "ours", 1);
    let counters = lock_guard::counters();
    assert!(
        counters.parked_descriptors + counters.private_descriptors >= 2,
        "{counters:?}"
    );
    let listed = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("/dev/") || listed.contains("pipe:"), "{listed}");
    assert!(!listed.contains("a.db"), "{listed}");
    // The same after a plain fork, whose child execs with the table as the fork left it.
    let script = "! ls -l /proc/self/fd | grep -q a.db";
    assert_eq!(
        reap(fork(|| panic!(
            "{}",
            Command::new("sh").args(["-c", script]).exec()
        ))),
        0
    );
    drop(foreign);
}

#[test]
fn exec_inherits_no_descriptor() {
    play("exec_leaves_nothing");
}
