//! The side of the broker.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, ServerConnection, SignatureScheme,
};

use super::certificate::{common_name, name, parse};
use super::failure::{Failure, Side, TlsFailure};
use super::files::{Certificate, certificates, directory, revocation_lists};
use super::key::Keyring;
use super::keylog::KeyFile;
use super::stream::TlsStream;
use super::verify::{Trust, Usage, Verified};
use super::{Error, certified_key, provider, psk, versions};
use crate::config::{Tls, TlsIdentity};
use crate::transport::Stream;

/// What a listener needs for TLS, made from its files. When these are read
/// again, connections that stand keep what they began with.
pub struct Server {
    kind: Kind,
    identifies: bool,
}

enum Kind {
    Certificate(Certified),
    Psk(psk::Server),
}

/// A listener with a certificate.
struct Certified {
    config: Arc<ServerConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
    identity: TlsIdentity,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Accepted {
    /// The bytes within TLS.
    pub stream: Stream,
    /// Who the client is by its certificate or its pre-shared key.
    pub identity: Identity,
    /// The client's certificate and those above it; empty if it has none.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

/// Who a client is by its certificate or its pre-shared key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// That is not asked for: user name and password tell.
    #[default]
    Unasked,
    /// The user name that certificate or key gives.
    Name(Box<str>),
    /// The certificate has no such name; the client is to be refused.
    Missing,
}

impl Server {
    /// Reads the files of a listener. `key_log`: where the secrets of all
    /// connections are written, to look into them later.
    ///
    /// # Errors
    /// The first file that cannot be used, and what to do about it.
    pub fn load(options: &Tls, key_log: Option<&Path>, keyring: &Keyring) -> Result<Self, Error> {
        let key_log = key_log.map(KeyFile::open).transpose()?;
        Ok(Self {
            kind: if options.psk_hint.is_some() {
                Kind::Psk(psk::Server::load(options, key_log)?)
            } else {
                Kind::Certificate(Certified::load(options, key_log, keyring)?)
            },
            identifies: options.identity() != TlsIdentity::None,
        })
    }

    /// Whether clients have their user name from their certificate or their
    /// pre-shared key.
    pub fn identifies(&self) -> bool {
        self.identifies
    }

    /// Whether a client with these certificates, that was let in before, would
    /// be let in now.
    pub fn still_trusts(&self, certificates: &[CertificateDer<'_>]) -> bool {
        match (&self.kind, certificates) {
            (Kind::Certificate(server), [first, above @ ..]) => {
                let verifier = &server.verifier;
                !verifier.offer_client_auth()
                    || verifier
                        .verify_client_cert(first, above, UnixTime::now())
                        .is_ok()
            }
            _ => true,
        }
    }

    /// Shakes hands with a client. How long that may take is up to the caller.
    ///
    /// # Errors
    /// Why it failed, for the log. None: the client said nothing at all.
    pub async fn accept(&self, stream: Stream) -> Result<Accepted, Option<TlsFailure>> {
        match &self.kind {
            Kind::Certificate(server) => server.accept(stream).await,
            Kind::Psk(server) => server.accept(stream).await,
        }
    }
}

impl Certified {
    fn load(
        options: &Tls,
        key_log: Option<Arc<KeyFile>>,
        keyring: &Keyring,
    ) -> Result<Self, Error> {
        let (Some(certificate), Some(key)) = (&options.certfile, &options.keyfile) else {
            let what = "TLS needs `certfile` and `keyfile`";
            return Err(Error::new(what, "write both, or neither"));
        };
        let trusted = trusted(options)?;
        let chain = complete_chain(of(certificate, certificates)?, &trusted);
        let key = certified_key(certificate, chain, key, keyring)?;
        let provider = provider(&options.ciphers);
        let algorithms = provider.signature_verification_algorithms;
        let revoked = match &options.crlfile {
            Some(path) => of(path, revocation_lists)?,
            None => Vec::new(),
        };
        let verifier: Arc<dyn ClientCertVerifier> = if options.require_certificate {
            let trust = Trust::new(trusted, Vec::new(), algorithms)
                .with(revoked, options.disable_client_cert_date_checks)
                .map_err(|error| match &options.crlfile {
                    Some(path) => error.about(path),
                    None => error,
                })?;
            Arc::new(ClientVerifier::new(trust))
        } else {
            WebPkiClientVerifier::no_client_auth()
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(options.version))
            .map_err(|error| Error::new(format!("TLS cannot be set up: {error}"), ""))?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        // Whose list of ciphers counts, in TLS 1.2.
        config.ignore_client_order = options.ciphers.is_restricted();
        if options.require_certificate {
            // A client that takes up an old session doesn't show its
            // certificate again; by then it may be revoked or too old.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        if let Some(key_log) = key_log {
            config.key_log = key_log;
        }
        Ok(Self {
            config: Arc::new(config),
            verifier,
            identity: options.identity(),
        })
    }

    async fn accept(&self, stream: Stream) -> Result<Accepted, Option<TlsFailure>> {
        let session = ServerConnection::new(Arc::clone(&self.config))
            .map_err(|error| Some(Failure::Tls(error, None).explain(Side::Server)))?;
        let mut stream = TlsStream::new(stream, session.into());
        if let Err(failure) = stream.shake_hands().await {
            let silent = stream.is_silent() && matches!(failure, Failure::Left | Failure::Io(_));
            stream.say_goodbye().await;
            return Err((!silent).then(|| failure.explain(Side::Server)));
        }
        let certificates: Arc<[_]> = stream
            .session()
            .peer_certificates()
            .unwrap_or_default()
            .into();
        let identity = identify(self.identity, certificates.first());
        Ok(Accepted {
            stream: Stream::Tls(Box::new(stream)),
            identity,
            certificates,
        })
    }
}

fn identify(by: TlsIdentity, certificate: Option<&CertificateDer<'_>>) -> Identity {
    let certificate = certificate.and_then(|der| parse(der));
    let name = match by {
        TlsIdentity::None => return Identity::Unasked,
        TlsIdentity::CommonName => certificate.as_ref().and_then(common_name),
        TlsIdentity::Subject => certificate.map(|certificate| name(certificate.subject())),
    };
    name.map_or(Identity::Missing, |name| Identity::Name(name.into()))
}

/// What a file holds; an error tells which file it is about.
fn of<T>(path: &Path, read: impl FnOnce(&Path) -> Result<T, Error>) -> Result<T, Error> {
    read(path).map_err(|error| error.about(path))
}

/// The certificates of `cafile` and `capath`.
fn trusted(options: &Tls) -> Result<Vec<Certificate>, Error> {
    let mut trusted = Vec::new();
    if let Some(path) = &options.cafile {
        trusted.extend(of(path, certificates)?);
    }
    if let Some(path) = &options.capath {
        trusted.extend(of(path, directory)?);
    }
    Ok(trusted)
}

/// Adds the CAs between the certificate and its root, as OpenSSL does, where
/// `certfile` holds the certificate alone and they stand in `cafile`.
fn complete_chain(mut chain: Vec<Certificate>, pool: &[Certificate]) -> Vec<Certificate> {
    const LONGEST: usize = 8;
    if chain.len() > 1 {
        return chain;
    }
    while chain.len() < LONGEST {
        let Some(last) = chain.last().and_then(|last| parse(last)) else {
            break;
        };
        let next = pool.iter().find(|der| {
            parse(der).is_some_and(|candidate| {
                candidate.subject() == last.issuer() && candidate.subject() != candidate.issuer()
            })
        });
        match next {
            Some(next) if !chain.contains(next) => {
                let next = next.clone();
                chain.push(next);
            }
            _ => break,
        }
    }
    chain
}

/// Asks for a certificate, and insists on one that is trusted.
#[derive(Debug)]
struct ClientVerifier {
    trust: Trust,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    fn new(trust: Trust) -> Self {
        let roots = trust.roots().iter().filter_map(|root| parse(root));
        let hints = roots
            .map(|root| DistinguishedName::from(root.subject().as_raw().to_vec()))
            .collect();
        Self { trust, hints }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Verified<ClientCertVerified> {
        self.trust
            .verify(Usage::Client, end, intermediates, None, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Verified<HandshakeSignatureValid> {
        self.trust.verify_tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Verified<HandshakeSignatureValid> {
        self.trust.verify_tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.schemes()
    }
}
