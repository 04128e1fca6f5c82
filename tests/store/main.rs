//! The store in real processes: killed while it writes, and fed with files
//! that Mosquitto has just written.

#[path = "../common/mod.rs"]
mod common;

mod import;
mod killed;
