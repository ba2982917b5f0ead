//! What jobs' last runs took, asked of the daemon for the lint.

use crate::client::{Client, query};
use crate::data::Data;
use crate::failure::Failure;
use punctual_core::spec::{Measured, Observed};
use punctual_server::dto::{AttemptDto, RunDto};

/// So many runs of a job are looked at.
const RUNS_MAX: &str = "20";

/// Asks for what the runs of jobs took. Without a daemon, and without a directory that was asked for, there is nothing
/// to ask: then no job has measurements.
pub struct Measurements {
    client: Option<Client>,
}

impl Measurements {
    /// Finds whom to ask.
    ///
    /// # Errors
    /// A data directory was named, and cannot be opened.
    pub fn open(data: &Data) -> Result<Self, Failure> {
        let client = match data.is_given() {
            true => Some(Client::open(data)?),
            false => Client::daemon(data).ok(),
        };
        Ok(Self { client })
    }

    /// What the last runs of `job` took together; `None` if there are too few, or no such job.
    pub fn of(&self, job: &str) -> Option<Observed> {
        let path = query("/v1/runs", &[("job", Some(job)), ("limit", Some(RUNS_MAX))]);
        let runs: Vec<RunDto> = self.client.as_ref()?.get(&path).ok()?;
        let attempts: Vec<_> = runs.iter().flat_map(|run| &run.attempts).filter_map(measured).collect();
        Observed::of(&attempts)
    }
}

/// An attempt that ended by itself or at its timeout. How long one was that was lost or cancelled says nothing.
fn measured(attempt: &AttemptDto) -> Option<Measured> {
    let (start, end) = (attempt.started_at?.0, attempt.finished_at?.0);
    let counts = matches!(attempt.outcome.as_deref()?, "success" | "failed" | "timeout");
    counts.then(|| Measured {
        run_us: u64::try_from(end.since(start).as_micros()).unwrap_or(u64::MAX),
        cpu_ms: attempt.cpu_ms,
        memory_bytes_max: attempt.memory_bytes_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use punctual_core::time::Timestamp;
    use punctual_server::dto::Instant;

    #[test]
    fn only_attempts_that_ended_by_themselves_are_measured() {
        let attempt = |outcome: &str| AttemptDto {
            started_at: Some(Instant(Timestamp::from_secs(10))),
            finished_at: Some(Instant(Timestamp::from_secs(12))),
            outcome: Some(outcome.to_owned()),
            ..AttemptDto::default()
        };
        assert_eq!(measured(&attempt("success")).map(|m| m.run_us), Some(2_000_000));
        assert_eq!(measured(&attempt("lost")), None);
        assert_eq!(measured(&AttemptDto { started_at: None, ..attempt("failed") }), None);
    }
}
