//! What may outlive a connection (4.1).

use std::collections::HashSet;
use std::sync::Arc;

use super::publication::{Delivery, Publication};
use super::settings::Policy;
use super::subscriptions::SubscriptionKey;
use super::timers::Millis;
use super::{ConnectionId, publish};
use crate::auth::Access;
use crate::codec::{QoS, Version};
use crate::session::{Incoming, Outgoing};

/// A place in the table of sessions. The generation tells a session from a
/// later one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SessionId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) client_id: Arc<str>,
    pub(super) username: Option<Box<str>>,
    pub(super) policy: Arc<Policy>,
    pub(super) version: Version,
    pub(super) connection: Option<ConnectionId>,
    /// How long the session outlives its connection, in milliseconds.
    pub(super) expiry: Millis,
    /// When it ends, while there is no connection.
    pub(super) ends_at: Millis,
    pub(super) will: Option<Box<Will>>,
    pub(super) outgoing: Outgoing<Delivery>,
    /// Payload bytes in the queue.
    pub(super) queued_bytes: usize,
    /// Messages of QoS 0 in the queue; others must not overtake them.
    pub(super) queued_qos0: usize,
    /// No message in the queue expires before.
    pub(super) first_expiry: Millis,
    /// Whether the log was told that the queue is full.
    pub(super) overflow_told: bool,
    pub(super) incoming: Incoming,
    pub(super) subscriptions: HashSet<SubscriptionKey>,
}

/// A will that waits for its moment (3.1.2.5).
#[derive(Debug)]
pub(super) struct Will {
    pub(super) publication: Publication,
    /// The interval in seconds after which the message expires, counted from
    /// its publication.
    pub(super) expiry: Option<u32>,
    /// Milliseconds.
    pub(super) delay: Millis,
    /// When it is published, once the connection is gone.
    pub(super) due: Option<Millis>,
}

impl Session {
    /// Appends a delivery to the queue.
    pub(super) fn enqueue(&mut self, delivery: Delivery) {
        self.queued_bytes += delivery.size();
        self.queued_qos0 += usize::from(delivery.qos == QoS::AtMostOnce);
        if let Some(at) = delivery.publication.expires {
            self.first_expiry = self.first_expiry.min(at);
        }
        self.outgoing.push(delivery);
    }

    /// Takes the delivery at the head of the queue.
    pub(super) fn dequeue(&mut self) -> Option<Delivery> {
        let delivery = self.outgoing.pop()?;
        self.queued_bytes -= delivery.size();
        self.queued_qos0 -= usize::from(delivery.qos == QoS::AtMostOnce);
        if self.outgoing.queued_len() == 0 {
            self.overflow_told = false;
            self.first_expiry = Millis::MAX;
        }
        Some(delivery)
    }

    /// Takes the messages that have expired out of the queue. True: there may
    /// have been some.
    pub(super) fn drop_expired(&mut self, now: Millis) -> bool {
        if now < self.first_expiry {
            return false;
        }
        let (mut bytes, mut qos0, mut first) = (0, 0, Millis::MAX);
        self.outgoing.retain_queued(|delivery| {
            if delivery.publication.is_expired(now) {
                return false;
            }
            bytes += delivery.size();
            qos0 += usize::from(delivery.qos == QoS::AtMostOnce);
            first = first.min(delivery.publication.expires.unwrap_or(Millis::MAX));
            true
        });
        (self.queued_bytes, self.queued_qos0, self.first_expiry) = (bytes, qos0, first);
        true
    }

    /// Whether the client may receive messages of a topic.
    pub(super) fn may_read(&self, topic: &str) -> bool {
        let username = self.username.as_deref();
        self.policy
            .allows(&self.client_id, username, Access::Read, topic)
    }

    /// Whether the client may publish to a topic.
    pub(super) fn may_write(&self, topic: &str) -> bool {
        let username = self.username.as_deref();
        publish::may_write(&self.policy, &self.client_id, username, topic)
    }

    /// Whether the session ends with its connection.
    pub(super) fn is_transient(&self) -> bool {
        self.expiry == 0
    }
}
