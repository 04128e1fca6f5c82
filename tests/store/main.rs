//! The store in real processes: killed while it writes, on a
//! disk that is full, and fed with files
//! that Mosquitto has just written.

#[path = "../common/mod.rs"]
mod common;

mod full;
mod import;
mod killed;
