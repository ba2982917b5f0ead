//! Kills the daemon, its supervisor or both, again and again, at random instants, and then holds the record against
//! what an independent witness saw: nothing is lost, doubled, overlapping or unaccounted for.
//!
//! The jobs are `kill/witness.sh`. `PUNCTUAL_KILL_SEED` repeats a round's choices, `PUNCTUAL_KILL_ROUNDS` makes more.

#[path = "kill/invariants.rs"]
mod invariants;
#[path = "kill/record.rs"]
mod record;
mod support;

use punctual_engine::clock::Clock;
use record::{Record, Rule, Run};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use support::{World, signal, until};

/// Rounds in a test run; each is a blow and what it takes to recover.
const ROUNDS: u64 = 10;

/// What the test does to the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    KillDaemon,
    /// And leave it down for a while, so that several times are missed.
    LeaveDown,
    /// And kill the next one while it starts, too.
    KillAtStart,
    KillSupervisor,
    KillBothDaemonFirst,
    KillBothSupervisorFirst,
    StopDaemon,
    /// With its jobs.
    EndDaemon,
    SuspendDaemon,
    SuspendSupervisor,
}

const BLOWS: [Blow; 10] = [
    Blow::LeaveDown,
    Blow::KillBothSupervisorFirst,
    Blow::KillSupervisor,
    Blow::KillBothDaemonFirst,
    Blow::SuspendDaemon,
    Blow::StopDaemon,
    Blow::SuspendSupervisor,
    Blow::KillAtStart,
    Blow::EndDaemon,
    Blow::KillDaemon,
];

/// The jobs: name, seconds between two occurrences, the witness's arguments, and what else the definition says.
const RULES: [Rule; 12] = [
    Rule::new("short", 1, "0 0", "overlap: skip"),
    Rule::new("wide", 1, "varied 0", "overlap: allow"),
    Rule::new("flaky", 2, "1 flaky", "overlap: skip, retryPolicy: {maxRetries: 2, backoff: 200ms}"),
    Rule::new("lost-fail", 2, "10 0", "overlap: allow, onLost: fail"),
    Rule::new("lost-hold", 2, "10 0", "overlap: skip, onLost: hold"),
    Rule::new("stray", 2, "3 0 stray", "overlap: skip"),
    Rule::new("seconds", 1, "2 0", "overlap: skip"),
    Rule::new("late-all", 1, "0 0", "overlap: allow, catchUp: {policy: all, spread: 0s}"),
    Rule::new("late-latest", 1, "0 0", "overlap: allow, catchUp: latest"),
    Rule::new("late-none", 1, "0 0", "overlap: allow, catchUp: none"),
    Rule::new("one-waits", 2, "25 0", "overlap: queue-one"),
    Rule::new("replaced", 2, "30 0", "overlap: cancel-running, grace: 1s"),
];

// proves I-1, I-2, I-3, I-5, I-6, I-8, I-9, I-10, I-11, I-13, I-14 and I-15
#[test]
fn nothing_is_lost_or_doubled_whatever_is_killed() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let rounds = number("PUNCTUAL_KILL_ROUNDS").unwrap_or(ROUNDS);
    let seed = number("PUNCTUAL_KILL_SEED").unwrap_or_else(|| now_us().unsigned_abs());
    eprintln!("PUNCTUAL_KILL_SEED={seed} PUNCTUAL_KILL_ROUNDS={rounds}");
    let mut random = Random(seed);
    let mut world = World::new("kill", "jobs: []\n");
    std::fs::write(world.path("jobs.yaml"), definitions(&world)).expect("the folder can be written to");
    let before_us = now_us();
    world.start();
    let applied_us = now_us();
    let mut seen = Seen::default();
    let mut blows_us = Vec::new();
    for round in 0..rounds {
        std::thread::sleep(Duration::from_millis(200 + random.below(2800)));
        seen.look(&world, round);
        let first_pass = usize::try_from(round).ok().and_then(|r| BLOWS.get(r));
        let blow = first_pass.copied().unwrap_or_else(|| BLOWS[random.below(10) as usize]);
        eprintln!("round {round}: {blow:?}");
        blows_us.push(now_us());
        strike(&mut world, blow, &mut random);
    }
    // Without further faults every cursor passes this instant.
    let settled_us = now_us();
    until("all jobs to be up to date", || {
        let jobs = world.json(&["jobs"]);
        let triggers = |job: &Value| job["triggers"].as_array().expect("a list").clone();
        let cursors = jobs.as_array().expect("a list").iter().flat_map(triggers);
        cursors.into_iter().all(|t| record::instant(&t["cursor"]) >= settled_us).then_some(())
    });
    assert!(world.end().success(), "the daemon ends well when it is told to");
    let record = Record::read(&world, &RULES, (before_us, applied_us), settled_us, blows_us);
    let mut violations = invariants::check(&record);
    violations.extend(seen.check(&record));
    violations
        .extend(world.alive().iter().map(|(pid, run)| format!("I-18 process {pid} of run {run} is alive")));
    eprintln!("{}", record.summary());
    violations.extend(record.vacuity(rounds));
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), shown(&violations));
}

/// A few of each kind.
fn shown(violations: &[String]) -> String {
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for violation in violations {
        kinds.entry(violation.split(' ').next().unwrap_or_default()).or_default().push(violation);
    }
    let few = |(kind, all): (&str, Vec<&str>)| {
        format!("{} of {kind}, such as\n  {}", all.len(), all[..all.len().min(4)].join("\n  "))
    };
    kinds.into_iter().map(few).collect::<Vec<_>>().join("\n")
}

/// The wall clock, microseconds since the epoch.
fn now_us() -> i64 {
    Clock::System.now().as_micros()
}

fn definitions(world: &World) -> String {
    let script = format!("{}/tests/kill/witness.sh", env!("CARGO_MANIFEST_DIR"));
    let mut text = format!(
        "defaults: {{timeZone: UTC, grace: 2s, workingDirectory: /, env: {{WITNESS: '{}', TEST_FOLDER: '{}'}}}}\njobs:\n",
        world.path("witness").display(),
        world.path("").display().to_string().trim_end_matches('/'),
    );
    for rule in &RULES {
        let (name, every_s, more) = (rule.name, rule.every_s, rule.definition);
        let schedule = match name {
            "seconds" => "\"* * * * * *\"".to_owned(),
            "late-all" => "{cron: \"*/1 * * * * *\"}".to_owned(),
            _ => format!("{{every: {every_s}s}}"),
        };
        let arguments: Vec<String> = rule.arguments.split(' ').map(|a| format!("'{a}'")).collect();
        text += &format!(
            "- {{name: {name}, schedule: {schedule}, {more}, run: ['{script}', {}]}}\n",
            arguments.join(", ")
        );
    }
    text += &format!("- {{name: asked, run: ['{script}', '5', '0']}}\n");
    text
}

fn strike(world: &mut World, blow: Blow, random: &mut Random) {
    let (daemon, supervisors) = (world.daemon(), world.supervisors());
    let kill_supervisors = || supervisors.iter().for_each(|pid| signal(*pid, Signal::KILL));
    match blow {
        Blow::KillDaemon | Blow::LeaveDown | Blow::KillAtStart => signal(daemon, Signal::KILL),
        Blow::KillSupervisor => kill_supervisors(),
        Blow::KillBothDaemonFirst => {
            signal(daemon, Signal::KILL);
            kill_supervisors();
        }
        Blow::KillBothSupervisorFirst => {
            kill_supervisors();
            signal(daemon, Signal::KILL);
        }
        Blow::StopDaemon => signal(daemon, Signal::TERM),
        Blow::EndDaemon => signal(daemon, Signal::INT),
        Blow::SuspendDaemon => suspend(&[daemon]),
        Blow::SuspendSupervisor => suspend(&supervisors),
    }
    match blow {
        Blow::KillSupervisor | Blow::SuspendDaemon | Blow::SuspendSupervisor => {}
        Blow::StopDaemon | Blow::EndDaemon => {
            assert!(world.wait().success(), "the daemon ends well when it is told to");
            world.start();
        }
        _ => {
            world.wait();
            if blow == Blow::LeaveDown {
                std::thread::sleep(Duration::from_millis(3200));
            }
            if blow == Blow::KillAtStart {
                world.launch(&[], &[]);
                std::thread::sleep(Duration::from_millis(random.below(300)));
                signal(world.daemon(), Signal::KILL);
                world.wait();
            }
            world.start();
        }
    }
}

fn suspend(processes: &[i32]) {
    processes.iter().for_each(|pid| signal(*pid, Signal::STOP));
    std::thread::sleep(Duration::from_secs(1));
    processes.iter().for_each(|pid| signal(*pid, Signal::CONT));
}

/// What the daemon acknowledged while it ran.
#[derive(Default)]
struct Seen {
    /// Verdicts of finished runs.
    verdicts: BTreeMap<String, Value>,
    /// Submitted keys and the runs they became.
    submitted: BTreeMap<String, String>,
}

impl Seen {
    fn look(&mut self, world: &World, round: u64) {
        for run in world.runs().iter().filter(|run| run["state"] == "finished") {
            self.verdicts.insert(run["id"].as_str().expect("an id").to_owned(), run["verdict"].clone());
        }
        // Twice, so that a repeat meets what an earlier round was told.
        for round in round.saturating_sub(1)..=round {
            let key = format!("round-{round}");
            let made = world.json(&["trigger", "asked", "--key", &key]);
            let run = made["id"].as_str().expect("an acknowledged run has an id").to_owned();
            let known = self.submitted.entry(key.clone()).or_insert_with(|| run.clone());
            assert_eq!(*known, run, "I-1 key {key} made two runs");
        }
    }

    fn check(&self, record: &Record) -> Vec<String> {
        let mut violations = Vec::new();
        let run = |id: &str| record.runs.iter().find(|run: &&Run| run.id == id);
        for (id, verdict) in &self.verdicts {
            match run(id) {
                None => violations.push(format!("I-19 the finished run {id} is gone")),
                Some(run) if run.verdict.as_deref() != verdict.as_str() => {
                    violations.push(format!("I-10 run {id} was {verdict} and became {:?}", run.verdict));
                }
                Some(_) => {}
            }
        }
        for (key, id) in &self.submitted {
            if run(id).is_none_or(|run| run.key != *key) {
                violations.push(format!("I-19 the acknowledged run {id} of key {key} is gone"));
            }
        }
        violations
    }
}

/// SplitMix64: the same seed, the same rounds.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
