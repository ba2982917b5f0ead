//! A scheduler inside a program: its jobs' handlers, its store, and the thread that fires them.

pub(crate) mod job;

use job::Job;
use punctual_core::error::{Code, Diagnostic};
use punctual_core::id::RunId;
use punctual_core::run::{Run, RunState, Verdict};
use punctual_core::spec::{Context, JobSpec, Source, load};
use punctual_engine::apply::ApplyMode;
use punctual_engine::block_on::block_on;
use punctual_engine::clock::Clock;
use punctual_engine::data_dir::{DataDir, Lock, LockError};
use punctual_engine::error::EngineError;
use punctual_engine::handlers::{self, Call, Handlers};
use punctual_engine::inbox::{AtStop, Message};
use punctual_engine::run_loop::{Daemon, Observer, Options, Work};
use punctual_engine::shared::Engine;
use punctual_server::listen::Listening;
use punctual_store::{SqliteOptions, Store, StoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// The data directory cannot be used.
const UNUSABLE: Code = Code("API062");
/// Another process has it.
const TAKEN: Code = Code("API063");
/// A handler of that name is registered.
const NAMED_TWICE: Code = Code("API060");
/// What is submitted is no object of parameters.
const NO_OBJECT: Code = Code("API061");
/// Attempts at once.
const SLOTS: usize = 64;
/// Between two looks at a run that is waited for.
const LOOK: Duration = Duration::from_millis(10);

/// What a handler returns. Any error will do; its text is kept with the attempt.
pub type HandlerResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Carries out the attempts of a job. A closure given to [`Scheduler::add`] does for most.
pub trait Handler: Send + Sync + 'static {
    /// What a run's parameters are read as: any type that serde reads from an object; `()` where there are none.
    type Input: DeserializeOwned;

    /// Carries out one attempt. It is called again, with the same [`Call::run`], when an attempt failed or was lost.
    ///
    /// # Errors
    /// Why it failed; the job's retry policy says what follows.
    fn handle(&self, input: Self::Input, call: &Call) -> HandlerResult;
}

/// Why a scheduler did not do what it was asked, for people: what, why, and what to do instead.
#[derive(Debug)]
pub struct Error(Vec<Diagnostic>);

impl Error {
    /// The page that explains it: `punctual explain CODE`.
    pub fn code(&self) -> Option<Code> {
        self.0.first().map(|diagnostic| diagnostic.code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Error {}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Definition(diagnostics) => Self(diagnostics),
            other => {
                let diagnostic = Diagnostic::error(other.code(), other.to_string());
                Self(vec![other.hint().into_iter().fold(diagnostic, Diagnostic::hint)])
            }
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        EngineError::Store(error).into()
    }
}

fn unusable(why: impl fmt::Display) -> Error {
    Error(vec![Diagnostic::error(UNUSABLE, format!("the scheduler cannot be run: {why}"))])
}

/// A scheduler that has not been started.
pub struct Scheduler {
    engine: Engine,
    lock: Lock,
    jobs: Vec<JobSpec>,
    handlers: Handlers,
    slots: usize,
}

impl Scheduler {
    /// Opens a data directory, or makes one. It belongs to this process until the scheduler ends.
    ///
    /// # Errors
    /// It cannot be used, another process has it, or its store is damaged or of a later version.
    pub fn open(data: impl AsRef<Path>) -> Result<Self, Error> {
        let directory = data.as_ref();
        let failed = |why: &dyn fmt::Display| {
            let message = format!("the data directory {} cannot be used: {why}", directory.display());
            Error(vec![Diagnostic::error(UNUSABLE, message)])
        };
        let data = DataDir::open(directory).map_err(|e| failed(&e))?;
        let lock = data.lock().map_err(|e| match e {
            LockError::Held(pid) => {
                let message = format!("process {pid} is using the data directory {}", directory.display());
                let hint = "give each scheduler a directory of its own";
                Error(vec![Diagnostic::error(TAKEN, message).hint(hint)])
            }
            LockError::Io(e) => failed(&e),
        })?;
        let options = SqliteOptions::new(punctual_engine::clock::since_boot);
        let store = Store::open_sqlite(&data.store(), options)?;
        let clock = Clock::guarded(&data);
        let engine = Engine::new(store, punctual_engine::zones::open(), clock, data);
        Ok(Self { engine, lock, jobs: Vec::new(), handlers: Handlers::new(), slots: SLOTS })
    }

    /// So many attempts run at once, by default 64.
    pub fn slots(&mut self, slots: usize) {
        self.slots = slots.max(1);
    }

    /// Adds a job and the closure that carries it out. The closure's first argument is what the run's parameters are
    /// read as: `()`, or any type that serde reads.
    ///
    /// # Errors
    /// The job's definition has errors, or a job of that name was added before.
    pub fn add<I, F>(&mut self, job: Job, handler: F) -> Result<(), Error>
    where
        I: DeserializeOwned + 'static,
        F: Fn(I, &Call) -> HandlerResult + Send + Sync + 'static,
    {
        self.add_handler(job, Closure { function: handler, input: PhantomData::<fn(I)> })
    }

    /// Adds a job and the handler that carries it out.
    ///
    /// # Errors
    /// The job's definition has errors, or a job of that name was added before.
    pub fn add_handler(&mut self, job: Job, handler: impl Handler) -> Result<(), Error> {
        let zones = self.engine.zones();
        let context = Context {
            env: &|_| None,
            read: &|_, path| Err(format!("{path} is not read by a program")),
            zones: &|name| zones.zone(name),
        };
        let loaded = load(&[Source::new(format!("job {}", job.name()), job.document())], &context);
        let loaded = loaded.map_err(Error)?;
        let name = job.name().to_owned();
        if self.handlers.insert(name.clone(), Arc::new(Typed(handler))).is_some() {
            let message = format!("a job named {name:?} was added before");
            return Err(Error(vec![Diagnostic::error(NAMED_TWICE, message).hint("give each its own name")]));
        }
        self.jobs.extend(loaded.jobs);
        Ok(())
    }

    /// Runs until the process gets SIGINT or SIGTERM; then handlers are told to end and waited for.
    ///
    /// # Errors
    /// It cannot start, or its store failed.
    pub fn run(self) -> Result<(), Error> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(unusable)?;
        let mut running = self.start()?;
        let inbox = running.engine.inbox().clone();
        let handle = signals.handle();
        let told = std::thread::Builder::new().name("signals".into()).spawn(move || {
            if signals.forever().next().is_some() {
                inbox.send(Message::Shutdown(AtStop::End));
            }
        });
        let result = running.wait_for_end();
        handle.close();
        let _ = told.map(JoinHandle::join);
        result
    }

    /// Starts it on a thread of its own. Jobs that an earlier start of this program had and this one has not are
    /// retired: they fire no more, their history stays.
    ///
    /// # Errors
    /// It cannot start.
    pub fn start(self) -> Result<Running, Error> {
        let Self { engine, lock, jobs, handlers, slots } = self;
        let program = std::env::current_exe().unwrap_or_default();
        let owner = format!("the program {}", program.file_name().unwrap_or_default().to_string_lossy());
        block_on(engine.apply(jobs, &owner, ApplyMode::Apply, true))?;
        let observer = Box::new(Remarks);
        let (work, orphan_timeout) = (Work::Handlers(handlers), Duration::ZERO);
        let options = Options { slots, shadow: false, owner, work, orphan_timeout, observer };
        let daemon = Daemon::start(engine.clone(), lock, options).map_err(unusable)?;
        let router = punctual_server::router::router(engine.clone());
        let listening = punctual_server::listen::serve_unix(&engine.data().socket(), router);
        let listening = listening.map_err(|diagnostic| Error(vec![*diagnostic]))?;
        let thread = std::thread::Builder::new().name("scheduler".into()).spawn(move || daemon.run());
        Ok(Running { engine, _listening: listening, thread: Some(thread.map_err(unusable)?) })
    }
}

/// A scheduler that runs. Dropping it stops it.
pub struct Running {
    engine: Engine,
    _listening: Listening,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Running {
    /// Starts a run of a job now, durably: once this returns, it survives the process. With a `key`, a repeat within
    /// 24 hours is the run that the first one made. `input` becomes the run's parameters: an object, or `()` for none.
    ///
    /// # Errors
    /// There is no such job, the input is no object, or the store could not do it.
    pub fn submit(&self, job: &str, key: Option<&str>, input: &impl Serialize) -> Result<RunId, Error> {
        let params = match serde_json::to_value(input) {
            Ok(Value::Object(params)) => params,
            Ok(Value::Null) => Map::new(),
            other => {
                let message = format!("the input of a run is an object, not {}", other.unwrap_or_default());
                let hint = "put it into a struct or a map";
                return Err(Error(vec![Diagnostic::error(NO_OBJECT, message).hint(hint)]));
            }
        };
        Ok(block_on(self.engine.submit(job, key.map(str::to_owned), params))?.run)
    }

    /// A run as it stands; `None` if there is none of that id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn look(&self, run: RunId) -> Result<Option<Run>, Error> {
        Ok(block_on(self.engine.store().run(run))?)
    }

    /// Waits until a run has ended, and says how. `None` if there is none of that id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn wait(&self, run: RunId) -> Result<Option<Verdict>, Error> {
        loop {
            match self.look(run)?.map(|run| run.state) {
                None => return Ok(None),
                Some(RunState::Finished { verdict, .. }) => return Ok(Some(verdict)),
                Some(_) => std::thread::sleep(LOOK),
            }
        }
    }

    /// Ends it: handlers are told to end and waited for, as long as their jobs' `grace` says.
    ///
    /// # Errors
    /// Its store failed.
    pub fn stop(mut self) -> Result<(), Error> {
        self.engine.inbox().send(Message::Shutdown(AtStop::End));
        self.wait_for_end()
    }

    fn wait_for_end(&mut self) -> Result<(), Error> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result.map_err(unusable),
            Some(Err(_)) => Err(unusable("it panicked")),
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.engine.inbox().send(Message::Shutdown(AtStop::End));
        // Whoever drops it has no use for the reason.
        let _ = self.wait_for_end();
    }
}

struct Closure<I, F> {
    function: F,
    input: PhantomData<fn(I)>,
}

impl<I, F> Handler for Closure<I, F>
where
    I: DeserializeOwned + 'static,
    F: Fn(I, &Call) -> HandlerResult + Send + Sync + 'static,
{
    type Input = I;

    fn handle(&self, input: I, call: &Call) -> HandlerResult {
        (self.function)(input, call)
    }
}

/// A handler whose input is read from the run's parameters.
struct Typed<H>(H);

impl<H: Handler> handlers::Handler for Typed<H> {
    fn handle(&self, call: &Call) -> Result<(), String> {
        let input = read(call.params()).map_err(|e| format!("its parameters cannot be read: {e}"))?;
        self.0.handle(input, call).map_err(|e| e.to_string())
    }
}

/// No parameters are an object without any, or nothing at all: whichever the type takes.
fn read<I: DeserializeOwned>(params: &str) -> Result<I, serde_json::Error> {
    if params.is_empty() {
        return serde_json::from_str("null").or_else(|_| serde_json::from_str("{}"));
    }
    serde_json::from_str(params)
}

/// Says on standard error what people should know of the scheduler itself.
struct Remarks;

impl Observer for Remarks {
    fn finished(&mut self, _: &punctual_core::job::Job, _: &Run) {}

    fn notice(&self, _: &punctual_core::job::Job, _: &Run) -> String {
        String::new()
    }

    fn remark(&mut self, text: &str) {
        eprintln!("punctual: {text}");
    }
}
