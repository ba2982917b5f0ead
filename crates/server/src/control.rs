//! What the server asks of the engine, as a trait so that the HTTP layer can be tested alone.

use punctual_core::error::Diagnostic;
use punctual_core::id::{Revision, RunId};
use punctual_core::occurrence::{Disposition, Reason};
use punctual_core::run::Run;
use punctual_core::spec::JobSpec;
use punctual_core::time::Timestamp;
use punctual_store::RunFilter;
use punctual_store::row::{JobRow, TriggerRow};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of a request to the engine.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ControlError>> + Send + 'a>>;

/// The engine, as the server sees it.
pub trait Control: Send + Sync + 'static {
    /// The engine's clock.
    fn now(&self) -> Timestamp;
    /// Makes these definitions the ones in force; with `prune`, retires the owner's other jobs.
    fn apply(
        &self,
        jobs: Vec<JobSpec>,
        owner: String,
        mode: ApplyMode,
        prune: bool,
    ) -> Answer<'_, Vec<JobChange>>;
    /// Lets a job fire no more until it is resumed.
    fn pause(&self, job: String, reason: String) -> Answer<'_, ()>;
    /// Lets a paused job fire again; with `catch_up`, by its catch-up policy over the pause.
    fn resume(&self, job: String, catch_up: bool) -> Answer<'_, ()>;
    /// Makes a run now, or finds the one that the same key made.
    fn submit(
        &self,
        job: String,
        key: Option<String>,
        params: serde_json::Map<String, serde_json::Value>,
    ) -> Answer<'_, Submitted>;
    /// Ends a run; the answer is the run as it stands then.
    fn cancel(&self, run: RunId) -> Answer<'_, Run>;
    /// Makes a new run with the parameters of a finished one.
    fn retry(&self, run: RunId) -> Answer<'_, Submitted>;
    /// All jobs, by name.
    fn jobs(&self) -> Answer<'_, Vec<JobView>>;
    /// One job, if there is one of that name.
    fn job(&self, name: String) -> Answer<'_, Option<JobView>>;
    /// Runs, newest first.
    fn runs(&self, filter: RunFilter) -> Answer<'_, Vec<RunView>>;
    /// One run.
    fn run(&self, run: RunId) -> Answer<'_, Option<RunView>>;
    /// What became of each nominal time of a job in `[from, to)`.
    fn ticks(&self, job: String, from: Timestamp, to: Timestamp) -> Answer<'_, Vec<Tick>>;
    /// The one answer to "why (not)?".
    fn why(&self, subject: WhySubject) -> Answer<'_, Why>;
    /// How the engine is.
    fn status(&self) -> Answer<'_, Status>;
    /// Where the output of an attempt is kept.
    fn log_path(&self, run: RunId, attempt: u32) -> PathBuf;
}

/// Whether an apply writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyMode {
    /// Only says what it would change.
    DryRun,
    /// Changes it.
    Apply,
}

/// What an apply did, or would do, to one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobChange {
    /// The job.
    pub name: String,
    /// What happened.
    pub kind: ChangeKind,
    /// The revision in force afterwards.
    pub revision: Revision,
    /// Each changed value, for people.
    pub differences: Vec<String>,
}

/// What an apply does to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It did not exist.
    New,
    /// It has a new revision.
    Changed,
    /// Nothing.
    Unchanged,
    /// It left the definitions.
    Retired,
    /// It came back.
    Revived,
    /// It took over another job's history.
    Renamed,
}

/// The run that a submission made or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The run.
    pub run: RunId,
    /// Whether an earlier submission of the same key had made it.
    pub existing: bool,
}

/// A job and where it stands.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Its row.
    pub row: JobRow,
    /// Its definition in force.
    pub spec: Arc<JobSpec>,
    /// Its triggers.
    pub triggers: Vec<TriggerRow>,
    /// The next nominal time of any of them.
    pub next: Option<Timestamp>,
    /// Its newest run that has started or ended.
    pub last: Option<Run>,
    /// Unfinished runs that are queued or leased.
    pub active: usize,
    /// Unfinished runs that are held.
    pub held: usize,
}

/// A run with the names of what it belongs to.
#[derive(Clone, Debug)]
pub struct RunView {
    /// The run.
    pub run: Run,
    /// Its job's name.
    pub job: String,
    /// Its trigger's name; `None` if it was submitted.
    pub trigger: Option<String>,
}

/// What became of one nominal time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The nominal time.
    pub nominal: Timestamp,
    /// What became of it.
    pub disposition: Disposition,
    /// Why, where it did not become a run.
    pub reason: Option<Reason>,
    /// The run it became.
    pub run: Option<RunId>,
    /// The trigger's name.
    pub trigger: String,
    /// The revision that decided.
    pub revision: Revision,
}

/// What a why is asked of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhySubject {
    /// A job, now.
    Job(String),
    /// A run.
    Run(RunId),
    /// A job at an instant.
    JobAt(String, Timestamp),
}

/// An answer to why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// One sentence.
    pub answer: String,
    /// The stored reason, where there is one.
    pub reason: Option<Reason>,
    /// The rule that said so.
    pub rule: Option<String>,
    /// The next instant it will run.
    pub next: Option<Timestamp>,
    /// What the answer rests on.
    pub facts: Vec<String>,
}

/// How the engine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The node's identity; `None` if no daemon runs.
    pub node: Option<String>,
    /// The version of the program.
    pub version: String,
    /// The engine's clock.
    pub now: Timestamp,
    /// Jobs that are not retired.
    pub jobs: usize,
    /// By how much the oldest due trigger is overdue.
    pub due_overdue: Duration,
    /// The zone table in use, for example `2026f (bundled)`.
    pub zones: String,
    /// Whether it records only and starts nothing.
    pub shadow: bool,
}

/// Why the engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlError {
    /// What sort of failure.
    pub kind: ControlErrorKind,
    /// What a person is told.
    pub diagnostic: Diagnostic,
}

/// The sorts of failure, as far as a client acts on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlErrorKind {
    /// There is no such job.
    NoJob,
    /// There is no such run.
    NoRun,
    /// The input is refused.
    Refused,
    /// It cannot be done in the state things are in.
    Conflict,
    /// The store or the daemon cannot do it now.
    Unavailable,
}
