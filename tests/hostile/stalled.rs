//! Clients that don't read.

use crate::common::broker::Broker;
use crate::common::raw::{Connect, Raw, packet, publish, publish_qos, text};
use crate::common::{TIMEOUT, oracle_differs};
use crate::support::{
    PINGREQ, QUIET, assert_grew_less, client, descriptors, memory, message, narrow_client, ping,
    puback, wait_until,
};
use std::io::Write;
use std::time::{Duration, Instant};

/// Publishes at QoS 1 and waits for the acknowledgement.
fn publish_safely(sender: &mut Raw, topic: &str, payload: &str) {
    sender.send(&publish_qos(topic, payload, 1, 1));
    sender.expect(&puback(1));
}

#[test]
fn who_does_not_read_loses_qos_0_and_holds_nobody_up() {
    if oracle_differs("Mosquitto drops from all readers") {
        return;
    }
    let broker = Broker::quiet(QUIET);
    let mut stuck: Vec<_> = (0..3)
        .map(|n| narrow_client(broker.port, &Connect::new(&format!("stuck{n}"))))
        .collect();
    for stuck in &mut stuck {
        stuck.subscribe("flood", 0);
    }
    let mut reader = client(broker.port, "reader");
    reader.subscribe("flood", 0);
    reader.subscribe("end", 1);
    let before = memory(&broker);
    let port = broker.port;
    let sender = std::thread::spawn(move || {
        let mut sender = client(port, "sender");
        let flood = publish("flood", &"x".repeat(8000), false);
        let started = Instant::now();
        for _ in 0..8000 {
            sender.send(&flood);
        }
        publish_safely(&mut sender, "end", "");
        started.elapsed()
    });
    let mut received = 0;
    loop {
        let packet = reader.packet();
        match message(&packet).1 {
            b"flood" => received += 1,
            _ => break,
        }
    }
    let took = sender.join().expect("the sender");
    assert!(received > 100, "the reader got only {received} messages");
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    // Three times the 4 MiB that an outbox may take, and as much again.
    assert_grew_less(&broker, before, 28 * 1024);
    drop(stuck);
    ping(&mut reader);
}

#[test]
fn who_does_not_read_fills_only_its_queue_at_qos_1() {
    if oracle_differs("Mosquitto 2.0 counts otherwise what it drops") {
        return;
    }
    let broker = Broker::quiet(
        "max_queued_messages 100\nmax_inflight_messages 20\nsys_interval 1\n\
         listener {port} 127.0.0.1\nallow_anonymous true\nlog_type notice\n",
    );
    let mut stuck = client(broker.port, "stuck");
    stuck.subscribe("many", 1);
    let mut sender = client(broker.port, "sender");
    let payload = "x".repeat(1000);
    for _ in 0..300 {
        publish_safely(&mut sender, "many", &payload);
    }
    let told = |log: &str| log.matches("Outgoing messages are being dropped").count();
    broker
        .process()
        .stderr
        .wait_for("being dropped for client stuck");
    assert_eq!(told(&broker.log()), 1);

    let topic = "$SYS/broker/publish/messages/dropped";
    let mut watcher = client(broker.port, "watcher");
    watcher.subscribe(topic, 0);
    let deadline = Instant::now() + TIMEOUT;
    while message(&watcher.packet()).2 != b"180" {
        assert!(Instant::now() < deadline, "300 less 20 in flight, less 100");
    }
    // It gets what it is owed once it reads, and the next full queue is told.
    for _ in 0..120 {
        let packet = stuck.packet();
        stuck.send(&puback(message(&packet).0));
    }
    ping(&mut stuck);
    for _ in 0..130 {
        publish_safely(&mut sender, "many", &payload);
    }
    let deadline = Instant::now() + TIMEOUT;
    while told(&broker.log()) < 2 {
        assert!(
            Instant::now() < deadline,
            "the second full queue is not told"
        );
    }
}

/// Sends `packet` again and again until the broker doesn't take it any more.
/// Returns how often it was sent.
fn send_until_stuck(client: &mut Raw, packet: &[u8]) -> usize {
    let burst = packet.repeat(8192 / packet.len());
    let most = 32 * 1024 * 1024;
    let patience = Some(Duration::from_millis(700));
    client
        .stream()
        .set_write_timeout(patience)
        .expect("a socket option");
    let mut sent = 0;
    while sent < most {
        match client.stream().write(&burst[sent % burst.len()..]) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    assert!(sent < most, "the broker goes on reading");
    client
        .stream()
        .set_write_timeout(Some(TIMEOUT))
        .expect("a socket option");
    sent
}

#[test]
fn who_does_not_read_its_answers_is_not_read_either() {
    if oracle_differs("Mosquitto goes on reading") {
        return;
    }
    let broker = Broker::quiet(QUIET);
    let mut other = client(broker.port, "other");
    let publish = packet(0x32, &[&text("t"), &[0, 5]]);
    let mut rude = narrow_client(broker.port, &Connect::new("rude"));
    let before = memory(&broker);
    let sent = send_until_stuck(&mut rude, &publish);
    assert_grew_less(&broker, before, 16 * 1024);
    ping(&mut other);
    // Once it reads, nothing is missing.
    let (whole, part) = (sent / publish.len(), sent % publish.len());
    let answers = rude.take(4 * whole, TIMEOUT);
    assert_eq!(answers.len(), 4 * whole, "answers are missing");
    assert!(answers == puback(5).repeat(whole), "other answers");
    if part > 0 {
        rude.send(&publish[part..]);
        rude.expect(&puback(5));
    }
    ping(&mut rude);
}

#[test]
fn what_waited_for_a_stalled_client_comes_in_order() {
    for window in [20, 0] {
        let broker = Broker::quiet(&format!(
            "{QUIET}max_queued_messages 0\nmax_inflight_messages {window}\n"
        ));
        let mut stalled = narrow_client(broker.port, &Connect::new("stalled"));
        stalled.subscribe("order", 1);
        let mut sender = client(broker.port, "sender");
        let count = 3000;
        let padding = "x".repeat(1000);
        let messages =
            (0..count).map(|n| publish_qos("order", &format!("{n} {padding}"), 1, n + 1));
        let messages: Vec<u8> = messages.flatten().collect();
        // The acknowledgements fit into what the system keeps for the sender.
        sender.send(&messages);
        for n in 0..count {
            sender.expect(&puback(n + 1));
        }
        for n in 0..count {
            let packet = stalled.packet();
            let (id, _, payload) = message(&packet);
            let number = payload.split(|byte| *byte == b' ').next();
            assert_eq!(number, Some(n.to_string().as_bytes()), "window {window}");
            stalled.send(&puback(id));
        }
        ping(&mut stalled);
    }
}

#[test]
fn a_session_can_be_taken_over_from_a_client_that_does_not_read() {
    if oracle_differs("Mosquitto goes on reading") {
        return;
    }
    let broker = Broker::quiet(QUIET);
    let mut stuck = narrow_client(broker.port, &Connect::new("same"));
    let before = memory(&broker);
    send_until_stuck(&mut stuck, &PINGREQ);
    assert_grew_less(&broker, before, 16 * 1024);
    let mut next = client(broker.port, "same");
    ping(&mut next);
    let with_both = descriptors(&broker);
    wait_until("the old connection is closed", || {
        descriptors(&broker) < with_both
    });
    ping(&mut next);
}
