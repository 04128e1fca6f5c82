//! Clients of the two brokers: some publish numbers, others note what comes.

use std::collections::{HashMap, VecDeque};
use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, TcpStream};

use super::scene::{Scene, Side};
use super::{PATIENCE, Stream};
use crate::common::raw::{Connect, Raw, packet, publish_qos};
use crate::common::tap::packet_length;

/// Messages that a publisher has in flight at once.
const WINDOW: usize = 16;

/// Publishes the numbers of a stream, and repeats what was not acknowledged.
pub(crate) struct Publisher {
    stream: Stream,
    session: Session,
    published: u64,
    flight: VecDeque<Flight>,
}

/// A message on its way.
struct Flight {
    number: u64,
    /// PUBREC came.
    received: bool,
}

impl Flight {
    fn id(&self) -> u16 {
        (self.number % 60_000) as u16 + 1
    }
}

impl Publisher {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            session: Session::new(stream.from, format!("publishes {}", stream.topic)),
            published: 0,
            flight: VecDeque::new(),
        }
    }

    /// Publishes until the scene closes and all is acknowledged.
    pub(crate) fn work(mut self, scene: &Scene) {
        let _guard = scene.guard();
        while scene.wait_up(self.stream.from) {
            // The broker may end at whatever moment.
            if self.publish(scene).is_ok() {
                return;
            }
        }
    }

    fn publish(&mut self, scene: &Scene) -> Result<()> {
        let mut raw = self.session.resume(scene)?;
        for flight in &self.flight {
            raw.try_send(&if flight.received {
                ack(0x62, flight.id())
            } else {
                self.packet(flight, 8)
            })?;
        }
        loop {
            while self.flight.len() < WINDOW && scene.may_publish(self.stream, self.published) {
                let flight = Flight {
                    number: self.published,
                    received: false,
                };
                let packet = self.packet(&flight, 0);
                self.flight.push_back(flight);
                self.published += 1;
                scene.published(self.stream, self.published);
                raw.try_send(&packet)?;
            }
            if !self.flight.is_empty() {
                self.hear(&mut raw)?;
            } else if !scene.wait_to_publish(self.stream, self.published) {
                return Ok(());
            }
        }
    }

    fn packet(&self, flight: &Flight, dup: u8) -> Vec<u8> {
        let number = flight.number;
        // Now and then one that fills more than a segment.
        let padding = ".".repeat(if number.is_multiple_of(11) { 3000 } else { 3 });
        let payload = format!("{number} {padding}");
        let mut packet = publish_qos(self.stream.topic, &payload, self.stream.qos, flight.id());
        packet[0] |= dup;
        packet
    }

    /// Takes an acknowledgement. They come in the order of the messages.
    fn hear(&mut self, raw: &mut Raw) -> Result<()> {
        let packet = next(raw)?;
        let (id, topic) = (packet_id(&packet), self.stream.topic);
        let mut waiting = self.flight.iter_mut();
        match packet[0] {
            0x40 => {
                let flight = self.flight.pop_front().expect("a message for PUBACK");
                assert_eq!(flight.id(), id, "{topic}");
            }
            0x50 => {
                let flight = waiting.find(|flight| !flight.received);
                let flight = flight.expect("a message for PUBREC");
                assert_eq!(flight.id(), id, "{topic}");
                flight.received = true;
                raw.try_send(&ack(0x62, id))?;
            }
            0x70 => {
                let place = waiting.position(|flight| flight.received && flight.id() == id);
                self.flight.remove(place.expect("a message for PUBCOMP"));
            }
            _ => panic!("{topic}: {packet:02x?}"),
        }
        Ok(())
    }
}

/// Numbers, by topic, in the order in which they came.
pub(crate) type Received = HashMap<String, Vec<u64>>;

/// Gets all that comes over the bridge to one of the brokers.
pub(crate) struct Subscriber {
    session: Session,
    received: Received,
    /// Messages of QoS 2 that are received and not yet released.
    unreleased: HashMap<u16, (String, u64)>,
}

impl Subscriber {
    /// One that has subscribed.
    pub(crate) fn new(scene: &Scene, at: Side, filters: [&str; 2]) -> Self {
        let mut session = Session::new(at, format!("subscribes {}", filters[0]));
        let mut raw = session.resume(scene).expect("a broker that lives");
        for filter in filters {
            raw.subscribe(filter, 2);
        }
        Self {
            session,
            received: Received::new(),
            unreleased: HashMap::new(),
        }
    }

    /// Receives until the message comes that is published last; gives back
    /// what came.
    pub(crate) fn work(mut self, scene: &Scene, last: &str) -> Received {
        let _guard = scene.guard();
        while scene.wait_up(self.session.at) && self.receive(scene, last).is_err() {}
        self.received
    }

    fn receive(&mut self, scene: &Scene, last: &str) -> Result<()> {
        let mut raw = self.session.resume(scene)?;
        while !self.received.contains_key(last) {
            let packet = next(&mut raw)?;
            match packet[0] & 0xF6 {
                0x32 => {
                    let (id, message) = parse(&packet);
                    self.note(scene, message);
                    raw.try_send(&ack(0x40, id))?;
                }
                0x34 => {
                    let (id, message) = parse(&packet);
                    if let Some(other) = self.unreleased.get(&id) {
                        assert_eq!(*other, message, "{id} is in use");
                    } else {
                        self.unreleased.insert(id, message.clone());
                        self.note(scene, message);
                    }
                    raw.try_send(&ack(0x50, id))?;
                }
                0x62 => {
                    self.unreleased.remove(&packet_id(&packet));
                    raw.try_send(&ack(0x70, packet_id(&packet)))?;
                }
                _ => panic!("{packet:02x?}"),
            }
        }
        Ok(())
    }

    fn note(&mut self, scene: &Scene, (topic, number): (String, u64)) {
        scene.delivered(&topic, number + 1);
        self.received.entry(topic).or_default().push(number);
    }
}

/// Publishes one message of QoS 2.
pub(crate) fn publish_last(port: u16, topic: &str) {
    let (mut raw, _) = Raw::client(port, &Connect::new("last"));
    raw.send(&publish_qos(topic, "0 ", 2, 1));
    assert_eq!(next(&mut raw).expect("PUBREC"), ack(0x50, 1));
    raw.send(&ack(0x62, 1));
    assert_eq!(next(&mut raw).expect("PUBCOMP"), ack(0x70, 1));
}

/// A session that lasts.
struct Session {
    at: Side,
    client_id: String,
    /// Its CONNACK came once.
    known: bool,
}

impl Session {
    fn new(at: Side, client_id: String) -> Self {
        Self {
            at,
            client_id,
            known: false,
        }
    }

    fn resume(&mut self, scene: &Scene) -> Result<Raw> {
        let connect = Connect {
            clean: false,
            keep_alive: 0,
            ..Connect::new(&self.client_id)
        };
        let address = (Ipv4Addr::LOCALHOST, scene.port(self.at));
        let mut raw = Raw::adopt(TcpStream::connect(address)?);
        raw.try_send(&connect.bytes())?;
        let answer = next(&mut raw)?;
        let id = &self.client_id;
        assert_eq!((answer[0], answer[3]), (0x20, 0), "{id}: {answer:02x?}");
        let present = answer[2] & 1 == 1;
        assert!(present || !self.known, "{id}: the session is gone");
        self.known = true;
        Ok(raw)
    }
}

/// The next whole packet.
///
/// # Errors
/// The broker has ended.
pub(crate) fn next(raw: &mut Raw) -> Result<Vec<u8>> {
    let packet = raw.packet_or_end(PATIENCE)?;
    packet
        .filter(|packet| packet_length(packet) == Some(packet.len()))
        .ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))
}

/// The packet identifier behind a header of two bytes.
fn packet_id(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

/// An acknowledgement.
fn ack(first: u8, id: u16) -> Vec<u8> {
    packet(first, &[&id.to_be_bytes()])
}

/// The packet identifier of a PUBLISH, its topic and its number.
fn parse(packet: &[u8]) -> (u16, (String, u64)) {
    let digits = packet[1..].iter().position(|byte| byte & 0x80 == 0);
    let topic = 2 + digits.unwrap() + 2;
    let id = topic + usize::from(u16::from_be_bytes([packet[topic - 2], packet[topic - 1]]));
    let name = String::from_utf8(packet[topic..id].to_vec()).unwrap();
    let payload = std::str::from_utf8(&packet[id + 2..]).unwrap();
    let number = payload.split(' ').next().unwrap().parse().unwrap();
    (
        u16::from_be_bytes([packet[id], packet[id + 1]]),
        (name, number),
    )
}
