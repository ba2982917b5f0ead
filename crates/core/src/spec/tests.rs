//! The format as users meet it: what loads and to what, what is refused and with which words.

use super::*;
use crate::error::Diagnostic;
use crate::zone::ZoneTable;
use serde_json::json;
use std::time::Duration;

fn load_files(files: &[(&str, &str)]) -> Result<Definitions, Vec<Diagnostic>> {
    let table = ZoneTable::bundled();
    let files: Vec<_> = files.iter().map(|(name, text)| Source::new(*name, *text)).collect();
    let context = Context {
        env: &|name| match name {
            "HOST" => Some("db.example".to_owned()),
            "PRIO" => Some("3".to_owned()),
            _ => None,
        },
        read: &|_, path| match path {
            "holidays.ics" => {
                Ok("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261225\nEND:VEVENT\nEND:VCALENDAR\n"
                    .to_owned())
            }
            _ => Err("no such file".to_owned()),
        },
        zones: &|name| table.zone(name),
    };
    load(&files, &context)
}

fn load_one(text: &str) -> Result<Definitions, Vec<Diagnostic>> {
    load_files(&[("jobs.yaml", text)])
}

/// The jobs of a text that must load.
fn jobs(text: &str) -> Vec<JobSpec> {
    match load_one(text) {
        Ok(definitions) => definitions.jobs,
        Err(found) => panic!("{}", render(&found)),
    }
}

fn job(text: &str) -> JobSpec {
    jobs(text).remove(0)
}

fn render(found: &[Diagnostic]) -> String {
    found.iter().map(|d| format!("{d}\n")).collect()
}

/// The errors of a text that must not load.
fn errors(text: &str) -> Vec<Diagnostic> {
    match load_one(text) {
        Ok(definitions) => panic!("it loads: {:?}", definitions.jobs),
        Err(mut found) => {
            found.retain(|d| d.severity == crate::error::Severity::Error);
            found
        }
    }
}

/// The one error of a text, as code, line and column, and rendered.
fn error(text: &str) -> (&'static str, u32, u32, String) {
    let found = errors(text);
    assert_eq!(found.len(), 1, "{}", render(&found));
    let at = found[0].origin.clone().expect("a place");
    (found[0].code.0, at.line, at.column, found[0].to_string())
}

const FOUNDING: &str = r#"job:
  name: data-pipeline
  schedule: "0 2 * * *"
  resources: {cpu: "1000m", memory: "512Mi"}
  retryPolicy: {maxRetries: 3, backoff: "30s"}
"#;

const DESIGN: &str = r#"
defaults: {timeZone: Asia/Shanghai, runAs: app}
semaphores: {db: {permits: 10}}                  # shared by all nodes
workerPools: {etl: {core: 10, max: 50, queue: 1000}}
calendars: {workdays: {weekdays: mon-fri, except: [2026-12-25, ics: holidays.ics]}}
jobs:
  - name: data-sync
    schedule: {cron: "*/5 * * * *", jitter: 10s}
    run: [./sync.sh, --all, "{{ nominalDate }}"]
    timeout: 10m
    retryPolicy: {maxRetries: 3, backoff: 30s}
    overlap: skip
    catchUp: {policy: latest, window: 1h}
    queue: normal
    priority: 5
    resources: {cpu: 500m, memory: 256Mi, db: 1}
    limits: {memory: 1Gi, pids: 200}
    notify: {onFailure: {run: [./page-me.sh]}}
  - name: backup
    triggers: [{cron: "0 2 * * *", calendar: workdays}, {after: data-sync}]
    run: "pg_dump shop | gzip > /backup/shop.gz"
"#;

#[test]
fn the_founding_document_loads_as_it_stands() {
    let job = job(FOUNDING);
    assert_eq!(job.name, "data-pipeline");
    assert_eq!(job.action, ActionSpec::None);
    assert_eq!(job.retry_policy.max_retries, 3);
    assert_eq!(job.retry_policy.backoff, Duration::from_secs(30));
    assert_eq!(job.resources.cpu_millis, Some(1000));
    assert_eq!(job.resources.memory_bytes, Some(512 << 20));
    let warnings = load_one(FOUNDING).expect("it loads").warnings;
    let codes: Vec<_> = warnings.iter().map(|w| w.code.0).collect();
    assert_eq!(codes, ["DEF101", "DEF103"], "{}", render(&warnings));
}

#[test]
fn the_document_of_the_design_loads_with_its_defaults() {
    let definitions = load_one(DESIGN).unwrap_or_else(|found| panic!("{}", render(&found)));
    let sync = &definitions.jobs[0];
    assert_eq!(
        sync.to_json(),
        json!({
            "name": "data-sync", "paused": false,
            "triggers": [{
                "rule": {"cron": {"expression": "*/5 * * * *", "timeZone": "Asia/Shanghai", "dst": "debian", "dialect": "standard"}},
                "jitter": "10s",
            }],
            "action": {"run": {"command": {"argv": ["./sync.sh", "--all", "{{ nominalDate }}"]}, "runAs": "app"}},
            "timeout": "10m", "grace": "10s",
            "retryPolicy": {"maxRetries": 3, "backoff": "30s", "maxBackoff": "5m"},
            "onLost": "retry", "overlap": "skip",
            "catchUp": {"policy": "latest", "window": "1h", "maxCount": 100, "spread": "1s"},
            "queue": "normal", "priority": 5,
            "resources": {"cpuMillis": 500, "memoryBytes": 268_435_456, "permits": {"db": 1}},
            "limits": {"memoryBytes": 1_073_741_824, "pids": 200},
            "outputBytesMax": 8_388_608,
            "onFailure": {"argv": ["./page-me.sh"]},
        })
    );
    let backup = &definitions.jobs[1];
    assert_eq!(backup.triggers.len(), 2);
    assert_eq!(backup.triggers[0].calendar.as_ref().map(|c| c.name.as_str()), Some("workdays"));
    assert_eq!(definitions.semaphores["db"].permits, 10);
    assert_eq!(definitions.worker_pools["etl"].queue, 1000);
    let origins = &definitions.origins["data-sync"];
    assert_eq!(origins.values["runAs"], ValueOrigin::Defaults { line: 2 });
    assert_eq!(origins.values["timeout"], ValueOrigin::Job { line: 10 });
    assert_eq!(origins.values.get("grace"), None);
}

#[test]
fn a_definition_survives_its_json_and_compiles() {
    let table = ZoneTable::bundled();
    for spec in jobs(DESIGN) {
        let json = spec.to_json();
        let again = JobSpec::from_json(&json).expect("it was written here");
        assert_eq!(again, spec);
        assert_eq!(again.to_json().to_string(), json.to_string());
        let job = spec.compile(&|name| table.zone(name)).expect("it was loaded");
        assert_eq!(job.triggers.len(), spec.triggers.len());
    }
    assert!(JobSpec::from_json(&json!({"name": "x", "later": 1})).is_err());
}
