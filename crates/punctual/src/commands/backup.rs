//! `punctual backup`: the store as it is at one instant, with or without a daemon.

use crate::client::{NO_DATA, SOCKET_NAME};
use crate::data::Data;
use crate::failure::{Failure, Format, NO, OK, UNAVAILABLE, finish, json, print};
use crate::local::belongs_to;
use punctual_core::error::{Code, Diagnostic};
use punctual_engine::clock::Clock;
use punctual_server::listen::connect_unix;
use punctual_store::sqlite::{Manifest, back_up};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The place for a backup is taken.
const EXISTS: Code = Code("STO013");

/// Write a backup of the store: jobs, definitions, runs and history as they are at one instant
///
/// A daemon may run; it is not held up. Output of jobs (`logs/`) is not in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual backup /backups                    makes /backups/punctual-20261124T090000Z
  punctual backup /backups/before-upgrade     makes exactly that directory")]
pub struct Args {
    /// A directory that does not exist yet, or one that does, to make the backup in
    #[arg(value_name = "DIR")]
    target: PathBuf,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A backup that was made or restored.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupDto {
    /// Where it is.
    pub path: String,
    /// The instant it shows.
    pub at: String,
    /// Files in it.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Transactions in it.
    pub commits: u64,
}

impl BackupDto {
    /// Of the backup at a path.
    pub fn of(path: &Path, manifest: &Manifest) -> Self {
        Self {
            path: path.display().to_string(),
            at: manifest.at.to_string(),
            files: manifest.files.len(),
            bytes: manifest.bytes(),
            commits: manifest.commits,
        }
    }
}

/// Makes one.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, make(&args))
}

fn make(args: &Args) -> Result<u8, Failure> {
    let directory = args.data.directory();
    let store = directory.join("store");
    if !store.join("punctual.db").is_file() {
        let message = format!("there is no store in the data directory {}", directory.display());
        let error = Diagnostic::error(NO_DATA, message).hint("--data DIR or $PUNCTUAL_DATA names another");
        return Err(Failure::new(UNAVAILABLE, error));
    }
    let owner = store.metadata().map_or(0, |data| data.uid());
    let user = rustix::process::geteuid();
    if !user.is_root() || connect_unix(&directory.join(SOCKET_NAME)).is_err() {
        belongs_to(&directory, owner, user.as_raw())?;
    }
    let at = Clock::System.now();
    let target = match args.target.is_dir() {
        true => args.target.join(format!("punctual-{}", stamp(&at.to_string()))),
        false => args.target.clone(),
    };
    if target.exists() {
        let error = Diagnostic::error(EXISTS, format!("{} exists already", target.display()))
            .hint("name a directory that does not exist; no backup takes the place of another");
        return Err(Failure::new(NO, error));
    }
    let manifest = back_up(&store, &target, at, &mut Progress::default().told())
        .map_err(|why| Failure::new(NO, Diagnostic::error(why.code(), why.to_string())))?;
    let made = BackupDto::of(&target, &manifest);
    print(match args.format {
        Format::Json => json(&made),
        Format::Table => format!(
            "backed up to {}: {} files, {}, as of {}\n",
            made.path,
            made.files,
            size(made.bytes),
            made.at
        ),
    });
    Ok(OK)
}

/// An instant as a part of a name: `20261124T090000Z`.
pub fn stamp(at: &str) -> String {
    let seconds = at.split(['.', 'Z']).next().unwrap_or_default();
    format!("{}Z", seconds.replace(['-', ':'], ""))
}

fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// How far a copy is, for people who watch.
#[derive(Default)]
pub struct Progress {
    percent: Option<u64>,
}

impl Progress {
    /// What a copy tells its progress to.
    pub fn told(mut self) -> impl FnMut(u64, u64) {
        move |done, all| {
            let percent = done.saturating_mul(100) / all.max(1);
            if std::io::stderr().is_terminal() && self.percent != Some(percent) {
                self.percent = Some(percent);
                let end = if done >= all { "\n" } else { "" };
                // Where nobody listens there is nobody to tell.
                let _ = write!(std::io::stderr(), "\r{percent} % of {}{end}", size(all));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_a_name() {
        assert_eq!(stamp("2026-11-24T09:00:00.123456Z"), "20261124T090000Z");
        assert_eq!(stamp("2026-11-24T09:00:00Z"), "20261124T090000Z");
    }
}
