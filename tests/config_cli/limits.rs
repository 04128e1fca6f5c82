//! The limits of the configuration.

use crate::common::broker::{Broker, OPEN, Setup};
use crate::common::clients::{self, Subscriber};
use crate::common::raw::{Connect, Raw, packet, publish, publish_qos, text};
use crate::common::{TIMEOUT, oracle_differs};
use std::time::Duration;

fn broker(line: &str) -> Broker {
    Broker::start(&format!("{OPEN}{line}\n"))
}

#[test]
fn the_number_of_connections() {
    if oracle_differs("Mosquitto 2.0 counts wrongly after a connection without CONNECT") {
        return;
    }
    let broker = broker("max_connections 2");
    let _one = Raw::client(broker.port, &Connect::new("one"));
    let (two, _) = Raw::client(broker.port, &Connect::new("two"));
    let mut three = Raw::open(broker.port);
    // It may be closed before it has written.
    let _ = three.try_send(&Connect::new("three").bytes());
    // Server unavailable, or closed at once.
    if let Some(answer) = three.packet_or_end(TIMEOUT).expect("an answer or the end") {
        assert_eq!(answer, [0x20, 2, 0, 3]);
        three.expect_end();
    }
    drop(two);
}

#[test]
fn the_number_of_clients_on_all_listeners_together() {
    if oracle_differs("Mosquitto 2.0 doesn't know them") {
        return;
    }
    for option in ["global_max_clients", "global_max_connections"] {
        let second = Setup::new().port();
        let setup = Setup::new();
        let conf = format!("{OPEN}listener {second}\n{option} 2\n");
        let broker = setup.start(&conf);
        let (mut one, _) = Raw::client(broker.port, &Connect::new("one"));
        let _two = Raw::client(second, &Connect::new("two"));
        for port in [broker.port, second] {
            let mut three = Raw::open(port);
            three.send(&Connect::new("three").bytes());
            three.expect(&[0x20, 2, 0, 3]);
            three.expect_end();
        }
        one.send(&[0xe0, 0]);
        one.expect_end();
        Raw::client(second, &Connect::new("three"));
    }
}

#[test]
fn the_size_of_a_packet() {
    let broker = broker("max_packet_size 100");
    let (mut client, _) = Raw::client(broker.port, &Connect::new("small"));
    client.subscribe("t", 0);
    let fits = publish("t", &"x".repeat(90), false);
    client.send(&fits);
    client.expect(&fits);
    let _ = client.try_send(&publish("t", &"x".repeat(200), false));
    client.expect_end();
}

#[test]
fn the_size_of_a_packet_is_told_in_mqtt_5() {
    let broker = broker("max_packet_size 1000");
    let connect = Connect {
        version: 5,
        ..Connect::new("small")
    };
    let mut client = Raw::open(broker.port);
    client.send(&connect.bytes());
    let answer = client.packet();
    let property = [0x27, 0, 0, 0x03, 0xe8];
    assert!(
        answer.windows(5).any(|bytes| bytes == property),
        "{answer:02x?}"
    );
}

#[test]
fn the_number_of_messages_in_flight() {
    let broker = broker("max_inflight_messages 1");
    let (mut client, _) = Raw::client(broker.port, &Connect::new("slow"));
    client.subscribe("t", 1);
    let (mut other, _) = Raw::client(broker.port, &Connect::new("fast"));
    for (id, text) in [(1, "one"), (2, "two")] {
        other.send(&publish_qos("t", text, 1, id));
        other.expect(&[0x40, 2, 0, id as u8]);
    }
    let first = client.packet();
    assert!(first.ends_with(b"one"), "{first:02x?}");
    // The second waits for PUBACK: the broker answers this first.
    client.send(&[0xc0, 0]);
    client.expect(&[0xd0, 0]);
    let id = [first[5], first[6]];
    client.send(&packet(0x40, &[&id]));
    let second = client.packet();
    assert!(second.ends_with(b"two"), "{second:02x?}");
}

#[test]
fn the_bytes_in_flight() {
    if oracle_differs("Mosquitto lets the last message go beyond the limit") {
        return;
    }
    let broker = broker("max_inflight_bytes 10");
    let (mut client, _) = Raw::client(broker.port, &Connect::new("slow"));
    client.subscribe("t", 1);
    let (mut other, _) = Raw::client(broker.port, &Connect::new("fast"));
    let large = "more than ten bytes";
    for (id, text) in [(1, "one"), (2, large), (3, "two")] {
        other.send(&publish_qos("t", text, 1, id));
        other.expect(&[0x40, 2, 0, id as u8]);
    }
    for text in ["one", large, "two"] {
        let packet = client.packet();
        assert!(packet.ends_with(text.as_bytes()), "{packet:02x?}");
        // The next one waits for PUBACK: the broker answers this first.
        client.send(&[0xc0, 0]);
        client.expect(&[0xd0, 0]);
        client.send(&[0x40, 2, packet[5], packet[6]]);
    }
}

#[test]
fn the_number_of_messages_that_wait() {
    let broker = broker("max_inflight_messages 1\nmax_queued_messages 2");
    let keep = Connect {
        clean: false,
        ..Connect::new("away")
    };
    let (mut client, _) = Raw::client(broker.port, &keep);
    client.subscribe("t", 1);
    client.send(&[0xe0, 0]);
    client.expect_end();
    let (mut other, _) = Raw::client(broker.port, &Connect::new("busy"));
    for id in 1..=9 {
        other.send(&publish_qos("t", &id.to_string(), 1, id));
        other.expect(&[0x40, 2, 0, id as u8]);
    }
    // The oldest are kept; one in flight may come on top of the two that wait.
    let (mut client, _) = Raw::client(broker.port, &keep);
    let mut payloads = Vec::new();
    client.send(&[0xc0, 0]);
    let mut pongs = 0;
    while pongs < 1 + payloads.len() {
        let packet = client.packet();
        if packet[0] == 0xd0 {
            pongs += 1;
            continue;
        }
        assert_eq!(packet[0], 0x32, "{packet:02x?}");
        payloads.push(packet[packet.len() - 1]);
        client.send(&[0x40, 2, packet[5], packet[6], 0xc0, 0]);
    }
    assert!(payloads == b"12" || payloads == b"123", "{payloads:?}");
}

#[test]
fn the_memory_for_all_clients() {
    if oracle_differs("Mosquitto denies itself the memory and disconnects") {
        return;
    }
    let broker = broker("memory_limit 1000000");
    let (mut cleaner, _) = Raw::client(broker.port, &Connect::new("cleaner"));
    let (mut filler, _) = Raw::client(broker.port, &Connect::new("filler"));
    let payload = "x".repeat(50_000);
    let mut kept = 0;
    loop {
        let mut publish = publish_qos(&format!("r/{kept}"), &payload, 1, 1);
        publish[0] |= 1; // retained
        filler.send(&publish);
        match filler.packet_or_end(TIMEOUT).expect("an answer or the end") {
            Some(answer) => assert_eq!(answer, [0x40, 2, 0, 1]),
            None => break,
        }
        kept += 1;
        assert!(kept < 30, "there is no limit");
    }
    assert!(kept > 15, "only {kept} were kept");
    let connect = |id| {
        let mut client = Raw::open(broker.port);
        client.send(&Connect::new(id).bytes());
        client.packet()
    };
    assert_eq!(connect("new"), [0x20, 2, 0, 3]);
    for number in 0..kept {
        let mut clear = publish(&format!("r/{number}"), "", false);
        clear[0] |= 1;
        cleaner.send(&clear);
    }
    cleaner.send(&[0xc0, 0]);
    cleaner.expect(&[0xd0, 0]);
    assert_eq!(connect("new"), [0x20, 2, 0, 0]);
    for words in ["memory_limit is reached: ", "memory_limit is kept again: "] {
        broker.process().stderr.wait_for(words);
        let log = broker.log();
        assert_eq!(log.matches(words).count(), 1, "{log}");
    }
}

#[test]
fn the_quality_of_service() {
    let broker = broker("max_qos 1");
    let connect = Connect {
        version: 5,
        ..Connect::new("five")
    };
    let mut client = Raw::open(broker.port);
    client.send(&connect.bytes());
    let answer = client.packet();
    assert!(
        answer.windows(2).any(|bytes| bytes == [0x24, 1]),
        "{answer:02x?}"
    );
    let (mut old, _) = Raw::client(broker.port, &Connect::new("four"));
    old.send(&packet(0x82, &[&[0, 1], &text("t"), &[2]]));
    old.expect(&[0x90, 3, 0, 1, 1]);
}

/// The interval is in minutes: this takes one.
#[test]
fn retained_messages_that_have_expired_go_by_themselves() {
    let conf = "sys_interval 1\nretain_expiry_interval 1\n";
    let broker = Broker::start(&format!("{OPEN}{conf}"));
    let watcher = Subscriber::start(&broker, &["-t", "$SYS/broker/retained messages/count"]);
    let message = ["-V", "5", "-r", "-q", "1", "-t", "t", "-m", "x"];
    let expiry = ["-D", "publish", "message-expiry-interval", "1"];
    clients::publish(&broker, &[&message[..], &expiry[..]].concat());
    let count = || {
        let line = watcher.process.stdout.line_within(Duration::from_secs(120));
        line.parse::<u32>().expect("a number")
    };
    // It is told when it changes, and falls for no other reason.
    let mut before = count();
    loop {
        let now = count();
        if now < before {
            break;
        }
        before = now;
    }
}
