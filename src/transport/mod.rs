//! Byte streams to a peer: TCP and Unix sockets behind one [`Stream`], and the
//! layers over them.
//!
//! A layer is a further variant of [`Stream`]; whoever uses it reads and writes
//! bytes and doesn't notice.

mod connect;
mod early;
pub mod proxy;
mod socks;
mod srv;
mod stream;
pub mod tls;
pub mod websocket;

pub use connect::{Endpoint, SocketOptions, Target, connect, connect_service, is_lookup_error};
pub use early::Early;
pub use socks::{Proxy, ProxyError};
pub use srv::local_domain;
pub use stream::Stream;
