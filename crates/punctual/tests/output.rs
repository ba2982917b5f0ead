//! What the real binary keeps of what jobs print, how it is followed, and what becomes of it.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::SystemTime;
use support::{World, signal, until};

/// A world with these jobs, without a daemon. `FOLDER` in them is its path.
fn prepared(name: &str, jobs: &str) -> World {
    let world = World::new(&format!("output-{name}"), "");
    let folder = world.path("x").parent().expect("a folder").display().to_string();
    let text = format!("defaults: {{workingDirectory: /, env: {{TEST_FOLDER: '{folder}'}}}}\njobs:\n{jobs}");
    fs::write(world.path("jobs.yaml"), text.replace("FOLDER/", &format!("{folder}/"))).expect("writable");
    world
}

fn world(name: &str, jobs: &str) -> World {
    let mut world = prepared(name, jobs);
    world.start();
    world
}

fn run(world: &World, job: &str) -> Value {
    world.json(&["trigger", job, "--wait"])
}

fn id(run: &Value) -> &str {
    run["id"].as_str().expect("a run has an id")
}

fn as_it_stands(world: &World, run: &Value) -> Value {
    world.runs().into_iter().find(|other| id(other) == id(run)).expect("the run is known")
}

/// The files of output.
fn logs(world: &World) -> Vec<PathBuf> {
    let days = fs::read_dir(world.path("data/logs")).into_iter().flatten().flatten();
    let files = days.flat_map(|day| fs::read_dir(day.path()).into_iter().flatten().flatten());
    files.map(|file| file.path()).collect()
}

fn log(world: &World, run: &Value) -> PathBuf {
    let name = format!("{}-1.log", id(run));
    logs(world).into_iter().find(|path| path.ends_with(&name)).expect("the attempt has a log")
}

fn printed(world: &World, run: &Value) -> String {
    String::from_utf8(fs::read(log(world, run)).expect("readable")).expect("the test prints text")
}

/// A command that goes on, and what it prints.
struct Follower(Child, BufReader<ChildStdout>);

impl Follower {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_punctual"));
        command.args(arguments).arg("--data").arg(world.path("data"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the binary starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Self(child, out)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_prints_nothing_has_no_file_and_is_said_to_have_printed_nothing() {
    let world =
        world("silent", "- {name: silent, run: 'true'}\n- {name: direct, run: 'true', output: direct}\n");
    for job in ["silent", "direct"] {
        assert_eq!(run(&world, job)["verdict"], "success");
        let told = world.command(&["logs", job]);
        assert!(told.status.success() && told.stdout.is_empty());
        assert_eq!(String::from_utf8_lossy(&told.stderr), "attempt 1 printed nothing\n");
    }
    assert_eq!(logs(&world), Vec::<PathBuf>::new());
}

#[test]
fn a_job_with_direct_output_has_the_file_itself() {
    let world = world(
        "direct",
        "- {name: direct, run: 'ls -l /proc/self/fd >&2; head -c 9000000 /dev/zero; echo end', output: {mode: direct}}\n",
    );
    let made = run(&world, "direct");
    let kept = fs::read(log(&world, &made)).expect("readable");
    assert!(kept.len() > 9_000_000 && kept.ends_with(b"\0end\n"), "nothing is cut");
    let head = String::from_utf8_lossy(&kept[..2000]);
    assert!(head.contains(&format!("1 -> {}", log(&world, &made).display())), "{head}");
}

#[test]
fn secrets_are_taken_out_of_what_is_kept_shown_and_told() {
    let world = world(
        "redact",
        "- name: leaks
  run: 'echo \"the token is $TOKEN.\"; printf %s \"user:$TOKEN\" | base64; echo $PUNCTUAL_PARAM_PASS >&2; exit 1'
  env: {TOKEN: s3cr3t-t0k3n}
  output: {redact: [TOKEN, PUNCTUAL_PARAM_PASS]}
  notify: {onFailure: {run: 'cat; echo $TOKEN'}}
",
    );
    let made = world.json(&["trigger", "leaks", "--param", "pass=opensesame", "--wait"]);
    let kept = printed(&world, &made);
    assert!(kept.starts_with("the token is [redacted].\n"), "{kept}");
    assert!(kept.contains("[redacted]\n") && kept.matches("[redacted]").count() == 3, "{kept}");
    let told = until("the notification", || {
        let path = logs(&world).into_iter().find(|path| path.to_string_lossy().ends_with(".notify.log"))?;
        fs::read_to_string(path).ok().filter(|text| text.ends_with("[redacted]\n"))
    });
    for text in [kept, told] {
        assert!(!text.contains("s3cr3t") && !text.contains("opensesame\n"), "{text}");
    }
}

// proves I-22
#[test]
fn floods_of_any_kind_are_bounded_and_hold_up_nobody() {
    let world = world(
        "floods",
        "- {name: lines, run: 'exec nice -n 19 yes', output: {maxBytes: 1Mi}}
- {name: nothing, run: 'exec nice -n 19 cat /dev/zero', output: {maxBytes: 1Mi}}
- {name: noise, run: 'exec nice -n 19 cat /dev/urandom', output: {maxBytes: 1Mi}}
- {name: well, run: 'echo well; echo done', overlap: allow}
",
    );
    let floods: Vec<Value> = ["lines", "nothing", "noise"]
        .iter()
        .map(|job| {
            let made = world.json(&["trigger", job]);
            until("the flood to reach its bound", || {
                let name = format!("{}-1.log", id(&made));
                let log = logs(&world).into_iter().find(|path| path.ends_with(&name))?;
                (log.metadata().ok()?.len() >= (1 << 20) - (256 << 10)).then_some(())
            });
            made
        })
        .collect();
    for _ in 0..5 {
        let made = run(&world, "well");
        assert_eq!(made["verdict"], "success");
        assert_eq!(printed(&world, &made), "well\ndone\n");
    }
    for flood in &floods {
        let now = as_it_stands(&world, flood);
        assert_eq!(now["state"], "running", "it floods on: {now}");
    }
    let supervisor = world.supervisors()[0];
    let status = fs::read_to_string(format!("/proc/{supervisor}/status")).expect("it lives");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak").trim();
    let kib: u64 = peak.trim_end_matches(" kB").parse().expect("a number");
    assert!(kib < 32 * 1024, "the supervisor took {kib} KiB");
    for flood in &floods {
        assert!(world.command(&["cancel", id(flood)]).status.success());
        let bytes = until("the end of the flood", || {
            let bytes = fs::read(log(&world, flood)).ok()?;
            let text = String::from_utf8_lossy(&bytes[(768 << 10).min(bytes.len())..]).into_owned();
            text.starts_with("\n[punctual: ").then_some(bytes)
        });
        assert!(bytes.len() < (1 << 20) + 100, "{} bytes", bytes.len());
    }
}

#[test]
fn output_that_cannot_be_kept_is_told_and_costs_no_run() {
    let world = world("lost", "- {name: speaks, run: 'echo hello', retries: 0}\n");
    // No folder can be made where a file is, not even by root.
    fs::write(world.path("data/logs"), "").expect("writable");
    assert_eq!(run(&world, "speaks")["verdict"], "success");
    let told = until("the complaint", || {
        let log = fs::read_to_string(world.path("daemon.log")).ok()?;
        log.contains("EXE020").then_some(log)
    });
    assert!(told.contains("could not be kept"), "{told}");
}

#[test]
fn following_goes_from_attempt_to_attempt_and_through_a_restart() {
    let mut world = prepared(
        "follow",
        "- name: tries
  run: 'echo one of $PUNCTUAL_ATTEMPT; while [ ! -e FOLDER/go-$PUNCTUAL_ATTEMPT ]; do sleep 0.05; done; echo two of $PUNCTUAL_ATTEMPT; exit 1'
  retryPolicy: {maxRetries: 2, backoff: 0s}
",
    );
    world.start();
    let made = world.json(&["trigger", "tries"]);
    let mut follower = Follower::start(&world, &["logs", id(&made), "-f"]);
    assert_eq!(follower.line(), "one of 1");
    fs::write(world.path("go-1"), "").expect("writable");
    assert_eq!(follower.line(), "two of 1");
    assert_eq!(follower.line(), "one of 2");
    // Whether the attempt lives on or is lost with the daemon and tried again, the follower sees the run to its end.
    signal(world.daemon(), Signal::KILL);
    world.wait();
    world.start();
    (2..=9).for_each(|attempt| fs::write(world.path(&format!("go-{attempt}")), "").expect("writable"));
    let mut rest = String::new();
    follower.1.read_to_string(&mut rest).expect("text");
    assert!(follower.0.wait().expect("it ends").success());
    let ended = as_it_stands(&world, &made);
    let last = ended["attempts"].as_array().expect("a list").len();
    assert!(
        rest.ends_with(&format!("one of {last}\ntwo of {last}\n"))
            || rest == "two of 2\none of 3\ntwo of 3\n",
        "{rest}"
    );
}

#[test]
fn following_a_job_waits_for_its_next_run() {
    let world = world("follow-job", "- {name: says, run: 'echo run $PUNCTUAL_PARAM_N'}\n");
    let say = |n: u32| world.json(&["trigger", "says", "--param", &format!("n={n}"), "--wait"]);
    say(1);
    say(2);
    let mut follower = Follower::start(&world, &["logs", "says", "-f"]);
    assert_eq!(follower.line(), "run 2", "it begins with the newest");
    for n in 3..6 {
        say(n);
        assert_eq!(follower.line(), format!("run {n}"));
    }
}

#[test]
fn each_attempt_has_a_line_in_the_attempt_log() {
    let jobs = "- {name: fails, run: 'exit 3', retryPolicy: {maxRetries: 1, backoff: 0s}}
- {name: works, run: 'true'}
- {name: sleeps, run: 'exec sleep 100', timeout: 1s}
";
    let mut world = world("attempts", jobs);
    let runs = ["fails", "works", "sleeps"].map(|job| run(&world, job));
    assert!(world.stop().success());
    let text = fs::read_to_string(world.path("data/attempts.log")).expect("there is one");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let expected = |run: &Value, level: &str, status: &str| {
        format!("task_id={} level={level} duration=0s status={status} host={}", id(run), host.trim())
    };
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let (time, rest) = line.split_once("] ").expect("a time");
            assert!(time.len() == 21 && time.starts_with("[20") && time.ends_with('Z'), "{line}");
            rest.replace("duration=1s", "duration=0s")
        })
        .collect();
    assert_eq!(
        lines,
        [
            expected(&runs[0], "ERROR", "failed"),
            expected(&runs[0], "ERROR", "failed"),
            expected(&runs[1], "INFO", "success"),
            expected(&runs[2], "WARN", "timeout"),
        ]
    );
    let told = fs::read_to_string(world.path("daemon.log")).expect("there is one");
    assert!(text.lines().all(|line| told.lines().any(|other| other == line)), "{told}");
    // In JSON it says more.
    world.start_with(&["--log-format", "json"], &[]);
    run(&world, "fails");
    assert!(world.stop().success());
    let text = fs::read_to_string(world.path("data/attempts.log")).expect("there is one");
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["job"], &last["attempt"]), (&"fails".into(), &2.into()));
    assert_eq!((&last["exit_code"], &last["level"]), (&3.into(), &"ERROR".into()));
    assert!(last["start_time"].is_string() && last["end_time"].is_string(), "{last}");
}

#[test]
fn a_job_that_keeps_few_runs_keeps_the_newest() {
    let world = world(
        "keep-runs",
        "- {name: few, run: 'echo hello', output: {keepRuns: 2}}\n- {name: all, run: 'echo hello'}\n",
    );
    let few: Vec<Value> = (0..5).map(|_| run(&world, "few")).collect();
    let all = run(&world, "all");
    assert_eq!(world.json(&["prune", "--dry-run"])["outputFiles"], 3);
    assert_eq!(world.json(&["prune"])["outputFiles"], 3);
    let kept = [&few[3], &few[4], &all].map(|run| log(&world, run));
    assert!(kept.iter().all(|log| log.exists()));
    assert_eq!(logs(&world).len(), 3);
}

#[test]
fn old_output_goes_and_that_of_runs_under_way_stays() {
    let world = world(
        "prune",
        "- {name: says, run: 'echo hello'}\n- {name: waits, run: 'echo begun; exec sleep 1000'}\n",
    );
    let old = run(&world, "says");
    let new = run(&world, "says");
    let live = world.json(&["trigger", "waits"]);
    let live_log = until("its first word", || {
        let name = format!("{}-1.log", id(&live));
        logs(&world).into_iter().find(|path| path.ends_with(&name))
    });
    let long_ago = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    for path in [&log(&world, &old), &live_log] {
        fs::File::options().append(true).open(path).expect("there").set_times(long_ago).expect("set");
    }
    // Of today, so not too old, whatever the times of its files are.
    assert_eq!(world.json(&["prune"])["outputFiles"], 0);
    let few = ["prune", "--keep-output-bytes", "1"];
    let dry = world.json(&[&few[..], &["--dry-run"]].concat());
    assert_eq!((&dry["outputFiles"], &dry["historyRows"]), (&1.into(), &Value::Null));
    assert_eq!(logs(&world).len(), 3);
    let real = world.json(&few);
    assert_eq!((&real["outputFiles"], &real["outputBytes"]), (&1.into(), &4096.into()));
    assert_eq!(logs(&world).len(), 2);
    assert!(live_log.exists() && log(&world, &new).exists());
    let told = world.command(&["logs", id(&old)]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("or it was pruned"));
    assert!(String::from_utf8_lossy(&world.command(&["doctor"]).stdout).contains("in 2 files since"));
}

/// Prints what floods cost: `cargo nextest run -p punctual --test output measure --run-ignored only --no-capture`.
#[test]
#[ignore = "a measurement, of half a minute a line"]
fn measure_floods() {
    let tick =
        |n: u32| format!("- {{name: tick-{n}, run: [/bin/true], schedule: '* * * * * *', overlap: allow}}\n");
    let floods = "- {name: flood, run: 'exec yes', overlap: allow, output: {maxBytes: 1Mi}}
- {name: redacted, run: 'exec yes', overlap: allow, env: {K: 's3cr3t'}, output: {maxBytes: 1Mi, redact: [K]}}
";
    let jobs = (0..10).map(tick).collect::<String>() + floods;
    for (job, count) in [("flood", 0), ("flood", 1), ("flood", 4), ("redacted", 1)] {
        let world = world(&format!("measure-{job}-{count}"), &jobs);
        let flooding: Vec<Value> = (0..count).map(|_| world.json(&["trigger", job])).collect();
        std::thread::sleep(std::time::Duration::from_secs(30));
        let ids: Vec<&str> = flooding.iter().map(id).collect();
        let status =
            fs::read_to_string(format!("/proc/{}/status", world.supervisors()[0])).expect("it lives");
        let peak = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
        ids.iter().for_each(|id| assert!(world.command(&["cancel", id]).status.success()));
        let ended =
            |id: &&str| world.runs().into_iter().find(|run| run["id"] == **id && run["state"] == "finished");
        let mut bytes_a_second = 0.0;
        for id in &ids {
            let run = until("the end of a flood", || ended(id));
            let secs = run["attempts"][0]["cpuMs"].as_f64().unwrap_or(0.0) / 1000.0;
            let kept = fs::read(log(&world, &run)).expect("readable");
            let cut = String::from_utf8_lossy(&kept);
            let (_, cut) = cut.split_once("[punctual: ").expect("it was cut");
            let cut: f64 = cut.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
            println!("  a flood: {cut} bytes, {secs} s of processor");
            bytes_a_second += cut / 30.0;
        }
        let mut delays: Vec<u64> = world
            .runs()
            .iter()
            .filter(|run| run["job"].as_str().is_some_and(|job| job.starts_with("tick")))
            .filter_map(|run| run["attempts"][0]["startDelayUs"].as_u64())
            .collect();
        delays.sort_unstable();
        let at = |part: usize| delays[(delays.len() - 1) * part / 100] / 1000;
        println!(
            "{count} x {job}: {:.0} MB/s, {peak}; {} starts, delay p50 {} ms, p90 {} ms, p99 {} ms, most {} ms",
            bytes_a_second / 1e6,
            delays.len(),
            at(50),
            at(90),
            at(99),
            at(100)
        );
    }
}
