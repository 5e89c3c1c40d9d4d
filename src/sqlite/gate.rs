//! The fork gate: every use of a connection passes it, so that `os.fork` finds none in the middle.
//!
//! Atomics only: a lock held by another thread at the moment of a fork is held forever in the child.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::lock_guard;
use crate::error::{Error, Result};

/// Forks under way: two threads may fork at once.
static CLOSED: AtomicUsize = AtomicUsize::new(0);
static INSIDE: AtomicUsize = AtomicUsize::new(0);
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// This process was forked while a connection was in use: `SQLite`'s own locks may be held forever.
static SPOILED: AtomicBool = AtomicBool::new(false);

/// How long a call that meets a fork sleeps between two looks.
const PAUSE: Duration = Duration::from_micros(50);

thread_local! {
    /// Passes of this thread: a thread inside may enter again while the gate is closed, since the
    /// fork waits for it anyway.
    static DEPTH: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Being inside; leaves on drop.
#[derive(Debug)]
pub(super) struct Pass(());

/// Waits while a fork is under way, then enters.
pub(super) fn enter() -> Pass {
    let nested = DEPTH.with(|depth| depth.replace(depth.get() + 1)) > 0;
    loop {
        INSIDE.fetch_add(1, Ordering::SeqCst);
        if nested || CLOSED.load(Ordering::SeqCst) == 0 {
            return Pass(());
        }
        INSIDE.fetch_sub(1, Ordering::SeqCst);
        std::thread::sleep(PAUSE);
    }
}

/// Enters unless a fork is under way: for threads that may not wait. One that is attached to the
/// interpreter would keep the fork from going on.
pub(super) fn try_enter() -> Option<Pass> {
    let nested = DEPTH.with(|depth| depth.replace(depth.get() + 1)) > 0;
    INSIDE.fetch_add(1, Ordering::SeqCst);
    let pass = Pass(());
    (nested || CLOSED.load(Ordering::SeqCst) == 0).then_some(pass)
}

impl Drop for Pass {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many forks lie between this process and the one that loaded the library.
pub(super) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Whether this process may not use the library at all.
pub(super) fn is_spoiled() -> bool {
    SPOILED.load(Ordering::Relaxed)
}

/// Whether a child that inherited connections of `generation` may open its own. The data of a
/// database in memory stay the parent's. A fork that nobody announced is safe with the guard only.
pub(super) fn check_inherited(path: &Path, in_memory: bool, generation: u64) -> Result<()> {
    let announced = self::generation() != generation;
    // Others inside, which this process does not have, may hold SQLite's own locks.
    let quiet = announced || INSIDE.load(Ordering::SeqCst) <= DEPTH.with(std::cell::Cell::get);
    let safe = announced || (quiet && lock_guard::status() == lock_guard::Status::Active);
    if in_memory || !safe {
        return Err(Error::Forked {
            path: path.to_path_buf(),
        });
    }
    Ok(())
}

/// Before a fork: closes the gate and waits until all are out, for at most `patience`. False if
/// some are not: the child then must not touch what it inherits.
pub(super) fn close(patience: Duration) -> bool {
    CLOSED.fetch_add(1, Ordering::SeqCst);
    let deadline = Instant::now() + patience;
    while INSIDE.load(Ordering::SeqCst) > 0 {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}

/// After a fork, in the parent.
pub(super) fn open() {
    CLOSED.fetch_sub(1, Ordering::SeqCst);
}

/// After a fork, in the child: those inside exist in the parent only. `quiet` is what `close` said.
pub(super) fn open_in_child(quiet: bool) {
    INSIDE.store(0, Ordering::SeqCst);
    GENERATION.fetch_add(1, Ordering::SeqCst);
    SPOILED.store(!quiet, Ordering::SeqCst);
    CLOSED.store(0, Ordering::SeqCst);
}
