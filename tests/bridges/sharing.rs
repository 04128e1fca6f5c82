//! What goes over a bridge: directions, prefixes, QoS, flags.

use crate::common::broker::Broker;
use crate::common::raw::{Connect, Raw, packet, publish, publish_qos, text};
use crate::far::{Far, bridged};

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv50"];

fn client(broker: &Broker, id: &str) -> Raw {
    Raw::client(broker.port, &Connect::new(id)).0
}

/// A PUBLISH as it is delivered: QoS 0, this retain flag.
fn delivered(topic: &str, payload: &str, retain: bool) -> Vec<u8> {
    packet(0x30 | u8::from(retain), &[&text(topic), payload.as_bytes()])
}

/// The bridge has passed on all that was there before: a message by the same
/// way says so.
fn until_through(from: &mut Raw, topic: &str, to: &mut Raw, comes_as: &str) {
    from.send(&publish(topic, "through", false));
    to.expect(&delivered(comes_as, "through", false));
}

#[test]
fn messages_go_both_ways_and_none_comes_back() {
    for far in Far::all("bridges to Mosquitto") {
        for version in VERSIONS {
            let far_broker = far.open();
            let lines = format!(
                "bridge_protocol_version {version}\n\
                 topic sensors/# both 1 here/ there/\ntopic up out 0\ntopic down in 0\n"
            );
            let near_broker = bridged(far_broker.port, &lines);
            let (mut near, mut there) = (client(&near_broker, "n"), client(&far_broker, "f"));
            near.subscribe("#", 0);
            there.subscribe("#", 0);

            near.send(&publish("here/sensors/température", "21.5", false));
            let own = delivered("here/sensors/température", "21.5", false);
            near.expect(&own);
            there.expect(&delivered("there/sensors/température", "21.5", false));

            there.send(&publish("there/sensors/b", "1", false));
            there.expect(&delivered("there/sensors/b", "1", false));
            near.expect(&delivered("here/sensors/b", "1", false));

            // If anything came back, it would come before this.
            near.send(&publish("up", "u", false));
            near.expect(&delivered("up", "u", false));
            there.expect(&delivered("up", "u", false));
            there.send(&publish("down", "d", false));
            there.expect(&delivered("down", "d", false));
            near.expect(&delivered("down", "d", false));
            near.send(&publish("down", "stays here", false));
            near.expect(&delivered("down", "stays here", false));
            near.send(&publish("up", "u", false));
            near.expect(&delivered("up", "u", false));
            there.expect(&delivered("up", "u", false));
        }
    }
}

#[test]
fn qos_2_stays_qos_2() {
    for far in Far::all("QoS 2 over a bridge to Mosquitto") {
        for version in VERSIONS {
            let far_broker = far.open();
            let lines = format!("bridge_protocol_version {version}\ntopic # both 2\n");
            let near_broker = bridged(far_broker.port, &lines);
            let (mut near, mut there) = (client(&near_broker, "n"), client(&far_broker, "f"));
            near.subscribe("from/far", 2);
            there.subscribe("from/near", 2);
            for (from, to, topic) in [(0, 1, "from/near"), (1, 0, "from/far")] {
                let ends = [&mut near, &mut there];
                ends[from].send(&publish_qos(topic, "exactly once", 2, 7));
                ends[from].expect(&[0x50, 2, 0, 7]);
                ends[from].send(&[0x62, 2, 0, 7]);
                ends[from].expect(&[0x70, 2, 0, 7]);
                let got = ends[to].packet();
                assert_eq!(got[0], 0x34, "{far:?} {version}: QoS 2, no repeat");
                assert!(got.ends_with(b"exactly once"), "{far:?} {version}");
            }
        }
    }
}

#[test]
fn retained_messages_come_over_with_their_flag() {
    for far in Far::all("retained messages over a bridge to Mosquitto") {
        for version in VERSIONS {
            let far_broker = far.open();
            let mut there = client(&far_broker, "f");
            there.send(&publish("in/old", "1", true));
            there.subscribe("ready", 0);
            let lines = format!(
                "bridge_protocol_version {version}\ntopic in/# in 1\ntopic out/# out 1\ntopic ready out 1\n"
            );
            let near_broker = bridged(far_broker.port, &lines);
            let mut near = client(&near_broker, "n");
            near.send(&publish("out/new", "2", true));
            until_through(&mut near, "ready", &mut there, "ready");
            there.subscribe("out/#", 0);
            there.expect(&delivered("out/new", "2", true));
            near.subscribe("in/#", 0);
            near.expect(&delivered("in/old", "1", true));
        }
    }
}

#[test]
fn the_far_broker_learns_the_state_of_the_bridge() {
    for far in Far::all("notifications of a bridge to Mosquitto") {
        let far_broker = far.open();
        let mut there = client(&far_broker, "f");
        there.subscribe("$SYS/broker/connection/+/state", 0);
        let near = bridged(far_broker.port, "topic # out 0");
        let topic = "$SYS/broker/connection/near/state";
        there.expect(&delivered(topic, "1", false));
        // Nobody says goodbye: the will tells.
        let setup = near.kill();
        there.expect(&delivered(topic, "0", false));
        let near = setup.start(&crate::far::conf(far_broker.port, "topic # out 0"));
        there.expect(&delivered(topic, "1", false));
        near.stop();
        there.expect(&delivered(topic, "0", false));
    }
}
