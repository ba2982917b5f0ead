//! The definition format: from text to [`JobSpec`] to [`crate::job::Job`].
//!
//! ```text
//! Source ─yaml→ Node ─reader→ JobSpec ─to_json→ what a revision stores
//!                                └─compile→ Job
//! ```
//! [`load`] reads all files and reports every error of every file at once, each with its place and what to write
//! instead. [`table`] is the one list of keys: the decoder refuses what is not in it, the JSON Schema and the reference
//! are made from it. Nothing here does I/O: the environment, calendar files and zones are asked of the caller's
//! [`Context`].
//!
//! `${NAME}` is replaced in every value but these, where `$` belongs to others: a script (`run` as a text), `stdin`,
//! and what an executor of a later release reads.

mod bounds;
mod calendar;
pub(crate) mod choice;
mod compile;
mod definition;
mod diff;
mod document;
mod expand;
mod job;
pub mod keys;
mod length;
mod lint;
mod origin;
mod outcome;
pub mod output;
mod reader;
mod schema;
pub mod suggest;
pub mod table;
pub mod template;
mod text;
mod trigger;
pub mod yaml;

#[cfg(test)]
mod tests;

pub use bounds::{BoundsSpec, RlimitsSpec};
pub use choice::Choice;
pub use compile::seed;
pub use definition::{
    ActionSpec, CalendarSpec, CalendarUse, CatchUpSpec, CommandSpec, FailureSpec, JobSpec, LimitsSpec,
    ProcessSpec, ResourcesSpec, RetrySpec, RuleSpec, SuccessSpec, TriggerSpec, VerifySpec,
};
pub use diff::spec_diff;
pub use document::{Definitions, NO_JOBS, Rejection, Semaphore, WorkerPool, load};
pub use length::{LENGTH_MAX, Malformed, format_duration, parse_bytes, parse_cpu, parse_duration};
pub use lint::{Measured, Observed, lint, lint_key, lint_past};
pub use origin::{Origins, ValueOrigin};
pub use schema::{json_schema, reference};
pub use text::{FILE_BYTES_MAX, NOT_TEXT, Place, Source, too_large};

use crate::calendar::CalendarMode;
use crate::cron::Dialect;
use crate::schedule::DstPolicy as Dst;
use crate::zone::{Zone, ZoneError};
use std::sync::Arc;

/// What a load asks of its caller.
pub struct Context<'a> {
    /// The value of an environment variable, for `${NAME}`.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file, by the name of the file of definitions and the path written there.
    pub read: &'a dyn Fn(&str, &str) -> Result<String, String>,
    /// A zone, by name.
    pub zones: &'a dyn Fn(&str) -> Result<Arc<Zone>, ZoneError>,
}
