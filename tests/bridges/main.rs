//! Bridges between real brokers: ours, and Debian's Mosquitto.

#[path = "../common/mod.rs"]
mod common;

mod far;
mod sharing;
