//! The journal of starts: which process leads which attempt's group, by pid and start time, and since when. From it
//! the next daemon makes sure of their end, and learns which of the attempts that were lost had started.
//!
//! ```text
//! boot BOOT-ID
//! + RUN FENCE PID TICKS MICROSECONDS      it started
//! - RUN FENCE                             its tree is gone
//! ```
//! Only the groups of attempts that have not ended are killed: the number of one that has may by now be the number
//! of somebody else's.

use super::cgroup;
use super::protocol::AttemptId;
use super::tree;
use crate::clock;
use rustix::process::Signal;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So many attempts that have ended stay known: more than can have ended without the daemon having recorded it.
const ENDED_KEPT: usize = 2000;
/// A journal of more lines is written anew.
const LINES_MAX: usize = 20_000;

/// Appended to by the supervisor. Lines survive its death, and need not survive the machine's.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
    alive: BTreeMap<AttemptId, String>,
    ended: VecDeque<(AttemptId, String)>,
}

impl Journal {
    /// Begins a new journal at `path`; what the last one held must have been seen to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = begin(path, &format!("boot {}\n", clock::boot_id()))?;
        let (alive, ended) = (BTreeMap::new(), VecDeque::new());
        Ok(Self { path: path.to_owned(), file, lines: 1, alive, ended })
    }

    /// Notes that `pid` leads the group of an attempt since `at_us`, microseconds since the epoch.
    pub fn started(&mut self, attempt: &AttemptId, pid: i32, at_us: i64) {
        // A leader that is gone has no start time; its group may live on all the same.
        let ticks = tree::start_ticks(pid).unwrap_or(0);
        let line = format!("+ {} {} {pid} {ticks} {at_us}\n", attempt.run, attempt.fence);
        self.note(&line);
        self.alive.insert(attempt.clone(), line);
    }

    /// Notes that nothing of an attempt is left.
    pub fn ended(&mut self, attempt: &AttemptId) {
        let Some(start) = self.alive.remove(attempt) else { return };
        self.note(&end_line(attempt));
        self.ended.push_back((attempt.clone(), start));
        if self.ended.len() > ENDED_KEPT {
            self.ended.pop_front();
        }
        if self.lines > LINES_MAX {
            self.write_anew();
        }
    }

    /// A line is one write, so that a supervisor that is killed leaves whole lines or none.
    fn note(&mut self, line: &str) {
        self.lines += 1;
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            _ = writeln!(std::io::stderr(), "punctual: the journal of starts cannot be written: {error}");
        }
    }

    fn write_anew(&mut self) {
        let mut text = format!("boot {}\n", clock::boot_id());
        text.extend(self.alive.values().map(String::as_str));
        for (attempt, start) in &self.ended {
            text += start;
            text += &end_line(attempt);
        }
        self.lines = text.lines().count();
        match begin(&self.path, &text) {
            Ok(file) => self.file = file,
            // The old one goes on; it is tried again after as many lines.
            Err(error) => {
                _ = writeln!(
                    std::io::stderr(),
                    "punctual: the journal of starts cannot be written anew: {error}"
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

fn end_line(attempt: &AttemptId) -> String {
    format!("- {} {}\n", attempt.run, attempt.fence)
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
    pub ended: bool,
}

/// The starts that the journal at `path` holds. There is none before the first supervisor; a torn last line is a
/// start that is not known to have happened. What started before the machine did has ended with it.
pub fn read(path: &Path) -> Vec<Start> {
    let journal = std::fs::read_to_string(path).unwrap_or_default();
    let whole = journal.rfind('\n').map_or("", |end| &journal[..end]);
    let this_boot = whole.lines().next() == Some(&format!("boot {}", clock::boot_id()));
    let mut starts: Vec<Start> = Vec::new();
    for line in whole.lines().skip(1) {
        let fields: Vec<&str> = line.split(' ').collect();
        if let ["-", run, fence] = fields[..] {
            let same = |s: &&mut Start| s.attempt.run == run && s.attempt.fence.to_string() == fence;
            starts.iter_mut().rev().find(same).into_iter().for_each(|start| start.ended = true);
        } else if let Some(start) = parse(&fields, !this_boot) {
            starts.push(start);
        }
    }
    starts
}

fn parse(fields: &[&str], ended: bool) -> Option<Start> {
    let ["+", run, fence, pid, ticks, at_us] = fields else { return None };
    let attempt = AttemptId { run: (*run).to_owned(), fence: fence.parse().ok()? };
    Some(Start {
        attempt,
        pid: pid.parse().ok()?,
        ticks: ticks.parse().ok()?,
        at_us: at_us.parse().ok()?,
        ended,
    })
}

/// Kills what is left of the supervisor of the journal at `path`, of the groups of `starts` that have not ended, and
/// of the marked processes of `runs`.
///
/// # Errors
/// Something is still alive after several rounds; its runs must not be called lost.
pub fn kill_survivors(path: &Path, starts: &[Start], runs: &[String]) -> Result<(), String> {
    for round in 0..50 {
        // First, for it may be about to become a job.
        let mut alive = tree::kill_supervisors(path);
        alive += tree::kill_marked(runs, path);
        for Start { pid, ticks, .. } in starts.iter().filter(|start| !start.ended) {
            // A pid with another start time is somebody else's, and a group lives on under its dead leader's number.
            let reused = tree::start_ticks(*pid).is_some_and(|t| t != *ticks);
            if !reused && tree::group_alive(*pid) {
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
    use super::*;

    fn scratch() -> PathBuf {
        std::env::temp_dir().join(format!("punctual-journal-{:x}", clock::random()))
    }

    fn attempt(number: i64) -> AttemptId {
        AttemptId { run: format!("run{number}"), fence: number }
    }

    #[test]
    fn ends_are_known_and_torn_lines_are_not() {
        let path = scratch();
        let mut journal = Journal::create(&path).expect("a scratch file");
        journal.started(&attempt(1), 1, 10);
        journal.started(&attempt(2), 1, 20);
        journal.ended(&attempt(1));
        journal.file.write_all(b"+ run3 3 4").expect("written");
        let starts = read(&path);
        std::fs::remove_file(&path).expect("removable");
        let seen: Vec<_> = starts.iter().map(|s| (s.attempt.fence, s.at_us, s.ended)).collect();
        assert_eq!(seen, [(1, 10, true), (2, 20, false)]);
        assert_eq!(starts[0].pid, 1);
    }

    #[test]
    fn a_journal_stays_short_and_keeps_what_is_alive() {
        let path = scratch();
        let mut journal = Journal::create(&path).expect("a scratch file");
        journal.started(&attempt(0), 1, 0);
        for number in 1..=11_000 {
            journal.started(&attempt(number), 1, number);
            journal.ended(&attempt(number));
        }
        let starts = read(&path);
        std::fs::remove_file(&path).expect("removable");
        assert!(starts.len() <= LINES_MAX, "{} starts", starts.len());
        assert_eq!(starts.iter().filter(|s| !s.ended).map(|s| s.at_us).collect::<Vec<_>>(), [0]);
        assert_eq!(starts.last().expect("one").at_us, 11_000);
    }

    #[test]
    fn what_started_before_the_machine_has_ended() {
        let path = scratch();
        std::fs::write(&path, "boot another\n+ run1 1 1 5 10\n").expect("a scratch file");
        let starts = read(&path);
        std::fs::remove_file(&path).expect("removable");
        assert!(starts[0].ended && starts[0].at_us == 10);
    }

    #[test]
    fn a_group_whose_attempt_has_ended_is_left_alone() {
        use std::os::unix::process::CommandExt;
        let mut other =
            std::process::Command::new("sleep").arg("60").process_group(0).spawn().expect("sleep starts");
        let pid = i32::try_from(other.id()).expect("a pid");
        let ticks = tree::start_ticks(pid).expect("it lives");
        let start = |ended| Start { attempt: attempt(1), pid, ticks, at_us: 0, ended };
        kill_survivors(&scratch(), &[start(true)], &[]).expect("nothing is there to kill");
        assert!(other.try_wait().expect("a child").is_none(), "it was killed");
        let reaper = std::thread::spawn(move || other.wait());
        kill_survivors(&scratch(), &[start(false)], &[]).expect("it dies");
        assert!(!reaper.join().expect("no panic").expect("a child").success());
    }
}
