//! The way back from what is on disk to what the broker works with.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Disk, Table};
use crate::store::changes::Queue;
use crate::store::error::StoreError;
use crate::store::record::{
    Delivery, Portion, Publication, QueueLength, Queued, Recovered, RecoveredSession, Stage,
};
use crate::store::{encoding, keys};

impl Disk {
    /// A delivery from its value.
    pub(in crate::store) fn decode(
        &self,
        value: &[u8],
        shared: &mut HashMap<u64, Arc<Publication>>,
    ) -> Result<Delivery, StoreError> {
        let find = |id| {
            if let Some(publication) = shared.get(&id) {
                return Ok(Arc::clone(publication));
            }
            let value = self.get(Table::Queue, &keys::one(keys::PUBLICATION, id))?;
            let publication = value
                .and_then(|value| encoding::read_publication(&value))
                .map(Arc::new)
                .ok_or_else(|| StoreError::damaged("a publication is missing"))?;
            shared.insert(id, Arc::clone(&publication));
            Ok(publication)
        };
        encoding::read_delivery(value, find).unwrap_or_else(|| Err(undecodable("a delivery")))
    }

    pub(super) fn read_portion(
        &self,
        session: u64,
        from: u64,
        portion: Portion,
    ) -> Result<Vec<Queued>, StoreError> {
        let Some(length) = self.length(session) else {
            return Ok(Vec::new());
        };
        let from = from.max(length.first);
        let prefix = keys::one(keys::DELIVERY, session);
        let from = keys::two(keys::DELIVERY, session, from);
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut shared = HashMap::new();
        for entry in self.scan(Table::Queue, &prefix, Some(from)) {
            let (key, value) = entry?;
            let sequence = keys::second(&key).ok_or_else(|| undecodable("a key"))?;
            let delivery = self.decode(&value, &mut shared)?;
            bytes += delivery.publication.payload.len();
            found.push(Queued {
                sequence,
                stage: Stage::Waiting,
                delivery,
            });
            if found.len() >= portion.deliveries || bytes >= portion.bytes {
                break;
            }
        }
        self.add_stages(session, &mut found)?;
        Ok(found)
    }

    fn add_stages(&self, session: u64, found: &mut [Queued]) -> Result<(), StoreError> {
        let [first, .., last] = found else {
            if let [only] = found {
                let key = keys::two(keys::INFLIGHT, session, only.sequence);
                if let Some(value) = self.get(Table::State, &key)? {
                    only.stage =
                        encoding::read_stage(&value).ok_or_else(|| undecodable("a stage"))?;
                }
            }
            return Ok(());
        };
        let range = keys::two(keys::INFLIGHT, session, first.sequence)
            ..=keys::two(keys::INFLIGHT, session, last.sequence);
        for entry in self.table(Table::State).range(range) {
            let (key, value) = entry.into_inner()?;
            let sequence = keys::second(&key).ok_or_else(|| undecodable("a key"))?;
            if let Ok(index) = found.binary_search_by_key(&sequence, |queued| queued.sequence) {
                found[index].stage =
                    encoding::read_stage(&value).ok_or_else(|| undecodable("a stage"))?;
            }
        }
        Ok(())
    }

    pub(super) fn read_all(&mut self) -> Result<Recovered, StoreError> {
        let mut sessions: HashMap<u64, RecoveredSession> = HashMap::new();
        for entry in self.scan(Table::State, &[keys::SESSION], None) {
            let (key, value) = entry?;
            let (Some(number), Some(description)) =
                (keys::number(&key), encoding::read_session(&value))
            else {
                return Err(undecodable("a session"));
            };
            let session = RecoveredSession {
                number,
                description,
                subscriptions: Vec::new(),
                inflight: Vec::new(),
                incoming: Vec::new(),
                queue: QueueLength::EMPTY,
            };
            sessions.insert(number, session);
        }
        self.read_belongings(&mut sessions)?;
        self.queues = sessions
            .values()
            .map(|session| {
                let length = session.queue;
                (session.number, Queue { length, strays: 0 })
            })
            .collect();
        self.ended.clear();
        for entry in self.scan(Table::State, &[keys::ENDED], None) {
            let (key, value) = entry?;
            let ended = keys::number(&key).zip(encoding::read_u64(&value));
            self.ended
                .push_back(ended.ok_or_else(|| undecodable("a session that ended"))?);
        }
        if let Some(value) = self.get(Table::State, keys::NUMBERS)? {
            self.numbers =
                encoding::read_numbers(&value).ok_or_else(|| undecodable("the numbers"))?;
            (self.next_session, self.next_publication) = self.numbers;
        }
        let mut sessions: Vec<_> = sessions.into_values().collect();
        sessions.sort_unstable_by_key(|session| session.number);
        Ok(Recovered {
            sessions,
            retained: self.read_retained()?,
            notes: self.read_notes()?,
            next_session: self.next_session,
        })
    }

    fn read_belongings(
        &self,
        sessions: &mut HashMap<u64, RecoveredSession>,
    ) -> Result<(), StoreError> {
        let mut shared = HashMap::new();
        for kind in [
            keys::SUBSCRIPTION,
            keys::INCOMING,
            keys::INFLIGHT,
            keys::LENGTH,
        ] {
            for entry in self.scan(Table::State, &[kind], None) {
                let (key, value) = entry?;
                let number = keys::number(&key).ok_or_else(|| undecodable("a key"))?;
                let Some(session) = sessions.get_mut(&number) else {
                    continue;
                };
                let read = match kind {
                    keys::SUBSCRIPTION => encoding::read_subscription(&value)
                        .map(|subscription| session.subscriptions.push(subscription)),
                    keys::INCOMING => keys::second(&key)
                        .zip(encoding::read_u64(&value))
                        .map(|(id, fingerprint)| session.incoming.push((id as u16, fingerprint))),
                    keys::LENGTH => {
                        encoding::read_length(&value).map(|length| session.queue = length)
                    }
                    _ => {
                        let stage = keys::second(&key).zip(encoding::read_stage(&value));
                        let Some((sequence, stage)) = stage else {
                            return Err(undecodable("a stage"));
                        };
                        let key = keys::two(keys::DELIVERY, number, sequence);
                        if let Some(value) = self.get(Table::Queue, &key)? {
                            session.inflight.push(Queued {
                                sequence,
                                stage,
                                delivery: self.decode(&value, &mut shared)?,
                            });
                        }
                        Some(())
                    }
                };
                read.ok_or_else(|| undecodable("something of a session"))?;
            }
        }
        Ok(())
    }

    fn read_retained(&self) -> Result<Vec<Arc<Publication>>, StoreError> {
        self.scan(Table::Retained, &[], None)
            .map(|entry| {
                let (_, value) = entry?;
                encoding::read_publication(&value)
                    .map(Arc::new)
                    .ok_or_else(|| undecodable("a retained message"))
            })
            .collect()
    }

    fn read_notes(&self) -> Result<BTreeMap<String, String>, StoreError> {
        self.scan(Table::State, &[keys::NOTE], None)
            .map(|entry| {
                let (_, value) = entry?;
                let text = std::str::from_utf8(&value).ok();
                text.and_then(|text| text.split_once('\0'))
                    .map(|(name, text)| (name.into(), text.into()))
                    .ok_or_else(|| undecodable("a note"))
            })
            .collect()
    }
}

fn undecodable(what: &str) -> StoreError {
    StoreError::damaged(format!("{what} cannot be decoded"))
}
