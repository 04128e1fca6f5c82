//! A client that publishes numbers, and repeats what was not acknowledged.

use std::collections::VecDeque;
use std::io::Result;
use std::sync::mpsc::Sender;

use crate::common::raw::{Connect, Raw, publish_qos};
use crate::{ack, next, packet_id, resume, tell};

/// Messages that are in flight at once.
const WINDOW: usize = 16;

pub(crate) struct Publisher {
    name: &'static str,
    qos: u8,
    retains: bool,
    known: bool,
    /// How many were published, and how many are acknowledged: those before.
    published: u64,
    acknowledged: u64,
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
    pub(crate) fn new(name: &'static str, qos: u8) -> Self {
        Self {
            name,
            qos,
            retains: false,
            known: false,
            published: 0,
            acknowledged: 0,
            flight: VecDeque::new(),
        }
    }

    /// One whose messages are retained.
    pub(crate) fn retaining(name: &'static str, qos: u8) -> Self {
        Self {
            retains: true,
            ..Self::new(name, qos)
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// Publishes until the broker ends.
    pub(crate) fn work(&mut self, port: u16, progress: &Sender<()>) {
        // The end is an error, at whatever moment it comes.
        let _ = self.publish(port, Some(progress));
    }

    /// Brings all that is in flight to its end.
    pub(crate) fn finish(&mut self, port: u16) -> Result<()> {
        self.publish(port, None)
    }

    fn publish(&mut self, port: u16, progress: Option<&Sender<()>>) -> Result<()> {
        let mut raw = resume(port, &format!("publisher {}", self.name), &mut self.known)?;
        for flight in &self.flight {
            raw.try_send(&if flight.received {
                ack(0x62, flight.id())
            } else {
                self.packet(flight, 8)
            })?;
        }
        loop {
            while progress.is_some() && self.flight.len() < WINDOW {
                let flight = Flight {
                    number: self.published,
                    received: false,
                };
                let packet = self.packet(&flight, 0);
                self.flight.push_back(flight);
                self.published += 1;
                raw.try_send(&packet)?;
            }
            if self.flight.is_empty() {
                return Ok(());
            }
            self.hear(&mut raw)?;
            if let Some(progress) = progress {
                tell(progress);
            }
        }
    }

    fn packet(&self, flight: &Flight, dup: u8) -> Vec<u8> {
        let number = flight.number;
        // Now and then one that is worth sharing in the store.
        let padding = ".".repeat(if number.is_multiple_of(7) { 1500 } else { 3 });
        let payload = format!("{} {number} {padding}", self.name);
        let topic = format!("load/{}", self.name);
        let mut packet = publish_qos(&topic, &payload, self.qos, flight.id());
        packet[0] |= dup | u8::from(self.retains);
        packet
    }

    /// Takes an acknowledgement. They come in the order of the messages.
    fn hear(&mut self, raw: &mut Raw) -> Result<()> {
        let packet = next(raw)?;
        let id = packet_id(&packet);
        let mut waiting = self.flight.iter_mut();
        match packet[0] {
            0x40 => {
                let flight = self.flight.pop_front().expect("a message for PUBACK");
                assert_eq!(flight.id(), id, "{}", self.name);
                self.acknowledged = flight.number + 1;
            }
            0x50 => {
                let flight = waiting.find(|flight| !flight.received);
                let flight = flight.expect("a message for PUBREC");
                assert_eq!(flight.id(), id, "{}", self.name);
                flight.received = true;
                self.acknowledged = flight.number + 1;
                raw.try_send(&ack(0x62, id))?;
            }
            0x70 => {
                let place = waiting.position(|flight| flight.received && flight.id() == id);
                self.flight.remove(place.expect("a message for PUBCOMP"));
            }
            _ => panic!("{}: {packet:02x?}", self.name),
        }
        Ok(())
    }

    /// Nothing is retained that is older than the last acknowledgement.
    pub(crate) fn check_retained(&self, port: u16) {
        if !self.retains || self.acknowledged == 0 {
            return;
        }
        let (mut raw, _) = Raw::client(port, &Connect::new("looks"));
        raw.subscribe(&format!("load/{}", self.name), 0);
        let packet = next(&mut raw).expect("a retained message");
        assert_eq!(packet[0], 0x31, "{packet:02x?}");
        let text = String::from_utf8_lossy(&packet).into_owned();
        let number: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(
            (self.acknowledged - 1..self.published).contains(&number),
            "{number} is retained, {} of {} were acknowledged",
            self.acknowledged,
            self.published
        );
    }
}

/// Publishes one message of QoS 1.
pub(crate) fn publish_once(port: u16, topic: &str, payload: &str) {
    let (mut raw, _) = Raw::client(port, &Connect::new("once"));
    raw.send(&publish_qos(topic, payload, 1, 1));
    let answer = next(&mut raw).expect("an acknowledgement");
    assert_eq!((answer[0], packet_id(&answer)), (0x40, 1));
}
