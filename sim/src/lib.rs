//! The simulator: the real engine in virtual time, on a store, a clock and a supervisor that fail as a seed says.
//!
//! One seed is one history. It chooses jobs, policies and a part of all kinds of faults, lives through some hours or
//! days, and ends in calm, in which everything must come to rest. Each decision that commits is judged by rules that
//! share nothing with the engine's: [`check`], [`timetable`].

pub mod check;
pub mod hook;
pub mod plan;
pub mod play;
pub mod rng;
pub mod supervisor;
pub mod tally;
pub mod timetable;
pub mod world;
