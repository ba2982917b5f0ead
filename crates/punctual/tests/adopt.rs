//! Jobs outlive the daemon: however it ends, its jobs go on, and the next one knows how they ended. proves I-12

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use support::{World, signal, until};

/// A world with these jobs and a daemon. `FOLDER` in them is its path.
fn world(name: &str, jobs: &str) -> World {
    let mut world = World::new(&format!("adopt-{name}"), "");
    let folder = world.path("x").parent().expect("a folder").display().to_string();
    let text = format!("defaults: {{workingDirectory: /, env: {{TEST_FOLDER: '{folder}'}}}}\njobs:\n{jobs}");
    fs::write(world.path("jobs.yaml"), text.replace("FOLDER/", &format!("{folder}/")))
        .expect("a writable folder");
    world.start();
    world
}

/// A job that says so when it begins, and ends when the test makes the file `go`.
const LONG: &str = "- {name: long, run: 'echo begun $$; echo $$ >> FOLDER/pids; while ! test -e FOLDER/go; do sleep 0.05; done; echo ended; exit 3'}\n";

fn pids(world: &World) -> Vec<i32> {
    let text = fs::read_to_string(world.path("pids")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn go(world: &World) {
    fs::write(world.path("go"), "").expect("a writable folder");
}

/// Triggers a job and waits until it runs.
fn begun(world: &World) -> i32 {
    world.json(&["trigger", "long"]);
    until("the job to run", || pids(world).first().copied())
}

fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// The only run, once it has ended.
fn ended(world: &World) -> Value {
    let run = until("the run to end", || {
        world.runs().into_iter().next().filter(|run| run["state"] == "finished" || run["state"] == "held")
    });
    assert_eq!(world.runs().len(), 1);
    run
}

fn outcomes(run: &Value) -> Vec<&str> {
    let attempts = run["attempts"].as_array().expect("a list");
    attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap_or("none")).collect()
}

fn log(world: &World, run: &Value) -> String {
    let id = run["id"].as_str().expect("an id");
    let output = world.command(&["logs", id]);
    String::from_utf8(output.stdout).expect("text")
}

/// The run ended as its job did, in its one attempt, and its output has no hole.
fn ended_well(world: &World, pid: i32) {
    let run = ended(world);
    assert_eq!((outcomes(&run), run["verdict"].as_str()), (vec!["failed"], Some("failed")), "{run}");
    assert_eq!(run["attempts"][0]["exitCode"], 3);
    assert!(run["attempts"][0]["startedAt"].is_string(), "{run}");
    assert_eq!(pids(world), [pid], "it ran once");
    assert_eq!(log(world, &run), format!("begun {pid}\nended\n"));
}

#[test]
fn a_job_goes_on_while_the_daemon_is_killed_and_its_end_is_recorded_once() {
    let mut world = world("killed", LONG);
    let (pid, supervisors) = (begun(&world), world.supervisors());
    world.kill();
    assert!(is_alive(pid));
    world.start();
    assert_eq!((world.supervisors(), is_alive(pid)), (supervisors, true));
    let running = &world.runs()[0];
    assert_eq!(running["state"], "running");
    assert!(running["attempts"][0]["startedAt"].is_string(), "its start is known: {running}");
    // Once more, for a daemon that adopted is one like another.
    world.kill();
    world.start();
    go(&world);
    ended_well(&world, pid);
    world.kill();
    world.start();
    ended_well(&world, pid);
}

#[test]
fn an_end_without_a_daemon_is_recorded_by_the_next_one() {
    for (name, stop) in [("down-killed", false), ("down-stopped", true)] {
        let mut world = world(name, LONG);
        let pid = begun(&world);
        if stop {
            assert!(world.stop().success())
        } else {
            world.kill()
        }
        assert!(is_alive(pid));
        go(&world);
        until("the job to end", || (!is_alive(pid)).then_some(()));
        if stop {
            // Its last job has ended, and its journal tells the next daemon.
            until("the supervisor to end", || world.supervisors().is_empty().then_some(()));
        } else {
            assert_eq!(world.supervisors().len(), 1, "it waits for the next daemon");
        }
        assert_eq!(world.runs()[0]["verdict"], Value::Null, "nobody has recorded it yet");
        world.start();
        ended_well(&world, pid);
    }
}

#[test]
fn an_upgrade_leaves_the_jobs_alone() {
    let mut world = world("upgrade", LONG);
    let (pid, supervisors) = (begun(&world), world.supervisors());
    let newer = world.path("punctual");
    fs::copy(&world.program, &newer).expect("the binary can be copied");
    world.program = newer;
    assert!(world.stop().success());
    let said = fs::read_to_string(world.path("daemon.log")).expect("a log");
    assert!(said.contains("jobs under way go on (1 attempt)"), "{said}");
    world.start();
    assert_eq!((world.supervisors(), is_alive(pid)), (supervisors.clone(), true));
    go(&world);
    ended_well(&world, pid);
    // Once it holds nothing, the supervisor is of the newer version, too.
    let newer = || world.supervisors().first().filter(|pid| **pid != supervisors[0]).copied();
    let newer = until("another supervisor", newer);
    let program = fs::read_link(format!("/proc/{newer}/exe")).expect("it runs");
    assert_eq!(program, world.program);
    assert_eq!(world.json(&["trigger", "long", "--wait"])["attempts"][0]["exitCode"], 3);
}

#[test]
fn a_copy_of_the_data_leaves_the_jobs_of_the_original_alone() {
    let mut world = world("original", &LONG.replace("name: long", "name: long, onLost: hold"));
    let pid = begun(&world);
    // At rest but for its jobs; a copy knows their processes from the journal.
    assert!(world.stop().success());
    let mut copy = World::new("adopt-copy", "jobs: [{name: other}]");
    let copied = std::process::Command::new("cp")
        .args(["-r", "--"])
        .args([world.path("data"), copy.path("data")])
        .status();
    assert!(copied.expect("cp is there").success());
    copy.start();
    assert_eq!(copy.runs()[0]["attempts"][0]["outcome"], "lost", "the copy does not hold it");
    assert!(is_alive(pid), "it was killed");
    assert!(copy.end().success());
    world.start();
    go(&world);
    ended_well(&world, pid);
}

#[test]
fn without_a_daemon_jobs_live_for_the_orphan_timeout_and_no_longer() {
    let mut world = world("orphans", "- {name: idle}\n");
    assert!(world.stop().success());
    until("an idle supervisor to end with its daemon", || world.supervisors().is_empty().then_some(()));
    let jobs = "- {name: gentle, onLost: fail, run: \"trap 'echo told; exit 0' TERM; touch FOLDER/ready; sleep 600 & wait\"}
- {name: stubborn, onLost: fail, grace: 300ms, run: \"trap '' TERM; touch FOLDER/ready2; sleep 600 & wait; sleep 600\"}\n";
    let mut world = self::world("orphans", jobs);
    assert!(world.end().success());
    world.start_with(&["--orphan-timeout", "1s"], &[]);
    for job in ["gentle", "stubborn"] {
        world.json(&["trigger", job]);
    }
    until("both to run", || (world.path("ready").exists() && world.path("ready2").exists()).then_some(()));
    world.kill();
    until("the jobs to be ended", || world.alive().is_empty().then_some(()));
    until("the supervisor to end", || world.supervisors().is_empty().then_some(()));
    world.start();
    let runs = until("both to be recorded", || {
        let runs = world.runs();
        runs.iter().all(|run| run["state"] == "finished").then_some(runs)
    });
    let of = |job: &str| runs.iter().find(|run| run["job"] == job).expect("it was made").clone();
    assert_eq!((outcomes(&of("gentle")), log(&world, &of("gentle"))), (vec!["success"], "told\n".to_owned()));
    assert_eq!(outcomes(&of("stubborn")), ["interrupted"], "{}", of("stubborn"));
}

#[test]
fn a_supervisor_that_is_killed_takes_its_jobs_along() {
    for (name, daemon_lives) in [("both-killed", false), ("supervisor-killed", true)] {
        let mut world = world(name, &LONG.replace("name: long", "name: long, onLost: hold"));
        let pid = begun(&world);
        let supervisor = world.supervisors()[0];
        if !daemon_lives {
            world.kill();
        }
        signal(supervisor, Signal::KILL);
        if !daemon_lives {
            world.start();
        }
        let run = ended(&world);
        assert_eq!((outcomes(&run), run["state"].as_str()), (vec!["lost"], Some("held")), "{run}");
        assert!(!is_alive(pid), "{name}");
        assert_eq!(pids(&world).len(), 1, "it was not started again");
        let another = until("another supervisor", || world.supervisors().first().copied());
        assert_ne!(another, supervisor);
    }
}

#[test]
fn an_end_that_a_killed_supervisor_has_seen_is_not_lost() {
    let mut world = world("journal", LONG);
    let pid = begun(&world);
    // The daemon sees nothing any more, and the supervisor does not outlive it for long.
    world.kill();
    go(&world);
    let noted = || fs::read_to_string(world.path("data/journal")).ok().filter(|text| text.contains("\n- {"));
    until("the end to be noted", noted);
    signal(world.supervisors()[0], Signal::KILL);
    until("the supervisor to be gone", || world.supervisors().is_empty().then_some(()));
    world.start();
    ended_well(&world, pid);
}

#[test]
fn a_daemon_that_was_replaced_while_it_was_suspended_starts_nothing_and_ends() {
    let mut world = world("replaced", LONG);
    let pid = begun(&world);
    let suspended = world.daemon();
    // Somebody helps himself.
    fs::remove_file(world.path("data/lock")).expect("there is a lock");
    fs::remove_file(world.path("data/punctual.sock")).expect("there is a socket");
    until("a daemon that is suspended, and not in the middle of a transaction", || {
        signal(suspended, Signal::STOP);
        let writable = world.command(&["pause", "long"]).status.success();
        if !writable {
            signal(suspended, Signal::CONT);
        }
        writable.then_some(())
    });
    let mut earlier = world.let_go();
    world.start();
    signal(suspended, Signal::CONT);
    let status = until("the earlier daemon to end", || earlier.try_wait().expect("a child"));
    assert!(!status.success());
    let said = fs::read_to_string(world.path("daemon.log")).expect("a log");
    assert!(said.contains("API035"), "{said}");
    assert!(is_alive(pid) && world.supervisors().len() == 1);
    go(&world);
    ended_well(&world, pid);
}

#[test]
fn what_is_cancelled_without_a_daemon_ends_without_one() {
    let mut world = world("cancelled", LONG);
    let pid = begun(&world);
    world.kill();
    let cancelled = world.command(&["cancel", "long"]);
    assert!(cancelled.status.success(), "{}", String::from_utf8_lossy(&cancelled.stderr));
    until("the job to end", || (!is_alive(pid)).then_some(()));
    world.start();
    let run = ended(&world);
    assert_eq!((outcomes(&run), run["verdict"].as_str()), (vec!["cancelled"], Some("cancelled")), "{run}");
}

#[test]
fn jobs_that_were_told_to_end_with_the_daemon_do_and_twice_kills_them() {
    let jobs = "- {name: stubborn, onLost: fail, grace: 600s, run: \"trap '' TERM; touch FOLDER/ready; sleep 600 & wait; sleep 600\"}\n";
    let mut world = world("twice", jobs);
    world.json(&["trigger", "stubborn"]);
    until("it to run", || world.path("ready").exists().then_some(()));
    signal(world.daemon(), Signal::INT);
    let said =
        || fs::read_to_string(world.path("daemon.log")).ok().filter(|log| log.contains("have their grace"));
    until("the daemon to have heard", said);
    signal(world.daemon(), Signal::INT);
    assert_eq!(world.wait().code(), Some(130));
    until("all to be gone", || (world.alive().is_empty() && world.supervisors().is_empty()).then_some(()));
    world.start_with(&["--at-stop", "end", "--orphan-timeout", "0s"], &[]);
    assert_eq!(outcomes(&ended(&world)), ["interrupted"]);
}

#[test]
fn many_jobs_under_way_are_all_adopted() {
    let jobs = "- {name: many, overlap: allow, run: 'echo $$ >> FOLDER/pids; while ! test -e FOLDER/go; do sleep 0.2; done'}\n";
    let mut world = world("many", jobs);
    assert!(world.stop().success());
    world.start_with(&["--slots", "200"], &[]);
    for _ in 0..100 {
        world.json(&["trigger", "many"]);
    }
    until("all to run", || (pids(&world).len() == 100).then_some(()));
    world.kill();
    // Half end while nobody looks, by themselves or not.
    let half: Vec<i32> = pids(&world).into_iter().take(50).collect();
    half.iter().for_each(|pid| signal(*pid, Signal::KILL));
    world.start_with(&["--slots", "200"], &[]);
    go(&world);
    let runs = until("all to end", || {
        let runs = world.runs();
        runs.iter().all(|run| run["state"] == "finished").then_some(runs)
    });
    let count = |word: &str| runs.iter().filter(|run| outcomes(run) == [word]).count();
    assert_eq!((runs.len(), count("success"), count("failed")), (100, 50, 50));
    assert_eq!(pids(&world).into_iter().collect::<BTreeSet<_>>().len(), 100, "each ran once");
}
