//! Why there is no TLS, in words.

use std::fmt;
use std::io;

use rustls::{AlertDescription, InvalidMessage};

use super::rejection::{Rejection, Why};

/// Why a handshake, or a stream after it, failed.
#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    /// The peer closed the connection in the middle of the handshake.
    Left,
    /// The handshake took too long.
    Silence,
    Tls(rustls::Error, Option<Box<Rejection>>),
}

/// Who tells of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// TLS failed: what is wrong, and what to do about it. An [`io::Error`] that
/// [`TlsFailure::of`] recognises carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFailure {
    what: String,
    help: String,
}

impl TlsFailure {
    /// The failure of TLS in an error, if it is one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    #[cfg(feature = "psk")]
    pub(super) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: help.into(),
        }
    }

    /// What to do about it; empty if there is nothing to say.
    pub fn help(&self) -> &str {
        &self.help
    }

    pub(super) fn into_io(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for TlsFailure {}

impl Failure {
    /// As an error of the stream. Errors of the socket stay what they are.
    pub(super) fn into_io(self, side: Side) -> io::Error {
        match self {
            Self::Io(error) => error,
            other => other.explain(side).into_io(),
        }
    }

    pub(super) fn explain(&self, side: Side) -> TlsFailure {
        let (what, help) = match self {
            Self::Io(error) => (format!("the connection was lost: {error}"), String::new()),
            Self::Left => left(side),
            Self::Silence => (
                "the other side doesn't go on with the handshake".to_owned(),
                "does it speak TLS on this port? 8883 is usual".to_owned(),
            ),
            Self::Tls(_, Some(rejection)) => refused(side, rejection),
            Self::Tls(error, None) => by_rustls(side, error),
        };
        TlsFailure { what, help }
    }
}

fn left(side: Side) -> (String, String) {
    match side {
        Side::Server => (
            "it left in the middle of the handshake".to_owned(),
            String::new(),
        ),
        Side::Client => (
            "the broker closed the connection in the middle of the handshake".to_owned(),
            "does it speak TLS on this port? 8883 is usual; its log may tell more".to_owned(),
        ),
    }
}

fn refused(side: Side, rejection: &Rejection) -> (String, String) {
    let Rejection { certificate, why } = rejection;
    let whose = match side {
        Side::Client => "broker",
        Side::Server => "client",
    };
    let help = match (side, why) {
        (Side::Client, Why::UnknownIssuer | Why::SelfSigned) => {
            "give the certificate of the CA that issued it, or the certificate itself if it is \
             signed by itself, with --cafile FILE"
                .to_owned()
        }
        (Side::Server, Why::UnknownIssuer | Why::SelfSigned) => {
            "the CA that issued it must be in `cafile` or `capath`".to_owned()
        }
        (Side::Client, Why::WrongName { .. }) => {
            format!(
                "{}; --insecure leaves the name unchecked, for tests",
                rejection.help()
            )
        }
        _ => rejection.help(),
    };
    (
        format!("the certificate of the {whose} is refused, because {why}. It is {certificate}"),
        help,
    )
}

fn by_rustls(side: Side, error: &rustls::Error) -> (String, String) {
    use rustls::Error as E;
    match (error, side) {
        (E::NoCertificatesPresented, _) => (
            "it sent no certificate, and this listener requires one".to_owned(),
            "give the client a certificate and its key (`--cert`, `--key`), or write \
             `require_certificate false`"
                .to_owned(),
        ),
        (E::InvalidMessage(InvalidMessage::InvalidContentType), Side::Server) => (
            "what it sent is not TLS".to_owned(),
            "let it use TLS (`--cafile FILE`), or connect to a listener without".to_owned(),
        ),
        (E::InvalidMessage(InvalidMessage::InvalidContentType), Side::Client) => (
            "what the broker sent is not TLS".to_owned(),
            "is it the right port? Without --cafile and the like the connection goes without TLS"
                .to_owned(),
        ),
        (E::AlertReceived(alert), _) => by_alert(side, *alert),
        (E::PeerIncompatible(what), _) => (
            format!("the two have nothing in common: {what:?}"),
            "TLS 1.2 and 1.3 are supported; look at the versions and ciphers of both sides"
                .to_owned(),
        ),
        (other, _) => (other.to_string(), String::new()),
    }
}

/// The peer's own reason.
fn by_alert(side: Side, alert: AlertDescription) -> (String, String) {
    use AlertDescription as A;
    let reason = match alert {
        A::UnknownCA => "it doesn't know the CA that issued it",
        A::CertificateExpired => "it has expired",
        A::CertificateRevoked => "it is revoked",
        A::BadCertificate => "it is bad",
        A::UnsupportedCertificate => "it is of a kind or for a purpose that doesn't suit",
        A::CertificateUnknown => "it is not acceptable",
        A::CertificateRequired if side == Side::Client => {
            return (
                "the broker requires a certificate of the client".to_owned(),
                "give one that its CA issued with --cert FILE and --key FILE".to_owned(),
            );
        }
        A::HandshakeFailure if side == Side::Client => {
            return (
                "the broker refused the handshake".to_owned(),
                "it may require a certificate (--cert, --key), or other ciphers or another version \
                 of TLS; its log may tell more"
                    .to_owned(),
            );
        }
        A::ProtocolVersion => {
            return (
                "the other side wants another version of TLS".to_owned(),
                "TLS 1.2 and 1.3 are supported here".to_owned(),
            );
        }
        other => {
            return (
                format!("the other side ended TLS: {other:?}"),
                String::new(),
            );
        }
    };
    match side {
        Side::Client => (
            format!("the broker refused the certificate of the client: {reason}"),
            "has the CA that the broker trusts issued it (--cert)? Its log may tell more".to_owned(),
        ),
        Side::Server => (
            format!("it refused the certificate of this listener: {reason}"),
            "the client needs the certificate of the CA that issued it (--cafile), and must connect \
             by a name that stands in it"
                .to_owned(),
        ),
    }
}
