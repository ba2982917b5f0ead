//! The format as users meet it: what loads and to what, what is refused and with which words.

use super::*;
use crate::error::Diagnostic;
use crate::time::Timestamp;
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
            "PATH" => Some("/bin".to_owned()),
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

pub(super) fn job(text: &str) -> JobSpec {
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
pub(super) fn error(text: &str) -> (&'static str, u32, u32, String) {
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
            "name": "data-sync", "timeZone": "Asia/Shanghai", "paused": false,
            "triggers": [{
                "rule": {"cron": {"expression": "*/5 * * * *", "timeZone": "Asia/Shanghai", "dst": "debian", "dialect": "standard"}},
                "jitter": "10s",
            }],
            "action": {"run": {"command": {"argv": ["./sync.sh", "--all", "{{ nominalDate }}"]}, "runAs": "app", "bounds": {"noNewPrivileges": true}}},
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

#[test]
fn sugar_and_canonical_triggers_mean_the_same() {
    let sugar = job("job: {name: a, schedule: [\"0 2 * * *\", {every: 30s}], run: [x]}");
    let canonical = job("job: {name: a, triggers: [{cron: \"0  2 * * *\"}, {every: 30s}], run: [x]}");
    assert_eq!(sugar.to_json().to_string(), canonical.to_json().to_string());
    let one = job("job: {name: a, schedule: {every: 30s}}");
    assert_eq!(one.triggers[0].rule.to_string(), "every 30s");
    let pace = job("job: {name: a, schedule: {every: 30s, pace: fixed-delay, initialDelay: 5s}}");
    assert_eq!(pace.triggers[0].rule.to_string(), "30s after the last run's end");
}

#[test]
fn an_instant_without_offset_is_on_the_clock_of_its_zone() {
    let zoned = job("job: {name: a, timeZone: Asia/Shanghai, schedule: {at: 2026-12-24T18:00}}");
    let utc = job("job: {name: a, schedule: {at: 2026-12-24T10:00:00Z}}");
    assert_eq!(zoned.triggers, utc.triggers);
    let fold = error("job: {name: a, schedule: {at: 2026-10-25T02:30, timeZone: Europe/Berlin}}");
    assert_eq!((fold.0, fold.2), ("DEF022", 31));
    assert!(fold.3.contains("twice"), "{}", fold.3);
    let hints = |at: &str| {
        let text = format!("job: {{name: a, schedule: {{at: {at}, timeZone: Europe/Berlin}}}}");
        let found = errors(&text).remove(0);
        (found.detail.unwrap_or_default(), found.hint.unwrap_or_default())
    };
    let (detail, hint) = hints("2026-10-25T02:30");
    assert!(detail.contains("twice"), "{detail}");
    assert_eq!(hint, "write 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00, or another time");
    let (detail, hint) = hints("2026-03-29T02:30");
    assert!(detail.contains("skip"), "{detail}");
    assert_eq!(hint, "write 2026-03-29T02:30:00+01:00 or 2026-03-29T02:30:00+02:00, or another time");
    assert!(error("job: {name: a, schedule: {at: tomorrow}}").3.contains("not an instant"));
}

#[test]
fn nicknames_become_the_rules_they_stand_for() {
    assert_eq!(job("job: {name: a, schedule: \"@reboot\"}").triggers[0].rule, RuleSpec::Boot);
    let every = job("job: {name: a, schedule: \"@every 90s\"}").triggers.remove(0).rule;
    let RuleSpec::Every { interval, initial_delay, .. } = every else { panic!("{every:?}") };
    assert_eq!((interval, initial_delay), (Duration::from_secs(90), Duration::from_secs(90)));
    assert!(job("job: {name: a, schedule: \"@daily\"}").triggers[0].rule.to_string().contains("@daily"));
}

#[test]
fn other_schedulers_words_are_read() {
    let aliased = job("tasks: [{id: a, trigger: \"0 2 * * *\", retries: 2, timeout: 90, command: [x]}]");
    let plain = job(
        "jobs: [{name: a, schedule: \"0 2 * * *\", retryPolicy: {maxRetries: 2}, timeout: 1m30s, run: [x]}]",
    );
    assert_eq!(aliased, plain);
    let web = job("job: {name: a, action: \"https://example.org/hook\"}");
    assert!(matches!(&web.action, ActionSpec::Other { executor, .. } if executor == "http"));
    assert!(web.paused, "this build makes no requests");
}

#[test]
fn a_retry_policy_chooses_its_failures() {
    let spec = job("job: {name: a, run: [x], retryPolicy: {retryOn: [timeout, 75, exit], neverOn: [2]}}");
    let json = &spec.to_json()["retryPolicy"];
    assert_eq!(json["retryOn"], json!(["exit", {"code": 75}, "timeout"]));
    let retry = spec.compile(&|name| ZoneTable::bundled().zone(name)).expect("it compiles").retry;
    let failed = |code| {
        let exit = crate::attempt::Exit { code: Some(code), ..Default::default() };
        retry.failures.contains(crate::attempt::Outcome::Failed, &exit)
    };
    assert!(failed(1) && failed(75) && !failed(2));
    assert!(!retry.failures.contains(crate::attempt::Outcome::SpawnFailed, &Default::default()));
    assert_eq!(error("job: {name: a, retryPolicy: {retryOn: [300]}}").0, "DEF008");
    assert!(error("job: {name: a, retryPolicy: {neverOn: [timout]}}").3.contains("write timeout"));
}

#[test]
fn circles_of_jobs_are_told_once() {
    let warned = |text: &str| {
        let warnings = load_one(text).expect("it loads").warnings;
        warnings.into_iter().filter(|d| d.code.0 == "DEF108").count()
    };
    let after =
        |name: &str, upstreams: &str| format!("  - {{name: {name}, run: [x], triggers: [{upstreams}]}}\n");
    let edge = |name: &str| format!("{{after: {name}}}");
    assert_eq!(warned(&format!("jobs:\n{}", after("a", &edge("a")))), 1);
    let circle = [after("a", &edge("b")), after("b", &edge("c")), after("c", &edge("a"))].concat();
    assert_eq!(warned(&format!("jobs:\n{circle}")), 1);
    let diamond = [
        after("a", ""),
        after("b", &edge("a")),
        after("c", &edge("a")),
        after("d", "{after: b}, {after: c}"),
    ]
    .concat();
    assert_eq!(warned(&format!("jobs:\n{diamond}")), 0);
    let chain: String = (0..3000).map(|n| after(&format!("j{n}"), &edge(&format!("j{}", n + 1)))).collect();
    assert_eq!(warned(&format!("jobs:\n{chain}")), 0);
}

#[test]
fn executors_of_later_releases_load_paused_and_whole() {
    let text = "job: {name: a, container: {image: \"busybox:1\", args: [a, \"${X}\"]}}";
    let definitions = load_one(text).expect("it loads");
    let job = &definitions.jobs[0];
    assert!(job.paused);
    let ActionSpec::Other { executor, definition } = &job.action else { panic!("{:?}", job.action) };
    assert_eq!(executor, "container");
    assert_eq!(*definition, json!({"image": "busybox:1", "args": ["a", "${X}"]}));
    assert_eq!(definitions.warnings[0].code.0, "DEF102");
}

#[test]
fn defaults_hold_for_their_file_and_yield_to_the_job() {
    let text = "
defaults: {timeout: 5m, env: {A: \"1\", B: \"2\"}, retryPolicy: {maxRetries: 4}, labels: {team: x}}
jobs:
  - {name: a, run: [x], env: {B: \"3\"}}
  - {name: b, run: [x], timeout: 1m, retries: 1}
---
job: {name: c, run: [x]}
";
    let files = [("a.yaml", text), ("b.yaml", "job: {name: d, run: [x]}")];
    let jobs = load_files(&files).expect("they load").jobs;
    let minutes = |job: &JobSpec| job.timeout.map(|t| t.as_secs() / 60);
    assert_eq!(jobs.iter().map(minutes).collect::<Vec<_>>(), [Some(5), Some(1), Some(5), None]);
    let ActionSpec::Run(process) = &jobs[0].action else { panic!("{:?}", jobs[0].action) };
    let env: Vec<_> = process.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["A=1", "B=3"]);
    assert_eq!(jobs[0].retry_policy.max_retries, 4);
    assert_eq!(jobs[1].retry_policy, RetrySpec { max_retries: 1, ..RetrySpec::NONE });
    assert_eq!(jobs[0].labels["team"], "x");
    // A fault in the defaults is told once, though two jobs use them and none would be enough.
    assert_eq!(error("defaults: {timeout: x}\njobs: [{name: a}, {name: b}]").0, "DEF009");
    assert_eq!(error("defaults: {timeout: x}").0, "DEF009");
    assert_eq!(error("defaults: {name: x}\njob: {name: a}").0, "DEF017");
    assert_eq!(error("defaults: {}\n---\ndefaults: {}").0, "DEF011");
}

#[test]
fn variables_are_replaced_but_not_where_the_dollar_is_the_jobs() {
    let text = r#"
job:
  name: a
  run: echo ${NOT_OURS} $PUNCTUAL_JOB
  stdin: ${NEITHER}
  priority: ${PRIO}
  workingDirectory: /srv/${HOST}
  env: {URL: "http://${HOST}/${PATHNAME:-index}", RAW: "$${HOST} $HOST"}
"#;
    let spec = job(text);
    let ActionSpec::Run(process) = &spec.action else { panic!("{:?}", spec.action) };
    assert_eq!(
        process.command,
        CommandSpec::Shell {
            shell: vec!["/bin/sh".to_owned(), "-c".to_owned()],
            script: "echo ${NOT_OURS} $PUNCTUAL_JOB".to_owned(),
        }
    );
    assert_eq!(process.stdin.as_deref(), Some("${NEITHER}"));
    assert_eq!(spec.priority, 3);
    assert_eq!(process.working_directory.as_deref(), Some("/srv/db.example"));
    assert_eq!(process.env["URL"], "http://db.example/index");
    assert_eq!(process.env["RAW"], "${HOST} $HOST");
    let (code, line, column, _) = error("job:\n  name: a\n  run: [x, \"--host=${HOSTT}\"]");
    assert_eq!((code, line, column), ("DEF015", 3, 20));
    let warned = load_one("job: {name: a, run: [sh, -c, \"echo ${HOST}\"]}").expect("it loads").warnings;
    assert_eq!(warned[0].code.0, "DEF105");
}

#[test]
fn the_place_of_a_cron_fault_is_inside_the_scalar() {
    let (code, line, column, text) = error("job:\n  name: a\n  schedule: \"0 25 * * *\"\n");
    assert_eq!((code, line, column), ("CRN003", 3, 16), "{text}");
    let (_, _, column, _) = error("job: {name: a, schedule: {cron: 0 0 1 13 *}}");
    assert_eq!(column, 39);
    // An escape moves the characters: then the whole scalar is meant.
    let (_, _, column, _) = error("job: {name: a, schedule: \"\\x30 25 * * *\"}");
    assert_eq!(column, 26);
    let (code, _, _, text) = error("job: {name: a, schedule: \"0 0 30 2 *\"}");
    assert!(code == "TRG004" && text.contains("write \"0 0 L 2 *\""), "{text}");
}

#[test]
fn all_errors_of_all_files_come_at_once() {
    let files = [
        ("a.yaml", "job: {name: a, timeout: x, nope: 1}"),
        ("b.yaml", "job: ["),
        ("c.yaml", "job: {name: a}\n---\njobs: [{name: c, overlap: forbid}]"),
    ];
    let found = load_files(&files).expect_err("errors");
    let seen: Vec<_> = found
        .iter()
        .filter(|d| d.severity == crate::error::Severity::Error)
        .map(|d| (d.origin.as_ref().map_or("", |o| o.file.as_str()), d.code.0))
        .collect();
    assert_eq!(
        seen,
        [
            ("a.yaml", "DEF009"),
            ("a.yaml", "DEF005"),
            ("b.yaml", "DEF002"),
            ("c.yaml", "DEF011"),
            ("c.yaml", "DEF008")
        ]
    );
}

#[test]
fn refusals_have_their_codes() {
    for (text, code) in [
        ("job: {schedule: \"@daily\"}", "DEF007"),
        ("job: {name: \"a b\"}", "DEF012"),
        ("job: {name: \"\"}", "DEF012"),
        ("job: {name: a, paused: yes}", "DEF006"),
        ("job: {name: a, priority: \"3\"}", "DEF006"),
        ("job: {name: a, priority: 5000}", "DEF008"),
        ("job: {name: a, timeout: 0}", "DEF008"),
        ("job: {name: a, timeout: -5}", "DEF008"),
        ("job: {name: a, grace: 30}", "DEF009"),
        ("job: {name: a, queue: low}", "DEF008"),
        ("job: {name: a, id: b}", "DEF013"),
        ("job: {name: a, schedule: \"@daily\", triggers: []}", "DEF013"),
        ("job: {name: a, run: [x], http: {}}", "DEF013"),
        ("job: {name: a, run: [x], command: [y]}", "DEF013"),
        ("job: {name: a, run: []}", "DEF008"),
        ("job: {name: a, run: \"  \"}", "DEF008"),
        ("job: {name: a, run: {cmd: x}}", "DEF006"),
        ("job: {name: a, run: \"echo {{ job }}\"}", "DEF016"),
        ("job: {name: a, run: [x, \"{{ jobb }}\"]}", "DEF016"),
        ("job: {name: a, resources: {db: 1}}", "DEF014"),
        ("semaphores: {db: {permits: 2}}\njob: {name: a, resources: {db: 3}}", "DEF018"),
        ("semaphores: {cpu: {permits: 2}}\njob: {name: a}", "DEF008"),
        ("job: {name: a, resources: {memory: 512MB}}", "DEF010"),
        ("job: {name: a, triggers: [{cron: \"@daily\"}, {cron: \"@daily\"}]}", "DEF019"),
        ("job: {name: a, triggers: [{jitter: 5s}]}", "DEF021"),
        ("job: {name: a, triggers: [{every: 5s, dst: skip}]}", "DEF013"),
        ("job: {name: a, triggers: [{every: 1ms}]}", "DEF008"),
        ("job: {name: a, schedule: {after: b}}", "DEF008"),
        ("job: {name: a, schedule: {cron: \"@daily\", calendar: none}}", "DEF014"),
        ("calendars: {c: {except: [ics: nope.ics]}}\njob: {name: a}", "DEF020"),
        ("calendars: {c: {weekdays: funday}}\njob: {name: a}", "TRG010"),
        ("job: {name: a, timeZone: Mars/Base}", "ZON001"),
        ("job: {name: a, runAs: \"-x\"}", "DEF008"),
        ("job: {name: a, env: {\"A B\": x}}", "DEF008"),
        ("job: {name: a, env: {PUNCTUAL_JOB: x}}", "DEF008"),
        ("job: {name: a, env: {A: \"x\\0y\"}}", "DEF008"),
        ("job: {name: a, retries: 2, retryPolicy: {maxRetries: 3}}", "DEF013"),
        ("job: {name: a, retryPolicy: {backoff: 10m, maxBackoff: 1m}}", "DEF008"),
        ("workerPools: {w: {core: 5, max: 2}}\njob: {name: a}", "DEF008"),
        ("jobs: {name: a}", "DEF017"),
        ("timeout: 5s\njob: {name: a}", "DEF017"),
        ("- name: a", "DEF006"),
        ("nothing", "DEF006"),
        ("jobs: [{name: a, renamedFrom: b}, {name: b}]", "DEF011"),
    ] {
        let found = errors(text);
        assert_eq!(found[0].code.0, code, "{text}\n{}", render(&found));
        assert!(found.iter().all(|d| d.origin.is_some()), "{text}");
    }
}

#[test]
fn values_that_look_like_others_are_taken_as_they_are_written() {
    let spec =
        job("job: {name: 007, run: [x, 010, 1.10, yes, true], env: {A: no, B: 1e3, C: }, labels: {v: 1.0}}");
    assert_eq!(spec.name, "007");
    let ActionSpec::Run(process) = &spec.action else { panic!("{:?}", spec.action) };
    let CommandSpec::Argv(argv) = &process.command else { panic!("{process:?}") };
    assert_eq!(argv.join(" "), "x 010 1.10 yes true");
    let env: Vec<_> = process.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["A=no", "B=1e3", "C="]);
    assert_eq!(spec.labels["v"], "1.0");
}

#[test]
fn a_trigger_keeps_its_identity_while_rule_and_zone_stay() {
    let identity = |text: &str| job(&format!("job: {{name: a, schedule: {text}}}")).triggers[0].identity();
    let plain = identity("\"0 2 * * MON\"");
    assert_eq!(plain, identity("{cron: \"0  2 * * mon\", jitter: 5s, maxRuns: 3}"));
    assert_ne!(plain, identity("{cron: \"0 2 * * MON\", timeZone: Asia/Tokyo}"));
    assert_eq!(identity("{cron: \"0 2 * * MON\", name: nightly}"), "nightly");
    assert_eq!(identity("{every: 60s}"), identity("{every: 1m}"));
    // What is stored rests on these texts: they may not change.
    assert_eq!(plain, "cron-d53a7d98");
    assert_eq!(identity("{every: 30s}"), "every-4907abc3");
}

/// Every page of an error has an example, and the example gets that error.
#[test]
fn the_examples_of_the_error_pages_get_their_errors() {
    let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let mut tried = 0;
    for page in std::fs::read_dir(pages).expect("the pages are in the tree") {
        let path = page.expect("a readable directory").path();
        let code = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !code.starts_with("DEF") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a readable page");
        let Some(example) = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()) else {
            continue;
        };
        let found = match load_one(example) {
            Err(found) => found,
            Ok(definitions) => {
                let now = Timestamp::from_secs(1_767_225_600);
                let told = |job: &JobSpec| [lint(job, None), lint_past(job, now)].concat();
                let remarks = definitions.jobs.iter().flat_map(told);
                remarks.chain(definitions.warnings.iter().cloned()).collect()
            }
        };
        assert!(found.iter().any(|d| d.code.0 == code), "{code}:\n{}", render(&found));
        tried += 1;
    }
    assert!(tried > 30, "{tried} pages have an example");
}

/// Texts that no file of definitions should be are refused, quickly, in our words.
#[test]
fn hostile_texts_are_refused() {
    let garbage: String = (0..100_000_u32)
        .map(|n| char::from(b' ' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 95))
        .collect();
    let deep = format!("job: {{name: a, http: {}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let long_key = format!("job: {{{}: 1}}", "k".repeat(100_000));
    let long_value = format!("job: {{name: a, timeout: {}}}", "9".repeat(100_000));
    let long_cron = format!("job: {{name: a, schedule: \"{}\"}}", "1,".repeat(50_000));
    let many_keys: String =
        std::iter::once("job:\n".to_owned()).chain((0..20_000).map(|n| format!("  k{n}: 1\n"))).collect();
    let many_triggers = format!(
        "job: {{name: a, triggers: [{}]}}",
        (0..20_000).map(|n| format!("{{every: {}ms}},", 100 + n / 2)).collect::<String>()
    );
    for text in [garbage, deep, long_key, long_value, long_cron, many_keys, many_triggers] {
        let found = errors(&text);
        assert!(!found.is_empty() && found.len() <= 500, "{}", found.len());
        let longest = found.iter().map(|d| d.to_string().len()).max();
        assert!(longest < Some(2_000), "{longest:?}: {}", found[0]);
    }
    let breaks = load_one("job:\r\n  name: a\r\n  run: |\r\n    one\r\n    two\r\n")
        .expect("CRLF is fine")
        .jobs
        .remove(0);
    let ActionSpec::Run(process) = breaks.action else { panic!("an action") };
    let CommandSpec::Shell { script, .. } = process.command else { panic!("a script") };
    assert_eq!(script, "one\ntwo\n");
}

/// A document in which `key` of `shape` has `value`.
fn with(shape: &keys::Shape, key: &str, value: &str) -> String {
    let entry = format!("{{{key}: {value}}}");
    match shape.name {
        "Document" => entry,
        "Job" => format!("job: {{name: j, {key}: {value}}}"),
        "Defaults" => format!("defaults: {entry}\njob: {{name: j, run: [x]}}"),
        "Trigger" | "TimeTrigger" => {
            format!("job: {{name: j, triggers: [{{cron: \"@daily\", {key}: {value}}}]}}")
        }
        "Calendar" => format!("calendars: {{c: {entry}}}\njob: {{name: j}}"),
        "Semaphore" => format!("semaphores: {{c: {entry}}}\njob: {{name: j}}"),
        "WorkerPool" => format!("workerPools: {{c: {entry}}}\njob: {{name: j}}"),
        "RetryPolicy" => format!("job: {{name: j, retryPolicy: {entry}}}"),
        "CatchUp" => format!("job: {{name: j, catchUp: {entry}}}"),
        "Resources" => format!("job: {{name: j, resources: {entry}}}"),
        "Limits" => format!("job: {{name: j, limits: {entry}}}"),
        "Output" => format!("job: {{name: j, output: {entry}}}"),
        "Notify" => format!("job: {{name: j, run: [x], notify: {entry}}}"),
        "Hook" => format!("job: {{name: j, run: [x], notify: {{onFailure: {entry}}}}}"),
        _ => format!("job: {{name: j, schedule: {{every: 5s, calendar: {entry}}}}}"),
    }
}

/// A key that nothing reads would be a setting that silently does not hold.
#[test]
fn every_key_of_the_table_is_read() {
    for shape in table::shapes() {
        for key in shape.keys().filter(|key| !matches!(key.kind, keys::Kind::Free)) {
            for name in std::iter::once(&key.name).chain(key.aliases) {
                let text = with(shape, name, "{zz: {zz: [1]}}");
                assert!(load_one(&text).is_err(), "{}.{name} is not read: {text}", shape.name);
            }
        }
    }
}

#[test]
fn the_example_of_the_reference_loads() {
    let page = reference();
    let example =
        page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    assert_eq!(jobs(example).len(), 2);
}

mod properties {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static ZONES: LazyLock<ZoneTable> = LazyLock::new(ZoneTable::bundled);

    fn load_any(text: &str) -> Result<Definitions, Vec<Diagnostic>> {
        let context = Context {
            env: &|_| Some("x".to_owned()),
            read: &|_, _| Ok("BEGIN:VCALENDAR".to_owned()),
            zones: &|name| ZONES.zone(name),
        };
        load(&[Source::new("f", text)], &context)
    }

    /// What loads survives its JSON, compiles, and can be linted; what does not load says where.
    fn holds(text: &str) {
        match load_any(text) {
            Err(found) => assert!(found.iter().any(|d| d.severity == crate::error::Severity::Error)),
            Ok(definitions) => {
                for spec in definitions.jobs {
                    assert_eq!(JobSpec::from_json(&spec.to_json()).as_ref(), Ok(&spec));
                    assert!(spec.compile(&|name| ZONES.zone(name)).is_ok(), "{spec:?}");
                    let _ = lint(&spec, None);
                }
            }
        }
    }

    const SNIPPETS: [&str; 24] = [
        "{",
        "}",
        "[",
        "]",
        ":",
        " ",
        "\n",
        "\n  ",
        "- ",
        "\"",
        "'",
        "*a",
        "&a ",
        "null",
        "0",
        "-1",
        "99999999999999999999",
        "1d",
        "${",
        "{{",
        "<<: ",
        "|",
        "#",
        "!!str ",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn damaged_documents_never_panic(
            at in 0..DESIGN.len(), length in 0_usize..40, piece in 0..SNIPPETS.len(), again in 0..DESIGN.len(),
        ) {
            let mut text: Vec<char> = DESIGN.chars().collect();
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, SNIPPETS[piece].chars());
            let again = again.min(text.len());
            text.splice(again..again, SNIPPETS[(piece * 7 + length) % SNIPPETS.len()].chars());
            holds(&text.into_iter().collect::<String>());
        }

        #[test]
        fn any_value_of_any_key_is_taken_or_refused(
            shape in 0..table::shapes().len(), key in 0_usize..64, value in "(\\PC{0,12}|[0-9]{1,4}(s|m|h|Mi)?|\\[\\]|\\{\\}|\\[a, b\\])",
        ) {
            let shape = table::shapes()[shape];
            let keys: Vec<_> = shape.keys().map(|key| key.name).collect();
            let key = keys[key % keys.len()];
            holds(&with(shape, key, &value));
        }
    }
}

#[test]
fn a_rule_that_its_calendar_never_allows_is_refused() {
    let text = |trigger: &str| {
        format!(
            "calendars: {{work: {{weekdays: mon-fri}}, day: {{include: [2026-12-25]}}}}\n\
             job: {{name: j, schedule: {{{trigger}}}}}"
        )
    };
    let never = [
        "cron: \"0 9 * * sat\", calendar: work",
        "cron: \"0 9 * * mon-fri\", calendar: {name: work, mode: except}",
        "cron: \"0 9 24 * *\", calendar: day",
        "cron: \"0 9 * * *\", calendar: day, start: 2027-01-01T00:00:00Z",
        "at: 2026-11-28T09:00:00Z, calendar: work",
        "every: 7d, anchor: 2026-11-28T09:00:00Z, calendar: work",
    ];
    for trigger in never {
        let found = errors(&text(trigger));
        assert_eq!(found.len(), 1, "{trigger}: {}", render(&found));
        assert_eq!(found[0].code.0, "TRG004", "{trigger}");
        assert!(found[0].detail.as_ref().is_some_and(|why| why.contains("calendar")), "{trigger}");
    }
    let told = render(&errors(&text(never[0])));
    assert!(told.contains("calendar \"work\" leaves out all its days"), "{told}");
    assert!(told.contains("is a Saturday, not a day of calendar work"), "{told}");
    let allowed = [
        "cron: \"0 9 * * sat,mon\", calendar: work",
        "cron: \"0 9 * * sat\", calendar: {name: work, mode: next-business-day}",
        "cron: \"0 9 * * sat\", calendar: {name: work, mode: except}",
        "cron: \"0 9 25 * *\", calendar: day",
        "every: 1d, calendar: work",
    ];
    for trigger in allowed {
        assert_eq!(jobs(&text(trigger)).len(), 1, "{trigger}");
    }
}

#[test]
fn all_faults_of_a_job_without_a_name_are_told() {
    let found = errors(
        "job:\n  nam: a\n  schedule: \"0 99 * * *\"\n  timeZone: Mars/Base\n  retries: 99\n  run: [true]\n",
    );
    let codes: Vec<&str> = found.iter().map(|d| d.code.0).collect();
    for code in ["DEF005", "DEF007", "CRN003", "ZON001", "DEF008"] {
        assert!(codes.contains(&code), "{code} in {codes:?}\n{}", render(&found));
    }
}
