//! `punctual show JOB`: a job's effective definition, and where it stands.

use crate::client::{Client, path};
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print};
use crate::terminal::one_line;
use crate::when::{relative, utc};
use punctual_core::time::Timestamp;
use punctual_server::dto::JobDto;
use serde_json::Value;
use std::process::ExitCode;

/// Show a job: its effective values, where each comes from, and where it stands
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual show backup
  punctual show backup --format json")]
pub struct Args {
    /// The job
    job: String,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Shows the job.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, show(&args))
}

fn show(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let job: JobDto = client.get(&path(&["v1", "jobs", &args.job]))?;
    match args.format {
        Format::Json => print(json(&job)),
        Format::Table => print(text(&job, client.now())),
    }
    Ok(OK)
}

fn text(job: &JobDto, now: Timestamp) -> String {
    let mut lines = vec![format!("{}  (revision {})", job.name, job.revision)];
    let mut line = |name: &str, value: String| lines.push(format!("  {name:<10} {}", one_line(&value)));
    line("state", state(job));
    if let Some(owner) = &job.owner {
        line("owner", format!("{owner}: edit it there"));
    }
    match job.next_time {
        Some(next) => line("next", format!("{} ({})", utc(next.0), relative(next.0, now))),
        None => line("next", "never".to_owned()),
    }
    for trigger in &job.triggers {
        let next = trigger.next_time.map_or_else(|| "never".to_owned(), |next| utc(next.0));
        line("trigger", format!("{}  next {next}, fired {}", trigger.name, trigger.fired));
    }
    if let Some(run) = &job.last_run {
        let verdict = run.verdict.as_deref().unwrap_or(&run.state);
        line("last", format!("{} {verdict} ({})", utc(run.nominal_time.0), run.id));
    }
    lines.push("  definition".to_owned());
    flatten("", &job.definition, &mut lines);
    lines.join("\n") + "\n"
}

fn state(job: &JobDto) -> String {
    match &job.paused {
        Some(pause) => format!("paused since {} {}", utc(pause.since.0), pause.reason),
        None => format!("active, {} unfinished runs, {} held", job.active_runs, job.held_runs),
    }
}

/// `a.b: value`, a line each.
fn flatten(prefix: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, lines);
            }
        }
        Value::String(text) => lines.push(format!("    {prefix}: {}", one_line(text))),
        other => lines.push(format!("    {prefix}: {other}")),
    }
}
