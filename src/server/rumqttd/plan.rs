//! Listeners as rumqttd's servers. Each of these speaks one version of MQTT on a
//! port of its own.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rumqttd::{ConnectionSettings, RouterConfig, ServerSettings, TlsConfig};
use socket2::{Domain, Socket, Type};

use super::super::credentials::{self, Credentials};
use super::super::listener::{self, Listening};
use super::super::process;
use super::THREAD;
use super::front::Routes;
use crate::auth::permissions::obstacle;
use crate::broker::Decision;
use crate::config::{Bind, Config, Listener, Protocol, SocketDomain};
use crate::transport::tls::{self, Keyring};

/// What rumqttd's own configuration file has as its defaults.
const MAX_CONNECTIONS: usize = 10_010;
const MAX_OUTGOING_PACKETS: u64 = 200;
const SEGMENT_SIZE: usize = 100 * 1024 * 1024;
const SEGMENTS: usize = 10;
const READ_AT_ONCE: usize = 100;

/// How long a client may take for its CONNECT.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long rumqttd may take until it listens.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a server of rumqttd speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V5,
    /// MQTT 3.1.1 over WebSocket.
    Websocket,
}

/// Who serves a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// A server of rumqttd, with the listener's port.
    Own(Kind),
    /// Two servers of rumqttd on ports that only this machine reaches, and a front
    /// of ours that passes each client to the one for its version.
    Front,
    /// Nobody: what the listener asks for is not there.
    Nobody,
}

impl Service {
    pub(super) fn of(listener: &Listener) -> Self {
        let accepts = |version| listener.accept_protocol_versions.contains(version);
        let is_foreign = matches!(listener.bind, Bind::Unix(_))
            || listener.tls.psk_hint.is_some()
            || listener.proxy_protocol.is_some();
        let is_websocket = listener.protocol == Protocol::Websockets;
        match (accepts(4), accepts(5)) {
            _ if is_foreign => Self::Nobody,
            (true, _) if is_websocket => Self::Own(Kind::Websocket),
            (_, true) if is_websocket => Self::Nobody,
            (true, true) if !listener.tls.is_on() => Self::Front,
            (true, _) => Self::Own(Kind::V4),
            (false, true) => Self::Own(Kind::V5),
            (false, false) => Self::Nobody,
        }
    }

    /// Whether this is a socket that the system gives IPv4 clients too, though the
    /// listener is not for them.
    pub(super) fn is_on_all_addresses_of_ipv6(self, listener: &Listener) -> bool {
        let ipv6_only = listener.socket_domain == Some(SocketDomain::Ipv6);
        matches!(self, Self::Own(_)) && listener.bind == Bind::Any && ipv6_only
    }
}

/// What rumqttd is started with, and what stands in front of it.
pub(super) struct Plan {
    pub(super) config: rumqttd::Config,
    pub(super) fronts: Vec<(Listening, Routes)>,
    /// What the log says about the sockets.
    pub(super) notes: Vec<String>,
    /// Where rumqttd has to listen.
    servers: Vec<SocketAddr>,
    /// Keep the addresses for rumqttd: nobody else gets one while there is a socket
    /// that doesn't listen; rumqttd does, because both allow it.
    reserved: Vec<Socket>,
}

impl Plan {
    /// Reads the files of all listeners and takes their addresses, so that what is
    /// wrong with them is told in our words, before anything runs.
    ///
    /// # Errors
    /// The first thing that is wrong, with its remedy.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let max_connections = config.limits.global_max_connections;
        let mut plan = Self {
            config: rumqttd::Config {
                router: RouterConfig {
                    max_connections: max_connections.map_or(MAX_CONNECTIONS, |n| n as usize),
                    max_outgoing_packet_count: MAX_OUTGOING_PACKETS,
                    max_segment_size: SEGMENT_SIZE,
                    max_segment_count: SEGMENTS,
                    ..RouterConfig::default()
                },
                ..rumqttd::Config::default()
            },
            fronts: Vec::new(),
            notes: Vec::new(),
            servers: Vec::new(),
            reserved: Vec::new(),
        };
        let hashing = credentials::hashing();
        for listener in &config.listeners {
            let service = Service::of(listener);
            if service == Service::Nobody {
                plan.notes
                    .push(format!("Port {} is not opened.", listener.port));
                continue;
            }
            let credentials = Credentials::load(&listener.security, hashing.clone());
            let credentials = credentials.map_err(|error| error.to_string())?;
            let is_open =
                listener.security.allow_anonymous && listener.security.password_file.is_none();
            let mut connections = ConnectionSettings {
                connection_timeout_ms: CONNECT_TIMEOUT.as_millis() as u16,
                max_payload_size: config.limits.max_packet_size as usize,
                max_inflight_count: READ_AT_ONCE,
                auth: None,
                external_auth: None,
                dynamic_filters: true,
            };
            if !is_open {
                connections.set_auth_handler(move |_, username, password| {
                    check(credentials.clone(), username, password)
                });
            }
            plan.add(config, listener, service, &connections)?;
        }
        if plan.servers.is_empty() {
            return Err("rumqttd can serve none of the listeners".into());
        }
        Ok(plan)
    }

    fn add(
        &mut self,
        config: &Config,
        listener: &Listener,
        service: Service,
        connections: &ConnectionSettings,
    ) -> Result<(), String> {
        let tls = tls_files(listener, config)?;
        match service {
            Service::Own(kind) => {
                let addresses = self.reserve_all(listener)?;
                for address in without_twins(&addresses) {
                    self.notes
                        .push(format!("Opening a socket of rumqttd on {address}."));
                    self.serve(kind, address, tls.clone(), connections);
                }
                self.servers.extend(addresses);
            }
            Service::Front => {
                let (sockets, notices) = listener::bind(listener, None)?;
                self.notes.extend(notices);
                for socket in &sockets {
                    self.notes.push(socket.opening(listener.protocol));
                }
                let inside = (Ipv4Addr::LOCALHOST, 0).into();
                let fail = |error| format!("cannot open a port for rumqttd: {error}");
                let routes = Routes {
                    v4: self.reserve(inside).map_err(fail)?,
                    v5: self.reserve(inside).map_err(fail)?,
                    no_delay: config.set_tcp_nodelay,
                };
                self.serve(Kind::V4, routes.v4, None, connections);
                self.serve(Kind::V5, routes.v5, None, connections);
                self.servers.extend([routes.v4, routes.v5]);
                self.fronts
                    .extend(sockets.into_iter().map(|socket| (socket, routes)));
            }
            Service::Nobody => {}
        }
        Ok(())
    }

    fn serve(
        &mut self,
        kind: Kind,
        listen: SocketAddr,
        tls: Option<TlsConfig>,
        connections: &ConnectionSettings,
    ) {
        let (servers, version) = match kind {
            Kind::V4 => (&mut self.config.v4, "v4"),
            Kind::V5 => (&mut self.config.v5, "v5"),
            Kind::Websocket => (&mut self.config.ws, "ws"),
        };
        let name = format!("{THREAD}-{version}-{listen}");
        let settings = ServerSettings {
            name: name.clone(),
            listen,
            tls,
            next_connection_delay_ms: 0,
            connections: connections.clone(),
        };
        servers
            .get_or_insert_with(HashMap::new)
            .insert(name, settings);
    }

    /// Finds out the addresses of a listener, and keeps them for rumqttd.
    fn reserve_all(&mut self, listener: &Listener) -> Result<Vec<SocketAddr>, String> {
        let mut addresses = Vec::new();
        for ip in listener::addresses(listener)? {
            let address = SocketAddr::new(ip, listener.port);
            match self.reserve(address) {
                Ok(address) => addresses.push(address),
                Err(error) if ip.is_ipv6() && listener::is_missing(&error) => {}
                Err(error) => return Err(listener::explain(address, &error)),
            }
        }
        Ok(addresses)
    }

    /// Keeps an address for rumqttd; port 0 is any that is free.
    fn reserve(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = reservation(address)?;
        let reserved = socket.local_addr()?.as_socket();
        self.reserved.push(socket);
        Ok(reserved.unwrap_or(address))
    }

    /// Waits until rumqttd listens everywhere.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn wait(&self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        for address in &self.servers {
            // A connection would tell too, but end up in its log as an error.
            while reservation(*address).is_ok() {
                if Instant::now() > deadline {
                    return Err(format!("rumqttd does not listen on {address}"));
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }
}

/// The socket on all IPv6 addresses, where there is one, takes IPv4 too: ours for
/// IPv4 would be in its way.
fn without_twins(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_any = |address: &SocketAddr| address.ip().is_unspecified();
    let has_ipv6 = addresses.iter().any(|one| is_any(one) && one.is_ipv6());
    let mut addresses = addresses.to_vec();
    addresses.retain(|one| !(has_ipv6 && is_any(one) && one.is_ipv4()));
    addresses
}

/// A socket that has an address and doesn't listen on it.
///
/// # Errors
/// Somebody listens there, or the system refuses.
fn reservation(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The files of a listener with TLS. rumqttd reads them for each connection, and
/// says only then what is wrong with them.
fn tls_files(listener: &Listener, config: &Config) -> Result<Option<TlsConfig>, String> {
    if !listener.tls.is_on() {
        return Ok(None);
    }
    let keyring = Keyring::default();
    keyring.close();
    let fail = |error: &dyn fmt::Display| format!("TLS on port {}: {error}", listener.port);
    tls::Server::load(&listener.tls, None, &keyring).map_err(|error| fail(&error))?;
    let (Some(certificate), Some(key)) = (&listener.tls.certfile, &listener.tls.keyfile) else {
        return Ok(None);
    };
    if let Some(reader) = process::reader(config.user.as_deref()) {
        let obstacle = [certificate, key]
            .into_iter()
            .find_map(|file| obstacle(file, &reader));
        obstacle.map_or(Ok(()), |text| Err(fail(&text)))?;
    }
    let text = |path: &Path| path.display().to_string();
    Ok(Some(TlsConfig::Rustls {
        capath: None,
        certpath: text(certificate),
        keypath: text(key),
    }))
}

/// What rumqttd asks about a client. Without a password it shows an empty one.
async fn check(credentials: Credentials, username: String, password: String) -> bool {
    let password = Some(password.as_bytes()).filter(|password| !password.is_empty());
    let decision = credentials.check(Some(&username), password).await;
    !matches!(decision, Decision::Denied)
}
