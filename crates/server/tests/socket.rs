//! The socket: who may open it, when it is replaced, and that it goes when the service ends.

#[path = "support/seed.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod seed;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
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

#[test]
fn clients_that_only_hold_their_connections_do_not_hold_the_end() {
    let scratch = Scratch::new("socket-held");
    let engine = seed::empty(&scratch);
    let path = scratch.path().join("punctual.sock");
    let listening = serve_unix(&path, router(engine)).expect("served");
    let mut idle: Vec<_> = (0..80).map(|_| connect_unix(&path).expect("it is queued")).collect();
    idle[0].write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
    let mut begun = [0_u8; 15];
    idle[0].read_exact(&mut begun).expect("the first is served");
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    drop(listening);
    assert!(!path.exists());
}

#[test]
fn whatever_arrives_the_service_goes_on() {
    let scratch = Scratch::new("socket-any");
    let path = scratch.path().join("punctual.sock");
    let _listening = serve_unix(&path, router(seed::engine(&scratch))).expect("served");
    let request = "(GET|POST|PUT|X) /(v1|healthz)?/?(jobs|runs|why|apply)?/?[a-z0-9%?&=/.]{0,30} HTTP/1.[019]\r\n(host: x\r\n)?(content-length: [0-9]{1,12}\r\n)?\r\n[ -~]{0,60}";
    let anything = prop_oneof![vec(any::<u8>(), 0..400), request.prop_map(String::into_bytes)];
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&anything, |sent| {
        let mut stream = connect_unix(&path).expect("somebody answers");
        // The service may hang up on what is no request before it has been sent.
        let _ = stream.write_all(&sent);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        prop_assert!(!answer.starts_with(b"HTTP/1.1 500"), "{}", String::from_utf8_lossy(&answer));
        // The seeded run that is ready has been due for long, and nothing starts it.
        prop_assert!(health(&path).ends_with("overdue\n"));
        Ok(())
    });
    outcome.unwrap_or_else(|why| panic!("{why}"));
}
