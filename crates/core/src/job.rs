//! A job as the decisions see it: compiled from one revision of its definition.

use crate::retry::Retry;
use crate::trigger::{Trigger, When};
use crate::zone::Zone;
use std::sync::Arc;
use std::time::Duration;

/// What to do, when, and under which rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Unique in a store; what users see and type.
    pub name: String,
    /// Whose clock it follows: its dates, and what `TZ` tells it.
    pub zone: Arc<Zone>,
    /// The zones of triggers, by name, that have one of their own.
    pub trigger_zones: Vec<(String, Arc<Zone>)>,
    /// What makes it due. Two triggers that fall due together make two occurrences.
    pub triggers: Vec<Trigger>,
    /// How an attempt is carried out.
    pub action: Action,
    /// What happens to an occurrence while an earlier run is unfinished.
    pub overlap: Overlap,
    /// What follows a failed attempt.
    pub retry: Retry,
    /// What follows an attempt that was lost with its node.
    pub on_lost: OnLost,
    /// When an attempt that ended by an exit code has succeeded.
    pub success: Success,
    /// After so many runs in a row that ended badly the job is paused; `None`: never.
    pub pause_after_failures: Option<u32>,
    /// Whether the attempts of a run share a directory that outlives each of them.
    pub checkpoint: bool,
    /// How long an attempt may take before its tree is told to end; `None`: for ever.
    pub timeout: Option<Duration>,
    /// How long an attempt may print nothing before its tree is told to end; `None`: for ever.
    pub no_progress_timeout: Option<Duration>,
    /// How long a tree has between TERM and KILL.
    pub grace: Duration,
    /// A run that has not started this long after its nominal time expires; `None`: never.
    pub start_deadline: Option<Duration>,
    /// The lane it waits in.
    pub queue: String,
    /// Smaller first.
    pub priority: i32,
    /// How the output of an attempt is kept.
    pub output: Output,
    /// What is done once a run ended badly; [`Action::None`] for nothing.
    pub on_failure: Action,
}

impl Job {
    /// The trigger whose occurrence has `key`, as far as the key says: it begins with the trigger's name, or with
    /// the kind of rule that has no times. In a back-fill's, `backfill:ID:` stands before it.
    pub fn trigger_of(&self, key: &str) -> Option<&Trigger> {
        let (kind, rest) = key.split_once(':')?;
        let filled = if kind == "backfill" { rest.split_once(':').map(|(_, key)| key) } else { None };
        let names = |key: &str, name: &str| key.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
        self.triggers.iter().find(|trigger| match trigger.when {
            When::Time(_) => {
                names(key, &trigger.name) || filled.is_some_and(|filled| names(filled, &trigger.name))
            }
            When::After(_) => kind == "after",
            When::Boot => kind == "boot",
        })
    }

    /// The zone whose clock an occurrence follows: its trigger's, else the job's.
    pub fn zone_of(&self, key: &str) -> &Zone {
        let name = self.trigger_of(key).map(|trigger| &trigger.name);
        let own = |(trigger, _): &&(String, Arc<Zone>)| Some(trigger) == name;
        self.trigger_zones.iter().find(own).map_or(&self.zone, |(_, zone)| zone)
    }
}

/// How the output of an attempt is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Bytes that are kept of it; without meaning where the job writes its file itself.
    pub bytes_max: u64,
    /// Whether the job writes to the file itself, past any cap and redaction.
    pub direct: bool,
    /// Variables of its environment whose values are replaced in what is kept.
    pub redact: Vec<String>,
}

/// How an attempt is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every job runs a process, and a job is made once and shared"
)]
pub enum Action {
    /// Nothing is done; the run succeeds and has a history.
    None,
    /// A process of this machine.
    Run(Process),
    /// A function of the program that embeds Punctual, by the name it was registered under.
    Handler(String),
    /// An executor this build does not have, by its key in the definition (`container`, `http`, …).
    Unsupported(String),
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// What is executed.
    pub command: Command,
    /// The user it runs as, optionally `user:group`; `None`: whom the daemon runs as.
    pub run_as: Option<String>,
    /// Environment beyond the contract's, in order; a later entry replaces an earlier one.
    pub env: Vec<(String, String)>,
    /// Where it starts; `None`: the user's home.
    pub working_directory: Option<String>,
    /// What it reads; `None`: nothing, the end at once.
    pub stdin: Option<String>,
    /// What is set for it before it begins.
    pub bounds: Bounds,
    /// What throttles or kills its tree.
    pub limits: Limits,
}

/// What is set for a process before it begins, and inherited by those that it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// What each process may have.
    pub rlimits: Rlimits,
    /// The permissions that are taken from files it makes; `None`: the daemon's.
    pub umask: Option<u32>,
    /// What is added to its niceness, -20 to 19.
    pub nice: Option<i32>,
    /// Whether programs that it starts can give it no more rights than it has.
    pub no_new_privileges: bool,
}

/// What each process may have; `None`: what the daemon was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rlimits {
    /// Descriptors at once.
    pub open_files: Option<u64>,
    /// Bytes of a core file.
    pub core_bytes: Option<u64>,
    /// Bytes of a file that it writes.
    pub file_bytes: Option<u64>,
    /// Bytes of its stack.
    pub stack_bytes: Option<u64>,
    /// Seconds of processor time.
    pub cpu_seconds: Option<u64>,
}

/// What throttles or kills a process tree as a whole; `None`: no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Thousandths of a processor.
    pub cpu_millis: Option<u64>,
    /// Bytes of memory, swap included.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// When an attempt has succeeded: its exit code is good, its output is as it should be, and its check agrees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Success {
    /// Good exit codes; empty: 0 alone.
    pub exit_codes: Vec<u8>,
    /// What its output must contain; a pattern of [`crate::pattern`].
    pub output: Option<String>,
    /// What its output must not contain.
    pub output_not: Option<String>,
    /// What is run after a good exit and must exit with 0.
    pub verify: Option<Verify>,
}

impl Success {
    /// Whether more than the exit code is looked at.
    pub fn is_looked_at(&self) -> bool {
        self.output.is_some() || self.output_not.is_some() || self.verify.is_some()
    }

    /// Whether an exit code is a good one.
    pub fn is_good(&self, code: i32) -> bool {
        is_good_exit(&self.exit_codes, code)
    }
}

/// Whether an exit code is one of `good`, or 0 where none are named.
pub fn is_good_exit(good: &[u8], code: i32) -> bool {
    match good.is_empty() {
        true => code == 0,
        false => good.iter().any(|good| i32::from(*good) == code),
    }
}

/// A command that looks at what an attempt did, as the attempt's user and in its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// What is executed.
    pub command: Command,
    /// How long it may take.
    pub timeout: Duration,
}

/// The two ways to say what is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A program and its arguments, no shell between. Templates `{{ … }}` are allowed in arguments.
    Argv(Vec<String>),
    /// A script given to `shell` (by default `/bin/sh -c`) as its last argument.
    Shell {
        /// The interpreter and its options.
        shell: Vec<String>,
        /// The script, as written.
        script: String,
    },
}

/// What happens to an occurrence of a job that still has an unfinished run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// One waits; a further one replaces nothing and is skipped.
    QueueOne,
    /// All wait, in order.
    QueueAll,
    /// The running one is cancelled, then it starts.
    CancelRunning,
    /// Both run.
    Allow,
}

/// What follows an attempt that was lost with its node. `Hold` and `Fail` are at-most-once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// It is tried again, at most three times, not counted as retries.
    #[default]
    Retry,
    /// It waits for a person.
    Hold,
    /// The run ends as lost.
    Fail,
}
