//! What the guard costs: `cargo test --release --no-default-features --test lock_guard -- --ignored --nocapture cost`.
//!
//! Measured on a virtual machine with 2 cores, Linux 6.18, medians of 7 runs of 20,000 autocommits of one
//! small row, WAL, `synchronous=NORMAL`: 12.7 µs plain,
//! 13.3 µs guarded.

use std::time::Instant;

use crate::harness::{Actor, Role, Scene, commit, say};

pub(crate) const ROLES: &[Role] = &[("measure", measure)];

const COMMITS: u32 = 20_000;
const RUNS: usize = 7;

fn measure(scene: &Scene) {
    let connection = scene.open();
    connection
        .execute_batch("PRAGMA wal_autocheckpoint=1000")
        .unwrap();
    commit(&connection, "warm", 1_000);
    let started = Instant::now();
    commit(&connection, "timed", COMMITS as usize);
    say(&format!(
        "nanoseconds {}",
        (started.elapsed() / COMMITS).as_nanos()
    ));
}

#[test]
#[ignore = "a measurement, not a test"]
fn cost_of_an_autocommit() {
    let mut nanoseconds = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for guarded in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let mut actor = Actor::start("measure", guarded, &directory.path().join("a.db"));
            nanoseconds[usize::from(guarded)].push(actor.hear("nanoseconds").parse::<u64>().unwrap());
            actor.finish();
        }
    }
    for (name, mut runs) in ["plain", "guarded"].into_iter().zip(nanoseconds) {
        runs.sort_unstable();
        say(&format!(
            "{name}: median {} ns, from {} to {}",
            runs[RUNS / 2],
            runs[0],
            runs[RUNS - 1]
        ));
    }
}
