//! What `os.fork` must be told. With the lock guard the parent is quiesced, not closed, and the child
//! leaks what it inherits and opens afresh; to close in the parent would disturb neighbours, to
//! close in the child would disturb the parent. Without the guard everything is closed before and
//! opened again when it is used.

use std::time::Duration;

use super::{gate, lock_guard, shared};

/// Before a fork: waits until no connection is in use, for at most `patience`; false if some are.
pub fn before(patience: Duration) -> bool {
    let quiet = gate::close(patience);
    if quiet && lock_guard::status() != lock_guard::Status::Active {
        return shared::suspend_all();
    }
    quiet
}

/// After a fork, in the parent.
pub fn after_in_parent() {
    gate::open();
}

/// After a fork, in the child. `quiet` is what `before` said: if connections were in use, the child
/// may not use the library, since locks inside `SQLite` may be held by threads that it does not have.
pub fn after_in_child(quiet: bool) {
    shared::forget_all();
    gate::open_in_child(quiet);
}
