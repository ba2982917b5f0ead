//! A schedule: instants in time. [`Schedule::next_after`] is the one timetable everything asks.

use crate::time::Timestamp;
use std::time::Duration;

/// Instants in time.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// At a fixed rate, on a grid through `anchor`, or a fixed delay after the last run's end.
    Every(Every),
    /// Once.
    At(Timestamp),
}

/// An interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Every {
    /// From one instant to the next, or from an end to the next start.
    pub interval: Duration,
    /// Grid or delay.
    pub pace: Pace,
    /// The grid's origin; `None` until the trigger's first apply anchors it.
    pub anchor: Option<Timestamp>,
    /// Before the first instant, counted from the first apply.
    pub initial_delay: Duration,
}

/// What an interval is measured from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// From one nominal time to the next, on a grid.
    #[default]
    FixedRate,
    /// From the end of a run.
    FixedDelay,
}

/// The search for a next instant gave up at its bound. It says nothing of what lies beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchLimit;
