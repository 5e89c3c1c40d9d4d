//! The lock guard, seen from outside: a second `SQLite` in the process, forks, files, locks.
//!
//! A scenario runs in a process of its own (this binary, started again with a role), since the guard is
//! installed once per process and most scenarios end with SIGKILL. Each loss scenario also runs with the
//! guard off and must lose there: a test that cannot see the fault proves nothing.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]
#![allow(
    unsafe_code,
    reason = "fork, kill and record locks, as other software uses them"
)]

mod cost;
mod files;
mod fork_edges;
mod forks;
mod frames;
mod harness;
mod locks;
mod neighbours;
mod second_sqlite;

/// Not a test by itself: the entry of every process that a test starts.
#[test]
fn role() {
    let Ok(name) = std::env::var("LOCK_GUARD_ROLE") else {
        return;
    };
    let roles = [
        neighbours::ROLES,
        forks::ROLES,
        fork_edges::ROLES,
        files::ROLES,
        frames::ROLES,
        locks::ROLES,
        cost::ROLES,
    ];
    let role = roles.concat().into_iter().find(|(known, _)| *known == name);
    let (_, run) = role.unwrap_or_else(|| panic!("no role {name}"));
    run(&harness::Scene::begin());
    harness::leave(0);
}
