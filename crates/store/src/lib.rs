//! The store: the only truth. It opens a transaction, a pure function decides, the store writes.
//!
//! There is one way to change anything: [`Store::transact`]. An [`Ask`] names what the decision must see; the
//! store locks and reads it as a [`Snapshot`]; the caller's pure function returns a [`Decision`]; the store
//! writes all of it and commits, or none. The function may be called again, so it must not have effects.
//!
//! Safety rests on what the store enforces by itself, whoever asks: one unfinished run per (job, key), cursors
//! that never go back, fences that only grow, and a node's cycle number that moves by one.
//!
//! This crate must not spawn work of others, sleep for an effect, or decide.

pub mod ask;
pub mod error;
pub mod row;

pub use ask::{Ask, Cycle, Decide, Decision, Done, RunFilter, Snapshot};
pub use error::StoreError;
