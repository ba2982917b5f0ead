//! `punctual install-service`: a systemd unit for the daemon.

use crate::data::Data;
use crate::failure::{Failure, Format, NO, OK, finish, print, remark};
use punctual_core::error::{Code, Diagnostic};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The unit cannot be written.
const NO_UNIT: Code = Code("API018");

/// Write a systemd unit for the daemon, or print it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sudo punctual install-service --definitions /etc/punctual
  punctual install-service --user --definitions ~/jobs
  punctual install-service --print

It only writes the unit, and says which commands start it.")]
pub struct Args {
    /// A unit of this user's systemd instead of the system's [default for anyone but root]
    #[arg(long)]
    user: bool,
    /// The definitions that the daemon serves
    #[arg(long, value_name = "FILE|DIR")]
    definitions: Option<PathBuf>,
    /// Print the unit instead of writing it
    #[arg(long)]
    print: bool,
    /// Replace a unit that is there and different
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    data: Data,
}

/// Writes or prints the unit.
pub fn run(args: Args) -> ExitCode {
    finish(Format::Table, install(&args))
}

fn install(args: &Args) -> Result<u8, Failure> {
    let user = args.user || !rustix::process::geteuid().is_root();
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/usr/local/bin/punctual"));
    let definitions = args.definitions.as_deref().map(absolute);
    let text = unit(&program, &absolute(&args.data.directory()), definitions.as_deref(), user);
    if args.print {
        print(text);
        return Ok(OK);
    }
    let file = unit_file(user)?;
    write(&file, &text, args.force)?;
    let systemctl = if user { "systemctl --user" } else { "systemctl" };
    print(format!(
        "wrote {}\nstart it now and at every boot:\n  {systemctl} daemon-reload && {systemctl} enable --now punctual\n",
        file.display()
    ));
    if user {
        remark("it ends with your last session unless you say `loginctl enable-linger`");
    }
    Ok(OK)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn unit_file(user: bool) -> Result<PathBuf, Failure> {
    if !user {
        return Ok(PathBuf::from("/etc/systemd/system/punctual.service"));
    }
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let config = config.ok_or_else(|| refused("neither XDG_CONFIG_HOME nor HOME is set", "use --print"))?;
    Ok(config.join("systemd/user/punctual.service"))
}

fn write(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    match fs::read_to_string(file) {
        Ok(there) if there == text => return Ok(()),
        Ok(_) if !force => {
            let message = format!("{} is there and says something else", file.display());
            return Err(refused(&message, "compare with --print, then use --force"));
        }
        _ => {}
    }
    let directory = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).and_then(|()| fs::write(file, text)).map_err(|why| {
        refused(&format!("{} cannot be written: {why}", file.display()), "run it with sudo, or use --user")
    })
}

fn refused(message: &str, hint: &str) -> Failure {
    Failure::new(NO, Diagnostic::error(NO_UNIT, message).hint(hint))
}

/// The unit's text.
fn unit(program: &Path, data: &Path, definitions: Option<&Path>, user: bool) -> String {
    let mut start = format!("{} serve --data {}", quoted(program), quoted(data));
    if let Some(definitions) = definitions {
        start.push_str(&format!(" --definitions {}", quoted(definitions)));
    }
    let target = if user { "default.target" } else { "multi-user.target" };
    let after =
        if user { "" } else { "After=network-online.target time-sync.target\nWants=network-online.target\n" };
    format!(
        "[Unit]
Description=Punctual, the scheduler
{after}
[Service]
Type=exec
ExecStart={start}
Restart=always
RestartSec=1
# Jobs inherit it; what the daemon keeps for itself has modes of its own.
UMask=0022
# Jobs outlive the daemon: a stop ends the daemon alone, and the next start adopts the jobs under way. If none comes,
# the process that holds them ends them after 5 minutes (serve --orphan-timeout). To end them with the daemon, add
# `--at-stop end` to ExecStart, and let TimeoutStopSec be longer than the longest grace.
KillMode=process
TimeoutStopSec=120
# The daemon's own need is small; the jobs' tasks and files are not the unit's to limit.
TasksMax=infinity
LimitNOFILE=65536
# For the `limits` of jobs: their control groups are made beside the daemon's (with systemd 254 or later).
Delegate=yes
DelegateSubgroup=punctual-daemon

[Install]
WantedBy={target}
"
    )
}

/// A path as a word of `ExecStart=`: quoted, with what systemd would expand taken literally.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | '=' | ':' | '@');
    if text.chars().all(plain) {
        return text;
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_names_absolute_quoted_paths() {
        let text = unit(
            Path::new("/usr/bin/punctual"),
            Path::new("/srv/my data/50%"),
            Some(Path::new("/etc/punctual")),
            false,
        );
        let start =
            "ExecStart=/usr/bin/punctual serve --data \"/srv/my data/50%%\" --definitions /etc/punctual\n";
        assert!(text.contains(start), "{text}");
        assert!(text.contains("WantedBy=multi-user.target"));
    }

    #[test]
    fn a_different_unit_is_not_overwritten() {
        let directory = std::env::temp_dir().join(format!("punctual-unit-{}", std::process::id()));
        let file = directory.join("systemd/user/punctual.service");
        assert_eq!(write(&file, "a", false), Ok(()));
        assert_eq!(write(&file, "a", false), Ok(()));
        assert!(write(&file, "b", false).is_err());
        assert_eq!(write(&file, "b", true), Ok(()));
        fs::remove_dir_all(directory).expect("the test made it");
    }
}
