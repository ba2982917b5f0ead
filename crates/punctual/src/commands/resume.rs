//! `punctual resume`: let paused jobs fire again.

use crate::client::Client;
use crate::commands::pause::post_to_each;
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print, remark};
use crate::when::relative;
use crate::zoned::Rules;
use clap::builder::NonEmptyStringValueParser;
use punctual_core::time::Timestamp;
use punctual_core::zone::ZoneTable;
use punctual_server::dto::{JobDto, ResumeDto};
use std::process::ExitCode;

/// Let paused jobs fire again
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual resume backup
  punctual resume backup --catch-up    also run what was missed, by the job's catch-up policy
  punctual resume --all")]
pub struct Args {
    /// The jobs
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "JOB", value_parser = NonEmptyStringValueParser::new())]
    jobs: Vec<String>,
    /// All paused jobs
    #[arg(long)]
    all: bool,
    /// Run what was missed meanwhile, by each job's catch-up policy
    #[arg(long)]
    catch_up: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Resumes.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, resume(&args))
}

fn resume(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let names = if args.all {
        let jobs: Vec<JobDto> = client.get("/v1/jobs")?;
        jobs.into_iter().filter(|job| job.paused.is_some()).map(|job| job.name).collect()
    } else {
        args.jobs.clone()
    };
    let (resumed, failure) = post_to_each(&client, &names, "resume", &ResumeDto { catch_up: args.catch_up });
    let zones = punctual_engine::zones::open();
    match args.format {
        Format::Json => print(json(&resumed)),
        Format::Table if names.is_empty() => remark("no job is paused"),
        Format::Table => print(resumed.iter().map(|job| told(job, &zones, client.now())).collect::<String>()),
    }
    if !resumed.is_empty() && !client.has_daemon() {
        remark("no daemon is running: nothing starts until `punctual serve` does");
    }
    failure.map_or(Ok(OK), Err)
}

fn told(job: &JobDto, zones: &ZoneTable, now: Timestamp) -> String {
    match job.next_time {
        Some(next) => {
            format!(
                "resumed {}: next {} ({})\n",
                job.name,
                Rules::of(job, zones).clock(next.0),
                relative(next.0, now)
            )
        }
        None => format!("resumed {}: no time of its own\n", job.name),
    }
}
