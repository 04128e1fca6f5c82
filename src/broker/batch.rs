//! What one read of a connection brought.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;

use bytes::Bytes;

use super::Refusal;
use super::acks::{Row, row_behind};
use super::memory::{Ledger, Weighed};
use super::run::Run;
use crate::codec::{AckKind, Frame, Packet, QoS, ReasonCode, Side, Version};

/// The whole packets in a buffer, decoded outside the core and handed to it
/// together.
#[derive(Debug)]
pub struct Batch<'a> {
    bytes: &'a [u8],
    /// The packets in order.
    pub(super) packets: Vec<Arrival<'a>>,
    /// What ended the decoding, if it was not the end of the buffer. The
    /// connection is closed for it after the packets have had their effect.
    pub(super) error: Option<Refusal>,
    consumed: usize,
    copy: OnceCell<Bytes>,
    pub(super) progress: RefCell<Progress>,
    /// Tells it from other batches, once the core has seen it.
    pub(super) number: Cell<u64>,
}

/// A packet with its bytes, or the first of a run or a row.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) packet: Packet<'a>,
    pub(super) frame: Frame<'a>,
    /// What is behind an acknowledgement.
    pub(super) row: Row<'a>,
    /// On the heap, because few packets begin one.
    pub(super) run: Option<Box<Run<'a>>>,
}

impl Arrival<'_> {
    /// How many bytes it is, with all of its run or row.
    fn len(&self) -> usize {
        let run = self.run.as_ref().map(|run| run.bytes);
        run.unwrap_or(self.frame.bytes).len() + self.row.as_flattened().len()
    }
}

/// How far the core has come with a batch.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Packets and runs that are done.
    pub(super) packets: usize,
    /// Topic filters of the next one, a SUBSCRIBE or UNSUBSCRIBE, that are done.
    pub(super) filters: usize,
    /// The reason codes for them.
    pub(super) reasons: Vec<u8>,
    /// How many of them are refused for want of rights, and why the first is.
    pub(super) refused: usize,
    pub(super) words: Option<String>,
    /// Those of them whose retained messages are due behind SUBACK.
    pub(super) retained: VecDeque<(usize, QoS)>,
    /// The group that the answer to them waits for; 0: none.
    pub(super) promised: u64,
    /// How many more may be done before others have a turn.
    pub(super) budget: usize,
}

impl Progress {
    /// Whether nothing was done of the next packet.
    pub(super) fn is_fresh(&self) -> bool {
        self.filters == 0
    }

    /// Takes one filter's work from the budget; false: it is used up.
    pub(super) fn spend(&mut self) -> bool {
        let left = self.budget.checked_sub(1);
        self.budget = left.unwrap_or(0);
        left.is_some()
    }

    /// The next filter is refused with that code, and perhaps a reason for the
    /// client to read.
    pub(super) fn refuse(&mut self, code: u8, words: Option<String>) {
        self.reasons.push(code);
        self.words = self.words.take().or(words);
        self.refused += 1;
        self.filters += 1;
    }

    /// The packet is done.
    pub(super) fn finish(&mut self) {
        (self.filters, self.refused) = (0, 0);
        (self.reasons, self.words) = (Vec::new(), None);
    }
}

/// So many acknowledgements at once are many.
const MANY: usize = 8;

/// Room is made at once for so many packets at most, if they would fill the
/// buffer being as long as the first.
const FORESEEN: usize = 64;

impl<'a> Batch<'a> {
    /// Decodes the packets of a client at the start of `bytes`. What follows
    /// the last whole one stays with the caller, see
    /// [`consumed`](Self::consumed).
    pub fn decode(bytes: &'a [u8], version: Version, max_packet_size: u32) -> Self {
        let mut batch = Self {
            bytes,
            packets: Vec::new(),
            error: None,
            consumed: 0,
            copy: OnceCell::new(),
            progress: RefCell::default(),
            number: Cell::default(),
        };
        loop {
            match next(&bytes[batch.consumed..], version, max_packet_size) {
                Ok(Some(arrival)) => {
                    if batch.packets.is_empty() {
                        let alike = bytes.len() / arrival.len();
                        batch.packets.reserve_exact(alike.clamp(1, FORESEEN));
                    }
                    batch.consumed += arrival.len();
                    batch.packets.push(arrival);
                }
                Ok(None) => return batch,
                Err(refusal) => {
                    batch.error = Some(refusal);
                    return batch;
                }
            }
        }
    }

    /// How many bytes the packets took.
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// Whether there is nothing for the core in it.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.error.is_none()
    }

    /// Whether the first packet is a message, or answers one.
    pub fn begins_with_message(&self) -> bool {
        let first = self.packets.first().map(|arrival| &arrival.packet);
        matches!(first, Some(Packet::Publish(_) | Packet::Ack(..)))
    }

    /// Whether all that is to be answered are many PUBRECs: who takes many
    /// messages at once gets more soon, and the PUBRELs can go with them.
    pub fn can_be_answered_later(&self) -> bool {
        let mut received = 0;
        for Arrival { packet, row, .. } in &self.packets {
            match packet {
                Packet::Ack(AckKind::PubRec, _) => received += 1 + row.len(),
                Packet::Ack(AckKind::PubComp, _) => {}
                _ => return false,
            }
        }
        received >= MANY && self.error.is_none()
    }

    /// A part of the batch that outlives the read buffer. The batch is copied
    /// once, when the first part is asked for; `ledger` counts that copy.
    pub(super) fn share(&self, part: &[u8], ledger: Option<&Ledger>) -> Bytes {
        let copy = self.copy.get_or_init(|| {
            let bytes = &self.bytes[..self.consumed];
            match ledger {
                None => Bytes::copy_from_slice(bytes),
                Some(ledger) => Bytes::from_owner(Weighed::new(bytes, ledger)),
            }
        });
        let start = (part.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        // A part of something else (a topic that an alias stood for) is copied.
        if start
            .checked_add(part.len())
            .is_some_and(|end| end <= copy.len())
        {
            copy.slice(start..start + part.len())
        } else {
            Bytes::copy_from_slice(part)
        }
    }
}

fn next(
    bytes: &[u8],
    version: Version,
    max_packet_size: u32,
) -> Result<Option<Arrival<'_>>, Refusal> {
    let max_packet_size = max_packet_size as usize;
    let split = Frame::split(bytes, max_packet_size);
    let frame = split.map_err(|error| match error.reason {
        ReasonCode::PACKET_TOO_LARGE => Refusal::Undecodable(error),
        _ => Refusal::Unframed(error),
    })?;
    let Some(frame) = frame else { return Ok(None) };
    let packet = Packet::decode(frame, version, Side::Client).map_err(Refusal::Undecodable)?;
    let (mut run, mut row): (_, Row) = (None, &[]);
    match &packet {
        Packet::Publish(first) => run = Run::find(bytes, first, frame, max_packet_size),
        Packet::Ack(..) => row = row_behind(frame, &bytes[frame.bytes.len()..]),
        _ => {}
    }
    Ok(Some(Arrival {
        packet,
        frame,
        row,
        run: run.map(Box::new),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_packets_are_taken_and_the_rest_stays() {
        let bytes = [0xC0, 0, 0x30, 5, 0, 1, b'a', b'h', b'i', 0xC0];
        let batch = Batch::decode(&bytes, Version::V311, 100);
        assert!(!batch.begins_with_message());
        assert!(Batch::decode(&bytes[2..], Version::V311, 100).begins_with_message());
        assert_eq!(batch.packets.len(), 2);
        assert_eq!(batch.consumed(), 9);
        assert_eq!(batch.error, None);
        let Packet::Publish(publish) = &batch.packets[1].packet else {
            panic!("{batch:?}")
        };
        assert_eq!(batch.share(publish.payload, None), "hi");
        assert_eq!(batch.share(b"elsewhere", None), "elsewhere");
    }

    #[test]
    fn only_many_pubrecs_can_be_answered_later() {
        let batch = |bytes: &[u8]| Batch::decode(bytes, Version::V311, 100).can_be_answered_later();
        let (pubrec, pubcomp) = ([0x50, 2, 0, 1], [0x70, 2, 0, 1]);
        assert!(batch(&pubrec.repeat(MANY)));
        assert!(batch(&[pubcomp.repeat(9), pubrec.repeat(MANY)].concat()));
        assert!(!batch(&pubrec.repeat(MANY - 1)));
        assert!(!batch(&pubcomp.repeat(MANY)));
        assert!(!batch(&[&pubrec.repeat(MANY)[..], &[0xC0, 0]].concat()));
        assert!(!batch(&[&pubrec.repeat(MANY)[..], &[0xC1, 0]].concat()));
    }

    #[test]
    fn an_error_keeps_the_packets_before_it() {
        let bytes = [0xC0, 0, 0xC1, 0];
        let batch = Batch::decode(&bytes, Version::V311, 100);
        assert_eq!(batch.packets.len(), 1);
        assert!(batch.error.is_some());
    }
}
