//! Properties of the codec that hold for all packets and all bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::{Frame, Packet, Side, SubscriptionRequest, Version};
use super::strategies::{any_packet, packet, side, version};
use super::{SIDES, VERSIONS, encode, framed};

/// What is wrong with a mutated packet.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Delete(Index),
    Cut(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = || any::<Index>();
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (at(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        at().prop_map(Mutation::Delete),
        at().prop_map(Mutation::Cut),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    match mutation {
        Mutation::Set(at, byte) => *at.get_mut(bytes) = *byte,
        Mutation::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
        Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
        Mutation::Delete(at) => drop(bytes.remove(at.index(bytes.len()))),
        Mutation::Cut(at) => bytes.truncate(at.index(bytes.len())),
    }
}

/// Whatever decodes, encodes to something that decodes the same.
fn decode_is_stable(bytes: &[u8]) {
    for version in VERSIONS {
        for sender in SIDES {
            let Ok(Some(frame)) = Frame::split(bytes, 1 << 20) else {
                continue;
            };
            let decoded = Packet::decode(frame, version, sender);
            let copy = frame.bytes.to_vec();
            let alone = Frame {
                bytes: &copy,
                ..frame
            };
            assert_eq!(
                decoded,
                Packet::decode(alone, version, sender),
                "what follows a packet is none of its business"
            );
            if let Ok(packet) = decoded {
                let again = encode(&packet, version);
                assert_eq!(super::decode(&again, version, sender), Ok(packet));
                assert!(again.len() <= bytes.len() + 4, "no longer than it came");
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read((version, sender, packet) in any_packet()) {
        let bytes = encode(&packet, version);
        prop_assert_eq!(super::decode(&bytes, version, sender), Ok(packet));
    }

    #[test]
    fn a_stream_may_come_in_any_pieces(
        (version, sender, packets) in (version(), side()).prop_flat_map(|(version, sender)| {
            (Just(version), Just(sender), vec(packet(version, sender), 0..6))
        }),
        cuts in vec(1..200usize, 1..20),
    ) {
        let mut stream = Vec::new();
        for packet in &packets {
            packet.encode(version, &mut stream);
        }
        let mut cuts = cuts.into_iter().cycle();
        let mut arrived = 0;
        let mut start = 0;
        let mut read = Vec::new();
        while arrived < stream.len() {
            arrived = stream.len().min(arrived + cuts.next().unwrap_or(1));
            while let Some(frame) = Frame::split(&stream[start..arrived], 1 << 20).unwrap() {
                start += frame.bytes.len();
                read.push(Packet::decode(frame, version, sender).unwrap());
            }
        }
        prop_assert_eq!(start, stream.len());
        prop_assert_eq!(read, packets);
    }

    #[test]
    fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..100)) {
        decode_is_stable(&bytes);
    }

    #[test]
    fn no_body_does_harm(first in any::<u8>(), body in vec(any::<u8>(), 0..100)) {
        decode_is_stable(&framed(first, &body));
    }

    /// Bytes that look like lengths and identifiers get deeper than any bytes.
    #[test]
    fn no_small_numbers_do_harm(first in any::<u8>(), body in vec(0..0x30u8, 0..60)) {
        decode_is_stable(&framed(first, &body));
    }

    #[test]
    fn no_mutation_does_harm(
        (version, _, packet) in any_packet(),
        mutations in vec(mutation(), 1..5),
        keep_length in any::<bool>(),
        followed_by in vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = encode(&packet, version);
        if keep_length {
            for mutation in &mutations {
                mutate(&mut bytes, mutation);
            }
        } else {
            // A length that fits lets the mutation reach the decoder's depths.
            let frame = Frame::split(&bytes, 1 << 20).unwrap().unwrap();
            let mut body = frame.body().to_vec();
            for mutation in &mutations {
                mutate(&mut body, mutation);
            }
            bytes = framed(bytes[0], &body);
        }
        bytes.extend(followed_by);
        decode_is_stable(&bytes);
    }

    /// Memory for topic filters is in proportion to the bytes that brought them.
    #[test]
    fn memory_is_bounded_by_the_input(count in 1..3000usize, v5 in any::<bool>()) {
        let version = if v5 { Version::V5 } else { Version::V311 };
        let head: &[u8] = if v5 { &[0, 1, 0] } else { &[0, 1] };
        let subscribe = framed(0x82, &[head, &[0, 1, b'a', 0].repeat(count)].concat());
        let Ok(Packet::Subscribe(packet)) = super::decode(&subscribe, version, Side::Client) else {
            panic!("a SUBSCRIBE");
        };
        let bytes = packet.requests.capacity() * size_of::<SubscriptionRequest<'_>>();
        prop_assert!(bytes <= 16 * subscribe.len() + 96, "{bytes} for {}", subscribe.len());

        let unsubscribe = framed(0xA2, &[head, &[0, 1, b'a'].repeat(count)].concat());
        let Ok(Packet::Unsubscribe(packet)) = super::decode(&unsubscribe, version, Side::Client)
        else {
            panic!("an UNSUBSCRIBE");
        };
        let bytes = packet.filters.capacity() * size_of::<&str>();
        prop_assert!(bytes <= 16 * unsubscribe.len() + 64, "{bytes} for {}", unsubscribe.len());
    }
}
