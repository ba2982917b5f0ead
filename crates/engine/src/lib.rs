//! The engine of one node: it opens the book on the store, lets `core` decide, and carries out what was decided.
//!
//! This crate must not know HTTP, JSON documents for people, or a command line.

pub mod apply;
pub mod attach;
pub mod audit;
pub mod backfill;
pub mod block_on;
pub mod book;
mod checkpoints;
pub mod clock;
mod clock_file;
pub mod clock_watch;
pub mod control;
pub mod data_dir;
pub mod definitions;
pub mod error;
pub mod executor;
mod failures;
pub mod folders;
pub mod guarded;
pub mod handlers;
mod hands;
pub mod inbox;
mod limits;
pub mod node;
pub mod past;
pub mod pulse;
mod quarantine;
pub mod retention;
pub mod run_loop;
mod session;
pub mod set_back;
pub mod shared;
pub mod stuck;
pub mod supervisor;
pub mod synchronised;
pub mod timer;
pub mod unix_socket;
pub mod view;
pub mod why;
pub mod zones;
