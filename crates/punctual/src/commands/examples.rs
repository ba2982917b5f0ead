//! Jobs and runs for tests of what is printed.

use punctual_core::cron::Dialect;
use punctual_core::schedule::DstPolicy;
use punctual_core::spec::{ActionSpec, CommandSpec, JobSpec, ProcessSpec, RuleSpec, TriggerSpec};
use punctual_core::time::Timestamp;
use punctual_server::dto::{AttemptDto, Instant, JobDto, RunDto, TriggerDto};
use std::collections::BTreeMap;

/// 2026-11-24T09:00:00Z.
pub const NOW: Timestamp = Timestamp::from_secs(1_795_510_800);

/// So many seconds after [`NOW`].
pub fn after(secs: i64) -> Instant {
    Instant(Timestamp::from_secs(NOW.as_secs() + secs))
}

/// A run that succeeded at its first attempt, two hours ago.
pub fn run() -> RunDto {
    RunDto {
        id: "01kbw6qc00c4t0v5d7qk2rj3xm".to_owned(),
        job: "backup".to_owned(),
        trigger: Some("nightly".to_owned()),
        key: "nightly:2026-11-24T07:00:00Z".to_owned(),
        nominal_time: after(-7200),
        due_time: after(-7200),
        state: "finished".to_owned(),
        verdict: Some("success".to_owned()),
        reason: None,
        rerun_of: None,
        warning: None,
        may_repeat: false,
        attempts: vec![AttemptDto {
            number: 1,
            started_at: Some(after(-7200)),
            finished_at: Some(after(-7110)),
            outcome: Some("success".to_owned()),
            exit_code: Some(0),
            start_delay_us: Some(1_200),
            node: Some("0000000000000000000000000000000a".to_owned()),
            ..AttemptDto::default()
        }],
    }
}

/// The job `backup`, daily at 02:00 in Shanghai.
pub fn spec() -> JobSpec {
    let rule = RuleSpec::Cron {
        expression: "0 2 * * *".to_owned(),
        time_zone: "Asia/Shanghai".to_owned(),
        dst: DstPolicy::Debian,
        dialect: Dialect::Standard,
    };
    let shell = vec!["/bin/sh".to_owned(), "-c".to_owned()];
    let process = ProcessSpec {
        command: CommandSpec::Shell { shell, script: "pg_dump shop | gzip > /backup/shop.gz".to_owned() },
        run_as: None,
        env: BTreeMap::new(),
        working_directory: None,
        stdin: None,
        bounds: Default::default(),
    };
    let trigger = TriggerSpec { name: Some("nightly".to_owned()), ..TriggerSpec::new(rule) };
    JobSpec { triggers: vec![trigger], action: ActionSpec::Run(process), ..JobSpec::named("backup") }
}

/// An active job, due in 192 seconds, whose last run is [`run`].
pub fn job() -> JobDto {
    JobDto {
        name: "backup".to_owned(),
        revision: 3,
        paused: None,
        owner: Some("jobs.yaml".to_owned()),
        failures: 0,
        next_time: Some(after(192)),
        active_runs: 0,
        held_runs: 0,
        last_run: Some(run()),
        triggers: vec![TriggerDto {
            name: "nightly".to_owned(),
            next_time: Some(after(192)),
            cursor: after(-7200),
            fired: 41,
        }],
        definition: spec().to_json(),
    }
}
