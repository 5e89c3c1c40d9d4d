//! The `SQLite` backend.

pub mod filesystem;
pub mod foreign_sqlite;
pub mod lock_guard;
