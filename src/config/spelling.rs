//! Finds the word that was probably meant.

/// The word nearest to `wrong`, if one is near enough to be worth a question.
pub(super) fn nearest<'a>(wrong: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_ascii_lowercase().replace('-', "_");
    let tolerated = 1 + wrong.len() / 5;
    let length = wrong.chars().count();
    words
        // A file that is none of ours may be one word of any length.
        .filter(|word| word.len().abs_diff(length) <= tolerated)
        .map(|word| (distance(&wrong, word), word))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many characters must be put in, taken out, replaced or swapped with
/// their neighbour to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_keyboard_cost_one() {
        assert_eq!(distance("listner", "listener"), 1);
        assert_eq!(distance("lsitener", "listener"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn a_file_of_one_word_is_not_compared_with_all() {
        let wrong = "x".repeat(1_000_000);
        assert_eq!(nearest(&wrong, ["listener", "user"].into_iter()), None);
    }

    #[test]
    fn far_words_are_not_offered() {
        let words = || ["allow_anonymous", "listener", "user"].into_iter();
        assert_eq!(nearest("allow_anonymus", words()), Some("allow_anonymous"));
        assert_eq!(nearest("Allow-Anonymous", words()), Some("allow_anonymous"));
        assert_eq!(nearest("foo", words()), None);
    }
}
