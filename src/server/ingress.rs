//! From an accepted socket to the bytes of MQTT: the layers that a listener
//! has in between.

use std::sync::Arc;

use super::connection::serve;
use super::entrance::Entrance;
use super::hub::Hub;
use crate::transport::Stream;

/// Where a connection comes from, as the layers below MQTT know it.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// The client's address, as log lines name it.
    pub(super) peer: String,
}

/// Serves an accepted connection until it ends. What goes wrong on the way to
/// MQTT concerns this connection only.
pub(super) async fn admit(hub: Arc<Hub>, entrance: Arc<Entrance>, stream: Stream, origin: Origin) {
    serve(hub, entrance, stream, &origin.peer).await;
}
