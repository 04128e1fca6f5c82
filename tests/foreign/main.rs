//! The broker with clients that we did not write.

#[path = "../common/mod.rs"]
mod common;

mod mosquitto;
mod mosquitto_bridge;
mod rumqttc_v4;
mod rumqttc_v5;
mod scripted;
mod together;
