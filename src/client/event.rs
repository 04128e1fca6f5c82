//! What a client tells the program that uses it.

use std::fmt;
use std::io;

use bytes::Bytes;

use crate::codec::{DecodeError, Properties, QoS, ReasonCode};

/// Something that happened on the connection.
#[derive(Debug)]
pub enum Event {
    /// A message has arrived. At QoS 2 it comes exactly once.
    Message(Message),
    /// A message of QoS 1 or 2 is done: the server has it, or refused it.
    Published {
        /// What [`super::Client::publish`] returned.
        id: PublishId,
        /// The packet identifier that it went out with; 0 if it never left.
        packet_id: u16,
        /// Success in 3.x; an error means that the server refused it.
        reason: ReasonCode,
        /// Properties of the acknowledgement.
        properties: Properties<'static>,
    },
    /// The answer to a SUBSCRIBE.
    SubAck {
        /// What [`super::Client::subscribe`] returned.
        packet_id: u16,
        /// One code for each request: the granted QoS, or an error (0x80 and
        /// above).
        reasons: Vec<u8>,
        /// Its properties.
        properties: Properties<'static>,
    },
    /// The answer to an UNSUBSCRIBE.
    UnsubAck {
        /// What [`super::Client::unsubscribe`] returned.
        packet_id: u16,
        /// One code for each filter in MQTT 5; empty in 3.x.
        reasons: Vec<u8>,
        /// Its properties.
        properties: Properties<'static>,
    },
    /// The connection is over. Nothing more comes until
    /// [`super::Client::open`].
    Disconnected(DisconnectReason),
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic name; an alias is resolved.
    pub topic: String,
    /// The payload. It shares memory with the other packets of its read: copy
    /// what is kept for long.
    pub payload: Bytes,
    /// The QoS of the delivery.
    pub qos: QoS,
    /// The retain flag.
    pub retain: bool,
    /// The server may have sent it before.
    pub dup: bool,
    /// The packet identifier; 0 at QoS 0.
    pub packet_id: u16,
    /// Its properties (MQTT 5).
    pub properties: Properties<'static>,
}

/// Names a message that was published, to recognise its
/// [`Event::Published`]; counts up from 1 for each client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublishId(pub u64);

/// A connection that was accepted.
#[derive(Clone, Debug)]
pub struct ConnAckInfo {
    /// The server had a session of this client.
    pub session_present: bool,
    /// The identifier that the server chose (MQTT 5).
    pub assigned_client_id: Option<String>,
    /// All properties of the CONNACK.
    pub properties: Properties<'static>,
    /// How many messages of an earlier connection are published again as new,
    /// because the server has no session any more: some may arrive twice.
    pub republished: usize,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum DisconnectReason {
    /// The stream ended or failed.
    Lost(Option<io::Error>),
    /// The server said so (MQTT 5).
    ByServer {
        /// Its reason.
        reason: ReasonCode,
        /// Its properties.
        properties: Properties<'static>,
    },
    /// The server didn't answer a PINGREQ in time.
    KeepAliveTimeout,
    /// The server sent what is not allowed.
    Protocol(DecodeError),
    /// There is no connection: it ended before, or was never opened.
    NotConnected,
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(None) => f.write_str("the server closed the connection"),
            Self::Lost(Some(error)) => write!(f, "the connection was lost: {error}"),
            Self::ByServer { reason, .. } => write!(f, "the server disconnected: {reason}"),
            Self::KeepAliveTimeout => f.write_str("the server doesn't answer"),
            Self::Protocol(error) => write!(f, "protocol error of the server: {error}"),
            Self::NotConnected => f.write_str("not connected"),
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The stream failed; `None`: it was closed before a CONNACK came.
    Lost(Option<io::Error>),
    /// The server refused: a return code 1 to 5 in 3.x, a reason code in
    /// MQTT 5.
    Refused {
        /// The code.
        reason: ReasonCode,
        /// Its properties.
        properties: Properties<'static>,
    },
    /// What the server sent is no CONNACK.
    Protocol(DecodeError),
    /// No CONNACK came within the keep alive.
    Timeout,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(None) => f.write_str("the server closed the connection"),
            Self::Lost(Some(error)) => write!(f, "the connection was lost: {error}"),
            Self::Refused { reason, .. } if reason.is_error() => {
                write!(f, "the server refused the connection: {reason}")
            }
            Self::Refused { reason, .. } => {
                write!(f, "the server refused the connection: code {}", reason.0)
            }
            Self::Protocol(error) => write!(f, "protocol error of the server: {error}"),
            Self::Timeout => f.write_str("the server doesn't answer"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// There is no connection.
    NotConnected,
    /// Not a topic name, or not a topic filter.
    InvalidTopic,
    /// Larger than MQTT, or this server, allows.
    TooLarge,
    /// The server has a lower maximum QoS (MQTT 5).
    QoSNotSupported,
    /// The server has no retained messages (MQTT 5).
    RetainNotSupported,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "not connected",
            Self::InvalidTopic => "not a valid topic",
            Self::TooLarge => "larger than the server takes",
            Self::QoSNotSupported => "the server doesn't support this QoS",
            Self::RetainNotSupported => "the server doesn't support retained messages",
        })
    }
}

impl std::error::Error for RequestError {}
