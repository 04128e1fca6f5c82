//! Moustique: an MQTT toolkit in the place of Mosquitto.

pub mod broker;
pub mod codec;
pub mod config;
pub mod session;
pub mod topic;
