//! The words that definitions use for closed sets: one table each, read by decoder, schema and JSON.

use super::document::Rejection;
use crate::calendar::CalendarMode;
use crate::cron::Dialect;
use crate::job::{OnLost, Overlap};
use crate::schedule::{DstPolicy, Pace};
use crate::trigger::{CatchUpPolicy, UpstreamOn};
use serde::{Deserialize, Deserializer, Serializer};

/// A closed set with a word for each member.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every member with its word, in the order in which they are shown.
    const WORDS: &'static [(&'static str, Self)];

    /// The member's word.
    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, member)| *member == self)
            .map(|(word, _)| *word)
            .expect("every member has a word: a test walks them")
    }

    /// The member of this word.
    fn of(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, member)| *member)
    }
}

/// The words of a set, for the table of keys.
pub(crate) fn words<T: Choice>() -> Vec<&'static str> {
    T::WORDS.iter().map(|(word, _)| *word).collect()
}

impl Choice for Overlap {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("skip", Self::Skip),
        ("queue-one", Self::QueueOne),
        ("queue-all", Self::QueueAll),
        ("cancel-running", Self::CancelRunning),
        ("allow", Self::Allow),
    ];
}

impl Choice for OnLost {
    const WORDS: &'static [(&'static str, Self)] =
        &[("retry", Self::Retry), ("hold", Self::Hold), ("fail", Self::Fail)];
}

impl Choice for Pace {
    const WORDS: &'static [(&'static str, Self)] =
        &[("fixed-rate", Self::FixedRate), ("fixed-delay", Self::FixedDelay)];
}

impl Choice for CatchUpPolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("latest", Self::Latest), ("all", Self::All)];
}

impl Choice for UpstreamOn {
    const WORDS: &'static [(&'static str, Self)] =
        &[("success", Self::Success), ("failure", Self::Failure), ("any", Self::Any)];
}

impl Choice for DstPolicy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("debian", Self::Debian),
        ("skip", Self::Skip),
        ("first", Self::First),
        ("last", Self::Last),
        ("both", Self::Both),
    ];
}

impl Choice for Dialect {
    const WORDS: &'static [(&'static str, Self)] =
        &[("standard", Self::Standard), ("quartz", Self::Quartz), ("crontab", Self::Crontab)];
}

impl Choice for CalendarMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("only", Self::Only), ("except", Self::Except), ("next-business-day", Self::NextBusinessDay)];
}

impl Choice for Rejection {
    const WORDS: &'static [(&'static str, Self)] =
        &[("reject", Self::Reject), ("caller-waits", Self::CallerWaits), ("drop-oldest", Self::DropOldest)];
}

/// For `#[serde(with = "choice")]`.
pub(crate) fn serialize<T: Choice, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(value.word())
}

/// For `#[serde(with = "choice")]`.
pub(crate) fn deserialize<'de, T: Choice, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let word = String::deserialize(from)?;
    T::of(&word).ok_or_else(|| {
        let known: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
        serde::de::Error::custom(format!("{word:?} is none of {}", known.join(", ")))
    })
}
