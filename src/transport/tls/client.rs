//! The side of clients.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use tokio::time::timeout;

use super::failure::{Failure, Side};
use super::files::{certificates, directory};
use super::key::Keyring;
use super::keylog::KeyFile;
use super::stream::TlsStream;
use super::verify::{Trust, Usage, Verified};
use super::{Error, certified_key, provider, psk, versions};
use crate::config::{Ciphers, OpensslCiphers, TlsVersion};
use crate::transport::Stream;

/// How long the server may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// How a client speaks TLS. The default trusts nobody.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// A file with certificates of CAs that are trusted, or of the server
    /// itself.
    pub cafile: Option<PathBuf>,
    /// A directory with such files.
    pub capath: Option<PathBuf>,
    /// The CAs that the system trusts are trusted too.
    pub os_certificates: bool,
    /// The client's own certificate and its key, in files.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The name of the server is not checked; everything else is.
    pub insecure: bool,
    /// The lowest version.
    pub version: TlsVersion,
    /// The cipher suites.
    pub ciphers: Ciphers,
    /// The protocol that is asked for (ALPN, RFC 7301).
    pub alpn: Option<String>,
    /// A file that the secrets of connections are written to.
    pub key_log: Option<PathBuf>,
}

/// How a client speaks TLS by a pre-shared key. There are no certificates then.
#[derive(Clone, Default)]
pub struct PskOptions {
    /// The client's name for the key, at most 128 bytes.
    pub identity: String,
    /// The key, at most 256 bytes.
    pub key: Vec<u8>,
    /// The lowest version.
    pub version: TlsVersion,
    /// The cipher suites.
    pub ciphers: OpensslCiphers,
    /// The protocol that is asked for (ALPN, RFC 7301).
    pub alpn: Option<String>,
    /// A file that the secrets of connections are written to.
    pub key_log: Option<PathBuf>,
}

impl fmt::Debug for PskOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key, so that no log shows it by accident.
        f.debug_struct("PskOptions")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Makes a client's connections TLS. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Kind);

#[derive(Clone)]
enum Kind {
    Certificates(Arc<ClientConfig>),
    Psk(Arc<psk::Connector>),
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// Reads the files. If the key is encrypted, its pass phrase is asked for
    /// on the terminal.
    ///
    /// # Errors
    /// The first file that cannot be used, and what to do about it.
    pub fn new(options: &ClientOptions) -> Result<Self, Error> {
        let mut named = Vec::new();
        if let Some(path) = &options.cafile {
            named.extend(certificates(path)?);
        }
        if let Some(path) = &options.capath {
            named.extend(directory(path)?);
        }
        let system = if options.os_certificates {
            of_the_system(named.is_empty())?
        } else {
            Vec::new()
        };
        let provider = provider(&options.ciphers);
        let verifier = ServerVerifier {
            trust: Trust::new(named, system, provider.signature_verification_algorithms),
            insecure: options.insecure,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions(options.version))
            .map_err(|error| Error::new(format!("TLS cannot be set up: {error}"), ""))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &options.certificate {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key = certified_key(certificate, chain, key, &Keyring::default())?;
                let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(key));
                config.with_client_cert_resolver(resolver)
            }
        };
        config.alpn_protocols = options
            .alpn
            .iter()
            .map(|name| name.clone().into())
            .collect();
        if let Some(path) = &options.key_log {
            config.key_log = KeyFile::open(path)?;
        }
        Ok(Self(Kind::Certificates(Arc::new(config))))
    }

    /// For TLS by a pre-shared key.
    ///
    /// # Errors
    /// A list of ciphers that leaves none; or the program was built without
    /// the cargo feature `psk`.
    pub fn with_psk(options: &PskOptions) -> Result<Self, Error> {
        let connector = psk::Connector::new(options)?;
        Ok(Self(Kind::Psk(Arc::new(connector))))
    }

    /// Shakes hands with the server at `host`, a name or an address.
    pub(in crate::transport) async fn connect(
        &self,
        stream: Stream,
        host: &str,
    ) -> std::io::Result<Stream> {
        let config = match &self.0 {
            Kind::Certificates(config) => config,
            Kind::Psk(connector) => return connector.connect(stream, host).await,
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let what = format!("'{host}' is no name that a certificate could have");
            std::io::Error::new(std::io::ErrorKind::InvalidInput, what)
        })?;
        let explain = |failure: Failure| failure.into_io(Side::Client);
        let session = ClientConnection::new(Arc::clone(config), name)
            .map_err(|error| explain(Failure::Tls(error, None)))?;
        let mut stream = TlsStream::new(stream, session.into());
        match timeout(HANDSHAKE_TIMEOUT, stream.shake_hands()).await {
            Ok(shaken) => shaken.map_err(explain)?,
            Err(_) => return Err(explain(Failure::Silence)),
        }
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// The CAs that the system trusts; some, if there are no others.
fn of_the_system(needed: bool) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() && needed {
        return Err(Error::new(
            "this machine has no certificates of CAs that it trusts",
            "install them (`apt install ca-certificates`), or name a file with --cafile",
        ));
    }
    Ok(found.certs)
}

/// Insists on a certificate that is trusted and, unless told otherwise, has
/// the name of the server.
#[derive(Debug)]
struct ServerVerifier {
    trust: Trust,
    insecure: bool,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Verified<ServerCertVerified> {
        let name = (!self.insecure).then_some(name);
        self.trust
            .verify(Usage::Server, end, intermediates, name, now)?;
        Ok(ServerCertVerified::assertion())
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
