//! `punctual pause`: let jobs fire no more for now.

use crate::client::{Client, path};
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print};
use clap::builder::NonEmptyStringValueParser;
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
    #[arg(required = true, value_name = "JOB", value_parser = NonEmptyStringValueParser::new())]
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

/// Asks for the same change of each job; those after one that fails are asked too. The answer is the changed jobs, and
/// what failed: one failure, which tells of all.
pub fn post_to_each(
    client: &Client,
    jobs: &[String],
    change: &str,
    body: &impl Serialize,
) -> (Vec<JobDto>, Option<Failure>) {
    let mut changed = Vec::new();
    let mut failures = Vec::new();
    for job in jobs {
        match client.post(&path(&["v1", "jobs", job, change]), body) {
            Ok(job) => changed.push(job),
            Err(why) => failures.push(why),
        }
    }
    (changed, together(failures))
}

/// The first failure, with what the others say.
fn together(failures: Vec<Failure>) -> Option<Failure> {
    let messages: Vec<String> = failures.iter().map(|failure| failure.error.message.clone()).collect();
    let mut first = failures.into_iter().next()?;
    if messages.len() > 1 {
        first.error.message = messages.join("; ");
        // Its hint is for one of them.
        first.error.hint = Some("`punctual jobs` lists the jobs and their states".to_owned());
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::NOT_FOUND;
    use punctual_core::error::{Code, Diagnostic};

    #[test]
    fn each_job_that_failed_is_told() {
        let failure = |code, message: &str| Failure::new(NOT_FOUND, Diagnostic::error(Code(code), message));
        assert_eq!(together(Vec::new()), None);
        assert_eq!(together(vec![failure("X1", "a")]), Some(failure("X1", "a")));
        let both = together(vec![failure("X1", "a is paused"), failure("X2", "no b")]).expect("two failed");
        assert_eq!((both.error.code.as_str(), both.error.message.as_str()), ("X1", "a is paused; no b"));
    }
}
