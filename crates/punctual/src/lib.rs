//! Punctual: a scheduler that starts every job on time, once per occurrence, and accounts for each.

pub use punctual_core as core;
