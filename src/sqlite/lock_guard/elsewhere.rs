//! Platforms without the guard.

use super::Counters;

pub(crate) fn install() -> Result<(), &'static str> {
    Err("the lock guard needs Linux on x86-64 or aarch64")
}

pub(crate) fn generation() -> u64 {
    0
}

pub(crate) fn counters() -> Counters {
    Counters::default()
}

pub(crate) fn release_parked() -> usize {
    0
}

pub(crate) fn gathered<T>(commit: impl FnOnce() -> T) -> (T, Result<(), i32>) {
    (commit(), Ok(()))
}
