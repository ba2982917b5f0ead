//! `punctual trigger`: run a job now.

use crate::client::{Client, path};
use crate::commands::logs::{Pace, Screen, stream};
use crate::data::Data;
use crate::failure::{Failure, Format, NO, OK, WAIT_FAILED, finish, json, print, remark};
use clap::builder::NonEmptyStringValueParser;
use punctual_core::error::{Code, Diagnostic};
use punctual_server::dto::{RunDto, SubmitDto, SubmittedDto};
use serde_json::{Map, Value};
use std::process::ExitCode;

/// The process could not be started, as a shell says it.
const NOT_STARTED: u8 = 126;
/// Nothing would start the run that is to be waited for.
const NOBODY_STARTS: Code = Code("API020");

/// Run a job now
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual trigger backup
  punctual trigger report --param day=2026-11-24 --key report-2026-11-24
  punctual trigger report --wait

A repeat of a key finds the run that it made instead of making another.
With --wait the output is followed, and the exit code is the job's: 128 + n if signal n ended it, 126 if
it could not be started, 1 if it did not succeed without either. 125 is punctual's own failure.
Interrupting the wait does not end the run.")]
pub struct Args {
    /// The job
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    job: String,
    /// Make one run of this key, however often it is asked for
    #[arg(long)]
    key: Option<String>,
    /// A parameter of the run; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    params: Vec<(String, String)>,
    /// Follow the output and exit with the job's exit code
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}

/// Makes the run.
pub fn run(args: Args) -> ExitCode {
    let result = trigger(&args);
    let result = if args.wait { result.map_err(|failure| failure.exiting(WAIT_FAILED)) } else { result };
    finish(args.format, result)
}

fn trigger(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    if args.wait && !client.has_daemon() {
        let error = Diagnostic::error(NOBODY_STARTS, "no daemon is running: nothing would start the run")
            .hint("start one with `punctual serve`, or leave --wait out and it starts when one does");
        return Err(Failure::new(NO, error));
    }
    let params: Map<String, Value> =
        args.params.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect();
    let body = SubmitDto { key: args.key.clone(), params };
    let made: SubmittedDto = client.post(&path(&["v1", "jobs", &args.job, "trigger"]), &body)?;
    if args.wait {
        return wait(&client, &made.run, args.format);
    }
    match args.format {
        Format::Json => print(json(&made)),
        Format::Table => print(told(&made)),
    }
    if !client.has_daemon() {
        remark("no daemon is running: it starts when `punctual serve` does");
    }
    Ok(OK)
}

/// What was made, for people.
pub fn told(made: &SubmittedDto) -> String {
    let SubmittedDto { run, existing } = made;
    let verb = if *existing { "found" } else { "made" };
    let stands = run.verdict.as_deref().unwrap_or(&run.state);
    format!("{verb} run {} of {}: {stands}\n", run.id, run.job)
}

fn wait(client: &Client, run: &RunDto, format: Format) -> Result<u8, Failure> {
    if format == Format::Table {
        remark(format!("run {} of {}", run.id, run.job));
    }
    let ended = match format {
        Format::Table => stream(client, run, None, Pace::Follow, &mut Screen::new(false))?,
        Format::Json => crate::commands::logs::end_of(client, run)?,
    };
    match format {
        Format::Json => print(json(&ended)),
        Format::Table => remark(format!(
            "run {} ended: {}",
            ended.id,
            ended.verdict.as_deref().unwrap_or("without a verdict")
        )),
    }
    Ok(exit_code(&ended))
}

/// The job's exit code, as a shell would give it; never the one of our own failures.
fn exit_code(run: &RunDto) -> u8 {
    if run.verdict.as_deref() == Some("success") {
        return OK;
    }
    let attempt = run.attempts.last();
    let code = attempt.and_then(|a| a.exit_code).and_then(|code| u8::try_from(code).ok());
    let signal = attempt.and_then(|a| a.signal).and_then(|signal| u8::try_from(128 + signal).ok());
    let unstarted = attempt.and_then(|a| a.class.as_deref()).filter(|class| *class == "spawn");
    let unstarted = unstarted.map(|_| NOT_STARTED);
    code.filter(|code| *code != 0).or(signal).or(unstarted).unwrap_or(NO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::examples;
    use punctual_server::dto::AttemptDto;

    #[test]
    fn the_exit_code_is_the_jobs() {
        let ended = |verdict: &str, code, signal| {
            let mut run = examples::run();
            run.verdict = Some(verdict.to_owned());
            let attempt = run.attempts.last_mut().expect("the example has one");
            (attempt.exit_code, attempt.signal) = (code, signal);
            exit_code(&run)
        };
        assert_eq!(ended("success", Some(0), None), 0);
        assert_eq!(ended("failed", Some(3), None), 3);
        assert_eq!(ended("timeout", None, Some(15)), 143);
        assert_eq!(ended("lost", None, None), 1);
        assert_eq!(ended("cancelled", Some(0), None), 1);
        assert_eq!(ended("failed", Some(0), None), 1, "its verify command found something");
        let mut run = examples::run();
        run.verdict = Some("failed".to_owned());
        run.attempts[0] = AttemptDto { class: Some("spawn".to_owned()), ..AttemptDto::default() };
        assert_eq!(exit_code(&run), 126);
    }

    #[test]
    fn parameters_have_a_name() {
        assert_eq!(parameter("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(parameter("a").is_err() && parameter("=b").is_err());
    }
}
