//! The clock that everything is decided by: the wall clock behind the guard of `core`, kept across processes.

use crate::clock::{self, boot_id};
use crate::clock_file::{self, Seen};
use crate::data_dir::DataDir;
use punctual_core::guard::{Doubt, Guard, SYNCHRONISED_FOR, Sample, Turn, Verdict};
use punctual_core::spec::format_duration;
use punctual_core::time::{Timestamp, micros};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So often the newest instant is kept for the next process.
const KEPT_EVERY: Duration = Duration::from_secs(60);
/// Across a boot nothing was measured: a clock further back than this is told.
const BACK_MAX: Duration = punctual_core::guard::STEP_MAX;

/// A clock behind the guard.
#[derive(Debug)]
pub struct Guarded {
    source: Source,
    boot_id: String,
    /// Where the newest instant is kept.
    file: Option<PathBuf>,
    state: Mutex<State>,
    /// Whether somebody is asking the kernel whether its clock is synchronised.
    pub(crate) asking: AtomicBool,
}

#[derive(Debug)]
enum Source {
    Machine,
    Test { wall_us: AtomicI64, boot_us: AtomicI64 },
}

#[derive(Debug)]
struct State {
    guard: Guard,
    /// The first sample of this process.
    first: Sample,
    /// The newest instant of an earlier boot, while the wall clock is before it.
    before: Option<Timestamp>,
    kept: Option<Duration>,
    /// What people should be told, in order.
    remarks: Vec<String>,
    /// A step back was believed; what has been decided ahead is to be told.
    went_back: bool,
}

/// How a guarded clock stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockFacts {
    /// What time it is taken to be.
    pub now: Timestamp,
    /// What the wall clock says.
    pub wall: Timestamp,
    /// How much the wall clock has moved against the clock that counts suspended time, since this process was
    /// started, microseconds; positive: forward.
    pub moved_us: i64,
    /// The step that is not believed, if there is one.
    pub doubt: Option<Doubt>,
    /// How long it has been doubted.
    pub doubted_for: Duration,
    /// The newest instant of an earlier boot, while the wall clock is before it.
    pub before: Option<Timestamp>,
}

impl Guarded {
    /// The machine's clock, which goes on from what the last process of this data directory believed.
    pub fn machine(data: &DataDir) -> Self {
        Self::over(Source::Machine, boot_id(), Some(data.clock()))
    }

    /// A clock that stands at `at` until it is moved.
    pub fn manual(at: Timestamp) -> Self {
        let source = Source::Test { wall_us: at.as_micros().into(), boot_us: 1_000_000.into() };
        Self::over(source, String::new(), None)
    }

    fn over(source: Source, boot_id: String, file: Option<PathBuf>) -> Self {
        let first = source.sample();
        let seen = file.as_deref().and_then(clock_file::read);
        let mut before = None;
        let guard = match seen {
            Some(seen) if seen.boot_id == boot_id && seen.last.boot <= first.boot => Guard::since(seen.last),
            Some(seen) => {
                before = Some(seen.last.time).filter(|time| time.since(first.wall) > BACK_MAX);
                Guard::new(first)
            }
            None => Guard::new(first),
        };
        let remarks = before.map(|time| before_text(first.wall, time)).into_iter().collect();
        let state = State { guard, first, before, kept: None, remarks, went_back: false };
        Self { source, boot_id, file, state: Mutex::new(state), asking: AtomicBool::new(false) }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        let mut state = self.state();
        let sample = self.source.sample();
        let (now, turn) = state.guard.look(sample);
        state.turned(turn, sample);
        now
    }

    /// What time it was when the wall clock said `wall`: while a step is doubted, an instant that is nearer to the
    /// stepped clock than to time is off by the step.
    pub fn of_wall(&self, wall: Timestamp) -> Timestamp {
        let mut state = self.state();
        let sample = self.source.sample();
        let (now, turn) = state.guard.look(sample);
        state.turned(turn, sample);
        let off = |from: Timestamp| wall.since(from).max(from.since(wall));
        if state.guard.doubt().is_none() || off(now) <= off(sample.wall) {
            return wall;
        }
        let step = now.as_micros() - sample.wall.as_micros();
        Timestamp::from_micros(wall.as_micros().saturating_add(step))
    }

    /// How it stands.
    pub fn facts(&self) -> ClockFacts {
        let now = self.now();
        let sample = self.source.sample();
        let state = self.state();
        let expected = state.first.wall.saturating_add(sample.boot.saturating_sub(state.first.boot));
        let doubt = state.guard.doubt();
        ClockFacts {
            now,
            wall: sample.wall,
            moved_us: sample.wall.as_micros() - expected.as_micros(),
            doubted_for: doubt.map_or(Duration::ZERO, |doubt| sample.boot.saturating_sub(doubt.since)),
            doubt,
            before: state.before.filter(|before| before.since(now) > BACK_MAX),
        }
    }

    /// Believes the wall clock as it is: the step that was doubted, if one was.
    pub fn accept(&self) -> Option<Verdict> {
        let mut state = self.state();
        let sample = self.source.sample();
        let accepted = state.guard.accept(sample);
        state.turned(accepted.map(Turn::Confirmed), sample);
        state.kept = None;
        drop(state);
        self.keep();
        accepted
    }

    /// Hears whether the kernel says that its clock is synchronised. True if a step is believed by that.
    pub fn hear(&self, synchronised: bool) -> bool {
        let mut state = self.state();
        let sample = self.source.sample();
        let turn = state.guard.hear(synchronised, sample);
        state.turned(turn, sample);
        matches!(turn, Some(Turn::Confirmed(_)))
    }

    /// Whether a step is not believed yet.
    pub fn is_in_doubt(&self) -> bool {
        self.now();
        self.state().guard.doubt().is_some()
    }

    /// Keeps the newest believed instant for the next process, once a minute; a disk that does not take it is told
    /// of once.
    pub fn keep(&self) {
        let Some(file) = &self.file else { return };
        let last = {
            let mut state = self.state();
            let last = state.guard.last();
            if state.kept.is_some_and(|kept| last.boot.saturating_sub(kept) < KEPT_EVERY) {
                return;
            }
            state.kept = Some(last.boot);
            last
        };
        if let Err(error) = clock_file::write(file, &Seen { boot_id: self.boot_id.clone(), last }) {
            let text = format!(
                "{} cannot be written, and a step of the clock between two starts is not seen: {error}",
                file.display()
            );
            let mut state = self.state();
            if !state.remarks.contains(&text) {
                state.remarks.push(text);
            }
        }
    }

    /// What people should be told since the last time, and whether a step back was believed.
    pub fn take_remarks(&self) -> (Vec<String>, bool) {
        let mut state = self.state();
        let went_back = std::mem::take(&mut state.went_back);
        (std::mem::take(&mut state.remarks), went_back)
    }

    /// Lets time pass, on a clock that a test moves.
    pub fn advance(&self, by: Duration) {
        if let Source::Test { wall_us, boot_us } = &self.source {
            wall_us.fetch_add(micros(by), Ordering::SeqCst);
            boot_us.fetch_add(micros(by), Ordering::SeqCst);
        }
    }

    /// Sets the wall clock of a test forward or back.
    pub fn step(&self, micros: i64) {
        if let Source::Test { wall_us, .. } = &self.source {
            wall_us.fetch_add(micros, Ordering::SeqCst);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn sample(&self) -> Sample {
        match self {
            Self::Machine => clock::sample(),
            Self::Test { wall_us, boot_us } => Sample {
                wall: Timestamp::from_micros(wall_us.load(Ordering::SeqCst)),
                boot: Duration::from_micros(boot_us.load(Ordering::SeqCst).unsigned_abs()),
            },
        }
    }
}

impl State {
    /// Notes what a look changed.
    fn turned(&mut self, turn: Option<Turn>, sample: Sample) {
        let text = match turn {
            None => return,
            Some(Turn::Doubted(verdict)) => {
                let now = self.guard.last().at(sample.boot);
                format!(
                    "the clock was set {} and says {}; jobs go on by {now} until the kernel has been synchronised for \
                     {} s, or somebody confirms it: punctual doctor clock",
                    words(verdict),
                    sample.wall,
                    SYNCHRONISED_FOR.as_secs(),
                )
            }
            Some(Turn::Undone) => format!("the clock is back where it was: it is {}", sample.wall),
            Some(Turn::Confirmed(verdict)) => {
                self.went_back |= matches!(verdict, Verdict::Behind(_));
                format!(
                    "the clock was set {}, which is confirmed: jobs go on by {}",
                    words(verdict),
                    sample.wall
                )
            }
        };
        self.remarks.push(text);
    }
}

/// `1h forward`, `40s back`
pub fn words(verdict: Verdict) -> String {
    // Whole seconds: nobody set it to the microsecond.
    let whole = |by: Duration| format_duration(Duration::from_secs(by.as_secs()));
    match verdict {
        Verdict::Steady => "as it should be".into(),
        Verdict::Ahead(by) => format!("{} forward", whole(by)),
        Verdict::Behind(by) => format!("{} back", whole(by)),
    }
}

fn before_text(wall: Timestamp, before: Timestamp) -> String {
    format!(
        "the clock says {wall}, which is before {before}, when a daemon last looked at it before this boot; what had \
         been decided until then is not decided again"
    )
}
