//! Identities. Each has a type of its own, so that one cannot stand where another is meant.

use crate::time::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// A job's number in one store; its name is what users see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub i64);

/// A trigger's number in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerId(pub i64);

/// The number of a job's definition, from 1, growing by one with each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

/// The number of a lease on one run; it only grows, and every write of the lease's holder carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub i64);

/// One process of Punctual: random for each supervisor session, never a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u128);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A run: nominal milliseconds (48 bits) and a hash of job, trigger and key (80 bits).
///
/// Derived, never random: planning one occurrence twice gives the same run. Its text is 26 characters of
/// Crockford's base 32 that sort by nominal time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u128);

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl RunId {
    /// The run of the occurrence `key` of `trigger` (empty for a submitted run) of the job named `job`.
    pub fn derive(job: &str, trigger: &str, key: &str, nominal: Timestamp) -> Self {
        let mut hash = Sha256::new();
        for part in [job, trigger, key] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        let mut low = [0_u8; 16];
        low[6..].copy_from_slice(&digest[..10]);
        let millis = u128::from(nominal.as_millis().max(0).cast_unsigned() & 0xFFFF_FFFF_FFFF);
        Self(millis << 80 | u128::from_be_bytes(low))
    }

    /// The nominal time, to the millisecond.
    pub fn nominal_millis(self) -> i64 {
        i64::try_from(self.0 >> 80).expect("48 bits fit in an i64")
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; 26];
        for (place, digit) in text.iter_mut().enumerate() {
            let index = (self.0 >> (5 * (25 - place))) & 31;
            *digit = DIGITS[usize::try_from(index).expect("five bits")];
        }
        f.write_str(std::str::from_utf8(&text).expect("the digits are ASCII"))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}

impl FromStr for RunId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() != 26 {
            return Err(format!("a run id has 26 characters, this has {}", text.len()));
        }
        let mut value = 0_u128;
        for byte in text.bytes() {
            let digit = DIGITS
                .iter()
                .position(|d| *d == byte.to_ascii_lowercase())
                .ok_or_else(|| format!("{:?} is not a digit of a run id", char::from(byte)))?;
            value =
                value.checked_mul(32).ok_or("a run id of 26 characters begins with 0 to 7")? + digit as u128;
        }
        Ok(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_survives_its_text_and_sorts_by_time() {
        let early = RunId::derive("a", "t", "t:1", Timestamp::from_secs(1));
        let late = RunId::derive("a", "t", "t:2", Timestamp::from_secs(2));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<RunId>(), Ok(early));
        assert_eq!(early.nominal_millis(), 1000);
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        let at = Timestamp::EPOCH;
        assert_ne!(RunId::derive("a", "bc", "d", at), RunId::derive("ab", "c", "d", at));
    }
}
