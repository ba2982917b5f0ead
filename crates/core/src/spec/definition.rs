//! A job as a revision stores it: effective (every default filled in), canonical (one meaning, one text) and
//! self-contained. These and the outcome's are the only types of the core that serialise.
//!
//! A field added later needs `#[serde(default)]`: revisions written before it must still be read.

use super::bounds::BoundsSpec;
use super::choice;
use super::length::{format_duration, parse_duration};
use crate::calendar::CalendarMode;
use crate::job::{OnLost, Overlap};
use crate::retry::Retry;
use crate::schedule::Pace;
use crate::time::Timestamp;
use crate::trigger::{CatchUp, CatchUpPolicy, UpstreamOn};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A job's definition with every value in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobSpec {
    /// Unique in a store.
    pub name: String,
    /// What people should know of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// To select and group by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The name whose cursors and history it takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// Whose clock it follows where no trigger says otherwise; its dates, and what `TZ` tells it.
    #[serde(default = "utc", skip_serializing_if = "is_utc")]
    pub time_zone: String,
    /// Whether its triggers rest. Also set for a job whose executor this build does not have.
    pub paused: bool,
    /// What makes it due.
    pub triggers: Vec<TriggerSpec>,
    /// What is done.
    pub action: ActionSpec,
    /// How long an attempt may take; `None`: for ever.
    #[serde(default, with = "duration_option", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How long an attempt may print nothing; `None`: for ever.
    #[serde(default, with = "duration_option", skip_serializing_if = "Option::is_none")]
    pub no_progress_timeout: Option<Duration>,
    /// From TERM to KILL.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// What follows a failed attempt.
    pub retry_policy: RetrySpec,
    /// What follows a lost attempt.
    #[serde(with = "choice")]
    pub on_lost: OnLost,
    /// When an attempt that ended by an exit code has succeeded.
    #[serde(default, skip_serializing_if = "SuccessSpec::is_empty")]
    pub success_when: SuccessSpec,
    /// What is run after a good exit, and must exit with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<VerifySpec>,
    /// After so many runs in a row that ended badly the job is paused; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_after_failures: Option<u32>,
    /// Whether the attempts of a run share a directory.
    #[serde(default, skip_serializing_if = "is_false")]
    pub checkpoint: bool,
    /// What happens while an earlier run is unfinished.
    #[serde(with = "choice")]
    pub overlap: Overlap,
    /// What happens to missed occurrences.
    pub catch_up: CatchUpSpec,
    /// A run that has not started so long after its nominal time expires; `None`: never.
    #[serde(default, with = "duration_option", skip_serializing_if = "Option::is_none")]
    pub start_deadline: Option<Duration>,
    /// The lane it waits in: `realtime`, `high` or `normal`.
    pub queue: String,
    /// Smaller first.
    pub priority: i32,
    /// What must be free to start. Enforced by a later release.
    #[serde(default, skip_serializing_if = "ResourcesSpec::is_empty")]
    pub resources: ResourcesSpec,
    /// What throttles or kills.
    #[serde(default, skip_serializing_if = "LimitsSpec::is_empty")]
    pub limits: LimitsSpec,
    /// Bytes of output kept of an attempt.
    pub output_bytes_max: u64,
    /// Whether the job writes its output file itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub output_direct: bool,
    /// Output is kept of so many of its runs; `None`: of all that are young enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_keep_runs: Option<u32>,
    /// Variables whose values are replaced in the output that is kept.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub redact: BTreeSet<String>,
    /// What is done once a run ended badly, with the job's user, environment and directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<CommandSpec>,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn is_utc(zone: &str) -> bool {
    zone == "UTC"
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ActionSpec {
    /// Nothing; the run succeeds and has a history.
    None,
    /// A process.
    Run(ProcessSpec),
    /// A function of the program that embeds Punctual, by its name.
    Handler(String),
    /// For an executor this build does not have.
    Other {
        /// Its key: `http`, `container`, …
        executor: String,
        /// What stood there, as it stood.
        definition: serde_json::Value,
    },
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessSpec {
    /// What is executed.
    pub command: CommandSpec,
    /// The user, or `user:group`; `None`: whom the daemon runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
    /// Environment beyond the contract's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it starts; `None`: the user's home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// What it reads; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// What is set for it before it begins.
    #[serde(default, skip_serializing_if = "BoundsSpec::is_empty")]
    pub bounds: BoundsSpec,
}

/// The two ways to say what is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum CommandSpec {
    /// A program and its arguments; templates in them.
    Argv(Vec<String>),
    /// A script.
    Shell {
        /// The interpreter and its options; it gets the script as last argument.
        shell: Vec<String>,
        /// The script, as written.
        script: String,
    },
}

/// What makes a job due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TriggerSpec {
    /// Its given name; `None`: [`TriggerSpec::identity`] makes one of rule and zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The rule.
    pub rule: RuleSpec,
    /// Whose clock it follows, where neither its rule nor its job says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The days on which it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<CalendarUse>,
    /// No occurrence before this instant.
    #[serde(default, with = "instant_option", skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// No occurrence at or after this instant.
    #[serde(default, with = "instant_option", skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// Each occurrence is due up to so much later, by a hash.
    #[serde(default, with = "duration", skip_serializing_if = "Duration::is_zero")]
    pub jitter: Duration,
    /// No more occurrences than so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<u64>,
}

/// The rule of a trigger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum RuleSpec {
    /// By cron.
    Cron {
        /// As written, spaces made single.
        expression: String,
        /// The zone of its clock.
        time_zone: String,
        /// What happens when that clock changes.
        #[serde(with = "choice")]
        dst: super::Dst,
        /// How it is read.
        #[serde(with = "choice")]
        dialect: super::Dialect,
    },
    /// By interval.
    Every {
        /// The interval.
        #[serde(with = "duration")]
        interval: Duration,
        /// Grid or delay.
        #[serde(with = "choice")]
        pace: Pace,
        /// Before the first occurrence.
        #[serde(default, with = "duration", skip_serializing_if = "Duration::is_zero")]
        initial_delay: Duration,
        /// An instant of the grid; `None`: its first apply.
        #[serde(default, with = "instant_option", skip_serializing_if = "Option::is_none")]
        anchor: Option<Timestamp>,
    },
    /// Once.
    At(#[serde(with = "instant")] Timestamp),
    /// Once per boot of the machine.
    Boot,
    /// When a run of another job ends.
    After {
        /// That job.
        job: String,
        /// How its run must have ended.
        #[serde(with = "choice")]
        on: UpstreamOn,
    },
}

/// A policy for failed attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetrySpec {
    /// Attempts after the first; 0 for none.
    pub max_retries: u32,
    /// Before the first retry; doubles with each further one.
    #[serde(with = "duration")]
    pub backoff: Duration,
    /// No wait is longer.
    #[serde(with = "duration")]
    pub max_backoff: Duration,
    /// The failures that are tried again; `None`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_on: Option<BTreeSet<FailureSpec>>,
    /// Failures that are never tried again, whatever `retry_on` says.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub never_on: BTreeSet<FailureSpec>,
}

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum FailureSpec {
    /// The process ended with a code other than 0.
    Exit,
    /// The process ended with this code.
    Code(u8),
    /// The process ended by a signal.
    Signal,
    /// The attempt ran into its timeout.
    Timeout,
    /// The attempt made no progress for too long.
    NoProgress,
    /// The process tree needed more memory than it may have.
    Oom,
    /// The process could not be started.
    Spawn,
    /// The process ended well, and what must hold of its work does not.
    Verify,
}

/// When an attempt that ended by an exit code has succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SuccessSpec {
    /// Good exit codes, in order; empty: 0 alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exit_codes: Vec<u8>,
    /// A pattern that its output must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// A pattern that its output must not contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_not: Option<String>,
}

/// A command that looks at what an attempt did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifySpec {
    /// What is executed.
    pub command: CommandSpec,
    /// How long it may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

/// What happens to missed occurrences.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatchUpSpec {
    /// Which of them still run.
    #[serde(with = "choice")]
    pub policy: CatchUpPolicy,
    /// None older than this.
    #[serde(with = "duration")]
    pub window: Duration,
    /// With `all`: no more than so many, the newest.
    pub max_count: u32,
    /// With `all`: one each so long.
    #[serde(with = "duration")]
    pub spread: Duration,
}

/// What must be free to start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourcesSpec {
    /// Thousandths of a processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Permits of semaphores, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub permits: BTreeMap<String, u32>,
}

/// What throttles or kills.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitsSpec {
    /// Thousandths of a processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
}

/// A trigger's use of a calendar, with the calendar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CalendarUse {
    /// The calendar's name.
    pub name: String,
    /// How its days count.
    #[serde(with = "choice")]
    pub mode: CalendarMode,
    /// Whose days they are.
    pub time_zone: String,
    /// The calendar.
    pub days: CalendarSpec,
}

/// A set of days, with the days of its calendar files written out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CalendarSpec {
    /// Days of the week in it, as `mon`, from Sunday on; `None`: every day, or none where `include` names some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekdays: Option<Vec<String>>,
    /// Days put in, as `2026-12-25`, `2026-12-24..2026-12-31`, or without the year: every year. Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Days taken out, in the same form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

impl JobSpec {
    /// A job of this name that does nothing, with every built-in default: where importers and tests begin.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            labels: BTreeMap::new(),
            renamed_from: None,
            time_zone: utc(),
            paused: false,
            triggers: Vec::new(),
            action: ActionSpec::None,
            timeout: None,
            no_progress_timeout: None,
            grace: Duration::from_secs(10),
            retry_policy: RetrySpec::NONE,
            on_lost: OnLost::Retry,
            success_when: SuccessSpec::default(),
            verify: None,
            pause_after_failures: None,
            checkpoint: false,
            overlap: Overlap::Skip,
            catch_up: CatchUpSpec::default(),
            start_deadline: None,
            queue: "normal".to_owned(),
            priority: 5,
            resources: ResourcesSpec::default(),
            limits: LimitsSpec::default(),
            output_bytes_max: 8 << 20,
            output_direct: false,
            output_keep_runs: None,
            redact: BTreeSet::new(),
            on_failure: None,
        }
    }

    /// The definition as JSON: keys in one order, values in one form.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a definition has no maps with keys other than text")
    }

    /// Reads what [`JobSpec::to_json`] wrote.
    ///
    /// # Errors
    /// The value is not a definition, or one of a later release.
    pub fn from_json(value: &serde_json::Value) -> Result<Self, String> {
        Self::deserialize(value).map_err(|error| error.to_string())
    }
}

impl RetrySpec {
    /// What holds without a `retryPolicy`.
    pub const NONE: Self = Self {
        max_retries: 0,
        backoff: Retry::NONE.backoff,
        max_backoff: Retry::NONE.backoff_max,
        retry_on: None,
        never_on: BTreeSet::new(),
    };
}

impl Default for CatchUpSpec {
    fn default() -> Self {
        let CatchUp { policy, window, count_max, spread } = CatchUp::default();
        Self { policy, window, max_count: count_max, spread }
    }
}

impl SuccessSpec {
    /// Whether an exit code of 0 is all that is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl ResourcesSpec {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl LimitsSpec {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl TriggerSpec {
    /// A trigger of this rule, with nothing that narrows it.
    pub fn new(rule: RuleSpec) -> Self {
        Self {
            name: None,
            rule,
            time_zone: None,
            calendar: None,
            start: None,
            end: None,
            jitter: Duration::ZERO,
            max_runs: None,
        }
    }

    /// What the trigger is known by: its name, else the kind of its rule and a hash of rule and zone.
    pub fn identity(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let (kind, text) = match &self.rule {
            RuleSpec::Boot => return "boot".to_owned(),
            RuleSpec::Cron { expression, time_zone, dialect, .. } => (
                "cron",
                format!("{}\n{time_zone}\n{}", expression.to_uppercase(), choice::Choice::word(*dialect)),
            ),
            RuleSpec::Every { interval, pace, .. } => {
                ("every", format!("{}\n{}", format_duration(*interval), choice::Choice::word(*pace)))
            }
            RuleSpec::At(instant) => ("at", instant.to_string()),
            RuleSpec::After { job, on } => ("after", format!("{job}\n{}", choice::Choice::word(*on))),
        };
        let digest = Sha256::digest(text.as_bytes());
        format!("{kind}-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
    }
}

/// The rule in few words: `cron "0 2 * * *" in Asia/Shanghai`, `every 30s`, `after data-sync succeeds`.
impl fmt::Display for RuleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron { expression, time_zone, .. } => write!(f, "cron {expression:?} in {time_zone}"),
            Self::Every { interval, pace: Pace::FixedRate, .. } => {
                write!(f, "every {}", format_duration(*interval))
            }
            Self::Every { interval, .. } => {
                write!(f, "{} after the last run's end", format_duration(*interval))
            }
            Self::At(instant) => write!(f, "at {instant}"),
            Self::Boot => f.write_str("at boot"),
            Self::After { job, on: UpstreamOn::Success } => write!(f, "after {job} succeeds"),
            Self::After { job, on: UpstreamOn::Failure } => write!(f, "after {job} fails"),
            Self::After { job, on: UpstreamOn::Any } => write!(f, "after {job} ends"),
        }
    }
}

mod duration {
    use super::{Duration, format_duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(length: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_duration(*length))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        parse_duration(&text).map_err(|e| serde::de::Error::custom(format!("{text:?}: {}", e.reason)))
    }
}

mod duration_option {
    use super::Duration;
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(length: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        super::duration::serialize(&length.unwrap_or_default(), to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        super::duration::deserialize(from).map(Some)
    }
}

mod instant {
    use super::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(instant: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(instant)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::parse_rfc3339(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

mod instant_option {
    use super::Timestamp;
    use serde::{Deserializer, Serializer};

    pub fn serialize<S: Serializer>(instant: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        super::instant::serialize(&instant.unwrap_or_default(), to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        super::instant::deserialize(from).map(Some)
    }
}
