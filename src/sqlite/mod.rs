//! The `SQLite` backend.

pub mod lock_guard;
