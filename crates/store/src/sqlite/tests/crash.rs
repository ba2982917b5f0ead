//! A child process writes and says what it was told is durable; it is killed in the middle; all it said is there.

use super::*;
use punctual_core::id::RunId;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command as Program, Stdio};

const CHILD_DIR: &str = "PUNCTUAL_STORE_CHILD_DIR";
const CHILD_FROM: &str = "PUNCTUAL_STORE_CHILD_FROM";
const WRITERS: u32 = 3;

fn options() -> SqliteOptions {
    // Small, so that kills also meet sealing, archiving and checkpoints.
    SqliteOptions { segment_rows_max: 25, log_bytes_max: 128 << 10, ..SqliteOptions::new(still) }
}

/// The child: does nothing unless it is told where.
#[test]
fn child_that_is_killed() {
    let (Ok(dir), Ok(from)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_FROM)) else { return };
    let from: u32 = from.parse().expect("the parent gives a number");
    let store = Store::open_sqlite(Path::new(&dir), options()).expect("it opens after a kill");
    if from == 0 {
        with_jobs(&store, i64::from(WRITERS));
    }
    std::thread::scope(|scope| {
        for writer in 1..=WRITERS {
            let store = &store;
            scope.spawn(move || write_for_ever(store, writer, from));
        }
    });
}

fn write_for_ever(store: &Store, writer: u32, from: u32) {
    for number in from.. {
        let secs = i64::from(number);
        let fresh = leased(&run(i64::from(writer), number, secs), NODE, secs);
        put(store, Ask::default(), new(vec![fresh.clone()])).expect("a key of its own");
        say("leased", &fresh);
        let end = Decision { runs: vec![finished(&fresh, secs, Verdict::Success)], ..Decision::default() };
        put(store, of_runs(&[&fresh]), end).expect("nobody else has it");
        say("finished", &fresh);
    }
}

/// One write, so that the lines of several threads do not mix; a dead parent ends the child.
fn say(what: &str, run: &Run) {
    let line = format!("ACK {what} {}\n", run.id);
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent listens");
}

fn start(dir: &Dir, from: u32) -> Child {
    let own = std::env::current_exe().expect("the test knows its program");
    Program::new(own)
        .args(["--exact", "sqlite::tests::crash::child_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir.path())
        .env(CHILD_FROM, from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test program starts")
}

// proves I-19
#[test]
fn what_was_acknowledged_survives_kill_9() {
    let kills: u32 = std::env::var("PUNCTUAL_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    let dir = Dir::new();
    let mut said: BTreeMap<RunId, bool> = BTreeMap::new();
    for kill in 0..kills {
        let mut child = start(&dir, kill * 10_000);
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut left = 20 + 37 * kill % 300;
        while left > 0 {
            let line = lines.next().expect("it writes until it is killed").expect("it writes text");
            left -= u32::from(note(&line, &mut said));
        }
        child.kill().expect("it runs");
        for line in lines {
            // Said before it died, read after; the last may be cut off.
            note(&line.unwrap_or_default(), &mut said);
        }
        child.wait().expect("it is ours");

        let store = dir.open_with(options());
        for (id, ended) in &said {
            let run = wait(store.run(*id)).expect("readable");
            let run = run.unwrap_or_else(|| panic!("the run {id} was acknowledged and is not there"));
            assert!(run.is_finished() || !ended, "the end of {id} was acknowledged and is not there");
        }
        assert_eq!(wait(store.check()), Ok(vec![]));
    }
    assert!(said.len() > 100, "too few runs to mean anything: {}", said.len());
}

/// Notes what a line says, if it is whole and the child's own.
fn note(line: &str, said: &mut BTreeMap<RunId, bool>) -> bool {
    let Some((what, id)) = line.strip_prefix("ACK ").and_then(|rest| rest.split_once(' ')) else {
        return false;
    };
    let Ok(id) = id.parse() else { return false };
    let ended = said.entry(id).or_default();
    *ended |= what == "finished";
    true
}
