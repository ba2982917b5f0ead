//! Deliberate bugs, one armed at a time: they measure the simulator, which must catch each of them.
//!
//! Without the feature `sabotage`, which nothing that is installed has, [`sabotage!`](crate::sabotage!) is `false`
//! and what depends on it is not compiled into anything.

/// Every deliberate bug: its name, and what it does.
pub const SABOTAGES: &[(&str, &str)] = &[
    ("any-fence-settles", "the end of an attempt is taken whatever lease it carries"),
    ("boot-forgotten", "that a boot was seen is not remembered"),
    ("cancel-forgotten", "a cancelled attempt that fails is tried again"),
    ("catch-up-count-ignored", "catchUp: all runs as many as there are"),
    ("catch-up-window-ignored", "catchUp runs what is older than its window"),
    ("calendar-ignored", "a trigger fires on days that its calendar leaves out"),
    ("cursor-back", "a clock that was set back takes cursors along"),
    ("cursor-outside", "a cursor moves although its transaction was undone"),
    ("deadline-ignored", "runs start after their start deadline"),
    ("dedup-forgotten", "a submitted key is not remembered"),
    ("delay-not-rearmed", "a fixed delay does not go on after its run"),
    ("early-jitter", "jitter makes occurrences due before their time"),
    ("end-forgotten", "ends are dropped although their transaction failed"),
    ("fence-not-grown", "a second lease has the number of the first"),
    ("fold-twice", "a fixed time in a fold fires both times round"),
    ("gap-lost", "a fixed time in a gap does not fire"),
    ("held-never-released", "a run that waits for another waits for ever"),
    ("lost-fail-retried", "onLost: fail is tried again"),
    ("lost-unbounded", "onLost: retry has no bound"),
    ("lost-while-alive", "attempts are taken for lost although their processes live"),
    ("max-runs-ignored", "a trigger fires more often than maxRuns"),
    ("next-not-after", "the search for the next instant finds the cursor's own"),
    ("overlap-ignored", "every occurrence is queued, whatever is unfinished"),
    ("pause-ignored", "a paused job goes on firing"),
    ("queue-one-holds-many", "overlap: queue-one lets all wait"),
    ("resume-catches-up", "what passed while a job was paused is caught up"),
    ("retry-counted-twice", "each retry counts as two"),
    ("retry-unbounded", "one retry more than there may be"),
    ("skip-range-off-by-one", "a range of skips is one longer than it should be"),
    ("slots-ignored", "more attempts start than the node has slots"),
    ("start-before-commit", "attempts start although their transaction failed"),
    ("stop-not-sent", "an attempt that is cancelled is not told"),
    ("success-retried", "a success is tried again"),
    ("unknown-is-applied", "a commit whose answer was not seen is taken for applied"),
    ("unknown-is-lost", "a commit whose answer was not seen is taken for not applied"),
    ("upstream-verdict-ignored", "jobs that wait for a success follow a failure as well"),
];

/// Whether the bug of that name is armed in this process: never, without the feature.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub const fn is_armed(_: &str) -> bool {
    false
}

#[cfg(feature = "sabotage")]
static ARMED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(usize::MAX);

/// Whether the bug of that name is armed in this process.
#[cfg(feature = "sabotage")]
pub fn is_armed(name: &str) -> bool {
    SABOTAGES.get(ARMED.load(std::sync::atomic::Ordering::Relaxed)).is_some_and(|(armed, _)| *armed == name)
}

/// Arms the bug of that name in this process, and no other; `None` arms none. False if there is none of that name.
#[cfg(feature = "sabotage")]
pub fn arm(name: Option<&str>) -> bool {
    let place = name.map(|name| SABOTAGES.iter().position(|(known, _)| *known == name));
    ARMED.store(place.flatten().unwrap_or(usize::MAX), std::sync::atomic::Ordering::Relaxed);
    place != Some(None)
}

/// Whether the deliberate bug of that name is armed: `if sabotage!("overlap-ignored") { … }`.
#[macro_export]
macro_rules! sabotage {
    ($name:literal) => {
        $crate::sabotage::is_armed($name)
    };
}
