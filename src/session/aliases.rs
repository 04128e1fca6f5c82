//! Topic aliases (MQTT 5, 3.3.2.3.4): each direction of a connection has its
//! own, and they end with it.

use std::collections::HashMap;

/// The aliases that the peer has set.
#[derive(Debug, Default)]
pub struct Received {
    topics: Vec<Box<str>>,
}

impl Received {
    /// Sets `alias` (1 to `maximum`) to a topic name.
    ///
    /// False: the alias is 0 or above `maximum` (0x94).
    pub fn set(&mut self, alias: u16, topic: &str, maximum: u16) -> bool {
        if alias == 0 || alias > maximum {
            return false;
        }
        let index = usize::from(alias - 1);
        if self.topics.len() <= index {
            self.topics.resize(index + 1, Box::default());
        }
        if &*self.topics[index] != topic {
            self.topics[index] = topic.into();
        }
        true
    }

    /// The topic name that `alias` stands for.
    pub fn get(&self, alias: u16) -> Option<&str> {
        let topic = self.topics.get(usize::from(alias).checked_sub(1)?)?;
        (!topic.is_empty()).then_some(&**topic)
    }
}

/// The aliases that we assign: the first topics that come get them, and keep
/// them while the connection lasts.
#[derive(Debug, Default)]
pub struct Assigned {
    by_topic: HashMap<Box<str>, u16>,
    maximum: u16,
}

/// How a topic goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// No alias is left: the topic name alone.
    None,
    /// The peer learns the alias now: topic name and alias.
    New(u16),
    /// The peer knows the alias: it stands for the topic name.
    Known(u16),
}

impl Assigned {
    /// None assigned yet, at most `maximum`.
    pub fn new(maximum: u16) -> Self {
        Self {
            by_topic: HashMap::new(),
            maximum,
        }
    }

    /// Whether aliases are in use at all.
    pub fn is_enabled(&self) -> bool {
        self.maximum > 0
    }

    /// The alias for a topic, assigned now if there is room. After this the
    /// packet has to be sent, or the peer never learns a new alias.
    pub fn assign(&mut self, topic: &str) -> Alias {
        if let Some(&alias) = self.by_topic.get(topic) {
            return Alias::Known(alias);
        }
        if self.by_topic.len() >= usize::from(self.maximum) {
            return Alias::None;
        }
        let alias = self.by_topic.len() as u16 + 1;
        self.by_topic.insert(topic.into(), alias);
        Alias::New(alias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_aliases_stay_within_the_maximum() {
        let mut aliases = Received::default();
        assert!(!aliases.set(0, "a", 10));
        assert!(!aliases.set(11, "a", 10));
        assert!(aliases.set(10, "a", 10));
        assert_eq!(aliases.get(10), Some("a"));
        assert_eq!(aliases.get(9), None, "never set");
        assert_eq!(aliases.get(0), None);
        assert!(aliases.set(10, "b", 10));
        assert_eq!(aliases.get(10), Some("b"));
    }

    #[test]
    fn the_first_topics_get_aliases() {
        let mut aliases = Assigned::new(1);
        assert_eq!(aliases.assign("a"), Alias::New(1));
        assert_eq!(aliases.assign("a"), Alias::Known(1));
        assert_eq!(aliases.assign("b"), Alias::None);
        assert_eq!(Assigned::new(0).assign("a"), Alias::None);
    }
}
