//! What the core is told by the configuration.

use std::borrow::Cow;
use std::sync::Arc;

use super::denial::Denial;
use crate::auth::{Access, Acl, Client};
use crate::codec::QoS;
use crate::config::LogTypes;

/// Limits and habits of the whole broker. The defaults are Mosquitto 2.1's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The text of `$SYS/broker/version`.
    pub version: String,
    /// Unacknowledged packets of QoS 1 and 2 towards one client, and from one
    /// (the receive maximum in CONNACK).
    pub max_inflight_messages: u16,
    /// Payload bytes of QoS 1 and 2 on their way to one client; a message that
    /// is larger goes alone.
    pub max_inflight_bytes: usize,
    /// Messages that may wait for one session beyond those in flight.
    pub max_queued_messages: usize,
    /// Payload bytes that may wait for one session.
    pub max_queued_bytes: usize,
    /// Bytes that may be held for all clients together, about.
    pub memory_limit: usize,
    /// Whether QoS 0 waits for clients that are away too.
    pub queue_qos0_messages: bool,
    /// Deliver at the QoS of the subscription, even above the publication's.
    pub upgrade_outgoing_qos: bool,
    /// The largest packet that is accepted, in bytes with its fixed header.
    pub max_packet_size: u32,
    /// The largest payload that is accepted, in bytes.
    pub message_size_limit: u32,
    /// The longest keep alive, in seconds.
    pub max_keep_alive: u16,
    /// Clients that may be connected at once.
    pub max_connections: usize,
    /// Whether retained messages are kept at all.
    pub retain_available: bool,
    /// Whether a retained message is delivered only while its publisher has the
    /// right to write it.
    pub check_retain_source: bool,
    /// The longest life of a session without connection, in milliseconds.
    pub max_session_expiry: u64,
    /// Whether a client gets one copy for each of its subscriptions that match.
    pub allow_duplicate_messages: bool,
    /// Milliseconds between two updates of `$SYS`; 0 switches it off.
    pub sys_interval: u64,
    /// The kinds of log line that somebody wants.
    pub log: LogTypes,
    /// Whether connects and disconnects are logged.
    pub connection_messages: bool,
    /// How often expired retained messages are looked for, in milliseconds;
    /// `None`: they go when something touches them.
    pub retain_expiry_interval: Option<u64>,
}

impl Settings {
    /// The QoS of a delivery: that of the publication, at most that of the
    /// subscription.
    pub(super) fn granted(&self, subscribed: QoS, published: QoS) -> QoS {
        if self.upgrade_outgoing_qos {
            subscribed
        } else {
            subscribed.min(published)
        }
    }

    /// The keep alive for a client that asks for `wanted`. None at all, which
    /// is 0, is longer than any limit.
    pub(super) fn keep_alive(&self, policy: &Policy, wanted: u16) -> u16 {
        match wanted {
            _ if policy.is_bridge => wanted,
            0 if self.max_keep_alive < u16::MAX => self.max_keep_alive,
            _ => wanted.min(self.max_keep_alive),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: concat!("moustique version ", env!("CARGO_PKG_VERSION")).into(),
            max_inflight_messages: 20,
            max_inflight_bytes: usize::MAX,
            max_queued_messages: 1000,
            max_queued_bytes: usize::MAX,
            memory_limit: usize::MAX,
            queue_qos0_messages: false,
            upgrade_outgoing_qos: false,
            max_packet_size: 2_000_000,
            message_size_limit: u32::MAX,
            max_keep_alive: u16::MAX,
            max_connections: usize::MAX,
            retain_available: true,
            check_retain_source: true,
            max_session_expiry: u64::MAX,
            allow_duplicate_messages: true,
            sys_interval: 10_000,
            log: LogTypes::default(),
            connection_messages: true,
            retain_expiry_interval: None,
        }
    }
}

/// What one listener asks of its clients.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The number of the listener, by which its clients are counted.
    pub listener: usize,
    /// The port, as log lines name it.
    pub port: u16,
    /// Whether MQTT 3.1, 3.1.1 and 5 are spoken.
    pub versions: [bool; 3],
    /// The highest QoS.
    pub max_qos: u8,
    /// Topic aliases that one client may set.
    pub max_topic_alias: u16,
    /// Topic aliases that the broker assigns towards one client.
    pub max_topic_alias_broker: u16,
    /// Clients that may be connected here at once.
    pub max_connections: usize,
    /// Whether the broker makes up a client identifier where it is empty.
    pub allow_zero_length_client_id: bool,
    /// What such identifiers begin with.
    pub auto_id_prefix: String,
    /// Whether the user name takes the place of the client identifier.
    pub use_username_as_client_id: bool,
    /// What client identifiers must begin with.
    pub client_id_prefix: Option<String>,
    /// What stands in front of all topic names and filters of its clients,
    /// unseen by them. Rights are asked for the whole topic name.
    pub mount_point: String,
    /// Rights; `None` allows everything.
    pub acl: Option<Arc<Acl>>,
    /// Whether a subscription that could never deliver anything is refused.
    pub acl_check_subscribe: bool,
    /// Whether its clients are the bridges of this broker: see
    /// [`bridge`](Self::bridge).
    pub is_bridge: bool,
}

impl Policy {
    /// The number that stands for the bridges of this broker among those of
    /// listeners. It is stored with their sessions.
    pub(super) const BRIDGES: usize = u32::MAX as usize;

    /// The policy of the connections that bridges of this broker have with it.
    /// As in Mosquitto they have all rights, whatever their user name, and the
    /// queue limits of all clients. They take no place from clients
    /// (`max_connections`), and neither `max_keepalive` nor
    /// `persistent_client_expiration` is for them: a bridge may wait for its
    /// remote broker as long as it likes.
    pub fn bridge() -> Self {
        Self {
            listener: Self::BRIDGES,
            port: 0,
            is_bridge: true,
            ..Self::default()
        }
    }

    /// The topic name or filter that a client of this listener means.
    pub(super) fn mounted<'a>(&self, topic: &'a str) -> Cow<'a, str> {
        if self.mount_point.is_empty() {
            return topic.into();
        }
        [&self.mount_point, topic].concat().into()
    }

    /// A topic name as clients of this listener see it; `None`: it isn't below
    /// their mount point.
    pub(super) fn seen<'a>(&self, topic: &'a str) -> Option<&'a str> {
        if self.mount_point.is_empty() {
            return Some(topic);
        }
        let seen = topic.strip_prefix(self.mount_point.as_str());
        seen.filter(|topic| !topic.is_empty())
    }

    /// Why a client of this listener may not do that; `None`: it may. Nobody
    /// publishes to topics on which the broker itself speaks.
    #[inline]
    pub fn denial(&self, client: &Client<'_>, access: Access, topic: &str) -> Option<Denial<'_>> {
        if access == Access::Write && is_reserved(topic) {
            return Some(Denial::Reserved);
        }
        let decision = self.acl.as_ref()?.check(client, access, topic);
        (!decision.allowed).then_some(Denial::Listed(decision))
    }

    /// Why a subscription to `filter` is refused; `None`: it is not, because it
    /// could deliver something or because `acl_check_subscribe` is off.
    pub(super) fn filter_denial(&self, client: &Client<'_>, filter: &str) -> Option<Denial<'_>> {
        let acl = self.acl.as_ref().filter(|_| self.acl_check_subscribe)?;
        let decision = acl.check_filter(client, filter);
        (!decision.allowed).then_some(Denial::Listed(decision))
    }
}

/// Bridges tell their state on `$SYS/broker/connection/+/state`; everything
/// else below `$SYS` is ours.
fn is_reserved(topic: &str) -> bool {
    let bridge_state = || {
        let name = topic.strip_prefix("$SYS/broker/connection/");
        let name = name.and_then(|rest| rest.strip_suffix("/state"));
        name.is_some_and(|name| !name.contains('/'))
    };
    topic.starts_with('$')
        && ["$SYS/", "$share/", "$CONTROL/"]
            .iter()
            .any(|root| topic.starts_with(root))
        && !bridge_state()
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            listener: 0,
            port: 1883,
            versions: [true; 3],
            max_qos: 2,
            max_topic_alias: 10,
            max_topic_alias_broker: 10,
            max_connections: usize::MAX,
            allow_zero_length_client_id: true,
            auto_id_prefix: "auto-".into(),
            use_username_as_client_id: false,
            client_id_prefix: None,
            mount_point: String::new(),
            acl: None,
            acl_check_subscribe: false,
            is_bridge: false,
        }
    }
}
