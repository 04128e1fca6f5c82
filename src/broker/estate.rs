//! What a session leaves when it ends: its will, and messages of shared
//! subscriptions, which go to other members.

use std::sync::Arc;

use super::Core;
use super::lifetime::NEVER;
use super::session::SessionId;
use super::subscriptions::SubscriptionKey;
use crate::session::Outgoing;
use crate::store::Record;

impl Core {
    /// Ends a session: its will is due now (3.1.2.5), what it held of shared
    /// subscriptions goes to other members.
    pub(super) fn end_session(&mut self, id: SessionId) {
        let Some(session) = self.peers.session(id) else {
            return;
        };
        let spilled = session
            .durable
            .as_ref()
            .map_or(0, |durable| durable.spilled);
        let subscriptions = &session.subscriptions;
        let is_shared = |key: &SubscriptionKey| matches!(key, SubscriptionKey::Shared(_));
        let unread = spilled > 0 && subscriptions.iter().any(is_shared);
        self.withdraw(id);
        self.publish_will_of(id);
        self.pass_on(id);
        if unread {
            self.keep_estate(id);
        } else {
            self.peers
                .promise(id, |session| Record::DropSession { session });
            self.peers.sessions.remove(id.slot as usize);
        }
        self.rehome();
    }

    /// Takes a session out of what others see.
    fn withdraw(&mut self, id: SessionId) {
        let Some(session) = self.peers.session(id) else {
            return;
        };
        let client_id = Arc::clone(&session.client_id);
        let subscriptions = std::mem::take(&mut session.subscriptions);
        if self.clients.get(&client_id) == Some(&id) {
            self.clients.remove(&client_id);
        }
        self.subscriptions.set_bridge(id, false);
        for key in subscriptions {
            self.end_subscription(id, key);
        }
    }

    /// Forgets a session that stays in the store.
    pub(super) fn forget_session(&mut self, id: SessionId) {
        self.withdraw(id);
        self.peers.sessions.remove(id.slot as usize);
    }

    /// Gives away what a session held of shared subscriptions.
    fn pass_on(&mut self, id: SessionId) {
        let Some(session) = self.peers.session(id) else {
            return;
        };
        let outgoing = std::mem::replace(&mut session.outgoing, Outgoing::new(1));
        (session.queued_bytes, session.queued_qos0) = (0, 0);
        (session.queued_replays, session.pinned) = (0, 0);
        for delivery in outgoing.into_undelivered() {
            self.peers.orphan(id, delivery);
        }
    }

    /// The rest of the queue is in the store alone: the session stays without
    /// a client, in the store too, until it is read.
    fn keep_estate(&mut self, id: SessionId) {
        let now = self.peers.now;
        if let Some(session) = self.peers.session(id) {
            session.client_id = Arc::default();
            session.expiry = 0;
            session.ends_at = NEVER;
            session.left = Some(now);
        }
        self.peers.store_session(id);
        self.peers.read_ahead(id);
    }

    /// Takes care of a part of an estate that was read.
    pub(super) fn settle_estate(&mut self, id: SessionId) {
        self.pass_on(id);
        let spilled = self.peers.durable(id).map_or(0, |durable| durable.spilled);
        if spilled > 0 {
            self.peers.read_ahead(id);
        } else {
            self.peers
                .promise(id, |session| Record::DropSession { session });
            self.peers.sessions.remove(id.slot as usize);
        }
        self.rehome();
    }

    /// Finds other members for what those that it was chosen for cannot have.
    pub(super) fn rehome(&mut self) {
        while !self.peers.orphans.is_empty() {
            for delivery in std::mem::take(&mut self.peers.orphans) {
                let Some(group) = delivery.group else {
                    continue;
                };
                let peers = &self.peers;
                let topic = &delivery.publication.topic;
                let chosen = self.subscriptions.choose(
                    group,
                    |session| peers.rank(session, delivery.size()),
                    |target| peers.takes(target, topic, || delivery.clone()),
                );
                if let Some(target) = chosen {
                    self.peers.redeliver(&target, delivery);
                }
            }
        }
    }
}
