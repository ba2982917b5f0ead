//! Handlers: functions of this program that carry out attempts, on threads of their own.
//!
//! A thread cannot be killed. A handler that is told to end finds [`Call::is_stopped`] true and every wait of
//! [`Call::wait`] over; its attempt ends when it returns, and until then its run counts as under way, for it is.
//! What it leaves running when the process ends is lost, and the next start says so.

use crate::clock::{Clock, Monotonic};
use crate::inbox::{Inbox, Message};
use crate::supervisor::output;
use crate::supervisor::protocol::Told;
use punctual_core::error::panic_text;
use punctual_core::id::{Fence, RunId};
use punctual_core::job::Job;
use punctual_core::run::Run;
use punctual_core::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A thread that has had nothing to do for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Carries out attempts in this process. The text of an error is kept with the attempt.
pub trait Handler: Send + Sync {
    /// Carries out one attempt.
    ///
    /// # Errors
    /// Why the attempt failed; the job's retry policy says what follows.
    fn handle(&self, call: &Call) -> Result<(), String>;
}

/// The handlers of a program, by name.
pub type Handlers = BTreeMap<String, Arc<dyn Handler>>;

/// One attempt, as its handler sees it.
#[derive(Debug)]
pub struct Call {
    job: String,
    run: RunId,
    key: String,
    fence: Fence,
    attempt: u32,
    nominal: Timestamp,
    params: String,
    deadline: Option<Monotonic>,
    stop: Arc<Stop>,
    log: Mutex<Log>,
}

impl Call {
    /// The job's name.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The run; the same for each of its attempts, and so an idempotency key.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The occurrence's key: `trigger:nominal`, or what was submitted.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The lease's number, which only grows: what guards a resource may refuse a smaller one.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// The attempt's number, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The instant the job's rule names, or at which the run was submitted.
    pub fn nominal(&self) -> Timestamp {
        self.nominal
    }

    /// The run's parameters, as the text of a JSON object; empty for none.
    pub fn params(&self) -> &str {
        &self.params
    }

    /// Whether the attempt is to end: its timeout has passed, its run was cancelled, or the program ends.
    pub fn is_stopped(&self) -> bool {
        self.told().is_some()
    }

    /// Waits so long, or until the attempt is to end. Whether the whole time has passed.
    pub fn wait(&self, time: Duration) -> bool {
        let now = Monotonic::now();
        let end = now.after(time);
        let until = self.deadline.map_or(end, |deadline| deadline.min(end));
        let mut told = self.stop.told();
        loop {
            let left = until.until_from(Monotonic::now());
            if told.is_some() || left.is_zero() {
                break;
            }
            told = self.stop.changed.wait_timeout(told, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(told);
        !self.is_stopped()
    }

    /// Keeps a line as the attempt's output, as far as the job's bound on that goes. `punctual logs` shows it.
    pub fn say(&self, line: &str) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).say(line);
    }

    fn told(&self) -> Option<Told> {
        let told = *self.stop.told();
        let late = || self.deadline.is_some_and(|d| d.until_from(Monotonic::now()).is_zero());
        told.or_else(|| late().then_some(Told::Timeout))
    }
}

/// How a handler's attempt ended.
#[derive(Clone, Debug)]
pub struct Handled {
    /// Its run.
    pub run: RunId,
    /// Its lease.
    pub fence: Fence,
    /// When it began.
    pub started: Timestamp,
    /// When it returned.
    pub finished: Timestamp,
    /// Why it had been told to end by then, if it had.
    pub told: Option<Told>,
    /// What it returned; a panic is an error.
    pub result: Result<(), String>,
}

/// The threads that handlers run on. There are as many as attempts are under way.
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    handlers: Handlers,
    clock: Clock,
    inbox: Inbox,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Arc<dyn Handler>, Call)>,
    /// Threads that wait for work.
    idle: usize,
    under_way: BTreeMap<(RunId, Fence), Arc<Stop>>,
}

#[derive(Debug, Default)]
struct Stop {
    told: Mutex<Option<Told>>,
    changed: Condvar,
}

impl Stop {
    fn told(&self) -> MutexGuard<'_, Option<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, told: Told) {
        self.told().get_or_insert(told);
        self.changed.notify_all();
    }
}

impl Pool {
    /// A pool without threads; ends are sent to `inbox`.
    pub fn new(handlers: Handlers, clock: Clock, inbox: Inbox) -> Self {
        let shared = Shared { handlers, clock, inbox, state: Mutex::default(), work: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Starts an attempt of a leased run; its output goes to `log`.
    ///
    /// # Errors
    /// No handler of that name is registered, or no thread can be had.
    pub fn start(&self, name: &str, job: &Job, run: &Run, log: PathBuf) -> Result<(), String> {
        let Some(handler) = self.shared.handlers.get(name).cloned() else {
            let known: Vec<&str> = self.shared.handlers.keys().map(String::as_str).collect();
            return Err(match known.is_empty() {
                true => format!("this program has no handlers, and so none named {name:?}"),
                false => format!("no handler is named {name:?}; there are {}", known.join(", ")),
            });
        };
        let stop = Arc::new(Stop::default());
        let call = Call {
            job: job.name.clone(),
            run: run.id,
            key: run.key.clone(),
            fence: run.fence,
            attempt: run.next_attempt(),
            nominal: run.nominal,
            params: run.params.clone(),
            deadline: job.timeout.map(|timeout| Monotonic::now().after(timeout)),
            stop: stop.clone(),
            log: Mutex::new(Log { path: log, file: None, left: job.output.bytes_max }),
        };
        let mut state = self.shared.state();
        if state.waiting.len() >= state.idle {
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name("handler".into()).spawn(move || shared.serve());
            thread.map_err(|e| format!("there is no thread for it: {e}"))?;
        }
        state.under_way.insert((run.id, run.fence), stop);
        state.waiting.push_back((handler, call));
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// Tells an attempt to end. False if it is none of these.
    pub fn stop(&self, run: RunId, fence: Fence) -> bool {
        let stop = self.shared.state().under_way.get(&(run, fence)).cloned();
        stop.map(|stop| stop.tell(Told::Stop)).is_some()
    }

    /// Tells all attempts to end.
    pub fn stop_all(&self) {
        let all: Vec<_> = self.shared.state().under_way.values().cloned().collect();
        all.iter().for_each(|stop| stop.tell(Told::Shutdown));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread: carries out what waits, until nothing has for a while.
    fn serve(&self) {
        while let Some((handler, call)) = self.next() {
            let handled = self.carry_out(handler.as_ref(), &call);
            self.state().under_way.remove(&(call.run, call.fence));
            self.inbox.send(Message::Handled(handled));
        }
    }

    fn next(&self) -> Option<(Arc<dyn Handler>, Call)> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.idle += 1;
            let waited = self.work.wait_timeout_while(state, IDLE_MAX, |s| s.waiting.is_empty());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
        }
        state.waiting.pop_front()
    }

    fn carry_out(&self, handler: &dyn Handler, call: &Call) -> Handled {
        let started = self.clock.now();
        let result = catch_unwind(AssertUnwindSafe(|| handler.handle(call)))
            .unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(panic.as_ref()))));
        Handled {
            run: call.run,
            fence: call.fence,
            started,
            finished: self.clock.now(),
            told: call.told(),
            result,
        }
    }
}

/// What a handler said, up to the job's bound. The file is made with the first line.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: Option<File>,
    left: u64,
}

impl Log {
    /// A disk that takes nothing more costs output, never the attempt.
    fn say(&mut self, line: &str) {
        let bytes = line.len() as u64 + 1;
        if self.left == 0 {
            return;
        }
        let text = if bytes > self.left { "[punctual: the rest was cut here]" } else { line };
        self.left = self.left.saturating_sub(bytes);
        if self.file.is_none() {
            self.file = output::create(&self.path).ok();
        }
        if let Some(file) = &mut self.file {
            let _ = file.write_all(format!("{text}\n").as_bytes());
        }
    }
}
