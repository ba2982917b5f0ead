//! The HTTP interface: the only crate that knows HTTP, JSON and the shapes users see.
//!
//! ```text
//! request → [router] → routes/* → engine → [dto] → answer
//! ```
//! There is one router. The daemon serves it on a Unix socket ([`listen::serve_unix`]); a command that finds no
//! daemon calls the same router in its own process. So there is one code path, and one set of shapes.
//!
//! Every answer carries the engine's clock in the header [`NOW_HEADER`], so that clients need none of their own.

pub mod dto;
mod error;
pub mod listen;
pub mod moment;
mod request;
pub mod router;
mod routes;
#[cfg(test)]
#[path = "../tests/support/seed.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod seed;
mod submission;

pub use listen::serve_unix;
pub use router::router;

/// The header of every answer that holds the engine's time, RFC 3339 in UTC.
pub const NOW_HEADER: &str = "punctual-now";
/// The header of a log answer: which attempt it is of.
pub const LOG_ATTEMPT_HEADER: &str = "punctual-log-attempt";
/// The header of a log answer: the offset to ask for next.
pub const LOG_OFFSET_HEADER: &str = "punctual-log-offset";
/// The header of a log answer: `true` once the attempt has ended and this answer reaches the end of its log.
pub const LOG_ENDED_HEADER: &str = "punctual-log-ended";
/// The header of a log answer that has no file: `empty` if the attempt has printed nothing, `pruned` if it may also be
/// that its output has been removed.
pub const LOG_ABSENT_HEADER: &str = "punctual-log-absent";
/// The largest request body that is read, bytes.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
