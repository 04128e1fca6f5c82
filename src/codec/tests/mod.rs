//! Tests of the codec, by theme; the helpers that they share are here.

mod connect;
mod connection;
mod differential;
mod malformed;
mod messages;
mod properties;
mod random;
mod strategies;
mod wire;

use super::{DecodeError, Frame, MAX_REMAINING_LENGTH, Packet, Side, Version};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// Bytes as the specification shows them: hexadecimal numbers, and text in
/// single quotes. A text takes no length in front; that is written out.
fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for token in text.split_whitespace() {
        if let Some(quoted) = token.strip_prefix('\'') {
            bytes.extend_from_slice(quoted.strip_suffix('\'').unwrap().as_bytes());
        } else {
            assert!(token.len().is_multiple_of(2), "half a byte in {token}");
            bytes.extend(
                (0..token.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&token[at..at + 2], 16).unwrap()),
            );
        }
    }
    bytes
}

/// A packet with its remaining length put in.
fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    super::write_var_int(&mut bytes, body.len() as u32);
    bytes.extend_from_slice(body);
    bytes
}

/// Decodes bytes that are one whole packet.
fn decode(bytes: &[u8], version: Version, sender: Side) -> Result<Packet<'_>, DecodeError> {
    let frame = Frame::split(bytes, MAX_REMAINING_LENGTH)?.expect("a whole packet");
    assert_eq!(frame.bytes.len(), bytes.len(), "one packet only");
    Packet::decode(frame, version, sender)
}

fn encode(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    bytes
}

/// The reason code by which a packet is refused; 0 where it is taken.
fn refusal(bytes: &[u8], version: Version, sender: Side) -> u8 {
    decode(bytes, version, sender).map_or_else(|error| error.reason.0, |_| 0)
}

/// The packet is written as these bytes, and they are read as the packet.
fn same(version: Version, sender: Side, wire: &str, packet: &Packet<'_>) {
    let bytes = hex(wire);
    assert_eq!(encode(packet, version), bytes, "{wire}");
    assert_eq!(decode(&bytes, version, sender).as_ref(), Ok(packet));
}

/// Another legal form, that is read but never written.
fn read_only(version: Version, sender: Side, wire: &str, packet: &Packet<'_>) {
    let bytes = hex(wire);
    assert_eq!(decode(&bytes, version, sender).as_ref(), Ok(packet));
    assert_ne!(encode(packet, version), bytes, "{wire}");
}
