//! Segments: history is appended to the newest one, and read and pruned by whole ones.
//!
//! A segment knows the bounds of what it holds, so that a read passes by those that cannot hold what it seeks.
//! Both stores keep the same bounds by the same rules.

use punctual_core::id::RunId;
use punctual_core::occurrence::Skip;
use punctual_core::run::{Run, RunState};
use punctual_core::time::Timestamp;
use std::ops::RangeInclusive;

/// Rows after which a segment is sealed, unless a store is opened with another number.
pub const SEGMENT_ROWS_MAX: u64 = 200_000;

const DAY_US: i64 = 86_400_000_000;

/// What is known of a segment without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    /// From 1, in the order of time.
    pub number: i64,
    /// The day (UTC, counted from the epoch) of its first rows; `None` while it is empty.
    pub day: Option<i64>,
    /// Rows of runs.
    pub runs: u64,
    /// Rows of skips.
    pub skips: u64,
    /// Nominal times in it, from the first to the last.
    pub nominal: Option<RangeInclusive<Timestamp>>,
    /// Run ids in it.
    pub ids: Option<RangeInclusive<RunId>>,
    /// The latest instant at which something in it was decided.
    pub at_max: Option<Timestamp>,
}

/// What a transaction is about to append.
pub(crate) struct Appends<'a> {
    /// Finished runs.
    pub runs: Vec<&'a Run>,
    /// Skips.
    pub skips: &'a [Skip],
}

impl Appends<'_> {
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.skips.is_empty()
    }

    /// The latest instant of a decision in it: the writer's only idea of what day it is.
    fn at(&self) -> Option<Timestamp> {
        self.runs.iter().map(|r| finished_at(r)).chain(self.skips.iter().map(|s| s.at)).max()
    }
}

/// When a finished run ended; the epoch for one that has not.
pub(crate) fn finished_at(run: &Run) -> Timestamp {
    match run.state {
        RunState::Finished { at, .. } => at,
        _ => Timestamp::EPOCH,
    }
}

impl Segment {
    /// An empty segment.
    pub fn empty(number: i64) -> Self {
        Self { number, ..Self::default() }
    }

    /// Whether what comes must go to a new segment: this one is full, or a day has ended.
    pub fn is_over(&self, rows_max: u64, appends: &Appends<'_>) -> bool {
        if self.runs + self.skips == 0 {
            return false;
        }
        let day = appends.at().map(day_of);
        self.runs + self.skips >= rows_max || (day.is_some() && day > self.day)
    }

    /// Counts what is appended.
    pub fn add(&mut self, appends: &Appends<'_>) {
        let Some(at) = appends.at() else { return };
        self.day = self.day.or(Some(day_of(at)));
        self.at_max = self.at_max.max(Some(at));
        self.runs += appends.runs.len() as u64;
        self.skips += appends.skips.len() as u64;
        for run in &appends.runs {
            widen(&mut self.nominal, run.nominal, run.nominal);
            widen(&mut self.ids, run.id, run.id);
        }
        for skip in appends.skips {
            widen(&mut self.nominal, skip.range.first, skip.range.last());
        }
    }

    /// Whether it may hold this run.
    pub fn may_hold(&self, run: RunId) -> bool {
        self.ids.as_ref().is_some_and(|ids| ids.contains(&run))
    }

    /// Whether it may hold a nominal time in [since, until), each `None` for any.
    pub fn may_touch(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
        self.nominal.as_ref().is_some_and(|held| {
            since.is_none_or(|since| *held.end() >= since) && until.is_none_or(|until| *held.start() < until)
        })
    }
}

fn day_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(DAY_US)
}

fn widen<T: Copy + Ord>(range: &mut Option<RangeInclusive<T>>, first: T, last: T) {
    *range = Some(match range.take() {
        Some(held) => (*held.start()).min(first)..=(*held.end()).max(last),
        None => first..=last,
    });
}
