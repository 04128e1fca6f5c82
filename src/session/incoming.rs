//! The receiver's half of QoS 2 (4.3.3) and the receive maximum (4.9).

use super::IdMap;

/// The QoS 2 messages that a peer has sent and not released yet.
#[derive(Debug, Default)]
pub struct Incoming {
    unreleased: IdMap<Unreleased>,
    /// How many of them came on this connection.
    current: usize,
}

#[derive(Debug)]
struct Unreleased {
    /// A hash of topic and payload, to tell a repeat from a peer that uses an
    /// identifier again too early.
    fingerprint: u64,
    repeated: bool,
    /// It came on this connection, where it counts against the receive maximum.
    current: bool,
}

/// What a received PUBLISH of QoS 2 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A new message: take it, send PUBREC.
    New,
    /// One that was taken already: send PUBREC only.
    Repeat,
    /// The same message for the third time on one connection: a peer that
    /// doesn't understand PUBREC (Mosquitto ends such a connection, 0x82).
    RepeatedTooOften,
    /// More messages than the receive maximum (0x93).
    TooMany,
}

impl Incoming {
    /// Notes a PUBLISH of QoS 2.
    ///
    /// Another content without DUP is a new message: a peer that lost its
    /// state begins to count anew, and its messages must not be lost.
    pub fn publish(
        &mut self,
        id: u16,
        dup: bool,
        fingerprint: u64,
        receive_maximum: u16,
    ) -> Received {
        if let Some(known) = self.unreleased.get_mut(&id) {
            self.current += usize::from(!std::mem::replace(&mut known.current, true));
            if known.fingerprint != fingerprint {
                known.fingerprint = fingerprint;
                known.repeated = false;
                return if dup { Received::Repeat } else { Received::New };
            }
            if std::mem::replace(&mut known.repeated, true) {
                return Received::RepeatedTooOften;
            }
            return Received::Repeat;
        }
        if self.current >= usize::from(receive_maximum) {
            return Received::TooMany;
        }
        self.unreleased.insert(
            id,
            Unreleased {
                fingerprint,
                repeated: false,
                current: true,
            },
        );
        self.current += 1;
        Received::New
    }

    /// Puts an identifier back that a store kept.
    pub fn restore(&mut self, id: u16, fingerprint: u64) {
        self.unreleased.insert(
            id,
            Unreleased {
                fingerprint,
                repeated: false,
                current: false,
            },
        );
    }

    /// PUBREL: the identifier is free again. False: it was not in use.
    pub fn pubrel(&mut self, id: u16) -> bool {
        let message = self.unreleased.remove(&id);
        self.current -= usize::from(message.as_ref().is_some_and(|m| m.current));
        message.is_some()
    }

    /// Forgets a message that was refused with PUBREC (0x80 and above).
    pub fn refuse(&mut self, id: u16) {
        self.pubrel(id);
    }

    /// Forgets all messages, because the peer has lost the session in which it
    /// sent them. Gives their identifiers in order.
    pub fn clear(&mut self) -> Vec<u16> {
        self.current = 0;
        let mut ids: Vec<_> = self.unreleased.drain().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// A new connection takes the session up: repeats are expected now, and the
    /// receive maximum is counted anew (3.1.2.11.3).
    pub fn resume(&mut self) {
        for message in self.unreleased.values_mut() {
            (message.repeated, message.current) = (false, false);
        }
        self.current = 0;
    }

    /// How many messages are not released.
    pub fn len(&self) -> usize {
        self.unreleased.len()
    }

    /// Whether all messages are released.
    pub fn is_empty(&self) -> bool {
        self.unreleased.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_once_until_it_is_released() {
        let mut flow = Incoming::default();
        assert_eq!(flow.publish(7, false, 1, 20), Received::New);
        assert_eq!(flow.publish(7, true, 1, 20), Received::Repeat);
        assert!(flow.pubrel(7));
        assert!(!flow.pubrel(7));
        assert_eq!(flow.publish(7, false, 1, 20), Received::New);
    }

    #[test]
    fn another_content_without_dup_is_a_new_message() {
        let mut flow = Incoming::default();
        assert_eq!(flow.publish(7, false, 1, 20), Received::New);
        assert_eq!(flow.publish(7, true, 2, 20), Received::Repeat);
        assert_eq!(flow.publish(7, false, 3, 20), Received::New);
        assert_eq!(flow.len(), 1);
    }

    #[test]
    fn a_third_identical_message_is_too_many_but_not_after_a_reconnection() {
        let mut flow = Incoming::default();
        flow.publish(7, false, 1, 20);
        flow.publish(7, true, 1, 20);
        assert_eq!(flow.publish(7, true, 1, 20), Received::RepeatedTooOften);
        flow.resume();
        assert_eq!(flow.publish(7, true, 1, 20), Received::Repeat);
    }

    #[test]
    fn the_receive_maximum_bounds_what_is_unreleased() {
        let mut flow = Incoming::default();
        assert_eq!(flow.publish(1, false, 0, 1), Received::New);
        assert_eq!(flow.publish(2, false, 0, 1), Received::TooMany);
        flow.refuse(1);
        assert_eq!(flow.publish(2, false, 0, 1), Received::New);
    }

    #[test]
    fn what_is_forgotten_is_new_and_takes_no_place() {
        let mut flow = Incoming::default();
        flow.publish(7, false, 1, 2);
        flow.publish(3, false, 1, 2);
        assert_eq!(flow.clear(), [3, 7]);
        assert!(flow.is_empty());
        assert_eq!(flow.publish(7, true, 1, 2), Received::New);
        assert_eq!(flow.publish(8, false, 1, 2), Received::New);
        assert!(flow.pubrel(7) && flow.pubrel(8));
    }

    #[test]
    fn what_an_earlier_connection_left_does_not_count_against_the_receive_maximum() {
        let mut flow = Incoming::default();
        flow.publish(1, false, 0, 20);
        flow.publish(2, false, 0, 20);
        flow.resume();
        assert_eq!(flow.publish(3, true, 0, 2), Received::New, "it never came");
        assert_eq!(flow.publish(1, true, 0, 2), Received::Repeat);
        assert_eq!(flow.publish(4, false, 0, 2), Received::TooMany);
        assert!(flow.pubrel(2));
        assert_eq!(flow.publish(4, false, 0, 2), Received::TooMany);
        assert!(flow.pubrel(1));
        assert_eq!(flow.publish(4, false, 0, 2), Received::New);
    }
}
