//! fork at awkward moments: inherited handles that are used, a dead parent, busy threads (T18, T19).

use std::fs::File;
use std::mem::forget;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use langgraph_checkpoint_rust::sqlite::lock_guard;

use crate::forks::assert_kept;
use crate::harness::{
    Actor, Role, Scene, commit, count, fork, leave, reap, say, set_posix_lock, visit, wait,
};

pub(crate) const ROLES: &[Role] = &[
    ("fork_inherited_is_refused", inherited_is_refused),
    ("fork_at_random", at_random),
    ("fork_within_a_transaction", within_a_transaction),
    ("fork_outlives_its_parent", outlives_its_parent),
    ("fork_with_a_neighbour", with_a_neighbour),
];

/// An inherited connection takes no lock in the child, and says so at once.
fn inherited_is_refused(scene: &Scene) {
    let inherited = scene.open();
    inherited.execute_batch("PRAGMA journal_mode=DELETE").unwrap();
    inherited.busy_timeout(Duration::ZERO).unwrap();
    let mut inherited = Some(inherited);
    let child = fork(|| {
        let started = Instant::now();
        let refused = inherited
            .as_ref()
            .unwrap()
            .execute("INSERT INTO t VALUES ('child')", [])
            .unwrap_err();
        assert_eq!(
            refused.sqlite_error_code(),
            Some(rusqlite::ErrorCode::SystemIoFailure),
            "{refused}"
        );
        assert!(started.elapsed() < Duration::from_millis(100));
        assert!(lock_guard::counters().refused_locks > 0);
        drop(inherited.take());
        leave(0);
    });
    assert_eq!(reap(child), 0);
    // The child's close has left no lock on the descriptions that it shared.
    let inherited = inherited.unwrap();
    inherited.execute("INSERT INTO t VALUES ('parent')", []).unwrap();
}

#[test]
fn an_inherited_connection_is_refused_in_the_child() {
    crate::harness::play("fork_inherited_is_refused");
}

/// A child that does nothing must not keep its dead parent's locks alive.
fn outlives_its_parent(scene: &Scene) {
    let connection = scene.open();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    fork(|| {
        // Not the parent: the child must have come through the fork.
        say("forked");
        let end = scene.database.with_extension("end");
        while !end.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(end).unwrap();
        leave(0);
    });
    wait();
}

#[test]
fn the_locks_of_a_dead_parent_are_gone_while_its_child_lives() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let mut parent = Actor::start("fork_outlives_its_parent", true, &database);
    parent.hear("forked");
    assert!(!Actor::start("try_write", false, &database).ended_well());
    parent.kill();
    let free = Actor::start("try_write", false, &database).ended_well();
    let end = database.with_extension("end");
    std::fs::write(&end, "").unwrap();
    while end.exists() {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(free);
}

/// In the child, closing what it inherited takes no lock away from other code of the child.
fn with_a_neighbour(scene: &Scene) {
    let mut inherited = Some(scene.open());
    commit(inherited.as_ref().unwrap(), "parent", 1);
    let child = fork(|| {
        let neighbour = File::options()
            .read(true)
            .write(true)
            .open(&scene.database)
            .unwrap();
        assert!(set_posix_lock(&neighbour, libc::F_WRLCK, (100, 1)));
        drop(inherited.take());
        let taken = fork(|| leave(i32::from(set_posix_lock(&neighbour, libc::F_WRLCK, (100, 1)))));
        assert_eq!(reap(taken), 0, "the neighbour's lock is gone");
    });
    assert_eq!(reap(child), 0);
}

#[test]
fn closing_what_was_inherited_spares_the_childs_neighbour() {
    crate::harness::play("fork_with_a_neighbour");
}

/// The parent is inside a write transaction when it forks; the child dies, and opens nothing.
fn within_a_transaction(scene: &Scene) {
    let connection = scene.open();
    connection
        .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES ('parent')")
        .unwrap();
    assert_eq!(reap(fork(|| ())), 0);
    let other = scene.open();
    other.busy_timeout(Duration::ZERO).unwrap();
    assert_eq!(
        reap(fork(|| {
            let fresh = rusqlite::Connection::open(&scene.database).unwrap();
            fresh.busy_timeout(Duration::ZERO).unwrap();
            fresh.execute_batch("BEGIN IMMEDIATE").unwrap_err();
            let rows: i64 = fresh
                .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
                .unwrap();
            assert_eq!(rows, 0);
        })),
        0
    );
    connection.execute_batch("COMMIT").unwrap();
    forget(other);
    say("forked");
    wait();
    say("acknowledged");
    wait();
}

#[test]
fn a_fork_inside_a_transaction_keeps_it_and_its_lock() {
    assert_kept("fork_within_a_transaction", &[("parent", 1)]);
}

/// Threads write and read, open and close, while their process forks again and again.
fn at_random(scene: &Scene) {
    drop(scene.open());
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let busy: Vec<_> = (0..8)
        .map(|number| {
            let (stop, acknowledged, path) = (
                Arc::clone(&stop),
                Arc::clone(&acknowledged),
                scene.database.clone(),
            );
            thread::spawn(move || {
                let mut connection = crate::harness::open(&path);
                while !stop.load(Ordering::Relaxed) {
                    if number % 2 == 0 {
                        commit(&connection, "parent", 1);
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    } else {
                        connection
                            .query_row("SELECT count(*) FROM t", [], |_| Ok(()))
                            .unwrap();
                    }
                    if number % 4 == 3 {
                        connection = crate::harness::open(&path);
                    }
                }
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let mut children = 0;
    for turn in 0..FORKS {
        thread::sleep(Duration::from_micros(1_500 + 700 * (turn as u64 % 7)));
        let started = Instant::now();
        let child = fork(|| match turn % 6 {
            0 => leave(0),
            2..6 => {
                // One thread, so the child's allocator and SQLite's mutexes must have survived the fork.
                commit(&scene.open(), "child", 3);
                leave(0);
            }
            _ => panic!("{}", Command::new("true").exec()),
        });
        slowest = slowest.max(started.elapsed());
        children += usize::from(turn % 6 >= 2);
        assert_eq!(reap(child), 0, "child of turn {turn}");
    }
    say("forked");
    wait();
    stop.store(true, Ordering::Relaxed);
    for thread in busy {
        thread.join().unwrap();
    }
    assert!(slowest < Duration::from_secs(2), "a fork took {slowest:?}");
    assert_eq!(children, CHILDREN_THAT_WRITE);
    say(&format!("acknowledged {}", acknowledged.load(Ordering::Relaxed)));
    wait();
}

const FORKS: usize = 90;
const CHILDREN_THAT_WRITE: usize = 60;

#[test]
fn forks_at_random_instants_lose_nothing_and_hang_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let mut parent = Actor::start("fork_at_random", true, &database);
    parent.hear("forked");
    visit(&database);
    parent.go();
    let acknowledged: usize = parent.hear("acknowledged").parse().unwrap();
    parent.kill();
    assert_eq!(count(&database, "parent"), acknowledged);
    assert_eq!(count(&database, "child"), 3 * CHILDREN_THAT_WRITE);
}
