//! A store that simulates crashes, for tests of those who use one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Store;
use super::error::{ErrorKind, StoreError};
use super::record::{
    Delivery, Portion, Publication, QueueLength, Queued, Record, Recovered, RecoveredSession,
    Session, Stage, Subscription,
};

/// A store in memory that behaves as the one on disk, deterministically.
///
/// What was committed survives [`crash`](Self::crash) as far as the caller
/// says, what was synced survives always.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    synced: Contents,
    /// Batches since the last sync.
    unsynced: Vec<Vec<Record>>,
    current: Contents,
    failing: Option<ErrorKind>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Contents {
    sessions: BTreeMap<u64, Kept>,
    retained: BTreeMap<(bool, Arc<str>), Arc<Publication>>,
    notes: BTreeMap<String, String>,
    next_session: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Kept {
    description: Session,
    subscriptions: BTreeMap<(bool, Arc<str>), Subscription>,
    queue: BTreeMap<u64, (Stage, Delivery)>,
    incoming: BTreeMap<u16, u64>,
    next: u64,
}

impl Memory {
    /// A store that holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many commits would be lost with the power.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The power fails: of the commits since the last sync the first `kept`
    /// survive. The end of the process alone loses nothing (`usize::MAX`).
    pub fn crash(&mut self, kept: usize) {
        self.unsynced.truncate(kept);
        self.current = self.synced.clone();
        for batch in &self.unsynced {
            self.current.add_all(batch);
        }
        self.failing = None;
    }

    /// From now on all fails, until the next [`crash`](Self::crash).
    pub fn fail(&mut self, kind: ErrorKind) {
        self.failing = Some(kind);
    }

    fn check(&self) -> Result<(), StoreError> {
        self.failing.map_or(Ok(()), |kind| {
            Err(StoreError::new(kind, "the store was told to fail"))
        })
    }
}

impl Contents {
    fn add_all(&mut self, batch: &[Record]) {
        for record in batch {
            self.add(record);
        }
    }

    fn add(&mut self, record: &Record) {
        match record {
            Record::PutSession {
                session,
                description,
            } => {
                self.next_session = self.next_session.max(session.saturating_add(1));
                let description = Session::clone(description);
                self.sessions
                    .entry(*session)
                    .and_modify(|kept| kept.description = description.clone())
                    .or_insert_with(|| Kept {
                        description,
                        subscriptions: BTreeMap::new(),
                        queue: BTreeMap::new(),
                        incoming: BTreeMap::new(),
                        next: QueueLength::EMPTY.next,
                    });
            }
            Record::DropSession { session } => {
                self.sessions.remove(session);
            }
            Record::Retain { publication } => {
                let topic = &publication.topic;
                self.retained.insert(place(topic), Arc::clone(publication));
            }
            Record::Unretain { topic } => {
                self.retained.remove(&place(topic));
            }
            Record::Note { name, text } if text.is_empty() => {
                self.notes.remove(&**name);
            }
            Record::Note { name, text } => {
                self.notes.insert(name.to_string(), text.to_string());
            }
            Record::PutSubscription { session, .. }
            | Record::DropSubscription { session, .. }
            | Record::Enqueue { session, .. }
            | Record::SetStage { session, .. }
            | Record::Dequeue { session, .. }
            | Record::PutIncoming { session, .. }
            | Record::DropIncoming { session, .. } => {
                if let Some(kept) = self.sessions.get_mut(session) {
                    kept.add(record);
                }
            }
        }
    }
}

impl Kept {
    fn add(&mut self, record: &Record) {
        match record {
            Record::PutSubscription { subscription, .. } => {
                let key = place(&subscription.filter);
                self.subscriptions
                    .insert(key, Subscription::clone(subscription));
            }
            Record::DropSubscription { filter, .. } => {
                self.subscriptions.remove(&place(filter));
            }
            Record::Enqueue {
                sequence, delivery, ..
            } => {
                self.queue
                    .insert(*sequence, (Stage::Waiting, delivery.clone()));
                self.next = self.next.max(sequence.saturating_add(1));
            }
            Record::SetStage {
                sequence, stage, ..
            } => {
                if let Some((kept, _)) = self.queue.get_mut(sequence) {
                    *kept = *stage;
                }
            }
            Record::Dequeue { sequence, .. } => {
                self.queue.remove(sequence);
            }
            Record::PutIncoming {
                packet_id,
                fingerprint,
                ..
            } => {
                self.incoming.insert(*packet_id, *fingerprint);
            }
            Record::DropIncoming { packet_id, .. } => {
                self.incoming.remove(packet_id);
            }
            _ => {}
        }
    }

    fn queued(&self, from: u64) -> impl Iterator<Item = Queued> {
        self.queue
            .range(from..)
            .map(|(&sequence, (stage, delivery))| Queued {
                sequence,
                stage: *stage,
                delivery: delivery.clone(),
            })
    }

    fn recovered(&self, number: u64) -> RecoveredSession {
        let bytes = |(_, delivery): &(Stage, Delivery)| delivery.publication.payload.len() as u64;
        RecoveredSession {
            number,
            description: self.description.clone(),
            subscriptions: self.subscriptions.values().cloned().collect(),
            inflight: self
                .queued(0)
                .filter(|queued| queued.stage != Stage::Waiting)
                .collect(),
            incoming: self
                .incoming
                .iter()
                .map(|(&id, &print)| (id, print))
                .collect(),
            queue: QueueLength {
                deliveries: self.queue.len() as u64,
                bytes: self.queue.values().map(bytes).sum(),
                first: self.queue.keys().next().copied().unwrap_or(self.next),
                next: self.next,
            },
        }
    }
}

/// Names in the order of the store on disk.
fn place(name: &str) -> (bool, Arc<str>) {
    (name.len() > super::keys::LONGEST_NAME, name.into())
}

impl Store for Memory {
    fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.check()?;
        self.current.add_all(batch);
        self.unsynced.push(batch.to_vec());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.check()?;
        let Self {
            synced, unsynced, ..
        } = self;
        for batch in unsynced.drain(..) {
            synced.add_all(&batch);
        }
        Ok(())
    }

    fn recover(&mut self) -> Result<Recovered, StoreError> {
        self.check()?;
        let Contents {
            sessions,
            retained,
            notes,
            next_session,
        } = &self.current;
        Ok(Recovered {
            sessions: sessions
                .iter()
                .map(|(&number, kept)| kept.recovered(number))
                .collect(),
            retained: retained.values().cloned().collect(),
            notes: notes.clone(),
            next_session: (*next_session).max(1),
        })
    }

    fn read_queue(
        &mut self,
        session: u64,
        from: u64,
        portion: Portion,
    ) -> Result<Vec<Queued>, StoreError> {
        self.check()?;
        let Some(kept) = self.current.sessions.get(&session) else {
            return Ok(Vec::new());
        };
        let mut bytes = 0;
        let mut found = Vec::new();
        for queued in kept.queued(from) {
            bytes += queued.delivery.publication.payload.len();
            found.push(queued);
            if found.len() >= portion.deliveries || bytes >= portion.bytes {
                break;
            }
        }
        Ok(found)
    }

    fn tidy(&mut self) -> Result<bool, StoreError> {
        self.check().map(|()| false)
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        self.check()
    }

    fn size_on_disk(&self) -> u64 {
        0
    }
}
