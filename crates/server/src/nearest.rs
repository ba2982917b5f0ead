//! The nearest known name to one that is not known.

/// The name of `known` that `text` was probably meant to be: the nearest by edits, if it is near enough.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = text.chars().take(LENGTH_MAX).flat_map(char::to_lowercase).collect();
    let near = (wanted.len() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(&wanted, name), name))
        .filter(|(edits, _)| *edits <= near)
        .min()
        .map(|(_, name)| name)
}

/// Longer names are compared by their beginning.
const LENGTH_MAX: usize = 128;

/// How many insertions, deletions, replacements and swaps of neighbours lead from one to the other.
fn distance(from: &[char], name: &str) -> usize {
    let to: Vec<char> = name.chars().take(LENGTH_MAX).flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut least = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far() {
        let known = ["backup", "data-sync", "billing"];
        assert_eq!(nearest("bakcup", known), Some("backup"));
        assert_eq!(nearest("Data-Sync", known), Some("data-sync"));
        assert_eq!(nearest("data-snyc", known), Some("data-sync"));
        assert_eq!(nearest("report", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("ab", ["ba"]), Some("ba"));
    }
}
