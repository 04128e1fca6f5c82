//! One network connection, as the core sees it.

use std::sync::Arc;

use super::Grounds;
use super::journal::Held;
use super::proof::Proof;
use super::publication::{Delivery, publish_packet};
use super::routes::Route;
use super::session::SessionId;
use super::settings::{Policy, Settings};
use super::timers::Millis;
use crate::codec::{Properties, Property, QoS, Version};
use crate::session::aliases::{self, Alias};

/// A place in the table of connections. The generation tells a connection
/// from a later one in the same place, so that an event for one that is gone
/// is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl ConnectionId {
    /// The place alone, below the number of connections that were ever open at
    /// once: an index for tables of the shell.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) policy: Arc<Policy>,
    /// The address, for the log.
    pub(super) peer: Box<str>,
    pub(super) stage: Stage,
    pub(super) version: Version,
    /// It said so in CONNECT. Before MQTT 5 its own messages are not sent back
    /// to it then, and it sees the retain flag as it was published.
    pub(super) is_bridge: bool,
    /// Its CONNECT allows reason strings (3.1.2.11.7).
    pub(super) wants_reasons: bool,
    /// How it proved who it is, where that was by an authentication method.
    pub(super) proof: Option<Box<Proof>>,
    /// Bytes that are about to leave.
    pub(super) outbox: Vec<u8>,
    /// Bytes that leave when what they promise is committed.
    pub(super) held: Option<Box<Held>>,
    /// How many of them are counted in the memory of all outboxes.
    pub(super) counted: usize,
    /// Whether the shell was told to look at this connection.
    pub(super) told: bool,
    /// One and a half times the keep alive in milliseconds; 0: none.
    pub(super) patience: Millis,
    /// When the last packet came.
    pub(super) heard: Millis,
    /// The largest packet that the client takes, in bytes.
    pub(super) max_packet_size: usize,
    /// How many unacknowledged messages the client takes (3.1.2.11.3).
    pub(super) receive_maximum: u16,
    pub(super) promised: Promised,
    /// What it was let in by.
    pub(super) grounds: Grounds,
    /// The session expiry interval of CONNECT was 0, so that DISCONNECT must
    /// not raise it.
    pub(super) expiry_fixed: bool,
    pub(super) received_aliases: Option<Box<aliases::Received>>,
    pub(super) assigned_aliases: Option<Box<aliases::Assigned>>,
    /// The route of the last publication: telemetry repeats its topics.
    pub(super) last_route: Option<Arc<Route>>,
    /// Publishers whose reading pauses until this outbox is taken.
    pub(super) holds_up: Vec<ConnectionId>,
    /// How many receivers this connection's reading waits for.
    pub(super) held_up_by: u32,
    /// When the first of them began to wait, and whether a timer looks at it.
    pub(super) holds_up_since: Millis,
    pub(super) watched: bool,
    /// It didn't drain in time: QoS 0 beyond the soft limit is lost now.
    pub(super) stalled: bool,
    /// When the outbox was taken last.
    pub(super) taken: Millis,
}

/// What a client may rely on while its connection lasts, because CONNACK said
/// so (3.2.2.3), or would have in MQTT 5: a reload widens it and takes nothing
/// away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Promised {
    pub(super) receive_maximum: u16,
    pub(super) topic_alias_maximum: u16,
    pub(super) max_qos: u8,
    pub(super) retain: bool,
}

impl Promised {
    pub(super) fn new(version: Version, settings: &Settings, policy: &Policy) -> Self {
        Self {
            // Only MQTT 5 tells its clients how many may be in flight.
            receive_maximum: match version {
                // What the other broker sends was promised there.
                _ if policy.is_bridge => u16::MAX,
                Version::V5 => settings.max_inflight_messages,
                _ => u16::MAX,
            },
            topic_alias_maximum: policy.max_topic_alias,
            max_qos: policy.max_qos,
            retain: settings.retain_available,
        }
    }

    /// What holds with what `other` grants too.
    pub(super) fn widened(self, other: Self) -> Self {
        Self {
            receive_maximum: self.receive_maximum.max(other.receive_maximum),
            topic_alias_maximum: self.topic_alias_maximum.max(other.topic_alias_maximum),
            max_qos: self.max_qos.max(other.max_qos),
            retain: self.retain || other.retain,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No CONNECT was accepted yet.
    Greeting,
    Open(SessionId),
    /// What is in the outbox leaves, then the connection ends.
    Closing,
}

impl Connection {
    pub(super) fn session(&self) -> Option<SessionId> {
        match self.stage {
            Stage::Open(session) => Some(session),
            Stage::Greeting | Stage::Closing => None,
        }
    }

    /// Whether nothing may leave but what is held back.
    pub(super) fn is_gated(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_gate())
    }

    /// Bytes that have not left: in the outbox, or held back.
    pub(super) fn unsent(&self) -> usize {
        self.outbox.len() + self.held.as_ref().map_or(0, |held| held.len())
    }

    /// What the outbox has gained since it was counted.
    pub(super) fn count_outbox(&mut self) -> usize {
        let gained = self.outbox.len() - self.counted;
        self.counted = self.outbox.len();
        gained
    }

    /// Whether the client can be sent that: its topic is in sight, and the
    /// packet not too large (3.1.2.11.4). Asked before the delivery is given a
    /// packet identifier or an alias.
    pub(super) fn takes(&self, delivery: &Delivery, now: Millis) -> bool {
        self.policy.seen(&delivery.publication.topic).is_some()
            && self.plain_len(delivery, now) <= self.max_packet_size
    }

    /// The length of the packet without an alias; not looked at where the
    /// client takes any.
    fn plain_len(&self, delivery: &Delivery, now: Millis) -> usize {
        if self.max_packet_size == usize::MAX {
            return 0;
        }
        let properties = self.properties_for(delivery, now);
        let id = u16::from(delivery.qos != QoS::AtMostOnce);
        let topic = self.topic_of(delivery);
        publish_packet(topic, delivery, properties, id, false).encoded_len(self.version)
    }

    fn topic_of<'a>(&self, delivery: &'a Delivery) -> &'a str {
        let topic = &delivery.publication.topic;
        self.policy.seen(topic).unwrap_or(topic)
    }

    fn properties_for<'a>(&self, delivery: &'a Delivery, now: Millis) -> Properties<'a> {
        match self.version {
            Version::V5 => {
                delivery
                    .publication
                    .delivery_properties(&delivery.ids, self.is_bridge, now)
            }
            _ => Properties::new(),
        }
    }

    /// Appends the packet of a delivery to the outbox.
    pub(super) fn append(&mut self, delivery: &Delivery, packet_id: u16, dup: bool, now: Millis) {
        let mut out = std::mem::take(&mut self.outbox);
        self.encode(delivery, packet_id, dup, now, &mut out);
        self.outbox = out;
    }

    /// Holds the packet of a delivery back until `group` is committed. True:
    /// it is the first that waits for it.
    pub(super) fn append_held(
        &mut self,
        group: u64,
        delivery: &Delivery,
        packet_id: u16,
        now: Millis,
    ) -> bool {
        let mut held = self.held.take().unwrap_or_default();
        held.messages = true;
        let first = held.push(group, |out| {
            self.encode(delivery, packet_id, false, now, out);
        });
        self.held = Some(held);
        first
    }

    fn encode(
        &mut self,
        delivery: &Delivery,
        packet_id: u16,
        dup: bool,
        now: Millis,
        out: &mut Vec<u8>,
    ) {
        let room = self
            .max_packet_size
            .saturating_sub(self.plain_len(delivery, now));
        let mut properties = self.properties_for(delivery, now);
        let mut topic = self.topic_of(delivery);
        // An alias takes three bytes and may lengthen a length by one; it must
        // not make a packet longer that it cannot shorten.
        if let Some(aliases) = &mut self.assigned_aliases
            && topic.len() > 3
            && room >= 4
        {
            match aliases.assign(topic) {
                Alias::None => {}
                Alias::New(alias) => properties.push(Property::TopicAlias(alias)),
                Alias::Known(alias) => {
                    properties.push(Property::TopicAlias(alias));
                    topic = "";
                }
            }
        }
        publish_packet(topic, delivery, properties, packet_id, dup).encode(self.version, out);
    }
}
