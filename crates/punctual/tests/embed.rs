//! Handlers in a program: typed input, failures and panics on the record, ends that are asked for, and what is left
//! of a program that was killed.

use punctual::core::attempt::Outcome;
use punctual::core::run::{Run, Verdict};
use punctual::{Job, Running, Scheduler};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A directory of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("punctual-embed-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        Self(folder)
    }

    fn scheduler(&self) -> Scheduler {
        Scheduler::open(&self.0).expect("the directory is ours")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ended(running: &Running, job: &str, input: &impl Serialize) -> (Verdict, Run) {
    let run = running.submit(job, None, input).expect("it is submitted");
    let verdict = running.wait(run).expect("the store is read").expect("it is there");
    (verdict, running.look(run).expect("the store is read").expect("it is there"))
}

#[derive(Serialize, Deserialize)]
struct Resize {
    width: u32,
}

#[test]
fn a_closure_gets_typed_input_and_its_failures_are_on_the_record() {
    let folder = Folder::new("typed");
    let mut scheduler = folder.scheduler();
    let resize = |input: Resize, call: &punctual::Call| match input.width {
        0 => panic!("a width of nothing"),
        1 => Err("too narrow".into()),
        _ => {
            call.say(&format!("{} wide", input.width));
            Ok(())
        }
    };
    scheduler.add(Job::new("resize"), resize).expect("a job");
    let running = scheduler.start().expect("it starts");
    let reason = |run: &Run| run.attempts[0].exit.reason.clone().unwrap_or_default();
    assert_eq!(ended(&running, "resize", &Resize { width: 2 }).0, Verdict::Success);
    let (verdict, narrow) = ended(&running, "resize", &Resize { width: 1 });
    assert_eq!((verdict, reason(&narrow).as_str()), (Verdict::Failed, "too narrow"));
    let (verdict, panicked) = ended(&running, "resize", &Resize { width: 0 });
    assert_eq!((verdict, reason(&panicked).as_str()), (Verdict::Failed, "it panicked: a width of nothing"));
    let (verdict, unread) = ended(&running, "resize", &());
    assert_eq!(verdict, Verdict::Failed);
    assert!(reason(&unread).starts_with("its parameters cannot be read: missing field `width`"));
    assert_eq!(ended(&running, "resize", &Resize { width: 3 }).0, Verdict::Success, "it goes on");
    running.stop().expect("it stops");
}

#[test]
fn a_schedule_fires_and_a_retry_has_the_same_run() {
    let folder = Folder::new("schedule");
    let mut scheduler = folder.scheduler();
    let (told, heard) = mpsc::channel();
    let flaky = move |_: (), call: &punctual::Call| {
        told.send((call.run(), call.attempt(), call.nominal())).expect("the test listens");
        if call.attempt() == 1 { Err("not yet".into()) } else { Ok(()) }
    };
    let backoff = serde_json::json!({"maxRetries": 1, "backoff": "10ms"});
    let job = Job::new("flaky").every(Duration::from_millis(200)).set("retryPolicy", backoff);
    scheduler.add(job, flaky).expect("a job");
    let running = scheduler.start().expect("it starts");
    let (first, again) = (heard.recv().expect("it fires"), heard.recv().expect("it retries"));
    assert_eq!((first.0, first.1 + 1, first.2), again);
    let next = heard.recv().expect("it fires again");
    assert!(next.2 > first.2 && next.0 != first.0);
    assert_eq!(running.wait(first.0).expect("the store is read"), Some(Verdict::Success));
}

#[test]
fn a_handler_that_is_told_to_end_hears_of_it() {
    let folder = Folder::new("end");
    let mut scheduler = folder.scheduler();
    let (told, heard) = mpsc::channel();
    let patient = move |_: (), call: &punctual::Call| {
        told.send(call.run()).expect("the test listens");
        let waited = call.wait(Duration::from_secs(600));
        assert!(!waited && call.is_stopped());
        Err("told to end".into())
    };
    scheduler.add(Job::new("late").timeout(Duration::from_millis(50)), patient.clone()).expect("a job");
    scheduler.add(Job::new("patient").set("onLost", "fail"), patient).expect("a job");
    let running = scheduler.start().expect("it starts");
    assert_eq!(ended(&running, "late", &()).0, Verdict::Timeout);
    heard.recv().expect("it began");
    let run = running.submit("patient", None, &()).expect("it is submitted");
    assert_eq!(heard.recv().expect("it began"), run);
    running.stop().expect("it stops");
    let running = folder.scheduler().start().expect("it starts again");
    let run = running.look(run).expect("the store is read").expect("it is there");
    assert_eq!(run.attempts[0].outcome, Outcome::Interrupted);
}

#[test]
fn a_key_makes_one_run() {
    let folder = Folder::new("key");
    let mut scheduler = folder.scheduler();
    let count = Arc::new(AtomicU32::new(0));
    let counting = count.clone();
    let count_up = move |_: (), _: &punctual::Call| {
        counting.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    scheduler.add(Job::new("order"), count_up).expect("a job");
    let running = scheduler.start().expect("it starts");
    let runs: Vec<_> = std::thread::scope(|scope| {
        let submit = || running.submit("order", Some("order-1"), &()).expect("it is submitted");
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(submit)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(runs.iter().all(|run| *run == runs[0]));
    assert_eq!(running.wait(runs[0]).expect("the store is read"), Some(Verdict::Success));
    running.stop().expect("it stops");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn mistakes_are_said_where_they_are_made() {
    let folder = Folder::new("mistakes");
    let mut scheduler = folder.scheduler();
    let nothing = |_: (), _: &punctual::Call| Ok(());
    let error = scheduler.add(Job::new("never").cron("0 0 30 2 *"), nothing).expect_err("it never fires");
    assert_eq!(error.code().map(|code| code.0), Some("TRG004"));
    scheduler.add(Job::new("one"), nothing).expect("a job");
    let error = scheduler.add(Job::new("one"), nothing).expect_err("there is one");
    assert_eq!(error.code().map(|code| code.0), Some("API060"));
    let taken = Scheduler::open(&folder.0).err().expect("it is in use");
    assert_eq!(taken.code().map(|code| code.0), Some("API063"));
    let running = scheduler.start().expect("it starts");
    let error = running.submit("one", None, &42).expect_err("no object");
    assert_eq!(error.code().map(|code| code.0), Some("API061"));
    let error = running.submit("two", None, &()).expect_err("no such job");
    assert_eq!(error.code().map(|code| code.0), Some("RUN001"));
}

/// What a program that was killed had under way is lost, and is tried again by the next start of it.
#[test]
fn what_a_killed_program_had_under_way_is_tried_again() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let folder = Folder::new("killed");
    let mut program = Command::new(std::env::current_exe().expect("this program"));
    program.args(["--exact", "the_program_that_is_killed", "--ignored", "--nocapture"]);
    let mut child = program.env("EMBED_FOLDER", &folder.0).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let begun = lines.find_map(|line| line.strip_prefix("begun ").map(str::to_owned)).expect("it begins");
    child.kill().expect("it can be killed");
    child.wait().expect("it is a child");
    let mut scheduler = folder.scheduler();
    let (told, heard) = mpsc::channel();
    let finish = move |_: (), call: &punctual::Call| {
        told.send((call.run().to_string(), call.attempt())).expect("the test listens");
        Ok(())
    };
    scheduler.add(Job::new("long"), finish).expect("a job");
    let running = scheduler.start().expect("it starts");
    assert_eq!(heard.recv().expect("it is tried again"), (begun.clone(), 2));
    let run = begun.parse().expect("an id");
    assert_eq!(running.wait(run).expect("the store is read"), Some(Verdict::Success));
    let run = running.look(run).expect("the store is read").expect("it is there");
    assert_eq!(run.attempts[0].outcome, Outcome::Lost);
}

#[test]
#[ignore = "it is the program of the test above"]
fn the_program_that_is_killed() {
    let Some(folder) = std::env::var_os("EMBED_FOLDER") else { return };
    let mut scheduler = Scheduler::open(folder).expect("the directory is ours");
    let long = |_: (), call: &punctual::Call| {
        println!("begun {}", call.run());
        call.wait(Duration::from_secs(600));
        Ok(())
    };
    scheduler.add(Job::new("long"), long).expect("a job");
    let running = scheduler.start().expect("it starts");
    let run = running.submit("long", None, &()).expect("it is submitted");
    running.wait(run).expect("the store is read");
}
