//! A daemon over the jobs of a test, and what became of their runs.

use super::World;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A world with these jobs and a daemon. `FOLDER` in them is its path.
pub fn world(name: &str, jobs: &str) -> World {
    let mut world = prepared(name, jobs);
    world.start();
    world
}

/// The same without the daemon.
pub fn prepared(name: &str, jobs: &str) -> World {
    let world = World::new(&format!("process-{name}"), "");
    let folder = world.path("x").parent().expect("a folder").display().to_string();
    let text = format!("defaults: {{workingDirectory: /, env: {{TEST_FOLDER: '{folder}'}}}}\njobs:\n{jobs}");
    fs::write(world.path("jobs.yaml"), text.replace("FOLDER/", &format!("{folder}/")))
        .expect("a writable folder");
    world
}

/// Has a shell start the daemon, after this line of script.
pub fn started_by(world: &mut World, line: &str) {
    let shell = world.path("started-by-a-shell");
    let script = format!("#!/bin/sh\n{line}\nexec {} \"$@\"\n", world.program.display());
    fs::write(&shell, script).expect("a writable folder");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    world.program = shell;
}

/// Runs a job to its end.
pub fn run(world: &World, job: &str) -> Value {
    world.json(&["trigger", job, "--wait"])
}

/// What the last attempt of a run has printed.
pub fn output(world: &World, run: &Value) -> Vec<u8> {
    let id = run["id"].as_str().expect("a run has an id");
    let number = run["attempts"].as_array().expect("a list").len();
    let days = fs::read_dir(world.path("data/logs")).expect("there are logs").flatten();
    let log = days.map(|day| day.path().join(format!("{id}-{number}.log"))).find(|log| log.is_file());
    fs::read(log.expect("the attempt has a log")).expect("a readable log")
}

/// The same as text.
pub fn text(world: &World, run: &Value) -> String {
    String::from_utf8(output(world, run)).expect("the test prints text")
}

/// How the last attempt of a run ended.
pub fn outcome(run: &Value) -> &str {
    let attempts = run["attempts"].as_array().expect("a list");
    attempts.last().and_then(|attempt| attempt["outcome"].as_str()).unwrap_or("none")
}
