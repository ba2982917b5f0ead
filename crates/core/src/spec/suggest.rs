//! What to write instead of a word that is not known.

use super::keys::Shape;
use super::table::{DOCUMENT, FOREIGN, JOB};

/// What to tell about a key that is not in its shape.
pub(crate) struct Advice {
    pub(crate) message: String,
    pub(crate) hint: String,
    /// Whether the key is known elsewhere: its indentation is wrong, not its spelling.
    pub(crate) misplaced: bool,
}

pub(crate) fn unknown_key(shape: &'static Shape, key: &str) -> Advice {
    let shown: String = key.chars().take(60).collect();
    let message = format!("unknown key `{shown}`");
    if std::ptr::eq(shape, &DOCUMENT) && JOB.find(key).is_some() && key != "id" {
        return Advice {
            message: format!("`{shown}` is a key of a job, but stands at the top level"),
            hint: "indent it below `job:`, or below a `- name:` of `jobs:`".to_owned(),
            misplaced: true,
        };
    }
    let names = shape.keys().map(|key| key.name);
    if let Some(near) = nearest(key, names.chain(shape.keys().flat_map(|k| k.aliases.iter().copied()))) {
        let known = shape.find(near).map_or(near, |key| key.name);
        return Advice { message, hint: format!("write `{known}`"), misplaced: false };
    }
    if let Some(holder) = holder(shape, key) {
        return Advice {
            message: format!("`{shown}` belongs inside `{holder}`"),
            hint: format!("indent it below `{holder}:`"),
            misplaced: true,
        };
    }
    if let Some((_, hint)) = FOREIGN.iter().find(|(foreign, _)| foreign.eq_ignore_ascii_case(key)) {
        return Advice { message, hint: (*hint).to_owned(), misplaced: false };
    }
    if !std::ptr::eq(shape, &JOB) && JOB.find(key).is_some() {
        return Advice {
            message: format!("`{shown}` is a key of the job, not of this mapping"),
            hint: "indent it as far as the job's `name`".to_owned(),
            misplaced: true,
        };
    }
    let known: Vec<_> = shape.keys().map(|key| key.name).collect();
    let hint = match known.len() {
        0..=17 => format!("known here are {}", known.join(", ")),
        _ => {
            format!("known here are {} and others: see `punctual schema --reference`", known[..12].join(", "))
        }
    };
    Advice { message, hint, misplaced: false }
}

/// The key of `shape` whose mapping has `key`.
fn holder(shape: &'static Shape, key: &str) -> Option<&'static str> {
    let mut holders = shape.keys().filter(|candidate| {
        candidate.kind.shapes().iter().any(|inner| !std::ptr::eq(*inner, &JOB) && inner.find(key).is_some())
    });
    let holder = holders.next()?;
    // What `triggers` takes, `schedule` mostly takes too, and is shorter.
    holders.all(|other| holder.name == "schedule" && other.name == "triggers").then_some(holder.name)
}

/// Words of other schedulers for members of a set.
const FOREIGN_WORDS: [(&str, &str); 8] = [
    ("forbid", "skip"),
    ("replace", "cancel-running"),
    ("parallel", "allow"),
    ("queue", "queue-all"),
    ("wait", "queue-one"),
    ("low", "normal"),
    ("never", "none"),
    ("last", "latest"),
];

/// The word of `known` that a text was most likely meant to be.
pub(crate) fn word<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    let foreign =
        FOREIGN_WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, ours)| *ours);
    known
        .iter()
        .copied()
        .find(|candidate| foreign == Some(*candidate))
        .or_else(|| nearest(text, known.iter().copied()))
}

/// The word of `known` that `word` was most likely meant to be: another case or separator, or few letters off.
pub fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let plain = |w: &str| w.to_lowercase().replace(['-', '_', ' '], "");
    let word: String = plain(word).chars().take(64).collect();
    let allowed = match word.chars().count() {
        0..3 => 0,
        3..6 => 1,
        _ => 2,
    };
    known
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, changes and swaps of neighbours from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut cost = (row[j] + usize::from(a != b)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                cost = cost.min(before[j - 1] + 1);
            }
            next.push(cost);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::super::table::RETRY;
    use super::*;

    #[test]
    fn unknown_keys_get_the_nearest_known() {
        for (key, hint) in [
            ("shedule", "`schedule`"),
            ("time_zone", "`timeZone`"),
            ("tiemout", "`timeout`"),
            ("commnad", "`run`"),
            ("concurrencyPolicy", "overlap"),
            ("maxRetries", "below `retryPolicy:`"),
            ("zzz", "known here are"),
            ("cron", "schedule"),
        ] {
            let advice = unknown_key(&JOB, key);
            assert!(advice.hint.contains(hint), "{key}: {}", advice.hint);
        }
        assert!(unknown_key(&DOCUMENT, "timeout").message.contains("top level"));
        assert!(unknown_key(&RETRY, "timeout").hint.contains("as far as"));
        assert_eq!(nearest("", ["a"].into_iter()), None);
    }
}
