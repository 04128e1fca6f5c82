//! The form of keys.
//!
//! Numbers are big-endian, so that keys sort as numbers do. What belongs to a
//! session has its number after the letter of its kind.

use fjall::Slice;
use sha2::{Digest, Sha256};

/// A note: `m` and its name.
pub(super) const NOTE: u8 = b'm';
/// The description of a session.
pub(super) const SESSION: u8 = b's';
/// A session that ended and whose belongings are still to be removed.
pub(super) const ENDED: u8 = b'x';
/// A subscription: the session's number and its filter.
pub(super) const SUBSCRIPTION: u8 = b'b';
/// An incoming packet identifier of QoS 2.
pub(super) const INCOMING: u8 = b'i';
/// The stage of a delivery in flight.
pub(super) const INFLIGHT: u8 = b'f';
/// The length of a queue.
pub(super) const LENGTH: u8 = b'c';
/// How many deliveries share a publication.
pub(super) const SHARES: u8 = b'r';
/// A delivery.
pub(super) const DELIVERY: u8 = b'q';
/// A publication that several deliveries share.
pub(super) const PUBLICATION: u8 = b'p';
/// A retained message: `t` and its topic.
const TOPIC: u8 = b't';

/// The version of the form of keys and values.
pub(super) const FORMAT: &[u8] = b"vformat";
/// Session and publication numbers from which on none was used.
pub(super) const NUMBERS: &[u8] = b"vnumbers";

/// What a longer name is replaced by in its key; the engine takes 64 KiB, and
/// an MQTT string may have as much.
pub(super) const LONGEST_NAME: usize = 1024;

/// A letter and a number, nine bytes.
pub(super) fn one(kind: u8, number: u64) -> Slice {
    let mut key = [kind; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    Slice::new(&key)
}

/// A letter and two numbers, seventeen bytes.
pub(super) fn two(kind: u8, session: u64, number: u64) -> Slice {
    let mut key = [kind; 17];
    key[1..9].copy_from_slice(&session.to_be_bytes());
    key[9..].copy_from_slice(&number.to_be_bytes());
    Slice::new(&key)
}

/// A letter, a number and a name.
pub(super) fn named(kind: u8, session: u64, name: &str) -> Slice {
    with_name(&one(kind, session), name)
}

/// A note.
pub(super) fn note(name: &str) -> Slice {
    with_name(&[NOTE], name)
}

/// A retained message.
pub(super) fn topic(topic: &str) -> Slice {
    with_name(&[TOPIC], topic)
}

/// The name follows, or in the place of a long one a byte that no name begins
/// with and a hash.
fn with_name(prefix: &[u8], name: &str) -> Slice {
    if name.len() <= LONGEST_NAME {
        return [prefix, name.as_bytes()].concat().into();
    }
    let hash = Sha256::digest(name.as_bytes());
    [prefix, &[0xFF], hash.as_slice()].concat().into()
}

/// The number after the letter.
pub(super) fn number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?))
}

/// The second number.
pub(super) fn second(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(9..17)?.try_into().ok()?))
}
