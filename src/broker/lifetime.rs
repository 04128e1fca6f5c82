//! How a session begins, is taken over, is left alone and ends (4.1).

use std::collections::HashSet;
use std::sync::Arc;

use super::connection::{ConnectionId, Stage};
use super::session::{Session, SessionId};
use super::timers::{Millis, Timer};
use super::{Core, Policy, Refusal};
use crate::codec::Version;
use crate::session::{Incoming, Outgoing};

/// A session expiry interval that never ends (3.1.2.11.2).
pub(super) const NEVER: Millis = Millis::MAX;

impl Core {
    /// A session for a client that has none.
    pub(super) fn new_session(
        &mut self,
        policy: &Arc<Policy>,
        version: Version,
        client_id: &Arc<str>,
    ) -> SessionId {
        self.last_generation = self.last_generation.wrapping_add(1);
        let entry = self.peers.sessions.vacant_entry();
        let id = SessionId {
            slot: entry.key() as u32,
            generation: self.last_generation,
        };
        entry.insert(Session {
            id,
            client_id: Arc::clone(client_id),
            username: None,
            source: None,
            policy: Arc::clone(policy),
            version,
            is_bridge: false,
            connection: None,
            expiry: 0,
            left: None,
            ends_at: NEVER,
            will: None,
            outgoing: Outgoing::new(1),
            queued_bytes: 0,
            queue_weight: self.peers.ledger.weigh(0),
            queued_qos0: 0,
            pinned: 0,
            last_pinned: 0,
            queued_replays: 0,
            first_expiry: NEVER,
            overflow_told: false,
            incoming: Incoming::default(),
            subscriptions: HashSet::new(),
            durable: None,
        });
        if !client_id.is_empty() {
            self.clients.insert(Arc::clone(client_id), id);
        }
        id
    }

    /// Ends the connection that a session has, because another one came.
    pub(super) fn take_over(&mut self, session: SessionId) {
        let Some(session) = self.peers.session(session) else {
            return;
        };
        let client_id = Arc::clone(&session.client_id);
        if let Some(old) = session.connection {
            self.peers.log_connection(|_| {
                format!("Client {client_id} already connected, closing old connection.")
            });
            self.close(old, Refusal::TakenOver);
        }
    }

    /// How long a session outlives its connection (3.1.2.11.2; in 3.x clean
    /// session says it), within `persistent_client_expiration`.
    pub(super) fn session_expiry(
        &self,
        policy: &Policy,
        version: Version,
        clean_start: bool,
        interval: Option<u32>,
    ) -> Millis {
        let wanted = wanted_expiry(version, clean_start, interval);
        if policy.is_bridge {
            return wanted;
        }
        wanted.min(self.peers.settings.max_session_expiry)
    }

    /// Parts a session from its connection, which ends now. `with_will`: not
    /// by a normal DISCONNECT.
    pub(super) fn detach(&mut self, id: ConnectionId, with_will: bool) {
        let now = self.peers.now;
        let Some(session_id) = self.peers.connection(id).and_then(|c| c.session()) else {
            return;
        };
        self.connected -= 1;
        if let Some(connection) = self.peers.connection(id) {
            connection.stage = Stage::Closing;
            connection.last_route = None;
            let listener = connection.policy.listener;
            if let Some(count) = self.connected_by_listener.get_mut(&listener) {
                *count -= 1;
            }
        }
        let Some(session) = self.peers.session(session_id) else {
            return;
        };
        session.connection = None;
        session.left = Some(now);
        if !with_will {
            session.will = None;
        }
        let (transient, expiry) = (session.is_transient(), session.expiry);
        session.ends_at = now.saturating_add(expiry);
        let ends_at = session.ends_at;
        if transient {
            self.end_session(session_id);
            return;
        }
        let due = session.will.as_mut().map(|will| {
            let due = now + will.delay.min(expiry);
            will.due = Some(due);
            due
        });
        self.peers.store_session(session_id);
        if let Some(due) = due {
            self.peers.timers.set(due, Timer::Will(session_id));
            self.check_will(session_id);
        }
        if ends_at != NEVER {
            self.peers
                .timers
                .set(ends_at, Timer::SessionEnd(session_id));
        }
        self.rehome();
    }

    pub(super) fn check_session_end(&mut self, id: SessionId) {
        let now = self.peers.now;
        let due = |session: &mut Session| session.connection.is_none() && session.ends_at <= now;
        if self.peers.session(id).is_some_and(due) {
            self.peers.stats.expired += 1;
            self.peers.log_connection(|peers| {
                let client_id = &peers.sessions[id.slot as usize].client_id;
                format!("Expiring client {client_id} due to timeout.")
            });
            self.end_session(id);
        }
    }
}

/// How long a client wants its session to outlive its connection.
pub(super) fn wanted_expiry(version: Version, clean_start: bool, interval: Option<u32>) -> Millis {
    match (version, interval) {
        (Version::V5, Some(u32::MAX)) => NEVER,
        (Version::V5, interval) => Millis::from(interval.unwrap_or(0)) * 1000,
        _ if clean_start => 0,
        _ => NEVER,
    }
}
