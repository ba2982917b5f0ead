//! What is kept, and for how long: history by age, output by age, by bytes, and by the runs a job keeps.
//!
//! A pass looks at the files of `logs`, the newest day first, and removes those that are too old, or beyond the bytes
//! that may be kept. It never removes output of a run that has not ended, and by bytes nothing that was written to
//! in the last hour. A thread of its own makes passes, so that none delays a firing.
//!
//! By age nothing is removed unless the clock has kept pace with the time since boot for an hour, and no step of it is
//! in doubt: a clock that is wrong by a year must not empty the directory before anybody can set it right.

mod jobs;

use crate::clock::Monotonic;
use crate::data_dir::DataDir;
use crate::error::EngineError;
use crate::shared::Engine;
use punctual_core::id::RunId;
use punctual_core::time::Timestamp;
use punctual_store::{RUNS_MAX, RunFilter};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Between two passes.
const PAUSE: Duration = Duration::from_secs(600);
/// Before the first one: a start has other things to do.
const FIRST: Duration = Duration::from_secs(60);
/// The wall clock has to have kept pace for so long before it says what is old.
const CLOCK_CONFIRMED: Duration = Duration::from_secs(3600);
/// So far the two may part between two looks.
const CLOCK_DRIFT: Duration = Duration::from_secs(300);
/// What was written to so lately is not removed to make room.
const RECENT: Duration = Duration::from_secs(3600);
/// Files that one pass removes at most.
pub const FILES_MAX: u64 = 100_000;
/// A file takes whole blocks of this on a disk.
const BLOCK_BYTES: u64 = 4096;
/// In `logs`: the newest day of which output has been removed.
const PRUNED: &str = "pruned";

/// How much is kept; `None` is for ever, and all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// History of runs that ended, and of skips, at least so long.
    pub history: Option<Duration>,
    /// Output so long after it was last written to.
    pub output: Option<Duration>,
    /// Bytes of output on disk, the newest.
    pub output_bytes: Option<u64>,
}

impl Default for Keep {
    fn default() -> Self {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        Self { history: days(90), output: days(30), output_bytes: Some(10 << 30) }
    }
}

/// Whether a pass removes what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// It removes at most [`FILES_MAX`] files.
    Real,
    /// It says what it would remove.
    Dry,
}

/// What a pass removed, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Rows of history; `None` in a dry pass, which does not count them.
    pub history_rows: Option<u64>,
    /// Files of output.
    pub files: u64,
    /// What they took on disk.
    pub bytes: u64,
    /// What is kept takes so much.
    pub bytes_kept: u64,
    /// Whether there is more, for another pass.
    pub is_partial: bool,
}

/// What output takes on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Files.
    pub files: u64,
    /// Bytes of whole blocks.
    pub bytes: u64,
    /// The oldest day there is output of, as `2026-11-24`.
    pub oldest: Option<String>,
}

/// Starts the thread that makes passes by what the engine is to keep; `remark` is told what fails.
///
/// # Errors
/// There is no thread to be had.
pub fn start(engine: Engine, remark: impl Fn(String) + Send + 'static) -> io::Result<()> {
    let work = move || {
        // Floods of files must not take the processor from those who start jobs.
        let _ = rustix::process::setpriority_process(None, 10);
        let mut steadiness = Steadiness::new(engine.clock().now(), Monotonic::now());
        std::thread::sleep(FIRST);
        loop {
            let steady = steadiness.look(engine.clock().now(), Monotonic::now()) >= CLOCK_CONFIRMED;
            // What is written while a step is in doubt is stamped with the time that is doubted.
            let steady = steady && engine.clock().guard().is_none_or(|guard| guard.facts().doubt.is_none());
            let keep = engine.keep();
            let keep = if steady { keep } else { Keep { history: None, output: None, ..keep } };
            match crate::block_on::block_on(prune_once(&engine, &keep, Pass::Real)) {
                Ok(pruned) if pruned.is_partial => continue,
                Ok(_) => {}
                Err(error) => remark(format!("old history and output could not be removed: {error}")),
            }
            std::thread::sleep(PAUSE);
        }
    };
    std::thread::Builder::new().name("retention".into()).spawn(work).map(drop)
}

/// For how long the wall clock has gone as the clock of the boot.
struct Steadiness {
    since: Monotonic,
    wall: Timestamp,
    boot: Monotonic,
}

impl Steadiness {
    fn new(wall: Timestamp, boot: Monotonic) -> Self {
        Self { since: boot, wall, boot }
    }

    fn look(&mut self, wall: Timestamp, boot: Monotonic) -> Duration {
        let gone = boot.until_from(self.boot);
        let expected = self.wall.saturating_add(gone);
        let drift = wall.since(expected).max(expected.since(wall));
        if drift > CLOCK_DRIFT {
            self.since = boot;
        }
        (self.wall, self.boot) = (wall, boot);
        boot.until_from(self.since)
    }
}

/// One pass over history and output.
///
/// # Errors
/// The store failed, or the folder of the output cannot be read.
pub async fn prune_once(engine: &Engine, keep: &Keep, pass: Pass) -> Result<Pruned, EngineError> {
    let now = engine.clock().now();
    let history_rows = match (keep.history, pass) {
        (Some(age), Pass::Real) => Some(engine.store().prune_history(before(now, age)).await?),
        (None, Pass::Real) => Some(0),
        (_, Pass::Dry) => None,
    };
    // Known before the files are looked at: what starts later is written to later.
    let filter = RunFilter { unfinished: true, limit: RUNS_MAX, ..RunFilter::default() };
    let runs = engine.store().runs(filter).await?;
    let unfinished: BTreeSet<RunId> =
        runs.iter().filter(|run| !run.is_finished()).map(|run| run.id).collect();
    // Of more than are listed at once the older ones are not known: then none of that age is touched.
    let unknown_below = if unfinished.len() >= RUNS_MAX { unfinished.first().copied() } else { None };
    let is_live = |run: RunId| unfinished.contains(&run) || unknown_below.is_some_and(|first| run < first);
    let gone = jobs::prune(engine, pass).await?;
    // In a dry pass they are still there, and must not count twice.
    let gone_already = |path: &Path| gone.paths.contains(path);
    let pruned = prune_output(engine.data(), keep, now, pass, &is_live, &gone_already)
        .map_err(|e| EngineError::Output(format!("{}: {e}", engine.data().logs().display())))?;
    let (files, bytes) = (pruned.files + gone.paths.len() as u64, pruned.bytes + gone.bytes);
    Ok(Pruned { history_rows, files, bytes, ..pruned })
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(age))
}

/// A file of output.
struct Log {
    name: OsString,
    written_secs: i64,
    bytes: u64,
}

/// Removes output that is too old or too much. `is_live` says of which runs none is removed, `is_gone` which files are
/// as good as removed.
///
/// # Errors
/// The folder, or one of its days, cannot be read.
pub fn prune_output(
    data: &DataDir,
    keep: &Keep,
    now: Timestamp,
    pass: Pass,
    is_live: &dyn Fn(RunId) -> bool,
    is_gone: &dyn Fn(&Path) -> bool,
) -> io::Result<Pruned> {
    let mut pruned = Pruned::default();
    let recent = before(now, RECENT).as_secs();
    let old = keep.output.map(|age| before(now, age).as_secs());
    for day in days(&data.logs())?.into_iter().rev() {
        let mut emptied = false;
        let ran_secs =
            Timestamp::parse_rfc3339(&format!("{}T00:00:00Z", name(&day))).map_or(0, |t| t.as_secs());
        for log in logs_of(&day)? {
            let too_much = keep.output_bytes.is_some_and(|max| pruned.bytes_kept + log.bytes > max);
            let path = day.join(&log.name);
            if is_gone(&path) {
                continue;
            }
            // A run of long ago may have been carried out lately; one of today cannot be old.
            let too_old = old.is_some_and(|old| log.written_secs.max(ran_secs) < old);
            let goes = too_old || too_much && log.written_secs < recent;
            if !goes || run_of(&path).is_some_and(is_live) {
                pruned.bytes_kept += log.bytes;
                continue;
            }
            if pass == Pass::Real && pruned.files >= FILES_MAX {
                pruned.is_partial = true;
                return Ok(pruned);
            }
            if pass == Pass::Real {
                if !emptied {
                    note_pruned(&data.logs(), &day)?;
                    emptied = true;
                }
                remove(&path)?;
            }
            pruned.files += 1;
            pruned.bytes += log.bytes;
        }
        if pass == Pass::Real {
            // A day that still holds something stays.
            let _ = fs::remove_dir(&day);
        }
    }
    Ok(pruned)
}

/// What the output of a data directory takes.
///
/// # Errors
/// The folder cannot be read.
pub fn usage(data: &DataDir) -> io::Result<Usage> {
    let days = days(&data.logs())?;
    let mut usage = Usage { oldest: days.first().map(|day| name(day).to_owned()), ..Usage::default() };
    for day in &days {
        for log in logs_of(day)? {
            usage.files += 1;
            usage.bytes += log.bytes;
        }
    }
    Ok(usage)
}

/// Whether output of this run may have been removed; if not, an attempt without a file has printed nothing.
pub fn may_be_pruned(data: &DataDir, run: RunId) -> bool {
    let log = data.log(run, 1);
    let Some(day) = log.parent().map(name) else { return true };
    fs::read_to_string(data.logs().join(PRUNED)).is_ok_and(|newest| day <= newest.trim())
}

/// The folders of days, the oldest first.
fn days(logs: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(logs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let is_day = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let entries: Vec<DirEntry> = entries.collect::<io::Result<_>>()?;
    let mut days: Vec<PathBuf> = entries.iter().filter(|e| is_day(e)).map(DirEntry::path).collect();
    days.retain(|day| is_date(name(day)));
    days.sort();
    Ok(days)
}

/// `2026-11-24`; what else is there is none of ours.
fn is_date(name: &str) -> bool {
    let shape =
        |(at, byte): (usize, u8)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() };
    name.len() == 10 && name.bytes().enumerate().all(shape)
}

/// The files of a day, the one written to last first.
fn logs_of(day: &Path) -> io::Result<Vec<Log>> {
    let entries = match fs::read_dir(day) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut logs = Vec::new();
    for entry in entries {
        logs.extend(log_at(&entry?.path()));
    }
    logs.sort_by(|a, b| b.written_secs.cmp(&a.written_secs).then_with(|| b.name.cmp(&a.name)));
    Ok(logs)
}

/// A file of output; `None` if it is none, or has gone meanwhile.
fn log_at(path: &Path) -> Option<Log> {
    let meta = fs::symlink_metadata(path).ok()?;
    let is_log = meta.is_file() && path.extension().is_some_and(|end| end == "log");
    let bytes = meta.len().div_ceil(BLOCK_BYTES) * BLOCK_BYTES;
    is_log.then(|| Log {
        name: path.file_name().unwrap_or_default().to_owned(),
        written_secs: meta.mtime(),
        bytes,
    })
}

/// The run whose output a file is; its name begins with it.
fn run_of(log: &Path) -> Option<RunId> {
    name(log).split('-').next()?.parse().ok()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn remove(log: &Path) -> io::Result<()> {
    match fs::remove_file(log) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Notes that output of this day is removed, before it is.
fn note_pruned(logs: &Path, day: &Path) -> io::Result<()> {
    let note = logs.join(PRUNED);
    if fs::read_to_string(&note).is_ok_and(|newest| name(day) <= newest.trim()) {
        return Ok(());
    }
    let fresh = logs.join("pruned.new");
    fs::write(&fresh, format!("{}\n", name(day)))?;
    fs::rename(fresh, note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::FileTimes;
    use std::time::SystemTime;

    const NOW: Timestamp = Timestamp::from_secs(1_795_510_800);
    const DAY: u64 = 86_400;

    struct World(DataDir);

    impl World {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("punctual-retention-{:x}", crate::clock::random()));
            Self(DataDir::open(&path).expect("a scratch directory"))
        }

        /// The output of a run so many days old, written to when it ran.
        fn log(&self, days_old: u64, bytes: usize) -> (RunId, PathBuf) {
            self.written(days_old, days_old * DAY, bytes)
        }

        fn written(&self, days_old: u64, secs_ago: u64, bytes: usize) -> (RunId, PathBuf) {
            let nominal = before(NOW, Duration::from_secs(days_old * DAY));
            let run = RunId::derive("job", "t", &format!("{:x}", crate::clock::random()), nominal);
            let path = self.0.log(run, 1);
            fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
            fs::write(&path, vec![b'x'; bytes]).expect("written");
            let at = u64::try_from(NOW.as_secs()).expect("after 1970") - secs_ago;
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
            let file = fs::File::options().append(true).open(&path).expect("there");
            file.set_times(FileTimes::new().set_modified(at)).expect("set");
            (run, path)
        }

        fn prune(&self, keep: &Keep, pass: Pass) -> Pruned {
            prune_output(&self.0, keep, NOW, pass, &|_| false, &|_| false).expect("pruned")
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.0.root());
        }
    }

    fn keep(days: Option<u64>, bytes: Option<u64>) -> Keep {
        Keep { history: None, output: days.map(|d| Duration::from_secs(d * DAY)), output_bytes: bytes }
    }

    #[test]
    fn what_is_too_old_goes_and_its_day_with_it() {
        let world = World::new();
        let (old_run, old) = world.log(31, 10);
        let (new_run, new) = world.log(29, 10);
        // A run of long ago that was carried out lately.
        let (_, filled) = world.written(300, 60, 10);
        let dry = world.prune(&keep(Some(30), None), Pass::Dry);
        assert_eq!((dry.files, dry.bytes, dry.bytes_kept), (1, 4096, 8192));
        assert!(old.exists() && !may_be_pruned(&world.0, old_run));
        let real = world.prune(&keep(Some(30), None), Pass::Real);
        assert_eq!(real, dry);
        assert!(!old.exists() && !old.parent().expect("a day").exists());
        assert!(new.exists() && filled.exists());
        assert!(may_be_pruned(&world.0, old_run) && !may_be_pruned(&world.0, new_run));
        assert_eq!(world.prune(&keep(Some(30), None), Pass::Real).files, 0);
        assert_eq!(usage(&world.0).expect("read").files, 2);
    }

    #[test]
    fn what_is_too_much_goes_the_oldest_first_and_nothing_recent() {
        let world = World::new();
        let logs: Vec<PathBuf> = (0..5).map(|days| world.log(days, 5000).1).collect();
        let pruned = world.prune(&keep(None, Some(3 * 8192)), Pass::Real);
        assert_eq!((pruned.files, pruned.bytes, pruned.bytes_kept), (2, 2 * 8192, 3 * 8192));
        let left: Vec<bool> = logs.iter().map(|log| log.exists()).collect();
        assert_eq!(left, [true, true, true, false, false]);
        // Room for none: what was just written stays.
        assert_eq!(world.prune(&keep(None, Some(1)), Pass::Real).files, 2);
        assert!(logs[0].exists());
    }

    #[test]
    fn output_of_a_run_that_goes_on_stays() {
        let world = World::new();
        let (live, log) = world.log(400, 10);
        let (_, ended) = world.log(400, 10);
        let keep = keep(Some(1), Some(1));
        prune_output(&world.0, &keep, NOW, Pass::Real, &|run| run == live, &|_| false).expect("pruned");
        assert!(log.exists() && !ended.exists());
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let world = World::new();
        let (_, log) = world.log(400, 10);
        let beside = log.with_extension("txt");
        fs::write(&beside, "mine").expect("written");
        fs::create_dir(world.0.logs().join("mine")).expect("made");
        fs::write(world.0.logs().join("mine/a.log"), "mine").expect("written");
        let outside = world.0.root().join("outside");
        fs::create_dir(&outside).expect("made");
        fs::write(outside.join("a.log"), "mine").expect("written");
        std::os::unix::fs::symlink(&outside, world.0.logs().join("2020-01-01")).expect("linked");
        assert_eq!(
            prune_output(&world.0, &keep(Some(0), Some(0)), NOW, Pass::Real, &|_| false, &|_| false)
                .expect("pruned")
                .files,
            1
        );
        assert!(beside.exists() && world.0.logs().join("mine/a.log").exists());
        assert!(outside.join("a.log").exists());
    }

    #[test]
    fn a_clock_that_jumped_is_believed_after_an_hour() {
        let (start, hour) = (Monotonic::now(), Duration::from_secs(3600));
        let mut steadiness = Steadiness::new(NOW, start);
        assert_eq!(steadiness.look(NOW.saturating_add(hour), start.after(hour)), hour);
        let jumped = NOW.saturating_add(Duration::from_secs(365 * DAY));
        assert_eq!(steadiness.look(jumped, start.after(2 * hour)), Duration::ZERO);
        assert_eq!(steadiness.look(jumped.saturating_add(hour), start.after(3 * hour)), hour);
        assert_eq!(steadiness.look(NOW, start.after(4 * hour)), Duration::ZERO);
    }
}
