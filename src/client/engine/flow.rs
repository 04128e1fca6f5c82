//! What packets of the server mean for the client's messages, in both
//! directions.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::super::keep_alive::KeepAlive;
use super::super::wire::{Received as RawPacket, Wire};
use super::super::{ConnAckInfo, DisconnectReason, Event, Message, PublishId};
use super::{Client, Direction, Tracer, trace};
use crate::codec::{
    Ack, AckKind, ConnAck, DecodeError, MAX_REMAINING_LENGTH, Packet, Properties, Publish, QoS,
    ReasonCode, Side, Version,
};
use crate::property;
use crate::session::{FlowError, Incoming, PubRec, Received, Resend, aliases};

/// A message of QoS 1 or 2 on its way out.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) id: PublishId,
    pub(super) topic: Box<str>,
    pub(super) payload: Box<[u8]>,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) properties: Properties<'static>,
}

impl Outbound {
    fn packet(&self, packet_id: u16, dup: bool) -> Publish<'_> {
        Publish {
            dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id,
            properties: Properties::from_encoded(self.properties.as_bytes()),
            payload: &self.payload,
        }
    }
}

/// What the server has said in CONNACK about itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerLimits {
    pub(super) receive_maximum: u16,
    pub(super) maximum_packet_size: usize,
    pub(super) maximum_qos: u8,
    pub(super) retain_available: bool,
}

impl ServerLimits {
    pub(super) fn new(properties: &Properties<'_>) -> Self {
        Self {
            receive_maximum: property!(properties, ReceiveMaximum).unwrap_or(u16::MAX),
            // Five bytes of fixed header in front of the longest rest.
            maximum_packet_size: property!(properties, MaximumPacketSize)
                .map_or(MAX_REMAINING_LENGTH + 5, |size| size as usize),
            maximum_qos: property!(properties, MaximumQoS).unwrap_or(2),
            retain_available: property!(properties, RetainAvailable) != Some(0),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A connection stands: takes the session up where it was left.
    pub(super) fn accepted(&mut self, wire: Wire<S>, ack: ConnAck<'_>) -> ConnAckInfo {
        self.wire = Some(wire);
        self.limits = ServerLimits::new(&ack.properties);
        self.aliases = aliases::Received::default();
        self.keep_alive = KeepAlive::new(
            property!(ack.properties, ServerKeepAlive).unwrap_or(self.options.keep_alive),
        );
        let window = self.limits.receive_maximum.min(self.options.max_inflight);
        let mut republished = 0;
        if ack.session_present {
            self.outgoing.resume(window);
            self.incoming.resume();
        } else {
            self.incoming = Incoming::default();
            let queued = self.outgoing.queued_len();
            self.outgoing.restart(window);
            // A server may hand a message out only when it is released, and
            // this one has forgotten it before that.
            let mut releasing: Vec<_> =
                self.releasing.drain().map(|(_, message)| message).collect();
            releasing.sort_unstable_by_key(|message| message.id);
            for message in releasing.into_iter().rev() {
                self.outgoing.push_front(message);
            }
            republished = self.outgoing.queued_len() - queued;
        }
        self.send_waiting();
        let assigned = property!(ack.properties, AssignedClientIdentifier).map(str::to_owned);
        ConnAckInfo {
            session_present: ack.session_present,
            assigned_client_id: assigned,
            properties: ack.properties.into_owned(),
            republished,
        }
    }

    /// Acts on a packet of the server.
    pub(super) fn handle(&mut self, raw: RawPacket) -> Result<Option<Event>, DecodeError> {
        let packet = Packet::decode(raw.frame(), self.options.version, Side::Server)?;
        trace(&mut self.tracer, Direction::Received, &packet);
        Ok(match packet {
            Packet::Publish(publish) => self
                .on_publish(&publish)?
                .map(|topic| Event::Message(message(&raw, publish, topic))),
            Packet::Ack(kind, ack) => self.on_ack(kind, ack)?,
            Packet::SubAck(ack) => Some(Event::SubAck {
                packet_id: ack.packet_id,
                reasons: ack.reasons.into_owned(),
                properties: ack.properties.into_owned(),
            }),
            Packet::UnsubAck(ack) => Some(Event::UnsubAck {
                packet_id: ack.packet_id,
                reasons: ack.reasons.into_owned(),
                properties: ack.properties.into_owned(),
            }),
            Packet::PingResp => None,
            Packet::Disconnect(disconnect) => Some(self.lost(DisconnectReason::ByServer {
                reason: disconnect.reason,
                properties: disconnect.properties.into_owned(),
            })),
            _ => return Err(DecodeError::protocol("a packet that has no place here")),
        })
    }

    /// Acknowledges a PUBLISH. `None`: a repeat, not to be shown again;
    /// otherwise its topic name.
    fn on_publish(&mut self, publish: &Publish<'_>) -> Result<Option<String>, DecodeError> {
        let topic = self.resolve(publish)?;
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.acknowledge(AckKind::PubAck, publish.packet_id, true),
            QoS::ExactlyOnce => {
                let maximum = self.options.receive_maximum();
                // Servers may repeat as often as they like: no fingerprint.
                let received = self
                    .incoming
                    .publish(publish.packet_id, publish.dup, 0, maximum);
                if received == Received::TooMany {
                    return Err(DecodeError::with(
                        ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
                        "more messages than the receive maximum",
                    ));
                }
                self.acknowledge(AckKind::PubRec, publish.packet_id, true);
                if received != Received::New {
                    return Ok(None);
                }
            }
        }
        Ok(Some(topic))
    }

    /// The topic name of a PUBLISH, through its alias if need be.
    fn resolve(&mut self, publish: &Publish<'_>) -> Result<String, DecodeError> {
        let unknown = DecodeError::with(
            ReasonCode::TOPIC_ALIAS_INVALID,
            "a topic alias that means nothing",
        );
        let Some(alias) = property!(publish.properties, TopicAlias) else {
            return Ok(publish.topic.to_owned());
        };
        if publish.topic.is_empty() {
            return self.aliases.get(alias).map(str::to_owned).ok_or(unknown);
        }
        let maximum = self.options.topic_alias_maximum();
        if !self.aliases.set(alias, publish.topic, maximum) {
            return Err(unknown);
        }
        Ok(publish.topic.to_owned())
    }

    fn on_ack(&mut self, kind: AckKind, ack: Ack<'_>) -> Result<Option<Event>, DecodeError> {
        let packet_id = ack.packet_id;
        let done = match kind {
            // An unexpected PUBACK or PUBCOMP changes nothing and harms nobody.
            AckKind::PubAck => self.outgoing.puback(packet_id).ok().map(|m| m.id),
            AckKind::PubComp => match self.outgoing.pubcomp(packet_id) {
                Ok(()) => self.releasing.remove(&packet_id).map(|m| m.id),
                Err(_) => None,
            },
            AckKind::PubRec => self.on_pubrec(packet_id, ack.reason)?,
            AckKind::PubRel => {
                let known = self.incoming.pubrel(packet_id);
                self.acknowledge(AckKind::PubComp, packet_id, known);
                return Ok(None);
            }
        };
        self.send_waiting();
        Ok(done.map(|id| Event::Published {
            id,
            packet_id,
            reason: ack.reason,
            properties: ack.properties.into_owned(),
        }))
    }

    fn on_pubrec(
        &mut self,
        packet_id: u16,
        reason: ReasonCode,
    ) -> Result<Option<PublishId>, DecodeError> {
        match self.outgoing.pubrec(packet_id, reason.is_error()) {
            Ok(PubRec::Release(message)) => {
                self.releasing.insert(packet_id, message);
                self.acknowledge(AckKind::PubRel, packet_id, true);
            }
            Ok(PubRec::ReleaseAgain) => self.acknowledge(AckKind::PubRel, packet_id, true),
            Ok(PubRec::Refused(message)) => return Ok(Some(message.id)),
            Err(FlowError::UnknownId) => {
                self.acknowledge(AckKind::PubRel, packet_id, false);
            }
            Err(FlowError::WrongStage) => {
                return Err(DecodeError::protocol("PUBREC for a message of QoS 1"));
            }
        }
        Ok(None)
    }

    /// Sends an acknowledgement; not `known`: with the reason 'packet
    /// identifier not found'.
    fn acknowledge(&mut self, kind: AckKind, packet_id: u16, known: bool) {
        let reason = if known {
            ReasonCode::SUCCESS
        } else {
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
        };
        let ack = Ack {
            packet_id,
            reason,
            properties: Properties::new(),
        };
        self.send_connected(&Packet::Ack(kind, ack));
    }

    /// Sends what the window allows: repeats first, then what is queued.
    fn send_waiting(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let version = self.options.version;
        while let Some(resend) = self.outgoing.next_resend() {
            match resend {
                Resend::Publish(id, message) => {
                    send_publish(message.packet(id, true), version, wire, &mut self.tracer);
                }
                Resend::PubRel(packet_id) => {
                    let release = Packet::Ack(
                        AckKind::PubRel,
                        Ack {
                            packet_id,
                            reason: ReasonCode::SUCCESS,
                            properties: Properties::new(),
                        },
                    );
                    trace(&mut self.tracer, Direction::Sent, &release);
                    release.encode(version, &mut wire.output);
                }
            }
        }
        while self.outgoing.has_room()
            && let Some(message) = self.outgoing.pop()
        {
            let packet = message.packet(1, false);
            // It was queued for a server that took more.
            if packet.encoded_len(version) > self.limits.maximum_packet_size {
                self.events.push_back(Event::Published {
                    id: message.id,
                    packet_id: 0,
                    reason: ReasonCode::PACKET_TOO_LARGE,
                    properties: Properties::new(),
                });
                continue;
            }
            let packet_id = self.outgoing.send(Arc::clone(&message), message.qos);
            send_publish(
                message.packet(packet_id, false),
                version,
                wire,
                &mut self.tracer,
            );
        }
    }
}

pub(super) fn send_publish<S>(
    packet: Publish<'_>,
    version: Version,
    wire: &mut Wire<S>,
    tracer: &mut Option<Tracer>,
) {
    if tracer.is_none() {
        return packet.encode(version, &mut wire.output);
    }
    let packet = Packet::Publish(packet);
    trace(tracer, Direction::Sent, &packet);
    packet.encode(version, &mut wire.output);
}

/// The message of a PUBLISH. Its payload stays where it was read.
fn message(raw: &RawPacket, publish: Publish<'_>, topic: String) -> Message {
    Message {
        topic,
        payload: raw.bytes.slice_ref(publish.payload),
        qos: publish.qos,
        retain: publish.retain,
        dup: publish.dup,
        packet_id: publish.packet_id,
        properties: publish.properties.into_owned(),
    }
}
