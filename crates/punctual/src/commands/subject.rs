//! What a person means by a name on the command line: a job, or a run.

use crate::client::{Client, path};
use crate::failure::{Failure, NOT_FOUND};
use punctual_server::dto::{JobDto, RunDto};

/// A job or a run.
pub enum Subject {
    /// A job, by its name.
    Job(Box<JobDto>),
    /// A run, by its id, the beginning of it, or `last`.
    Run(Box<RunDto>),
}

impl Subject {
    /// Finds what `text` names; a job's name comes before a run's id.
    ///
    /// # Errors
    /// It names neither, or more than one run.
    pub fn find(client: &Client, text: &str) -> Result<Self, Failure> {
        let no_job = match client.get(&path(&["v1", "jobs", text])) {
            Ok(job) => return Ok(Self::Job(Box::new(job))),
            Err(failure) if failure.exit == NOT_FOUND => failure,
            Err(failure) => return Err(failure),
        };
        match client.get(&path(&["v1", "runs", text])) {
            Ok(run) => Ok(Self::Run(Box::new(run))),
            Err(mut failure) if failure.exit == NOT_FOUND => {
                failure.error.message = format!("there is neither a job nor a run {text:?}");
                // The nearest name, where there is one, helps more than how to list runs.
                failure.error.hint = no_job.error.hint.or(failure.error.hint);
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    }
}
