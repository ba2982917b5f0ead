//! The journal of starts: which process leads which run's group, by pid and start time, so that the next daemon
//! can make sure of its end.

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

    /// Notes that `pid` leads the group of `run`.
    pub fn started(&mut self, run: &str, pid: i32) {
        let Some(ticks) = tree::start_ticks(pid) else { return };
        if let Err(error) = writeln!(self.file, "{run} {pid} {ticks}") {
            eprintln!("punctual: the journal of starts cannot be written: {error}");
        }
    }
}

/// Kills what is left of the groups in the journal at `path` and of the marked processes of `runs`.
///
/// # Errors
/// Something is still alive after several rounds; its runs must not be called lost.
pub fn kill_survivors(path: &Path, runs: &[String]) -> Result<(), String> {
    let journal = std::fs::read_to_string(path).unwrap_or_default();
    let groups: Vec<(i32, u64)> = journal.lines().filter_map(parse).collect();
    for round in 0..50 {
        let mut alive = tree::kill_marked(runs);
        for (pid, ticks) in &groups {
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

fn parse(line: &str) -> Option<(i32, u64)> {
    let mut fields = line.split(' ').skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
