//! Bytes into the decoder.

use moustique::broker::Batch;
use moustique::codec::{
    Connect, Frame, MAX_REMAINING_LENGTH, Packet, Side, Version, write_var_int,
};

/// A stream of packets: the first byte chooses version and sender.
pub fn decode(data: &[u8]) {
    let Some((&choice, stream)) = data.split_first() else {
        return;
    };
    let version = [Version::V31, Version::V311, Version::V5][usize::from(choice) % 3];
    let sender = if choice / 3 % 2 == 0 {
        Side::Client
    } else {
        Side::Server
    };
    let mut rest = stream;
    let mut good = 0;
    while let Ok(Some(frame)) = Frame::split(rest, MAX_REMAINING_LENGTH) {
        incomplete_is_waited_for(frame);
        match Packet::decode(frame, version, sender) {
            Ok(packet) => is_stable(frame, &packet, version, sender),
            Err(error) => {
                assert!(error.reason.is_error(), "{error}");
                break;
            }
        }
        rest = &rest[frame.bytes.len()..];
        good = stream.len() - rest.len();
    }
    if sender == Side::Client {
        let batch = Batch::decode(stream, version, u32::MAX);
        // The broker looks into no AUTH, so it may stop earlier.
        assert!(batch.consumed() <= good);
        assert!(batch.consumed() == good || !batch.is_empty());
    }
}

/// A CONNECT: the first byte gives the header's flags, the rest is the body.
pub fn connect(data: &[u8]) {
    let Some((&flags, body)) = data.split_first() else {
        return;
    };
    let mut bytes = vec![0x10 | flags & 0x0F];
    write_var_int(&mut bytes, body.len() as u32);
    bytes.extend_from_slice(body);
    let frame = whole(&bytes);
    let decoded = Connect::decode(frame);
    let as_packet = Packet::decode(frame, Version::V5, Side::Client);
    match decoded {
        Ok(connect) => {
            let level = body[2 + usize::from(body[1])];
            assert_eq!(level & 0x7F, connect.version as u8);
            assert_eq!(connect.bridge, level & 0x80 != 0);
            let packet = Packet::Connect(Box::new(connect));
            assert_eq!(as_packet.as_ref(), Ok(&packet));
            is_stable(frame, &packet, Version::V5, Side::Client);
        }
        Err(refused) => {
            assert_eq!(as_packet, Err(refused.error));
            if let Some((version, reason)) = refused.connack {
                assert_eq!(reason.is_error(), version == Version::V5);
                assert_ne!(reason.0, 0);
            }
        }
    }
}

fn whole(bytes: &[u8]) -> Frame<'_> {
    let frame = Frame::split(bytes, MAX_REMAINING_LENGTH);
    let frame = frame.expect("a frame").expect("a whole one");
    assert_eq!(frame.bytes.len(), bytes.len());
    frame
}

fn incomplete_is_waited_for(frame: Frame<'_>) {
    let length = frame.bytes.len();
    for part in (0..frame.header_len).chain([length - 1]) {
        let part = &frame.bytes[..part.min(length - 1)];
        assert_eq!(Frame::split(part, MAX_REMAINING_LENGTH), Ok(None));
    }
    let too_small = Frame::split(frame.bytes, length - 1);
    assert!(too_small.is_err(), "a limit below the packet's length");
    assert_eq!(Frame::split(frame.bytes, length), Ok(Some(frame)));
}

/// Whatever decodes, encodes to something that decodes the same.
fn is_stable(frame: Frame<'_>, packet: &Packet<'_>, version: Version, sender: Side) {
    let mut again = Vec::new();
    packet.encode(version, &mut again);
    assert!(again.len() <= frame.bytes.len() + 4, "{packet:?} grew");
    let decoded = Packet::decode(whole(&again), version, sender);
    assert_eq!(decoded.as_ref(), Ok(packet));
    if let Packet::Publish(publish) = packet {
        assert_eq!(publish.encoded_len(version), again.len());
    }
}
