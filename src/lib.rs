//! Moustique: an MQTT toolkit in the place of Mosquitto.

pub mod auth;
