//! One guarded inode: its private descriptor, and the locks taken through it.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{c_int, flock};

use super::fork;
use super::park::{self, Origin, Parked};
use super::ranges::{self, RangeSet};
use super::sys::{self, Errno, FileId};
use super::table::{Access, Descriptor};

pub(super) static REFUSED: AtomicU64 = AtomicU64::new(0);
pub(super) static LAST_REFUSAL: AtomicI32 = AtomicI32::new(0);

/// How long a waiting request sleeps between two attempts.
const POLL_MICROSECONDS: u32 = 1_000;

/// What the guard keeps per inode.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) id: FileId,
    state: Mutex<State>,
}

/// The descriptor that carries the locks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Private {
    pub(super) number: RawFd,
    writable: bool,
}

impl Private {
    pub(super) fn origin(self) -> Origin {
        Origin::Here(if self.writable {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        })
    }
}

/// Behind the inode's mutex, which is held during the lock call itself: a private descriptor is replaced or
/// closed by nobody while it is in use.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) private: Option<Private>,
    /// What a read-only private descriptor holds; empty once it is writable.
    shared: RangeSet,
    pub(super) parked: Vec<Parked>,
}

impl Inode {
    pub(super) fn new(id: FileId) -> Self {
        Self {
            id,
            state: Mutex::default(),
        }
    }
}

pub(super) fn lock_state(inode: &Inode) -> MutexGuard<'_, State> {
    inode.state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A refused request reads as an I/O error, never as "busy": waiting would not help.
pub(super) fn refuse(cause: Errno) -> Errno {
    REFUSED.fetch_add(1, Ordering::Relaxed);
    if cause != 0 {
        LAST_REFUSAL.store(cause, Ordering::Relaxed);
    }
    libc::EIO
}

impl State {
    /// Drops a number that is no longer ours because somebody closed it.
    pub(super) fn forget(&mut self, number: RawFd) {
        if self.private.is_some_and(|private| private.number == number) {
            self.private = None;
            self.shared.clear();
        }
        let before = self.parked.len();
        self.parked.retain(|parked| parked.number != number);
        park::PARKED.fetch_sub(before - self.parked.len(), Ordering::Relaxed);
    }

    /// Forgets the private descriptor if its number is another file by now.
    pub(super) fn verify_private(&mut self, id: FileId) {
        if let Some(private) = self.private
            && !sys::identify(private.number).is_ok_and(|found| found.id == id)
        {
            fork::table().owned.remove(&private.number);
            self.forget(private.number);
        }
    }

    /// Opens a private descriptor. Under the table's mutex: a fork sees it either registered or not open.
    fn open_private(descriptor: RawFd, id: FileId, writable: bool) -> Result<Private, Errno> {
        let mut table = fork::table();
        let number = match sys::reopen(descriptor, writable) {
            // `SQLite` made the file with the mode of a write-protected database and has it open for
            // writing, which nobody may do again. It opens such a file (`-shm`) once per process, so
            // its own description serves: the locks stay as long as our number does.
            Err(libc::EACCES | libc::EPERM) => sys::duplicate(descriptor),
            result => result,
        }
        .map_err(refuse)?;
        if sys::identify(number).is_ok_and(|found| found.id == id) {
            table.owned.insert(number, id);
            Ok(Private { number, writable })
        } else {
            drop(table);
            let _ = sys::close(number);
            Err(refuse(libc::ESTALE))
        }
    }

    fn private(&mut self, descriptor: RawFd, id: FileId, access: Access) -> Result<Private, Errno> {
        if let Some(private) = self.private {
            return Ok(private);
        }
        let private = Self::open_private(descriptor, id, access == Access::ReadWrite)?;
        self.private = Some(private);
        Ok(private)
    }

    /// Replaces a read-only private descriptor by a writable one that holds the same locks.
    ///
    /// Shared locks of the two descriptions do not exclude each other, so there is no instant without them.
    /// The old number is parked, not closed: foreign code may have the inode open.
    fn upgrade(&mut self, old: Private, descriptor: RawFd, id: FileId) -> Result<Private, Errno> {
        let new = Self::open_private(descriptor, id, true)?;
        let carried = self.shared.iter().try_for_each(|range| {
            sys::set_lock(
                new.number,
                &sys::request(libc::F_RDLCK, (range.0, ranges::length_of(range))),
            )
        });
        if let Err(cause) = carried {
            self.retire(new);
            return Err(refuse(cause));
        }
        self.retire(old);
        self.shared.clear();
        self.private = Some(new);
        Ok(new)
    }

    fn retire(&mut self, private: Private) {
        // Cannot fail: nothing is allocated for unlocking a whole file.
        let _ = sys::set_lock(private.number, &sys::request(libc::F_UNLCK, (0, 0)));
        self.park(private.number, private.origin());
    }

    /// Releases every lock, as the kernel does when a process closes its last descriptor of a file.
    pub(super) fn unlock_all(&mut self) {
        if let Some(private) = self.private {
            let _ = sys::set_lock(private.number, &sys::request(libc::F_UNLCK, (0, 0)));
        }
        self.shared.clear();
    }

    fn set(&mut self, number: RawFd, descriptor: &Descriptor, request: &flock) -> Result<(), Errno> {
        let kind = c_int::from(request.l_type);
        if kind == libc::F_UNLCK && self.private.is_none() {
            return Ok(());
        }
        if kind == libc::F_WRLCK && descriptor.access == Access::ReadOnly {
            return Err(libc::EBADF);
        }
        let id = descriptor.inode.id;
        let mut private = self.private(number, id, descriptor.access)?;
        if kind == libc::F_WRLCK && !private.writable {
            private = self.upgrade(private, number, id)?;
        }
        sys::set_lock(private.number, request)?;
        if !private.writable {
            let range = ranges::of_request(request.l_start, request.l_len);
            match kind {
                libc::F_UNLCK => self.shared.remove(range),
                _ => self.shared.insert(range),
            }
        }
        Ok(())
    }

    fn get(&mut self, number: RawFd, descriptor: &Descriptor, request: &mut flock) -> Result<(), Errno> {
        let private = self.private(number, descriptor.inode.id, descriptor.access)?;
        match sys::get_lock(private.number, request)? {
            Some(conflict) => *request = conflict,
            None => request.l_type = i16::try_from(libc::F_UNLCK).unwrap_or_default(),
        }
        Ok(())
    }
}

/// One lock request of `SQLite`.
pub(super) fn lock(number: RawFd, command: c_int, request: &mut flock) -> Result<(), Errno> {
    let descriptor = fork::table().lookup(number);
    let Some(descriptor) = descriptor else {
        // Opened before the guard, or inherited over a fork. There is nothing to release on its behalf, and
        // its locks would belong to another generation.
        let releases = command != libc::F_GETLK && c_int::from(request.l_type) == libc::F_UNLCK;
        return if releases { Ok(()) } else { Err(refuse(0)) };
    };
    // The private description has a file position of its own, so SEEK_CUR would mean another range.
    if c_int::from(request.l_whence) != libc::SEEK_SET || request.l_start < 0 || request.l_len < 0 {
        return Err(libc::EINVAL);
    }
    if command == libc::F_GETLK {
        return lock_state(&descriptor.inode).get(number, &descriptor, request);
    }
    loop {
        // The state's mutex is free while this waits: the other side may wait for an unlock of ours.
        match lock_state(&descriptor.inode).set(number, &descriptor, request) {
            Err(libc::EAGAIN | libc::EACCES) if command == libc::F_SETLKW => {}
            result => return result,
        }
        if !sys::sleep_microseconds(POLL_MICROSECONDS) {
            return Err(libc::EINTR);
        }
    }
}
