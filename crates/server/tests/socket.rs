//! The socket: who may open it, when it is replaced, and that it goes when the service ends.

#[path = "support/seed.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod seed;

use punctual_server::listen::{connect_unix, serve_unix};
use punctual_server::router::router;
use seed::Scratch;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

fn health(path: &Path) -> String {
    let mut stream = connect_unix(path).expect("somebody answers");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_socket_is_its_users_alone_answers_and_goes() {
    let scratch = Scratch::new("socket-own");
    let engine = seed::empty(&scratch);
    let path = scratch.path().join("punctual.sock");
    let listening = serve_unix(&path, router(engine.clone())).expect("served");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(health(&path).starts_with("HTTP/1.1 200 OK"));
    let second = serve_unix(&path, router(engine.clone())).expect_err("somebody answers");
    assert_eq!(second.code.0, "API011");
    assert!(health(&path).ends_with("ok\n"), "the first goes on");
    drop(listening);
    assert!(!path.exists());
}

#[test]
fn a_socket_that_a_dead_process_left_is_replaced_and_a_file_is_not() {
    let scratch = Scratch::new("socket-stale");
    let engine = seed::empty(&scratch);
    let path = scratch.path().join("punctual.sock");
    drop(UnixListener::bind(&path).expect("bound"));
    assert!(path.exists(), "a dead listener leaves its socket");
    let listening = serve_unix(&path, router(engine.clone())).expect("replaced");
    assert!(health(&path).ends_with("ok\n"));
    drop(listening);
    std::fs::write(&path, "precious").expect("written");
    let refused = serve_unix(&path, router(engine.clone())).expect_err("a file");
    assert_eq!(refused.code.0, "API012");
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "precious");
}

#[test]
fn a_path_longer_than_a_socket_address_works() {
    let scratch = Scratch::new("socket-long");
    let engine = seed::empty(&scratch);
    let deep = scratch.path().join("a".repeat(120));
    std::fs::create_dir_all(&deep).expect("a directory");
    let path = deep.join("punctual.sock");
    let _listening = serve_unix(&path, router(engine.clone())).expect("served");
    assert!(health(&path).ends_with("ok\n"));
}
