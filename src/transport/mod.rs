//! Byte streams to a peer: TCP and Unix sockets, and TLS over them, behind one
//! [`Stream`].
//!
//! WebSocket becomes a further variant of [`Stream`]; whoever uses it reads and
//! writes bytes and doesn't notice.

mod connect;
mod stream;
pub mod tls;

pub use connect::{Endpoint, Target, connect, is_lookup_error};
pub use stream::Stream;
