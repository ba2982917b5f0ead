//! Punctual in a program: functions started on time, once per occurrence, each run durable and accounted for.
//!
//! ```no_run
//! use punctual::{Job, Scheduler};
//! use std::time::Duration;
//!
//! fn main() -> Result<(), punctual::Error> {
//!     let mut scheduler = Scheduler::open("greetings")?;
//!     scheduler.add(Job::new("greet").every(Duration::from_secs(5)), |_: (), call| {
//!         call.say(&format!("hello at {}", call.nominal()));
//!         Ok(())
//!     })?;
//!     scheduler.run()
//! }
//! ```
//!
//! A job's schedule, retries, overlap, catch-up and all else mean what they mean in `docs/reference/definitions.md`.
//! While the program runs, the `punctual` command answers about it: `punctual runs --data greetings`.

mod embed;

/// The guide's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/embed.md")]
struct Guide;

pub use embed::job::Job;
pub use embed::{Error, Handler, HandlerResult, Running, Scheduler};
pub use punctual_core as core;
pub use punctual_engine::handlers::Call;
