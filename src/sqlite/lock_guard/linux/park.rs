//! Closing without taking locks away from others.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::c_int;

use super::fork;
use super::inode::{Inode, State, lock_state};
use super::sys::{self, FileId};
use super::table::{Access, Table};

/// How many descriptors are parked in this process.
pub(super) static PARKED: AtomicUsize = AtomicUsize::new(0);

/// A descriptor that `SQLite` has closed and the kernel has not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parked {
    pub(super) number: RawFd,
    pub(super) access: Access,
}

/// Whether foreign code has the inode open, given what a look at `/proc` found before the locks were taken.
/// When in doubt, yes.
fn shared_with_others(
    found: Option<&[(RawFd, FileId)]>,
    id: FileId,
    closing: Option<RawFd>,
    table: &Table,
) -> bool {
    let Some(found) = found else {
        return true;
    };
    found.iter().any(|&(number, file)| {
        file == id
            && Some(number) != closing
            && table.is_foreign(number)
            && sys::identify(number).is_ok_and(|now| now.id == id)
    })
}

/// Takes what may be closed out of the tables: the parked descriptors and, if the inode is idle, the private
/// one. The caller closes them once the locks are free.
fn take_closable(state: &mut State, inode: &Inode, table: &mut Table, idle: bool) -> Vec<RawFd> {
    let mut numbers: Vec<RawFd> = state.parked.drain(..).map(|parked| parked.number).collect();
    PARKED.fetch_sub(numbers.len(), Ordering::Relaxed);
    if idle {
        numbers.extend(state.private.take().map(|private| private.number));
        table.inodes.remove(&inode.id);
    }
    // A number that is another file by now was closed behind our back and is not ours to close.
    numbers.retain(|number| {
        table.owned.remove(number).is_some() && sys::identify(*number).is_ok_and(|now| now.id == inode.id)
    });
    numbers
}

/// `close` of a descriptor of ours: really, or by parking it.
pub(super) fn close(number: RawFd) -> c_int {
    let known = fork::table().lookup(number);
    let (inode, sidecar) = match known {
        Some(descriptor) => (descriptor.inode, descriptor.sidecar),
        // Inherited over a fork: in this process its close would still take a neighbour's locks away.
        None if fork::generation() > 0 => match sys::identify(number) {
            Ok(identity) if identity.regular => (Arc::clone(&fork::table().entry(identity.id).inode), false),
            _ => return sys::close(number),
        },
        // A directory, or a file that SQLite did not open through the guard.
        None => return sys::close(number),
    };
    let quiet = sidecar && lock_state(&inode).private.is_none();
    let found = if quiet {
        Some(Vec::new())
    } else {
        sys::descriptors_of(&[inode.id]).ok()
    };

    let mut state = lock_state(&inode);
    let mut table = fork::table();
    table.remove(number);
    let idle = table.inodes.get(&inode.id).is_none_or(|entry| entry.live == 0);
    if idle {
        state.unlock_all();
    }
    if shared_with_others(found.as_deref(), inode.id, Some(number), &table) {
        let access = if sys::is_writable(number) {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        state.parked.push(Parked { number, access });
        PARKED.fetch_add(1, Ordering::Relaxed);
        table.owned.insert(number, inode.id);
        return 0;
    }
    let closable = take_closable(&mut state, &inode, &mut table, idle);
    drop(table);
    drop(state);
    for number in closable {
        sys::close(number);
    }
    let result = sys::close(number);
    if !quiet && PARKED.load(Ordering::Relaxed) > 0 {
        release_parked();
    }
    result
}

/// Hands out a parked descriptor of the file that `path` names, if one was opened the same way.
pub(super) fn reuse(path: &CStr, access: Access) -> Option<RawFd> {
    if PARKED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let identity = sys::identify_path(path)
        .ok()
        .filter(|identity| identity.regular)?;
    let inode = fork::table()
        .inodes
        .get(&identity.id)
        .map(|entry| Arc::clone(&entry.inode))?;
    let mut state = lock_state(&inode);
    let place = state.parked.iter().position(|parked| parked.access == access)?;
    let number = state.parked.swap_remove(place).number;
    PARKED.fetch_sub(1, Ordering::Relaxed);
    let mut table = fork::table();
    table.owned.remove(&number);
    if !sys::identify(number).is_ok_and(|now| now.id == identity.id) {
        return None;
    }
    table.insert(number, identity.id, access, false);
    drop(table);
    state.verify_private(identity.id);
    Some(number)
}

/// Closes what nobody else has open any more; returns how many descriptors stay parked.
pub(crate) fn release_parked() -> usize {
    if PARKED.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    let inodes: Vec<Arc<Inode>> = {
        let table = fork::table();
        let ids: HashSet<FileId> = table.owned.values().copied().collect();
        ids.iter()
            .filter_map(|id| table.inodes.get(id))
            .map(|entry| Arc::clone(&entry.inode))
            .collect()
    };
    let ids: Vec<FileId> = inodes.iter().map(|inode| inode.id).collect();
    let found = sys::descriptors_of(&ids).ok();
    for inode in inodes {
        let mut state = lock_state(&inode);
        if state.parked.is_empty() {
            continue;
        }
        let mut table = fork::table();
        if shared_with_others(found.as_deref(), inode.id, None, &table) {
            continue;
        }
        let idle = table.inodes.get(&inode.id).is_none_or(|entry| entry.live == 0);
        let closable = take_closable(&mut state, &inode, &mut table, idle);
        drop(table);
        drop(state);
        for number in closable {
            sys::close(number);
        }
    }
    PARKED.load(Ordering::Relaxed)
}
