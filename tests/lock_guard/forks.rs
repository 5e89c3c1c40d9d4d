//! fork, in every order of closing, opening and writing (T18, T19).
//!
//! Every scenario ends with kill -9 of the parent, after a visitor has tried to take the log away.

use langgraph_checkpoint_rust::sqlite::lock_guard;

use crate::harness::{Actor, Role, Scene, commit, count, fork, leave, reap, say, visit, wait};

pub(crate) const ROLES: &[Role] = &[
    ("fork_parent_closes", parent_closes),
    ("fork_child_closes_inherited", |scene| child_closes(scene, false)),
    ("fork_child_opens_then_closes_inherited", |scene| {
        child_closes(scene, true);
    }),
    ("fork_both_write", both_write),
    ("fork_grandchild", grandchild),
];

const COMMITS: usize = 400;

/// What must be there at the end, and what is: the acknowledged rows of each side.
pub(crate) fn assert_kept(role: &str, expected: &[(&str, usize)]) {
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
