//! `punctual apply`: put definitions into force.

use crate::client::Client;
use crate::data::Data;
use crate::definitions;
use crate::failure::{Failure, Format, NO, OK, finish, json, print, remark};
use crate::table::{Tone, paint};
use crate::terminal::{Screen, one_line};
use punctual_core::error::Diagnostic;
use punctual_server::dto::{ApplyDto, ErrorBodyDto, JobChangeDto};
use std::path::PathBuf;
use std::process::ExitCode;

/// Put definitions into force, or say what that would change
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual apply jobs.yaml --dry-run
  punctual apply jobs.yaml more/
  punctual apply jobs.yaml --prune      and retire the applied jobs that are not in it

Jobs that a daemon serves with --definitions belong to those files: edit them there.")]
pub struct Args {
    /// Files and directories of definitions; `-` reads standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Retire jobs that were applied before and are not in these definitions
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Applies.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, apply(&args))
}

fn apply(args: &Args) -> Result<u8, Failure> {
    let loaded = definitions::load(&args.paths, &punctual_engine::zones::open());
    let loaded = loaded.map_err(|found| refused(&found, args.format))?;
    tell(&loaded.warnings, args.format);
    let client = Client::open_or_create(&args.data)?;
    let body = ApplyDto {
        jobs: loaded.jobs.iter().map(punctual_core::spec::JobSpec::to_json).collect(),
        owner: String::new(),
        dry_run: args.dry_run,
        prune: args.prune,
    };
    let changes: Vec<JobChangeDto> = client.post("/v1/apply", &body)?;
    match args.format {
        Format::Json => print(json(&changes)),
        Format::Table => print(text(&changes, args.dry_run, Screen::stdout())),
    }
    if !client.has_daemon() && !args.dry_run {
        remark("no daemon is running: nothing starts until `punctual serve` does");
    }
    Ok(OK)
}

/// Tells all that was found; the failure is the first error.
fn refused(found: &[Diagnostic], format: Format) -> Failure {
    let Some((first, others)) = found.split_first() else {
        unreachable!("a refusal says why");
    };
    if format == Format::Table {
        tell(others, format);
        let text = definitions::render(first, Screen::stderr_colour());
        return Failure { told: Some(text), ..Failure::new(NO, first.clone()) };
    }
    let mut failure = Failure::new(NO, first.clone());
    let at = first.origin.as_ref().map(|at| format!("{}:{}:{}: ", at.file, at.line, at.column));
    let more = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
    let ErrorBodyDto { message, .. } = &mut failure.error;
    *message = format!("{}{message}{more}", at.unwrap_or_default());
    failure
}

fn tell(diagnostics: &[Diagnostic], format: Format) {
    if format == Format::Table {
        let colour = Screen::stderr_colour();
        diagnostics.iter().for_each(|one| remark(definitions::render(one, colour) + "\n"));
    }
}

fn text(changes: &[JobChangeDto], dry_run: bool, screen: Screen) -> String {
    let mut text = String::new();
    for change in changes.iter().filter(|change| change.change != "unchanged") {
        let tone = match change.change.as_str() {
            "new" | "revived" => Tone::Good,
            "retired" => Tone::Bad,
            _ => Tone::Busy,
        };
        let kind = paint(&format!("{:<9}", change.change), tone, screen);
        text.push_str(&format!("{kind} {} (revision {})\n", one_line(&change.name), change.revision));
        for difference in &change.differences {
            text.push_str(&format!("            {}\n", one_line(difference)));
        }
    }
    let unchanged = changes.iter().filter(|change| change.change == "unchanged").count();
    let changed = changes.len() - unchanged;
    let verb = if dry_run { "would change" } else { "changed" };
    text.push_str(&format!("{changed} {verb}, {unchanged} unchanged\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_told_job_by_job() {
        let change = |name: &str, change: &str, revision, differences: &[&str]| JobChangeDto {
            name: name.to_owned(),
            change: change.to_owned(),
            revision,
            differences: differences.iter().map(|d| (*d).to_owned()).collect(),
        };
        let changes = [
            change("backup", "changed", 4, &["timeout: (nothing) → 10m"]),
            change("report", "new", 1, &[]),
            change("sync", "unchanged", 2, &[]),
        ];
        let expected = "\
changed   backup (revision 4)
            timeout: (nothing) → 10m
new       report (revision 1)
2 would change, 1 unchanged
";
        assert_eq!(text(&changes, true, Screen::PLAIN), expected);
    }
}
