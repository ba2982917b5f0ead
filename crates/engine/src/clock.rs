//! The clock: the one module that asks what time it is, and where random identities come from.

#![expect(clippy::disallowed_methods, reason = "this is the module that may ask")]

use crate::data_dir::DataDir;
use crate::guarded::Guarded;
use punctual_core::guard::Sample;
use punctual_core::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// The two clocks are read at most so far apart,
const READ_APART: Duration = Duration::from_millis(10);
/// or this is the last try.
const READS_MAX: u32 = 10;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's, believed whatever it says.
    System,
    /// A clock behind the guard: a large step is not believed until somebody confirms it.
    Guarded(Arc<Guarded>),
    /// A test's, in microseconds since the epoch; it moves when it is told to.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `at` until it is advanced.
    pub fn manual(at: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(at.as_micros())))
    }

    /// The machine's clock behind the guard, which goes on from what the last process of `data` believed.
    pub fn guarded(data: &DataDir) -> Self {
        Self::Guarded(Arc::new(Guarded::machine(data)))
    }

    /// A guarded clock that stands at `at` until it is moved: [`Clock::advance`] lets time pass,
    /// [`Guarded::step`] sets its wall clock.
    pub fn guarded_manual(at: Timestamp) -> Self {
        Self::Guarded(Arc::new(Guarded::manual(at)))
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => wall(),
            Self::Guarded(guarded) => guarded.now(),
            Self::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }

    /// What time it was when the wall clock said `wall`, a short time ago: processes without a guard stamp by that.
    pub fn of_wall(&self, wall: Timestamp) -> Timestamp {
        match self {
            Self::Guarded(guarded) => guarded.of_wall(wall),
            Self::System | Self::Manual(_) => wall,
        }
    }

    /// Lets time pass on a clock that a test moves; the system's is left alone.
    pub fn advance(&self, by: Duration) {
        match self {
            Self::Manual(micros) => _ = micros.fetch_add(punctual_core::time::micros(by), Ordering::SeqCst),
            Self::Guarded(guarded) => guarded.advance(by),
            Self::System => {}
        }
    }

    /// The guard, where there is one.
    pub fn guard(&self) -> Option<&Arc<Guarded>> {
        match self {
            Self::Guarded(guarded) => Some(guarded),
            Self::System | Self::Manual(_) => None,
        }
    }
}

fn wall() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_micros(since.map_or(0, punctual_core::time::micros))
}

/// Both clocks at one instant: read again when this process was held up between the two.
pub(crate) fn sample() -> Sample {
    let mut before = since_boot();
    for _ in 0..READS_MAX {
        let wall = wall();
        let boot = since_boot();
        if boot.saturating_sub(before) <= READ_APART {
            return Sample { wall, boot };
        }
        before = boot;
    }
    Sample { wall: wall(), boot: since_boot() }
}

/// An instant of the clock that only moves forward and counts suspended time, for waits on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// The present instant.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let secs = u64::try_from(time.tv_sec).unwrap_or(0);
        Self(Duration::new(secs, u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// This instant moved later by `by`.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// This instant for a timer; never the zero that would unset it.
    pub fn timespec(self) -> rustix::time::Timespec {
        let time = self.0.max(Duration::from_nanos(1));
        let tv_sec = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        rustix::time::Timespec { tv_sec, tv_nsec: time.subsec_nanos().into() }
    }

    /// How far ahead of `now` it is; zero if it is not.
    pub fn until_from(self, now: Self) -> Duration {
        self.0.saturating_sub(now.0)
    }
}

/// An instant of the clock that only moves forward and stands still while the machine is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Awake(Duration);

impl Awake {
    /// The present instant.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let secs = u64::try_from(time.tv_sec).unwrap_or(0);
        Self(Duration::new(secs, u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// How much of `limit`, counted from this instant, is left at `now`; zero if none.
    pub fn left_of(self, limit: Duration, now: Self) -> Duration {
        limit.saturating_sub(now.0.saturating_sub(self.0))
    }
}

/// How long ago this machine was started, suspended time included.
pub fn since_boot() -> Duration {
    Monotonic::now().0
}

/// 128 random bits of the kernel's.
///
/// # Panics
/// The kernel gives no random bytes, which it does not do once it has booted.
pub fn random() -> u128 {
    let mut bytes = [0_u8; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    assert_eq!(got, Ok(16), "the kernel gives random bytes");
    u128::from_le_bytes(bytes)
}

/// The kernel's boot id; empty where there is none.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|t| t.trim().to_owned())
        .unwrap_or_default()
}
