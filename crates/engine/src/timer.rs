//! The timer: sleeps for a time, suspended time included, or until something else happens. It does not follow the
//! wall clock, which may be set at any moment; a step of that wakes it at once, and the caller looks again.

use crate::clock::Monotonic;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// 2255-03-14: an instant of the wall clock that does not come.
const NEVER_SECS: i64 = 9_000_000_000;

/// One timer.
#[derive(Debug)]
pub struct Timer {
    sleep: OwnedFd,
    /// Readable once the wall clock was set.
    set: OwnedFd,
}

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = Self {
            sleep: timerfd_create(TimerfdClockId::Boottime, flags)?,
            set: timerfd_create(TimerfdClockId::Realtime, flags)?,
        };
        let never = at(Timespec { tv_sec: NEVER_SECS, tv_nsec: 0 });
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&timer.set, flags, &never)?;
        Ok(timer)
    }

    /// Waits for `length`, until `event` is readable, or until `link` has what it is polled for. It may also return
    /// early: the caller looks again anyway.
    ///
    /// # Errors
    /// The kernel refused to wait.
    pub fn wait(&self, length: Duration, event: BorrowedFd<'_>, link: Option<PollFd<'_>>) -> io::Result<()> {
        let until = Monotonic::now().after(length).timespec();
        timerfd_settime(&self.sleep, TimerfdTimerFlags::ABSTIME, &at(until))?;
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.sleep.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(event, PollFlags::IN),
            PollFd::from_borrowed_fd(self.set.as_fd(), PollFlags::IN),
        ];
        fds.extend(link);
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !fds[2].revents().is_empty() {
            // It answers that the clock was set, and stands for the next time.
            let _ = rustix::io::read(&self.set, &mut [0_u8; 8]);
        }
        Ok(())
    }
}

fn at(it_value: Timespec) -> Itimerspec {
    Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, eventfd};

    #[test]
    fn it_sleeps_at_least_so_long_and_no_longer_than_until_the_event() {
        let timer = Timer::new().expect("a timer");
        let event = eventfd(0, EventfdFlags::NONBLOCK).expect("an event");
        let begin = Monotonic::now();
        timer.wait(Duration::from_millis(2), event.as_fd(), None).expect("waits");
        assert!(Monotonic::now() >= begin.after(Duration::from_millis(2)));
        timer.wait(Duration::ZERO, event.as_fd(), None).expect("waits for nothing");
        rustix::io::write(&event, &1_u64.to_ne_bytes()).expect("written");
        timer.wait(Duration::from_secs(3600), event.as_fd(), None).expect("is woken");
    }
}
