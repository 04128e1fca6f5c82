//! Bytes ⇄ [`Packet`] for MQTT 3.1, 3.1.1 and 5, in both directions.
//!
//! The codec does no I/O and keeps no state. Reading has two steps, so that a
//! connection can cut a read buffer into frames before it looks inside:
//!
//! 1. [`Frame::split`] finds the next whole control packet in a buffer;
//! 2. [`Packet::decode`] turns it into a [`Packet`] that borrows from it.
//!
//! Writing is [`Packet::encode`], which appends to a buffer.
//!
//! Decoding is strict: whatever the specifications call malformed is refused,
//! and each [`DecodeError`] carries the reason code that MQTT 5 assigns to it.

mod decode;
mod encode;
mod error;
mod packet;
mod property;
#[cfg(test)]
mod tests;
mod wire;

pub use error::{DecodeError, ReasonCode, RefusedConnect};
pub use packet::{
    Ack, AckKind, Auth, BRIDGE, ConnAck, Connect, Disconnect, ORIGIN, Packet, Publish, QoS,
    RetainHandling, Side, SubAck, Subscribe, SubscriptionOptions, SubscriptionRequest, UnsubAck,
    Unsubscribe, Version, Will,
};
pub use property::{Context, Properties, Property};
pub use wire::{Frame, MAX_REMAINING_LENGTH, write_var_int};
