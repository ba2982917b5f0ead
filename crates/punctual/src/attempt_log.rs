//! The attempt log: a line for each attempt that ended, in a file that is rotated by size.
//!
//! ```text
//! [2025-04-05T10:23:45Z] task_id=task-789 level=WARN duration=120s status=timeout host=node-3
//! ```
//! That form is fixed to the byte: other programs read it. What more is known of an attempt is in the JSON form.
//! A thread of its own writes, so that a disk that hangs holds up nothing; what waits for it is bounded, and what
//! is left out is counted. The history is the record; this file is for those who read logs.

use punctual_core::attempt::{Attempt, Outcome};
use punctual_core::run::{Run, RunState};
use punctual_core::time::Timestamp;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

/// A file that is longer is put aside.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The file and those put aside, `.1` the newest.
const FILES_MAX: usize = 8;
/// Lines that may wait for the disk.
const LINES_WAITING_MAX: usize = 10_000;
/// So long the last lines may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// `[TIME] task_id=RUN level=… duration=…s status=… host=…`
    #[default]
    Text,
    /// A JSON object a line, with the job, the attempt and its start too
    Json,
}

/// What a line says.
#[derive(Debug, Serialize)]
struct Line<'a> {
    time: String,
    task_id: String,
    level: &'static str,
    duration_s: i64,
    status: &'static str,
    host: &'a str,
    job: &'a str,
    attempt: Option<u32>,
    start_time: Option<String>,
    end_time: String,
    exit_code: Option<i32>,
    signal: Option<i32>,
    class: &'a str,
    reason: Option<&'a str>,
}

/// The line of the last attempt of a run; of a run that ended without any, that it was skipped.
pub fn line(format: LogFormat, job: &str, run: &Run, host: &str) -> String {
    let line = match (run.attempts.last(), &run.state) {
        (Some(attempt), _) => of_attempt(job, run, attempt, host),
        (None, RunState::Finished { at, verdict, .. }) => {
            Line { level: "WARN", status: "skipped", class: verdict.as_str(), ..blank(job, run, *at, host) }
        }
        // Nothing has happened that could be told.
        (None, _) => return String::new(),
    };
    match format {
        LogFormat::Json => serde_json::to_string(&line).expect("a line is plain data"),
        LogFormat::Text => format!(
            "[{}] task_id={} level={} duration={}s status={} host={}",
            line.time, line.task_id, line.level, line.duration_s, line.status, line.host
        ),
    }
}

fn of_attempt<'a>(job: &'a str, run: &Run, attempt: &'a Attempt, host: &'a str) -> Line<'a> {
    let (status, level) = match attempt.outcome {
        Outcome::Success => ("success", "INFO"),
        Outcome::Timeout => ("timeout", "WARN"),
        Outcome::Interrupted | Outcome::Cancelled => ("interrupted", "WARN"),
        Outcome::Lost => ("lost", "ERROR"),
        _ => ("failed", "ERROR"),
    };
    let length = attempt.started.map_or(Duration::ZERO, |started| attempt.finished.since(started));
    Line {
        level,
        status,
        duration_s: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        attempt: Some(attempt.number),
        start_time: attempt.started.map(|at| at.to_string()),
        exit_code: attempt.exit.code,
        signal: attempt.exit.signal,
        class: attempt.outcome.as_str(),
        reason: attempt.exit.reason.as_deref(),
        ..blank(job, run, attempt.finished, host)
    }
}

fn blank<'a>(job: &'a str, run: &Run, at: Timestamp, host: &'a str) -> Line<'a> {
    Line {
        time: Timestamp::from_secs(at.as_secs()).to_string(),
        task_id: run.id.to_string(),
        level: "",
        duration_s: 0,
        status: "",
        host,
        job,
        attempt: None,
        start_time: None,
        end_time: at.to_string(),
        exit_code: None,
        signal: None,
        class: "",
        reason: None,
    }
}

/// The file, as those who write to it see it.
#[derive(Debug)]
pub struct AttemptLog {
    lines: Option<SyncSender<String>>,
    left_out: Arc<AtomicU64>,
    /// Ends once all lines are written.
    written: Receiver<()>,
}

impl AttemptLog {
    /// Writes to the file at `path` from now on; `complain` is told what goes wrong, once until it goes well again.
    pub fn open(path: PathBuf, complain: fn(String)) -> Self {
        let (lines, waiting) = mpsc::sync_channel::<String>(LINES_WAITING_MAX);
        let (writing, written) = mpsc::channel();
        let left_out = Arc::new(AtomicU64::new(0));
        let lost = left_out.clone();
        let work = move || {
            let mut file = Rotating::new(path, FILE_BYTES_MAX);
            let mut failing = false;
            for line in waiting {
                let result = file.write(&line);
                let lost = lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    complain(format!("punctual: {lost} lines were left out of {}", file.path.display()));
                }
                if let (Err(error), false) = (&result, failing) {
                    complain(format!("punctual: {} cannot be written to: {error}", file.path.display()));
                }
                failing = result.is_err();
            }
            drop(writing);
        };
        if let Err(error) = std::thread::Builder::new().name("attempt-log".into()).spawn(work) {
            complain(format!("punctual: attempts are not logged: {error}"));
        }
        Self { lines: Some(lines), left_out, written }
    }

    /// Writes a line, at once or soon; where too many wait it is left out.
    pub fn write(&self, line: String) {
        if self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_err()) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for AttemptLog {
    /// Waits a moment for the last lines.
    fn drop(&mut self) {
        self.lines = None;
        let _ = self.written.recv_timeout(LAST_LINES);
    }
}

/// A file that is put aside when it is full, and made again when somebody has moved it away.
#[derive(Debug)]
struct Rotating {
    path: PathBuf,
    bytes_max: u64,
    file: Option<File>,
}

impl Rotating {
    fn new(path: PathBuf, bytes_max: u64) -> Self {
        Self { path, bytes_max, file: None }
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let result = self.current().and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if result.is_err() {
            self.file = None;
        }
        result
    }

    /// The file that is at the path and has room.
    fn current(&mut self) -> io::Result<&File> {
        let there = std::fs::symlink_metadata(&self.path).ok();
        let ours = self.file.as_ref().and_then(|file| file.metadata().ok());
        let same = ours.zip(there).is_some_and(|(a, b)| (a.dev(), a.ino()) == (b.dev(), b.ino()));
        if !same {
            self.file = Some(open(&self.path)?);
        }
        let full = |file: &File| file.metadata().is_ok_and(|m| m.len() >= self.bytes_max);
        if self.file.as_ref().is_some_and(full) {
            self.put_aside()?;
            self.file = Some(open(&self.path)?);
        }
        Ok(self.file.as_ref().expect("it was just opened"))
    }

    fn put_aside(&self) -> io::Result<()> {
        for number in (1..FILES_MAX - 1).rev() {
            match std::fs::rename(aside(&self.path, number), aside(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, aside(&self.path, 1))
    }
}

fn aside(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn open(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_follow).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Scratch;
    use punctual_core::attempt::Exit;
    use punctual_core::id::{Fence, JobId, NodeId, Revision, RunId};
    use punctual_core::run::Verdict;

    fn run(outcome: Option<Outcome>, secs: f64) -> Run {
        let finished = Timestamp::parse_rfc3339("2025-04-05T10:23:45.9Z").expect("an instant");
        let started = Timestamp::from_micros(finished.as_micros() - (secs * 1e6) as i64);
        let attempt = |outcome| Attempt {
            number: 2,
            node: NodeId(1),
            started: Some(started),
            finished,
            outcome,
            exit: Exit { code: Some(3), ..Exit::default() },
        };
        Run {
            id: RunId(1),
            job: JobId(1),
            trigger: None,
            revision: Revision(1),
            key: String::new(),
            nominal: finished,
            due: finished,
            state: RunState::Finished { at: finished, verdict: Verdict::Expired, reason: None },
            fence: Fence(1),
            retries: 0,
            losses: 0,
            params: String::new(),
            queue: "normal".to_owned(),
            priority: 5,
            attempts: outcome.map(attempt).into_iter().collect(),
        }
    }

    fn text(outcome: Option<Outcome>, secs: f64) -> String {
        line(LogFormat::Text, "backup", &run(outcome, secs), "node-3")
            .replace(&RunId(1).to_string(), "task-789")
    }

    #[test]
    fn a_line_is_fixed_to_the_byte() {
        let expected = |level: &str, secs: u32, status: &str| {
            format!(
                "[2025-04-05T10:23:45Z] task_id=task-789 level={level} duration={secs}s status={status} host=node-3"
            )
        };
        for (outcome, level, status) in [
            (Outcome::Timeout, "WARN", "timeout"),
            (Outcome::Success, "INFO", "success"),
            (Outcome::Failed, "ERROR", "failed"),
            (Outcome::SpawnFailed, "ERROR", "failed"),
            (Outcome::Lost, "ERROR", "lost"),
            (Outcome::Interrupted, "WARN", "interrupted"),
            (Outcome::Cancelled, "WARN", "interrupted"),
        ] {
            assert_eq!(text(Some(outcome), 120.999), expected(level, 120, status));
        }
        assert_eq!(text(None, 0.0), expected("WARN", 0, "skipped"));
    }

    #[test]
    fn json_says_more() {
        let text = line(LogFormat::Json, "backup", &run(Some(Outcome::Failed), 1.5), "node-3");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["job"], "backup");
        assert_eq!((json["attempt"].as_i64(), json["exit_code"].as_i64()), (Some(2), Some(3)));
        assert_eq!((&json["status"], &json["class"]), (&"failed".into(), &"failed".into()));
        assert_eq!(json["start_time"], "2025-04-05T10:23:44.4Z");
        assert_eq!(json["end_time"], "2025-04-05T10:23:45.9Z");
        assert!(!text.contains('\n'));
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let scratch = Scratch::new("attempt-log-rotates");
        let path = scratch.path().join("attempts.log");
        let mut file = Rotating::new(path.clone(), 20);
        for number in 0..40 {
            file.write(&format!("line {number:04}")).expect("written");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "line 0038\nline 0039\n");
        assert_eq!(std::fs::read_to_string(aside(&path, 1)).expect("there"), "line 0036\nline 0037\n");
        assert_eq!(std::fs::read_to_string(aside(&path, 7)).expect("there"), "line 0024\nline 0025\n");
        assert_eq!(std::fs::read_dir(scratch.path()).expect("there").count(), FILES_MAX);
        // One that goes on after a restart takes what is there for its own.
        Rotating::new(path.clone(), 1000).write("more").expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "line 0038\nline 0039\nmore\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_again() {
        let scratch = Scratch::new("attempt-log-moved");
        let path = scratch.path().join("attempts.log");
        let log = AttemptLog::open(path.clone(), |text| panic!("{text}"));
        log.write("one".to_owned());
        drop(log);
        let mut file = Rotating::new(path.clone(), 1000);
        file.write("two").expect("written");
        std::fs::rename(&path, scratch.path().join("taken")).expect("moved");
        file.write("three").expect("written");
        assert_eq!(std::fs::read_to_string(scratch.path().join("taken")).expect("there"), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "three\n");
    }
}
