//! `punctual pause`: let jobs fire no more for now.

use crate::client::{Client, path};
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print};
use punctual_server::dto::{JobDto, PauseRequestDto};
use std::process::ExitCode;

/// Let jobs fire no more until they are resumed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual pause backup
  punctual pause backup report --reason 'disk is being replaced'

Runs that exist go on; their times that pass meanwhile are skipped with the reason `paused`.")]
pub struct Args {
    /// The jobs
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    /// Why, for those who look later
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Pauses.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, pause(&args))
}

fn pause(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let mut paused: Vec<JobDto> = Vec::new();
    for job in &args.jobs {
        let body = PauseRequestDto { reason: args.reason.clone() };
        paused.push(client.post(&path(&["v1", "jobs", job, "pause"]), &body)?);
    }
    match args.format {
        Format::Json => print(json(&paused)),
        Format::Table => print(paused.iter().map(|job| format!("paused {}\n", job.name)).collect::<String>()),
    }
    Ok(OK)
}
