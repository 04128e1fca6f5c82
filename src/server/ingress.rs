//! From an accepted socket to the bytes of MQTT: the layers that a listener
//! has in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::connection::{Door, serve};
use super::entrance::Entrance;
use super::hub::Hub;
use crate::config::LogType;
use crate::transport::Stream;
use crate::transport::tls::{self, Identity};

/// How long a client may take for the handshakes before MQTT.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a connection comes from, as the layers below MQTT know it.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// The client's address, as log lines name it.
    pub(super) peer: String,
    /// Who the client is by its certificate.
    pub(super) identity: Identity,
}

/// Serves an accepted connection until it ends, in a task of its own. What goes
/// wrong on the way to MQTT concerns this connection only.
pub(super) fn admit(hub: Arc<Hub>, entrance: Arc<Entrance>, stream: Stream, origin: Origin) {
    let door = entrance.door();
    if door.tls.is_none() {
        tokio::spawn(serve(hub, entrance, stream, origin));
        return;
    }
    // What handshakes need is given back with their task.
    tokio::spawn(async move {
        let passed = pass_layers(&door, stream, origin.clone());
        match timeout(HANDSHAKE_TIMEOUT, passed).await {
            Ok(Ok((stream, origin))) => {
                tokio::spawn(serve(hub, entrance, stream, origin));
            }
            Ok(Err(Some(why))) => refuse(&hub, &door, &origin, &why),
            Ok(Err(None)) => {}
            Err(_) => refuse(&hub, &door, &origin, "the TLS handshake takes too long"),
        }
    });
}

/// Peels off one layer after the other. An error is what the log shall say, if
/// anything.
async fn pass_layers(
    door: &Door,
    mut stream: Stream,
    mut origin: Origin,
) -> Result<(Stream, Origin), Option<String>> {
    if let Some(tls) = &door.tls {
        (stream, origin.identity) = pass_tls(tls, stream).await?;
    }
    Ok((stream, origin))
}

async fn pass_tls(tls: &tls::Server, stream: Stream) -> Result<(Stream, Identity), Option<String>> {
    match tls.accept(stream).await {
        Ok(accepted) => Ok((accepted.stream, accepted.identity)),
        Err(None) => Err(None),
        Err(Some(failure)) => {
            let help = match failure.help() {
                "" => String::new(),
                help => format!(". Help: {help}"),
            };
            Err(Some(format!("TLS failed: {failure}{help}")))
        }
    }
}

fn refuse(hub: &Hub, door: &Door, origin: &Origin, why: &str) {
    let (peer, port) = (&origin.peer, door.policy.port);
    let line = format!("Connection from {peer} on port {port} refused: {why}.");
    hub.log(LogType::Notice, &line);
}
