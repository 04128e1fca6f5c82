//! TLS by pre-shared keys, in place of certificates (RFC 4279, RFC 5489, RFC
//! 8446 section 2.2). rustls has none, so this is OpenSSL's.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    self, Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef,
    SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_openssl::SslStream;

use super::failure::{Failure, Side, TlsFailure};
use super::keylog::KeyFile;
use super::server::{Accepted, Identity};
use super::stream::say_goodbye;
use super::{Error, PskOptions};
use crate::auth::PskFile;
use crate::config::{OpensslCiphers, Tls, TlsVersion};
use crate::transport::Stream;

/// The cipher suites of TLS 1.2 without a list: those that keep what was said
/// secret when the key gets known later come first; small devices have others.
const CIPHERS: &str = "kECDHEPSK:kDHEPSK:kPSK:!aNULL:!eNULL:!3DES:!RC4";

/// The type of a TLS record with a handshake.
const HANDSHAKE: u8 = 0x16;

/// What one record holds at most.
const MAX_RECORD: usize = 16 * 1024;

/// The side of the broker.
pub(super) struct Server {
    context: SslContext,
    names_user: bool,
}

/// What became of the identity that a client named.
enum Claim {
    Known(String),
    Unknown(String),
}

/// Where a connection keeps it.
fn claim_index() -> Result<Index<Ssl, Claim>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Claim>> = OnceLock::new();
    if let Some(index) = INDEX.get() {
        return Ok(*index);
    }
    let index = Ssl::new_ex_index()?;
    Ok(*INDEX.get_or_init(|| index))
}

impl Server {
    pub(super) fn load(options: &Tls, key_log: Option<Arc<KeyFile>>) -> Result<Self, Error> {
        let Some(path) = &options.psk_file else {
            let what = "TLS by pre-shared keys needs `psk_file`";
            return Err(Error::new(what, "write `psk_file FILE`"));
        };
        let keys = PskFile::load(path)
            .map_err(|error| Error::new(error.to_string(), String::new()).about(path))?;
        let mut context = builder(
            SslMethod::tls_server(),
            options.version,
            &options.openssl_ciphers,
            key_log,
        )?;
        let index = claim_index().map_err(|error| not_set_up(&error))?;
        context.set_psk_server_callback(move |ssl, identity, room| {
            Ok(answer(
                ssl,
                index,
                &keys,
                identity.unwrap_or_default(),
                room,
            ))
        });
        Ok(Self {
            context: context.build(),
            names_user: options.use_identity_as_username,
        })
    }

    /// As [`super::Server::accept`].
    pub(super) async fn accept(&self, mut stream: Stream) -> Result<Accepted, Option<TlsFailure>> {
        let mut early = Vec::with_capacity(512);
        if !matches!(stream.read_buf(&mut early).await, Ok(count) if count > 0) {
            return Err(None);
        }
        if early[0] != HANDSHAKE {
            say_goodbye(&mut stream).await;
            return Err(Some(TlsFailure::new(
                "what it sent is not TLS",
                "let it use TLS (`--psk`, `--psk-identity`), or connect to a listener without",
            )));
        }
        let mut stream = shake(&self.context, stream.put_back(early), None)
            .map_err(|error| Some(TlsFailure::new(error.to_string(), "")))?;
        let shaken = Pin::new(&mut stream).accept().await;
        let claim = claim_index().ok();
        let claim = claim.and_then(|index| stream.ssl().ex_data(index));
        // A list of ciphers could allow those that ask for no key at all.
        let (Ok(()), Some(Claim::Known(identity))) = (&shaken, claim) else {
            let failure = explain_to_broker(shaken.err(), claim);
            say_goodbye(stream.get_mut()).await;
            return Err(Some(failure));
        };
        let identity = if self.names_user {
            Identity::Name(identity.as_str().into())
        } else {
            Identity::Unasked
        };
        Ok(Accepted {
            stream: Stream::Psk(Box::new(PskStream::new(stream))),
            identity,
            certificates: [].into(),
        })
    }
}

/// Gives OpenSSL the key of an identity, and remembers which it was. Returns
/// the key's length, 0 if there is none.
fn answer(
    ssl: &mut SslRef,
    index: Index<Ssl, Claim>,
    keys: &PskFile,
    identity: &[u8],
    room: &mut [u8],
) -> usize {
    let key = std::str::from_utf8(identity)
        .ok()
        .and_then(|name| Some((name, keys.key(name)?)));
    match key {
        Some((name, key)) if key.len() <= room.len() => {
            room[..key.len()].copy_from_slice(key);
            ssl.set_ex_data(index, Claim::Known(name.to_owned()));
            key.len()
        }
        // A client of TLS 1.3 may name several.
        _ => {
            if ssl.ex_data(index).is_none() {
                let name = String::from_utf8_lossy(identity).into_owned();
                ssl.set_ex_data(index, Claim::Unknown(name));
            }
            0
        }
    }
}

/// Why a client didn't get in.
fn explain_to_broker(error: Option<ssl::Error>, claim: Option<&Claim>) -> TlsFailure {
    let reason = match error.map(reason) {
        Some(Ok(reason)) => reason,
        Some(Err(failure)) => return failure.explain(Side::Server),
        None => "no key was asked for".to_owned(),
    };
    match claim {
        None => TlsFailure::new(
            format!("it offers no pre-shared key that suits this listener ({reason})"),
            "give the client `--psk` and `--psk-identity`, or look at the versions and ciphers of \
             both sides",
        ),
        Some(Claim::Unknown(name)) => TlsFailure::new(
            format!("identity '{}' is not in `psk_file`", name.escape_debug()),
            "correct the client's `--psk-identity`, or add a line IDENTITY:KEY and reload",
        ),
        Some(Claim::Known(name)) => TlsFailure::new(
            format!(
                "the key of identity '{}' differs from that in `psk_file` ({reason})",
                name.escape_debug()
            ),
            "correct the client's `--psk`, or the line of that identity and reload",
        ),
    }
}

/// The side of clients.
pub(super) struct Connector {
    context: SslContext,
}

impl Connector {
    pub(super) fn new(options: &PskOptions) -> Result<Self, Error> {
        let key_log = options.key_log.as_deref().map(KeyFile::open).transpose()?;
        let context = builder(
            SslMethod::tls_client(),
            options.version,
            &options.ciphers,
            key_log,
        )?;
        Self::within(context, options)
    }

    fn within(mut context: SslContextBuilder, options: &PskOptions) -> Result<Self, Error> {
        // A server that shows a certificate instead is trusted by nobody.
        context.set_verify(SslVerifyMode::PEER);
        if let Some(protocol) = &options.alpn {
            let length = u8::try_from(protocol.len()).map_err(|_| {
                let what = "the name of the protocol for ALPN is longer than 255 bytes";
                Error::new(what, "give a shorter one")
            })?;
            let names = [&[length], protocol.as_bytes()].concat();
            let set = context.set_alpn_protos(&names);
            set.map_err(|error| not_set_up(&error))?;
        }
        let (identity, key) = (options.identity.clone(), options.key.clone());
        context.set_psk_client_callback(move |_, _, identity_room, key_room| {
            let name = identity.as_bytes();
            // The identity ends with a 0.
            if name.len() >= identity_room.len() || key.len() > key_room.len() {
                return Ok(0);
            }
            identity_room[..name.len()].copy_from_slice(name);
            identity_room[name.len()] = 0;
            key_room[..key.len()].copy_from_slice(&key);
            Ok(key.len())
        });
        Ok(Self {
            context: context.build(),
        })
    }

    /// Shakes hands with the server at `host`, a name or an address.
    pub(super) async fn connect(&self, stream: Stream, host: &str) -> io::Result<Stream> {
        let mut stream = shake(&self.context, stream, Some(host))?;
        match Pin::new(&mut stream).connect().await {
            Ok(()) => Ok(Stream::Psk(Box::new(PskStream::new(stream)))),
            Err(error) => Err(match reason(error) {
                Err(failure) => failure.into_io(Side::Client),
                Ok(reason) => explain_to_client(&reason).into_io(),
            }),
        }
    }
}

fn explain_to_client(reason: &str) -> TlsFailure {
    match reason {
        "wrong version number" | "packet length too long" => TlsFailure::new(
            "what the broker sent is not TLS",
            "is it the right port? 8883 is usual",
        ),
        "certificate verify failed" => TlsFailure::new(
            "the broker shows a certificate instead of a pre-shared key",
            "does it take pre-shared keys on this port, and is --psk-identity right?",
        ),
        _ => TlsFailure::new(
            format!("the broker refused the pre-shared key or its identity ({reason})"),
            "compare --psk and --psk-identity with its `psk_file`; its log may tell more",
        ),
    }
}

/// What both sides have in common.
fn builder(
    method: SslMethod,
    lowest: TlsVersion,
    ciphers: &OpensslCiphers,
    key_log: Option<Arc<KeyFile>>,
) -> Result<SslContextBuilder, Error> {
    let mut context = SslContext::builder(method).map_err(|error| not_set_up(&error))?;
    let lowest = match lowest {
        TlsVersion::V12 => SslVersion::TLS1_2,
        TlsVersion::V13 => SslVersion::TLS1_3,
    };
    let set = context.set_min_proto_version(Some(lowest));
    set.map_err(|error| not_set_up(&error))?;
    let tls12 = ciphers.tls12.as_deref().unwrap_or(CIPHERS);
    let set = context.set_cipher_list(tls12);
    set.map_err(|_| no_cipher(tls12))?;
    if let Some(tls13) = &ciphers.tls13 {
        let set = context.set_ciphersuites(tls13);
        set.map_err(|_| no_cipher(tls13))?;
    }
    context.set_mode(SslMode::ENABLE_PARTIAL_WRITE | SslMode::RELEASE_BUFFERS);
    context.set_mode(SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::AUTO_RETRY);
    // Who takes up an old session doesn't prove again that it has the key; by
    // then the key may be gone from the file. MQTT has its own way to say that
    // something is missing at the end of a stream.
    context.set_options(SslOptions::NO_TICKET | SslOptions::NO_RENEGOTIATION);
    context.set_options(SslOptions::CIPHER_SERVER_PREFERENCE | SslOptions::IGNORE_UNEXPECTED_EOF);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    let set = context.set_num_tickets(0);
    set.map_err(|error| not_set_up(&error))?;
    if let Some(key_log) = key_log {
        context.set_keylog_callback(move |_, line| key_log.append(line));
    }
    Ok(context)
}

fn no_cipher(list: &str) -> Error {
    Error::new(
        format!("`{list}` leaves no cipher suite"),
        "choose from those that `openssl ciphers -psk -s PSK` prints",
    )
}

fn not_set_up(error: &ErrorStack) -> Error {
    Error::new(format!("TLS cannot be set up: {error}"), "")
}

/// A connection that is about to shake hands.
fn shake(
    context: &SslContext,
    stream: Stream,
    host: Option<&str>,
) -> io::Result<SslStream<Stream>> {
    let mut ssl = Ssl::new(context)?;
    // An address is no name to ask for (RFC 6066 section 3).
    if let Some(host) = host.filter(|host| host.parse::<std::net::IpAddr>().is_err()) {
        ssl.set_hostname(host)?;
    }
    Ok(SslStream::new(ssl, stream)?)
}

/// OpenSSL's words for why a handshake failed, or what failed below it.
fn reason(error: ssl::Error) -> Result<String, Failure> {
    if let Some(reason) = error
        .ssl_error()
        .and_then(|stack| stack.errors().first()?.reason())
        .filter(|reason| *reason != "unexpected eof while reading")
    {
        return Ok(reason.to_owned());
    }
    Err(match error.into_io_error() {
        Ok(error) => Failure::Io(error),
        Err(_) => Failure::Left,
    })
}

/// A stream within such TLS.
pub struct PskStream {
    inner: SslStream<Stream>,
    /// What the socket had no room for. OpenSSL wants to be given the same
    /// again, and whoever writes here may have something else by then.
    waiting: Vec<u8>,
}

impl fmt::Debug for PskStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PskStream")
    }
}

impl PskStream {
    fn new(inner: SslStream<Stream>) -> Self {
        Self {
            inner,
            waiting: Vec::new(),
        }
    }

    /// Sends what waits.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(context, &self.waiting))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.drain(..count);
        }
        self.waiting = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for PskStream {
    /// OpenSSL gives out one record after the other; here all that are there
    /// are handed over together.
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buffer.filled().len();
        loop {
            let before = buffer.filled().len();
            let read = Pin::new(&mut this.inner).poll_read(context, buffer);
            let has_more = buffer.filled().len() > before && buffer.remaining() > 0;
            match read {
                Poll::Ready(Ok(())) if has_more => {}
                // What comes then comes again with the next read.
                _ if before > start => return Poll::Ready(Ok(())),
                read => return read,
            }
        }
    }
}

impl AsyncWrite for PskStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(context))?;
        let record = &bytes[..bytes.len().min(MAX_RECORD)];
        let written = Pin::new(&mut this.inner).poll_write(context, record);
        if written.is_pending() {
            // It leaves with the next write or flush.
            this.waiting = record.to_vec();
            return Poll::Ready(Ok(record.len()));
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(context))?;
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(context))?;
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixStream;

    use super::*;

    /// The two sides of a connection by the key of `ann`, in this version at
    /// most.
    async fn connected(highest: SslVersion) -> (Stream, Accepted) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("keys");
        std::fs::write(&file, "ann:00ff\n").expect("writing");
        let server = Server::load(
            &Tls {
                psk_file: Some(file),
                use_identity_as_username: true,
                ..Tls::default()
            },
            None,
        )
        .expect("a server");
        let options = PskOptions {
            identity: "ann".to_owned(),
            key: vec![0, 0xFF],
            ..PskOptions::default()
        };
        let mut context = builder(
            SslMethod::tls_client(),
            TlsVersion::V12,
            &OpensslCiphers::default(),
            None,
        )
        .expect("a client");
        let set = context.set_max_proto_version(Some(highest));
        set.expect("a version");
        let client = Connector::within(context, &options).expect("a client");
        let (near, far) = UnixStream::pair().expect("a pair of sockets");
        let (near, far) = tokio::join!(
            client.connect(near.into(), "localhost"),
            server.accept(far.into())
        );
        (near.expect("connected"), far.expect("accepted"))
    }

    fn run(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(test);
    }

    #[test]
    fn both_versions_carry_more_than_sockets_hold() {
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            run(async {
                let (mut near, accepted) = connected(version).await;
                assert_eq!(accepted.identity, Identity::Name("ann".into()));
                let mut far = accepted.stream;
                let sent: Vec<_> = (0..3_000_000u32)
                    .map(|number| (number % 251) as u8)
                    .collect();
                let write = async {
                    near.write_all(&sent).await.expect("writing");
                    near.shutdown().await.expect("ending");
                };
                let mut received = Vec::new();
                let read = far.read_to_end(&mut received);
                let ((), count) = tokio::join!(write, read);
                assert_eq!(count.expect("reading"), sent.len());
                assert!(received == sent, "not what was sent");
            });
        }
    }

    /// Who gives up writing may go on with something else: nothing is sent
    /// twice or lost.
    #[test]
    fn what_was_taken_is_sent_whatever_is_written_next() {
        run(async {
            let (mut near, accepted) = connected(SslVersion::TLS1_3).await;
            let mut far = accepted.stream;
            let mut taken = 0;
            let full = std::future::poll_fn(|context| {
                loop {
                    match Pin::new(&mut near).poll_write(context, &[1; 5000]) {
                        Poll::Ready(count) => taken += count.expect("writing"),
                        Poll::Pending => return Poll::Ready(()),
                    }
                }
            });
            full.await;
            let write = async {
                near.write_all(&[2; 7]).await.expect("writing");
                near.shutdown().await.expect("ending");
            };
            let mut received = Vec::new();
            let ((), count) = tokio::join!(write, far.read_to_end(&mut received));
            assert_eq!(count.expect("reading"), taken + 7);
            assert!(received[..taken].iter().all(|byte| *byte == 1));
            assert_eq!(received[taken..], [2; 7]);
        });
    }

    #[test]
    fn whoever_is_silent_is_not_told_of() {
        run(async {
            let directory = tempfile::tempdir().expect("a directory");
            let file = directory.path().join("keys");
            std::fs::write(&file, "").expect("writing");
            let options = Tls {
                psk_file: Some(file),
                ..Tls::default()
            };
            let server = Server::load(&options, None).expect("a server");
            let (near, far) = UnixStream::pair().expect("a pair of sockets");
            drop(near);
            let outcome = server.accept(far.into()).await;
            assert!(matches!(outcome, Err(None)));
        });
    }
}
