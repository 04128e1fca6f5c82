//! Answers to clients: acknowledgements and other packets that wait until what
//! they promise is committed.

use super::connection::{Connection, ConnectionId};
use super::peers::{Peers, open_outbox};
use super::session::SessionId;
use crate::codec::{Ack, AckKind, Packet, Properties, Property, ReasonCode, Version};
use crate::config::LogType;
use crate::session::PubRec;

/// The length of an acknowledgement with a reason code.
const ACK_LENGTH: usize = 5;

/// What a reason string adds to a packet at most, beside its words: identifier
/// and length, and longer lengths of properties and packet.
const REASON_OVERHEAD: usize = 3 + 3 + 3;

impl Peers {
    /// Appends a packet to a connection's outbox.
    pub(super) fn send(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        let Some(connection) = self.connections.get_mut(id.slot()).filter(|c| c.id == id) else {
            return;
        };
        let version = connection.version;
        self.stats.messages_sent += 1;
        if let Some(held) = connection.held.as_mut().filter(|held| held.is_gate()) {
            held.push(0, |out| packet.encode(version, out));
            return;
        }
        self.outboxes += connection.count_outbox();
        let out = open_outbox(connection, &mut self.effects, &mut self.spare);
        packet.encode(version, out);
    }

    /// Appends the answer to a packet: it leaves when what the packet made
    /// durable is committed, and after the answers before it.
    pub(super) fn answer(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        let promised = self.journal.promised();
        let Some(connection) = self.connections.get_mut(id.slot()).filter(|c| c.id == id) else {
            return;
        };
        if promised.is_none() && connection.held.is_none() {
            self.send(id, packet);
            return;
        }
        self.stats.messages_sent += 1;
        let version = connection.version;
        let held = connection.held.get_or_insert_default();
        if held.push(promised.unwrap_or(0), |out| packet.encode(version, out)) {
            self.journal.await_commit(held.last_group(), id);
        }
    }

    /// The same for an answer that goes before everything that follows it.
    pub(super) fn answer_first(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        self.answer(id, packet);
        if let Some(connection) = self.connection(id)
            && let Some(held) = &mut connection.held
        {
            held.bar();
        }
    }

    /// Lets go of what a connection held back and is safe now.
    pub(super) fn release_held(&mut self, id: ConnectionId) {
        let committed = self.journal.committed();
        let Some(connection) = self.connections.get_mut(id.slot()).filter(|c| c.id == id) else {
            return;
        };
        let Some(mut held) = connection.held.take() else {
            return;
        };
        self.outboxes += connection.count_outbox();
        let out = open_outbox(connection, &mut self.effects, &mut self.spare);
        let was_gate = held.is_gate();
        let is_empty = held.release(committed, out);
        let opened = was_gate && !held.is_gate();
        if !is_empty {
            connection.held = Some(held);
        }
        if opened {
            self.pump(id);
        }
    }

    /// Appends an acknowledgement.
    pub(super) fn acknowledge(
        &mut self,
        id: ConnectionId,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
    ) {
        self.acknowledge_explained(id, kind, packet_id, reason, None);
    }

    /// The same with words for the client, where it takes them.
    pub(super) fn acknowledge_explained(
        &mut self,
        id: ConnectionId,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
        words: Option<&str>,
    ) {
        let properties = match words {
            None => Properties::new(),
            Some(words) => self.reason_string(id, ACK_LENGTH, words),
        };
        self.log(LogType::Debug, |peers| {
            let name = super::log_name(kind);
            format!(
                "Sending {name} to {} (m{packet_id}, rc{})",
                peers.name(id),
                reason.0
            )
        });
        self.answer(
            id,
            &Packet::Ack(
                kind,
                Ack {
                    packet_id,
                    reason,
                    properties,
                },
            ),
        );
    }

    /// The reason string for a client that is denied something: none where it
    /// wants none, or where the packet, so long without it, would be too long
    /// for it with it (3.4.2.2.2).
    pub(super) fn reason_string(
        &mut self,
        id: ConnectionId,
        length: usize,
        words: &str,
    ) -> Properties<'static> {
        let mut properties = Properties::new();
        let fits = |connection: &mut Connection| {
            connection.version == Version::V5
                && connection.wants_reasons
                && length + REASON_OVERHEAD + words.len() <= connection.max_packet_size
        };
        if self.connection(id).is_some_and(fits) {
            properties.push(Property::ReasonString(words));
        }
        properties
    }

    /// PUBACK, PUBREC and PUBCOMP from a client.
    ///
    /// # Errors
    /// The words for a protocol error.
    pub(super) fn acknowledged(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        kind: AckKind,
        ack: &Ack<'_>,
    ) -> Result<(), &'static str> {
        use crate::session::FlowError::{UnknownId, WrongStage};
        let session_id = session;
        let Some(session) = self.session(session) else {
            return Ok(());
        };
        let flow = &mut session.outgoing;
        match kind {
            AckKind::PubAck => match flow.puback(ack.packet_id) {
                Err(WrongStage) => return Err("PUBACK for a message of QoS 2"),
                Ok(delivery) => self.note_done(session_id, delivery.sequence),
                Err(UnknownId) => {}
            },
            AckKind::PubRec => match flow.pubrec(ack.packet_id, ack.reason.is_error()) {
                Ok(PubRec::Refused(delivery)) => self.note_done(session_id, delivery.sequence),
                Ok(PubRec::Release(delivery)) => {
                    self.note_received(session_id, delivery.sequence, ack.packet_id);
                    self.acknowledge(id, AckKind::PubRel, ack.packet_id, ReasonCode::SUCCESS);
                }
                Ok(PubRec::ReleaseAgain) => {
                    self.acknowledge(id, AckKind::PubRel, ack.packet_id, ReasonCode::SUCCESS);
                }
                Err(UnknownId) if ack.reason.is_error() => {}
                Err(UnknownId) => {
                    let reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
                    self.acknowledge(id, AckKind::PubRel, ack.packet_id, reason);
                }
                Err(WrongStage) => return Err("PUBREC for a message of QoS 1"),
            },
            AckKind::PubComp => match flow.pubcomp(ack.packet_id) {
                Err(WrongStage) => return Err("PUBCOMP before PUBREC"),
                Ok(()) => self.note_completed(session_id, ack.packet_id),
                Err(UnknownId) => {}
            },
            AckKind::PubRel => {}
        }
        Ok(())
    }
}
