//! What one of the brokers doesn't take does not hold up the bridge.

use crate::common::broker::{Broker, Setup};
use crate::common::oracle_differs;
use crate::common::raw::{Connect, Raw, packet, publish_qos, text};
use crate::far::{self, Far};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv50"];

/// A near broker with these lines of its own before the bridge.
fn near(own: &str, version: &str, far: &Broker) -> Broker {
    let lines = format!("bridge_protocol_version {version}\ntopic # in 2\n");
    let near = Broker::start(&format!("{own}{}", far::conf(far.port, &lines)));
    // What it publishes about that may not be retained.
    near.process().stderr.wait_for("Bridge out: connected");
    near
}

fn publish_exactly_once(client: &mut Raw, topic: &str, payload: &str, retain: bool) {
    let mut publish = publish_qos(topic, payload, 2, 1);
    publish[0] |= u8::from(retain);
    client.send(&publish);
    client.expect(&[0x50, 2, 0, 1]);
    client.send(&[0x62, 2, 0, 1]);
    client.expect(&[0x70, 2, 0, 1]);
}

fn ends(far: &Broker, near: &Broker) -> (Raw, Raw) {
    let (there, _) = Raw::client(far.port, &Connect::new("f"));
    let (mut here, _) = Raw::client(near.port, &Connect::new("n"));
    here.subscribe("up/#", 0);
    (there, here)
}

#[test]
fn what_is_too_large_for_this_broker_is_left_out() {
    if oracle_differs("it ends the connection") {
        return;
    }
    for far in Far::all("large messages from Mosquitto") {
        for version in VERSIONS {
            // One message after the other.
            let conf = "listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 1\n";
            let far_broker = far.start(Setup::new(), conf);
            let near_broker = near("message_size_limit 100\n", version, &far_broker);
            let (mut there, mut here) = ends(&far_broker, &near_broker);
            publish_exactly_once(&mut there, "up/large", &"x".repeat(101), false);
            publish_exactly_once(&mut there, "up/small", "small", false);
            here.expect(&packet(0x30, &[&text("up/small"), b"small"]));
        }
    }
}

#[test]
fn a_broker_that_retains_nothing_gets_retained_messages_without_the_flag() {
    if oracle_differs("it ends the connection") {
        return;
    }
    for far in Far::all("retained messages from Mosquitto") {
        for version in VERSIONS {
            let far_broker = far.open();
            let near_broker = near("retain_available false\n", version, &far_broker);
            let (mut there, mut here) = ends(&far_broker, &near_broker);
            publish_exactly_once(&mut there, "up/kept", "1", true);
            here.expect(&packet(0x30, &[&text("up/kept"), b"1"]));
        }
    }
}

#[test]
fn a_far_broker_that_takes_less_gets_what_it_takes() {
    if oracle_differs("it has no such bridge") {
        return;
    }
    for far in Far::all("bridges to a Mosquitto that takes less") {
        for less in ["max_qos 0", "max_qos 1", "retain_available false"] {
            let conf = format!("listener {{port}} 127.0.0.1\nallow_anonymous true\n{less}\n");
            let far_broker = far.start(Setup::new(), &conf);
            let lines = "bridge_protocol_version mqttv50\ntopic # out 2\n";
            let near_broker = far::bridged(far_broker.port, lines);
            let (mut there, _) = Raw::client(far_broker.port, &Connect::new("f"));
            there.subscribe("up", 0);
            let (mut here, _) = Raw::client(near_broker.port, &Connect::new("n"));
            for payload in ["a", "b"] {
                publish_exactly_once(&mut here, "up", payload, true);
                there.expect(&packet(0x30, &[&text("up"), payload.as_bytes()]));
            }
        }
    }
}
