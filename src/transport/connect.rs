//! Where to connect, and how.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, UnixStream, lookup_host};
use tokio::time::timeout;

use super::socks::{self, Proxy};
use super::srv::Resolver;
use super::tls::Connector;
use super::{Stream, websocket};
use crate::config::TcpKeepalive;

/// How long the server, or a proxy, may take for the handshake of a layer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port.
    Tcp {
        /// A host name or an IP address, an IPv6 one with or without brackets.
        host: String,
        /// The port.
        port: u16,
        /// The local address (or a name for it) that the connection starts
        /// from.
        bind: Option<String>,
    },
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// Host and port as they stand in a URL.
    fn name(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Tcp { host, port, .. } if host.contains(':') && !host.starts_with('[') => {
                format!("[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// The name or address by which a certificate knows the server. A Unix
    /// socket is on this machine.
    fn host(&self) -> &str {
        match self {
            Self::Tcp { host, .. } => without_brackets(host),
            Self::Unix(_) => "localhost",
        }
    }
}

/// A server, and the layers that lead to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// The proxy on the way to a TCP port.
    pub proxy: Option<Proxy>,
    /// TLS over the socket; none: what is sent can be read on the way.
    pub tls: Option<Connector>,
    /// The path of the WebSocket connection that carries MQTT, if one does.
    pub websocket: Option<String>,
    /// What the system is told about the connection, if it is a TCP one.
    pub socket: SocketOptions,
}

/// What the system is told about a TCP connection. The default is to leave it
/// to the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// When the system asks whether the other side is there.
    pub keepalive: Option<TcpKeepalive>,
    /// How long sent bytes may stay unacknowledged before the connection counts
    /// as lost. Of Linux.
    pub user_timeout: Option<Duration>,
}

impl SocketOptions {
    fn apply(&self, socket: &TcpSocket) -> io::Result<()> {
        let socket = SockRef::from(socket);
        if let Some(keepalive) = self.keepalive {
            let keepalive = socket2::TcpKeepalive::new()
                .with_time(keepalive.idle)
                .with_interval(keepalive.interval)
                .with_retries(keepalive.count);
            socket.set_tcp_keepalive(&keepalive)?;
        }
        #[cfg(target_os = "linux")]
        if let Some(timeout) = self.user_timeout {
            socket.set_tcp_user_timeout(Some(timeout))?;
        }
        Ok(())
    }
}

impl From<Endpoint> for Target {
    /// Plain MQTT, without any layer.
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            proxy: None,
            tls: None,
            websocket: None,
            socket: SocketOptions::default(),
        }
    }
}

/// Connects to `target`: the socket first, then its layers from the lowest to
/// the one that carries MQTT.
///
/// # Errors
/// The error of the layer that failed; [`is_lookup_error`] tells whether it
/// was the name of the host, [`super::tls::TlsFailure::of`] whether it was TLS.
pub async fn connect(target: &Target) -> io::Result<Stream> {
    connect_at(target, &target.endpoint, target.endpoint.host()).await
}

/// Connects to a server that offers a service, such as `_mqtt._tcp`, for a
/// domain: the host of `target`. The domain's SRV records name servers and
/// ports (RFC 2782); the first one that can be reached is taken.
///
/// # Errors
/// As for [`connect`]; there are no such records, or no name server answers
/// ([`is_lookup_error`]). Only TCP endpoints have domains.
pub async fn connect_service(service: &str, target: &Target) -> io::Result<Stream> {
    connect_found(service, target, &Resolver::of_system()?).await
}

pub(super) async fn connect_found(
    service: &str,
    target: &Target,
    resolver: &Resolver,
) -> io::Result<Stream> {
    let Endpoint::Tcp {
        host: domain, bind, ..
    } = &target.endpoint
    else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut failure = LookupError::no_address();
    for server in resolver.servers(&format!("{service}.{domain}")).await? {
        let known_as = known_as(&server.host, domain).to_owned();
        let endpoint = Endpoint::Tcp {
            host: server.host,
            port: server.port,
            bind: bind.clone(),
        };
        match connect_at(target, &endpoint, &known_as).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The name that the certificate of a service's server must have. Whoever
/// forges an answer of DNS can name any server, but none inside of the domain
/// that was asked for has a certificate for him: others are known by the domain
/// itself (RFC 6125, 6.2.1).
fn known_as<'a>(host: &'a str, domain: &'a str) -> &'a str {
    let domain = domain.trim_end_matches('.');
    let lower = host.to_ascii_lowercase();
    match lower.strip_suffix(&domain.to_ascii_lowercase()) {
        Some(front) if front.is_empty() || front.ends_with('.') => host,
        _ => domain,
    }
}

/// Connects to `endpoint` through the layers of `target`; `known_as` is the
/// name that its certificate must have.
async fn connect_at(target: &Target, endpoint: &Endpoint, known_as: &str) -> io::Result<Stream> {
    let mut stream = reach(endpoint, target).await?;
    if let Some(tls) = &target.tls {
        stream = in_time(tls.connect(stream, known_as)).await?;
    }
    if let Some(path) = &target.websocket {
        stream = in_time(websocket::request(stream, &endpoint.name(), path)).await?;
    }
    Ok(stream)
}

/// Opens the socket, through the proxy if there is one.
async fn reach(endpoint: &Endpoint, target: &Target) -> io::Result<Stream> {
    match endpoint {
        Endpoint::Unix(path) => Ok(UnixStream::connect(path).await?.into()),
        Endpoint::Tcp { host, port, bind } => {
            let bind = bind.as_deref();
            match &target.proxy {
                None => connect_host(host, *port, bind, target.socket).await,
                Some(proxy) => in_time(socks::connect(proxy, host, *port, bind)).await,
            }
        }
    }
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    timeout(PATIENCE, handshake).await.map_err(late)?
}

/// Connects to a TCP port. Every address of a host name is tried in turn, in
/// the order of the resolver, until one answers.
pub(super) async fn connect_host(
    host: &str,
    port: u16,
    bind: Option<&str>,
    options: SocketOptions,
) -> io::Result<Stream> {
    let local = match bind {
        Some(name) => resolve(name, 0).await?,
        None => Vec::new(),
    };
    connect_tcp(&resolve(host, port).await?, &local, options).await
}

async fn connect_tcp(
    remote: &[SocketAddr],
    local: &[SocketAddr],
    options: SocketOptions,
) -> io::Result<Stream> {
    let mut failure = LookupError::no_address();
    for &address in remote {
        let from = local.iter().find(|l| l.is_ipv4() == address.is_ipv4());
        if from.is_none() && !local.is_empty() {
            continue;
        }
        match connect_address(address, from.copied(), options).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn connect_address(
    to: SocketAddr,
    from: Option<SocketAddr>,
    options: SocketOptions,
) -> io::Result<Stream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Packets are gathered before they are written: waiting for more of them
    // in the kernel would only add delay.
    socket.set_nodelay(true)?;
    options.apply(&socket)?;
    if let Some(from) = from {
        socket.bind(from)?;
    }
    Ok(socket.connect(to).await?.into())
}

/// The addresses of `host`. One that is an address already is not asked for,
/// which spares the resolver's thread.
pub(super) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = without_brackets(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    match lookup_host((bare, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(LookupError::wrap(format!("{host}: {error}"))),
    }
}

fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

/// Whether [`connect`] failed because a host name could not be resolved.
pub fn is_lookup_error(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<LookupError>)
}

/// A host name that has no usable address.
#[derive(Debug)]
pub(super) struct LookupError(String);

impl LookupError {
    pub(super) fn wrap(what: String) -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, Self(what))
    }

    fn no_address() -> io::Error {
        Self::wrap("no address to connect to".to_owned())
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LookupError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    }

    #[test]
    fn a_name_is_tried_at_every_address() {
        runtime().block_on(async {
            // `localhost` often means ::1 first, and nobody listens there.
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a free port");
            let endpoint = Endpoint::Tcp {
                host: "localhost".to_owned(),
                port: listener.local_addr().expect("its address").port(),
                bind: Some("127.0.0.1".to_owned()),
            };
            let stream = connect(&endpoint.into()).await.expect("connected");
            assert!(matches!(stream, Stream::Tcp(tcp) if tcp.nodelay().expect("an option")));
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_is_told_what_it_shall_do_about_the_connection() {
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = Endpoint::Tcp {
                host: "127.0.0.1".to_owned(),
                port: listener.local_addr().unwrap().port(),
                bind: None,
            };
            let seconds = Duration::from_secs;
            let socket = SocketOptions {
                keepalive: Some(TcpKeepalive {
                    idle: seconds(60),
                    interval: seconds(10),
                    count: 3,
                }),
                user_timeout: Some(seconds(7)),
            };
            let target = Target {
                socket,
                ..endpoint.into()
            };
            let Stream::Tcp(tcp) = connect(&target).await.unwrap() else {
                panic!("no TCP");
            };
            let socket = SockRef::from(&tcp);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(60));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(10));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(seconds(7)));
        });
    }

    #[test]
    fn brackets_around_an_address_are_taken_off() {
        let addresses = runtime().block_on(resolve("[::1]", 7)).expect("addresses");
        assert_eq!(addresses, ["[::1]:7".parse().expect("an address")]);
    }

    #[test]
    fn a_server_elsewhere_is_known_by_the_domain_that_was_asked_for() {
        for (host, domain, name) in [
            ("b1.example.org", "example.org", "b1.example.org"),
            ("B1.Example.org", "example.ORG.", "B1.Example.org"),
            ("example.org", "example.org", "example.org"),
            ("badexample.org", "example.org", "example.org"),
            ("example.org.evil.test", "example.org", "example.org"),
        ] {
            assert_eq!(known_as(host, domain), name, "{host}");
        }
    }

    #[test]
    fn an_unknown_name_is_told_from_other_errors() {
        let error = runtime()
            .block_on(resolve("nowhere.invalid", 1))
            .expect_err("no such host");
        assert!(is_lookup_error(&error));
        assert!(!is_lookup_error(&io::Error::other("something else")));
    }
}
