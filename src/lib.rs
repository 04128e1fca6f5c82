//! Moustique: an MQTT toolkit in the place of Mosquitto.
//!
//! # For embedders
//!
//! [`Broker::bind`] makes a broker from a configuration, [`Broker::start`] runs
//! it on threads of its own (or await [`Broker::run`]), and [`Running::link`]
//! connects a client within the process, without a socket. `examples/embed.rs`
//! shows all three.
//!
//! # Layout
//!
//! A room imports only rooms below it; `ARCHITECTURE.md` tells more.
//!
//! - [`server`]: the shell around the core: listeners, connection tasks,
//!   credentials, log, the process; the command line of `mqtt-broker`; in builds
//!   with the feature `peers` also rumqttd as another engine of it.
//! - `bridge`: connections to other brokers and what is shared over them.
//! - [`client`]: a client for programs like these and for yours; the command
//!   lines and the output of `mqtt-pub`, `mqtt-sub` and `mqtt-rr`.
//! - [`transport`]: one stream over TCP and Unix sockets, with the layers over them.
//! - [`broker`]: the core, a deterministic state machine without I/O: sessions,
//!   routing, retained messages, wills, limits, `$SYS`.
//! - [`store`]: the durable store: sessions, queues and retained messages on
//!   disk; Mosquitto's `mosquitto.db` read.
//! - [`session`]: QoS 1 and 2 flows in both directions, packet identifiers,
//!   receive maximum, topic aliases; the same for servers and clients.
//! - [`auth`]: password hashes and files, access control lists; the command
//!   line of `mqtt-passwd`.
//! - [`config`]: `mosquitto.conf` as typed, checked values.
//! - [`topic`]: topic names and filters, matching, the tree that finds one by
//!   the other.
//! - [`codec`]: bytes to packets and back, for MQTT 3.1, 3.1.1 and 5.

pub mod auth;
mod bridge;
pub mod broker;
pub mod client;
pub mod codec;
pub mod config;
pub mod server;
pub mod session;
pub mod store;
pub mod topic;
pub mod transport;

pub use server::{Broker, Links, Running, StartError};
