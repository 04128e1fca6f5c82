//! As much of MQTT 3.1.1 as a load needs. On purpose not the library's codec:
//! the generator must cost less, and shall not share its mistakes.

/// CONNACK, accepted, no session present.
pub(crate) const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

pub(crate) fn connect(client: &str) -> Vec<u8> {
    // Clean session; the longest keep alive, because rumqttd takes no client without.
    let mut body = b"\x00\x04MQTT\x04\x02\xFF\xFF".to_vec();
    put_text(&mut body, client);
    framed(0x10, &body)
}

pub(crate) fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    put_text(&mut body, filter);
    body.push(qos);
    framed(0x82, &body)
}

fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let mut rest = body.len();
    while rest > 0x7F {
        frame.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    frame.push(rest as u8);
    frame.extend(body);
    frame
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

/// The start of every payload: whose message it is, the which, and of when.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) publisher: u64,
    pub(crate) sequence: u64,
    /// Nanoseconds since the load began.
    pub(crate) sent: u64,
}

impl Stamp {
    const SIZE: usize = 24;

    fn write(self, payload: &mut [u8]) {
        payload[..8].copy_from_slice(&self.publisher.to_ne_bytes());
        payload[8..16].copy_from_slice(&self.sequence.to_ne_bytes());
        payload[16..24].copy_from_slice(&self.sent.to_ne_bytes());
    }
}

/// A PUBLISH encoded once; each message is a copy with its stamp put in.
pub(crate) struct Template {
    frame: Vec<u8>,
    identifier: Option<usize>,
    payload: usize,
}

impl Template {
    pub(crate) fn new(topic: &str, qos: u8, payload: usize) -> Self {
        assert!(payload >= Stamp::SIZE, "the payload must hold the stamp");
        let mut body = Vec::new();
        put_text(&mut body, topic);
        if qos > 0 {
            body.extend([0, 0]);
        }
        body.resize(body.len() + payload, b'.');
        let frame = framed(PUBLISH | qos << 1, &body);
        let payload = frame.len() - payload;
        Self {
            frame,
            identifier: (qos > 0).then(|| payload - 2),
            payload,
        }
    }

    pub(crate) fn append(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        stamp.write(&mut frame[self.payload..]);
        if let Some(at) = self.identifier {
            // Never zero, and never in use twice within any window.
            let identifier = (stamp.sequence % 0xFFFF) as u16 + 1;
            frame[at..at + 2].copy_from_slice(&identifier.to_be_bytes());
        }
    }
}

/// A packet that arrives while the load runs.
pub(crate) enum Packet {
    Publish { qos: u8, identifier: [u8; 2] },
    Acknowledgement { kind: u8, identifier: [u8; 2] },
    Unexpected,
}

impl Packet {
    /// The packet at the start of the bytes and its length, once it is complete.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Packet, usize)> {
        let (length, header) = remaining_length(bytes)?;
        let end = header + length;
        let body = bytes.get(header..end)?;
        let packet = match bytes[0] {
            first if first & 0xF0 == PUBLISH => parse_publish(first >> 1 & 3, body),
            kind => parse_acknowledgement(kind, body),
        };
        Some((packet.unwrap_or(Packet::Unexpected), end))
    }

    /// What MQTT says to answer to this packet, appended to `out`.
    pub(crate) fn answer(&self, out: &mut Vec<u8>) {
        let (kind, identifier) = match *self {
            Packet::Publish {
                qos: 1, identifier, ..
            } => (PUBACK, identifier),
            Packet::Publish {
                qos: 2, identifier, ..
            } => (PUBREC, identifier),
            Packet::Acknowledgement {
                kind: PUBREC,
                identifier,
            } => (PUBREL, identifier),
            Packet::Acknowledgement {
                kind: PUBREL,
                identifier,
            } => (PUBCOMP, identifier),
            _ => return,
        };
        out.extend_from_slice(&[kind, 2, identifier[0], identifier[1]]);
    }

    /// Whether this ends the exchange about a message that was published.
    pub(crate) fn completes(&self) -> bool {
        matches!(
            self,
            Packet::Acknowledgement {
                kind: PUBACK | PUBCOMP,
                ..
            }
        )
    }
}

/// The length of what follows the fixed header, and of that header.
fn remaining_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (index, &byte) in bytes.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7F) << (7 * (index - 1));
        if byte < 0x80 {
            return Some((length, index + 1));
        }
    }
    None
}

fn parse_publish(qos: u8, body: &[u8]) -> Option<Packet> {
    let (&topic, rest) = body.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(topic))..)?;
    let identifier = match qos {
        0 => [0, 0],
        _ => *rest.first_chunk()?,
    };
    Some(Packet::Publish { qos, identifier })
}

fn parse_acknowledgement(kind: u8, body: &[u8]) -> Option<Packet> {
    let known = matches!(kind, PUBACK | PUBREC | PUBREL | PUBCOMP);
    let identifier = body.try_into().ok().filter(|_| known)?;
    Some(Packet::Acknowledgement { kind, identifier })
}
