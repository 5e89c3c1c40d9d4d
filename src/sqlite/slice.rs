//! Long verbs go in slices, so that no transaction keeps other writers waiting: a slice ends at a
//! step's end once its time is up, and the next call goes on from there. What is small is one slice,
//! and so one transaction.

use std::time::{Duration, Instant};

/// The time for one slice; its last step and COMMIT come on top, within 250 ms.
const TIME: Duration = Duration::from_millis(100);

/// The same where nobody waits for the end.
const SHORT: Duration = Duration::from_millis(20);

/// The slice that runs.
pub(super) struct Slice {
    began: Instant,
    time: Duration,
}

impl Slice {
    pub(super) fn begin() -> Self {
        Self {
            began: Instant::now(),
            time: TIME,
        }
    }

    /// One of a verb that nobody waits for.
    pub(super) fn short() -> Self {
        Self {
            began: Instant::now(),
            time: SHORT,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.began.elapsed() >= self.time
    }
}
