//! Why the broker ends a connection: one place for the reason code of MQTT 5,
//! the return code of CONNACK in 3.x and the words of the log.

use crate::codec::{DecodeError, ReasonCode};

/// Why a connection is refused or ended by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Bytes that are no packet, or a packet that is forbidden.
    Undecodable(DecodeError),
    /// Bytes whose length cannot be told or trusted. Mosquitto closes without
    /// a word then, in MQTT 5 too.
    Unframed(DecodeError),
    /// A packet that this moment forbids; the words say which.
    Unexpected(&'static str),
    /// The version isn't spoken on this listener.
    Version,
    /// A client identifier that is missing or not allowed.
    ClientId,
    /// Wrong or missing credentials, or a will that the client may not publish.
    NotAuthorized,
    /// An authentication method that nobody configured.
    AuthenticationMethod,
    /// As many clients as the configuration allows are connected.
    TooManyConnections,
    /// A keep alive above `max_keepalive` from a client that cannot be told so.
    KeepAliveTooLong,
    /// A topic alias that is 0 or above the maximum.
    TopicAlias,
    /// QoS above `max_qos`.
    QoS,
    /// A retained message where there are none.
    Retain,
    /// More messages of QoS 2 in flight than the receive maximum.
    ReceiveMaximum,
    /// Nothing came for one and a half times the keep alive.
    KeepAlive,
    /// Another connection came with the same client identifier.
    TakenOver,
    /// A reload took away what the connection rests on; the words say what.
    Administrative(&'static str),
    /// Something would have to be kept and there is no room; the words say
    /// why. Publications of MQTT 5 are refused with it in their
    /// acknowledgement; QoS 0 is dropped.
    Full(&'static str),
    /// The store has failed, and is not back yet.
    StoreFailed,
    /// The broker ends.
    ShuttingDown,
}

impl Refusal {
    /// The reason code of MQTT 5.
    pub const fn reason(self) -> ReasonCode {
        match self {
            Self::Undecodable(error) | Self::Unframed(error) => error.reason,
            Self::Unexpected(_) => ReasonCode::PROTOCOL_ERROR,
            Self::Version => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            Self::ClientId | Self::KeepAliveTooLong => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            Self::NotAuthorized => ReasonCode::NOT_AUTHORIZED,
            Self::AuthenticationMethod => ReasonCode::BAD_AUTHENTICATION_METHOD,
            Self::TooManyConnections => ReasonCode::SERVER_BUSY,
            Self::TopicAlias => ReasonCode::TOPIC_ALIAS_INVALID,
            Self::QoS => ReasonCode::QOS_NOT_SUPPORTED,
            Self::Retain => ReasonCode::RETAIN_NOT_SUPPORTED,
            Self::ReceiveMaximum => ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
            Self::KeepAlive => ReasonCode::KEEP_ALIVE_TIMEOUT,
            Self::TakenOver => ReasonCode::SESSION_TAKEN_OVER,
            Self::Administrative(_) => ReasonCode::ADMINISTRATIVE_ACTION,
            Self::Full(_) => ReasonCode::QUOTA_EXCEEDED,
            Self::StoreFailed => ReasonCode::SERVER_BUSY,
            Self::ShuttingDown => ReasonCode::SERVER_SHUTTING_DOWN,
        }
    }

    /// Whether a client of MQTT 5 is told with a DISCONNECT.
    pub const fn is_told(self) -> bool {
        !matches!(self, Self::Unframed(_))
    }

    /// The return code in a CONNACK of MQTT 3.x; `None`: close without one.
    pub const fn return_code(self) -> Option<u8> {
        match self {
            Self::Version => Some(1),
            Self::ClientId | Self::KeepAliveTooLong => Some(2),
            Self::TooManyConnections | Self::Full(_) | Self::StoreFailed | Self::ShuttingDown => {
                Some(3)
            }
            Self::NotAuthorized => Some(5),
            _ => None,
        }
    }

    /// The end of the log line "Client X disconnected…".
    pub fn text(self) -> String {
        match self {
            Self::Undecodable(error) if error.reason == ReasonCode::MALFORMED_PACKET => {
                format!(" due to malformed packet: {}", error.what)
            }
            Self::Undecodable(error) if error.reason == ReasonCode::PROTOCOL_ERROR => {
                format!(" due to protocol error: {}", error.what)
            }
            Self::Undecodable(error) => format!(": {}", error.what),
            Self::Unframed(error) => format!(" due to malformed packet: {}", error.what),
            Self::Unexpected(what) => format!(" due to protocol error: {what}"),
            Self::Version => ": this protocol version is not accepted here".into(),
            Self::ClientId => ": client identifier not accepted".into(),
            Self::NotAuthorized => ", not authorised".into(),
            Self::AuthenticationMethod => ": no such authentication method".into(),
            Self::TooManyConnections => ": too many connections".into(),
            Self::KeepAliveTooLong => ": keep alive above max_keepalive".into(),
            Self::TopicAlias => " due to protocol error: topic alias out of range".into(),
            Self::QoS => ": QoS above max_qos".into(),
            Self::Retain => ": retained messages are switched off".into(),
            Self::ReceiveMaximum => ": more messages in flight than the receive maximum".into(),
            Self::KeepAlive => ": it has exceeded its keep alive timeout".into(),
            Self::TakenOver => ": taken over by another connection".into(),
            Self::Administrative(what) => format!(" by a reload: {what}"),
            Self::Full(why) => format!(": {why}"),
            Self::StoreFailed => ": the store has failed".into(),
            Self::ShuttingDown => ": the broker ends".into(),
        }
    }
}
