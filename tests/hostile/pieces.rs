//! Packets in pieces.

use crate::common::broker::Broker;
use crate::common::raw::{Connect, Raw, packet, publish_qos, text};
use crate::common::{TIMEOUT, oracle_differs};
use crate::support::{
    PINGREQ, PINGRESP, QUIET, assert_grew_less, client, memory, message, ping, puback,
};

#[test]
fn a_connection_may_come_byte_by_byte() {
    let broker = Broker::quiet(QUIET);
    let mut slow = Raw::open(broker.port);
    let subscribe = packet(0x82, &[&[0, 1], &text("a/b"), &[1]]);
    let publish = publish_qos("a/b", "in pieces", 1, 7);
    for byte in [Connect::new("slow").bytes(), subscribe, publish].concat() {
        slow.send(&[byte]);
    }
    slow.expect(&[0x20, 2, 0, 0]);
    slow.expect(&[0x90, 3, 0, 1, 1]);
    slow.expect(&publish_qos("a/b", "in pieces", 1, 1));
    slow.expect(&puback(7));
}

#[test]
fn a_packet_may_be_cut_anywhere() {
    let broker = Broker::quiet(QUIET);
    let mut other = client(broker.port, "other");
    let bytes = [&PINGREQ[..], &publish_qos("a/b", "halves", 1, 7), &PINGREQ].concat();
    let mut cut = client(broker.port, "cut");
    for at in 1..bytes.len() {
        cut.send(&bytes[..at]);
        ping(&mut other);
        cut.send(&bytes[at..]);
        cut.expect(&PINGRESP);
        cut.expect(&puback(7));
        cut.expect(&PINGRESP);
    }
    let bytes = Connect::new("cut").bytes();
    for at in 1..bytes.len() {
        let mut cut = Raw::open(broker.port);
        cut.send(&bytes[..at]);
        ping(&mut other);
        cut.send(&bytes[at..]);
        cut.expect(&[0x20, 2, 0, 0]);
    }
}

/// The largest packet that is taken by default.
const LARGEST: usize = 2_000_000;

fn large(total: usize) -> (Vec<u8>, Vec<u8>) {
    let payload: Vec<u8> = (0..total - 11).map(|n| (n * 31 % 251) as u8).collect();
    let bytes = packet(0x32, &[&text("big"), &[0, 9], &payload]);
    assert_eq!(bytes.len(), total);
    (bytes, payload)
}

#[test]
fn a_large_message_may_come_in_odd_pieces() {
    let broker = Broker::quiet(QUIET);
    let mut receiver = client(broker.port, "receiver");
    receiver.subscribe("big", 1);
    let mut sender = client(broker.port, "sender");
    for sizes in [
        &[65_537, 1, 16_384, 7][..],
        &[4093],
        &[131_071, 3],
        &[LARGEST],
    ] {
        let (bytes, payload) = large(LARGEST);
        let mut rest = &bytes[..];
        for size in sizes.iter().cycle() {
            let (piece, later) = rest.split_at((*size).min(rest.len()));
            sender.send(piece);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        sender.expect(&puback(9));
        let received = receiver.take(LARGEST, TIMEOUT);
        let (id, topic, received) = message(&received);
        assert_eq!(topic, b"big");
        assert!(received == payload, "the message has changed");
        receiver.send(&puback(id));
        ping(&mut receiver);
    }
}

#[test]
fn a_message_above_the_limit_ends_the_connection() {
    if oracle_differs("Mosquitto 2.0 has no such limit by default") {
        return;
    }
    let broker = Broker::quiet(QUIET);
    let mut sender = client(broker.port, "sender");
    // What comes after the header is of no interest; the end may come first.
    let _ = sender.try_send(&large(LARGEST + 1).0[..5]);
    sender.expect_end();
}

#[test]
fn a_huge_length_alone_takes_no_memory() {
    let broker = Broker::quiet(&format!("{QUIET}max_packet_size 268435455\n"));
    let mut clients: Vec<_> = (0..100)
        .map(|number| client(broker.port, &format!("client{number}")))
        .collect();
    let before = memory(&broker);
    for client in &mut clients {
        client.send(&[&PINGREQ[..], &[0x30, 0xF9, 0xFF, 0xFF, 0x7F, 0, 1, b'a']].concat());
        client.expect(&PINGRESP);
    }
    assert_grew_less(&broker, before, 8 * 1024);
    // Before CONNECT not even the wait for more is granted.
    let mut stranger = Raw::open(broker.port);
    stranger.send(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F]);
    stranger.expect_end();
}

#[test]
fn those_who_never_finish_connect_disturb_nobody() {
    let broker = Broker::quiet(QUIET);
    let connect = Connect::new("unfinished").bytes();
    let unfinished: Vec<_> = (0..300)
        .map(|number| {
            let mut raw = Raw::open(broker.port);
            raw.send(&connect[..number % connect.len()]);
            raw
        })
        .collect();
    let mut other = client(broker.port, "other");
    other.subscribe("a", 1);
    for id in 1..100 {
        other.send(&publish_qos("a", "x", 1, id));
        let mut answers = [other.packet(), other.packet()];
        answers.sort();
        assert_eq!(answers[1], puback(id));
        other.send(&puback(message(&answers[0]).0));
    }
    drop(unfinished);
    ping(&mut other);
}
