//! The flows of QoS 1 and 2 in both directions, packet identifiers, receive
//! maximum and topic aliases: what broker, client and bridge have in common.
//!
//! Nothing here knows who is client and who is server, and nothing does I/O:
//! [`Outgoing`] says what may be sent, [`Incoming`] says what a received
//! packet means, [`aliases`] turns aliases into topics and back.

pub mod aliases;
mod id_map;
mod id_table;
mod incoming;
mod outgoing;

pub use id_map::IdMap;
pub use incoming::{Incoming, Received};
pub use outgoing::{FlowError, Outgoing, PubRec, Resend};
