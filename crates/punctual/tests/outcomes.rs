//! How attempts are judged by the real binary, and what follows: checks, retries that jobs ask for, pauses, keys.

mod support;

use punctual_server::dto::RunDto;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Barrier;
use support::{World, signal, until};

/// A world with these jobs and a daemon. `FOLDER/` in them is its path.
fn world(name: &str, jobs: &str) -> World {
    let mut world = World::new(&format!("outcomes-{name}"), "");
    let folder = world.path("x").parent().expect("a folder").display().to_string();
    let text = format!("defaults: {{workingDirectory: /, env: {{TEST_FOLDER: '{folder}'}}}}\njobs:\n{jobs}");
    fs::write(world.path("jobs.yaml"), text.replace("FOLDER/", &format!("{folder}/"))).expect("writable");
    world.start();
    world
}

fn run(world: &World, job: &str) -> Value {
    world.json(&["trigger", job, "--wait"])
}

/// Class, code and reason of each attempt.
fn ends(run: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let attempts = run["attempts"].as_array().expect("a list");
    attempts.iter().map(|a| (text(&a["class"]), text(&a["code"]), text(&a["reason"]))).collect()
}

fn end(run: &Value) -> (String, String, String) {
    ends(run).pop().expect("an attempt")
}

fn log(world: &World, run: &Value) -> String {
    let output = world.command(&["logs", run["id"].as_str().expect("an id")]);
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_good_exit_is_a_success_only_if_its_work_holds() {
    let world = world(
        "judged",
        "- {name: three, run: 'exit 3', successWhen: {exitCodes: [0, 3]}}
- {name: zero, run: 'exit 0', successWhen: {exitCodes: [3]}}
- {name: rows, run: 'echo rows: 12; echo done', successWhen: {output: '^rows: [1-9]', outputNot: ERROR}, verify: 'grep -q done'}
- {name: none, run: 'echo rows: 0', successWhen: {output: '^rows: [1-9]'}}
- {name: noisy, run: 'echo ERROR: disk', successWhen: {outputNot: ERROR}}
- {name: refused, run: 'echo out', verify: 'echo it is $PUNCTUAL_EXIT_CODE; cat; exit 4'}
- {name: gone, run: 'true', verify: [/no/such/program]}
- {name: slow, run: 'true', grace: 100ms, verify: {run: [sleep, '60'], timeout: 200ms}}\n",
    );
    let judged = |job: &str| {
        let run = run(&world, job);
        let (class, code, reason) = end(&run);
        (run["verdict"].as_str().expect("it ended").to_owned(), class, code, reason)
    };
    let told = |verdict: &str, class: &str, code: &str, reason: &str| {
        (verdict.to_owned(), class.to_owned(), code.to_owned(), reason.to_owned())
    };
    assert_eq!(judged("three"), told("success", "", "", ""));
    assert_eq!(judged("zero"), told("failed", "exit", "RUN006", ""));
    assert_eq!(judged("rows"), told("success", "", "", ""));
    let none = "its output has nothing that matches '^rows: [1-9]'";
    assert_eq!(judged("none"), told("failed", "verify", "RUN015", none));
    let noisy = "its output has something that matches 'ERROR'";
    assert_eq!(judged("noisy"), told("failed", "verify", "RUN015", noisy));
    assert_eq!(judged("refused"), told("failed", "verify", "RUN015", "its verify command exited with 4"));
    assert_eq!(judged("slow").3, "its verify command did not end within 0.2 s");
    let gone = judged("gone");
    assert!(gone.1 == "verify" && gone.3.contains("EXE001"), "{gone:?}");

    let refused = world.json(&["runs", "refused"]);
    assert_eq!(
        log(&world, &refused[0]),
        "out\nit is 0\nout\n",
        "the check reads the output and writes after it"
    );
    let why = String::from_utf8(world.command(&["why", "refused"]).stdout).expect("text");
    assert!(why.contains("its verify command exited with 4 (class verify, RUN015)"), "{why}");
    assert_eq!(world.command(&["trigger", "refused", "--wait"]).status.code(), Some(1));
    assert_eq!(world.command(&["trigger", "zero", "--wait"]).status.code(), Some(1));
}

#[test]
fn a_check_is_part_of_its_attempt() {
    let world = world(
        "check-cancelled",
        "- {name: a, run: 'true', grace: 100ms, verify: 'touch $TEST_FOLDER/looks; exec sleep 60', onLost: fail}\n",
    );
    let made = world.json(&["trigger", "a"]);
    let id = made["id"].as_str().expect("an id");
    until("the check to start", || world.path("looks").exists().then_some(()));
    assert_eq!(world.json(&["runs", "a"])[0]["state"], "running");
    world.json(&["cancel", id]);
    let ended = until("its end", || {
        let run = world.json(&["runs", "a"])[0].clone();
        (run["state"] == "finished").then_some(run)
    });
    assert_eq!((&ended["verdict"], end(&ended).0.as_str()), (&"cancelled".into(), "cancelled"));
    assert_eq!(world.alive(), [], "nothing of it is left");

    fs::remove_file(world.path("looks")).expect("it was there");
    world.json(&["trigger", "a"]);
    until("the check to start", || world.path("looks").exists().then_some(()));
    world.supervisors().into_iter().for_each(|pid| signal(pid, Signal::KILL));
    let lost = until("its end", || {
        let run = world.json(&["runs", "a"])[0].clone();
        (run["state"] == "finished").then_some(run)
    });
    assert_eq!(lost["verdict"], "lost", "nobody knows whether its work holds");
}

#[test]
fn a_job_says_when_to_try_it_again_and_when_not_to() {
    let world = world(
        "control",
        "- {name: later, run: 'echo \"retry-after: 1h\" > $PUNCTUAL_CONTROL; exit 1', retryPolicy: {maxRetries: 3}}
- {name: line, run: 'echo busy; echo retry-after: 7200; exit 75', retryPolicy: {maxRetries: 3}}
- {name: once, run: 'echo retry-after: 7200; exit 75'}
- {name: soon, run: 'echo retry-after: 0s > $PUNCTUAL_CONTROL; exit 1', retryPolicy: {maxRetries: 2, backoff: 1h, maxBackoff: 1h}}
- {name: never, run: 'echo fail: no input > $PUNCTUAL_CONTROL; exit 0', retryPolicy: {maxRetries: 3}}
- {name: spared, run: 'exit 5', retryPolicy: {maxRetries: 3, neverOn: [5]}}\n",
    );
    let waits = |job: &str| {
        world.json(&["trigger", job]);
        let run = until("the attempt to fail", || {
            let run = world.json(&["runs", job])[0].clone();
            (run["state"] == "retrying").then_some(run)
        });
        let micros = |value: &Value| {
            let text = value.as_str().expect("an instant");
            punctual_core::time::Timestamp::parse_rfc3339(text).expect("an instant")
        };
        micros(&run["dueTime"]).since(micros(&run["attempts"][0]["finishedAt"])).as_secs()
    };
    assert!((3600..3660).contains(&waits("later")));
    assert!((7200..7260).contains(&waits("line")));
    let why = String::from_utf8(world.command(&["why", "line"]).stdout).expect("text");
    assert!(why.contains("retry 1 of 3; the job asked to wait 2h"), "{why}");

    let once = run(&world, "once");
    assert_eq!((once["verdict"].as_str(), ends(&once).len()), (Some("failed"), 1), "it has no retry policy");
    let soon = run(&world, "soon");
    assert_eq!(ends(&soon).len(), 3, "what it asks for counts as a retry: {soon}");
    let never = run(&world, "never");
    let said = ("reported".to_owned(), "RUN016".to_owned(), "no input".to_owned());
    assert_eq!((never["verdict"].as_str(), ends(&never)), (Some("failed"), vec![said]));
    assert_eq!(ends(&run(&world, "spared")).len(), 1);
    let left = fs::read_dir(world.path("data/jobs/control")).expect("it is there").count();
    assert_eq!(left, 0, "what was read is gone");
}

#[test]
fn another_user_has_its_places_too() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = world(
        "another-user",
        "- {name: a, runAs: nobody, checkpoint: true, retryPolicy: {maxRetries: 1, backoff: 0s}, run: 'id -un; cat \
         $PUNCTUAL_CHECKPOINT_DIR/mark; echo 1 > $PUNCTUAL_CHECKPOINT_DIR/mark; echo fail: done >> $PUNCTUAL_CONTROL; \
         ls -A $PUNCTUAL_CHECKPOINT_DIR/../../.. && echo listed; exit 1', verify: 'true'}\n",
    );
    // What leads to the folder must let others pass.
    let run = run(&world, "a");
    let said = log(&world, &run);
    let mode = |name: &str| fs::metadata(world.path(name)).expect("it is there").mode() & 0o777;
    assert_eq!(
        (mode("data"), mode("data/jobs"), mode("data/store"), mode("data/logs")),
        (0o711, 0o711, 0o700, 0o700)
    );
    let passable =
        |path: &std::path::Path| path.ancestors().all(|p| p.metadata().is_ok_and(|m| m.mode() & 1 == 1));
    if !passable(&world.path("data")) {
        return;
    }
    assert_eq!(end(&run), ("reported".to_owned(), "RUN016".to_owned(), "done".to_owned()), "{said}");
    assert!(said.contains("nobody") && !said.contains("listed"), "{said}");
}

#[test]
fn the_attempts_of_a_run_share_a_directory_until_it_succeeds() {
    let script = "cat $PUNCTUAL_CHECKPOINT_DIR/page 2>/dev/null; echo $PUNCTUAL_ATTEMPT >> $PUNCTUAL_CHECKPOINT_DIR/page; \
                  test -e $TEST_FOLDER/go";
    let world = world(
        "checkpoint",
        &format!(
            "- {{name: a, checkpoint: true, run: '{script}', retryPolicy: {{maxRetries: 1, backoff: 0s}}}}
- {{name: plain, run: 'echo ${{PUNCTUAL_CHECKPOINT_DIR-none}}'}}\n"
        ),
    );
    let first = run(&world, "a");
    assert_eq!((first["verdict"].as_str(), log(&world, &first).as_str()), (Some("failed"), "1\n"));
    let folder =
        |run: &Value| world.path(&format!("data/jobs/checkpoints/{}", run["id"].as_str().expect("an id")));
    let mode = fs::metadata(folder(&first)).expect("it is kept after a failure").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    fs::write(world.path("go"), "").expect("writable");
    let again = world.json(&["retry", first["id"].as_str().expect("an id")]);
    assert_eq!(again["rerunOf"], first["id"]);
    let again = until("the second run to end", || {
        let runs = world.json(&["runs", "a"]);
        let run = runs.as_array()?.iter().find(|run| run["id"] == again["id"])?.clone();
        (run["state"] == "finished").then_some(run)
    });
    assert_eq!((again["verdict"].as_str(), log(&world, &again).as_str()), (Some("success"), "1\n2\n"));
    until("the directory to go", || (!folder(&again).exists() && !folder(&first).exists()).then_some(()));
    let plain = run(&world, "plain");
    assert_eq!(log(&world, &plain), "none\n");
}

#[test]
fn a_job_that_keeps_failing_is_paused_and_told_of() {
    let world = world(
        "paused",
        "- name: a
  schedule: {every: 1s}
  pauseAfterFailures: 2
  run: 'exit 1'
  notify: {onFailure: {run: 'echo \"$PUNCTUAL_JOB_PAUSED\" >> $TEST_FOLDER/told'}}
",
    );
    let job = until("the job to be paused", || {
        let job = world.json(&["show", "a"]);
        (!job["paused"].is_null()).then_some(job)
    });
    let reason = job["paused"]["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("2 runs in a row ended badly, the last is ") && reason.ends_with("(RUN018)"),
        "{reason}"
    );
    assert_eq!(job["failures"], 2);
    let told = until("both to be told", || {
        let told = fs::read_to_string(world.path("told")).unwrap_or_default();
        (told.lines().count() == 2).then_some(told)
    });
    assert!(told.lines().any(|line| line == reason), "{told}");
    let daemon = fs::read_to_string(world.path("daemon.log")).expect("a log");
    assert!(daemon.contains(&format!("job a is paused: {reason}")), "{daemon}");
    assert_eq!(world.json(&["resume", "a"])[0]["failures"], 0);
}

#[test]
fn a_hundred_submissions_of_one_key_make_one_run_and_all_get_its_result() {
    const CALLS: usize = 100;
    let world = world(
        "keys",
        "- {name: a, run: 'echo x >> $TEST_FOLDER/ran; echo result; exit 7'}
- {name: b, run: 'exit 7'}\n",
    );
    let socket = world.path("data/punctual.sock");
    let barrier = Barrier::new(CALLS);
    let posted: Vec<RunDto> = std::thread::scope(|scope| {
        let call = || {
            barrier.wait();
            let (status, body) = support::post(&socket, "/v1/jobs/a/trigger", r#"{"key":"order-7"}"#);
            assert_eq!(status, 200, "{body}");
            let mut body: Value = serde_json::from_str(&body).expect("JSON");
            body.as_object_mut().expect("a run").remove("existing");
            serde_json::from_value(body).expect("a run")
        };
        let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().expect("no panic")).collect()
    });
    assert!(posted.iter().all(|run| run.id == posted[0].id), "one run for all");

    // By the command, which waits: eight at once, and one long after.
    let barrier = Barrier::new(8);
    let wait = || world.command(&["trigger", "a", "--key", "order-7", "--wait"]);
    let mut waited: Vec<_> = std::thread::scope(|scope| {
        let call = || {
            barrier.wait();
            wait()
        };
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().expect("no panic")).collect()
    });
    waited.push(wait());
    for output in waited {
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), &b"result\n"[..]));
    }
    assert_eq!(fs::read_to_string(world.path("ran")).expect("it ran"), "x\n", "its work was done once");
    assert_eq!(world.json(&["runs", "a"]).as_array().map(Vec::len), Some(1));
    assert_eq!(world.json(&["trigger", "a", "--key", "order-7"])["existing"], true);

    // What a person ran again is another run.
    let again = world.json(&["retry", &posted[0].id]);
    assert_ne!(again["id"], posted[0].id.as_str());
    assert_eq!(again["rerunOf"], posted[0].id.as_str());
}
