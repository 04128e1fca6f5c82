//! A client that gets everything, and notes what it got.

use std::collections::HashMap;
use std::io::Result;

use crate::common::raw::{Raw, packet, text};
use crate::{Random, ack, next, packet_id, resume};

pub(crate) struct Subscriber {
    name: &'static str,
    qos: u8,
    /// It leaves after no more messages than that.
    stays: Option<u64>,
    known: bool,
    /// What came, by its publisher.
    received: HashMap<String, Vec<u64>>,
    /// Messages of QoS 2 that are received and not yet released.
    unreleased: HashMap<u16, (String, u64)>,
}

impl Subscriber {
    pub(crate) fn new(name: &'static str, qos: u8, stays: Option<u64>) -> Self {
        Self {
            name,
            qos,
            stays,
            known: false,
            received: HashMap::new(),
            unreleased: HashMap::new(),
        }
    }

    pub(crate) fn subscribe(&mut self, port: u16) -> Result<()> {
        let mut raw = resume(port, self.name, &mut self.known)?;
        raw.subscribe("load/#", self.qos);
        Ok(())
    }

    /// Comes and goes until the broker ends.
    pub(crate) fn work(&mut self, port: u16, mut random: Random) {
        loop {
            let stays = self.stays.map(|most| random.below(most));
            // The end is an error, at whatever moment it comes.
            if self.receive(port, stays).is_err() {
                return;
            }
        }
    }

    /// Receives the rest.
    pub(crate) fn finish(&mut self, port: u16) -> Result<()> {
        self.receive(port, None)
    }

    /// Receives so many messages, or until the last one came.
    fn receive(&mut self, port: u16, count: Option<u64>) -> Result<()> {
        let mut raw = resume(port, self.name, &mut self.known)?;
        let mut left = count;
        while left != Some(0) && !self.received.contains_key("end") {
            if self.hear(&mut raw)? {
                left = left.map(|left| left - 1);
            }
        }
        Ok(())
    }

    /// Takes one packet; true: a message.
    fn hear(&mut self, raw: &mut Raw) -> Result<bool> {
        let packet = next(raw)?;
        match packet[0] & 0xF6 {
            0x32 => {
                let (id, message) = parse(&packet);
                self.note(message);
                raw.try_send(&ack(0x40, id))?;
            }
            0x34 => {
                let (id, message) = parse(&packet);
                if let Some(other) = self.unreleased.get(&id) {
                    assert_eq!(*other, message, "{}: {id} is in use", self.name);
                } else {
                    self.unreleased.insert(id, message.clone());
                    self.note(message);
                }
                raw.try_send(&ack(0x50, id))?;
            }
            0x62 => {
                self.unreleased.remove(&packet_id(&packet));
                raw.try_send(&ack(0x70, packet_id(&packet)))?;
                return Ok(false);
            }
            _ => panic!("{}: {packet:02x?}", self.name),
        }
        Ok(true)
    }

    fn note(&mut self, (publisher, number): (String, u64)) {
        self.received.entry(publisher).or_default().push(number);
    }

    /// All that was published came, in its order; what came at QoS 2, once.
    pub(crate) fn check(&self, publisher: &str, count: u64) {
        let mut received = self.received.get(publisher).cloned().unwrap_or_default();
        if self.qos == 1 || publisher == "one" || publisher == "last" {
            let mut greatest = None;
            received.retain(|number| {
                let is_new = greatest < Some(*number);
                greatest = greatest.max(Some(*number));
                is_new
            });
        }
        let first_wrong = (0..)
            .zip(&received)
            .find(|(place, number)| place != *number);
        assert_eq!(first_wrong, None, "{} of {publisher}", self.name);
        assert_eq!(received.len() as u64, count, "{} of {publisher}", self.name);
    }
}

/// The packet identifier of a PUBLISH, its publisher and its number.
fn parse(packet: &[u8]) -> (u16, (String, u64)) {
    let header = 1
        + packet[1..]
            .iter()
            .position(|byte| byte & 0x80 == 0)
            .unwrap()
        + 1;
    let id = header + 2 + usize::from(u16::from_be_bytes([packet[header], packet[header + 1]]));
    let payload = std::str::from_utf8(&packet[id + 2..]).unwrap();
    let mut words = payload.split(' ');
    let (name, number) = (words.next().unwrap(), words.next().unwrap());
    let id = u16::from_be_bytes([packet[id], packet[id + 1]]);
    (id, (name.to_owned(), number.parse().unwrap()))
}

/// A SUBSCRIBE or UNSUBSCRIBE of one filter.
pub(crate) fn request(first: u8, filter: &str, options: &[u8]) -> Vec<u8> {
    packet(first, &[&[0, 1], &text(filter), options])
}
