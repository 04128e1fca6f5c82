//! Mosquitto's `mosquitto.db` as records.
//!
//! The file is a header (a magic string, a checksum that is always 0, the
//! version of the format) and chunks, each with its kind and length:
//! messages once, what each client has of them, retained messages,
//! subscriptions and clients. Most numbers are big-endian; numbers of 64 bits
//! are as the machine had them, little-endian on all that are common today.
//!
//! Versions 6 (Mosquitto 2.0 and later) and 5 (1.6) are read. What the file
//! doesn't know is lost: wills, and with Mosquitto up to 2.0.11 shared
//! subscriptions. Those versions also write the user name of one client with
//! others that have none; it holds until the client comes back.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::record::{Delivery, Publication, Record, Session, Stage, Subscription, WallMillis};
use crate::codec::{Properties, Property, QoS, RetainHandling, SubscriptionOptions, Version};

const MAGIC: &[u8] = b"\x00\xB5\x00mosquitto db";

/// The note that an import leaves, so that it happens once.
pub const NOTE: &str = "imported";

/// What was found in a file.
#[derive(Debug, Default)]
pub struct Imported {
    /// All that can be kept at once, in one or several batches; the last
    /// record is the note.
    pub records: Vec<Record>,
    /// Messages of QoS 2 that wait for PUBREL. Mosquitto hands them out after
    /// that, this broker before: they are still to be published.
    pub unrouted: Vec<Unrouted>,
    /// How much it was.
    pub counts: Counts,
    /// What could not be read, for the log.
    pub remarks: Vec<String>,
}

/// A message of QoS 2 that its client has not released yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrouted {
    /// The session of the client.
    pub session: u64,
    /// The client's packet identifier.
    pub packet_id: u16,
    /// The message.
    pub publication: Arc<Publication>,
}

/// How much an import brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions.
    pub sessions: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Deliveries that wait or are in flight.
    pub deliveries: usize,
    /// Retained messages.
    pub retained: usize,
}

/// Why nothing was imported.
#[derive(Debug)]
pub enum ImportError {
    /// The file could not be read.
    Read(std::io::Error),
    /// It is no such file.
    Foreign,
    /// It is one of a version that is not known.
    Version(u32),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "it cannot be read: {error}"),
            Self::Foreign => f.write_str("it is not a persistence file of Mosquitto"),
            Self::Version(version) => write!(
                f,
                "it is of version {version}, versions 5 and 6 are known; start and stop \
                 Mosquitto 2.0 with it once, which rewrites it as version 6"
            ),
        }
    }
}

impl std::error::Error for ImportError {}

/// Reads a file. Sessions get numbers from `first_session` on; `now` is the
/// time that is noted where the file knows none.
///
/// # Errors
/// There is nothing to import from. Damage within the file is no error.
pub fn read(path: &Path, first_session: u64, now: WallMillis) -> Result<Imported, ImportError> {
    let file = std::fs::read(path).map_err(ImportError::Read)?;
    let mut imported = parse(file.into(), first_session, now)?;
    imported.records.push(Record::Note {
        name: NOTE.into(),
        text: path.display().to_string().into(),
    });
    Ok(imported)
}

/// The chunks of a file, sorted by what they are.
#[derive(Default)]
struct Chunks {
    messages: HashMap<u64, Arc<Publication>>,
    clients: Vec<Client>,
    deliveries: Vec<ClientMessage>,
    subscriptions: Vec<(Arc<str>, Subscription)>,
    retained: Vec<u64>,
    remarks: Vec<String>,
}

struct Client {
    id: Arc<str>,
    username: Option<Arc<str>>,
    port: u16,
    /// Seconds since 1970; 0: never.
    expires: i64,
    /// Seconds; the greatest: never.
    interval: u32,
}

struct ClientMessage {
    client_id: Arc<str>,
    message: u64,
    packet_id: u16,
    qos: QoS,
    state: u8,
    retain: bool,
    outgoing: bool,
    subscription_ids: Box<[u32]>,
}

fn parse(mut file: Bytes, first_session: u64, now: WallMillis) -> Result<Imported, ImportError> {
    if !file.starts_with(MAGIC) {
        return Err(ImportError::Foreign);
    }
    file.advance(MAGIC.len());
    let (Ok(_), Ok(version)) = (file.try_get_u32(), file.try_get_u32()) else {
        return Err(ImportError::Foreign);
    };
    if !(5..=6).contains(&version) {
        return Err(ImportError::Version(version));
    }
    let mut chunks = Chunks::default();
    chunks.read_all(file, version, now);
    Ok(chunks.into_records(first_session, now))
}

impl Chunks {
    fn read_all(&mut self, mut file: Bytes, version: u32, now: WallMillis) {
        let mut position = MAGIC.len() + 8;
        while !file.is_empty() {
            let (Ok(kind), Ok(length)) = (file.try_get_u32(), file.try_get_u32()) else {
                return self.cut_off(position);
            };
            if length as usize > file.len() {
                return self.cut_off(position);
            }
            let mut chunk = file.split_to(length as usize);
            let known = match kind {
                1 => Some(()),
                2 => self.read_message(&mut chunk, now),
                3 => self.read_client_message(&mut chunk),
                4 => self.read_retained(&mut chunk),
                5 => self.read_subscription(&mut chunk),
                6 => self.read_client(&mut chunk, version),
                _ => None,
            };
            if known.is_none() {
                self.remarks.push(format!(
                    "the entry of kind {kind} at byte {position} makes no sense and is left out"
                ));
            }
            position += 8 + length as usize;
        }
    }

    fn cut_off(&mut self, position: usize) {
        self.remarks.push(format!(
            "the file is cut off or damaged at byte {position}; what comes after is lost"
        ));
    }

    fn read_message(&mut self, chunk: &mut Bytes, now: WallMillis) -> Option<()> {
        let id = chunk.try_get_u64_le().ok()?;
        let expires = chunk.try_get_i64_le().ok()?;
        let payload_len = chunk.try_get_u32().ok()?;
        let _source_packet_id = chunk.try_get_u16().ok()?;
        let client_id_len = chunk.try_get_u16().ok()?;
        let username_len = chunk.try_get_u16().ok()?;
        let topic_len = chunk.try_get_u16().ok()?;
        let _source_port = chunk.try_get_u16().ok()?;
        let qos = QoS::from_u8(chunk.try_get_u8().ok()?)?;
        let retain = chunk.try_get_u8().ok()? != 0;
        let client_id = text(chunk, client_id_len)?;
        let username = text(chunk, username_len)?;
        let topic = text(chunk, topic_len)?.into();
        let payload = take(chunk, payload_len as usize)?;
        let properties = properties(chunk)?;
        let publication = Publication {
            topic,
            payload,
            properties,
            qos,
            retain,
            published: now,
            expires: (expires > 0).then(|| millis(expires)),
            client_id: Some(client_id).filter(|id| !id.is_empty()),
            username: Some(username).filter(|name| !name.is_empty()),
            listener: 0,
        };
        self.messages.insert(id, Arc::new(publication));
        Some(())
    }

    fn read_client_message(&mut self, chunk: &mut Bytes) -> Option<()> {
        let message = chunk.try_get_u64_le().ok()?;
        let packet_id = chunk.try_get_u16().ok()?;
        let client_id_len = chunk.try_get_u16().ok()?;
        let qos = QoS::from_u8(chunk.try_get_u8().ok()?)?;
        let state = chunk.try_get_u8().ok()?;
        let retain_dup = chunk.try_get_u8().ok()?;
        let direction = chunk.try_get_u8().ok()?;
        let client_id = text(chunk, client_id_len)?;
        let properties = properties(chunk)?;
        let subscription_ids = Properties::from_encoded(&properties)
            .iter()
            .filter_map(|property| match property {
                Property::SubscriptionIdentifier(id) => Some(id),
                _ => None,
            })
            .collect();
        self.deliveries.push(ClientMessage {
            client_id,
            message,
            packet_id,
            qos,
            state,
            retain: retain_dup & 0xF0 != 0,
            outgoing: direction == 1,
            subscription_ids,
        });
        Some(())
    }

    fn read_retained(&mut self, chunk: &mut Bytes) -> Option<()> {
        self.retained.push(chunk.try_get_u64_le().ok()?);
        Some(())
    }

    fn read_subscription(&mut self, chunk: &mut Bytes) -> Option<()> {
        let id = chunk.try_get_u32().ok()?;
        let client_id_len = chunk.try_get_u16().ok()?;
        let filter_len = chunk.try_get_u16().ok()?;
        let qos = QoS::from_u8(chunk.try_get_u8().ok()?)?;
        let options = chunk.try_get_u8().ok()?;
        let _padding = chunk.try_get_u16().ok()?;
        let client_id = text(chunk, client_id_len)?;
        let filter = text(chunk, filter_len)?;
        let options = SubscriptionOptions {
            qos,
            no_local: options & 0x04 != 0,
            retain_as_published: options & 0x08 != 0,
            retain_handling: match options >> 4 & 3 {
                0 => RetainHandling::Always,
                1 => RetainHandling::IfNew,
                _ => RetainHandling::Never,
            },
        };
        let id = Some(id).filter(|id| *id != 0);
        let subscription = Subscription {
            filter,
            options,
            id,
        };
        self.subscriptions.push((client_id, subscription));
        Some(())
    }

    fn read_client(&mut self, chunk: &mut Bytes, version: u32) -> Option<()> {
        let expires = chunk.try_get_i64_le().ok()?;
        let interval = chunk.try_get_u32().ok()?;
        let _last_packet_id = chunk.try_get_u16().ok()?;
        let id_len = chunk.try_get_u16().ok()?;
        let (port, username_len) = if version == 5 {
            (0, 0)
        } else {
            let port = chunk.try_get_u16().ok()?;
            let username_len = chunk.try_get_u16().ok()?;
            let _padding = chunk.try_get_u32().ok()?;
            (port, username_len)
        };
        let id = text(chunk, id_len)?;
        // Mosquitto 2.0.11 writes what it finds in memory where a client has
        // no user name.
        let username = text(chunk, username_len);
        if username.is_none() {
            self.remarks.push(format!(
                "the user name of client {id} makes no sense and is left out"
            ));
        }
        self.clients.push(Client {
            id,
            username: username.filter(|name| !name.is_empty()),
            port,
            expires,
            interval,
        });
        Some(())
    }

    fn into_records(self, first_session: u64, now: WallMillis) -> Imported {
        let mut imported = Imported {
            remarks: self.remarks,
            ..Imported::default()
        };
        let mut sessions: HashMap<Arc<str>, (u64, u64)> = HashMap::new();
        for (client, number) in self.clients.iter().zip(first_session..) {
            let subscriptions = self.subscriptions.iter().filter(|(id, _)| *id == client.id);
            let modern = client.interval != u32::MAX
                || subscriptions.into_iter().any(|(_, subscription)| {
                    let SubscriptionOptions { qos, .. } = subscription.options;
                    let plain = SubscriptionOptions {
                        qos,
                        ..SubscriptionOptions::default()
                    };
                    subscription.id.is_some() || subscription.options != plain
                });
            sessions.insert(Arc::clone(&client.id), (number, 1));
            imported.records.push(Record::PutSession {
                session: number,
                description: Box::new(client.description(modern, now)),
            });
        }
        imported.counts.sessions = sessions.len();
        let mut strays = 0;
        for (client_id, subscription) in self.subscriptions {
            let Some(&(session, _)) = sessions.get(&client_id) else {
                strays += 1;
                continue;
            };
            imported.counts.subscriptions += 1;
            imported.records.push(Record::PutSubscription {
                session,
                subscription: Box::new(subscription),
            });
        }
        for delivery in self.deliveries {
            let message = self.messages.get(&delivery.message);
            let (Some(publication), Some((session, next))) =
                (message, sessions.get_mut(&delivery.client_id))
            else {
                strays += 1;
                continue;
            };
            imported.deliver(*session, next, delivery, publication);
        }
        for id in self.retained {
            let Some(publication) = self.messages.get(&id) else {
                strays += 1;
                continue;
            };
            imported.counts.retained += 1;
            imported.records.push(Record::Retain {
                publication: Arc::clone(publication),
            });
        }
        if strays > 0 {
            imported.remarks.push(format!(
                "{strays} entries belong to clients or messages that the file doesn't have"
            ));
        }
        imported
    }
}

impl Imported {
    fn deliver(
        &mut self,
        session: u64,
        next: &mut u64,
        delivery: ClientMessage,
        publication: &Arc<Publication>,
    ) {
        if !delivery.outgoing {
            self.unrouted.push(Unrouted {
                session,
                packet_id: delivery.packet_id,
                publication: Arc::clone(publication),
            });
            return;
        }
        let sequence = *next;
        *next += 1;
        self.counts.deliveries += 1;
        self.records.push(Record::Enqueue {
            session,
            sequence,
            delivery: Delivery {
                publication: Arc::clone(publication),
                qos: delivery.qos,
                retain: delivery.retain,
                subscription_ids: delivery.subscription_ids,
                group: None,
            },
        });
        let stage = match delivery.state {
            // It waits for PUBACK or PUBREC.
            3 | 5 => Stage::Sent(delivery.packet_id),
            // PUBREL is to be sent again, or it waits for PUBCOMP.
            6 | 9 => Stage::Received(delivery.packet_id),
            _ => return,
        };
        self.records.push(Record::SetStage {
            session,
            sequence,
            stage,
        });
    }
}

impl Client {
    fn description(&self, modern: bool, now: WallMillis) -> Session {
        let forever = self.interval == u32::MAX;
        let interval = u64::from(self.interval) * 1000;
        let disconnected = match self.expires {
            at if at > 0 && !forever => millis(at).saturating_sub(interval).min(now),
            _ => now,
        };
        Session {
            client_id: Arc::clone(&self.id),
            username: self.username.clone(),
            listener: 0,
            port: self.port,
            mount_point: "".into(),
            version: if modern { Version::V5 } else { Version::V311 },
            is_bridge: false,
            expiry: if forever { u64::MAX } else { interval },
            disconnected: Some(disconnected),
            will: None,
        }
    }
}

fn millis(seconds: i64) -> WallMillis {
    (seconds as u64).saturating_mul(1000)
}

fn take(chunk: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= chunk.len()).then(|| chunk.split_to(length))
}

/// A string as MQTT has it: without NUL (1.5.4).
fn text(chunk: &mut Bytes, length: u16) -> Option<Arc<str>> {
    let bytes = take(chunk, length.into())?;
    let text = std::str::from_utf8(&bytes).ok()?;
    (!text.contains('\0')).then(|| text.into())
}

/// The properties at the end of a chunk, if there are any, without their
/// length, and checked.
fn properties(chunk: &mut Bytes) -> Option<Bytes> {
    if chunk.is_empty() {
        return Some(Bytes::new());
    }
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = chunk.try_get_u8().ok()?;
        length |= usize::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            let properties = take(chunk, length)?;
            return are_properties(&properties).then_some(properties);
        }
    }
    None
}

/// Whether these are whole properties that a message can have.
fn are_properties(bytes: &[u8]) -> bool {
    let mut whole = Vec::with_capacity(bytes.len());
    let allowed = Properties::from_encoded(bytes).iter().all(|property| {
        property.encode(&mut whole);
        matches!(
            property,
            Property::PayloadFormatIndicator(_)
                | Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::UserProperty(..)
                | Property::SubscriptionIdentifier(1..)
        )
    });
    allowed && whole == bytes
}

#[cfg(test)]
mod tests;
