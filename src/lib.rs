//! Moustique: an MQTT toolkit in the place of Mosquitto.

pub mod auth;
pub mod broker;
pub mod client;
pub mod codec;
pub mod config;
pub mod server;
pub mod session;
pub mod topic;
pub mod transport;

pub use server::{Broker, Running, StartError};
