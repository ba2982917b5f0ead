//! Serving the router on a Unix socket, from a thread of its own: requests never delay a firing.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use punctual_core::error::{Code, Diagnostic};
use punctual_engine::unix_socket;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Somebody answers on the socket already.
const SOCKET_TAKEN: Code = Code("API011");
/// The socket cannot be made.
const SOCKET_FAILED: Code = Code("API012");
/// Further connections wait.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take for the head of a request.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long requests under way are waited for at the end.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// A router that is being served. Dropping it stops the service and removes the socket.
#[derive(Debug)]
pub struct Listening {
    path: PathBuf,
    /// The socket's number in its directory: another daemon may have put its own there since.
    inode: u64,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Removed first: who comes now finds no socket, rather than one that closes on him.
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves `router` on a new socket at `path`, which only this user may open.
///
/// A socket that a dead process left is replaced. One on which somebody answers is not.
///
/// # Errors
/// Somebody answers there, something else than a socket is there, or it cannot be made.
pub fn serve_unix(path: &Path, router: Router) -> Result<Listening, Box<Diagnostic>> {
    let failed = |why: io::Error| {
        let error = Diagnostic::error(SOCKET_FAILED, format!("the socket {} cannot be made", path.display()))
            .detail(why.to_string())
            .hint("is the data directory there, on a local disk, and writable?");
        Box::new(error)
    };
    refuse_living(path)?;
    let listener = unix_socket::bind(path).map_err(failed)?;
    let inode = fs::symlink_metadata(path).map_err(failed)?.ino();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (stop, stopped) = watch::channel(false);
    let thread = std::thread::Builder::new()
        .name("http".to_owned())
        .spawn(move || runtime.block_on(accept(listener, router, stopped)))
        .map_err(failed)?;
    Ok(Listening { path: path.to_owned(), inode, stop, thread: Some(thread) })
}

fn refuse_living(path: &Path) -> Result<(), Box<Diagnostic>> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    if !there.file_type().is_socket() {
        let message = format!("{} is there and is not a socket", path.display());
        return Err(Box::new(Diagnostic::error(SOCKET_FAILED, message).hint("move it away")));
    }
    match connect_unix(path) {
        Ok(_) => {
            let message = format!("a daemon already answers on {}", path.display());
            let error = Diagnostic::error(SOCKET_TAKEN, message)
                .hint("stop it first, or give this one another directory with --data");
            Err(Box::new(error))
        }
        Err(_) => Ok(()),
    }
}

/// Connects to the socket at `path`, however long the path is.
///
/// # Errors
/// Nobody answers there, or it may not be opened.
pub fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    unix_socket::connect(path)
}

async fn accept(listener: UnixListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let listener = tokio::net::UnixListener::from_std(listener).expect("the listener is non-blocking");
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let next = async || {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
        (listener.accept().await, slot)
    };
    loop {
        let (accepted, slot) = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = next() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = serve_connection(stream, router.clone(), stopped.clone());
                tokio::spawn(async move {
                    served.await;
                    drop(slot);
                });
            }
            // Out of descriptors: the listener stays ready, so wait a little rather than spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    let all = u32::try_from(CONNECTIONS_MAX).expect("a small number");
    let _ = tokio::time::timeout(DRAIN_TIME_MAX, slots.acquire_many(all)).await;
}

async fn serve_connection(
    stream: tokio::net::UnixStream,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    use tower::ServiceExt;
    let service = TowerToHyperService::new(router.map_request(|r: Request<Incoming>| r.map(Body::new)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
    }
    // A client that broke off is nobody's error.
    let _ = connection.await;
}
