//! What loads but will probably fail: each remark with the figure it rests on and a value to write instead.

use super::definition::{ActionSpec, JobSpec, RuleSpec};
use super::length::format_duration;
use crate::cron::Cron;
use crate::error::{Code, Diagnostic, Severity};
use crate::schedule::{CronSchedule, Schedule};
use crate::time::Timestamp;
use crate::zone::Zone;
use std::sync::Arc;
use std::time::Duration;

const NO_RESOURCES: Code = Code("DEF110");
const NO_TIMEOUT: Code = Code("DEF111");
const TIMEOUT_OVER_INTERVAL: Code = Code("DEF112");
const INTERVAL_TIGHT: Code = Code("DEF113");
const RETRIES_OVER_INTERVAL: Code = Code("DEF114");
const MANY_RETRIES: Code = Code("DEF116");
const TIMEOUT_TIGHT: Code = Code("DEF117");
const JITTER_OVER_INTERVAL: Code = Code("DEF118");
const PAST: Code = Code("DEF119");

/// Instants of a cron rule that are looked at for its shortest interval.
const INSTANTS: usize = 60;
/// Where they begin: 2026-01-01T00:00:00Z. Any instant would do; a fixed one makes the answer the same for all.
const FROM: Timestamp = Timestamp::from_secs(1_767_225_600);

/// What was seen of a job's last 20 runs. Times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// 95 of 100 runs took no longer.
    pub run_us_p95: u64,
    /// 99 of 100 runs took no longer.
    pub run_us_p99: u64,
    /// Thousandths of a processor that 95 of 100 runs did not exceed, if known.
    pub cpu_millis_p95: Option<u64>,
    /// Bytes that 95 of 100 runs did not exceed, if known.
    pub memory_bytes_p95: Option<u64>,
}

/// What one attempt took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// From start to end, microseconds.
    pub run_us: u64,
    /// Processor time, milliseconds, if known.
    pub cpu_ms: Option<u64>,
    /// The largest memory of a process of it, bytes, if known.
    pub memory_bytes_max: Option<u64>,
}

impl Observed {
    /// Fewer attempts say nothing.
    pub const ATTEMPTS_MIN: usize = 5;

    /// What the attempts of a job's last runs say together; `None` if they are too few.
    pub fn of(attempts: &[Measured]) -> Option<Self> {
        let taken: Vec<u64> = attempts.iter().map(|attempt| attempt.run_us).collect();
        if taken.len() < Self::ATTEMPTS_MIN {
            return None;
        }
        // A thousandth of a processor is a millisecond of it a second.
        let share =
            |attempt: &Measured| Some(attempt.cpu_ms?.saturating_mul(1_000_000) / attempt.run_us.max(1));
        Some(Self {
            run_us_p95: percentile(taken.clone(), 95)?,
            run_us_p99: percentile(taken, 99)?,
            cpu_millis_p95: percentile(attempts.iter().filter_map(share).collect(), 95),
            memory_bytes_p95: percentile(attempts.iter().filter_map(|a| a.memory_bytes_max).collect(), 95),
        })
    }
}

/// The smallest value that so many of a hundred do not exceed.
fn percentile(mut values: Vec<u64>, percent: usize) -> Option<u64> {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100);
    values.get(rank.checked_sub(1)?).copied()
}

/// What to tell about a job. Remarks have no position; each is about the key that [`lint_key`] gives.
///
/// Missing `resources` is a note, for nothing enforces them yet; all else is a warning.
pub fn lint(job: &JobSpec, observed: Option<&Observed>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if job.action == ActionSpec::None {
        return found;
    }
    let interval = shortest_interval(job);
    let p95 = observed.map(|seen| Duration::from_micros(seen.run_us_p95));
    let p99 = observed.map(|seen| Duration::from_micros(seen.run_us_p99));
    found.extend(timeouts(job, interval, p95, p99));
    found.extend(retries(job, interval));
    found.extend(jitter(job, interval));
    found.extend(resources(job, observed));
    found
}

/// Triggers of a job that are past at `now`: an `at` or an `end` that has gone by.
pub fn lint_past(job: &JobSpec, now: Timestamp) -> Vec<Diagnostic> {
    let name = &job.name;
    let past = job.triggers.iter().filter_map(|trigger| match (&trigger.rule, trigger.end) {
        (RuleSpec::At(at), _) if *at <= now => {
            Some(format!("a trigger of {name:?} is at {at}, which is past"))
        }
        (_, Some(end)) if end <= now => Some(format!("a trigger of {name:?} ended at {end}")),
        _ => None,
    });
    let warn = |message| Diagnostic::warning(PAST, message).hint("remove it, or write a later instant");
    past.map(warn).collect()
}

/// The key of a job that a remark of [`lint`] is about.
pub fn lint_key(code: Code) -> &'static str {
    match code {
        NO_TIMEOUT => "name",
        TIMEOUT_OVER_INTERVAL | TIMEOUT_TIGHT => "timeout",
        RETRIES_OVER_INTERVAL | MANY_RETRIES => "retryPolicy",
        INTERVAL_TIGHT | JITTER_OVER_INTERVAL | PAST => "schedule",
        _ => "name",
    }
}

fn timeouts(
    job: &JobSpec,
    interval: Option<Duration>,
    p95: Option<Duration>,
    p99: Option<Duration>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let name = &job.name;
    let Some(timeout) = job.timeout else {
        // A value that the next remark would not object to.
        let fits =
            |value: Duration| interval.map_or(value, |interval| value.min(round_down(interval * 2 / 3)));
        let (detail, value) = match p99.filter(|p99| !p99.is_zero()) {
            Some(p99) => {
                let figure = format!("99 of 100 of its last runs took no longer than {}", text(p99));
                (figure, text(round_up(p99 * 2)))
            }
            None => {
                let value = fits(Duration::from_secs(3600));
                ("a run that hangs holds its slot for ever".to_owned(), text(value))
            }
        };
        found.push(
            Diagnostic::warning(NO_TIMEOUT, format!("{name:?} has no timeout"))
                .detail(detail)
                .hint(format!("write `timeout: {value}`, or what fits the job")),
        );
        if let Some(tight) = tight(job, interval, p95, "of its last runs") {
            found.push(tight);
        }
        return found;
    };
    match interval {
        Some(interval) if timeout >= interval => {
            let message =
                format!("the timeout of {name:?} is {}, its interval {}", text(timeout), text(interval));
            let value = round_down(interval * 2 / 3);
            let hint = match p99.filter(|p99| value < *p99 * 6 / 5) {
                Some(p99) => format!("what it takes, {}, does not fit: let it run less often", text(p99)),
                None => format!("write `timeout: {}`, or a longer interval", text(value)),
            };
            found.push(
                Diagnostic::warning(TIMEOUT_OVER_INTERVAL, message)
                    .detail("a run that hangs is still there when the next is due")
                    .hint(hint),
            );
            found.extend(tight(job, Some(interval), p95, "of its last runs"));
        }
        _ => found.extend(match p95 {
            Some(_) => tight(job, interval, p95, "of its last runs"),
            None => tight(job, interval, Some(timeout), "its timeout"),
        }),
    }
    if let Some(p99) = p99.filter(|p99| timeout < *p99 * 6 / 5) {
        let message = format!("the timeout of {name:?} is {}", text(timeout));
        found.push(
            Diagnostic::warning(TIMEOUT_TIGHT, message)
                .detail(format!(
                    "99 of 100 of its last runs took no longer than {}: that is too near",
                    text(p99)
                ))
                .hint(format!("write `timeout: {}`", text(round_up(p99 * 6 / 5)))),
        );
    }
    found
}

/// An interval below 1.5 times what a run takes: by measure, or else by its timeout.
fn tight(
    job: &JobSpec,
    interval: Option<Duration>,
    takes: Option<Duration>,
    what: &str,
) -> Option<Diagnostic> {
    let (interval, takes) = (interval?, takes?);
    if interval >= takes * 3 / 2 {
        return None;
    }
    let detail = match what {
        "its timeout" => {
            format!("its timeout is {}; 1.5 times that should fit into the interval", text(takes))
        }
        _ => format!("95 of 100 {what} took no longer than {}; 1.5 times that should fit", text(takes)),
    };
    let message = format!("the interval of {:?} is {}", job.name, text(interval));
    let warning = Diagnostic::warning(INTERVAL_TIGHT, message).detail(detail);
    Some(warning.hint(format!("let it run every {} or more", text(round_up(takes * 3 / 2)))))
}

fn retries(job: &JobSpec, interval: Option<Duration>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let policy = &job.retry_policy;
    let name = &job.name;
    if policy.max_retries > 5 {
        let message = format!("{name:?} retries {} times", policy.max_retries);
        found.push(
            Diagnostic::warning(MANY_RETRIES, message)
                .detail("what failed six times will mostly fail again, and loads what it calls meanwhile")
                .hint("write `maxRetries: 5` or less"),
        );
    }
    let waits = (0..policy.max_retries)
        .map(|n| policy.backoff.saturating_mul(1 << n.min(20)).min(policy.max_backoff));
    let span: Duration = waits.sum();
    if let Some(interval) = interval.filter(|interval| span > *interval) {
        let fit = (0..policy.max_retries)
            .rev()
            .find(|fewer| {
                (0..*fewer).map(|n| (policy.backoff * (1 << n)).min(policy.max_backoff)).sum::<Duration>()
                    <= interval
            })
            .unwrap_or(0);
        let message =
            format!("the retries of {name:?} wait {} in all, its interval is {}", text(span), text(interval));
        found.push(
            Diagnostic::warning(RETRIES_OVER_INTERVAL, message)
                .detail("they are still going on when the next occurrence is due")
                .hint(format!("write `maxRetries: {fit}`, or a shorter `backoff`")),
        );
    }
    found
}

fn jitter(job: &JobSpec, interval: Option<Duration>) -> Option<Diagnostic> {
    let interval = interval?;
    let most = job.triggers.iter().map(|trigger| trigger.jitter).max()?;
    (most > interval).then(|| {
        let message =
            format!("the jitter of {:?} is {}, its interval {}", job.name, text(most), text(interval));
        Diagnostic::warning(JITTER_OVER_INTERVAL, message)
            .detail("an occurrence can become due after the next")
            .hint(format!("write `jitter: {}` or less", text(round_down(interval / 2))))
    })
}

fn resources(job: &JobSpec, observed: Option<&Observed>) -> Option<Diagnostic> {
    if job.resources.cpu_millis.is_some() || job.resources.memory_bytes.is_some() {
        return None;
    }
    let note = Diagnostic::error(NO_RESOURCES, format!("{:?} declares no `resources`", job.name));
    let note = Diagnostic { severity: Severity::Note, ..note };
    let cpu = observed.and_then(|seen| seen.cpu_millis_p95).map(|millis| format!("cpu: {}m", millis.max(1)));
    let bytes = observed.and_then(|seen| seen.memory_bytes_p95);
    let memory = bytes.map(|bytes| format!("memory: {}Mi", bytes.div_ceil(1 << 20)));
    let values: Vec<_> = cpu.into_iter().chain(memory).collect();
    Some(match values.is_empty() {
        true => note.hint("write `resources: {cpu: …, memory: …}` when its use is known"),
        false => note
            .detail("the values are those that 95 of 100 of its last runs did not exceed")
            .hint(format!("write `resources: {{{}}}`", values.join(", "))),
    })
}

/// The shortest time from one occurrence of any of its rules in time to the next of the same rule.
fn shortest_interval(job: &JobSpec) -> Option<Duration> {
    job.triggers.iter().filter_map(|trigger| rule_interval(&trigger.rule, &job.name)).min()
}

fn rule_interval(rule: &RuleSpec, job: &str) -> Option<Duration> {
    let (expression, dialect) = match rule {
        // A fixed delay begins after the run, so a run cannot reach into it.
        RuleSpec::Every { interval, pace: crate::schedule::Pace::FixedRate, .. } => return Some(*interval),
        RuleSpec::Cron { expression, dialect, .. } => (expression, dialect),
        _ => return None,
    };
    let rule = Cron::parse(expression, *dialect).ok()?.resolve(super::compile::seed(job));
    let schedule =
        Schedule::Cron(CronSchedule { rule: Arc::new(rule), zone: Zone::utc(), dst: Default::default() });
    let mut instants = Vec::new();
    let mut last = FROM;
    for _ in 0..INSTANTS {
        match schedule.next_after(last) {
            Ok(Some(next)) => instants.push(next),
            _ => break,
        }
        last = instants[instants.len() - 1];
    }
    instants.windows(2).map(|pair| pair[1].since(pair[0])).min()
}

/// To the second above, or from a minute on to the next of few digits.
fn round_up(length: Duration) -> Duration {
    let step = step(length);
    Duration::from_secs(length.as_micros().div_ceil(u128::from(step) * 1_000_000) as u64 * step)
}

fn round_down(length: Duration) -> Duration {
    match length.as_secs() {
        // Below a second, one figure that says something.
        0 => Duration::from_millis(length.as_millis() as u64 / 100 * 100)
            .max(length.min(Duration::from_millis(100))),
        secs => Duration::from_secs(secs / step(length) * step(length)),
    }
}

fn step(length: Duration) -> u64 {
    match length.as_secs() {
        0..60 => 1,
        60..600 => 10,
        600..7200 => 60,
        _ => 600,
    }
}

fn text(length: Duration) -> String {
    // Of a measured length, what is below a millisecond says nothing.
    let length = match length >= Duration::from_secs(1) {
        true => Duration::from_millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)),
        false => length,
    };
    format_duration(length)
}

#[cfg(test)]
mod tests {
    use super::super::definition::{CommandSpec, ProcessSpec, TriggerSpec};
    use super::*;
    use crate::cron::Dialect;
    use crate::schedule::Pace;
    use proptest::prelude::*;

    fn job(rule: RuleSpec) -> JobSpec {
        let process = ProcessSpec {
            command: CommandSpec::Argv(vec!["true".to_owned()]),
            run_as: None,
            env: Default::default(),
            working_directory: None,
            stdin: None,
            bounds: Default::default(),
        };
        JobSpec {
            triggers: vec![TriggerSpec::new(rule)],
            action: ActionSpec::Run(process),
            timeout: Some(Duration::from_secs(10)),
            ..JobSpec::named("j")
        }
    }

    fn every(secs: u64) -> RuleSpec {
        RuleSpec::Every {
            interval: Duration::from_secs(secs),
            pace: Pace::FixedRate,
            initial_delay: Duration::ZERO,
            anchor: None,
        }
    }

    fn cron(expression: &str) -> RuleSpec {
        RuleSpec::Cron {
            expression: expression.to_owned(),
            time_zone: "UTC".to_owned(),
            dst: Default::default(),
            dialect: Dialect::Standard,
        }
    }

    /// Codes and hints of the warnings.
    fn warnings(job: &JobSpec, observed: Option<&Observed>) -> Vec<(&'static str, String)> {
        let found = lint(job, observed).into_iter().filter(|d| d.severity == Severity::Warning);
        found.map(|d| (d.code.0, format!("{d}"))).collect()
    }

    fn one(job: &JobSpec, observed: Option<&Observed>) -> (&'static str, String) {
        let mut found = warnings(job, observed);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn the_example_of_thirty_and_ten_seconds_is_fine() {
        assert_eq!(warnings(&job(every(30)), None), []);
        assert_eq!(warnings(&job(cron("* * * * *")), None), []);
    }

    #[test]
    fn each_remark_has_its_figure_and_a_value() {
        let (code, text) = one(&JobSpec { timeout: None, ..job(every(86_400)) }, None);
        assert!(code == "DEF111" && text.contains("timeout: 1h"), "{text}");
        let (_, text) = one(&JobSpec { timeout: None, ..job(every(30)) }, None);
        assert!(text.contains("timeout: 20s"), "{text}");
        let (code, text) = one(&job(every(10)), None);
        assert!(code == "DEF112" && text.contains("10s") && text.contains("timeout: 6s"), "{text}");
        let (code, text) = one(&job(every(12)), None);
        assert!(code == "DEF113" && text.contains("every 15s"), "{text}");
        let mut many = job(every(3600));
        many.retry_policy.max_retries = 6;
        assert_eq!(one(&many, None).0, "DEF116");
        let mut retries = job(cron("* * * * *"));
        retries.retry_policy.max_retries = 3;
        retries.retry_policy.backoff = Duration::from_secs(30);
        let (code, text) = one(&retries, None);
        assert!(code == "DEF114" && text.contains("3m30s") && text.contains("maxRetries: 1"), "{text}");
        let mut jitter = job(every(60));
        jitter.triggers[0].jitter = Duration::from_secs(90);
        assert_eq!(one(&jitter, None).0, "DEF118");
    }

    #[test]
    fn what_was_measured_beats_what_is_assumed() {
        let seen = Observed { run_us_p95: 25_000_000, run_us_p99: 28_000_000, ..Observed::default() };
        let mut slow = job(every(30));
        slow.timeout = Some(Duration::from_secs(29));
        let codes: Vec<_> = warnings(&slow, Some(&seen)).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, ["DEF113", "DEF117"]);
        let (code, text) = one(&JobSpec { timeout: None, ..job(every(3600)) }, Some(&seen));
        assert!(code == "DEF111" && text.contains("timeout: 56s"), "{text}");
        let seen =
            Observed { memory_bytes_p95: Some(3 << 20), cpu_millis_p95: Some(250), ..Observed::default() };
        let note = lint(&job(every(60)), Some(&seen)).remove(0);
        assert_eq!((note.severity, note.code.0), (Severity::Note, "DEF110"));
        assert!(note.hint.expect("values").contains("{cpu: 250m, memory: 3Mi}"));
    }

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let attempts: Vec<_> = (1..=20)
            .map(|n| Measured {
                run_us: n * 1_000_000,
                cpu_ms: Some(n * 500),
                memory_bytes_max: (n > 10).then_some(n),
            })
            .collect();
        let seen = Observed::of(&attempts).expect("20 attempts");
        let expected = Observed {
            run_us_p95: 19_000_000,
            run_us_p99: 20_000_000,
            cpu_millis_p95: Some(500),
            memory_bytes_p95: Some(20),
        };
        assert_eq!(seen, expected);
        assert_eq!(Observed::of(&attempts[..4]), None);
    }

    proptest! {
        #[test]
        fn no_figures_panic(interval in 1_u64..1_000_000_000, timeout in 0_u64..u64::MAX / 100, p in any::<u64>(), retries in 0_u32..40) {
            let mut job = job(every(interval));
            job.timeout = Some(Duration::from_micros(timeout));
            job.retry_policy.max_retries = retries;
            let seen = Observed { run_us_p95: p, run_us_p99: p, ..Observed::default() };
            let _ = lint(&job, Some(&seen));
            let _ = lint(&JobSpec { timeout: None, ..job }, Some(&seen));
        }
    }

    #[test]
    fn what_is_past_is_told() {
        let now = Timestamp::from_secs(1_000);
        let past = |rule, end: Option<i64>| {
            let mut job = job(rule);
            job.triggers[0].end = end.map(Timestamp::from_secs);
            lint_past(&job, now).len()
        };
        let every = || RuleSpec::Every {
            interval: Duration::from_secs(9),
            pace: Pace::FixedRate,
            initial_delay: Duration::ZERO,
            anchor: None,
        };
        assert_eq!(past(RuleSpec::At(now), None), 1);
        assert_eq!(past(RuleSpec::At(Timestamp::from_secs(1_001)), None), 0);
        assert_eq!([None, Some(1_001), Some(1_000)].map(|end| past(every(), end)), [0, 0, 1]);
    }
}
