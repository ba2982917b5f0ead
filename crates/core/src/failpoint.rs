//! Fail points: named places in the code at which a test lets the process end, stop or meet an error.
//!
//! Debug builds and the feature `failpoints` have them; in a release each is nothing. What happens at one is decided by
//! a hook that the binary installs when it is told to; without one, nothing does. This crate does no I/O: the hook does.

use std::fmt;
use std::sync::OnceLock;

/// Whether this build has fail points.
pub const BUILT_IN: bool = cfg!(any(debug_assertions, feature = "failpoints"));

/// All of them. In the order of a run's life, then of the store's and the daemon's.
pub const POINTS: [&str; 35] = [
    // The daemon's cycle.
    "cycle.before",
    "cycle.decide",
    "cycle.after-write",
    "start.before-request",
    "start.after-request",
    "report.received",
    "settle.before",
    "settle.after",
    "ack.before",
    // The supervisor.
    "supervisor.before-spawn",
    "supervisor.after-spawn",
    "supervisor.after-journal",
    "supervisor.at-exit",
    "supervisor.before-end-journal",
    "supervisor.after-end-journal",
    "supervisor.acknowledged",
    "supervisor.attached",
    // The store's writer and its archiver.
    "store.before-begin",
    "store.after-decide",
    "store.before-commit",
    "store.after-commit",
    "store.migrate",
    "store.close",
    "archive.before-rename",
    "archive.before-register",
    "store.prune",
    // The daemon's beginning and end, and what people ask of it.
    "recover.before",
    "recover.after",
    "attach.before",
    "attach.during",
    "attach.after",
    "apply.before-write",
    "apply.after-write",
    "shutdown.begin",
    "shutdown.settled",
];

/// What a hook says of a point: true, it fails.
pub type Hook = fn(&'static str) -> bool;

static HOOK: OnceLock<Hook> = OnceLock::new();

/// An error that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected(
    /// Where.
    pub &'static str,
);

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fail point {}", self.0)
    }
}

impl std::error::Error for Injected {}

/// Installs what decides; the first one stays.
pub fn install(hook: Hook) {
    let _ = HOOK.set(hook);
}

/// A place that can fail.
///
/// # Errors
/// The hook says so.
#[inline]
pub fn reach(point: &'static str) -> Result<(), Injected> {
    if !BUILT_IN {
        return Ok(());
    }
    debug_assert!(POINTS.contains(&point), "{point} is not in the list");
    match HOOK.get() {
        Some(hook) if hook(point) => Err(Injected(point)),
        _ => Ok(()),
    }
}

/// A place that cannot fail otherwise.
///
/// # Panics
/// The hook says that it fails.
#[inline]
pub fn pass(point: &'static str) {
    if let Err(injected) = reach(point) {
        panic!("{injected}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_do_what_the_hook_says_and_without_one_nothing() {
        assert_eq!(reach("cycle.before"), Ok(()));
        install(|point| point == "cycle.decide");
        assert_eq!(reach("cycle.before"), Ok(()));
        assert_eq!(reach("cycle.decide"), Err(Injected("cycle.decide")));
        assert!(std::panic::catch_unwind(|| pass("cycle.decide")).is_err());
        pass("cycle.before");
    }
}
