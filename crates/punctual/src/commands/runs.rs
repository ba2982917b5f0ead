//! `punctual runs`: runs, newest first.

use crate::client::{Client, query};
use crate::commands::timers::{how_it_ended, late, verdict};
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print};
use crate::table::{Cell, Table, Tone};
use crate::terminal::Screen;
use crate::when::{short, utc};
use clap::builder::NonEmptyStringValueParser;
use punctual_core::time::Timestamp;
use punctual_server::dto::RunDto;
use std::process::ExitCode;

/// How much of a run's id a table shows: its time, and enough of its hash.
pub const ID_SHOWN: usize = 16;

/// List runs, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual runs
  punctual runs backup -n 5
  punctual runs --failed --since 1d
  punctual runs --since 2026-11-24T00:00:00Z --format json")]
pub struct Args {
    /// Only of this job
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    job: Option<String>,
    /// Only those that ended as failed, timeout or lost
    #[arg(long)]
    failed: bool,
    /// Only those with a nominal time since: an instant, or a duration ago such as 1d
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Lists the runs.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, list(&args))
}

fn list(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let limit = args.limit.to_string();
    let path = query(
        "/v1/runs",
        &[
            ("job", args.job.as_deref()),
            ("failed", args.failed.then_some("true")),
            ("since", args.since.as_deref()),
            ("limit", Some(&limit)),
        ],
    );
    let runs: Vec<RunDto> = client.get(&path)?;
    match args.format {
        Format::Json => print(json(&runs)),
        Format::Table => print(table(&runs, client.now()).render(Screen::stdout())),
    }
    Ok(OK)
}

/// A table of runs.
pub fn table(runs: &[RunDto], now: Timestamp) -> Table {
    let mut table = Table::new(&["RUN", "JOB", "NOMINAL", "VERDICT", ">LATE", ">TOOK", ">TRIES", "WHY"])
        .yielding(&["TRIES", "LATE", "TOOK"]);
    for run in runs {
        table.row([
            Cell::toned(run.id.get(..ID_SHOWN).unwrap_or(&run.id), Tone::Dim),
            run.job.as_str().into(),
            utc(run.nominal_time.0).into(),
            verdict(run),
            late(run).map_or_else(String::new, short).into(),
            took(run, now).into(),
            run.attempts.len().to_string().into(),
            why(run, now),
        ]);
    }
    table
}

/// How long the last attempt took, or has taken so far.
fn took(run: &RunDto, now: Timestamp) -> String {
    let Some(attempt) = run.attempts.last() else { return String::new() };
    let Some(started) = attempt.started_at else { return String::new() };
    let end = attempt.finished_at.map_or(now, |end| end.0);
    short(end.since(started.0))
}

fn why(run: &RunDto, now: Timestamp) -> Cell {
    match (run.state.as_str(), run.verdict.as_deref()) {
        (_, Some("success")) => Cell::default(),
        ("finished", _) => Cell::toned(how_it_ended(run), Tone::Bad),
        ("scheduled" | "retrying", _) => {
            Cell::toned(format!("starts in {}", short(run.due_time.0.since(now))), Tone::Busy)
        }
        (_, None) if run.warning.is_some() => Cell::toned(run.warning.as_deref().unwrap_or(""), Tone::Bad),
        _ => Cell::toned(run.reason.as_deref().unwrap_or(""), Tone::Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::examples::{NOW, after, run};

    #[test]
    fn runs_are_listed_with_what_they_took_and_why_they_ended() {
        let mut failed = RunDto {
            verdict: Some("timeout".to_owned()),
            reason: Some("ran longer than 90s".to_owned()),
            ..run()
        };
        (failed.attempts[0].exit_code, failed.attempts[0].signal) = (None, Some(15));
        let mut running = RunDto { state: "running".to_owned(), verdict: None, ..run() };
        (running.attempts[0].started_at, running.attempts[0].finished_at) = (Some(after(-12)), None);
        let waits = RunDto { state: "retrying".to_owned(), verdict: None, due_time: after(30), ..run() };
        let held = RunDto {
            state: "held".to_owned(),
            verdict: None,
            reason: Some("overlap".to_owned()),
            attempts: Vec::new(),
            ..run()
        };
        let expected = "\
RUN               JOB     NOMINAL               VERDICT   LATE   TOOK  TRIES  WHY
01kbw6qc00c4t0v5  backup  2026-11-24 07:00:00Z  success    1ms  1m30s      1
01kbw6qc00c4t0v5  backup  2026-11-24 07:00:00Z  timeout    1ms  1m30s      1  signal 15, ran longer than 90s
01kbw6qc00c4t0v5  backup  2026-11-24 07:00:00Z  running    1ms    12s      1
01kbw6qc00c4t0v5  backup  2026-11-24 07:00:00Z  retrying   1ms  1m30s      1  starts in 30s
01kbw6qc00c4t0v5  backup  2026-11-24 07:00:00Z  held                       0  overlap
";
        let table = table(&[run(), failed, running, waits, held], NOW);
        assert_eq!(table.render(Screen::PLAIN), expected);
        let narrow = table.render(Screen { width: Some(80), colour: false });
        assert!(
            narrow
                .starts_with("RUN               JOB     NOMINAL               VERDICT   LATE   TOOK  WHY\n")
        );
        assert!(narrow.contains("  1m30s\n    signal 15, ran longer than 90s\n"), "{narrow}");
    }
}
