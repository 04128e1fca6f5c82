//! Acknowledgements from a client. Who read many messages at once answers them
//! at once: packets in a row that differ in their packet identifiers only.

use super::connection::ConnectionId;
use super::peers::Peers;
use super::session::SessionId;
use super::{Core, Refusal};
use crate::codec::{Ack, AckKind, Frame, ReasonCode};
use crate::config::LogType;
use crate::session::PubRec;
use crate::store::Record;

/// Acknowledgements without reason codes, of one kind.
pub(super) type Row<'a> = &'a [[u8; 4]];

/// What is right behind an acknowledgement and says the same of other packets;
/// empty behind any other packet.
pub(super) fn row_behind<'a>(first: Frame<'_>, bytes: &'a [u8]) -> Row<'a> {
    let [kind, length, _, _] = *first.bytes else {
        return &[];
    };
    let (packets, _) = bytes.as_chunks();
    let alike = |packet: &&[u8; 4]| packet[..2] == [kind, length] && packet[2..] != [0, 0];
    &packets[..packets.iter().take_while(alike).count()]
}

/// The packet identifiers of a row.
pub(super) fn packet_ids(row: Row<'_>) -> impl Iterator<Item = u16> {
    row.iter()
        .map(|&[_, _, high, low]| u16::from_be_bytes([high, low]))
}

impl Core {
    /// An acknowledgement, and the row behind it.
    pub(super) fn settle(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        kind: AckKind,
        first: &Ack<'_>,
        row: Row<'_>,
    ) -> Result<(), Refusal> {
        self.settle_one(id, session, kind, first.packet_id, first.reason)?;
        for packet_id in packet_ids(row) {
            self.peers.stats.messages_received += 1;
            self.peers.journal.begin(0);
            self.settle_one(id, session, kind, packet_id, ReasonCode::SUCCESS)?;
        }
        Ok(())
    }

    fn settle_one(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
    ) -> Result<(), Refusal> {
        self.peers.log(LogType::Debug, |peers| {
            let (name, id) = (log_name(kind), peers.name(id));
            format!(
                "Received {name} from {id} (Mid: {packet_id}, RC:{})",
                reason.0
            )
        });
        self.peers
            .acknowledged(id, session, kind, packet_id, reason)
            .map_err(Refusal::Unexpected)
    }
}

impl Peers {
    /// PUBACK, PUBREC, PUBREL and PUBCOMP from a client.
    ///
    /// # Errors
    /// The words for a protocol error.
    fn acknowledged(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
    ) -> Result<(), &'static str> {
        use crate::session::FlowError::{UnknownId, WrongStage};
        let session_id = session;
        let Some(session) = self.session(session) else {
            return Ok(());
        };
        let flow = &mut session.outgoing;
        match kind {
            AckKind::PubAck => match flow.puback(packet_id) {
                Err(WrongStage) => return Err("PUBACK for a message of QoS 2"),
                Ok(delivery) => self.note_done(session_id, delivery.sequence),
                Err(UnknownId) => {}
            },
            AckKind::PubRec => match flow.pubrec(packet_id, reason.is_error()) {
                Ok(PubRec::Refused(delivery)) => self.note_done(session_id, delivery.sequence),
                Ok(PubRec::Release(delivery)) => {
                    self.note_received(session_id, delivery.sequence, packet_id);
                    self.acknowledge(id, AckKind::PubRel, packet_id, ReasonCode::SUCCESS);
                }
                Ok(PubRec::ReleaseAgain) => {
                    self.acknowledge(id, AckKind::PubRel, packet_id, ReasonCode::SUCCESS);
                }
                Err(UnknownId) if reason.is_error() => {}
                Err(UnknownId) => {
                    let reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
                    self.acknowledge(id, AckKind::PubRel, packet_id, reason);
                }
                Err(WrongStage) => return Err("PUBREC for a message of QoS 1"),
            },
            AckKind::PubComp => match flow.pubcomp(packet_id) {
                Err(WrongStage) => return Err("PUBCOMP before PUBREC"),
                Ok(()) => self.note_completed(session_id, packet_id),
                Err(UnknownId) => {}
            },
            AckKind::PubRel => self.release(id, session_id, packet_id),
        }
        Ok(())
    }

    /// PUBREL: the message was handed out when it came; its identifier is free.
    fn release(&mut self, id: ConnectionId, session: SessionId, packet_id: u16) {
        let known = self
            .session(session)
            .is_some_and(|s| s.incoming.pubrel(packet_id));
        if known {
            self.promise(session, |session| Record::DropIncoming {
                session,
                packet_id,
            });
        }
        let reason = if known {
            ReasonCode::SUCCESS
        } else {
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
        };
        self.acknowledge(id, AckKind::PubComp, packet_id, reason);
    }
}

/// The packet's name in log lines.
pub(super) fn log_name(kind: AckKind) -> &'static str {
    match kind {
        AckKind::PubAck => "PUBACK",
        AckKind::PubRec => "PUBREC",
        AckKind::PubRel => "PUBREL",
        AckKind::PubComp => "PUBCOMP",
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Batch;
    use super::*;
    use crate::codec::{Packet, Version};

    /// The packet identifiers of the first row of acknowledgements, and how many
    /// packets come behind it.
    fn row(bytes: &[u8]) -> (Vec<u16>, usize) {
        let batch = Batch::decode(bytes, Version::V5, 100);
        let Packet::Ack(_, first) = &batch.packets[0].packet else {
            panic!("{batch:?}")
        };
        let behind = packet_ids(batch.packets[0].row);
        let ids = std::iter::once(first.packet_id).chain(behind).collect();
        let rest = batch.packets.len() - 1 + usize::from(batch.error.is_some());
        (ids, rest)
    }

    #[test]
    fn a_row_ends_where_more_than_the_packet_identifier_differs() {
        let alike = [0x40, 2, 0, 1, 0x40, 2, 0, 9, 0x40, 2, 1, 0];
        assert_eq!(row(&alike), (vec![1, 9, 256], 0));
        for other in [
            &[0x50, 2, 0, 2][..],
            &[0x40, 3, 0, 2, 0],
            &[0x40, 4, 0, 2, 0, 0],
            &[0x40, 2, 0, 0],
            &[0x42, 2, 0, 2],
            &[0xC0, 0],
        ] {
            let (ids, rest) = row(&[&alike, other].concat());
            assert_eq!((ids, rest), (vec![1, 9, 256], 1), "{other:02x?}");
        }
        // With a reason code the first says something else than what follows.
        assert_eq!(row(&[0x40, 3, 0, 1, 0, 0x40, 2, 0, 2]), (vec![1], 1));
        assert_eq!(row(&[0x40, 2, 0, 1, 0x40, 2, 0]), (vec![1], 0));
    }
}
