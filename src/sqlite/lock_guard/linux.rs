//! The guard itself, for 64-bit Linux.

mod fork;
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
