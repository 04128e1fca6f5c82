//! Brokers that are bridged in rings: each message comes once to each.

use super::durable::Kept;
use super::harness::*;
use crate::broker::Policy;
use crate::codec::{
    AckKind, BRIDGE, Connect, Packet, Properties, Property, Publish, QoS, ReasonCode,
    SubscriptionOptions, Version,
};

/// How often bytes may cross all bridges until nothing moves.
const PATIENCE: usize = 100;

/// A CONNECT of a bridge in MQTT 5.
fn introduced(client_id: &str) -> Connect<'_> {
    with(lasting(V5, client_id), Property::UserProperty(BRIDGE, ""))
}

/// What bridges ask for.
fn everything(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        no_local: true,
        retain_as_published: true,
        ..options(qos)
    }
}

/// A bridge of the broker `near`: packets pass as they are.
struct Bridge {
    near: usize,
    link: Client,
    far: usize,
    client: Client,
}

/// Three brokers, each with a bridge to the next one, for everything in both
/// directions.
struct Ring {
    brokers: Vec<World>,
    bridges: Vec<Bridge>,
}

impl Ring {
    /// Brokers that aren't bridged yet.
    fn apart() -> Self {
        let brokers = (1..=3).map(|id| {
            let mut world = World::new();
            world.core.set_origin(id);
            world
        });
        Self {
            brokers: brokers.collect(),
            bridges: Vec::new(),
        }
    }

    fn new() -> Self {
        let mut ring = Self::apart();
        ring.close();
        ring
    }

    fn close(&mut self) {
        for near in 0..3 {
            self.bridge(near, (near + 1) % 3);
        }
        self.flow();
    }

    fn bridge(&mut self, near: usize, far: usize) {
        let link = in_process(&mut self.brokers[near], &format!("to{far}"));
        let name = format!("from{near}");
        let client = self.brokers[far].connect(&introduced(&name));
        for (broker, client) in [(near, link), (far, client)] {
            let all = [("#", everything(Q2))];
            self.brokers[broker].send_subscribe(client, &all, None);
        }
        self.bridges.push(Bridge {
            near,
            link,
            far,
            client,
        });
    }

    /// Carries what there is over all bridges. False: there is more, after
    /// many rounds.
    fn rests(&mut self) -> bool {
        for _ in 0..PATIENCE {
            let mut moved = false;
            for bridge in &self.bridges {
                let ends = [(bridge.near, bridge.link), (bridge.far, bridge.client)];
                for [from, to] in [ends, [ends[1], ends[0]]] {
                    let work = self.brokers[from.0].take(from.1).unwrap();
                    let bytes = passed_on(&work.bytes);
                    moved |= !bytes.is_empty();
                    self.brokers[to.0].send_bytes(to.1, &bytes);
                }
            }
            if !moved {
                return true;
            }
        }
        false
    }

    #[track_caller]
    fn flow(&mut self) {
        assert!(self.rests(), "something goes around for ever");
    }

    fn subscribers(&mut self, version: Version, filter: &str) -> Vec<Client> {
        let join = |world: &mut World| {
            let client = world.client(version, "subscriber");
            world.subscribe(client, filter, Q2);
            client
        };
        self.brokers.iter_mut().map(join).collect()
    }

    /// What came to a subscriber, acknowledged.
    fn received(&mut self, broker: usize, client: Client) -> Vec<String> {
        let world = &mut self.brokers[broker];
        let mut all = Vec::new();
        let mut lines = world.read(client);
        while !lines.is_empty() {
            for line in &lines {
                let id = || line.split(" m").nth(1)?.split(' ').next()?.parse().ok();
                match line.split(' ').take(2).collect::<Vec<_>>()[..] {
                    ["PUBLISH", "q1"] => world.ack(client, AckKind::PubAck, id().unwrap()),
                    ["PUBLISH", "q2"] => world.ack(client, AckKind::PubRec, id().unwrap()),
                    ["PUBREL", _] => {
                        world.ack(client, AckKind::PubComp, id().unwrap());
                        continue;
                    }
                    _ => {}
                }
                let id = id().map_or(String::new(), |id: u16| format!(" m{id}"));
                all.push(line.replacen(&id, "", 1));
            }
            lines = world.read(client);
        }
        all
    }
}

/// A connection of a bridge of this broker.
fn in_process(world: &mut World, client_id: &str) -> Client {
    let policy = std::mem::replace(&mut world.policy, Policy::bridge());
    let client = world.connect(&lasting(V5, client_id));
    world.policy = policy;
    client
}

/// What a bridge passes on: messages and their acknowledgements.
fn passed_on(bytes: &[u8]) -> Vec<u8> {
    let mut passed = Vec::new();
    for packet in packets(V5, bytes) {
        if matches!(packet, Packet::Publish(_) | Packet::Ack(..)) {
            packet.encode(V5, &mut passed);
        }
    }
    passed
}

fn stamped<'a>(publish: Publish<'a>, stamp: &str) -> Publish<'a> {
    let stamp = Property::UserProperty("moustique-origin", stamp);
    Publish {
        properties: publish.properties.with(stamp),
        ..publish
    }
}

#[test]
fn in_a_ring_each_message_comes_once_to_each_broker() {
    for version in [V311, V5] {
        let mut ring = Ring::new();
        let subscribers = ring.subscribers(version, "#");
        for from in 0..3 {
            let publisher = ring.brokers[from].client(version, "publisher");
            for qos in [Q0, Q1, Q2] {
                let text = format!("{from}{}", qos as u8);
                for publish in [message("t", &text, qos), retained("kept/t", &text, qos)] {
                    ring.brokers[from].publish_fully(publisher, &publish);
                    ring.flow();
                    let quality = ["", " q1", " q2"][qos as usize];
                    let expected = format!("PUBLISH{quality} {} '{text}'", publish.topic);
                    for (broker, client) in subscribers.iter().enumerate() {
                        let got = ring.received(broker, *client);
                        assert_eq!(got, [expected.as_str()], "from {from} at {broker}");
                    }
                }
            }
        }
        for (broker, world) in ring.brokers.iter_mut().enumerate() {
            let late = world.client(V5, "late");
            let got = world.subscribe(late, "kept/#", Q0);
            assert_eq!(got, ["PUBLISH retain kept/t '22'"], "{broker}");
            for bridge in ["to0", "to1", "to2", "from0", "from1", "from2"] {
                assert!(matches!(world.core.queued(bridge), None | Some(0)));
            }
        }
    }
}

#[test]
fn without_stamps_it_would_go_around_for_ever() {
    let mut ring = Ring::apart();
    ring.brokers = (0..3).map(|_| World::new()).collect();
    ring.close();
    let publisher = ring.brokers[0].client(V5, "publisher");
    ring.brokers[0].publish(publisher, &message("t", "x", Q0));
    assert!(!ring.rests());
}

#[test]
fn many_messages_at_once_keep_their_order_and_number() {
    let mut ring = Ring::new();
    let subscribers = ring.subscribers(V311, "#");
    let publishers: Vec<_> = (0..3)
        .map(|at| ring.brokers[at].client(V5, "publisher"))
        .collect();
    for number in 0..50 {
        for (at, publisher) in publishers.iter().enumerate() {
            let qos = [Q1, Q2][number % 2];
            let text = format!("{number}");
            let topic = format!("from/{at}");
            ring.brokers[at].publish_fully(*publisher, &message(&topic, &text, qos));
        }
    }
    ring.flow();
    for (broker, client) in subscribers.iter().enumerate() {
        let mut got = ring.received(broker, *client);
        // The subscriber's window is narrower than what came.
        ring.flow();
        got.extend(ring.received(broker, *client));
        for from in 0..3 {
            let from = format!("from/{from} '");
            let of = got.iter().filter_map(|line| line.split(&from).nth(1));
            let expected: Vec<_> = (0..50).map(|number| format!("{number}'")).collect();
            assert_eq!(of.collect::<Vec<_>>(), expected, "{from} at {broker}");
        }
        assert_eq!(got.len(), 150);
    }
}

#[test]
fn wills_and_what_the_broker_tells_come_once_too() {
    let mut ring = Ring::new();
    let subscribers = ring.subscribers(V5, "news/#");
    let testator = Connect {
        will: Some(will("news/will", "gone")),
        ..hello(V5, "testator")
    };
    let testator = ring.brokers[1].connect(&testator);
    ring.brokers[1].cut(testator);
    ring.brokers[2]
        .core
        .publish_notification(0, "news/own", "1", true);
    ring.flow();
    for (broker, client) in subscribers.iter().enumerate() {
        let mut got = ring.received(broker, *client);
        got.sort();
        let expected = ["PUBLISH news/will 'gone'", "PUBLISH q1 news/own '1'"];
        assert_eq!(got, expected, "{broker}");
    }
}

#[test]
fn retained_messages_from_before_the_ring_come_once() {
    let mut ring = Ring::apart();
    let publisher = ring.brokers[0].client(V5, "publisher");
    ring.brokers[0].publish(publisher, &retained("t", "x", Q1));
    let subscribers = ring.subscribers(V5, "t");
    assert!(ring.received(0, subscribers[0]).is_empty());
    ring.close();
    for broker in [1, 2] {
        let got = ring.received(broker, subscribers[broker]);
        assert_eq!(got, ["PUBLISH q1 t 'x'"], "{broker}");
    }
    assert!(ring.received(0, subscribers[0]).is_empty(), "it had it");
    // Bridges that ask again bring nothing again.
    for bridge in &ring.bridges {
        let all = [("#", everything(Q2))];
        ring.brokers[bridge.near].send_subscribe(bridge.link, &all, None);
        ring.brokers[bridge.far].send_subscribe(bridge.client, &all, None);
    }
    ring.flow();
    for (broker, client) in subscribers.iter().enumerate() {
        assert!(ring.received(broker, *client).is_empty(), "{broker}");
    }
}

#[test]
fn nobody_but_bridges_sees_stamps_and_nobody_but_they_may_bring_them() {
    let mut world = World::new();
    world.core.set_origin(0xAB);
    let bridge = world.connect(&introduced("bridge"));
    world.subscribe(bridge, "#", Q0);
    let modern = world.client(V5, "modern");
    world.subscribe(modern, "#", Q0);
    let old = world.client(V311, "old");
    world.subscribe(old, "#", Q0);
    let publisher = world.client(V5, "publisher");
    let read = |world: &mut World| {
        let lines = [bridge, modern, old].map(|client| world.read(client));
        lines.map(|lines| lines.join("\n"))
    };

    let own = Property::UserProperty("a", "b");
    let publish = Publish {
        properties: Properties::new().with(own),
        ..message("t", "x", Q0)
    };
    world.publish(publisher, &publish);
    let plain = r#"PUBLISH t 'x' UserProperty("a", "b")"#;
    let stamp = |text: &str| format!(r#" UserProperty("moustique-origin", "{text}")"#);
    let first = stamp("ab.1.f10c3da3");
    assert_eq!(
        read(&mut world),
        [&format!("{plain}{first}"), plain, "PUBLISH t 'x'"]
    );
    // What a client makes up is its own affair.
    world.publish(publisher, &stamped(publish.clone(), "1.2.3"));
    world.publish(publisher, &stamped(publish, "1.2.3"));
    let lines = read(&mut world);
    let made_up = format!("{plain}{}", stamp("1.2.3"));
    let numbers = [2, 3].map(|number| stamp(&format!("ab.{number}.f10c3da3")));
    let expected = numbers.map(|stamp| format!("{made_up}{stamp}"));
    assert_eq!(lines[0], expected.join("\n"));
    assert_eq!(lines[1], [&*made_up, &made_up].join("\n"));
}

#[test]
fn what_came_around_is_acknowledged_and_handed_out_no_more() {
    let mut world = World::new();
    let bridge = world.connect(&introduced("bridge"));
    let subscriber = world.client(V5, "subscriber");
    world.subscribe(subscriber, "#", Q0);
    let first = stamped(retained("t", "x", Q1), "1.2.3");
    world.publish_fully(bridge, &first);
    assert_eq!(world.read(subscriber), ["PUBLISH t 'x'"]);

    world.publish(bridge, &first);
    assert_eq!(world.read(bridge), ["PUBACK m7"]);
    let second = stamped(message("t", "x", Q2), "1.2.3");
    world.publish(bridge, &second);
    assert_eq!(world.read(bridge), ["PUBREC m7"]);
    world.publish(
        bridge,
        &Publish {
            dup: true,
            ..second
        },
    );
    assert_eq!(world.read(bridge), ["PUBREC m7"]);
    world.ack(bridge, AckKind::PubRel, 7);
    assert_eq!(world.read(bridge), ["PUBCOMP m7"]);
    assert_eq!(world.read(subscriber), Vec::<String>::new());

    // On another topic it is another message, as is one with another number.
    world.publish(bridge, &stamped(message("other", "x", Q0), "1.2.3"));
    world.publish(bridge, &stamped(message("t", "y", Q0), "1.3.3"));
    world.publish(bridge, &message("t", "z", Q0));
    world.publish(bridge, &message("t", "z", Q0));
    assert_eq!(
        world.read(subscriber),
        [
            "PUBLISH other 'x'",
            "PUBLISH t 'y'",
            "PUBLISH t 'z'",
            "PUBLISH t 'z'"
        ]
    );
}

#[test]
fn a_message_of_qos_2_that_is_repeated_is_no_message_that_came_around() {
    let mut world = World::new();
    let subscriber = world.client(V5, "subscriber");
    world.subscribe(subscriber, "#", Q0);
    let bridge = world.connect(&introduced("bridge"));
    let publish = stamped(message("t", "x", Q2), "1.2.3");
    world.publish(bridge, &publish);
    world.cut(bridge);
    let bridge = world.try_connect(&introduced("bridge")).0;
    world.publish(
        bridge,
        &Publish {
            dup: true,
            ..publish
        },
    );
    assert_eq!(world.read(bridge), ["PUBREC m7"]);
    world.ack(bridge, AckKind::PubRel, 7);
    assert_eq!(world.read(bridge), ["PUBCOMP m7"]);
    assert_eq!(world.read(subscriber), ["PUBLISH t 'x'"]);
}

#[test]
fn what_was_refused_may_come_another_way() {
    let mut world = World::new();
    world.core.peers.settings.message_size_limit = 1;
    let bridge = world.connect(&introduced("bridge"));
    let subscriber = world.client(V5, "subscriber");
    world.subscribe(subscriber, "#", Q0);
    let publish = stamped(message("t", "xx", Q1), "1.2.3");
    world.publish(bridge, &publish);
    assert_eq!(world.read(bridge), ["PUBACK m7 0x97"]);
    world.core.peers.settings.message_size_limit = 2;
    world.publish(bridge, &publish);
    assert_eq!(world.read(subscriber), ["PUBLISH t 'xx'"]);
}

#[test]
fn a_stamp_lasts_as_long_as_its_message_and_its_broker_knows_it_again() {
    let mut kept = Kept::new();
    kept.core.set_origin(0xAB);
    let bridge = kept.join(&introduced("bridge")).0;
    kept.enrol(bridge, "#", Q1);
    kept.disconnect(bridge);
    kept.commit();
    let publisher = kept.lasting(V5, "publisher");
    kept.publish_kept(publisher, &message("t", "x", Q1));
    kept.publish_kept(publisher, &retained("kept", "x", Q1));

    kept.crash_into(0, |world| world.core.set_origin(0xCD));
    // It is still known as a bridge.
    kept.inject("t", "y", Q1);
    kept.commit();
    let (bridge, lines) = kept.join(&introduced("bridge"));
    let all = [lines[1..].to_vec(), kept.enrol(bridge, "kept", Q1)].concat();
    let stamps = ["ab.1.f10c3da3", "ab.2.e8614759", "cd.1.f10c3da3"];
    let count = |stamp| all.iter().filter(|line| line.contains(stamp)).count();
    assert_eq!(stamps.map(count), [1, 2, 1], "{all:#?}");

    let subscriber = kept.lasting(V5, "subscriber");
    kept.enrol(subscriber, "t", Q0);
    for stamp in [stamps[0], stamps[2]] {
        kept.publish(bridge, &stamped(message("t", "x", Q0), stamp));
    }
    assert_eq!(kept.read(subscriber), Vec::<String>::new());
}

#[test]
fn what_a_failed_store_lost_may_come_again() {
    let mut kept = Kept::new();
    let bridge = kept.join(&introduced("bridge")).0;
    let publish = stamped(message("t", "x", Q1), "1.2.3");
    kept.publish(bridge, &publish);
    kept.core.store_failed(0);
    kept.restore();
    let bridge = kept.join(&introduced("bridge")).0;
    let subscriber = kept.lasting(V5, "subscriber");
    kept.enrol(subscriber, "t", Q0);
    kept.publish(bridge, &publish);
    assert_eq!(kept.read(subscriber), ["PUBLISH t 'x'"]);
}

#[test]
fn a_session_is_a_bridges_as_long_as_its_last_connection_was() {
    let mut world = World::new();
    world.core.set_origin(1);
    let bridge = world.connect(&introduced("client"));
    world.subscribe(bridge, "#", Q1);
    world.cut(bridge);
    world.inject("t", "x", Q1);
    let (client, lines) = world.try_connect(&lasting(V5, "client"));
    assert_eq!(lines[1..], ["PUBLISH q1 m1 t 'x'"]);
    world.inject("t", "y", Q1);
    assert_eq!(world.read(client), ["PUBLISH q1 m2 t 'y'"]);
    world.cut(client);
    let old = Connect {
        bridge: true,
        ..lasting(V311, "client")
    };
    let (old, _) = world.try_connect(&old);
    world.inject("t", "z", Q0);
    assert_eq!(world.read(old), ["PUBLISH t 'z'"]);
    world.ack_with(old, AckKind::PubAck, 1, ReasonCode::SUCCESS);
    assert!(world.core.subscriptions.route("t", false).targets.len() == 1);
    assert!(!world.core.subscriptions.route("t", false).reaches_bridge);
}

#[test]
fn a_shared_group_may_have_a_bridge_in_it() {
    let mut world = World::new();
    world.core.set_origin(1);
    let bridge = world.connect(&introduced("bridge"));
    world.subscribe(bridge, "$share/g/#", Q0);
    world.inject("t", "x", Q0);
    assert!(world.read(bridge)[0].contains("moustique-origin"));
    world.core.remove_session(0, "bridge");
    world.read(bridge);
    world.check_empty();
}
