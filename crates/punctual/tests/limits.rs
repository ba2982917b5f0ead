//! That a job's tree stays within what it may have and ends when it must, whatever its processes do.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::jobs::{outcome, prepared, run, started_by, text, world};
use support::{World, signal, until};

/// A program of its own name that sleeps, so that its processes are known whatever they make of themselves.
fn with_nap(world: &World) -> PathBuf {
    let nap = world.path("nap");
    let sleep = ["/usr/bin/sleep", "/bin/sleep"].into_iter().find(|file| fs::metadata(file).is_ok());
    fs::copy(sleep.expect("every machine has sleep"), &nap).expect("a writable folder");
    fs::set_permissions(&nap, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    nap
}

/// The arguments of the processes that execute `program`, by pid.
fn executing(program: &Path) -> BTreeMap<i32, String> {
    let pids = fs::read_dir("/proc").expect("/proc is there").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_it = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
    let line = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(is_it).map(|pid| (pid, String::from_utf8_lossy(&line(pid)).into_owned())).collect()
}

// proves I-18
#[test]
fn no_process_is_left_of_an_attempt_that_has_ended() {
    // Each leaves processes of its own kind behind, and most would outlive any signal but KILL.
    let trees = [
        ("ignores", "trap '' TERM INT HUP; FOLDER/nap 601 & wait; FOLDER/nap 601"),
        ("session", "setsid FOLDER/nap 602 & FOLDER/nap 602"),
        ("double", "(setsid sh -c 'FOLDER/nap 603 & (FOLDER/nap 603 &)' &) ; FOLDER/nap 603"),
        ("nohup", "nohup FOLDER/nap 604 & FOLDER/nap 604"),
        ("nameless", "env -i setsid FOLDER/nap 605 & FOLDER/nap 605"),
        (
            "deep",
            "env -i setsid sh -c 'trap \\\"\\\" TERM; env -i setsid sh -c \\\"FOLDER/nap 606 & FOLDER/nap 606\\\" & wait' & FOLDER/nap 606",
        ),
        ("stopped", "FOLDER/nap 607 & kill -STOP $!; kill -STOP $$"),
        ("pipes", "(setsid FOLDER/nap 608 &); echo printed; FOLDER/nap 608"),
    ];
    let mut jobs = String::from("- {name: other, run: 'env -i setsid FOLDER/nap 600 & FOLDER/nap 600'}\n");
    for (name, script) in trees {
        jobs.push_str(&format!("- {{name: {name}, timeout: 300ms, grace: 200ms, run: \"{script}\"}}\n"));
        // And one that ends by itself, with what it started still there.
        let (before, _) =
            script.rsplit_once("; FOLDER").or(script.rsplit_once("& FOLDER")).unwrap_or((script, ""));
        let before = before.trim_end_matches([' ', '&']);
        if name != "stopped" {
            jobs.push_str(
                &format!("- {{name: {name}-ends, run: \"{before} & sleep 0.1\"}}\n")
                    .replace("wait &", "true &"),
            );
        }
    }
    let mut world = prepared("trees", &jobs);
    let nap = with_nap(&world);
    world.start();
    let other = world.json(&["trigger", "other"]);
    let others = until("the other job to run", || Some(executing(&nap)).filter(|napping| napping.len() == 2));
    for (name, _) in trees {
        let ended = run(&world, name);
        assert_eq!(outcome(&ended), "timeout", "{name}: {ended}");
        assert_eq!(executing(&nap), others, "{name}: what is reported as ended is gone, and nothing else is");
        if name != "stopped" {
            let ended = run(&world, &format!("{name}-ends"));
            assert_eq!(outcome(&ended), "success", "{name}: {ended}");
            assert_eq!(executing(&nap), others, "{name}: its own end is no other");
        }
    }
    // The last of them leaves nothing to whoever comes after this test either.
    world.command(&["cancel", other["id"].as_str().expect("an id")]);
    until("the other job to end", || executing(&nap).is_empty().then_some(()));
}

#[test]
fn a_tree_gets_the_word_to_end_also_where_it_left_its_group() {
    let world = world(
        "told",
        "- {name: told, timeout: 300ms, run: \"trap : TERM; setsid sh -c \\\"trap 'echo told; exit 0' TERM; sleep 600 & wait\\\" & wait; wait\"}\n",
    );
    let ended = run(&world, "told");
    assert_eq!((outcome(&ended), text(&world, &ended).as_str()), ("timeout", "told\n"));
}

#[test]
fn silence_ends_an_attempt_and_output_keeps_it_alive() {
    let world = world(
        "silence",
        "- {name: silent, noProgressTimeout: 400ms, grace: 100ms, run: 'echo begun; sleep 600'}
- {name: lively, noProgressTimeout: 2s, run: 'for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.3; done'}
- {name: closed, noProgressTimeout: 300ms, run: 'exec >/dev/null 2>&1; sleep 600'}
",
    );
    let ended = run(&world, "silent");
    assert_eq!(outcome(&ended), "timeout", "{ended}");
    assert!(ended["reason"].as_str().expect("a reason").contains("noProgressTimeout"), "{ended}");
    assert_eq!(outcome(&run(&world, "lively")), "success");
    assert_eq!(outcome(&run(&world, "closed")), "timeout");
}

#[test]
fn a_job_has_the_bounds_it_asks_for_and_else_those_of_the_daemons_start() {
    let mut world = prepared(
        "bounds",
        "- {name: set, umask: '027', nice: 5, noNewPrivileges: true,
   rlimits: {openFiles: 99, core: 0, fileSize: 1Mi, stack: 1Mi, cpuTime: 90s},
   run: 'umask; nice; grep -E \"^NoNewPrivs\" /proc/self/status; ulimit -n; ulimit -Hn; ulimit -Hc; ulimit -f; ulimit -s; ulimit -t'}
- {name: unset, run: 'nice; ulimit -Sn; grep -E \"^NoNewPrivs\" /proc/self/status'}
- {name: user, runAs: nobody, run: 'grep -E \"^NoNewPrivs\" /proc/self/status', workingDirectory: /}
- {name: user-may, runAs: nobody, noNewPrivileges: false, run: 'grep -E \"^NoNewPrivs\" /proc/self/status'}
- {name: too-much, rlimits: {openFiles: 1073741824}, run: ['true']}
- {name: spins, rlimits: {cpuTime: 1s}, run: 'while :; do :; done'}
",
    );
    started_by(&mut world, "ulimit -Sn 300; umask 022");
    world.start();
    let unset = text(&world, &run(&world, "unset"));
    let (nice, rest) = unset.split_once('\n').expect("lines");
    assert_eq!(rest, "300\nNoNewPrivs:\t0\n");
    let nicer = (nice.parse::<i32>().expect("a number") + 5).min(19);
    // POSIX counts the size of files in halves of a kilobyte.
    let expected = format!("0027\n{nicer}\nNoNewPrivs:\t1\n99\n99\n0\n2048\n1024\n90\n");
    assert_eq!(text(&world, &run(&world, "set")), expected);
    let limits = fs::read_to_string(format!("/proc/{}/limits", world.supervisors()[0])).expect("it lives");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line");
    let words: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(words[0], words[1], "the supervisor itself has all that it may have");
    let refused = run(&world, "too-much");
    assert_eq!(outcome(&refused), "spawnFailed");
    assert!(
        refused["reason"].as_str().expect("a reason").starts_with("EXE014: rlimits.openFiles"),
        "{refused}"
    );
    let ended = run(&world, "spins");
    assert_eq!((outcome(&ended), ended["attempts"][0]["signal"].as_i64()), ("failed", Some(24)), "{ended}");
    if rustix::process::geteuid().is_root() {
        assert_eq!(text(&world, &run(&world, "user")), "NoNewPrivs:\t1\n");
        assert_eq!(text(&world, &run(&world, "user-may")), "NoNewPrivs:\t0\n");
    }
}

#[test]
fn limits_hold_or_are_said_not_to() {
    let mut world = prepared(
        "limits",
        "- {name: some, limits: {pids: 100, memory: 64Mi, cpu: 500m}, run: 'cat /proc/self/cgroup'}
- {name: hog, limits: {memory: 32Mi}, run: ['sh', '-c', 'head -c 300000000 /dev/zero | tail | wc -c; exit 9']}
- {name: bomb, limits: {pids: 40}, timeout: 1s, grace: 100ms, run: 'b() { setsid sh -c \"FOLDER/nap 600\" & b; }; b & exec FOLDER/nap 600'}
- {name: few, limits: {pids: 1}, run: 'exec FOLDER/nap 0'}
",
    );
    let nap = with_nap(&world);
    world.start();
    let ended = run(&world, "some");
    assert_eq!(outcome(&ended), "success", "{ended}");
    let groups = text(&world, &ended);
    if let Some(remark) = ended["attempts"][0]["reason"].as_str() {
        // Where there are no control groups to be had, nothing is limited, and each attempt says so.
        assert!(remark.contains("EXE017: "), "{remark}");
        let log = fs::read_to_string(world.path("daemon.log")).expect("a log");
        assert!(log.contains("limits"), "{log}");
        return;
    }
    let id = ended["id"].as_str().expect("an id");
    assert!(groups.contains("/punctual-") && groups.contains(&format!("/{id}.1\n")), "{groups}");
    let hog = run(&world, "hog");
    assert_eq!((outcome(&hog), hog["attempts"][0]["exitCode"].as_i64()), ("failed", Some(9)), "{hog}");
    assert!(hog["reason"].as_str().expect("a reason").contains("limits.memory was full"), "{hog}");
    let peak = hog["attempts"][0]["memoryBytesMax"].as_u64().expect("a peak");
    assert!(peak > 16 << 20 && peak <= 32 << 20, "{peak}");
    let bomb = run(&world, "bomb");
    assert_eq!(outcome(&bomb), "timeout", "{bomb}");
    assert_eq!(executing(&nap), BTreeMap::new());
    assert_eq!(outcome(&run(&world, "few")), "success");
    assert_eq!(groups_left(&groups), Vec::<String>::new(), "a group goes with its attempt");
}

/// The groups of attempts that are there, of the session whose groups `cgroup` of /proc/PID names.
fn groups_left(cgroup: &str) -> Vec<String> {
    let session = cgroup.lines().find_map(|line| line.split('/').find(|name| name.starts_with("punctual-")));
    let pattern = format!("*/{}/*", session.expect("the job was in a group"));
    let find = Command::new("find").args(["/sys/fs/cgroup", "-path", &pattern, "-type", "d"]).output();
    let found = String::from_utf8(find.expect("find is there").stdout).expect("text");
    found.lines().map(str::to_owned).collect()
}

#[test]
fn groups_of_a_session_that_was_killed_end_with_it() {
    let mut world = prepared(
        "dead-session",
        "- {name: plain, onLost: fail, run: 'env -i setsid FOLDER/nap 600 & FOLDER/nap 600'}
- {name: some, limits: {pids: 100}, onLost: fail, run: 'env -i setsid FOLDER/nap 600 & cat /proc/self/cgroup; FOLDER/nap 600'}\n",
    );
    let nap = with_nap(&world);
    world.start();
    world.json(&["trigger", "plain"]);
    world.json(&["trigger", "some"]);
    until("the jobs to run", || (executing(&nap).len() == 4).then_some(()));
    let supervisor = world.supervisors()[0];
    signal(supervisor, Signal::KILL);
    until("its jobs to end", || executing(&nap).is_empty().then_some(()));
    until("the runs to be recorded", || {
        world.runs().iter().all(|run| run["verdict"] == "lost").then_some(())
    });
}

#[test]
fn bad_input_ends_one_attempt_and_nothing_else() {
    let large = "x".repeat(200_000);
    let mut world = prepared(
        "bad-input",
        &format!(
            "- {{name: large, run: ['true'], env: {{LARGE: '{large}'}}}}
- {{name: large-user, runAs: nobody, run: ['true'], env: {{LARGE: '{large}'}}}}
- {{name: windows, run: ['FOLDER/windows']}}
- {{name: parent, onLost: fail, run: 'kill -9 $PPID; sleep 600'}}
- {{name: fine, run: 'echo fine'}}
"
        ),
    );
    fs::write(world.path("windows"), "#!/bin/sh\r\necho\r\n").expect("a writable folder");
    fs::set_permissions(world.path("windows"), fs::Permissions::from_mode(0o755)).expect("its mode");
    world.start();
    let daemon = world.daemon();
    let reason = |job: &str| {
        let ended = run(&world, job);
        assert_eq!(outcome(&ended), "spawnFailed", "{job}");
        ended["reason"].as_str().expect("a reason").to_owned()
    };
    assert!(reason("large").starts_with("EXE007: "), "{}", reason("large"));
    if rustix::process::geteuid().is_root() {
        assert!(reason("large-user").starts_with("EXE007: "));
    }
    let windows = reason("windows");
    assert!(windows.starts_with("EXE009: the interpreter /bin/sh\\r of"), "{windows}");
    // A job that kills its supervisor is lost with it; the daemon starts another and goes on.
    let lost = run(&world, "parent");
    assert_eq!((outcome(&lost), lost["verdict"].as_str()), ("lost", Some("lost")), "{lost}");
    let fine: Value = run(&world, "fine");
    assert_eq!((outcome(&fine), text(&world, &fine).as_str()), ("success", "fine\n"));
    assert_eq!(world.daemon(), daemon);
    assert!(fs::metadata(format!("/proc/{daemon}")).is_ok(), "the daemon has not moved");
}

/// Figures, from the record itself: `cargo nextest run -p punctual --test limits --run-ignored only --no-capture`.
#[test]
#[ignore = "it measures"]
fn measure() {
    let jobs = "- {name: plain, run: ['true'], overlap: allow}
- {name: user, run: ['true'], runAs: nobody, workingDirectory: /, overlap: allow}
- {name: limited, run: ['true'], limits: {pids: 100, memory: 64Mi, cpu: '1'}, overlap: allow}
- {name: tree, timeout: 300ms, grace: 200ms, run: \"trap '' TERM; (setsid sh -c 'env -i setsid sleep 600 & sleep 600' &); kill -STOP $$; sleep 600\"}
";
    let world = world("measure", jobs);
    for job in ["plain", "user", "limited"] {
        let took =
            (0..100).map(|_| run(&world, job)["attempts"][0]["startDelayUs"].as_i64().expect("a delay"));
        println!("{job}: start delay, ms: {}", percentiles(took.collect()));
    }
    let late = (0..30).map(|_| {
        let ended = run(&world, "tree");
        let at = |key: &str| {
            let text = ended["attempts"][0][key].as_str().expect("an instant");
            punctual_core::time::Timestamp::parse_rfc3339(text).expect("an instant").as_micros()
        };
        at("finishedAt") - at("startedAt") - 500_000
    });
    println!("tree: gone after the grace, ms: {}", percentiles(late.collect()));
}

/// The start delay of jobs each second, alone and beside those that fail, fork and flood.
#[test]
#[ignore = "it measures, for a minute"]
fn measure_neighbours() {
    let ticks: String =
        (0..10).map(|n| format!("- {{name: tick{n}, schedule: {{every: 1s}}, run: ['true']}}\n")).collect();
    let bad = "- {name: missing, schedule: {every: 1s}, run: [/nowhere]}
- {name: windows, schedule: {every: 1s}, run: ['FOLDER/windows']}
- {name: hog, schedule: {every: 1s}, overlap: allow, limits: {memory: 32Mi, cpu: 500m}, run: 'head -c 300000000 /dev/zero | tail | wc -c'}
- {name: bomb, schedule: {every: 1s}, limits: {pids: 40, cpu: 500m}, timeout: 900ms, grace: 100ms, run: 'b() { b & b; }; b & exec sleep 600'}
- {name: strays, schedule: {every: 1s}, run: 'env -i setsid sleep 600 & true'}
";
    for (name, jobs) in [("alone", ticks.clone()), ("beside", ticks + bad)] {
        let mut world = prepared(&format!("neighbours-{name}"), &jobs);
        fs::write(world.path("windows"), "#!/bin/sh\r\necho\r\n").expect("a writable folder");
        fs::set_permissions(world.path("windows"), fs::Permissions::from_mode(0o755)).expect("its mode");
        world.start();
        std::thread::sleep(std::time::Duration::from_secs(30));
        let runs = world.runs();
        let ticks = runs.iter().filter(|run| run["job"].as_str().is_some_and(|job| job.starts_with("tick")));
        let delays = ticks.filter_map(|run| run["attempts"][0]["startDelayUs"].as_i64());
        println!("{name}: start delay, ms: {}", percentiles(delays.collect()));
    }
}

fn percentiles(mut micros: Vec<i64>) -> String {
    micros.sort_unstable();
    let at = |percent: usize| micros[(micros.len() * percent / 100).min(micros.len() - 1)] as f64 / 1000.0;
    format!("p50 {:.1}, p99 {:.1}, most {:.1} of {}", at(50), at(99), at(100), micros.len())
}
