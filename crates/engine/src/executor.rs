//! From a leased run to what the supervisor starts: command, environment contract, limits; and back from how its
//! process ended to an outcome.

use crate::backfill;
use crate::clock::Clock;
use crate::data_dir::DataDir;
use crate::folders::{CHECKPOINT, CONTROL};
use crate::handlers::Handled;
use crate::supervisor::judge::{Checkpoint, Judge, Verify};
use crate::supervisor::protocol::{AttemptId, Ended, Limits, Rlimits, Start, Told};
use crate::supervisor::tree::MARK;
use nix::unistd::{User, geteuid};
use punctual_core::attempt::{Attempt, Class, Exit, Outcome};
use punctual_core::id::{NodeId, RunId};
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

/// What the supervisor is asked to start for the present attempt of `run`.
///
/// # Errors
/// The definition asks for something this run does not have, for example a parameter.
pub fn start(
    job: &Job,
    process: &Process,
    run: &Run,
    data: &DataDir,
    account: &Account,
) -> Result<Start, String> {
    let mut start = command(job, process, run, data.log(run.id, run.next_attempt()), account)?;
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let control = text(data.control(run.id, run.fence));
    start.env.push((CONTROL.to_owned(), control.clone()));
    if job.checkpoint {
        let path = text(data.checkpoint(run.id));
        start.env.push((CHECKPOINT.to_owned(), path.clone()));
        let from = rerun_of(&run.key).map(|old| text(data.checkpoint(old)));
        start.checkpoint = Some(Checkpoint { path, from });
    }
    let params = params(run)?;
    let verify = job.success.verify.as_ref().map(|verify| {
        let argv = argv(&verify.command, &contract(job, run, &params), &params)?;
        Ok::<_, String>(Verify { argv, timeout_ms: millis(verify.timeout) })
    });
    start.judge = Judge {
        exit_codes: job.success.exit_codes.clone(),
        output: job.success.output.clone(),
        output_not: job.success.output_not.clone(),
        verify: verify.transpose()?,
        control: Some(control),
    };
    Ok(start)
}

/// The run whose work a run does again, as its key says.
pub fn rerun_of(key: &str) -> Option<RunId> {
    key.strip_prefix("retry:")?.split(':').next()?.parse().ok()
}

fn argv(
    command: &Command,
    contract: &[(String, String)],
    params: &Map<String, Value>,
) -> Result<Vec<String>, String> {
    match command {
        Command::Argv(argv) => argv.iter().map(|a| fill(a, contract, params)).collect(),
        Command::Shell { shell, script } => Ok(shell.iter().chain([script]).cloned().collect()),
    }
}

/// A process of a run that is judged by its exit alone, such as the one that tells of it.
///
/// # Errors
/// As [`start`].
pub fn command(
    job: &Job,
    process: &Process,
    run: &Run,
    log: PathBuf,
    account: &Account,
) -> Result<Start, String> {
    let params = params(run)?;
    let contract = contract(job, run, &params);
    let argv = argv(&process.command, &contract, &params)?;
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
        argv,
        env: last_wins(env),
        working_directory,
        stdin: process.stdin.clone(),
        run_as: process.run_as.clone(),
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
        ..Start::bare(attempt_id(run), log.to_string_lossy().into_owned(), job.output.bytes_max)
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
pub fn attempt(ended: &Ended, number: u32, node: NodeId, due: Timestamp, job: &Job) -> Attempt {
    let started = ended.started_us.map(Timestamp::from_micros);
    let outcome = outcome(ended, job);
    let class = class(ended, outcome);
    let mut reason = reason(ended, outcome, class, job);
    let retry_after = ended.findings.retry_after_ms.filter(|_| outcome == Outcome::Failed);
    let retry_after = retry_after.map(Duration::from_millis);
    if let (None, Some(wait)) = (&reason, retry_after) {
        reason = Some(format!("it asked to be tried again after {}", seconds(wait)));
    }
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
            class,
            retry_after,
        },
    }
}

fn outcome(ended: &Ended, job: &Job) -> Outcome {
    let good = ended.code.is_some_and(|code| job.success.is_good(code)) && ended.findings.failed.is_none();
    match (&ended.spawn_error, ended.told) {
        (Some(_), _) => Outcome::SpawnFailed,
        (None, Some(Told::Timeout | Told::NoProgress)) => Outcome::Timeout,
        (None, Some(Told::Stop)) => Outcome::Cancelled,
        (None, None) if good && ended.findings.unmet.is_none() => Outcome::Success,
        // Told to end with the daemon, and ended well all the same: it is done, if that is all there is to see.
        (None, Some(Told::Shutdown | Told::Orphaned)) if good && !job.success.is_looked_at() => {
            Outcome::Success
        }
        (None, Some(Told::Shutdown | Told::Orphaned)) => Outcome::Interrupted,
        (None, None) => Outcome::Failed,
    }
}

/// The class, where outcome, code and signal do not tell it.
fn class(ended: &Ended, outcome: Outcome) -> Option<Class> {
    match outcome {
        Outcome::Timeout if ended.told == Some(Told::NoProgress) => Some(Class::NoProgress),
        Outcome::Failed if ended.findings.failed.is_some() => Some(Class::Reported),
        Outcome::Failed if ended.findings.unmet.is_some() => Some(Class::Verify),
        Outcome::Failed if ended.oom => Some(Class::Oom),
        _ => None,
    }
}

fn reason(ended: &Ended, outcome: Outcome, class: Option<Class>, job: &Job) -> Option<String> {
    match (outcome, class) {
        (Outcome::SpawnFailed, _) => ended.spawn_error.as_ref().map(ToString::to_string),
        (_, Some(Class::NoProgress)) => {
            Some("it printed nothing for longer than its noProgressTimeout".into())
        }
        (Outcome::Timeout, _) => {
            job.timeout.map(|t| format!("it ran longer than its timeout of {}", seconds(t)))
        }
        (Outcome::Interrupted, _) if ended.told == Some(Told::Orphaned) => {
            Some("no daemon came for longer than jobs may live without one".into())
        }
        (Outcome::Interrupted, _) => Some("the daemon was stopped".into()),
        (_, Some(Class::Reported)) => ended.findings.failed.clone(),
        (_, Some(Class::Verify)) => ended.findings.unmet.clone(),
        (_, Some(Class::Oom)) => Some("the kernel killed in it: its limits.memory was full".into()),
        _ => None,
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
