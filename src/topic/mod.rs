//! Topic names and topic filters (4.7): validation, matching, shared
//! subscriptions' names, and the tree that finds one by the other.

mod children;
mod intersection;
mod tree;

pub use intersection::{intersection, samples};
pub use tree::{NodeId, Tree, Vacant};

/// Whether `topic` is a topic name: not empty, no wildcard (4.7.3). The codec
/// has checked the characters.
pub fn is_valid_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.bytes().any(|byte| byte == b'+' || byte == b'#')
}

/// Whether `filter` is a topic filter: `+` and `#` stand alone in their
/// levels, `#` in the last one only (4.7.1), and it fits a packet (4.7.3).
pub fn is_valid_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > usize::from(u16::MAX) || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let alone = level.len() == 1;
        if level.contains('+') && !alone
            || level.contains('#') && !(alone && levels.peek().is_none())
        {
            return false;
        }
    }
    true
}

/// What a SUBSCRIBE may name: a topic filter, or one that a group shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The name of the group in `$share/GROUP/FILTER` (4.8.2).
    pub group: Option<&'a str>,
    /// The topic filter.
    pub filter: &'a str,
}

impl<'a> Subscription<'a> {
    /// Parses and validates. `None`: not a topic filter.
    pub fn parse(text: &'a str) -> Option<Self> {
        let parsed = match text.strip_prefix("$share/") {
            None => Self {
                group: None,
                filter: text,
            },
            Some(rest) => {
                let (group, filter) = rest.split_once('/')?;
                if group.is_empty() || group.contains(['+', '#']) {
                    return None;
                }
                Self {
                    group: Some(group),
                    filter,
                }
            }
        };
        is_valid_filter(parsed.filter).then_some(parsed)
    }
}

/// Whether `filter` matches `topic` (4.7.2). Both are valid.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    levels_match(filter, topic)
}

/// The same for what is left of both behind their first levels, where `$` has
/// no meaning.
fn levels_match(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        if part == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if part == "+" || part == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        for good in [
            "a",
            "/",
            "a//b",
            "+",
            "#",
            "a/+/b",
            "a/#",
            "+/+",
            "/#",
            "maison/salon/température",
        ] {
            assert!(is_valid_filter(good), "{good}");
        }
        for bad in [
            "", "a+", "a/+b", "a#", "#/a", "a/#/b", "ab/+e", " #", "a\0b",
        ] {
            assert!(!is_valid_filter(bad), "{bad}");
        }
        assert!(is_valid_filter(&"x".repeat(65535)));
        assert!(!is_valid_filter(&"x".repeat(65536)));
    }

    #[test]
    fn names_have_no_wildcards() {
        assert!(is_valid_name("a b/$c"));
        assert!(!is_valid_name(""));
        assert!(!is_valid_name("a/+"));
        assert!(!is_valid_name("#"));
    }

    #[test]
    fn shared_subscriptions_have_a_group_and_a_filter() {
        let shared = Subscription {
            group: Some("g"),
            filter: "a/#",
        };
        assert_eq!(Subscription::parse("$share/g/a/#"), Some(shared));
        for bad in [
            "$share/",
            "$share/g",
            "$share/g/",
            "$share//a",
            "$share/g+/a",
            "$share/g/a#",
        ] {
            assert_eq!(Subscription::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn matching_follows_the_specification() {
        for (filter, topic, expected) in CASES {
            assert_eq!(matches(filter, topic), *expected, "{filter} / {topic}");
        }
    }

    pub(super) const CASES: &[(&str, &str, bool)] = &[
        ("maison/+/temp", "maison/salon/temp", true),
        ("maison/+/temp", "maison/salon/hum", false),
        ("maison/+/temp", "jardin/temp", false),
        ("maison/#", "maison", true),
        ("maison/#", "maison/rdc/salon/hum", true),
        ("maison/#", "maisons", false),
        ("#", "a/b", true),
        ("#", "$SYS/broker/version", false),
        ("+/broker/version", "$SYS/broker/version", false),
        ("$SYS/#", "$SYS/broker/version", true),
        ("$SYS/+/version", "$SYS/broker/version", true),
        ("+", "a", true),
        ("+", "", true),
        ("+", "a/b", false),
        ("+/+", "/a", true),
        ("/+", "/a", true),
        ("+", "/a", false),
        ("a/+", "a/", true),
        ("a/+", "a", false),
        ("a/+/#", "a/b", true),
        ("a/+/#", "a", false),
        ("a//b", "a//b", true),
        ("a/b", "A/b", false),
        ("a", "a/", false),
        ("a/", "a", false),
        ("a/#", "a/", true),
        ("+/x", "$SYS/x", false),
        ("$SYS/+", "$SYS/x", true),
        ("a/$x", "a/$x", true),
        ("a/+", "a/$x", true),
        ("a /b", "a /b", true),
        ("a /b", "a/b", false),
    ];
}
