//! TLS by rustls, for both sides; with pre-shared keys by OpenSSL.
//!
//! | file | concept |
//! |---|---|
//! | `server.rs` | the broker's side, from the options of a listener |
//! | `client.rs` | the clients' side |
//! | `stream.rs` | bytes through TLS |
//! | `verify.rs` | whether a certificate is to be trusted |
//! | `certificate.rs` | what a certificate says |
//! | `key.rs` | private keys, encrypted ones too |
//! | `files.rs`, `pem.rs` | certificates and revocation lists in files |
//! | `rejection.rs` | why a certificate isn't trusted, in words |
//! | `failure.rs` | why there is no TLS, in words |
//! | `psk.rs` | pre-shared keys in place of certificates; the feature `psk` |
//! | `keylog.rs` | secrets for Wireshark |

mod certificate;
mod client;
mod failure;
mod files;
mod key;
mod keylog;
mod pem;
#[cfg(feature = "psk")]
mod psk;
#[cfg(not(feature = "psk"))]
#[path = "without_psk.rs"]
mod psk;
mod rejection;
mod server;
mod stream;
mod verify;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::sign::CertifiedKey;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

pub use client::{ClientOptions, Connector, PskOptions};
pub use failure::TlsFailure;
pub use key::Keyring;
#[cfg(feature = "psk")]
pub use psk::PskStream;
pub use server::{Accepted, Identity, Server};
pub use stream::TlsStream;

use crate::config::{Cipher, Ciphers, TlsVersion};
use files::Certificate;

/// Why TLS cannot be set up: what is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    what: String,
    help: String,
    file: Option<PathBuf>,
}

impl Error {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: help.into(),
            file: None,
        }
    }

    fn about(self, path: &Path) -> Self {
        Self {
            file: Some(path.to_owned()),
            ..self
        }
    }

    /// The file that it is about, if it is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    fn in_file(path: &Path, what: impl fmt::Display) -> Self {
        Self::new(
            format!("{}: {what}", path.display()),
            "is it the right file?",
        )
    }

    /// What is wrong.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it; empty if there is nothing to say.
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The cryptography, with the cipher suites that are allowed.
fn provider(ciphers: &Ciphers) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: ciphers.iter().map(suite).collect(),
        ..ring::default_provider()
    })
}

fn suite(cipher: Cipher) -> SupportedCipherSuite {
    use ring::cipher_suite as suites;
    match cipher {
        Cipher::Aes256GcmSha384 => suites::TLS13_AES_256_GCM_SHA384,
        Cipher::Aes128GcmSha256 => suites::TLS13_AES_128_GCM_SHA256,
        Cipher::Chacha20Poly1305Sha256 => suites::TLS13_CHACHA20_POLY1305_SHA256,
        Cipher::EcdheEcdsaAes256 => suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        Cipher::EcdheEcdsaAes128 => suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        Cipher::EcdheEcdsaChacha20 => suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        Cipher::EcdheRsaAes256 => suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        Cipher::EcdheRsaAes128 => suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        Cipher::EcdheRsaChacha20 => suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    use rustls::version::{TLS12, TLS13};
    static FROM_TLS12: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    static FROM_TLS13: &[&SupportedProtocolVersion] = &[&TLS13];
    match lowest {
        TlsVersion::V12 => FROM_TLS12,
        TlsVersion::V13 => FROM_TLS13,
    }
}

/// A certificate with its chain and its key, which must belong together.
fn certified_key(
    certificate: &Path,
    chain: Vec<Certificate>,
    key: &Path,
    keyring: &Keyring,
) -> Result<CertifiedKey, Error> {
    let signer = key::load(key, keyring).map_err(|error| error.about(key))?;
    let of_key = signer.public_key();
    let of_certificate = chain.first().and_then(|first| certificate::parse(first));
    if let (Some(of_key), Some(of_certificate)) = (of_key, of_certificate)
        && of_key.as_ref() != of_certificate.public_key().raw
    {
        return Err(Error::new(
            format!(
                "the key {} is not that of the certificate {}",
                key.display(),
                certificate.display()
            ),
            "name the key that the certificate was requested with",
        )
        .about(key));
    }
    Ok(CertifiedKey::new(chain, signer))
}
