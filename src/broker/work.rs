//! What a connection has to do: its outbox on the way to the shell.

use super::connection::{ConnectionId, Stage};
use super::timers::Millis;
use super::{Core, ProofRequest};
use crate::codec::QoS;

/// Buffers that are kept for reuse, and the capacity from which one is not.
const SPARE_BUFFERS: usize = 64;
const SPARE_CAPACITY: usize = 256 * 1024;

/// The size of an outbox, in bytes, from which its own connection is not read.
const CONGESTED: usize = 256 * 1024;

/// What a connection has to do next.
#[derive(Debug, Default)]
pub struct Work {
    /// Bytes to write.
    pub bytes: Vec<u8>,
    /// Look again when they are written: there is more.
    pub more: bool,
    /// Don't read for now; the connection will be woken.
    pub pause: bool,
    /// End the connection when the bytes are written.
    pub close: bool,
    /// A step of an authentication to run, whose outcome goes to
    /// [`Core::proceed`].
    pub proof: Option<Box<ProofRequest>>,
}

/// What a connection should know whose bytes don't leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Don't read for now; the connection will be woken.
    pub pause: bool,
    /// The connection is over: what is in its outbox are its last words.
    pub close: bool,
}

impl Core {
    /// What a connection has to do now; `None`: it is gone. Called when all
    /// bytes of an earlier call are written.
    pub fn take(&mut self, now: Millis, id: ConnectionId) -> Option<Work> {
        self.peers.now = now;
        let more = self.peers.pump(id);
        self.rehome();
        self.peers.let_go(id);
        self.peers.outboxes -= std::mem::take(&mut self.peers.connection(id)?.counted);
        let overdue = self.peers.journal.is_overdue();
        let connection = self.peers.connection(id)?;
        connection.told = false;
        connection.note_taken(now);
        let work = Work {
            bytes: std::mem::take(&mut connection.outbox),
            more,
            pause: connection.held_up_by > 0 || overdue && connection.held.is_some(),
            close: connection.stage == Stage::Closing,
            proof: connection.proof.as_mut().and_then(|proof| proof.take()),
        };
        self.peers.stats.bytes_sent += work.bytes.len() as u64;
        Some(work)
    }

    /// Lets an outbox wait for the next message to its client, if one would go at
    /// once. Then that wakes the connection, as all does that comes next.
    pub fn postpone(&mut self, id: ConnectionId) -> bool {
        let peers = &mut self.peers;
        let Some(connection) = peers.connections.get_mut(id.slot()).filter(|c| c.id == id) else {
            return false;
        };
        let session = connection.session();
        let session = session.and_then(|session| peers.sessions.get(session.slot as usize));
        let waits = session.is_none_or(|s| s.must_wait(connection, QoS::ExactlyOnce, 0));
        connection.told &= waits;
        !waits
    }

    /// How things are with a connection that cannot [`take`](Self::take) yet.
    pub fn outlook(&self, id: ConnectionId) -> Outlook {
        let connection = self.peers.connections.get(id.slot());
        let Some(connection) = connection.filter(|c| c.id == id) else {
            return Outlook {
                pause: false,
                close: true,
            };
        };
        Outlook {
            pause: connection.held_up_by > 0
                || connection.outbox.len() >= CONGESTED
                || self.peers.journal.is_overdue() && connection.held.is_some(),
            close: connection.stage == Stage::Closing,
        }
    }

    /// Gives a buffer back whose bytes are written.
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.peers.spare.len() < SPARE_BUFFERS && buffer.capacity() <= SPARE_CAPACITY {
            buffer.clear();
            self.peers.spare.push(buffer);
        }
    }
}
