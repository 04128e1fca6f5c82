//! How much clients may use, and which rules of queueing and retaining apply.

use std::time::Duration;

/// The limits of the broker, for all listeners together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `max_inflight_messages`: QoS 1 and 2 messages on their way to one client
    /// at a time, 1 to 65535. Default: 20; `0` in the file means 65535.
    pub max_inflight_messages: u16,
    /// `max_inflight_bytes`: the same, counted in bytes of payload; a message that
    /// is larger goes alone. Default: 0, no limit.
    pub max_inflight_bytes: u64,
    /// `max_queued_messages`: messages that wait for one client beyond those
    /// in flight. Default: 1000; 0 means no limit.
    pub max_queued_messages: u32,
    /// `max_queued_bytes`: as above, counted in bytes of payload. Default: 0, no
    /// limit.
    pub max_queued_bytes: u64,
    /// `memory_limit`: bytes that may be held for all clients together, about.
    /// Default: 0, no limit.
    pub memory_limit: u64,
    /// `max_packet_size`: the largest packet that a client may send, in bytes, at
    /// least 20. Default: 2 000 000.
    pub max_packet_size: u32,
    /// `message_size_limit`: the largest payload that is passed on, in bytes.
    /// Default: 0, no limit.
    pub message_size_limit: u32,
    /// `max_keepalive`: the longest keep alive that a client may have, in
    /// seconds, at least 10. Default: 65535, which `0` means too.
    pub max_keepalive: u16,
    /// `global_max_clients`: sessions, connected or not. Default: no limit.
    pub global_max_clients: Option<u32>,
    /// `global_max_connections`: connections on all listeners. Default: no limit.
    pub global_max_connections: Option<u32>,
    /// `queue_qos0_messages`: whether QoS 0 messages wait for a client that is
    /// away, too. Default: false.
    pub queue_qos0_messages: bool,
    /// `upgrade_outgoing_qos`: whether a message is delivered with the QoS of the
    /// subscription even if it came with a lower one. Default: false.
    pub upgrade_outgoing_qos: bool,
    /// `retain_available`: whether messages may be retained. Default: true.
    pub retain_available: bool,
    /// `check_retain_source`: whether a retained message is delivered only while
    /// its publisher has the right to write it. Default: true.
    pub check_retain_source: bool,
    /// `retain_expiry_interval`: how often expired retained messages are looked
    /// for, in whole minutes in the file. Default: none, they go when touched.
    pub retain_expiry_interval: Option<Duration>,
    /// `persistent_client_expiration`: how long the session of a client that is
    /// away is kept at most. Default: none, for ever.
    pub persistent_client_expiration: Option<Duration>,
    /// `allow_duplicate_messages`: whether overlapping subscriptions of a client
    /// bring a message once each. Default: true.
    pub allow_duplicate_messages: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_inflight_messages: 20,
            max_inflight_bytes: 0,
            max_queued_messages: 1000,
            max_queued_bytes: 0,
            memory_limit: 0,
            max_packet_size: 2_000_000,
            message_size_limit: 0,
            max_keepalive: u16::MAX,
            global_max_clients: None,
            global_max_connections: None,
            queue_qos0_messages: false,
            upgrade_outgoing_qos: false,
            retain_available: true,
            check_retain_source: true,
            retain_expiry_interval: None,
            persistent_client_expiration: None,
            allow_duplicate_messages: true,
        }
    }
}
