//! A tree of topic levels with a value at each node.
//!
//! It serves in both directions: filters are kept and a topic name is asked
//! for (subscriptions), or topic names are kept and a filter is asked for
//! (retained messages).
//!
//! Nodes live in one vector; the children of all nodes in one hash table keyed
//! by (parent, level). That costs far less memory than a map in each node.
//! Nothing recurses: the depth of a topic is chosen by whoever publishes.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use smol_str::SmolStr;

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
    children: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The bytes of all levels' names.
    text: usize,
}

#[derive(Clone, Debug)]
struct Node<V> {
    level: SmolStr,
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
    fn new(level: &str, parent: u32) -> Self {
        Self {
            level: level.into(),
            parent,
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
            nodes: vec![Node::new("", NONE)],
            free: Vec::new(),
            children: HashTable::new(),
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
        self.children.len() * (size_of::<Node<V>>() + 2 * size_of::<u32>()) + self.text
    }

    /// The node for a topic name or filter, made if it isn't there. A node
    /// that stays vacant must be [pruned](Self::prune).
    pub fn insert(&mut self, path: &str) -> NodeId {
        let mut node = ROOT;
        for level in path.split('/') {
            node = match self.child(node, level) {
                NONE => self.add_child(node, level),
                child => child,
            };
        }
        NodeId(node)
    }

    /// The node for a topic name or filter, if it is there.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let mut node = ROOT;
        for level in path.split('/') {
            node = self.child(node, level);
            if node == NONE {
                return None;
            }
        }
        Some(NodeId(node))
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
            levels.push(&*self.nodes[current as usize].level);
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
        let wildcards_at_root = !topic.starts_with('$');
        // A node, and what is left of the topic name below it.
        let mut stack = vec![(ROOT, Some(topic))];
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
            let (level, rest) = split_level(rest);
            if wildcards && node.plus != NONE {
                stack.push((node.plus, rest));
            }
            let child = self.child(id, level);
            if child != NONE {
                stack.push((child, rest));
            }
        }
    }

    /// Calls `found` for each node whose topic name matches the filter, as
    /// long as it returns true.
    pub fn matching_names(&self, filter: &str, mut found: impl FnMut(NodeId, &V) -> bool) {
        let mut stack = vec![(ROOT, Some(filter))];
        while let Some((id, rest)) = stack.pop() {
            let Some(rest) = rest else {
                if !found(NodeId(id), &self.nodes[id as usize].value) {
                    return;
                }
                continue;
            };
            let (level, below) = split_level(rest);
            match level {
                // '#' matches the parent level too, and all levels below.
                "#" => {
                    if id != ROOT && !found(NodeId(id), &self.nodes[id as usize].value) {
                        return;
                    }
                    self.push_children(id, Some("#"), &mut stack);
                }
                "+" => self.push_children(id, below, &mut stack),
                _ => {
                    let child = self.child(id, level);
                    if child != NONE {
                        stack.push((child, below));
                    }
                }
            }
        }
    }

    fn push_children<'a>(
        &self,
        id: u32,
        rest: Option<&'a str>,
        stack: &mut Vec<(u32, Option<&'a str>)>,
    ) {
        let mut child = self.nodes[id as usize].first_child;
        while child != NONE {
            let node = &self.nodes[child as usize];
            // Wildcards don't reach topics that begin with '$' (4.7.2).
            if id != ROOT || !node.level.starts_with('$') {
                stack.push((child, rest));
            }
            child = node.next_sibling;
        }
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

    fn hash_of(&self, parent: u32, level: &str) -> u64 {
        self.hasher.hash_one((parent, level))
    }

    fn child(&self, parent: u32, level: &str) -> u32 {
        let found = self.children.find(self.hash_of(parent, level), |&id| {
            let node = &self.nodes[id as usize];
            node.parent == parent && *node.level == *level
        });
        found.copied().unwrap_or(NONE)
    }

    fn add_child(&mut self, parent: u32, level: &str) -> u32 {
        let mut node = Node::new(level, parent);
        let sibling = self.nodes[parent as usize].first_child;
        node.next_sibling = sibling;
        self.text += level.len();
        let id = if let Some(id) = self.free.pop() {
            self.nodes[id as usize] = node;
            id
        } else {
            self.nodes.push(node);
            self.nodes.len() as u32 - 1
        };
        if sibling != NONE {
            self.nodes[sibling as usize].previous_sibling = id;
        }
        let parent_node = &mut self.nodes[parent as usize];
        parent_node.first_child = id;
        match level {
            "+" => parent_node.plus = id,
            "#" => parent_node.hash = id,
            _ => {}
        }
        let hash = self.hash_of(parent, level);
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.children.insert_unique(hash, id, |&id| {
            let node = &nodes[id as usize];
            hasher.hash_one((node.parent, &*node.level))
        });
        id
    }

    fn remove(&mut self, id: u32) {
        let node = std::mem::replace(&mut self.nodes[id as usize], Node::new("", NONE));
        let hash = self.hash_of(node.parent, &node.level);
        if let Ok(entry) = self.children.find_entry(hash, |&candidate| candidate == id) {
            entry.remove();
        }
        self.text -= node.level.len();
        if node.next_sibling != NONE {
            self.nodes[node.next_sibling as usize].previous_sibling = node.previous_sibling;
        }
        let parent = &mut self.nodes[node.parent as usize];
        match &*node.level {
            "+" => parent.plus = NONE,
            "#" => parent.hash = NONE,
            _ => {}
        }
        if node.previous_sibling == NONE {
            parent.first_child = node.next_sibling;
        } else {
            self.nodes[node.previous_sibling as usize].next_sibling = node.next_sibling;
        }
        self.free.push(id);
    }
}

/// The first level, and what follows it: `None` where it was the last.
fn split_level(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((level, rest)) => (level, Some(rest)),
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{matches, tests::CASES};
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
    }
}
