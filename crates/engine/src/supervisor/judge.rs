//! What an attempt is judged by, and what was found besides its exit: the words of it between daemon and supervisor.

use punctual_core::job::is_good_exit;
use serde::{Deserialize, Serialize};

/// What an attempt is judged by once its process has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judge {
    /// The good exit codes; empty: 0 alone.
    pub exit_codes: Vec<u8>,
    /// A pattern that its output must match somewhere.
    pub output: Option<String>,
    /// A pattern that its output must match nowhere.
    pub output_not: Option<String>,
    /// What is run then, and must exit with 0.
    pub verify: Option<Verify>,
    /// The file in which it may say something about itself.
    pub control: Option<String>,
}

/// A command that looks at what an attempt did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {
    /// Program and arguments; not empty.
    pub argv: Vec<String>,
    /// Milliseconds until it is told to end.
    pub timeout_ms: u64,
}

/// The directory that the attempts of a run share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Where it is.
    pub path: String,
    /// The one of the run whose work is done again, which it takes over if it is there.
    pub from: Option<String>,
}

/// What was found besides the exit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// What of its work does not hold, for people.
    pub unmet: Option<String>,
    /// Why it said that it failed for good.
    pub failed: Option<String>,
    /// Milliseconds for which it asked to be left alone before it is tried again.
    pub retry_after_ms: Option<u64>,
}

impl Judge {
    /// Whether more than the exit code is looked at.
    pub fn is_looked_at(&self) -> bool {
        self.output.is_some() || self.output_not.is_some() || self.verify.is_some()
    }

    /// Whether an exit code is a good one.
    pub fn is_good(&self, code: i32) -> bool {
        is_good_exit(&self.exit_codes, code)
    }
}
