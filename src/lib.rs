//! The engine of `langgraph-checkpoint-rust`, and (feature `python`) its border to Python.
//!
//! Data flows one way: `py` and `codec` turn Python objects into the owned values of [`model`];
//! a [`backend::Backend`] stores them; nothing below the border knows Python.

pub mod backend;
mod chunk;
pub mod error;
#[doc(hidden)]
pub mod faults;
pub mod metrics;
pub mod model;
mod msgpack;
pub mod notice;
pub mod pending;
pub mod progress;
pub mod retention;
pub mod scoped;
pub mod shape;
pub mod sqlite;
pub mod stepwise;

#[cfg(feature = "python")]
mod codec;
#[cfg(feature = "python")]
mod py;
