//! What a spawned process inherits of the supervisor's own resource limits: a badge by which it stays known, and the
//! number of descriptors that it may have.
//!
//! A job can throw away its environment and leave its group and session (`env -i setsid …`), and what does both is
//! adopted without a name. Its resource limits it keeps. One of them, that of file locks, has meant nothing to Linux since
//! 2.4.25: it carries a hash of the run.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::sync::OnceLock;

/// Below this a number may be somebody's limit; a badge is never.
const LEAST: u64 = 1 << 40;

/// The limits that this process was started with: locks, descriptors.
static STARTED_WITH: OnceLock<(Rlimit, Rlimit)> = OnceLock::new();

/// Lets this process have as many descriptors as it may. Its jobs keep what it was started with: to many programs a
/// high limit is a long loop or a crash.
pub fn raise_descriptors() {
    let (_, files) = started_with();
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
}

fn started_with() -> (Rlimit, Rlimit) {
    let limits = || (getrlimit(Resource::Locks), getrlimit(Resource::Nofile));
    *STARTED_WITH.get_or_init(limits)
}

/// Spawns with what the processes of `run` are to inherit. What opens descriptors meanwhile may find none left.
pub fn with<T>(run: &str, spawn: impl FnOnce() -> T) -> T {
    let (locks, files) = started_with();
    let raised = getrlimit(Resource::Nofile);
    // Where the kernel refuses, the environment's mark has to do.
    let _ = setrlimit(Resource::Locks, Rlimit { current: Some(of_run(run)), ..locks });
    let _ = setrlimit(Resource::Nofile, files);
    let spawned = spawn();
    let _ = setrlimit(Resource::Nofile, raised);
    let _ = setrlimit(Resource::Locks, locks);
    spawned
}

/// The badge of a run: FNV-1a, kept off the numbers that mean something.
pub fn of_run(run: &str) -> u64 {
    let hash = run.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    LEAST | (hash >> 2)
}

/// The badge that a process wears.
pub fn of_process(pid: i32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
    line.split_whitespace().next()?.parse().ok().filter(|badge| *badge >= LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_throws_its_environment_away_keeps_its_badge() {
        let mut child = with("a-run", || Command::new("env").args(["-i", "setsid", "sleep", "60"]).spawn())
            .expect("it starts");
        let pid = i32::try_from(child.id()).expect("a pid");
        assert_eq!(of_process(pid), Some(of_run("a-run")));
        child.kill().and_then(|()| child.wait()).expect("it ends");
        assert_eq!(
            of_process(i32::try_from(std::process::id()).expect("a pid")),
            None,
            "and nobody else has it"
        );
    }

    #[test]
    fn badges_are_no_limits_and_differ() {
        let badges: std::collections::BTreeSet<u64> = (0..10_000).map(|n| of_run(&n.to_string())).collect();
        assert_eq!(badges.len(), 10_000);
        assert!(badges.iter().all(|badge| *badge >= LEAST && *badge < u64::MAX / 2));
    }
}
