//! What the guard costs: `cargo test --release --no-default-features --test lock_guard -- --ignored --nocapture cost`.
//!
//! Medians of 7 runs each; the figures stand in the documentation of `lock_guard`.

use std::thread;
use std::time::Instant;

use rusqlite::Connection;

use crate::harness::{Actor, Role, Scene, commit, fork, leave, reap, say};

pub(crate) const ROLES: &[Role] = &[("measure", measure)];

const COMMITS: usize = 20_000;
const OPENS: usize = 300;
const READERS: usize = 4;
const READS: usize = 50_000;
const FORKS: usize = 200;
const RUNS: usize = 7;

fn measure(scene: &Scene) {
    // As many other descriptors as a small web server has.
    let others: Vec<_> = (0..100)
        .map(|_| std::fs::File::open("/dev/null").unwrap())
        .collect();
    let connection = scene.open();
    connection
        .execute_batch("PRAGMA wal_autocheckpoint=1000")
        .unwrap();
    commit(&connection, "warm", 1_000);
    let started = Instant::now();
    commit(&connection, "timed", COMMITS);
    let commits = started.elapsed().as_nanos() / COMMITS as u128;
    let other = scene.database.with_extension("other");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t(who TEXT)")
        .unwrap();
    let started = Instant::now();
    for _ in 0..OPENS {
        let alone = Connection::open(&other).unwrap();
        alone.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap();
    }
    let opens = started.elapsed().as_nanos() / OPENS as u128;
    let started = Instant::now();
    for _ in 0..FORKS {
        assert_eq!(reap(fork(|| leave(0))), 0);
    }
    let forks = started.elapsed().as_nanos() / FORKS as u128;
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                let reader = scene.open();
                let mut read = reader.prepare("SELECT who FROM t LIMIT 1").unwrap();
                (0..READS).for_each(|_| read.query_row([], |_| Ok(())).unwrap());
            });
        }
    });
    let reads = started.elapsed().as_nanos() / (READERS * READS) as u128;
    drop(others);
    say(&format!("nanoseconds {commits} {opens} {forks} {reads}"));
}

#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_the_guard() {
    let mut figures = [const { Vec::new() }; 2];
    for _ in 0..RUNS {
        for guarded in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let mut actor = Actor::start("measure", guarded, &directory.path().join("a.db"));
            let line = actor.hear("nanoseconds");
            figures[usize::from(guarded)].push(
                line.split(' ')
                    .map(|word| word.parse::<u64>().unwrap())
                    .collect::<Vec<_>>(),
            );
            actor.finish();
        }
    }
    for (name, runs) in ["plain", "guarded"].into_iter().zip(figures) {
        for (column, what) in [
            "commit",
            "open, read, close",
            "fork and wait",
            "read, in 4 threads",
        ]
        .into_iter()
        .enumerate()
        {
            let mut values: Vec<u64> = runs.iter().map(|run| run[column]).collect();
            values.sort_unstable();
            let (least, median, most) = (values[0], values[RUNS / 2], values[RUNS - 1]);
            say(&format!(
                "{name}, {what}: median {median} ns, from {least} to {most}"
            ));
        }
    }
}
