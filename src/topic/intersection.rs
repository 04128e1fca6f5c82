//! What two topic filters have in common.

/// The filter that matches just the topics that both match; `None`: there are
/// none. Both are valid.
pub fn intersection(a: &str, b: &str) -> Option<String> {
    // A wildcard at the beginning leaves out the topics that begin with `$`.
    let begins_wild = |filter: &str| filter.starts_with(['+', '#']);
    if a.starts_with('$') && begins_wild(b) || b.starts_with('$') && begins_wild(a) {
        return None;
    }
    let (mut left, mut right) = (a.split('/'), b.split('/'));
    let mut common = Vec::new();
    loop {
        match (left.next(), right.next()) {
            (None, None) => break,
            // `#` stands for the level above it too.
            (Some("#"), None) | (None, Some("#")) => break,
            (Some("#"), Some(level)) => {
                common.push(level);
                common.extend(right);
                break;
            }
            (Some(level), Some("#")) => {
                common.push(level);
                common.extend(left);
                break;
            }
            (Some(level), Some("+")) | (Some("+"), Some(level)) => common.push(level),
            (Some(a), Some(b)) if a == b => common.push(a),
            _ => return None,
        }
    }
    // Nothing before, nothing behind a single level: no topic is empty.
    Some(common.join("/")).filter(|common| !common.is_empty())
}

/// Topics that stand for all that `filter` matches, as far as filters of at
/// most `levels` levels can tell them apart: one for each number of levels,
/// with a level that no filter names in the place of each wildcard.
///
/// Whatever set of such filters matches all topics of `filter` matches these,
/// and the other way round: there are more level names than filters.
pub fn samples(filter: &str, levels: usize) -> impl Iterator<Item = String> {
    /// No filter contains it, so only wildcards match it.
    const UNNAMED: &str = "\0";
    let mut stem: Vec<_> = filter
        .split('/')
        .map(|level| if level == "+" { UNNAMED } else { level })
        .collect();
    let open = stem.pop_if(|last| *last == "#").is_some();
    if stem.is_empty() {
        stem.push(UNNAMED);
    }
    let longest = if open {
        stem.len().max(levels) + 1
    } else {
        stem.len()
    };
    (stem.len()..=longest)
        .map(move |length| {
            let mut topic = stem.clone();
            topic.resize(length, UNNAMED);
            topic.join("/")
        })
        .filter(|topic| !topic.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{is_valid_filter, matches};
    use proptest::prelude::*;

    #[test]
    fn filters_meet_where_a_topic_matches_both() {
        for (a, b, common) in [
            ("a", "a", Some("a")),
            ("a", "b", None),
            ("a/+", "+/b", Some("a/b")),
            ("a/#", "a", Some("a")),
            ("a/#", "+/+/c", Some("a/+/c")),
            ("a/#", "b/#", None),
            ("#", "+", Some("+")),
            ("#", "a/#", Some("a/#")),
            ("a/b", "a/b/#", Some("a/b")),
            ("a/b", "a", None),
            ("a", "a/+", None),
            ("#", "$SYS/#", None),
            ("+/a", "$SYS/a", None),
            ("$SYS/#", "$SYS/+", Some("$SYS/+")),
            ("/", "+/+", Some("/")),
            ("a/", "a", None),
            ("/#", "+", None),
        ] {
            assert_eq!(intersection(a, b).as_deref(), common, "{a} and {b}");
            assert_eq!(intersection(b, a).as_deref(), common, "{b} and {a}");
        }
    }

    #[test]
    fn samples_are_one_for_each_length() {
        let show = |filter, levels| -> Vec<_> {
            samples(filter, levels)
                .map(|topic| topic.replace('\0', "?"))
                .collect()
        };
        assert_eq!(show("a/+/b", 9), ["a/?/b"]);
        assert_eq!(show("#", 2), ["?", "?/?", "?/?/?"]);
        assert_eq!(show("a/#", 1), ["a", "a/?"]);
        assert_eq!(show("a//#", 1), ["a/", "a//?"]);
        assert_eq!(show("/#", 1), ["/?"]);
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "", "$x"])
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(level(), 1..5)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("a topic is not empty", |topic| !topic.is_empty())
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop_oneof![3 => level(), 2 => Just("+")];
        (prop::collection::vec(level, 0..4), any::<bool>())
            .prop_map(|(mut levels, open)| {
                levels.extend(open.then_some("#"));
                levels.join("/")
            })
            .prop_filter("a filter", |filter| is_valid_filter(filter))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_intersection_matches_what_both_match(a in filter(), b in filter(), topic in topic()) {
            let common = intersection(&a, &b).is_some_and(|common| matches(&common, &topic));
            prop_assert_eq!(common, matches(&a, &topic) && matches(&b, &topic));
        }

        #[test]
        fn what_covers_all_samples_covers_all_topics_and_nothing_else_does(
            covered in filter(),
            cover in prop::collection::vec(filter(), 1..4),
            topic in topic(),
        ) {
            let covers = |topic: &str| cover.iter().any(|filter| matches(filter, topic));
            let levels = cover.iter().map(|filter| filter.split('/').count()).max();
            match samples(&covered, levels.unwrap_or(0)).find(|sample| !covers(sample)) {
                None if matches(&covered, &topic) => {
                    prop_assert!(covers(&topic), "{} of {}", topic, covered);
                }
                None => {}
                Some(sample) => {
                    let real = sample.replace('\0', "z");
                    prop_assert!(matches(&covered, &real) && !covers(&real), "{}", real);
                }
            }
        }
    }
}
