//! What a seed is about: when it plays, its jobs, and the kinds of faults that may happen (a random part of them, so that
//! each seed is rough in its own way).

use crate::rng::Rng;
use crate::timetable::{CALENDARS, DSTS, Instants, Mode, RULES, Table, ZONES};
use std::fmt::Write as _;

/// Where seeds begin, seconds since 1970, and the zone that is of interest then: an ordinary day, and the eves of
/// changes of clocks and of months.
const STARTS: [(i64, usize); 9] = [
    (1_795_510_800, 0), // 2026-11-24T09:00Z
    (1_774_742_100, 1), // 2026-03-28T23:55Z: Berlin is set forward at 01:00Z
    (1_792_883_100, 1), // 2026-10-24T23:05Z: and back
    (1_793_509_200, 2), // 2026-11-01T05:00Z: New York is set back at 06:00Z
    (1_772_951_400, 2), // 2026-03-08T06:30Z: and forward
    (1_775_311_200, 3), // 2026-04-04T14:00Z: Lord Howe goes back by half an hour at 15:00Z
    (1_791_038_700, 3), // 2026-10-03T14:45Z: and forward
    (1_835_391_600, 0), // 2028-02-28T23:00Z: a leap day
    (1_776_978_000, 5), // 2026-04-23T21:00Z: Cairo loses its midnight hour at 22:00Z
];
/// Rules of fixed times in the hours at which clocks are changed, and one of a wildcard.
const AT_CHANGES: [usize; 4] = [5, 6, 7, 10];

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The daemon ends between two steps.
    Crash,
    /// The daemon ends before a commit: what it decided is gone.
    CrashBefore,
    /// The daemon ends after a commit, before it hears of it.
    CrashAfter,
    /// The daemon ends in the middle of starting what it leased.
    CrashAtStart,
    /// The machine ends, and all that runs on it.
    Machine,
    /// The supervisor ends, and its trees with it.
    Supervisor,
    /// A commit applies, and its answer is not seen.
    UnknownApplied,
    /// A commit does not apply, and its answer is not seen.
    UnknownLost,
    /// The store does not get to it in time.
    Slow,
    /// The disk is full for a while.
    Full,
    /// Reads fail for a while.
    Reads,
    /// Decisions about one item are refused.
    Poison,
    /// The clock is set forward.
    Forward,
    /// The clock is set back.
    Back,
    /// Hours pass without a daemon.
    Downtime,
    /// Hours pass while the daemon stands still.
    Stall,
    /// Cycles that nothing asked for.
    Spurious,
    /// Wake-ups that are lost.
    Missed,
    /// Reports come twice, again after their time.
    Echo,
    /// Reports come late.
    Late,
    /// Reports come in another order.
    Reorder,
}

impl Fault {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Crash,
        Self::CrashBefore,
        Self::CrashAfter,
        Self::CrashAtStart,
        Self::Machine,
        Self::Supervisor,
        Self::UnknownApplied,
        Self::UnknownLost,
        Self::Slow,
        Self::Full,
        Self::Reads,
        Self::Poison,
        Self::Forward,
        Self::Back,
        Self::Downtime,
        Self::Stall,
        Self::Spurious,
        Self::Missed,
        Self::Echo,
        Self::Late,
        Self::Reorder,
    ];
}

/// What happens to an occurrence beside an unfinished run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// `skip`.
    Skip,
    /// `queue-one`.
    QueueOne,
    /// `queue-all`.
    QueueAll,
    /// `cancel-running`.
    CancelRunning,
    /// `allow`.
    Allow,
}

/// What follows a lost attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// `retry`.
    Retry,
    /// `hold`.
    Hold,
    /// `fail`.
    Fail,
}

/// What happens to missed occurrences. Seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// How many run: none, one for the rest, or each up to this many.
    pub keep: Keep,
    /// None older.
    pub window: i64,
    /// Between two of them.
    pub spread: i64,
}

/// Which missed occurrences run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// None.
    None,
    /// The newest.
    Latest,
    /// So many.
    All(usize),
}

/// On which verdicts a job follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// `success`.
    Success,
    /// `failure`.
    Failure,
    /// `any`.
    Any,
}

/// What makes a job due.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// By time; a grid whose origin is the trigger's anchor has an origin of `i64::MIN` plus the initial delay.
    Time(Table),
    /// So long after the end of its last run; the first so long after it was applied.
    Delay {
        /// Seconds.
        wait: i64,
        /// Seconds.
        initial: i64,
    },
    /// After a run of that job.
    After {
        /// The job.
        job: &'static str,
        /// Which ends count.
        on: On,
    },
    /// Once a boot.
    Boot,
}

/// A trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Its name; a trigger of that name keeps its cursor.
    pub name: &'static str,
    /// What it waits for.
    pub when: When,
    /// Seconds.
    pub jitter: i64,
    /// `maxRuns`.
    pub runs_max: Option<u64>,
}

impl Trigger {
    /// Its timetable, if it has one; `anchor` (seconds) is where grids without one of their own begin.
    pub fn table(&self, anchor: i64) -> Option<Table> {
        let When::Time(table) = &self.when else { return None };
        let mut table = table.clone();
        if let Instants::Grid { origin, both_ways: false, .. } = &mut table.instants {
            *origin = anchor + (*origin - i64::MIN);
        }
        Some(table)
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Which definition of the seed this is, from 0.
    pub number: usize,
    /// Its name.
    pub name: &'static str,
    /// Its former name.
    pub renamed_from: Option<&'static str>,
    /// What makes it due.
    pub triggers: Vec<Trigger>,
    /// Beside an unfinished run.
    pub overlap: Overlap,
    /// After a lost attempt.
    pub on_lost: OnLost,
    /// After it was missed.
    pub catch_up: CatchUp,
    /// Retries, and seconds before the first.
    pub retries: Option<(u32, i64)>,
    /// Seconds an attempt may take.
    pub timeout: Option<i64>,
    /// Seconds from nominal time to start.
    pub deadline: Option<i64>,
    /// Whether there is a process.
    pub process: bool,
    /// `paused`.
    pub paused: bool,
    /// `priority`.
    pub priority: i64,
    /// Its timeline's zone.
    pub zone: usize,
}

/// The names there are.
pub const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const TRIGGERS: [&str; 4] = ["t0", "t1", "t2", "t3"];

/// How a seed begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seconds since 1970.
    pub start: i64,
    /// Steps before the end.
    pub steps: usize,
    /// Attempts at once.
    pub slots: usize,
    /// The faults that may happen.
    pub faults: Vec<Fault>,
    /// How often one does, percent of steps.
    pub roughness: u64,
}

impl Plan {
    /// A plan by chance.
    pub fn draw(rng: &mut Rng) -> Self {
        let share = rng.pick(&[0, 15, 30, 50]);
        Self {
            start: rng.pick(&STARTS).0 + rng.between(-600, 3600),
            steps: usize::try_from(rng.between(25, 110)).unwrap_or(25),
            slots: usize::try_from(rng.pick(&[1, 2, 3, 8])).unwrap_or(1),
            faults: Fault::ALL.iter().copied().filter(|_| rng.chance(share)).collect(),
            roughness: rng.pick(&[10, 25, 45]),
        }
    }
}

impl Job {
    /// A definition by chance, applied at about `now` (seconds).
    pub fn draw(rng: &mut Rng, number: usize, name: &'static str, now: i64) -> Self {
        let count = rng.pick(&[1, 1, 1, 2, 3]);
        let mut triggers: Vec<Trigger> = Vec::new();
        for _ in 0..count {
            let trigger = draw_trigger(rng, name, now);
            let twice = |t: &&Trigger| t.name == trigger.name || (same_kind(&t.when, &trigger.when));
            if !triggers.iter().any(|t| twice(&t)) {
                triggers.push(trigger);
            }
        }
        let policy =
            rng.pick(&[Keep::None, Keep::Latest, Keep::Latest, Keep::All(1), Keep::All(3), Keep::All(8)]);
        Self {
            number,
            name,
            renamed_from: None,
            triggers,
            overlap: rng.pick(&[
                Overlap::Skip,
                Overlap::Skip,
                Overlap::QueueOne,
                Overlap::QueueAll,
                Overlap::CancelRunning,
                Overlap::Allow,
            ]),
            on_lost: rng.pick(&[OnLost::Retry, OnLost::Retry, OnLost::Hold, OnLost::Fail]),
            catch_up: CatchUp {
                keep: policy,
                window: rng.pick(&[90, 600, 3600, 43_200, 172_800]),
                spread: rng.pick(&[1, 7, 30]),
            },
            retries: rng.pick(&[None, Some((0, 5)), Some((1, 20)), Some((3, 10)), Some((2, 90))]),
            timeout: rng.pick(&[None, Some(20), Some(90)]),
            deadline: rng.pick(&[None, None, None, Some(45), Some(600)]),
            process: !rng.chance(8),
            paused: rng.chance(5),
            priority: rng.between(-2, 2),
            zone: rng.pick(&[0, 1, 2]),
        }
    }

    /// As a definition.
    pub fn yaml(&self) -> String {
        let mut text = format!("  - name: {}\n    description: '{}'\n", self.name, self.number);
        if let Some(old) = self.renamed_from {
            _ = writeln!(text, "    renamedFrom: {old}");
        }
        _ = writeln!(text, "    timeZone: {}\n    triggers:", ZONES[self.zone]);
        for trigger in &self.triggers {
            _ = writeln!(text, "      - {{{}}}", trigger_yaml(trigger));
        }
        let overlap = match self.overlap {
            Overlap::Skip => "skip",
            Overlap::QueueOne => "queue-one",
            Overlap::QueueAll => "queue-all",
            Overlap::CancelRunning => "cancel-running",
            Overlap::Allow => "allow",
        };
        let on_lost = match self.on_lost {
            OnLost::Retry => "retry",
            OnLost::Hold => "hold",
            OnLost::Fail => "fail",
        };
        let (policy, count) = match self.catch_up.keep {
            Keep::None => ("none", 1),
            Keep::Latest => ("latest", 1),
            Keep::All(count) => ("all", count),
        };
        _ = writeln!(text, "    overlap: {overlap}\n    onLost: {on_lost}\n    priority: {}", self.priority);
        _ = writeln!(
            text,
            "    catchUp: {{policy: {policy}, window: {}s, maxCount: {count}, spread: {}s}}",
            self.catch_up.window, self.catch_up.spread
        );
        if let Some((retries, backoff)) = self.retries {
            _ = writeln!(text, "    retryPolicy: {{maxRetries: {retries}, backoff: {backoff}s}}");
        }
        if let Some(timeout) = self.timeout {
            _ = writeln!(text, "    timeout: {timeout}s");
        }
        if let Some(deadline) = self.deadline {
            _ = writeln!(text, "    startDeadline: {deadline}s");
        }
        if self.process {
            text.push_str("    run: ['true']\n");
        }
        if self.paused {
            text.push_str("    paused: true\n");
        }
        text
    }
}

/// Definitions as a file holds them.
pub fn yaml(jobs: &[Job]) -> String {
    let mut text = String::from("calendars:\n");
    for (place, (calendar, _)) in CALENDARS.iter().enumerate() {
        _ = writeln!(text, "  c{place}: {calendar}");
    }
    text.push_str("jobs:\n");
    jobs.iter().for_each(|job| text.push_str(&job.yaml()));
    text
}

/// A job has one trigger of each kind that its keys do not tell apart.
fn same_kind(a: &When, b: &When) -> bool {
    matches!((a, b), (When::After { .. }, When::After { .. }) | (When::Boot, When::Boot))
}

fn draw_trigger(rng: &mut Rng, job: &str, now: i64) -> Trigger {
    let when = match rng.below(20) {
        0..=8 => When::Time(draw_cron(rng, now)),
        9..=12 => When::Time(draw_grid(rng, now)),
        13 => When::Time(plain(Instants::At(now + rng.between(5, 7200)))),
        14..=15 => When::Delay { wait: rng.pick(&[40, 75, 600]), initial: rng.pick(&[0, 0, 50]) },
        16..=18 => {
            // Only names before its own, so that no circle comes about.
            let others: Vec<&'static str> = NAMES.iter().copied().filter(|n| *n < job).collect();
            match others.is_empty() {
                true => When::Time(draw_cron(rng, now)),
                false => {
                    When::After { job: rng.pick(&others), on: rng.pick(&[On::Success, On::Failure, On::Any]) }
                }
            }
        }
        _ => When::Boot,
    };
    let timed = matches!(&when, When::Time(table) if !matches!(table.instants, Instants::At(_)));
    let counted = timed || matches!(when, When::Delay { .. });
    Trigger {
        name: rng.pick(&TRIGGERS),
        when,
        jitter: if timed { rng.pick(&[0, 0, 0, 15, 50]) } else { 0 },
        runs_max: if counted { rng.pick(&[None, None, None, None, Some(3), Some(9)]) } else { None },
    }
}

fn plain(instants: Instants) -> Table {
    Table { instants, zone: 0, calendar: None, start: None, end: None }
}

fn draw_cron(rng: &mut Rng, now: i64) -> Table {
    let change = STARTS.iter().find(|(at, zone)| (now - at).abs() < 100_000 && *zone > 0);
    let change = change.filter(|_| rng.chance(40));
    let frequent = rng.chance(55);
    let (rule, zone) = match change {
        Some((_, zone)) => (rng.pick(&AT_CHANGES), *zone),
        None if frequent => (rng.place(5), rng.place(ZONES.len())),
        None => (rng.place(RULES.len()), rng.place(ZONES.len())),
    };
    let dst = rng.pick(&[0, 0, 0, 1, 2, 3, 4]);
    let calendar = rng.chance(20).then(|| {
        let modes = [Mode::Only, Mode::Except, Mode::NextBusinessDay];
        let mode = if zone == 0 { rng.pick(&modes) } else { rng.pick(&modes[..2]) };
        (rng.place(CALENDARS.len()), mode)
    });
    // A rule whose every instant falls on days left out is refused as one that never fires.
    let never = |c, mode| matches!(rule, 8 | 9) || (c == 2 && mode == Mode::Except);
    let calendar = calendar.filter(|(c, mode)| !never(*c, *mode));
    narrowed(rng, Table { calendar, zone, ..plain(Instants::Cron { rule, dst }) }, now)
}

fn draw_grid(rng: &mut Rng, now: i64) -> Table {
    let period = rng.pick(&[30, 47, 60, 300, 3607]);
    let both_ways = rng.chance(50);
    let origin =
        if both_ways { now + rng.between(-100_000, 4000) } else { i64::MIN + rng.pick(&[0, 0, 25, 400]) };
    let calendar = rng.chance(15).then(|| (rng.place(2), rng.pick(&[Mode::Only, Mode::Except])));
    let table = Table { calendar, zone: rng.place(3), ..plain(Instants::Grid { period, origin, both_ways }) };
    narrowed(rng, table, now)
}

fn narrowed(rng: &mut Rng, table: Table, now: i64) -> Table {
    let start = rng.chance(12).then(|| now + rng.between(-300, 2400));
    let end = rng.chance(12).then(|| now + rng.between(2500, 20_000));
    Table { start, end, ..table }
}

fn trigger_yaml(trigger: &Trigger) -> String {
    let instant = |secs: i64| format!("'{}'", jiff::Timestamp::from_second(secs).expect("of this century"));
    let mut text = format!("name: {}, ", trigger.name);
    match &trigger.when {
        When::Time(table) => {
            match &table.instants {
                Instants::Cron { rule, dst } => {
                    _ = write!(text, "cron: '{}', dst: {}", RULES[*rule].text, DSTS[*dst]);
                }
                Instants::Grid { period, origin, both_ways: true } => {
                    _ = write!(text, "every: {period}s, anchor: {}", instant(*origin));
                }
                Instants::Grid { period, origin, .. } => {
                    _ = write!(text, "every: {period}s, initialDelay: {}s", origin - i64::MIN);
                }
                Instants::At(at) => _ = write!(text, "at: {}", instant(*at)),
            }
            _ = write!(text, ", timeZone: {}", ZONES[table.zone]);
            if let Some((calendar, mode)) = table.calendar {
                let mode = match mode {
                    Mode::Only => "only",
                    Mode::Except => "except",
                    Mode::NextBusinessDay => "next-business-day",
                };
                _ = write!(text, ", calendar: {{name: c{calendar}, mode: {mode}}}");
            }
            if let Some(start) = table.start {
                _ = write!(text, ", start: {}", instant(start));
            }
            if let Some(end) = table.end {
                _ = write!(text, ", end: {}", instant(end));
            }
        }
        When::Delay { wait, initial } => {
            _ = write!(text, "every: {wait}s, pace: fixed-delay, initialDelay: {initial}s");
        }
        When::After { job, on } => {
            let on = match on {
                On::Success => "success",
                On::Failure => "failure",
                On::Any => "any",
            };
            _ = write!(text, "after: {job}, on: {on}");
        }
        When::Boot => text.push_str("cron: '@reboot'"),
    }
    if trigger.jitter > 0 {
        _ = write!(text, ", jitter: {}s", trigger.jitter);
    }
    if let Some(max) = trigger.runs_max {
        _ = write!(text, ", maxRuns: {max}");
    }
    text
}
