//! What is looked at after a good exit: the output's patterns, then the job's own check. Each look is a process under
//! the same attempt, started like the job's: it is watched, told to end and killed as that is, survives the daemon as
//! that does, and holds nobody up.
//!
//! ```text
//! job's process ─good exit→ __verify (patterns) ─0→ verify command ─0→ success
//!                                 └──────── anything else ────────┴──→ failed, with what did not hold
//! ```

use super::control::{self, NOT_NOW};
use super::judge::Judge;
use super::protocol::{AttemptId, Ended, Start, Told};
use super::tree;
use punctual_core::pattern;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The word by which this program knows that it is to look at an output.
pub const VERIFY: &str = "__verify";
/// How long looking at an output may take.
const PATTERN_TIME_MS: u64 = 60_000;
/// Of what a check prints so much is kept.
const COMMAND_BYTES_MAX: u64 = 64 * 1024;
/// Of a longer output the end is looked at.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// The pattern that must match does not.
const MISSING: u8 = 10;
/// The pattern that must not match does.
const PRESENT: u8 = 11;
/// The output, or a pattern, cannot be read.
const UNREADABLE: u8 = 12;

/// Attempts whose process has ended and whose work is being looked at.
#[derive(Debug, Default)]
pub struct Checks {
    under_way: BTreeMap<AttemptId, Check>,
}

#[derive(Debug)]
struct Check {
    /// The attempt, as it was started.
    start: Start,
    /// How its own process ended.
    ended: Ended,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Patterns,
    Command,
}

/// What follows the end of a process.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every end is the end of its attempt")]
pub enum Next {
    /// Another process of the same attempt.
    Start(Box<Start>),
    /// The attempt is over.
    Over(Ended),
}

impl Checks {
    /// What follows the end of a process that was started by `start`. `program` is this program.
    pub fn after(&mut self, start: Start, ended: Ended, program: &Path) -> Next {
        match self.under_way.remove(&ended.attempt) {
            Some(check) => self.after_step(check, ended, program),
            None => self.after_job(start, ended, program),
        }
    }

    /// When the process of an attempt that is being looked at began, microseconds since the epoch.
    pub fn began(&self, attempt: &AttemptId) -> Option<i64> {
        self.under_way.get(attempt).and_then(|check| check.ended.started_us)
    }

    fn after_job(&mut self, start: Start, mut ended: Ended, program: &Path) -> Next {
        if let Some(control) = &start.judge.control {
            control::take(Path::new(control), &mut ended.findings);
        }
        if ended.code == Some(NOT_NOW) {
            control::take_last_line(Path::new(&start.log), &mut ended.findings);
        }
        let good = ended.told.is_none() && ended.spawn_error.is_none() && ended.findings.failed.is_none();
        let good = good && ended.code.is_some_and(|code| start.judge.is_good(code));
        match good.then(|| first_step(&start.judge)).flatten() {
            Some(step) => self.begin(Check { start, ended, step }, program),
            None => Next::Over(ended),
        }
    }

    fn begin(&mut self, check: Check, program: &Path) -> Next {
        let start = match check.step {
            Step::Patterns => look_at_output(&check.start, program),
            Step::Command => run_command(&check.start, &check.ended),
        };
        self.under_way.insert(check.ended.attempt.clone(), check);
        Next::Start(Box::new(start))
    }

    fn after_step(&mut self, mut check: Check, step: Ended, program: &Path) -> Next {
        check.ended.at_us = step.at_us;
        if check.step == Step::Command {
            append(&own_log(&check.start), Path::new(&check.start.log));
        }
        match (check.step, unmet(check.step, &check.start.judge, &step)) {
            // Told to end while it was looked at: nobody knows whether it holds.
            _ if matches!(step.told, Some(Told::Stop | Told::Shutdown | Told::Orphaned)) => {
                check.ended.told = step.told
            }
            (Step::Patterns, None) if check.start.judge.verify.is_some() => {
                return self.begin(Check { step: Step::Command, ..check }, program);
            }
            (_, unmet) => check.ended.findings.unmet = unmet,
        }
        Next::Over(check.ended)
    }
}

fn first_step(judge: &Judge) -> Option<Step> {
    let patterns = judge.output.is_some() || judge.output_not.is_some();
    let command = judge.verify.as_ref().map(|_| Step::Command);
    if patterns { Some(Step::Patterns) } else { command }
}

/// This program, which looks at the output as the daemon's own user: the output is no other's to read.
fn look_at_output(start: &Start, program: &Path) -> Start {
    let mut argv = vec![program.to_string_lossy().into_owned(), VERIFY.into()];
    argv.extend(start.judge.output.iter().map(|pattern| format!("--output={pattern}")));
    argv.extend(start.judge.output_not.iter().map(|pattern| format!("--output-not={pattern}")));
    argv.extend(["--".into(), start.log.clone()]);
    Start {
        argv,
        env: start.env.iter().filter(|(name, _)| name == tree::MARK).cloned().collect(),
        timeout_ms: Some(PATTERN_TIME_MS),
        ..Start::bare(start.attempt.clone(), start.log.clone(), start.log_bytes_max)
    }
}

/// The job's check: as the job, but for what it reads and how long it may take.
fn run_command(start: &Start, ended: &Ended) -> Start {
    let verify = start.judge.verify.clone().unwrap_or_default();
    let mut env = start.env.clone();
    env.retain(|(name, _)| name != crate::folders::CONTROL);
    env.push(("PUNCTUAL_OUTPUT".into(), start.log.clone()));
    env.push(("PUNCTUAL_EXIT_CODE".into(), ended.code.unwrap_or_default().to_string()));
    Start {
        argv: verify.argv,
        env,
        // What it reads must not grow by what it prints.
        log: own_log(start).to_string_lossy().into_owned(),
        log_bytes_max: COMMAND_BYTES_MAX,
        output_direct: false,
        stdin: None,
        stdin_file: Some(start.log.clone()),
        timeout_ms: Some(verify.timeout_ms),
        no_progress_ms: None,
        judge: Judge::default(),
        ..start.clone()
    }
}

/// Where what the check prints is, until it has ended.
fn own_log(start: &Start) -> PathBuf {
    Path::new(&start.log).with_extension("verify.log")
}

/// Puts the few lines of a check behind the output. What cannot be kept is lost; the attempt is not.
fn append(from: &Path, to: &Path) {
    if let Ok(text) = std::fs::read(from)
        && !text.is_empty()
    {
        let log =
            OpenOptions::new().append(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(to);
        let _ = log.and_then(|mut log| log.write_all(&text));
    }
    let _ = std::fs::remove_file(from);
}

/// What a look found that does not hold; `None`: all is well.
fn unmet(step: Step, judge: &Judge, ended: &Ended) -> Option<String> {
    let what = match step {
        Step::Patterns => "looking at its output",
        Step::Command => "its verify command",
    };
    if let Some(error) = &ended.spawn_error {
        return Some(format!("{what} could not be started: {error}"));
    }
    if ended.told.is_some() {
        let limit = judge.verify.as_ref().map_or(PATTERN_TIME_MS, |verify| verify.timeout_ms);
        return Some(format!("{what} did not end within {} s", limit as f64 / 1000.0));
    }
    let pattern = |pattern: &Option<String>| pattern.clone().unwrap_or_default();
    match (step, ended.code, ended.signal) {
        (_, Some(0), _) => None,
        (Step::Patterns, Some(code), _) if code == i32::from(MISSING) => {
            Some(format!("its output has nothing that matches '{}'", pattern(&judge.output)))
        }
        (Step::Patterns, Some(code), _) if code == i32::from(PRESENT) => {
            Some(format!("its output has something that matches '{}'", pattern(&judge.output_not)))
        }
        (Step::Patterns, ..) => Some("its output could not be looked at".into()),
        (_, Some(code), _) => Some(format!("{what} exited with {code}")),
        (_, None, Some(signal)) => Some(format!("{what} was ended by signal {signal}")),
        (_, None, None) => Some(format!("{what} ended in a way nobody saw")),
    }
}

/// Looks at the output at `log`: the exit code says what of it holds. This is the whole of the process.
pub fn look(log: &Path, output: Option<&str>, output_not: Option<&str>) -> u8 {
    let (Ok(content), Ok(wanted), Ok(unwanted)) =
        (end_of(log), output.map(pattern::compile).transpose(), output_not.map(pattern::compile).transpose())
    else {
        return UNREADABLE;
    };
    match (wanted, unwanted) {
        (Some(wanted), _) if !wanted.is_match(&content) => MISSING,
        (_, Some(unwanted)) if unwanted.is_match(&content) => PRESENT,
        _ => 0,
    }
}

/// What is kept of an output, or its end; an attempt that printed nothing has no file.
fn end_of(log: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = match File::open(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(OUTPUT_BYTES_MAX)))?;
    let mut content = Vec::new();
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::super::judge::{Findings, Verify};
    use super::*;

    fn attempt() -> AttemptId {
        AttemptId { run: "r".into(), fence: 1 }
    }

    fn judged(judge: Judge) -> Start {
        Start { judge, argv: vec!["job".into()], ..Start::bare(attempt(), "/tmp/log".into(), 100) }
    }

    fn exited(code: i32) -> Ended {
        Ended { started_us: Some(5), code: Some(code), ..Ended::at(attempt(), 10) }
    }

    fn full() -> Judge {
        let verify = Verify { argv: vec!["check".into()], timeout_ms: 1500 };
        Judge { output: Some("done".into()), verify: Some(verify), ..Judge::default() }
    }

    /// The ends of what is started one after the other; the last is the attempt's.
    fn through(judge: Judge, ends: &[Ended]) -> (Vec<String>, Ended) {
        let (mut checks, mut start, mut started) = (Checks::default(), judged(judge), Vec::new());
        for end in ends {
            match checks.after(start, end.clone(), Path::new("/proc/self/exe")) {
                Next::Over(ended) => {
                    assert!(checks.under_way.is_empty());
                    return (started, ended);
                }
                Next::Start(next) => {
                    assert_eq!(checks.began(&attempt()), Some(5));
                    started.push(next.argv.last().cloned().unwrap_or_default());
                    start = *next;
                }
            }
        }
        panic!("it is not over after {started:?}")
    }

    #[test]
    fn after_a_good_exit_patterns_then_command_are_looked_at() {
        let (started, ended) = through(full(), &[exited(0), exited(0), Ended { at_us: 99, ..exited(0) }]);
        assert_eq!(started, ["/tmp/log", "check"]);
        assert_eq!(ended.findings, Findings::default());
        assert_eq!((ended.started_us, ended.at_us, ended.code), (Some(5), 99, Some(0)));
    }

    #[test]
    fn what_does_not_hold_is_said() {
        let said = |ends: &[Ended]| through(full(), ends).1.findings.unmet.expect("something does not hold");
        let step = |code: u8| exited(i32::from(code));
        assert_eq!(said(&[exited(0), step(MISSING)]), "its output has nothing that matches 'done'");
        assert_eq!(said(&[exited(0), step(UNREADABLE)]), "its output could not be looked at");
        assert_eq!(said(&[exited(0), exited(0), exited(3)]), "its verify command exited with 3");
        let late = Ended { told: Some(Told::Timeout), signal: Some(15), code: None, ..exited(0) };
        assert_eq!(said(&[exited(0), exited(0), late]), "its verify command did not end within 1.5 s");
        let killed = Ended { signal: Some(9), code: None, ..exited(0) };
        assert_eq!(said(&[exited(0), exited(0), killed]), "its verify command was ended by signal 9");
    }

    #[test]
    fn nothing_is_looked_at_after_a_bad_end() {
        for end in [
            exited(1),
            Ended { told: Some(Told::Timeout), ..exited(0) },
            Ended { signal: Some(9), code: None, ..exited(0) },
        ] {
            assert_eq!(through(full(), std::slice::from_ref(&end)), (Vec::new(), end));
        }
        let three = Judge { exit_codes: vec![3], ..full() };
        assert_eq!(through(three.clone(), &[exited(0)]).0, Vec::<String>::new());
        assert_eq!(through(three, &[exited(3), exited(0), exited(0)]).1.code, Some(3));
    }

    #[test]
    fn one_that_is_told_to_end_meanwhile_has_not_succeeded() {
        let stopped = Ended { told: Some(Told::Stop), signal: Some(15), code: None, ..exited(0) };
        let (_, ended) = through(full(), &[exited(0), stopped]);
        assert_eq!((ended.told, ended.code, ended.findings.unmet), (Some(Told::Stop), Some(0), None));
    }

    #[test]
    fn an_output_is_looked_at_by_its_patterns() {
        let log = std::env::temp_dir().join(format!("punctual-verify-{:x}", crate::clock::random()));
        std::fs::write(&log, b"\xff\nrows: 12\ndone\n").expect("a scratch file");
        assert_eq!(look(&log, Some("^rows: [1-9]"), Some("ERROR")), 0);
        assert_eq!(look(&log, Some("^rows: 0"), None), MISSING);
        assert_eq!(look(&log, None, Some("^done$")), PRESENT);
        assert_eq!(look(&log, Some("("), None), UNREADABLE);
        std::fs::remove_file(&log).expect("removable");
        assert_eq!(look(&log, Some("x"), None), MISSING, "it printed nothing");
    }
}
