//! SOCKS5: a connection through a proxy (RFC 1928, RFC 1929).

use std::fmt;
use std::io;

use tokio_socks::tcp::Socks5Stream;
use tokio_socks::{Error, TargetAddr};

use super::Stream;
use super::connect::{SocketOptions, connect_host, resolve};

/// A SOCKS5 proxy on the way to the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its host name or address.
    pub host: String,
    /// Its port, usually 1080.
    pub port: u16,
    /// User name and password, at most 255 bytes each; none asks for a proxy
    /// that lets everybody in.
    pub credentials: Option<(String, String)>,
    /// Whether the proxy resolves the server's name (`socks5h`), or we do.
    pub resolves: bool,
}

impl fmt::Debug for Proxy {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("resolves", &self.resolves)
            .finish()
    }
}

/// Why a proxy doesn't lead to the server; wrapped in an [`io::Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// The proxy wants other credentials.
    NotAuthorised,
    /// The server doesn't answer the proxy, in its words.
    NotConnected(String),
    /// Something else went wrong between us and the proxy, or there.
    Failed(String),
}

impl ProxyError {
    /// Whether an error of [`connect`](super::connect) is one of these.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAuthorised => f.write_str("the proxy wants other credentials"),
            Self::NotConnected(why) => write!(f, "the proxy cannot reach the server: {why}"),
            Self::Failed(why) => write!(f, "the proxy fails: {why}"),
        }
    }
}

impl std::error::Error for ProxyError {}

/// Connects to a server through the proxy.
///
/// # Errors
/// The proxy cannot be reached, or a [`ProxyError`].
pub(super) async fn connect(
    proxy: &Proxy,
    host: &str,
    port: u16,
    bind: Option<&str>,
) -> io::Result<Stream> {
    let stream = connect_host(&proxy.host, proxy.port, bind, SocketOptions::default()).await?;
    let server = if proxy.resolves {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse() {
            Ok(ip) => TargetAddr::Ip(std::net::SocketAddr::new(ip, port)),
            Err(_) => TargetAddr::Domain(bare.into(), port),
        }
    } else {
        let address = resolve(host, port).await?.first().copied();
        TargetAddr::Ip(address.ok_or(io::ErrorKind::NotFound)?)
    };
    let through = match &proxy.credentials {
        None => Socks5Stream::connect_with_socket(stream, server).await,
        Some((user, password)) => {
            Socks5Stream::connect_with_password_and_socket(stream, server, user, password).await
        }
    };
    Ok(through.map_err(explain)?.into_inner())
}

fn explain(error: Error) -> io::Error {
    io::Error::other(match error {
        Error::PasswordAuthFailure(_)
        | Error::NoAcceptableAuthMethods
        | Error::AuthorizationRequired => ProxyError::NotAuthorised,
        Error::ConnectionRefused | Error::NetworkUnreachable | Error::TtlExpired => {
            ProxyError::NotConnected(error.to_string())
        }
        other => ProxyError::Failed(other.to_string()),
    })
}
