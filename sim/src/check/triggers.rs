//! How a trigger may move: I-2 to I-5. Between an old cursor and a new one lies exactly what its timetable has, and each
//! nominal time has the fate that its policies say.

use super::{Checker, Commit, Doing};
use crate::plan::{Job, Keep, On, Trigger, When};
use crate::timetable::Table;
use punctual_core::occurrence::{Disposition, Reason};
use punctual_core::run::Verdict;
use punctual_core::time::Timestamp;
use punctual_store::row::{JobRow, TriggerRow};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Noticed no later than this, the newest occurrence is on time. Microseconds.
const ON_TIME: i64 = 60_000_000;

/// Nominal times that a firing may dispose of.
const TICKS_MAX: usize = 10_000;

/// What became of a nominal time, or should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes to admission.
    Runs,
    Rests(Disposition, Option<Reason>),
}

/// Whether a job that waits for `on` follows a run that ended so.
pub(super) fn follows(on: On, verdict: Verdict) -> bool {
    match on {
        On::Success => verdict == Verdict::Success,
        On::Failure => matches!(verdict, Verdict::Failed | Verdict::Timeout | Verdict::Lost),
        On::Any => true,
    }
}

impl Checker {
    /// Judges what a decision says of triggers.
    pub(super) fn check_triggers(&mut self, commit: &Commit<'_>) {
        let decision = commit.decision;
        let mut touched: BTreeSet<_> = decision.skips.iter().map(|skip| skip.trigger).collect();
        touched.extend(decision.runs_new.iter().filter_map(|run| run.trigger));
        touched.extend(decision.triggers.iter().map(|row| row.id));
        for taken in commit.taken {
            if let Some(run) = decision.runs_new.iter().find(|r| r.id == *taken && r.trigger.is_some()) {
                self.broken(
                    "I-3",
                    format!("the occurrence {} of {:?} found its place taken", run.key, run.trigger),
                );
            }
        }
        for id in touched {
            let old = self.triggers.get(&id).cloned();
            let new = decision.triggers.iter().find(|row| row.id == id).cloned().or_else(|| old.clone());
            let Some(new) = new else {
                self.broken("I-2", format!("trigger {} does not exist", id.0));
                continue;
            };
            let told = self.told_by(commit, &new);
            match &old {
                None => self.begins(commit, &new, &told),
                Some(old) => self.moves(commit, old, &new, &told),
            }
            self.triggers.insert(id, new);
        }
        // What a run or a job that changed means for triggers that were not written.
        let ids: Vec<_> = self.triggers.keys().copied().collect();
        for id in ids {
            let row = self.triggers[&id].clone();
            self.rests_rightly(commit, &row);
        }
    }

    /// The dispositions of a trigger in a decision, in the order of their times; no time has two.
    fn told_by(&mut self, commit: &Commit<'_>, row: &TriggerRow) -> BTreeMap<Timestamp, Fate> {
        let mut told = BTreeMap::new();
        let mut twice = Vec::new();
        for run in commit.decision.runs_new.iter().filter(|run| run.trigger == Some(row.id)) {
            if told.insert(run.nominal, Fate::Runs).is_some() {
                twice.push(run.nominal);
            }
        }
        for skip in commit.decision.skips.iter().filter(|skip| skip.trigger == row.id) {
            let fate = match skip.range.reason {
                Some(Reason::Overlap) => Fate::Runs,
                reason => Fate::Rests(skip.range.disposition, reason),
            };
            if skip.at != commit.now || skip.range.count == 0 {
                self.broken("I-5", format!("a skip is not what it says: {skip:?}"));
            }
            for at in skip.range.times() {
                if told.insert(at, fate).is_some() {
                    twice.push(at);
                }
            }
        }
        // Several runs of another job may end at one instant.
        let kind = self.definition_of(&commit.jobs_before, row).map(|(_, trigger)| trigger.when);
        let timed = matches!(kind, Some(When::Time(_)));
        for at in told.keys().filter(|_| timed) {
            if !self.told.insert((row.id, *at)) {
                twice.push(*at);
            }
        }
        if !matches!(kind, Some(When::After { .. })) {
            for at in twice {
                self.broken("I-3", format!("{at:?} of trigger {} is disposed of twice", row.id.0));
            }
        }
        told
    }

    fn definition_of(
        &self,
        jobs: &BTreeMap<punctual_core::id::JobId, JobRow>,
        row: &TriggerRow,
    ) -> Option<(Rc<Job>, Trigger)> {
        let definition = self.definition(row.job, jobs.get(&row.job)?.revision);
        let trigger = definition.triggers.iter().find(|trigger| trigger.name == row.name)?.clone();
        Some((definition, trigger))
    }

    /// A trigger that was not there: nothing is disposed of.
    fn begins(&mut self, commit: &Commit<'_>, row: &TriggerRow, told: &BTreeMap<Timestamp, Fate>) {
        let now = commit.now.as_micros();
        let fine = told.is_empty()
            && row.state.fired == 0
            && row.state.cursor <= commit.now
            && row.state.cursor.as_micros() > now - 1_000_000
            && row.state.anchor.as_micros() == (now + 999_999).div_euclid(1_000_000) * 1_000_000;
        if !fine {
            self.broken("I-3", format!("trigger {} begins at {now} as {row:?}", row.name));
        }
        self.next_is_right(row);
    }

    fn moves(
        &mut self,
        commit: &Commit<'_>,
        old: &TriggerRow,
        new: &TriggerRow,
        told: &BTreeMap<Timestamp, Fate>,
    ) {
        if new.state.cursor < old.state.cursor {
            self.broken("I-4", format!("trigger {}: {:?} became {:?}", new.id.0, old.state, new.state));
        }
        if new.state.anchor != old.state.anchor || new.job != old.job || new.name != old.name {
            self.broken("I-10", format!("trigger {} is another: {old:?}, {new:?}", new.id.0));
        }
        let Some(before) = commit.jobs_before.get(&old.job).cloned() else { return };
        let live = old.live && !before.retired;
        let definition = self.definition_of(&commit.jobs_before, old).filter(|_| live);
        let fired = match &definition {
            None => {
                if !told.is_empty() {
                    self.broken("I-2", format!("trigger {} fires and is not in force", old.id.0));
                }
                0
            }
            Some((job, trigger)) => match &trigger.when {
                When::Time(_) => self.fires_in_time(commit, (job, trigger), &before, (old, new), told),
                When::Delay { .. } => self.fires_delayed(commit, trigger, &before, old, told),
                When::After { .. } => {
                    let runs = commit.decision.runs_new.iter().filter(|run| run.trigger == Some(old.id));
                    let skips = commit.decision.skips.iter().filter(|skip| skip.trigger == old.id);
                    runs.count() as u64 + skips.map(|skip| skip.range.count).sum::<u64>()
                }
                When::Boot => self.fires_at_boot(commit, old),
            },
        };
        let edited = self.edited(commit, new);
        if new.state.fired != old.state.fired + fired {
            self.broken("I-3", format!("trigger {} counts {:?}, fired {fired} more", new.id.0, new.state));
        }
        let timed = matches!(&definition, Some((_, Trigger { when: When::Time(_), .. })));
        let last = told.keys().next_back().copied().filter(|_| timed).unwrap_or(old.state.cursor);
        let reached = match edited && new.live {
            true => new.state.cursor >= last && new.state.cursor.max(commit.now) == new.state.cursor,
            false => !timed || new.state.cursor == last,
        };
        if !reached && !self.jobs[&new.job].retired {
            self.broken("I-3", format!("trigger {}: {:?} became {:?}", new.id.0, old.state, new.state));
        }
        self.next_is_right(new);
    }

    fn edited(&self, commit: &Commit<'_>, row: &TriggerRow) -> bool {
        let now = &self.jobs[&row.job];
        commit
            .jobs_before
            .get(&row.job)
            .is_none_or(|b| b.revision != now.revision || b.retired != now.retired)
    }

    /// The fates of a timetable's instants. How many of them went to admission.
    fn fires_in_time(
        &mut self,
        commit: &Commit<'_>,
        (job, trigger): (&Rc<Job>, &Trigger),
        before: &JobRow,
        (old, new): (&TriggerRow, &TriggerRow),
        told: &BTreeMap<Timestamp, Fate>,
    ) -> u64 {
        let now = &self.jobs[&old.job];
        let turned = now.paused.is_some() != before.paused.is_some();
        let settles = (turned && self.doing != Doing::Cycle) || self.edited(commit, new);
        if told.is_empty() && new.state.cursor == old.state.cursor && !settles {
            return 0;
        }
        let table = trigger.table(old.state.anchor.as_secs()).expect("it is a rule in time");
        let used_up = trigger.runs_max.is_some_and(|max| old.state.fired >= max);
        let ticks = match used_up {
            true => Vec::new(),
            false => self.timetables.between(&table, old.state.cursor.as_micros(), commit.now.as_micros()),
        };
        let paused = before.paused.is_some() && self.doing != Doing::Resume(true);
        let mut expected = fates(job, trigger, &ticks, commit.now.as_micros(), paused, old.state.fired);
        if expected.len() > TICKS_MAX && told.len() > TICKS_MAX / 2 {
            // More than one firing may take; the rest is for the next.
            expected.truncate(told.len());
        }
        let same = expected.len() == told.len()
            && expected
                .iter()
                .zip(told)
                .all(|((at, fate), (got, told))| Timestamp::from_secs(*at) == *got && fate == told);
        if !same {
            let first = expected.iter().find(|(at, fate)| told.get(&Timestamp::from_secs(*at)) != Some(fate));
            let extra = told.keys().find(|at| {
                at.as_micros() % 1_000_000 != 0 || !expected.iter().any(|(tick, _)| *tick == at.as_secs())
            });
            let promise = match (first, extra) {
                (_, Some(_)) => "I-2",
                (Some((at, _)), None) if told.contains_key(&Timestamp::from_secs(*at)) => "I-5",
                _ => "I-3",
            };
            self.broken(
                promise,
                format!(
                    "trigger {} of {} at {:?}, from {:?}: {} expected, {} told; first wrong {first:?} (told {:?}), \
                     unexpected {extra:?}; {trigger:?}",
                    old.name,
                    job.name,
                    commit.now,
                    old.state.cursor,
                    expected.len(),
                    told.len(),
                    first.and_then(|(at, _)| told.get(&Timestamp::from_secs(*at))),
                ),
            );
        }
        self.due_is_right(commit, trigger, job, old);
        expected.iter().filter(|(_, fate)| *fate == Fate::Runs).count() as u64
    }

    /// I-2: jitter and spread.
    fn due_is_right(&mut self, commit: &Commit<'_>, trigger: &Trigger, job: &Job, row: &TriggerRow) {
        let runs = commit.decision.runs_new.iter().filter(|run| run.trigger == Some(row.id));
        let mut runs: Vec<_> = runs.collect();
        runs.sort_by_key(|run| run.nominal);
        for run in runs {
            let jittered = run.nominal.as_micros() + (trigger.jitter * 1_000_000 - 1).max(0);
            let count = match job.catch_up.keep {
                Keep::All(count) => i64::try_from(count).unwrap_or(1) - 1,
                _ => 0,
            };
            let spread = commit.now.as_micros() + count * job.catch_up.spread * 1_000_000;
            let latest = if count > 0 { jittered.max(spread) } else { jittered };
            if run.due.as_micros() > latest || run.due < run.nominal {
                self.broken("I-2", format!("run {} of {:?} is due at {:?}", run.id, run.nominal, run.due));
            }
        }
    }

    /// A fixed delay: one instant at a time, the one that was announced.
    fn fires_delayed(
        &mut self,
        commit: &Commit<'_>,
        trigger: &Trigger,
        before: &JobRow,
        old: &TriggerRow,
        told: &BTreeMap<Timestamp, Fate>,
    ) -> u64 {
        let settles = before.paused.is_none();
        let due = old.state.next_at.filter(|next| *next <= commit.now && settles);
        let fine = match (told.len(), due) {
            (0, _) => true,
            (1, Some(due)) => told.get(&due) == Some(&Fate::Runs),
            _ => false,
        };
        if !fine {
            self.broken("I-2", format!("the delay {trigger:?} was due {due:?} and told {told:?}"));
        }
        told.len() as u64
    }

    /// A boot trigger: only when a daemon starts, and only once a boot.
    fn fires_at_boot(&mut self, commit: &Commit<'_>, row: &TriggerRow) -> u64 {
        let runs: Vec<_> = commit
            .decision
            .runs_new
            .iter()
            .filter(|run| run.trigger == Some(row.id))
            .map(|r| &r.key)
            .collect();
        let skips = commit.decision.skips.iter().filter(|skip| skip.trigger == row.id).count();
        let count = runs.len() + skips;
        let fine = match &self.doing {
            Doing::Boot(id) => {
                let seen = self.dedup.contains_key(&(row.job, format!("boot:{id}")));
                count == 0 || count == 1 && !seen && runs.iter().all(|key| **key == format!("boot:{id}"))
            }
            _ => count == 0,
        };
        if !fine {
            self.broken("I-1", format!("boot trigger {} fires {count} times by {:?}", row.id.0, self.doing));
        }
        count as u64
    }

    /// What comes next is the first instant of the timetable after the cursor.
    fn next_is_right(&mut self, row: &TriggerRow) {
        let Some((_, trigger)) = self.definition_of(&self.jobs.clone(), row) else { return };
        let job = &self.jobs[&row.job];
        let rests = !row.live || job.retired || job.paused.is_some();
        let Some(table) = trigger.table(row.state.anchor.as_secs()) else { return };
        let used_up = trigger.runs_max.is_some_and(|max| row.state.fired >= max);
        let expected = match rests || used_up {
            true => None,
            false => self.next(&table, row.state.cursor),
        };
        if row.state.next_at != expected {
            let promise = if row.state.next_at.is_none() { "L-7" } else { "I-3" };
            self.broken(promise, format!("{trigger:?} is next at {expected:?}, not as in {row:?}"));
        }
    }

    fn next(&mut self, table: &Table, cursor: Timestamp) -> Option<Timestamp> {
        self.timetables.next(table, cursor.as_micros()).map(Timestamp::from_secs)
    }

    /// A trigger that is not in force has no next instant; a fixed delay has one, or a run that has not ended.
    fn rests_rightly(&mut self, commit: &Commit<'_>, row: &TriggerRow) {
        let job = &self.jobs[&row.job];
        let rests = !row.live || job.retired || job.paused.is_some();
        let quarantined = job.paused.as_ref().is_some_and(|pause| pause.reason.starts_with("quarantined"));
        if rests && row.state.next_at.is_some() && !quarantined {
            return self.broken("I-5", format!("{row:?} rests and has a next instant"));
        }
        let Some((_, trigger)) = self.definition_of(&self.jobs, row).filter(|_| !rests) else { return };
        let When::Delay { wait, .. } = trigger.when else { return };
        let under_way = self.own(row.job).any(|run| run.trigger == Some(row.id));
        let used_up = trigger.runs_max.is_some_and(|max| row.state.fired >= max);
        let fine = row.state.next_at.is_some() != (under_way || used_up);
        // An edit may find a run under way that another kind of trigger of that name made.
        let sure = commit.jobs_before.get(&row.job) == self.jobs.get(&row.job)
            && self.own(row.job).filter(|run| run.trigger == Some(row.id)).all(|run| {
                let made = self.definition(run.job, run.revision);
                made.triggers.iter().any(|t| t.name == row.name && matches!(t.when, When::Delay { .. }))
            });
        if !fine && sure {
            self.broken("L-7", format!("the delay {row:?} has a run under way: {under_way}"));
        }
        let ended = commit.finished.iter().any(|(run, _)| run.trigger == Some(row.id));
        let set = commit.decision.triggers.iter().any(|new| new.id == row.id);
        let expected = commit.now.as_micros() + wait * 1_000_000;
        if sure && ended && set && row.state.next_at.is_some_and(|next| next.as_micros() != expected) {
            self.broken("I-2", format!("the delay {row:?} does not count from {:?}", commit.now));
        }
    }

    /// The ticks up to now that no one has disposed of although they should be.
    pub fn overdue(&mut self, now: Timestamp, paused_too: bool) -> Vec<String> {
        let rows: Vec<TriggerRow> = self.triggers.values().cloned().collect();
        let mut found = Vec::new();
        for row in rows {
            let job = &self.jobs[&row.job];
            if !row.live || job.retired || (job.paused.is_some() && !paused_too) {
                continue;
            }
            let Some((_, trigger)) = self.definition_of(&self.jobs.clone(), &row) else { continue };
            let Some(table) = trigger.table(row.state.anchor.as_secs()) else { continue };
            let used_up = trigger.runs_max.is_some_and(|max| row.state.fired >= max);
            let left = self.timetables.between(&table, row.state.cursor.as_micros(), now.as_micros());
            if let Some((first, _)) = left.first().filter(|_| !used_up) {
                found.push(format!("{} of trigger {row:?} wait, the first {first}", left.len()));
            }
        }
        found
    }
}

/// What becomes of each of `ticks`, all that fell due since the cursor, at `now`.
fn fates(
    job: &Job,
    trigger: &Trigger,
    ticks: &[(i64, bool)],
    now: i64,
    paused: bool,
    fired: u64,
) -> Vec<(i64, Fate)> {
    let rests = |reason| Fate::Rests(Disposition::Skipped, Some(reason));
    let mut expected = Vec::with_capacity(ticks.len());
    let mut newer = 0;
    for (at, counts) in ticks.iter().rev() {
        let late = now - at * 1_000_000;
        let missed = newer > 0 || late > ON_TIME;
        let fate = if !counts {
            rests(Reason::Calendar)
        } else if paused {
            rests(Reason::Paused)
        } else if missed && job.catch_up.keep == Keep::None {
            rests(Reason::CatchUpNone)
        } else if missed && late > job.catch_up.window * 1_000_000 {
            rests(Reason::CatchUpWindow)
        } else if job.deadline.is_some_and(|limit| late > limit * 1_000_000) {
            Fate::Rests(Disposition::Expired, Some(Reason::StartDeadline))
        } else {
            match job.catch_up.keep {
                Keep::Latest if newer > 0 => Fate::Rests(Disposition::Coalesced, None),
                Keep::All(count) if newer >= count => rests(Reason::CatchUpCount),
                _ => Fate::Runs,
            }
        };
        newer += usize::from(*counts);
        expected.push((*at, fate));
    }
    expected.reverse();
    let mut fired = fired;
    for (_, fate) in &mut expected {
        if *fate == Fate::Runs {
            match trigger.runs_max {
                Some(max) if fired >= max => *fate = rests(Reason::Ended),
                _ => fired += 1,
            }
        }
    }
    expected
}
