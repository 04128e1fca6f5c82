//! TLS: certificates of every kind on both sides, with clients and brokers
//! that we did not write. The certificates are made as the tests run.

#[path = "../common/mod.rs"]
mod common;

mod ca;
mod clients;
mod handshakes;
mod identity;
mod keys;
mod layers;
#[cfg(feature = "psk")]
mod psk;
mod recipe;
mod reload;
mod servers;
mod stage;
