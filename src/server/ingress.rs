//! From an accepted socket to the bytes of MQTT: the layers that a listener
//! has in between.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::connection::{Door, serve};
use super::entrance::Entrance;
use super::hub::Hub;
use crate::config::{Config, Listener, LogType, Protocol};
use crate::transport::tls::{self, Identity};
use crate::transport::{Stream, proxy, websocket};

/// How long a client may take for the handshakes before MQTT.
const PATIENCE: Duration = Duration::from_secs(30);

/// What connections bring in front of MQTT, besides TLS.
#[derive(Debug)]
pub(super) struct Layers {
    proxy: Option<Proxied>,
    protocol: Protocol,
    /// A client without certificate stays out, even where TLS is one of several
    /// ways in.
    requires_certificate: bool,
    websocket: websocket::Rules,
}

/// What a listener wants to know from the proxy in front of it.
#[derive(Debug)]
struct Proxied {
    version: proxy::Version,
    requires_tls: bool,
    /// The user name is the common name in the client's certificate.
    names_user: bool,
}

impl Layers {
    pub(super) fn new(listener: &Listener, config: &Config) -> Self {
        let proxy = listener.proxy_protocol.map(|version| Proxied {
            version: match version {
                1 => proxy::Version::V1,
                _ => proxy::Version::V2,
            },
            requires_tls: listener.proxy_requires_tls,
            names_user: listener.tls.use_identity_as_username,
        });
        Self {
            proxy,
            protocol: listener.protocol,
            requires_certificate: listener.tls.require_certificate,
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
    /// Who the client is by its certificate.
    pub(super) identity: Identity,
    /// Its certificates, to be looked at again after a reload.
    pub(super) certificates: Arc<[CertificateDer<'static>]>,
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
pub(super) fn admit(hub: Arc<Hub>, entrance: Arc<Entrance>, stream: Stream, mut origin: Origin) {
    let door = entrance.door();
    if door.tls.is_none() && door.layers.are_none() {
        tokio::spawn(serve(hub, entrance, stream, origin));
        return;
    }
    // What handshakes need is given back with their task.
    tokio::spawn(async move {
        match timeout(PATIENCE, climb(&hub, &door, stream, &mut origin)).await {
            Ok(Ok(stream)) => {
                tokio::spawn(serve(hub, entrance, stream, origin));
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
    door: &Door,
    mut stream: Stream,
    origin: &mut Origin,
) -> io::Result<Stream> {
    let (layers, tls) = (&door.layers, door.tls.as_ref());
    if let Some(proxied) = &layers.proxy {
        let header;
        (stream, header) = proxy::read(stream, proxied.version).await?;
        origin.heed(&header, proxied)?;
        if tls.is_none() {
            origin.believe(&header, proxied, layers.requires_certificate)?;
        }
        note_tls(hub, origin, &header);
    }
    let mut spoken;
    (stream, spoken) = match (layers.protocol, tls) {
        (Protocol::Mqtt | Protocol::Websockets, Some(_)) => (stream, Spoken::Tls),
        (protocol, _) => recognise(stream, protocol).await?,
    };
    if spoken == Spoken::Tls {
        let tls =
            tls.ok_or_else(|| refusal("it begins with TLS, and the listener has no `certfile`"))?;
        let accepted = pass_tls(tls, stream).await?;
        stream = accepted.stream;
        (origin.identity, origin.certificates) = (accepted.identity, accepted.certificates);
        (stream, spoken) = recognise(stream, layers.protocol).await?;
        if spoken == Spoken::Tls {
            return Err(refusal("there is TLS within TLS"));
        }
    } else if tls.is_some() && layers.requires_certificate {
        return Err(refusal(
            "it comes without TLS, and a certificate is required",
        ));
    }
    if spoken == Spoken::WebSocket {
        let accepted = websocket::accept(stream, &layers.websocket).await?;
        stream = accepted.stream;
        if let Some(ip) = accepted.forwarded {
            origin.forward(ip);
        }
        let line = format!("WebSocket connection from {}.", origin.peer);
        hub.log(LogType::Websockets, &line);
    }
    Ok(stream)
}

impl Origin {
    pub(super) fn of(peer: String) -> Self {
        Self {
            peer,
            ..Self::default()
        }
    }

    /// Takes the address that a proxy tells of. The port stays that of the
    /// proxy's connection, which is what Mosquitto shows.
    fn forward(&mut self, ip: IpAddr) {
        let port = self.peer.rsplit_once(':');
        let port = port.and_then(|(_, port)| port.parse().ok());
        self.peer = SocketAddr::new(ip, port.unwrap_or(0)).to_string();
    }

    /// Takes what a PROXY header says of the client.
    fn heed(&mut self, header: &proxy::Header, proxied: &Proxied) -> io::Result<()> {
        if let Some(client) = &header.client {
            self.peer.clone_from(client);
        }
        if proxied.requires_tls && header.tls.is_none() {
            return Err(refusal("client did not connect using TLS"));
        }
        Ok(())
    }

    /// Takes what a proxy that ends TLS says of the client's certificate.
    fn believe(
        &mut self,
        header: &proxy::Header,
        proxied: &Proxied,
        requires_certificate: bool,
    ) -> io::Result<()> {
        let certified = header.tls.as_ref().filter(|tls| tls.verified);
        if requires_certificate && certified.is_none() {
            return Err(refusal("client did not provide a certificate"));
        }
        if proxied.names_user {
            let name = certified.and_then(|tls| tls.common_name.as_deref());
            self.identity = match name {
                Some(name) => Identity::Name(name.into()),
                None => Identity::Missing,
            };
        }
        Ok(())
    }
}

/// Logs how a client is connected to the proxy.
fn note_tls(hub: &Hub, origin: &Origin, header: &proxy::Header) {
    if let Some(tls) = &header.tls
        && let (Some(version), Some(cipher)) = (&tls.version, &tls.cipher)
    {
        let peer = &origin.peer;
        let line = format!("Connection from {peer} negotiated {version} cipher {cipher}");
        hub.log(LogType::Notice, &line);
    }
}

/// What a listener's clients speak. Where that may be several things, the first
/// byte tells; it is left to be read again.
async fn recognise(mut stream: Stream, protocol: Protocol) -> io::Result<(Stream, Spoken)> {
    match protocol {
        Protocol::Mqtt => return Ok((stream, Spoken::Mqtt)),
        Protocol::Websockets => return Ok((stream, Spoken::WebSocket)),
        Protocol::Any => {}
    }
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

async fn pass_tls(tls: &tls::Server, stream: Stream) -> io::Result<tls::Accepted> {
    match tls.accept(stream).await {
        Ok(accepted) => Ok(accepted),
        Err(None) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(Some(failure)) => {
            let help = match failure.help() {
                "" => String::new(),
                help => format!(". Help: {help}"),
            };
            Err(refusal(&format!("TLS failed: {failure}{help}")))
        }
    }
}

fn refusal(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn reject(hub: &Hub, origin: &Origin, why: &str) {
    let (peer, why) = (&origin.peer, why.trim_end_matches('.'));
    let line = format!("Connection from {peer} rejected, {why}.");
    hub.log(LogType::Notice, &line);
}

/// The client went away before there was MQTT.
fn gone(hub: &Hub, error: &io::Error) {
    let line = match error.kind() {
        io::ErrorKind::UnexpectedEof => "Client <unknown> closed its connection.".to_owned(),
        _ => format!("Client <unknown> disconnected: {error}."),
    };
    hub.log(LogType::Notice, &line);
}
