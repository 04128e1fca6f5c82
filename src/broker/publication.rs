//! One message inside the broker, and its way to one session.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use once_cell::race::OnceBox;
use smol_str::SmolStr;

use super::memory::Weight;
use super::origin::Stamp;
use super::timers::Millis;
use crate::codec::{Properties, Property, Publish, QoS};

/// An application message that something keeps: a queue, a flight, the
/// retained messages. Shared by reference among all of them.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) topic: SmolStr,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Nothing in most messages, so that these are smaller.
    pub(super) extras: OnceBox<Extras>,
}

/// What few messages have.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// The properties that travel with the message, encoded, without expiry.
    pub(super) properties: Box<[u8]>,
    /// When the message expires (3.3.2.3.3).
    pub(super) expires: Option<Millis>,
    /// What bridges are told of its origin. A retained message may get it late.
    pub(super) stamp: OnceLock<Stamp>,
    /// What it counts against `memory_limit`, if there is one.
    pub(super) weight: Option<Weight>,
}

impl Extras {
    /// As a message keeps them: not at all if there are none.
    pub(super) fn kept(self) -> OnceBox<Self> {
        let is_empty = self.properties.is_empty()
            && self.expires.is_none()
            && self.stamp.get().is_none()
            && self.weight.is_none();
        if is_empty {
            return OnceBox::new();
        }
        OnceBox::with_value(Box::new(self))
    }
}

impl Publication {
    /// The properties that travel with the message, encoded, without expiry.
    pub(super) fn properties(&self) -> &[u8] {
        self.extras.get().map_or(&[], |extras| &extras.properties)
    }

    /// When the message expires (3.3.2.3.3).
    pub(super) fn expires(&self) -> Option<Millis> {
        self.extras.get()?.expires
    }

    pub(super) fn is_expired(&self, now: Millis) -> bool {
        self.expires().is_some_and(|at| now >= at)
    }

    /// What bridges are told of its origin.
    pub(super) fn stamp(&self) -> Option<&Stamp> {
        self.extras.get()?.stamp.get()
    }

    /// Stamps the message, unless it has a stamp.
    pub(super) fn set_stamp(&self, stamp: Stamp) {
        self.extras
            .get_or_init(Box::default)
            .stamp
            .get_or_init(|| stamp);
    }

    /// The properties of a delivery in MQTT 5: subscription identifiers, what
    /// the publisher said, what remains of the expiry interval, and the stamp
    /// for a bridge.
    pub(super) fn delivery_properties(
        &self,
        ids: &Ids,
        to_bridge: bool,
        now: Millis,
    ) -> Properties<'_> {
        let (properties, expires) = (self.properties(), self.expires());
        let stamp = self.stamp().filter(|_| to_bridge);
        if expires.is_none() && matches!(ids, Ids::None) && stamp.is_none() {
            return Properties::from_encoded(properties);
        }
        let mut encoded = Vec::with_capacity(properties.len() + 10);
        ids.encode(&mut encoded);
        encoded.extend_from_slice(properties);
        if let Some(at) = expires {
            let seconds = at.saturating_sub(now).div_ceil(1000) as u32;
            Property::MessageExpiryInterval(seconds).encode(&mut encoded);
        }
        if let Some(stamp) = stamp {
            stamp.encode(&mut encoded);
        }
        Properties::from_encoded_owned(encoded)
    }
}

/// A publication on its way to one session.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) publication: Arc<Publication>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) ids: Ids,
    /// The shared subscription that it was chosen for.
    pub(super) group: Option<u32>,
    /// Its place in the stored queue of its session; 0: it isn't stored.
    pub(super) sequence: u64,
    /// It is a retained message that a SUBSCRIBE asked for.
    pub(super) replayed: bool,
    /// The size of the read batch that is kept for it, if it is the first
    /// delivery of its queue that is a part of that.
    pub(super) pins: u32,
}

impl Delivery {
    /// What counts against `max_queued_bytes` and `max_inflight_bytes`.
    pub(super) fn size(&self) -> usize {
        self.publication.payload.len()
    }
}

/// Subscription identifiers of a delivery (3.3.2.3.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Ids {
    #[default]
    None,
    One(u32),
    Many(Arc<[u32]>),
}

impl Ids {
    pub(super) fn new(id: Option<u32>) -> Self {
        id.map_or(Self::None, Self::One)
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        *self = match [self.as_slice(), other.as_slice()].concat().as_slice() {
            [] => Self::None,
            [id] => Self::One(*id),
            ids => Self::Many(ids.into()),
        };
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for &id in self.as_slice() {
            Property::SubscriptionIdentifier(id).encode(out);
        }
    }
}

/// The properties of a received message, sorted by what the broker does with
/// them.
#[derive(Debug, Default)]
pub(super) struct MessageProperties<'a> {
    /// What is forwarded at once: all but a topic alias or a will delay.
    pub(super) live: Cow<'a, [u8]>,
    /// What is kept: without the expiry interval, which shrinks.
    pub(super) kept: Cow<'a, [u8]>,
    /// Seconds.
    pub(super) expiry: Option<u32>,
}

impl<'a> MessageProperties<'a> {
    #[inline]
    pub(super) fn new(properties: &'a Properties<'_>) -> Self {
        if properties.is_empty() {
            Self::default()
        } else {
            Self::sorted(properties)
        }
    }

    fn sorted(properties: &'a Properties<'_>) -> Self {
        const TOPIC_ALIAS: u8 = Property::TopicAlias(0).id();
        const WILL_DELAY: u8 = Property::WillDelayInterval(0).id();
        const EXPIRY: u8 = Property::MessageExpiryInterval(0).id();

        Self {
            live: without(properties, &[TOPIC_ALIAS, WILL_DELAY]),
            kept: without(properties, &[TOPIC_ALIAS, WILL_DELAY, EXPIRY]),
            expiry: crate::property!(properties, MessageExpiryInterval),
        }
    }
}

/// The encoded properties without those of certain identifiers.
fn without<'a>(properties: &'a Properties<'_>, ids: &[u8]) -> Cow<'a, [u8]> {
    if !properties
        .iter()
        .any(|property| ids.contains(&property.id()))
    {
        return Cow::Borrowed(properties.as_bytes());
    }
    let mut kept = Vec::with_capacity(properties.as_bytes().len());
    for property in properties
        .iter()
        .filter(|property| !ids.contains(&property.id()))
    {
        property.encode(&mut kept);
    }
    Cow::Owned(kept)
}

/// A PUBLISH in the form that the codec wants it, from what a delivery keeps.
pub(super) fn publish_packet<'a>(
    topic: &'a str,
    delivery: &'a Delivery,
    properties: Properties<'a>,
    packet_id: u16,
    dup: bool,
) -> Publish<'a> {
    Publish {
        dup,
        qos: delivery.qos,
        retain: delivery.retain,
        topic,
        packet_id,
        properties,
        payload: &delivery.publication.payload,
    }
}
