//! The journal of a supervisor's session: whose it is, which process leads which attempt's group, by pid and start
//! time, and how the attempts ended whose ends the daemon has not acknowledged. From it the next daemon makes sure of the
//! processes' end once the supervisor is gone, and learns which attempts had started and how they ended.
//!
//! ```text
//! session NODE BOOT-ID
//! + RUN FENCE PID TICKS MICROSECONDS      it started
//! - {…}                                   its tree is gone; the whole of `Ended`
//! ```
//! Only the groups of attempts that have not ended are killed: the number of one that has may by now be the number
//! of somebody else's. An end that was acknowledged may still be read; the run's fence tells that it is known.

use super::cgroup;
use super::protocol::{AttemptId, Ended};
use super::tree;
use crate::clock;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A journal of more lines than this, beside those that are needed, is written anew.
const LINES_MAX: usize = 20_000;

/// Appended to by the supervisor. Lines survive its death, and need not survive the machine's.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    node: String,
    file: File,
    lines: usize,
    /// The last write may have left half a line.
    torn: bool,
    alive: BTreeMap<AttemptId, String>,
    ended: BTreeMap<AttemptId, Ended>,
}

impl Journal {
    /// Begins the journal of `node`'s session at `path`; what the last one held must have been seen to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path, node: &str) -> io::Result<Self> {
        let file = begin(path, &first_line(node))?;
        let (alive, ended) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { path: path.to_owned(), node: node.to_owned(), file, lines: 1, torn: false, alive, ended })
    }

    /// Notes that `pid` leads the group of an attempt since `at_us`, microseconds since the epoch.
    pub fn started(&mut self, attempt: &AttemptId, pid: i32, at_us: i64) {
        // A leader that is gone has no start time; its group may live on all the same.
        let ticks = tree::start_ticks(pid).unwrap_or(0);
        let line = format!("+ {} {} {pid} {ticks} {at_us}\n", attempt.run, attempt.fence);
        self.note(&line);
        self.alive.insert(attempt.clone(), line);
    }

    /// Notes how an attempt ended of which nothing is left, until that is acknowledged.
    pub fn ended(&mut self, ended: Ended) {
        self.note(&end_line(&ended));
        self.alive.remove(&ended.attempt);
        self.ended.insert(ended.attempt.clone(), ended);
        if self.lines > LINES_MAX + 2 * (self.alive.len() + self.ended.len()) {
            self.write_anew();
        }
    }

    /// The end of an attempt is recorded elsewhere.
    pub fn acknowledged(&mut self, attempt: &AttemptId) {
        self.ended.remove(attempt);
    }

    /// The ends that are not acknowledged.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &Ended> {
        self.ended.values()
    }

    /// Whether an attempt has ended and that is not acknowledged.
    pub fn has_ended(&self, attempt: &AttemptId) -> bool {
        self.ended.contains_key(attempt)
    }

    /// A line is one write, so that a supervisor that is killed leaves whole lines or none.
    fn note(&mut self, line: &str) {
        self.lines += 1;
        // A full disk may have taken half of the last line, which must not take this one with it.
        let text = if self.torn { format!("\n{line}") } else { line.to_owned() };
        let written = self.file.write_all(text.as_bytes());
        self.torn = written.is_err();
        if let Err(error) = written {
            _ = writeln!(std::io::stderr(), "punctual: the journal of jobs cannot be written: {error}");
        }
    }

    fn write_anew(&mut self) {
        let mut text = first_line(&self.node);
        text.extend(self.alive.values().map(String::as_str));
        text.extend(self.ended.values().map(end_line));
        self.lines = text.lines().count();
        match begin(&self.path, &text) {
            Ok(file) => (self.file, self.torn) = (file, false),
            // The old one goes on; it is tried again after as many lines.
            Err(error) => {
                _ = writeln!(
                    std::io::stderr(),
                    "punctual: the journal of jobs cannot be written anew: {error}"
                )
            }
        }
    }
}

/// Puts a file with `text` in the place of the one at `path`: whoever reads finds the one or the other, whole.
fn begin(path: &Path, text: &str) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&new, path)?;
    Ok(file)
}

fn first_line(node: &str) -> String {
    format!("session {node} {}\n", clock::boot_id())
}

fn end_line(ended: &Ended) -> String {
    format!("- {}\n", serde_json::to_string(ended).expect("an end is plain data"))
}

/// What the journal of a session that is over tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// The attempts that were started, in order.
    pub starts: Vec<Start>,
    /// The ends that were not acknowledged when the journal was last written anew, and all since; the latest last.
    pub ends: Vec<Ended>,
}

/// A start that a journal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What was started.
    pub attempt: AttemptId,
    /// The process that leads its group.
    pub pid: i32,
    /// When that process started, in clock ticks since boot; 0 if it was gone too soon to be asked.
    pub ticks: u64,
    /// When it started, microseconds since the epoch.
    pub at_us: i64,
    /// Whether its tree is known to be gone.
    pub gone: bool,
}

/// What the journal at `path` holds. There is none before the first supervisor; a torn line is something that is not
/// known to have happened. What started before the machine did has ended with it.
pub fn read(path: &Path) -> Past {
    let bytes = std::fs::read(path).unwrap_or_default();
    let journal = String::from_utf8_lossy(&bytes);
    let whole = journal.rfind('\n').map_or("", |end| &journal[..end]);
    let boot = whole.lines().next().and_then(|first| first.strip_prefix("session ")?.split(' ').nth(1));
    // A first line that cannot be read says nothing; pid and start time still name a process for good.
    let this_boot = boot.is_none_or(|boot| boot == clock::boot_id());
    let mut past = Past::default();
    for line in whole.lines() {
        if let Some(json) = line.strip_prefix("- ") {
            past.ends.extend(serde_json::from_str::<Ended>(json).ok());
        } else {
            past.starts.extend(start(line, !this_boot));
        }
    }
    let ended: std::collections::BTreeSet<&AttemptId> = past.ends.iter().map(|end| &end.attempt).collect();
    for start in past.starts.iter_mut().filter(|start| ended.contains(&start.attempt)) {
        start.gone = true;
    }
    past
}

fn start(line: &str, gone: bool) -> Option<Start> {
    let fields: Vec<&str> = line.split(' ').collect();
    let ["+", run, fence, pid, ticks, at_us] = fields[..] else { return None };
    let attempt = AttemptId { run: run.to_owned(), fence: fence.parse().ok()? };
    let (pid, ticks, at_us) = (pid.parse().ok()?, ticks.parse().ok()?, at_us.parse().ok()?);
    Some(Start { attempt, pid, ticks, at_us, gone })
}

/// Kills what is left of the supervisor of the journal at `path`, of the groups of `starts` that are not gone, and
/// of the marked processes of `runs`.
///
/// # Errors
/// Something is still alive after several rounds; its runs must not be called lost.
pub fn kill_survivors(path: &Path, starts: &[Start], runs: &[String]) -> Result<(), String> {
    for round in 0..50 {
        // First, for it may be about to become a job.
        let mut alive = tree::kill_supervisors(path);
        alive += tree::kill_marked(runs, path);
        for Start { pid, ticks, .. } in starts.iter().filter(|start| !start.gone) {
            // A pid with another start time is somebody else's, and a group lives on under its dead leader's number.
            let reused = tree::start_ticks(*pid).is_some_and(|t| t != *ticks);
            if !reused && tree::group_is_left(*pid, path) {
                tree::signal_group(*pid, Signal::KILL);
                alive += 1;
            }
        }
        if alive == 0 {
            return path.parent().map_or(Ok(()), cgroup::end_dead_sessions);
        }
        std::thread::sleep(Duration::from_millis(if round < 10 { 5 } else { 100 }));
    }
    Err("processes of earlier runs survive being killed; they may hang in the kernel".into())
}

#[cfg(test)]
mod tests {
    use super::super::protocol::SpawnError;
    use super::*;

    fn scratch() -> PathBuf {
        std::env::temp_dir().join(format!("punctual-journal-{:x}", clock::random()))
    }

    fn attempt(number: i64) -> AttemptId {
        AttemptId { run: format!("run{number}"), fence: number }
    }

    fn end(number: i64) -> Ended {
        let spawn_error = SpawnError { code: "EXE001".into(), message: "two\nlines".into(), hint: None };
        Ended {
            started_us: Some(number),
            code: Some(0),
            spawn_error: Some(spawn_error),
            ..Ended::at(attempt(number), number + 1)
        }
    }

    #[test]
    fn ends_are_known_whole_and_torn_lines_are_not() {
        let path = scratch();
        let mut journal = Journal::create(&path, "n").expect("a scratch file");
        journal.started(&attempt(1), 1, 10);
        journal.started(&attempt(2), 1, 20);
        journal.ended(end(1));
        // One that could not be started has an end without a start.
        journal.ended(end(5));
        journal.file.write_all(b"+ run3 3 4").expect("written");
        let past = read(&path);
        std::fs::remove_file(&path).expect("removable");
        let seen: Vec<_> = past.starts.iter().map(|s| (s.attempt.fence, s.at_us, s.gone)).collect();
        assert_eq!(seen, [(1, 10, true), (2, 20, false)]);
        assert_eq!(past.ends, [end(1), end(5)]);
    }

    #[test]
    fn half_a_line_that_a_full_disk_took_does_not_take_the_next_with_it() {
        let path = scratch();
        let mut journal = Journal::create(&path, "n").expect("a scratch file");
        journal.file.write_all(b"- {\"attempt\":{\"ru").expect("written");
        journal.torn = true;
        journal.ended(end(1));
        journal.started(&attempt(2), 1, 20);
        let past = read(&path);
        std::fs::remove_file(&path).expect("removable");
        assert_eq!((past.ends, past.starts.len()), (vec![end(1)], 1));
    }

    #[test]
    fn a_journal_stays_short_and_keeps_what_is_alive_or_not_acknowledged() {
        let path = scratch();
        let mut journal = Journal::create(&path, "n").expect("a scratch file");
        journal.started(&attempt(0), 1, 0);
        for number in 1..=11_000 {
            journal.started(&attempt(number), 1, number);
            journal.ended(end(number));
            if number != 7 {
                journal.acknowledged(&attempt(number));
            }
        }
        assert_eq!(journal.unacknowledged().map(|e| e.attempt.fence).collect::<Vec<_>>(), [7]);
        let past = read(&path);
        std::fs::remove_file(&path).expect("removable");
        assert!(past.starts.len() + past.ends.len() <= LINES_MAX, "{} starts", past.starts.len());
        assert_eq!(past.starts.iter().filter(|s| !s.gone).map(|s| s.at_us).collect::<Vec<_>>(), [0]);
        assert!(past.ends.contains(&end(7)) && past.ends.contains(&end(11_000)));
    }

    #[test]
    fn what_started_before_the_machine_has_ended_and_its_whole_ends_count() {
        let path = scratch();
        let text = format!("session n another\n+ run1 1 1 5 10\n+ run2 2 1 5 10\n{}", end_line(&end(2)));
        std::fs::write(&path, text).expect("a scratch file");
        let past = read(&path);
        std::fs::remove_file(&path).expect("removable");
        assert!(past.starts.iter().all(|start| start.gone) && past.starts.len() == 2);
        assert_eq!(past.ends, [end(2)]);
    }

    #[test]
    fn a_group_whose_attempt_has_ended_is_left_alone() {
        use std::os::unix::process::CommandExt;
        let mut other =
            std::process::Command::new("sleep").arg("60").process_group(0).spawn().expect("sleep starts");
        let pid = i32::try_from(other.id()).expect("a pid");
        let ticks = tree::start_ticks(pid).expect("it lives");
        let start = |gone| Start { attempt: attempt(1), pid, ticks, at_us: 0, gone };
        kill_survivors(&scratch(), &[start(true)], &[]).expect("nothing is there to kill");
        assert!(other.try_wait().expect("a child").is_none(), "it was killed");
        let reaper = std::thread::spawn(move || other.wait());
        kill_survivors(&scratch(), &[start(false)], &[]).expect("it dies");
        assert!(!reaper.join().expect("no panic").expect("a child").success());
    }
}
