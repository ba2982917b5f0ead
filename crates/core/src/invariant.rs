//! The numbered invariants, and the one check that names them.
//!
//! [`invariant!`](crate::invariant!) panics where debug assertions are on (tests, the simulator); in a release build
//! it counts, and [`broken`] is what the metric `punctual_invariant_broken_total` reads. A count above zero is a bug
//! of Punctual, never of a user. ARCHITECTURE.md says which numbers a test proves today.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! invariants {
    ($($name:ident $id:literal $text:literal;)*) => {
        /// One promise, by its number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $(#[doc = $text] $name,)*
        }

        impl Invariant {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number as documents write it, such as `I-4`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// What it promises, in a sentence.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

invariants! {
    I1 "I-1" "at most one run per occurrence, for ever";
    I2 "I-2" "no phantom, never early";
    I3 "I-3" "the cursor's way from t0 to t1 gives every occurrence in between exactly one disposition";
    I4 "I-4" "cursors never go back; a clock that steps back fires nothing twice, a step forward of more than 5 min is downtime, not a flood";
    I5 "I-5" "every skip is justified";
    I6 "I-6" "at most one live lease per run; fences strictly grow";
    I7 "I-7" "an accepted write carries the current fence";
    I8 "I-8" "a process starts only after its start is durable and inside the local lease";
    I9 "I-9" "attempts of one run do not overlap";
    I10 "I-10" "the state machine is obeyed; finished stays finished";
    I11 "I-11" "at most one success, and it is true";
    I12 "I-12" "an exit that was seen is recorded, across a daemon crash and a database outage";
    I13 "I-13" "attempts are bounded; a crash after the start is lost, and hold and fail never start twice";
    I14 "I-14" "the idempotency key is stable per occurrence";
    I15 "I-15" "the overlap policy holds";
    I16 "I-16" "the limits of pool, queue, node and key hold";
    I17 "I-17" "dependent jobs run in their order";
    I18 "I-18" "no process outlives its timeout or its run by more than 1 s past the grace";
    I19 "I-19" "what was acknowledged survives kill -9";
    I20 "I-20" "if the database comes back older than a node's journal, firing pauses, the journal is merged, possible duplicates are flagged";
    I21 "I-21" "one audit row per change, hash-chained";
    I22 "I-22" "logs are faithful, bounded, and never stall scheduling";
    L1 "L-1" "start delay stays within its published bound";
    L2 "L-2" "a node's death delays new firings by at most 3 s";
    L3 "L-3" "normal service at most 5 s after a heal, without restart";
    L4 "L-4" "every run ends";
    L5 "L-5" "a poisonous job changes the others' p99 by less than 2 times";
    L6 "L-6" "1,000,000 missed occurrences are disposed of in less than 60 s";
    L7 "L-7" "no silent stop";
}

static BROKEN: [AtomicU64; Invariant::ALL.len()] = [const { AtomicU64::new(0) }; Invariant::ALL.len()];

/// Checks an invariant: `invariant!(I4, next > cursor, "trigger {trigger}: {next} after {cursor}")`.
///
/// The condition is evaluated in every build, so it must be cheap and without effect.
#[macro_export]
macro_rules! invariant {
    ($which:ident, $holds:expr, $($detail:tt)+) => {
        if !$holds {
            $crate::invariant::report($crate::invariant::Invariant::$which, format_args!($($detail)+));
        }
    };
}

/// What [`invariant!`](crate::invariant!) does when the condition is false: panics where debug assertions are on,
/// else counts.
///
/// # Panics
/// Where debug assertions are on, always.
#[cold]
pub fn report(which: Invariant, detail: fmt::Arguments<'_>) {
    BROKEN[which as usize].fetch_add(1, Ordering::Relaxed);
    if cfg!(debug_assertions) {
        panic!("invariant {} broken: {detail} ({})", which.id(), which.text());
    }
}

/// How often each invariant was seen broken since this process started; in order, zeros included.
pub fn broken() -> Vec<(Invariant, u64)> {
    let count = |which: &Invariant| BROKEN[*which as usize].load(Ordering::Relaxed);
    Invariant::ALL.iter().map(|which| (*which, count(which))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_follow_each_other() {
        let ids: Vec<&str> = Invariant::ALL.iter().map(|which| which.id()).collect();
        let expected: Vec<String> =
            (1..=22).map(|n| format!("I-{n}")).chain((1..=7).map(|n| format!("L-{n}"))).collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn one_that_holds_is_not_heard_of() {
        invariant!(I2, 1 < 2, "never");
        assert_eq!(broken()[Invariant::I2 as usize], (Invariant::I2, 0));
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "invariant I-22 broken: line 7 (logs are faithful"))]
    fn one_that_is_broken_panics_in_debug_and_counts_in_release() {
        let line = 7;
        invariant!(I22, line < 7, "line {line}");
        assert_eq!(broken()[Invariant::I22 as usize], (Invariant::I22, 1));
    }
}
