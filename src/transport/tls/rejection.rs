//! Why a certificate was refused, in words for who reads the log and in an alert
//! for the peer.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use rustls::{CertificateError, OtherError};
use x509_parser::certificate::X509Certificate;

/// Why a certificate was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Expired,
    NotYetValid,
    Revoked,
    SelfSigned,
    UnknownIssuer,
    IssuerExpired(String),
    BadSignature,
    WrongName {
        expected: String,
        names: Vec<String>,
    },
    WrongPurpose,
    NoRevocationList,
    OldRevocationList(String),
    /// Version 1 below a CA that isn't trusted by itself.
    OldForm,
    Other(String),
}

/// A certificate that was refused, as far as words go.
#[derive(Clone, Debug)]
pub(super) struct Rejection {
    pub(super) certificate: String,
    pub(super) why: Why,
}

thread_local! {
    /// rustls carries an alert's worth of reason only; the rest waits here
    /// for whoever drives the handshake.
    static REJECTED: RefCell<Option<Rejection>> = const { RefCell::new(None) };
}

/// Notes why a certificate is refused, for the words about this handshake.
pub(super) fn reject(certificate: String, why: Why) {
    REJECTED.set(Some(Rejection { certificate, why }));
}

/// The certificate that was refused on this thread since the last question.
pub(super) fn take_rejection() -> Option<Rejection> {
    REJECTED.take()
}

impl Why {
    pub(super) fn from_webpki(error: &webpki::Error, certificate: &X509Certificate<'_>) -> Self {
        use webpki::Error as E;
        match error {
            E::CertExpired { .. } => Self::Expired,
            E::CertNotValidYet { .. } => Self::NotYetValid,
            E::UnknownIssuer if certificate.issuer() == certificate.subject() => Self::SelfSigned,
            E::UnknownIssuer => Self::UnknownIssuer,
            E::InvalidSignatureForPublicKey => Self::BadSignature,
            E::RequiredEkuNotFoundContext(_) => Self::WrongPurpose,
            E::UnsupportedSignatureAlgorithmContext(_)
            | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Self::weak(),
            other => Self::Other(other.to_string()),
        }
    }

    pub(super) fn weak() -> Self {
        Self::Other(
            "it is signed in a way that is too weak or not known (SHA-1, MD5, RSA below 2048 bits)"
                .to_owned(),
        )
    }

    /// The reason that goes to the peer, in an alert.
    pub(super) fn for_peer(&self) -> CertificateError {
        match self {
            Self::Expired => CertificateError::Expired,
            Self::NotYetValid => CertificateError::NotValidYet,
            Self::Revoked => CertificateError::Revoked,
            Self::SelfSigned | Self::UnknownIssuer | Self::IssuerExpired(_) | Self::OldForm => {
                CertificateError::UnknownIssuer
            }
            Self::BadSignature => CertificateError::BadSignature,
            Self::WrongName { .. } => CertificateError::NotValidForName,
            Self::WrongPurpose => CertificateError::InvalidPurpose,
            Self::NoRevocationList => CertificateError::UnknownRevocationStatus,
            Self::OldRevocationList(_) => CertificateError::ExpiredRevocationList,
            Self::Other(what) => {
                CertificateError::Other(OtherError(Arc::new(std::io::Error::other(what.clone()))))
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "it has expired",
            Self::NotYetValid => "it is not valid yet",
            Self::Revoked => "it is revoked",
            Self::SelfSigned => {
                "it is signed by itself, and not among the certificates trusted here"
            }
            Self::UnknownIssuer => "no CA that is trusted here issued it",
            Self::IssuerExpired(issuer) => {
                return write!(f, "the CA that issued it is not valid now: {issuer}");
            }
            Self::BadSignature => "its signature is not that of its CA",
            Self::WrongName { expected, names } if names.is_empty() => {
                return write!(f, "it is not for '{expected}', it has no name");
            }
            Self::WrongName { expected, names } => {
                return write!(
                    f,
                    "it is not for '{expected}' but for '{}'",
                    names.join("', '")
                );
            }
            Self::WrongPurpose => "its extended key usage forbids this use",
            Self::NoRevocationList => "there is no revocation list of its CA",
            Self::OldRevocationList(day) => {
                return write!(f, "the revocation list of its CA has expired on {day}");
            }
            Self::OldForm => {
                "it is of X.509 version 1, and its CA is not itself among the certificates trusted \
                 here"
            }
            Self::Other(what) => what,
        })
    }
}

impl Rejection {
    /// What to do about it, seen from the side that refuses.
    pub(super) fn help(&self) -> String {
        let renew = "openssl x509 -req -in NAME.csr -CA ca.crt -CAkey ca.key -CAcreateserial \
                     -out NAME.crt -days 365";
        match &self.why {
            Why::Expired => format!("have its CA issue it anew: `{renew}`"),
            Why::NotYetValid => "is the clock of this machine right?".to_owned(),
            Why::WrongName { expected, .. } => format!(
                "connect by a name that it has, or have its CA issue it for this one: `{renew} \
                 -extfile <(echo subjectAltName={}:{expected})`",
                if expected.parse::<std::net::IpAddr>().is_ok() {
                    "IP"
                } else {
                    "DNS"
                }
            ),
            Why::OldForm => {
                format!(
                    "have its CA issue it in version 3: `{renew} -extfile <(echo basicConstraints=CA:FALSE)`"
                )
            }
            Why::NoRevocationList | Why::OldRevocationList(_) => {
                "make a new revocation list with `openssl ca -gencrl`".to_owned()
            }
            Why::IssuerExpired(_) => "the CA needs a new certificate".to_owned(),
            _ => String::new(),
        }
    }
}
