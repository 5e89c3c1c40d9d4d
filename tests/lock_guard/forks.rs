//! fork, in every order of closing, opening and writing (T18, T19).
//!
//! Every scenario ends with kill -9 of the parent, after a visitor has tried to take the log away.

use std::fs::File;
use std::mem::forget;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use langgraph_checkpoint_rust::sqlite::lock_guard;

use crate::harness::{
    Actor, Role, Scene, commit, count, fork, leave, reap, say, set_posix_lock, visit, wait,
};

pub(crate) const ROLES: &[Role] = &[
    ("fork_parent_closes", parent_closes),
    ("fork_child_closes_inherited", |scene| child_closes(scene, false)),
    ("fork_child_opens_then_closes_inherited", |scene| {
        child_closes(scene, true);
    }),
    ("fork_both_write", both_write),
    ("fork_grandchild", grandchild),
    ("fork_inherited_is_refused", inherited_is_refused),
    ("fork_outlives_its_parent", outlives_its_parent),
    ("fork_with_a_neighbour", with_a_neighbour),
    ("fork_at_random", at_random),
    ("fork_within_a_transaction", within_a_transaction),
];

const COMMITS: usize = 400;

/// What must be there at the end, and what is: the acknowledged rows of each side.
fn assert_kept(role: &str, expected: &[(&str, usize)]) {
    for (who, missing) in missing(role, true, expected) {
        assert_eq!(missing, 0, "lost of {who}");
    }
}

fn missing<'a>(role: &str, guarded: bool, expected: &[(&'a str, usize)]) -> Vec<(&'a str, usize)> {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let mut parent = Actor::start(role, guarded, &database);
    parent.hear("forked");
    visit(&database);
    parent.go();
    parent.hear("acknowledged");
    parent.kill();
    expected
        .iter()
        .map(|&(who, rows)| (who, rows - count(&database, who)))
        .collect()
}

/// The parent closes its connection while a child, which opened the database afresh, writes.
fn parent_closes(scene: &Scene) {
    let inherited = scene.open();
    commit(&inherited, "parent", COMMITS);
    let (closed, opened) = (Gate::new(), Gate::new());
    let child = fork(|| {
        let fresh = scene.open();
        commit(&fresh, "child", COMMITS);
        opened.open();
        closed.pass();
        commit(&fresh, "child", COMMITS);
        leave(0);
    });
    opened.pass();
    drop(inherited);
    say("forked");
    wait();
    closed.open();
    assert_eq!(reap(child), 0);
    say("acknowledged");
    wait();
}

#[test]
fn the_parent_may_close_while_the_child_writes() {
    let expected = [("parent", COMMITS), ("child", 2 * COMMITS)];
    assert_kept("fork_parent_closes", &expected);
    let lost: usize = missing("fork_parent_closes", false, &expected)
        .iter()
        .map(|(_, rows)| rows)
        .sum();
    assert!(lost >= COMMITS, "the planted fault was not seen");
}

/// The child closes what it inherited; with `afresh`, after it has opened the database itself.
fn child_closes(scene: &Scene, afresh: bool) {
    let inherited = scene.open();
    commit(&inherited, "parent", COMMITS);
    let (closed, visited) = (Gate::new(), Gate::new());
    // A child of its own, so that both sides own their copy.
    let mut inherited = Some(inherited);
    let child = fork(|| {
        let fresh = afresh.then(|| scene.open());
        drop(inherited.take());
        closed.open();
        visited.pass();
        if let Some(fresh) = &fresh {
            commit(fresh, "child", COMMITS);
        }
        leave(0);
    });
    closed.pass();
    say("forked");
    wait();
    visited.open();
    commit(inherited.as_ref().unwrap(), "parent", COMMITS);
    assert_eq!(reap(child), 0);
    say("acknowledged");
    wait();
}

#[test]
fn the_child_may_close_what_it_inherited() {
    assert_kept("fork_child_closes_inherited", &[("parent", 2 * COMMITS)]);
}

#[test]
fn an_inherited_connection_closed_late_releases_nothing_of_the_fresh_one() {
    assert_kept(
        "fork_child_opens_then_closes_inherited",
        &[("parent", 2 * COMMITS), ("child", COMMITS)],
    );
}

fn both_write(scene: &Scene) {
    let inherited = scene.open();
    commit(&inherited, "parent", 1);
    let children: Vec<i32> = (0..3)
        .map(|_| {
            fork(|| {
                commit(&scene.open(), "child", COMMITS);
                leave(0);
            })
        })
        .collect();
    say("forked");
    commit(&inherited, "parent", COMMITS);
    wait();
    for child in children {
        assert_eq!(reap(child), 0);
    }
    say("acknowledged");
    wait();
}

#[test]
fn parent_and_three_children_write_at_once() {
    assert_kept(
        "fork_both_write",
        &[("parent", COMMITS + 1), ("child", 3 * COMMITS)],
    );
}

/// A child of a child, with databases open in all three generations.
fn grandchild(scene: &Scene) {
    let first = scene.open();
    commit(&first, "parent", COMMITS);
    let child = fork(|| {
        assert_eq!(lock_guard::generation(), 1);
        let second = scene.open();
        commit(&second, "child", COMMITS);
        let grandchild = fork(|| {
            assert_eq!(lock_guard::generation(), 2);
            let third = scene.open();
            commit(&third, "grandchild", COMMITS);
            leave(0);
        });
        commit(&second, "child", COMMITS);
        assert_eq!(reap(grandchild), 0);
        drop(second);
        leave(0);
    });
    say("forked");
    wait();
    assert_eq!(reap(child), 0);
    assert_eq!(lock_guard::generation(), 0);
    commit(&first, "parent", COMMITS);
    say("acknowledged");
    wait();
}

#[test]
fn three_generations_write() {
    let expected = [
        ("parent", 2 * COMMITS),
        ("child", 2 * COMMITS),
        ("grandchild", COMMITS),
    ];
    assert_kept("fork_grandchild", &expected);
}

/// An inherited connection takes no lock in the child, and says so at once.
fn inherited_is_refused(scene: &Scene) {
    let inherited = scene.open();
    inherited.execute_batch("PRAGMA journal_mode=DELETE").unwrap();
    inherited.busy_timeout(Duration::ZERO).unwrap();
    let child = fork(|| {
        let started = Instant::now();
        let refused = inherited
            .execute("INSERT INTO t VALUES ('child')", [])
            .unwrap_err();
        assert_eq!(
            refused.sqlite_error_code(),
            Some(rusqlite::ErrorCode::SystemIoFailure),
            "{refused}"
        );
        assert!(started.elapsed() < Duration::from_millis(100));
        assert!(lock_guard::counters().refused_locks > 0);
        leave(0);
    });
    assert_eq!(reap(child), 0);
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
        let end = scene.database.with_extension("end");
        while !end.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(end).unwrap();
        leave(0);
    });
    say("forked");
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
        let child = fork(|| match turn % 3 {
            0 => leave(0),
            1 => {
                // One thread, so the child's allocator and SQLite's mutexes must have survived the fork.
                commit(&scene.open(), "child", 3);
                leave(0);
            }
            _ => panic!("{}", Command::new("true").exec()),
        });
        slowest = slowest.max(started.elapsed());
        children += usize::from(turn % 3 == 1);
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
const CHILDREN_THAT_WRITE: usize = 30;

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

/// Lets one process wait for another: a pipe.
struct Gate {
    ends: [i32; 2],
}

impl Gate {
    fn new() -> Self {
        let mut ends = [0; 2];
        // SAFETY: writes two integers.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        Self { ends }
    }

    fn open(&self) {
        // SAFETY: reads one byte.
        assert_eq!(unsafe { libc::write(self.ends[1], [0_u8].as_ptr().cast(), 1) }, 1);
    }

    fn pass(&self) {
        let mut byte = [0_u8];
        // SAFETY: writes one byte.
        assert_eq!(
            unsafe { libc::read(self.ends[0], byte.as_mut_ptr().cast(), 1) },
            1
        );
    }
}
