//! An engine of a few jobs and runs that only remembers what it was asked.

use punctual_core::attempt::{Attempt, Exit, Outcome};
use punctual_core::error::{Code, Diagnostic};
use punctual_core::id::{Fence, JobId, NodeId, Revision, RunId, TriggerId};
use punctual_core::occurrence::{Disposition, Reason};
use punctual_core::run::{Hold, Lease, Run, RunState, Verdict};
use punctual_core::spec::JobSpec;
use punctual_core::time::Timestamp;
use punctual_core::trigger::TriggerState;
use punctual_server::*;
use punctual_store::RunFilter;
use punctual_store::row::{JobRow, Pause, TriggerRow};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// 2026-11-24T09:00:00Z.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_510_800);

pub struct Fake {
    pub asked: Mutex<Vec<String>>,
    pub runs: Mutex<Vec<Run>>,
    pub logs: PathBuf,
    pub overdue: Duration,
}

/// So many seconds after [`NOW`].
pub fn after(secs: i64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() + secs)
}

pub fn run(key: &str, nominal: Timestamp, state: RunState) -> Run {
    Run {
        id: RunId::derive("backup", "nightly", key, nominal),
        job: JobId(1),
        trigger: Some(TriggerId(1)),
        revision: Revision(3),
        key: key.to_owned(),
        nominal,
        due: nominal,
        state,
        fence: Fence(1),
        retries: 0,
        losses: 0,
        params: String::new(),
        queue: "normal".to_owned(),
        priority: 0,
        attempts: Vec::new(),
    }
}

pub fn attempt(number: u32, outcome: Outcome, code: i32) -> Attempt {
    let exit = Exit { code: Some(code), cpu_ms: Some(12), start_delay_us: Some(900), ..Exit::default() };
    Attempt { number, node: NodeId(10), started: Some(after(-60)), finished: after(-30), outcome, exit }
}

/// One run in each state.
pub fn runs() -> Vec<Run> {
    let finished = |verdict| RunState::Finished { at: after(-30), verdict, reason: None };
    let lease = |started| Lease { owner: NodeId(10), fence: Fence(1), since: after(-5), started, stop: None };
    let mut success = run("success", after(-600), finished(Verdict::Success));
    success.attempts = vec![attempt(1, Outcome::Failed, 1), attempt(2, Outcome::Success, 0)];
    let mut failed = run("failed", after(-500), finished(Verdict::Failed));
    failed.attempts = vec![attempt(1, Outcome::Failed, 7)];
    let mut retrying = run("retrying", after(-400), RunState::Queued { due: after(30) });
    retrying.attempts = vec![attempt(1, Outcome::Failed, 1)];
    vec![
        success,
        failed,
        retrying,
        run(
            "expired",
            after(-450),
            RunState::Finished {
                at: after(-20),
                verdict: Verdict::Expired,
                reason: Some(Reason::StartDeadline),
            },
        ),
        run("held", after(-300), RunState::Held(Hold::Overlap)),
        run("ready", after(-200), RunState::Queued { due: after(-200) }),
        run("scheduled", after(100), RunState::Queued { due: after(100) }),
        run("leased", after(-100), RunState::Leased(lease(None))),
        run("running", after(-10), RunState::Leased(lease(Some(after(-5))))),
    ]
}

impl Fake {
    pub fn new() -> Self {
        Self {
            asked: Mutex::default(),
            runs: Mutex::new(runs()),
            logs: PathBuf::from("/nonexistent"),
            overdue: Duration::ZERO,
        }
    }

    fn note(&self, asked: String) {
        self.asked.lock().expect("no test panics while it holds this").push(asked);
    }

    fn all(&self) -> Vec<Run> {
        self.runs.lock().expect("no test panics while it holds this").clone()
    }

    fn view(&self) -> JobView {
        JobView {
            row: JobRow {
                id: JobId(1),
                name: "backup".to_owned(),
                revision: Revision(3),
                paused: Some(Pause { since: after(-3600), reason: "disk".to_owned() }),
                retired: false,
                serial: true,
                failures: 2,
                owner: String::new(),
            },
            spec: Arc::new(JobSpec::named("backup")),
            triggers: vec![TriggerRow {
                id: TriggerId(1),
                job: JobId(1),
                name: "nightly".to_owned(),
                state: TriggerState {
                    cursor: after(-10),
                    next_at: Some(after(50)),
                    anchor: after(-9000),
                    fired: 9,
                },
                live: true,
            }],
            next: Some(after(50)),
            last: self.all().into_iter().next(),
            active: 2,
            held: 1,
        }
    }

    fn known(job: &str) -> Result<(), ControlError> {
        let diagnostic = Diagnostic::error(Code("RUN900"), "not said");
        if job == "backup" { Ok(()) } else { Err(ControlError { kind: ControlErrorKind::NoJob, diagnostic }) }
    }
}

fn named(run: Run) -> RunView {
    RunView { run, job: "backup".to_owned(), trigger: Some("nightly".to_owned()) }
}

impl Control for Fake {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn apply(
        &self,
        jobs: Vec<JobSpec>,
        owner: String,
        mode: ApplyMode,
        prune: bool,
    ) -> Answer<'_, Vec<JobChange>> {
        self.note(format!("apply {} {owner:?} {mode:?} prune {prune}", jobs.len()));
        Box::pin(async {
            Ok(vec![JobChange {
                name: "backup".to_owned(),
                kind: ChangeKind::Changed,
                revision: Revision(4),
                differences: vec!["timeout: none -> 10m".to_owned()],
            }])
        })
    }

    fn pause(&self, job: String, reason: String) -> Answer<'_, ()> {
        self.note(format!("pause {job} {reason:?}"));
        Box::pin(async move { Self::known(&job) })
    }

    fn resume(&self, job: String, catch_up: bool) -> Answer<'_, ()> {
        self.note(format!("resume {job} {catch_up}"));
        Box::pin(async move { Self::known(&job) })
    }

    fn submit(&self, job: String, key: Option<String>, params: Map<String, Value>) -> Answer<'_, Submitted> {
        self.note(format!("submit {job} {key:?} {params:?}"));
        Box::pin(async move {
            Self::known(&job)?;
            let made = run("submitted", NOW, RunState::Queued { due: NOW });
            let submitted = Submitted { run: made.id, existing: key.is_some() };
            self.runs.lock().expect("no test panics while it holds this").push(made);
            Ok(submitted)
        })
    }

    fn cancel(&self, run: RunId) -> Answer<'_, Run> {
        Box::pin(async move {
            let mut run = self.all().into_iter().find(|r| r.id == run).expect("it was resolved before");
            run.state = RunState::Finished { at: NOW, verdict: Verdict::Cancelled, reason: None };
            Ok(run)
        })
    }

    fn retry(&self, run: RunId) -> Answer<'_, Submitted> {
        Box::pin(async move { Ok(Submitted { run, existing: false }) })
    }

    fn jobs(&self) -> Answer<'_, Vec<JobView>> {
        Box::pin(async { Ok(vec![self.view()]) })
    }

    fn job(&self, name: String) -> Answer<'_, Option<JobView>> {
        Box::pin(async move { Ok(Some(self.view()).filter(|v| v.row.name == name)) })
    }

    fn runs(&self, filter: RunFilter) -> Answer<'_, Vec<RunView>> {
        self.note(format!("runs {:?} {:?} {}", filter.since, filter.verdicts, filter.limit));
        Box::pin(async move {
            let mut runs = self.all();
            runs.sort_by_key(|r| std::cmp::Reverse(r.nominal));
            runs.retain(|r| filter.since.is_none_or(|since| r.nominal >= since));
            runs.retain(|r| filter.until.is_none_or(|until| r.nominal < until));
            runs.retain(|r| match &r.state {
                RunState::Finished { verdict, .. } => {
                    filter.verdicts.is_empty() || filter.verdicts.contains(verdict)
                }
                _ => filter.unfinished,
            });
            runs.truncate(filter.limit);
            Ok(runs.into_iter().map(named).collect())
        })
    }

    fn run(&self, run: RunId) -> Answer<'_, Option<RunView>> {
        Box::pin(async move { Ok(self.all().into_iter().find(|r| r.id == run).map(named)) })
    }

    fn ticks(&self, job: String, from: Timestamp, to: Timestamp) -> Answer<'_, Vec<Tick>> {
        self.note(format!("ticks {job} {from} {to}"));
        Box::pin(async move {
            Self::known(&job)?;
            Ok(vec![Tick {
                nominal: after(-60),
                disposition: Disposition::Skipped,
                reason: Some(Reason::Overlap),
                run: None,
                trigger: "nightly".to_owned(),
                revision: Revision(3),
            }])
        })
    }

    fn why(&self, subject: WhySubject) -> Answer<'_, Why> {
        self.note(format!("why {subject:?}"));
        Box::pin(async {
            Ok(Why { answer: "it is paused".to_owned(), reason: Some(Reason::Paused), ..Why::default() })
        })
    }

    fn status(&self) -> Answer<'_, Status> {
        Box::pin(async {
            Ok(Status {
                node: Some("a".to_owned()),
                version: "0.1.0".to_owned(),
                now: NOW,
                jobs: 1,
                due_overdue: self.overdue,
                zones: "2026f (bundled)".to_owned(),
                shadow: false,
            })
        })
    }

    fn log_path(&self, run: RunId, attempt: u32) -> PathBuf {
        self.logs.join(format!("{run}.{attempt}"))
    }
}
