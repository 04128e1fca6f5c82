//! What the tools say, in Mosquitto's words where scripts may look for them.

use std::io::{self, IsTerminal};

use colored::Colorize;

use super::failure::{Failure, complain};
use super::paint;
use crate::client::{ConnectError, DisconnectReason, RequestError};
use crate::codec::{ReasonCode, Version};
use crate::transport::tls::TlsFailure;
use crate::transport::{Endpoint, ProxyError, Target, is_lookup_error};

// Exit codes beyond 1 are the numbers of libmosquitto's errors.
const PROTOCOL: u8 = 2;
const NOT_CONNECTED: u8 = 4;
const LOST: u8 = 7;
const TLS: u8 = 8;
const NOT_AUTHORISED: u8 = 11;
const PROXY: u8 = 16;
const KEEP_ALIVE: u8 = 19;
const OVERSIZE: u8 = 25;
/// The exit code of `-W`.
pub(super) const TIMED_OUT: u8 = 27;

const PROTOCOL_TEXT: &str =
    "Error: A network protocol error occurred when communicating with the broker.";

/// A failure to reach the broker at all; `by_srv`: `-S` was to find it.
pub(super) fn unreachable(error: &io::Error, target: &Target, by_srv: bool) -> Failure {
    if is_lookup_error(error) {
        let hint = if by_srv {
            format!("{error}; without -S, the name itself is looked up")
        } else {
            "is the name of the broker (-h) right, and does this machine have a network?".to_owned()
        };
        return Failure::Other("Unable to connect (Lookup error.).".to_owned(), 1)
            .with_hint(Some(hint));
    }
    if let Some(failure) = TlsFailure::of(error) {
        return tls_failed(failure);
    }
    if let Some(error) = ProxyError::of(error) {
        return past_proxy(error);
    }
    let refused = error.kind() == io::ErrorKind::ConnectionRefused;
    if refused && let Some(proxy) = &target.proxy {
        let hint = format!("no proxy listens on {} port {}", proxy.host, proxy.port);
        return Failure::plain(system_text(error)).with_hint(Some(hint));
    }
    let hint = refused.then(|| match &target.endpoint {
        Endpoint::Tcp { host, .. } if by_srv => {
            format!("nothing listens where the SRV records of {host} say")
        }
        Endpoint::Tcp { host, port, .. } => format!(
            "nothing listens on {host} port {port}. Is the broker running, and does it accept \
             connections from other machines?"
        ),
        Endpoint::Unix(path) => format!("nothing listens on {}", path.display()),
    });
    Failure::plain(system_text(error)).with_hint(hint)
}

/// A proxy that doesn't lead to the broker.
fn past_proxy(error: &ProxyError) -> Failure {
    let (text, code) = match error {
        ProxyError::NotConnected(_) => ("The client is not currently connected.", NOT_CONNECTED),
        ProxyError::NotAuthorised => ("Authorisation failed.", NOT_AUTHORISED),
        ProxyError::Failed(_) => ("Proxy error.", PROXY),
    };
    Failure::Other(format!("Error: {text}"), code).with_hint(Some(format!("{error}")))
}

/// TLS that failed: which certificate, and why.
fn tls_failed(failure: &TlsFailure) -> Failure {
    let help = Some(failure.help().to_owned()).filter(|help| !help.is_empty());
    Failure::Other(
        format!("Error: A TLS error occurred.\nTLS: {failure}."),
        TLS,
    )
    .with_hint(help)
}

/// The failure of TLS in an error that ended a connection, if it is one.
pub(super) fn tls_failure(error: Option<&io::Error>) -> Option<&TlsFailure> {
    TlsFailure::of(error?)
}

/// The system's words for an error, without the number that Rust appends.
pub(super) fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A connection that the broker refused or broke off before it stood.
/// `second_line`: mqtt-pub says what libmosquitto made of it, too.
pub(super) fn not_accepted(
    error: &ConnectError,
    version: Version,
    user: Option<&str>,
    second_line: bool,
) -> Failure {
    match error {
        ConnectError::Refused { reason, .. } => {
            let v5 = version == Version::V5;
            let mut text = format!("Connection error: {}", connack_text(*reason, v5));
            if second_line {
                text.push('\n');
                text.push_str(if reason.0 <= 5 {
                    "Error: The connection was refused."
                } else {
                    PROTOCOL_TEXT
                });
            }
            Failure::Other(text, reason.0).with_hint(refusal_hint(*reason, v5, user))
        }
        ConnectError::Lost(error) => lost(error.as_ref()),
        ConnectError::Protocol(error) => disconnected(&DisconnectReason::Protocol(*error)),
        ConnectError::Timeout => disconnected(&DisconnectReason::KeepAliveTimeout),
    }
}

fn lost(error: Option<&io::Error>) -> Failure {
    match tls_failure(error) {
        Some(failure) => tls_failed(failure),
        None => Failure::Other("Error: The connection was lost.".to_owned(), LOST),
    }
}

/// The end of a connection that was still needed.
pub(super) fn disconnected(reason: &DisconnectReason) -> Failure {
    let (text, code) = match reason {
        DisconnectReason::Lost(error) => return lost(error.as_ref()),
        DisconnectReason::ByServer { .. } | DisconnectReason::NotConnected => (
            "Error: The client is not currently connected.",
            NOT_CONNECTED,
        ),
        DisconnectReason::KeepAliveTimeout => ("Error: The broker does not answer.", KEEP_ALIVE),
        DisconnectReason::Protocol(_) => (PROTOCOL_TEXT, PROTOCOL),
    };
    let hint = match reason {
        DisconnectReason::ByServer { reason, .. } => {
            Some(format!("the broker ended the connection: {reason}"))
        }
        _ => None,
    };
    Failure::Other(text.to_owned(), code).with_hint(hint)
}

/// A message or a subscription that cannot be sent.
pub(super) fn not_sent(error: RequestError) -> Failure {
    match error {
        RequestError::NotConnected => disconnected(&DisconnectReason::NotConnected),
        RequestError::TooLarge => Failure::Other(
            "Error: The message is larger than the broker accepts.".to_owned(),
            OVERSIZE,
        ),
        other => Failure::plain(format_args!("{other}.")),
    }
}

/// Tells more, to a person: only where stderr is a terminal.
pub(super) fn hint(text: &str) {
    if io::stderr().is_terminal() {
        colored::control::set_override(paint::suits(&io::stderr()));
        complain(format_args!("{} {text}", "Hint:".cyan().bold()));
    }
}

fn refusal_hint(reason: ReasonCode, v5: bool, user: Option<&str>) -> Option<String> {
    let unauthorised = match reason.0 {
        4 | 5 => !v5,
        0x86 | 0x87 => true,
        _ => false,
    };
    unauthorised.then(|| match user {
        Some(user) => {
            format!("the broker doesn't let user '{user}' in: is the password (-P) right?")
        }
        None => "the broker wants a user name and a password: -u NAME -P PASSWORD".to_owned(),
    })
}

/// Why a CONNACK refuses.
fn connack_text(reason: ReasonCode, v5: bool) -> &'static str {
    if v5 {
        return match reason {
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => {
                "Unsupported Protocol Version. Try connecting to an MQTT v5 broker, or use MQTT v3.x mode."
            }
            other => reason_text(other),
        };
    }
    match reason.0 {
        1 => "Connection Refused: unacceptable protocol version.",
        2 => "Connection Refused: identifier rejected.",
        3 => "Connection Refused: broker unavailable.",
        4 => "Connection Refused: bad user name or password.",
        5 => "Connection Refused: not authorised.",
        _ => "Connection Refused: unknown reason.",
    }
}

/// The reason codes as libmosquitto spells them.
pub(super) fn reason_text(reason: ReasonCode) -> &'static str {
    match reason.0 {
        0x00 => "Success",
        0x01 => "Granted QoS 1",
        0x02 => "Granted QoS 2",
        0x04 => "Disconnect with Will Message",
        0x10 => "No matching subscribers",
        0x11 => "No subscription existed",
        0x18 => "Continue authentication",
        0x19 => "Re-authenticate",
        0x80 => "Unspecified error",
        0x81 => "Malformed Packet",
        0x82 => "Protocol Error",
        0x83 => "Implementation specific error",
        0x84 => "Unsupported Protocol Version",
        0x85 => "Client Identifier not valid",
        0x86 => "Bad User Name or Password",
        0x87 => "Not authorized",
        0x88 => "Server unavailable",
        0x89 => "Server busy",
        0x8A => "Banned",
        0x8B => "Server shutting down",
        0x8C => "Bad authentication method",
        0x8D => "Keep Alive timeout",
        0x8E => "Session taken over",
        0x8F => "Topic Filter invalid",
        0x90 => "Topic Name invalid",
        0x91 => "Packet Identifier in use",
        0x92 => "Packet Identifier not found",
        0x93 => "Receive Maximum exceeded",
        0x94 => "Topic Alias invalid",
        0x95 => "Packet too large",
        0x96 => "Message rate too high",
        0x97 => "Quota exceeded",
        0x98 => "Administrative action",
        0x99 => "Payload format invalid",
        0x9A => "Retain not supported",
        0x9B => "QoS not supported",
        0x9C => "Use another server",
        0x9D => "Server moved",
        0x9E => "Shared Subscriptions not supported",
        0x9F => "Connection rate exceeded",
        0xA0 => "Maximum connect time",
        0xA1 => "Subscription identifiers not supported",
        0xA2 => "Wildcard Subscriptions not supported",
        _ => "Unknown reason",
    }
}
