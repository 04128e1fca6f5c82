//! Bridges between real brokers: ours, and Debian's Mosquitto.

#[path = "../common/mod.rs"]
mod common;

#[allow(dead_code)] // the tests of TLS use all of it
#[path = "../tls/ca.rs"]
mod ca;
mod chaos;
mod far;
mod layers;
mod limits;
mod options;
mod reload;
mod ring;
#[cfg(feature = "peers")]
mod rumqttd;
mod sharing;
