//! The control packets of all three versions, as one set of types.
//!
//! A packet borrows its strings and payloads from the buffer that it was
//! decoded from, or from whatever its maker has at hand. Fields that only
//! MQTT 5 has are empty or 'success' in the older versions.

use std::borrow::Cow;

use super::{Properties, ReasonCode};

/// A version of the protocol; the number is the protocol level in CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Version {
    /// MQTT 3.1 (`MQIsdp`).
    V31 = 3,
    /// MQTT 3.1.1.
    V311 = 4,
    /// MQTT 5.0.
    V5 = 5,
}

/// Quality of service (4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// QoS 0.
    #[default]
    AtMostOnce = 0,
    /// QoS 1.
    AtLeastOnce = 1,
    /// QoS 2.
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS for a number; `None` from 3 on.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// Who sent the bytes that are decoded. A server never receives a CONNACK, a
/// client never a SUBSCRIBE; some properties are legal in one direction only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The packet comes from a client.
    Client,
    /// The packet comes from a server.
    Server,
}

/// A control packet (2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// 3.1: a client asks for a session.
    Connect(Box<Connect<'a>>),
    /// 3.2: the server's answer to CONNECT.
    ConnAck(ConnAck<'a>),
    /// 3.3: an application message.
    Publish(Publish<'a>),
    /// 3.4 to 3.7: PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(AckKind, Ack<'a>),
    /// 3.8: asks for subscriptions.
    Subscribe(Subscribe<'a>),
    /// 3.9: the answer to SUBSCRIBE.
    SubAck(SubAck<'a>),
    /// 3.10: ends subscriptions.
    Unsubscribe(Unsubscribe<'a>),
    /// 3.11: the answer to UNSUBSCRIBE.
    UnsubAck(UnsubAck<'a>),
    /// 3.12: 'are you there?'
    PingReq,
    /// 3.13: 'I am.'
    PingResp,
    /// 3.14: the end of a connection. From a server in MQTT 5 only.
    Disconnect(Disconnect<'a>),
    /// 3.15: a step of an enhanced authentication. MQTT 5 only.
    Auth(Auth<'a>),
}

/// The user property of CONNECT by which our bridges introduce themselves in
/// MQTT 5, where the bit of [`Connect::bridge`] does not exist, and of CONNACK by
/// which our brokers answer that they are ours. Its value says nothing.
pub const BRIDGE: &str = "moustique-bridge";

/// The user property of PUBLISH by which brokers of ours tell each other where a
/// message was published.
pub const ORIGIN: &str = "moustique-origin";

/// CONNECT (3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that the client speaks from here on.
    pub version: Version,
    /// The high bit of the protocol level, by which bridges introduce
    /// themselves to Mosquitto-like brokers. Never set in MQTT 5.
    pub bridge: bool,
    /// Clean start (5), clean session (3.x).
    pub clean_start: bool,
    /// Keep alive in seconds; 0 switches it off.
    pub keep_alive: u16,
    /// The client identifier; empty asks the server for one.
    pub client_id: &'a str,
    /// The will, where there is one.
    pub will: Option<Will<'a>>,
    /// The user name.
    pub username: Option<&'a str>,
    /// The password, any bytes.
    pub password: Option<&'a [u8]>,
    /// Properties of CONNECT (3.1.2.11).
    pub properties: Properties<'a>,
}

/// The will in a CONNECT (3.1.2.5, 3.1.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// The topic name that the will goes to.
    pub topic: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
    /// Its QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Will properties (3.1.3.2).
    pub properties: Properties<'a>,
}

/// CONNACK (3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// The server kept a session of this client.
    pub session_present: bool,
    /// A reason code in MQTT 5; in 3.x the return code 0 to 5 as it stands on
    /// the wire.
    pub reason: ReasonCode,
    /// Properties (3.2.2.3).
    pub properties: Properties<'a>,
}

/// PUBLISH (3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// A repeat of an earlier attempt.
    pub dup: bool,
    /// The quality of service.
    pub qos: QoS,
    /// Retained (towards the server), or taken from the retained messages
    /// (towards a client).
    pub retain: bool,
    /// The topic name. Empty in MQTT 5 where a topic alias stands for it.
    pub topic: &'a str,
    /// The packet identifier; 0 if and only if the QoS is 0.
    pub packet_id: u16,
    /// Properties (3.3.2.3).
    pub properties: Properties<'a>,
    /// The application message.
    pub payload: &'a [u8],
}

/// Which of the four acknowledgements of a PUBLISH flow; the number is the
/// packet type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AckKind {
    /// PUBACK: QoS 1 is done.
    PubAck = 4,
    /// PUBREC: QoS 2, first step.
    PubRec = 5,
    /// PUBREL: QoS 2, second step.
    PubRel = 6,
    /// PUBCOMP: QoS 2 is done.
    PubComp = 7,
}

/// The content of PUBACK, PUBREC, PUBREL and PUBCOMP (3.4 to 3.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// The packet identifier of the PUBLISH.
    pub packet_id: u16,
    /// The reason code; success in 3.x.
    pub reason: ReasonCode,
    /// Properties: a reason string and user properties.
    pub properties: Properties<'a>,
}

/// SUBSCRIBE (3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// The packet identifier, never 0.
    pub packet_id: u16,
    /// Properties: the subscription identifier, user properties.
    pub properties: Properties<'a>,
    /// At least one request.
    pub requests: Vec<SubscriptionRequest<'a>>,
}

/// One topic filter of a SUBSCRIBE with its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionRequest<'a> {
    /// The topic filter, well-formed UTF-8; its syntax is checked by `topic`.
    pub filter: &'a str,
    /// What the client wants.
    pub options: SubscriptionOptions,
}

/// Subscription options (3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest QoS of a delivery.
    pub qos: QoS,
    /// Not the client's own publications.
    pub no_local: bool,
    /// Keep the retain flag of a publication as it was published.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

/// When a subscription is answered with retained messages (3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At each SUBSCRIBE.
    #[default]
    Always = 0,
    /// At a SUBSCRIBE that makes a new subscription.
    IfNew = 1,
    /// Never.
    Never = 2,
}

/// SUBACK (3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The packet identifier of the SUBSCRIBE.
    pub packet_id: u16,
    /// Properties: a reason string and user properties.
    pub properties: Properties<'a>,
    /// One code for each request, as on the wire.
    pub reasons: Cow<'a, [u8]>,
}

/// UNSUBSCRIBE (3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// The packet identifier, never 0.
    pub packet_id: u16,
    /// Properties: user properties.
    pub properties: Properties<'a>,
    /// At least one topic filter.
    pub filters: Vec<&'a str>,
}

/// UNSUBACK (3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// The packet identifier of the UNSUBSCRIBE.
    pub packet_id: u16,
    /// Properties: a reason string and user properties.
    pub properties: Properties<'a>,
    /// One code for each filter, as on the wire; empty in 3.x, where the
    /// packet has no payload.
    pub reasons: Cow<'a, [u8]>,
}

/// DISCONNECT (3.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// The reason; success in 3.x.
    pub reason: ReasonCode,
    /// Properties (3.14.2.2).
    pub properties: Properties<'a>,
}

/// AUTH (3.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// Properties: the authentication method and its data.
    pub properties: Properties<'a>,
}
