//! A PUBLISH as its receiver understands it.

use std::collections::BTreeMap;

use crate::codec::{Property, Publish, QoS};

/// What the topic aliases of one direction of a connection stand for.
#[derive(Debug, Default)]
pub(super) struct Aliases(BTreeMap<u16, String>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: u16,
    pub(super) dup: bool,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) topic: String,
    pub(super) payload: String,
    /// Subscription identifiers, sorted.
    pub(super) ids: Vec<u32>,
    /// The user property `k: v`.
    pub(super) tagged: bool,
    /// Seconds.
    pub(super) expiry: Option<u32>,
}

impl Seen {
    /// `None`: its alias was never set.
    pub(super) fn new(publish: &Publish<'_>, aliases: &mut Aliases) -> Option<Self> {
        let mut seen = Self {
            id: publish.packet_id,
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            topic: publish.topic.into(),
            payload: String::from_utf8(publish.payload.to_vec()).unwrap(),
            ids: Vec::new(),
            tagged: false,
            expiry: None,
        };
        for property in publish.properties.iter() {
            match property {
                Property::SubscriptionIdentifier(id) => seen.ids.push(id),
                Property::UserProperty("k", "v") => seen.tagged = true,
                Property::MessageExpiryInterval(seconds) => seen.expiry = Some(seconds),
                Property::TopicAlias(alias) if publish.topic.is_empty() => {
                    seen.topic.clone_from(aliases.0.get(&alias)?);
                }
                Property::TopicAlias(alias) => {
                    aliases.0.insert(alias, publish.topic.into());
                }
                other => panic!("{other:?} in {publish:?}"),
            }
        }
        seen.ids.sort_unstable();
        Some(seen)
    }

    /// Enough for a message of an assertion.
    pub(super) fn name(&self) -> String {
        let payload: String = self.payload.chars().take(12).collect();
        format!(
            "'{payload}' of {} at QoS {} (id {}, dup {}, retain {}, {:?}, expiry {:?}, {})",
            self.topic,
            self.qos as u8,
            self.id,
            self.dup,
            self.retain,
            self.ids,
            self.expiry,
            self.tagged
        )
    }
}
