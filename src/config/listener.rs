//! One place where the broker listens, and what holds for its clients.

use std::path::PathBuf;

use super::{Location, Tls};

/// A listener and the settings of the clients that connect there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The TCP port. Default: 1883; 0 lets the system choose one, which only an
    /// embedding program can ask for, and stands beside [`Bind::Unix`].
    pub port: u16,
    /// The addresses. Default: all.
    pub bind: Bind,
    /// `bind_interface`: the network interface, which goes before `bind`.
    /// Default: any.
    pub bind_interface: Option<String>,
    /// `socket_domain`: only IPv4 or only IPv6. Default: both.
    pub socket_domain: Option<SocketDomain>,
    /// `protocol`: what clients speak. Default: MQTT.
    pub protocol: Protocol,
    /// `websockets_origin`: the pages that may connect by WebSocket, as browsers
    /// name them in the header Origin. Default: all, which an empty list means.
    pub websockets_origins: Vec<String>,
    /// `enable_proxy_protocol`: the version of the PROXY header, 1 or 2, that
    /// comes first on each connection. Default: none comes.
    pub proxy_protocol: Option<u8>,
    /// `proxy_protocol_v2_require_tls`: whether clients have to reach the proxy
    /// by TLS. Default: false.
    pub proxy_requires_tls: bool,
    /// Who may connect and do what.
    pub security: Security,
    /// Certificates, keys and what goes with them.
    pub tls: Tls,
    /// `max_connections`: how many clients may be connected here. Default: no
    /// limit, which any number below 1 means too.
    pub max_connections: Option<u32>,
    /// `max_qos`: the highest QoS that a client may publish with, 0 to 2.
    /// Default: 2.
    pub max_qos: u8,
    /// `max_topic_alias`: topic aliases that a client may use. Default: 10; 0
    /// means none.
    pub max_topic_alias: u16,
    /// `max_topic_alias_broker`: topic aliases that the broker uses towards one
    /// client. Default: 10; 0 means none.
    pub max_topic_alias_broker: u16,
    /// `accept_protocol_versions`: Default: all.
    pub accept_protocol_versions: ProtocolVersions,
    /// `mount_point`: what stands in front of all topics of the clients of this
    /// listener, unseen by them. Default: nothing.
    pub mount_point: String,
    /// `use_username_as_clientid`: whether the user name takes the place of the
    /// client identifier; a client without a name is then refused. Default: false.
    pub use_username_as_clientid: bool,
    /// `clientid_prefixes`: what a client identifier must begin with. Default:
    /// anything.
    pub clientid_prefixes: Option<String>,
    /// `allow_zero_length_clientid`: whether the broker gives an identifier to a
    /// client that has none. Default: true.
    pub allow_zero_length_clientid: bool,
    /// `auto_id_prefix`: what such an identifier begins with. Default: `auto-`.
    pub auto_id_prefix: String,
    /// Where the listener was asked for; none for the default listener of a
    /// broker without configuration.
    pub source: Option<Location>,
}

impl Default for Listener {
    /// Port 1883 on all addresses, anonymous clients refused.
    fn default() -> Self {
        Self {
            port: Self::DEFAULT_PORT,
            bind: Bind::Any,
            bind_interface: None,
            socket_domain: None,
            protocol: Protocol::Mqtt,
            websockets_origins: Vec::new(),
            proxy_protocol: None,
            proxy_requires_tls: false,
            security: Security::default(),
            tls: Tls::default(),
            max_connections: None,
            max_qos: 2,
            max_topic_alias: 10,
            max_topic_alias_broker: 10,
            accept_protocol_versions: ProtocolVersions::ALL,
            mount_point: String::new(),
            use_username_as_clientid: false,
            clientid_prefixes: None,
            allow_zero_length_clientid: true,
            auto_id_prefix: "auto-".into(),
            source: None,
        }
    }
}

impl Listener {
    /// The port of MQTT without TLS.
    pub const DEFAULT_PORT: u16 = 1883;

    /// The listener of a broker that was not told where to listen: reachable
    /// from this machine only, and therefore open to anonymous clients.
    pub fn local() -> Self {
        Self {
            bind: Bind::Loopback,
            security: Security {
                allow_anonymous: true,
                ..Security::default()
            },
            ..Self::default()
        }
    }

    /// Whether the two would ask the system for the same socket. Host names are
    /// compared as they are written.
    pub(super) fn collides_with(&self, other: &Self) -> bool {
        if let (Bind::Unix(a), Bind::Unix(b)) = (&self.bind, &other.bind) {
            return a == b;
        }
        let domains_meet = match (self.socket_domain, other.socket_domain) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        let addresses_meet = match (&self.bind, &other.bind) {
            (Bind::Host(a), Bind::Host(b)) => a.eq_ignore_ascii_case(b),
            _ => true,
        };
        let interfaces_meet = match (&self.bind_interface, &other.bind_interface) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.port == other.port
            && self.port != 0
            && domains_meet
            && addresses_meet
            && interfaces_meet
    }
}

/// The addresses that a listener listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// All addresses of the machine.
    Any,
    /// `127.0.0.1` and `::1`, as far as the machine has them.
    Loopback,
    /// One host name or address.
    Host(String),
    /// The path of a Unix domain socket. There is no port then.
    Unix(PathBuf),
}

/// The value of `protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT as it is.
    Mqtt,
    /// MQTT over WebSocket.
    Websockets,
    /// Either; what a connection speaks, also whether it is TLS, is recognised by
    /// its first byte.
    Any,
}

/// The value of `socket_domain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketDomain {
    /// Only IPv4.
    Ipv4,
    /// Only IPv6.
    Ipv6,
}

/// Who may connect to a listener, and what clients may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Security {
    /// `allow_anonymous`, `listener_allow_anonymous`: whether a client without a
    /// user name may connect. Default: false, but true for [`Listener::local`].
    pub allow_anonymous: bool,
    /// `password_file`: names and password hashes. Default: none, so that
    /// there is nobody to let in but anonymous clients.
    pub password_file: Option<PathBuf>,
    /// `acl_file`: who may read and write what. Default: none, everyone may
    /// do everything.
    pub acl_file: Option<PathBuf>,
    /// `acl_check_subscribe`: whether a subscription is refused to which the
    /// access control list lets no message through. Default: false, it is
    /// granted and stays silent, as in Mosquitto.
    pub acl_check_subscribe: bool,
}

/// The versions of the protocol that a listener accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolVersions(u8);

impl ProtocolVersions {
    /// No version; a start for [`ProtocolVersions::insert`].
    pub const NONE: Self = Self(0);
    /// MQTT 3.1, 3.1.1 and 5.
    pub const ALL: Self = Self(1 << 3 | 1 << 4 | 1 << 5);

    /// Adds a version by the number that CONNECT carries: 3 for MQTT 3.1, 4 for
    /// 3.1.1, 5 for 5. Other numbers are not added.
    pub const fn insert(&mut self, version: u8) {
        if version < 8 {
            self.0 |= 1 << version & Self::ALL.0;
        }
    }

    /// Whether a version is accepted, by the same number.
    pub const fn contains(self, version: u8) -> bool {
        version < 8 && self.0 & 1 << version != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bind: Bind) -> Listener {
        Listener {
            bind,
            ..Listener::default()
        }
    }

    #[test]
    fn versions_are_those_of_connect() {
        let mut versions = ProtocolVersions::NONE;
        versions.insert(4);
        versions.insert(6);
        versions.insert(200);
        assert!(versions.contains(4));
        assert!(![0, 3, 5, 6, 200].iter().any(|v| versions.contains(*v)));
        assert!([3, 4, 5].iter().all(|v| ProtocolVersions::ALL.contains(*v)));
    }

    #[test]
    fn unix_sockets_collide_by_their_path() {
        let unix = |path: &str| Listener {
            port: 0,
            ..at(Bind::Unix(path.into()))
        };
        assert!(unix("/a").collides_with(&unix("/a")));
        assert!(!unix("/a").collides_with(&unix("/b")));
        assert!(!unix("/a").collides_with(&Listener::default()));
    }

    #[test]
    fn listeners_collide_where_their_sockets_would() {
        let host = |name: &str| at(Bind::Host(name.into()));
        assert!(at(Bind::Any).collides_with(&host("10.0.0.1")));
        assert!(!host("127.0.0.1").collides_with(&host("::1")));
        let only = |domain| Listener {
            socket_domain: Some(domain),
            ..Listener::default()
        };
        assert!(!only(SocketDomain::Ipv4).collides_with(&only(SocketDomain::Ipv6)));
        let other = Listener {
            port: 1884,
            ..Listener::default()
        };
        assert!(!other.collides_with(&Listener::default()));
    }
}
