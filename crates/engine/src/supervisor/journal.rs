//! The journal of starts: which process leads which attempt's group, by pid and start time, and since when. From it
//! the next daemon makes sure of their end, and learns which of the attempts that were lost had started.

use super::protocol::AttemptId;
use super::tree;
use rustix::process::Signal;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Appended to by the supervisor. Lines survive its death, and need not survive the machine's.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

impl Journal {
    /// Begins a new journal at `path`; what the last one held must have been seen to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Self { file })
    }

    /// Notes that `pid` leads the group of an attempt since `at_us`, microseconds since the epoch.
    pub fn started(&mut self, attempt: &AttemptId, pid: i32, at_us: i64) {
        let Some(ticks) = tree::start_ticks(pid) else { return };
        if let Err(error) = writeln!(self.file, "{} {} {pid} {ticks} {at_us}", attempt.run, attempt.fence) {
            eprintln!("punctual: the journal of starts cannot be written: {error}");
        }
    }
}

/// A start that a journal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What was started.
    pub attempt: AttemptId,
    /// The process that leads its group.
    pub pid: i32,
    /// When that process started, in clock ticks since boot.
    pub ticks: u64,
    /// When it started, microseconds since the epoch.
    pub at_us: i64,
}

/// The starts that the journal at `path` holds. There is none before the first supervisor; a torn last line is a
/// start that is not known to have happened.
pub fn read(path: &Path) -> Vec<Start> {
    let journal = std::fs::read_to_string(path).unwrap_or_default();
    journal.lines().filter_map(parse).collect()
}

/// Kills what is left of the groups of `starts` and of the marked processes of `runs`.
///
/// # Errors
/// Something is still alive after several rounds; its runs must not be called lost.
pub fn kill_survivors(starts: &[Start], runs: &[String]) -> Result<(), String> {
    for round in 0..50 {
        let mut alive = tree::kill_marked(runs);
        for Start { pid, ticks, .. } in starts {
            // A pid with another start time is somebody else's, and a group lives on under its dead leader's number.
            let reused = tree::start_ticks(*pid).is_some_and(|t| t != *ticks);
            if !reused && tree::group_alive(*pid) {
                tree::signal_group(*pid, Signal::KILL);
                alive += 1;
            }
        }
        if alive == 0 {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(if round < 10 { 5 } else { 100 }));
    }
    Err("processes of earlier runs survive being killed; they may hang in the kernel".into())
}

fn parse(line: &str) -> Option<Start> {
    let mut fields = line.split(' ');
    let attempt = AttemptId { run: fields.next()?.to_owned(), fence: fields.next()?.parse().ok()? };
    let (pid, ticks) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Start { attempt, pid, ticks, at_us: fields.next()?.parse().ok()? })
}
