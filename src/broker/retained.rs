//! Retained messages (3.3.1.3): the last one of each topic.

use std::sync::Arc;

use super::publication::Publication;
use super::timers::Millis;
use crate::topic::{Tree, Vacant};

impl Vacant for Option<Arc<Publication>> {
    fn is_vacant(&self) -> bool {
        self.is_none()
    }
}

#[derive(Debug, Default)]
pub(super) struct Retained {
    tree: Tree<Option<Arc<Publication>>>,
    count: usize,
    bytes: usize,
}

impl Retained {
    /// Keeps a message in the place of its predecessor.
    pub(super) fn set(&mut self, publication: Arc<Publication>) {
        let node = self.tree.insert(&publication.topic);
        self.bytes += publication.payload.len();
        match self.tree.value_mut(node).replace(publication) {
            Some(old) => self.bytes -= old.payload.len(),
            None => self.count += 1,
        }
    }

    /// Forgets the message of a topic.
    pub(super) fn clear(&mut self, topic: &str) {
        let Some(node) = self.tree.find(topic) else {
            return;
        };
        if let Some(old) = self.tree.value_mut(node).take() {
            self.bytes -= old.payload.len();
            self.count -= 1;
            self.tree.prune(node);
        }
    }

    /// The messages whose topics match a filter. Those that have expired are
    /// forgotten on this occasion.
    pub(super) fn matching(&mut self, filter: &str, now: Millis) -> Vec<Arc<Publication>> {
        let (mut found, mut expired) = (Vec::new(), Vec::new());
        self.tree.matching_names(filter, |_, publication| {
            if let Some(publication) = publication {
                let list = if publication.is_expired(now) {
                    &mut expired
                } else {
                    &mut found
                };
                list.push(Arc::clone(publication));
            }
            true
        });
        self.clear_all(&expired);
        found
    }

    /// Forgets the messages that have expired.
    pub(super) fn clear_expired(&mut self, now: Millis) {
        let mut expired = Vec::new();
        self.tree.for_each(|_, publication| {
            expired.extend(publication.iter().filter(|p| p.is_expired(now)).cloned());
        });
        self.clear_all(&expired);
    }

    fn clear_all(&mut self, publications: &[Arc<Publication>]) {
        for publication in publications {
            self.clear(&publication.topic);
        }
    }

    /// About how many bytes the tree takes beside the messages.
    pub(super) fn weight(&self) -> usize {
        self.tree.weight()
    }

    /// The number of messages and of their payload bytes.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.count, self.bytes)
    }
}
