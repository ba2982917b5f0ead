//! `punctual show JOB`: a job's effective definition, and where it stands.

mod values;

use crate::client::{Client, path};
use crate::data::Data;
use crate::definitions;
use crate::failure::{Failure, Format, OK, finish, json, print};
use crate::table::{Cell, Table, Tone};
use crate::terminal::{Screen, one_line};
use crate::when::{relative, utc};
use crate::zoned::Rules;
use punctual_core::spec::{JobSpec, Origins};
use punctual_core::time::Timestamp;
use punctual_core::zone::ZoneTable;
use punctual_server::dto::{Instant, JobDto};
use std::path::PathBuf;
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
        Format::Table => {
            print(text(&job, &punctual_engine::zones::open(), client.now(), Screen::stdout()));
        }
    }
    Ok(OK)
}

fn text(job: &JobDto, zones: &ZoneTable, now: Timestamp, screen: Screen) -> String {
    let rules = Rules::of(job, zones);
    let mut lines = vec![format!("{}  (revision {})", one_line(&job.name), job.revision)];
    let mut line = |name: &str, value: String| lines.push(format!("  {name:<8} {}", one_line(&value)));
    line("state", state(job));
    if let Some(owner) = &job.owner {
        line("owner", format!("{owner}: edit it there"));
    }
    let next = |next: Option<Instant>| match next {
        Some(next) => format!("{} ({})", rules.clock(next.0), relative(next.0, now)),
        None => "never".to_owned(),
    };
    line("next", next(job.next_time));
    for trigger in job.triggers.iter().filter(|_| job.triggers.len() > 1) {
        line("", format!("{}: {}", trigger.name, next(trigger.next_time)));
    }
    if let Some(run) = &job.last_run {
        let verdict = run.verdict.as_deref().unwrap_or(&run.state);
        line("last", format!("{} {verdict}, run {}", rules.clock(run.nominal_time.0), run.id));
    }
    lines.join("\n") + "\n\n" + &definition(job, zones).render(Screen { width: None, ..screen })
}

fn state(job: &JobDto) -> String {
    match &job.paused {
        Some(pause) => format!("paused since {}: {}", utc(pause.since.0), pause.reason),
        None => format!("active, {} unfinished runs, {} held", job.active_runs, job.held_runs),
    }
}

/// The definition's values, and where each comes from.
fn definition(job: &JobDto, zones: &ZoneTable) -> Table {
    let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
    let Ok(spec) = JobSpec::from_json(&job.definition) else {
        table.row([Cell::from("definition"), Cell::from(job.definition.to_string()), Cell::default()]);
        return table;
    };
    let origins = origins(job, &spec, zones);
    let built_in = values::built_in(&spec);
    for value in values::values(&spec) {
        let from = values::origin(&value, origins.as_ref(), &built_in);
        let tone = if from == "built-in" { Tone::Dim } else { Tone::Plain };
        table.row([Cell::from(value.key), Cell::toned(&value.text, tone), Cell::toned(&from, Tone::Dim)]);
    }
    table
}

/// Where the values stand in the owner's files; `None` if those cannot be read, or say something else by now.
fn origins(job: &JobDto, spec: &JobSpec, zones: &ZoneTable) -> Option<Origins> {
    let owner = PathBuf::from(job.owner.as_deref()?);
    let mut loaded = definitions::load(&[owner], zones).ok()?;
    loaded.jobs.iter().find(|loaded| *loaded == spec)?;
    loaded.origins.remove(&spec.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::examples::{NOW, job, spec};

    #[test]
    fn a_job_is_shown_with_what_holds_and_where_it_comes_from() {
        let expected = "\
backup  (revision 3)
  state    active, 0 unfinished runs, 0 held
  next     2026-11-24 17:03:12+08:00 (in 3m12s)
  last     2026-11-24 15:00:00+08:00 success, run 01kbw6qc00c4t0v5d7qk2rj3xm

KEY               VALUE                                  FROM
triggers          nightly: 0 2 * * * (Asia/Shanghai)     definition
run               pg_dump shop | gzip > /backup/shop.gz  definition
shell             /bin/sh -c                             built-in
runAs             the daemon's user                      built-in
workingDirectory  the user's home                        built-in
timeout           none                                   built-in
grace             10s                                    built-in
retryPolicy       none                                   built-in
onLost            retry                                  built-in
overlap           skip                                   built-in
catchUp           latest, within 1d                      built-in
startDeadline     none                                   built-in
queue             normal                                 built-in
priority          5                                      built-in
output            8388608 bytes                          built-in
";
        let job = JobDto { owner: None, ..job() };
        assert_eq!(text(&job, &ZoneTable::bundled(), NOW, Screen::PLAIN), expected);
    }

    #[test]
    fn the_owners_file_says_where_values_stand_as_long_as_it_says_the_same() {
        let scratch = crate::seed::Scratch::new("show");
        let file = scratch.path().join("jobs.yaml");
        let text = "\
defaults: {timeZone: Asia/Shanghai}
jobs:
  - name: backup
    triggers: [{name: nightly, cron: '0 2 * * *'}]
    run: pg_dump shop | gzip > /backup/shop.gz
";
        std::fs::write(&file, text).expect("written");
        let owner = file.display().to_string();
        let here = JobSpec { time_zone: "Asia/Shanghai".to_owned(), ..spec() };
        let job = JobDto { owner: Some(owner.clone()), definition: here.to_json(), ..job() };
        let shown = definition(&job, &ZoneTable::bundled()).render(Screen::PLAIN);
        let from = |key: &str| {
            let line = shown.lines().find(|line| line.starts_with(key)).expect("it is shown");
            line.rsplit("  ").next().unwrap_or_default().trim().to_owned()
        };
        assert_eq!(
            (from("triggers"), from("run "), from("overlap")),
            (format!("{owner}:4"), format!("{owner}:5"), "built-in".to_owned())
        );
        let changed = JobSpec { timeout: Some(std::time::Duration::from_secs(1)), ..spec() };
        let job = JobDto { definition: changed.to_json(), ..job };
        assert!(!definition(&job, &ZoneTable::bundled()).render(Screen::PLAIN).contains("jobs.yaml"));
    }
}
