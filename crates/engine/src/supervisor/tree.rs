//! A job's process tree: its group, and what left the group but still carries the run's mark.

use super::badge;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The environment variable by which a process of a run is known, wherever it moved to.
pub const MARK: &str = "PUNCTUAL_RUN_ID";

/// The word by which this program knows that it is to be a supervisor; the path of its journal follows.
pub const SUPERVISE: &str = "__supervise";

/// The word by which it knows that it is to become a job; the files of its orders and errors follow.
pub const LAUNCH: &str = "__launch";

/// The children of no more processes are asked for.
const DESCENDANTS_MAX: usize = 10_000;
/// More generations a process is not followed upwards.
const GENERATIONS_MAX: usize = 1000;

/// Sends `signal` to the group that `leader` leads. A group that is gone is no error.
pub fn signal_group(leader: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(leader) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Signals the group of `leader`, which must not have been reaped, and those of its descendants that have left it.
pub fn signal_tree(leader: i32, signal: Signal) {
    let outside = descendants(leader).into_iter().filter(|pid| group(*pid) != Some(leader));
    let outside: Vec<i32> = outside.collect();
    signal_group(leader, signal);
    for pid in outside.into_iter().filter_map(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The children of a process, theirs, and so on.
fn descendants(of: i32) -> Vec<i32> {
    let mut found = children(of);
    let mut next = 0;
    while next < found.len().min(DESCENDANTS_MAX) {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}

fn children(of: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn group(pid: i32) -> Option<i32> {
    stat_field(pid, 2)?.parse().ok()
}

/// Kills one process. False if it is gone, or is not this user's to kill.
pub fn kill(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

/// Kills every process that carries the mark or wears the badge of one of `runs`; how many it found. Those that another living
/// supervisor holds are spared: two data directories with the same definitions have runs of the same ids.
///
/// Processes of other users can only be seen by root, who alone can have started them.
pub fn kill_marked(runs: &[String], journal: &Path) -> usize {
    let badges: Vec<u64> = runs.iter().map(|run| badge::of_run(run)).collect();
    let marked = |pid: &i32| {
        mark(*pid).is_some_and(|mark| runs.contains(&mark))
            || (!runs.is_empty() && badge::of_process(*pid).is_some_and(|badge| badges.contains(&badge)))
    };
    let found = processes().filter(marked).filter(|pid| !is_dead(*pid) && !is_held_elsewhere(*pid, journal));
    found.filter(|pid| kill(*pid)).count()
}

/// Kills what runs as the supervisor of `journal`, or is a copy of it that has not become a job yet; how many.
pub fn kill_supervisors(journal: &Path) -> usize {
    let found = processes()
        .filter(|pid| supervised_journal(*pid).is_some_and(|j| j == journal.as_os_str().as_bytes()));
    found.filter(|pid| !is_dead(*pid) && kill(*pid)).count()
}

/// The run whose mark a process carries.
pub fn mark(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |entry: &[u8]| Some(entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")?.to_vec());
    String::from_utf8(environment.split(|b| *b == 0).find_map(value)?).ok()
}

/// When a process started, in clock ticks since boot; with its pid it names a process for good.
pub fn start_ticks(pid: i32) -> Option<u64> {
    stat_field(pid, 19)?.parse().ok()
}

/// Whether any process of the group that `leader` leads is alive, unless another living supervisor than `journal`'s
/// holds it: a copy of a data directory has the journal of jobs that are not its own.
pub fn group_is_left(leader: i32, journal: &Path) -> bool {
    processes().any(|pid| group(pid) == Some(leader) && !is_dead(pid) && !is_held_elsewhere(pid, journal))
}

/// The children of the calling thread's process, adopted ones included.
pub fn own_children() -> Vec<i32> {
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether a process has a supervisor of another journal above it.
fn is_held_elsewhere(pid: i32, journal: &Path) -> bool {
    let parent = |pid: &i32| stat_field(*pid, 1)?.parse().ok().filter(|parent: &i32| *parent > 0);
    std::iter::successors(Some(pid), parent)
        .take(GENERATIONS_MAX)
        .find_map(supervised_journal)
        .is_some_and(|other| other != journal.as_os_str().as_bytes())
}

/// The journal of the supervisor that a process is, if it is one.
fn supervised_journal(pid: i32) -> Option<Vec<u8>> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split(|b| *b == 0).skip(1);
    (words.next()? == SUPERVISE.as_bytes()).then(|| words.next().map(<[u8]>::to_vec))?
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
