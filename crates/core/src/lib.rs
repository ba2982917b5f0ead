//! The decisions of Punctual, pure: no I/O, no clock, no randomness, no waiting.
//!
//! The flow of a run through this crate, which is also the order to read it in:
//! [`trigger`] fires occurrences, [`admission`] admits them as runs, [`queue`] chooses which start,
//! [`run`] applies what happens to them.

pub mod civil;
pub mod error;
pub mod failpoint;
pub mod guard;
pub mod id;
pub mod invariant;
pub mod sabotage;
pub mod time;
pub mod zone;

pub mod calendar;
pub mod cron;
pub mod preview;
pub mod schedule;

pub mod job;
pub mod spec;
pub mod trigger;

pub mod fire;

pub mod admission;
pub mod attempt;
pub mod occurrence;
pub mod pattern;
pub mod queue;
pub mod retry;
pub mod run;
