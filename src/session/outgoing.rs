//! The sender's half of QoS 1 and 2 (4.3.2, 4.3.3), with its queue.

use std::collections::VecDeque;

use super::id_table::IdTable;
use crate::codec::QoS;

/// What waits to be sent to one peer, and what was sent and is not
/// acknowledged yet.
///
/// `M` is a message in the caller's own form. Messages go through
/// [`push`](Self::push) → [`pop`](Self::pop) → [`send`](Self::send) →
/// acknowledgement; a message of QoS 0 ends with `pop`.
#[derive(Debug)]
pub struct Outgoing<M> {
    queue: VecDeque<M>,
    inflight: IdTable<Inflight<M>>,
    /// Identifiers that were in flight when the last connection ended and that
    /// this one has not sent again yet, oldest first.
    resend: VecDeque<u16>,
    /// The most packets that may be unacknowledged on this connection.
    window: u16,
    /// The same for the bytes of their messages, and how many they are now.
    byte_window: usize,
    bytes: usize,
    next_order: u64,
}

#[derive(Debug)]
struct Inflight<M> {
    /// The place in the order of sending, which a resend keeps (4.6.0).
    order: u64,
    /// What the message counts in the window of bytes.
    size: usize,
    stage: Stage<M>,
}

#[derive(Debug)]
#[expect(clippy::enum_variant_names, reason = "the names say what is awaited")]
enum Stage<M> {
    /// A QoS 1 PUBLISH was sent.
    AwaitsPubAck(M),
    /// A QoS 2 PUBLISH was sent.
    AwaitsPubRec(M),
    /// PUBREL was sent; the message itself is no longer needed.
    AwaitsPubComp,
}

/// The widest window: one packet identifier is left for SUBSCRIBE and UNSUBSCRIBE.
const WIDEST: u16 = u16::MAX - 1;

/// What is sent again on a resumed session.
#[derive(Debug, PartialEq, Eq)]
pub enum Resend<'a, M> {
    /// The PUBLISH, with DUP.
    Publish(u16, &'a M),
    /// The PUBREL.
    PubRel(u16),
}

/// An acknowledgement that doesn't fit what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowError {
    /// No message with this packet identifier is in flight.
    UnknownId,
    /// The message with this identifier is at another stage.
    WrongStage,
}

/// What a PUBREC means.
#[derive(Debug, PartialEq, Eq)]
pub enum PubRec<M> {
    /// The first one: send PUBREL.
    Release(M),
    /// A repeat: send PUBREL again.
    ReleaseAgain,
    /// The peer refused the message: the flow is over.
    Refused(M),
}

impl<M> Outgoing<M> {
    /// An empty flow with room for `window` unacknowledged packets (1 or more).
    pub fn new(window: u16) -> Self {
        Self {
            queue: VecDeque::new(),
            inflight: IdTable::new(),
            resend: VecDeque::new(),
            window: window.max(1),
            byte_window: usize::MAX,
            bytes: 0,
            next_order: 0,
        }
    }

    /// Limits the bytes of unacknowledged messages, as their sender counts
    /// them. One that is larger goes when no other is unacknowledged.
    pub fn limit_bytes(&mut self, window: usize) {
        self.byte_window = window;
    }

    /// Appends a message to the queue.
    pub fn push(&mut self, message: M) {
        self.queue.push_back(message);
    }

    /// Puts a message at the head of the queue.
    pub fn push_front(&mut self, message: M) {
        self.queue.push_front(message);
    }

    /// Takes the message at the head of the queue.
    pub fn pop(&mut self) -> Option<M> {
        self.queue.pop_front()
    }

    /// The message at the head of the queue.
    pub fn head(&self) -> Option<&M> {
        self.queue.front()
    }

    /// The messages that wait, oldest first.
    pub fn queued(&self) -> impl ExactSizeIterator<Item = &M> {
        self.queue.iter()
    }

    /// Keeps the waiting messages for which `keep` is true.
    pub fn retain_queued(&mut self, keep: impl FnMut(&M) -> bool) {
        self.queue.retain(keep);
    }

    /// How many messages wait.
    pub fn queued_len(&self) -> usize {
        self.queue.len()
    }

    /// How many packets are unacknowledged, those of earlier connections
    /// included.
    pub fn inflight_len(&self) -> usize {
        self.inflight.len()
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.inflight.len() == 0
    }

    /// Whether something waits to be sent, for the first time or again.
    pub fn has_more(&self) -> bool {
        !self.queue.is_empty() || !self.resend.is_empty()
    }

    /// Whether a new message of QoS 1 or 2 may be sent now. What is to be sent
    /// again goes first.
    pub fn has_room(&self) -> bool {
        self.has_room_for(0)
    }

    /// The same for a message of so many bytes.
    pub fn has_room_for(&self, size: usize) -> bool {
        self.resend.is_empty()
            && self.inflight.len() < usize::from(self.window.min(WIDEST))
            && self.has_bytes_for(size)
    }

    fn has_bytes_for(&self, size: usize) -> bool {
        self.bytes == 0 || self.bytes.saturating_add(size) <= self.byte_window
    }

    /// Notes that `message` is sent at `qos` (1 or 2) and gives it a packet
    /// identifier. Ask [`has_room`](Self::has_room) first.
    pub fn send(&mut self, message: M, qos: QoS) -> u16 {
        self.send_sized(message, qos, 0)
    }

    /// The same for a message that counts `size` bytes until it is done; ask
    /// [`has_room_for`](Self::has_room_for) first.
    pub fn send_sized(&mut self, message: M, qos: QoS, size: usize) -> u16 {
        let stage = match qos {
            QoS::ExactlyOnce => Stage::AwaitsPubRec(message),
            _ => Stage::AwaitsPubAck(message),
        };
        let order = self.next_order;
        self.next_order += 1;
        self.bytes += size;
        self.inflight.push(Inflight { order, size, stage })
    }

    /// The next identifier that no packet in flight has, also for SUBSCRIBE
    /// and UNSUBSCRIBE, which share the numbers (2.2.1).
    pub fn unused_id(&mut self) -> u16 {
        self.inflight.next_id()
    }

    /// PUBACK for a message of QoS 1: gives it back, done.
    ///
    /// # Errors
    /// The identifier is unknown, or belongs to a message of QoS 2.
    pub fn puback(&mut self, id: u16) -> Result<M, FlowError> {
        self.take(id, |stage| match stage {
            Stage::AwaitsPubAck(message) => Ok(message),
            other => Err(other),
        })
    }

    /// PUBREC for a message of QoS 2. `refused`: with a reason code of 0x80 or
    /// above.
    ///
    /// # Errors
    /// The identifier is unknown, or belongs to a message of QoS 1.
    pub fn pubrec(&mut self, id: u16, refused: bool) -> Result<PubRec<M>, FlowError> {
        let Some(entry) = self.inflight.get_mut(id) else {
            return Err(FlowError::UnknownId);
        };
        match std::mem::replace(&mut entry.stage, Stage::AwaitsPubComp) {
            Stage::AwaitsPubRec(message) if refused => {
                let size = entry.size;
                self.inflight.remove(id);
                self.finished(id, size);
                Ok(PubRec::Refused(message))
            }
            Stage::AwaitsPubRec(message) => Ok(PubRec::Release(message)),
            Stage::AwaitsPubComp => Ok(PubRec::ReleaseAgain),
            other @ Stage::AwaitsPubAck(_) => {
                entry.stage = other;
                Err(FlowError::WrongStage)
            }
        }
    }

    /// PUBCOMP: the flow of QoS 2 is over.
    ///
    /// # Errors
    /// The identifier is unknown, or its message was not released yet.
    pub fn pubcomp(&mut self, id: u16) -> Result<(), FlowError> {
        self.take(id, |stage| match stage {
            Stage::AwaitsPubComp => Ok(()),
            other => Err(other),
        })
    }

    fn take<T>(
        &mut self,
        id: u16,
        finish: impl FnOnce(Stage<M>) -> Result<T, Stage<M>>,
    ) -> Result<T, FlowError> {
        let Some(Inflight { order, size, stage }) = self.inflight.remove(id) else {
            return Err(FlowError::UnknownId);
        };
        let outcome = finish(stage).map_err(|stage| {
            self.inflight.insert(id, Inflight { order, size, stage });
            FlowError::WrongStage
        });
        if outcome.is_ok() {
            self.finished(id, size);
        }
        outcome
    }

    /// A message takes no place in the window any more. What is acknowledged
    /// before it is sent again took none, and need not be sent; looking for
    /// that costs nothing but shortly after a session was resumed.
    fn finished(&mut self, id: u16, size: usize) {
        let waiting = self.resend.len();
        if waiting > 0 {
            self.resend.retain(|other| *other != id);
        }
        if self.resend.len() == waiting {
            self.bytes -= size;
        }
    }

    /// Gives a message up that cannot be sent again, as if it was received.
    /// True: PUBREL is sent in its place, because the peer may have received
    /// the message and keep the identifier (QoS 2).
    pub fn give_up(&mut self, id: u16) -> bool {
        match self.inflight.get_mut(id) {
            Some(entry) if !matches!(entry.stage, Stage::AwaitsPubAck(_)) => {
                entry.stage = Stage::AwaitsPubComp;
                true
            }
            _ => {
                if let Some(entry) = self.inflight.remove(id) {
                    self.finished(id, entry.size);
                }
                false
            }
        }
    }

    /// Changes the window of a connection that lasts. Above a smaller one
    /// nothing new is sent until enough is acknowledged.
    pub fn set_window(&mut self, window: u16) {
        self.window = window.max(1);
    }

    /// A new connection takes the session up: all that is in flight is sent
    /// again, in its original order, within the new window (4.4).
    pub fn resume(&mut self, window: u16) {
        self.window = window.max(1);
        let mut ids: Vec<_> = self
            .inflight
            .iter()
            .map(|(id, entry)| (entry.order, id))
            .collect();
        ids.sort_unstable();
        self.resend = ids.into_iter().map(|(_, id)| id).collect();
        self.bytes = 0;
    }

    /// A new connection finds that the peer has lost the session: messages in
    /// flight are new again and go back to the head of the queue, in their
    /// order. Those that the peer has taken with PUBREC are done.
    pub fn restart(&mut self, window: u16) {
        self.window = window.max(1);
        self.resend.clear();
        self.bytes = 0;
        let mut unacknowledged: Vec<_> = self
            .inflight
            .drain()
            .filter_map(|entry| match entry.stage {
                Stage::AwaitsPubAck(message) | Stage::AwaitsPubRec(message) => {
                    Some((entry.order, message))
                }
                Stage::AwaitsPubComp => None,
            })
            .collect();
        unacknowledged.sort_unstable_by_key(|(order, _)| *order);
        for (_, message) in unacknowledged.into_iter().rev() {
            self.queue.push_front(message);
        }
    }

    /// The next packet to send again, if there is one and the window allows it.
    pub fn next_resend(&mut self) -> Option<Resend<'_, M>> {
        let sent = self.inflight.len().saturating_sub(self.resend.len());
        if sent >= usize::from(self.window) {
            return None;
        }
        let size = self.inflight.get(*self.resend.front()?)?.size;
        if !self.has_bytes_for(size) {
            return None;
        }
        self.bytes += size;
        let id = self.resend.pop_front()?;
        self.inflight.get(id).map(|entry| match &entry.stage {
            Stage::AwaitsPubAck(message) | Stage::AwaitsPubRec(message) => {
                Resend::Publish(id, message)
            }
            Stage::AwaitsPubComp => Resend::PubRel(id),
        })
    }

    /// Puts a message back in flight that a store kept. Called in the order of
    /// sending; [`resume`](Self::resume) sends them again.
    pub fn restore(&mut self, id: u16, message: M, qos: QoS, size: usize) {
        let stage = match qos {
            QoS::ExactlyOnce => Stage::AwaitsPubRec(message),
            _ => Stage::AwaitsPubAck(message),
        };
        self.restore_stage(id, stage, size);
    }

    /// The same for a message of QoS 2 whose PUBREC had come.
    pub fn restore_received(&mut self, id: u16) {
        self.restore_stage(id, Stage::AwaitsPubComp, 0);
    }

    fn restore_stage(&mut self, id: u16, stage: Stage<M>, size: usize) {
        let order = self.next_order;
        self.next_order += 1;
        self.bytes += size;
        self.inflight.insert(id, Inflight { order, size, stage });
        self.inflight.continue_after(id);
    }

    /// Ends the session: gives back what was never delivered for certain, the
    /// packets in flight at QoS 1 first, then the queue, in order.
    pub fn into_undelivered(mut self) -> impl Iterator<Item = M> {
        let mut inflight: Vec<_> = self
            .inflight
            .drain()
            .filter_map(|entry| match entry.stage {
                Stage::AwaitsPubAck(message) => Some((entry.order, message)),
                Stage::AwaitsPubRec(_) | Stage::AwaitsPubComp => None,
            })
            .collect();
        inflight.sort_unstable_by_key(|(order, _)| *order);
        inflight
            .into_iter()
            .map(|(_, message)| message)
            .chain(self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(window: u16, count: u16, qos: QoS) -> Outgoing<u16> {
        let mut flow = Outgoing::new(window);
        for n in 1..=count {
            assert_eq!(flow.send(n * 10, qos), n);
        }
        flow
    }

    #[test]
    fn the_window_closes_and_opens() {
        let mut flow = sent(2, 2, QoS::AtLeastOnce);
        assert!(!flow.has_room());
        assert_eq!(flow.puback(2), Ok(20));
        assert!(flow.has_room());
    }

    #[test]
    fn the_window_of_bytes_closes_and_opens_and_lets_a_large_message_through_alone() {
        let mut flow = Outgoing::new(9);
        flow.limit_bytes(100);
        assert!(flow.has_room_for(500), "alone");
        flow.send_sized(1, QoS::AtLeastOnce, 60);
        assert!(flow.has_room_for(40) && !flow.has_room_for(41));
        flow.send_sized(2, QoS::ExactlyOnce, 40);
        assert!(flow.has_room_for(0) && !flow.has_room_for(1));
        assert_eq!(flow.pubrec(2, false), Ok(PubRec::Release(2)));
        assert!(!flow.has_room_for(1), "until PUBCOMP");
        assert_eq!(flow.pubcomp(2), Ok(()));
        assert_eq!(flow.puback(1), Ok(1));
        flow.send_sized(3, QoS::AtLeastOnce, 500);
        assert!(!flow.has_room_for(1));
    }

    #[test]
    fn the_window_of_bytes_holds_for_what_is_sent_again() {
        let mut flow = Outgoing::new(9);
        for size in [60, 500, 60] {
            flow.send_sized(size, QoS::AtLeastOnce, size);
        }
        flow.limit_bytes(100);
        flow.resume(9);
        assert_eq!(flow.next_resend(), Some(Resend::Publish(1, &60)));
        assert_eq!(flow.next_resend(), None);
        assert_eq!(flow.puback(2), Ok(500), "before it was sent again");
        assert_eq!(flow.next_resend(), None, "60 bytes are in flight");
        assert_eq!(flow.puback(1), Ok(60));
        assert_eq!(flow.next_resend(), Some(Resend::Publish(3, &60)));
        assert!(!flow.give_up(3));
        assert!(flow.has_room_for(500));
        assert_eq!(flow.bytes, 0);
    }

    #[test]
    fn acknowledgements_must_fit_the_stage() {
        let mut flow = sent(9, 1, QoS::AtLeastOnce);
        assert_eq!(flow.pubrec(1, false), Err(FlowError::WrongStage));
        assert_eq!(flow.pubcomp(1), Err(FlowError::WrongStage));
        assert_eq!(flow.puback(7), Err(FlowError::UnknownId));
        assert_eq!(flow.puback(1), Ok(10));
        assert_eq!(flow.puback(1), Err(FlowError::UnknownId));

        let mut flow = sent(9, 1, QoS::ExactlyOnce);
        assert_eq!(flow.puback(1), Err(FlowError::WrongStage));
        assert_eq!(flow.pubcomp(1), Err(FlowError::WrongStage));
        assert_eq!(flow.pubrec(1, false), Ok(PubRec::Release(10)));
        assert_eq!(flow.pubrec(1, false), Ok(PubRec::ReleaseAgain));
        assert_eq!(flow.pubcomp(1), Ok(()));
        assert!(flow.is_empty());
    }

    #[test]
    fn a_refusing_pubrec_ends_the_flow() {
        let mut flow = sent(1, 1, QoS::ExactlyOnce);
        assert_eq!(flow.pubrec(1, true), Ok(PubRec::Refused(10)));
        assert!(flow.has_room());
    }

    #[test]
    fn a_resumed_session_sends_again_in_order_within_the_new_window() {
        let mut flow = sent(9, 3, QoS::ExactlyOnce);
        assert_eq!(flow.pubrec(2, false), Ok(PubRec::Release(20)));
        flow.resume(2);
        assert!(!flow.has_room(), "what is sent again goes first");
        assert_eq!(flow.next_resend(), Some(Resend::Publish(1, &10)));
        assert_eq!(flow.next_resend(), Some(Resend::PubRel(2)));
        assert_eq!(flow.next_resend(), None, "the window is full");
        assert_eq!(flow.pubcomp(2), Ok(()));
        assert_eq!(flow.next_resend(), Some(Resend::Publish(3, &30)));
    }

    #[test]
    fn what_is_acknowledged_before_it_is_sent_again_does_not_widen_the_window() {
        let mut flow = sent(9, 3, QoS::AtLeastOnce);
        flow.resume(1);
        assert_eq!(flow.next_resend(), Some(Resend::Publish(1, &10)));
        assert_eq!(flow.puback(3), Ok(30));
        assert_eq!(flow.next_resend(), None, "one is in flight");
        assert_eq!(flow.puback(1), Ok(10));
        assert_eq!(flow.next_resend(), Some(Resend::Publish(2, &20)));
        assert!(!flow.has_more());
    }

    #[test]
    fn a_message_that_is_given_up_frees_its_identifier_when_the_peer_has_it() {
        let mut flow = sent(9, 1, QoS::AtLeastOnce);
        assert!(!flow.give_up(1));
        assert!(flow.is_empty());
        let mut flow = sent(9, 1, QoS::ExactlyOnce);
        assert!(flow.give_up(1));
        assert_eq!(flow.pubcomp(1), Ok(()));
    }

    #[test]
    fn a_lost_session_makes_messages_new_again_in_order() {
        let mut flow = sent(9, 3, QoS::ExactlyOnce);
        flow.push(40);
        assert_eq!(flow.pubrec(2, false), Ok(PubRec::Release(20)));
        flow.restart(1);
        assert_eq!(flow.inflight_len(), 0);
        assert_eq!(flow.queued().collect::<Vec<_>>(), [&10, &30, &40]);
        assert_eq!(flow.send(10, QoS::ExactlyOnce), 4, "identifiers go on");
        assert!(!flow.has_room(), "the new window counts");
    }

    #[test]
    fn identifiers_in_use_are_skipped_when_they_wrap() {
        let mut flow = Outgoing::new(u16::MAX);
        let kept = flow.send(0, QoS::AtLeastOnce);
        for _ in 0..70_000u32 {
            let id = flow.send(1, QoS::AtLeastOnce);
            assert_ne!(id, kept);
            assert_ne!(id, 0);
            assert_eq!(flow.puback(id), Ok(1));
        }
    }

    #[test]
    fn an_identifier_is_left_for_subscribe_however_many_are_in_flight() {
        let mut flow = Outgoing::new(u16::MAX);
        let mut sent = 0;
        while flow.has_room() {
            sent = flow.send(0, QoS::AtLeastOnce);
        }
        assert_eq!(sent, 65_534);
        assert_eq!(flow.unused_id(), 65_535);
        assert_eq!(flow.unused_id(), 65_535);
    }

    #[test]
    fn an_ended_session_gives_back_what_another_member_may_get() {
        let mut flow = sent(9, 2, QoS::AtLeastOnce);
        flow.send(99, QoS::ExactlyOnce);
        flow.push(30);
        assert_eq!(flow.into_undelivered().collect::<Vec<_>>(), [10, 20, 30]);
    }
}
