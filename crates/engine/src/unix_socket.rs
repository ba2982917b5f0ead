//! Unix sockets in the data directory: this user's alone, and at a path of any length.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Unix sockets have at most 108 bytes of path.
const PATH_BYTES_MAX: usize = 100;

/// A listener at `path` that never waits. What is there is replaced.
///
/// It is bound under a name of its own, gets its mode and is renamed: nobody finds a socket that does not answer yet,
/// and it is never open to others. The umask, which is the whole process's, still lets directories be made and entered.
///
/// # Errors
/// The directory cannot be written to.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let own = path.with_extension("sock.new");
    match fs::remove_file(&own) {
        Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let before = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    let bound = reachable(&own).and_then(|(address, _directory)| UnixListener::bind(address));
    rustix::process::umask(before);
    let listener = bound?;
    fs::set_permissions(&own, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    fs::rename(&own, path)?;
    Ok(listener)
}

/// Connects to the socket at `path`.
///
/// # Errors
/// Nobody answers there, or it may not be opened.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (address, _directory) = reachable(path)?;
    UnixStream::connect(address)
}

/// A short way to `path`, good while the file beside it is open: through the open directory if the path is too long.
fn reachable(path: &Path) -> io::Result<(PathBuf, Option<fs::File>)> {
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return Ok((path.to_owned(), None));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the path is too long for a socket"));
    };
    let directory = fs::File::open(parent)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((short, Some(directory)))
}
