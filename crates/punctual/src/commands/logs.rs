//! `punctual logs`: what an attempt wrote.

use crate::client::{Client, path, query};
use crate::commands::subject::Subject;
use crate::data::Data;
use crate::failure::{Failure, Format, NOT_FOUND, OK, finish, print};
use crate::terminal::Cleaner;
use clap::builder::NonEmptyStringValueParser;
use punctual_core::error::{Code, Diagnostic};
use punctual_server::dto::RunDto;
use punctual_server::{LOG_ENDED_HEADER, LOG_OFFSET_HEADER};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

/// The job has not run.
const NEVER_RAN: Code = Code("API019");
/// Between two looks at a log that grows.
const FOLLOW_PAUSE: Duration = Duration::from_millis(150);

/// Print the output of a run
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual logs backup              the newest run of the job
  punctual logs 01kb0q4v80 -f       a run by the beginning of its id, until it ends
  punctual logs last --attempt 1    the first try of the newest run

On a terminal, control sequences other than colours are left out.")]
pub struct Args {
    /// A job, a run's id or its beginning, or `last`
    #[arg(value_name = "JOB|RUN", value_parser = NonEmptyStringValueParser::new())]
    subject: String,
    /// Keep printing until the run has ended
    #[arg(short = 'f', long)]
    follow: bool,
    /// Which attempt [default: the newest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    #[command(flatten)]
    data: Data,
}

/// Prints the log.
pub fn run(args: Args) -> ExitCode {
    finish(Format::Table, logs(&args))
}

fn logs(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let run = match Subject::find(&client, &args.subject)? {
        Subject::Run(run) => *run,
        Subject::Job(job) => newest_run(&client, &job.name)?,
    };
    let pace = if args.follow { Pace::Follow } else { Pace::Once };
    stream(&client, &run, args.attempt, pace)?;
    Ok(OK)
}

/// The newest run of a job.
///
/// # Errors
/// It has none.
pub fn newest_run(client: &Client, job: &str) -> Result<RunDto, Failure> {
    let runs: Vec<RunDto> = client.get(&query("/v1/runs", &[("job", Some(job)), ("limit", Some("1"))]))?;
    runs.into_iter().next().ok_or_else(|| {
        let error = Diagnostic::error(NEVER_RAN, format!("job {job:?} has not run yet"))
            .hint(format!("`punctual why {job}` says when it will"));
        Failure::new(NOT_FOUND, error)
    })
}

/// Whether printing ends with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// What is there now.
    Once,
    /// Until the run has ended, through its retries.
    Follow,
}

/// Prints the output of a run to standard output; the answer is the run as it stands then.
///
/// # Errors
/// The attempt does not exist, or the log cannot be read.
pub fn stream(client: &Client, run: &RunDto, attempt: Option<u32>, pace: Pace) -> Result<RunDto, Failure> {
    let mut cleaner = std::io::stdout().is_terminal().then(Cleaner::default);
    let mut run = run.clone();
    let newest = |run: &RunDto| run.attempts.last().map_or(1, |a| a.number);
    let mut current = attempt.unwrap_or_else(|| newest(&run));
    let mut offset = 0_u64;
    loop {
        let waits = pace == Pace::Follow && run.state != "finished" && current > newest_started(&run);
        let ended = if waits {
            false
        } else {
            let (next, ended) = drain(client, &run.id, current, offset, cleaner.as_mut())?;
            offset = next;
            ended
        };
        if pace == Pace::Once
            || ended && (attempt.is_some() || run.state == "finished" && current == newest(&run))
        {
            return Ok(run);
        }
        run = client.get(&path(&["v1", "runs", &run.id]))?;
        if ended && current < newest_started(&run) {
            (current, offset) = (current + 1, 0);
        } else if run.state != "finished" {
            std::thread::sleep(FOLLOW_PAUSE);
        } else if run.attempts.is_empty() {
            return Ok(run);
        }
    }
}

fn newest_started(run: &RunDto) -> u32 {
    run.attempts.last().map_or(0, |a| a.number)
}

/// Prints what is there from `offset` on; the answer is where it ended, and whether nothing can follow.
fn drain(
    client: &Client,
    run: &str,
    attempt: u32,
    mut offset: u64,
    mut cleaner: Option<&mut Cleaner>,
) -> Result<(u64, bool), Failure> {
    let number = attempt.to_string();
    loop {
        let from = offset.to_string();
        let parameters = [("attempt", Some(number.as_str())), ("offset", Some(from.as_str()))];
        let piece = client.bytes(&query(&path(&["v1", "runs", run, "log"]), &parameters))?;
        match &mut cleaner {
            Some(cleaner) => print(cleaner.clean(&piece.bytes)),
            None => print(&piece.bytes),
        }
        let header = |name: &str| piece.headers.get(name).and_then(|value| value.to_str().ok());
        offset = header(LOG_OFFSET_HEADER).and_then(|text| text.parse().ok()).unwrap_or(offset);
        let ended = header(LOG_ENDED_HEADER) == Some("true");
        if ended || piece.bytes.is_empty() {
            return Ok((offset, ended));
        }
    }
}

/// Waits until the run has ended, printing nothing.
///
/// # Errors
/// No answer came.
pub fn end_of(client: &Client, run: &RunDto) -> Result<RunDto, Failure> {
    let mut run = run.clone();
    while run.state != "finished" {
        std::thread::sleep(FOLLOW_PAUSE);
        run = client.get(&path(&["v1", "runs", &run.id]))?;
    }
    Ok(run)
}
