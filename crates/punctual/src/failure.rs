//! What a command ends with: an exit code, or a failure told on standard error. Standard output stays one document.

use punctual_core::error::Diagnostic;
use punctual_server::dto::{ErrorBodyDto, ErrorDto};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// It was done, or the answer is yes.
pub const OK: u8 = 0;
/// The input is refused, or the answer is no.
pub const NO: u8 = 1;
/// The command line cannot be read: by clap, or in a value by the daemon.
pub const USAGE: u8 = 2;
/// There is no such job or run.
pub const NOT_FOUND: u8 = 3;
/// Neither a daemon nor the store could be reached.
pub const UNAVAILABLE: u8 = 4;
/// `trigger --wait` failed by itself; every other code is the job's.
pub const WAIT_FAILED: u8 = 125;

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is told.
    pub error: ErrorBodyDto,
    /// What the process exits with.
    pub exit: u8,
    /// What a person is told instead, where there is more to tell: a position, the line.
    pub told: Option<String>,
}

impl Failure {
    /// A failure of the client's own.
    pub fn new(exit: u8, diagnostic: Diagnostic) -> Self {
        let Diagnostic { code, message, detail, hint, .. } = diagnostic;
        let message = detail.into_iter().fold(message, |text, detail| format!("{text}: {detail}"));
        Self { error: ErrorBodyDto { code: code.to_string(), message, hint }, exit, told: None }
    }

    /// The same failure with another exit code.
    #[must_use]
    pub fn exiting(self, exit: u8) -> Self {
        Self { exit, ..self }
    }

    fn text(&self) -> String {
        if let Some(told) = &self.told {
            return format!("{told}\n");
        }
        let ErrorBodyDto { code, message, hint } = &self.error;
        let hint = hint.iter().map(|hint| format!("\n  = hint: {hint}")).collect::<String>();
        format!("error[{code}]: {message}{hint}\n")
    }
}

/// How a listing is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// Tells a failure and gives the process its exit code.
pub fn finish(format: Format, result: Result<u8, Failure>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let text = match format {
                Format::Table => failure.text(),
                Format::Json => json(&ErrorDto { error: failure.error.clone() }),
            };
            // Where standard error is closed there is nobody to tell.
            let _ = std::io::stderr().write_all(text.as_bytes());
            ExitCode::from(failure.exit)
        }
    }
}

/// A document as JSON, with a line end.
pub fn json(document: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("these shapes have string keys only");
    text.push('\n');
    text
}

/// Writes to standard output. A reader that went away (`| head`) ends the process quietly.
pub fn print(text: impl AsRef<[u8]>) {
    let mut out = std::io::stdout().lock();
    if let Err(why) = out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        let code = if why.kind() == ErrorKind::BrokenPipe { OK } else { NO };
        std::process::exit(i32::from(code));
    }
}

/// Writes a remark to standard error.
pub fn remark(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}
