//! `punctual doctor`: whether all is as it should be.

mod clock;
mod crontab;
mod disk;
mod modes;
mod store;

use crate::client::{Client, SOCKET_NAME};
use crate::commands::serve::counted_jobs;
use crate::data::Data;
use crate::failure::{Failure, Format, NO, OK, finish, json, print};
use crate::table::{Cell, Table, Tone};
use crate::terminal::Screen;
use crate::when::short;
use punctual_core::time::Timestamp;
use punctual_server::dto::{JobDto, StatusDto};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

/// A daemon with a trigger that has been due for longer is not keeping up.
const OVERDUE_MS_MAX: u64 = 5_000;
/// A daemon whose loop has not been heard of for longer is stuck.
const LOOP_LATE_MS_MAX: u64 = 30_000;
/// A clock before this instant, 2026-01-01, has not been set.
const CLOCK_FROM: Timestamp = Timestamp::from_secs(1_767_225_600);

/// Say whether the daemon, the store, the clock and what surrounds them are as they should be
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  punctual doctor
  punctual doctor --deep                also every page of the store, and every archive
  punctual doctor --quiet || alert      for a monitor: exits 1 if the daemon is absent, stuck, held or overdue
  punctual doctor clock
  punctual doctor store --accept        use a store that came back as it is")]
pub struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// Print nothing; exit 1 if the daemon is absent, stuck, held or overdue
    #[arg(long)]
    quiet: bool,
    /// Read every page of the store and every archive; this takes as long as reading them takes
    #[arg(long, conflicts_with = "quiet")]
    deep: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What alone is looked at, or seen to.
#[derive(Debug, clap::Subcommand)]
enum Part {
    Clock(clock::Args),
    Store(store::Args),
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    check: &'static str,
    status: Health,
    message: String,
    hint: Option<String>,
    /// Figures, for monitors.
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<serde_json::Value>,
}

/// How it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// As it should be.
    Ok,
    /// It works, and may surprise.
    Warning,
    /// It does not.
    Failed,
}

impl Finding {
    fn new(check: &'static str, status: Health, message: impl Into<String>) -> Self {
        Self { check, status, message: message.into(), hint: None, facts: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Looks.
pub fn run(args: Args) -> ExitCode {
    match args.part {
        Some(Part::Clock(args)) => return clock::run(args),
        Some(Part::Store(args)) => return store::run(&args),
        None => {}
    }
    if args.quiet {
        return ExitCode::from(if is_well(&args.data) { OK } else { NO });
    }
    let findings = examine(&args.data, args.deep);
    match args.format {
        Format::Json => print(json(&findings)),
        Format::Table => print(text(&findings, Screen::stdout())),
    }
    let failed = findings.iter().any(|finding| finding.status == Health::Failed);
    finish(args.format, Ok(if failed { NO } else { OK }))
}

/// Whether a daemon answers and keeps up.
fn is_well(data: &Data) -> bool {
    let status = Client::daemon(data).and_then(|client| client.get::<StatusDto>("/v1/status"));
    status.is_ok_and(|status| {
        let stuck = status.loop_late_ms.is_some_and(|late| late > LOOP_LATE_MS_MAX);
        status.node.is_some() && status.held.is_none() && !stuck && status.overdue_ms <= OVERDUE_MS_MAX
    })
}

fn examine(data: &Data, deep: bool) -> Vec<Finding> {
    let client = match Client::open(data) {
        Ok(client) => client,
        Err(failure) => return vec![broken("daemon", &failure)],
    };
    let mut findings = Vec::new();
    match client.get::<StatusDto>("/v1/status") {
        Ok(status) => {
            findings.extend(store::held(&status));
            let facts = Some(facts(&status));
            findings.extend([Finding { facts, ..daemon(&status) }, zones(&status), clock(&status)]);
            findings.extend(store::audit(&status));
        }
        Err(failure) => findings.push(broken("daemon", &failure)),
    }
    findings.push(match deep {
        true => store::deep(&data.directory()),
        false => store::shallow(&client),
    });
    // Without a daemon it would be this command's control groups that are looked at.
    if findings.iter().any(|finding| finding.check == "daemon" && finding.status != Health::Failed) {
        findings.push(limits(client.get::<Vec<String>>("/v1/limits")));
    }
    match client.get::<Vec<JobDto>>("/v1/jobs") {
        Ok(jobs) => {
            findings.extend(crontab::twins(&jobs));
        }
        Err(failure) => findings.push(broken("jobs", &failure)),
    }
    findings.push(disk::room(&data.directory()));
    findings.extend(modes::loose(&data.directory(), SOCKET_NAME));
    findings
}

fn broken(check: &'static str, failure: &Failure) -> Finding {
    let message = format!("{} ({})", failure.error.message, failure.error.code);
    Finding { hint: failure.error.hint.clone(), ..Finding::new(check, Health::Failed, message) }
}

fn daemon(status: &StatusDto) -> Finding {
    let Some(node) = &status.node else {
        return Finding::new("daemon", Health::Failed, "no daemon is running: nothing starts")
            .hint("`punctual serve`, or `punctual install-service` for every boot");
    };
    if let Some(late) = status.loop_late_ms.filter(|late| *late > LOOP_LATE_MS_MAX) {
        let late = short(Duration::from_millis(late));
        return Finding::new("daemon", Health::Failed, format!("its loop has not been heard of for {late}"))
            .hint("it hangs: look at the disk (`dmesg`), then restart it");
    }
    if status.held.is_none() && status.overdue_ms > OVERDUE_MS_MAX {
        let overdue = short(Duration::from_millis(status.overdue_ms));
        return Finding::new("daemon", Health::Failed, format!("it is overdue by {overdue}"))
            .hint("it is stuck, or its slots are full: `punctual runs`, and its log");
    }
    let what = format!(
        "version {} serves {}, {} of them paused (node {node})",
        status.version,
        counted_jobs(status.jobs),
        status.paused_jobs
    );
    if status.quarantined > 0 {
        let what = format!("{what}; set aside because it could not be decided: {}", status.quarantined);
        return Finding::new("daemon", Health::Warning, what).hint("its log names them; please report it");
    }
    if let Some(fault) = &status.definitions_fault {
        let what = format!("{what}; the definitions in their files are not in force: {fault}");
        return Finding::new("daemon", Health::Warning, what)
            .hint("`punctual check` shows all of it; the last good ones go on");
    }
    if !status.stuck.is_empty() {
        let what = format!("{what}; much longer than usual runs {}", status.stuck.join(", "));
        return Finding::new("daemon", Health::Warning, what).hint("`punctual why RUN`, and its output");
    }
    if status.shadow {
        return Finding::new("daemon", Health::Warning, format!("{what}, in shadow: it starts nothing"));
    }
    if status.version != env!("CARGO_PKG_VERSION") {
        return Finding::new("daemon", Health::Warning, what)
            .hint(format!("this command is version {}: restart the daemon", env!("CARGO_PKG_VERSION")));
    }
    Finding::new("daemon", Health::Ok, what)
}

fn limits(unenforced: Result<Vec<String>, Failure>) -> Finding {
    match unenforced {
        Ok(remarks) if remarks.is_empty() => {
            Finding::new("limits", Health::Ok, "the limits that jobs have are enforced")
        }
        Ok(remarks) => Finding::new("limits", Health::Warning, remarks.join("; "))
            .hint("`punctual explain EXE017` says what a unit needs"),
        Err(failure) => broken("limits", &failure),
    }
}

/// What a monitor may want to watch.
fn facts(status: &StatusDto) -> serde_json::Value {
    serde_json::json!({
        "overdueMs": status.overdue_ms,
        "loopLateMs": status.loop_late_ms,
        "lastCycle": status.last_cycle,
        "cycleLongestMs": status.cycle_longest_ms,
        "audit": status.audit,
    })
}

fn zones(status: &StatusDto) -> Finding {
    let what = format!("time zones of {}, {}", status.zones_version, status.zones_source);
    Finding::new("zones", Health::Ok, what)
}

fn clock(status: &StatusDto) -> Finding {
    let now = status.now.0;
    if now < CLOCK_FROM {
        return Finding::new("clock", Health::Failed, format!("it says {now}: it has not been set"));
    }
    match &status.clock_fault {
        Some(fault) => Finding::new("clock", Health::Failed, fault.clone())
            .hint("`punctual doctor clock` says what to do; nothing fires twice"),
        None => Finding::new("clock", Health::Ok, format!("it says {now}")),
    }
}

fn text(findings: &[Finding], screen: Screen) -> String {
    let mut table = Table::new(&["CHECK", "STATUS", "FOUND"]);
    for finding in findings {
        let status = match finding.status {
            Health::Ok => Cell::toned("ok", Tone::Good),
            Health::Warning => Cell::toned("warning", Tone::Busy),
            Health::Failed => Cell::toned("failed", Tone::Bad),
        };
        // Never cut: what is wrong must be readable whole.
        let hint = finding.hint.iter().map(|hint| format!("; {hint}")).collect::<String>();
        table.row([finding.check.into(), status, format!("{}{hint}", finding.message).into()]);
    }
    table.render(Screen { width: None, ..screen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::examples::after;
    use punctual_server::dto::Instant;

    fn status() -> StatusDto {
        StatusDto {
            node: Some("a1".to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: after(0),
            jobs: 3,
            paused_jobs: 1,
            overdue_ms: 0,
            held: None,
            loop_late_ms: Some(0),
            last_cycle: None,
            cycle_longest_ms: Some(2),
            audit: punctual_server::dto::AuditDto::default(),
            zones_version: "2026f".to_owned(),
            zones_source: "bundled".to_owned(),
            shadow: false,
            quarantined: 0,
            stuck: Vec::new(),
            definitions_fault: None,
            clock_fault: None,
            definitions: None,
        }
    }

    #[test]
    fn a_daemon_is_well_if_it_answers_and_keeps_up() {
        assert_eq!(daemon(&status()).status, Health::Ok);
        assert_eq!(daemon(&StatusDto { node: None, ..status() }).status, Health::Failed);
        assert_eq!(daemon(&StatusDto { overdue_ms: 60_000, ..status() }).status, Health::Failed);
        let stuck = StatusDto { loop_late_ms: Some(31_000), ..status() };
        assert_eq!(daemon(&stuck).status, Health::Failed);
        assert_eq!(daemon(&StatusDto { shadow: true, ..status() }).status, Health::Warning);
        assert_eq!(daemon(&StatusDto { quarantined: 1, ..status() }).status, Health::Warning);
        let stuck = daemon(&StatusDto { stuck: vec!["01kb".to_owned()], ..status() });
        assert!(stuck.status == Health::Warning && stuck.message.ends_with("longer than usual runs 01kb"));
        assert_eq!(daemon(&StatusDto { version: "0.0.1".to_owned(), ..status() }).status, Health::Warning);
    }

    #[test]
    fn a_clock_that_is_not_believed_is_a_fault() {
        assert_eq!(clock(&status()).status, Health::Ok);
        let fault = Some("it was set 1h forward and is not believed yet".to_owned());
        assert_eq!(clock(&StatusDto { clock_fault: fault, ..status() }).status, Health::Failed);
        let unset = StatusDto { now: Instant(Timestamp::from_secs(1000)), ..status() };
        assert_eq!(clock(&unset).status, Health::Failed);
    }

    #[test]
    fn findings_are_told_whole() {
        let findings = [daemon(&StatusDto { node: None, ..status() }), zones(&status())];
        let expected = "\
CHECK   STATUS  FOUND
daemon  failed  no daemon is running: nothing starts; `punctual serve`, or `punctual install-service` for every boot
zones   ok      time zones of 2026f, bundled
";
        assert_eq!(text(&findings, Screen::PLAIN), expected);
    }
}
