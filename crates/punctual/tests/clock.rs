//! The real daemon while its wall clock is stepped, runs fast or slow, or is set while none runs. libfaketime stands
//! between the daemon and the wall clock; the clock that counts since boot is the machine's.

mod support;

use punctual_engine::clock::Clock;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use support::{World, until};

/// Each second, with nothing to do.
const JOBS: &str = "jobs: [{name: tick, schedule: '* * * * * *', catchUp: {policy: latest, window: 1h}}]";
const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 86_400;

/// A daemon whose wall clock a test sets.
struct Stage {
    world: World,
    /// The fake offset is read from it at each look at the clock.
    rate: PathBuf,
}

impl Stage {
    /// None of the programs that know the kernel's clock is found: only a person can confirm a step.
    fn new(name: &str, offset: &str) -> Self {
        Self::with_path(name, offset, "/nonexistent")
    }

    fn with_path(name: &str, offset: &str, path: &str) -> Self {
        let world = World::new(&format!("clock-{name}"), JOBS);
        let rate = world.path("faketime");
        let mut stage = Self { world, rate };
        stage.set(offset);
        stage.start(path);
        stage
    }

    fn start(&mut self, path: &str) {
        let (library, rate) = (library(), self.rate.to_string_lossy().into_owned());
        let environment = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &rate),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_NO_CACHE", "1"),
            ("NO_FAKE_STAT", "1"),
            ("PATH", path),
        ];
        self.world.start_with(&[], &environment);
    }

    /// Sets the daemon's wall clock: `+3600` is an hour ahead of the machine's, `x1.01` makes it fast.
    fn set(&self, offset: &str) {
        let new = self.rate.with_extension("new");
        std::fs::write(&new, format!("{offset}\n")).expect("written");
        std::fs::rename(new, &self.rate).expect("replaced");
    }

    fn clock(&self) -> Value {
        self.world.json(&["doctor", "clock"])
    }

    fn doubted(&self) -> Value {
        until("the step to be seen", || Some(self.clock()).filter(|clock| clock["verdict"] != "steady"))
    }

    fn runs(&self) -> Vec<(String, String)> {
        let text = |run: &Value, key: &str| run[key].as_str().expect("text").to_owned();
        self.world.runs().iter().map(|run| (text(run, "id"), text(run, "nominalTime"))).collect()
    }

    /// Waits until so many more runs have ended.
    fn more(&self, count: usize) {
        let before = self.runs().len();
        until("more runs", || (self.runs().len() >= before + count).then_some(()));
    }

    /// No run is there twice, and each second of the record from the first to the last has one disposition.
    fn check(&self) {
        let runs = self.runs();
        let ids: BTreeSet<&String> = runs.iter().map(|(id, _)| id).collect();
        assert_eq!(ids.len(), runs.len(), "no run is there twice");
        let ticks = self.world.json(&["ticks", "tick", "--from", "1h", "--to", "now"]);
        let ticks = ticks.as_array().expect("a list");
        let decided = ticks.iter().filter(|tick| tick["disposition"] != "pending");
        let seconds: Vec<i64> = decided.map(|tick| seconds(&tick["nominalTime"])).collect();
        assert!(seconds.windows(2).all(|pair| pair[1] == pair[0] + 1), "each second once: {seconds:?}");
    }

    fn confirm(&self, what: &str) -> Value {
        self.world.json(&["doctor", "clock", what])
    }
}

fn seconds(instant: &Value) -> i64 {
    let text = instant.as_str().expect("an instant");
    punctual_core::time::Timestamp::parse_rfc3339(text).expect("an instant").as_secs()
}

fn machine() -> i64 {
    Clock::System.now().as_secs()
}

fn library() -> String {
    let lib = std::fs::read_dir("/usr/lib").expect("it is there").flatten().map(|entry| entry.path());
    let found = lib.map(|dir| dir.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found.expect("libfaketime is installed: apt-get install faketime").to_string_lossy().into_owned()
}

// proves I-4
#[test]
fn a_large_step_is_not_believed_and_the_daemon_goes_on() {
    for (step, verdict) in [(HOUR, "ahead"), (-HOUR, "behind"), (YEAR, "ahead"), (-YEAR, "behind")] {
        let stage = Stage::new(&format!("large{step}"), "+0");
        stage.more(2);
        stage.set(&format!("{step:+}"));
        let clock = stage.doubted();
        assert_eq!(clock["verdict"], verdict);
        assert!((seconds(&clock["wall"]) - seconds(&clock["now"]) - step).abs() <= 2, "{clock:#}");
        assert_eq!(stage.world.command(&["doctor", "clock"]).status.code(), Some(1));
        assert!(stage.world.json(&["doctor"]).to_string().contains("is not believed yet"));
        stage.more(2);
        assert!(stage.runs().iter().all(|(_, at)| seconds(&Value::from(at.as_str())) <= machine()));
        stage.set("+0");
        until("it to be back", || (stage.clock()["verdict"] == "steady").then_some(()));
        stage.more(2);
        stage.check();
        let log = std::fs::read_to_string(stage.world.path("daemon.log")).expect("a log");
        assert!(log.contains("punctual doctor clock") && log.contains("back where it was"), "{log}");
    }
}

#[test]
fn a_step_forward_that_is_confirmed_is_caught_up_as_downtime() {
    let stage = Stage::new("confirmed", "+0");
    stage.more(2);
    stage.set("+7200");
    stage.doubted();
    assert_eq!(stage.confirm("--accept")["accepted"], true);
    stage.more(3);
    let clock = stage.clock();
    assert_eq!((&clock["verdict"], &clock["aheadTriggers"]), (&Value::from("steady"), &Value::from(0)));
    assert!(
        clock["said"][0].as_str().expect("text").contains("confirmed that the clock was set"),
        "{clock:#}"
    );
    let newest = stage.runs()[0].1.clone();
    assert!((seconds(&Value::from(newest)) - machine() - 7200).abs() < 30);
    assert!(stage.runs().len() < 60, "one run for all that was missed");
    assert_eq!(stage.confirm("--accept")["accepted"], false);
    stage.check();
}

// proves I-1
#[test]
fn after_a_wrong_clock_cursors_are_set_back_and_nothing_runs_twice() {
    let stage = Stage::new("set-back", "+7200");
    stage.more(2);
    stage.set("+0");
    stage.doubted();
    stage.confirm("--accept");
    let clock = until("it to be believed", || Some(stage.clock()).filter(|c| c["verdict"] == "steady"));
    assert_eq!(clock["aheadTriggers"], 1, "{clock:#}");
    let before = stage.runs().len();
    let done = stage.confirm("--set-back");
    assert_eq!(done["triggers"], 1, "{done:#}");
    assert!(done["ran"].as_u64().expect("a count") >= 2, "{done:#}");
    stage.more(2);
    assert!(stage.runs().len() >= before + 2);
    assert_eq!(stage.clock()["aheadTriggers"], 0);
    stage.check();
    // When the wrong time comes, what ran in it does not run again.
    stage.set("+7190");
    stage.doubted();
    stage.confirm("--accept");
    until("the wrong time to pass", || {
        (seconds(&stage.clock()["now"]) > seconds(&done["until"]) + 3).then_some(())
    });
    stage.more(2);
    stage.check();
}

#[test]
fn small_steps_and_a_wrong_rate_are_followed() {
    let stage = Stage::new("small", "+0");
    stage.more(2);
    for offset in ["+1", "+3", "-2", "+100", "+97", "+100 x1.01", "+110 x0.99"] {
        stage.set(offset);
        until("the clock to be passed", || {
            let clock = stage.clock();
            assert_eq!(clock["verdict"], "steady", "{offset}: {clock:#}");
            let jobs = stage.world.json(&["jobs"]);
            (seconds(&jobs[0]["triggers"][0]["cursor"]) <= seconds(&clock["now"]) + 1).then_some(())
        });
        if !offset.starts_with('-') && offset != "+97" {
            stage.more(2);
        }
        stage.check();
    }
}

#[test]
fn a_clock_that_was_set_while_no_daemon_ran_is_not_believed_either() {
    let mut stage = Stage::new("between", "+0");
    stage.more(2);
    assert!(stage.world.stop().success());
    stage.set(&format!("{YEAR:+}"));
    stage.start("/nonexistent");
    assert_eq!(stage.clock()["verdict"], "ahead");
    stage.more(2);
    assert!(stage.runs().iter().all(|(_, at)| seconds(&Value::from(at.as_str())) <= machine()));
    stage.check();
}

/// It takes the minute for which the kernel must have been sure, and is left out of quick runs.
#[test]
fn the_kernels_word_is_enough() {
    if std::env::var_os("PUNCTUAL_TEST_FULL").is_none() {
        return;
    }
    let bin = std::env::temp_dir().join(format!("punctual-clock-{}", std::process::id()));
    std::fs::create_dir_all(&bin).expect("a folder");
    std::fs::write(bin.join("timedatectl"), "#!/bin/sh\necho yes\n").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("timedatectl"), mode).expect("set");
    let stage = Stage::with_path("kernel", "+0", &bin.to_string_lossy());
    stage.more(2);
    stage.set("+7200");
    stage.doubted();
    stage.more(30);
    assert_eq!(stage.clock()["verdict"], "ahead", "not yet");
    until("the minute to pass", || (stage.clock()["verdict"] == "steady").then_some(()));
    stage.more(2);
    stage.check();
    std::fs::remove_dir_all(bin).expect("the test made it");
}
