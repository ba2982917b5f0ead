//! `punctual check`: whether files of definitions load, and what will probably go wrong with them.

use crate::data::Data;
use crate::definitions::{self, Positions};
use crate::failure::{Failure, Format, finish};
use crate::measured::Measurements;
use punctual_core::error::{Diagnostic, Severity};
use punctual_core::spec::{Definitions, Source, lint, lint_key, lint_past};
use punctual_core::zone::ZoneTable;
use punctual_engine::clock::Clock;
use punctual_engine::zones;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Say whether files of definitions load, and what will probably go wrong
///
/// Where a daemon runs, or --data names a directory, remarks rest on what the last 20 runs of each job took.
/// Exits with 0 if they load, 1 if they do not (or on warnings with --strict), 2 if the command line cannot be read.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and directories; `-` reads standard input
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What a check found.
struct Report {
    files: usize,
    jobs: Vec<String>,
    found: Vec<Diagnostic>,
}

impl Report {
    fn count(&self, severity: Severity) -> usize {
        self.found.iter().filter(|d| d.severity == severity).count()
    }
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, tell(&args))
}

fn tell(args: &Args) -> Result<u8, Failure> {
    let measurements = Measurements::open(&args.data)?;
    let report = check(&args.paths, &zones::open(), &measurements);
    let printed = match args.format {
        Format::Json => print_json(&report),
        Format::Table => print_table(&report),
    };
    let fails = report.count(Severity::Error) > 0 || args.strict && report.count(Severity::Warning) > 0;
    Ok(u8::from(fails || printed.is_err()))
}

fn check(paths: &[PathBuf], zones: &ZoneTable, measurements: &Measurements) -> Report {
    let (sources, mut found) = definitions::read(paths);
    let mut jobs = Vec::new();
    match definitions::load_sources(&sources, zones) {
        Ok(definitions) => {
            jobs = definitions.jobs.iter().map(|job| job.name.clone()).collect();
            found.extend(remarks(&definitions, &sources, measurements));
            found.splice(0..0, definitions.warnings);
        }
        Err(diagnostics) => found.extend(diagnostics),
    }
    found.sort_by_key(|d| d.severity);
    Report { files: sources.len(), jobs, found }
}

/// The remarks on all jobs, each at its key. Notes of one kind become one.
fn remarks(definitions: &Definitions, sources: &[Source], measurements: &Measurements) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    let mut notes: Vec<(usize, usize)> = Vec::new();
    let now = Clock::System.now();
    let positions = Positions::new(definitions, sources);
    for job in &definitions.jobs {
        let past = lint_past(job, now);
        for remark in lint(job, measurements.of(&job.name).as_ref()).into_iter().chain(past) {
            let is_note = remark.severity == Severity::Note;
            if let Some((_, more)) =
                notes.iter_mut().find(|(at, _)| is_note && found[*at].code == remark.code)
            {
                *more += 1;
                continue;
            }
            if is_note {
                notes.push((found.len(), 0));
            }
            let origin = positions.of(&job.name, lint_key(remark.code));
            found.push(Diagnostic { origin, ..remark });
        }
    }
    for (at, more) in notes.into_iter().filter(|(_, more)| *more > 0) {
        let others =
            if more == 1 { "does one other job".to_owned() } else { format!("do {more} other jobs") };
        found[at].message.push_str(&format!(", nor {others}"));
    }
    found
}

fn print_table(report: &Report) -> std::io::Result<()> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let mut err = std::io::stderr().lock();
    for diagnostic in &report.found {
        writeln!(err, "{}\n", definitions::render(diagnostic, colour))?;
    }
    drop(err);
    let many = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let errors = report.count(Severity::Error);
    let warnings = many(report.count(Severity::Warning), "warning");
    let files = many(report.files, "file");
    let mut out = std::io::stdout().lock();
    match errors {
        0 => writeln!(out, "{} in {files}: no errors, {warnings}", many(report.jobs.len(), "job")),
        errors => writeln!(out, "{files}: {}, {warnings}", many(errors, "error")),
    }
}

fn print_json(report: &Report) -> std::io::Result<()> {
    let of = |severity: Severity| -> Value {
        report.found.iter().filter(|d| d.severity == severity).map(diagnostic_json).collect()
    };
    let document = json!({
        "files": report.files,
        "jobs": report.jobs,
        "errors": of(Severity::Error),
        "warnings": of(Severity::Warning),
        "notes": of(Severity::Note),
    });
    writeln!(std::io::stdout().lock(), "{document:#}")
}

fn diagnostic_json(diagnostic: &Diagnostic) -> Value {
    let origin = diagnostic.origin.as_ref();
    json!({
        "code": diagnostic.code.0,
        "message": diagnostic.message,
        "file": origin.map(|at| &at.file),
        "line": origin.map(|at| at.line),
        "column": origin.map(|at| at.column),
        "width": origin.map(|at| at.width),
        "detail": diagnostic.detail,
        "hint": diagnostic.hint,
    })
}
