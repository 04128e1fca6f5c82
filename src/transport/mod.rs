//! Byte streams to a peer: TCP and Unix sockets behind one [`Stream`].
//!
//! TLS and WebSocket become further variants of [`Stream`]; whoever uses it
//! reads and writes bytes and doesn't notice.

mod connect;
mod stream;

pub use connect::{Endpoint, Target, connect, is_lookup_error};
pub use stream::Stream;
