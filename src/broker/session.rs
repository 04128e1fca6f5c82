//! What may outlive a connection (4.1).

use std::collections::HashSet;
use std::sync::Arc;

use super::batch::Batch;
use super::connection::Connection;
use super::delivery::SOFT_LIMIT;
use super::durable::Durable;
use super::memory::Weight;
use super::publication::{Delivery, Publication};
use super::settings::Policy;
use super::subscriptions::SubscriptionKey;
use super::timers::Millis;
use super::{ConnectionId, Denial};
use crate::auth::{Access, Client};
use crate::codec::{QoS, Version};
use crate::session::{Incoming, Outgoing};

/// A place in the table of sessions. The generation tells a session from a
/// later one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SessionId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// Who published a message that is kept, to ask for the right again.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) client_id: Arc<str>,
    pub(super) username: Option<Box<str>>,
    /// The number of the listener.
    pub(super) listener: usize,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) client_id: Arc<str>,
    pub(super) username: Option<Box<str>>,
    /// The two as the source of messages, once it is one.
    pub(super) source: Option<Arc<Source>>,
    pub(super) policy: Arc<Policy>,
    pub(super) version: Version,
    /// It gets the stamps of messages, see `origin.rs`.
    pub(super) is_bridge: bool,
    pub(super) connection: Option<ConnectionId>,
    /// How long the session outlives its connection, in milliseconds.
    pub(super) expiry: Millis,
    /// When the connection ended; `None`: there is one.
    pub(super) left: Option<Millis>,
    /// When it ends, while there is no connection.
    pub(super) ends_at: Millis,
    pub(super) will: Option<Box<Will>>,
    pub(super) outgoing: Outgoing<Delivery>,
    /// Payload bytes in the queue.
    pub(super) queued_bytes: usize,
    /// What the queue itself counts against `memory_limit`.
    pub(super) queue_weight: Weight,
    /// Messages of QoS 0 in the queue; others must not overtake them.
    pub(super) queued_qos0: usize,
    /// Bytes of read batches that are kept for messages in the queue, and the
    /// last of those.
    pub(super) pinned: usize,
    pub(super) last_pinned: u64,
    /// Retained messages in the queue that were asked for.
    pub(super) queued_replays: usize,
    /// No message in the queue expires before.
    pub(super) first_expiry: Millis,
    /// Whether the log was told that the queue is full.
    pub(super) overflow_told: bool,
    pub(super) incoming: Incoming,
    pub(super) subscriptions: HashSet<SubscriptionKey>,
    /// What it needs to be stored; `None`: it isn't.
    pub(super) durable: Option<Box<Durable>>,
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
    /// Whether a message of so many bytes has to go into the queue though the
    /// client is there.
    pub(super) fn must_wait(&self, connection: &Connection, qos: QoS, size: usize) -> bool {
        match qos {
            _ if connection.is_gated() => true,
            QoS::AtMostOnce => self.queued_qos0 > 0,
            _ => {
                connection.unsent() >= SOFT_LIMIT
                    || self.waiting() > 0
                    || !self.outgoing.has_room_for(size)
            }
        }
    }

    /// Decides whether a message that has to wait may be a part of its read
    /// batch, which it keeps in memory as a whole; says how much it keeps that
    /// wasn't kept already. As long as batches consist of messages for this
    /// client, mostly, copying each would be a waste; where they don't, keeping
    /// them would be.
    pub(super) fn pin(&mut self, batch: &Batch<'_>) -> Option<u32> {
        const ALLOWANCE: usize = 256 * 1024;
        if self.last_pinned == batch.number.get() {
            return Some(0);
        }
        if self.pinned + batch.consumed() > ALLOWANCE + 4 * self.queued_bytes {
            return None;
        }
        self.last_pinned = batch.number.get();
        u32::try_from(batch.consumed()).ok()
    }

    /// Appends a delivery to the queue.
    pub(super) fn enqueue(&mut self, delivery: Delivery) {
        self.queued_bytes += delivery.size();
        self.queued_qos0 += usize::from(delivery.qos == QoS::AtMostOnce);
        self.queued_replays += usize::from(delivery.replayed);
        self.pinned += delivery.pins as usize;
        if let Some(at) = delivery.publication.expires() {
            self.first_expiry = self.first_expiry.min(at);
        }
        self.outgoing.push(delivery);
        self.weigh_queue();
    }

    /// In steps, so that a short queue costs nothing.
    fn weigh_queue(&mut self) {
        const STEP: usize = 64;
        let steps = self.outgoing.queued_len() / STEP;
        self.queue_weight.set(steps * STEP * size_of::<Delivery>());
    }

    /// Takes the delivery at the head of the queue.
    pub(super) fn dequeue(&mut self) -> Option<Delivery> {
        let delivery = self.outgoing.pop()?;
        self.queued_bytes -= delivery.size();
        self.queued_qos0 -= usize::from(delivery.qos == QoS::AtMostOnce);
        self.queued_replays -= usize::from(delivery.replayed);
        self.pinned -= delivery.pins as usize;
        if self.outgoing.queued_len() == 0 {
            self.overflow_told = false;
            self.first_expiry = Millis::MAX;
        }
        self.weigh_queue();
        Some(delivery)
    }

    /// Notes that a delivery above QoS 0 is sent, and gives it its packet
    /// identifier.
    pub(super) fn launch(&mut self, delivery: Delivery) -> u16 {
        let (qos, size) = (delivery.qos, delivery.size());
        self.outgoing.send_sized(delivery, qos, size)
    }

    /// Takes the messages that have expired out of the queue, if there may be
    /// any. Returns the places of those that are stored.
    pub(super) fn drop_expired(&mut self, now: Millis) -> Option<Vec<u64>> {
        if now < self.first_expiry {
            return None;
        }
        let mut stored = Vec::new();
        let (mut bytes, mut qos0, mut replays, mut first) = (0, 0, 0, Millis::MAX);
        let mut pinned = 0;
        self.outgoing.retain_queued(|delivery| {
            if delivery.publication.is_expired(now) {
                stored.extend(Some(delivery.sequence).filter(|sequence| *sequence > 0));
                return false;
            }
            bytes += delivery.size();
            qos0 += usize::from(delivery.qos == QoS::AtMostOnce);
            replays += usize::from(delivery.replayed);
            pinned += delivery.pins as usize;
            first = first.min(delivery.publication.expires().unwrap_or(Millis::MAX));
            true
        });
        (self.queued_bytes, self.queued_qos0, self.first_expiry) = (bytes, qos0, first);
        (self.queued_replays, self.pinned) = (replays, pinned);
        self.weigh_queue();
        Some(stored)
    }

    /// The client, as the access control list asks for it.
    pub(super) fn client(&self) -> Client<'_> {
        Client {
            client_id: &self.client_id,
            username: self.username.as_deref(),
        }
    }

    /// Why the client may not receive messages of a topic, if it may not.
    pub(super) fn why_not_read(&self, topic: &str) -> Option<Denial<'_>> {
        self.policy.denial(&self.client(), Access::Read, topic)
    }

    /// Why the client may not publish to a topic, if it may not.
    pub(super) fn why_not_write(&self, topic: &str) -> Option<Denial<'_>> {
        self.policy.denial(&self.client(), Access::Write, topic)
    }

    /// The session as the source of a message that is kept.
    pub(super) fn source(&mut self) -> Arc<Source> {
        let made = || Source {
            client_id: Arc::clone(&self.client_id),
            username: self.username.clone(),
            listener: self.policy.listener,
        };
        Arc::clone(self.source.get_or_insert_with(|| Arc::new(made())))
    }

    /// Whether the session has ended and only its queue is still to be read.
    pub(super) fn is_estate(&self) -> bool {
        self.client_id.is_empty()
    }

    /// Whether the session ends with its connection.
    pub(super) fn is_transient(&self) -> bool {
        self.expiry == 0
    }
}
