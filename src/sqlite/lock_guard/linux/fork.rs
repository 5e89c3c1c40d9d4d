//! What happens at `fork`, and where the table lives.
//!
//! The parent opens and closes nothing. The child closes the private descriptors (the parent's locks live on
//! in the descriptions that the parent still has open), forgets the table and counts a new generation. Both
//! find `SQLite`'s static mutexes free: no other thread of the parent holds one at the instant of the fork,
//! so the child can open databases afresh. Every wait is bounded; what could not be had is done without.
#![allow(
    unsafe_code,
    reason = "fork handlers, a table that outlives its generation, SQLite's static mutexes"
)]

use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use libc::c_int;
use rusqlite::ffi;

use super::park::PARKED;
use super::sys;
use super::table::Table;

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// This process has forked: a child may share the description of any descriptor, and would keep a lock that
/// was taken through one after the descriptor is closed here.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Points to a leaked table or is null. The child of a fork sets it to null: another thread of the parent
/// may have held that table's mutex, and none is left to release it. The standard library's mutex is a word
/// in memory; one with process-wide queues (`parking_lot`) may be stuck in the child even when it is new.
static TABLE: AtomicPtr<Mutex<Table>> = AtomicPtr::new(null_mut());

/// Attempts of 50 microseconds each that `prepare` grants to each of its three waits.
const ATTEMPTS: u32 = 5_000;
const ATTEMPT_MICROSECONDS: u32 = 50;

/// The mutexes that any database of the process may need: MAIN, MEM, OPEN, PRNG, LRU, PMEM, VFS1 to VFS3.
const STATIC_MUTEXES: [c_int; 9] = [
    ffi::SQLITE_MUTEX_STATIC_MAIN,
    ffi::SQLITE_MUTEX_STATIC_MEM,
    ffi::SQLITE_MUTEX_STATIC_OPEN,
    ffi::SQLITE_MUTEX_STATIC_PRNG,
    ffi::SQLITE_MUTEX_STATIC_LRU,
    ffi::SQLITE_MUTEX_STATIC_PMEM,
    ffi::SQLITE_MUTEX_STATIC_VFS1,
    ffi::SQLITE_MUTEX_STATIC_VFS2,
    ffi::SQLITE_MUTEX_STATIC_VFS3,
];

/// What a fork in progress holds.
struct Held {
    table: Option<MutexGuard<'static, Table>>,
    mutexes: [*mut ffi::sqlite3_mutex; STATIC_MUTEXES.len()],
}

struct HeldCell(UnsafeCell<Held>);

// SAFETY: only the thread that won FORKING touches the cell, and it gives FORKING back afterwards.
unsafe impl Sync for HeldCell {}

static HELD: HeldCell = HeldCell(UnsafeCell::new(Held {
    table: None,
    mutexes: [null_mut(); STATIC_MUTEXES.len()],
}));
static FORKING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread's `prepare` won FORKING. No destructor, so it is there at any time.
    static PREPARED: Cell<bool> = const { Cell::new(false) };
}

#[inline]
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

pub(super) fn has_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// The table of this generation.
pub(super) fn table() -> MutexGuard<'static, Table> {
    let mut current = TABLE.load(Ordering::Acquire);
    if current.is_null() {
        let fresh = Box::into_raw(Box::<Mutex<Table>>::default());
        match TABLE.compare_exchange(null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => current = fresh,
            Err(other) => {
                // SAFETY: `fresh` came from `Box::into_raw` above and was published to nobody.
                drop(unsafe { Box::from_raw(fresh) });
                current = other;
            }
        }
    }
    // SAFETY: a published table is never freed.
    unsafe { &*current }
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Registers the handlers.
pub(super) fn watch() -> Result<(), &'static str> {
    // SAFETY: the three functions live as long as the process (an extension module is never unloaded).
    match unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) } {
        0 => Ok(()),
        _ => Err("no memory for fork handlers"),
    }
}

fn bounded(mut attempt: impl FnMut() -> bool) -> bool {
    for _ in 0..ATTEMPTS {
        if attempt() {
            return true;
        }
        sys::sleep_microseconds(ATTEMPT_MICROSECONDS);
    }
    false
}

fn enter_static_mutexes(mutexes: &mut [*mut ffi::sqlite3_mutex; STATIC_MUTEXES.len()]) {
    // All or none in each attempt: waiting for one while holding another could deadlock with SQLite's order.
    bounded(|| {
        for (place, &which) in STATIC_MUTEXES.iter().enumerate() {
            // SAFETY: static mutexes exist once SQLite is initialised, which `install` has seen to.
            let mutex = unsafe { ffi::sqlite3_mutex_alloc(which) };
            // SAFETY: a static mutex, or null, which SQLite accepts.
            if unsafe { ffi::sqlite3_mutex_try(mutex) } != ffi::SQLITE_OK {
                leave_static_mutexes(mutexes);
                return false;
            }
            mutexes[place] = mutex;
        }
        true
    });
}

fn leave_static_mutexes(mutexes: &mut [*mut ffi::sqlite3_mutex; STATIC_MUTEXES.len()]) {
    for mutex in mutexes.iter_mut().rev() {
        if !mutex.is_null() {
            // SAFETY: this thread entered it in `prepare`; after a fork the child's thread is its copy.
            unsafe { ffi::sqlite3_mutex_leave(*mutex) };
            *mutex = null_mut();
        }
    }
}

fn try_table() -> Option<MutexGuard<'static, Table>> {
    let current = TABLE.load(Ordering::Acquire);
    if current.is_null() {
        return None;
    }
    let mut held = None;
    bounded(|| {
        // SAFETY: a published table is never freed.
        held = match unsafe { &*current }.try_lock() {
            Ok(table) => Some(table),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        held.is_some()
    });
    held
}

extern "C" fn prepare() {
    let saved = sys::errno();
    FORKED.store(true, Ordering::Relaxed);
    if bounded(|| {
        FORKING
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }) {
        PREPARED.set(true);
        // SAFETY: this thread has just won FORKING.
        let held = unsafe { &mut *HELD.0.get() };
        enter_static_mutexes(&mut held.mutexes);
        held.table = try_table();
    }
    sys::set_errno(saved);
}

extern "C" fn parent() {
    if PREPARED.replace(false) {
        // SAFETY: this thread won FORKING in `prepare` and gives it back below.
        let held = unsafe { &mut *HELD.0.get() };
        held.table = None;
        leave_static_mutexes(&mut held.mutexes);
        FORKING.store(false, Ordering::Release);
    }
}

/// Allocates nothing and waits for nothing.
extern "C" fn child() {
    let saved = sys::errno();
    GENERATION.fetch_add(1, Ordering::Relaxed);
    FORKED.store(false, Ordering::Relaxed);
    // SAFETY: the child has this one thread, so nobody else touches the cell.
    let held = unsafe { &mut *HELD.0.get() };
    let table = held.table.take();
    if PREPARED.replace(false) {
        if let Some(table) = &table {
            for (&number, &id) in &table.owned {
                // A child has no POSIX locks yet, so these closes take none away. Locks of the parent live in
                // descriptions that the parent has open. A number that is another file is not ours.
                if sys::identify(number).is_ok_and(|found| found.id == id) {
                    let _ = sys::close(number);
                }
            }
        }
        leave_static_mutexes(&mut held.mutexes);
    } else {
        // Another thread of the parent was forking as well; its mutexes are lost to this child.
        held.mutexes = [null_mut(); STATIC_MUTEXES.len()];
    }
    // The mutex of the old table stays locked for good; nobody looks at it again.
    std::mem::forget(table);
    TABLE.store(null_mut(), Ordering::Release);
    PARKED.store(0, Ordering::Relaxed);
    FORKING.store(false, Ordering::Release);
    sys::set_errno(saved);
}
