//! From an accepted socket to the bytes of MQTT: the layers that a listener
//! has in between.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::connection::{Door, serve};
use super::hub::Hub;
use crate::config::{Config, Listener, LogType, Protocol};
use crate::transport::{Stream, proxy, websocket};

/// How long a connection may take for all its layers together.
const PATIENCE: Duration = Duration::from_secs(30);

/// What connections bring in front of MQTT.
#[derive(Debug)]
pub(super) struct Layers {
    proxy: Option<proxy::Version>,
    proxy_requires_tls: bool,
    protocol: Protocol,
    websocket: websocket::Rules,
}

impl Layers {
    pub(super) fn new(listener: &Listener, config: &Config) -> Self {
        Self {
            proxy: listener.proxy_protocol.map(|version| match version {
                1 => proxy::Version::V1,
                _ => proxy::Version::V2,
            }),
            proxy_requires_tls: listener.proxy_requires_tls,
            protocol: listener.protocol,
            websocket: websocket::Rules {
                origins: listener.websockets_origins.clone(),
                max_head: config.websockets_headers_size.into(),
            },
        }
    }

    /// Nothing but MQTT.
    pub(super) fn none() -> Self {
        Self::new(&Listener::default(), &Config::default())
    }

    fn are_none(&self) -> bool {
        self.proxy.is_none() && self.protocol == Protocol::Mqtt
    }
}

/// Where a connection comes from, as the layers below MQTT know it.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// The client's address, as log lines name it.
    pub(super) peer: String,
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Mqtt,
    WebSocket,
    Tls,
}

/// Serves an accepted connection until it ends, in a task of its own. What goes
/// wrong on the way to MQTT concerns this connection only.
pub(super) fn admit(hub: Arc<Hub>, door: Arc<Door>, stream: Stream, mut origin: Origin) {
    if door.layers.are_none() {
        tokio::spawn(serve(hub, door, stream, &origin.peer));
        return;
    }
    // What handshakes need is given back with their task.
    tokio::spawn(async move {
        let climb = climb(&hub, &door.layers, stream, &mut origin);
        match timeout(PATIENCE, climb).await {
            Ok(Ok(stream)) => {
                tokio::spawn(serve(hub, door, stream, &origin.peer));
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                reject(&hub, &origin, &error.to_string());
            }
            Ok(Err(error)) => gone(&hub, &error),
            Err(_) => reject(&hub, &origin, "its handshake takes too long"),
        }
    });
}

/// Takes a connection through all layers.
async fn climb(
    hub: &Hub,
    layers: &Layers,
    mut stream: Stream,
    origin: &mut Origin,
) -> io::Result<Stream> {
    if let Some(version) = layers.proxy {
        let header;
        (stream, header) = proxy::read(stream, version).await?;
        heed(hub, layers, header, origin)?;
    }
    let spoken = match layers.protocol {
        Protocol::Mqtt => Spoken::Mqtt,
        Protocol::Websockets => Spoken::WebSocket,
        Protocol::Any => {
            let spoken;
            (stream, spoken) = recognise(stream).await?;
            spoken
        }
    };
    if spoken == Spoken::Tls {
        return Err(refusal(
            "it begins with TLS, and the listener has no `certfile`",
        ));
    }
    if spoken == Spoken::WebSocket {
        let accepted = websocket::accept(stream, &layers.websocket).await?;
        stream = accepted.stream;
        if let Some(ip) = accepted.forwarded {
            origin.forward(ip);
        }
        hub.logger().write(
            LogType::Websockets,
            &format!("WebSocket connection from {}.", origin.peer),
        );
    }
    Ok(stream)
}

impl Origin {
    /// Takes the address that a proxy tells of. The port stays that of the
    /// proxy's connection, which is what Mosquitto shows.
    fn forward(&mut self, ip: IpAddr) {
        let port = self
            .peer
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        self.peer = SocketAddr::new(ip, port.unwrap_or(0)).to_string();
    }
}

/// Applies what a proxy says of its client.
fn heed(hub: &Hub, layers: &Layers, header: proxy::Header, origin: &mut Origin) -> io::Result<()> {
    if let Some(client) = header.client {
        origin.peer = client;
    }
    if layers.proxy_requires_tls && header.tls.is_none() {
        return Err(refusal("client did not connect using TLS"));
    }
    if let Some(proxy::TlsFacts {
        version: Some(version),
        cipher: Some(cipher),
        ..
    }) = &header.tls
    {
        hub.logger().write(
            LogType::Notice,
            &format!(
                "Connection from {} negotiated {version} cipher {cipher}",
                origin.peer
            ),
        );
    }
    Ok(())
}

/// Finds out by the first byte what comes, and leaves it to be read again.
async fn recognise(mut stream: Stream) -> io::Result<(Stream, Spoken)> {
    let mut early = Vec::new();
    if stream.read_buf(&mut early).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let spoken = match early[0] {
        0x10 => Spoken::Mqtt,
        // The type of a TLS record with a handshake.
        0x16 => Spoken::Tls,
        // The first letter of a method; who asks for something else than GET
        // is told so.
        b'A'..=b'Z' => Spoken::WebSocket,
        _ => return Err(refusal("it begins with neither MQTT, WebSocket nor TLS")),
    };
    Ok((stream.put_back(early), spoken))
}

fn refusal(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn reject(hub: &Hub, origin: &Origin, why: &str) {
    let line = format!(
        "Connection from {} rejected, {}.",
        origin.peer,
        why.trim_end_matches('.')
    );
    hub.logger().write(LogType::Notice, &line);
}

/// The client went away before there was MQTT.
fn gone(hub: &Hub, error: &io::Error) {
    let line = match error.kind() {
        io::ErrorKind::UnexpectedEof => "Client <unknown> closed its connection.".to_owned(),
        _ => format!("Client <unknown> disconnected: {error}."),
    };
    hub.logger().write(LogType::Notice, &line);
}
