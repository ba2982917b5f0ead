//! Random histories of one node: time passes, attempts end or are lost, jobs are edited, paused, removed. Whatever
//! happens, the record must account for every nominal time exactly once, and no promise may be broken on the way.

mod support;

use proptest::prelude::*;
use punctual_core::id::{Fence, RunId};
use punctual_core::run::{Run, RunState};
use punctual_core::time::Timestamp;
use punctual_engine::block_on::block_on;
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use support::{START, World};

/// A rule in YAML, and whether an instant (seconds since the epoch) is one of it.
type Rule = (&'static str, fn(i64) -> bool);

/// Rules a job may have, each with an oracle of its own.
const RULES: [Rule; 4] = [
    ("cron: '* * * * *'", |s| s % 60 == 0),
    ("cron: '*/7 * * * *'", |s| s % 60 == 0 && (s / 60 % 60) % 7 == 0),
    ("cron: '30 * * * * *'", |s| s % 60 == 30),
    ("every: 50s, anchor: '2026-11-24T00:00:10Z'", |s| (s - 10) % 50 == 0),
];
const OVERLAPS: [&str; 5] = ["skip", "queue-one", "queue-all", "cancel-running", "allow"];
const CATCH_UPS: [&str; 3] =
    ["none", "{policy: latest, window: 10m}", "{policy: all, window: 20m, maxCount: 3}"];
const ON_LOST: [&str; 3] = ["retry", "hold", "fail"];

#[derive(Clone, Debug)]
struct Definition {
    rule: usize,
    overlap: usize,
    catch_up: usize,
    on_lost: usize,
    retries: u32,
}

impl Definition {
    fn yaml(&self) -> String {
        format!(
            "jobs: [{{name: a, triggers: [{{name: t{}, {}}}], run: ['true'], overlap: {}, catchUp: {}, onLost: {}, \
             retryPolicy: {{maxRetries: {}, backoff: 20s}}}}, {{name: other, schedule: '0 0 1 1 *', run: ['true']}}]",
            self.rule,
            RULES[self.rule].0,
            OVERLAPS[self.overlap],
            CATCH_UPS[self.catch_up],
            ON_LOST[self.on_lost],
            self.retries,
        )
    }
}

#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    End { which: usize, code: i32 },
    Crash,
    Pause,
    Resume { catch_up: bool },
    Edit(Definition),
    Remove,
    Submit(u8),
    Cancel(usize),
}

fn definition() -> impl Strategy<Value = Definition> {
    (0..RULES.len(), 0..OVERLAPS.len(), 0..CATCH_UPS.len(), 0..ON_LOST.len(), 0_u32..3).prop_map(
        |(rule, overlap, catch_up, on_lost, retries)| Definition {
            rule,
            overlap,
            catch_up,
            on_lost,
            retries,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1_u64..100).prop_map(Op::Pass),
        1 => (100_u64..4000).prop_map(Op::Pass),
        5 => (0..4_usize, 0..2_i32).prop_map(|(which, code)| Op::End { which, code }),
        1 => Just(Op::Crash),
        1 => Just(Op::Pause),
        1 => any::<bool>().prop_map(|catch_up| Op::Resume { catch_up }),
        1 => definition().prop_map(Op::Edit),
        1 => Just(Op::Remove),
        1 => (0..3_u8).prop_map(Op::Submit),
        1 => (0..4_usize).prop_map(Op::Cancel),
    ]
}

/// What the test itself knows of the history.
struct Model {
    world: World,
    /// The rule in force from an instant on; `None` while the job is removed.
    rules: Vec<(Timestamp, Option<usize>)>,
    definition: Option<Definition>,
    /// Attempts under way, by run.
    running: BTreeMap<RunId, Run>,
    leases: BTreeSet<(RunId, Fence)>,
    fences: BTreeMap<RunId, Fence>,
    keys: BTreeMap<u8, (RunId, Timestamp)>,
}

impl Model {
    fn new(first: Definition) -> Self {
        let world = World::new();
        let mut model = Self {
            rules: Vec::new(),
            definition: None,
            running: BTreeMap::new(),
            leases: BTreeSet::new(),
            fences: BTreeMap::new(),
            keys: BTreeMap::new(),
            world,
        };
        model.edit(first);
        model
    }

    fn edit(&mut self, definition: Definition) {
        self.world.apply(&definition.yaml());
        self.rules.push((self.world.now(), Some(definition.rule)));
        self.definition = Some(definition);
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Pass(secs) => self.world.clock.advance(Duration::from_secs(secs)),
            Op::End { which, code } => {
                if let Some(run) = self.running.values().nth(which).cloned() {
                    self.running.remove(&run.id);
                    self.world.end_run(&run, code);
                }
            }
            Op::Crash => {
                self.world.crash();
                self.running.clear();
            }
            Op::Pause => _ = block_on(self.world.engine.pause("a", "the test")),
            Op::Resume { catch_up } => _ = block_on(self.world.engine.resume("a", catch_up)),
            Op::Edit(definition) => self.edit(definition),
            Op::Remove => {
                self.world.apply("job: {name: other, schedule: '0 0 1 1 *', run: ['true']}");
                self.rules.push((self.world.now(), None));
                self.definition = None;
            }
            Op::Submit(key) => self.submit(key),
            Op::Cancel(which) => {
                if let Some(run) = self.world.runs().get(which) {
                    let _ = block_on(self.world.engine.cancel(run.id));
                }
            }
        }
        self.world.cycle();
        self.take_starts();
    }

    fn submit(&mut self, key: u8) {
        let Ok(submitted) = block_on(self.world.engine.submit("a", Some(format!("k{key}")), Map::new()))
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
            assert!(run.due <= now, "I-2: {run:?} starts before it is due");
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
        let current =
            self.running.values().filter(|r| r.nominal > self.rules.last().map_or(START, |(t, _)| *t));
        assert!(!serial || current.count() <= 1, "I-15: {:?}", self.running);
    }

    /// Lets everything end.
    fn finish(&mut self) {
        let _ = block_on(self.world.engine.resume("a", false));
        for _ in 0..200 {
            if let Some(run) = self.running.pop_first().map(|(_, run)| run) {
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
        }
    }

    /// The nominal times the job had, by the rules' own oracles.
    fn expected(&self, end: Timestamp) -> Vec<i64> {
        let mut times = Vec::new();
        for (index, (from, rule)) in self.rules.iter().enumerate() {
            let Some(rule) = rule else { continue };
            let until = self.rules.get(index + 1).map_or(end, |(t, _)| *t);
            times.extend((from.as_secs() + 1..=until.as_secs()).filter(|s| RULES[*rule].1(*s)));
        }
        times
    }
}

fn due_of(run: &Run) -> Timestamp {
    match run.state {
        RunState::Queued { due } => due,
        _ => run.due,
    }
}

/// proves I-1, I-3, I-10, I-11 and I-13 for one history.
fn check(model: &Model) {
    let end = model.world.now();
    let ticks = model.world.ticks("a");
    let seen: Vec<i64> = ticks
        .iter()
        .filter(|t| t.nominal <= end && t.disposition != punctual_core::occurrence::Disposition::Pending)
        .map(|t| t.nominal.as_secs())
        .collect();
    assert_eq!(seen, model.expected(end), "I-3: every nominal time has one disposition");
    let mut runs = BTreeSet::new();
    for run in model.world.runs() {
        assert!(runs.insert(run.id), "I-1: {run:?} is there twice");
        let numbers: Vec<u32> = run.attempts.iter().map(|a| a.number).collect();
        assert_eq!(numbers, (1..=u32::try_from(numbers.len()).expect("few")).collect::<Vec<_>>());
        let successes =
            run.attempts.iter().filter(|a| a.outcome == punctual_core::attempt::Outcome::Success).count();
        assert!(successes <= 1, "I-11");
        assert!(run.attempts.len() <= 1 + 2 + 4, "I-13: {run:?}");
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
