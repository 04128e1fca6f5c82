//! What lies between a socket and MQTT: WebSocket, SOCKS5, the PROXY protocol,
//! Unix sockets, and several of them on one port.

#[path = "../common/mod.rs"]
mod common;

mod any;
mod browser;
mod frames;
mod peers;
mod proxy;
mod socks;
mod unix;
mod upgrade;
mod websocket;
