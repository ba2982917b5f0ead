//! The clock: the one module that asks what time it is, and where random identities come from.

#![expect(clippy::disallowed_methods, reason = "this is the module that may ask")]

use punctual_core::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// A test's, in microseconds since the epoch; it moves when it is told to.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `at` until it is advanced.
    pub fn manual(at: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(at.as_micros())))
    }

    /// The present instant of the wall clock.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                Timestamp::from_micros(since.map_or(0, punctual_core::time::micros))
            }
            Self::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the system's is left alone.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(micros) = self {
            micros.fetch_add(punctual_core::time::micros(by), Ordering::SeqCst);
        }
    }
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
