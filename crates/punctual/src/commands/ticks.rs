//! `punctual ticks`: what became of each nominal time.

use crate::client::{Client, path, query};
use crate::commands::runs::ID_SHOWN;
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print};
use crate::table::{Cell, Table, Tone};
use crate::terminal::Screen;
use crate::when::utc;
use clap::builder::NonEmptyStringValueParser;
use punctual_server::dto::TickDto;
use std::process::ExitCode;

/// List a job's nominal times, and what became of each
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual ticks backup
  punctual ticks backup --from 2026-11-24T00:00:00Z --to 2026-11-25T00:00:00Z
  punctual ticks backup --from 6h --format json

The past is read from the record, with the trigger and the revision that decided. Each nominal time has
exactly one disposition: run, skipped, coalesced, expired, or pending.")]
pub struct Args {
    /// The job
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    job: String,
    /// From here on: an instant, or a duration ago
    #[arg(long, value_name = "WHEN", default_value = "1d")]
    from: String,
    /// Up to here, not included
    #[arg(long, value_name = "WHEN", default_value = "now")]
    to: String,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Lists the ticks.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, list(&args))
}

fn list(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let parameters = [("from", Some(args.from.as_str())), ("to", Some(args.to.as_str()))];
    let ticks: Vec<TickDto> = client.get(&query(&path(&["v1", "jobs", &args.job, "ticks"]), &parameters))?;
    match args.format {
        Format::Json => print(json(&ticks)),
        Format::Table => print(table(&ticks).render(Screen::stdout())),
    }
    Ok(OK)
}

fn table(ticks: &[TickDto]) -> Table {
    let mut table = Table::new(&["NOMINAL", "DISPOSITION", "REASON", "RUN", "TRIGGER", ">REV"])
        .yielding(&["REV", "TRIGGER"]);
    for tick in ticks {
        let run = tick.run_id.as_deref().map_or("", |id| id.get(..ID_SHOWN).unwrap_or(id));
        table.row([
            utc(tick.nominal_time.0).into(),
            Cell::toned(&tick.disposition, tone(&tick.disposition)),
            tick.reason.as_deref().unwrap_or("").into(),
            Cell::toned(run, Tone::Dim),
            tick.trigger.as_str().into(),
            tick.revision.to_string().into(),
        ]);
    }
    table
}

fn tone(disposition: &str) -> Tone {
    match disposition {
        "run" => Tone::Good,
        "expired" => Tone::Bad,
        "pending" => Tone::Dim,
        _ => Tone::Busy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::examples::{after, run};

    #[test]
    fn each_tick_has_its_line() {
        let tick = |disposition: &str, reason: Option<&str>, run: Option<String>| TickDto {
            nominal_time: after(0),
            disposition: disposition.to_owned(),
            reason: reason.map(str::to_owned),
            run_id: run,
            trigger: "nightly".to_owned(),
            revision: 3,
        };
        let ticks = [tick("run", None, Some(run().id)), tick("skipped", Some("overlap"), None)];
        let expected = "\
NOMINAL               DISPOSITION  REASON   RUN               TRIGGER  REV
2026-11-24 09:00:00Z  run                   01kbw6qc00c4t0v5  nightly    3
2026-11-24 09:00:00Z  skipped      overlap                    nightly    3
";
        assert_eq!(table(&ticks).render(Screen::PLAIN), expected);
    }
}
