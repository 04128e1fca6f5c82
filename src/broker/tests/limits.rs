//! Windows and queues.

use super::harness::*;
use crate::codec::{AckKind, Properties, Property, Publish, Version};

#[test]
fn the_window_is_the_smaller_of_both_sides() {
    let mut world = World::with(|settings| settings.max_inflight_messages = 3);
    let narrow = with(hello(V5, "narrow"), Property::ReceiveMaximum(2));
    let wide = with(hello(V5, "wide"), Property::ReceiveMaximum(100));
    let clients = [world.connect(&narrow), world.connect(&wide)];
    for client in clients {
        world.subscribe(client, "t", Q2);
    }
    for n in 0..10 {
        world.inject("t", &n.to_string(), Q2);
        world.inject("t", "zero", Q0);
    }
    for (client, window) in clients.into_iter().zip([2, 3]) {
        let got = world.read(client);
        let (zero, two): (Vec<_>, Vec<_>) = got.iter().partition(|line| line.contains("zero"));
        assert_eq!(zero.len(), 10, "QoS 0 knows no window");
        assert_eq!(two.len(), window);
    }
    // PUBREC alone makes no room.
    world.ack(clients[0], AckKind::PubRec, 1);
    assert_eq!(world.read(clients[0]), ["PUBREL m1"]);
    world.ack(clients[0], AckKind::PubComp, 1);
    assert_eq!(world.read(clients[0]), ["PUBLISH q2 m3 t '2'"]);
}

#[test]
fn the_window_of_bytes_makes_messages_wait_but_a_large_one_goes_alone() {
    let mut world = World::with(|settings| settings.max_inflight_bytes = 10);
    let client = world.client(V5, "a");
    world.subscribe(client, "t", Q2);
    let large = "x".repeat(50);
    for payload in ["sixsix", "four", "five5", &large, "last"] {
        world.inject("t", payload, Q1);
    }
    world.inject("t", "zero", Q0);
    let got = world.read(client);
    assert_eq!(
        got,
        [
            "PUBLISH q1 m1 t 'sixsix'",
            "PUBLISH q1 m2 t 'four'",
            "PUBLISH t 'zero'"
        ],
        "QoS 0 knows no window"
    );
    world.ack(client, AckKind::PubAck, 1);
    assert_eq!(world.read(client), ["PUBLISH q1 m3 t 'five5'"]);
    world.ack(client, AckKind::PubAck, 2);
    assert!(world.read(client).is_empty(), "five bytes are in flight");
    world.ack(client, AckKind::PubAck, 3);
    assert_eq!(world.read(client), [format!("PUBLISH q1 m4 t '{large}'")]);
    world.ack(client, AckKind::PubAck, 4);
    assert_eq!(world.read(client), ["PUBLISH q1 m5 t 'last'"]);
}

#[test]
fn a_window_that_shrank_holds_for_what_is_sent_again() {
    let mut world = World::new();
    let client = world.connect(&lasting(V5, "a"));
    world.subscribe(client, "t", Q1);
    for n in 1..=5 {
        world.inject("t", &n.to_string(), Q1);
    }
    world.read(client);
    world.cut(client);
    world.inject("t", "6", Q1);
    let narrow = with(lasting(V5, "a"), Property::ReceiveMaximum(2));
    let (client, mut got) = world.try_connect(&narrow);
    assert_eq!(got.len(), 3, "CONNACK and two");
    for id in 1..=5 {
        world.ack(client, AckKind::PubAck, id);
        let more = world.read(client);
        assert!(more.len() <= 1);
        got.extend(more);
    }
    let order: String = got[1..]
        .iter()
        .map(|line| line.split('\'').nth(1).unwrap())
        .collect();
    assert_eq!(order, "123456");
}

#[test]
fn a_full_queue_drops_counts_and_tells_once() {
    let mut world = World::with(|settings| {
        settings.max_queued_messages = 3;
        settings.max_inflight_messages = 1;
    });
    let client = world.connect(&lasting(V311, "a"));
    world.subscribe(client, "t", Q1);
    for n in 1..=6 {
        world.inject("t", &n.to_string(), Q1);
    }
    world.read(client);
    assert_eq!(
        world.core.peers.stats.dropped, 2,
        "one in flight, three wait"
    );
    let told = |world: &mut World| {
        let log = world.log();
        log.iter()
            .filter(|line| line.contains("being dropped"))
            .count()
    };
    assert_eq!(told(&mut world), 1);
    world.ack(client, AckKind::PubAck, 1);
    world.inject("t", "7", Q1);
    world.inject("t", "8", Q1);
    assert_eq!(world.core.peers.stats.dropped, 3);
    assert_eq!(told(&mut world), 0, "it was told");
    let mut order = String::new();
    for id in 2..=5 {
        order += &world.read(client).concat();
        world.ack(client, AckKind::PubAck, id);
    }
    assert_eq!(order.matches('\'').count(), 8, "2, 3, 4 and 7: {order}");
    for n in 1..=5 {
        world.inject("t", &n.to_string(), Q1);
    }
    assert_eq!(told(&mut world), 1, "a new overflow");
}

#[test]
fn what_waited_behind_an_expired_message_is_sent_when_that_one_is_dropped() {
    let mut world = World::with(|settings| {
        settings.max_queued_messages = 1;
        settings.max_inflight_messages = 1;
    });
    let (client, publisher) = (world.client(V311, "a"), world.client(V5, "p"));
    let expiry = Property::MessageExpiryInterval(1);
    world.publish(
        publisher,
        &Publish {
            properties: Properties::new().with(expiry),
            ..retained("t", "expires", Q1)
        },
    );
    world.publish(publisher, &retained("u", "stays", Q0));
    world.subscribe(client, "first", Q1);
    world.inject("first", "x", Q1);
    assert_eq!(world.read(client), ["PUBLISH q1 m1 first 'x'"]);
    world.subscribe(client, "t", Q1);
    world.subscribe(client, "u", Q1);
    assert_eq!(world.read(client), Vec::<String>::new());
    world.pass(1_000);
    world.publish(publisher, &message("u", "next", Q0));
    let got = world.read(client);
    assert_eq!(got, ["PUBLISH retain u 'stays'", "PUBLISH u 'next'"]);
}

#[test]
fn bytes_in_a_queue_are_limited_too() {
    let mut world = World::with(|settings| settings.max_queued_bytes = 10);
    let client = world.connect(&lasting(V311, "a"));
    world.subscribe(client, "t", Q1);
    world.cut(client);
    for payload in ["123456", "12345", "1234", "1"] {
        world.inject("t", payload, Q1);
    }
    assert_eq!(world.core.peers.stats.dropped, 2);
    let (_, answer) = world.try_connect(&lasting(V311, "a"));
    let kept = ["PUBLISH q1 m1 t '123456'", "PUBLISH q1 m2 t '1234'"];
    assert_eq!(answer[1..], kept);
    world.check();
}

#[test]
fn what_expired_makes_room_in_a_full_queue() {
    let mut world = World::with(|settings| settings.max_queued_messages = 3);
    let publisher = world.client(V5, "p");
    let client = world.connect(&lasting(V5, "a"));
    world.subscribe(client, "t", Q1);
    world.cut(client);
    world.publish_fully(publisher, &message("t", "stays", Q1));
    for _ in 0..2 {
        let mut publish = message("t", "goes", Q1);
        publish.properties.push(Property::MessageExpiryInterval(5));
        world.publish_fully(publisher, &publish);
    }
    world.pass(5_000);
    for payload in ["new", "newer", "dropped"] {
        world.publish_fully(publisher, &message("t", payload, Q1));
    }
    world.check();
    assert_eq!(world.core.peers.stats.dropped, 1);
    let (_, answer) = world.try_connect(&lasting(V5, "a"));
    let payloads = ["stays", "new", "newer"];
    for (line, payload) in answer[1..].iter().zip(payloads) {
        assert!(line.contains(payload), "{answer:?}");
    }
    assert_eq!(answer.len(), 4);
}

#[test]
fn limits_hold_for_every_version() {
    for version in VERSIONS {
        let mut world = World::with(|settings| settings.max_inflight_messages = 2);
        let client = world.client(version, "a");
        world.subscribe(client, "t", Q1);
        for _ in 0..5 {
            world.inject("t", "x", Q1);
        }
        assert_eq!(count(&mut world, client), 2);
        world.ack(client, AckKind::PubAck, 2);
        assert_eq!(count(&mut world, client), 1);
    }
}

fn count(world: &mut World, client: Client) -> usize {
    let _: Version = client.version;
    world.read(client).len()
}

#[test]
fn retained_messages_that_are_asked_for_again_and_again_are_bounded_without_limits_too() {
    let mut world = World::with(|settings| settings.max_queued_messages = usize::MAX);
    let client = world.client(V5, "greedy");
    for n in 0..100 {
        let retained = retained("t", "x", Q1);
        let topic = &format!("t/{n}");
        world.publish(client, &Publish { topic, ..retained });
    }
    let requests = vec![("t/#", options(Q1)); 1000];
    for _ in 0..10 {
        world.send_subscribe(client, &requests, None);
    }
    let (_, session) = world.core.peers.sessions.iter().next().unwrap();
    let waiting = session.outgoing.queued_len();
    assert!((1000..=1500).contains(&waiting), "{waiting}");
    assert_eq!(session.queued_replays, waiting);
    // What is not asked for waits beside them.
    world.inject("t/1", "live", Q1);
    let (_, session) = world.core.peers.sessions.iter().next().unwrap();
    assert_eq!(session.outgoing.queued_len(), waiting + 1);
    assert_eq!(session.queued_replays, waiting);
}
