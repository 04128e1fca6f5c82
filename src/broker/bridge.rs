//! What a bridge of this broker asks of the core beside its connection.
//!
//! A bridge has an ordinary session here, and passes packets on between that
//! and the remote broker with their packet identifiers. So the state of all
//! flows is in the session, and these are the few things that the bridge itself
//! has to know of it and do to it.

use super::publication::MessageProperties;
use super::session::{Session, SessionId};
use super::timers::Millis;
use super::{Core, Refusal};
use crate::codec::QoS;
use crate::store::Record;

impl Core {
    /// `max_inflight_messages`, which bridges ask of others too.
    pub fn max_inflight_messages(&self) -> u16 {
        self.peers.settings.max_inflight_messages
    }

    /// How many messages wait for a client, those in flight and those on disk
    /// included; `None`: it has no session.
    pub fn queued(&self, client_id: &str) -> Option<usize> {
        let id = self.clients.get(client_id)?;
        let session = self.peers.sessions.get(id.slot as usize)?;
        Some(session.waiting() + session.outgoing.inflight_len())
    }

    /// A packet identifier that no message on its way to the client has, and
    /// that none will have before nearly all others had their turn: for packets
    /// that the bridge itself sends to the remote broker among those messages.
    /// `None`: there is no session.
    pub fn unused_id(&mut self, client_id: &str) -> Option<u16> {
        Some(self.session_of(client_id)?.outgoing.unused_id())
    }

    /// The topic filters that a client's session is subscribed to; none without
    /// a session.
    pub fn subscribed(&self, client_id: &str) -> Vec<String> {
        let id = self.clients.get(client_id);
        let session = id.and_then(|id| self.peers.sessions.get(id.slot as usize));
        let keys = session.into_iter().flat_map(|s| s.subscriptions.iter());
        keys.map(|key| self.subscriptions.name(*key)).collect()
    }

    /// Forgets the messages of QoS 2 that came from the client and were not
    /// released, because the remote broker has lost the session in which it
    /// sent them: the next message with one of their packet identifiers is a
    /// new one.
    ///
    /// It is safe when the CONNACK of a connection that the client opens after
    /// this has come: nothing may be asked of the remote broker before.
    pub fn forget_received(&mut self, now: Millis, client_id: &str) {
        self.peers.now = now;
        let Some(session) = self.session_of(client_id) else {
            return;
        };
        let (id, forgotten) = (session.id, session.incoming.clear());
        for packet_id in forgotten {
            self.peers
                .promise(id, |session| Record::DropIncoming { session, packet_id });
        }
    }

    /// Publishes what a bridge has to tell, at QoS 1: on any topic, whatever
    /// clients may do there.
    pub fn publish_notification(&mut self, now: Millis, topic: &str, payload: &str, retain: bool) {
        self.peers.now = now;
        self.peers.journal.begin(0);
        let (payload, none) = (payload.as_bytes(), MessageProperties::default());
        self.publish_own(None, topic, payload, QoS::AtLeastOnce, retain, &none);
        self.rehome();
        self.watch_memory();
    }

    /// Ends a client's connection, if it has one, and its session, for a bridge
    /// that is no longer configured. Returns whether there was a session.
    pub fn remove_session(&mut self, now: Millis, client_id: &str) -> bool {
        self.peers.now = now;
        self.peers.journal.begin(0);
        let Some(session) = self.session_of(client_id) else {
            return false;
        };
        let (id, connection) = (session.id, session.connection);
        if let Some(connection) = connection {
            self.close(connection, Refusal::Administrative("its bridge is gone"));
        }
        // A session that was to end with its connection has ended already.
        if self.peers.session(id).is_some() {
            self.end_session(id);
        }
        true
    }

    fn session_of(&mut self, client_id: &str) -> Option<&mut Session> {
        let id: SessionId = *self.clients.get(client_id)?;
        self.peers.session(id)
    }
}
