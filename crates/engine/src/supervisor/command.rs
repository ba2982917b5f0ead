//! What is executed for an attempt: the job itself where nothing must be set before it, else the launcher, which sets
//! it and becomes the job.

use super::launch::Orders;
use super::protocol::{SpawnError, Start};
use super::tree;
use punctual_core::error::Code;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const NO_PROGRAM: Code = Code("EXE001");
const NOT_EXECUTABLE: Code = Code("EXE002");
const NO_DIRECTORY: Code = Code("EXE003");
const TOO_LONG: Code = Code("EXE007");
const NO_FORMAT: Code = Code("EXE008");
const NO_INTERPRETER: Code = Code("EXE009");
const NO_PROCESS: Code = Code("EXE010");
const NO_DESCRIPTOR: Code = Code("EXE011");
/// It could not be started for another reason.
pub(super) const FAILED: Code = Code("EXE015");

/// Of a script so much is read to find its interpreter; the kernel reads as much.
const FIRST_LINE_BYTES_MAX: u64 = 256;

/// What supervisor and launcher hand each other, in memory. The launcher opens them through the supervisor's
/// descriptors, so that the job has to inherit none.
pub struct LaunchFiles {
    /// There for the launcher as long as it is open here.
    orders: File,
    errors: File,
}

impl LaunchFiles {
    /// Why the launcher could not become the job, if it could not.
    pub fn error(mut self) -> Option<SpawnError> {
        let mut text = Vec::new();
        self.errors.rewind().and_then(|()| self.errors.read_to_end(&mut text)).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// The command of `start`; with the launcher between, also what that reads and writes. `groups` are the files that
/// the launcher writes itself into.
///
/// # Errors
/// The program or its directory is not there.
pub fn command(
    start: &Start,
    launcher: &Path,
    groups: Vec<PathBuf>,
) -> Result<(Command, Option<LaunchFiles>), SpawnError> {
    let orders = Orders::of(start, groups);
    if orders.is_plain() {
        return plain(start).map(|command| (command, None));
    }
    let orders = serde_json::to_vec(&orders)
        .map_err(|e| SpawnError::new(FAILED, format!("its environment is no text: {e}")))?;
    let files = LaunchFiles { orders: memory_file("orders", &orders)?, errors: memory_file("errors", &[])? };
    let path = |file: &File| format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let mut command = Command::new(launcher);
    command.arg0("punctual").args([tree::LAUNCH.to_owned(), path(&files.orders), path(&files.errors)]);
    // The mark, so that it is known for what it is from the first moment. The rest of the environment could change how
    // programs are loaded, and must not do so before the user has changed.
    command.env_clear().envs(start.env.iter().filter(|(k, _)| k == tree::MARK).map(|(k, v)| (k, v)));
    command.current_dir("/");
    Ok((command, Some(files)))
}

fn plain(start: &Start) -> Result<Command, SpawnError> {
    let directory = start.working_directory.as_deref().unwrap_or("/");
    if !Path::new(directory).is_dir() {
        return Err(no_directory(directory, &Errno::NOENT.into()));
    }
    let found = find_program(&start.argv, &start.env, Path::new(directory))?;
    let mut command = Command::new(found);
    command.arg0(&start.argv[0]).args(&start.argv[1..]).current_dir(directory);
    command.env_clear().envs(start.env.iter().map(|(k, v)| (k, v)));
    Ok(command)
}

/// The working directory cannot be entered.
pub(super) fn no_directory(directory: &str, error: &std::io::Error) -> SpawnError {
    let message = match error.kind() {
        std::io::ErrorKind::NotFound => format!("the working directory {directory} does not exist"),
        _ => format!("the working directory {directory} cannot be entered: {error}"),
    };
    SpawnError::new(NO_DIRECTORY, message).hint("make it, or change `workingDirectory`")
}

/// Finds a program as a shell would, so that a missing one is a typed error.
///
/// # Errors
/// There is none, or it is not executable.
pub(super) fn find_program(
    argv: &[String],
    env: &[(String, String)],
    directory: &Path,
) -> Result<PathBuf, SpawnError> {
    let Some(name) = argv.first().filter(|name| !name.is_empty()) else {
        return Err(SpawnError::new(NO_PROGRAM, "there is no program to start"));
    };
    let runnable =
        |file: &Path| file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if name.contains('/') {
        let file = directory.join(name);
        return match file.metadata() {
            Err(error) => Err(missing(&file, &error)),
            Ok(meta) if meta.is_dir() => {
                Err(SpawnError::new(NOT_EXECUTABLE, format!("{} is a directory", file.display()))
                    .hint("name a program in it"))
            }
            Ok(_) if !runnable(&file) => Err(not_executable(&file)),
            Ok(_) => Ok(file),
        };
    }
    let path = env.iter().find(|(k, _)| k == "PATH").map_or("/usr/bin:/bin", |(_, v)| v.as_str());
    path.split(':').map(|dir| directory.join(dir).join(name)).find(|file| runnable(file)).ok_or_else(|| {
        SpawnError::new(NO_PROGRAM, format!("no program {name:?} in PATH ({path})"))
            .hint("write its whole path, or set PATH in `env`")
    })
}

fn missing(file: &Path, error: &std::io::Error) -> SpawnError {
    let file = file.display();
    SpawnError::new(NO_PROGRAM, format!("the program {file} cannot be started: {error}"))
        .hint("correct the path; a relative one starts at `workingDirectory`")
}

fn not_executable(file: &Path) -> SpawnError {
    SpawnError::new(NOT_EXECUTABLE, format!("the program {} is not executable", file.display()))
        .hint("chmod +x it, or name its interpreter: [sh, …]")
}

/// Why the kernel would not execute `program`, which is there.
pub(super) fn refused(program: &Path, error: &std::io::Error) -> SpawnError {
    let file = program.display();
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::TOOBIG) => SpawnError::new(
            TOO_LONG,
            format!("{file}: arguments and environment are too long for the kernel"),
        )
        .hint("hand long values over in a file or through `stdin`"),
        Some(Errno::NOEXEC) => {
            let message = format!("{file} is neither a binary of this machine nor a script with a #! line");
            SpawnError::new(NO_FORMAT, message)
                .hint("begin the script with #!/bin/sh, or name its interpreter")
        }
        // The program is there: what is not is the interpreter of its first line, or the loader of a binary.
        Some(Errno::NOENT) => {
            let message = match interpreter(program) {
                Some(name) => format!("the interpreter {name} of {file} does not exist"),
                None => format!("the loader that {file} was linked for does not exist"),
            };
            SpawnError::new(NO_INTERPRETER, message)
                .hint("install it, or correct the first line of the script")
        }
        Some(Errno::ACCESS) => not_executable(program),
        Some(Errno::AGAIN | Errno::NOMEM) => {
            SpawnError::new(NO_PROCESS, format!("{file} could not be started: {error}")).hint(
                "the machine or its user has no process or no memory left; retry later, or run fewer at once",
            )
        }
        Some(Errno::MFILE | Errno::NFILE) => no_descriptor(&format!("{file} could not be started: {error}")),
        _ => SpawnError::new(FAILED, format!("{file} could not be started: {error}")),
    }
}

/// The first word after `#!`.
fn interpreter(program: &Path) -> Option<String> {
    let mut line = Vec::new();
    BufReader::new(File::open(program).ok()?.take(FIRST_LINE_BYTES_MAX)).read_until(b'\n', &mut line).ok()?;
    let words = String::from_utf8_lossy(line.strip_prefix(b"#!")?).into_owned();
    // A script from Windows ends its line with one byte more, which is then part of the name.
    words.trim_start().split([' ', '\t', '\n']).next().map(|name| name.escape_debug().to_string())
}

/// The supervisor has no descriptor left for another attempt.
pub(super) fn no_descriptor(message: &str) -> SpawnError {
    SpawnError::new(NO_DESCRIPTOR, message)
        .hint("raise the daemon's limit of open files (LimitNOFILE of its unit), or run fewer at once")
}

/// What could not be had for the start, by the kernel's error.
pub(super) fn unavailable(what: &str, error: &std::io::Error) -> SpawnError {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE) => no_descriptor(&format!("{what}: {error}")),
        Some(Errno::NOMEM) => SpawnError::new(NO_PROCESS, format!("{what}: {error}")),
        _ => SpawnError::new(FAILED, format!("{what}: {error}")),
    }
}

/// The input: a copy in memory, so that no process has to feed a pipe. Nothing is opened while it is spawned, for
/// that happens under the limit of descriptors that is the job's.
///
/// # Errors
/// There is no memory for it.
pub fn stdin(text: Option<&str>, file: Option<&str>) -> Result<Stdio, SpawnError> {
    // What was never written is not there, and reads as nothing.
    if let Some(file) = file.filter(|file| Path::new(file).exists()) {
        return File::open(file).map(Stdio::from).map_err(|e| unavailable(&format!("no {file} to read"), &e));
    }
    match text {
        Some(text) => memory_file("stdin", text.as_bytes()).map(Stdio::from),
        None => File::open("/dev/null").map(Stdio::from).map_err(|e| unavailable("no /dev/null", &e)),
    }
}

fn memory_file(name: &str, content: &[u8]) -> Result<File, SpawnError> {
    let failed = |e: std::io::Error| unavailable(&format!("no memory for its {name}"), &e);
    let memory = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let mut file = File::from(memory);
    file.write_all(content).and_then(|()| file.rewind()).map_err(failed)?;
    Ok(file)
}
