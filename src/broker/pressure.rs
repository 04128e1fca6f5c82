//! Back-pressure: publishers of QoS 0 wait for a receiver whose outbox is
//! full, but not for long.

use super::connection::{Connection, ConnectionId};
use super::delivery::SOFT_LIMIT;
use super::peers::{Peers, urge};
use super::session::SessionId;
use super::timers::{Millis, Timer};

/// How long a receiver may hold publishers of QoS 0 up, in milliseconds.
const HOLD_UP: Millis = 100;

impl Connection {
    /// The outbox is about to be taken. Who took long for the last one and has
    /// filled another stays stalled, or it would hold others up again and again.
    pub(super) fn note_taken(&mut self, now: Millis) {
        let since = now.saturating_sub(std::mem::replace(&mut self.taken, now));
        self.stalled &= self.outbox.len() >= SOFT_LIMIT && since >= HOLD_UP;
    }
}

impl Peers {
    /// The publisher stops reading until the receiver's outbox is taken.
    pub(super) fn hold_up(&mut self, publisher: Option<SessionId>, receiver: ConnectionId) {
        let Some(publisher) = publisher
            .and_then(|id| self.sessions.get(id.slot as usize))
            .and_then(|session| session.connection)
        else {
            return;
        };
        let Some(held_up_by) = self.connection(publisher).map(|known| known.held_up_by) else {
            return;
        };
        let now = self.now;
        let Some(connection) = self.connection(receiver) else {
            return;
        };
        // Who is among them came lately: the rest of its batch is on the way.
        let mut latest_first = connection.holds_up.iter().rev();
        if connection.stalled || held_up_by > 0 && latest_first.any(|held| *held == publisher) {
            return;
        }
        if connection.holds_up.is_empty() {
            connection.holds_up_since = now;
        }
        connection.holds_up.push(publisher);
        if !std::mem::replace(&mut connection.watched, true) {
            self.timers.set(now + HOLD_UP, Timer::Stalled(receiver));
        }
        if let Some(publisher) = self.connection(publisher) {
            publisher.held_up_by += 1;
        }
    }

    /// A receiver that held publishers up for too long doesn't any more.
    pub(super) fn check_stalled(&mut self, receiver: ConnectionId) {
        let now = self.now;
        let Some(connection) = self.connection(receiver) else {
            return;
        };
        let due = connection.holds_up_since + HOLD_UP;
        if connection.holds_up.is_empty() {
            connection.watched = false;
        } else if due > now {
            self.timers.set(due, Timer::Stalled(receiver));
        } else {
            connection.watched = false;
            connection.stalled = true;
            self.let_go(receiver);
        }
    }

    /// Publishers that waited for a receiver go on.
    pub(super) fn let_go(&mut self, receiver: ConnectionId) {
        let Some(connection) = self.connection(receiver) else {
            return;
        };
        for publisher in std::mem::take(&mut connection.holds_up) {
            let Some(connection) = self.connections.get_mut(publisher.slot()) else {
                continue;
            };
            if connection.id != publisher {
                continue;
            }
            connection.held_up_by -= 1;
            if connection.held_up_by == 0 {
                urge(connection, &mut self.effects);
            }
        }
    }
}
