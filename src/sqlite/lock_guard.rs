//! The lock guard: keeps our file locks ours while other code of this process uses the same file.
//!
//! POSIX record locks belong to the *process* and vanish when any descriptor of the file is closed. A
//! second `SQLite` library in the process (Python's `sqlite3`, `DuckDB`, a plain `open()` and `close()`)
//! therefore takes our locks away with its own `close`, and we take its locks away with ours; commits that
//! were acknowledged afterwards are lost without an error. The guard replaces eight system calls of *our*
//! bundled library, through the documented `sqlite3_vfs.xSetSystemCall`:
//!
//! * `fcntl`: every record lock becomes an open-file-description (OFD) lock on one private descriptor per
//!   inode. POSIX and OFD locks are never mixed on an inode: with no private descriptor there is no lock.
//! * `close`: closes a descriptor only while an exclusive lock on the whole file shows that nobody has a
//!   lock to lose; until then the descriptor is parked.
//! * `open`: registers the descriptor (so that no lock call needs an `fstat`), and hands a parked one out
//!   again (so that their number is bounded by the most that were ever open at once).
//! * `fstat`, `stat`: in a forked child `st_dev` is salted, so that `SQLite` there builds new inode and lock
//!   state instead of counting references on the parent's.
//! * `pwrite`, `pread`, `ftruncate`: with them a COMMIT inside [`gathered`] writes its frames to the write-ahead
//!   log at once; how, and why nothing can be lost by it, stands in `frames.rs`.
//!
//! Invariants:
//! 1. A lock is taken, tested or released only through the private descriptor of the same generation (number
//!    of forks). A descriptor inherited over fork can neither take nor release a lock: OFD locks belong to
//!    the description that parent and child share, and unlocking it would unlock the parent.
//! 2. No descriptor of a lockable file, private ones included, is closed while anybody has a lock on the
//!    file, and nobody gets one during the close. (A file that we may not open for writing is only looked at
//!    before the close: there a neighbour's shared lock, taken in the microsecond between, would be lost.)
//! 3. Once the last registered descriptor of an inode is closed, nothing on its private one is locked.
//!    (`SQLite` leaves the lock on the `-shm` file's last byte to `close`.)
//! 4. Lock order: `SQLite`'s mutexes, an inode's state, the table. Fork takes the table, bounded in time.
//!
//! Measured (`cost_of_the_guard` in `tests/lock_guard`, release build, 2 cores, 100 other descriptors open),
//! plain and guarded: an autocommit of one row at `synchronous=NORMAL` 11.9 and 12.2 µs; opening, reading and
//! closing a database 37 and 48 µs; forking and waiting for a child that ends at once 250 and 278 µs; reads in
//! 4 threads no difference. (An `fstat` in each lock call made the autocommit 2 to 3 µs dearer.)

use std::io;
use std::sync::OnceLock;

#[cfg(target_os = "linux")]
pub mod holder;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
use linux as platform;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod elsewhere;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
use elsewhere as platform;

/// Whether the guard protects this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Neither installed nor disabled yet: nothing was opened so far.
    Undecided,
    /// Every lock of our `SQLite` in this process goes through the guard.
    Active,
    /// The guard cannot work here, for the reason given; locks are plain POSIX locks.
    Unsupported(&'static str),
    /// Switched off by [`disable_before_first_open`]; locks are plain POSIX locks.
    Disabled,
}

/// Figures for `stats()`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Files that the guard knows: databases, their `-shm`, and journals while they are open.
    pub files: usize,
    /// Private descriptors that carry the locks, at most one per file.
    pub private_descriptors: usize,
    /// Descriptors kept open because somebody had a lock on the file when they should have been closed.
    pub parked_descriptors: usize,
    /// Lock requests refused because no private descriptor could be opened, or after a fork.
    pub refused_locks: u64,
    /// `errno` of the latest refused request that the system caused, 0 if there was none.
    pub last_refusal: i32,
}

static DECISION: OnceLock<Status> = OnceLock::new();

/// Installs the guard, once per process; later calls return the first decision.
///
/// Must come before the first database is opened: a connection older than the guard would hold POSIX locks,
/// so the guard refuses all its lock requests.
pub fn install() -> Status {
    *DECISION.get_or_init(|| match platform::install() {
        Ok(()) => Status::Active,
        Err(reason) => Status::Unsupported(reason),
    })
}

/// What was decided so far.
pub fn status() -> Status {
    DECISION.get().copied().unwrap_or(Status::Undecided)
}

/// Leaves this process without a guard. Returns the status that holds from now on: [`Status::Disabled`],
/// or the earlier decision if it was already made.
pub fn disable_before_first_open() -> Status {
    *DECISION.get_or_init(|| Status::Disabled)
}

/// How many forks lie between the process that installed the guard and this one. One relaxed load.
#[inline]
pub fn generation() -> u64 {
    platform::generation()
}

/// Descriptors and refusals of this process.
pub fn counters() -> Counters {
    platform::counters()
}

/// Closes the parked descriptors whose files nobody has locked any more; returns how many are left.
///
/// Every close of a database tries this by itself, and every open uses them again, so that their number is
/// bounded; a process that does neither any more may call it now and then.
pub fn release_parked() -> usize {
    platform::release_parked()
}

/// Calls `commit`, which is one COMMIT of our `SQLite` on this thread: the frames that it writes to a write-ahead
/// log go out in one system call, before it returns. Without the guard it is called, and no more.
///
/// The error beside its result is one that `SQLite` may not have been told, since it met it while it gave up:
/// some frames of the transaction are missing in the log. A transaction that is still open must be rolled back.
pub fn gathered<T>(commit: impl FnOnce() -> T) -> (T, io::Result<()>) {
    let (outcome, written) = platform::gathered(commit);
    (outcome, written.map_err(io::Error::from_raw_os_error))
}
