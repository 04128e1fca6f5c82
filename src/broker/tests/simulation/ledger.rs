//! What one session is owed, from the publication of a message until its
//! receiver has acknowledged it. Nothing vanishes without a reason.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::rc::Rc;

use super::model::Who;
use super::seen::{Aliases, Seen};
use crate::broker::Millis;
use crate::broker::publication;
use crate::codec::{Properties, Property, Publish, QoS, Version};

/// A message as it was published.
pub(super) struct Message {
    pub(super) publisher: Who,
    pub(super) topic: String,
    pub(super) payload: String,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) tagged: bool,
    pub(super) expires: Option<Millis>,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload: String = self.payload.chars().take(12).collect();
        write!(f, "'{payload}' of {} at QoS {}", self.topic, self.qos as u8)?;
        write!(f, " by {}, expires {:?}", self.publisher, self.expires)
    }
}

impl Message {
    pub(super) fn is_expired(&self, now: Millis) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// A message on its way to one session.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) message: Rc<Message>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Subscription identifiers, sorted.
    pub(super) ids: Vec<u32>,
    /// The shared group that it belongs to.
    pub(super) group: Option<u32>,
    /// Its place in the order; the same where no order is promised.
    pub(super) number: u64,
    /// It was sent before MQTT 5, where two look alike that differ in properties:
    /// it may be the other one.
    pub(super) blurred: bool,
    /// The event in which it came about.
    pub(super) born: u64,
}

/// A delivery of a shared subscription that some member gets: what it would be
/// for each.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) offers: BTreeMap<Who, Delivery>,
    /// It may have ended with a session that is gone.
    pub(super) may_be_gone: bool,
}

/// A packet of QoS 1 or 2 that was sent and is not acknowledged.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) delivery: Delivery,
    /// The place in the order of sending.
    order: u64,
    /// PUBREL was sent (QoS 2).
    pub(super) released: bool,
    pub(super) heard: bool,
    /// The client has taken it for a message.
    accepted: bool,
}

/// What ends with the connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) version: Version,
    pub(super) window: usize,
    pub(super) byte_window: usize,
    /// It wants reason strings.
    pub(super) wants_reasons: bool,
    /// One and a half times the keep alive; 0: none.
    pub(super) patience: Millis,
    pub(super) heard: Millis,
    /// Its session expiry interval was 0.
    pub(super) expiry_fixed: bool,
    /// The packets that the broker owes as answers, in order.
    pub(super) answers: VecDeque<String>,
    /// Identifiers of QoS 2 that came and are not released.
    pub(super) unreleased: BTreeSet<u16>,
    /// Topic aliases from the client and to it.
    pub(super) incoming: Aliases,
    pub(super) outgoing: Aliases,
    /// What is to be sent again, in order.
    resend: VecDeque<u16>,
    /// The number of what was last sent for the first time, at QoS 0 and above.
    last: [u64; 2],
    pub(super) over: bool,
    /// The reason of the last DISCONNECT doesn't matter.
    pub(super) any_last_word: bool,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) waiting: VecDeque<Delivery>,
    /// What was sent or has vanished in the event that is looked at.
    pub(super) loose: VecDeque<Delivery>,
    /// What the broker holds, from where is yet to be seen.
    strange: VecDeque<publication::Delivery>,
    pub(super) flying: BTreeMap<u16, Flight>,
    pub(super) max_packet_size: usize,
    pub(super) version: Option<Version>,
    sent: u64,
    /// How many have left the queue since the last look.
    pub(super) left: usize,
}

impl Link {
    pub(super) fn new(version: Version, now: Millis) -> Self {
        Self {
            version,
            window: 0,
            byte_window: usize::MAX,
            wants_reasons: true,
            patience: 0,
            heard: now,
            expiry_fixed: false,
            answers: VecDeque::new(),
            unreleased: BTreeSet::new(),
            incoming: Aliases::default(),
            outgoing: Aliases::default(),
            resend: VecDeque::new(),
            last: [0; 2],
            over: false,
            any_last_word: false,
        }
    }
}

impl Delivery {
    /// Whether that is what the client has to see, but for its properties.
    fn is_like(&self, seen: &Seen) -> bool {
        seen.qos == self.qos
            && seen.retain == self.retain
            && seen.topic == self.message.topic
            && seen.payload == self.message.payload
    }

    /// Whether that is what the client has to see.
    fn is(&self, seen: &Seen, version: Version, now: Millis) -> bool {
        let message = &self.message;
        let said = match version {
            Version::V5 => {
                let published = seen.tagged == message.tagged && seen.expiry == self.remaining(now);
                self.blurred || seen.ids == self.ids && published
            }
            _ => seen.ids.is_empty() && !seen.tagged && seen.expiry.is_none(),
        };
        said && self.is_like(seen)
    }

    /// Whether that is what the broker holds for a session.
    fn is_held(&self, held: &publication::Delivery) -> bool {
        let mut ids = held.ids.as_slice().to_vec();
        ids.sort_unstable();
        *held.publication.topic == *self.message.topic
            && held.publication.payload == self.message.payload.as_bytes()
            && held.qos == self.qos
            && held.retain == self.retain
            && held.group.is_some() == self.group.is_some()
            && (self.blurred || ids == self.ids && self.is_published_as(&held.publication))
    }

    fn is_published_as(&self, publication: &publication::Publication) -> bool {
        publication.expires() == self.message.expires
            && publication.properties().is_empty() != self.message.tagged
    }

    /// Seconds that remain, begun ones counting (3.3.2.3.3).
    fn remaining(&self, now: Millis) -> Option<u32> {
        let expires = self.message.expires?;
        Some(expires.saturating_sub(now).div_ceil(1000) as u32)
    }

    /// The length of its packet without an alias.
    fn packet_len(&self, version: Version) -> usize {
        let mut properties = Properties::new();
        if version == Version::V5 {
            for id in &self.ids {
                properties.push(Property::SubscriptionIdentifier(*id));
            }
            if self.message.tagged {
                properties.push(Property::UserProperty("k", "v"));
            }
            if self.message.expires.is_some() {
                properties.push(Property::MessageExpiryInterval(0));
            }
        }
        let publish = Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: &self.message.topic,
            packet_id: u16::from(self.qos != QoS::AtMostOnce),
            properties,
            payload: self.message.payload.as_bytes(),
        };
        publish.encoded_len(version)
    }
}

impl Ledger {
    /// A connection takes the session up.
    pub(super) fn resume(&mut self, link: &mut Link) {
        let mut ids: Vec<_> = self.flying.iter().map(|(id, f)| (f.order, *id)).collect();
        ids.sort_unstable();
        link.resend = ids.into_iter().map(|(_, id)| id).collect();
    }

    pub(super) fn is_too_long(&self, delivery: &Delivery) -> bool {
        self.max_packet_size != usize::MAX
            && self
                .version
                .is_some_and(|version| delivery.packet_len(version) > self.max_packet_size)
    }

    /// The broker sends a PUBLISH.
    pub(super) fn send(
        &mut self,
        who: Who,
        link: &mut Link,
        seen: &Seen,
        (now, event): (Millis, u64),
        pending: &mut Vec<Pending>,
        may_read: bool,
    ) {
        let name = format!("{} to {who}", seen.name());
        if seen.qos != QoS::AtMostOnce && self.flying.contains_key(&seen.id) {
            self.send_again(link, seen, now, &name);
            return;
        }
        assert!(!seen.dup, "DUP on what was never sent: {name}");
        let first = seen.qos != QoS::AtMostOnce;
        if first {
            self.give_up(link);
            let resend = &link.resend;
            assert!(resend.is_empty(), "before {resend:?} is sent again: {name}");
            let room = self.has_room(link, seen.payload.len());
            assert!(room, "no room for {name}");
        }
        let version = link.version;
        let here = |d: &Delivery| {
            let expired = d.born < event && d.message.is_expired(now);
            d.is(seen, version, now) && !expired
        };
        // The same message may be owed twice; who sends again publishes again.
        let last = &mut link.last[usize::from(first)];
        let in_order = |d: &Delivery| d.number >= *last && here(d);
        let index = self.loose.iter().position(in_order);
        let delivery = match index.or_else(|| self.loose.iter().position(here)) {
            Some(index) => self.loose.remove(index),
            None => take_offer(pending, who, here),
        };
        let Some(delivery) = delivery else {
            panic!(
                "nobody owes {name}\nat {now}, what is owed is {:?}",
                self.loose
            );
        };
        assert!(may_read, "not allowed: {name}");
        assert!(!self.is_too_long(&delivery), "too long: {name}");
        // Members of a group get what others had, in no order that is promised.
        if delivery.group.is_none() {
            assert!(*last <= delivery.number, "order: {name}");
            *last = delivery.number;
        }
        self.left += 1;
        if first {
            self.sent += 1;
            let flight = Flight {
                delivery: Delivery {
                    blurred: delivery.blurred || version != Version::V5,
                    ..delivery
                },
                order: self.sent,
                released: false,
                heard: false,
                accepted: false,
            };
            self.flying.insert(seen.id, flight);
        }
    }

    fn send_again(&mut self, link: &mut Link, seen: &Seen, now: Millis, name: &str) {
        assert!(seen.dup, "again without DUP: {name}");
        let room = self.has_room(link, seen.payload.len());
        assert!(room, "no room for {name}");
        self.resend(link, seen.id, name);
        let flight = &self.flying[&seen.id];
        assert!(!flight.released, "released: {name}");
        let same = flight.delivery.is(seen, link.version, now);
        assert!(same, "not {:?}: {name}", flight.delivery);
    }

    /// The next to be sent again is this one.
    fn resend(&mut self, link: &mut Link, id: u16, name: &str) {
        if link.resend.front() != Some(&id) {
            self.give_up(link);
        }
        let next = link.resend.pop_front();
        assert_eq!(next, Some(id), "not next to be sent again: {name}");
    }

    /// What is too long for the client now is not sent again at QoS 1.
    fn give_up(&mut self, link: &mut Link) {
        while let Some(id) = link.resend.front() {
            let delivery = &self.flying[id].delivery;
            if delivery.qos != QoS::AtLeastOnce || !self.is_too_long(delivery) {
                return;
            }
            self.flying.remove(id);
            link.resend.pop_front();
        }
    }

    /// The broker sends a PUBREL that is no answer.
    pub(super) fn release_again(&mut self, link: &mut Link, id: u16) {
        self.resend(link, id, "PUBREL");
        let too_long = self.is_too_long(&self.flying[&id].delivery);
        let flight = self.flying.get_mut(&id).unwrap();
        assert!(flight.released || too_long, "PUBREL {id} before PUBREC");
        // What is given up need not be heard.
        flight.heard |= !flight.released;
        flight.released = true;
    }

    /// Whether the client takes one more of that size before it acknowledges.
    /// What is yet to be sent again doesn't count.
    fn has_room(&self, link: &Link, size: usize) -> bool {
        let flights = self.flying.iter();
        let out = flights.filter(|(id, _)| !link.resend.contains(id));
        let bytes: usize = out.map(|(_, f)| f.delivery.message.payload.len()).sum();
        self.flying.len() - link.resend.len() < link.window
            && (bytes == 0 || bytes + size <= link.byte_window)
    }

    /// The client has heard a message; `new`: it has none by that identifier.
    pub(super) fn hear(&mut self, id: u16, new: bool) {
        let flight = self.flying.get_mut(&id).expect("it is in flight");
        flight.heard = true;
        if flight.delivery.qos == QoS::ExactlyOnce {
            assert_eq!(flight.accepted, !new, "exactly once: {flight:?}");
            flight.accepted = true;
        }
    }

    /// The client refuses a message of QoS 2 that it has heard.
    pub(super) fn refuse(&mut self, id: u16) {
        if let Some(flight) = self.flying.get_mut(&id) {
            flight.accepted = false;
        }
    }

    /// Whether it need not reach the client.
    pub(super) fn is_excused(&self, delivery: &Delivery, now: Millis) -> bool {
        delivery.message.is_expired(now) || self.is_too_long(delivery)
    }

    /// A client has acknowledged, and the flow is over.
    pub(super) fn done(&mut self, link: &mut Link, id: u16) -> Option<Flight> {
        link.resend.retain(|other| *other != id);
        self.flying.remove(&id)
    }

    /// Sorts out what the broker holds for the session; the rest was sent or
    /// has vanished. Where the same is owed twice, the later is held.
    pub(super) fn sort_out(&mut self, held: &[&publication::Delivery]) {
        self.loose = std::mem::take(&mut self.waiting);
        let mut bound = u64::MAX;
        for held in held.iter().rev() {
            let is_held = |d: &Delivery| d.is_held(held);
            let in_order = |d: &Delivery| d.number <= bound && is_held(d);
            let index = self.loose.iter().rposition(in_order);
            let index = index.or_else(|| self.loose.iter().rposition(is_held));
            let Some(delivery) = index.and_then(|index| self.loose.remove(index)) else {
                self.strange.push_front((*held).clone());
                continue;
            };
            if delivery.group.is_none() {
                bound = delivery.number;
            }
            self.waiting.push_front(delivery);
        }
    }

    /// What the broker holds beyond that has come from a shared group.
    pub(super) fn take_in(&mut self, who: Who, pending: &mut Vec<Pending>) {
        for held in self.strange.drain(..) {
            let offer = take_offer(pending, who, |offer| offer.is_held(&held));
            let delivery = offer.unwrap_or_else(|| panic!("{held:?} waits for {who}"));
            self.waiting.push_back(delivery);
        }
    }

    /// What of shared groups the client may not read any more: it goes to other
    /// members.
    pub(super) fn forbidden(&mut self, may_read: impl Fn(&str) -> bool) -> Vec<Delivery> {
        let all = std::mem::take(&mut self.loose);
        let is_forbidden = |d: &Delivery| d.group.is_some() && !may_read(&d.message.topic);
        let (forbidden, others): (VecDeque<_>, _) = all.into_iter().partition(is_forbidden);
        self.left += forbidden.len();
        self.loose = others;
        forbidden.into()
    }

    /// Compares what is in flight with how many the broker holds.
    pub(super) fn compare_flights(&mut self, link: Option<&mut Link>, held: usize) {
        if let Some(link) = link.filter(|_| self.flying.len() != held) {
            self.give_up(link);
        }
        assert_eq!(self.flying.len(), held, "in flight");
    }

    /// Whether what waits has to wait, for the window. `head`: what the first
    /// of it is, with its size.
    pub(super) fn must_wait(&self, link: &Link, head: Option<(QoS, usize)>) -> bool {
        if let Some(id) = link.resend.front() {
            let size = self.flying[id].delivery.message.payload.len();
            return !self.has_room(link, size);
        }
        head.is_none_or(|(qos, size)| qos != QoS::AtMostOnce && !self.has_room(link, size))
    }

    /// What another member of a shared group gets when the session ends: what
    /// was sent at QoS 1 first, then what waits.
    pub(super) fn orphans(self) -> Vec<Delivery> {
        let mut flying: Vec<_> = self.flying.into_values().collect();
        flying.retain(|flight| flight.delivery.qos == QoS::AtLeastOnce);
        flying.sort_by_key(|flight| flight.order);
        let sent = flying.into_iter().map(|flight| flight.delivery);
        let all = sent.chain(self.waiting);
        all.filter(|delivery| delivery.group.is_some()).collect()
    }
}

fn take_offer(
    pending: &mut Vec<Pending>,
    who: Who,
    is: impl Fn(&Delivery) -> bool,
) -> Option<Delivery> {
    let index = pending
        .iter()
        .position(|pending| pending.offers.get(&who).is_some_and(&is))?;
    pending.remove(index).offers.remove(&who)
}
