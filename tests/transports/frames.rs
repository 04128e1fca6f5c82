//! Frames as a client may send them, and as it may not.

use crate::common::broker::Broker;
use crate::common::oracle_differs;
use crate::common::raw::{Connect, Raw, packet, publish, publish_qos, text};
use crate::websocket::{BINARY, CLOSE, PING, PONG, Socket, TEXT, broker, frame};

const PINGREQ: [u8; 2] = [0xC0, 0];
const PINGRESP: [u8; 2] = [0xD0, 0];

/// A subscriber on the plain port, to see what arrives in the broker.
fn witness(broker: &Broker, filter: &str) -> Raw {
    let (mut raw, _) = Raw::client(broker.port, &Connect::new("witness"));
    raw.subscribe(filter, 1);
    raw
}

#[test]
fn packets_and_frames_need_not_begin_together() {
    if oracle_differs("frames as libwebsockets handles them") {
        return;
    }
    let (broker, port) = broker("");
    let mut witness = witness(&broker, "t");
    let mut client = Socket::client(port, "a");
    let (one, two) = (publish("t", "one", false), publish("t", "two", false));
    let both = [one.as_slice(), &two].concat();
    // Two packets in one frame.
    client.send(&frame(BINARY, &both));
    // A packet in three frames, the middle one empty, a ping in between.
    client.send(&frame(BINARY, &one[..4]));
    client.send(&frame(BINARY, b""));
    client.send(&frame(PING, b"there?"));
    client.send(&frame(BINARY, &one[4..]));
    // A message in fragments that cut packets anywhere.
    client.send(&frame(0x02, &both[..1]));
    client.send(&frame(0x00, &both[1..9]));
    client.send(&frame(PING, b"still?"));
    client.send(&frame(0x80, &both[9..]));
    // Byte by byte.
    for byte in frame(BINARY, &two) {
        client.send(&[byte]);
    }
    for expected in [&one, &two, &one, &one, &two, &two] {
        witness.expect(expected);
    }
    // Of two pings that come together only the last needs an answer.
    let mut pong = client.frame();
    if pong == (PONG, b"there?".to_vec()) {
        pong = client.frame();
    }
    assert_eq!(pong, (PONG, b"still?".to_vec()));
    client.send(&frame(BINARY, &PINGREQ));
    client.expect(BINARY, &PINGRESP);
}

/// What one read brought is answered with one frame.
#[test]
fn a_batch_of_packets_leaves_in_one_frame() {
    if oracle_differs("frames as libwebsockets handles them") {
        return;
    }
    let (_broker, port) = broker("");
    let mut client = Socket::client(port, "a");
    let packets: Vec<_> = (1..=100)
        .flat_map(|id| publish_qos("t", "x", 1, id))
        .collect();
    let answers: Vec<_> = (1..=100).flat_map(|id| [0x40, 2, 0, id]).collect();
    client.send(&frame(BINARY, &packets));
    let mut got = Vec::new();
    let mut frames = 0;
    while got.len() < answers.len() {
        let (first, payload) = client.frame();
        assert_eq!(first, BINARY);
        got.extend(payload);
        frames += 1;
    }
    assert_eq!(got, answers);
    // The system may bring what was sent in several reads, but not in many.
    assert!(frames < 20, "{frames} frames");
}

#[test]
fn large_messages_pass_both_ways() {
    let (broker, port) = broker("");
    let mut client = Socket::client(port, "a");
    client.send(&frame(
        BINARY,
        &packet(0x82, &[&[0, 1], &text("big"), &[0]]),
    ));
    client.expect(BINARY, &[0x90, 3, 0, 1, 0]);
    let payload = "0123456789abcdef".repeat(60_000);
    let message = publish("big", &payload, false);
    client.send(&frame(BINARY, &message));
    let mut got = Vec::new();
    while got.len() < message.len() {
        let (first, payload) = client.frame();
        assert_eq!(first, BINARY);
        got.extend(payload);
    }
    assert!(got == message, "what came back differs");
    assert!(!broker.process().ended());
}

#[test]
fn a_goodbye_is_answered() {
    if oracle_differs("frames as libwebsockets handles them") {
        return;
    }
    let (broker, port) = broker("");
    let mut witness = witness(&broker, "will");
    let mut client = Socket::upgraded(port);
    let connect = Connect {
        will: Some(("will", "gone", 0, false)),
        ..Connect::new("a")
    };
    client.send(&frame(BINARY, &connect.bytes()));
    client.expect(BINARY, &[0x20, 2, 0, 0]);
    client.send(&frame(CLOSE, &[0x03, 0xE9, b'b', b'y', b'e']));
    client.expect_close(1001);
    // There was no DISCONNECT.
    witness.expect(&publish("will", "gone", false));
}

#[test]
fn the_broker_says_goodbye_after_disconnect() {
    if oracle_differs("frames as libwebsockets handles them") {
        return;
    }
    let (_broker, port) = broker("");
    let mut client = Socket::client(port, "a");
    client.send(&frame(BINARY, &[0xE0, 0]));
    client.expect(CLOSE, &1000u16.to_be_bytes());
    client.send(&frame(CLOSE, &1000u16.to_be_bytes()));
    assert!(client.rest().is_empty());
}

#[test]
fn what_the_rules_forbid_ends_the_connection() {
    if oracle_differs("frames as libwebsockets handles them") {
        return;
    }
    let (broker, port) = broker("");
    let unmasked = [&[BINARY, 2][..], &PINGREQ].concat();
    let huge = [&[BINARY, 0xFF, 0xFF][..], &[0; 11]].concat();
    for (bytes, code) in [
        (frame(TEXT, &PINGREQ), 1003),
        (frame(0x01, b"frag"), 1003),
        (unmasked, 1002),
        (frame(0x80, &PINGREQ), 1002),
        (frame(0xC2, &PINGREQ), 1002),
        (frame(0x83, &PINGREQ), 1002),
        (frame(PING, &[0; 126]), 1002),
        (huge, 1002),
    ] {
        let mut client = Socket::client(port, "a");
        client.send(&bytes);
        client.expect_close(code);
    }
    broker.process().stderr.wait_for("a WebSocket text frame");
    Socket::client(port, "still alive");
}

/// A frame may be longer than any packet, for it may hold many; what it holds
/// has its limits nevertheless.
#[test]
fn limits_are_those_of_packets_not_of_frames() {
    if oracle_differs("frames as libwebsockets handles them") {
        return;
    }
    let (broker, port) = broker("max_packet_size 2000");
    let mut witness = witness(&broker, "t");
    let mut client = Socket::client(port, "a");
    let many = publish("t", "x", false).repeat(1000);
    client.send(&frame(BINARY, &many));
    for _ in 0..1000 {
        witness.expect(&publish("t", "x", false));
    }
    // A frame that claims to be endless costs nothing until it is sent.
    let endless = [
        BINARY, 0xFF, 0x0F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0,
    ];
    client.send(&endless);
    client.send(&publish("t", "in the endless frame", false));
    witness.expect(&publish("t", "in the endless frame", false));
    client.send(&publish("t", &"x".repeat(3000), false));
    assert_eq!(client.frame().0, CLOSE);
    client.rest();
    Socket::client(port, "still alive");
}

/// A client that asks for answers and never reads them.
#[test]
fn a_flood_of_pings_fills_no_memory() {
    let (_broker, port) = broker("");
    let mut rude = Socket::client(port, "rude");
    let pings = frame(PING, &[7; 125]).repeat(10_000);
    rude.send(&pings);
    rude.send(&frame(BINARY, &PINGREQ));
    // At most one answer to each, and then the one that was last.
    let mut answers = 0;
    loop {
        match rude.frame() {
            (PONG, payload) => assert_eq!(payload, [7; 125]),
            other => {
                assert_eq!(other, (BINARY, PINGRESP.to_vec()));
                break;
            }
        }
        answers += 1;
    }
    assert!((1..=10_000).contains(&answers), "{answers}");
}
