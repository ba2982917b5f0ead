//! Attempts: one try of a run, and how it ended.

mod class;

pub use class::Class;

use crate::id::NodeId;
use crate::time::Timestamp;
use std::time::Duration;

macro_rules! words {
    ($(#[$outer:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$doc])* $name,)* }

        impl $type {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word users and the store see.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The value of that name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text)
            }
        }
    };
}
pub(crate) use words;

words! {
    /// How an attempt ended.
    Outcome {
        /// It did what it should.
        Success = "success",
        /// It ended with a code that is no success, or by a signal; or what must hold of its work does not.
        Failed = "failed",
        /// It ran longer than it may, and was killed.
        Timeout = "timeout",
        /// A person or a policy cancelled it.
        Cancelled = "cancelled",
        /// It was stopped because the daemon was stopped.
        Interrupted = "interrupted",
        /// Its node ended, and how the attempt ended is not known.
        Lost = "lost",
        /// It could not be started.
        SpawnFailed = "spawnFailed",
    }
}

/// One try of a run, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Where it ran.
    pub node: NodeId,
    /// When its process started; `None` if it is not known to have started.
    pub started: Option<Timestamp>,
    /// When it ended, or was found to have ended.
    pub finished: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// What its process gave.
    pub exit: Exit,
}

/// What is known of an attempt's process at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, if it ended by one.
    pub code: Option<i32>,
    /// The signal, if it ended by one.
    pub signal: Option<i32>,
    /// Processor time of the process and its waited-for children, milliseconds.
    pub cpu_ms: Option<u64>,
    /// The largest resident set of one of them, bytes.
    pub memory_bytes_max: Option<u64>,
    /// From due to start, microseconds.
    pub start_delay_us: Option<u64>,
    /// Why, where the code does not say it: a spawn error, a timeout's length.
    pub reason: Option<String>,
    /// The class of a bad end that outcome, code and signal do not tell; see [`Attempt::class`] for every other.
    pub class: Option<Class>,
    /// How long from its end the job asked to be left alone before it is tried again.
    pub retry_after: Option<Duration>,
}
