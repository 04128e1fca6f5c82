//! Bridges: what two brokers share over a connection that this one opens.
//!
//! A bridge is a relay between two MQTT connections: one within the process to
//! this broker, with a session that lasts, and one to the other broker. PUBLISH
//! and its acknowledgements pass **with the same packet identifiers** in both
//! directions; only topics and protocol versions are translated. So the whole
//! state of QoS 1 and 2 is where it is kept safe anyway, in the sessions of the
//! two brokers, and the bridge has none that a cut or a crash could take. While
//! the other broker is away, the local session is a session whose client is away.
//!
//! | file | concept |
//! |---|---|
//! | `mod.rs` | what a bridge needs of its broker |
//! | `topics.rs` | which topic here is which one there |
//! | `relay.rs` | packets translated, without any I/O |
//! | `hello.rs` | where to connect, and the first packets on both sides |
//! | `joining.rs` | both sides connected |
//! | `traffic.rs` | bytes to and fro while the connection stands |
//! | `pause.rs` | how long to wait after a failure |
//! | `life.rs` | connecting, again and again, until it is told to end |

mod hello;
mod joining;
mod life;
mod pause;
mod relay;
#[cfg(test)]
mod simulation;
mod topics;
mod traffic;

use tokio::io::DuplexStream;

use crate::config::LogType;

pub(crate) use hello::{Identity, connector};
pub(crate) use life::{Orders, live};

/// What a bridge needs of the broker that it belongs to. `client_id` names the
/// bridge's session there.
pub(crate) trait Home: Send + Sync + 'static {
    /// A connection on which no CONNECT was sent yet.
    fn open(&self) -> DuplexStream;

    /// Writes a line to the broker's log.
    fn log(&self, kind: LogType, text: &str);

    /// How many messages of QoS 1 and 2 it has on their way to one client.
    fn window(&self) -> u16;

    /// How many messages wait in the session.
    fn waiting(&self, client_id: &str) -> usize;

    /// The topic filters that the session is subscribed to.
    fn subscribed(&self, client_id: &str) -> Vec<String>;

    /// A packet identifier that the session doesn't use now and won't soon.
    fn unused_id(&self, client_id: &str) -> u16;

    /// The other broker has lost its session and begins to count anew: makes
    /// the session forget which messages of QoS 2 it has received.
    fn forget_received(&self, client_id: &str);

    /// Publishes a retained message about the state of the bridge.
    fn notify(&self, topic: &str, payload: &str);
}
