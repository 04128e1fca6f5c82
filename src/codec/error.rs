//! Reason codes (MQTT 5, 2.4) and what a decoder can find wrong.

use std::fmt;

use super::Version;

/// A reason code of MQTT 5 (section 2.4). Values below 0x80 mean success.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReasonCode(pub u8);

macro_rules! reason_codes {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl ReasonCode {
            $(#[doc = concat!(stringify!($value), ": ", $text, ".")]
              pub const $name: Self = Self($value);)*

            /// The name that the specification gives to this code, in lower case.
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "unknown reason",
                }
            }
        }
    };
}

reason_codes! {
    SUCCESS = 0x00, "success";
    GRANTED_QOS_1 = 0x01, "granted QoS 1";
    GRANTED_QOS_2 = 0x02, "granted QoS 2";
    DISCONNECT_WITH_WILL = 0x04, "disconnect with will message";
    NO_MATCHING_SUBSCRIBERS = 0x10, "no matching subscribers";
    NO_SUBSCRIPTION_EXISTED = 0x11, "no subscription existed";
    CONTINUE_AUTHENTICATION = 0x18, "continue authentication";
    REAUTHENTICATE = 0x19, "re-authenticate";
    UNSPECIFIED = 0x80, "unspecified error";
    MALFORMED_PACKET = 0x81, "malformed packet";
    PROTOCOL_ERROR = 0x82, "protocol error";
    IMPLEMENTATION_SPECIFIC = 0x83, "implementation specific error";
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "unsupported protocol version";
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "client identifier not valid";
    BAD_USER_NAME_OR_PASSWORD = 0x86, "bad user name or password";
    NOT_AUTHORIZED = 0x87, "not authorized";
    SERVER_UNAVAILABLE = 0x88, "server unavailable";
    SERVER_BUSY = 0x89, "server busy";
    BANNED = 0x8A, "banned";
    SERVER_SHUTTING_DOWN = 0x8B, "server shutting down";
    BAD_AUTHENTICATION_METHOD = 0x8C, "bad authentication method";
    KEEP_ALIVE_TIMEOUT = 0x8D, "keep alive timeout";
    SESSION_TAKEN_OVER = 0x8E, "session taken over";
    TOPIC_FILTER_INVALID = 0x8F, "topic filter invalid";
    TOPIC_NAME_INVALID = 0x90, "topic name invalid";
    PACKET_IDENTIFIER_IN_USE = 0x91, "packet identifier in use";
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "packet identifier not found";
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "receive maximum exceeded";
    TOPIC_ALIAS_INVALID = 0x94, "topic alias invalid";
    PACKET_TOO_LARGE = 0x95, "packet too large";
    MESSAGE_RATE_TOO_HIGH = 0x96, "message rate too high";
    QUOTA_EXCEEDED = 0x97, "quota exceeded";
    ADMINISTRATIVE_ACTION = 0x98, "administrative action";
    PAYLOAD_FORMAT_INVALID = 0x99, "payload format invalid";
    RETAIN_NOT_SUPPORTED = 0x9A, "retain not supported";
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported";
    USE_ANOTHER_SERVER = 0x9C, "use another server";
    SERVER_MOVED = 0x9D, "server moved";
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "shared subscriptions not supported";
    CONNECTION_RATE_EXCEEDED = 0x9F, "connection rate exceeded";
    MAXIMUM_CONNECT_TIME = 0xA0, "maximum connect time";
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "subscription identifiers not supported";
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "wildcard subscriptions not supported";
}

impl ReasonCode {
    /// Whether the code tells of a failure (0x80 and above).
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X} ({})", self.0, self.text())
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Why bytes are not a packet: the reason code that MQTT 5 assigns, and one
/// phrase for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The code for a DISCONNECT or CONNACK that answers the packet.
    pub reason: ReasonCode,
    /// What was wrong, as a phrase for a log line ("reserved bit set in CONNECT").
    pub what: &'static str,
}

impl DecodeError {
    /// A packet that cannot be parsed (0x81).
    pub const fn malformed(what: &'static str) -> Self {
        Self {
            reason: ReasonCode::MALFORMED_PACKET,
            what,
        }
    }

    /// A packet that parses, and says something that is not allowed (0x82).
    pub const fn protocol(what: &'static str) -> Self {
        Self {
            reason: ReasonCode::PROTOCOL_ERROR,
            what,
        }
    }

    /// An error with a reason code of its own.
    pub const fn with(reason: ReasonCode, what: &'static str) -> Self {
        Self { reason, what }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.what)
    }
}

impl std::error::Error for DecodeError {}

/// A CONNECT that could not be decoded, and what a server answers before it
/// closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedConnect {
    /// What was wrong.
    pub error: DecodeError,
    /// The form of the CONNACK and its code; `None`: close without a word.
    pub connack: Option<(Version, ReasonCode)>,
}

impl RefusedConnect {
    pub(super) const fn silent(error: DecodeError) -> Self {
        Self {
            error,
            connack: None,
        }
    }

    /// Answered in MQTT 5, silent before, where no return code fits.
    pub(super) const fn answered(error: DecodeError, version: Version) -> Self {
        match version {
            Version::V5 => Self {
                error,
                connack: Some((Version::V5, error.reason)),
            },
            _ => Self::silent(error),
        }
    }

    /// A version that isn't spoken here, told in the form of `version`: 0x84,
    /// or return code 1 of 3.x.
    pub(super) const fn unsupported_version(version: Version) -> Self {
        let error = DecodeError::with(
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            "a protocol version that is not 3, 4 or 5",
        );
        let code = match version {
            Version::V5 => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            _ => ReasonCode(1),
        };
        Self {
            error,
            connack: Some((version, code)),
        }
    }
}
