//! What is told to the store: sessions, their queues, retained messages.
//!
//! Everything here does nothing without persistence, or for a session that
//! ends with its connection.

use std::sync::Arc;

use super::Core;
use super::lifetime::NEVER;
use super::origin::Stamp;
use super::peers::Peers;
use super::publication::{Delivery, Publication};
use super::session::{Session, SessionId, Source, Will};
use super::subscriptions::SubscriptionKey;
use super::timers::Millis;
use crate::codec::QoS;
use crate::session::IdMap;
use crate::store::{self, Portion, Record, Stage};

/// Deliveries of one session that are kept in memory: the head of its queue.
/// What comes behind them is in the store alone.
const HEAD: Portion = Portion {
    deliveries: 256,
    bytes: 256 * 1024,
};

/// The length of the head at which the next part is read from the store.
const LOW_HEAD: usize = 64;

/// What a session needs to be stored.
#[derive(Debug)]
pub(super) struct Durable {
    /// The number of the session in the store.
    pub(super) number: u64,
    /// The place of the next delivery.
    next: u64,
    /// Deliveries behind the head, which are in the store alone: how many, of
    /// how many payload bytes, and the place of the first.
    pub(super) spilled: usize,
    pub(super) spilled_bytes: usize,
    pub(super) spilled_from: u64,
    /// A part of them was asked for.
    reading: bool,
    /// The places of messages of QoS 2 whose PUBREC came, by packet
    /// identifier.
    pub(super) received: IdMap<u64>,
}

/// A part of a session's queue that the core wants to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadQueue {
    pub(super) session: SessionId,
    /// The number of the session in the store.
    pub number: u64,
    /// The first sequence number.
    pub from: u64,
    /// How much.
    pub portion: Portion,
}

impl Durable {
    pub(super) fn new(number: u64, next: u64) -> Self {
        Self {
            number,
            next,
            spilled: 0,
            spilled_bytes: 0,
            spilled_from: next,
            reading: false,
            received: IdMap::default(),
        }
    }
}

impl Session {
    /// How many messages wait, those in the store included.
    pub(super) fn waiting(&self) -> usize {
        self.outgoing.queued_len() + self.durable.as_ref().map_or(0, |durable| durable.spilled)
    }

    /// Their payload bytes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.queued_bytes
            + self
                .durable
                .as_ref()
                .map_or(0, |durable| durable.spilled_bytes)
    }

    /// Whether the next delivery stays out of memory.
    fn is_head_full(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| {
            durable.spilled > 0
                || self.outgoing.queued_len() >= HEAD.deliveries
                || self.queued_bytes >= HEAD.bytes
        })
    }
}

impl Peers {
    /// The wall clock at an instant.
    pub(super) fn wall(&self, at: Millis) -> u64 {
        self.journal.wall_base.saturating_add(at)
    }

    /// The instant of a wall clock, as far as it is not before our time.
    pub(super) fn instant(&self, wall: u64) -> Millis {
        wall.saturating_sub(self.journal.wall_base)
    }

    /// Gives a delivery its place in its session's queue. `content` is the
    /// message in the store's form, made once for all who get it.
    pub(super) fn store_delivery(
        &mut self,
        id: SessionId,
        delivery: &mut Delivery,
        content: &mut Option<Arc<store::Publication>>,
    ) {
        if delivery.qos == QoS::AtMostOnce || !self.journal.is_on() {
            return;
        }
        let wall_base = self.journal.wall_base;
        let Some(durable) = self.durable(id) else {
            return;
        };
        delivery.sequence = durable.next;
        durable.next += 1;
        let session = durable.number;
        let group = delivery
            .group
            .and_then(|group| self.journal.group_filters.get(&group).cloned());
        let content =
            content.get_or_insert_with(|| Arc::new(stored(&delivery.publication, wall_base)));
        self.journal.put(Record::Enqueue {
            session,
            sequence: delivery.sequence,
            delivery: store::Delivery {
                publication: Arc::clone(content),
                qos: delivery.qos,
                retain: delivery.retain,
                subscription_ids: delivery.ids.as_slice().into(),
                group,
            },
        });
    }

    /// A stored delivery was given a packet identifier. A repeat of QoS 1 is
    /// allowed, so nobody waits for that; QoS 2 is held back by its sender.
    pub(super) fn note_sent(&mut self, id: SessionId, sequence: u64, packet_id: u16) {
        self.note(id, sequence, |session| Record::SetStage {
            session,
            sequence,
            stage: Stage::Sent(packet_id),
        });
    }

    /// PUBREC came: the message itself is no longer needed. PUBREL waits for
    /// that to be safe.
    pub(super) fn note_received(&mut self, id: SessionId, sequence: u64, packet_id: u16) {
        let noted = self.note(id, sequence, |session| Record::SetStage {
            session,
            sequence,
            stage: Stage::Received(packet_id),
        });
        if let Some(durable) = self.durable(id)
            && noted
        {
            durable.received.insert(packet_id, sequence);
            self.journal.promise();
        }
    }

    /// PUBCOMP came.
    pub(super) fn note_completed(&mut self, id: SessionId, packet_id: u16) {
        if let Some(durable) = self.durable(id)
            && let Some(sequence) = durable.received.remove(&packet_id)
        {
            self.note_done(id, sequence);
        }
    }

    /// A stored delivery is done, or was given up.
    pub(super) fn note_done(&mut self, id: SessionId, sequence: u64) {
        self.note(id, sequence, |session| Record::Dequeue {
            session,
            sequence,
        });
    }

    /// Adds a record about a delivery, if it is stored.
    fn note(&mut self, id: SessionId, sequence: u64, record: impl FnOnce(u64) -> Record) -> bool {
        if sequence == 0 {
            return false;
        }
        let Some(number) = self.durable(id).map(|durable| durable.number) else {
            return false;
        };
        self.journal.put_lazily(record(number));
        true
    }

    /// Adds a record about a session that is stored; the answer waits for it.
    pub(super) fn promise(&mut self, id: SessionId, record: impl FnOnce(u64) -> Record) {
        if let Some(number) = self.durable(id).map(|durable| durable.number) {
            self.journal.put(record(number));
        }
    }

    pub(super) fn durable(&mut self, id: SessionId) -> Option<&mut Durable> {
        self.session(id)?.durable.as_deref_mut()
    }

    /// Makes a session durable that is to outlive its connection, and tells
    /// the store how it is now.
    pub(super) fn store_session(&mut self, id: SessionId) {
        if !self.journal.is_on() {
            return;
        }
        let fresh = self.journal.next_session;
        let Some(session) = self.session(id) else {
            return;
        };
        if session.durable.is_none() {
            if session.is_transient() {
                return;
            }
            session.durable = Some(Box::new(Durable::new(fresh, 1)));
            self.journal.next_session += 1;
        }
        let wall_base = self.journal.wall_base;
        let Some(session) = self.session(id) else {
            return;
        };
        let Some(durable) = &session.durable else {
            return;
        };
        // A session that is back from the store was left before our time.
        let left = session.left.map(|at| match session.ends_at {
            NEVER => wall_base.saturating_add(at),
            ends_at => wall_base
                .saturating_add(ends_at)
                .saturating_sub(session.expiry),
        });
        let description = store::Session {
            client_id: Arc::clone(&session.client_id),
            username: session.username.as_deref().map(Into::into),
            listener: session.policy.listener as u32,
            port: session.policy.port,
            mount_point: session.policy.mount_point.as_str().into(),
            version: session.version,
            is_bridge: session.is_bridge,
            expiry: session.expiry,
            disconnected: left,
            will: session
                .will
                .as_deref()
                .map(|will| stored_will(will, wall_base)),
        };
        let record = Record::PutSession {
            session: durable.number,
            description: Box::new(description),
        };
        self.journal.put(record);
    }

    /// Tells the store that a topic has another retained message now. Nobody
    /// waits for one of QoS 0.
    pub(super) fn store_retained(&mut self, publication: &Publication, source: Option<&Source>) {
        if !self.journal.is_on() || publication.topic.starts_with("$SYS/") {
            return;
        }
        let mut kept = stored(publication, self.journal.wall_base);
        if let Some(source) = source {
            kept.client_id = Some(Arc::clone(&source.client_id));
            kept.username = source.username.as_deref().map(Into::into);
            kept.listener = source.listener as u32;
        }
        let publication_qos = publication.qos;
        let publication = Arc::new(kept);
        self.put_for(publication_qos, Record::Retain { publication });
    }

    /// Tells the store that a topic has no retained message any more.
    pub(super) fn drop_retained(&mut self, topic: &str, qos: QoS) {
        if self.journal.is_on() && !topic.starts_with("$SYS/") {
            self.put_for(
                qos,
                Record::Unretain {
                    topic: topic.into(),
                },
            );
        }
    }

    fn put_for(&mut self, qos: QoS, record: Record) {
        match qos {
            QoS::AtMostOnce => self.journal.put_lazily(record),
            _ => self.journal.put(record),
        }
    }

    /// Lets a stored delivery wait: in memory where the queue is short, else
    /// in the store alone.
    pub(super) fn queue_or_spill(&mut self, id: SessionId, delivery: Delivery) {
        let Some(session) = self.session(id) else {
            return;
        };
        if delivery.sequence == 0 || !session.is_head_full() {
            session.enqueue(delivery);
        } else if let Some(durable) = &mut session.durable {
            if durable.spilled == 0 {
                durable.spilled_from = delivery.sequence;
            }
            durable.spilled += 1;
            durable.spilled_bytes += delivery.size();
        }
    }

    /// Asks for the next part of a queue when its head gets short.
    pub(super) fn read_ahead(&mut self, id: SessionId) {
        let Some(session) = self.session(id) else {
            return;
        };
        if session.outgoing.queued_len() > LOW_HEAD {
            return;
        }
        let Some(durable) = &mut session.durable else {
            return;
        };
        if durable.spilled > 0 && !std::mem::replace(&mut durable.reading, true) {
            let read = ReadQueue {
                session: id,
                number: durable.number,
                from: durable.spilled_from,
                portion: HEAD,
            };
            self.journal.reads.push(read);
        }
    }

    /// The store has read a part of a queue. False: the session is gone, or
    /// didn't ask.
    pub(super) fn append_read(&mut self, id: SessionId, read: Vec<Delivery>) -> bool {
        let Some(session) = self.session(id) else {
            return false;
        };
        let Some(durable) = &mut session.durable else {
            return false;
        };
        if !std::mem::replace(&mut durable.reading, false) {
            return false;
        }
        if read.is_empty() {
            // The store knows better what it has.
            (durable.spilled, durable.spilled_bytes) = (0, 0);
        }
        for delivery in read {
            if let Some(durable) = &mut session.durable {
                durable.spilled = durable.spilled.saturating_sub(1);
                durable.spilled_bytes = durable.spilled_bytes.saturating_sub(delivery.size());
                durable.spilled_from = delivery.sequence + 1;
            }
            session.enqueue(delivery);
        }
        true
    }
}

impl Core {
    /// Ends a subscription, and forgets its group where it was the last.
    pub(super) fn end_subscription(&mut self, session: SessionId, key: SubscriptionKey) {
        self.subscriptions.unsubscribe(session, key);
        if let SubscriptionKey::Shared(group) = key
            && !self.subscriptions.has_group(group)
        {
            self.peers.journal.group_filters.remove(&group);
        }
    }

    /// Tells the store of retained messages that have expired.
    pub(super) fn store_expired(&mut self) {
        for topic in self.retained.take_expired() {
            self.peers.drop_retained(&topic, QoS::AtMostOnce);
        }
    }
}

/// A message in the form that is stored.
fn stored(publication: &Publication, wall_base: u64) -> store::Publication {
    store::Publication {
        topic: publication.topic.clone(),
        payload: publication.payload.clone(),
        properties: Stamp::store(publication.stamp(), publication.properties()),
        qos: publication.qos,
        retain: publication.retain,
        published: 0,
        expires: publication.expires().map(|at| wall_base.saturating_add(at)),
        client_id: None,
        username: None,
        listener: 0,
    }
}

fn stored_will(will: &Will, wall_base: u64) -> store::Will {
    store::Will {
        publication: Arc::new(stored(&will.publication, wall_base)),
        expiry: will.expiry,
        delay: will.delay,
    }
}
