//! What a broker does with a stream, in a form that can be compared.

use std::collections::HashMap;
use std::time::Duration;

use crate::common::raw::Raw;
use crate::stream::{Connection, Stream, body};

/// How long an answer may take before the connection counts as stuck.
const PATIENCE: Duration = Duration::from_secs(3);

const PINGREQ: [u8; 2] = [0xC0, 0];

/// One packet that was sent, and what came back before the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) version: u8,
    /// The packet; the first of a connection is CONNECT.
    pub(crate) sent: Vec<u8>,
    pub(crate) answers: Vec<Answer>,
    /// Messages that were handed out.
    pub(crate) messages: Vec<String>,
    pub(crate) end: End,
    /// No further packet is sent on this connection.
    pub(crate) is_last: bool,
}

/// A packet of the broker without what nobody should depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The packet type.
    pub(crate) kind: u8,
    pub(crate) id: u16,
    /// Flags of CONNACK, reason codes of the others.
    pub(crate) codes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection goes on.
    Open,
    Closed,
    /// Neither an answer nor the end came.
    Stuck,
}

/// Plays a stream to the broker at this port, until it ends the connection.
pub(crate) fn play(port: u16, stream: &Stream) -> Vec<Step> {
    let mut steps = Vec::new();
    for connection in &stream.connections {
        let mut player = Player {
            raw: Raw::open(port),
            version: connection.version,
            aliases: HashMap::new(),
        };
        for (index, packet) in connection.packets.iter().enumerate() {
            let step = player.step(connection, index, packet);
            let is_last = step.end != End::Open || index + 1 == connection.packets.len();
            steps.push(Step { is_last, ..step });
            if is_last {
                break;
            }
        }
    }
    steps
}

struct Player {
    raw: Raw,
    version: u8,
    /// Topic aliases that the broker has set.
    aliases: HashMap<u16, String>,
}

impl Player {
    fn step(&mut self, connection: &Connection, index: usize, packet: &[u8]) -> Step {
        let mut step = Step {
            version: connection.version,
            sent: packet.to_vec(),
            answers: Vec::new(),
            messages: Vec::new(),
            end: End::Open,
            is_last: false,
        };
        // The answer to PINGREQ comes when all others are there.
        let fence: &[u8] = if index == 0 { &[] } else { &PINGREQ };
        let mut pings = usize::from(index > 0) + usize::from(index > 0 && packet[0] >> 4 == 12);
        // The broker may have closed the connection without a word.
        let _ = self.raw.try_send(&[packet, fence].concat());
        loop {
            match self.raw.packet_or_end(PATIENCE) {
                Ok(Some(packet)) => {
                    let kind = packet[0] >> 4;
                    self.note(&packet, &mut step);
                    pings -= usize::from(kind == 13 && pings > 0);
                    if pings == 0 && (kind == 13 || kind == 2 && fence.is_empty()) {
                        break;
                    }
                }
                Ok(None) => {
                    step.end = End::Closed;
                    break;
                }
                Err(_) => {
                    step.end = End::Stuck;
                    break;
                }
            }
        }
        // After a refusal the end must come, and it comes by itself.
        if step.answers.iter().any(|a| a.kind == 2 && a.codes[1] != 0) {
            step.end = match self.raw.packet_or_end(PATIENCE) {
                Ok(None) => End::Closed,
                _ => End::Stuck,
            };
        }
        step
    }

    fn note(&mut self, packet: &[u8], step: &mut Step) {
        let kind = packet[0] >> 4;
        let content = body(packet);
        let id = content
            .first_chunk::<2>()
            .map_or(0, |id| u16::from_be_bytes(*id));
        let (id, codes) = match kind {
            2 => (0, content[..2].to_vec()),
            3 => {
                let message = self.message(packet[0], content);
                step.messages.push(message);
                return;
            }
            4..=7 => (id, vec![content.get(2).copied().unwrap_or(0)]),
            9 | 11 => {
                let skip = if self.version == 5 { 3 } else { 2 };
                (id, content.get(skip..).unwrap_or_default().to_vec())
            }
            // Whether and how a client of MQTT 5 is told of its end changed
            // from 2.0 to 2.1.
            14 => return,
            _ => (0, Vec::new()),
        };
        step.answers.push(Answer { kind, id, codes });
    }

    /// QoS, retain, topic and payload; packet identifiers are the broker's own.
    fn message(&mut self, first: u8, content: &[u8]) -> String {
        let (qos, retain) = (first >> 1 & 3, first & 1);
        let mut rest = content;
        let mut topic = String::from_utf8_lossy(field(&mut rest)).into_owned();
        if qos > 0 {
            rest = &rest[2..];
        }
        let mut properties: &[u8] = &[];
        if self.version == 5 {
            let mut length = 0;
            for shift in (0..28).step_by(7) {
                let (byte, after) = rest.split_first().expect("properties");
                rest = after;
                length |= usize::from(byte & 0x7F) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            (properties, rest) = rest.split_at(length);
        }
        let mut told = Vec::new();
        while let Some((&id, mut after)) = properties.split_first() {
            let start = after;
            match id {
                0x01 => after = &after[1..],
                0x02 => after = &after[4..],
                0x03 | 0x08 | 0x09 => drop(field(&mut after)),
                0x0B | 0x23 => after = &after[usize::from(id == 0x23) + 1..],
                0x26 => {
                    field(&mut after);
                    field(&mut after);
                }
                _ => panic!("property {id:#x} in a PUBLISH"),
            }
            let value = &start[..start.len() - after.len()];
            properties = after;
            if id == 0x23 {
                let alias = u16::from_be_bytes([value[0], value[1]]);
                if topic.is_empty() {
                    topic.clone_from(&self.aliases[&alias]);
                } else {
                    self.aliases.insert(alias, topic.clone());
                }
            } else if id != 0x02 {
                told.push(format!("{id:02x}:{value:02x?}"));
            }
        }
        told.sort();
        let (length, start) = (rest.len(), &rest[..rest.len().min(8)]);
        format!("{topic:?} qos {qos} retain {retain} {length}:{start:02x?} {told:?}")
    }
}

/// Takes a field with its length in front.
fn field<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let (field, after) = rest[2..].split_at(length);
    *rest = after;
    field
}
