//! The simulated supervisor: processes that end when the seed says, and what it reports of them.

use crate::rng::{Rng, mix};
use punctual_core::error::Code;
use punctual_core::id::{Fence, NodeId, RunId};
use punctual_engine::supervisor::Session;
use punctual_engine::supervisor::journal::{Past, Start};
use punctual_engine::supervisor::protocol::{AttemptId, Ended, Report, Running, SpawnError, Told};
use std::collections::BTreeMap;

/// An attempt: a run and its lease.
pub type Key = (RunId, Fence);

/// How long a tree takes from TERM to its end, microseconds.
const GRACE: i64 = 3_000_000;
/// How long trees live without a daemon, microseconds.
const ORPHAN_TIME: i64 = 300_000_000;

/// What is true of an attempt that was started.
#[derive(Clone, Debug)]
pub struct Truth {
    /// When, on the clock on the wall.
    pub started: i64,
    /// Whether its process lives.
    pub alive: bool,
    /// How it ended, if the supervisor lived to see that; what it reports.
    pub end: Option<Ended>,
    /// Whether that was seen and then lost with the machine.
    pub unseen: bool,
}

struct Process {
    /// Since the start, time that does not jump.
    ends: i64,
    code: Option<i32>,
    signal: Option<i32>,
    told: Option<Told>,
}

/// The supervisor of a seed, and what became of every attempt.
pub struct Supervisor {
    /// Whether there is one.
    pub up: bool,
    /// Microseconds that have passed, whatever the clock on the wall says.
    pub passed: i64,
    /// Processes end soon and well.
    pub calm: bool,
    /// Whose session it is.
    pub session: NodeId,
    /// Whether a daemon is attached; since when there is none, in passed microseconds.
    attached: bool,
    alone_since: i64,
    /// Ended, and not known to be recorded.
    kept: BTreeMap<Key, Ended>,
    /// What its journal holds.
    past: Past,
    salt: u64,
    running: BTreeMap<Key, Process>,
    /// Every attempt that was ever started.
    pub truth: BTreeMap<Key, Truth>,
    /// Not yet delivered.
    pub outbox: Vec<Report>,
    /// Delivered before.
    pub echoes: Vec<Report>,
}

impl Supervisor {
    /// One for a seed.
    pub fn new(salt: u64) -> Self {
        let session = NodeId(0);
        Self {
            up: false,
            passed: 0,
            calm: false,
            session,
            attached: false,
            alone_since: 0,
            kept: BTreeMap::new(),
            past: Past::default(),
            salt,
            running: BTreeMap::new(),
            truth: BTreeMap::new(),
            outbox: Vec::new(),
            echoes: Vec::new(),
        }
    }

    /// A supervisor begins a session and its journal anew.
    pub fn launch(&mut self, session: NodeId) {
        self.up = true;
        self.session = session;
        self.past = Past::default();
        self.kept.clear();
        self.alone_since = self.passed;
    }

    /// A daemon attaches, and is told of all that is not recorded.
    pub fn attach(&mut self) -> Session {
        self.attached = true;
        self.outbox.clear();
        let running = self.running.keys().map(|key| Running {
            attempt: attempt(*key),
            at_us: self.truth[key].started,
            pid: 1,
        });
        Session { running: running.collect(), ended: self.kept.values().cloned().collect() }
    }

    /// The daemon is gone.
    pub fn detach(&mut self) {
        self.attached = false;
        self.alone_since = self.passed;
        self.outbox.clear();
        self.echoes.clear();
    }

    /// The journal of a supervisor that is gone.
    pub fn past(&self) -> Past {
        self.past.clone()
    }

    /// The end of an attempt is recorded.
    pub fn acknowledge(&mut self, key: Key) {
        self.kept.remove(&key);
    }

    /// Whether a process of the run lives.
    pub fn lives(&self, run: RunId) -> bool {
        self.running.keys().any(|key| key.0 == run)
    }

    /// The living attempts.
    pub fn living(&self) -> impl Iterator<Item = Key> + '_ {
        self.running.keys().copied()
    }

    /// Starts an attempt at `now` on the wall; one whose process cannot be made ends at once.
    pub fn start(&mut self, key: Key, now: i64, timeout: Option<i64>) {
        let chance =
            mix(self.salt ^ mix(key.0.0 as u64) ^ mix((key.0.0 >> 64) as u64) ^ key.1.0.unsigned_abs());
        self.truth.insert(key, Truth { started: now, alive: true, end: None, unseen: false });
        if !self.calm && chance.is_multiple_of(23) {
            let error = SpawnError::new(Code("EXE001"), "there is no such program");
            self.end(key, Ended { spawn_error: Some(error), ..Ended::at(attempt(key), now) });
            return;
        }
        self.past.starts.push(Start { attempt: attempt(key), pid: 1, ticks: 1, at_us: now, gone: false });
        self.outbox.push(Report::Started { attempt: attempt(key), at_us: now, pid: 1 });
        let micros = match (chance >> 8) % 12 {
            _ if self.calm => 1_000_000,
            0 => i64::MAX / 4,
            1..=3 => 60_000_000 + i64::try_from((chance >> 16) % 300_000_000).unwrap_or(0),
            4..=6 => 5_000_000 + i64::try_from((chance >> 16) % 40_000_000).unwrap_or(0),
            _ => i64::try_from((chance >> 16) % 3_000_000).unwrap_or(0),
        };
        let (code, signal) = match (chance >> 40) % 8 {
            _ if self.calm => (Some(0), None),
            0 => (Some(1), None),
            1 => (Some(75), None),
            2 => (None, Some(9)),
            _ => (Some(0), None),
        };
        let mut process = Process { ends: self.passed + micros, code, signal, told: None };
        if let Some(limit) = timeout.map(|secs| secs * 1_000_000).filter(|limit| *limit < micros) {
            process.ends = self.passed + limit + GRACE / 2;
            process.told = Some(Told::Timeout);
            (process.code, process.signal) = (None, Some(15));
        }
        self.running.insert(key, process);
    }

    /// Tells an attempt to end.
    pub fn stop(&mut self, key: Key) {
        let soon = self.passed + GRACE;
        if let Some(process) = self.running.get_mut(&key)
            && process.ends > soon
        {
            process.ends = soon;
            process.told = Some(process.told.unwrap_or(Told::Stop));
            (process.code, process.signal) = (None, Some(15));
        }
    }

    /// Whether a process lives on as if nobody wanted its end.
    pub fn is_untold(&self, key: Key) -> bool {
        self.running.get(&key).is_some_and(|p| p.told.is_none() && p.ends > self.passed + GRACE)
    }

    /// The time of the next end, in passed microseconds.
    pub fn next_end(&self) -> Option<i64> {
        self.running.values().map(|process| process.ends).min()
    }

    fn end(&mut self, key: Key, end: Ended) {
        let truth = self.truth.get_mut(&key).expect("it was started");
        truth.alive = false;
        truth.end = Some(end.clone());
        self.kept.insert(key, end.clone());
        self.past.ends.push(end.clone());
        if self.attached {
            self.outbox.push(Report::Ended(end));
        }
    }

    /// Time has passed; `wall` is the clock now.
    pub fn pass(&mut self, micros: i64, wall: i64) {
        self.passed += micros;
        let orphaned = self.alone_since + ORPHAN_TIME;
        if self.attached || !self.up || self.passed < orphaned {
            return self.end_all_until(self.passed, wall);
        }
        self.end_all_until(orphaned, wall);
        for process in self.running.values_mut().filter(|p| p.ends > orphaned + GRACE) {
            process.ends = orphaned + GRACE;
            process.told = Some(process.told.unwrap_or(Told::Orphaned));
            (process.code, process.signal) = (None, Some(15));
        }
        self.end_all_until(self.passed, wall);
        // With nothing left to hold it ends; its journal stays.
        self.up = !self.running.is_empty();
    }

    fn end_all_until(&mut self, until: i64, wall: i64) {
        let over = self.running.iter().filter(|(_, process)| process.ends <= until);
        let mut over: Vec<(i64, Key)> = over.map(|(key, process)| (process.ends, *key)).collect();
        over.sort_unstable();
        for (at, key) in over {
            let process = self.running.remove(&key).expect("it was found");
            let end = Ended {
                started_us: Some(self.truth[&key].started),
                code: process.code,
                signal: process.signal,
                told: process.told,
                ..Ended::at(attempt(key), wall - (self.passed - at))
            };
            self.end(key, end);
        }
    }

    /// The supervisor is killed, and all its trees with it. Its journal stays.
    pub fn die(&mut self) {
        self.up = false;
        self.attached = false;
        self.outbox.clear();
        self.echoes.clear();
        for key in std::mem::take(&mut self.running).into_keys() {
            self.truth.get_mut(&key).expect("it was started").alive = false;
        }
    }

    /// The machine ends, and with it what was written to the journal so lately that it was not on the disk.
    pub fn die_with_machine(&mut self, rng: &mut Rng, wall: i64) {
        self.die();
        let lately = wall - 30_000_000;
        let torn = self.past.ends.iter().position(|end| end.at_us > lately && rng.chance(30));
        for end in self.past.ends.drain(torn.unwrap_or(self.past.ends.len())..) {
            let key = key_of(&end.attempt);
            // One that a daemon had recorded is not lost with it; the checker knows.
            self.truth.get_mut(&key).expect("it was started").unseen = true;
        }
    }
}

fn attempt(key: Key) -> AttemptId {
    AttemptId { run: key.0.to_string(), fence: key.1.0 }
}

/// The key of an attempt's name.
pub fn key_of(attempt: &AttemptId) -> Key {
    (attempt.run.parse().expect("a run's id"), Fence(attempt.fence))
}
