//! Sockets that accept connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::entrance::Entrance;
use super::hub::Hub;
use super::ingress::{Origin, admit};
use super::unix::{self, SocketFile};
use crate::config::{self, Bind, Listener, LogType, SocketDomain};
use crate::transport::Stream;

/// Connections that the system may keep until they are accepted.
pub(super) const BACKLOG: i32 = 1024;

/// How long to wait when the system has no descriptor for a connection, and
/// how long until that is told again.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
const SILENCE: Duration = Duration::from_secs(60);

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Listening {
    /// The address of a TCP socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// What the log says when it is open, in Mosquitto's words.
    pub(super) fn opening(&self, protocol: config::Protocol) -> String {
        match self {
            Self::Unix(_, file) => {
                format!(
                    "Opening unix listen socket on path {}.",
                    file.path.display()
                )
            }
            Self::Tcp(socket) => {
                let address = socket.local_addr().ok();
                let kind = match address {
                    _ if protocol == config::Protocol::Websockets => "websockets",
                    Some(SocketAddr::V6(_)) => "ipv6",
                    _ => "ipv4",
                };
                let port = address.map_or(0, |address| address.port());
                format!("Opening {kind} listen socket on port {port}.")
            }
        }
    }

    /// Hands the socket to the runtime.
    ///
    /// # Errors
    /// The runtime cannot take it over.
    pub(super) fn into_acceptor(self) -> io::Result<Acceptor> {
        Ok(match self {
            Self::Tcp(socket) => Acceptor::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Self::Unix(socket, file) => {
                Acceptor::Unix(tokio::net::UnixListener::from_std(socket)?, file)
            }
        })
    }
}

/// A socket that accepts connections.
#[derive(Debug)]
pub(super) enum Acceptor {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener, SocketFile),
}

impl Acceptor {
    /// The next connection.
    pub(super) async fn next(&self) -> io::Result<(Stream, Origin)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                let peer = peer.to_string();
                Ok((stream.into(), Origin::of(peer)))
            }
            Self::Unix(socket, file) => {
                let (stream, _) = socket.accept().await?;
                // A client's end has no name; Mosquitto shows ours.
                let peer = format!("{}:0", file.path.display());
                Ok((stream.into(), Origin::of(peer)))
            }
        }
    }
}

/// Opens the sockets of a listener: one for each address that it means. The
/// notices tell what was left out. A Unix socket is made for `user`, whom the
/// broker becomes.
///
/// # Errors
/// No address could be bound; the words name address and remedy.
pub(super) fn bind(
    listener: &Listener,
    user: Option<&str>,
) -> Result<(Vec<Listening>, Vec<String>), String> {
    if let Bind::Unix(path) = &listener.bind {
        let (socket, file) = unix::bind(path, user)?;
        return Ok((vec![Listening::Unix(socket, file)], Vec::new()));
    }
    let addresses = addresses(listener)?;
    // Port 0 asks the system for one: the same for all addresses.
    let mut port = listener.port;
    let (mut sockets, mut notices, mut failure) = (Vec::new(), Vec::new(), None);
    for ip in addresses {
        let address = SocketAddr::new(ip, port);
        match bind_one(address, listener.bind_interface.as_deref()) {
            Ok(socket) => {
                port = socket.local_addr().map_or(port, |bound| bound.port());
                sockets.push(Listening::Tcp(socket));
            }
            Err(error) if ip.is_ipv6() && is_missing(&error) => {
                notices.push(format!(
                    "No IPv6 on this machine, port {port} is open on IPv4 only."
                ));
            }
            Err(error) => failure = Some(explain(address, &error)),
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None if sockets.is_empty() => Err(format!("no address to listen on for port {port}")),
        None => Ok((sockets, notices)),
    }
}

/// Those of the sockets that a listener means, by its port.
pub(super) fn choose(sockets: &mut Vec<TcpListener>, listener: &Listener) -> Vec<TcpListener> {
    let is_meant = |socket: &mut TcpListener| {
        let address = socket.local_addr();
        address.is_ok_and(|address| address.port() == listener.port)
    };
    sockets.extract_if(.., is_meant).collect()
}

/// Takes over sockets that somebody else opened.
///
/// # Errors
/// Others could reach a broker that trusts everybody because it believes
/// itself alone; or the system refuses.
pub(super) fn adopt(
    sockets: Vec<TcpListener>,
    local_only: bool,
) -> Result<(Vec<Listening>, Vec<String>), String> {
    for socket in &sockets {
        let address = socket.local_addr().map_err(|error| error.to_string())?;
        if local_only && !address.ip().is_loopback() {
            return Err(format!(
                "others can reach the socket on {address} that systemd opened, but nothing says \
                 who may connect; write a configuration file with `listener {}`, and \
                 `allow_anonymous true` or a `password_file`",
                address.port()
            ));
        }
        socket
            .set_nonblocking(true)
            .map_err(|error| error.to_string())?;
    }
    let sockets = sockets.into_iter().map(Listening::Tcp).collect();
    Ok((sockets, Vec::new()))
}

/// The addresses that a listener means, with this machine's IPv6 or without.
pub(super) fn addresses(listener: &Listener) -> Result<Vec<IpAddr>, String> {
    let all: Vec<IpAddr> = match &listener.bind {
        Bind::Any => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        Bind::Loopback => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Bind::Host(host) => {
            let found = (host.as_str(), listener.port)
                .to_socket_addrs()
                .map_err(|error| format!("cannot find the address of '{host}': {error}"))?;
            let mut ips: Vec<_> = found.map(|address| address.ip()).collect();
            ips.dedup();
            ips
        }
        Bind::Unix(_) => Vec::new(),
    };
    Ok(all
        .into_iter()
        .filter(|ip| match listener.socket_domain {
            None => true,
            Some(SocketDomain::Ipv4) => ip.is_ipv4(),
            Some(SocketDomain::Ipv6) => ip.is_ipv6(),
        })
        .collect())
}

fn bind_one(address: SocketAddr, interface: Option<&str>) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    if let Some(interface) = interface {
        bind_interface(&socket, interface)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_interface(socket: &Socket, interface: &str) -> io::Result<()> {
    socket.bind_device(Some(interface.as_bytes()))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_interface(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "bind_interface works on Linux only",
    ))
}

/// Whether the error says that the machine has no such kind of address.
pub(super) fn is_missing(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let codes = [
        Errno::EAFNOSUPPORT,
        Errno::EADDRNOTAVAIL,
        Errno::EPROTONOSUPPORT,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| codes.iter().any(|known| *known as i32 == code))
}

/// Why there is no socket on that address, and what to do.
pub(super) fn explain(address: SocketAddr, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program, perhaps another broker, has this port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    };
    format!("cannot listen on {address}: {error}{remedy}")
}

/// Accepts connections for ever.
pub(super) async fn accept(hub: Arc<Hub>, entrance: Arc<Entrance>, acceptor: Acceptor) {
    let mut told: Option<Instant> = None;
    loop {
        match acceptor.next().await {
            Ok((stream, origin)) => {
                if let Stream::Tcp(tcp) = &stream
                    && entrance.door().no_delay
                    && let Err(error) = tcp.set_nodelay(true)
                {
                    let line = format!("TCP_NODELAY for {}: {error}", origin.peer);
                    hub.log(LogType::Debug, &line);
                }
                admit(Arc::clone(&hub), Arc::clone(&entrance), stream, origin);
            }
            // It went away while it waited for us; others wait still.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Others have to close before there are descriptors again.
                if told.is_none_or(|at| at.elapsed() >= SILENCE) {
                    told = Some(Instant::now());
                    hub.log(LogType::Warning, &explain_full(&error));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn explain_full(error: &io::Error) -> String {
    let remedy = match error.raw_os_error() {
        Some(code) if code == nix::errno::Errno::EMFILE as i32 => {
            "; new ones wait until others close. Allow the broker more open files (`ulimit -n`, \
             LimitNOFILE= in its systemd unit)"
        }
        _ => "",
    };
    format!("Cannot accept a connection: {error}{remedy}.")
}
