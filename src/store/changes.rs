//! A batch of records as changes of keys and values.
//!
//! What comes and goes within one batch never reaches the disk: with many
//! messages in flight a busy group costs little more than what is left of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use fjall::Slice;

use super::disk::{Disk, Table};
use super::encoding::{self, Place};
use super::error::StoreError;
use super::keys;
use super::record::{Delivery, Publication, QueueLength, Record, Stage};

/// Publications of fewer bytes are written again with each delivery: that
/// takes less than keeping count of those who share them.
const WORTH_SHARING: usize = 256;

/// Changes to be written together.
#[derive(Default)]
pub(super) struct Changes<'a> {
    state: HashMap<Slice, Option<Slice>>,
    retained: HashMap<Slice, Option<Slice>>,
    /// Deliveries that begin here.
    begun: BTreeMap<(u64, u64), &'a Delivery>,
    /// Deliveries that were written before and end here.
    done: HashSet<(u64, u64)>,
    /// How many deliveries still share a publication, where that changes.
    shares: HashMap<u64, u32>,
    /// Sessions whose queue has another length now.
    lengths: HashSet<u64>,
}

/// A change of one key; no value: it goes.
pub(super) type Change = (Table, Slice, Option<Slice>);

impl<'a> Changes<'a> {
    /// Adds a record. Those of sessions that are not there change nothing.
    pub(super) fn add(&mut self, disk: &mut Disk, record: &'a Record) -> Result<(), StoreError> {
        match record {
            Record::PutSession {
                session,
                description,
            } => {
                disk.begin_session(*session);
                self.lengths.insert(*session);
                let value = encoding::session(description);
                self.put(keys::one(keys::SESSION, *session), value);
            }
            Record::DropSession { session } => self.drop_session(disk, *session),
            Record::Retain { publication } => {
                let value = encoding::publication(publication);
                let key = keys::topic(&publication.topic);
                self.retained.insert(key, Some(value.into()));
            }
            Record::Unretain { topic } => {
                self.retained.insert(keys::topic(topic), None);
            }
            Record::Note { name, text } => {
                let value = (!text.is_empty()).then(|| [name, "\0", text].concat().into());
                self.state.insert(keys::note(name), value);
            }
            Record::PutSubscription { session, .. }
            | Record::DropSubscription { session, .. }
            | Record::Enqueue { session, .. }
            | Record::SetStage { session, .. }
            | Record::Dequeue { session, .. }
            | Record::PutIncoming { session, .. }
            | Record::DropIncoming { session, .. } => {
                if disk.queues.contains_key(session) {
                    self.add_of_session(disk, record)?;
                }
            }
        }
        Ok(())
    }

    fn add_of_session(&mut self, disk: &mut Disk, record: &'a Record) -> Result<(), StoreError> {
        match record {
            Record::PutSubscription {
                session,
                subscription,
            } => {
                let key = keys::named(keys::SUBSCRIPTION, *session, &subscription.filter);
                self.put(key, encoding::subscription(subscription));
            }
            Record::DropSubscription { session, filter } => {
                self.remove(keys::named(keys::SUBSCRIPTION, *session, filter));
            }
            Record::Enqueue {
                session,
                sequence,
                delivery,
            } => {
                self.begun.insert((*session, *sequence), delivery);
                disk.lengthen(*session, *sequence, delivery.publication.payload.len());
                self.lengths.insert(*session);
            }
            Record::SetStage {
                session,
                sequence,
                stage,
            } => {
                let key = keys::two(keys::INFLIGHT, *session, *sequence);
                let known = disk.length(*session).is_some_and(|l| *sequence < l.next);
                match stage {
                    Stage::Waiting => self.remove(key),
                    stage if known => self.put(key, encoding::stage(*stage)),
                    _ => {}
                }
            }
            Record::Dequeue { session, sequence } => self.dequeue(disk, *session, *sequence)?,
            Record::PutIncoming {
                session,
                packet_id,
                fingerprint,
            } => {
                let key = keys::two(keys::INCOMING, *session, (*packet_id).into());
                self.put(key, fingerprint.to_be_bytes());
            }
            Record::DropIncoming { session, packet_id } => {
                self.remove(keys::two(keys::INCOMING, *session, (*packet_id).into()));
            }
            _ => {}
        }
        Ok(())
    }

    fn put(&mut self, key: Slice, value: impl Into<Slice>) {
        self.state.insert(key, Some(value.into()));
    }

    fn remove(&mut self, key: Slice) {
        self.state.insert(key, None);
    }

    fn dequeue(&mut self, disk: &mut Disk, session: u64, sequence: u64) -> Result<(), StoreError> {
        let stage = keys::two(keys::INFLIGHT, session, sequence);
        if let Some(delivery) = self.begun.remove(&(session, sequence)) {
            self.state.remove(&stage);
            disk.shorten(session, sequence, delivery.publication.payload.len())?;
            return Ok(());
        }
        if self.done.contains(&(session, sequence)) {
            return Ok(());
        }
        let key = keys::two(keys::DELIVERY, session, sequence);
        let Some(value) = disk.get(Table::Queue, &key)? else {
            return Ok(());
        };
        self.remove(stage);
        let payload = self.forget(disk, session, sequence, &value)?;
        disk.shorten(session, sequence, payload)?;
        self.lengths.insert(session);
        Ok(())
    }

    /// Removes a delivery that was written before; the bytes of its payload.
    fn forget(
        &mut self,
        disk: &Disk,
        session: u64,
        sequence: u64,
        value: &[u8],
    ) -> Result<usize, StoreError> {
        let header = encoding::read_header(value)
            .ok_or_else(|| StoreError::damaged("a delivery cannot be decoded"))?;
        self.done.insert((session, sequence));
        if let Place::Shared(id) = header.place {
            let shares = match self.shares.get(&id) {
                Some(shares) => *shares,
                None => disk.shares(id)?,
            };
            self.shares.insert(id, shares.saturating_sub(1));
        }
        Ok(header.payload_len as usize)
    }

    fn drop_session(&mut self, disk: &mut Disk, session: u64) {
        let Some(queue) = disk.end_session(session) else {
            return;
        };
        let own = (session, 0)..=(session, u64::MAX);
        let begun: Vec<_> = self.begun.range(own).map(|(key, _)| *key).collect();
        for key in begun {
            self.begun.remove(&key);
        }
        // What is removed stays removed; what was put is not written at all.
        self.state
            .retain(|key, value| value.is_none() || !belongs_to(key, session));
        self.lengths.remove(&session);
        self.remove(keys::one(keys::SESSION, session));
        self.remove(keys::one(keys::LENGTH, session));
        self.put(keys::one(keys::ENDED, session), queue.first.to_be_bytes());
    }

    /// Removes belongings of a session that ended, at most `limit`. True: that
    /// was all.
    pub(super) fn sweep(
        &mut self,
        disk: &mut Disk,
        session: u64,
        first: &mut u64,
        limit: usize,
    ) -> Result<bool, StoreError> {
        let mut left = limit;
        for kind in [keys::SUBSCRIPTION, keys::INCOMING, keys::INFLIGHT] {
            for entry in disk.scan(Table::State, &keys::one(kind, session), None) {
                let (key, _) = entry?;
                self.remove(key);
                left = left.saturating_sub(1);
                if left == 0 {
                    return Ok(false);
                }
            }
        }
        let prefix = keys::one(keys::DELIVERY, session);
        let from = keys::two(keys::DELIVERY, session, *first);
        for entry in disk.scan(Table::Queue, &prefix, Some(from)) {
            let (key, value) = entry?;
            let sequence = keys::second(&key).unwrap_or(u64::MAX);
            self.forget(disk, session, sequence, &value)?;
            *first = sequence.saturating_add(1);
            left = left.saturating_sub(1);
            if left == 0 {
                return Ok(false);
            }
        }
        self.remove(keys::one(keys::ENDED, session));
        Ok(true)
    }

    /// All that is to be written.
    pub(super) fn finish(mut self, disk: &mut Disk) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.state.len() + self.begun.len() + 8);
        self.write_deliveries(disk, &mut changes);
        for (session, sequence) in self.done {
            let key = keys::two(keys::DELIVERY, session, sequence);
            changes.push((Table::Queue, key, None));
        }
        for (id, shares) in self.shares {
            let key = keys::one(keys::SHARES, id);
            if shares == 0 {
                changes.push((Table::Queue, keys::one(keys::PUBLICATION, id), None));
                changes.push((Table::State, key, None));
            } else {
                let value = shares.to_be_bytes().into();
                changes.push((Table::State, key, Some(value)));
            }
        }
        for session in self.lengths {
            if let Some(length) = disk.length(session) {
                let value = encoding::length(&length).into();
                changes.push((Table::State, keys::one(keys::LENGTH, session), Some(value)));
            }
        }
        let state = self.state.into_iter();
        changes.extend(state.map(|(key, value)| (Table::State, key, value)));
        let retained = self.retained.into_iter();
        changes.extend(retained.map(|(key, value)| (Table::Retained, key, value)));
        changes
    }

    fn write_deliveries(&mut self, disk: &mut Disk, changes: &mut Vec<Change>) {
        let mut uses: HashMap<*const Publication, u32> = HashMap::new();
        for delivery in self.begun.values() {
            *uses.entry(Arc::as_ptr(&delivery.publication)).or_default() += 1;
        }
        let mut places: HashMap<*const Publication, u64> = HashMap::new();
        for (&(session, sequence), delivery) in &self.begun {
            let publication = &delivery.publication;
            let address = Arc::as_ptr(publication);
            let shared = uses[&address] > 1 && weight(publication) >= WORTH_SHARING;
            let place = if shared {
                Place::Shared(*places.entry(address).or_insert_with(|| {
                    let id = disk.new_publication();
                    self.shares.insert(id, uses[&address]);
                    let value = encoding::publication(publication).into();
                    changes.push((Table::Queue, keys::one(keys::PUBLICATION, id), Some(value)));
                    id
                }))
            } else {
                Place::Own
            };
            let key = keys::two(keys::DELIVERY, session, sequence);
            let value = encoding::delivery(delivery, place).into();
            changes.push((Table::Queue, key, Some(value)));
        }
    }
}

fn weight(publication: &Publication) -> usize {
    publication.topic.len() + publication.payload.len() + publication.properties.len()
}

fn belongs_to(key: &[u8], session: u64) -> bool {
    const KINDS: [u8; 5] = [
        keys::SESSION,
        keys::SUBSCRIPTION,
        keys::INCOMING,
        keys::INFLIGHT,
        keys::LENGTH,
    ];
    KINDS.contains(&key[0]) && keys::number(key) == Some(session)
}

/// A queue's length, and how many deliveries have left it since its beginning
/// was looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    pub(super) length: QueueLength,
    pub(super) strays: u32,
}
