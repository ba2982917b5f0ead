//! `punctual pause`: let jobs fire no more for now.

use crate::client::{Client, path};
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print};
use punctual_server::dto::{JobDto, PauseRequestDto};
use serde::Serialize;
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
    let body = PauseRequestDto { reason: args.reason.clone() };
    let (paused, failure) = post_to_each(&client, &args.jobs, "pause", &body);
    match args.format {
        Format::Json => print(json(&paused)),
        Format::Table => print(paused.iter().map(|job| format!("paused {}\n", job.name)).collect::<String>()),
    }
    failure.map_or(Ok(OK), Err)
}

/// Asks for the same change of each job; those after one that fails are asked too. The answer is the changed jobs,
/// and the first failure.
pub fn post_to_each(
    client: &Client,
    jobs: &[String],
    change: &str,
    body: &impl Serialize,
) -> (Vec<JobDto>, Option<Failure>) {
    let mut changed = Vec::new();
    let mut failure = None;
    for job in jobs {
        match client.post(&path(&["v1", "jobs", job, change]), body) {
            Ok(job) => changed.push(job),
            Err(why) => failure = failure.or(Some(why)),
        }
    }
    (changed, failure)
}
