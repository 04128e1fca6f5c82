//! What Mosquitto 2.0 makes of QoS 2: when a connection breaks while it sends
//! its PUBRELs again, it publishes the same messages once more on the next one.
//! That is not allowed (4.3.3), and who gets them cannot tell them from others
//! of these packet identifiers. So this takes note of them.

use std::collections::HashSet;

use crate::common::tap::packet_length;

/// The messages of QoS 2 that were published again after their PUBREL.
#[derive(Default)]
pub(crate) struct Released {
    ids: HashSet<u16>,
    /// By topic and number.
    pub(crate) again: HashSet<(String, u64)>,
}

/// The packets of one connection.
#[derive(Default)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    is_mqtt_5: bool,
}

impl Reader {
    pub(crate) fn new(is_mqtt_5: bool) -> Self {
        let bytes = Vec::new();
        Self { bytes, is_mqtt_5 }
    }

    /// Takes what has passed.
    pub(crate) fn read(&mut self, bytes: &[u8], released: &mut Released) {
        self.bytes.extend_from_slice(bytes);
        while let Some(length) = packet_length(&self.bytes) {
            let packet: Vec<_> = self.bytes.drain(..length).collect();
            released.note(&packet, self.is_mqtt_5);
        }
    }
}

impl Released {
    fn note(&mut self, packet: &[u8], is_mqtt_5: bool) {
        let mut rest = &packet[1..];
        take_number(&mut rest);
        match packet[0] & 0xF6 {
            0x34 => {
                let topic = take(&mut rest, 2);
                let topic = take(&mut rest, number(topic)).to_vec();
                let id = number(take(&mut rest, 2)) as u16;
                if is_mqtt_5 {
                    let properties = take_number(&mut rest);
                    take(&mut rest, properties);
                }
                if packet[0] & 8 == 0 {
                    self.ids.remove(&id);
                } else if self.ids.contains(&id) {
                    let topic = String::from_utf8(topic).expect("a topic name");
                    let digits = rest.split(|byte| *byte == b' ').next();
                    let digits = std::str::from_utf8(digits.unwrap()).expect("a number");
                    let number = digits.parse().expect("a number");
                    self.again.insert((topic, number));
                }
            }
            0x62 => {
                self.ids.insert(number(&rest[..2]) as u16);
            }
            _ => {}
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}

fn number(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Takes a variable byte integer (1.5.5).
fn take_number(rest: &mut &[u8]) -> usize {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(rest, 1)[0];
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
