//! The way back from the store: after a start, and when a queue drains.
//!
//! Stored instants are those of a clock of the store's own. It goes on where
//! it was last noted, plus the time that the broker was down, as far as the
//! system's clock can be believed: a machine without a clock of its own starts
//! in 1970, or where it stopped.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::durable::{Durable, ReadQueue};
use super::lifetime::NEVER;
use super::origin::Stamp;
use super::publication::{Delivery, Extras, Ids, MessageProperties, Publication};
use super::session::{SessionId, Source, Will};
use super::subscriptions::SubscriptionKey;
use super::timers::{Millis, Timer};
use super::{Core, Policy};
use crate::codec::Property;
use crate::store::{self, Queued, Record, Recovered, RecoveredSession, Stage, WallMillis};
use crate::topic::Subscription;

/// The note that says where the store's clock is, and the system's.
const CLOCK: &str = "clock";

/// How often that is noted while something is stored, in milliseconds.
const CLOCK_INTERVAL: Millis = 60_000;

/// A longer time without a broker is a clock that was wrong: ten years.
const IMPLAUSIBLE: u64 = 10 * 365 * 24 * 3600 * 1000;

/// What is to be done with the store next, in this order.
#[derive(Debug)]
pub struct Group {
    /// To be committed together, and to be told to [`Core::committed`] with
    /// `number`.
    pub records: Vec<Record>,
    /// The number of the group.
    pub number: u64,
    /// To be answered with [`Core::queue_read`].
    pub reads: Vec<ReadQueue>,
}

impl Core {
    /// Takes up what a store has kept, and has everything stored from now on.
    /// Called before anything happens, and after the store has failed. `wall`
    /// is the system's clock.
    pub fn restore(&mut self, now: Millis, wall: WallMillis, recovered: Recovered) {
        self.peers.now = now;
        self.peers.journal.wall_base = store_time(&recovered.notes, wall).saturating_sub(now);
        self.peers.journal.next_session = recovered.next_session;
        self.origins.restore(&recovered.notes);
        self.peers.journal.switch_on();
        self.is_restored = true;
        for publication in &recovered.retained {
            let source = restore_source(publication);
            let publication = self.restore_publication(publication);
            if publication.is_expired(now) {
                let topic = (&*publication.topic).into();
                self.peers.journal.put_lazily(Record::Unretain { topic });
            } else {
                self.retained.set(Arc::new(publication), source);
            }
        }
        // Messages in flight of one session name shared subscriptions that may
        // be another's.
        let sessions = recovered.sessions.into_iter();
        let sessions: Vec<_> = sessions
            .map(|session| (self.restore_session(&session), session))
            .collect();
        for (id, session) in sessions {
            self.restore_flows(id, session.inflight, &session.incoming, session.queue);
            self.restore_timers(id, session.description);
        }
    }

    fn restore_session(&mut self, stored: &RecoveredSession) -> SessionId {
        let now = self.peers.now;
        let description = &stored.description;
        let policy = self.policy_for(description.listener as usize, description.port);
        let id = self.new_session(&policy, description.version, &description.client_id);
        if let Some(session) = self.peers.session(id) {
            session.is_bridge = description.is_bridge;
            session.username = description.username.as_deref().map(Into::into);
            session.expiry = description.expiry;
            session.left = Some(now);
            session.durable = Some(Box::new(Durable::new(stored.number, stored.queue.next)));
        }
        self.subscriptions.set_bridge(id, description.is_bridge);
        for subscription in &stored.subscriptions {
            self.restore_subscription(id, subscription);
        }
        id
    }

    /// The policy of the listener that a session came through: the one with
    /// the port, if the listeners were put in another order.
    fn policy_for(&self, listener: usize, port: u16) -> Arc<Policy> {
        if listener == Policy::BRIDGES {
            return Arc::new(Policy::bridge());
        }
        let same = self.policies.get(&listener).filter(|p| p.port == port);
        let there = || self.policies.values().find(|policy| policy.port == port);
        let first = || self.policies.values().min_by_key(|policy| policy.listener);
        same.or_else(there)
            .or_else(first)
            .cloned()
            .unwrap_or_default()
    }

    fn restore_subscription(&mut self, id: SessionId, stored: &store::Subscription) {
        let Some(subscription) = Subscription::parse(&stored.filter) else {
            return;
        };
        let (key, _) = self
            .subscriptions
            .subscribe(id, subscription, stored.options, stored.id);
        if let SubscriptionKey::Shared(group) = key {
            self.peers
                .journal
                .group_filters
                .insert(group, Arc::clone(&stored.filter));
        }
        if let Some(session) = self.peers.session(id) {
            session.subscriptions.insert(key);
        }
    }

    fn restore_flows(
        &mut self,
        id: SessionId,
        inflight: Vec<Queued>,
        incoming: &[(u16, u64)],
        queue: store::QueueLength,
    ) {
        let (mut waiting, mut bytes) = (queue.deliveries as usize, queue.bytes as usize);
        let mut first = queue.first;
        for queued in inflight {
            first = first.max(queued.sequence + 1);
            let delivery = self.restore_delivery(&queued);
            waiting = waiting.saturating_sub(1);
            bytes = bytes.saturating_sub(delivery.size());
            let Some(session) = self.peers.session(id) else {
                return;
            };
            match queued.stage {
                Stage::Waiting => {}
                Stage::Sent(packet_id) => {
                    let (qos, size) = (delivery.qos, delivery.size());
                    session.outgoing.restore(packet_id, delivery, qos, size);
                }
                Stage::Received(packet_id) => {
                    session.outgoing.restore_received(packet_id);
                    if let Some(durable) = &mut session.durable {
                        durable.received.insert(packet_id, queued.sequence);
                    }
                }
            }
        }
        let Some(session) = self.peers.session(id) else {
            return;
        };
        for &(packet_id, fingerprint) in incoming {
            session.incoming.restore(packet_id, fingerprint);
        }
        if let Some(durable) = &mut session.durable {
            durable.spilled = waiting;
            durable.spilled_bytes = bytes;
            durable.spilled_from = first;
        }
    }

    /// Who was connected counts as dropped now: its will and its session's end
    /// are counted from here.
    fn restore_timers(&mut self, id: SessionId, description: store::Session) {
        let peers = &self.peers;
        let left = description
            .disconnected
            .unwrap_or_else(|| peers.wall(peers.now));
        let ends_at = match description.expiry {
            NEVER => NEVER,
            expiry => peers.instant(left.saturating_add(expiry)),
        };
        let will = description.will.map(|stored| {
            let due = peers.instant(left.saturating_add(stored.delay.min(description.expiry)));
            let expiry = stored.expiry;
            let publication = self.restore_publication(&stored.publication);
            Box::new(Will {
                publication,
                expiry,
                delay: stored.delay,
                due: Some(due),
            })
        });
        let peers = &mut self.peers;
        if ends_at != NEVER {
            peers.timers.set(ends_at, Timer::SessionEnd(id));
        }
        if let Some(due) = will.as_ref().and_then(|will| will.due) {
            peers.timers.set(due, Timer::Will(id));
        }
        let was_connected = description.disconnected.is_none();
        if let Some(session) = peers.session(id) {
            session.ends_at = ends_at;
            session.will = will;
        }
        if was_connected {
            peers.store_session(id);
        }
    }

    fn restore_publication(&self, stored: &store::Publication) -> Publication {
        let (stamp, properties) = Stamp::restore(&stored.properties);
        let extras = Extras {
            properties: properties.into(),
            expires: stored.expires.map(|at| self.peers.instant(at)),
            stamp: stamp.map(Into::into).unwrap_or_default(),
            weight: self.peers.ledger().map(|ledger| {
                ledger.weigh(stored.payload.len() + stored.properties.len() + stored.topic.len())
            }),
        };
        Publication {
            topic: stored.topic.clone(),
            payload: stored.payload.clone(),
            qos: stored.qos,
            retain: stored.retain,
            extras: extras.kept(),
        }
    }

    fn restore_delivery(&self, queued: &Queued) -> Delivery {
        let stored = &queued.delivery;
        let group = stored.group.as_deref().and_then(Subscription::parse);
        let key = group.and_then(|group| self.subscriptions.key(group));
        Delivery {
            publication: Arc::new(self.restore_publication(&stored.publication)),
            qos: stored.qos,
            retain: stored.retain,
            ids: match &*stored.subscription_ids {
                [] => Ids::None,
                [id] => Ids::One(*id),
                ids => Ids::Many(ids.into()),
            },
            group: match key {
                Some(SubscriptionKey::Shared(number)) => Some(number),
                _ => None,
            },
            sequence: queued.sequence,
            replayed: false,
            pins: 0,
        }
    }

    /// Publishes a message that was stored before it was handed out.
    pub fn publish_stored(&mut self, now: Millis, stored: &store::Publication) {
        self.peers.now = now;
        let publication = self.restore_publication(stored);
        let expiry = publication
            .expires()
            .map(|at| (at.saturating_sub(now) / 1000) as u32);
        let mut live = publication.properties().to_vec();
        if let Some(seconds) = expiry {
            Property::MessageExpiryInterval(seconds).encode(&mut live);
        }
        let properties = MessageProperties {
            live: live.into(),
            kept: publication.properties().into(),
            expiry,
        };
        let (qos, retain) = (publication.qos, publication.retain);
        let (topic, payload) = (&publication.topic, &publication.payload);
        self.publish_own(None, topic, payload, qos, retain, &properties);
    }

    /// The disk of the store is full, or has room again.
    pub fn set_disk_full(&mut self, now: Millis, is_full: bool) {
        self.peers.now = now;
        self.is_disk_full = is_full;
    }

    /// Whether there is something to do with the store.
    pub fn has_store_work(&self) -> bool {
        !self.peers.journal.is_empty() || !self.peers.journal.reads.is_empty()
    }

    /// Whether there is nothing to do with the store but to commit records of
    /// about `most` bytes or less.
    pub fn has_small_group(&self, most: usize) -> bool {
        let journal = &self.peers.journal;
        !journal.is_empty() && journal.weight() <= most && journal.reads.is_empty()
    }

    /// What is to be done with the store next, if there is anything. `wall` is
    /// the system's clock.
    pub fn take_group(&mut self, now: Millis, wall: WallMillis) -> Option<Group> {
        if !self.has_store_work() {
            return None;
        }
        let peers = &mut self.peers;
        if now >= peers.journal.clock_due && !peers.journal.is_empty() {
            peers.journal.clock_due = now + CLOCK_INTERVAL;
            let text = format!("{} {wall}", peers.wall(now)).into();
            peers.journal.put_lazily(Record::Note {
                name: CLOCK.into(),
                text,
            });
        }
        let (number, records) = peers.journal.take();
        Some(Group {
            records,
            number,
            reads: std::mem::take(&mut peers.journal.reads),
        })
    }

    /// All groups up to `number` are safe: what waited for them leaves.
    pub fn committed(&mut self, now: Millis, number: u64) {
        self.peers.now = now;
        self.peers.journal.commit(number);
        while let Some(id) = self.peers.journal.next_released() {
            self.peers.release_held(id);
        }
    }

    /// A part of a session's queue was read from the store.
    pub fn queue_read(&mut self, now: Millis, read: ReadQueue, queued: &[Queued]) {
        self.peers.now = now;
        let deliveries = queued.iter().map(|queued| self.restore_delivery(queued));
        let deliveries: Vec<_> = deliveries.collect();
        if !self.peers.append_read(read.session, deliveries) {
            return;
        }
        let session = self.peers.session(read.session);
        if session.as_ref().is_some_and(|session| session.is_estate()) {
            self.settle_estate(read.session);
        } else if let Some(connection) = session.and_then(|session| session.connection) {
            self.peers.pump(connection);
        }
    }
}

/// Who published a retained message.
fn restore_source(stored: &store::Publication) -> Option<Arc<Source>> {
    stored.client_id.as_ref().map(|client_id| {
        Arc::new(Source {
            client_id: Arc::clone(client_id),
            username: stored.username.as_deref().map(Into::into),
            listener: stored.listener as usize,
        })
    })
}

/// Where the store's clock is now.
fn store_time(notes: &BTreeMap<String, String>, wall: WallMillis) -> WallMillis {
    let noted = notes.get(CLOCK).and_then(|text| {
        let (stored, wall) = text.split_once(' ')?;
        Some((stored.parse::<u64>().ok()?, wall.parse::<u64>().ok()?))
    });
    let Some((stored, noted)) = noted else {
        return wall;
    };
    let down = wall
        .checked_sub(noted)
        .filter(|down| *down < IMPLAUSIBLE)
        .unwrap_or(0);
    stored.saturating_add(down)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(stored: u64, noted: u64, wall: u64) -> u64 {
        let notes = [(CLOCK.to_owned(), format!("{stored} {noted}"))].into();
        store_time(&notes, wall)
    }

    #[test]
    fn the_stores_clock_goes_on_with_the_time_that_the_broker_was_down() {
        assert_eq!(store_time(&BTreeMap::new(), 7_000), 7_000);
        assert_eq!(after(1_000, 5_000, 5_500), 1_500);
    }

    #[test]
    fn a_clock_that_cannot_be_right_counts_as_no_time() {
        assert_eq!(after(1_000, 5_000, 4_000), 1_000, "it went back");
        assert_eq!(after(1_000, 5_000, 5_000 + IMPLAUSIBLE), 1_000);
    }
}
