//! `punctual logs`: what an attempt wrote.

use crate::client::{BAD_ANSWER, Client, NO_ANSWER, Piece, path, query};
use crate::commands::subject::Subject;
use crate::data::Data;
use crate::failure::{Failure, Format, NOT_FOUND, OK, finish, print, remark};
use crate::terminal::Cleaner;
use clap::builder::NonEmptyStringValueParser;
use punctual_core::error::{Code, Diagnostic};
use punctual_server::dto::RunDto;
use punctual_server::{LOG_ABSENT_HEADER, LOG_ENDED_HEADER, LOG_OFFSET_HEADER};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

/// The job has not run.
const NEVER_RAN: Code = Code("API019");
/// Between two looks at a log that grows, and at a job that may have run again.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);
/// A daemon that is gone is tried again so often, with a pause of [`FOLLOW_PAUSE`]: for a minute, as a restart may take.
const RECONNECTS_MAX: u32 = 600;
/// Runs of a job that one look lists, as text.
const LOOK_RUNS: &str = "200";

/// Print the output of a run
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual logs backup              the newest run of the job
  punctual logs backup -f           the same, then each run that follows, until it is interrupted
  punctual logs 01kb0q4v80 -f       a run by the beginning of its id, until it ends
  punctual logs last --attempt 1    the first try of the newest run

What a job prints to standard output and standard error stands in the order in which it came. Following goes
on through retries, and through a restart of the daemon. On a terminal, control sequences other than colours
are left out.")]
pub struct Args {
    /// A job, a run's id or its beginning, or `last`
    #[arg(value_name = "JOB|RUN", value_parser = NonEmptyStringValueParser::new())]
    subject: String,
    /// Keep printing until the run has ended; of a job, run after run
    #[arg(short = 'f', long)]
    follow: bool,
    /// Which attempt [default: the newest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Leave control sequences in on a terminal too
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    data: Data,
}

/// Prints the log.
pub fn run(args: Args) -> ExitCode {
    finish(Format::Table, logs(&args))
}

fn logs(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    let pace = if args.follow { Pace::Follow } else { Pace::Once };
    let mut screen = Screen { tells: true, ..Screen::new(args.raw) };
    match Subject::find(&client, &args.subject)? {
        Subject::Run(run) => _ = stream(&client, &run, args.attempt, pace, &mut screen)?,
        Subject::Job(job) if args.follow && args.attempt.is_none() && client.has_daemon() => {
            follow_job(&client, &job.name, &mut screen)?;
        }
        Subject::Job(job) => {
            let run = newest_run(&client, &job.name)?;
            stream(&client, &run, args.attempt, pace, &mut screen)?;
        }
    }
    Ok(OK)
}

/// Prints the newest run of a job, and those that follow. It ends when nobody reads any more, or no daemon answers.
fn follow_job(client: &Client, job: &str, screen: &mut Screen) -> Result<(), Failure> {
    let list = || -> Result<Vec<RunDto>, Failure> {
        let parameters = [("job", Some(job)), ("limit", Some(LOOK_RUNS))];
        patiently(client, Pace::Follow, || client.get(&query("/v1/runs", &parameters)))
    };
    let mut seen: BTreeSet<String> = list()?.into_iter().skip(1).map(|run| run.id).collect();
    loop {
        let mut runs = list()?;
        seen.retain(|id| runs.iter().any(|run| run.id == *id));
        runs.retain(|run| !seen.contains(&run.id));
        // An id begins with the nominal time.
        runs.sort_by(|a, b| a.id.cmp(&b.id));
        for run in &runs {
            remark(format!("run {} of {job}", run.id));
            match stream(client, run, None, Pace::Follow, screen) {
                Ok(run) => remark(format!("run {} ended: {}", run.id, run.verdict.as_deref().unwrap_or("…"))),
                // It ended without an attempt.
                Err(failure) if failure.exit == NOT_FOUND => remark(failure.error.message),
                Err(failure) => return Err(failure),
            }
            seen.insert(run.id.clone());
        }
        if runs.is_empty() {
            std::thread::sleep(FOLLOW_PAUSE);
        }
    }
}

/// Asks; while following, a daemon that is gone is given the time of a restart.
fn patiently<T>(client: &Client, pace: Pace, ask: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    for attempt in 0..RECONNECTS_MAX {
        match ask() {
            Err(failure)
                if pace == Pace::Follow
                    && client.has_daemon()
                    && [NO_ANSWER, BAD_ANSWER].iter().any(|gone| failure.error.code == gone.0) =>
            {
                if attempt == 1 {
                    remark("the daemon does not answer; waiting for it to be back");
                }
                std::thread::sleep(FOLLOW_PAUSE);
            }
            answer => return answer,
        }
    }
    ask()
}

/// Where the output of jobs is printed.
#[derive(Debug, Default)]
pub struct Screen {
    /// What takes control sequences out, if it is a terminal.
    cleaner: Option<Cleaner>,
    /// Whether it is told that an attempt has printed nothing.
    tells: bool,
}

impl Screen {
    /// Standard output.
    pub fn new(raw: bool) -> Self {
        let cleaner = (std::io::stdout().is_terminal() && !raw).then(Cleaner::default);
        Self { cleaner, tells: false }
    }

    fn show(&mut self, bytes: &[u8]) {
        match &mut self.cleaner {
            Some(cleaner) => print(cleaner.clean(bytes)),
            None => print(bytes),
        }
    }
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
pub fn stream(
    client: &Client,
    run: &RunDto,
    attempt: Option<u32>,
    pace: Pace,
    screen: &mut Screen,
) -> Result<RunDto, Failure> {
    let mut run = run.clone();
    let newest = |run: &RunDto| run.attempts.last().map_or(1, |a| a.number);
    let mut current = attempt.unwrap_or_else(|| newest(&run));
    let mut offset = 0_u64;
    loop {
        let waits = pace == Pace::Follow && run.state != "finished" && current > newest_started(&run);
        let ended = if waits {
            false
        } else {
            let (next, ended) = drain(client, &run.id, current, offset, pace, screen)?;
            offset = next;
            ended
        };
        if pace == Pace::Once
            || ended && (attempt.is_some() || run.state == "finished" && current == newest(&run))
        {
            return Ok(run);
        }
        run = patiently(client, pace, || client.get(&path(&["v1", "runs", &run.id])))?;
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
    pace: Pace,
    screen: &mut Screen,
) -> Result<(u64, bool), Failure> {
    let number = attempt.to_string();
    loop {
        let from = offset.to_string();
        let parameters = [("attempt", Some(number.as_str())), ("offset", Some(from.as_str()))];
        let asked = query(&path(&["v1", "runs", run, "log"]), &parameters);
        let piece: Piece = patiently(client, pace, || client.bytes(&asked))?;
        screen.show(&piece.bytes);
        let header = |name: &str| piece.headers.get(name).and_then(|value| value.to_str().ok());
        offset = header(LOG_OFFSET_HEADER).and_then(|text| text.parse().ok()).unwrap_or(offset);
        let ended = header(LOG_ENDED_HEADER) == Some("true");
        if ended && offset == 0 && screen.tells {
            remark(match header(LOG_ABSENT_HEADER) {
                Some("pruned") => {
                    format!("of attempt {attempt} there is no output: it printed nothing, or it was pruned")
                }
                _ => format!("attempt {attempt} printed nothing"),
            });
        }
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
        run = patiently(client, Pace::Follow, || client.get(&path(&["v1", "runs", &run.id])))?;
    }
    Ok(run)
}
