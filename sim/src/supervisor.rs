//! The simulated supervisor: processes that end when the seed says, and what it reports of them.

use crate::rng::mix;
use punctual_core::id::{Fence, RunId};
use punctual_engine::supervisor::protocol::{AttemptId, Ended, Report, Told};
use std::collections::BTreeMap;

/// An attempt: a run and its lease.
pub type Key = (RunId, Fence);

/// How long a tree takes from TERM to its end, microseconds.
const GRACE: i64 = 3_000_000;

/// What is true of an attempt that was started.
#[derive(Clone, Debug)]
pub struct Truth {
    /// When, on the clock on the wall.
    pub started: i64,
    /// Whether its process lives.
    pub alive: bool,
    /// How it ended, if the supervisor lived to see that; what it reports.
    pub end: Option<Ended>,
    /// Whether that was seen and then lost with the supervisor.
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
#[derive(Default)]
pub struct Supervisor {
    /// Whether there is one.
    pub up: bool,
    /// Microseconds that have passed, whatever the clock on the wall says.
    pub passed: i64,
    /// Processes end soon and well.
    pub calm: bool,
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
        Self { up: true, salt, ..Self::default() }
    }

    /// Whether a process of the run lives.
    pub fn lives(&self, run: RunId) -> bool {
        self.running.keys().any(|key| key.0 == run)
    }

    /// The living attempts.
    pub fn living(&self) -> impl Iterator<Item = Key> + '_ {
        self.running.keys().copied()
    }

    /// Starts an attempt at `now` on the wall. False if the process could not be made, which is reported.
    pub fn start(&mut self, key: Key, now: i64, timeout: Option<i64>) {
        let chance =
            mix(self.salt ^ mix(key.0.0 as u64) ^ mix((key.0.0 >> 64) as u64) ^ key.1.0.unsigned_abs());
        let mut truth = Truth { started: now, alive: true, end: None, unseen: false };
        if !self.calm && chance % 23 == 0 {
            truth.alive = false;
            let mut end = ended(key, None, now);
            end.spawn_error = Some("there is no such program".into());
            truth.end = Some(end.clone());
            self.truth.insert(key, truth);
            self.outbox.push(Report::Ended(end));
            return;
        }
        self.truth.insert(key, truth);
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

    /// Time has passed; `wall` is the clock now.
    pub fn pass(&mut self, micros: i64, wall: i64) {
        self.passed += micros;
        let over: Vec<Key> =
            self.running.iter().filter(|(_, p)| p.ends <= self.passed).map(|(key, _)| *key).collect();
        for key in over {
            let process = self.running.remove(&key).expect("it was found");
            let truth = self.truth.get_mut(&key).expect("it was started");
            let mut end = ended(key, Some(truth.started), wall - (self.passed - process.ends));
            (end.code, end.signal, end.told) = (process.code, process.signal, process.told);
            truth.alive = false;
            truth.end = Some(end.clone());
            self.outbox.push(Report::Ended(end));
        }
    }

    /// The supervisor ends, and all its trees at once; what it saw and did not say is lost with it.
    pub fn die(&mut self) {
        self.up = false;
        self.outbox.clear();
        self.echoes.clear();
        self.running.clear();
        for truth in self.truth.values_mut() {
            truth.alive = false;
            truth.unseen = true;
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

fn ended(key: Key, started: Option<i64>, at: i64) -> Ended {
    Ended {
        attempt: attempt(key),
        started_us: started,
        at_us: at,
        code: None,
        signal: None,
        cpu_ms: None,
        memory_bytes_max: None,
        told: None,
        spawn_error: None,
    }
}
