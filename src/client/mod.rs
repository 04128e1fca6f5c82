//! An MQTT client: connect, publish, subscribe, receive. It serves the
//! command-line tools, the bridge and programs that embed it.
//!
//! [`Client`] runs over any stream of bytes, [`crate::transport::Stream`] or an
//! in-process pipe alike, and in whatever task calls it: it spawns nothing. It
//! needs a tokio runtime with time enabled, unless the keep alive is 0.
//! Requests ([`publish`](Client::publish), [`subscribe`](Client::subscribe))
//! only append to a write buffer; [`next_event`](Client::next_event) writes
//! what has gathered, reads, answers acknowledgements and keep alive, and
//! returns what a program wants to know.
//!
//! ```no_run
//! use moustique::client::{Client, ConnectOptions, Event};
//! use moustique::codec::{Properties, QoS, SubscriptionOptions, SubscriptionRequest};
//! use moustique::transport::{Endpoint, connect};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::Tcp { host: "localhost".into(), port: 1883, bind: None };
//! let stream = connect(&endpoint.into()).await?;
//! let (mut client, _) = Client::connect(stream, &ConnectOptions::default()).await?;
//!
//! let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..Default::default() };
//! let request = SubscriptionRequest { filter: "maison/+/temp", options };
//! client.subscribe(&[request], &Properties::new())?;
//! client.publish("maison/salon/temp", b"21.5", QoS::AtLeastOnce, false, &Properties::new())?;
//!
//! loop {
//!     match client.next_event().await {
//!         Event::Message(message) => println!("{} {:?}", message.topic, message.payload),
//!         Event::Disconnected(reason) => break println!("{reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A client outlives its connection: after [`Event::Disconnected`], give it a
//! new stream with [`Client::open`]. If the server kept the session, what was
//! not acknowledged is sent again with DUP, and QoS 2 stays exactly once; if it
//! did not, unacknowledged messages are published again as new.

pub mod cli;
mod engine;
mod event;
pub(crate) mod keep_alive;
mod options;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

pub(crate) use engine::first_packet;
pub use engine::{Client, Direction, Tracer};
pub use event::{
    ConnAckInfo, ConnectError, DisconnectReason, Event, Message, PublishId, RequestError,
};
pub use options::{ConnectOptions, Will};
