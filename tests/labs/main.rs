//! The labs of the MQTT course, played with the real programs.

#[path = "../common/mod.rs"]
mod common;

mod acl;
mod keep_alive;
mod passwords;
mod qos;
mod refusals;
mod retained;
mod sessions;
mod sys;
mod topics;
mod wills;
