//! The shapes users see, exactly as `docs/reference/json.md` says: camelCase, instants as RFC 3339 in UTC, what is
//! absent is `null`. The client reads the same types that the server writes.

pub use crate::routes::backfill::{BackfillDto, BackfillRequestDto};
pub use crate::routes::clock::{AcceptedDto, AheadDto, ClockDto, SaidDto, SetBackDto};
use punctual_core::attempt::Attempt;
use punctual_core::run::{Run, RunState};
use punctual_core::time::Timestamp;
use punctual_engine::apply::{ChangeKind, JobChange};
use punctual_engine::executor;
use punctual_engine::view::{JobView, RunView, Status, Tick};
use punctual_engine::why::Why;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An instant in JSON: RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub Timestamp);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_rfc3339(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A job and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobDto {
    /// Its name.
    pub name: String,
    /// The revision in force.
    pub revision: i64,
    /// Set while it is paused.
    pub paused: Option<PauseDto>,
    /// The definitions file that owns it; `null` if it was applied by hand.
    pub owner: Option<String>,
    /// Runs that ended badly since the last success.
    pub failures: u32,
    /// The next nominal time.
    pub next_time: Option<Instant>,
    /// Unfinished runs that are queued, leased or running.
    pub active_runs: u64,
    /// Unfinished runs that wait for those.
    pub held_runs: u64,
    /// The newest run that has ended.
    pub last_run: Option<RunDto>,
    /// What makes it due.
    pub triggers: Vec<TriggerDto>,
    /// The effective definition.
    pub definition: serde_json::Value,
}

/// Why and since when a job is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PauseDto {
    /// Since when.
    pub since: Instant,
    /// By whom or why.
    pub reason: String,
}

/// What makes a job due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TriggerDto {
    /// Its name in the definition, or a hash of its rule.
    pub name: String,
    /// Its next nominal time.
    pub next_time: Option<Instant>,
    /// Every nominal time up to here has its disposition.
    pub cursor: Instant,
    /// Occurrences fired so far.
    pub fired: u64,
}

impl JobDto {
    /// What users see of a job at `now`.
    pub fn new(view: &JobView, now: Timestamp) -> Self {
        let row = &view.row;
        let last = view.last.as_ref().map(|run| {
            let trigger = view.triggers.iter().find(|t| Some(t.id) == run.trigger).map(|t| t.name.as_str());
            RunDto::new(run, &row.name, trigger, now)
        });
        Self {
            name: row.name.clone(),
            revision: row.revision.0,
            paused: (row.paused.as_ref())
                .map(|p| PauseDto { since: Instant(p.since), reason: p.reason.clone() }),
            owner: Some(row.owner.clone()).filter(|o| !o.is_empty()),
            failures: row.failures,
            next_time: view.next.map(Instant),
            active_runs: view.active,
            held_runs: view.held,
            last_run: last,
            triggers: (view.triggers.iter())
                .map(|t| TriggerDto {
                    name: t.name.clone(),
                    next_time: t.state.next_at.map(Instant),
                    cursor: Instant(t.state.cursor),
                    fired: t.state.fired,
                })
                .collect(),
            definition: view.spec.to_json(),
        }
    }
}

/// A run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunDto {
    /// Its id.
    pub id: String,
    /// Its job.
    pub job: String,
    /// The trigger that fired it; `null` if it was submitted.
    pub trigger: Option<String>,
    /// The occurrence's key.
    pub key: String,
    /// The instant the rule names, or at which it was submitted.
    pub nominal_time: Instant,
    /// When it became, or becomes, due to start.
    pub due_time: Instant,
    /// `held`, `scheduled`, `ready`, `retrying`, `leased`, `running` or `finished`.
    pub state: String,
    /// How it ended.
    pub verdict: Option<String>,
    /// Why it is held, why it never ran, or what its last attempt says beyond its exit code.
    pub reason: Option<String>,
    /// The run whose work it does again, because a person asked for it.
    pub rerun_of: Option<String>,
    /// What is remarkable about it while it runs.
    pub warning: Option<String>,
    /// Whether it may repeat a run of a time that the store has lost.
    pub may_repeat: bool,
    /// Its attempts, in order; the one that runs is the last, with `finishedAt` null.
    pub attempts: Vec<AttemptDto>,
}

/// One try of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttemptDto {
    /// From 1.
    pub number: u32,
    /// When its process started.
    pub started_at: Option<Instant>,
    /// When it ended.
    pub finished_at: Option<Instant>,
    /// How it ended.
    pub outcome: Option<String>,
    /// The exit code, if it ended by one.
    pub exit_code: Option<i32>,
    /// The signal, if it ended by one.
    pub signal: Option<i32>,
    /// Processor time, milliseconds.
    pub cpu_ms: Option<u64>,
    /// Largest resident set, bytes.
    pub memory_bytes_max: Option<u64>,
    /// From due to start, microseconds.
    pub start_delay_us: Option<u64>,
    /// The node it ran on.
    pub node: Option<String>,
    /// The kind of its bad end.
    pub class: Option<String>,
    /// The page that explains it.
    pub code: Option<String>,
    /// What is known of its end beyond code and signal.
    pub reason: Option<String>,
}

impl RunDto {
    /// What users see of a run at `now`.
    pub fn new(run: &Run, job: &str, trigger: Option<&str>, now: Timestamp) -> Self {
        let mut attempts: Vec<AttemptDto> = run.attempts.iter().map(AttemptDto::ended).collect();
        let (state, due, verdict, reason) = match &run.state {
            RunState::Held(hold) => ("held", run.due, None, Some(hold.as_str())),
            RunState::Queued { due } if *due <= now => ("ready", *due, None, None),
            RunState::Queued { due } if run.attempts.is_empty() => ("scheduled", *due, None, None),
            RunState::Queued { due } => ("retrying", *due, None, None),
            RunState::Leased(lease) => {
                let stop = lease.stop.map(punctual_core::run::StopReason::as_str);
                let Some(started) = lease.started else {
                    return Self::with(run, job, trigger, ("leased", run.due, None, stop), attempts);
                };
                attempts.push(AttemptDto {
                    number: run.next_attempt(),
                    started_at: Some(Instant(started)),
                    node: Some(lease.owner.to_string()),
                    ..AttemptDto::default()
                });
                ("running", run.due, None, stop)
            }
            RunState::Finished { verdict, reason, .. } => {
                ("finished", run.due, Some(verdict.as_str()), reason.map(|r| r.as_str()))
            }
        };
        Self::with(run, job, trigger, (state, due, verdict, reason), attempts)
    }

    fn with(
        run: &Run,
        job: &str,
        trigger: Option<&str>,
        (state, due, verdict, reason): (&str, Timestamp, Option<&str>, Option<&str>),
        attempts: Vec<AttemptDto>,
    ) -> Self {
        let said = || run.attempts.last().and_then(|a| a.exit.reason.clone());
        Self {
            id: run.id.to_string(),
            job: job.to_owned(),
            trigger: trigger.map(str::to_owned),
            key: run.key.clone(),
            nominal_time: Instant(run.nominal),
            due_time: Instant(due),
            state: state.to_owned(),
            verdict: verdict.map(str::to_owned),
            reason: reason.map(str::to_owned).or_else(said),
            rerun_of: executor::rerun_of(&run.key).map(|old| old.to_string()),
            warning: None,
            may_repeat: false,
            attempts,
        }
    }

    /// Of a run with its names.
    pub fn of(view: &RunView, now: Timestamp) -> Self {
        let run = Self::new(&view.run, &view.job, view.trigger.as_deref(), now);
        let warning = view.stuck.as_ref().map(|stuck| stuck.told(now));
        Self { warning, may_repeat: view.may_repeat, ..run }
    }
}

impl AttemptDto {
    fn ended(attempt: &Attempt) -> Self {
        Self {
            number: attempt.number,
            started_at: attempt.started.map(Instant),
            finished_at: Some(Instant(attempt.finished)),
            outcome: Some(attempt.outcome.as_str().to_owned()),
            exit_code: attempt.exit.code,
            signal: attempt.exit.signal,
            cpu_ms: attempt.exit.cpu_ms,
            memory_bytes_max: attempt.exit.memory_bytes_max,
            start_delay_us: attempt.exit.start_delay_us,
            node: Some(attempt.node.to_string()),
            class: attempt.class().map(|class| class.as_str().to_owned()),
            code: attempt.code().map(str::to_owned),
            reason: attempt.exit.reason.clone(),
        }
    }
}

/// The run that a submission made or found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmittedDto {
    /// The run.
    #[serde(flatten)]
    pub run: RunDto,
    /// Whether an earlier submission of the same key had made it.
    pub existing: bool,
}

/// What became of one nominal time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TickDto {
    /// The nominal time.
    pub nominal_time: Instant,
    /// `run`, `skipped`, `coalesced`, `expired` or `pending`.
    pub disposition: String,
    /// Why, where it did not become a run.
    pub reason: Option<String>,
    /// The run it became.
    pub run_id: Option<String>,
    /// The trigger.
    pub trigger: String,
    /// The revision that decided.
    pub revision: i64,
}

impl From<&Tick> for TickDto {
    fn from(tick: &Tick) -> Self {
        Self {
            nominal_time: Instant(tick.nominal),
            disposition: tick.disposition.as_str().to_owned(),
            reason: tick.reason.map(|r| r.as_str().to_owned()),
            run_id: tick.run.map(|r| r.to_string()),
            trigger: tick.trigger.clone(),
            revision: tick.revision.0,
        }
    }
}

/// An answer to "why (not)?".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WhyDto {
    /// One sentence.
    pub answer: String,
    /// The stored reason.
    pub reason: Option<String>,
    /// The rule that said so.
    pub rule: Option<String>,
    /// The next instant it will run.
    pub next_time: Option<Instant>,
    /// What the answer rests on.
    pub facts: Vec<String>,
}

impl From<Why> for WhyDto {
    fn from(why: Why) -> Self {
        Self {
            answer: why.answer,
            reason: why.reason.map(|r| r.as_str().to_owned()),
            rule: why.rule,
            next_time: why.next.map(Instant),
            facts: why.facts,
        }
    }
}

/// What an apply did, or would do, to one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobChangeDto {
    /// The job.
    pub name: String,
    /// `new`, `changed`, `unchanged`, `retired`, `revived` or `renamed`.
    pub change: String,
    /// The revision in force afterwards.
    pub revision: i64,
    /// Each changed value, for people.
    pub differences: Vec<String>,
}

impl From<&JobChange> for JobChangeDto {
    fn from(change: &JobChange) -> Self {
        let kind = match change.kind {
            ChangeKind::New => "new",
            ChangeKind::Changed => "changed",
            ChangeKind::Unchanged => "unchanged",
            ChangeKind::Retired => "retired",
            ChangeKind::Revived => "revived",
            ChangeKind::Renamed => "renamed",
        };
        Self {
            name: change.name.clone(),
            change: kind.to_owned(),
            revision: change.revision.0,
            differences: change.differences.clone(),
        }
    }
}

/// How the engine is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusDto {
    /// The node's identity; `null` if no daemon runs.
    pub node: Option<String>,
    /// The version of the program that answers.
    pub version: String,
    /// Its clock.
    pub now: Instant,
    /// Jobs in force.
    pub jobs: usize,
    /// Of them paused.
    pub paused_jobs: usize,
    /// How long the oldest due trigger or run has been due, milliseconds.
    pub overdue_ms: u64,
    /// Why nothing fires although a daemon runs: the store came back and nobody has accepted it.
    pub held: Option<String>,
    /// How long the daemon's loop has not been heard of beyond what it planned, milliseconds; `null` without a daemon.
    pub loop_late_ms: Option<u64>,
    /// When its last cycle ended.
    pub last_cycle: Option<Instant>,
    /// Its longest cycle, milliseconds.
    pub cycle_longest_ms: Option<u64>,
    /// What the self-audit has seen to since the daemon started.
    pub audit: AuditDto,
    /// The version of the zone table in use, for example `2026f`.
    pub zones_version: String,
    /// Where that is from: `bundled`, or a directory.
    pub zones_source: String,
    /// Whether it records only and starts nothing.
    pub shadow: bool,
    /// Items set aside since it started because they could not be decided; above 0 is a bug of Punctual.
    pub quarantined: u64,
    /// Runs that run much longer than their jobs usually do.
    #[serde(default)]
    pub stuck: Vec<String>,
    /// What is wrong with its clock, in a sentence.
    pub clock_fault: Option<String>,
    /// The definitions it serves.
    pub definitions: Option<String>,
    /// Why these, as they stand in their files, are not in force: the first of their errors.
    pub definitions_fault: Option<String>,
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the self-audit has seen to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditDto {
    /// Rounds that were finished.
    pub rounds: u64,
    /// When the last one was.
    pub last: Option<Instant>,
    /// Triggers that had stopped and fire again.
    pub rearmed: u64,
    /// Leases that no node knew of.
    pub orphans: u64,
}

/// What was accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreAcceptedDto {
    /// Why nothing fired until now; `null` if nothing was held.
    pub held: Option<String>,
}

impl From<Status> for StatusDto {
    fn from(status: Status) -> Self {
        Self {
            node: status.node,
            version: status.version.to_owned(),
            now: Instant(status.now),
            jobs: status.jobs,
            paused_jobs: status.paused,
            overdue_ms: millis(status.overdue),
            held: status.held,
            loop_late_ms: status.beat.map(|beat| millis(beat.late)),
            last_cycle: status.beat.and_then(|beat| beat.last).map(Instant),
            cycle_longest_ms: status.beat.map(|beat| millis(beat.longest)),
            audit: AuditDto {
                rounds: status.audited.rounds,
                last: status.audited.last.map(Instant),
                rearmed: status.audited.rearmed,
                orphans: status.audited.orphans,
            },
            zones_version: status.zones.0,
            zones_source: status.zones.1,
            shadow: status.shadow,
            quarantined: status.quarantined,
            stuck: status.stuck.iter().map(ToString::to_string).collect(),
            definitions_fault: status.definitions_fault,
            clock_fault: status.clock_fault,
            definitions: Some(status.owner).filter(|o| !o.is_empty()),
        }
    }
}

/// What is to be pruned. Absent: as the daemon does by itself; `none`: nothing by this measure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PruneDto {
    /// Keep history so long, as `90d`.
    #[serde(default)]
    pub keep_history: Option<String>,
    /// Keep output so long, as `30d`.
    #[serde(default)]
    pub keep_output: Option<String>,
    /// Keep so many bytes of output, as `10Gi`.
    #[serde(default)]
    pub keep_output_bytes: Option<String>,
    /// Whether it is only told what would be removed.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was pruned, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrunedDto {
    /// Whether nothing was removed.
    pub dry_run: bool,
    /// Runs and skips of the history; `null` in a dry run, which does not count them.
    pub history_rows: Option<u64>,
    /// Files of output.
    pub output_files: u64,
    /// What they took on disk.
    pub output_bytes: u64,
    /// What the output that is kept takes.
    pub output_bytes_kept: u64,
    /// Whether there is more to remove: a request removes 100,000 files at most.
    pub more: bool,
}

/// An error, as every refused request answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorDto {
    /// The error.
    pub error: ErrorBodyDto,
}

/// What a client is told of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBodyDto {
    /// The page that explains it.
    pub code: String,
    /// Object and cause.
    pub message: String,
    /// What to do instead.
    pub hint: Option<String>,
}

/// The body of an apply.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplyDto {
    /// The definitions, canonical.
    pub jobs: Vec<serde_json::Value>,
    /// Whose they are; empty: applied by hand.
    #[serde(default)]
    pub owner: String,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Retire the owner's other jobs.
    #[serde(default)]
    pub prune: bool,
}

/// The body of a submission; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SubmitDto {
    /// Repeats of a key find the run that it made.
    pub key: Option<String>,
    /// Parameters of the run.
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// The body of a pause; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PauseRequestDto {
    /// By whom or why, for people.
    pub reason: String,
}

/// The body of a resume; it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResumeDto {
    /// Whether the pause is caught up by the job's policy; otherwise its nominal times are skipped.
    pub catch_up: bool,
}
