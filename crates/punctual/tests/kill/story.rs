//! What was done and acknowledged in a world, and its record at the end: the files that the checker reads.

use crate::load;
use crate::now_us;
use crate::support::{World, until};
use punctual_checker::Report;
use punctual_checker::definitions::instant;
use punctual_checker::history::{END, History};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// So many of the newest runs are looked at each time.
const LOOKED_AT: &str = "400";

/// The story of a world, from its first definitions on.
#[derive(Default)]
pub struct Story {
    applies: Vec<Value>,
    faults: Vec<Value>,
    asked: Vec<Value>,
    ended: BTreeSet<String>,
    submitted: BTreeMap<String, String>,
    edits: usize,
    paused_us: Option<i64>,
}

impl Story {
    /// Writes the first definitions, and lets `start` bring the daemon up with them.
    pub fn begin(world: &mut World, start: impl FnOnce(&mut World)) -> Self {
        let document = load::document(world, 0);
        write(world, "jobs.yaml", &document.to_string());
        let invoke_us = now_us();
        start(world);
        let apply = json!({"invokeUs": invoke_us, "ackUs": now_us(), "document": document});
        Self { applies: vec![apply], ..Self::default() }
    }

    /// Something is done to the world's processes; `done` returns when they answer again.
    pub fn fault(&mut self, kind: &str, kill: bool, may_lose: bool, done: impl FnOnce()) {
        let from_us = now_us();
        done();
        self.fault_since(from_us, kind, kill, may_lose);
    }

    /// Something was done since then, and all answers again.
    pub fn fault_since(&mut self, from_us: i64, kind: &str, kill: bool, may_lose: bool) {
        let fault =
            json!({"kind": kind, "fromUs": from_us, "toUs": now_us(), "kill": kill, "mayLose": may_lose});
        self.faults.push(fault);
    }

    /// Notes what the daemon says of runs that ended, and submits keys, some of them again.
    pub fn look(&mut self, world: &World, round: u64) {
        for run in world.json(&["runs", "-n", LOOKED_AT]).as_array().expect("a list") {
            let id = run["id"].as_str().expect("a run has an id");
            if run["state"] == "finished" && self.ended.insert(id.to_owned()) {
                self.asked.push(json!({"kind": "ended", "run": id, "verdict": run["verdict"]}));
            }
        }
        for round in round.saturating_sub(1)..=round {
            let key = format!("round-{round}");
            let made = world.json(&["trigger", load::ASKED, "--key", &key]);
            let run = made["id"].as_str().expect("an acknowledged run has an id").to_owned();
            self.asked.push(json!({"kind": "submitted", "key": key, "run": run}));
            self.submitted.insert(key, run);
        }
    }

    /// Pauses the job that is paused now and then, or resumes it.
    pub fn pause_or_resume(&mut self, world: &World) {
        match self.paused_us.take() {
            None => {
                self.paused_us = Some(now_us());
                assert!(world.command(&["pause", "paused"]).status.success(), "the job is paused");
            }
            Some(from_us) => {
                assert!(world.command(&["resume", "paused"]).status.success(), "the job is resumed");
                self.asked
                    .push(json!({"kind": "paused", "job": "paused", "fromUs": from_us, "toUs": now_us()}));
            }
        }
    }

    /// Changes a definition, and waits until it is in force.
    pub fn edit(&mut self, world: &World) {
        let edit = self.edit_unseen(world);
        self.edited(world, edit);
    }

    /// Waits until a changed definition is in force.
    pub fn edited(&mut self, world: &World, (invoke_us, document): (i64, Value)) {
        let every = load::EDITED[self.edits % load::EDITED.len()];
        until("the changed definition to be in force", || {
            let show = world.json(&["jobs"]);
            let edited = show.as_array().expect("a list").iter().find(|job| job["name"] == "edited")?;
            (edited["definition"]["schedule"].to_string().contains(every)
                || edited["definition"]["triggers"].to_string().contains(every))
            .then_some(())
        });
        self.applies.push(json!({"invokeUs": invoke_us, "ackUs": now_us(), "document": document}));
    }

    /// Changes a definition and waits for nothing. When, and what it says.
    pub fn edit_unseen(&mut self, world: &World) -> (i64, Value) {
        self.edits += 1;
        let document = load::document(world, self.edits);
        let invoke_us = now_us();
        // At once, so that nobody reads half of it.
        write(world, "jobs.new", &document.to_string());
        std::fs::rename(world.path("jobs.new"), world.path("jobs.yaml"))
            .expect("the folder can be written to");
        (invoke_us, document)
    }

    /// Lets the world come to rest, ends its daemon, and writes down what it recorded. The folder of the files.
    pub fn end(mut self, world: &mut World, hits_min: u64, runs_min: u64, dispositions: &[&str]) -> PathBuf {
        if self.paused_us.is_some() {
            self.pause_or_resume(world);
        }
        // Without further faults every cursor passes this instant.
        let settled_us = now_us();
        until("all jobs to be up to date", || {
            let jobs = world.json(&["jobs"]);
            let triggers = |job: &Value| job["triggers"].as_array().expect("a list").clone();
            let mut cursors = jobs.as_array().expect("a list").iter().flat_map(triggers);
            cursors
                .all(|t| t["cursor"].as_str().and_then(instant).expect("an instant") >= settled_us)
                .then_some(())
        });
        let end_us = now_us();
        assert!(world.end().success(), "the daemon ends well when it is told to");
        self.fault_since(end_us, END, false, true);
        let begin = self.applies[0]["invokeUs"].as_i64().expect("it was put there");
        let (from, to) = (time(begin), time(settled_us));
        let ticks = load::scheduled()
            .map(|job| (job.to_owned(), world.json(&["ticks", job, "--from", &from, "--to", &to])));
        std::fs::create_dir_all(world.path("history")).expect("the folder of a test can be made");
        write(world, "history/ticks.json", &Value::Object(ticks.collect::<Map<_, _>>()).to_string());
        write(world, "history/runs.json", &Value::from(world.runs()).to_string());
        let alive: Vec<String> =
            world.alive().into_iter().map(|(pid, run)| format!("{run} ({pid})")).collect();
        let settings = json!({
            // Several worlds share the machine, and a debug build is slow.
            "settledUs": settled_us, "learntUs": 3_000_000, "unlabelled": ["bare"], "alive": alive, "hitsMin": hits_min, "runsMin": runs_min,
            "dispositions": dispositions,
        });
        write(world, "history/settings.json", &settings.to_string());
        for (name, documents) in
            [("applies", &self.applies), ("faults", &self.faults), ("asked", &self.asked)]
        {
            let lines: String = documents.iter().map(|document| format!("{document}\n")).collect();
            write(world, &format!("history/{name}.jsonl"), &lines);
        }
        std::fs::copy(world.path("witness"), world.path("history/witness")).expect("the witness wrote");
        world.path("history")
    }
}

/// Judges the files of a folder; also how many ways to break them the checker can try, and which it does not notice.
pub fn judge(folder: &std::path::Path) -> (Report, usize, Vec<&'static str>) {
    let history = History::read(folder).expect("the files were just written");
    let report = punctual_checker::check(&history);
    let (tried, unnoticed) = match report.violations.is_empty() {
        true => punctual_checker::sabotage::unnoticed(&history),
        false => (0, Vec::new()),
    };
    (report, tried, unnoticed)
}

fn write(world: &World, name: &str, text: &str) {
    std::fs::write(world.path(name), text).expect("the folder of a test can be written to");
}

fn time(us: i64) -> String {
    punctual_core::time::Timestamp::from_micros(us).to_string()
}
