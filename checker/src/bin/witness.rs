//! The witness: the program that the jobs of the kill tests are. It appends a line to a file when it starts, every tenth
//! of a second, and when it ends; each by one write, so that their order in the file is the order of events.
//!
//! ```text
//! punctual-witness FILE MILLISECONDS CODE [WORD…]
//! ```
//! `MILLISECONDS` may be `varied`: 300 to 2,000 by the nominal second. `CODE` may be `flaky`: 3 before the third attempt,
//! then 0. Words: `stray` leaves a child in a session of its own that holds the output; `bare` says nothing of the run.

#![expect(
    clippy::disallowed_methods,
    reason = "it reports what it saw when; nothing of the product is in it"
)]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const BEAT: Duration = Duration::from_millis(100);
/// A stray lives so long unless it is killed.
const STRAY: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, millis, code, words @ ..] = arguments.as_slice() else {
        eprintln!("usage: punctual-witness FILE MILLISECONDS CODE [stray|bare]");
        return ExitCode::from(2);
    };
    let says = |word: &str| words.iter().any(|given| given == word);
    let Ok(to) = OpenOptions::new().append(true).create(true).open(file) else { return ExitCode::from(2) };
    let mut witness = Witness { to, about: about(says("bare")) };
    if says("child") {
        let _ = rustix::process::setsid();
        witness.live("child", STRAY);
        return ExitCode::SUCCESS;
    }
    witness.say("start");
    if says("stray")
        && let Ok(program) = std::env::current_exe()
    {
        // It is left alone on purpose.
        let _ = Command::new(program).args([file, "0", "0", "child"]).spawn();
    }
    let time = millis.parse().unwrap_or_else(|_| 300 + second() % 10 * 17 * 10);
    witness.live("tick", Duration::from_millis(time));
    let code =
        code.parse().unwrap_or_else(|_| if variable("ATTEMPT").parse().unwrap_or(0) < 3 { 3 } else { 0 });
    witness.say(&format!("end:{code}"));
    ExitCode::from(code)
}

struct Witness {
    to: File,
    /// What each line says of the run.
    about: String,
}

impl Witness {
    fn say(&mut self, what: &str) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let line = format!("{what} {} {} {at}\n", self.about, std::process::id());
        if self.to.write_all(line.as_bytes()).is_err() {
            std::process::exit(2);
        }
    }

    fn live(&mut self, what: &str, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            std::thread::sleep(left.min(BEAT));
            left = left.saturating_sub(BEAT);
            self.say(what);
        }
    }
}

fn variable(name: &str) -> String {
    std::env::var(format!("PUNCTUAL_{name}")).unwrap_or_else(|_| "-".to_owned())
}

fn about(bare: bool) -> String {
    let job = variable("JOB");
    if bare {
        return format!("{job} - - - - -");
    }
    let told = ["RUN_ID", "ATTEMPT", "NOMINAL_TIME", "IDEMPOTENCY_KEY", "FENCE"].map(variable);
    format!("{job} {}", told.join(" "))
}

/// The second of the nominal time: `2026-11-24T10:20:30Z`.
fn second() -> u64 {
    variable("NOMINAL_TIME").get(17..19).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
