//! The store: the only truth. It opens a transaction, a pure function decides, the store writes.
//!
//! There is one way to change anything: [`Store::transact`]. An [`Ask`] names what the decision must see; the
//! store locks and reads it as a [`Snapshot`]; the caller's pure function returns a [`Decision`]; the store
//! writes all of it and commits, or none. The function may be called again, so it must not have effects.
//!
//! Safety rests on what the store enforces by itself, whoever asks: one unfinished run per (job, key), cursors
//! that never go back, fences that only grow, and a node's cycle number that moves by one.
//!
//! An answer is true when it is given: `Ok` is on the disk, an error other than [`StoreError::CommitUnknown`] and
//! [`StoreError::Io`] changed nothing. Futures need no runtime; they wait for a thread of the store.
//!
//! This crate must not spawn work of others, sleep for an effect, or decide.

pub mod ask;
#[cfg(test)]
mod conformance;
pub mod error;
#[cfg(feature = "faults")]
pub mod faults;
pub mod memory;
pub mod row;
mod segment;
pub mod sqlite;
mod store;

pub use ask::{Ask, Cycle, Decide, Decision, Done, RunFilter, Snapshot};
pub use error::StoreError;
pub use memory::Memory;
pub use segment::SEGMENT_ROWS_MAX;
pub use sqlite::{Monotonic, Sqlite, SqliteOptions};
pub use store::Store;

/// Runs that [`Store::runs`] lists, at most.
pub const RUNS_MAX: usize = 10_000;
