//! The timer: sleeps until an instant of the wall clock, or until something else happens. A step of the clock
//! wakes it at once, because the kernel then ends every absolute wait.

use punctual_core::time::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One absolute timer.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self { fd: timerfd_create(TimerfdClockId::Realtime, flags)? })
    }

    /// Waits until `at`, until `event` is readable, or until `link` has what it is polled for. It may also return early: the caller looks again anyway.
    ///
    /// # Errors
    /// The kernel refused to wait.
    pub fn wait(&self, at: Timestamp, event: BorrowedFd<'_>, link: Option<PollFd<'_>>) -> io::Result<()> {
        let micros = at.as_micros().max(1);
        let it_value =
            Timespec { tv_sec: micros.div_euclid(1_000_000), tv_nsec: micros.rem_euclid(1_000_000) * 1000 };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(&self.fd, flags, &Itimerspec { it_interval, it_value }) {
            Ok(_) => {}
            // The clock was set since the last wait: the caller looks at the new time at once.
            Err(rustix::io::Errno::CANCELED) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.fd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(event, PollFlags::IN),
        ];
        fds.extend(link);
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
