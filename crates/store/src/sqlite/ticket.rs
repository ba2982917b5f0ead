//! A ticket is one caller's wait for an answer; the watch ends the waits whose deadline passes.
//!
//! A request is answered exactly once: `Deadline` if it had not been begun, so that it never will be;
//! `CommitUnknown` if it had been; or what came of it.

use crate::StoreError;
use crate::sqlite::Monotonic;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::oneshot::{self, Receiver, Sender};

/// What a request can be answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A decision was written.
    Done(crate::Done),
    /// So many rows were removed.
    Removed(u64),
}

/// Writes that may wait at once; a further one is refused as if its deadline had passed.
const WAITS_MAX: usize = 100_000;

type Reply = Sender<Result<Answer, StoreError>>;

enum Stage {
    Waiting(Reply),
    Running(Reply),
    Answered,
}

pub(super) struct Ticket(Mutex<Stage>);

impl Ticket {
    pub fn new() -> (Arc<Self>, Receiver<Result<Answer, StoreError>>) {
        let (reply, answer) = oneshot::channel();
        (Arc::new(Self(Mutex::new(Stage::Waiting(reply)))), answer)
    }

    fn take(&self) -> Stage {
        let mut stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *stage, Stage::Answered)
    }

    /// Whether the request is to be carried out: it has not been answered, and somebody still waits.
    pub fn start(&self) -> bool {
        let mut stage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *stage, Stage::Answered) {
            Stage::Waiting(reply) if !reply.is_closed() => {
                *stage = Stage::Running(reply);
                true
            }
            _ => false,
        }
    }

    pub fn answer(&self, answer: Result<Answer, StoreError>) {
        if let Stage::Waiting(reply) | Stage::Running(reply) = self.take() {
            // The caller may have gone; what was written stays.
            let _ = reply.send(answer);
        }
    }

    fn expire(&self) {
        match self.take() {
            Stage::Waiting(reply) => {
                let _ = reply.send(Err(StoreError::Deadline));
            }
            Stage::Running(reply) => {
                let why = "the deadline passed while it was being written".to_owned();
                let _ = reply.send(Err(StoreError::CommitUnknown(why)));
            }
            Stage::Answered => {}
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Stage::Running(reply) = self.take() {
            let _ = reply.send(Err(StoreError::CommitUnknown("the writer ended".to_owned())));
        }
    }
}

/// Ends waits at their deadlines, on a thread of its own, so that a stuck disk cannot keep a caller.
#[derive(Default)]
pub(super) struct Watch {
    waits: Mutex<Waits>,
    changed: Condvar,
}

#[derive(Default)]
struct Waits {
    /// By deadline on the monotonic clock, then by number.
    order: BTreeMap<(Duration, u64), Weak<Ticket>>,
    number: u64,
    closed: bool,
}

impl Watch {
    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a wait; `None` if there are as many as may be. The place is to be given back.
    pub fn add(&self, deadline: Duration, ticket: &Arc<Ticket>) -> Option<(Duration, u64)> {
        let mut waits = self.waits();
        if waits.order.len() >= WAITS_MAX {
            return None;
        }
        waits.number += 1;
        let place = (deadline, waits.number);
        waits.order.insert(place, Arc::downgrade(ticket));
        if waits.order.first_key_value().is_some_and(|(first, _)| *first == place) {
            self.changed.notify_one();
        }
        Some(place)
    }

    /// Forgets a wait that has ended.
    pub fn remove(&self, place: (Duration, u64)) {
        self.waits().order.remove(&place);
    }

    pub fn close(&self) {
        self.waits().closed = true;
        self.changed.notify_one();
    }

    /// Runs until the watch is closed.
    pub fn run(&self, monotonic: Monotonic) {
        let mut waits = self.waits();
        while !waits.closed {
            let now = monotonic();
            let later = waits.order.split_off(&(now, u64::MAX));
            let passed = std::mem::replace(&mut waits.order, later);
            let first = waits.order.first_key_value().map(|((deadline, _), _)| *deadline);
            if !passed.is_empty() {
                drop(waits);
                passed.values().filter_map(Weak::upgrade).for_each(|ticket| ticket.expire());
                waits = self.waits();
                continue;
            }
            waits = match first {
                Some(first) => {
                    let woken = self.changed.wait_timeout(waits, first.saturating_sub(now));
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(waits).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
