//! Clients within the process.

use std::sync::Arc;

use tokio::io::DuplexStream;

use super::connection::{Door, serve};
use super::credentials::Credentials;
use super::entrance::Entrance;
use super::hub::Hub;
use super::ingress::{Layers, Origin};
use crate::broker::Policy;
use crate::client::{Client, ConnectError, ConnectOptions};
use crate::codec::Version;

/// Bytes that may be on their way between a link and the broker.
const PIPE: usize = 64 * 1024;

/// A connection to the broker that needs no socket.
pub type Link = DuplexStream;

/// Opens connections to a broker in the same process. They are full MQTT
/// connections, at every QoS and with sessions, and they are trusted: no
/// password, no access control list.
#[derive(Clone, Debug)]
pub struct Links(pub(super) Arc<Hub>);

impl Links {
    /// A connected client that speaks MQTT 5 and starts clean. Called within a
    /// tokio runtime, which then serves the connection.
    ///
    /// # Errors
    /// The broker refused, or has ended.
    pub async fn link(&self, client_id: &str) -> Result<Client<Link>, ConnectError> {
        let options = ConnectOptions {
            version: Version::V5,
            client_id: client_id.to_owned(),
            ..ConnectOptions::default()
        };
        let (client, _) = Client::connect(self.open(), &options).await?;
        Ok(client)
    }

    /// A connection on which no CONNECT was sent yet, for a [`Client`] with
    /// options of its own. Called within a tokio runtime.
    pub fn open(&self) -> Link {
        let policy = Policy {
            port: 0,
            ..Policy::default()
        };
        pipe(&self.0, policy, "this process")
    }
}

/// A trusted connection; `peer` is what the log calls who has it.
pub(super) fn pipe(hub: &Arc<Hub>, policy: Policy, peer: &str) -> Link {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let entrance = Entrance::new(Door {
        policy: Arc::new(policy),
        credentials: Credentials::trusting(),
        max_packet_size: u32::MAX,
        no_delay: false,
        layers: Layers::none(),
        tls: None,
    });
    let origin = Origin::of(peer.to_owned());
    tokio::spawn(serve(Arc::clone(hub), Arc::new(entrance), ours, origin));
    theirs
}
