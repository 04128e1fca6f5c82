//! Topic names and filters: two ways to match, and the tree both ways round.

use std::collections::BTreeSet;

use moustique::topic::{self, Subscription, Tree, Vacant};

#[derive(Debug, Default)]
struct Kept(bool);

impl Vacant for Kept {
    fn is_vacant(&self) -> bool {
        !self.0
    }
}

/// Lines that are names, filters or neither.
pub fn topics(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut filters = BTreeSet::new();
    let mut names = BTreeSet::new();
    for line in text.split('\n').take(60) {
        let known = is_filter(line);
        assert_eq!(topic::is_valid_filter(line), known, "{line:?}");
        if let Some(subscription) = Subscription::parse(line) {
            assert!(is_filter(subscription.filter), "{line:?}");
            let whole = match subscription.group {
                None => subscription.filter.to_owned(),
                Some(group) => format!("$share/{group}/{}", subscription.filter),
            };
            assert_eq!(whole, line);
            filters.insert(subscription.filter);
        }
        if topic::is_valid_name(line) {
            names.insert(line);
        }
    }
    for filter in &filters {
        for name in &names {
            let expected = matches(filter, name);
            assert_eq!(
                topic::matches(filter, name),
                expected,
                "{filter:?} {name:?}"
            );
        }
    }
    // All there, a half gone, the half back, the other half gone: pruning and
    // reuse of places must disturb nothing.
    let (mut by_filter, mut by_name) = (Tree::default(), Tree::default());
    keep(&mut by_filter, &filters, true);
    keep(&mut by_name, &names, true);
    agree(&by_filter, &by_name, &filters, &names);
    for parity in [0, 1] {
        let (gone_filters, filters_left) = halves(&filters, parity);
        let (gone_names, names_left) = halves(&names, parity);
        keep(&mut by_filter, &gone_filters, false);
        keep(&mut by_name, &gone_names, false);
        agree(&by_filter, &by_name, &filters_left, &names_left);
        keep(&mut by_filter, &gone_filters, true);
        keep(&mut by_name, &gone_names, true);
    }
    agree(&by_filter, &by_name, &filters, &names);
    keep(&mut by_filter, &filters, false);
    by_filter.for_each(|node, _| panic!("{:?} is left", by_filter.path(node)));
    assert!(
        filters
            .iter()
            .all(|filter| by_filter.find(filter).is_none())
    );
}

/// The words of 4.7.1 and 4.7.3, as plainly as can be.
fn is_filter(text: &str) -> bool {
    let levels: Vec<_> = text.split('/').collect();
    let last = levels.len() - 1;
    !text.is_empty()
        && text.len() <= 65_535
        && !text.contains('\0')
        && levels.iter().enumerate().all(|(index, level)| {
            !level.contains(['+', '#']) || *level == "+" || *level == "#" && index == last
        })
}

/// The words of 4.7.1 and 4.7.2, one level after the other.
fn matches(filter: &str, name: &str) -> bool {
    fn levels(filter: &[&str], name: &[&str]) -> bool {
        match (filter, name) {
            (["#"], _) | ([], []) => true,
            ([first, filter @ ..], [level, name @ ..]) => {
                (*first == "+" || first == level) && levels(filter, name)
            }
            _ => false,
        }
    }
    let filter: Vec<_> = filter.split('/').collect();
    let name: Vec<_> = name.split('/').collect();
    // Recursion is as deep as the input is long; a test may do that.
    if filter.len() > 1000 || name.len() > 1000 {
        return topic::matches(&filter.join("/"), &name.join("/"));
    }
    !(name[0].starts_with('$') && matches!(filter[0], "+" | "#")) && levels(&filter, &name)
}

fn keep(tree: &mut Tree<Kept>, paths: &BTreeSet<&str>, kept: bool) {
    for path in paths {
        let node = tree.insert(path);
        assert_eq!(tree.find(path), Some(node));
        assert_eq!(tree.path(node), *path);
        tree.value_mut(node).0 = kept;
        if !kept {
            tree.prune(node);
        }
    }
}

fn halves<'a>(all: &BTreeSet<&'a str>, parity: usize) -> (BTreeSet<&'a str>, BTreeSet<&'a str>) {
    let numbered = all.iter().copied().enumerate();
    let (these, those): (Vec<_>, Vec<_>) = numbered.partition(|(i, _)| i % 2 == parity);
    let strip = |list: Vec<(usize, &'a str)>| list.into_iter().map(|(_, path)| path).collect();
    (strip(these), strip(those))
}

/// Both trees find exactly what plain matching finds, each once.
fn agree(
    by_filter: &Tree<Kept>,
    by_name: &Tree<Kept>,
    filters: &BTreeSet<&str>,
    names: &BTreeSet<&str>,
) {
    for name in names {
        let expected = filters.iter().filter(|filter| matches(filter, name));
        let mut found = Vec::new();
        by_filter.matching_filters(name, |node, kept| {
            if kept.0 {
                found.push(by_filter.path(node));
            }
        });
        found.sort();
        assert!(found.iter().eq(expected), "{name:?}: {found:?}");
    }
    for filter in filters {
        let expected = names.iter().filter(|name| matches(filter, name));
        let mut found = Vec::new();
        by_name.matching_names(filter, |node, kept| {
            if kept.0 {
                found.push(by_name.path(node));
            }
            true
        });
        found.sort();
        assert!(found.iter().eq(expected), "{filter:?}: {found:?}");
    }
}
