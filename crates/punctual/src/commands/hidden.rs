//! The modes in which the daemon starts this program again: supervisor, launcher of a job,
//! and the look at its output.

use punctual_engine::supervisor::{launch, process, verify};
use std::fs::OpenOptions;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Hold job processes (started by the daemon)
#[derive(Debug, clap::Args)]
pub struct Supervise {
    /// Where to note what was started and how it ended
    journal: PathBuf,
    /// The node whose session it is
    node: String,
    /// Milliseconds that jobs may live without a daemon
    orphan_timeout_ms: u64,
}

/// Become a job (started by the supervisor)
#[derive(Debug, clap::Args)]
pub struct Launch {
    /// What to do
    orders: PathBuf,
    /// Where to say what could not be done
    errors: PathBuf,
}

/// Look at an output (started by the supervisor)
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// What must match somewhere
    #[arg(long)]
    output: Option<String>,
    /// What must match nowhere
    #[arg(long)]
    output_not: Option<String>,
    /// The output
    log: PathBuf,
}

/// Looks; the exit code says what holds.
pub fn verify(args: &Verify) -> ExitCode {
    ExitCode::from(verify::look(&args.log, args.output.as_deref(), args.output_not.as_deref()))
}

/// Runs the supervisor; its listener is standard input, its lock is standard output.
pub fn supervise(args: Supervise) -> ExitCode {
    close_inherited();
    // It was started through a link of another name.
    let _ = std::fs::write("/proc/self/comm", "punctual");
    let result = outlive_signals().and_then(|()| {
        let listener = UnixListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        let orphan_timeout = Duration::from_millis(args.orphan_timeout_ms);
        process::run(listener, &args.journal, args.node, orphan_timeout, PathBuf::from("/proc/self/exe"))
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

/// It ends when its jobs have, not when a service manager or a terminal signals it together with the daemon.
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
