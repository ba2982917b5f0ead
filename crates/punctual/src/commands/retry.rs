//! `punctual retry`: run a finished run's work again.

use crate::client::{Client, path};
use crate::commands::logs::newest_run;
use crate::commands::subject::Subject;
use crate::commands::trigger::told;
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print};
use clap::builder::NonEmptyStringValueParser;
use punctual_server::dto::SubmittedDto;
use serde_json::json as empty;
use std::process::ExitCode;

/// Run a finished run's work again, with its parameters; let a run go on that was lost and held
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual retry 01kb0q4v80
  punctual retry backup         its newest run")]
pub struct Args {
    /// A run's id or its beginning, `last`, or a job
    #[arg(value_name = "RUN|JOB", value_parser = NonEmptyStringValueParser::new())]
    subject: String,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Retries.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, retry(&args))
}

fn retry(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let run = match Subject::find(&client, &args.subject)? {
        Subject::Run(run) => *run,
        Subject::Job(job) => newest_run(&client, &job.name)?,
    };
    let made: SubmittedDto = client.post(&path(&["v1", "runs", &run.id, "retry"]), &empty!({}))?;
    match args.format {
        Format::Json => print(json(&made)),
        Format::Table => print(told(&made)),
    }
    Ok(OK)
}
