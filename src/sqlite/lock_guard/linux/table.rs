//! Which descriptors are `SQLite`'s, and which inode each of them is.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;

use libc::c_int;

use super::fork;
use super::inode::{Inode, lock_state};
use super::sys::{self, FileId};

/// How a descriptor was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

impl Access {
    pub(super) fn of_flags(flags: c_int) -> Self {
        if flags & libc::O_ACCMODE == libc::O_RDONLY {
            Self::ReadOnly
        } else {
            Self::ReadWrite
        }
    }
}

/// What a descriptor was opened as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A database, or the `-shm` file of one.
    Lockable,
    /// A write-ahead log: no library takes locks there, so closing it takes none away.
    Log,
    /// A rollback journal or a temporary file: nor there.
    Journal,
}

/// A descriptor that our `SQLite` opened in this generation.
#[derive(Debug, Clone)]
pub(super) struct Descriptor {
    pub(super) inode: Arc<Inode>,
    pub(super) access: Access,
    pub(super) kind: Kind,
}

/// An inode and how many registered descriptors it has.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) inode: Arc<Inode>,
    pub(super) live: usize,
}

/// Everything the guard knows, for one generation. Held for map operations, and for what a fork must not see
/// half done: opening a private descriptor, and closing under an exclusive lock.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Exactly the descriptors between `SQLite`'s `open` and its `close`.
    pub(super) descriptors: HashMap<RawFd, Descriptor>,
    /// Every inode with a registered, private or parked descriptor.
    pub(super) inodes: HashMap<FileId, Entry>,
    /// The private and the parked descriptors: what a forked child closes.
    pub(super) owned: HashMap<RawFd, FileId>,
}

impl Table {
    pub(super) fn lookup(&self, descriptor: RawFd) -> Option<Descriptor> {
        self.descriptors.get(&descriptor).cloned()
    }

    pub(super) fn is_log(&self, descriptor: RawFd) -> bool {
        let known = self.descriptors.get(&descriptor);
        known.is_some_and(|known| known.kind == Kind::Log)
    }

    pub(super) fn entry(&mut self, id: FileId) -> &mut Entry {
        self.inodes.entry(id).or_insert_with(|| Entry {
            inode: Arc::new(Inode::new(id)),
            live: 0,
        })
    }

    pub(super) fn insert(&mut self, number: RawFd, id: FileId, access: Access, kind: Kind) -> Arc<Inode> {
        let entry = self.entry(id);
        entry.live += 1;
        let inode = Arc::clone(&entry.inode);
        self.descriptors.insert(
            number,
            Descriptor {
                inode: Arc::clone(&inode),
                access,
                kind,
            },
        );
        inode
    }

    /// Forgets a registered descriptor; returns whether its inode has none left.
    pub(super) fn remove(&mut self, number: RawFd) -> bool {
        let Some(descriptor) = self.descriptors.remove(&number) else {
            return false;
        };
        match self.inodes.get_mut(&descriptor.inode.id) {
            Some(entry) => {
                entry.live = entry.live.saturating_sub(1);
                entry.live == 0
            }
            None => true,
        }
    }
}

/// Registers what `SQLite` has just opened. Only regular files can be databases; a descriptor that is not
/// registered gets no locks.
pub(super) fn register(number: RawFd, access: Access, kind: Kind) {
    let Ok(identity) = sys::identify(number) else {
        return;
    };
    let (inode, stale) = {
        let mut table = fork::table();
        // A number that is still known here was closed behind our back, since the kernel gave it out again.
        table.remove(number);
        let stale = table
            .owned
            .remove(&number)
            .and_then(|id| table.inodes.get(&id).map(|entry| Arc::clone(&entry.inode)));
        if !identity.regular {
            return;
        }
        (table.insert(number, identity.id, access, kind), stale)
    };
    if let Some(stale) = stale {
        lock_state(&stale).forget(number);
    }
    lock_state(&inode).verify_private(identity.id);
}
