//! What changes from one definition to another, in words: what `apply --dry-run` shows.

use super::definition::JobSpec;
use serde_json::Value;
use std::collections::BTreeMap;

/// A value that is longer is cut where it is shown.
const SHOWN_CHARS_MAX: usize = 80;

/// The differences, one a line, such as `timeout: 10m → 15m`. Empty if the two mean the same.
pub fn spec_diff(old: &JobSpec, new: &JobSpec) -> Vec<String> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    flatten(String::new(), &labelled(old), &mut before);
    flatten(String::new(), &labelled(new), &mut after);
    let paths: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    paths
        .into_iter()
        .filter_map(|path| match (before.get(path), after.get(path)) {
            (Some(old), Some(new)) if old == new => None,
            (Some(old), Some(new)) => Some(format!("{path}: {old} → {new}")),
            (Some(old), None) => Some(format!("{path}: {old} → (nothing)")),
            (None, Some(new)) => Some(format!("{path}: (nothing) → {new}")),
            (None, None) => None,
        })
        .collect()
}

/// The definition as JSON with its triggers by name: a trigger that is moved has not changed.
fn labelled(spec: &JobSpec) -> Value {
    let mut json = spec.to_json();
    let triggers = spec.triggers.iter().filter_map(|trigger| {
        let mut value = serde_json::to_value(trigger).ok()?;
        value.as_object_mut()?.remove("name");
        Some((trigger.identity(), value))
    });
    json["triggers"] = Value::Object(triggers.collect());
    json
}

/// Every leaf by its path. A list of texts is a leaf: shown as a whole, it reads best.
fn flatten(path: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(inner, value, leaves);
            }
        }
        Value::Object(_) => {}
        value => {
            let text =
                value.as_str().map_or_else(|| value.to_string(), |text| text.escape_debug().to_string());
            let shown = match text.char_indices().nth(SHOWN_CHARS_MAX) {
                Some((at, _)) => format!("{}… ({} characters)", &text[..at], text.chars().count()),
                None => text,
            };
            leaves.insert(path, shown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::definition::{RuleSpec, TriggerSpec};
    use super::*;
    use crate::time::Timestamp;
    use std::time::Duration;

    #[test]
    fn differences_are_told_by_key() {
        let old = JobSpec::named("j");
        let mut new = old.clone();
        assert_eq!(spec_diff(&old, &new), Vec::<String>::new());
        new.timeout = Some(Duration::from_secs(600));
        new.grace = Duration::from_secs(30);
        new.triggers.push(TriggerSpec {
            name: Some("noon".to_owned()),
            ..TriggerSpec::new(RuleSpec::At(Timestamp::EPOCH))
        });
        assert_eq!(
            spec_diff(&old, &new),
            [
                "grace: 10s → 30s",
                "timeout: (nothing) → 10m",
                "triggers.noon.rule.at: (nothing) → 1970-01-01T00:00:00Z"
            ]
        );
    }
}
