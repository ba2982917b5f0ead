//! The one way of every command to the jobs: HTTP requests, answered by the daemon over its socket, or by the same
//! router in this process over the store, when no daemon has it.

use crate::data::Data;
use crate::failure::{Failure, NO, NOT_FOUND, UNAVAILABLE, USAGE};
use crate::local::{self, Local};
use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use punctual_core::error::{Code, Diagnostic};
use punctual_core::time::Timestamp;
use punctual_server::dto::ErrorDto;
use punctual_server::listen::connect_unix;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tower::ServiceExt;

/// The directory is in use by a process that does not answer.
pub const NO_ANSWER: Code = Code("API001");
/// The daemon's socket, or the store, is another user's.
pub const NOT_ALLOWED: Code = Code("API013");
/// There is no such data directory, or it cannot be used.
pub const NO_DATA: Code = Code("API014");
/// The connection broke, or the answer is not one.
pub const BAD_ANSWER: Code = Code("API015");

/// The name of the daemon's socket in the data directory.
pub const SOCKET_NAME: &str = "punctual.sock";
/// How often the socket and the lock are tried while another process is starting or about to end.
const TRIES_MAX: u32 = 30;
/// Between two tries.
const TRY_PAUSE: Duration = Duration::from_millis(100);
/// Longer than the server works on a request.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(40);
/// No answer is larger.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A way to the jobs of one data directory.
pub struct Client {
    runtime: tokio::runtime::Runtime,
    transport: Transport,
    now: Cell<Timestamp>,
}

enum Transport {
    Socket(PathBuf),
    Local(Box<Local>),
}

/// What came back, whatever its status.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A piece of bytes with the headers that describe it.
pub struct Piece {
    /// The headers.
    pub headers: HeaderMap,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Client {
    /// Finds the daemon of the data directory, or opens its store where no daemon runs.
    ///
    /// # Errors
    /// There is no such directory, it is in use by a process that does not answer, or it may not be opened.
    pub fn open(data: &Data) -> Result<Self, Failure> {
        let directory = data.directory();
        if !directory.is_dir() {
            let message = format!("there is no data directory {}", directory.display());
            let error = Diagnostic::error(NO_DATA, message)
                .hint("`punctual serve` makes it; --data DIR or $PUNCTUAL_DATA names another");
            return Err(Failure::new(UNAVAILABLE, error));
        }
        Self::open_at(&directory)
    }

    /// The same, making the directory if it is missing.
    ///
    /// # Errors
    /// As [`Client::open`]; or it cannot be made.
    pub fn open_or_create(data: &Data) -> Result<Self, Failure> {
        use std::os::unix::fs::DirBuilderExt;
        let directory = data.directory();
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|why| {
            let message = format!("the data directory {} cannot be made", directory.display());
            Failure::new(UNAVAILABLE, Diagnostic::error(NO_DATA, message).detail(why.to_string()))
        })?;
        Self::open_at(&directory)
    }

    /// Finds the daemon of the data directory; the store is left alone.
    ///
    /// # Errors
    /// No daemon answers.
    pub fn daemon(data: &Data) -> Result<Self, Failure> {
        let socket = data.directory().join(SOCKET_NAME);
        connect_unix(&socket).map_err(|why| no_answer(&why.to_string()))?;
        Self::over(Transport::Socket(socket))
    }

    fn open_at(directory: &Path) -> Result<Self, Failure> {
        Self::over(find(directory, TRIES_MAX)?)
    }

    fn over(transport: Transport) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|why| broken(&why))?;
        Ok(Self { runtime, transport, now: Cell::new(Timestamp::EPOCH) })
    }

    /// Whether a daemon answers.
    pub fn has_daemon(&self) -> bool {
        matches!(self.transport, Transport::Socket(_))
    }

    /// The engine's time at its last answer.
    pub fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// It was refused, or no answer came.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        document(&self.request(Method::GET, path, None)?.body)
    }

    /// Changes something.
    ///
    /// # Errors
    /// It was refused, or no answer came.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).expect("these shapes have string keys only");
        document(&self.request(Method::POST, path, Some(body))?.body)
    }

    /// Reads bytes.
    ///
    /// # Errors
    /// It was refused, or no answer came.
    pub fn bytes(&self, path: &str) -> Result<Piece, Failure> {
        let Reply { headers, body, .. } = self.request(Method::GET, path, None)?;
        Ok(Piece { headers, bytes: body })
    }

    fn request(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Reply, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "punctual")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.unwrap_or_default()))
            .expect("paths are encoded by `path`");
        let reply = self.runtime.block_on(async {
            let answered = tokio::time::timeout(ANSWER_TIME_MAX, self.transport.send(request)).await;
            answered.unwrap_or_else(|_| Err(no_answer("it took longer than 40 s")))
        })?;
        let now = reply.headers.get(punctual_server::NOW_HEADER).and_then(|now| now.to_str().ok());
        if let Some(now) = now.and_then(|now| Timestamp::parse_rfc3339(now).ok()) {
            self.now.set(now);
        }
        if reply.status.is_success() { Ok(reply) } else { Err(refusal(&reply)) }
    }
}

impl Transport {
    async fn send(&self, request: Request<Body>) -> Result<Reply, Failure> {
        match self {
            Self::Local(local) => collect(ask(&local.router, request).await).await,
            Self::Socket(path) => {
                let stream = connect_unix(path).and_then(|stream| {
                    stream.set_nonblocking(true)?;
                    tokio::net::UnixStream::from_std(stream)
                });
                let stream = stream.map_err(|why| broken(&why))?;
                let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
                let (mut sender, connection) = handshake.map_err(|why| broken(&why))?;
                let connection = tokio::spawn(connection);
                let response = sender.send_request(request).await.map_err(|why| broken(&why))?;
                let reply = collect(response).await;
                connection.abort();
                reply
            }
        }
    }
}

async fn ask(router: &axum::Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
}

async fn collect<B>(response: Response<B>) -> Result<Reply, Failure>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|why| broken(&*why))?;
    Ok(Reply { status: parts.status, headers: parts.headers, body: body.to_bytes().to_vec() })
}

/// The daemon's socket if it answers, else the store if its lock is free. Between the two another process may be
/// starting or ending, so both are tried for a while.
fn find(directory: &Path, tries_max: u32) -> Result<Transport, Failure> {
    let socket = directory.join(SOCKET_NAME);
    for _ in 0..tries_max {
        match connect_unix(&socket) {
            Ok(_) => return Ok(Transport::Socket(socket)),
            Err(why) if why.kind() == ErrorKind::PermissionDenied => {
                let message = format!("{} may not be opened by this user", socket.display());
                let error = Diagnostic::error(NOT_ALLOWED, message)
                    .hint("run it as the user of the daemon, for example with sudo");
                return Err(Failure::new(UNAVAILABLE, error));
            }
            Err(_) => {}
        }
        if let Some(local) = local::open(directory)? {
            return Ok(Transport::Local(Box::new(local)));
        }
        std::thread::sleep(TRY_PAUSE);
    }
    Err(no_answer(&format!(
        "{} is in use by a process that does not answer on its socket",
        directory.display()
    )))
}

fn no_answer(why: &str) -> Failure {
    let error = Diagnostic::error(NO_ANSWER, format!("the daemon does not answer: {why}"))
        .hint("it may be starting or stuck: look at its log, `journalctl -u punctual`, or restart it");
    Failure::new(UNAVAILABLE, error)
}

fn broken(why: &dyn std::fmt::Display) -> Failure {
    let error = Diagnostic::error(BAD_ANSWER, format!("the connection to the daemon broke: {why}"))
        .hint("is it still running? `punctual doctor`");
    Failure::new(UNAVAILABLE, error)
}

fn document<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|why| {
        let error = Diagnostic::error(BAD_ANSWER, format!("the daemon's answer is not understood: {why}"))
            .hint("daemon and command are probably of different versions: restart the daemon");
        Failure::new(UNAVAILABLE, error)
    })
}

fn refusal(reply: &Reply) -> Failure {
    let exit = match reply.status {
        StatusCode::NOT_FOUND => NOT_FOUND,
        // What the daemon cannot read stood on the command line.
        StatusCode::BAD_REQUEST => USAGE,
        status if status.is_server_error() => UNAVAILABLE,
        _ => NO,
    };
    match document::<ErrorDto>(&reply.body) {
        Ok(ErrorDto { error }) => Failure { error, exit, told: None },
        Err(failure) => failure,
    }
}

/// A path of these segments, each encoded whatever it holds.
pub fn path(segments: &[&str]) -> String {
    segments.iter().map(|segment| format!("/{}", encode(segment))).collect()
}

/// The path with a query of those parameters that are given.
pub fn query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut text = path.to_owned();
    for (name, value) in parameters {
        if let Some(value) = value {
            text.push(if text.contains('?') { '&' } else { '?' });
            text.push_str(&format!("{name}={}", encode(value)));
        }
    }
    text
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.'
                if text != "." && text != ".." =>
            {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{self, Scratch};
    use punctual_server::dto::JobDto;
    use punctual_server::listen::serve_unix;
    use punctual_server::router::router;

    #[test]
    fn whatever_a_name_holds_it_stays_one_segment() {
        assert_eq!(path(&["v1", "jobs", "a/b ?é"]), "/v1/jobs/a%2Fb%20%3F%C3%A9");
        assert_eq!(path(&["v1", "jobs", ".."]), "/v1/jobs/%2E%2E");
        assert_eq!(
            query("/v1/runs", &[("job", Some("a&b")), ("since", None), ("limit", Some("3"))]),
            "/v1/runs?job=a%26b&limit=3"
        );
    }

    /// The directory of a test, and the argument that names it.
    fn scratch(name: &str) -> (Scratch, Data) {
        let scratch = Scratch::new(&format!("client-{name}"));
        let data = Data::at(scratch.path());
        (scratch, data)
    }

    #[test]
    fn a_daemon_is_asked_over_its_socket() {
        let (scratch, data) = scratch("socket");
        let engine = seed::engine(&scratch);
        let _lock = engine.data().lock().expect("nobody has it");
        let _listening = serve_unix(&engine.data().socket(), router(engine.clone())).expect("served");
        let client = Client::open(&data).unwrap_or_else(|failure| panic!("{failure:?}"));
        assert!(client.has_daemon());
        let jobs: Vec<JobDto> = client.get("/v1/jobs").expect("answered");
        assert_eq!((jobs[0].name.as_str(), client.now()), ("backup", seed::NOW));
        let unknown = client.get::<JobDto>("/v1/jobs/bakcup").expect_err("no such job");
        assert_eq!((unknown.exit, unknown.error.code.as_str()), (NOT_FOUND, "RUN001"));
        let body = serde_json::json!({"reason": "disk"});
        let paused: JobDto = client.post("/v1/jobs/backup/pause", &body).expect("paused");
        assert_eq!(paused.paused.map(|p| p.reason).as_deref(), Some("disk"));
        let again = client.post::<JobDto>("/v1/jobs/backup/pause", &body).expect_err("paused already");
        assert_eq!(again.exit, NO);
        assert!(Client::daemon(&data).is_ok());
    }

    #[test]
    fn without_a_daemon_the_store_is_opened_and_let_go() {
        let (scratch, data) = scratch("local");
        drop(
            std::os::unix::net::UnixListener::bind(scratch.path().join(SOCKET_NAME)).expect("a stale socket"),
        );
        for _ in 0..2 {
            let client = Client::open(&data).unwrap_or_else(|failure| panic!("{failure:?}"));
            assert!(!client.has_daemon());
            assert_eq!(client.get::<Vec<JobDto>>("/v1/jobs").expect("answered"), []);
        }
        assert!(Client::daemon(&data).is_err());
    }

    #[test]
    fn a_directory_in_use_by_who_does_not_answer_is_an_error() {
        let (scratch, _) = scratch("silent");
        let data = punctual_engine::data_dir::DataDir::open(scratch.path()).expect("made");
        let _lock = data.lock().expect("nobody has it");
        let failure = find(scratch.path(), 2).err().expect("nobody answers");
        assert_eq!((failure.exit, failure.error.code.as_str()), (UNAVAILABLE, "API001"));
        let missing =
            Client::open(&Data::at(&scratch.path().join("missing"))).err().expect("no such directory");
        assert_eq!((missing.exit, missing.error.code.as_str()), (UNAVAILABLE, "API014"));
    }
}
