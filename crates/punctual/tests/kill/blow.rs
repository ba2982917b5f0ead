//! What the kill tests do to the processes.

use crate::Random;
use crate::story::Story;
use crate::support::{World, signal};
use rustix::process::Signal;
use std::time::Duration;

/// One of the things that are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    KillDaemon,
    /// And leave it down for a while, so that several times are missed.
    LeaveDown,
    /// And kill the next one while it starts, too.
    KillAtStart,
    KillSupervisor,
    KillBothDaemonFirst,
    KillBothSupervisorFirst,
    StopDaemon,
    /// With its jobs.
    EndDaemon,
    SuspendDaemon,
    SuspendSupervisor,
}

/// Each of them once; the first rounds of a campaign take them in this order.
pub const BLOWS: [Blow; 10] = [
    Blow::LeaveDown,
    Blow::KillBothSupervisorFirst,
    Blow::KillSupervisor,
    Blow::KillBothDaemonFirst,
    Blow::SuspendDaemon,
    Blow::StopDaemon,
    Blow::SuspendSupervisor,
    Blow::KillAtStart,
    Blow::EndDaemon,
    Blow::KillDaemon,
];

/// Of a hundred blows at random so many are of each kind: mostly such that kill.
const WEIGHTS: [(Blow, u64); 10] = [
    (Blow::KillDaemon, 22),
    (Blow::LeaveDown, 8),
    (Blow::KillAtStart, 10),
    (Blow::KillSupervisor, 18),
    (Blow::KillBothDaemonFirst, 12),
    (Blow::KillBothSupervisorFirst, 12),
    (Blow::StopDaemon, 5),
    (Blow::EndDaemon, 3),
    (Blow::SuspendDaemon, 5),
    (Blow::SuspendSupervisor, 5),
];

impl Blow {
    pub fn random(random: &mut Random) -> Self {
        let mut left = random.below(100);
        for (blow, weight) in WEIGHTS {
            match left.checked_sub(weight) {
                Some(less) => left = less,
                None => return blow,
            }
        }
        Self::KillDaemon
    }

    fn kills(self) -> bool {
        !matches!(self, Self::StopDaemon | Self::EndDaemon | Self::SuspendDaemon | Self::SuspendSupervisor)
    }

    /// Whether attempts that are under way may be lost by it: jobs outlive the daemon, and end with their supervisor.
    fn may_lose(self) -> bool {
        match self {
            Self::KillSupervisor
            | Self::KillBothDaemonFirst
            | Self::KillBothSupervisorFirst
            | Self::EndDaemon => true,
            Self::KillDaemon | Self::LeaveDown | Self::KillAtStart | Self::StopDaemon => false,
            Self::SuspendDaemon | Self::SuspendSupervisor => false,
        }
    }

    /// Strikes, and waits until all answer again.
    pub fn strike(self, world: &mut World, story: &mut Story, random: &mut Random) {
        story.fault(&format!("{self:?}"), self.kills(), self.may_lose(), || self.strike_now(world, random));
    }

    fn strike_now(self, world: &mut World, random: &mut Random) {
        let (daemon, supervisors) = (world.daemon(), world.supervisors());
        let kill_supervisors = || supervisors.iter().for_each(|pid| signal(*pid, Signal::KILL));
        match self {
            Self::KillDaemon | Self::LeaveDown | Self::KillAtStart => signal(daemon, Signal::KILL),
            Self::KillSupervisor => kill_supervisors(),
            Self::KillBothDaemonFirst => {
                signal(daemon, Signal::KILL);
                kill_supervisors();
            }
            Self::KillBothSupervisorFirst => {
                kill_supervisors();
                signal(daemon, Signal::KILL);
            }
            Self::StopDaemon => signal(daemon, Signal::TERM),
            Self::EndDaemon => signal(daemon, Signal::INT),
            Self::SuspendDaemon => suspend(&[daemon]),
            Self::SuspendSupervisor => suspend(&supervisors),
        }
        match self {
            Self::KillSupervisor | Self::SuspendDaemon | Self::SuspendSupervisor => {}
            Self::StopDaemon | Self::EndDaemon => {
                assert!(world.wait().success(), "the daemon ends well when it is told to");
                world.start();
            }
            _ => {
                world.wait();
                if self == Self::LeaveDown {
                    std::thread::sleep(Duration::from_millis(3200));
                }
                if self == Self::KillAtStart {
                    world.launch(&[], &[]);
                    std::thread::sleep(Duration::from_millis(random.below(300)));
                    signal(world.daemon(), Signal::KILL);
                    world.wait();
                }
                world.start();
            }
        }
    }
}

fn suspend(processes: &[i32]) {
    processes.iter().for_each(|pid| signal(*pid, Signal::STOP));
    std::thread::sleep(Duration::from_secs(1));
    processes.iter().for_each(|pid| signal(*pid, Signal::CONT));
}
