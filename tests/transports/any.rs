//! Several protocols on one port.

use crate::common::broker::{Broker, Setup};
use crate::common::oracle_differs;
use crate::common::raw::{Connect, Raw, publish};
use crate::websocket::{BINARY, Socket, frame};

const ANY: &str = "listener {port}\nprotocol any\nallow_anonymous true\n";

#[test]
fn each_client_speaks_what_it_likes() {
    if oracle_differs("several protocols on one port") {
        return;
    }
    let broker = Broker::start(ANY);
    let (mut plain, _) = Raw::client(broker.port, &Connect::new("plain"));
    plain.subscribe("t", 0);
    let mut websocket = Socket::client(broker.port, "websocket");
    let message = publish("t", "hello", false);
    websocket.send(&frame(BINARY, &message));
    plain.expect(&message);
    let mut page = Socket::open(broker.port);
    let answer = page.ask("HEAD / HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}

#[test]
fn nothing_is_lost_and_nobody_waits() {
    if oracle_differs("several protocols on one port") {
        return;
    }
    let broker = Broker::start(ANY);
    let silent: Vec<_> = (0..50).map(|_| Raw::open(broker.port)).collect();
    let mut slow = Raw::open(broker.port);
    for byte in Connect::new("slow").bytes() {
        Raw::client(broker.port, &Connect::new("quick"));
        slow.send(&[byte]);
    }
    slow.expect(&[0x20, 2, 0, 0]);
    drop(silent);
}

#[test]
fn what_is_neither_is_named_in_the_log() {
    if oracle_differs("several protocols on one port") {
        return;
    }
    let broker = Broker::start(ANY);
    for (bytes, why) in [
        (&b"\x16\x03\x01\x02\x00\x01"[..], "no `certfile`"),
        (b"\xE0\x00", "neither MQTT, WebSocket nor TLS"),
    ] {
        let mut raw = Raw::open(broker.port);
        raw.send(bytes);
        raw.expect_end();
        let stderr = &broker.process().stderr;
        stderr.wait_until(|log| log.contains("rejected, ") && log.contains(why));
    }
    Raw::client(broker.port, &Connect::new("still alive"));
}

/// A course's file for a NAS: no `listener` at all.
#[test]
fn the_default_listener_may_be_for_websocket() {
    if oracle_differs("the default listener for WebSocket") {
        return;
    }
    let setup = Setup::new();
    let conf = "port {port}\nprotocol websockets\nallow_anonymous true\n";
    let broker = setup.start(conf);
    Socket::client(broker.port, "browser");
    // The log is written by a thread of its own, perhaps after the answer to the client.
    let line = format!("Opening websockets listen socket on port {}.", broker.port);
    let stderr = &broker.process().stderr;
    stderr.wait_until(|log| log.contains("New client connected"));
    let log = broker.log();
    assert_eq!(log.matches(&line).count(), 1, "{log}");
}
