//! From a leased run to what the supervisor starts: command, environment contract, limits; and back from how its
//! process ended to an outcome.

use crate::backfill;
use crate::clock::Clock;
use crate::handlers::Handled;
use crate::supervisor::protocol::{AttemptId, Ended, Limits, Rlimits, Start, Told};
use crate::supervisor::tree::MARK;
use nix::unistd::{User, geteuid};
use punctual_core::attempt::{Attempt, Exit, Outcome};
use punctual_core::id::NodeId;
use punctual_core::job::{self, Command, Job, Process};
use punctual_core::run::Run;
use punctual_core::spec::template;
use punctual_core::time::Timestamp;
use serde_json::{Map, Value};
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// Where programs are looked for unless the definition says otherwise.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whom the daemon runs as: the environment of jobs without `runAs` comes from here, never from the daemon's own.
#[derive(Clone, Debug)]
pub struct Account {
    name: String,
    home: String,
    shell: String,
}

impl Account {
    /// The account of this process.
    pub fn own() -> Self {
        let user = User::from_uid(geteuid()).ok().flatten();
        Self {
            name: user.as_ref().map_or_else(|| geteuid().to_string(), |u| u.name.clone()),
            home: user.as_ref().map_or_else(|| "/".into(), |u| u.dir.to_string_lossy().into_owned()),
            shell: user.map_or_else(|| "/bin/sh".into(), |u| u.shell.to_string_lossy().into_owned()),
        }
    }
}

/// What the supervisor is asked to start for `run`, whose lease is `fence`.
///
/// # Errors
/// The definition asks for something this run does not have, for example a parameter.
pub fn start(
    job: &Job,
    process: &Process,
    run: &Run,
    log: PathBuf,
    account: &Account,
) -> Result<Start, String> {
    let params = params(run)?;
    let contract = contract(job, run, &params);
    let argv = match &process.command {
        Command::Argv(argv) => argv.iter().map(|a| fill(a, &contract, &params)).collect::<Result<_, _>>()?,
        Command::Shell { shell, script } => shell.iter().chain([script]).cloned().collect(),
    };
    let mut env: Vec<(String, String)> = Vec::new();
    if process.run_as.is_none() {
        let own = [
            ("HOME", &account.home),
            ("USER", &account.name),
            ("LOGNAME", &account.name),
            ("SHELL", &account.shell),
        ];
        env.extend(own.map(|(k, v)| (k.to_owned(), v.clone())));
    }
    env.push(("PATH".into(), PATH.into()));
    env.push(("TZ".into(), job.zone_of(&run.key).name().to_owned()));
    // Later entries win: what the definition sets stands over the defaults, the contract over everything.
    env.extend(process.env.iter().cloned());
    env.extend(contract);
    for (name, value) in &params {
        env.push((
            template::variable(&format!("params.{name}")).unwrap_or_else(|| format!("PUNCTUAL_PARAM_{name}")),
            text(value),
        ));
    }
    let working_directory = match (&process.working_directory, &process.run_as) {
        (Some(directory), _) => Some(directory.clone()),
        (None, Some(_)) => None,
        // Without it the job starts at the root, as it does under `runAs` and under cron.
        (None, None) => Some(account.home.clone()).filter(|home| Path::new(home).is_dir()),
    };
    Ok(Start {
        attempt: attempt_id(run),
        argv,
        env: last_wins(env),
        working_directory,
        stdin: process.stdin.clone(),
        run_as: process.run_as.clone(),
        log: log.to_string_lossy().into_owned(),
        log_bytes_max: job.output.bytes_max,
        output_direct: job.output.direct,
        redact: job.output.redact.clone(),
        timeout_ms: job.timeout.map(millis),
        grace_ms: millis(job.grace),
        no_progress_ms: job.no_progress_timeout.map(millis),
        limits: limits(&process.limits),
        rlimits: rlimits(&process.bounds.rlimits),
        umask: process.bounds.umask,
        nice: process.bounds.nice,
        no_new_privileges: process.bounds.no_new_privileges,
    })
}

fn limits(limits: &job::Limits) -> Limits {
    let job::Limits { cpu_millis, memory_bytes, pids } = *limits;
    Limits { cpu_millis, memory_bytes, pids }
}

fn rlimits(rlimits: &job::Rlimits) -> Rlimits {
    let job::Rlimits { open_files, core_bytes, file_bytes, stack_bytes, cpu_seconds } = *rlimits;
    Rlimits { open_files, core_bytes, file_bytes, stack_bytes, cpu_seconds }
}

/// The attempt that ended, as the history keeps it. `due` is when it was due to start.
pub fn attempt(
    ended: &Ended,
    number: u32,
    node: NodeId,
    due: Timestamp,
    timeout: Option<Duration>,
) -> Attempt {
    let started = ended.started_us.map(Timestamp::from_micros);
    let outcome = match (&ended.spawn_error, ended.told, ended.code) {
        (Some(_), ..) => Outcome::SpawnFailed,
        (None, Some(Told::Timeout | Told::NoProgress), _) => Outcome::Timeout,
        (None, Some(Told::Stop), _) => Outcome::Cancelled,
        // Told to end with the daemon, and ended well all the same: it is done.
        (None, _, Some(0)) => Outcome::Success,
        (None, Some(Told::Shutdown | Told::Orphaned), _) => Outcome::Interrupted,
        (None, None, _) => Outcome::Failed,
    };
    let reason = match outcome {
        Outcome::SpawnFailed => ended.spawn_error.as_ref().map(ToString::to_string),
        Outcome::Timeout if ended.told == Some(Told::NoProgress) => {
            Some("it printed nothing for longer than its noProgressTimeout".into())
        }
        Outcome::Timeout => timeout.map(|t| format!("it ran longer than its timeout of {}", seconds(t))),
        Outcome::Interrupted if ended.told == Some(Told::Orphaned) => {
            Some("no daemon came for longer than jobs may live without one".into())
        }
        Outcome::Interrupted => Some("the daemon was stopped".into()),
        Outcome::Failed if ended.oom => Some("the kernel killed in it: its limits.memory was full".into()),
        _ => None,
    };
    // What holds of every attempt must not hide why this one ended.
    let reason = match (reason, &ended.remark) {
        (Some(reason), Some(remark)) => Some(format!("{reason}; {remark}")),
        (reason, remark) => reason.or_else(|| remark.clone()),
    };
    Attempt {
        number,
        node,
        started: started.filter(|_| ended.spawn_error.is_none()),
        finished: Timestamp::from_micros(ended.at_us),
        outcome,
        exit: Exit {
            code: ended.code.filter(|_| ended.spawn_error.is_none()),
            signal: ended.signal,
            cpu_ms: ended.cpu_ms,
            memory_bytes_max: ended.memory_bytes_max,
            start_delay_us: started.map(|s| u64::try_from(s.since(due).as_micros()).unwrap_or(u64::MAX)),
            reason,
        },
    }
}

/// The attempt that a handler carried out, as the history keeps it.
pub fn handled(handled: &Handled, run: &Run, node: NodeId, due: Timestamp, job: &Job) -> Attempt {
    let outcome = match (handled.told, &handled.result) {
        (Some(Told::Timeout | Told::NoProgress), _) => Outcome::Timeout,
        (Some(Told::Stop), _) => Outcome::Cancelled,
        (_, Ok(())) => Outcome::Success,
        (Some(Told::Shutdown | Told::Orphaned), Err(_)) => Outcome::Interrupted,
        (None, Err(_)) => Outcome::Failed,
    };
    let reason = match (outcome, &handled.result) {
        (Outcome::Timeout, _) => {
            job.timeout.map(|t| format!("it ran longer than its timeout of {}", seconds(t)))
        }
        (_, Err(why)) => Some(why.clone()),
        (_, Ok(())) => None,
    };
    let delay = handled.started.since(due).as_micros();
    Attempt {
        number: run.next_attempt(),
        node,
        started: Some(handled.started),
        finished: handled.finished,
        outcome,
        exit: Exit {
            start_delay_us: Some(u64::try_from(delay).unwrap_or(u64::MAX)),
            reason,
            ..Exit::default()
        },
    }
}

/// An end with the supervisor's stamps, which are the wall clock's, as the time they were.
pub fn by_the_clock(clock: &Clock, ended: &Ended) -> Ended {
    let time = |micros| clock.of_wall(Timestamp::from_micros(micros)).as_micros();
    Ended { started_us: ended.started_us.map(time), at_us: time(ended.at_us), ..ended.clone() }
}

/// An attempt of which nothing more is known than that its node is gone.
pub fn lost(run: &Run, node: NodeId, started: Option<Timestamp>, now: Timestamp) -> Attempt {
    let reason = Some("its supervisor ended before the attempt did".into());
    let exit = Exit { reason, ..Exit::default() };
    Attempt { number: run.next_attempt(), node, started, finished: now, outcome: Outcome::Lost, exit }
}

/// The name of the present attempt of a leased run.
pub fn attempt_id(run: &Run) -> AttemptId {
    AttemptId { run: run.id.to_string(), fence: run.fence.0 }
}

fn params(run: &Run) -> Result<Map<String, Value>, String> {
    if run.params.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(&run.params).map_err(|e| format!("the run's parameters cannot be read: {e}"))
}

/// What every job is told; see docs/reference/environment.md.
fn contract(job: &Job, run: &Run, params: &Map<String, Value>) -> Vec<(String, String)> {
    let mut contract = vec![
        ("PUNCTUAL_JOB".to_owned(), job.name.clone()),
        (MARK.to_owned(), run.id.to_string()),
        ("PUNCTUAL_ATTEMPT".to_owned(), run.next_attempt().to_string()),
        ("PUNCTUAL_NOMINAL_TIME".to_owned(), run.nominal.to_string()),
        ("PUNCTUAL_NOMINAL_DATE".to_owned(), nominal_date(job, run)),
        ("PUNCTUAL_IDEMPOTENCY_KEY".to_owned(), run.id.to_string()),
        ("PUNCTUAL_FENCE".to_owned(), run.fence.0.to_string()),
    ];
    if let Some(id) = backfill::id_of(&run.key).filter(|_| run.trigger.is_none()) {
        contract.push(("PUNCTUAL_BACKFILL".to_owned(), id.to_owned()));
    }
    if !params.is_empty() {
        contract.push(("PUNCTUAL_PARAMS".to_owned(), Value::Object(params.clone()).to_string()));
    }
    contract
}

fn nominal_date(job: &Job, run: &Run) -> String {
    // Local seconds written as if they were UTC give the date on the wall.
    let local = Timestamp::from_secs(job.zone_of(&run.key).local(run.nominal)).to_string();
    local.split('T').next().unwrap_or_default().to_owned()
}

/// Fills the templates of an argument. The value stays one argument, whatever is in it.
fn fill(
    argument: &str,
    contract: &[(String, String)],
    params: &Map<String, Value>,
) -> Result<String, String> {
    let value = |name: &str| match name.strip_prefix("params.") {
        Some(param) => params.get(param).map(text),
        None => {
            let variable = template::variable(name)?;
            contract.iter().find(|(k, _)| *k == variable).map(|(_, v)| v.clone())
        }
    };
    template::render(argument, &value).map_err(|fault| format!("{}; {}", fault.message, fault.hint))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn last_wins(env: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::with_capacity(env.len());
    for (key, value) in env {
        kept.retain(|(k, _)| *k != key);
        kept.push((key, value));
    }
    kept
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
