//! Where the other broker is, who the bridge is on both, and the first packets.

use std::io;

use super::relay::{LOCAL_VERSION, Remote};
use crate::client::{ConnectError, ConnectOptions, Will};
use crate::codec::{
    BRIDGE, Connect, MAX_REMAINING_LENGTH, Packet, Properties, Property, QoS, ReasonCode,
    RetainHandling, Subscribe, SubscriptionOptions, SubscriptionRequest, Unsubscribe, Version,
};
use crate::config::{Bridge, BridgeAddress, BridgeTransport, Ciphers, OpensslCiphers, TlsVersion};
use crate::property;
use crate::transport::tls::{self, ClientOptions, Connector, PskOptions};
use crate::transport::{Endpoint, SocketOptions, Target};

/// Who a bridge is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The client identifier on this broker.
    pub(crate) local: String,
    /// The client identifier on the other one.
    pub(crate) remote: String,
    /// Where its state is published.
    pub(crate) state_topic: String,
}

impl Identity {
    /// `host` is the name of this machine.
    pub(crate) fn of(bridge: &Bridge, host: &str) -> Self {
        let remote = bridge.remote.client_id.clone();
        let remote = remote.unwrap_or_else(|| format!("{host}.{}", bridge.name));
        let local = bridge.local.client_id.clone();
        let topic = bridge.notification_topic.clone();
        Self {
            local: local.unwrap_or_else(|| format!("local.{remote}")),
            state_topic: topic.unwrap_or_else(|| format!("$SYS/broker/connection/{remote}/state")),
            remote,
        }
    }
}

/// What makes the connections of a bridge TLS: by certificates or by a key, and
/// nothing if it uses none. Reads files.
pub(crate) fn connector(bridge: &Bridge) -> Result<Option<Connector>, tls::Error> {
    let wanted = &bridge.tls;
    // The configuration was checked.
    let version = wanted.version.as_deref().map(TlsVersion::parse);
    let version = version.and_then(Result::ok).unwrap_or_default();
    if let (Some(identity), Some(key)) = (&bridge.psk_identity, &bridge.psk) {
        let options = PskOptions {
            identity: identity.clone(),
            key: bytes_of(&key.0),
            version,
            ciphers: OpensslCiphers {
                tls12: wanted.ciphers.clone(),
                tls13: wanted.ciphers_tls13.clone(),
            },
            alpn: wanted.alpn.clone(),
            key_log: None,
        };
        return Connector::with_psk(&options).map(Some);
    }
    if !bridge.addresses.iter().any(|a| bridge.uses_tls(a)) {
        return Ok(None);
    }
    let nobody = !wanted.trusts_anybody();
    let options = ClientOptions {
        cafile: wanted.cafile.clone(),
        capath: wanted.capath.clone(),
        // `wss://` alone asks for what a browser would do.
        os_certificates: wanted.use_os_certs || nobody,
        certificate: wanted.certfile.clone().zip(wanted.keyfile.clone()),
        insecure: wanted.insecure,
        version,
        ciphers: Ciphers {
            tls12: wanted
                .ciphers
                .as_deref()
                .and_then(|list| Ciphers::parse_tls12(list).ok()),
            tls13: wanted
                .ciphers_tls13
                .as_deref()
                .and_then(|list| Ciphers::parse_tls13(list).ok()),
        },
        alpn: wanted.alpn.clone(),
        key_log: None,
    };
    Connector::new(&options).map(Some)
}

/// The bytes of hexadecimal digits, which the parser has checked.
fn bytes_of(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.filter_map(byte).collect()
}

/// How to reach one of the addresses.
pub(super) fn target(bridge: &Bridge, address: &BridgeAddress, tls: Option<&Connector>) -> Target {
    let websocket = address.transport != BridgeTransport::Tcp;
    Target {
        endpoint: Endpoint::Tcp {
            host: address.host.clone(),
            port: address.port,
            bind: bridge.bind_address.clone(),
        },
        proxy: None,
        tls: tls.filter(|_| bridge.uses_tls(address)).cloned(),
        websocket: websocket.then(|| address.path.clone()),
        socket: SocketOptions {
            keepalive: bridge.tcp_keepalive,
            user_timeout: bridge.tcp_user_timeout,
        },
    }
}

/// How a bridge introduces itself: with less than it would like to say, once the
/// other broker has refused that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// By the bit that says 'I am a bridge', before MQTT 5.
    private: bool,
    /// How often in a row the other broker has closed instead of an answer.
    closed: u8,
    will_qos: QoS,
    /// Whether the other broker retains the state of the bridge.
    pub(super) retain: bool,
}

impl Manner {
    pub(super) fn of(bridge: &Bridge) -> Self {
        Self {
            private: bridge.try_private && version(bridge) != Version::V5,
            closed: 0,
            will_qos: QoS::AtLeastOnce,
            retain: true,
        }
    }

    /// Gives up what the other broker may have refused. False: it wasn't that.
    pub(super) fn concede(&mut self, error: &ConnectError) -> bool {
        match error {
            ConnectError::Refused { reason, .. } => match *reason {
                ReasonCode::QOS_NOT_SUPPORTED if self.will_qos > QoS::AtMostOnce => {
                    self.will_qos = QoS::AtMostOnce;
                    true
                }
                ReasonCode::RETAIN_NOT_SUPPORTED => std::mem::take(&mut self.retain),
                // The level isn't known.
                ReasonCode(1) => std::mem::take(&mut self.private),
                _ => false,
            },
            // Some brokers say that so, but once it may be a link that was cut.
            ConnectError::Lost(_) => {
                self.closed = self.closed.saturating_add(1);
                self.closed > 1 && std::mem::take(&mut self.private)
            }
            _ => false,
        }
    }

    /// The other broker has answered.
    pub(super) fn was_answered(&mut self) {
        self.closed = 0;
    }
}

/// The CONNECT for the other broker. `window`: how many of its messages of QoS 1
/// and 2 this one takes at a time, as far as the configuration doesn't say it.
pub(super) fn to_remote(
    bridge: &Bridge,
    identity: &Identity,
    manner: Manner,
    window: u16,
) -> ConnectOptions {
    let version = version(bridge);
    let mut properties = Properties::new();
    if version == Version::V5 {
        let expiry = bridge
            .session_expiry_interval
            .unwrap_or(if bridge.cleansession { 0 } else { u32::MAX });
        properties.push(Property::SessionExpiryInterval(expiry));
        let window = bridge.receive_maximum.unwrap_or(window);
        properties.push(Property::ReceiveMaximum(window));
        properties.push(Property::TopicAliasMaximum(bridge.max_topic_alias));
        properties.push(Property::UserProperty(BRIDGE, &identity.remote));
    }
    ConnectOptions {
        version,
        client_id: identity.remote.clone(),
        clean_start: bridge.cleansession,
        keep_alive: bridge.keepalive_interval,
        username: bridge.remote.username.clone(),
        password: bridge.remote.password.as_ref().map(|p| p.0.clone().into()),
        will: tells_remote(bridge).then(|| Will {
            topic: identity.state_topic.clone(),
            payload: b"0".to_vec(),
            qos: manner.will_qos,
            retain: manner.retain,
            properties: Properties::new(),
        }),
        properties,
        bridge: manner.private,
        max_inflight: u16::MAX,
    }
}

pub(super) fn version(bridge: &Bridge) -> Version {
    match bridge.protocol_version {
        3 => Version::V31,
        5 => Version::V5,
        _ => Version::V311,
    }
}

/// What the CONNACK of the other broker says about it, and the configuration.
pub(super) fn limits(bridge: &Bridge, promised: &Properties<'_>) -> Remote {
    let largest = MAX_REMAINING_LENGTH + 5;
    let its_size = property!(promised, MaximumPacketSize).map_or(largest, |size| size as usize);
    let our_size = bridge.max_packet_size.map_or(largest, |size| size as usize);
    let maximum_qos = property!(promised, MaximumQoS).and_then(QoS::from_u8);
    Remote {
        version: version(bridge),
        maximum_packet_size: its_size.min(our_size),
        maximum_qos: maximum_qos.unwrap_or(QoS::ExactlyOnce),
        retain: bridge.outgoing_retain && property!(promised, RetainAvailable) != Some(0),
        topic_alias_maximum: bridge.max_topic_alias,
        is_ours: promised
            .iter()
            .any(|property| matches!(property, Property::UserProperty(BRIDGE, _))),
    }
}

/// The CONNECT for this broker. `window`: how many messages of QoS 1 and 2 the
/// other broker takes at a time.
pub(super) fn to_local<'a>(
    bridge: &'a Bridge,
    identity: &'a Identity,
    is_clean: bool,
    window: u16,
) -> Packet<'a> {
    let mut properties = Properties::new().with(Property::ReceiveMaximum(window));
    if !local_is_clean(bridge) {
        properties.push(Property::SessionExpiryInterval(u32::MAX));
    }
    Packet::Connect(Box::new(Connect {
        version: LOCAL_VERSION,
        bridge: false,
        clean_start: is_clean,
        keep_alive: 0,
        client_id: &identity.local,
        will: None,
        username: bridge.local.username.as_deref(),
        password: None,
        properties,
    }))
}

/// Whether the state of the bridge is published on the other broker.
pub(super) fn tells_remote(bridge: &Bridge) -> bool {
    bridge.notifications && !bridge.notifications_local_only
}

/// Whether messages don't wait on this broker while the other one is away.
pub(super) fn local_is_clean(bridge: &Bridge) -> bool {
    bridge.local_cleansession.unwrap_or(bridge.cleansession)
}

/// A SUBSCRIBE of a bridge: retain flags as they were published, and nothing
/// comes back that the bridge itself has published. Both exist in MQTT 5 only;
/// before, the private bit asks for them.
pub(super) fn subscribe(
    packet_id: u16,
    filters: &[(String, QoS)],
    retained: RetainHandling,
) -> Packet<'_> {
    let options = |(filter, qos): &(String, QoS)| SubscriptionOptions {
        qos: *qos,
        // Not allowed with a shared subscription (3.8.3.1).
        no_local: !filter.starts_with("$share/"),
        retain_as_published: true,
        retain_handling: retained,
    };
    let requests = filters.iter().map(|entry| SubscriptionRequest {
        filter: &entry.0,
        options: options(entry),
    });
    Packet::Subscribe(Subscribe {
        packet_id,
        properties: Properties::new(),
        requests: requests.collect(),
    })
}

pub(super) fn unsubscribe(packet_id: u16, filters: &[String]) -> Packet<'_> {
    Packet::Unsubscribe(Unsubscribe {
        packet_id,
        properties: Properties::new(),
        filters: filters.iter().map(String::as_str).collect(),
    })
}

/// Why no connection came about, for the log.
pub(super) fn explain(error: &io::Error) -> String {
    match tls::TlsFailure::of(error) {
        Some(failure) => format!("{failure}; {}", failure.help()),
        None => error.to_string(),
    }
}
