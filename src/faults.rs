//! Bugs that tests plant, to show that they would be seen. Without the feature `faults` there are none.

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Fault {
    /// A group is acknowledged, and committed only when the next one begins.
    AcknowledgeEarly = 1,
    /// A group goes on, though a full disk rolled its transaction back, and so does its COMMIT.
    IgnoreAutocommit,
    /// The write lock is taken by the first statement, not by BEGIN.
    Deferred,
    /// A call panics as it is handed over.
    PanicAtEntry,
    /// A job panics inside its transaction, its rows written.
    PanicInTransaction,
    /// Telling a caller panics, its rows committed.
    PanicAfterCommit,
    /// The leader panics before it begins a group.
    PanicInLeader,
    /// A read panics inside its transaction.
    PanicInRead,
}

#[cfg(feature = "faults")]
mod planting {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Fault;

    static PLANTED: AtomicU32 = AtomicU32::new(0);

    /// Plants a fault, or none, in place of the one before.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.store(fault.map_or(0, |fault| fault as u32), Ordering::SeqCst);
    }

    pub(crate) fn planted(fault: Fault) -> bool {
        PLANTED.load(Ordering::Relaxed) == fault as u32
    }

    /// Panics once, if this fault is planted.
    pub(crate) fn trip(fault: Fault) {
        let planted = PLANTED.compare_exchange(fault as u32, 0, Ordering::SeqCst, Ordering::Relaxed);
        assert!(planted.is_err(), "planted: {fault:?}");
    }
}

#[cfg(feature = "faults")]
pub use planting::plant;
#[cfg(feature = "faults")]
pub(crate) use planting::{planted, trip};

#[cfg(not(feature = "faults"))]
pub(crate) const fn planted(_: Fault) -> bool {
    false
}

#[cfg(not(feature = "faults"))]
pub(crate) const fn trip(_: Fault) {}
