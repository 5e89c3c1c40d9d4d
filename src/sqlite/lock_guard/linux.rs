//! The guard itself, for 64-bit Linux.

mod fork;
mod frames;
mod hooks;
mod inode;
mod park;
mod ranges;
mod sys;
mod table;

use std::sync::atomic::Ordering;

pub(crate) use fork::generation;
pub(crate) use hooks::install;
pub(crate) use park::release_parked;

use super::Counters;

/// Calls `commit` with the frames that it writes gathered; then the error that kept some from being written.
pub(crate) fn gathered<T>(commit: impl FnOnce() -> T) -> (T, Result<(), i32>) {
    struct Scope;
    impl Scope {
        fn end(self) -> Result<(), i32> {
            std::mem::forget(self);
            frames::end(&mut sys::write)
        }
    }
    impl Drop for Scope {
        fn drop(&mut self) {
            let _ = frames::end(&mut sys::write);
        }
    }
    frames::begin();
    let scope = Scope;
    let outcome = commit();
    (outcome, scope.end())
}

pub(crate) fn counters() -> Counters {
    let (files, owned) = {
        let table = fork::table();
        (table.inodes.len(), table.owned.len())
    };
    let parked = park::PARKED.load(Ordering::Relaxed);
    Counters {
        files,
        private_descriptors: owned.saturating_sub(parked),
        parked_descriptors: parked,
        refused_locks: inode::REFUSED.load(Ordering::Relaxed),
        last_refusal: inode::LAST_REFUSAL.load(Ordering::Relaxed),
    }
}
