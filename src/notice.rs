//! What the operator should read, from threads that cannot log: the border logs it at the next call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

static WAITING: AtomicBool = AtomicBool::new(false);
static NOTICES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Leaves a notice.
pub fn leave(notice: String) {
    NOTICES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(notice);
    WAITING.store(true, Ordering::Release);
}

/// Takes the notices that wait: one load where there are none.
pub fn take() -> Vec<String> {
    if !WAITING.load(Ordering::Relaxed) || !WAITING.swap(false, Ordering::Acquire) {
        return Vec::new();
    }
    std::mem::take(&mut *NOTICES.lock().unwrap_or_else(PoisonError::into_inner))
}
