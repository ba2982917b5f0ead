//! `punctual doctor store`: whether the store is the one that was left, and accepting one that is not.

use super::{Finding, Health};
use crate::client::Client;
use crate::data::Data;
use crate::failure::{Failure, Format, NO, OK, finish, json, print};
use punctual_server::dto::{StatusDto, StoreAcceptedDto};
use punctual_store::sqlite::{Depth, inspect};
use std::path::Path;
use std::process::ExitCode;

/// What to do about a store with faults.
const FAULTS: &str =
    "stop the daemon, keep a copy of the data directory, and restore a backup (`punctual restore`)";
/// What to do before a store is accepted.
const LOOK: &str = "look at what may run twice (`punctual runs`, docs/guides/backup-and-restore.md), then \
                    `punctual doctor store --accept`";

/// Say whether the store is the one that was left, or accept the one that is there
///
/// A store that came back older, as a copy, or from a backup does not know what has happened since. Nothing is started from
/// it until it is accepted; then what was missed is caught up as each job's `catchUp` says, and may repeat what has run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Use the store as it is: jobs are started again
    #[arg(long)]
    accept: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Looks, or accepts.
pub fn run(args: &Args) -> ExitCode {
    finish(args.format, see_to(args))
}

fn see_to(args: &Args) -> Result<u8, Failure> {
    let client = Client::open(&args.data)?;
    if args.accept {
        let accepted: StoreAcceptedDto = client.post("/v1/store/accept", &())?;
        match (args.format, &accepted.held) {
            (Format::Json, _) => print(json(&accepted)),
            (Format::Table, Some(held)) => print(format!("accepted: {held}; jobs are started again\n")),
            (Format::Table, None) => {
                print("the store is the one that was left: there is nothing to accept\n")
            }
        }
        return Ok(OK);
    }
    let status: StatusDto = client.get("/v1/status")?;
    let finding =
        held(&status).unwrap_or_else(|| Finding::new("store", Health::Ok, "it is the one that was left"));
    let failed = finding.status == Health::Failed;
    match args.format {
        Format::Json => print(json(&[finding])),
        Format::Table => print(super::text(&[finding], crate::terminal::Screen::stdout())),
    }
    Ok(if failed { NO } else { OK })
}

/// Whether jobs are not started because the store came back.
pub fn held(status: &StatusDto) -> Option<Finding> {
    let held = status.held.as_ref()?;
    Some(Finding::new("store", Health::Failed, format!("nothing is started: {held}")).hint(LOOK))
}

/// What the daemon found and repaired by itself.
pub fn audit(status: &StatusDto) -> Option<Finding> {
    let audit = &status.audit;
    if audit.rearmed == 0 && audit.orphans == 0 {
        return None;
    }
    let message = format!(
        "since the start {} triggers had stopped and fire again, and {} leases belonged to no node",
        audit.rearmed, audit.orphans
    );
    let hint = "it has been seen to; please report it, with the log";
    Some(Finding::new("audit", Health::Warning, message).hint(hint))
}

/// What the daemon, or this process, finds in a moment.
pub fn shallow(client: &Client) -> Finding {
    match client.get::<Vec<String>>("/v1/check") {
        Ok(faults) => told(&faults, "no faults (every page and archive: --deep)"),
        Err(failure) => super::broken("store", &failure),
    }
}

/// Every page and archive, read by this process.
pub fn deep(directory: &Path) -> Finding {
    match inspect(&directory.join("store"), Depth::Deep) {
        Ok(faults) => told(&faults, "no faults in any page or archive"),
        Err(error) => {
            Finding::new("store", Health::Failed, format!("{error} ({})", error.code())).hint(FAULTS)
        }
    }
}

fn told(faults: &[String], sound: &str) -> Finding {
    match faults.is_empty() {
        true => Finding::new("store", Health::Ok, sound),
        false => Finding::new("store", Health::Failed, faults.join("; ")).hint(FAULTS),
    }
}
