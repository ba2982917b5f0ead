//! The modes in which the daemon starts this program again: supervisor, and launcher of a job.

use punctual_engine::supervisor::{launch, process};
use std::fs::OpenOptions;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Hold job processes (started by the daemon)
#[derive(Debug, clap::Args)]
pub struct Supervise {
    /// Where to note what was started
    journal: PathBuf,
}

/// Become a job (started by the supervisor)
#[derive(Debug, clap::Args)]
pub struct Launch {
    /// What to do
    orders: PathBuf,
    /// Where to say what could not be done
    errors: PathBuf,
}

/// Runs the supervisor; its socket is standard input.
pub fn supervise(args: Supervise) -> ExitCode {
    close_inherited();
    // It was started through a link of another name.
    let _ = std::fs::write("/proc/self/comm", "punctual");
    let result = outlive_signals().and_then(|()| {
        let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        process::run(socket, &args.journal, PathBuf::from("/proc/self/exe"))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("punctual: the supervisor failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Closes what whoever started the daemon left open, so that no job has it. Nothing else is open yet.
fn close_inherited() {
    let listed = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<RawFd> = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The listing's own is closed by now.
        let _ = nix::unistd::close(descriptor);
    }
}

/// It ends with its daemon, which a service manager may signal together with it: the jobs under way have their grace.
/// The signals are caught, not ignored, for what is ignored would be ignored by the jobs too.
fn outlive_signals() -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}

/// Becomes the job.
pub fn become_job(args: Launch) -> ExitCode {
    let orders = std::fs::read(&args.orders);
    let errors = OpenOptions::new().write(true).open(&args.errors);
    match orders.and_then(|orders| Ok((orders, errors?))) {
        Ok((orders, errors)) => ExitCode::from(launch::launch(&orders, errors)),
        Err(error) => {
            eprintln!("punctual: the supervisor's files cannot be opened: {error}");
            ExitCode::from(126)
        }
    }
}
