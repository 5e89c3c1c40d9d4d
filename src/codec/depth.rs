//! How deep the codec may recurse.
//!
//! `ormsgpack` limits each call; a hook that calls again starts from zero. Objects inside objects, or hostile
//! extensions inside extensions, could so exhaust the stack and abort the process. Calls of one thread that
//! are nested through Python therefore share one further limit.

use std::cell::Cell;

/// Levels that one thread may have open over all nested calls. Measured: 3,000 levels of extensions in
/// extensions end within 1.5 MB of stack.
const LEVELS_PER_THREAD: usize = 3_000;

thread_local! {
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// The levels that a call may open: `own`, or what this thread has left.
pub(super) fn allowance(own: usize) -> usize {
    own.min(LEVELS_PER_THREAD.saturating_sub(OPEN.get()))
}

/// Counts `levels` as open while Python code runs that may call the codec again.
pub(super) struct Descent(usize);

impl Descent {
    pub(super) fn new(levels: usize) -> Self {
        // A level for the call itself: nesting without containers must end as well.
        let levels = levels + 1;
        OPEN.set(OPEN.get().saturating_add(levels));
        Self(levels)
    }
}

impl Drop for Descent {
    fn drop(&mut self) {
        OPEN.set(OPEN.get().saturating_sub(self.0));
    }
}
