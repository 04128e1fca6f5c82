//! A connection to another broker: one `connection` section.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Location;

/// A bridge and its settings. All files and addresses are as they were written;
/// nothing is opened or looked up here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// `connection`: the name, which no other bridge has.
    pub name: String,
    /// `addresses`: where the other broker is; never empty after loading.
    pub addresses: Vec<BridgeAddress>,
    /// `round_robin`: whether all addresses are equals. Default: false, the first
    /// is the one that is wanted and is tried again while another serves.
    pub round_robin: bool,
    /// `topic`: what is shared; never empty after loading.
    pub topics: Vec<BridgeTopic>,
    /// `bridge_protocol_version`, by the number that CONNECT carries: 3 for MQTT
    /// 3.1, 4 for 3.1.1, 5 for 5. Default: 4.
    pub protocol_version: u8,
    /// `try_private`: whether the other broker is told that this is a bridge, so
    /// that it sends nothing back. Default: true.
    pub try_private: bool,
    /// `remote_*`: who the bridge is on the other broker. Without an identifier it
    /// is the host name, a dot and the name of the bridge.
    pub remote: BridgeIdentity,
    /// `local_*`: who the bridge is on this broker. Without an identifier it is
    /// `local.` and the remote identifier.
    pub local: BridgeIdentity,
    /// `cleansession`: whether the other broker forgets the bridge when the
    /// connection ends. Default: false.
    pub cleansession: bool,
    /// `local_cleansession`: the same on this broker. Default: as `cleansession`.
    pub local_cleansession: Option<bool>,
    /// `notifications`: whether the state of the bridge is published. Default: true.
    pub notifications: bool,
    /// `notifications_local_only`: whether on this broker only. Default: false.
    pub notifications_local_only: bool,
    /// `notification_topic`. Default: `$SYS/broker/connection/ID/state` with the
    /// remote identifier.
    pub notification_topic: Option<String>,
    /// `start_type`. Default: automatic.
    pub start_type: StartType,
    /// `restart_timeout`. Default: 5 to 30 seconds.
    pub restart_timeout: RestartTimeout,
    /// `idle_timeout`: how long a lazy bridge stays connected without traffic, at
    /// least 1 second. Default: 60 seconds.
    pub idle_timeout: Duration,
    /// `threshold`: how many waiting messages start a lazy bridge, at least 1.
    /// Default: 10.
    pub threshold: u32,
    /// `keepalive_interval` in seconds, at least 5. Default: 60.
    pub keepalive_interval: u16,
    /// `bridge_attempt_unsubscribe`: whether topics that only go out are
    /// unsubscribed on the other broker. Default: true.
    pub attempt_unsubscribe: bool,
    /// `bridge_outgoing_retain`: whether messages leave with their retain flag.
    /// Default: true.
    pub outgoing_retain: bool,
    /// `bridge_bind_address`: the local address to connect from. Default: any.
    pub bind_address: Option<String>,
    /// `bridge_max_packet_size`: the largest packet that is sent, in bytes.
    /// Default: no limit.
    pub max_packet_size: Option<u32>,
    /// `bridge_max_topic_alias`: topic aliases that the other broker may use, with
    /// MQTT 5. Default: 10.
    pub max_topic_alias: u16,
    /// `bridge_receive_maximum`: how many messages of QoS 1 and 2 the other broker
    /// may have in flight to this one, with MQTT 5, at least 1. Default:
    /// `max_inflight_messages`.
    pub receive_maximum: Option<u16>,
    /// `bridge_session_expiry_interval` in seconds, with MQTT 5; `u32::MAX` is for
    /// ever. Default: for ever, and 0 with `cleansession`, as before MQTT 5.
    pub session_expiry_interval: Option<u32>,
    /// `bridge_tcp_keepalive`. Default: off.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// `bridge_tcp_user_timeout`: how long sent bytes may stay unacknowledged.
    /// Default: what the system does.
    pub tcp_user_timeout: Option<Duration>,
    /// `bridge_reload_type`. Default: lazy.
    pub reload_type: ReloadType,
    /// `bridge_*` options of TLS with certificates.
    pub tls: BridgeTls,
    /// `bridge_identity`: the identity of TLS with a pre-shared key. Default: none.
    pub psk_identity: Option<String>,
    /// `bridge_psk`: that key in hexadecimal digits; there if the identity is.
    pub psk: Option<Secret>,
    /// Where the bridge was asked for.
    pub source: Location,
}

impl Bridge {
    /// A bridge that has a name and nothing else.
    pub(super) fn new(name: &str, source: Location) -> Self {
        Self {
            name: name.into(),
            addresses: Vec::new(),
            round_robin: false,
            topics: Vec::new(),
            protocol_version: 4,
            try_private: true,
            remote: BridgeIdentity::default(),
            local: BridgeIdentity::default(),
            cleansession: false,
            local_cleansession: None,
            notifications: true,
            notifications_local_only: false,
            notification_topic: None,
            start_type: StartType::Automatic,
            restart_timeout: RestartTimeout::default(),
            idle_timeout: Duration::from_secs(60),
            threshold: 10,
            keepalive_interval: 60,
            attempt_unsubscribe: true,
            outgoing_retain: true,
            bind_address: None,
            max_packet_size: None,
            max_topic_alias: 10,
            receive_maximum: None,
            session_expiry_interval: None,
            tcp_keepalive: None,
            tcp_user_timeout: None,
            reload_type: ReloadType::Lazy,
            tls: BridgeTls::default(),
            psk_identity: None,
            psk: None,
            source,
        }
    }

    /// Whether the other one does the same, wherever it is written.
    pub fn is_like(&self, other: &Self) -> bool {
        let here = Self {
            source: self.source.clone(),
            ..other.clone()
        };
        *self == here
    }

    /// Whether the connection to an address of this bridge is encrypted.
    pub fn uses_tls(&self, address: &BridgeAddress) -> bool {
        self.psk.is_some()
            || self.tls.trusts_anybody()
            || address.transport == BridgeTransport::WebSocketTls
    }
}

/// One word of `addresses`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeAddress {
    /// A host name or an address; IPv6 without brackets.
    pub host: String,
    /// Default: 1883, and for URLs 80 (`ws`) and 443 (`wss`).
    pub port: u16,
    /// How MQTT travels.
    pub transport: BridgeTransport,
    /// The path of the URL. Default: `/mqtt`; of no meaning without WebSocket.
    pub path: String,
}

/// How MQTT travels to the other broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeTransport {
    /// Over TCP, or over TLS if the bridge has options of TLS: `HOST:PORT`.
    Tcp,
    /// Over WebSocket: `ws://HOST:PORT/PATH`. Mosquitto lacks this.
    WebSocket,
    /// Over WebSocket and TLS: `wss://HOST:PORT/PATH`.
    WebSocketTls,
}

/// One `topic` line. On this broker messages are at `local_prefix` and `pattern`
/// joined, on the other at `remote_prefix` and `pattern`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeTopic {
    /// A topic filter; empty if the two prefixes are the two topics.
    pub pattern: String,
    /// Which way messages go. Default: out.
    pub direction: Direction,
    /// The QoS that messages have at most, 0 to 2. Default: 0.
    pub qos: u8,
    /// Default: empty.
    pub local_prefix: String,
    /// Default: empty.
    pub remote_prefix: String,
}

impl BridgeTopic {
    /// The filter on this broker.
    pub fn local(&self) -> String {
        format!("{}{}", self.local_prefix, self.pattern)
    }

    /// The filter on the other broker.
    pub fn remote(&self) -> String {
        format!("{}{}", self.remote_prefix, self.pattern)
    }
}

/// Which way the messages of a [`BridgeTopic`] go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this broker to the other.
    Out,
    /// From the other broker to this one.
    In,
    /// Both ways.
    Both,
}

/// Who a bridge is on one of the two brokers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BridgeIdentity {
    /// The client identifier. Default: made from the name of the bridge.
    pub client_id: Option<String>,
    /// The user name. Default: none.
    pub username: Option<String>,
    /// The password. Default: none.
    pub password: Option<Secret>,
}

/// When a bridge connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartType {
    /// At once, and again after each failure.
    Automatic,
    /// When `threshold` messages wait, until there was none for `idle_timeout`.
    Lazy,
    /// At once; not again after a failure.
    Once,
}

/// How long a bridge waits before it connects again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartTimeout {
    /// Always as long, at least 1 second.
    Constant(Duration),
    /// Longer after each failure, by chance, between two bounds.
    Backoff {
        /// The shortest wait, 1 to 3600 seconds.
        base: Duration,
        /// The longest, `base` to 7200 seconds.
        cap: Duration,
        /// How long a connection must last before the wait is `base` again.
        stable: Duration,
    },
}

impl Default for RestartTimeout {
    fn default() -> Self {
        Self::Backoff {
            base: Duration::from_secs(5),
            cap: Duration::from_secs(30),
            stable: Duration::ZERO,
        }
    }
}

/// When a bridge that was changed by a reload connects anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadType {
    /// When its connection ends for another reason.
    Lazy,
    /// At once.
    Immediate,
}

/// `bridge_tcp_keepalive`: when the system asks whether the other side is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// How long the connection must be silent.
    pub idle: Duration,
    /// The time between questions.
    pub interval: Duration,
    /// How many of them may stay unanswered.
    pub count: u32,
}

/// The options of a bridge for TLS with certificates, as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BridgeTls {
    /// `bridge_cafile`: whom to trust. Default: nobody.
    pub cafile: Option<PathBuf>,
    /// `bridge_capath`: the same in a directory.
    pub capath: Option<PathBuf>,
    /// `bridge_tls_use_os_certs`: to trust whom the system trusts. Default: false.
    pub use_os_certs: bool,
    /// `bridge_certfile`: the certificate of the bridge. Default: none.
    pub certfile: Option<PathBuf>,
    /// `bridge_keyfile`: its key; there if the certificate is.
    pub keyfile: Option<PathBuf>,
    /// `bridge_tls_version`: the lowest one, `tlsv1.2` or `tlsv1.3`. Default: 1.2.
    pub version: Option<String>,
    /// `bridge_ciphers`: for TLS 1.2, separated by colons. Default: the library's.
    pub ciphers: Option<String>,
    /// `bridge_ciphers_tls1.3`: the same for TLS 1.3.
    pub ciphers_tls13: Option<String>,
    /// `bridge_alpn`: the protocol that is asked for in the handshake. Default: none.
    pub alpn: Option<String>,
    /// `bridge_insecure`: whether the name in the certificate may be any. Default:
    /// false.
    pub insecure: bool,
}

impl BridgeTls {
    /// Whether something says whom to trust, which is what asks for TLS.
    pub fn trusts_anybody(&self) -> bool {
        self.cafile.is_some() || self.capath.is_some() || self.use_os_certs
    }
}

/// A password or key, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut bridge = Bridge::new("b", Location::whole("m.conf"));
        bridge.remote.password = Some(Secret("hunter2".into()));
        assert!(!format!("{bridge:?}").contains("hunter2"));
    }
}
