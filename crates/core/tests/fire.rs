//! A trigger taken through time in random steps, against what its schedule says by itself.

use proptest::prelude::*;
use punctual_core::calendar::{CalendarMode, CalendarParts, CalendarRule, Weekdays};
use punctual_core::cron::{Cron, Dialect};
use punctual_core::fire::{Firing, Input, ON_TIME, begin, fire};
use punctual_core::job::{Action, Job, OnLost, Overlap, Success};
use punctual_core::occurrence::{Disposition, Occurrence, Reason};
use punctual_core::retry::Retry;
use punctual_core::schedule::{CronSchedule, DstPolicy, Every, Pace, Schedule};
use punctual_core::time::Timestamp;
use punctual_core::trigger::{CatchUp, CatchUpPolicy, TimeRule, Trigger, TriggerState, When};
use punctual_core::zone::Zone;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A Thursday; the calendar of the tests leaves weekends out.
const START: Timestamp = Timestamp::from_secs(1_795_600_000);
const CALLS_MAX: usize = 10_000;

fn job(start_deadline: Option<Duration>) -> Job {
    Job {
        name: "job".to_owned(),
        triggers: Vec::new(),
        action: Action::None,
        overlap: Overlap::Allow,
        retry: Retry::NONE,
        on_lost: OnLost::Fail,
        timeout: None,
        no_progress_timeout: None,
        grace: Duration::from_secs(10),
        start_deadline,
        queue: "normal".to_owned(),
        priority: 5,
        output: punctual_core::job::Output { bytes_max: 1 << 20, direct: false, redact: Vec::new() },
        zone: punctual_core::zone::Zone::utc(),
        trigger_zones: Vec::new(),
        on_failure: Action::None,
        success: Success::default(),
        pause_after_failures: None,
        checkpoint: false,
    }
}

fn rule() -> impl Strategy<Value = TimeRule> {
    let cron = |text: &'static str| {
        let rule = Arc::new(Cron::parse(text, Dialect::Standard).expect("a rule of the test"));
        Schedule::Cron(CronSchedule { rule, zone: Zone::utc(), dst: DstPolicy::Debian })
    };
    let every = (1_u64..100_000).prop_map(|secs| {
        Schedule::Every(Every {
            interval: Duration::from_secs(secs),
            pace: Pace::FixedRate,
            anchor: Some(START),
            initial_delay: Duration::ZERO,
        })
    });
    let rules =
        ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15,45 8-18 * * mon-fri", "*/20 * * * * *"];
    let schedule = prop_oneof![2 => every, 3 => proptest::sample::select(rules.to_vec()).prop_map(cron)];
    let weekdays_only = || {
        let parts = CalendarParts::new().weekdays(Weekdays::parse("mon-fri").expect("weekdays"));
        let calendar = Arc::new(parts.build("workdays").expect("a calendar"));
        CalendarRule { calendar, mode: CalendarMode::Only, zone: Zone::utc() }
    };
    let span = |secs: std::ops::Range<i64>| {
        proptest::option::weighted(
            0.2,
            secs.prop_map(|s| START.saturating_add(Duration::from_secs(s.cast_unsigned()))),
        )
    };
    (schedule, proptest::bool::weighted(0.3), 0_u64..600, span(0..100_000), span(0..2_000_000)).prop_map(
        move |(schedule, has_calendar, jitter, start, end)| TimeRule {
            schedule,
            calendar: has_calendar.then(weekdays_only),
            start,
            end,
            jitter: Duration::from_secs(jitter),
            occurrences_max: None,
        },
    )
}

fn catch_up() -> impl Strategy<Value = CatchUp> {
    let policy =
        prop_oneof![Just(CatchUpPolicy::None), Just(CatchUpPolicy::Latest), Just(CatchUpPolicy::All)];
    (policy, 0_u64..200_000, 1_u32..20, 0_u64..5).prop_map(|(policy, window, count_max, spread)| CatchUp {
        policy,
        window: Duration::from_secs(window),
        count_max,
        spread: Duration::from_secs(spread),
    })
}

/// A wait in seconds, then a tick or a resume: mostly near the present, sometimes after a long absence.
fn step() -> impl Strategy<Value = (u64, Input)> {
    let wait = prop_oneof![4 => 0_u64..120, 2 => 0_u64..10_000, 1 => 0_u64..200_000];
    (wait, prop_oneof![6 => Just(Input::Tick), 1 => Just(Input::Resumed)])
}

/// A nominal time with what became of it.
#[derive(Clone, Debug, PartialEq)]
struct Disposed {
    nominal: Timestamp,
    occurrence: Option<Occurrence>,
    disposition: Disposition,
    reason: Option<Reason>,
    seen: Timestamp,
    input: Input,
}

/// Asks until there is nothing more to do at `now`, as the node does.
fn settle(
    job: &Job,
    trigger: &Trigger,
    state: &mut TriggerState,
    (now, input): (Timestamp, &Input),
    ticks_max: usize,
    out: &mut Vec<Disposed>,
) {
    for _ in 0..CALLS_MAX {
        let firing = fire(job, trigger, state, input, now, ticks_max)
            .expect("the search is bounded by the test's span");
        assert_eq!(fire(job, trigger, state, input, now, ticks_max).as_ref(), Ok(&firing), "asked twice");
        assert!(firing.state.cursor >= state.cursor, "the cursor went back");
        collect(&firing, now, input, out);
        *state = firing.state;
        if state.next_at.is_none_or(|next| next > now) {
            return;
        }
    }
    panic!("still not done after {CALLS_MAX} calls");
}

fn collect(firing: &Firing, seen: Timestamp, input: &Input, out: &mut Vec<Disposed>) {
    let input = || input.clone();
    for occurrence in &firing.occurrences {
        out.push(Disposed {
            nominal: occurrence.nominal,
            occurrence: Some(occurrence.clone()),
            disposition: Disposition::Run,
            reason: None,
            seen,
            input: input(),
        });
    }
    for range in &firing.skips {
        out.extend(range.times().map(|nominal| Disposed {
            nominal,
            occurrence: None,
            disposition: range.disposition,
            reason: range.reason,
            seen,
            input: input(),
        }));
    }
}

/// What the schedule says by itself, between `from` (exclusive) and `to` (inclusive).
fn timetable(rule: &TimeRule, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let mut instants = Vec::new();
    let mut at = from;
    while let Some(next) = rule.schedule.next_after(at).expect("bounded").filter(|next| *next <= to) {
        if rule.start.is_none_or(|start| next >= start) && rule.end.is_none_or(|end| next < end) {
            instants.push(next);
        }
        at = next;
    }
    instants
}

fn walk(
    job: &Job,
    trigger: &Trigger,
    steps: &[(u64, Input)],
    ticks_max: usize,
) -> (Vec<Disposed>, Timestamp) {
    let mut now = START;
    let mut state = begin(trigger, START).expect("bounded");
    state.cursor = START;
    let mut disposed = Vec::new();
    for (wait, input) in steps {
        now = now.saturating_add(Duration::from_secs(*wait));
        settle(job, trigger, &mut state, (now, input), ticks_max, &mut disposed);
    }
    disposed.sort_by_key(|d| d.nominal);
    (disposed, now)
}

fn rule_of(trigger: &Trigger) -> &TimeRule {
    match &trigger.when {
        When::Time(rule) => rule,
        _ => panic!("the tests use time rules"),
    }
}

/// What is due at the same look and newer: how many that the calendar lets be, and whether one of them runs.
#[derive(Clone, Copy, Default)]
struct Newer {
    due: usize,
    runs: bool,
}

/// The first disposition whose reason cannot be seen to hold.
fn first_unjustified<'a>(all: &'a [Disposed], trigger: &Trigger, job: &Job) -> Option<&'a Disposed> {
    let mut newer_of: BTreeMap<Timestamp, Newer> = BTreeMap::new();
    all.iter().rev().find(|d| {
        let newer = newer_of.entry(d.seen).or_default();
        let holds = d.disposition == Disposition::Run || is_justified(d, trigger, job, *newer);
        newer.due += usize::from(d.reason != Some(Reason::Calendar));
        newer.runs |= d.disposition == Disposition::Run;
        !holds
    })
}

/// Whether the reason given for a skip holds, seen without asking how it was decided.
fn is_justified(d: &Disposed, trigger: &Trigger, job: &Job, newer: Newer) -> bool {
    let late = d.seen.since(d.nominal);
    let missed = late > ON_TIME || newer.due > 0;
    let catch_up = &trigger.catch_up;
    match (d.disposition, d.reason) {
        (Disposition::Skipped, Some(Reason::Paused)) => d.input == Input::Resumed,
        (Disposition::Skipped, Some(Reason::Calendar)) => {
            rule_of(trigger).calendar.as_ref().is_some_and(|calendar| calendar.allows(d.nominal).is_err())
        }
        (Disposition::Skipped, Some(Reason::CatchUpNone)) => catch_up.policy == CatchUpPolicy::None && missed,
        (Disposition::Skipped, Some(Reason::CatchUpWindow)) => late > catch_up.window && missed,
        (Disposition::Skipped, Some(Reason::CatchUpCount)) => {
            catch_up.policy == CatchUpPolicy::All && newer.due >= catch_up.count_max as usize
        }
        (Disposition::Expired, Some(Reason::StartDeadline)) => {
            job.start_deadline.is_some_and(|max| late > max)
        }
        (Disposition::Coalesced, None) => catch_up.policy == CatchUpPolicy::Latest && newer.runs,
        _ => false,
    }
}

fn settings() -> ProptestConfig {
    // What fails becomes a named test below; a seed would mean something else after the next change here.
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings())]

    // proves I-3, I-4, I-2, I-5
    #[test]
    fn every_nominal_time_gets_exactly_one_disposition_with_a_reason_that_holds(
        rule in rule(), catch_up in catch_up(), deadline in proptest::option::weighted(0.3, 0_u64..5_000),
        steps in proptest::collection::vec(step(), 1..12), ticks_max in 2_usize..60,
    ) {
        let trigger = Trigger { name: "t".to_owned(), when: When::Time(rule.clone()), catch_up };
        let job = job(deadline.map(Duration::from_secs));
        let (disposed, now) = walk(&job, &trigger, &steps, ticks_max);

        let nominal: Vec<Timestamp> = disposed.iter().map(|d| d.nominal).collect();
        prop_assert_eq!(nominal, timetable(&rule, START, now));
        for d in &disposed {
            if let Some(occurrence) = &d.occurrence {
                prop_assert!(d.nominal <= d.seen && occurrence.due >= d.nominal, "early: {:?}", d);
                prop_assert_eq!(&occurrence.key, &format!("t:{}", d.nominal));
            }
        }
        prop_assert_eq!(first_unjustified(&disposed, &trigger, &job), None);
    }

    #[test]
    fn how_many_are_looked_at_in_one_call_changes_nothing(
        rule in rule(), catch_up in catch_up(), deadline in proptest::option::weighted(0.3, 0_u64..5_000),
        steps in proptest::collection::vec(step(), 1..8), ticks_max in 2_usize..60,
    ) {
        let trigger = Trigger { name: "t".to_owned(), when: When::Time(rule), catch_up };
        let job = job(deadline.map(Duration::from_secs));
        let fates = |ticks_max| -> Vec<_> {
            let (disposed, _) = walk(&job, &trigger, &steps, ticks_max);
            disposed.into_iter().map(|d| (d.nominal, d.disposition, d.reason)).collect()
        };
        prop_assert_eq!(fates(ticks_max), fates(usize::MAX));
    }

    // proves I-4
    #[test]
    fn a_clock_that_steps_back_fires_nothing(rule in rule(), catch_up in catch_up(), ahead in 0_u64..500_000, back in 1_u64..500_000) {
        let trigger = Trigger { name: "t".to_owned(), when: When::Time(rule), catch_up };
        let job = job(None);
        let now = START.saturating_add(Duration::from_secs(ahead));
        let mut state = begin(&trigger, START).expect("bounded");
        settle(&job, &trigger, &mut state, (now, &Input::Tick), 100, &mut Vec::new());
        let earlier = now.saturating_sub(Duration::from_secs(back));
        let firing = fire(&job, &trigger, &state, &Input::Tick, earlier, 100).expect("bounded");
        prop_assert!(firing.occurrences.is_empty() && firing.skips.is_empty());
        prop_assert_eq!(firing.state, state);
    }

    #[test]
    fn no_more_occurrences_than_the_trigger_allows(
        rule in rule(), catch_up in catch_up(), max in 0_u64..6,
        steps in proptest::collection::vec(step(), 1..8), ticks_max in 2_usize..20,
    ) {
        let rule = TimeRule { occurrences_max: Some(max), ..rule };
        let trigger = Trigger { name: "t".to_owned(), when: When::Time(rule.clone()), catch_up };
        let (disposed, now) = walk(&job(None), &trigger, &steps, ticks_max);
        let runs = disposed.iter().filter(|d| d.disposition == Disposition::Run).count() as u64;
        prop_assert!(runs <= max);
        let all = timetable(&rule, START, now);
        prop_assert!(disposed.iter().map(|d| d.nominal).eq(all.iter().take(disposed.len()).copied()));
        prop_assert!(runs == max || disposed.len() == all.len(), "ended before its last");
    }
}

/// A minutely trigger that was away for `minutes`.
fn after_an_absence(
    catch_up: CatchUp,
    deadline: Option<Duration>,
    minutes: u64,
    ticks_max: usize,
) -> Vec<Disposed> {
    let every = Every {
        interval: Duration::from_secs(60),
        pace: Pace::FixedRate,
        anchor: Some(START),
        initial_delay: Duration::ZERO,
    };
    let rule = TimeRule {
        schedule: Schedule::Every(every),
        calendar: None,
        start: None,
        end: None,
        jitter: Duration::ZERO,
        occurrences_max: None,
    };
    let trigger = Trigger { name: "t".to_owned(), when: When::Time(rule), catch_up };
    walk(&job(deadline), &trigger, &[(minutes * 60 + 30, Input::Tick)], ticks_max).0
}

#[test]
fn all_that_may_run_run_even_if_a_call_looks_at_fewer() {
    let catch_up = CatchUp { policy: CatchUpPolicy::All, count_max: 50, ..CatchUp::default() };
    let disposed = after_an_absence(catch_up, None, 100, 10);
    assert!(disposed[..50].iter().all(|d| d.reason == Some(Reason::CatchUpCount)));
    assert!(disposed[50..].iter().all(|d| d.disposition == Disposition::Run));
}

#[test]
fn nothing_is_coalesced_into_a_run_that_comes_too_late() {
    let catch_up = CatchUp { policy: CatchUpPolicy::Latest, ..CatchUp::default() };
    let disposed = after_an_absence(catch_up, Some(Duration::from_secs(10)), 20, 5);
    assert_eq!(disposed.len(), 20);
    assert!(disposed.iter().all(|d| d.reason == Some(Reason::StartDeadline)));
}

#[test]
fn a_fixed_delay_waits_for_the_end_of_its_run() {
    let every = Every {
        interval: Duration::from_secs(30),
        pace: Pace::FixedDelay,
        anchor: None,
        initial_delay: Duration::from_secs(5),
    };
    let rule = TimeRule {
        schedule: Schedule::Every(every),
        calendar: None,
        start: None,
        end: None,
        jitter: Duration::ZERO,
        occurrences_max: None,
    };
    let trigger = Trigger { name: "t".to_owned(), when: When::Time(rule), catch_up: CatchUp::default() };
    let job = job(None);
    let at = |secs: u64| START.saturating_add(Duration::from_secs(secs));
    let ask = |state: &TriggerState, input: Input, secs: u64| {
        fire(&job, &trigger, state, &input, at(secs), 10).expect("arithmetic has no search")
    };
    let state = begin(&trigger, START).expect("arithmetic has no search");
    assert_eq!(state.next_at, Some(at(5)));
    assert_eq!(ask(&state, Input::Tick, 4).occurrences, []);
    let first = ask(&state, Input::Tick, 6);
    assert_eq!(first.occurrences, [Occurrence { key: "t:1".to_owned(), nominal: at(5), due: at(5) }]);
    assert_eq!(first.state.next_at, None);
    assert_eq!(ask(&first.state, Input::Tick, 1000).occurrences, []);
    let ended = ask(&first.state, Input::RunEnded, 100);
    assert_eq!(ended.state.next_at, Some(at(130)));
    assert_eq!(ask(&ended.state, Input::Tick, 130).occurrences[0].key, "t:2");
}
