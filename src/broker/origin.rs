//! Stamps by which brokers that are bridged in a ring know what came around.
//!
//! A message on its way to a bridge is stamped once, at the broker where it was
//! published: with that broker's identifier (drawn anew at each start), a number,
//! and a hash of the topic. In MQTT 5 bridges carry the stamp as the last user
//! property of PUBLISH. A broker that gets a stamped message from a bridge drops
//! it, with an acknowledgement as if it was the first, if it is its own on the
//! same topic, or if it has seen the stamp on this topic; else it remembers it
//! and hands the message on with the same stamp. So whatever the ring, or the
//! net, each broker hands out each message once, at the QoS of the way on which
//! it came first. A topic that a bridge maps to another one is another message.
//!
//! A bridge is a connection of a bridge of this broker, or a client of MQTT 5
//! whose CONNECT has the user property [`BRIDGE`]. Nobody else sees the stamp:
//! subscribers get the properties that the publisher sent, and our bridges take
//! it off for brokers whose CONNACK doesn't have that property. If a client makes up
//! the property itself, it travels like any other, and counts for nothing.
//!
//! A retained message is stamped when it is published, or when a bridge first
//! asks for it, so that bridges that come again bring nothing twice.
//!
//! Where this ends:
//! - MQTT 3 has no properties. Bridges that speak it rely on 'no local' alone,
//!   as Mosquitto's do; so does a way through a broker of another kind that
//!   doesn't pass user properties on. (Its own bridges show no [`BRIDGE`]: to them
//!   no stamp is sent.)
//! - A broker remembers the last 65 536 stamps. A message that takes longer
//!   around than so many others is taken for a new one, except by the broker
//!   that it comes from.
//! - A start forgets what was seen. With persistence a broker still knows what
//!   is its own; without, it doesn't.
//! - Bridges that make topics longer each time around make a new message each
//!   time around.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use super::Core;
use super::publication::{MessageProperties, Publication};
#[cfg(doc)]
use crate::codec::BRIDGE;
use crate::codec::{ORIGIN, Properties, Property};
use crate::store::Record;

/// How many stamps are remembered.
const WINDOW: usize = 65_536;

/// The note with the identifiers that this broker had, latest first, and how
/// many of them it keeps.
const NOTE: &str = "origins";
const FORMER: usize = 16;

/// Where a message was published, and which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    origin: u64,
    sequence: u64,
    /// A hash of the topic on which it was published.
    topic: u32,
}

impl Stamp {
    /// The bytes in front of stored properties that say that a stamp follows:
    /// no property begins like that.
    const MARK: u8 = 0;
    const LENGTH: usize = 1 + 8 + 8 + 4;

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let stamp = Self {
            origin: number()?,
            sequence: number()?,
            topic: u32::try_from(number()?).ok()?,
        };
        parts.next().is_none().then_some(stamp)
    }

    /// Appends the user property.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        Property::UserProperty(ORIGIN, &self.to_string()).encode(out);
    }

    /// Properties as they are stored: behind the stamp, if there is one.
    pub(super) fn store(stamp: Option<&Self>, properties: &[u8]) -> bytes::Bytes {
        let Some(stamp) = stamp else {
            return bytes::Bytes::copy_from_slice(properties);
        };
        let mut stored = Vec::with_capacity(Self::LENGTH + properties.len());
        stored.push(Self::MARK);
        stored.extend(stamp.origin.to_be_bytes());
        stored.extend(stamp.sequence.to_be_bytes());
        stored.extend(stamp.topic.to_be_bytes());
        stored.extend_from_slice(properties);
        stored.into()
    }

    /// Takes stored properties apart.
    pub(super) fn restore(stored: &[u8]) -> (Option<Self>, &[u8]) {
        fn array<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
            bytes.first_chunk().copied()
        }
        let stamp = || {
            (*stored.first()? == Self::MARK && stored.len() >= Self::LENGTH).then_some(())?;
            Some(Self {
                origin: u64::from_be_bytes(array(&stored[1..])?),
                sequence: u64::from_be_bytes(array(&stored[9..])?),
                topic: u32::from_be_bytes(array(&stored[17..])?),
            })
        };
        match stamp() {
            Some(stamp) => (Some(stamp), &stored[Self::LENGTH..]),
            None => (None, stored),
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}.{:x}", self.origin, self.sequence, self.topic)
    }
}

impl MessageProperties<'_> {
    /// Takes out the stamp, if the last user property is one.
    pub(super) fn take_stamp(&mut self) -> Option<Stamp> {
        let all = Properties::from_encoded(&self.live);
        let last = all
            .iter()
            .filter(|property| matches!(property, Property::UserProperty(..)))
            .last();
        let Some(Property::UserProperty(ORIGIN, text)) = last else {
            return None;
        };
        let stamp = Stamp::parse(text)?;
        self.live = without_last(&self.live).into();
        self.kept = without_last(&self.kept).into();
        Some(stamp)
    }
}

/// Encoded properties without the last user property.
fn without_last(encoded: &[u8]) -> Vec<u8> {
    let all = Properties::from_encoded(encoded);
    let is_user = |property: &Property<'_>| matches!(property, Property::UserProperty(..));
    let mut left = all.iter().filter(is_user).count();
    let mut rest = Vec::with_capacity(encoded.len());
    for property in all.iter() {
        left -= usize::from(is_user(&property));
        if left > 0 || !is_user(&property) {
            property.encode(&mut rest);
        }
    }
    rest
}

/// What a broker knows of stamps.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// This broker's identifier; `None`: it stamps nothing.
    own: Option<u64>,
    /// Those that it had before its last starts, latest first.
    former: Vec<u64>,
    is_noted: bool,
    last: u64,
    /// Stamps that came, with the topic on which they came here.
    seen: HashSet<Seen>,
    /// The same in the order in which they came.
    order: VecDeque<Seen>,
}

/// Origin, number, and a hash of the topic here.
type Seen = (u64, u64, u32);

impl Origins {
    /// A new stamp.
    fn stamp(&mut self, topic: &str) -> Option<Stamp> {
        let origin = self.own?;
        self.last += 1;
        Some(Stamp {
            origin,
            sequence: self.last,
            topic: hash(topic),
        })
    }

    /// Whether a message with this stamp was handed out here on this topic.
    pub(super) fn knows(&self, stamp: &Stamp, topic: &str) -> bool {
        let topic = hash(topic);
        let is_own = self.own == Some(stamp.origin) || self.former.contains(&stamp.origin);
        is_own && stamp.topic == topic || self.seen.contains(&(stamp.origin, stamp.sequence, topic))
    }

    /// Remembers a message that is handed out.
    pub(super) fn remember(&mut self, stamp: &Stamp, topic: &str) {
        let seen = (stamp.origin, stamp.sequence, hash(topic));
        if !self.seen.insert(seen) {
            return;
        }
        self.order.push_back(seen);
        if self.order.len() > WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
    }

    /// Forgets what was seen: what was handed out may have been lost.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
        self.order.clear();
        self.is_noted = false;
    }

    /// Takes up the identifiers that a store kept.
    pub(super) fn restore(&mut self, notes: &std::collections::BTreeMap<String, String>) {
        let Some(text) = notes.get(NOTE) else {
            return;
        };
        let all = text.split(' ').map(|id| u64::from_str_radix(id, 16));
        let all = all.filter_map(Result::ok);
        self.former = all.filter(|id| Some(*id) != self.own).collect();
    }

    /// The identifiers for the store, unless they are there already.
    fn note(&mut self) -> Option<Record> {
        if std::mem::replace(&mut self.is_noted, true) {
            return None;
        }
        let all = self.own.iter().chain(&self.former).take(FORMER);
        let all: Vec<_> = all.map(|id| format!("{id:x}")).collect();
        Some(Record::Note {
            name: NOTE.into(),
            text: all.join(" ").into(),
        })
    }
}

impl Core {
    /// Gives the broker the identifier with which it stamps what goes to
    /// bridges: a random number, drawn anew at each start, before
    /// [`restore`](Self::restore).
    pub fn set_origin(&mut self, id: u64) {
        self.origins.own = Some(id);
    }

    /// A stamp for a message that is published here.
    pub(super) fn new_stamp(&mut self, topic: &str) -> Option<Stamp> {
        let stamp = self.origins.stamp(topic)?;
        if self.peers.journal.is_on()
            && let Some(note) = self.origins.note()
        {
            self.peers.journal.put_lazily(note);
        }
        Some(stamp)
    }

    /// Stamps a retained message that a bridge asks for.
    pub(super) fn stamp_retained(&mut self, publication: &Publication) {
        if publication.stamp().is_none()
            && let Some(stamp) = self.new_stamp(&publication.topic)
        {
            publication.set_stamp(stamp);
        }
    }
}

/// Tells topics apart (FNV-1a). Brokers must agree on it.
fn hash(topic: &str) -> u32 {
    topic.bytes().fold(0x811C_9DC5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        origin: 0xFEDC_BA98_7654_3210,
        sequence: 17,
        topic: 0xABC,
    };

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        assert_eq!(STAMP.to_string(), "fedcba9876543210.11.abc");
        assert_eq!(Stamp::parse(&STAMP.to_string()), Some(STAMP));
        for text in ["", "1.2", "1.2.3.4", "1.2.x", "1.2.100000000", "1..3"] {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_stored_stamp_stands_before_the_properties() {
        let mut encoded = Vec::new();
        Property::ContentType("text").encode(&mut encoded);
        for properties in [&[][..], &encoded] {
            let stored = Stamp::store(Some(&STAMP), properties);
            assert_eq!(Stamp::restore(&stored), (Some(STAMP), properties));
            let stored = Stamp::store(None, properties);
            assert_eq!(Stamp::restore(&stored), (None, properties));
        }
    }

    #[test]
    fn only_the_last_user_property_is_a_stamp() {
        let take = |all: &[Property<'_>]| {
            let properties = all
                .iter()
                .fold(Properties::new(), |properties, p| properties.with(*p));
            let mut sorted = MessageProperties::new(&properties);
            let stamp = sorted.take_stamp();
            let (live, kept) = (sorted.live.into_owned(), sorted.kept.into_owned());
            let count = |bytes: Vec<u8>| Properties::from_encoded(&bytes).iter().count();
            (stamp, count(live), count(kept))
        };
        let text = STAMP.to_string();
        let stamp = Property::UserProperty(ORIGIN, &text);
        let other = Property::UserProperty("a", "b");
        let expiry = Property::MessageExpiryInterval(9);
        assert_eq!(take(&[other, stamp, expiry]), (Some(STAMP), 2, 1));
        assert_eq!(take(&[stamp, stamp]), (Some(STAMP), 1, 1));
        assert_eq!(take(&[stamp, other]), (None, 2, 2));
        let nonsense = Property::UserProperty(ORIGIN, "x");
        assert_eq!(take(&[nonsense]), (None, 1, 1));
        assert_eq!(take(&[]), (None, 0, 0));
    }

    #[test]
    fn the_window_is_bounded_and_forgets_the_oldest() {
        let mut origins = Origins::default();
        let numbered = |sequence| Stamp { sequence, ..STAMP };
        for sequence in 0..=WINDOW as u64 {
            origins.remember(&numbered(sequence), "t");
            origins.remember(&numbered(sequence), "t");
        }
        assert_eq!((origins.seen.len(), origins.order.len()), (WINDOW, WINDOW));
        assert!(!origins.knows(&numbered(0), "t"));
        assert!(origins.knows(&numbered(1), "t"));
        assert!(!origins.knows(&numbered(1), "other"));
        origins.forget();
        assert!(!origins.knows(&numbered(1), "t"));
    }

    #[test]
    fn what_is_its_own_a_broker_knows_for_ever_but_on_another_topic() {
        let mut origins = Origins {
            own: Some(1),
            former: vec![2],
            ..Origins::default()
        };
        let stamp = origins.stamp("t").unwrap();
        let former = Stamp { origin: 2, ..stamp };
        let foreign = Stamp { origin: 3, ..stamp };
        assert!(origins.knows(&stamp, "t") && origins.knows(&former, "t"));
        assert!(!origins.knows(&stamp, "mapped/t"));
        assert!(!origins.knows(&foreign, "t"));
        origins.remember(&stamp, "mapped/t");
        assert!(origins.knows(&stamp, "mapped/t"));
        assert_ne!(origins.stamp("t"), Some(stamp));
    }

    #[test]
    fn the_store_keeps_the_latest_identifiers() {
        let mut notes = std::collections::BTreeMap::new();
        for id in 1..=20 {
            let mut origins = Origins {
                own: Some(id),
                ..Origins::default()
            };
            origins.restore(&notes);
            let Some(Record::Note { name, text }) = origins.note() else {
                panic!("the first time they are noted");
            };
            assert_eq!(origins.note(), None);
            notes.insert(name.into(), text.into());
        }
        assert!(notes[NOTE].starts_with("14 13 12"));
        assert_eq!(notes[NOTE].split(' ').count(), FORMER);
    }
}
