//! The peer's frames, taken apart where they lie (RFC 6455, section 5).

use std::io::{self, Cursor};

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The longest head of a frame, and the longest payload of a control frame.
const MAX_HEAD: usize = 14;
const MAX_CONTROL: u64 = 125;

/// Reads a stream of frames. It keeps what it must know to go on, never the
/// payload of a message: whoever reads MQTT puts that together.
#[derive(Debug)]
pub(super) struct Frames {
    /// Whether the peer has to mask its frames, as clients do.
    masked: bool,
    /// A head whose end is not there yet.
    head: [u8; MAX_HEAD],
    head_len: usize,
    /// The frame whose payload comes, and how much of it.
    opcode: OpCode,
    left: u64,
    mask: [u8; 4],
    /// A message goes on in the next data frame.
    fragmented: bool,
    /// The payload of a control frame, as far as it is there.
    control: Vec<u8>,
    /// The payload of the last ping that is not answered. Those before it need
    /// no answer (5.5.3).
    ping: Option<Vec<u8>>,
    end: Option<End>,
}

/// Why there is nothing more to read.
#[derive(Debug)]
struct End {
    /// What to tell the peer; `None` once that is done.
    code: Option<CloseCode>,
    /// What the peer did wrong; `None` if it said goodbye.
    fault: Option<&'static str>,
}

impl Frames {
    pub(super) fn new(masked: bool) -> Self {
        Self {
            masked,
            head: [0; MAX_HEAD],
            head_len: 0,
            opcode: OpCode::Data(Data::Binary),
            left: 0,
            mask: [0; 4],
            fragmented: false,
            control: Vec::new(),
            ping: None,
            end: None,
        }
    }

    /// Moves the payload of messages to the front of `bytes`, and returns how
    /// much it is.
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() && self.end.is_none() {
            if self.left == 0 {
                at += self.take_head(&bytes[at..]);
                continue;
            }
            let here = (bytes.len() - at) as u64;
            let piece = at..at + self.left.min(here) as usize;
            self.unmask(&mut bytes[piece.clone()]);
            if let OpCode::Control(_) = self.opcode {
                self.control.extend_from_slice(&bytes[piece.clone()]);
            } else {
                bytes.copy_within(piece.clone(), kept);
                kept += piece.len();
            }
            at = piece.end;
            self.left -= piece.len() as u64;
            if self.left == 0 {
                self.end_frame();
            }
        }
        kept
    }

    /// The control frame that is due as an answer, if any. Nothing may follow
    /// a close frame.
    pub(super) fn answer(&mut self) -> Option<(Control, Vec<u8>)> {
        if let Some(end) = &mut self.end {
            let code = end.code.take()?;
            return Some((Control::Close, u16::from(code).to_be_bytes().to_vec()));
        }
        Some((Control::Pong, self.ping.take()?))
    }

    pub(super) fn has_answer(&self) -> bool {
        match &self.end {
            Some(end) => end.code.is_some(),
            None => self.ping.is_some(),
        }
    }

    /// How the peer's stream has ended: `Ok` if it said goodbye.
    pub(super) fn ended(&self) -> Option<io::Result<()>> {
        let end = self.end.as_ref()?;
        Some(match end.fault {
            None => Ok(()),
            Some(what) => Err(io::Error::new(io::ErrorKind::InvalidData, what)),
        })
    }

    /// Takes the head of a frame, or what is there of it; returns how many
    /// bytes that is.
    fn take_head(&mut self, bytes: &[u8]) -> usize {
        let known = self.head_len;
        let fresh = bytes.len().min(MAX_HEAD - known);
        self.head[known..known + fresh].copy_from_slice(&bytes[..fresh]);
        let mut cursor = Cursor::new(&self.head[..known + fresh]);
        match FrameHeader::parse(&mut cursor) {
            Ok(None) => {
                self.head_len += fresh;
                fresh
            }
            Ok(Some((header, length))) => {
                let taken = cursor.position() as usize - known;
                self.head_len = 0;
                self.begin_frame(&header, length);
                taken
            }
            Err(_) => {
                self.fail(CloseCode::Protocol, "a WebSocket frame of no known kind");
                fresh
            }
        }
    }

    fn begin_frame(&mut self, header: &FrameHeader, length: u64) {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return self.fail(CloseCode::Protocol, "a WebSocket extension without consent");
        }
        if header.mask.is_some() != self.masked {
            return self.fail(CloseCode::Protocol, "a WebSocket frame masked wrongly");
        }
        if length > i64::MAX as u64 {
            return self.fail(
                CloseCode::Protocol,
                "a WebSocket frame of impossible length",
            );
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final || length > MAX_CONTROL => {
                return self.fail(CloseCode::Protocol, "a WebSocket control frame too long");
            }
            OpCode::Control(_) => self.control.clear(),
            OpCode::Data(Data::Text) => {
                return self.fail(
                    CloseCode::Unsupported,
                    "a WebSocket text frame where MQTT takes binary ones",
                );
            }
            OpCode::Data(kind) if (kind == Data::Continue) != self.fragmented => {
                return self.fail(CloseCode::Protocol, "WebSocket fragments out of order");
            }
            OpCode::Data(_) => self.fragmented = !header.is_final,
        }
        self.opcode = header.opcode;
        self.mask = header.mask.unwrap_or_default();
        self.left = length;
        if length == 0 {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        let OpCode::Control(kind) = self.opcode else {
            return;
        };
        let payload = std::mem::take(&mut self.control);
        match kind {
            Control::Ping => self.ping = Some(payload),
            Control::Close => {
                // The peer's code comes back to it (5.5.1).
                let code = match payload[..] {
                    [] => CloseCode::Normal,
                    [high, low, ..] => CloseCode::from(u16::from_be_bytes([high, low])),
                    [_] => CloseCode::Protocol,
                };
                let code = if code.is_allowed() {
                    code
                } else {
                    CloseCode::Protocol
                };
                self.end = Some(End {
                    code: Some(code),
                    fault: None,
                });
            }
            _ => {}
        }
    }

    fn fail(&mut self, code: CloseCode, fault: &'static str) {
        self.end = Some(End {
            code: Some(code),
            fault: Some(fault),
        });
    }

    fn unmask(&mut self, bytes: &mut [u8]) {
        if self.masked {
            mask(bytes, self.mask);
            self.mask.rotate_left(bytes.len() % 4);
        }
    }
}

/// Masks bytes, or unmasks them, which is the same (5.3).
pub(super) fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// The head of a whole frame.
pub(super) fn head(opcode: OpCode, length: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
    let header = FrameHeader {
        opcode,
        mask,
        ..FrameHeader::default()
    };
    let mut bytes = Vec::with_capacity(MAX_HEAD + length);
    header
        .format(length as u64, &mut bytes)
        .expect("a vector takes every byte");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 250];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut masked = payload.to_vec();
        mask(&mut masked, KEY);
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..126 => bytes.push(0x80 | short as u8),
            long => {
                bytes.push(0xFE);
                bytes.extend((long as u16).to_be_bytes());
            }
        }
        [bytes, KEY.to_vec(), masked].concat()
    }

    /// All that comes out of `bytes` in pieces of `size`.
    fn decode(frames: &mut Frames, bytes: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in bytes.chunks(size) {
            let mut piece = piece.to_vec();
            let kept = frames.decode(&mut piece);
            out.extend_from_slice(&piece[..kept]);
        }
        out
    }

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let long: Vec<u8> = (0..1000u32).map(|n| (n * 7) as u8).collect();
        let wire = [
            frame(0x82, b"one"),
            frame(0x02, b"t"),
            frame(0x89, b"are you there?"),
            frame(0x00, b""),
            frame(0x80, b"wo"),
            frame(0x82, &long),
            frame(0x82, b""),
        ]
        .concat();
        let expected = [b"onetwo".as_slice(), &long].concat();
        for size in (1..40).chain([1000, wire.len()]) {
            let mut frames = Frames::new(true);
            assert_eq!(
                decode(&mut frames, &wire, size),
                expected,
                "in pieces of {size}"
            );
            assert!(frames.ended().is_none());
            let (kind, payload) = frames.answer().expect("a pong");
            assert_eq!(
                (kind, payload.as_slice()),
                (Control::Pong, &b"are you there?"[..])
            );
            assert!(!frames.has_answer());
        }
    }

    #[test]
    fn only_the_last_ping_is_answered() {
        let mut frames = Frames::new(true);
        for number in 0..100u8 {
            decode(&mut frames, &frame(0x89, &[number; 125]), 7);
        }
        assert_eq!(frames.answer().expect("a pong").1, [99; 125]);
        assert!(frames.answer().is_none());
    }

    #[test]
    fn a_goodbye_is_answered_and_nothing_is_read_behind_it() {
        for (payload, answer) in [
            (&b""[..], 1000u16),
            (&[3, 232, b'x'], 1000),
            (&[3, 233], 1001),
            (&[1], 1002),
            (&[3, 237], 1002), // 1005 must not be sent
        ] {
            let mut frames = Frames::new(true);
            let wire = [
                frame(0x89, b"?"),
                frame(0x88, payload),
                frame(0x82, b"late"),
            ]
            .concat();
            assert_eq!(decode(&mut frames, &wire, 3), b"");
            assert!(frames.ended().expect("the end").is_ok());
            let (kind, payload) = frames.answer().expect("a close frame");
            assert_eq!(
                (kind, payload),
                (Control::Close, answer.to_be_bytes().to_vec())
            );
            assert!(frames.answer().is_none());
        }
    }

    #[test]
    fn what_the_rules_forbid_ends_the_stream() {
        let unmasked = vec![0x82, 1, b'x'];
        let huge = [&[0x82, 0xFF][..], &[0xFF; 8], &KEY].concat();
        for (wire, code, what) in [
            (frame(0x81, b"text"), 1003, "text frame"),
            (frame(0x01, b"text"), 1003, "text frame"),
            (frame(0xC2, b"x"), 1002, "extension"),
            (frame(0x83, b"x"), 1002, "no known kind"),
            (frame(0x8B, b"x"), 1002, "no known kind"),
            (frame(0x80, b"x"), 1002, "out of order"),
            (
                [frame(0x02, b"x"), frame(0x82, b"y")].concat(),
                1002,
                "out of order",
            ),
            (frame(0x09, b"x"), 1002, "control frame"),
            (frame(0x89, &[0; 126]), 1002, "control frame"),
            (unmasked, 1002, "masked"),
            (huge, 1002, "length"),
        ] {
            let wire = [frame(0x82, b"before"), wire, frame(0x82, b"after")].concat();
            for size in [1, wire.len()] {
                let mut frames = Frames::new(true);
                let out = decode(&mut frames, &wire, size);
                assert!(out == b"before" || out == b"beforex", "{what}");
                let error = frames.ended().expect("the end").expect_err("a fault");
                assert!(error.to_string().contains(what), "{what}: {error}");
                let payload = frames.answer().expect("a close frame").1;
                assert_eq!(payload, u16::to_be_bytes(code), "{what}");
            }
        }
    }

    #[test]
    fn a_client_takes_frames_without_mask() {
        let mut frames = Frames::new(false);
        let mut wire = [head(OpCode::Data(Data::Binary), 3, None), b"abc".to_vec()].concat();
        assert_eq!(frames.decode(&mut wire), 3);
        assert_eq!(wire[..3], *b"abc");
    }
}
