//! Asks whether the kernel's clock is synchronised. The kernel tells by `adjtimex`, which no safe library reads; the
//! programs that ship with the time services do, and are asked instead, only while a step of the clock is doubted or
//! when somebody wants to know.

use crate::clock::Monotonic;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

/// No program is waited for longer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(10);

/// An answer, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synchronised {
    /// Whether the kernel's clock follows a time source.
    pub is: bool,
    /// The program that said so.
    pub by: &'static str,
}

/// A program that knows, and how its output is read; `None`: it does not say.
type Source = (&'static str, &'static [&'static str], fn(&str) -> Option<bool>);

const SOURCES: [Source; 3] = [
    ("timedatectl", &["show", "--property=NTPSynchronized", "--value"], timedatectl),
    ("chronyc", &["-n", "-c", "tracking"], chronyc),
    ("busybox", &["adjtimex"], adjtimex),
];

/// What the first program that knows says; `None`: none is there, or none knows.
pub fn ask() -> Option<Synchronised> {
    SOURCES.iter().find_map(|(program, arguments, read)| {
        Some(Synchronised { is: read(&answer(program, arguments)?)?, by: program })
    })
}

fn timedatectl(output: &str) -> Option<bool> {
    match output.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The last of the fields is the leap status.
fn chronyc(output: &str) -> Option<bool> {
    match output.trim().rsplit(',').next()? {
        "Normal" | "Insert second" | "Delete second" => Some(true),
        "Not synchronised" => Some(false),
        _ => None,
    }
}

/// Bit 6 of the status says that it is not.
fn adjtimex(output: &str) -> Option<bool> {
    let status = output.lines().find_map(|line| line.trim().strip_prefix("status:"))?;
    let number: u32 = status.split_whitespace().next()?.parse().ok()?;
    Some(number & 0x40 == 0)
}

/// What a program prints, if it ends well and in time.
fn answer(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let limit = Monotonic::now().after(ANSWER_TIME_MAX);
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.success(),
            Ok(None) if !limit.until_from(Monotonic::now()).is_zero() => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    };
    let mut output = String::new();
    child.stdout.take()?.take(64 * 1024).read_to_string(&mut output).ok()?;
    ended.then_some(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        assert_eq!(timedatectl("yes\n"), Some(true));
        assert_eq!(timedatectl("no\n"), Some(false));
        assert_eq!(timedatectl(""), None);
        let tracking = |leap| {
            format!("7F7F0101,127.0.0.1,10,1795528896.58,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,64.2,{leap}\n")
        };
        assert_eq!(chronyc(&tracking("Normal")), Some(true));
        assert_eq!(chronyc(&tracking("Not synchronised")), Some(false));
        assert_eq!(chronyc("506 Cannot talk to daemon\n"), None);
        let print = |status| {
            format!(
                "    mode:         0\n    status:       {status}\nreturn value: 5 (clock not synchronized)\n"
            )
        };
        assert_eq!(adjtimex(&print("64 (UNSYNC)")), Some(false));
        assert_eq!(adjtimex(&print("8193 (PLL | NANO)")), Some(true));
        assert_eq!(adjtimex("adjtimex: not found"), None);
    }

    #[test]
    fn a_program_that_fails_says_nothing() {
        assert_eq!(answer("/nonexistent/program", &[]), None);
        assert_eq!(answer("false", &[]), None);
        assert_eq!(answer("echo", &["yes"]).as_deref(), Some("yes\n"));
    }
}
