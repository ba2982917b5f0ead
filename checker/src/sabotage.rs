//! Good histories broken on purpose, each in one way: the checker that does not notice is the one that is broken.

use crate::attempts::is_lost;
use crate::definitions::{CatchUp, OnLost, Overlap, Rule};
use crate::history::{Asked, Attempt, History, Line, Run, Tick};

/// A way to break a history. False if this one has nothing that could be broken so.
pub type Break = fn(&mut History) -> bool;

/// All of them: name, the number of an invariant that must be reported, and how it is done.
pub const ALL: [(&str, &str, Break); 33] = [
    ("lost-run", "I-1", |h| remove_run(h)),
    ("lost-tick", "I-3", |h| on_tick(h, |_, ticks, at| drop(ticks.remove(at)))),
    ("double-tick", "I-3", |h| on_tick(h, |_, ticks, at| ticks.insert(at, ticks[at].clone()))),
    ("phantom-tick", "I-2", |h| on_tick(h, |_, ticks, at| ticks[at].nominal_us += 500_000)),
    ("wrong-run-of-tick", "I-1", |h| on_tick(h, |_, ticks, at| ticks[at].run = ticks[at - 1].run.clone())),
    ("needless-skip", "I-5", |h| reword_tick(h, "skipped", "overlap")),
    ("needless-coalescing", "I-5", |h| reword_tick(h, "coalesced", "")),
    ("unknown-disposition", "I-5", |h| reword_tick(h, "forgotten", "")),
    ("coalesced-into-nothing", "I-5", coalesced_into_nothing),
    ("double-run-of-key", "I-1", double_run),
    ("double-start", "I-9", |h| on_line(h, "start", |h, at| h.lines.insert(at, h.lines[at].clone()))),
    ("double-start-as-new-attempt", "I-8", |h| {
        on_line(h, "start", |h, at| {
            let again = Line { attempt: 9, fence: 9, ..h.lines[at].clone() };
            h.lines.push(again);
        })
    }),
    ("start-without-run", "I-8", |h| {
        on_line(h, "start", |h, at| {
            let stranger = Line { run: "nobody".into(), key: "nobody".into(), ..h.lines[at].clone() };
            h.lines.push(stranger);
        })
    }),
    ("unlabelled-double-start", "I-2", |h| {
        unlabelled(h, |h, at| {
            let again = h.lines[at].clone();
            h.lines.push(again);
        })
    }),
    ("unlabelled-start-missing", "I-2", |h| unlabelled(h, |h, at| drop(h.lines.remove(at)))),
    ("phantom-attempt", "I-2", phantom_attempt),
    ("early-start", "I-2", |h| {
        on_line(h, "start", |h, at| h.lines[at].at_us = h.lines[at].nominal_us - 20_000)
    }),
    ("early-record", "I-2", |h| on_success(h, |run| run.attempts[0].started_us = Some(run.nominal_us - 1))),
    ("key-changes", "I-14", |h| on_line(h, "end:0", |h, at| h.lines[at].key.push('x'))),
    ("fence-goes-back", "I-6", fence_goes_back),
    ("attempts-overlap", "I-9", attempts_overlap),
    ("runs-overlap", "I-15", runs_overlap),
    ("false-success", "I-11", |h| {
        on_outcome(h, |a| is_lost(a) || a.outcome.as_deref() == Some("failed"), "success", Some(0))
    }),
    ("false-failure", "I-11", |h| {
        on_outcome(h, |a| a.outcome.as_deref() == Some("success"), "failed", Some(3))
    }),
    ("two-successes", "I-11", |h| {
        on_success(h, |run| {
            let again = Attempt { number: 2, ..run.attempts[0].clone() };
            run.attempts.push(again);
        })
    }),
    ("lost-without-need", "I-12", |h| {
        h.faults.iter_mut().for_each(|fault| fault.may_lose = false);
        h.runs.iter().flat_map(|run| &run.attempts).any(is_lost)
    }),
    ("left-running", "I-10", |h| on_success(h, |run| (run.state, run.verdict) = ("running".into(), None))),
    ("verdict-changes", "I-10", |h| {
        let run =
            h.runs.iter().find(|run| run.verdict.as_deref() == Some("success")).map(|run| run.id.clone());
        h.asked.extend(run.clone().map(|run| Asked::Ended { run, verdict: "lost".into() }));
        run.is_some()
    }),
    ("tried-after-loss", "I-13", tried_after_loss),
    ("tried-too-soon", "I-13", tried_too_soon),
    ("acknowledged-and-gone", "I-19", |h| {
        let Some((_, run)) = h.submitted().next() else { return false };
        let run = run.to_owned();
        h.runs.retain(|known| known.id != run);
        true
    }),
    ("straggler", "I-18", |h| {
        on_line(h, "end:0", |h, at| {
            let late =
                Line { kind: "tick".into(), at_us: h.lines[at].at_us + 3_600_000_000, ..h.lines[at].clone() };
            h.lines.insert(at + 1, late);
        })
    }),
    ("nothing-was-hit", "V-2", |h| {
        h.faults.clear();
        true
    }),
];

/// Breaks a history by name.
///
/// # Errors
/// There is no such sabotage, or nothing to break.
pub fn apply(name: &str, history: &mut History) -> Result<(), String> {
    let (_, _, how) = ALL.iter().find(|(known, ..)| *known == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|(name, ..)| *name).collect();
        format!("there is no sabotage {name:?}; there are {}", names.join(", "))
    })?;
    if how(history) {
        Ok(())
    } else {
        Err(format!("there is nothing in this history that {name} could break"))
    }
}

/// The sabotages that this history can show, and of them those that went unnoticed.
pub fn unnoticed(history: &History) -> (usize, Vec<&'static str>) {
    let mut tried = 0;
    let mut unnoticed = Vec::new();
    for (name, number, how) in ALL {
        let mut broken = history.clone();
        if !how(&mut broken) {
            continue;
        }
        tried += 1;
        let begins = format!("{number} ");
        if !crate::check(&broken).violations.iter().any(|violation| violation.starts_with(&begins)) {
            unnoticed.push(name);
        }
    }
    (tried, unnoticed)
}

fn place(history: &History, fits: impl Fn(&Run) -> bool) -> Option<usize> {
    history.runs.iter().position(fits)
}

fn succeeded_at_once(run: &Run) -> bool {
    run.verdict.as_deref() == Some("success") && run.attempts.len() == 1
}

fn on_success(h: &mut History, change: impl Fn(&mut Run)) -> bool {
    let Some(at) = place(h, succeeded_at_once) else { return false };
    change(&mut h.runs[at]);
    true
}

fn remove_run(h: &mut History) -> bool {
    let made = |run: &Run| h.ticks.values().flatten().any(|tick| tick.run.as_ref() == Some(&run.id));
    let Some(at) = place(h, |run| succeeded_at_once(run) && made(run)) else { return false };
    h.runs.remove(at);
    true
}

/// A tick in the middle that became a run.
fn on_tick(h: &mut History, change: impl Fn(&str, &mut Vec<Tick>, usize)) -> bool {
    for (job, ticks) in &mut h.ticks {
        let ran = |at: &usize| ticks[*at].run.is_some() && ticks[*at].nominal_us < h.settings.settled_us;
        if let Some(at) = (ticks.len() / 2..ticks.len()).filter(|at| *at > 0).find(ran) {
            change(job, ticks, at);
            return true;
        }
    }
    false
}

/// A tick that ran, of a job that may run beside itself, is said to have been left out, and all trace of its run with it.
fn reword_tick(h: &mut History, disposition: &str, reason: &str) -> bool {
    let allowed: Vec<String> = h
        .jobs()
        .into_iter()
        .filter(|(_, job)| job.overlap == Overlap::Allow)
        .map(|(name, _)| name.to_owned())
        .collect();
    for job in allowed {
        // Coalescing is right where times were missed.
        let calm = |at: i64| !h.faulty(at, at, |_| true);
        let Some(ticks) = h.ticks.get(&job) else { continue };
        let Some(at) = ticks.iter().position(|tick| tick.run.is_some() && calm(tick.nominal_us)) else {
            continue;
        };
        let run = ticks[at].run.clone().unwrap_or_default();
        let tick = Tick {
            disposition: disposition.into(),
            reason: Some(reason.into()),
            run: None,
            ..ticks[at].clone()
        };
        h.ticks.get_mut(&job).expect("it was just there")[at] = tick;
        h.runs.retain(|known| known.id != run);
        h.lines.retain(|line| line.run != run);
        return true;
    }
    false
}

fn coalesced_into_nothing(h: &mut History) -> bool {
    let latest: Vec<String> = h.ticks.keys().cloned().collect();
    let latest =
        latest.into_iter().filter(|name| h.job(name).is_some_and(|job| job.catch_up == CatchUp::Latest));
    let mut any = false;
    for name in latest.collect::<Vec<_>>() {
        let ticks = h.ticks.get_mut(&name).expect("its name is from there");
        let Some(first) = ticks.iter().position(|tick| tick.disposition == "coalesced") else { continue };
        for tick in &mut ticks[first..] {
            (tick.disposition, tick.run) = ("coalesced".into(), None);
            any = true;
        }
    }
    any
}

fn double_run(h: &mut History) -> bool {
    let Some(at) = place(h, succeeded_at_once) else { return false };
    let again = Run { id: format!("{}x", h.runs[at].id), ..h.runs[at].clone() };
    h.runs.push(again);
    true
}

fn on_line(h: &mut History, kind: &str, change: impl Fn(&mut History, usize)) -> bool {
    let Some(at) = h.lines.iter().position(|line| line.kind == kind && !line.run.is_empty()) else {
        return false;
    };
    change(h, at);
    true
}

/// A start that says nothing of its run, of a process that ended well.
fn unlabelled(h: &mut History, change: impl Fn(&mut History, usize)) -> bool {
    let ended = |start: &Line| {
        let same = |line: &&Line| line.pid == start.pid && line.job == start.job && line.at_us > start.at_us;
        h.lines.iter().find(|line| same(line) && line.kind != "tick").is_some_and(|line| line.kind == "end:0")
    };
    // While something stands still, the record's times are wide enough for another start.
    let calm = |line: &Line| !h.faulty(line.at_us, line.at_us, |_| true);
    let bare = |line: &Line| line.kind == "start" && line.run.is_empty() && calm(line) && ended(line);
    let Some(at) = h.lines.iter().position(bare) else { return false };
    change(h, at);
    true
}

fn phantom_attempt(h: &mut History) -> bool {
    let Some(at) = place(h, |run| succeeded_at_once(run) && h.lines.iter().any(|line| line.run == run.id))
    else {
        return false;
    };
    let id = h.runs[at].id.clone();
    h.lines.retain(|line| line.run != id);
    true
}

/// The second attempt of a run that was tried again.
fn second_start(h: &History) -> Option<usize> {
    h.lines.iter().position(|line| line.kind == "start" && line.attempt == 2)
}

fn fence_goes_back(h: &mut History) -> bool {
    let Some(at) = second_start(h) else { return false };
    let (run, fence) = (h.lines[at].run.clone(), h.lines[at].fence);
    let lines = h.lines.iter_mut().filter(|line| line.run == run);
    lines.for_each(|line| line.fence = if line.attempt == 2 { fence - 1 } else { line.fence });
    true
}

fn attempts_overlap(h: &mut History) -> bool {
    let Some(at) = second_start(h) else { return false };
    let first = h.lines.iter().find(|line| line.run == h.lines[at].run && line.attempt == 1).cloned();
    let Some(first) = first else { return false };
    h.lines.insert(at + 1, Line { kind: "tick".into(), at_us: h.lines[at].at_us, ..first });
    true
}

fn runs_overlap(h: &mut History) -> bool {
    let alone: Vec<&str> =
        h.jobs().into_iter().filter(|(_, job)| job.overlap == Overlap::Skip).map(|(name, _)| name).collect();
    for job in alone {
        let mut starts = h.lines.iter().enumerate().filter(|(_, line)| {
            line.job == job && line.kind == "start" && line.attempt == 1 && !line.run.is_empty()
        });
        if let (Some((_, first)), Some((second, _))) = (starts.next(), starts.next()) {
            let late = Line { kind: "tick".into(), ..first.clone() };
            h.lines.insert(second + 1, late);
            return true;
        }
    }
    false
}

fn on_outcome(h: &mut History, fits: impl Fn(&Attempt) -> bool, outcome: &str, code: Option<i64>) -> bool {
    let unlabelled = h.settings.unlabelled.clone();
    let runs = h.runs.iter_mut().filter(|run| !unlabelled.contains(&run.job));
    let ran = |run: &&mut Run| {
        run.attempts.len() == 1 && run.attempts[0].started_us.is_some() && fits(&run.attempts[0])
    };
    for run in runs.filter(ran) {
        let mut lines = h.lines.iter().filter(|line| line.run == run.id).peekable();
        // What was lost may have ended well all the same; then to say so is no lie.
        let is_true = |line: &Line| outcome == "success" && line.kind == "end:0";
        if lines.peek().is_some() && !lines.any(is_true) {
            let attempt = &mut run.attempts[0];
            (attempt.outcome, attempt.exit_code) = (Some(outcome.into()), code);
            run.verdict = Some(outcome.into());
            return true;
        }
    }
    false
}

fn tried_after_loss(h: &mut History) -> bool {
    let once = |run: &Run| h.job(&run.job).is_some_and(|job| job.on_lost != OnLost::Retry);
    let Some(at) = place(h, |run| once(run) && run.attempts.last().is_some_and(is_lost)) else {
        return false;
    };
    let number = h.runs[at].attempts.len() as u64 + 1;
    let finished_us = h.runs[at].attempts.last().and_then(|a| a.finished_us);
    let again = Attempt {
        number,
        started_us: finished_us,
        finished_us,
        outcome: Some("success".into()),
        exit_code: Some(0),
    };
    let run = &mut h.runs[at];
    run.attempts.push(again);
    (run.state, run.verdict, run.reason) = ("finished".into(), Some("success".into()), None);
    true
}

fn tried_too_soon(h: &mut History) -> bool {
    let failed = |run: &Run| {
        let waits = h.job(&run.job).is_some_and(|job| job.backoff_us > 100_000 && job.rule != Rule::Asked);
        waits && run.attempts.len() > 1 && run.attempts[0].outcome.as_deref() == Some("failed")
    };
    let Some(at) = place(h, failed) else { return false };
    h.runs[at].attempts[1].started_us = h.runs[at].attempts[0].finished_us;
    true
}
