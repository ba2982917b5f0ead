//! `punctual backfill`: runs for nominal times that have passed, after a preview.

use crate::client::{Client, path};
use crate::data::Data;
use crate::failure::{Failure, Format, NO, OK, finish, json, print, remark};
use clap::builder::NonEmptyStringValueParser;
use punctual_core::error::{Code, Diagnostic};
use punctual_server::dto::{BackfillDto, BackfillRequestDto};
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

/// Nobody is there to be asked.
const NOT_CONFIRMED: Code = Code("API053");

/// Make runs of a job for nominal times that have passed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual backfill report --from 2026-11-01T00:00 --to 2026-11-08T00:00 --dry-run
  punctual backfill report --from 7d --yes --spread 30s
  punctual cancel --backfill 1f0c2a9b

First it says how many runs there would be; then it asks, or needs --yes. Nominal times that ran are left out, unless
--all. Instants are RFC 3339, a local time of the job's zone, or how long ago. The runs see PUNCTUAL_NOMINAL_TIME of the
past, and PUNCTUAL_BACKFILL, the id. The same request with the same --id makes each run once, however often it is repeated.")]
pub struct Args {
    /// The job
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    job: String,
    /// The first nominal time may be this one
    #[arg(long, value_name = "INSTANT")]
    from: String,
    /// All are before this one [default: now]
    #[arg(long, value_name = "INSTANT")]
    to: Option<String>,
    /// Only this trigger's
    #[arg(long)]
    trigger: Option<String>,
    /// Only those that the record says were missed: coalesced, expired, or left out by catchUp
    #[arg(long, conflicts_with = "all")]
    only_missed: bool,
    /// Those that ran too
    #[arg(long)]
    all: bool,
    /// No more runs than this; at most 10000
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max: usize,
    /// Between the due times of two runs
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    spread: String,
    /// Its name, for repeats and for cancelling [default: a new one]
    #[arg(long)]
    id: Option<String>,
    /// Only say what would be made
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, backfill(&args))
}

fn backfill(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let url = path(&["v1", "jobs", &args.job, "backfill"]);
    let mut request = BackfillRequestDto {
        id: args.id.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
        trigger: args.trigger.clone(),
        all: args.all,
        only_missed: args.only_missed,
        max: Some(args.max),
        spread: Some(args.spread.clone()),
        dry_run: true,
    };
    let preview: BackfillDto = client.post(&url, &request)?;
    if args.dry_run {
        tell(args.format, &preview);
        return Ok(OK);
    }
    if preview.runs == 0 {
        tell(args.format, &preview);
        return Ok(OK);
    }
    if !args.yes && !is_confirmed(&preview)? {
        remark("nothing was made");
        return Ok(NO);
    }
    // What was shown is what is made: the span does not move on with the clock.
    request.id = Some(preview.id.clone());
    (request.from, request.to) = (preview.from.to_string(), Some(preview.to.to_string()));
    request.dry_run = false;
    let done: BackfillDto =
        client.post(&url, &request).map_err(|failure| repeatable(failure, &preview.id))?;
    tell(args.format, &done);
    if !client.has_daemon() && args.format == Format::Table {
        remark("no daemon is running: they start when `punctual serve` does");
    }
    Ok(OK)
}

fn tell(format: Format, backfill: &BackfillDto) {
    match format {
        Format::Json => print(json(backfill)),
        Format::Table => print(text(backfill)),
    }
}

/// A repeat under the same id makes what is missing.
fn repeatable(mut failure: Failure, id: &str) -> Failure {
    let repeat = format!("some runs may have been made; repeat it with --id {id}: each is made once");
    let hint = failure.error.hint.take();
    failure.error.hint = Some(hint.map_or(repeat.clone(), |hint| format!("{hint}; {repeat}")));
    failure
}

fn is_confirmed(preview: &BackfillDto) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        let message = format!("{} would be made, and nobody is there to be asked", runs(preview.runs));
        let error = Diagnostic::error(NOT_CONFIRMED, message).hint("look with --dry-run, then add --yes");
        return Err(Failure::new(NO, error));
    }
    let mut out = std::io::stderr();
    let _ = write!(out, "{}make {}? [y/N] ", text(preview), runs(preview.runs));
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn runs(count: usize) -> String {
    format!("{count} run{}", if count == 1 { "" } else { "s" })
}

fn text(backfill: &BackfillDto) -> String {
    let BackfillDto { id, job, from, to, times, left_out, .. } = backfill;
    let mut text = format!("{job} from {from} to {to}: {times} nominal times, {left_out} left out\n");
    let span = backfill.first.zip(backfill.last).map(|(first, last)| format!(", {first} to {last}"));
    let span = span.unwrap_or_default();
    text += &match (backfill.made, backfill.existing) {
        (0, 0) => format!("{} would be made{span}\n", runs(backfill.runs)),
        (0, existing) => {
            format!("{} of back-fill {id}{span}, of which {existing} are there\n", runs(backfill.runs))
        }
        (made, existing) => {
            let there = if existing > 0 { format!(", {existing} were there") } else { String::new() };
            format!("made {} as back-fill {id}{there}{span}\n", runs(made))
        }
    };
    if backfill.runs > 0 {
        text += &format!("the last is due at {}, if none waits for another\n", backfill.last_due);
    }
    text += &backfill.notes.iter().map(|note| format!("note: {note}\n")).collect::<String>();
    if backfill.made > 0 {
        text += &format!("cancel what is left with: punctual cancel --backfill {id}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::examples::after;
    use crate::failure::UNAVAILABLE;

    fn preview() -> BackfillDto {
        BackfillDto {
            id: "ab12".to_owned(),
            job: "report".to_owned(),
            from: after(-7200),
            to: after(0),
            times: 120,
            left_out: 118,
            runs: 2,
            first: Some(after(-7200)),
            last: Some(after(-60)),
            made: 0,
            existing: 0,
            last_due: after(1),
            notes: vec!["2026-10-25T00:30:00Z (t, Europe/Berlin): is the first of two".to_owned()],
        }
    }

    #[test]
    fn what_would_be_made_is_told_and_what_was() {
        let told = text(&preview());
        for part in ["120 nominal times, 118 left out", "2 runs would be made", "note: 2026-10-25"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let told = text(&BackfillDto { made: 1, existing: 1, ..preview() });
        for part in ["made 1 run as back-fill ab12, 1 were there", "punctual cancel --backfill ab12"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn a_failure_says_how_to_go_on() {
        let failure = Failure::new(UNAVAILABLE, Diagnostic::error(Code("X1"), "gone").hint("look"));
        let hint = repeatable(failure, "ab12").error.hint.expect("a hint");
        assert!(hint.starts_with("look; ") && hint.contains("--id ab12"), "{hint}");
    }
}
