//! One named point, and what happens there: the daemon is brought to it under load, and back from it.

use crate::story::Story;
use crate::support::{World, signal, until};
use crate::{Outcome, Random, finish, now_us};
use punctual_core::failpoint::POINTS;
use rustix::process::Signal;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

/// What is done at a point.
pub const ACTIONS: [&str; 3] = ["abort", "error", "stop"];

/// History goes to a new segment after so many rows, so that some are archived.
const SEGMENT_ROWS: (&str, &str) = ("PUNCTUAL_FAILPOINT_SEGMENT_ROWS", "25");

/// A point and an action there.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub point: &'static str,
    pub action: &'static str,
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let of = |point| ACTIONS.map(|action| Case { point, action });
    POINTS.into_iter().flat_map(of).collect()
}

impl Case {
    /// `POINT=ACTION@N`: not always at the first time.
    fn order(self, random: &mut Random) -> String {
        let time = match self.point.split('.').next() {
            Some("recover" | "attach" | "shutdown" | "archive") => 1,
            // The first apply is that of the start.
            Some("apply") => 2,
            _ if matches!(
                self.point,
                "store.migrate" | "store.close" | "store.prune" | "supervisor.attached"
            ) =>
            {
                1
            }
            _ => 3 + random.below(15),
        };
        format!("{}={}@{time}", self.point, self.action)
    }

    /// Whether attempts may be lost by it: jobs end with their supervisor only, and not while it stands still.
    fn may_lose(self) -> bool {
        self.action != "stop" && self.point.starts_with("supervisor")
    }

    /// Whether only a daemon that starts a supervisor comes there, or a supervisor that one starts.
    fn wants_new_supervisor(self) -> bool {
        self.point.starts_with("supervisor") || self.point.starts_with("recover")
    }

    /// One data directory: load, a daemon that meets the point, recovery, load, then the checker.
    pub fn run(self, number: u64, seed: u64, stop: Duration) -> Outcome {
        let mut random = Random(seed.wrapping_add(number));
        let mut world = World::new(&format!("point-{number}"), "jobs: []\n");
        let mut story = Story::begin(&mut world, |world| world.start_with(&[], &[SEGMENT_ROWS]));
        std::thread::sleep(Duration::from_millis(1500));
        story.look(&world, 0);
        let order = self.order(&mut random);
        let mark = world.path("mark").display().to_string();
        let both = self.wants_new_supervisor();
        let kind = if both { "KillBothDaemonFirst" } else { "KillDaemon" };
        story.fault(kind, true, both, || {
            signal(world.daemon(), Signal::KILL);
            if both {
                world.supervisors().into_iter().for_each(|pid| signal(pid, Signal::KILL));
            }
            world.wait();
            let armed = [SEGMENT_ROWS, ("PUNCTUAL_FAILPOINT", &order), ("PUNCTUAL_FAILPOINT_MARK", &mark)];
            world.launch(&[], &armed);
        });
        let (edit, told_us) = self.provoke(&mut world, &mut story);
        let (pid, met_us) = until(&format!("{order} to be met"), || met(&world));
        if self.action == "stop" {
            until("the process to stand still", || stands_still(pid).then_some(()));
            std::thread::sleep(stop);
            signal(pid, Signal::CONT);
        }
        self.come_back(&mut world);
        let kind = format!("{}={}", self.point, self.action);
        story.fault_since(met_us.min(told_us), &kind, self.action == "abort", self.may_lose());
        if let Some(edit) = edit {
            story.edited(&world, edit);
        }
        std::thread::sleep(Duration::from_millis(1500));
        story.look(&world, 1);
        finish(&order, world, story, 1, 15, &["run"])
    }

    /// What only happens when it is asked for: an edit, or the instant at which the daemon is told to end.
    fn provoke(self, world: &mut World, story: &mut Story) -> (Option<(i64, serde_json::Value)>, i64) {
        if self.point.starts_with("apply") {
            world.answer();
            return (Some(story.edit_unseen(world)), i64::MAX);
        }
        if self.point == "store.prune" {
            world.answer();
            std::thread::sleep(Duration::from_millis(500));
            let mut prune = Command::new(env!("CARGO_BIN_EXE_punctual"));
            prune
                .args(["prune", "--data"])
                .arg(world.path("data"))
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            // What becomes of it depends on the daemon.
            let mut prune = prune.spawn().expect("the binary starts");
            std::thread::spawn(move || prune.wait());
        }
        if self.point.starts_with("shutdown") || self.point == "store.close" {
            world.answer();
            std::thread::sleep(Duration::from_millis(1500));
            let told_us = now_us();
            signal(world.daemon(), Signal::TERM);
            return (None, told_us);
        }
        (None, i64::MAX)
    }

    /// Waits until a daemon serves that has come through it, started again if it had to end.
    fn come_back(self, world: &mut World) {
        let ends = self.point.starts_with("shutdown") || self.point == "store.close";
        if ends {
            world.wait();
        } else {
            // What ends for an error ends soon.
            for _ in 0..15 {
                if world.has_ended() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        if ends || world.has_ended() {
            world.start_with(&[], &[SEGMENT_ROWS]);
        } else {
            world.answer();
        }
    }
}

/// Which process met the point, and when.
fn met(world: &World) -> Option<(i32, i64)> {
    let mark = world.path("mark");
    let pid = std::fs::read_to_string(&mark).ok()?.strip_suffix('\n')?.parse().ok()?;
    let made = mark.metadata().and_then(|m| m.modified()).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((pid, i64::try_from(made.as_micros()).ok()?.min(now_us())))
}

fn stands_still(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}
