//! Topic filters, as far as access control needs them.

/// Whether `topic` (a topic name) is matched by `filter`: `+` stands for one
/// level, a final `#` for the parent level and everything below it, and
/// neither stands for a first level that begins with `$`.
///
/// ```
/// use moustique::auth::filter::filter_matches;
///
/// assert!(filter_matches("house/+/temperature", "house/kitchen/temperature"));
/// assert!(filter_matches("house/#", "house"));
/// assert!(!filter_matches("#", "$SYS/uptime"));
/// ```
pub fn filter_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let mut filter_levels = filter.split('/');
    let mut topic_levels = topic.split('/');
    loop {
        match (filter_levels.next(), topic_levels.next()) {
            (None, None) | (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Whether `filter` is a well-formed topic filter.
pub fn is_valid_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    if filter.is_empty() || filter.len() > usize::from(u16::MAX) || filter.contains('\0') {
        return false;
    }
    while let Some(level) = levels.next() {
        let valid = match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            _ => !level.contains(['+', '#']),
        };
        if !valid {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_by_levels() {
        for (filter, topic) in [
            ("a", "a"),
            ("a/b", "a/b"),
            ("+/b", "a/b"),
            ("+/+", "/b"),
            ("/+", "/b"),
            ("a/+", "a/"),
            ("#", "a/b/c"),
            ("a/#", "a"),
            ("a/#", "a/"),
            ("a/#", "a/b/c"),
            ("a/+/#", "a/b"),
            ("$SYS/#", "$SYS/x"),
            ("$SYS/+", "$SYS/x"),
            ("a /b", "a /b"),
            ("a/$x", "a/$x"),
            ("a/+", "a/$x"),
        ] {
            assert!(filter_matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("a", "b"),
            ("a", "A"),
            ("a", "a/"),
            ("a/", "a"),
            ("a/b", "a"),
            ("+", "a/b"),
            ("+", "/a"),
            ("a/+", "a"),
            ("a/#", "ab"),
            ("a/+/#", "a"),
            ("#", "$SYS/x"),
            ("+/x", "$SYS/x"),
            ("a /b", "a/b"),
        ] {
            assert!(!filter_matches(filter, topic), "{filter} {topic}");
        }
    }

    #[test]
    fn wildcards_stand_alone_and_the_hash_last() {
        for valid in ["a", "/", "#", "+", "+/#", "a//b", "$share/x", "a b/ c"] {
            assert!(is_valid_filter(valid), "{valid}");
        }
        for invalid in ["", "a#", "#/a", "a/#/b", "a+", "+a/b", " #", "a\0b"] {
            assert!(!is_valid_filter(invalid), "{invalid}");
        }
        assert!(is_valid_filter(&"x".repeat(65535)));
        assert!(!is_valid_filter(&"x".repeat(65536)));
    }
}
