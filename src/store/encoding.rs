//! The form of values.
//!
//! Numbers are big-endian, strings and bytes have their length before them.
//! What cannot be decoded is `None`: the engine's checksums make that a sign
//! of another version or of a mistake, not of a tired disk.

use std::sync::Arc;

use bytes::Bytes;

use super::record::{Delivery, Publication, QueueLength, Session, Stage, Subscription, Will};
use crate::codec::{QoS, RetainHandling, SubscriptionOptions, Version};

/// Where the publication of a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the delivery's own value.
    Own,
    /// Under this number, with other deliveries.
    Shared(u64),
}

/// What is read of a delivery that goes.
pub(super) struct Header {
    pub(super) place: Place,
    pub(super) payload_len: u32,
}

pub(super) fn session(session: &Session) -> Vec<u8> {
    let mut w = Writer::default();
    w.text(&session.client_id);
    w.option(session.username.as_deref(), Writer::text);
    w.u32(session.listener);
    w.u16(session.port);
    w.text(&session.mount_point);
    w.u8(session.version as u8 | u8::from(session.is_bridge) << 7);
    w.u64(session.expiry);
    w.option(session.disconnected, Writer::u64);
    w.option(session.will.as_ref(), |w, will| {
        w.publication(&will.publication);
        w.option(will.expiry, Writer::u32);
        w.u64(will.delay);
    });
    w.0
}

pub(super) fn read_session(value: &[u8]) -> Option<Session> {
    let mut r = Reader(value);
    let client_id = r.text()?.into();
    let username = r.option(|r| r.text().map(Into::into))?;
    let (listener, port) = (r.u32()?, r.u16()?);
    let mount_point = r.text()?.into();
    let bits = r.u8()?;
    Some(Session {
        client_id,
        username,
        listener,
        port,
        mount_point,
        version: match bits & 0x7F {
            3 => Version::V31,
            4 => Version::V311,
            5 => Version::V5,
            _ => return None,
        },
        is_bridge: bits & 0x80 != 0,
        expiry: r.u64()?,
        disconnected: r.option(Reader::u64)?,
        will: r.option(|r| {
            Some(Will {
                publication: Arc::new(r.publication()?),
                expiry: r.option(Reader::u32)?,
                delay: r.u64()?,
            })
        })?,
    })
}

pub(super) fn subscription(subscription: &Subscription) -> Vec<u8> {
    let SubscriptionOptions {
        qos,
        no_local,
        retain_as_published,
        retain_handling,
    } = subscription.options;
    let mut w = Writer::default();
    w.text(&subscription.filter);
    w.u8(qos as u8
        | u8::from(no_local) << 2
        | u8::from(retain_as_published) << 3
        | (retain_handling as u8) << 4);
    w.option(subscription.id, Writer::u32);
    w.0
}

pub(super) fn read_subscription(value: &[u8]) -> Option<Subscription> {
    let mut r = Reader(value);
    let filter = r.text()?.into();
    let bits = r.u8()?;
    Some(Subscription {
        filter,
        options: SubscriptionOptions {
            qos: QoS::from_u8(bits & 3)?,
            no_local: bits & 4 != 0,
            retain_as_published: bits & 8 != 0,
            retain_handling: match bits >> 4 {
                0 => RetainHandling::Always,
                1 => RetainHandling::IfNew,
                2 => RetainHandling::Never,
                _ => return None,
            },
        },
        id: r.option(Reader::u32)?,
    })
}

pub(super) fn publication(publication: &Publication) -> Vec<u8> {
    let mut w = Writer(Vec::with_capacity(publication.payload.len() + 128));
    w.publication(publication);
    w.0
}

pub(super) fn read_publication(value: &[u8]) -> Option<Publication> {
    Reader(value).publication()
}

pub(super) fn delivery(delivery: &Delivery, place: Place) -> Vec<u8> {
    let payload_len = delivery.publication.payload.len();
    let room = if place == Place::Own { payload_len } else { 0 };
    let mut w = Writer(Vec::with_capacity(room + 128));
    match place {
        Place::Own => w.u8(0),
        Place::Shared(_) => w.u8(1),
    }
    w.u32(payload_len as u32);
    if let Place::Shared(id) = place {
        w.u64(id);
    }
    w.u8(delivery.qos as u8 | u8::from(delivery.retain) << 2);
    w.u32(delivery.subscription_ids.len() as u32);
    delivery.subscription_ids.iter().for_each(|&id| w.u32(id));
    w.option(delivery.group.as_deref(), Writer::text);
    if place == Place::Own {
        w.publication(&delivery.publication);
    }
    w.0
}

pub(super) fn read_header(value: &[u8]) -> Option<Header> {
    let mut r = Reader(value);
    r.header()
}

/// `shared` finds the publication that others share.
pub(super) fn read_delivery<E>(
    value: &[u8],
    shared: impl FnOnce(u64) -> Result<Arc<Publication>, E>,
) -> Option<Result<Delivery, E>> {
    let mut r = Reader(value);
    let header = r.header()?;
    let bits = r.u8()?;
    let count = r.u32()?;
    let subscription_ids = (0..count).map(|_| r.u32()).collect::<Option<_>>()?;
    let group = r.option(|r| r.text().map(Into::into))?;
    let publication = match header.place {
        Place::Own => Arc::new(r.publication()?),
        Place::Shared(id) => match shared(id) {
            Ok(publication) => publication,
            Err(error) => return Some(Err(error)),
        },
    };
    Some(Ok(Delivery {
        publication,
        qos: QoS::from_u8(bits & 3)?,
        retain: bits & 4 != 0,
        subscription_ids,
        group,
    }))
}

pub(super) fn stage(stage: Stage) -> [u8; 3] {
    let (kind, id) = match stage {
        Stage::Waiting => (0, 0),
        Stage::Sent(id) => (1, id),
        Stage::Received(id) => (2, id),
    };
    let id = id.to_be_bytes();
    [kind, id[0], id[1]]
}

pub(super) fn read_stage(value: &[u8]) -> Option<Stage> {
    let mut r = Reader(value);
    match (r.u8()?, r.u16()?) {
        (0, _) => Some(Stage::Waiting),
        (1, id) => Some(Stage::Sent(id)),
        (2, id) => Some(Stage::Received(id)),
        _ => None,
    }
}

pub(super) fn length(length: &QueueLength) -> Vec<u8> {
    let mut w = Writer::default();
    w.u64(length.deliveries);
    w.u64(length.bytes);
    w.u64(length.first);
    w.u64(length.next);
    w.0
}

pub(super) fn read_length(value: &[u8]) -> Option<QueueLength> {
    let mut r = Reader(value);
    Some(QueueLength {
        deliveries: r.u64()?,
        bytes: r.u64()?,
        first: r.u64()?,
        next: r.u64()?,
    })
}

pub(super) fn numbers(session: u64, publication: u64) -> Vec<u8> {
    let mut w = Writer::default();
    w.u64(session);
    w.u64(publication);
    w.0
}

pub(super) fn read_numbers(value: &[u8]) -> Option<(u64, u64)> {
    let mut r = Reader(value);
    Some((r.u64()?, r.u64()?))
}

pub(super) fn read_u64(value: &[u8]) -> Option<u64> {
    Reader(value).u64()
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.u32(value.len() as u32);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.u8(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn publication(&mut self, publication: &Publication) {
        self.text(&publication.topic);
        self.bytes(&publication.payload);
        self.bytes(&publication.properties);
        self.u8(publication.qos as u8 | u8::from(publication.retain) << 2);
        self.u64(publication.published);
        self.option(publication.expires, Self::u64);
        self.option(publication.client_id.as_deref(), Self::text);
        self.option(publication.username.as_deref(), Self::text);
        self.u32(publication.listener);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.u32()?;
        self.take(count as usize)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    #[expect(
        clippy::option_option,
        reason = "something may be absent, or unreadable"
    )]
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    fn header(&mut self) -> Option<Header> {
        let kind = self.u8()?;
        let payload_len = self.u32()?;
        let place = match kind {
            0 => Place::Own,
            1 => Place::Shared(self.u64()?),
            _ => return None,
        };
        Some(Header { place, payload_len })
    }

    fn publication(&mut self) -> Option<Publication> {
        let topic = self.text()?.into();
        let payload = Bytes::copy_from_slice(self.bytes()?);
        let properties = Bytes::copy_from_slice(self.bytes()?);
        let bits = self.u8()?;
        Some(Publication {
            topic,
            payload,
            properties,
            qos: QoS::from_u8(bits & 3)?,
            retain: bits & 4 != 0,
            published: self.u64()?,
            expires: self.option(Self::u64)?,
            client_id: self.option(|r| r.text().map(Into::into))?,
            username: self.option(|r| r.text().map(Into::into))?,
            listener: self.u32()?,
        })
    }
}
