//! One publication while it is handed to all who get it.

use std::sync::Arc;

use bytes::Bytes;
use once_cell::race::OnceBox;
use smol_str::SmolStr;

use super::batch::Batch;
use super::memory::Ledger;
use super::origin::Stamp;
use super::publication::{Delivery, Extras, Ids, MessageProperties, Publication};
use super::session::{SessionId, Source};
use super::timers::Millis;
use crate::codec::{Frame, Properties, Publish, QoS, Version};
use crate::store;

/// A message on its way in, with what is made of it only when somebody needs
/// it: frames in other wire formats, and the forms that outlive the batch.
#[derive(Debug)]
pub(super) struct Fanout<'a> {
    pub(super) topic: &'a str,
    /// The same as what is kept of the message shares it.
    shared_topic: &'a SmolStr,
    pub(super) payload: &'a [u8],
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) properties: &'a MessageProperties<'a>,
    pub(super) expires: Option<Millis>,
    pub(super) publisher: Option<SessionId>,
    /// Who is asked for, should the message be retained.
    pub(super) source: Option<Arc<Source>>,
    /// How much of the topic is the publisher's mount point; its frames don't
    /// have that.
    pub(super) mount: usize,
    /// The batch that payload and properties are parts of.
    pub(super) batch: Option<&'a Batch<'a>>,
    pub(super) frames: Frames<'a>,
    /// What bridges are told of its origin.
    pub(super) stamp: Option<Stamp>,
    /// Where it counts what of the message is kept, if anything counts.
    pub(super) ledger: Option<Ledger>,
    /// There is one receiver at most.
    pub(super) is_for_one: bool,
    shared: Option<Arc<Publication>>,
    detached: Option<Arc<Publication>>,
    /// The message in the store's form.
    pub(super) stored: Option<Arc<store::Publication>>,
}

/// About what a message takes beside its bytes.
const OVERHEAD: usize = 224;

impl<'a> Fanout<'a> {
    #[inline]
    pub(super) fn new(
        topic: &'a SmolStr,
        payload: &'a [u8],
        qos: QoS,
        retain: bool,
        properties: &'a MessageProperties<'a>,
        now: Millis,
    ) -> Self {
        Self {
            topic,
            shared_topic: topic,
            payload,
            qos,
            retain,
            properties,
            expires: properties
                .expiry
                .map(|seconds| now + Millis::from(seconds) * 1000),
            publisher: None,
            source: None,
            mount: 0,
            batch: None,
            frames: Frames::default(),
            stamp: None,
            ledger: None,
            is_for_one: false,
            shared: None,
            detached: None,
            stored: None,
        }
    }

    /// Whether clients below a mount point see the topic as the publisher does,
    /// so that its frames are theirs.
    pub(super) fn is_seen_alike(&self, mount_point: &str) -> bool {
        mount_point.len() == self.mount && (self.mount == 0 || self.topic.starts_with(mount_point))
    }

    /// The message for a flight: a part of its read batch, gone soon.
    pub(super) fn shared(&mut self) -> Arc<Publication> {
        let Some(batch) = self.batch else {
            return self.detached();
        };
        if let Some(shared) = &self.shared {
            return Arc::clone(shared);
        }
        let ledger = self.ledger.as_ref();
        let shared = Arc::new(self.publication(0, |part| batch.share(part, ledger)));
        if !self.is_for_one {
            self.shared = Some(Arc::clone(&shared));
        }
        shared
    }

    /// The message on its way to a shared group, the member yet unknown.
    pub(super) fn delivery_of(&mut self, group: u32) -> Delivery {
        Delivery {
            publication: self.shared(),
            qos: self.qos,
            retain: false,
            ids: Ids::None,
            group: Some(group),
            sequence: 0,
            replayed: false,
            pins: 0,
        }
    }

    /// The message for a long stay: a copy, so that it doesn't pin its batch.
    pub(super) fn detached(&mut self) -> Arc<Publication> {
        let detached = self.take_detached();
        self.detached = Some(Arc::clone(&detached));
        detached
    }

    /// The same for the last who asks.
    pub(super) fn take_detached(&mut self) -> Arc<Publication> {
        self.detached.take().unwrap_or_else(|| {
            let own = self.topic.len() + self.payload.len();
            Arc::new(self.publication(own, Bytes::copy_from_slice))
        })
    }

    /// `own`: the bytes of topic and payload that are its own.
    fn publication(&self, own: usize, keep: impl Fn(&[u8]) -> Bytes) -> Publication {
        Publication {
            topic: self.shared_topic.clone(),
            payload: match self.payload {
                [] => Bytes::new(),
                payload => keep(payload),
            },
            qos: self.qos,
            retain: self.retain,
            extras: if self.is_plain() {
                OnceBox::new()
            } else {
                self.extras(own).kept()
            },
        }
    }

    /// Whether there are no [`Extras`]. Asked first, because it is mostly so.
    fn is_plain(&self) -> bool {
        self.properties.kept.is_empty()
            && self.expires.is_none()
            && self.stamp.is_none()
            && self.ledger.is_none()
    }

    fn extras(&self, own: usize) -> Extras {
        let ledger = self.ledger.as_ref();
        Extras {
            properties: (&*self.properties.kept).into(),
            expires: self.expires,
            stamp: self.stamp.map(Into::into).unwrap_or_default(),
            weight: ledger.map(|ledger| ledger.weigh(OVERHEAD + own + self.properties.kept.len())),
        }
    }

    /// The length of a plain frame in bytes.
    pub(super) fn frame_len(&mut self, version: Version, qos: QoS) -> usize {
        self.frame(version, qos).0.len()
    }

    /// Appends a plain frame: no alias, no subscription identifiers.
    #[inline]
    pub(super) fn append(
        &mut self,
        out: &mut Vec<u8>,
        version: Version,
        qos: QoS,
        retain: bool,
        packet_id: u16,
    ) {
        let topic_len = self.topic.len() - self.mount;
        let (frame, header_len) = self.frame(version, qos);
        let start = out.len();
        out.extend_from_slice(frame);
        out[start] = 0x30 | (qos as u8) << 1 | u8::from(retain);
        if packet_id != 0 {
            let id = start + header_len + 2 + topic_len;
            out[id..id + 2].copy_from_slice(&packet_id.to_be_bytes());
        }
    }

    /// A frame of the right form; header byte and packet identifier are still
    /// to be set.
    #[inline]
    fn frame(&mut self, version: Version, qos: QoS) -> (&[u8], usize) {
        let form = Form {
            v5: version == Version::V5,
            with_id: qos != QoS::AtMostOnce,
        };
        if let Some((received, frame)) = self.frames.received
            && received == form
        {
            return (frame.bytes, frame.header_len);
        }
        self.built_frame(form, version, qos)
    }

    fn built_frame(&mut self, form: Form, version: Version, qos: QoS) -> (&[u8], usize) {
        let known = self.frames.built.iter().position(|(own, _)| *own == form);
        let index = known.unwrap_or_else(|| {
            let properties = Properties::from_encoded(&self.properties.live);
            let publish = Publish {
                dup: false,
                qos,
                retain: false,
                topic: &self.topic[self.mount..],
                packet_id: u16::from(form.with_id),
                properties,
                payload: self.payload,
            };
            let mut built = Vec::new();
            publish.encode(version, &mut built);
            self.frames.built.push((form, built));
            self.frames.built.len() - 1
        });
        let built = &self.frames.built[index].1;
        let header_len = 2 + built[1..4]
            .iter()
            .take_while(|byte| **byte & 0x80 != 0)
            .count();
        (built, header_len)
    }
}

/// The message as it is on the wire: encoded at most once for each form, and
/// not at all where the publisher sent it in that form.
#[derive(Debug, Default)]
pub(super) struct Frames<'a> {
    received: Option<(Form, Frame<'a>)>,
    built: Vec<(Form, Vec<u8>)>,
}

impl<'a> Frames<'a> {
    /// Starts from the frame that a publisher sent. It must spell out its
    /// topic name, and have no alias.
    /// One that is padded is not passed on.
    #[inline]
    pub(super) fn received(frame: Frame<'a>, version: Version, qos: QoS) -> Self {
        if frame.is_padded() {
            return Self::default();
        }
        let form = Form {
            v5: version == Version::V5,
            with_id: qos != QoS::AtMostOnce,
        };
        Self {
            received: Some((form, frame)),
            built: Vec::new(),
        }
    }
}

/// What makes two frames of one message differ beyond header byte and packet
/// identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    v5: bool,
    with_id: bool,
}
