//! `punctual jobs`: all jobs.

use crate::client::Client;
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print};
use crate::table::{Cell, Table, Tone};
use crate::terminal::Screen;
use crate::zoned::Rules;
use punctual_core::zone::ZoneTable;
use punctual_server::dto::JobDto;
use std::process::ExitCode;

/// List all jobs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual jobs
  punctual jobs --format json")]
pub struct Args {
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Lists the jobs.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, list(&args))
}

fn list(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let jobs: Vec<JobDto> = client.get("/v1/jobs")?;
    match args.format {
        Format::Json => print(json(&jobs)),
        Format::Table => print(table(&jobs, &punctual_engine::zones::open()).render(Screen::stdout())),
    }
    Ok(OK)
}

fn table(jobs: &[JobDto], zones: &ZoneTable) -> Table {
    let mut table =
        Table::new(&["JOB", "STATE", ">REV", "NEXT", ">ACTIVE", ">HELD", ">FAILURES", "RULES", "OWNER"])
            .yielding(&["OWNER", "REV", "HELD", "ACTIVE", "FAILURES"]);
    for job in jobs {
        let rules = Rules::of(job, zones);
        table.row([
            job.name.as_str().into(),
            state(job),
            job.revision.to_string().into(),
            job.next_time.map_or_else(|| Cell::toned("-", Tone::Dim), |next| rules.clock(next.0).into()),
            count(job.active_runs),
            count(job.held_runs),
            count(u64::from(job.failures)),
            rules.text.as_str().into(),
            job.owner.as_deref().unwrap_or("").into(),
        ]);
    }
    table
}

fn count(number: u64) -> Cell {
    Cell::toned(number.to_string(), if number == 0 { Tone::Dim } else { Tone::Plain })
}

fn state(job: &JobDto) -> Cell {
    match &job.paused {
        Some(_) => Cell::toned("paused", Tone::Busy),
        None => Cell::toned("active", Tone::Good),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::examples::job;

    #[test]
    fn jobs_are_listed_with_their_rules_on_their_own_clock() {
        let expected = "\
JOB     STATE   REV  NEXT                       ACTIVE  HELD  FAILURES  RULES                      OWNER
backup  active    3  2026-11-24 17:03:12+08:00       0     0         0  0 2 * * * (Asia/Shanghai)  jobs.yaml
";
        assert_eq!(table(&[job()], &ZoneTable::bundled()).render(Screen::PLAIN), expected);
        let narrow = "\
JOB     STATE   NEXT                       FAILURES  RULES
backup  active  2026-11-24 17:03:12+08:00         0  0 2 * * * (Asia/Shanghai)
";
        let screen = Screen { width: Some(80), colour: false };
        assert_eq!(table(&[job()], &ZoneTable::bundled()).render(screen), narrow);
    }
}
