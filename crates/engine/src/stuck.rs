//! Attempts that run much longer than their job's usually do: a warning, nothing is ended.
//!
//! What is usual is learnt from the attempts that succeed under this daemon; the history is read only for a job that
//! it has seen too few of, and of which an attempt has been running for a minute.

use crate::node::Node;
use punctual_core::error::Code;
use punctual_core::id::{Fence, JobId, RunId};
use punctual_core::spec::format_duration;
use punctual_core::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// It runs much longer than usual.
const STUCK: Code = Code("RUN017");
/// So many of the newest successes say what is usual.
pub const SAMPLES_MAX: usize = 20;
/// Fewer say nothing.
pub const SAMPLES_MIN: usize = 5;
/// An attempt is stuck after so many times what nearly all of them take.
const TIMES: u32 = 3;
/// Below this nobody wants to be told.
const LEAST: Duration = Duration::from_secs(10);
/// After so long the history is asked about a job of which too little is known.
const ASK_AFTER: Duration = Duration::from_secs(60);
/// Of so many jobs is it remembered.
const JOBS_MAX: usize = 100_000;

/// How long an attempt has been running, against what is usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// When it started.
    pub started: Timestamp,
    /// 19 of 20 successful attempts of its job take no longer.
    pub usual: Duration,
}

impl Stuck {
    /// A sentence for people, as of `now`.
    pub fn told(&self, now: Timestamp) -> String {
        let whole = |d: Duration| {
            let seconds = Duration::from_secs(d.as_secs());
            format_duration(if seconds.is_zero() {
                Duration::from_millis(d.as_millis() as u64)
            } else {
                seconds
            })
        };
        let (so_far, usual) = (whole(now.since(self.started)), whole(self.usual));
        format!("has been running for {so_far}, and 19 of 20 take at most {usual} ({STUCK})")
    }
}

/// What is usual for each job, and when the attempts under way should be looked at.
#[derive(Debug, Default)]
pub struct Watch {
    took: BTreeMap<JobId, VecDeque<Duration>>,
    /// Jobs whose history has been asked for.
    asked: BTreeSet<JobId>,
    looks: BTreeSet<(Timestamp, RunId, Fence)>,
}

/// What a look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Attempts that are stuck, each named once.
    pub stuck: Vec<(RunId, Fence, Stuck)>,
    /// Jobs whose history should be asked how long they take.
    pub unknown: Vec<JobId>,
}

impl Watch {
    /// An attempt has started.
    pub fn started(&mut self, job: JobId, run: RunId, fence: Fence, at: Timestamp) {
        let after = match self.usual(job) {
            Some(usual) => limit(usual),
            None if self.asked.contains(&job) => return,
            None => ASK_AFTER,
        };
        self.looks.insert((at.saturating_add(after), run, fence));
    }

    /// An attempt has succeeded and took so long.
    pub fn succeeded(&mut self, job: JobId, took: Duration) {
        if self.took.len() >= JOBS_MAX && !self.took.contains_key(&job) {
            return;
        }
        let samples = self.took.entry(job).or_default();
        samples.push_back(took);
        if samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
    }

    /// What the history says of a job, newest first. `under_way` are its attempts, with their starts.
    pub fn learn(&mut self, job: JobId, took: &[Duration], under_way: &[(RunId, Fence, Timestamp)]) {
        let seen = self.took.remove(&job).unwrap_or_default();
        took.iter().rev().for_each(|took| self.succeeded(job, *took));
        if self.took.get(&job).is_none_or(|known| known.len() < seen.len()) {
            self.took.insert(job, seen);
        }
        under_way.iter().for_each(|(run, fence, at)| self.started(job, *run, *fence, *at));
    }

    /// When to look next.
    pub fn next(&self) -> Option<Timestamp> {
        self.looks.first().map(|(at, ..)| *at)
    }

    /// Looks at the attempts whose time has come. `under_way` tells job and start of one, if it is that still.
    pub fn look(
        &mut self,
        now: Timestamp,
        under_way: impl Fn(RunId, Fence) -> Option<(JobId, Timestamp)>,
    ) -> Look {
        let mut look = Look::default();
        while let Some(first) = self.looks.first().copied().filter(|(at, ..)| *at <= now) {
            self.looks.remove(&first);
            let (_, run, fence) = first;
            let Some((job, started)) = under_way(run, fence) else { continue };
            match self.usual(job) {
                Some(usual) if now >= started.saturating_add(limit(usual)) => {
                    look.stuck.push((run, fence, Stuck { started, usual }));
                }
                // What is usual has grown since.
                Some(usual) => _ = self.looks.insert((started.saturating_add(limit(usual)), run, fence)),
                None if self.asked.insert(job) => look.unknown.push(job),
                None => {}
            }
        }
        look
    }

    /// What 19 of 20 take at most; `None` if too few are known.
    fn usual(&self, job: JobId) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.took.get(&job)?.iter().copied().collect();
        sorted.sort_unstable();
        let place = (sorted.len() * 19).div_ceil(20).checked_sub(1)?;
        (sorted.len() >= SAMPLES_MIN).then(|| sorted[place])
    }
}

impl Node {
    /// When [`Node::look_at_length`] has something to look at.
    pub fn looks_at(&self) -> Option<Timestamp> {
        self.watch.next()
    }

    /// Looks for attempts that run much longer than usual.
    pub fn look_at_length(&mut self) -> Look {
        let running = &self.running;
        let look = self.watch.look(self.engine().clock().now(), |run, fence| {
            let under_way = running.get(&run).filter(|running| running.run.fence == fence)?;
            Some((under_way.run.job, under_way.started?))
        });
        for (run, fence, stuck) in
            look.stuck.iter().filter(|(run, fence, _)| !self.ended.contains_key(&(*run, *fence)))
        {
            self.engine().note_stuck(*run, *fence, *stuck);
        }
        look
    }

    /// Takes how long a job's attempts took, newest first, from its history.
    pub fn learn_length(&mut self, job: JobId, took: &[Duration]) {
        let mine = self.running.values().filter(|running| running.run.job == job);
        let mine = mine.filter_map(|running| Some((running.run.id, running.run.fence, running.started?)));
        let mine: Vec<_> = mine.collect();
        self.watch.learn(job, took, &mine);
    }
}

fn limit(usual: Duration) -> Duration {
    (usual * TIMES).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId(1);
    const RUN: RunId = RunId(7);
    const FENCE: Fence = Fence(1);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn watch(took: &[u64]) -> Watch {
        let mut watch = Watch::default();
        took.iter().for_each(|secs| watch.succeeded(JOB, Duration::from_secs(*secs)));
        watch
    }

    fn found(watch: &mut Watch, now: i64) -> Look {
        watch.look(at(now), |run, fence| (run == RUN && fence == FENCE).then_some((JOB, at(0))))
    }

    #[test]
    fn three_times_what_nearly_all_take_is_stuck_and_told_once() {
        let mut watch = watch(&[20, 21, 22, 23, 30]);
        watch.started(JOB, RUN, FENCE, at(0));
        assert_eq!(watch.next(), Some(at(90)));
        assert_eq!(found(&mut watch, 89), Look::default());
        let stuck = found(&mut watch, 90).stuck;
        assert_eq!(stuck, [(RUN, FENCE, Stuck { started: at(0), usual: Duration::from_secs(30) })]);
        assert_eq!(
            stuck[0].2.told(at(725)),
            "has been running for 12m5s, and 19 of 20 take at most 30s (RUN017)"
        );
        assert_eq!((found(&mut watch, 900), watch.next()), (Look::default(), None));
    }

    #[test]
    fn one_slow_success_of_twenty_is_not_what_is_usual() {
        let mut took = vec![10; 19];
        took.push(1000);
        assert_eq!(watch(&took).usual(JOB), Some(Duration::from_secs(10)));
        took.push(1000);
        assert_eq!(watch(&took).usual(JOB), Some(Duration::from_secs(1000)), "two of the last 20 are");
        assert_eq!(watch(&[1, 1, 1, 1]).usual(JOB), None);
    }

    #[test]
    fn a_short_job_is_not_stuck_after_a_moment() {
        let mut watch = watch(&[0; 20]);
        watch.started(JOB, RUN, FENCE, at(0));
        assert_eq!(watch.next(), Some(at(10)));
    }

    #[test]
    fn the_history_is_asked_once_about_a_job_that_takes_long() {
        let mut watch = watch(&[1]);
        watch.started(JOB, RUN, FENCE, at(0));
        assert_eq!(found(&mut watch, 60).unknown, [JOB]);
        watch.started(JOB, RunId(8), FENCE, at(61));
        assert_eq!(watch.next(), None, "the answer is on its way");
        let minutes: Vec<Duration> = (1..=6).map(|m| Duration::from_secs(60 * m)).collect();
        watch.learn(JOB, &minutes, &[(RUN, FENCE, at(0))]);
        assert_eq!(watch.next(), Some(at(18 * 60)));
        assert_eq!(found(&mut watch, 18 * 60).stuck.len(), 1);
    }

    #[test]
    fn what_has_ended_is_passed_by() {
        let mut watch = watch(&[20; 5]);
        watch.started(JOB, RUN, Fence(9), at(0));
        assert_eq!(found(&mut watch, 1000), Look::default());
    }
}
