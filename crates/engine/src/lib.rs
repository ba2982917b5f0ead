//! The engine of one node: it opens the book on the store, lets `core` decide, and carries out what was decided.
//!
//! This crate must not know HTTP, JSON documents for people, or a command line.

pub mod book;
pub mod clock;
pub mod data_dir;
pub mod definitions;
pub mod executor;
pub mod supervisor;
