//! Random histories of one node: time passes, attempts end or are lost, jobs are edited, paused, removed. Whatever
//! happens, the record must account for every nominal time exactly once, and no promise may be broken on the way.

mod support;

use proptest::prelude::*;
use punctual_core::id::{Fence, RunId};
use punctual_core::occurrence::{Disposition, Reason};
use punctual_core::run::{Hold, Run, RunState};
use punctual_core::time::Timestamp;
use punctual_engine::block_on::block_on;
use punctual_engine::clock::Clock;
use punctual_engine::view::Tick;
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::{START, World};

/// A trigger of the job `a`: what is written, and the seconds it names. A trigger is named by its place here.
struct Rule {
    text: &'static str,
    names: fn(i64) -> bool,
    /// After so many firings it has no more instants.
    max: Option<usize>,
}

const fn rule(text: &'static str, names: fn(i64) -> bool) -> Rule {
    Rule { text, names, max: None }
}

const RULES: [Rule; 8] = [
    rule("cron: '* * * * *'", |s| s % 60 == 0),
    rule("cron: '*/7 * * * *'", |s| s % 60 == 0 && (s / 60 % 60) % 7 == 0),
    rule("cron: '30 * * * * *'", |s| s % 60 == 30),
    rule("every: 50s, anchor: '2026-11-24T00:00:10Z'", |s| (s - 10) % 50 == 0),
    rule("cron: '*/2 * * * *', jitter: 45s", |s| s % 120 == 0),
    rule("cron: '*/3 * * * *', start: '2026-11-24T09:10:00Z', end: '2026-11-24T10:30:00Z'", |s| {
        s % 180 == 0 && s >= START.as_secs() + 600 && s < START.as_secs() + 5400
    }),
    // The day of the start is a Tuesday; what the calendar leaves out is accounted for too.
    rule("cron: '*/4 * * * *', calendar: tuesdays", |s| s % 240 == 0),
    Rule { max: Some(4), ..rule("cron: '*/5 * * * *', maxRuns: 4", |s| s % 300 == 0) },
];
const CALENDAR: usize = 6;
const OVERLAPS: [&str; 5] = ["skip", "queue-one", "queue-all", "cancel-running", "allow"];
const CATCH_UPS: [&str; 3] =
    ["none", "{policy: latest, window: 10m}", "{policy: all, window: 20m, maxCount: 3}"];
const ON_LOST: [&str; 3] = ["retry", "hold", "fail"];
/// How long after its run the fixed delay fires again.
const DELAY_SECS: i64 = 40;

#[derive(Clone, Debug)]
struct Definition {
    rules: BTreeSet<usize>,
    overlap: usize,
    catch_up: usize,
    on_lost: usize,
    retries: u32,
    /// After so many bad runs it is paused; 0: never.
    pause_after: u32,
    /// The job's name is one of two.
    other_name: bool,
}

impl Definition {
    fn name(&self) -> &'static str {
        if self.other_name { "b" } else { "a" }
    }

    /// The job itself, one with a fixed delay, and one that runs after the first, however it ends.
    fn yaml(&self) -> String {
        let triggers = self.rules.iter().map(|r| format!("{{name: t{r}, {}}}", RULES[*r].text));
        let triggers = triggers.collect::<Vec<_>>().join(", ");
        let (name, old) = (self.name(), if self.other_name { "a" } else { "b" });
        let (overlap, on_lost) = (OVERLAPS[self.overlap], ON_LOST[self.on_lost]);
        let first = format!(
            "{{name: {name}, renamedFrom: {old}, triggers: [{triggers}], run: ['true'], overlap: {overlap}, \
             catchUp: {}, onLost: {on_lost}, retryPolicy: {{maxRetries: {}, backoff: 20s}}{}}}",
            CATCH_UPS[self.catch_up],
            self.retries,
            match self.pause_after {
                0 => String::new(),
                count => format!(", pauseAfterFailures: {count}"),
            },
        );
        let delayed = format!(
            "{{name: delayed, triggers: [{{name: t, every: {DELAY_SECS}s, pace: fixed-delay}}], run: ['true'], \
             overlap: {overlap}, timeout: {}m}}",
            1000 + self.retries
        );
        let after = format!(
            "{{name: after, triggers: [{{name: t, after: {name}, on: any}}], run: ['true'], overlap: allow}}"
        );
        format!("calendars: {{tuesdays: {{weekdays: tue}}}}\njobs: [{first}, {delayed}, {after}]")
    }
}

#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    /// The clock is set back.
    Back(u64),
    /// It is set far ahead and right again, and then somebody sets the cursors back.
    Excursion {
        ahead: u64,
        lived: u64,
    },
    End {
        which: usize,
        code: i32,
    },
    Crash,
    /// The daemon dies, its jobs live on, and some of them end before the next one attaches; it may have died between
    /// the commit of leases and their start.
    Replace {
        ends: Vec<(usize, i32)>,
        unstarted: bool,
    },
    Pause,
    Resume {
        catch_up: bool,
    },
    Edit(Definition),
    Remove,
    Submit(u8),
    Cancel(usize),
    /// A person lets a run go on that was lost and is held.
    LetGo,
}

fn definition() -> impl Strategy<Value = Definition> {
    let rules = proptest::collection::btree_set(0..RULES.len(), 1..4);
    (
        rules,
        0..OVERLAPS.len(),
        0..CATCH_UPS.len(),
        0..ON_LOST.len(),
        0_u32..3,
        0_u32..4,
        proptest::bool::weighted(0.3),
    )
        .prop_map(|(rules, overlap, catch_up, on_lost, retries, pause_after, other_name)| Definition {
            rules,
            overlap,
            catch_up,
            on_lost,
            retries,
            pause_after,
            other_name,
        })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1_u64..100).prop_map(Op::Pass),
        1 => (100_u64..4000).prop_map(Op::Pass),
        1 => (1_u64..900).prop_map(Op::Back),
        1 => (301_u64..4000, 0_u64..200).prop_map(|(ahead, lived)| Op::Excursion { ahead, lived }),
        5 => (0..4_usize, 0..2_i32).prop_map(|(which, code)| Op::End { which, code }),
        1 => Just(Op::Crash),
        2 => (proptest::collection::vec((0..3_usize, 0..2_i32), 0..3), any::<bool>())
            .prop_map(|(ends, unstarted)| Op::Replace { ends, unstarted }),
        1 => Just(Op::Pause),
        1 => any::<bool>().prop_map(|catch_up| Op::Resume { catch_up }),
        1 => definition().prop_map(Op::Edit),
        1 => Just(Op::Remove),
        1 => (0..3_u8).prop_map(Op::Submit),
        1 => (0..4_usize).prop_map(Op::Cancel),
        1 => Just(Op::LetGo),
    ]
}

/// From where to where a trigger's nominal times must be accounted for; each piece without its start.
#[derive(Default)]
struct Coverage {
    pieces: Vec<(Timestamp, Timestamp)>,
    open: bool,
}

/// The world and what must be true of it.
struct Model {
    world: World,
    coverage: BTreeMap<usize, Coverage>,
    /// Of the job in force; `None` while it is removed.
    definition: Option<Definition>,
    paused: bool,
    /// Whether the jobs were removed at any time.
    removed: bool,
    /// Whether some time came twice.
    twice: bool,
    /// Unfinished at the last edit.
    old: BTreeSet<RunId>,
    /// Under way, as the node's hands saw it.
    running: BTreeMap<RunId, Run>,
    leases: BTreeSet<(RunId, Fence)>,
    fences: BTreeMap<RunId, Fence>,
    keys: BTreeMap<u8, (RunId, Timestamp)>,
    /// Lost, held, and let go by a person: they may start again after each loss.
    let_go: BTreeSet<RunId>,
    /// How attempts ended: run, number, exit code.
    ends: Vec<(RunId, usize, i32)>,
}

impl Model {
    fn new(first: Definition) -> Self {
        let mut model = Self {
            world: World::new(),
            coverage: BTreeMap::new(),
            definition: None,
            paused: false,
            removed: false,
            twice: false,
            old: BTreeSet::new(),
            running: BTreeMap::new(),
            leases: BTreeSet::new(),
            fences: BTreeMap::new(),
            keys: BTreeMap::new(),
            let_go: BTreeSet::new(),
            ends: Vec::new(),
        };
        model.edit(first);
        model
    }

    /// All that falls due until now is accounted for.
    fn cover(&mut self) {
        let now = self.world.now();
        for piece in self.coverage.values_mut().filter(|c| c.open).filter_map(|c| c.pieces.last_mut()) {
            piece.1 = piece.1.max(now);
        }
    }

    fn edit(&mut self, definition: Definition) {
        self.world.apply(&definition.yaml());
        self.cover();
        self.define(Some(definition));
    }

    fn define(&mut self, definition: Option<Definition>) {
        let now = self.world.now();
        let rules = definition.as_ref().map(|d| d.rules.clone()).unwrap_or_default();
        for rule in rules.iter() {
            self.coverage.entry(*rule).or_default();
        }
        for (rule, coverage) in &mut self.coverage {
            let wanted = rules.contains(rule);
            if wanted && !coverage.open {
                let from = coverage.pieces.last().map_or(now, |(_, until)| now.max(*until));
                coverage.pieces.push((from, from));
            }
            coverage.open = wanted;
        }
        self.definition = definition;
        self.old = self.world.runs().iter().filter(|r| !r.is_finished()).map(|r| r.id).collect();
    }

    fn name(&self) -> &'static str {
        self.definition.as_ref().map_or("a", Definition::name)
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Pass(secs) => self.world.clock.advance(Duration::from_secs(secs)),
            Op::End { which, code } => {
                if let Some(run) = self.end(which, code) {
                    self.world.end_run(&run, code);
                }
            }
            Op::Crash => {
                self.world.crash();
                self.running.clear();
            }
            Op::Back(secs) => self.back(secs),
            Op::Replace { ends, unstarted } => {
                if unstarted {
                    self.world.commit_unseen();
                }
                for (which, code) in ends {
                    if let Some(run) = self.end(which, code) {
                        self.world.end_unseen(&run, code);
                    }
                }
                self.world.replace();
            }
            Op::Excursion { ahead, lived } => self.excursion(ahead, lived),
            Op::Pause => {
                if block_on(self.world.engine.pause(self.name(), "the test")).is_ok() {
                    self.cover();
                    self.paused = true;
                }
                let _ = block_on(self.world.engine.pause("delayed", "the test"));
            }
            Op::Resume { catch_up } => {
                if block_on(self.world.engine.resume(self.name(), catch_up)).is_ok() {
                    self.cover();
                    self.paused = false;
                }
                let _ = block_on(self.world.engine.resume("delayed", catch_up));
            }
            Op::Edit(definition) => self.edit(definition),
            Op::Remove => {
                self.world.apply("job: {name: other, schedule: '0 0 1 1 *', run: ['true']}");
                self.cover();
                self.define(None);
                self.paused = false;
                self.removed = true;
            }
            Op::Submit(key) => self.submit(key),
            Op::Cancel(which) => {
                if let Some(run) = self.world.runs().get(which) {
                    let _ = block_on(self.world.engine.cancel(run.id));
                }
            }
            Op::LetGo => {
                let runs = self.world.runs();
                if let Some(run) = runs.iter().find(|run| run.state == RunState::Held(Hold::Lost)) {
                    block_on(self.world.engine.retry(run.id)).expect("it waits for a person");
                    self.let_go.insert(run.id);
                }
            }
        }
        self.world.cycle();
        self.take_starts();
        self.see_pause();
        if !self.paused {
            self.cover();
        }
        self.check_standing();
    }

    fn back(&mut self, secs: u64) {
        let Clock::Manual(micros) = &self.world.clock else { unreachable!("the world's clock") };
        let secs = i64::try_from(secs).expect("few");
        micros.fetch_sub(secs * 1_000_000, std::sync::atomic::Ordering::SeqCst);
    }

    /// The clock is far ahead for a time, what is due then happens, and after it was set right the cursors are set back.
    fn excursion(&mut self, ahead: u64, lived: u64) {
        // From the newest instant that was seen: before it, the cursors would go back to a time gone by.
        let latest = self.coverage.values().flat_map(|c| &c.pieces).map(|piece| piece.1).max();
        let wait = latest.map_or(Duration::ZERO, |latest| latest.since(self.world.now()));
        for pass in [wait, Duration::from_secs(ahead), Duration::from_secs(lived)] {
            self.world.advance(pass);
            self.take_starts();
        }
        if !self.paused {
            self.cover();
        }
        let end = self.world.now();
        self.twice = true;
        self.back(ahead);
        block_on(self.world.engine.set_back("the test")).expect("sets back");
        // The same span comes again.
        while self.world.now() < end {
            self.world.advance(Duration::from_secs(100));
            self.take_starts();
        }
    }

    /// Picks an attempt under way that is to end with `code`.
    fn end(&mut self, which: usize, code: i32) -> Option<Run> {
        let id = *self.running.keys().nth(which)?;
        let run = self.running.remove(&id)?;
        self.ends.push((id, run.attempts.len(), code));
        Some(run)
    }

    /// Its failures may have paused the job; all that fell due until then is accounted for.
    fn see_pause(&mut self) {
        let (jobs, _) = block_on(self.world.store.jobs()).expect("reads");
        let paused = jobs.iter().any(|job| job.name == self.name() && !job.retired && job.paused.is_some());
        if paused && !self.paused {
            assert!(self.definition.as_ref().is_some_and(|d| d.pause_after > 0), "nobody paused it");
            self.cover();
            self.paused = true;
        }
    }

    /// What must be true whenever a cycle has ended.
    fn check_standing(&self) {
        let now = self.world.now();
        let (jobs, triggers) = block_on(self.world.store.jobs()).expect("reads");
        let unfinished: Vec<Run> = self.world.runs().into_iter().filter(|r| !r.is_finished()).collect();
        for job in &jobs {
            let own = || unfinished.iter().filter(|r| r.job == job.id);
            let active = own().any(|r| matches!(r.state, RunState::Queued { .. } | RunState::Leased(_)));
            let held = own().any(|r| r.state == RunState::Held(Hold::Overlap));
            assert!(active || !held, "L-4: a run of {} waits for nothing", job.name);
            for trigger in triggers.iter().filter(|t| t.job == job.id) {
                let next = trigger.state.next_at;
                if !trigger.live || job.paused.is_some() || job.retired {
                    assert_eq!(next, None, "{} {} cannot fire", job.name, trigger.name);
                    continue;
                }
                assert!(next.is_none_or(|next| next > now), "{} {} is overdue", job.name, trigger.name);
                let waits = own().filter(|r| r.trigger == Some(trigger.id)).count();
                let endless = |n: &str| n.parse().is_ok_and(|n: usize| ![5, 7].contains(&n));
                match (job.name.as_str(), trigger.name.strip_prefix('t')) {
                    ("delayed", _) => {
                        assert_eq!(
                            next.is_none(),
                            waits == 1,
                            "a delay waits for its one run, or for its instant"
                        );
                        assert!(waits <= 1, "a fixed delay has one run at a time");
                    }
                    ("a" | "b", Some(number)) if endless(number) => {
                        assert!(next.is_some(), "L-7: {} {} has stopped", job.name, trigger.name);
                    }
                    _ => {}
                }
            }
        }
    }

    fn submit(&mut self, key: u8) {
        let Ok(submitted) =
            block_on(self.world.engine.submit(self.name(), Some(format!("k{key}")), Map::new()))
        else {
            assert!(self.definition.is_none(), "only a removed job takes no runs");
            return;
        };
        let now = self.world.now();
        if let Some((known, at)) = self.keys.get(&key)
            && now.since(*at) < Duration::from_secs(24 * 3600)
        {
            assert_eq!(submitted.run, *known, "a key within its day finds its run");
            return;
        }
        self.keys.insert(key, (submitted.run, now));
    }

    /// Takes what the node started. proves I-2, I-6, I-8, I-9 and I-15 for this history.
    fn take_starts(&mut self) {
        for run in std::mem::take(&mut self.world.hands.started) {
            let now = self.world.now();
            assert!(run.due <= now || !run.attempts.is_empty(), "I-2: {run:?} starts before it is due");
            assert_eq!(self.world.run(run.id).state, run.state, "I-8: its lease is durable");
            assert!(self.leases.insert((run.id, run.fence)), "I-6: one start for a lease");
            let last = self.fences.insert(run.id, run.fence);
            assert!(last.is_none_or(|last| last < run.fence), "I-6: fences grow");
            assert!(
                self.running.insert(run.id, run.clone()).is_none(),
                "I-9: one attempt of a run at a time"
            );
        }
        let Some(definition) = &self.definition else { return };
        // Runs of an older definition may still be under way; what is promised is promised of those that arrive.
        let serial = OVERLAPS[definition.overlap] != "allow";
        let (jobs, _) = block_on(self.world.store.jobs()).expect("reads");
        let job = jobs.iter().find(|j| j.name == definition.name()).expect("it is defined").id;
        let current = self.running.values().filter(|r| r.job == job && !self.old.contains(&r.id));
        assert!(!serial || current.count() <= 1, "I-15: {:?}", self.running);
    }

    fn finish(&mut self) {
        if block_on(self.world.engine.resume(self.name(), false)).is_ok() {
            self.cover();
            self.paused = false;
        }
        for _ in 0..200 {
            if let Some(run) = self.end(0, 0) {
                self.world.end_run(&run, 0);
            } else {
                self.world.cycle();
                self.take_starts();
                if self.running.is_empty() {
                    let waiting = |r: &&Run| matches!(r.state, RunState::Queued { .. });
                    let Some(due) = self.world.runs().iter().filter(waiting).map(due_of).min() else { break };
                    let now = self.world.now();
                    self.world.clock.advance(due.since(now).min(Duration::from_secs(20)));
                }
            }
            self.take_starts();
            self.cover();
        }
        while let Some(run) = self.end(0, 0) {
            self.world.end_run(&run, 0);
            self.take_starts();
        }
        self.cover();
    }

    /// The seconds that a trigger must account for.
    fn expected(&self, rule: usize) -> Vec<i64> {
        let pieces = self.coverage[&rule].pieces.iter();
        let seconds = pieces.flat_map(|(from, until)| from.as_secs() + 1..=until.as_secs());
        seconds.filter(|s| (RULES[rule].names)(*s)).collect()
    }
}

fn due_of(run: &Run) -> Timestamp {
    match run.state {
        RunState::Queued { due } => due,
        _ => run.due,
    }
}

/// proves I-1, I-3, I-10, I-11, I-12 and I-13 for one history.
fn check(model: &Model) {
    let supervisor = &model.world.hands.supervisor;
    assert!(supervisor.running.is_empty() && supervisor.ended.is_empty(), "I-12: each end is acknowledged");
    for (run, place, code) in &model.ends {
        let recorded = model.world.run(*run).attempts.get(*place).and_then(|attempt| attempt.exit.code);
        assert_eq!(recorded, Some(*code), "I-12: attempt {place} of {run} ended so, whoever saw it");
    }
    let day = |n: i64| Timestamp::from_secs(START.as_secs() + n * 86_400);
    let (jobs, _) = block_on(model.world.store.jobs()).expect("reads");
    let name = jobs.iter().map(|j| j.name.as_str()).find(|n| ["a", "b"].contains(n)).expect("one of them");
    let ticks = block_on(model.world.engine.ticks(name, day(-30), day(60))).expect("lists");
    for rule in model.coverage.keys() {
        let own = ticks.iter().filter(|t| t.trigger == format!("t{rule}"));
        let own: Vec<_> = own.filter(|t| t.disposition != Disposition::Pending).collect();
        let seen: Vec<i64> = own.iter().map(|t| t.nominal.as_secs()).collect();
        let expected = model.expected(*rule);
        let fired = |t: &&&Tick| {
            t.disposition != Disposition::Coalesced && t.reason.is_none_or(|r| r == Reason::Overlap)
        };
        let fired = own.iter().filter(fired).count();
        match RULES[*rule].max {
            Some(max) if fired >= max || model.twice => {
                // Of two reasons for a time that came twice either is shown, and not both are counted.
                assert!(fired <= max, "a trigger fires no more often than it may");
                assert!(expected.iter().zip(&seen).all(|(e, s)| e == s), "I-3: {seen:?} of {expected:?}");
            }
            _ => assert_eq!(seen, expected, "I-3: every nominal time of t{rule} has one disposition"),
        }
        for tick in own.iter().filter(|_| *rule == CALENDAR) {
            let tuesday = tick.nominal.since(START) < Duration::from_secs(15 * 3600);
            assert_eq!(tuesday, tick.reason != Some(Reason::Calendar), "I-5: {tick:?}");
        }
    }
    let all = model.world.runs();
    let of = |name: &str| {
        let job = jobs.iter().find(|j| j.name == name).map(|j| j.id);
        all.iter().filter(move |r| Some(r.job) == job)
    };
    if !model.removed {
        let ended: BTreeSet<String> =
            of(name).filter(|r| r.is_finished()).map(|r| format!("after:{}", r.id)).collect();
        let after: BTreeSet<String> = of("after").map(|r| r.key.clone()).collect();
        assert_eq!(after, ended, "I-17: one run after each that ended");
    }
    let mut runs = BTreeSet::new();
    for run in model.world.runs() {
        assert!(runs.insert(run.id), "I-1: {run:?} is there twice");
        let numbers: Vec<u32> = run.attempts.iter().map(|a| a.number).collect();
        assert_eq!(numbers, (1..=u32::try_from(numbers.len()).expect("few")).collect::<Vec<_>>());
        let successes =
            run.attempts.iter().filter(|a| a.outcome == punctual_core::attempt::Outcome::Success).count();
        assert!(successes <= 1, "I-11");
        assert!(run.attempts.len() <= 1 + 2 + 4 || model.let_go.contains(&run.id), "I-13: {run:?}");
        assert!(!matches!(run.state, RunState::Leased(_)), "nothing stays leased: {run:?}");
    }
}

fn cases() -> u32 {
    std::env::var("PUNCTUAL_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn every_nominal_time_is_accounted_for(first in definition(), ops in proptest::collection::vec(op(), 1..50)) {
        let mut model = Model::new(first);
        for op in ops {
            model.step(op);
        }
        model.finish();
        check(&model);
    }
}
