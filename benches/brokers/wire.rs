//! As much of MQTT 3.1.1 as a load needs. On purpose not the library's codec:
//! the generator must cost less, and shall not share its mistakes.

/// CONNACK, accepted, no session present.
pub(crate) const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
/// The same, with a session that was there before.
pub(crate) const CONNACK_PRESENT: [u8; 4] = [0x20, 2, 1, 0];
pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0];
pub(crate) const PINGRESP: [u8; 2] = [0xD0, 0];
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;
const PUBREL: u8 = 0x62;
const PUBCOMP: u8 = 0x70;

/// A session that begins and ends with its connection. With a name, that is
/// user name and password too.
pub(crate) fn connect(client: &str, name: Option<&str>) -> Vec<u8> {
    let flags = if name.is_some() { 0xC2 } else { 0x02 };
    connect_with(flags, client, name)
}

/// A session that lasts.
pub(crate) fn connect_lasting(client: &str) -> Vec<u8> {
    connect_with(0, client, None)
}

fn connect_with(flags: u8, client: &str, name: Option<&str>) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04".to_vec();
    // The longest keep alive, because rumqttd takes no client without.
    body.extend([flags, 0xFF, 0xFF]);
    put_text(&mut body, client);
    for text in name.iter().flat_map(|name| [name, name]) {
        put_text(&mut body, text);
    }
    framed(0x10, &body)
}

pub(crate) fn subscribe<'f>(filters: impl IntoIterator<Item = &'f str>, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    for filter in filters {
        put_text(&mut body, filter);
        body.push(qos);
    }
    framed(0x82, &body)
}

/// The answer to a SUBSCRIBE with so many filters: granted as asked.
pub(crate) fn suback(filters: usize, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.resize(body.len() + filters, qos);
    framed(0x90, &body)
}

/// A PUBLISH; the packet identifier counts above QoS 0 only.
pub(crate) fn publish(
    topic: &str,
    qos: u8,
    retain: bool,
    packet_id: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, topic);
    if qos > 0 {
        body.extend(packet_id.to_be_bytes());
    }
    body.extend(payload);
    framed(PUBLISH | qos << 1 | u8::from(retain), &body)
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
    pub(crate) publisher: u32,
    pub(crate) sequence: u32,
    /// Nanoseconds since the load began.
    pub(crate) sent: u64,
}

impl Stamp {
    const SIZE: usize = 16;

    pub(crate) fn write(self, payload: &mut [u8]) {
        payload[..4].copy_from_slice(&self.publisher.to_ne_bytes());
        payload[4..8].copy_from_slice(&self.sequence.to_ne_bytes());
        payload[8..16].copy_from_slice(&self.sent.to_ne_bytes());
    }

    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (words, _) = payload.first_chunk::<{ Self::SIZE }>()?.as_chunks::<4>();
        let [publisher, sequence] = [words[0], words[1]].map(u32::from_ne_bytes);
        let [low, high] = [words[2], words[3]];
        let mut sent = [0; 8];
        sent[..4].copy_from_slice(&low);
        sent[4..].copy_from_slice(&high);
        Some(Self {
            publisher,
            sequence,
            sent: u64::from_ne_bytes(sent),
        })
    }
}

/// A PUBLISH encoded once; each message is a copy with its stamp put in.
pub(crate) struct Template {
    frame: Vec<u8>,
    identifier: Option<usize>,
    payload: usize,
    /// Topics to take turns, and where in the frame their number is.
    topics: u32,
    number: usize,
}

/// The number of a topic among many has as many digits, so that it can be
/// written over another.
pub(crate) const DIGITS: usize = 7;

impl Template {
    /// Where there are several topics, their names end with a number.
    pub(crate) fn new(topic: &str, topics: u32, qos: u8, payload: usize) -> Self {
        assert!(payload >= Stamp::SIZE, "the payload must hold the stamp");
        let frame = publish(topic, qos, false, 0, &vec![b'.'; payload]);
        let payload = frame.len() - payload;
        let end_of_topic = payload - if qos > 0 { 2 } else { 0 };
        Self {
            frame,
            identifier: (qos > 0).then_some(end_of_topic),
            payload,
            topics,
            number: end_of_topic - DIGITS.min(topic.len()),
        }
    }

    pub(crate) fn append(&self, stamp: Stamp, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        let frame = &mut out[start..];
        stamp.write(&mut frame[self.payload..]);
        if self.topics > 1 {
            let mut number = stamp.sequence % self.topics;
            for digit in frame[self.number..self.number + DIGITS].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        if let Some(at) = self.identifier {
            // Never zero, and never in use twice within any window.
            let identifier = (stamp.sequence % 0xFFFF) as u16 + 1;
            frame[at..at + 2].copy_from_slice(&identifier.to_be_bytes());
        }
    }
}

/// A packet that arrives while the load runs.
pub(crate) enum Packet<'b> {
    Publish {
        qos: u8,
        identifier: [u8; 2],
        payload: &'b [u8],
    },
    Acknowledgement {
        kind: u8,
        identifier: [u8; 2],
    },
    Unexpected,
}

impl Packet<'_> {
    /// The packet at the start of the bytes and its length, once it is complete.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Packet<'_>, usize)> {
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

fn parse_publish(qos: u8, body: &[u8]) -> Option<Packet<'_>> {
    let (&topic, rest) = body.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(topic))..)?;
    let (identifier, payload) = match qos {
        0 => ([0, 0], rest),
        _ => rest.split_first_chunk().map(|(&id, rest)| (id, rest))?,
    };
    Some(Packet::Publish {
        qos,
        identifier,
        payload,
    })
}

fn parse_acknowledgement(kind: u8, body: &[u8]) -> Option<Packet<'_>> {
    let known = matches!(kind, PUBACK | PUBREC | PUBREL | PUBCOMP);
    let identifier = body.try_into().ok().filter(|_| known)?;
    Some(Packet::Acknowledgement { kind, identifier })
}
