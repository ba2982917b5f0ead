//! `punctual restore`: puts a backup in the place of the store.
//!
//! ```text
//! backup ─check, copy, mark→ store.new    store ─rename→ store.before-TIME    store.new ─rename→ store
//! ```
//! A crash between the last two leaves no store under the name, and the old receipt: a daemon that starts then makes an
//! empty store, sees that it is another, and starts nothing.

use crate::commands::backup::{BackupDto, Progress, stamp};
use crate::commands::serve::{TAKEN, UNUSABLE};
use crate::data::Data;
use crate::failure::{Failure, Format, NO, OK, UNAVAILABLE, finish, json, print};
use crate::local::belongs_to;
use punctual_core::error::{Code, Diagnostic};
use punctual_engine::clock::Clock;
use punctual_engine::data_dir::{DataDir, LockError};
use punctual_store::sqlite::restore;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// There is a store where one would be put.
const OCCUPIED: Code = Code("STO014");

/// Put a backup in the place of the store
///
/// No daemon may run. The backup does not know what has happened since it was made: nothing is started from it until
/// `punctual doctor store --accept`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  punctual restore /backups/punctual-20261124T090000Z --data /var/lib/punctual
  punctual restore ./before-upgrade --force        the store that is there is kept beside it")]
pub struct Args {
    /// The backup
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// Move a store that is there aside
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    data: Data,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Restores.
pub fn run(args: Args) -> ExitCode {
    finish(args.format, put_back(&args))
}

fn put_back(args: &Args) -> Result<u8, Failure> {
    let directory = args.data.directory();
    if let Ok(data) = directory.metadata() {
        belongs_to(&directory, data.uid(), rustix::process::geteuid().as_raw())?;
    }
    let unusable = |why: std::io::Error| {
        let message = format!("the data directory {} cannot be used: {why}", directory.display());
        Failure::new(UNAVAILABLE, Diagnostic::error(UNUSABLE, message))
    };
    let data = DataDir::open(&directory).map_err(unusable)?;
    let _lock = data.lock().map_err(|why| match why {
        LockError::Held(pid) => {
            let message = format!("process {pid} is using the data directory {}", directory.display());
            Failure::new(NO, Diagnostic::error(TAKEN, message).hint("stop the daemon first"))
        }
        LockError::Io(why) => unusable(why),
    })?;
    let store = data.store();
    let occupied = store.join("punctual.db").exists();
    if occupied && !args.force {
        let error =
            Diagnostic::error(OCCUPIED, format!("there is a store in {} already", directory.display()))
                .hint("--force moves it aside; it is kept");
        return Err(Failure::new(NO, error));
    }
    let fresh = store.with_extension("new");
    let _ = fs::remove_dir_all(&fresh);
    let manifest = restore(&args.from, &fresh, &mut Progress::default().told())
        .map_err(|why| Failure::new(NO, Diagnostic::error(why.code(), why.to_string())))?;
    let aside = format!("before-{}", stamp(&Clock::System.now().to_string()));
    let kept = move_aside(&store, &aside).and_then(|kept| {
        fs::rename(&fresh, &store)?;
        move_aside(&store.with_extension("receipt"), &aside)?;
        fs::File::open(data.root())?.sync_all()?;
        Ok(kept)
    });
    let kept = kept.map_err(unusable)?;
    let restored = BackupDto::of(&args.from, &manifest);
    print(match args.format {
        Format::Json => json(&restored),
        Format::Table => text(&directory, &restored, kept.as_deref()),
    });
    Ok(OK)
}

/// Renames what is there, if anything; its new name.
fn move_aside(path: &Path, suffix: &str) -> std::io::Result<Option<PathBuf>> {
    if !path.exists() {
        return Ok(None);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{suffix}"));
    let aside = path.with_file_name(name);
    fs::rename(path, &aside)?;
    Ok(Some(aside))
}

fn text(directory: &Path, restored: &BackupDto, kept: Option<&Path>) -> String {
    let kept = kept.map(|kept| format!("the store that was there is kept in {}\n", kept.display()));
    format!(
        "restored {} into {}: as of {}\n{}nothing is started until you accept it: `punctual serve`, look at \
         `punctual runs`, then `punctual doctor store --accept`\n",
        restored.path,
        directory.display(),
        restored.at,
        kept.unwrap_or_default()
    )
}
