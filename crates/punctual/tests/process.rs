//! How the real binary carries out processes: what they get, how they end, and what is recorded of them.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use support::jobs::{outcome, output, prepared, run, started_by, text, world};
use support::{World, signal, until};

#[test]
fn a_job_gets_the_contract_and_nothing_of_the_daemons_environment() {
    let world = {
        let mut world = prepared(
            "environment",
            "- {name: env, run: [/usr/bin/env], env: {MINE: 'a b', TZ: Asia/Shanghai}}\n",
        );
        world.start_with(
            &[],
            &[("SECRET", "1"), ("PATH", "/nowhere"), ("HOME", "/nowhere"), ("PUNCTUAL_DATA", "/x")],
        );
        world
    };
    let run = world.json(&["trigger", "env", "--param", "day=2026-11-24", "--wait"]);
    let printed = text(&world, &run);
    let got: BTreeMap<&str, &str> = printed.lines().filter_map(|line| line.split_once('=')).collect();
    let names: BTreeSet<&str> = got.keys().copied().collect();
    let contract = "HOME LOGNAME MINE PATH PUNCTUAL_ATTEMPT PUNCTUAL_CONTROL PUNCTUAL_FENCE PUNCTUAL_IDEMPOTENCY_KEY PUNCTUAL_JOB \
                    PUNCTUAL_NOMINAL_DATE PUNCTUAL_NOMINAL_TIME PUNCTUAL_PARAMS PUNCTUAL_PARAM_DAY PUNCTUAL_RUN_ID \
                    SHELL TEST_FOLDER TZ USER";
    assert_eq!(names, contract.split_whitespace().collect());
    assert_eq!(got["PUNCTUAL_JOB"], "env");
    assert_eq!(run["id"], got["PUNCTUAL_RUN_ID"]);
    assert_eq!(got["PUNCTUAL_IDEMPOTENCY_KEY"], got["PUNCTUAL_RUN_ID"]);
    assert_eq!((got["PUNCTUAL_ATTEMPT"], got["PUNCTUAL_FENCE"]), ("1", "1"));
    assert_eq!(run["nominalTime"], got["PUNCTUAL_NOMINAL_TIME"]);
    assert!(got["PUNCTUAL_NOMINAL_TIME"].starts_with(got["PUNCTUAL_NOMINAL_DATE"]));
    assert_eq!((got["MINE"], got["TZ"], got["PUNCTUAL_PARAM_DAY"]), ("a b", "Asia/Shanghai", "2026-11-24"));
    assert_eq!(got["PUNCTUAL_PARAMS"], r#"{"day":"2026-11-24"}"#);
    assert!(got["PATH"].contains("/usr/bin") && got["HOME"] != "/nowhere", "{printed}");
}

#[test]
fn a_job_inherits_no_descriptors_no_signals_and_leads_its_group() {
    let mut world = prepared(
        "inherits",
        "- {name: files, run: [ls, /proc/self/fd]}
- {name: signals, run: [grep, -E, '^Sig(Blk|Ign):', /proc/self/status]}
- {name: group, run: 'ps -o pid=,pgid= -p $$'}
",
    );
    // Whoever starts the daemon may have left a descriptor open.
    started_by(&mut world, "exec 9</dev/null");
    world.start();
    // Input, output, errors, and the folder that is being listed.
    assert_eq!(text(&world, &run(&world, "files")), "0\n1\n2\n3\n");
    let signals = text(&world, &run(&world, "signals"));
    // The C library ignores two signals of its own between fork and exec; the 31 standard ones are as they should be.
    let standard =
        |line: &str| u64::from_str_radix(line.rsplit('\t').next()?, 16).ok().map(|mask| mask & 0x7fff_ffff);
    assert!(signals.lines().all(|line| standard(line) == Some(0)), "{signals}");
    let group = text(&world, &run(&world, "group"));
    let ids: Vec<&str> = group.split_whitespace().collect();
    assert_eq!(ids[0], ids[1], "{group}");
}

#[test]
fn an_argument_stays_one_argument_whatever_is_in_it() {
    let world = world(
        "arguments",
        "- {name: say, run: [printf, '%s|', '{{ job }}', '{{params.x}}', 'a b; $HOME *']}\n",
    );
    let made = world.json(&["trigger", "say", "--param", "x=$(touch /nowhere) '\"; {{ job }}", "--wait"]);
    assert_eq!(text(&world, &made), "say|$(touch /nowhere) '\"; {{ job }}|a b; $HOME *|");
    // A parameter that is missing is said to be, and nothing is started with a hole in it.
    let hole = run(&world, "say");
    assert_eq!(outcome(&hole), "spawnFailed");
    assert!(hole["reason"].as_str().expect("a reason").contains("params.x"), "{hole}");
}

#[test]
fn input_is_given_and_ends() {
    let world = world(
        "input",
        "- {name: given, run: [cat], stdin: \"two\\nlines\"}\n- {name: none, run: 'cat; echo end'}\n",
    );
    assert_eq!(text(&world, &run(&world, "given")), "two\nlines");
    assert_eq!(text(&world, &run(&world, "none")), "end\n");
}

#[test]
fn what_cannot_be_started_says_why() {
    let world = prepared(
        "unstartable",
        "- {name: missing, run: [/nowhere/program]}
- {name: not-in-path, run: [no-such-program]}
- {name: plain, run: ['FOLDER/plain']}
- {name: folder, run: [/tmp]}
- {name: format, run: ['FOLDER/format']}
- {name: interpreter, run: ['FOLDER/interpreter']}
- {name: directory, run: [pwd], workingDirectory: /nowhere}
- {name: works, run: [pwd], workingDirectory: /usr/bin}
",
    );
    for (name, content, mode) in [
        ("plain", "echo", 0o644),
        ("format", "\u{1}\u{2}\u{3}", 0o755),
        ("interpreter", "#!/nowhere/sh\n", 0o755),
    ] {
        fs::write(world.path(name), content).expect("a writable folder");
        fs::set_permissions(world.path(name), fs::Permissions::from_mode(mode)).expect("its mode can be set");
    }
    let mut world = world;
    world.start();
    for (job, reason) in [
        ("missing", "EXE001: the program /nowhere/program cannot be started: No such file"),
        ("not-in-path", "EXE001: no program \"no-such-program\" in PATH"),
        ("plain", "plain is not executable"),
        ("folder", "EXE002: /tmp is a directory"),
        ("format", "neither a binary of this machine nor a script"),
        ("interpreter", "EXE009: the interpreter /nowhere/sh of"),
        ("directory", "EXE003: the working directory /nowhere does not exist"),
    ] {
        let ended = run(&world, job);
        assert_eq!((outcome(&ended), ended["verdict"].as_str()), ("spawnFailed", Some("failed")), "{ended}");
        assert!(ended["attempts"][0]["startedAt"].is_null(), "{ended}");
        assert!(ended["reason"].as_str().expect("a reason").contains(reason), "{job}: {ended}");
    }
    assert_eq!(text(&world, &run(&world, "works")), "/usr/bin\n");
}

#[test]
fn a_job_runs_as_its_user_and_as_nothing_more() {
    let mut world = prepared(
        "user",
        "- {name: who, runAs: nobody, run: 'id -u; id -g; id -G; pwd; echo $HOME $USER $LOGNAME $MINE', env: {MINE: own}}
- {name: group, runAs: 'nobody:daemon', run: 'id -g'}
- {name: loader, runAs: nobody, run: ['/bin/true'], env: {LD_DEBUG: libs, LD_DEBUG_OUTPUT: 'FOLDER/loaded/by'}}
- {name: nobody-known, runAs: no-such-user, run: [id]}
- {name: no-such-group, runAs: 'nobody:no-such-group', run: [id]}
- {name: forbidden, runAs: nobody, run: [id], workingDirectory: 'FOLDER/private'}
- {name: missing, runAs: nobody, run: [/nowhere/program]}
- {name: fails, runAs: nobody, run: 'exit 126'}
",
    );
    world.start();
    let refused = |job: &str, reason: &str| {
        let ended = run(&world, job);
        assert_eq!(outcome(&ended), "spawnFailed", "{ended}");
        assert!(ended["reason"].as_str().expect("a reason").contains(reason), "{job}: {ended}");
    };
    if !rustix::process::geteuid().is_root() {
        return refused("who", "only a daemon that runs as root can use runAs");
    }
    let mode = |name: &str, mode| {
        fs::create_dir_all(world.path(name)).expect("a writable folder");
        fs::set_permissions(world.path(name), fs::Permissions::from_mode(mode)).expect("its mode can be set");
    };
    mode("loaded", 0o777);
    mode("private", 0o700);
    let id = |flag: &str| {
        let output = std::process::Command::new("id").args([flag, "nobody"]).output().expect("id is there");
        String::from_utf8(output.stdout).expect("numbers")
    };
    let home = "/nonexistent";
    let expected = format!("{}{}{}/\n{home} nobody nobody own\n", id("-u"), id("-g"), id("-G"));
    assert_eq!(text(&world, &run(&world, "who")), expected);
    assert_ne!(text(&world, &run(&world, "group")), id("-g"));
    refused("nobody-known", "EXE004: there is no user \"no-such-user\"");
    refused("no-such-group", "EXE005: there is no group \"no-such-group\"");
    refused("forbidden", "EXE003: the working directory");
    refused("missing", "EXE001: the program /nowhere/program cannot be started");
    assert_eq!(outcome(&run(&world, "fails")), "failed");
    // The loader of every program that had the job's environment has left a file: none of them was root's.
    assert_eq!(outcome(&run(&world, "loader")), "success");
    let files: Vec<_> = fs::read_dir(world.path("loaded")).expect("a folder").flatten().collect();
    let uid: u32 = id("-u").trim().parse().expect("a number");
    assert!(files.iter().all(|file| file.metadata().expect("it is there").uid() == uid), "{files:?}");
}

#[test]
fn a_timeout_kills_the_whole_tree() {
    let world = world(
        "timeout",
        "- {name: tree, timeout: 300ms, grace: 200ms, run: \"trap '' TERM; setsid sleep 600 & (setsid sh -c 'sleep 600; :' &); sleep 600\"}
- {name: gentle, timeout: 300ms, run: \"trap 'echo told; exit 7' TERM; sleep 600 & wait\"}
",
    );
    let ended = run(&world, "tree");
    assert_eq!((outcome(&ended), ended["verdict"].as_str()), ("timeout", Some("timeout")));
    assert_eq!(world.alive(), [], "what is reported as ended is gone");
    let ended = run(&world, "gentle");
    assert_eq!((outcome(&ended), ended["attempts"][0]["exitCode"].as_i64()), ("timeout", Some(7)));
    assert_eq!(text(&world, &ended), "told\n");
}

#[test]
fn a_child_that_holds_the_output_does_not_hold_the_run() {
    let world = world(
        "strays",
        "- {name: group, run: 'sleep 600 & echo done'}
- {name: session, run: 'setsid sleep 600 & echo done'}
- {name: deep, run: \"setsid sh -c 'setsid sh -c \\\"setsid sleep 600; :\\\" & sleep 600' & sleep 0.2; echo done\"}
- {name: other, run: 'sleep 600'}
- {name: nameless, run: 'env -i setsid sleep 600 & sleep 0.2; echo done'}
",
    );
    // Beside another that runs on, and is not hurt.
    world.json(&["trigger", "other"]);
    let other = until("the other job to run", || world.alive().into_iter().next());
    for job in ["group", "session", "deep"] {
        let ended = run(&world, job);
        assert_eq!((outcome(&ended), text(&world, &ended).as_str()), ("success", "done\n"), "{job}");
        let left: Vec<_> = world.alive().into_iter().filter(|(_, run)| *run != other.1).collect();
        assert_eq!(left, [], "{job}");
    }
    let runs = world.runs();
    let other = runs.iter().find(|run| run["job"] == "other").expect("it was made");
    assert_ne!(other["state"], "finished", "{other}");
    world.command(&["cancel", other["id"].as_str().expect("an id")]);
    until("the other to end", || world.alive().is_empty().then_some(()));
    // What has thrown its name away is found once nothing runs that it could belong to.
    assert_eq!(outcome(&run(&world, "nameless")), "success");
    let supervisor = world.supervisors()[0];
    let children = format!("/proc/{supervisor}/task/{supervisor}/children");
    until("the supervisor to have no child", || {
        fs::read_to_string(&children).ok()?.trim().is_empty().then_some(())
    });
}

#[test]
fn two_daemons_with_the_same_definitions_leave_each_other_alone() {
    // At the same instant, so that the runs of both have the same id.
    let jobs = "- {name: twin, schedule: {every: 1s, anchor: 2026-01-01T00:00:00Z}, overlap: skip, run: 'sleep 600'}\n";
    let (mut one, two) = (world("twin-one", jobs), world("twin-two", jobs));
    let running = |world: &World| until("its job to run", || world.alive().into_iter().next());
    let (first, second) = (running(&one), running(&two));
    one.supervisors().into_iter().for_each(|pid| signal(pid, Signal::KILL));
    one.kill();
    one.start();
    until("what was left of the killed supervisor to end", || {
        (!Path::new(&format!("/proc/{}", first.0)).exists()).then_some(())
    });
    assert_eq!(running(&two), second, "it lives on");
}

#[test]
fn output_is_kept_to_its_bound_with_head_and_tail() {
    let world = world(
        "output",
        "- {name: numbers, run: 'seq 1 300000', output: {maxBytes: 64Ki}}
- {name: flood, run: 'head -c 200000000 /dev/zero; echo end >&2'}
- {name: both, run: 'echo out; echo err >&2; printf last'}
",
    );
    let numbers = text(&world, &run(&world, "numbers"));
    assert!(numbers.len() < 64 * 1024 + 100, "{} bytes", numbers.len());
    assert!(numbers.starts_with("1\n2\n3\n") && numbers.ends_with("\n299999\n300000\n"));
    assert!(numbers.contains(" bytes were cut here]\n"), "the cut is marked");
    let flood = run(&world, "flood");
    assert_eq!(outcome(&flood), "success");
    let kept = output(&world, &flood);
    assert!(kept.len() > 7 << 20 && kept.len() < (8 << 20) + 100, "{} bytes", kept.len());
    assert!(kept.ends_with(b"\0end\n"));
    assert_eq!(text(&world, &run(&world, "both")), "out\nerr\nlast");
}

#[test]
fn a_failure_is_told_with_the_run_and_its_last_lines() {
    let world = world(
        "notify",
        "- {name: fails, run: 'seq 1 60; exit 5', notify: {onFailure: {run: 'cat > FOLDER/told.new && mv FOLDER/told.new FOLDER/told'}}}
- {name: works, run: 'echo well', notify: {onFailure: {run: 'touch FOLDER/wrong'}}}
",
    );
    assert_eq!(outcome(&run(&world, "works")), "success");
    let ended = run(&world, "fails");
    let told = until("the notification", || fs::read_to_string(world.path("told")).ok());
    let (json, lines) = told.split_once('\n').expect("a document and lines");
    let document: Value = serde_json::from_str(json).expect("the first line is the run");
    assert_eq!((&document["id"], &document["verdict"]), (&ended["id"], &ended["verdict"]));
    assert_eq!(document["attempts"][0]["exitCode"], 5);
    let expected: Vec<String> = (11..=60).map(|n: u32| n.to_string()).collect();
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
    assert!(!world.path("wrong").exists());
}

#[test]
fn an_end_at_the_daemons_own_is_told_before_it_is_gone() {
    let mut world = world(
        "notify-end",
        "- {name: once, run: 'sleep 600', onLost: fail, notify: {onFailure: {run: 'sleep 0.3; cat > FOLDER/told'}}}\n",
    );
    world.json(&["trigger", "once"]);
    until("the job to run", || (!world.alive().is_empty()).then_some(()));
    assert!(world.end().success());
    let told = fs::read_to_string(world.path("told")).expect("the notification ran to its end");
    let document: Value = serde_json::from_str(told.lines().next().expect("a line")).expect("the run");
    assert_eq!((document["verdict"].as_str(), outcome(&document)), (Some("lost"), "interrupted"));
}

#[test]
fn waiting_exits_as_the_job_does() {
    let world = world(
        "codes",
        "- {name: zero, run: 'exit 0'}\n- {name: three, run: 'exit 3'}\n- {name: killed, run: 'kill -TERM $$'}
- {name: unstartable, run: [/nowhere/program]}\n- {name: nothing}\n",
    );
    let code = |arguments: &[&str]| world.command(arguments).status.code();
    for (job, expected) in [("zero", 0), ("three", 3), ("killed", 143), ("unstartable", 126), ("nothing", 0)]
    {
        assert_eq!(code(&["trigger", job, "--wait"]), Some(expected), "{job}");
    }
    assert_eq!(code(&["trigger", "unknown", "--wait"]), Some(125));
    // A key that is asked for again is answered with what came of it.
    assert_eq!(code(&["trigger", "three", "--key", "k", "--wait"]), Some(3));
    assert_eq!(code(&["trigger", "three", "--key", "k", "--wait"]), Some(3));
    assert_eq!(world.runs().iter().filter(|run| run["key"] == "k").count(), 1);
}

#[test]
fn no_more_run_at_once_than_there_are_slots() {
    let mut world = prepared(
        "slots",
        "- {name: waits, schedule: {every: 1s}, overlap: allow, catchUp: {policy: all, spread: 0s},
   run: 'echo start >> FOLDER/lines; : < FOLDER/gate; echo end >> FOLDER/lines'}\n",
    );
    let made =
        std::process::Command::new("mkfifo").arg(world.path("gate")).status().expect("mkfifo is there");
    assert!(made.success());
    world.start_with(&["--slots", "3"], &[]);
    let lines = |world: &World| fs::read_to_string(world.path("lines")).unwrap_or_default();
    // The gate is closed: three stand before it, and what falls due beyond them waits.
    until("a queue", || {
        (world.runs().iter().filter(|run| run["state"] == "ready").count() >= 2).then_some(())
    });
    assert_eq!(lines(&world), "start\n".repeat(3));
    let gate = fs::File::options().read(true).write(true).open(world.path("gate")).expect("a fifo");
    until("more to have run than there are slots", || {
        (lines(&world).matches("end").count() >= 5).then_some(())
    });
    drop(gate);
    let mut inside = 0;
    for line in lines(&world).lines() {
        inside += if line == "start" { 1 } else { -1 };
        assert!(inside <= 3, "{inside} at once");
    }
}

#[test]
fn a_shadow_records_and_starts_nothing() {
    let mut world = prepared(
        "shadow",
        "- {name: job, schedule: {every: 1s}, run: 'touch FOLDER/wrong', notify: {onFailure: {run: 'touch FOLDER/wrong'}}}\n",
    );
    world.start_with(&["--shadow"], &[]);
    let shadows = |world: &World| world.runs().iter().filter(|run| run["verdict"] == "shadow").count();
    until("two runs in shadow", || (shadows(&world) >= 2).then_some(()));
    assert!(world.stop().success());
    assert!(world.runs().iter().all(|run| run["attempts"].as_array().is_some_and(Vec::is_empty)));
    assert!(!world.path("wrong").exists());
}

#[test]
fn a_supervisor_outlives_a_signal_to_all_and_its_binary() {
    let mut world = prepared(
        "upgrade",
        "- {name: job, run: 'echo well'}\n- {name: long, run: \"trap 'exit 0' TERM; sleep 600 & wait\"}\n",
    );
    let program = world.path("punctual");
    fs::copy(&world.program, &program).expect("the binary can be copied");
    world.program = program.clone();
    world.start();
    let before = world.supervisors();
    signal(before[0], Signal::TERM);
    assert_eq!(text(&world, &run(&world, "job")), "well\n");
    assert_eq!(world.supervisors(), before);
    // An upgrade takes the file away; a new supervisor is needed all the same.
    fs::remove_file(&program).expect("the copy can be removed");
    signal(before[0], Signal::KILL);
    until("another supervisor", || world.supervisors().first().filter(|pid| **pid != before[0]).copied());
    assert_eq!(text(&world, &run(&world, "job")), "well\n");
    // A terminal's signal reaches everybody; the job has its grace, and its end is known.
    world.json(&["trigger", "long"]);
    until("the job to run", || (!world.alive().is_empty()).then_some(()));
    signal(world.supervisors()[0], Signal::INT);
    assert!(world.end().success());
    assert!(world.supervisors().is_empty());
    let runs = world.runs();
    let long = runs.iter().find(|run| run["job"] == "long").expect("it was made");
    assert_eq!((long["verdict"].as_str(), outcome(long)), (Some("success"), "success"), "{long}");
    assert_eq!(world.alive(), []);
}

#[test]
fn a_daemon_whose_words_nobody_takes_goes_on() {
    let mut world = prepared("silent", "- {name: job, run: 'echo well'}\n");
    started_by(&mut world, "exec 2>/dev/full");
    world.start();
    assert_eq!(text(&world, &run(&world, "job")), "well\n");
    assert!(world.stop().success());
}

#[test]
fn a_supervisor_that_does_not_answer_is_killed_with_its_jobs() {
    let mut world = world("suspended", "- {name: long, run: 'sleep 600', onLost: fail}\n");
    world.json(&["trigger", "long"]);
    let job = until("the job to run", || world.alive().into_iter().next());
    let supervisor = world.supervisors()[0];
    // Afterwards, for the kernel wakes stopped processes whose parent goes away.
    world.kill();
    signal(supervisor, Signal::STOP);
    world.start();
    assert!(world.supervisors() != [supervisor] && !world.alive().contains(&job));
    assert_eq!(world.runs()[0]["verdict"], "lost");
}
