//! What makes a job due. Occurrences come from [`crate::fire::fire`] alone.

use crate::calendar::CalendarRule;
use crate::schedule::Schedule;
use crate::time::Timestamp;
use std::time::Duration;

/// One reason for a job to be due.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Its given name, else a hash of rule and zone: the same rule keeps its cursor through re-apply.
    pub name: String,
    /// The rule.
    pub when: When,
    /// What happens to occurrences that were missed.
    pub catch_up: CatchUp,
}

/// The kinds of rule.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// By time.
    Time(TimeRule),
    /// When a run of another job ended.
    After(Upstream),
    /// When the daemon first starts after the kernel did (`@reboot`).
    Boot,
}

/// A schedule and what narrows it.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeRule {
    /// The instants.
    pub schedule: Schedule,
    /// Days on which it fires, or not; `None`: every day.
    pub calendar: Option<CalendarRule>,
    /// No instant before this one.
    pub start: Option<Timestamp>,
    /// No instant at or after this one.
    pub end: Option<Timestamp>,
    /// Each occurrence is due up to this long after its nominal time, by a hash of job, trigger and nominal time.
    pub jitter: Duration,
    /// No more occurrences than this.
    pub occurrences_max: Option<u64>,
}

/// Fires when a run of `job` ended with one of the chosen verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The job that is waited for.
    pub job: String,
    /// On which verdicts of it.
    pub on: UpstreamOn,
}

/// The verdicts an [`Upstream`] waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamOn {
    /// It succeeded.
    #[default]
    Success,
    /// It failed, ran out of time, or was lost.
    Failure,
    /// It ended, in whatever way: also one that was cancelled, replaced or expired.
    Any,
}

/// What happens to occurrences that were missed: the daemon was down, stalled, or the trigger was created late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// Which of them still run.
    pub policy: CatchUpPolicy,
    /// None older than this.
    pub window: Duration,
    /// With `all`: no more than this many, the newest.
    pub count_max: u32,
    /// With `all`: one each so long, so that they do not arrive at once.
    pub spread: Duration,
}

/// Which missed occurrences still run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUpPolicy {
    /// None.
    None,
    /// The newest; the others are coalesced into it.
    Latest,
    /// All, within the bounds.
    All,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self {
            policy: CatchUpPolicy::Latest,
            window: Duration::from_secs(24 * 3600),
            count_max: 100,
            spread: Duration::from_secs(1),
        }
    }
}

/// What is remembered of a trigger between firings. All instants are nominal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerState {
    /// Every nominal time up to and including this one has its disposition. It never goes back.
    pub cursor: Timestamp,
    /// The next nominal time; `None` while there is none: ended, paused, or a fixed delay with an active run.
    pub next_at: Option<Timestamp>,
    /// When the trigger was first applied; intervals without an anchor of their own count from here.
    pub anchor: Timestamp,
    /// Occurrences fired so far: what `maxRuns` counts, and the key of a fixed delay.
    pub fired: u64,
}
