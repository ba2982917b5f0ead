//! What can go wrong with a request to the engine.

use punctual_core::error::{Code, Diagnostic};
use punctual_store::StoreError;
use std::fmt;

/// Why the engine did not do what it was asked.
#[derive(Clone, Debug)]
pub enum EngineError {
    /// There is no such job; the nearest name there is.
    NoJob {
        /// What was asked for.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// There is no such run.
    NoRun(String),
    /// The definitions are refused.
    Definition(Vec<Diagnostic>),
    /// A definitions file that is being served owns the job; it must be edited there.
    Owned {
        /// The job.
        job: String,
        /// The file or directory.
        owner: String,
    },
    /// It does not apply to what the job or run is now; why, and what to do.
    State {
        /// What and why.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// The files of output could not be read or removed.
    Output(String),
    /// It is refused for a reason with a page of its own.
    Refused {
        /// The page.
        code: Code,
        /// What and why.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// The store could not do it.
    Store(StoreError),
}

impl EngineError {
    /// The page that explains it.
    pub fn code(&self) -> Code {
        match self {
            Self::NoJob { .. } => Code("RUN001"),
            Self::NoRun(_) => Code("RUN002"),
            Self::Definition(diagnostics) => diagnostics.first().map_or(Code("RUN003"), |d| d.code),
            Self::Owned { .. } => Code("RUN004"),
            Self::State { .. } => Code("RUN005"),
            Self::Output(_) => Code("EXE021"),
            Self::Refused { code, .. } => *code,
            Self::Store(error) => error.code(),
        }
    }

    /// What to do instead.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoJob { nearest: Some(nearest), .. } => Some(format!("did you mean {nearest}?")),
            Self::NoJob { nearest: None, .. } => Some("punctual jobs lists the jobs".into()),
            Self::NoRun(_) => Some("punctual runs lists the runs".into()),
            Self::Definition(diagnostics) => diagnostics.first().and_then(|d| d.hint.clone()),
            Self::Owned { owner, .. } => Some(format!("edit {owner}; the daemon that serves it reloads it")),
            Self::State { hint, .. } | Self::Refused { hint, .. } => Some(hint.clone()),
            Self::Output(_) | Self::Store(_) => None,
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoJob { name, .. } => write!(f, "there is no job {name:?}"),
            Self::NoRun(run) => write!(f, "there is no run {run}"),
            Self::Definition(diagnostics) => {
                let texts: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join("\n"))
            }
            Self::Owned { job, owner } => write!(f, "job {job} belongs to the definitions in {owner}"),
            Self::State { message, .. } | Self::Refused { message, .. } => f.write_str(message),
            Self::Output(why) => write!(f, "the files of output cannot be pruned: {why}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
