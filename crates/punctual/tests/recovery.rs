//! The daemon over a store to which something has happened: what is lost is told, and what was acknowledged is there.
//!
//! Errors of the disk are made with `strace`, which lets system calls of the real binary fail.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use support::{World, signal, until};

const JOBS: &str = "\
jobs:
  - {name: tick, schedule: {every: 1s}, run: 'exit 0', overlap: allow, catchUp: {policy: all, spread: 0s}}
  - {name: asked, run: 'exit 0'}
  - {name: long, run: 'exec sleep 600'}
";

/// The ids of the finished runs.
fn finished(world: &World) -> Vec<String> {
    let runs = world.runs();
    let finished = runs.iter().filter(|run| run["state"] == "finished");
    finished.map(|run| run["id"].as_str().expect("an id").to_owned()).collect()
}

/// Runs that were acknowledged as successful, made one after the other.
fn acknowledged(world: &World, count: usize) -> Vec<String> {
    let ask = |_| world.json(&["trigger", "asked", "--wait"])["id"].as_str().expect("an id").to_owned();
    (0..count).map(ask).collect()
}

fn all_there(world: &World, runs: &[String]) {
    let there = finished(world);
    let gone: Vec<&String> = runs.iter().filter(|run| !there.contains(run)).collect();
    assert!(gone.is_empty(), "acknowledged and gone: {gone:?}");
}

fn finding<'a>(doctor: &'a Value, check: &str) -> Option<&'a Value> {
    doctor.as_array().expect("findings are a list").iter().find(|finding| finding["check"] == check)
}

fn text(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether new runs of `tick` end.
fn fires(world: &World) {
    let before = finished(world).len();
    until("jobs to be started", || (finished(world).len() > before + 1).then_some(()));
}

/// Wakes the daemon's loop, and waits until it has turned.
fn turns(world: &World) {
    let last =
        || finding(&world.json(&["doctor"]), "daemon").expect("there is one")["facts"]["lastCycle"].clone();
    let before = last();
    world.json(&["trigger", "asked"]);
    until("the loop to turn", || (last() != before).then_some(()));
}

fn log(world: &World) -> String {
    fs::read_to_string(world.path("daemon.log")).unwrap_or_default()
}

/// Makes the program of the world's daemon a script that runs it under `strace`, with these faults. The daemon is the
/// test's child all the same (`-D`).
fn with_faults(world: &mut World, faults: &str) {
    let script = format!(
        "#!/bin/sh\nexec strace -D -f -qq -o {} {faults} {} \"$@\"\n",
        world.path("strace.log").display(),
        env!("CARGO_BIN_EXE_punctual")
    );
    let path = world.path("faulty");
    fs::write(&path, script).expect("writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("settable");
    world.program = path;
}

fn without_faults(world: &mut World) {
    world.program = env!("CARGO_BIN_EXE_punctual").into();
}

// proves I-19 and I-20
#[test]
fn a_log_that_was_deleted_between_two_daemons_is_noticed_and_nothing_is_started_until_it_is_accepted() {
    let mut world = World::new("deleted-log", JOBS);
    world.start();
    let kept = acknowledged(&world, 1);
    assert!(world.stop().success());
    world.start();
    let lost = acknowledged(&world, 3);
    signal(world.daemon(), Signal::KILL);
    world.wait();
    fs::remove_file(world.path("data/store/punctual.db-wal")).expect("a killed daemon leaves it");

    world.start();
    let doctor = world.json(&["doctor"]);
    let store = finding(&doctor, "store").expect("it is looked at");
    assert_eq!(store["status"], "failed", "{doctor:#}");
    assert!(store["message"].as_str().is_some_and(|m| m.contains("came back older")), "{doctor:#}");
    assert!(!world.command(&["doctor", "--quiet"]).status.success());
    assert!(log(&world).contains("STO015"), "{}", log(&world));
    all_there(&world, &kept);
    let there = finished(&world);
    assert!(lost.iter().all(|run| !there.contains(run)), "the test lost nothing");
    // Asked for, it waits; due, it does not fire.
    let waits = world.json(&["trigger", "asked"])["id"].as_str().expect("an id").to_owned();
    for _ in 0..3 {
        turns(&world);
    }
    assert_eq!(finished(&world), there);
    let why = text(&world.command(&["why", &waits]));
    assert!(why.contains("came back older") && why.contains("doctor store --accept"), "{why}");

    let accepted = world.command(&["doctor", "store", "--accept"]);
    assert!(text(&accepted).contains("jobs are started again"), "{}", text(&accepted));
    fires(&world);
    until("what was asked for to run", || finished(&world).contains(&waits).then_some(()));
    let repeated = world.runs().into_iter().filter(|run| run["mayRepeat"] == true).count();
    assert!(repeated > 0, "what was caught up may have run already, and is known by it");
    assert!(world.command(&["doctor", "store"]).status.success());
    assert!(world.stop().success());
}

#[test]
fn a_log_that_is_deleted_under_a_daemon_ends_it_and_the_next_has_everything() {
    let mut world = World::new("log-deleted-in-use", JOBS);
    world.start();
    let runs = acknowledged(&world, 3);
    fs::remove_file(world.path("data/store/punctual.db-wal")).expect("it is in use");
    assert!(!world.wait().success());
    assert!(log(&world).contains("punctual.db-wal was removed or replaced"), "{}", log(&world));
    world.start();
    all_there(&world, &runs);
    assert!(world.command(&["doctor", "store"]).status.success());
    fires(&world);
    assert!(world.stop().success());
}

#[test]
fn a_copied_data_directory_starts_nothing_and_the_original_goes_on() {
    let mut world = World::new("copied", JOBS);
    world.start();
    acknowledged(&world, 1);
    assert!(world.stop().success());
    let mut copy = World::new("copied-copy", JOBS);
    let copied = Command::new("cp").arg("-a").args([world.path("data"), copy.path("data")]).status();
    assert!(copied.expect("cp starts").success());
    copy.start();
    let told = text(&copy.command(&["doctor", "store"]));
    assert!(told.contains("is a copy of another"), "{told}");
    world.start();
    fires(&world);
    assert!(world.command(&["doctor", "store"]).status.success());
    assert!(copy.command(&["doctor", "store", "--accept"]).status.success());
    fires(&copy);
    assert!(copy.stop().success() && world.stop().success());
}

// proves I-19
#[test]
fn a_failing_fsync_ends_the_daemon_and_what_was_acknowledged_is_there_afterwards() {
    let mut world = World::new("fsync", JOBS);
    world.start();
    let mut runs = acknowledged(&world, 2);
    assert!(world.stop().success());
    with_faults(&mut world, "-e trace=fdatasync,fsync -e inject=fdatasync,fsync:error=EIO:when=60+");
    world.start();
    // Until it fails; an answer that did not come promises nothing. A run that was accepted is run, if not now.
    while world.command(&["doctor", "--quiet"]).status.success() && runs.len() < 200 {
        let output = world.command(&["trigger", "asked", "--format", "json"]);
        if let (true, Ok(run)) = (output.status.success(), serde_json::from_slice::<Value>(&output.stdout)) {
            runs.push(run["id"].as_str().expect("an id").to_owned());
        }
    }
    assert!(!world.wait().success(), "it goes on with a disk that fails");
    assert!(
        log(&world).contains("STO008") || log(&world).contains("could not be read or written"),
        "{}",
        log(&world)
    );
    without_faults(&mut world);
    world.start();
    until("all that was accepted to have run", || {
        let there = finished(&world);
        runs.iter().all(|run| there.contains(run)).then_some(())
    });
    assert!(world.command(&["doctor", "store"]).status.success());
    fires(&world);
    assert!(world.stop().success());
}

// proves L-3
#[test]
fn a_full_disk_stops_the_jobs_and_they_go_on_without_a_restart() {
    let mut world = World::new("full", JOBS);
    // Some writes, one after the other, find no room.
    with_faults(&mut world, "-e trace=pwrite64 -e inject=pwrite64:error=ENOSPC:when=120..150");
    world.start();
    until("the disk to be full", || log(&world).contains("the disk is full").then_some(()));
    until("room again", || {
        let line = fs::read_to_string(world.path("strace.log")).unwrap_or_default();
        let injected = line.lines().filter(|line| line.contains("INJECTED")).count();
        (injected >= 31).then_some(())
    });
    fires(&world);
    let runs = acknowledged(&world, 2);
    assert_eq!(log(&world).matches("a cycle failed").count(), 1, "said once: {}", log(&world));
    assert!(world.stop().success());
    without_faults(&mut world);
    world.start();
    all_there(&world, &runs);
    assert!(world.command(&["doctor", "store"]).status.success());
    assert!(world.stop().success());
}

#[test]
fn a_backup_of_a_busy_daemon_is_restored_elsewhere_and_in_its_place() {
    let mut world = World::new("backup", JOBS);
    world.start();
    let runs = acknowledged(&world, 3);
    let under_way = world.json(&["trigger", "long"])["id"].as_str().expect("an id").to_owned();
    until("it to run", || (world.json(&["runs", "long"])[0]["state"] == "running").then_some(()));
    let backup = world.path("kept");
    let made = world.json(&["backup", &backup.to_string_lossy()]);
    assert_eq!(made["path"].as_str(), backup.to_str());
    let again = world.command(&["backup", &backup.to_string_lossy()]);
    assert!(text(&again).contains("STO012") || text(&again).contains("kept/punctual-"), "{}", text(&again));
    let after = acknowledged(&world, 1);
    let refused = world.command(&["restore", &backup.to_string_lossy(), "--force"]);
    assert!(text(&refused).contains("API017"), "a daemon runs: {}", text(&refused));
    assert!(world.stop().success());
    let refused = world.command(&["restore", &backup.to_string_lossy()]);
    assert!(text(&refused).contains("STO014"), "{}", text(&refused));

    let restored = world.command(&["restore", &backup.to_string_lossy(), "--force"]);
    assert!(restored.status.success(), "{}", text(&restored));
    let mut elsewhere = World::new("backup-elsewhere", JOBS);
    assert!(elsewhere.command(&["restore", &backup.to_string_lossy()]).status.success());
    for (first, place) in &mut [(true, &mut world), (false, &mut elsewhere)] {
        place.start();
        all_there(place, &runs);
        assert!(!finished(place).contains(&after[0]), "the backup is of the time before");
        let told = text(&place.command(&["doctor", "store"]));
        assert!(told.contains("restored from a backup of"), "{told}");
        let long = &place.json(&["runs", "long"])[0];
        assert_eq!(long["id"].as_str(), Some(&*under_way));
        let outcome = &long["attempts"][0]["outcome"];
        if *first {
            // It outlived the daemon and the restore, and is adopted.
            assert_eq!((&long["state"], outcome), (&"running".into(), &Value::Null), "{long:#}");
        } else {
            assert_eq!(outcome, "lost", "its supervisor is not here");
        }
        assert!(place.command(&["doctor", "store", "--accept"]).status.success());
        fires(place);
        // As a person does at a terminal: jobs end, too.
        signal(place.daemon(), Signal::INT);
        assert!(place.wait().success());
    }
    assert!(fs::read_dir(world.path("data")).expect("readable").flatten().any(|entry| {
        entry.file_name().to_string_lossy().starts_with("store.before-") && Path::new(&entry.path()).is_dir()
    }));
}

#[test]
fn the_doctor_finds_a_damaged_archive_only_when_it_looks_deep_and_says_so() {
    let mut world = World::new("deep", JOBS);
    world.start();
    acknowledged(&world, 1);
    let doctor = world.json(&["doctor"]);
    let store = finding(&doctor, "store").expect("it is looked at");
    assert!(store["message"].as_str().is_some_and(|m| m.contains("--deep")), "{doctor:#}");
    let deep = world.json(&["doctor", "--deep"]);
    assert_eq!(
        finding(&deep, "store").expect("it is looked at")["message"],
        "no faults in any page or archive"
    );
    let status = world.command(&["doctor", "--quiet"]).status;
    assert!(status.success(), "{}", log(&world));
    assert!(world.stop().success());
}
