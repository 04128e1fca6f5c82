//! What a client says of itself in CONNECT.

use crate::codec::{self, Connect, Properties, QoS, Version};

/// How a client connects. [`Default`] is MQTT 3.1.1 with a clean session, a
/// keep alive of 60 seconds and an identifier that the server chooses.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The version of the protocol.
    pub version: Version,
    /// The client identifier; empty asks the server for one (MQTT 3.1 has no
    /// such thing).
    pub client_id: String,
    /// Start without the state of an earlier connection.
    pub clean_start: bool,
    /// Seconds of silence after which a PINGREQ is sent; 0 switches it off.
    pub keep_alive: u16,
    /// The user name.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Vec<u8>>,
    /// What the server publishes if this client is lost.
    pub will: Option<Will>,
    /// Properties of CONNECT (MQTT 5). The client obeys those that it
    /// announces: receive maximum, maximum packet size, topic alias maximum.
    pub properties: Properties<'static>,
    /// Introduce the client as a bridge, in the way of Mosquitto (3.x).
    pub bridge: bool,
    /// The most messages of QoS 1 and 2 that may be unacknowledged. The
    /// receive maximum of the server may make it less.
    pub max_inflight: u16,
}

/// A will (3.1.2.5).
#[derive(Clone, Debug)]
pub struct Will {
    /// The topic that it is published to.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Its QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Its properties (MQTT 5).
    pub properties: Properties<'static>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            version: Version::V311,
            client_id: String::new(),
            clean_start: true,
            keep_alive: 60,
            username: None,
            password: None,
            will: None,
            properties: Properties::new(),
            bridge: false,
            max_inflight: 20,
        }
    }
}

impl ConnectOptions {
    pub(crate) fn packet(&self) -> Connect<'_> {
        Connect {
            version: self.version,
            bridge: self.bridge,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            client_id: &self.client_id,
            will: self.will.as_ref().map(Will::packet),
            username: self.username.as_deref(),
            password: self.password.as_deref(),
            properties: Properties::from_encoded(self.properties.as_bytes()),
        }
    }

    pub(super) fn receive_maximum(&self) -> u16 {
        crate::property!(self.properties, ReceiveMaximum).unwrap_or(u16::MAX)
    }

    pub(super) fn topic_alias_maximum(&self) -> u16 {
        crate::property!(self.properties, TopicAliasMaximum).unwrap_or(0)
    }

    pub(super) fn maximum_packet_size(&self) -> usize {
        crate::property!(self.properties, MaximumPacketSize)
            .map_or(usize::MAX, |bytes| bytes as usize)
    }
}

impl Will {
    fn packet(&self) -> codec::Will<'_> {
        codec::Will {
            topic: &self.topic,
            payload: &self.payload,
            qos: self.qos,
            retain: self.retain,
            properties: Properties::from_encoded(self.properties.as_bytes()),
        }
    }
}
