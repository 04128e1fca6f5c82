//! Answers to clients: acknowledgements and other packets that wait until what
//! they promise is committed.

use super::connection::{Connection, ConnectionId};
use super::peers::{Peers, open_outbox};
use crate::codec::{Ack, AckKind, Packet, Properties, Property, ReasonCode, Version};
use crate::config::LogType;

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
        self.answer_with(id, |version, out| packet.encode(version, out));
    }

    #[inline]
    fn answer_with(&mut self, id: ConnectionId, encode: impl FnOnce(Version, &mut Vec<u8>)) {
        let promised = self.journal.promised();
        let Some(connection) = self.connections.get_mut(id.slot()).filter(|c| c.id == id) else {
            return;
        };
        self.stats.messages_sent += 1;
        if promised.is_some() || connection.held.is_some() {
            self.hold_answer(id, promised.unwrap_or(0), encode);
            return;
        }
        let version = connection.version;
        self.outboxes += connection.count_outbox();
        encode(
            version,
            open_outbox(connection, &mut self.effects, &mut self.spare),
        );
    }

    #[inline(never)]
    fn hold_answer(
        &mut self,
        id: ConnectionId,
        group: u64,
        encode: impl FnOnce(Version, &mut Vec<u8>),
    ) {
        let Some(connection) = self.connections.get_mut(id.slot()) else {
            return;
        };
        let version = connection.version;
        let held = connection.held.get_or_insert_default();
        if held.push(group, |out| encode(version, out)) {
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
        let ack = Ack {
            packet_id,
            reason,
            properties: Properties::new(),
        };
        self.answer_ack(id, kind, &ack);
    }

    /// The same with words for the client, where it takes them.
    pub(super) fn acknowledge_explained(
        &mut self,
        id: ConnectionId,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
        words: &str,
    ) {
        let ack = Ack {
            packet_id,
            reason,
            properties: self.reason_string(id, ACK_LENGTH, words),
        };
        self.answer_ack(id, kind, &ack);
    }

    #[inline]
    fn answer_ack(&mut self, id: ConnectionId, kind: AckKind, ack: &Ack<'_>) {
        self.log(LogType::Debug, |peers| {
            let name = super::acks::log_name(kind);
            format!(
                "Sending {name} to {} (m{}, rc{})",
                peers.name(id),
                ack.packet_id,
                ack.reason.0
            )
        });
        self.answer_with(id, |version, out| ack.encode(kind, version, out));
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
}
