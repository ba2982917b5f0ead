//! The modes in which the daemon starts this program again: supervisor, and launcher of a job as another user.

use punctual_engine::supervisor::{launch, process};
use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

/// Hold job processes (started by the daemon)
#[derive(Debug, clap::Args)]
pub struct Supervise {
    /// Where to note what was started
    journal: PathBuf,
}

/// Become a job as another user (started by the supervisor)
#[derive(Debug, clap::Args)]
pub struct Launch {
    #[arg(long)]
    user: String,
    #[arg(long)]
    errors: PathBuf,
    #[arg(long)]
    directory: Option<String>,
    #[arg(last = true)]
    argv: Vec<String>,
}

/// Runs the supervisor; its socket is standard input.
pub fn supervise(args: Supervise) -> ExitCode {
    let socket = std::io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let program = PathBuf::from("/proc/self/exe");
    match socket.and_then(|socket| process::run(socket, &args.journal, program)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("punctual: the supervisor failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Becomes the job.
pub fn become_job(args: Launch) -> ExitCode {
    match OpenOptions::new().write(true).open(&args.errors) {
        Ok(errors) => {
            let launch = launch::Launch { user: args.user, directory: args.directory, argv: args.argv };
            ExitCode::from(launch::launch(&launch, errors))
        }
        Err(error) => {
            eprintln!("punctual: {} cannot be opened: {error}", args.errors.display());
            ExitCode::from(126)
        }
    }
}
