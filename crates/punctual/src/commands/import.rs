//! `punctual import`: what other schedulers' files say, as definitions.

use crate::definitions;
use crate::failure::print;
use crate::import::crontab::{self, Crontab, Kind};
use crate::import::crontab_jobs;
use crate::import::k8s::{self, Manifests};
use crate::import::k8s_jobs;
use crate::import::machine::Machine;
use crate::import::text::Encoding;
use crate::import::{CANNOT_READ, Imported, Start};
use crate::terminal::Screen;
use clap::{Subcommand, ValueEnum};
use punctual_core::error::Diagnostic;
use punctual_core::zone::ZoneTable;
use punctual_engine::zones;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Turn crontabs and Kubernetes CronJobs into definitions
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual import crontab /etc/crontab /etc/cron.d -o jobs.yaml
  crontab -l | punctual import crontab -
  kubectl get cronjobs -A -o yaml | punctual import k8s - -o cluster.yaml

Jobs are written paused: beside a live cron or cluster everything would run twice.
Exit status: 0 all was imported, 1 something was not (the rest is written all the same), 2 a file
could not be read or written.")]
pub struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// Read crontab files, as Debian's cron reads them
    Crontab(CrontabArgs),
    /// Read Kubernetes CronJob manifests, in YAML or JSON
    K8s(K8sArgs),
}

#[derive(Debug, clap::Args)]
struct CrontabArgs {
    /// Files, directories such as /etc/cron.d, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Whether a user name stands before the command; by default so in /etc/crontab and /etc/cron.d
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Whose crontab it is: its jobs run as this user. By default the file's name in /var/spool/cron
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The encoding of the files
    #[arg(long, value_enum, default_value = "utf-8")]
    encoding: Encoding,
    /// The time zone cron goes by; by default this machine's
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    #[command(flatten)]
    to: Output,
}

#[derive(Debug, clap::Args)]
struct K8sArgs {
    /// Files, directories of .yaml, .yml and .json files, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The time zone of the cluster's controller, for CronJobs that name none; by default UTC
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    #[command(flatten)]
    to: Output,
}

/// What is written, and where.
#[derive(Debug, clap::Args)]
struct Output {
    /// Write jobs that run as soon as they are served. By default they are paused
    #[arg(long)]
    active: bool,
    /// Definitions, or one JSON object of jobs, errors and warnings
    #[arg(long, value_enum, default_value = "yaml")]
    format: Format,
    /// Write to this new file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    Json,
}

/// Files larger than this are no crontabs and no manifests.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Runs the command.
pub fn run(args: Args) -> ExitCode {
    let done = match &args.from {
        From::Crontab(args) => import_crontabs(args),
        From::K8s(args) => import_manifests(args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{}", definitions::render(&error, Screen::stderr_colour()));
        ExitCode::from(2)
    })
}

fn import_crontabs(args: &CrontabArgs) -> Result<ExitCode, Diagnostic> {
    let table = zones::open();
    let zones = |name: &str| zone(&table, name);
    let mut machine = Machine::here(&table);
    if let Some(name) = &args.time_zone {
        machine.time_zone = Some(table.zone(name).map_err(|e| e.diagnostic())?.name().to_owned());
    }
    let by_cron = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let why = "of a directory cron reads files whose names have only letters, digits, `_` and `-`";
    let (files, skipped) = expand(&args.files, by_cron, why)?;
    let mut crontabs: Vec<(String, Crontab)> = Vec::new();
    for file in files {
        let bytes = read(&file)?;
        // `cd /etc/cron.d` first makes no difference.
        let path = std::fs::canonicalize(&file).ok().and_then(|path| path.to_str().map(str::to_owned));
        let path = path.unwrap_or_else(|| file.clone());
        let kind = args.kind.unwrap_or_else(|| Kind::of_path(&path));
        let owner = args.user.clone().or_else(|| owner_of(&path));
        let name = shown(file);
        let mut crontab = crontab::read(&name, &bytes, kind, args.encoding, owner.as_deref(), &zones);
        if args.kind.is_none() && kind == Kind::User {
            crontab.warnings.extend(crontab.looks_like_the_systems(&name, &machine.users));
        }
        crontabs.push((name, crontab));
    }
    let several = crontabs.len() > 1;
    let mut imported = crontab_jobs::jobs(crontabs, &machine, args.to.start());
    imported.warnings.extend(skipped);
    args.to.write(&imported, several)
}

fn import_manifests(args: &K8sArgs) -> Result<ExitCode, Diagnostic> {
    let table = zones::open();
    let zones = |name: &str| zone(&table, name);
    let controller =
        args.time_zone.as_ref().map(|name| table.zone(name).map_err(|e| e.diagnostic())).transpose()?;
    let is_manifest = |name: &str| [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
    let (files, skipped) =
        expand(&args.files, is_manifest, "its name ends neither in .yaml, .yml nor .json")?;
    let mut manifests: Vec<(String, Manifests)> = Vec::new();
    for file in files {
        let bytes = read(&file)?;
        let name = shown(file);
        let read = k8s::read(&name, bytes, &zones);
        manifests.push((name, read));
    }
    let several = manifests.len() > 1;
    let mut imported =
        k8s_jobs::jobs(manifests, controller.as_ref().map(|zone| zone.name()), args.to.start());
    imported.warnings.extend(skipped);
    args.to.write(&imported, several)
}

fn zone(table: &ZoneTable, name: &str) -> Result<String, String> {
    match table.zone(name) {
        Ok(zone) => Ok(zone.name().to_owned()),
        Err(error) => {
            Err(error.diagnostic().hint.unwrap_or_else(|| "write a zone of the IANA table".to_owned()))
        }
    }
}

/// The files meant, and a warning for each that is left out: of a directory those whose names are `wanted`, in the
/// order of their names.
fn expand(
    files: &[String],
    wanted: impl Fn(&str) -> bool,
    why: &str,
) -> Result<(Vec<String>, Vec<Diagnostic>), Diagnostic> {
    let (mut out, mut skipped) = (Vec::new(), Vec::new());
    for file in files {
        if !Path::new(file).is_dir() {
            out.push(file.clone());
            continue;
        }
        let mut paths: Vec<String> = Vec::new();
        let unreadable = |error| cannot_read(file, &error);
        for entry in std::fs::read_dir(file).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
            let path = format!("{}/{name}", file.trim_end_matches('/'));
            if wanted(&name) && Path::new(&path).is_file() {
                paths.push(path);
            } else if name != ".placeholder" {
                skipped.push(Diagnostic::warning(CANNOT_READ, format!("{path} is left out")).detail(why));
            }
        }
        paths.sort();
        out.extend(paths);
    }
    Ok((out, skipped))
}

/// The name of a file in messages.
fn shown(file: String) -> String {
    if file == "-" { "<stdin>".to_owned() } else { file }
}

/// Cron keeps a user's crontab under the user's name.
fn owner_of(file: &str) -> Option<String> {
    let (folder, name) = file.rsplit_once('/')?;
    let spool = folder.ends_with("/spool/cron/crontabs") || folder.ends_with("/spool/cron");
    spool.then(|| name.to_owned())
}

/// The bytes of a file, or of standard input for `-`.
fn read(file: &str) -> Result<Vec<u8>, Diagnostic> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX + 1;
    let read = if file == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| cannot_read(file, &error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(
            Diagnostic::error(CANNOT_READ, format!("{file} is larger than 8 MiB")).hint("split the file")
        );
    }
    Ok(bytes)
}

fn cannot_read(file: &str, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(CANNOT_READ, format!("cannot read {file}: {error}"))
}

impl Output {
    fn start(&self) -> Start {
        if self.active { Start::Active } else { Start::Paused }
    }

    /// Writes what was imported; diagnostics go to standard error unless they are in the JSON object.
    fn write(&self, imported: &Imported, several_files: bool) -> Result<ExitCode, Diagnostic> {
        let text = match self.format {
            Format::Json => imported.json(several_files).to_string() + "\n",
            Format::Yaml => {
                for diagnostic in imported.warnings.iter().chain(&imported.errors) {
                    eprintln!("{}", definitions::render(diagnostic, Screen::stderr_colour()));
                }
                imported.yaml.clone()
            }
        };
        match &self.output {
            None => print(text),
            Some(path) => {
                let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
                written.map_err(|error| {
                    let message = format!("cannot write {}: {error}", path.display());
                    Diagnostic::error(CANNOT_READ, message).hint("an existing file is not overwritten")
                })?;
            }
        }
        Ok(if imported.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}
