//! `punctual next`: the next firings of a job, of an expression, or of a stream of expressions.

mod lines;
mod stream;

use crate::client::{Client, path};
use crate::data::Data;
use crate::failure::{Failure, Format, NO, OK, finish, json, print, remark};
use crate::terminal::Screen;
use clap::ValueEnum;
use lines::Line;
use punctual_core::cron::{self, Cron, CronError, Dialect, Parsed};
use punctual_core::error::{Code, Diagnostic, Origin};
use punctual_core::preview::preview;
use punctual_core::schedule::{CronSchedule, DstPolicy, Every, Pace, Schedule, SearchLimit};
use punctual_core::spec::JobSpec;
use punctual_core::time::Timestamp;
use punctual_core::trigger::{TimeRule, When};
use punctual_core::zone::{Zone, ZoneTable};
use punctual_engine::clock::Clock;
use punctual_engine::zones;
use punctual_server::dto::JobDto;
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// A text that is no instant.
pub(crate) const BAD_INSTANT: Code = Code("ZON003");
/// A number of firings beyond what one answer holds.
const BAD_COUNT: Code = Code("API030");
/// A line of the stream that is no request.
const BAD_LINE: Code = Code("API031");
/// A definition in the store that cannot be compiled here.
const NO_RULE: Code = Code("API032");

/// No answer has more firings.
const COUNT_MAX: usize = 100_000;

/// Show when a job, or a cron expression, fires next
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual next backup
  punctual next --cron '30 2 * * *' --tz Europe/Berlin
  punctual next --cron '0 0 L * *' --from 2026-01-01T00:00:00Z -n 12 --format json
  echo '{\"expr\":\"@daily\",\"tz\":\"UTC\",\"from\":\"2026-01-01T00:00:00Z\",\"n\":2}' | punctual next --stdin

Instants are strictly after --from. The table marks what a change of the clock or a calendar does. With --stdin
each line is a JSON object {\"expr\", \"tz\", \"from\", \"n\"} (and \"dialect\", \"dst\", \"job\"), and is answered by a line
{\"times\": […]} or {\"error\": {…}}; a bad line ends nothing.")]
pub struct Args {
    /// The job
    #[arg(required_unless_present_any = ["cron", "stdin"], conflicts_with_all = ["cron", "stdin"])]
    job: Option<String>,
    /// A cron expression instead of a job
    #[arg(long, value_name = "EXPR", conflicts_with = "stdin")]
    cron: Option<String>,
    /// Whose wall clock the expression reads
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    /// Strictly after this instant, RFC 3339 [default: now]
    #[arg(long, value_name = "INSTANT")]
    from: Option<String>,
    /// How many firings, at most
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 10)]
    count: usize,
    /// Whose syntax the expression is in
    #[arg(long, value_enum, default_value_t)]
    dialect: DialectName,
    /// What happens when the clock changes
    #[arg(long, value_enum, default_value_t)]
    dst: DstName,
    /// Place an H of the expression as for this job
    #[arg(long, value_name = "NAME")]
    for_job: Option<String>,
    /// Answer the requests on standard input, a JSON object a line
    #[arg(long)]
    stdin: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The dialects by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DialectName {
    /// The Open Cron Pattern Specification and our extensions
    #[default]
    Standard,
    /// Quartz: seconds first, 1 is Sunday, ? in one day field
    Quartz,
    /// A crontab as Debian's cron reads it
    Crontab,
}

impl DialectName {
    /// The dialect.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Standard => Dialect::Standard,
            Self::Quartz => Dialect::Quartz,
            Self::Crontab => Dialect::Crontab,
        }
    }
}

/// The policies for clock changes by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DstName {
    /// A fixed time in a gap fires after it, in a fold once; wildcards follow the clock
    #[default]
    Debian,
    /// As debian, but what a gap holds is lost
    Skip,
    /// As debian, but in a fold only the first time round
    First,
    /// As debian, but in a fold only the last time round
    Last,
    /// As debian, but in a fold both times
    Both,
}

impl DstName {
    /// The policy.
    pub fn policy(self) -> DstPolicy {
        match self {
            Self::Debian => DstPolicy::Debian,
            Self::Skip => DstPolicy::Skip,
            Self::First => DstPolicy::First,
            Self::Last => DstPolicy::Last,
            Self::Both => DstPolicy::Both,
        }
    }
}

/// Answers.
pub fn run(args: Args) -> ExitCode {
    if args.stdin {
        return stream::answer(std::io::stdin(), std::io::stdout().lock());
    }
    let zones = zones::open();
    let answered = match (&args.job, &args.cron) {
        (Some(job), _) => of_job(&args, job, &zones),
        (None, Some(expression)) => of_expression(&args, expression, &zones),
        (None, None) => unreachable!("clap demands one of them"),
    };
    match answered {
        Ok(()) => ExitCode::from(OK),
        Err(refusal) => refusal.tell(args.format),
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Refusal {
    /// The expression is wrong.
    Expression(CronError, String),
    /// Something else in the input is.
    Input(Diagnostic),
    /// The job could not be asked for.
    Job(Failure),
}

impl From<Diagnostic> for Refusal {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Input(diagnostic)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Job(failure)
    }
}

impl From<SearchLimit> for Refusal {
    fn from(SearchLimit: SearchLimit) -> Self {
        let message = "the search for the next instant gave up: too many days are left out";
        Diagnostic::error(SearchLimit::CODE, message)
            .hint("does the calendar leave any day on which the rule fires?")
            .into()
    }
}

impl Refusal {
    fn cron(error: CronError, text: &str) -> Self {
        Self::Expression(error, text.to_owned())
    }

    /// Tells it on standard error and gives the exit code.
    fn tell(self, format: Format) -> ExitCode {
        match (self, format) {
            (Self::Job(failure), _) => return finish(format, Err(failure)),
            (Self::Expression(error, text), Format::Table) => remark(pointed(&error, &text).to_string()),
            (Self::Input(diagnostic), Format::Table) => remark(diagnostic.to_string()),
            (refusal, Format::Json) => remark(refusal.to_json().to_string()),
        }
        ExitCode::from(NO)
    }

    /// `{"error": {"code", "message", "hint"?}}`, for an expression with `offset`, `width`, and `field` and `allowed`
    /// where it is about one field.
    fn to_json(&self) -> serde_json::Value {
        let (code, message, hint) = match self {
            Self::Expression(error, _) => (error.code.0, &error.message, &error.hint),
            Self::Input(diagnostic) => (diagnostic.code.0, &diagnostic.message, &diagnostic.hint),
            Self::Job(failure) => (failure.error.code.as_str(), &failure.error.message, &failure.error.hint),
        };
        let mut body = json!({"code": code, "message": message});
        if let Self::Expression(error, _) = self {
            body["offset"] = json!(error.offset);
            body["width"] = json!(error.width);
            for (key, value) in [("field", error.field), ("allowed", error.allowed)] {
                if let Some(value) = value {
                    body[key] = json!(value);
                }
            }
        }
        if let Some(hint) = hint {
            body["hint"] = json!(hint);
        }
        json!({"error": body})
    }
}

/// A fault of an expression, pointing into it.
pub(crate) fn pointed(error: &CronError, text: &str) -> Diagnostic {
    // A megabyte of anything is not shown again.
    let snippet: String = text.chars().take(200).collect();
    error.diagnostic(Some(Origin { file: "<argument>".to_owned(), line: 1, column: 1, width: 1, snippet }))
}

fn of_expression(args: &Args, expression: &str, zones: &ZoneTable) -> Result<(), Refusal> {
    let from = from(args)?;
    let count = checked_count(args.count)?;
    let zone = zones.zone(&args.tz).map_err(|error| Refusal::from(error.diagnostic()))?;
    let (dialect, dst) = (args.dialect.dialect(), args.dst.policy());
    let rule = schedule(expression, dialect, dst, &zone, from, args.for_job.as_deref())
        .map_err(|error| Refusal::cron(error, expression))?;
    let entries = rule.as_ref().map_or(Ok(Vec::new()), |schedule| preview(schedule, None, from, count))?;
    if args.format == Format::Json {
        let fires = entries.iter().filter(|entry| entry.what.fires());
        let times: Vec<String> = fires.map(|entry| entry.at.to_string()).collect();
        print(format!("{}\n", json!({ "times": times })));
        return Ok(());
    }
    let lines: Vec<Line> =
        entries.into_iter().map(|entry| Line { entry, trigger: None, zone: zone.clone() }).collect();
    print(lines::render(&lines, from, Screen::stdout()));
    for remark in remarks(rule.as_ref(), expression, dialect) {
        print(format!("note: {remark}\n"));
    }
    Ok(())
}

/// What the table says beneath itself.
fn remarks(schedule: Option<&Schedule>, expression: &str, dialect: Dialect) -> Vec<String> {
    match schedule {
        None => vec!["@reboot fires once after each start of the machine; it has no times".to_owned()],
        Some(Schedule::Cron(cron)) => {
            let never = cron.rule.never_fires().map(|why| format!("{expression:?} never fires: {why}"));
            let hash = Cron::parse(expression, dialect).is_ok_and(|cron| cron.has_hash());
            let hash =
                hash.then(|| "an H falls elsewhere for each job; --for-job NAME shows where".to_owned());
            cron.rule.notes().into_iter().map(|note| note.message).chain(never).chain(hash).collect()
        }
        Some(_) => Vec::new(),
    }
}

/// The schedule of an expression; `None` for `@reboot`, which has no times. `@every` counts from `from`.
fn schedule(
    expression: &str,
    dialect: Dialect,
    dst: DstPolicy,
    zone: &Arc<Zone>,
    from: Timestamp,
    job: Option<&str>,
) -> Result<Option<Schedule>, CronError> {
    Ok(match cron::parse(expression, dialect)? {
        Parsed::Cron(rule) => {
            let rule = match job {
                Some(job) if rule.has_hash() => rule.resolve(punctual_core::spec::seed(job)),
                _ => rule,
            };
            Some(Schedule::Cron(CronSchedule { rule: Arc::new(rule), zone: zone.clone(), dst }))
        }
        Parsed::Every(interval) => Some(Schedule::Every(Every {
            interval,
            pace: Pace::FixedRate,
            anchor: Some(from),
            initial_delay: Duration::ZERO,
        })),
        Parsed::Reboot => None,
    })
}

fn from(args: &Args) -> Result<Timestamp, Refusal> {
    args.from.as_deref().map_or_else(|| Ok(Clock::System.now()), instant)
}

fn instant(text: &str) -> Result<Timestamp, Refusal> {
    Timestamp::parse_rfc3339(text).map_err(|why| Diagnostic::error(BAD_INSTANT, why).into())
}

fn checked_count(count: usize) -> Result<usize, Refusal> {
    if count <= COUNT_MAX {
        return Ok(count);
    }
    Err(Diagnostic::error(BAD_COUNT, format!("{count} firings are more than the {COUNT_MAX} of one answer"))
        .into())
}

fn of_job(args: &Args, name: &str, zones: &ZoneTable) -> Result<(), Refusal> {
    let count = checked_count(args.count)?;
    let client = Client::open(&args.data)?;
    let job: JobDto = client.get(&path(&["v1", "jobs", name]))?;
    let now = client.now();
    let from = args.from.as_deref().map_or(Ok(now), instant)?;
    let no_rule = |why: String| Refusal::from(Diagnostic::error(NO_RULE, why));
    let spec = JobSpec::from_json(&job.definition).map_err(no_rule)?;
    let compiled = spec.compile(&|zone| zones.zone(zone)).map_err(|faults| {
        faults
            .into_iter()
            .next()
            .map_or_else(|| no_rule("the definition cannot be compiled".to_owned()), Refusal::from)
    })?;
    let mut lines = Vec::new();
    for trigger in &compiled.triggers {
        let When::Time(rule) = &trigger.when else { continue };
        let known = job.triggers.iter().find(|known| known.name == trigger.name);
        let next = known.and_then(|known| known.next_time.map(|next| next.0));
        let fired = known.map_or(0, |known| known.fired);
        lines.extend(of_rule(rule, next, fired, from, count)?.into_iter().map(|entry| Line {
            entry,
            trigger: Some(trigger.name.clone()),
            zone: lines::zone_of(rule),
        }));
    }
    lines.sort_by_key(|line| line.entry.at);
    lines::keep_first(&mut lines, count);
    match args.format {
        Format::Json => {
            let fires = lines.iter().filter(|line| line.entry.what.fires());
            let times: Vec<String> = fires.map(|line| line.entry.at.to_string()).collect();
            print(json(&json!({ "times": times })));
        }
        Format::Table => print(lines::render(&lines, from, Screen::stdout())),
    }
    Ok(())
}

/// The firings of a trigger's rule, its window and count observed. `next` places an interval's grid.
fn of_rule(
    rule: &TimeRule,
    next: Option<Timestamp>,
    fired: u64,
    from: Timestamp,
    count: usize,
) -> Result<Vec<punctual_core::preview::Entry>, SearchLimit> {
    let mut schedule = rule.schedule.clone();
    if let Schedule::Every(every) = &mut schedule {
        every.anchor = every.anchor.or(next.map(|next| next.saturating_sub(every.interval)));
        every.initial_delay = Duration::ZERO;
    }
    let left = rule
        .occurrences_max
        .map_or(count, |max| usize::try_from(max.saturating_sub(fired)).unwrap_or(usize::MAX).min(count));
    let after = rule.start.map_or(from, |start| from.max(Timestamp::from_micros(start.as_micros() - 1)));
    let mut entries = preview(&schedule, rule.calendar.as_ref(), after, left)?;
    entries.retain(|entry| rule.end.is_none_or(|end| entry.at < end));
    Ok(entries)
}
