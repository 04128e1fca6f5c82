//! Seeded random streams: what one client sends, valid or slightly broken.
//!
//! Framing is always intact, so that whoever waits for an answer gets one: a
//! change of the body changes the remaining length too.

use crate::common::raw::{packet, text};

/// A small generator of random numbers (SplitMix64): the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// True in `percent` of all cases.
    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What one client does: connections one after the other.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) connections: Vec<Connection>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// 3, 4 or 5.
    pub(crate) version: u8,
    /// CONNECT first.
    pub(crate) packets: Vec<Vec<u8>>,
}

impl Stream {
    /// The stream of a seed. Its topics and identifiers are its own.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let version = random.pick(&[3, 4, 4, 5, 5, 5]);
        let mut maker = Maker {
            random,
            seed,
            version,
        };
        let count = maker.random.pick(&[1, 2]);
        let connections = (0..count).map(|_| maker.connection()).collect();
        Self { connections }
    }
}

struct Maker {
    random: Random,
    seed: u64,
    version: u8,
}

const DISCONNECT: u8 = 0xE0;

impl Maker {
    fn connection(&mut self) -> Connection {
        let mut packets = vec![self.connect()];
        if self.random.chance(15) {
            self.break_it(&mut packets[0]);
        }
        for _ in 0..self.random.below(7) {
            let mut packet = self.packet();
            let exchange = packet[0] & 0xF6 == 0x34;
            let id = packet_id(&packet);
            if self.random.chance(25) {
                self.break_it(&mut packet);
            }
            packets.push(packet);
            // A message of QoS 2 is handed out at PUBLISH here, at PUBREL there.
            if exchange && self.random.chance(95) {
                packets.push(crate::common::raw::packet(0x62, &[&id.to_be_bytes()]));
            }
        }
        let goodbye = match self.version {
            5 if self.random.chance(30) => packet(DISCONNECT, &[&[4]]),
            _ => packet(DISCONNECT, &[]),
        };
        packets.push(goodbye);
        Connection {
            version: self.version,
            packets,
        }
    }

    fn topic(&mut self) -> Vec<u8> {
        let name = self.random.pick(&["a", "b", "a/b", "a/c", "é", "", "a//"]);
        text(&format!("d{}/{name}", self.seed))
    }

    fn filter(&mut self) -> Vec<u8> {
        let seed = self.seed;
        let filter = self
            .random
            .pick(&["a", "+", "#", "a/+", "+/b", "a/#", "x", "a/#/b", "a+"]);
        text(&match self.random.below(10) {
            0 => format!("$share/g/d{seed}/{filter}"),
            _ => format!("d{seed}/{filter}"),
        })
    }

    fn id(&mut self) -> [u8; 2] {
        self.random.pick(&[1, 2, 3, 4, 5, 0x1234_u16]).to_be_bytes()
    }

    /// Properties with their length; nothing before MQTT 5.
    fn properties(&mut self, choices: &[&[u8]]) -> Vec<u8> {
        if self.version != 5 {
            return Vec::new();
        }
        let mut properties = Vec::new();
        for choice in choices {
            if self.random.chance(20) {
                properties.extend_from_slice(choice);
            }
        }
        if self.random.chance(5) {
            let foreign = self.random.pick(PROPERTIES);
            properties.extend_from_slice(foreign);
        }
        properties.insert(0, properties.len() as u8);
        properties
    }

    fn connect(&mut self) -> Vec<u8> {
        let clean = self.random.chance(50);
        let will = self.random.chance(30);
        let mut flags = u8::from(clean) << 1;
        let properties = self.properties(&[
            b"\x11\0\0\0\x3c",
            b"\x21\0\x05",
            b"\x22\0\x05",
            b"\x17\0",
            b"\x19\x01",
            b"\x26\0\x01k\0\x01v",
            b"\x27\0\x01\0\0",
        ]);
        let mut payload = match self.random.below(10) {
            0 => text(""),
            _ => text(&format!("d{}", self.seed)),
        };
        if will {
            let (qos, retain) = (self.random.pick(&[0, 1, 2]), self.random.chance(50));
            flags |= 0x04 | qos << 3 | u8::from(retain) << 5;
            payload.extend(self.properties(&[b"\x01\x01", b"\x03\0\x01t", b"\x26\0\x01k\0\x01v"]));
            payload.extend(self.topic());
            payload.extend(text("gone"));
        }
        if self.random.chance(20) {
            flags |= 0x80;
            payload.extend(text("user"));
            if self.random.chance(50) {
                flags |= 0x40;
                payload.extend(text("password"));
            }
        }
        let name = if self.version == 3 { "MQIsdp" } else { "MQTT" };
        let head = [self.version, flags, 0, 60];
        packet(0x10, &[&text(name), &head, &properties, &payload])
    }

    fn packet(&mut self) -> Vec<u8> {
        match self.random.below(20) {
            0..=6 => self.publish(),
            7..=11 => self.subscribe(),
            12..=13 => self.unsubscribe(),
            14..=17 => self.acknowledgement(),
            18 => packet(0xC0, &[]),
            _ => {
                let kind = self
                    .random
                    .pick(&[0x10, 0x20, 0x90, 0xB0, 0xD0, 0xF0, 0x00]);
                let body = self
                    .random
                    .pick(&[&b""[..], b"\0\0", b"\0\x01\0", b"\x18\x00"]);
                packet(kind, &[body])
            }
        }
    }

    fn publish(&mut self) -> Vec<u8> {
        let qos = self.random.pick(&[0, 1, 1, 2]);
        let flags = qos << 1 | u8::from(self.random.chance(30));
        let mut topic = self.topic();
        let id = if qos > 0 {
            self.id().to_vec()
        } else {
            Vec::new()
        };
        let properties = self.properties(&[
            b"\x01\x01",
            b"\x02\0\0\x01\0",
            b"\x08\0\x01r",
            b"\x09\0\x02\0\xff",
            b"\x23\0\x01",
            b"\x26\0\x01k\0\x01v",
        ]);
        if properties.contains(&0x23) && self.random.chance(50) {
            topic = text("");
        }
        let payload = self.random.pick(&[&b"x"[..], b"", b"hello", &[0xFF; 200]]);
        packet(0x30 | flags, &[&topic, &id, &properties, payload])
    }

    fn subscribe(&mut self) -> Vec<u8> {
        let mut parts = vec![self.id().to_vec()];
        parts.push(self.properties(&[b"\x0b\x07", b"\x26\0\x01k\0\x01v"]));
        for _ in 0..=self.random.below(3) {
            parts.push(self.filter());
            let options = match self.version {
                5 => self
                    .random
                    .pick(&[0, 1, 2, 4, 8, 0x10, 0x20, 0x2D, 0x30, 3]),
                _ => self.random.pick(&[0, 0, 1, 1, 2, 2, 3]),
            };
            parts.push(vec![options]);
        }
        packet(0x82, &[&parts.concat()])
    }

    fn unsubscribe(&mut self) -> Vec<u8> {
        let mut parts = vec![self.id().to_vec()];
        parts.push(self.properties(&[b"\x26\0\x01k\0\x01v"]));
        for _ in 0..=self.random.below(2) {
            parts.push(self.filter());
        }
        packet(0xA2, &[&parts.concat()])
    }

    fn acknowledgement(&mut self) -> Vec<u8> {
        let first = self.random.pick(&[0x40, 0x50, 0x62, 0x70]);
        let id = self.id();
        let reason = self.random.pick(&[0, 0, 0x10, 0x80, 0x87, 0x92, 0x01]);
        let more: &[u8] = match (self.version, self.random.below(4)) {
            (5, 0) => &[reason],
            (5, 1) => &[reason, 0],
            (5, 2) => &[reason, 4, 0x1F, 0, 1, b'r'],
            _ => &[],
        };
        packet(first, &[&id, more])
    }

    /// One or two small changes.
    fn break_it(&mut self, bytes: &mut Vec<u8>) {
        let (mut first, mut body) = (bytes[0], body(bytes).to_vec());
        for _ in 0..self.random.pick(&[1, 1, 1, 2]) {
            let at = |random: &mut Random, end: usize| random.below(end.max(1)).min(end);
            match self.random.below(8) {
                0 => first ^= 1 << self.random.below(4),
                1 if body.is_empty() => body.push(0),
                1 | 2 => {
                    let index = at(&mut self.random, body.len());
                    let byte = self.random.pick(b"\0\x01\x02\x7f\x80\xff+#$/");
                    if let Some(place) = body.get_mut(index) {
                        *place = byte;
                    }
                }
                3 => {
                    let index = at(&mut self.random, body.len());
                    let bit = self.random.below(8);
                    if let Some(place) = body.get_mut(index) {
                        *place ^= 1 << bit;
                    }
                }
                4 => {
                    let index = at(&mut self.random, body.len());
                    let byte = self.random.next() as u8;
                    body.insert(index, byte);
                }
                5 if !body.is_empty() => {
                    let index = at(&mut self.random, body.len());
                    body.remove(index);
                }
                6 => {
                    let length = at(&mut self.random, body.len());
                    body.truncate(length);
                }
                _ => {
                    let byte = self.random.next() as u8;
                    body.push(byte);
                }
            }
        }
        *bytes = packet(first, &[&body]);
    }
}

/// One of each property, to be put where it may not belong.
const PROPERTIES: &[&[u8]] = &[
    b"\x01\0",
    b"\x02\0\0\0\x01",
    b"\x0b\x01",
    b"\x12\0\x01a",
    b"\x13\0\x01",
    b"\x15\0\x01m",
    b"\x16\0\x01d",
    b"\x17\x02",
    b"\x18\0\0\0\x01",
    b"\x1c\0\x01s",
    b"\x1f\0\x01r",
    b"\x21\0\0",
    b"\x22\0\x01",
    b"\x23\0\0",
    b"\x24\x01",
    b"\x27\0\0\0\0",
    b"\x2a\x01",
    b"\x30\0",
];

/// What follows the fixed header.
pub(crate) fn body(packet: &[u8]) -> &[u8] {
    let length_bytes = packet[1..].iter().take_while(|byte| **byte & 0x80 != 0);
    &packet[2 + length_bytes.count()..]
}

/// The packet identifier of a PUBLISH above QoS 0 that is intact.
fn packet_id(publish: &[u8]) -> u16 {
    let body = body(publish);
    if body.len() < 2 || publish[0] & 0xF0 != 0x30 || publish[0] & 6 == 0 {
        return 0;
    }
    let after = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    match body.get(after..after + 2) {
        Some(id) => u16::from_be_bytes([id[0], id[1]]),
        None => 0,
    }
}
