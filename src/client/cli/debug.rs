//! The lines of `-d`: one for each packet, as Mosquitto's clients print them.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::client::{Direction, Tracer};
use crate::codec::{
    AckKind, Connect, Packet, Publish, ReasonCode, RetainHandling, SubscriptionOptions,
};

/// A tracer that prints to standard output.
pub(super) fn tracer() -> Tracer {
    let mut lines = Lines::default();
    Box::new(move |direction, packet| {
        let text = lines.describe(direction, packet);
        // Debug lines into a pipe that nobody reads are of no use to anybody.
        let _ = io::stdout().write_all(text.as_bytes());
    })
}

#[derive(Default)]
struct Lines {
    client: String,
    /// Mosquitto numbers messages of QoS 0, too.
    last_id: u16,
}

impl Lines {
    fn describe(&mut self, direction: Direction, packet: &Packet<'_>) -> String {
        match packet {
            Packet::Connect(connect) => self.name(connect),
            Packet::ConnAck(ack) => {
                if let Some(id) = crate::property!(ack.properties, AssignedClientIdentifier) {
                    id.clone_into(&mut self.client);
                }
            }
            _ => {}
        }
        let mut out = String::new();
        for what in self.lines(direction, packet) {
            let _ = match what {
                Line::OfClient(what) => {
                    let verb = match direction {
                        Direction::Sent => "sending",
                        Direction::Received => "received",
                    };
                    writeln!(out, "Client {} {verb} {what}", self.client)
                }
                Line::Bare(what) => writeln!(out, "{what}"),
            };
        }
        out
    }

    fn name(&mut self, connect: &Connect<'_>) {
        let id = connect.client_id;
        if self.client.is_empty() || !id.is_empty() {
            let name = if id.is_empty() { "(null)" } else { id };
            name.clone_into(&mut self.client);
        }
    }

    fn lines(&mut self, direction: Direction, packet: &Packet<'_>) -> Vec<Line> {
        let sent = direction == Direction::Sent;
        let what = match packet {
            Packet::Connect(_) => "CONNECT".to_owned(),
            Packet::ConnAck(ack) => format!("CONNACK ({})", ack.reason.0),
            Packet::Publish(publish) => {
                let id = if sent {
                    self.count(publish.packet_id)
                } else {
                    publish.packet_id
                };
                describe_publish(publish, id)
            }
            Packet::Ack(kind, ack) => describe_ack(*kind, ack.packet_id, ack.reason, sent),
            Packet::Subscribe(subscribe) => {
                self.last_id = subscribe.packet_id;
                return subscribe
                    .requests
                    .iter()
                    .map(|request| {
                        Line::OfClient(format!(
                            "SUBSCRIBE (Mid: {}, Topic: {}, QoS: {}, Options: 0x{:02x})",
                            subscribe.packet_id,
                            request.filter,
                            request.options.qos as u8,
                            option_bits(request.options),
                        ))
                    })
                    .collect();
            }
            Packet::SubAck(_) => "SUBACK".to_owned(),
            Packet::Unsubscribe(unsubscribe) => {
                self.last_id = unsubscribe.packet_id;
                return unsubscribe
                    .filters
                    .iter()
                    .map(|filter| {
                        Line::OfClient(format!(
                            "UNSUBSCRIBE (Mid: {}, Topic: {filter})",
                            unsubscribe.packet_id
                        ))
                    })
                    .collect();
            }
            Packet::UnsubAck(_) => "UNSUBACK".to_owned(),
            Packet::PingReq => "PINGREQ".to_owned(),
            Packet::PingResp => "PINGRESP".to_owned(),
            Packet::Disconnect(disconnect) if !sent => {
                return vec![Line::Bare(format!(
                    "Received DISCONNECT ({})",
                    disconnect.reason.0
                ))];
            }
            Packet::Disconnect(_) => "DISCONNECT".to_owned(),
            Packet::Auth(_) => "AUTH".to_owned(),
        };
        vec![Line::OfClient(what)]
    }

    fn count(&mut self, packet_id: u16) -> u16 {
        self.last_id = match packet_id {
            0 => self.last_id.checked_add(1).unwrap_or(1),
            id => id,
        };
        self.last_id
    }
}

enum Line {
    /// What the client sends or has received.
    OfClient(String),
    /// A line of its own form.
    Bare(String),
}

fn describe_publish(publish: &Publish<'_>, id: u16) -> String {
    format!(
        "PUBLISH (d{}, q{}, r{}, m{id}, '{}', ... ({} bytes))",
        u8::from(publish.dup),
        publish.qos as u8,
        u8::from(publish.retain),
        publish.topic,
        publish.payload.len(),
    )
}

fn describe_ack(kind: AckKind, id: u16, reason: ReasonCode, sent: bool) -> String {
    let reason = reason.0;
    match (kind, sent) {
        (AckKind::PubAck, true) => format!("PUBACK (m{id}, rc{reason})"),
        (AckKind::PubRec, true) => format!("PUBREC (m{id}, rc{reason})"),
        (AckKind::PubRel, true) => format!("PUBREL (m{id})"),
        (AckKind::PubComp, true) => format!("PUBCOMP (m{id})"),
        (AckKind::PubAck, false) => format!("PUBACK (Mid: {id}, RC:{reason})"),
        (AckKind::PubRec, false) => format!("PUBREC (Mid: {id})"),
        (AckKind::PubRel, false) => format!("PUBREL (Mid: {id})"),
        (AckKind::PubComp, false) => format!("PUBCOMP (Mid: {id}, RC:{reason})"),
    }
}

/// The options beside the QoS.
fn option_bits(options: SubscriptionOptions) -> u8 {
    let handling = match options.retain_handling {
        RetainHandling::Always => 0x00,
        RetainHandling::IfNew => 0x10,
        RetainHandling::Never => 0x20,
    };
    u8::from(options.no_local) << 2 | u8::from(options.retain_as_published) << 3 | handling
}
