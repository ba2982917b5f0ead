//! [`fire`]: the only place where occurrences come from.
//!
//! It takes a trigger from its cursor to now and gives every nominal time in between exactly one disposition:
//! an occurrence, or a place in a skip range. It never looks at a clock; asked twice, it answers the same.

use crate::calendar::{CalendarMode, CalendarRule};
use crate::id::RunId;
use crate::job::Job;
use crate::occurrence::{Disposition, Occurrence, Reason, SkipRange};
use crate::run::Verdict;
use crate::sabotage;
use crate::schedule::{Pace, Schedule, SearchLimit};
use crate::time::{Timestamp, micros};
use crate::trigger::{CatchUp, CatchUpPolicy, TimeRule, Trigger, TriggerState, Upstream, UpstreamOn, When};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::time::Duration;

/// An occurrence noticed no later than this is on time, not missed, as long as no newer one is due.
///
/// It covers a restart of the daemon; what `catchUp` says begins beyond it.
pub const ON_TIME: Duration = Duration::from_secs(60);

/// What a trigger is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// The job is no longer paused; nominal times since the cursor were missed for that reason.
    Resumed,
    /// A run of the trigger's own job ended, or was skipped; a fixed delay counts from here.
    RunEnded,
    /// A run of the job that the trigger waits for ended.
    UpstreamEnded {
        /// That run.
        run: RunId,
        /// How it ended.
        verdict: Verdict,
    },
    /// The daemon started for the first time since the kernel with this boot id did.
    Boot {
        /// The kernel's boot id.
        id: String,
    },
}

/// What a trigger answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// To be admitted, in order.
    pub occurrences: Vec<Occurrence>,
    /// To be recorded.
    pub skips: Vec<SkipRange>,
    /// The trigger from now on. `next_at` at or before now means that the bound was reached: ask again.
    pub state: TriggerState,
}

/// Fires `trigger` of `job`; looks at no more than `ticks_max` nominal times (at least 2), or as many more as
/// `catchUp` may run.
///
/// # Errors
/// The rule's search for its next instant gave up at its bound.
pub fn fire(
    job: &Job,
    trigger: &Trigger,
    state: &TriggerState,
    input: &Input,
    now: Timestamp,
    ticks_max: usize,
) -> Result<Firing, SearchLimit> {
    let nothing = Firing { occurrences: Vec::new(), skips: Vec::new(), state: *state };
    match (&trigger.when, input) {
        (When::Time(rule), Input::Tick | Input::Resumed) => match delay(rule) {
            Some(_) => Ok(fire_delay(trigger, rule, state, input, now)),
            None => fire_time(job, trigger, rule, state, input, now, ticks_max.max(2)),
        },
        (When::Time(rule), Input::RunEnded) => match delay(rule) {
            Some(wait) if state.next_at.is_none() => {
                let next_at = delay_from(rule, state, now.saturating_add(wait));
                Ok(Firing { state: TriggerState { next_at, ..*state }, ..nothing })
            }
            _ => Ok(nothing),
        },
        (When::After(upstream), Input::UpstreamEnded { run, verdict }) if waits_for(upstream, *verdict) => {
            Ok(once(format!("after:{run}"), state, now))
        }
        (When::Boot, Input::Boot { id }) => Ok(once(format!("boot:{id}"), state, now)),
        _ => Ok(nothing),
    }
}

/// The state of a trigger that is applied for the first time at `now`: it fires from there on. An interval without an
/// anchor of its own is anchored at the whole second that `now` is or precedes, so that its grid is one people can read.
///
/// # Errors
/// The rule's search for its next instant gave up at its bound.
pub fn begin(trigger: &Trigger, now: Timestamp) -> Result<TriggerState, SearchLimit> {
    let anchor = Timestamp::from_secs(Timestamp::from_micros(now.as_micros() + 999_999).as_secs());
    let mut state = TriggerState { cursor: now, next_at: None, anchor, fired: 0 };
    if let When::Time(rule) = &trigger.when {
        if matches!(&rule.schedule, Schedule::Every(every) if every.anchor.is_none()) {
            // With no initial delay the first instant is the anchor, which may be this very instant.
            state.cursor = now.min(Timestamp::from_micros(anchor.as_micros() - 1));
        }
        state.next_at = match delay(rule) {
            Some(_) => delay_from(rule, &state, first_delay(rule, anchor).max(now)),
            None => next_after(rule, &state, state.cursor)?,
        };
    }
    Ok(state)
}

/// The next nominal time of a time rule strictly after `after`, its window and its count observed.
///
/// # Errors
/// The search gave up at its bound.
pub fn next_after(
    rule: &TimeRule,
    state: &TriggerState,
    after: Timestamp,
) -> Result<Option<Timestamp>, SearchLimit> {
    if used_up(rule, state.fired) {
        return Ok(None);
    }
    let after = rule.start.map_or(after, |start| after.max(Timestamp::from_micros(start.as_micros() - 1)));
    let next = match &rule.schedule {
        Schedule::Every(every) => {
            let origin = every.anchor.unwrap_or_else(|| state.anchor.saturating_add(every.initial_delay));
            let step = micros(every.interval).max(1);
            let behind = after.as_micros().saturating_sub(origin.as_micros());
            // Before a grid of its own first instant there is nothing; a given anchor reaches both ways.
            let periods = if behind < 0 && every.anchor.is_none() { 0 } else { behind.div_euclid(step) + 1 };
            let offset = periods.checked_mul(step).and_then(|o| o.checked_add(origin.as_micros()));
            offset.map(Timestamp::from_micros).filter(|t| *t < Timestamp::SEARCH_END)
        }
        schedule => match moving(rule) {
            Some(calendar) => calendar.next_after(schedule, after)?,
            None => schedule.next_after(after)?,
        },
    };
    Ok(next.filter(|t| rule.end.is_none_or(|end| *t < end)))
}

/// A calendar that moves instants to another day; what it makes of the schedule is the timetable.
fn moving(rule: &TimeRule) -> Option<&CalendarRule> {
    rule.calendar.as_ref().filter(|c| c.mode == CalendarMode::NextBusinessDay)
}

/// Whether the trigger's calendar lets an instant of its timetable be.
fn counts(rule: &TimeRule, at: Timestamp) -> bool {
    sabotage!("calendar-ignored") || rule.calendar.as_ref().is_none_or(|c| c.allows(at).is_ok())
}

/// Whether a time rule is a fixed delay: it has one instant at a time, after the end of its last run.
pub fn is_delay(rule: &TimeRule) -> bool {
    delay(rule).is_some()
}

/// The instant at which a fixed delay fires that could at `from`: its window and its count observed.
pub fn delay_from(rule: &TimeRule, state: &TriggerState, from: Timestamp) -> Option<Timestamp> {
    let next = rule.start.map_or(from, |start| from.max(start));
    (!used_up(rule, state.fired) && rule.end.is_none_or(|end| next < end)).then_some(next)
}

/// The wait of a fixed delay, or `None` for every other schedule.
fn delay(rule: &TimeRule) -> Option<Duration> {
    match &rule.schedule {
        Schedule::Every(every) if every.pace == Pace::FixedDelay => Some(every.interval),
        _ => None,
    }
}

fn first_delay(rule: &TimeRule, anchor: Timestamp) -> Timestamp {
    match &rule.schedule {
        Schedule::Every(every) => anchor.saturating_add(every.initial_delay),
        _ => anchor,
    }
}

fn used_up(rule: &TimeRule, fired: u64) -> bool {
    rule.occurrences_max.is_some_and(|max| fired >= max) && !sabotage!("max-runs-ignored")
}

fn waits_for(upstream: &Upstream, verdict: Verdict) -> bool {
    match upstream.on {
        UpstreamOn::Success => verdict == Verdict::Success || sabotage!("upstream-verdict-ignored"),
        UpstreamOn::Failure => matches!(verdict, Verdict::Failed | Verdict::Timeout | Verdict::Lost),
        UpstreamOn::Any => true,
    }
}

fn once(key: String, state: &TriggerState, now: Timestamp) -> Firing {
    let state = TriggerState { cursor: state.cursor.max(now), fired: state.fired + 1, ..*state };
    Firing { occurrences: vec![Occurrence { key, nominal: now, due: now }], skips: Vec::new(), state }
}

/// A fixed delay has one instant at a time; after it fired there is none until the run has ended.
fn fire_delay(
    trigger: &Trigger,
    rule: &TimeRule,
    state: &TriggerState,
    input: &Input,
    now: Timestamp,
) -> Firing {
    let mut firing = Firing { occurrences: Vec::new(), skips: Vec::new(), state: *state };
    match (state.next_at, input) {
        (None, Input::Resumed) => firing.state.next_at = delay_from(rule, state, now),
        (Some(nominal), Input::Tick) if nominal <= now => {
            firing.state = TriggerState {
                cursor: nominal.max(state.cursor),
                next_at: None,
                fired: state.fired + 1,
                ..*state
            };
            let key = format!("{}:{}", trigger.name, firing.state.fired);
            firing.occurrences.push(Occurrence { key, nominal, due: nominal });
        }
        _ => {}
    }
    firing
}

fn fire_time(
    job: &Job,
    trigger: &Trigger,
    rule: &TimeRule,
    state: &TriggerState,
    input: &Input,
    now: Timestamp,
    ticks_max: usize,
) -> Result<Firing, SearchLimit> {
    let keep = match trigger.catch_up.policy {
        CatchUpPolicy::None | CatchUpPolicy::Latest => 1,
        CatchUpPolicy::All => trigger.catch_up.count_max.max(1) as usize,
    };
    let mut ticks = Vec::new();
    let mut counted = VecDeque::new(); // places in `ticks` of the newest `keep` that the calendar lets be
    let from = match sabotage!("next-not-after") {
        true => Timestamp::from_micros(state.cursor.as_micros() - 1),
        false => state.cursor,
    };
    let mut next = next_after(rule, state, from)?;
    while let Some(tick) = next.filter(|t| *t <= now) {
        // The oldest is decided once it cannot be among the newest `keep`; only then may the look end early.
        if ticks.len() >= ticks_max && counted.front() != Some(&0) {
            break;
        }
        if counts(rule, tick) {
            counted.push_back(ticks.len());
            if counted.len() > keep {
                counted.pop_front();
            }
        }
        ticks.push(tick);
        next = next_after(rule, state, tick)?;
    }
    if next.is_some_and(|t| t <= now) {
        // More are due than one call may look at. Those before the newest `keep` seen cannot be among the newest
        // of all, so their fate is known; the rest is for the next call.
        let decided = counted.front().copied().unwrap_or(ticks.len());
        next = ticks.get(decided).copied().or(next);
        ticks.truncate(decided);
        return Ok(dispose(job, trigger, rule, state, input, now, &ticks, next, false));
    }
    Ok(dispose(job, trigger, rule, state, input, now, &ticks, next, true))
}

/// Gives each of `ticks` its disposition. `newest`: whether the last of them is the newest that is due.
#[expect(clippy::too_many_arguments, reason = "the one place where all of it meets")]
fn dispose(
    job: &Job,
    trigger: &Trigger,
    rule: &TimeRule,
    state: &TriggerState,
    input: &Input,
    now: Timestamp,
    ticks: &[Timestamp],
    next: Option<Timestamp>,
    newest: bool,
) -> Firing {
    let mut ahead = if newest { 0 } else { usize::MAX / 2 };
    let mut fates = vec![Fate::Run; ticks.len()];
    for index in (0..ticks.len()).rev() {
        fates[index] = if !counts(rule, ticks[index]) {
            Fate::Skip(Disposition::Skipped, Some(Reason::Calendar))
        } else if *input == Input::Resumed {
            Fate::Skip(Disposition::Skipped, Some(Reason::Paused))
        } else {
            let fate = fate(&trigger.catch_up, job.start_deadline, now.since(ticks[index]), ahead);
            ahead += 1;
            fate
        };
    }
    let mut firing = Firing { occurrences: Vec::new(), skips: Vec::new(), state: *state };
    for (tick, fate) in ticks.iter().zip(fates) {
        match fate {
            Fate::Run if used_up(rule, firing.state.fired) => {
                SkipRange::push(&mut firing.skips, *tick, Disposition::Skipped, Some(Reason::Ended));
            }
            Fate::Run => {
                let late = u32::try_from(firing.occurrences.len()).unwrap_or(u32::MAX);
                let spread = now.saturating_add(trigger.catch_up.spread.saturating_mul(late));
                let jitter = jitter(rule, &job.name, &trigger.name, *tick);
                let jittered = match sabotage!("early-jitter") {
                    true => tick.saturating_sub(jitter),
                    false => tick.saturating_add(jitter),
                };
                let due = if late == 0 { jittered } else { jittered.max(spread) };
                let key = format!("{}:{tick}", trigger.name);
                firing.occurrences.push(Occurrence { key, nominal: *tick, due });
                firing.state.fired += 1;
            }
            Fate::Skip(disposition, reason) => SkipRange::push(&mut firing.skips, *tick, disposition, reason),
        }
    }
    firing.state.cursor = ticks.last().copied().unwrap_or(state.cursor);
    if sabotage!("cursor-back") {
        firing.state.cursor = firing.state.cursor.min(now);
    }
    firing.state.next_at = next.filter(|_| !used_up(rule, firing.state.fired));
    firing
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Run,
    Skip(Disposition, Option<Reason>),
}

/// What becomes of a tick `late` behind now, with `ahead` newer ones due.
///
/// Window and deadline come first: where the newest is too late to run, so are all before it, and no one is said
/// to be coalesced into a run that there is not.
fn fate(catch_up: &CatchUp, deadline: Option<Duration>, late: Duration, ahead: usize) -> Fate {
    let on_time = ahead == 0 && late <= ON_TIME;
    let skipped = |reason| Fate::Skip(Disposition::Skipped, Some(reason));
    match catch_up.policy {
        CatchUpPolicy::None if !on_time => skipped(Reason::CatchUpNone),
        _ if !on_time && late > catch_up.window && !sabotage!("catch-up-window-ignored") => {
            skipped(Reason::CatchUpWindow)
        }
        _ if deadline.is_some_and(|d| late > d) => {
            Fate::Skip(Disposition::Expired, Some(Reason::StartDeadline))
        }
        CatchUpPolicy::Latest if ahead > 0 => Fate::Skip(Disposition::Coalesced, None),
        CatchUpPolicy::All if sabotage!("catch-up-count-ignored") => Fate::Run,
        CatchUpPolicy::All if ahead >= catch_up.count_max.max(1) as usize => skipped(Reason::CatchUpCount),
        _ => Fate::Run,
    }
}

/// How long after its nominal time an occurrence is due: less than the rule's jitter, by hash.
fn jitter(rule: &TimeRule, job: &str, trigger: &str, nominal: Timestamp) -> Duration {
    let span = micros(rule.jitter).cast_unsigned();
    if span == 0 {
        return Duration::ZERO;
    }
    let mut hash = Sha256::new();
    for part in [job.as_bytes(), trigger.as_bytes(), &nominal.as_micros().to_le_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let draw = u64::from_le_bytes(digest[..8].try_into().expect("eight bytes of a digest"));
    Duration::from_micros(draw % span)
}
