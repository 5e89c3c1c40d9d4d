//! Closing without taking locks away from others.
//!
//! A descriptor is closed only under an exclusive OFD lock on the whole file: then nobody, in this process or
//! another, has a lock that the close could take away, and nobody gets one before the close is through. The
//! kernel drops the process's POSIX locks first and the closing description's own lock last. Where the lock
//! is not granted the descriptor is parked. The price: another process that asks for a lock during these
//! microseconds is told "busy", as it is whenever the last connection of a WAL database closes.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::c_int;

use super::fork;
use super::inode::{Inode, State, lock_state};
use super::sys::{self, Errno, FileId};
use super::table::{Access, Kind, Table};

/// How many descriptors are parked in this process.
pub(super) static PARKED: AtomicUsize = AtomicUsize::new(0);

/// A descriptor that `SQLite` has closed and the kernel has not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parked {
    pub(super) number: RawFd,
    pub(super) origin: Origin,
}

/// Whose open file description a descriptor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Opened in this generation, this way.
    Here(Access),
    /// Shared with the parent of a fork, its file position included: nothing may be locked through it (the
    /// lock would stay with the parent), and it is never handed out again.
    Inherited,
}

impl State {
    pub(super) fn park(&mut self, number: RawFd, origin: Origin) {
        self.parked.push(Parked { number, origin });
        PARKED.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes what may be closed of `inode`: the `closing` descriptor, the parked ones and, if no registered
    /// descriptor is left, the private one. Returns what `close` returned for `closing`, or parks it.
    ///
    /// The table stays locked throughout, so that a fork sees no exclusive lock: a child's copy of the
    /// description would keep it.
    fn close_or_park(
        &mut self,
        inode: &Inode,
        table: &mut Table,
        closing: Option<(RawFd, Origin)>,
    ) -> Result<c_int, Errno> {
        self.drop_stale(inode.id, table);
        // Closed behind our back; by now it may be anybody's.
        let stale = closing.is_some_and(|(number, _)| !is_file(number, inode.id));
        let closing = closing.filter(|_| !stale);
        let idle = table.inodes.get(&inode.id).is_none_or(|entry| entry.live == 0);
        if idle {
            self.unlock_all();
        }
        let private = self
            .private
            .filter(|_| idle)
            .map(|private| (private.number, private.origin()));
        let parked = self.parked.iter().map(|parked| (parked.number, parked.origin));
        let candidates: Vec<(RawFd, Origin)> = closing.into_iter().chain(parked).chain(private).collect();
        let claim = self.claim(inode.id, &candidates, table);
        if claim == Claim::Refused {
            if let Some((number, origin)) = closing {
                self.park(number, origin);
                table.owned.insert(number, inode.id);
            }
            return if stale { Err(libc::EBADF) } else { Ok(0) };
        }
        PARKED.fetch_sub(self.parked.len(), Ordering::Relaxed);
        self.parked.clear();
        if idle {
            self.private = None;
            table.inodes.remove(&inode.id);
        }
        let carrier = match claim {
            Claim::Granted(number) => Some(number),
            _ => None,
        };
        // The one that has the exclusive lock is the last.
        let others = candidates
            .iter()
            .map(|&(number, _)| number)
            .filter(|&number| Some(number) != carrier);
        let mut result = if stale { Err(libc::EBADF) } else { Ok(0) };
        for number in others.chain(carrier) {
            table.owned.remove(&number);
            let closed = sys::close(number);
            if closing.is_some_and(|(closing, _)| closing == number) {
                result = closed;
            }
        }
        result
    }

    /// Forgets numbers that were closed behind our back.
    fn drop_stale(&mut self, id: FileId, table: &mut Table) {
        let private = self.private.map(|private| private.number);
        let numbers: Vec<RawFd> = self
            .parked
            .iter()
            .map(|parked| parked.number)
            .chain(private)
            .collect();
        for number in numbers {
            if !is_file(number, id) {
                table.owned.remove(&number);
                self.forget(number);
            }
        }
    }

    /// Takes the exclusive lock, through one of `candidates` or a description opened for it.
    fn claim(&mut self, id: FileId, candidates: &[(RawFd, Origin)], table: &mut Table) -> Claim {
        let exclusive = sys::request(libc::F_WRLCK, (0, 0));
        if !fork::has_forked()
            && let Some(&(number, _)) = candidates
                .iter()
                .find(|(_, origin)| *origin == Origin::Here(Access::ReadWrite))
        {
            return match sys::set_lock(number, &exclusive) {
                Ok(()) => Claim::Granted(number),
                Err(_) => Claim::Refused,
            };
        }
        let Some(&(number, _)) = candidates.first() else {
            return Claim::Impossible;
        };
        // Asked first, since a description that is opened and not granted the lock cannot be closed again.
        if !matches!(sys::get_lock(number, &exclusive), Ok(None)) {
            return Claim::Refused;
        }
        match sys::reopen(number, true) {
            Err(libc::EACCES | libc::EPERM | libc::EROFS | libc::ETXTBSY) => Claim::Impossible,
            Err(_) => Claim::Refused,
            Ok(carrier) if sys::set_lock(carrier, &exclusive).is_ok() => Claim::Granted(carrier),
            Ok(carrier) => {
                self.park(carrier, Origin::Here(Access::ReadWrite));
                table.owned.insert(carrier, id);
                Claim::Refused
            }
        }
    }
}

/// Whether descriptors of a file may be closed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Somebody has a lock.
    Refused,
    /// This descriptor has the exclusive lock and is closed last.
    Granted(RawFd),
    /// The file cannot be opened for writing. Nobody had a lock a moment ago, and that must do. (Also when there
    /// is nothing to close.)
    Impossible,
}

fn is_file(number: RawFd, id: FileId) -> bool {
    sys::identify(number).is_ok_and(|found| found.id == id)
}

/// `close` of a descriptor of ours: really, or by parking it.
pub(super) fn close(number: RawFd) -> Result<c_int, Errno> {
    let known = fork::table().lookup(number);
    let (inode, origin, kind) = match known {
        Some(descriptor) => (descriptor.inode, Origin::Here(descriptor.access), descriptor.kind),
        // Inherited over a fork: in this process its close would still take a neighbour's locks away.
        None if fork::generation() > 0 => match sys::identify(number) {
            Ok(identity) if identity.regular => (
                Arc::clone(&fork::table().entry(identity.id).inode),
                Origin::Inherited,
                Kind::Lockable,
            ),
            _ => return sys::close(number),
        },
        // A directory, or a file that SQLite did not open through the guard.
        None => return sys::close(number),
    };
    let mut state = lock_state(&inode);
    let mut table = fork::table();
    let last = table.remove(number);
    if kind != Kind::Lockable && state.private.is_none() && state.parked.is_empty() {
        if last {
            table.inodes.remove(&inode.id);
        }
        drop(table);
        return sys::close(number);
    }
    let result = state.close_or_park(&inode, &mut table, Some((number, origin)));
    drop(table);
    drop(state);
    release_parked();
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
    let place = state
        .parked
        .iter()
        .position(|parked| parked.origin == Origin::Here(access))?;
    let number = state.parked.swap_remove(place).number;
    PARKED.fetch_sub(1, Ordering::Relaxed);
    let mut table = fork::table();
    table.owned.remove(&number);
    if !is_file(number, identity.id) {
        return None;
    }
    table.insert(number, identity.id, access, Kind::Lockable);
    drop(table);
    state.verify_private(identity.id);
    Some(number)
}

/// Closes what may be closed by now; returns how many descriptors stay parked.
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
    for inode in inodes {
        let mut state = lock_state(&inode);
        if !state.parked.is_empty() {
            let _ = state.close_or_park(&inode, &mut fork::table(), None);
        }
    }
    PARKED.load(Ordering::Relaxed)
}
