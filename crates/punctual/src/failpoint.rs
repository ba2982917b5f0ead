//! What happens at a fail point, told by the environment of a test; see `punctual_core::failpoint`. A release has none,
//! and reads nothing of this.
//!
//! `PUNCTUAL_FAILPOINT` is `POINT=ACTION` or `POINT=ACTION@N`: at the N-th time that a process comes by. Actions: `abort`
//! kills it at once, `error` makes the place fail, `stop` suspends it until the test lets it go on. It happens once: the
//! first process that gets there makes the file `PUNCTUAL_FAILPOINT_MARK` with its pid in it, and where that is there
//! already nothing happens any more.

use punctual_core::failpoint::{BUILT_IN, POINTS, install};
use punctual_store::SqliteOptions;
use rustix::process::{Signal, getpid, kill_process};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Abort,
    Error,
    Stop,
}

#[derive(Debug, PartialEq, Eq)]
struct Order {
    point: &'static str,
    action: Action,
    /// From 1.
    time: u64,
}

static ORDER: OnceLock<(Order, PathBuf)> = OnceLock::new();
static PASSED: AtomicU64 = AtomicU64::new(0);

/// Does from now on what the environment says.
pub fn listen() {
    if !BUILT_IN {
        return;
    }
    let (Ok(order), Some(mark)) =
        (std::env::var("PUNCTUAL_FAILPOINT"), std::env::var_os("PUNCTUAL_FAILPOINT_MARK"))
    else {
        return;
    };
    match read(&order) {
        Some(order) => {
            let _ = ORDER.set((order, PathBuf::from(mark)));
            install(come_by);
        }
        None => eprintln!("punctual: PUNCTUAL_FAILPOINT={order} is no order of a fail point"),
    }
}

/// Segments of history end after so few rows that a test sees them end.
pub fn shorten(options: &mut SqliteOptions) {
    let rows = std::env::var("PUNCTUAL_FAILPOINT_SEGMENT_ROWS").ok().filter(|_| BUILT_IN);
    if let Some(rows) = rows.and_then(|text| text.parse().ok()) {
        options.segment_rows_max = rows;
    }
}

fn read(text: &str) -> Option<Order> {
    let (point, action) = text.split_once('=')?;
    let (action, time) = action.split_once('@').unwrap_or((action, "1"));
    let action = match action {
        "abort" => Action::Abort,
        "error" => Action::Error,
        "stop" => Action::Stop,
        _ => return None,
    };
    Some(Order { point: POINTS.iter().find(|known| **known == point)?, action, time: time.parse().ok()? })
}

fn come_by(point: &'static str) -> bool {
    let Some((order, mark)) = ORDER.get() else { return false };
    if order.point != point || PASSED.fetch_add(1, Ordering::SeqCst) + 1 < order.time {
        return false;
    }
    let Ok(mut file) = OpenOptions::new().write(true).create_new(true).open(mark) else { return false };
    // One write, so that who reads it reads all of it.
    let _ = file.write_all(format!("{}\n", std::process::id()).as_bytes());
    match order.action {
        Action::Abort => {
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort();
        }
        Action::Stop => kill_process(getpid(), Signal::STOP).is_err(),
        Action::Error => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_a_point_that_is_there() {
        assert_eq!(
            read("store.after-commit=stop@3"),
            Some(Order { point: "store.after-commit", action: Action::Stop, time: 3 })
        );
        assert_eq!(read("cycle.before=abort").map(|order| order.time), Some(1));
        for text in ["store.after-lunch=abort", "cycle.before", "cycle.before=faint", "cycle.before=abort@x"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
