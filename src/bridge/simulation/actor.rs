//! A client of one of the brokers, with its half of the session.

use std::collections::HashMap;

use super::broker::{Broker, Line, decode};
use crate::broker::Policy;
use crate::codec::{
    Ack, AckKind, Connect, Packet, Properties, Property, Publish, QoS, ReasonCode, Subscribe,
    SubscriptionOptions, SubscriptionRequest, Version,
};

/// A message that a client has sent and that is not acknowledged.
pub(super) struct Flight {
    id: u16,
    number: usize,
    qos: QoS,
    received: bool,
}

/// A client of one of the brokers that publishes, and has subscribed to all.
pub(super) struct Actor {
    pub(super) name: &'static str,
    pub(super) version: Version,
    pub(super) line: Option<Line>,
    pub(super) greeted: bool,
    pub(super) published: Vec<QoS>,
    pub(super) flights: Vec<Flight>,
    pub(super) got: Vec<String>,
    unreleased: HashMap<u16, String>,
    /// Messages below this number may have gone with sessions that were lost.
    pub(super) settled: usize,
}

impl Actor {
    pub(super) fn new(name: &'static str, version: Version) -> Self {
        Self {
            name,
            version,
            line: None,
            greeted: false,
            published: Vec::new(),
            flights: Vec::new(),
            got: Vec::new(),
            unreleased: HashMap::new(),
            settled: 0,
        }
    }

    pub(super) fn connect(&mut self, broker: &mut Broker) {
        let mut properties = Properties::new();
        if self.version == Version::V5 {
            properties.push(Property::SessionExpiryInterval(u32::MAX));
        }
        let connect = Connect {
            version: self.version,
            bridge: false,
            clean_start: false,
            keep_alive: 0,
            client_id: self.name,
            will: None,
            username: None,
            password: None,
            properties,
        };
        self.line = Some(broker.connect(Policy::default(), &connect));
        self.greeted = false;
    }

    /// Begins a session.
    pub(super) fn enrol(&mut self, broker: &mut Broker) {
        self.connect(broker);
        let Some(line) = &mut self.line else {
            return;
        };
        let options = SubscriptionOptions {
            qos: QoS::ExactlyOnce,
            ..SubscriptionOptions::default()
        };
        line.put(&Packet::Subscribe(Subscribe {
            packet_id: 1,
            properties: Properties::new(),
            requests: vec![SubscriptionRequest {
                filter: "#",
                options,
            }],
        }));
        let length = line.upward.len();
        broker.read(line, length);
        while broker.gather() || broker.commit() {}
    }

    /// The broker knows it no more.
    pub(super) fn lose_session(&mut self) {
        self.line = None;
        self.flights.clear();
        self.unreleased.clear();
    }

    pub(super) fn publish(&mut self, qos: QoS) {
        if !self.greeted || self.flights.len() >= 5 {
            return;
        }
        let number = self.published.len();
        self.published.push(qos);
        let flight = Flight {
            id: (number % 60_000) as u16 + 1,
            number,
            qos,
            received: false,
        };
        self.send(&flight, false);
        if qos != QoS::AtMostOnce {
            self.flights.push(flight);
        }
    }

    pub(super) fn send(&mut self, flight: &Flight, dup: bool) {
        let payload = format!("{} {}", self.name, flight.number);
        let publish = Publish {
            dup,
            qos: flight.qos,
            retain: false,
            topic: self.name,
            packet_id: if flight.qos == QoS::AtMostOnce {
                0
            } else {
                flight.id
            },
            properties: Properties::new(),
            payload: payload.as_bytes(),
        };
        if let Some(line) = &mut self.line {
            line.put(&Packet::Publish(publish));
        }
    }

    pub(super) fn answer(&mut self, kind: AckKind, packet_id: u16) {
        if let Some(line) = &mut self.line {
            line.put(&ack(kind, packet_id));
        }
    }

    /// Takes the next packet that came.
    pub(super) fn hear(&mut self) -> bool {
        let Some(bytes) = self.line.as_mut().and_then(Line::next) else {
            return false;
        };
        match decode(&bytes, self.version) {
            Packet::ConnAck(ack) => {
                assert_eq!(ack.reason, ReasonCode::SUCCESS);
                self.greeted = true;
                for flight in std::mem::take(&mut self.flights) {
                    if flight.received {
                        self.answer(AckKind::PubRel, flight.id);
                    } else {
                        self.send(&flight, true);
                    }
                    self.flights.push(flight);
                }
            }
            Packet::SubAck(_) | Packet::Disconnect(_) => {}
            Packet::Ack(kind, ack) => {
                let id = ack.packet_id;
                let place = self.flights.iter().position(|flight| flight.id == id);
                match kind {
                    AckKind::PubAck | AckKind::PubComp => {
                        self.flights.remove(place.expect("it was sent"));
                    }
                    AckKind::PubRec => {
                        assert!(!ack.reason.is_error());
                        self.flights[place.expect("it was sent")].received = true;
                        self.answer(AckKind::PubRel, id);
                    }
                    AckKind::PubRel => {
                        self.unreleased.remove(&id);
                        self.answer(AckKind::PubComp, id);
                    }
                }
            }
            Packet::Publish(publish) => {
                let text = String::from_utf8(publish.payload.to_vec()).unwrap();
                let id = publish.packet_id;
                match publish.qos {
                    QoS::AtMostOnce => self.got.push(text),
                    QoS::AtLeastOnce => {
                        self.got.push(text);
                        self.answer(AckKind::PubAck, id);
                    }
                    QoS::ExactlyOnce => {
                        let before = self.unreleased.insert(id, text.clone());
                        match before {
                            None => self.got.push(text),
                            Some(before) => assert_eq!(before, text),
                        }
                        self.answer(AckKind::PubRec, id);
                    }
                }
            }
            other => panic!("{other:?}"),
        }
        true
    }
}

pub(super) fn ack(kind: AckKind, packet_id: u16) -> Packet<'static> {
    let ack = Ack {
        packet_id,
        reason: ReasonCode::SUCCESS,
        properties: Properties::new(),
    };
    Packet::Ack(kind, ack)
}
