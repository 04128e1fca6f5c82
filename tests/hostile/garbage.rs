//! Bytes that are no MQTT.

use crate::common::broker::Broker;
use crate::common::raw::{Connect, Raw, packet};
use crate::support::{client, ping};

const LOGGED: &str = "listener {port} 127.0.0.1\nallow_anonymous true\nlog_type notice\n";

/// The beginning of what a browser or a TLS client says.
const CLIENT_HELLO: &[u8] = &[
    0x16, 3, 1, 0, 0x2A, 1, 0, 0, 0x26, 3, 3, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9,
    9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 2, 0x13, 1, 1, 0,
];

fn pseudo_random(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// How many connections the broker's log says it has ended.
fn ended(broker: &Broker) -> usize {
    let log = broker.log();
    log.lines()
        .filter(|line| line.contains(" disconnected"))
        .count()
}

#[test]
fn what_is_no_mqtt_is_closed_with_one_line_in_the_log() {
    let broker = Broker::quiet(LOGGED);
    let mut other = client(broker.port, "other");
    let http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let strangers: [&[u8]; 6] = [
        http,
        CLIENT_HELLO,
        &[0; 64],
        &[0xFF; 64],
        b"\r\n",
        b"SSH-2.0-x\r\n",
    ];
    for (number, bytes) in strangers.into_iter().enumerate() {
        let mut stranger = Raw::open(broker.port);
        stranger.send(bytes);
        stranger.expect_end();
        crate::support::wait_until("a line in the log", || ended(&broker) > number);
        ping(&mut other);
        assert_eq!(ended(&broker), number + 1, "{}", broker.log());
    }
    // One line when they came, one when they left.
    let lines = broker
        .log()
        .lines()
        .filter(|line| line.contains("New connection"))
        .count();
    assert!(lines > strangers.len());
}

#[test]
fn random_bytes_at_any_moment_disturb_nobody() {
    let broker = Broker::quiet(LOGGED);
    let mut other = client(broker.port, "other");
    for seed in 0..200 {
        let garbage = pseudo_random(seed, 300);
        let mut stranger = Raw::open(broker.port);
        let connect = Connect::new("stranger").bytes();
        let bytes = match seed % 4 {
            0 => garbage,
            1 => packet(0x10, &[&garbage]),
            2 => [&connect[..], &garbage].concat(),
            _ => [&connect[..], &packet(0x82, &[&garbage])].concat(),
        };
        let _ = stranger.try_send(&bytes);
        let _ = stranger.stream().shutdown(std::net::Shutdown::Write);
        while let Ok(Some(_)) = stranger.packet_or_end(crate::common::TIMEOUT) {}
        ping(&mut other);
    }
}
