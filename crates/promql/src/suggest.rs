//! "Did you mean": the nearest known word by edit distance.

use std::cmp::Reverse;

/// The nearest of `known` to `word`, if it is near enough to be a slip: at most a third of the letters differ.
/// Among equally near words the one with the longest common beginning wins.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_ascii_lowercase();
    // Long words are no slips of short ones, and the distance costs the product of the lengths.
    if word.len() > 64 {
        return None;
    }
    let limit = (word.chars().count() / 3).max(1);
    let shared = |k: &str| word.bytes().zip(k.bytes()).take_while(|(a, b)| a == b).count();
    known
        .into_iter()
        .map(|k| (distance(&word, k), Reverse(shared(k)), k))
        .filter(|(d, _, _)| *d <= limit)
        .min()
        .map(|(_, _, k)| k)
}

/// Optimal string alignment distance: insertions, deletions, replacements and swaps of neighbours cost one each.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["rate", "irate", "increase", "sum_over_time"];
        assert_eq!(nearest("rat", known), Some("rate"));
        assert_eq!(nearest("incraese", known), Some("increase"));
        assert_eq!(nearest("banana", known), None);
    }
}
