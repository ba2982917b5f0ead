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
    /// How long an attempt may take before its tree is told to end; `None`: for ever.
    pub timeout: Option<Duration>,
    /// How long a tree has between TERM and KILL.
    pub grace: Duration,
    /// A run that has not started this long after its nominal time expires; `None`: never.
    pub start_deadline: Option<Duration>,
    /// The lane it waits in.
    pub queue: String,
    /// Smaller first.
    pub priority: i32,
    /// Bytes of an attempt's output that are kept.
    pub output_bytes_max: u64,
    /// What is done once a run ended badly; [`Action::None`] for nothing.
    pub on_failure: Action,
}

impl Job {
    /// The trigger whose occurrence has `key`, as far as the key says: it begins with the trigger's name, or with
    /// the kind of rule that has no times.
    pub fn trigger_of(&self, key: &str) -> Option<&Trigger> {
        let (kind, _) = key.split_once(':')?;
        self.triggers.iter().find(|trigger| match trigger.when {
            When::Time(_) => key.strip_prefix(&trigger.name).is_some_and(|rest| rest.starts_with(':')),
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

/// How an attempt is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
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
