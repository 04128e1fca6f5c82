//! A tree of topic levels with a value at each node.
//!
//! It serves in both directions: filters are kept and a topic name is asked
//! for (subscriptions), or topic names are kept and a filter is asked for
//! (retained messages).
//!
//! Nodes live in one vector; the children of all nodes in one hash table keyed
//! by (parent, level), see `children`. That costs far less memory than a map in each node. Where
//! only one path goes on from a node, all that is left of it is one node, a tail:
//! `home/17/sensor/temperature` mostly needs one node of its own, not three.
//! Nothing recurses: the depth of a topic is chosen by whoever publishes.

use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;
use smallvec::{SmallVec, smallvec};
use smol_str::SmolStr;

use super::children::Children;
use super::levels_match;

/// A node of a [`Tree`]; valid until the node is pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// A value that says when its node may go.
pub trait Vacant {
    /// Whether nothing is kept here.
    fn is_vacant(&self) -> bool;
}

/// The tree; see the module.
#[derive(Clone, Debug)]
pub struct Tree<V> {
    nodes: Vec<Node<V>>,
    /// Pruned places in `nodes`.
    free: Vec<u32>,
    children: Children,
    hasher: DefaultHashBuilder,
    /// The bytes of all labels.
    text: usize,
}

#[derive(Clone, Debug)]
struct Node<V> {
    /// Its level; all levels that are left, with their slashes, in a tail, which
    /// has no children.
    label: SmolStr,
    parent: u32,
    /// All children are linked in a list, for filters that ask for any.
    first_child: u32,
    next_sibling: u32,
    previous_sibling: u32,
    /// The children `+` and `#`, which each lookup of a topic name asks for.
    plus: u32,
    hash: u32,
    value: V,
}

impl<V: Default> Node<V> {
    fn new() -> Self {
        Self {
            label: SmolStr::default(),
            parent: NONE,
            first_child: NONE,
            next_sibling: NONE,
            previous_sibling: NONE,
            plus: NONE,
            hash: NONE,
            value: V::default(),
        }
    }
}

impl<V: Default> Default for Tree<V> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::new()],
            free: Vec::new(),
            children: Children::default(),
            hasher: DefaultHashBuilder::default(),
            text: 0,
        }
    }
}

impl<V: Default + Vacant> Tree<V> {
    /// Whether there is no node at all.
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// About how many bytes it takes beside what its values refer to.
    pub fn weight(&self) -> usize {
        self.children.len() * (size_of::<Node<V>>() + Children::WEIGHT) + self.text
    }

    /// The node for a topic name or filter, made if it isn't there. A node
    /// that stays vacant must be [pruned](Self::prune).
    pub fn insert(&mut self, path: &str) -> NodeId {
        let (mut node, mut rest) = (ROOT, path);
        loop {
            let (level, below) = split_level(rest);
            let hash = self.hash_of(node, level);
            let Some(child) = self.hashed_child(hash, node, level) else {
                return NodeId(self.add_child(hash, node, rest));
            };
            if self.is_tail(child, level) {
                if self.nodes[child as usize].label == rest {
                    return NodeId(child);
                }
                self.divide(child, rest);
                continue;
            }
            match below {
                None => return NodeId(child),
                Some(below) => (node, rest) = (child, below),
            }
        }
    }

    /// The node for a topic name or filter, if it is there.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let (mut node, mut rest) = (ROOT, path);
        loop {
            let (level, below) = split_level(rest);
            node = self.child(node, level)?;
            if self.is_tail(node, level) {
                return (self.nodes[node as usize].label == rest).then_some(NodeId(node));
            }
            match below {
                None => return Some(NodeId(node)),
                Some(below) => rest = below,
            }
        }
    }

    /// The value at a node.
    pub fn value(&self, node: NodeId) -> &V {
        &self.nodes[node.0 as usize].value
    }

    /// The value at a node, to change it. Prune the node if it became vacant.
    pub fn value_mut(&mut self, node: NodeId) -> &mut V {
        &mut self.nodes[node.0 as usize].value
    }

    /// The topic name or filter of a node.
    pub fn path(&self, node: NodeId) -> String {
        let mut levels = Vec::new();
        let mut current = node.0;
        while current != ROOT {
            levels.push(&*self.nodes[current as usize].label);
            current = self.nodes[current as usize].parent;
        }
        levels.reverse();
        levels.join("/")
    }

    /// Removes the node if it is vacant and has no children, and then its
    /// parents in the same way.
    pub fn prune(&mut self, node: NodeId) {
        let mut current = node.0;
        while current != ROOT {
            let Node {
                value,
                first_child,
                parent,
                ..
            } = &self.nodes[current as usize];
            if !value.is_vacant() || *first_child != NONE {
                return;
            }
            let parent = *parent;
            self.remove(current);
            current = parent;
        }
    }

    /// Calls `found` for each node whose filter matches the topic name (4.7).
    pub fn matching_filters(&self, topic: &str, mut found: impl FnMut(NodeId, &V)) {
        if self.is_empty() {
            return;
        }
        let wildcards_at_root = !topic.starts_with('$');
        // A node, and what is left of the topic name below it. Few filters match
        // a topic, so that this seldom needs the heap.
        let mut stack: SmallVec<[_; 4]> = smallvec![(ROOT, Some(topic))];
        while let Some((id, rest)) = stack.pop() {
            let node = &self.nodes[id as usize];
            let wildcards = id != ROOT || wildcards_at_root;
            if wildcards && node.hash != NONE {
                found(NodeId(node.hash), &self.nodes[node.hash as usize].value);
            }
            let Some(rest) = rest else {
                found(NodeId(id), &node.value);
                continue;
            };
            let (level, below) = split_level(rest);
            let plus = (wildcards && node.plus != NONE).then_some((node.plus, "+"));
            let named = self.child(id, level).map(|child| (child, level));
            for (child, level) in plus.into_iter().chain(named) {
                if !self.is_tail(child, level) {
                    stack.push((child, below));
                } else if levels_match(&self.nodes[child as usize].label, rest) {
                    found(NodeId(child), &self.nodes[child as usize].value);
                }
            }
        }
    }

    /// Calls `found` for each node whose topic name matches the filter, as
    /// long as it returns true.
    pub fn matching_names(&self, filter: &str, mut found: impl FnMut(NodeId, &V) -> bool) {
        // A node, and what is left of the filter below it.
        let mut stack = vec![(ROOT, Some(filter))];
        while let Some((id, rest)) = stack.pop() {
            let Some(rest) = rest else {
                if !found(NodeId(id), &self.nodes[id as usize].value) {
                    return;
                }
                continue;
            };
            let (level, below) = split_level(rest);
            let enter = |child: u32| {
                let label = &self.nodes[child as usize].label;
                if label.contains('/') {
                    levels_match(rest, label).then_some((child, None))
                } else {
                    Some((child, below))
                }
            };
            match level {
                // '#' matches the parent level too, and all levels below.
                "#" => {
                    if id != ROOT && !found(NodeId(id), &self.nodes[id as usize].value) {
                        return;
                    }
                    stack.extend(self.children(id).map(|child| (child, Some("#"))));
                }
                "+" => stack.extend(self.children(id).filter_map(enter)),
                _ => stack.extend(self.child(id, level).and_then(enter)),
            }
        }
    }

    /// The children of a node that wildcards reach: not topics that begin with
    /// '$' (4.7.2).
    fn children(&self, id: u32) -> impl Iterator<Item = u32> {
        let node = |id: u32| self.nodes.get(id as usize);
        let mut next = self.nodes[id as usize].first_child;
        let all = std::iter::from_fn(move || {
            let child = next;
            next = node(child)?.next_sibling;
            Some(child)
        });
        all.filter(move |&child| id != ROOT || !self.nodes[child as usize].label.starts_with('$'))
    }

    /// Calls `found` for every node that isn't vacant.
    pub fn for_each(&self, mut found: impl FnMut(NodeId, &V)) {
        let mut stack = vec![ROOT];
        while let Some(id) = stack.pop() {
            let node = &self.nodes[id as usize];
            if !node.value.is_vacant() {
                found(NodeId(id), &node.value);
            }
            let mut child = node.first_child;
            while child != NONE {
                stack.push(child);
                child = self.nodes[child as usize].next_sibling;
            }
        }
    }

    fn hash_of(&self, parent: u32, level: &str) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u32(parent);
        hasher.write(level.as_bytes());
        hasher.finish() as u32
    }

    fn child(&self, parent: u32, level: &str) -> Option<u32> {
        self.hashed_child(self.hash_of(parent, level), parent, level)
    }

    fn hashed_child(&self, hash: u32, parent: u32, level: &str) -> Option<u32> {
        self.children.find(hash, |id| {
            let node = &self.nodes[id as usize];
            node.parent == parent && begins_with_level(&node.label, level)
        })
    }

    /// Whether a node that is known to begin with that level has more of them.
    fn is_tail(&self, id: u32, level: &str) -> bool {
        self.nodes[id as usize].label.len() > level.len()
    }

    fn add_child(&mut self, hash: u32, parent: u32, label: &str) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::new());
            self.nodes.len() as u32 - 1
        });
        self.attach(id, hash, parent, label);
        id
    }

    /// Makes nodes of the levels that a tail has in common with another path,
    /// so that what differs can stand side by side. The tail stays the node
    /// that it was; what is left of it is below the others.
    fn divide(&mut self, tail: u32, path: &str) {
        let mut parent = self.nodes[tail as usize].parent;
        let label = self.detach(tail);
        let (mut left, mut path) = (&*label, Some(path));
        while let (level, Some(below)) = split_level(left)
            && let Some((other, rest)) = path.map(split_level)
            && level == other
        {
            parent = self.add_child(self.hash_of(parent, level), parent, level);
            (left, path) = (below, rest);
        }
        let hash = self.hash_of(parent, split_level(left).0);
        self.attach(tail, hash, parent, left);
    }

    /// `hash`: of the parent and the first level.
    fn attach(&mut self, id: u32, hash: u32, parent: u32, label: &str) {
        self.text += label.len();
        let parent_node = &mut self.nodes[parent as usize];
        let sibling = std::mem::replace(&mut parent_node.first_child, id);
        match split_level(label).0 {
            "+" => parent_node.plus = id,
            "#" => parent_node.hash = id,
            _ => {}
        }
        if sibling != NONE {
            self.nodes[sibling as usize].previous_sibling = id;
        }
        let node = &mut self.nodes[id as usize];
        (node.label, node.parent) = (label.into(), parent);
        (node.previous_sibling, node.next_sibling) = (NONE, sibling);
        self.children.insert(hash, id);
    }

    /// Takes a node from its place. Returns its label.
    fn detach(&mut self, id: u32) -> SmolStr {
        let node = &mut self.nodes[id as usize];
        let label = std::mem::take(&mut node.label);
        let (parent, previous, next) = (node.parent, node.previous_sibling, node.next_sibling);
        let (level, _) = split_level(&label);
        self.children.remove(self.hash_of(parent, level), id);
        self.text -= label.len();
        if next != NONE {
            self.nodes[next as usize].previous_sibling = previous;
        }
        let parent = &mut self.nodes[parent as usize];
        match level {
            "+" => parent.plus = NONE,
            "#" => parent.hash = NONE,
            _ => {}
        }
        if previous == NONE {
            parent.first_child = next;
        } else {
            self.nodes[previous as usize].next_sibling = next;
        }
        label
    }

    fn remove(&mut self, id: u32) {
        self.detach(id);
        self.nodes[id as usize] = Node::new();
        self.free.push(id);
    }
}

/// The first level, and what follows it: `None` where it was the last.
fn split_level(path: &str) -> (&str, Option<&str>) {
    // Levels are short: a search that prepares itself takes longer.
    match path.bytes().position(|byte| byte == b'/') {
        Some(end) => (&path[..end], Some(&path[end + 1..])),
        None => (path, None),
    }
}

/// Whether that is the first level, without looking for where it ends.
fn begins_with_level(path: &str, level: &str) -> bool {
    let end = path.as_bytes().get(level.len());
    end.is_none_or(|byte| *byte == b'/') && path.starts_with(level)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{is_valid_filter, is_valid_name, matches, tests::CASES};
    use super::*;

    #[derive(Debug, Default)]
    struct Mark(bool);

    impl Vacant for Mark {
        fn is_vacant(&self) -> bool {
            !self.0
        }
    }

    fn tree(paths: &[&str]) -> Tree<Mark> {
        let mut tree: Tree<Mark> = Tree::default();
        for path in paths {
            let node = tree.insert(path);
            tree.value_mut(node).0 = true;
        }
        tree
    }

    fn filters(tree: &Tree<Mark>, topic: &str) -> Vec<String> {
        let mut found = Vec::new();
        tree.matching_filters(topic, |node, mark| {
            if mark.0 {
                found.push(tree.path(node));
            }
        });
        found.sort();
        found
    }

    fn names(tree: &Tree<Mark>, filter: &str) -> Vec<String> {
        let mut found = Vec::new();
        tree.matching_names(filter, |node, mark| {
            if mark.0 {
                found.push(tree.path(node));
            }
            true
        });
        found.sort();
        found
    }

    #[test]
    fn both_directions_agree_with_plain_matching() {
        let all_filters: Vec<_> = CASES.iter().map(|case| case.0).collect();
        let all_topics: Vec<_> = CASES
            .iter()
            .map(|case| case.1)
            .filter(|t| !t.is_empty())
            .collect();
        let by_filter = tree(&all_filters);
        let by_topic = tree(&all_topics);
        for topic in &all_topics {
            let mut expected: Vec<_> = all_filters
                .iter()
                .filter(|f| matches(f, topic))
                .map(ToString::to_string)
                .collect();
            expected.sort();
            expected.dedup();
            assert_eq!(filters(&by_filter, topic), expected, "{topic}");
        }
        for filter in &all_filters {
            let mut expected: Vec<_> = all_topics
                .iter()
                .filter(|t| matches(filter, t))
                .map(ToString::to_string)
                .collect();
            expected.sort();
            expected.dedup();
            assert_eq!(names(&by_topic, filter), expected, "{filter}");
        }
    }

    #[test]
    fn pruning_leaves_nothing_behind() {
        let paths = ["a/b/c", "a/b", "a/+", "a/#", "x"];
        let mut tree = tree(&paths);
        for path in paths {
            let node = tree.find(path).unwrap();
            tree.value_mut(node).0 = false;
            tree.prune(node);
            assert!(filters(&tree, path).is_empty() || path != "x");
        }
        assert!(tree.is_empty());
        assert_eq!(
            tree.nodes.len(),
            tree.free.len() + 1,
            "only the root is in use"
        );
        let node = tree.insert("a/b/c");
        assert_eq!(tree.path(node), "a/b/c", "freed places serve again");
    }

    /// All valid paths of up to three of these levels.
    fn many_paths() -> Vec<String> {
        let mut paths = vec![String::new()];
        for _ in 0..3 {
            for path in paths.clone() {
                for level in ["a", "b", "ab", "", "$c", "+", "#"] {
                    let slash = if path.is_empty() { "" } else { "/" };
                    paths.push(format!("{path}{slash}{level}"));
                }
            }
        }
        paths.retain(|path| is_valid_filter(path));
        paths.sort();
        paths.dedup();
        paths
    }

    /// Paths come and go, few at first and in the end, many in between; what is
    /// found is what a list and [`matches`] say.
    fn agrees_with_a_list(kept: &[&str], asked: &[&str], of_names: bool) {
        let (mut tree, mut list) = (Tree::<Mark>::default(), BTreeMap::new());
        let mut random = 1u64;
        let mut pick = |from: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) as usize % from
        };
        for step in 0..6000 {
            let path = kept[pick(kept.len())];
            let known = tree.find(path).filter(|node| tree.value(*node).0);
            assert_eq!(known, list.get(path).copied());
            if pick(6000) > step {
                let node = tree.insert(path);
                tree.value_mut(node).0 = true;
                list.insert(path, node);
            } else if let Some(node) = list.remove(path) {
                tree.value_mut(node).0 = false;
                tree.prune(node);
            }
            let asked = asked[pick(asked.len())];
            let (found, expected): (_, Vec<_>) = if of_names {
                let matching = list.keys().filter(|name| matches(asked, name));
                (names(&tree, asked), matching.collect())
            } else {
                let matching = list.keys().filter(|filter| matches(filter, asked));
                (filters(&tree, asked), matching.collect())
            };
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{asked}");
        }
        for (path, node) in list {
            assert_eq!(tree.path(node), path, "a node stays what it is");
            tree.value_mut(node).0 = false;
            tree.prune(node);
        }
        assert!(tree.is_empty());
        assert_eq!((tree.text, tree.nodes.len()), (0, tree.free.len() + 1));
    }

    #[test]
    fn paths_that_come_and_go_are_found_as_in_a_list() {
        let all = many_paths();
        let paths: Vec<_> = all.iter().map(String::as_str).collect();
        let topics: Vec<_> = paths.iter().copied().filter(|p| is_valid_name(p)).collect();
        agrees_with_a_list(&paths, &topics, false);
        agrees_with_a_list(&topics, &paths, true);
    }

    #[test]
    fn what_is_left_of_a_path_is_one_node() {
        let mut tree = tree(&["home/17/sensor/temperature", "home/18/sensor/temperature"]);
        assert_eq!(tree.nodes.len(), 4, "the root, home, and a tail each");
        let node = tree.insert("home/17/sensor/humidity");
        assert_eq!(tree.nodes.len(), 7);
        tree.prune(node);
        let left = ["home/17/sensor/temperature", "home/18/sensor/temperature"];
        assert_eq!(names(&tree, "#"), left);
        assert_eq!(names(&tree, "home/+/sensor/+"), left);
    }

    #[test]
    fn a_parent_with_children_stays() {
        let mut tree = tree(&["a", "a/b"]);
        let parent = tree.find("a").unwrap();
        tree.value_mut(parent).0 = false;
        tree.prune(parent);
        assert_eq!(filters(&tree, "a/b"), ["a/b"]);
    }

    #[test]
    fn very_deep_topics_need_no_stack() {
        let deep = vec!["a"; 30_000].join("/");
        let tree = tree(&[&deep, "#", "+/#"]);
        assert_eq!(filters(&tree, &deep).len(), 3);
        assert_eq!(names(&tree, "#").len(), 3);
        let mut tree = tree;
        let other = tree.insert(&format!("{deep}b"));
        tree.value_mut(other).0 = true;
        assert_eq!(names(&tree, "#").len(), 4);
    }
}
