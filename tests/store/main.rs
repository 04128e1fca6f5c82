//! The store in real processes: killed while it writes, without power,
//! on a disk that is full, and fed with files that Mosquitto has just written.

#[path = "../common/mod.rs"]
mod common;

mod full;
mod import;
mod killed;
mod outage;
mod power;
mod size;
mod small_disk;
