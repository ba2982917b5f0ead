//! `punctual serve`: the daemon.

use crate::attempt_log::{self, AttemptLog, LogFormat};
use crate::commands::prune::KeepArgs;
use crate::data::Data;
use crate::definitions;
use crate::failpoint;
use punctual_core::error::{Code, Diagnostic};
use punctual_core::job::Job;
use punctual_core::run::Run;
use punctual_core::time::parse_duration;
use punctual_engine::apply::{ApplyMode, ChangeKind, JobChange};
use punctual_engine::block_on::block_on;
use punctual_engine::clock::{Clock, Monotonic};
use punctual_engine::data_dir::{DataDir, Lock, LockError};
use punctual_engine::error::EngineError;
use punctual_engine::inbox::{AtStop, Message};
use punctual_engine::retention;
use punctual_engine::run_loop::{Daemon, Observer, Options, Work};
use punctual_engine::shared::Engine;
use punctual_engine::supervisor::{self, protocol::Request};
use punctual_store::{SqliteOptions, Store};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

/// The data directory cannot be used.
pub const UNUSABLE: Code = Code("API016");
/// Another process has the data directory.
pub const TAKEN: Code = Code("API017");
/// Says something to people, who may be gone: a terminal that was closed or a full disk ends no daemon, and one that
/// takes nothing more does not hold it up.
macro_rules! say {
    ($($text:tt)*) => { speak(format!($($text)*)) };
}

/// Lines that may wait for standard error to take them; more are left out, and their number is told.
const LINES_WAITING_MAX: usize = 10_000;
/// So long the last lines may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

static SPOKEN: OnceLock<SyncSender<Spoken>> = OnceLock::new();
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

enum Spoken {
    Line(String),
    /// Dropped once all before it has been written.
    End(#[expect(dead_code, reason = "its drop is what is waited for")] mpsc::Sender<()>),
}

fn speak(line: String) {
    let spoken = SPOKEN.get_or_init(|| {
        let (sender, lines) = mpsc::sync_channel(LINES_WAITING_MAX);
        // Without the thread the channel is closed, and what is said is left out.
        let _ = std::thread::Builder::new().name("voice".into()).spawn(move || write_lines(&lines));
        sender
    });
    if spoken.try_send(Spoken::Line(line)).is_err() {
        LEFT_OUT.fetch_add(1, Ordering::Relaxed);
    }
}

fn write_lines(lines: &Receiver<Spoken>) {
    use std::io::Write;
    while let Ok(Spoken::Line(line)) = lines.recv() {
        let _ = writeln!(std::io::stderr(), "{line}");
        let left_out = LEFT_OUT.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let _ = writeln!(std::io::stderr(), "punctual: {left_out} lines were left out here");
        }
    }
}

/// Waits a moment for the last lines to be written.
fn hush() {
    let (end, ended) = mpsc::channel();
    if SPOKEN.get().is_some_and(|spoken| spoken.try_send(Spoken::End(end)).is_ok()) {
        let _ = ended.recv_timeout(LAST_WORDS);
    }
}

/// Served definitions no longer define any job.
const EMPTIED: Code = Code("API029");
/// So often the definitions are looked at for changes.
const WATCH: Duration = Duration::from_millis(500);
/// So long a start waits for a data directory whose holder does not answer: a command that found no daemon has the
/// store for a moment, and a daemon that ends does not answer any more.
const LOCK_WAIT: Duration = Duration::from_secs(7);
/// Between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Of a failed run's output a notification gets so many lines.
const NOTICE_LINES: usize = 50;
/// And of those no more than this.
const NOTICE_BYTES: u64 = 256 * 1024;

/// Run the daemon: fire the jobs, and answer the other commands.
///
/// It runs in the foreground. Jobs do not depend on it: SIGTERM ends the daemon alone, and the next one adopts the jobs
/// under way, however the last one ended. SIGINT (Ctrl-C) ends the jobs, too, each within its grace; twice kills them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual serve --definitions jobs.yaml
  punctual serve --data ./data --definitions ./jobs --shadow
  punctual serve --definitions jobs.yaml --at-stop end --orphan-timeout 1m")]
pub struct Args {
    #[command(flatten)]
    data: Data,
    /// File or directory of definitions to serve; changes are taken over while it runs
    #[arg(long, value_name = "PATH")]
    definitions: Option<PathBuf>,
    /// Record what would have started, and start nothing
    #[arg(long)]
    shadow: bool,
    /// `pool` runs as many attempts at once as there are slots, `single` one after the other
    #[arg(long, value_enum, default_value_t = Mode::Pool)]
    mode: Mode,
    /// Attempts that run at once in mode `pool`
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    slots: u16,
    /// What becomes of jobs under way when the daemon is told to end: `leave` them to the next one, or `end` them
    /// [default: leave at SIGTERM, end at SIGINT and where the daemon is process 1]
    #[arg(long, value_enum, value_name = "WHAT")]
    at_stop: Option<Stop>,
    /// So long jobs may live without a daemon; then they are ended. Suspended time does not count
    #[arg(long, default_value = "5m", value_name = "DURATION", value_parser = duration)]
    orphan_timeout: Duration,
    /// How the lines of ended attempts look, here and in `attempts.log` of the data directory
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
    #[command(flatten)]
    keep: KeepArgs,
}

/// What becomes of jobs at a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Stop {
    Leave,
    End,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
}

/// How many attempts run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    Single,
    Pool,
}

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let code = match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say!("{error}");
            ExitCode::from(1)
        }
    };
    hush();
    code
}

fn serve(args: &Args) -> Result<(), String> {
    let directory = args.data.directory();
    let data = DataDir::open(&directory).map_err(|e| {
        error(UNUSABLE, format!("the data directory {} cannot be used: {e}", directory.display()))
    })?;
    let lock = lock(&data).map_err(|e| match e {
        LockError::Held(pid) => {
            let holder = if pid.is_empty() { "another process".to_owned() } else { format!("process {pid}") };
            let message = format!("{holder} is using the data directory {}", directory.display());
            Diagnostic::error(TAKEN, message)
                .hint("stop it first, or choose another directory with --data")
                .to_string()
        }
        LockError::Io(e) => {
            error(UNUSABLE, format!("the data directory {} cannot be locked: {e}", directory.display()))
        }
    })?;
    let mut options = SqliteOptions::new(punctual_engine::clock::since_boot);
    failpoint::shorten(&mut options);
    let store = Store::open_sqlite(&data.store(), options).map_err(|e| error(e.code(), e.to_string()))?;
    let zones = punctual_engine::zones::open();
    let engine = Engine::new(store, zones, Clock::guarded(&data), data);
    let mut seen = Vec::new();
    let owner = match &args.definitions {
        Some(path) => {
            let owner = std::path::absolute(path).map_err(|e| e.to_string())?.to_string_lossy().into_owned();
            // Taken first: what changes while it is loaded is a change.
            seen = fingerprint(path);
            first_load(&engine, path, &owner)?;
            owner
        }
        None => String::new(),
    };
    // Not its path, where an upgrade may have put another version by the time a supervisor is needed.
    let program = PathBuf::from("/proc/self/exe");
    let options = Options {
        slots: if args.mode == Mode::Single { 1 } else { usize::from(args.slots) },
        shadow: args.shadow,
        owner: owner.clone(),
        work: Work::Processes(program),
        orphan_timeout: args.orphan_timeout,
        observer: Box::new(Voice::new(&engine, args.log_format)),
    };
    let daemon = Daemon::start(engine.clone(), lock, options)?;
    engine.set_keep(args.keep.keep());
    retention::start(engine.clone(), |text| say!("punctual: {text}"))
        .map_err(|e| format!("the thread that prunes cannot be started: {e}"))?;
    on_signals(&engine, args.at_stop)?;
    let router = punctual_server::router::router(engine.clone());
    let listening =
        punctual_server::listen::serve_unix(&engine.data().socket(), router).map_err(|e| e.to_string())?;
    if let Some(path) = args.definitions.clone() {
        watch(engine.clone(), path, owner, seen);
    }
    announce(&engine, args);
    let result = daemon.run();
    drop(listening);
    result
}

/// Takes the lock. A holder that answers on the socket is a daemon and keeps it; any other is about to let go.
fn lock(data: &DataDir) -> Result<Lock, LockError> {
    let limit = Monotonic::now().after(LOCK_WAIT);
    loop {
        match data.lock() {
            Err(LockError::Held(_))
                if !limit.until_from(Monotonic::now()).is_zero()
                    && punctual_server::listen::connect_unix(&data.socket()).is_err() =>
            {
                std::thread::sleep(LOCK_PAUSE);
            }
            result => return result,
        }
    }
}

fn error(code: Code, message: String) -> String {
    Diagnostic::error(code, message).to_string()
}

/// Loads the definitions; where they are wrong and the store has a configuration already, that one goes on.
fn first_load(engine: &Engine, path: &Path, owner: &str) -> Result<(), String> {
    match load(engine, path, owner) {
        Ok(changes) => {
            report(&changes);
            Ok(())
        }
        Err(error) => {
            let known = block_on(engine.jobs()).map(|jobs| jobs.len()).unwrap_or(0);
            say!("{error}");
            if known == 0 {
                return Err(format!("nothing is served: {} has errors", path.display()));
            }
            say!(
                "punctual: {} has errors; the last good configuration goes on ({})",
                path.display(),
                counted_jobs(known)
            );
            Ok(())
        }
    }
}

/// Why definitions were not taken over.
enum LoadError {
    /// They have errors.
    Definitions(String),
    /// The store could not take them now.
    Store(String),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Definitions(text) | Self::Store(text)) = self;
        f.write_str(text)
    }
}

/// Takes over what stands in the files, and notes for the doctor what keeps it from being in force.
fn load(engine: &Engine, path: &Path, owner: &str) -> Result<Vec<JobChange>, LoadError> {
    let result = try_load(engine, path, owner);
    let fault = result.as_ref().err().map(ToString::to_string);
    engine.set_definitions_fault(fault.and_then(|text| text.lines().next().map(str::to_owned)));
    result
}

fn try_load(engine: &Engine, path: &Path, owner: &str) -> Result<Vec<JobChange>, LoadError> {
    let loaded = definitions::load(&[path.to_owned()], engine.zones())
        .map_err(|errors| LoadError::Definitions(join(&errors)))?;
    if loaded.jobs.is_empty() {
        refuse_emptiness(engine, path, owner)?;
    }
    for warning in &loaded.warnings {
        say!("{warning}");
    }
    block_on(engine.apply(loaded.jobs, owner, ApplyMode::Apply, true)).map_err(|e| match e {
        EngineError::Definition(errors) => LoadError::Definitions(join(&errors)),
        e @ EngineError::Store(_) => LoadError::Store(error(e.code(), e.to_string())),
        e => LoadError::Definitions(error(e.code(), e.to_string())),
    })
}

/// No job at all, where there were some, is a file that was cut off rather than a wish.
fn refuse_emptiness(engine: &Engine, path: &Path, owner: &str) -> Result<(), LoadError> {
    let jobs = block_on(engine.jobs()).map_err(|e| LoadError::Store(error(e.code(), e.to_string())))?;
    let served = jobs.iter().filter(|job| job.row.owner == owner).count();
    if served == 0 {
        return Ok(());
    }
    let message = format!("{} defines no job any more, and served {served}", path.display());
    let hint = "if that is meant, pause them first, or leave one job in it";
    Err(LoadError::Definitions(Diagnostic::error(EMPTIED, message).hint(hint).to_string()))
}

fn join(errors: &[Diagnostic]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

fn report(changes: &[JobChange]) {
    for change in changes.iter().filter(|c| c.kind != ChangeKind::Unchanged) {
        let kind = format!("{:?}", change.kind).to_lowercase();
        say!("punctual: job {} is {kind} (revision {})", change.name, change.revision.0);
    }
}

/// Takes changed definitions over; bad ones are reported once and change nothing. `seen` is what was loaded.
///
/// A change is looked at once it has stood still from one look to the next: an editor or a copy writes in steps.
fn watch(engine: Engine, path: PathBuf, owner: String, mut seen: Fingerprint) {
    let work = move || {
        let mut changing = None;
        loop {
            std::thread::sleep(WATCH);
            let now = fingerprint(&path);
            if now == seen || changing.as_ref() != Some(&now) {
                changing = (now != seen).then_some(now);
                continue;
            }
            match load(&engine, &path, &owner) {
                Ok(changes) => report(&changes),
                Err(LoadError::Store(error)) => {
                    say!("{error}");
                    say!(
                        "punctual: the changed definitions could not be taken over yet; they are tried again"
                    );
                    continue;
                }
                Err(LoadError::Definitions(error)) => {
                    say!("{error}");
                    say!("punctual: the changed definitions have errors; the last good ones go on");
                }
            }
            seen = now;
        }
    };
    if let Err(error) = std::thread::Builder::new().name("definitions".into()).spawn(work) {
        say!("punctual: changes of the definitions will not be seen: {error}");
    }
}

/// Names, lengths and times of change of files.
type Fingerprint = Vec<(PathBuf, u64, Option<std::time::SystemTime>)>;

/// What changes when a file of `path` does, or a calendar file beside it.
fn fingerprint(path: &Path) -> Fingerprint {
    let list = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let beside = path.parent().filter(|_| path.is_file()).map(list);
    let calendars = beside.into_iter().flatten().filter(|file| file.extension().is_some_and(|e| e == "ics"));
    let mut files: Vec<_> = list(path)
        .chain(calendars)
        .chain([path.to_owned()])
        .filter_map(|file| {
            let facts = file.metadata().ok()?;
            Some((file, facts.len(), facts.modified().ok()))
        })
        .collect();
    files.sort();
    files
}

fn on_signals(engine: &Engine, wanted: Option<Stop>) -> Result<(), String> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals =
        signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|e| e.to_string())?;
    let (inbox, data) = (engine.inbox().clone(), engine.data().clone());
    let work = move || {
        let mut asked = false;
        for signal in signals.forever().filter(|s| *s != SIGHUP) {
            if asked && signal == SIGINT {
                // Asked twice from a keyboard. Should the supervisor not answer, its jobs end with their orphan timeout.
                let _ = supervisor::tell(&data, &[Request::Kill]);
                std::process::exit(130);
            }
            asked = true;
            match at_stop(wanted, signal == SIGINT, std::process::id()) {
                AtStop::End => {
                    say!("punctual: ending; jobs under way have their grace");
                    inbox.send(Message::Shutdown(AtStop::End));
                }
                AtStop::Leave => {
                    say!("punctual: ending; jobs under way go on");
                    inbox.send(Message::Shutdown(AtStop::Leave));
                }
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(work).map_err(|e| e.to_string())?;
    Ok(())
}

/// Process 1 takes all others of its container along, so it had better let them end well.
fn at_stop(wanted: Option<Stop>, interrupted: bool, pid: u32) -> AtStop {
    match wanted {
        Some(Stop::Leave) => AtStop::Leave,
        Some(Stop::End) => AtStop::End,
        None if interrupted || pid == 1 => AtStop::End,
        None => AtStop::Leave,
    }
}

fn announce(engine: &Engine, args: &Args) {
    let Ok(status) = block_on(engine.status()) else { return };
    let shadow = if args.shadow { " in shadow, starting nothing" } else { "" };
    say!(
        "punctual {} serves {}{shadow} from {} (zones {}, {})",
        status.version,
        counted_jobs(status.jobs),
        engine.data().root().display(),
        status.zones.0,
        status.zones.1,
    );
    let data = format!(" --data {}", args.data.directory().display());
    say!("look with: punctual{data} · punctual runs{data} · punctual why JOB{data}");
    for remark in block_on(engine.unenforced_limits()).unwrap_or_default() {
        say!("punctual: {remark}");
    }
    if rustix::process::geteuid().is_root() {
        let jobs = block_on(engine.jobs()).unwrap_or_default();
        let as_root = jobs.iter().filter(|j| runs_as_root(&j.spec)).count();
        if as_root > 0 {
            let jobs = counted_jobs(as_root);
            say!("punctual: {jobs} without runAs will run as root; set a runAs wherever root is not needed");
        }
    }
}

/// `1 job`, `2 jobs`
pub fn counted_jobs(count: usize) -> String {
    format!("{count} job{}", if count == 1 { "" } else { "s" })
}

fn runs_as_root(spec: &punctual_core::spec::JobSpec) -> bool {
    matches!(&spec.action, punctual_core::spec::ActionSpec::Run(process) if process.run_as.is_none())
}

/// What the daemon says on standard error.
struct Voice {
    engine: Engine,
    format: LogFormat,
    host: String,
    log: AttemptLog,
}

impl Voice {
    fn new(engine: &Engine, format: LogFormat) -> Self {
        let host = nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default();
        let log = AttemptLog::open(engine.data().attempt_log(), speak);
        Self { engine: engine.clone(), format, host, log }
    }

    fn tell(&mut self, job: &Job, run: &Run) {
        let line = attempt_log::line(self.format, &job.name, run, &self.host);
        self.log.write(line.clone());
        speak(line);
    }
}

impl Observer for Voice {
    fn attempted(&mut self, job: &Job, run: &Run) {
        self.tell(job, run);
    }

    fn finished(&mut self, job: &Job, run: &Run) {
        // One that came to no attempt has had no line yet.
        if run.attempts.is_empty() {
            self.tell(job, run);
        }
    }

    fn notice(&self, job: &Job, run: &Run) -> String {
        let trigger = run.trigger.and_then(|_| job.trigger_of(&run.key)).map(|t| t.name.as_str());
        let dto = punctual_server::dto::RunDto::new(run, &job.name, trigger, self.engine.clock().now());
        let json = serde_json::to_string(&dto).unwrap_or_default();
        let log = self.engine.data().log(run.id, u32::try_from(run.attempts.len()).unwrap_or(1));
        format!("{json}\n{}\n", tail(&log).unwrap_or_default())
    }

    fn remark(&mut self, text: &str) {
        say!("punctual: {text}");
    }
}

/// The last lines of an output, of which only the end is read, however long it is.
fn tail(log: &Path) -> std::io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(log)?;
    let from = file.metadata()?.len().saturating_sub(NOTICE_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(NOTICE_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text.lines().skip(usize::from(from > 0)).collect();
    lines.drain(..lines.len().saturating_sub(NOTICE_LINES));
    Ok(lines.join("\n"))
}
