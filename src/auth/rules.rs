//! The `topic` rules of one user, found by the topics that they speak of: a long
//! list costs hardly more than a short one.

use std::ops::Deref;

use super::acl::{Access, Grant, Rule};
use crate::topic::{Tree, Vacant};

/// Rules in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    list: Vec<Rule>,
    places: Tree<Places>,
}

/// The places in the list of all rules that have one filter, in order.
#[derive(Debug, Clone, Default)]
struct Places(Vec<usize>);

impl Vacant for Places {
    fn is_vacant(&self) -> bool {
        self.0.is_empty()
    }
}

impl Rules {
    /// Rules from a file, in its order.
    pub(super) fn new(mut list: Vec<Rule>) -> Self {
        in_order(&mut list);
        let mut places = Tree::<Places>::default();
        for (place, rule) in list.iter().enumerate() {
            let node = places.insert(&rule.filter);
            places.value_mut(node).0.push(place);
        }
        Self { list, places }
    }

    /// The first rule that matches the topic and speaks of the access.
    pub(super) fn first(&self, access: Access, topic: &str) -> Option<&Rule> {
        let mut first = self.list.len();
        self.places.matching_filters(topic, |_, Places(places)| {
            let speaking = places.iter().find(|&&place| {
                let rule = &self.list[place];
                rule.grant.speaks_of(access)
            });
            first = speaking.map_or(first, |&place| first.min(place));
        });
        self.list.get(first)
    }
}

impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.list
    }
}

/// Denying rules come first; everything else stays in the order of the file.
pub(super) fn in_order(rules: &mut [Rule]) {
    rules.sort_by_key(|rule| rule.grant != Grant::Deny);
}
