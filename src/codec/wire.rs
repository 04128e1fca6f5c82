//! The data types of the wire (1.5) and the fixed header (2.1).

use super::{DecodeError, ReasonCode};

/// The largest remaining length (2.1.4): 256 MiB less one byte.
pub const MAX_REMAINING_LENGTH: usize = 268_435_455;

/// One whole control packet in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The whole packet, fixed header included.
    pub bytes: &'a [u8],
    /// The length of the fixed header: 2 to 5 bytes.
    pub header_len: usize,
}

impl<'a> Frame<'a> {
    /// Finds the packet at the start of `buffer`. `None`: not all of it is
    /// there yet. `max_packet_size` counts the whole packet, fixed header
    /// included (3.1.2.11.4).
    ///
    /// A remaining length that is longer than it need be is taken, as
    /// Mosquitto does.
    ///
    /// # Errors
    /// 0x81 for a remaining length of more than four bytes and for a PINGREQ or
    /// PINGRESP with content: Mosquitto closes without a word then, also in
    /// MQTT 5, other than where [`super::Packet::decode`] finds something.
    /// 0x95 for a packet over `max_packet_size`, which is answered. All of it
    /// is told before the packet is there.
    pub fn split(buffer: &'a [u8], max_packet_size: usize) -> Result<Option<Self>, DecodeError> {
        let mut length = 0usize;
        for index in 0..4 {
            let Some(&byte) = buffer.get(1 + index) else {
                return Ok(None);
            };
            length |= usize::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                let header_len = 2 + index;
                if length != 0 && matches!(buffer[0] >> 4, 12 | 13) {
                    return Err(DecodeError::malformed("PINGREQ or PINGRESP with content"));
                }
                let total = header_len + length;
                if total > max_packet_size {
                    return Err(DecodeError::with(
                        ReasonCode::PACKET_TOO_LARGE,
                        "a packet over the maximum packet size",
                    ));
                }
                return Ok(buffer.get(..total).map(|bytes| Frame { bytes, header_len }));
            }
        }
        Err(DecodeError::malformed(
            "a remaining length of more than four bytes",
        ))
    }

    /// The first byte: packet type and flags.
    pub fn first_byte(&self) -> u8 {
        self.bytes[0]
    }

    /// Whether the remaining length is longer than it need be. Receivers may
    /// call such a packet malformed (1.5.5).
    pub fn is_padded(&self) -> bool {
        self.header_len > 2 && self.bytes[self.header_len - 1] == 0
    }

    /// What follows the fixed header.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[self.header_len..]
    }
}

/// A cursor over the body of a packet. Running out of bytes is 'malformed'.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.bytes.split_at_checked(length) else {
            return Err(DecodeError::malformed("the packet ends too early"));
        };
        self.bytes = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, tail)) = self.bytes.split_first_chunk::<N>() else {
            return Err(DecodeError::malformed("the packet ends too early"));
        };
        self.bytes = tail;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A variable byte integer (1.5.5), which must have its shortest form.
    pub(super) fn var_int(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for index in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                if byte == 0 && index > 0 {
                    return Err(DecodeError::malformed(
                        "a variable byte integer that is longer than it need be",
                    ));
                }
                return Ok(value);
            }
        }
        Err(DecodeError::malformed(
            "a variable byte integer of more than four bytes",
        ))
    }

    /// Binary data (1.5.6).
    pub(super) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// A UTF-8 encoded string (1.5.4). U+0000 is always refused, other control
    /// characters and non-characters too, as the specification allows and
    /// Mosquitto does.
    #[inline]
    pub(super) fn str(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        let text = utf8(bytes)?;
        if all(bytes, is_printable_ascii) {
            return Ok(text);
        }
        check_characters(text)
    }

    /// A string without the wildcards `+` and `#`; `what` is wrong otherwise.
    #[inline]
    pub(super) fn topic_name(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        let text = utf8(bytes)?;
        if all(bytes, |byte| {
            is_printable_ascii(byte) && byte != b'+' && byte != b'#'
        }) {
            return Ok(text);
        }
        check_characters(text)?;
        if text.contains(['+', '#']) {
            return Err(DecodeError::malformed(what));
        }
        Ok(text)
    }
}

#[inline]
fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::malformed("a string that is not UTF-8"))
}

/// Whether all bytes are `good`: tells the case of almost every topic without
/// decoding characters. `good` must be a few comparisons, for then the compiler
/// tests a whole block at once; the last blocks overlap instead of leaving a
/// rest to be walked.
#[inline]
fn all(bytes: &[u8], good: impl Fn(u8) -> bool) -> bool {
    fn block<const N: usize>(block: &[u8; N], good: &impl Fn(u8) -> bool) -> bool {
        block.iter().fold(true, |so_far, &byte| so_far & good(byte))
    }
    if let Some(last) = bytes.last_chunk::<16>() {
        let (blocks, _) = bytes.as_chunks::<16>();
        return blocks.iter().all(|part| block(part, &good)) && block(last, &good);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return block(first, &good) & block(last, &good);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return block(first, &good) & block(last, &good);
    }
    bytes.iter().all(|&byte| good(byte))
}

const fn is_printable_ascii(byte: u8) -> bool {
    byte.wrapping_sub(0x20) < 0x5F
}

#[cold]
fn check_characters(text: &str) -> Result<&str, DecodeError> {
    if text.chars().any(is_disallowed) {
        return Err(DecodeError::malformed(
            "a string with a control character or a non-character",
        ));
    }
    Ok(text)
}

fn is_disallowed(c: char) -> bool {
    let code = c as u32;
    c.is_control() || code & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&code)
}

/// Appends a variable byte integer in its shortest form (1.5.5).
pub fn write_var_int(out: &mut Vec<u8>, mut value: u32) {
    debug_assert!(value as usize <= MAX_REMAINING_LENGTH);
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) const fn var_int_len(value: u32) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

pub(super) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(u16::try_from(bytes.len()).is_ok());
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn write_str(out: &mut Vec<u8>, text: &str) {
    write_bytes(out, text.as_bytes());
}
