//! `punctual why`: the one answer to "why (not)?".

use crate::client::{Client, query};
use crate::commands::subject::Subject;
use crate::data::Data;
use crate::failure::{Failure, Format, OK, finish, json, print};
use crate::terminal::one_line;
use crate::when::{relative, utc};
use clap::builder::NonEmptyStringValueParser;
use punctual_core::time::Timestamp;
use punctual_server::dto::WhyDto;
use std::process::ExitCode;

/// Say why a job or a run stands where it stands, or why a job did (not) run at an instant
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual why backup                            why is it not running?
  punctual why 01kb0q4v80                        why did this run end so, or what does it wait for?
  punctual why backup@2026-11-24T02:00:00Z       what became of that instant?
  punctual why backup@2026-11-24T02:00           the same, in the job's time zone")]
pub struct Args {
    /// A job, a run's id or its beginning, `last`, or JOB@TIME
    #[arg(value_name = "JOB|RUN|JOB@TIME", value_parser = NonEmptyStringValueParser::new())]
    subject: String,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Answers.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, answer(&args))
}

fn answer(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let path = match args.subject.rsplit_once('@') {
        Some((job, at)) => query("/v1/why", &[("job", Some(job)), ("at", Some(at))]),
        None => match Subject::find(&client, &args.subject)? {
            Subject::Job(job) => query("/v1/why", &[("job", Some(&job.name))]),
            Subject::Run(run) => query("/v1/why", &[("run", Some(&run.id))]),
        },
    };
    let why: WhyDto = client.get(&path)?;
    match args.format {
        Format::Json => print(json(&why)),
        Format::Table => print(text(&why, client.now())),
    }
    Ok(OK)
}

fn text(why: &WhyDto, now: Timestamp) -> String {
    let mut text = format!("{}\n", one_line(&why.answer));
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<7} {}\n", one_line(value)));
    if let Some(reason) = &why.reason {
        line("reason", reason);
    }
    if let Some(rule) = &why.rule {
        line("rule", rule);
    }
    if let Some(next) = why.next_time {
        line("next", &format!("{} ({})", utc(next.0), relative(next.0, now)));
    }
    for fact in &why.facts {
        line("fact", fact);
    }
    text
}
