//! `punctual cancel`: end a run, or all unfinished runs of a job or of a back-fill.

use crate::client::{Client, path, query};
use crate::commands::runs::table;
use crate::commands::subject::Subject;
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print, remark};
use crate::terminal::Screen;
use clap::builder::NonEmptyStringValueParser;
use punctual_server::dto::RunDto;
use serde_json::json as empty;
use std::process::ExitCode;

/// End a run, or all unfinished runs of a job or of a back-fill
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual cancel 01kb0q4v80
  punctual cancel backup
  punctual cancel --backfill 1f0c2a9b

A run that is under way is told to end: TERM to its processes, KILL after its grace.")]
pub struct Args {
    /// A run's id or its beginning, `last`, or a job
    #[arg(value_name = "RUN|JOB", value_parser = NonEmptyStringValueParser::new())]
    #[arg(required_unless_present = "backfill", conflicts_with = "backfill")]
    subject: Option<String>,
    /// All unfinished runs of the back-fill with this id
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    backfill: Option<String>,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Cancels.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, cancel(&args))
}

fn cancel(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let (what, cancelled) = match (&args.backfill, &args.subject) {
        (Some(id), _) => {
            let url = path(&["v1", "backfills", id, "cancel"]);
            (format!("back-fill {id}"), client.post(&url, &empty!({}))?)
        }
        (None, subject) => {
            let subject = subject.as_deref().unwrap_or_default();
            (subject.to_owned(), cancel_each(&client, subject)?)
        }
    };
    match args.format {
        Format::Json => print(json(&cancelled)),
        Format::Table if cancelled.is_empty() => remark(format!("{what} has no unfinished run")),
        Format::Table => print(table(&cancelled, client.now()).render(Screen::stdout())),
    }
    Ok(OK)
}

fn cancel_each(client: &Client, subject: &str) -> Result<Vec<RunDto>, Failure> {
    let runs = match Subject::find(client, subject)? {
        Subject::Run(run) => vec![*run],
        Subject::Job(job) => {
            let parameters =
                [("job", Some(job.name.as_str())), ("unfinished", Some("true")), ("limit", Some("10000"))];
            client.get(&query("/v1/runs", &parameters))?
        }
    };
    let cancel = |run: &RunDto| client.post(&path(&["v1", "runs", &run.id, "cancel"]), &empty!({}));
    runs.iter().map(cancel).collect()
}
