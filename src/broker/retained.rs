//! Retained messages (3.3.1.3): the last one of each topic.

use std::sync::Arc;

use smol_str::SmolStr;

use super::publication::Publication;
use super::session::Source;
use super::timers::Millis;
use crate::topic::{Tree, Vacant};

/// A message that is kept, and who published it; `None`: the broker.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) publication: Arc<Publication>,
    pub(super) source: Option<Arc<Source>>,
}

impl Vacant for Option<Kept> {
    fn is_vacant(&self) -> bool {
        self.is_none()
    }
}

#[derive(Debug, Default)]
pub(super) struct Retained {
    tree: Tree<Option<Kept>>,
    count: usize,
    bytes: usize,
    /// Topics whose messages were found to have expired.
    expired: Vec<SmolStr>,
}

impl Retained {
    /// Keeps a message in the place of its predecessor.
    pub(super) fn set(&mut self, publication: Arc<Publication>, source: Option<Arc<Source>>) {
        let node = self.tree.insert(&publication.topic);
        self.bytes += publication.payload.len();
        let kept = Kept {
            publication,
            source,
        };
        match self.tree.value_mut(node).replace(kept) {
            Some(old) => self.bytes -= old.publication.payload.len(),
            None => self.count += 1,
        }
    }

    /// Forgets the message of a topic. Returns whether there was one.
    pub(super) fn clear(&mut self, topic: &str) -> bool {
        let Some(node) = self.tree.find(topic) else {
            return false;
        };
        let Some(old) = self.tree.value_mut(node).take() else {
            return false;
        };
        self.bytes -= old.publication.payload.len();
        self.count -= 1;
        self.tree.prune(node);
        true
    }

    /// The topics whose messages have expired and were forgotten.
    pub(super) fn take_expired(&mut self) -> Vec<SmolStr> {
        std::mem::take(&mut self.expired)
    }

    /// The messages whose topics match a filter. Those that have expired are
    /// forgotten on this occasion.
    pub(super) fn matching(&mut self, filter: &str, now: Millis) -> Vec<Kept> {
        let (mut found, mut expired) = (Vec::new(), Vec::new());
        self.tree.matching_names(filter, |_, kept| {
            match kept {
                Some(kept) if kept.publication.is_expired(now) => expired.push(kept.clone()),
                Some(kept) => found.push(kept.clone()),
                None => {}
            }
            true
        });
        self.clear_all(&expired);
        found
    }

    /// Forgets the messages that have expired.
    pub(super) fn clear_expired(&mut self, now: Millis) {
        let mut expired = Vec::new();
        self.tree.for_each(|_, kept| {
            let due = |kept: &&Kept| kept.publication.is_expired(now);
            expired.extend(kept.iter().filter(due).cloned());
        });
        self.clear_all(&expired);
    }

    fn clear_all(&mut self, all: &[Kept]) {
        for kept in all {
            self.clear(&kept.publication.topic);
            self.expired.push(kept.publication.topic.clone());
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
