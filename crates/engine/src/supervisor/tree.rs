//! A job's process tree: its group, and what left the group but still carries the run's mark.

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs;

/// The environment variable by which a process of a run is known, wherever it moved to.
pub const MARK: &str = "PUNCTUAL_RUN_ID";

/// Sends `signal` to the group that `leader` leads. A group that is gone is no error.
pub fn signal_group(leader: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(leader) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Kills every process that carries the mark of one of `runs`; how many it found.
///
/// Processes of other users can only be seen by root, who alone can have started them.
pub fn kill_marked(runs: &[String]) -> usize {
    let mut found = 0;
    for pid in processes() {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        let marked = environment.split(|b| *b == 0).any(|entry| {
            entry
                .strip_prefix(MARK.as_bytes())
                .and_then(|e| e.strip_prefix(b"="))
                .is_some_and(|value| runs.iter().any(|run| run.as_bytes() == value))
        });
        if marked && !is_dead(pid) {
            found += 1;
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
    found
}

/// When a process started, in clock ticks since boot; with its pid it names a process for good.
pub fn start_ticks(pid: i32) -> Option<u64> {
    stat_field(pid, 19)?.parse().ok()
}

/// Whether any process of the group that `leader` leads is alive.
pub fn group_alive(leader: i32) -> bool {
    processes()
        .any(|pid| stat_field(pid, 2).is_some_and(|group| group == leader.to_string()) && !is_dead(pid))
}

/// The children of the calling thread's process, adopted ones included.
pub fn own_children() -> Vec<i32> {
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn is_dead(pid: i32) -> bool {
    stat_field(pid, 0).is_none_or(|state| state == "Z" || state == "X")
}

/// A field of /proc/PID/stat, counted from the one after the name: 0 state, 1 parent, 2 group, 19 start.
fn stat_field(pid: i32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(index).map(str::to_owned)
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).filter(move |pid| *pid != own)
}
