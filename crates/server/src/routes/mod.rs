//! What answers each path. Handlers read, ask the engine, and shape; they decide nothing.

pub mod backfill;
pub mod clock;
pub mod jobs;
pub mod log;
pub mod prune;
pub mod runs;
pub mod status;
