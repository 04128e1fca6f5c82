//! A client with its own half of the session. It keeps to the specification;
//! see [`mischief`](super::mischief) for when it doesn't.

use std::collections::BTreeSet;

use super::model::Who;
use super::random::Random;
use super::rules::{FILTERS, Listener, Rules, TOPICS};
use super::seen::{Aliases, Seen};
use crate::broker::tests::harness::*;
use crate::codec::{
    Ack, AckKind, ConnAck, Packet, Properties, Property, Publish, QoS, ReasonCode, RetainHandling,
    Subscribe, SubscriptionOptions, SubscriptionRequest, Unsubscribe, Version,
};
use crate::property;

/// A message that a client has sent and that is not acknowledged.
#[derive(Debug)]
pub(super) struct Flight {
    id: u16,
    topic: &'static str,
    payload: String,
    pub(super) qos: QoS,
    retain: bool,
    expiry: Option<u32>,
    /// PUBREC has come.
    released: bool,
    /// It went out, and it did so on this connection.
    sent: bool,
    out: bool,
}

pub(super) struct Actor {
    pub(super) who: Who,
    pub(super) name: String,
    pub(super) connection: Option<Client>,
    /// Written but not yet at the broker, and at the broker but incomplete.
    pub(super) written: Vec<u8>,
    pub(super) partial: Vec<u8>,
    /// How much of the outbox the model has seen.
    pub(super) observed: usize,
    /// The broker has asked that somebody looks at the outbox.
    pub(super) woken: bool,
    /// It left something when it was last looked at.
    pub(super) more: bool,
    /// It has written what ends the connection.
    pub(super) spoilt: bool,
    /// Its own session is lost to it; it will ask for a new one.
    pub(super) forgetful: bool,
    pub(super) flights: Vec<Flight>,
    last_id: u16,
    count: u64,
    /// Identifiers of QoS 2 that came and were not released.
    received: BTreeSet<u16>,
    /// What came on this connection and was not acknowledged.
    open: BTreeSet<u16>,
    pub(super) receive_maximum: usize,
    pub(super) maximum_packet_size: usize,
    pub(super) alias_maximum: u16,
    incoming: Aliases,
    /// What the broker said that it takes.
    quota: usize,
    max_qos: QoS,
    retain_available: bool,
    /// Topics that have an alias towards the broker: the first has 1.
    aliased: Vec<&'static str>,
    most_aliases: usize,
    /// Acknowledgements that the client will send.
    acks: Vec<(AckKind, u16)>,
    /// Whether it sends them in the order of the messages.
    in_order: bool,
}

/// What a client has heard and the model should know.
pub(super) enum Heard {
    /// A message of QoS 1 or 2. `new`: not by the identifier of one that the
    /// client has.
    Message {
        id: u16,
        new: bool,
    },
    Nothing,
}

impl Actor {
    pub(super) fn new(who: Who, random: &mut Random) -> Self {
        Self {
            who,
            name: format!("c{who}"),
            connection: None,
            written: Vec::new(),
            partial: Vec::new(),
            observed: 0,
            woken: false,
            more: false,
            spoilt: false,
            forgetful: false,
            flights: Vec::new(),
            last_id: 0,
            count: 0,
            received: BTreeSet::new(),
            open: BTreeSet::new(),
            receive_maximum: 0,
            maximum_packet_size: usize::MAX,
            alias_maximum: 0,
            incoming: Aliases::default(),
            quota: 0,
            max_qos: Q2,
            retain_available: true,
            aliased: Vec::new(),
            most_aliases: 0,
            acks: Vec::new(),
            in_order: random.chance(50),
        }
    }

    fn version(&self) -> Version {
        self.connection.map_or(V311, |client| client.version)
    }

    pub(super) fn may_write(&self) -> bool {
        self.connection.is_some() && !self.spoilt
    }

    pub(super) fn write(&mut self, packet: &Packet<'_>) {
        if self.may_write() {
            let version = self.version();
            packet.encode(version, &mut self.written);
        }
    }

    fn write_ack(&mut self, kind: AckKind, packet_id: u16, reason: ReasonCode) {
        let ack = Ack {
            packet_id,
            reason,
            properties: Properties::new(),
        };
        self.write(&Packet::Ack(kind, ack));
    }

    /// A message's own number, and something to weigh.
    pub(super) fn payload(&mut self, weight: usize) -> String {
        self.count += 1;
        format!("{}.{} {}", self.who, self.count, "x".repeat(weight))
    }

    fn write_flight(&mut self, flight: &Flight, dup: bool) {
        let mut properties = Properties::new();
        let mut topic = flight.topic;
        if self.version() == V5 {
            if flight.payload.ends_with('t') {
                properties.push(Property::UserProperty("k", "v"));
            }
            if let Some(seconds) = flight.expiry {
                properties.push(Property::MessageExpiryInterval(seconds));
            }
            let known = self.aliased.iter().position(|name| *name == topic);
            if let Some(index) = known {
                properties.push(Property::TopicAlias(index as u16 + 1));
                topic = "";
            } else if self.aliased.len() < self.most_aliases
                && flight.payload.len().is_multiple_of(2)
            {
                self.aliased.push(topic);
                properties.push(Property::TopicAlias(self.aliased.len() as u16));
            }
        }
        self.write(&Packet::Publish(Publish {
            dup,
            qos: flight.qos,
            retain: flight.retain,
            topic,
            packet_id: flight.id,
            properties,
            payload: flight.payload.as_bytes(),
        }));
    }

    pub(super) fn publish(&mut self, random: &mut Random) {
        if !self.may_write() || self.flights.len() >= 15 {
            return;
        }
        let qos = random.qos().min(self.max_qos);
        let retain = self.retain_available && random.chance(15);
        let topic = random.pick(&TOPICS);
        // What is too long for one member of a group would go to another.
        let sizes = if topic.contains("/1") { 4 } else { 7 };
        let mut payload = self.payload(random.pick(&[0, 0, 0, 10, 100, 2_000, 30_000][..sizes]));
        // What is sent again in 3.x has lost its properties. With QoS 1 both would
        // be in the group, and nobody could tell before MQTT 5 who got which.
        let plain = topic.contains("/1") && qos == Q1;
        if random.chance(20) && !plain {
            payload += "t";
        }
        if retain && random.chance(20) && !topic.contains("/1") {
            payload.clear();
        }
        let mut flight = Flight {
            id: 0,
            topic,
            payload,
            qos,
            retain,
            expiry: (random.chance(20) && !plain).then(|| random.below(6) as u32),
            released: false,
            sent: false,
            out: false,
        };
        if qos == Q0 {
            self.write_flight(&flight, false);
            // Mostly a run, which the broker hands on as one piece.
            for _ in 0..random.pick(&[0, 0, 0, 1, 3]) {
                flight.payload = self.payload(random.pick(&[0, 10, 2_000][..sizes / 2]));
                self.write_flight(&flight, false);
            }
            return;
        }
        flight.id = loop {
            self.last_id = self.last_id % 30 + 1;
            let id = self.last_id;
            if self.flights.iter().all(|flight| flight.id != id) {
                break id;
            }
        };
        self.flights.push(flight);
        self.send_flights(false);
    }

    /// Sends what the broker's receive maximum allows, in order. `again`: all
    /// that isn't acknowledged, because the connection is new.
    fn send_flights(&mut self, again: bool) {
        let mut flights = std::mem::take(&mut self.flights);
        for flight in &mut flights {
            flight.out &= !again;
        }
        let out = flights.iter().filter(|flight| flight.out).count();
        let mut free = self.quota.saturating_sub(out);
        for flight in flights.iter_mut().filter(|flight| !flight.out) {
            if flight.released {
                self.write_ack(AckKind::PubRel, flight.id, ReasonCode::SUCCESS);
            } else if free > 0 {
                self.write_flight(flight, flight.sent);
                flight.sent = true;
            } else {
                break;
            }
            flight.out = true;
            free = free.saturating_sub(1);
        }
        self.flights = flights;
    }

    pub(super) fn subscribe(&mut self, random: &mut Random) {
        let v5 = self.version() == V5;
        let mut requests = Vec::new();
        for _ in 0..random.pick(&[1, 1, 1, 2, 3]) {
            let filter = random.pick(&FILTERS);
            let options = SubscriptionOptions {
                qos: random.qos(),
                no_local: v5 && !filter.starts_with("$share/") && random.chance(20),
                retain_as_published: v5 && random.chance(20),
                retain_handling: match random.below(3) {
                    1 if v5 => RetainHandling::IfNew,
                    2 if v5 => RetainHandling::Never,
                    _ => RetainHandling::Always,
                },
            };
            requests.push(SubscriptionRequest { filter, options });
        }
        let mut properties = Properties::new();
        if v5 && random.chance(30) {
            let id = 1 + random.below(3) as u32;
            properties.push(Property::SubscriptionIdentifier(id));
        }
        self.write(&Packet::Subscribe(Subscribe {
            packet_id: 101,
            properties,
            requests,
        }));
    }

    pub(super) fn unsubscribe(&mut self, random: &mut Random) {
        let count = random.pick(&[1, 1, 2]);
        self.write(&Packet::Unsubscribe(Unsubscribe {
            packet_id: 102,
            properties: Properties::new(),
            filters: (0..count).map(|_| random.pick(&FILTERS)).collect(),
        }));
    }

    pub(super) fn owes_acks(&self) -> usize {
        self.acks.len()
    }

    /// Returns what it refuses of QoS 2.
    pub(super) fn acknowledge(&mut self, random: &mut Random, count: usize) -> Vec<u16> {
        let mut refused = Vec::new();
        for _ in 0..count.min(self.acks.len()) {
            let index = if self.in_order {
                0
            } else {
                random.below(self.acks.len())
            };
            let (kind, id) = self.acks.remove(index);
            let mut reason = ReasonCode::SUCCESS;
            if self.version() == V5 && kind != AckKind::PubComp && random.chance(5) {
                reason = ReasonCode::QUOTA_EXCEEDED;
            }
            if kind != AckKind::PubRec || reason.is_error() {
                self.open.remove(&id);
                self.received.remove(&id);
            }
            if kind == AckKind::PubRec && reason.is_error() {
                refused.push(id);
            }
            self.write_ack(kind, id, reason);
        }
        refused
    }

    /// The broker has accepted the connection.
    pub(super) fn begin(
        &mut self,
        client: Client,
        present: bool,
        rules: &Rules,
        listener: &Listener,
    ) {
        self.forget_connection();
        self.connection = Some(client);
        self.forgetful = false;
        self.max_qos = listener.max_qos;
        self.retain_available = rules.settings.retain_available;
        self.most_aliases = listener.max_topic_alias.into();
        self.quota = usize::MAX;
        if !present {
            self.flights.clear();
            self.received.clear();
        }
    }

    /// The connection is over.
    pub(super) fn forget_connection(&mut self) {
        self.connection = None;
        self.written.clear();
        self.partial.clear();
        self.observed = 0;
        self.woken = false;
        self.more = false;
        self.spoilt = false;
        self.open.clear();
        self.incoming = Aliases::default();
        self.aliased.clear();
        self.acks.clear();
    }

    pub(super) fn hear(&mut self, packet: &Packet<'_>) -> Heard {
        match packet {
            Packet::ConnAck(ack) => self.hear_greeting(ack),
            Packet::Publish(publish) => return self.hear_publish(publish),
            Packet::Ack(kind, ack) => self.hear_ack(*kind, ack),
            _ => {}
        }
        Heard::Nothing
    }

    fn hear_greeting(&mut self, ack: &ConnAck<'_>) {
        if self.version() == V5 {
            self.quota = property!(ack.properties, ReceiveMaximum)
                .unwrap_or(u16::MAX)
                .into();
        }
        self.send_flights(true);
    }

    fn hear_publish(&mut self, publish: &Publish<'_>) -> Heard {
        let length = publish.encoded_len(self.version());
        assert!(length <= self.maximum_packet_size, "{publish:?}");
        let alias = property!(publish.properties, TopicAlias);
        assert!(alias.is_none_or(|alias| alias <= self.alias_maximum));
        Seen::new(publish, &mut self.incoming).expect("an alias that was set");
        let id = publish.packet_id;
        let new = match publish.qos {
            Q0 => return Heard::Nothing,
            Q1 => {
                self.acks.push((AckKind::PubAck, id));
                !publish.dup
            }
            Q2 => {
                self.acks.push((AckKind::PubRec, id));
                self.received.insert(id)
            }
        };
        assert!(self.open.insert(id), "identifier {id} is in use");
        assert!(self.open.len() <= self.receive_maximum, "receive maximum");
        Heard::Message { id, new }
    }

    fn hear_ack(&mut self, kind: AckKind, ack: &Ack<'_>) {
        let id = ack.packet_id;
        if kind == AckKind::PubRel {
            self.received.remove(&id);
            self.acks.push((AckKind::PubComp, id));
            return;
        }
        if self.spoilt {
            return; // It may be for something that was not meant well.
        }
        let mut flights = self.flights.iter();
        let flight = flights.position(|f| f.id == id);
        let index = flight.expect("an acknowledgement for something in flight");
        if kind == AckKind::PubRec && !ack.reason.is_error() {
            self.flights[index].released = true;
            self.write_ack(AckKind::PubRel, id, ReasonCode::SUCCESS);
        } else {
            self.flights.remove(index);
            self.send_flights(false);
        }
    }
}
