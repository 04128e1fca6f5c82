//! Retained messages and how subscriptions are answered with them.

use super::harness::*;
use crate::codec::{Property, RetainHandling, SubscriptionOptions};

fn handling(retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions {
        retain_handling,
        ..options(Q2)
    }
}

#[test]
fn the_last_message_of_each_topic_is_kept() {
    let mut world = World::new();
    let publisher = world.client(V311, "p");
    world.publish(publisher, &retained("a/1", "old", Q0));
    world.publish(publisher, &retained("a/1", "new", Q0));
    world.publish(publisher, &retained("a/2", "two", Q0));
    world.publish(publisher, &message("a/2", "not kept", Q0));
    let client = world.client(V311, "c");
    let mut got = world.subscribe(client, "a/+", Q0);
    got.sort();
    assert_eq!(
        got,
        ["PUBLISH retain a/1 'new'", "PUBLISH retain a/2 'two'"]
    );
    assert_eq!(world.core.retained.counts(), (2, 6));
}

#[test]
fn an_empty_payload_forgets_and_is_passed_on() {
    let mut world = World::new();
    let publisher = world.client(V311, "p");
    let client = world.client(V311, "c");
    world.publish(publisher, &retained("a", "x", Q0));
    world.subscribe(client, "a", Q0);
    world.publish(publisher, &retained("a", "", Q0));
    assert_eq!(world.read(client), ["PUBLISH a ''"]);
    assert_eq!(world.subscribe(client, "a", Q0), Vec::<String>::new());
    assert_eq!(world.core.retained.counts(), (0, 0));
}

#[test]
fn the_qos_is_the_lower_of_both() {
    let mut world = World::new();
    let publisher = world.client(V311, "p");
    for (topic, qos) in [("0", Q0), ("1", Q1), ("2", Q2)] {
        world.publish_fully(publisher, &retained(topic, "x", qos));
    }
    let client = world.client(V311, "c");
    let at = |world: &mut World, topic: &str, qos| world.subscribe(client, topic, qos).join("");
    assert_eq!(at(&mut world, "0", Q2), "PUBLISH retain 0 'x'");
    assert_eq!(at(&mut world, "2", Q0), "PUBLISH retain 2 'x'");
    assert_eq!(at(&mut world, "2", Q1), "PUBLISH q1 m1 retain 2 'x'");
    assert_eq!(at(&mut world, "1", Q2), "PUBLISH q1 m2 retain 1 'x'");
}

#[test]
fn retain_handling_says_when() {
    let mut world = World::new();
    let publisher = world.client(V311, "p");
    world.publish(publisher, &retained("a", "x", Q0));
    let client = world.client(V5, "c");
    let mut count = |handling_: RetainHandling| {
        world
            .subscribe_with(client, "a", handling(handling_), None)
            .len()
    };
    assert_eq!(count(RetainHandling::Never), 0);
    assert_eq!(count(RetainHandling::IfNew), 0, "it exists");
    assert_eq!(count(RetainHandling::Always), 1);
    world.unsubscribe(client, "a");
    world.read(client);
    let got = world.subscribe_with(client, "a", handling(RetainHandling::IfNew), None);
    assert_eq!(got.len(), 1, "it is new");
}

#[test]
fn retain_as_published_keeps_the_flag_of_live_messages() {
    let mut world = World::new();
    let publisher = world.client(V311, "p");
    let (plain, keeping) = (world.client(V5, "c"), world.client(V5, "d"));
    world.subscribe(plain, "a", Q0);
    let as_published = SubscriptionOptions {
        retain_as_published: true,
        ..options(Q0)
    };
    world.subscribe_with(keeping, "a", as_published, None);
    world.publish(publisher, &retained("a", "1", Q0));
    world.publish(publisher, &message("a", "2", Q0));
    assert_eq!(world.read(plain), ["PUBLISH a '1'", "PUBLISH a '2'"]);
    assert_eq!(
        world.read(keeping),
        ["PUBLISH retain a '1'", "PUBLISH a '2'"]
    );
    let again = world.subscribe(plain, "a", Q0);
    assert_eq!(again, ["PUBLISH retain a '1'"]);
}

#[test]
fn retained_messages_carry_the_subscription_identifier_and_what_remains() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    let mut publish = retained("a", "x", Q0);
    publish.properties.push(Property::MessageExpiryInterval(10));
    publish.properties.push(Property::ContentType("text"));
    world.publish(publisher, &publish);
    world.pass(3_500);
    let client = world.client(V5, "c");
    let got = world.subscribe_with(client, "a", options(Q0), Some(5));
    assert_eq!(
        got,
        [
            "PUBLISH retain a 'x' SubscriptionIdentifier(5) ContentType(\"text\") \
          MessageExpiryInterval(7)"
        ]
    );
    world.pass(6_500);
    assert_eq!(world.subscribe(client, "a", Q0), Vec::<String>::new());
    assert_eq!(world.core.retained.counts(), (0, 0));
}

#[test]
fn the_expiry_interval_sweeps_what_expired_and_nothing_else() {
    let mut world = World::with(|settings| settings.retain_expiry_interval = Some(60_000));
    let publisher = world.client(V5, "p");
    world.publish(publisher, &retained("stays", "x", Q0));
    let mut publish = retained("goes", "x", Q0);
    publish.properties.push(Property::MessageExpiryInterval(61));
    world.publish(publisher, &publish);
    world.pass(119_999);
    assert_eq!(world.core.retained.counts().0, 2);
    world.pass(1);
    assert_eq!(world.core.retained.counts().0, 1);
    world.pass(1_000_000);
    let client = world.client(V5, "c");
    let got = world.subscribe(client, "stays", Q0);
    assert_eq!(got, ["PUBLISH retain stays 'x'"]);
}

#[test]
fn wildcards_do_not_reach_dollar_topics() {
    let mut world = World::with(|settings| settings.sys_interval = 10_000);
    let client = world.client(V5, "c");
    assert_eq!(world.subscribe(client, "#", Q0), Vec::<String>::new());
    assert_eq!(
        world.subscribe(client, "+/broker/#", Q0),
        Vec::<String>::new()
    );
    let version = world.subscribe(client, "$SYS/broker/version", Q0);
    assert!(version[0].starts_with("PUBLISH retain $SYS/broker/version 'moustique version"));
    let publisher = world.client(V5, "p");
    world.publish(publisher, &retained("$other", "x", Q0));
    assert_eq!(world.read(client), Vec::<String>::new());
    assert_eq!(world.subscribe(client, "$other", Q0).len(), 1);
}

#[test]
fn a_retained_message_of_qos_0_is_not_overtaken_by_a_newer_one() {
    let mut world = World::with(|settings| settings.max_inflight_messages = 1);
    let publisher = world.client(V311, "p");
    let client = world.client(V311, "c");
    world.subscribe(client, "busy", Q1);
    for _ in 0..3 {
        world.publish_fully(publisher, &message("busy", "x", Q1));
    }
    world.publish(publisher, &retained("state", "old", Q0));
    // The window is closed: the answer waits behind 'busy'.
    world.send_subscribe(client, &[("state", options(Q0))], None);
    world.publish(publisher, &message("state", "new", Q0));
    let mut got = world.read(client);
    for id in 1..=3 {
        world.ack(client, crate::codec::AckKind::PubAck, id);
        got.extend(world.read(client));
    }
    got.retain(|line| line.contains("state"));
    assert_eq!(got, ["PUBLISH retain state 'old'", "PUBLISH state 'new'"]);
}

#[test]
fn retained_messages_are_asked_for_and_know_no_queue_limit() {
    let mut world = World::with(|settings| settings.max_queued_messages = 5);
    let publisher = world.client(V311, "p");
    for n in 0..2_000 {
        let topic = format!("a/{n}");
        world.publish(publisher, &retained(&topic, &"x".repeat(100), Q0));
    }
    let client = world.client(V311, "c");
    assert_eq!(world.subscribe(client, "a/#", Q0).len(), 2_000);
    assert_eq!(world.core.peers.stats.dropped, 0);
}

#[test]
fn a_subscription_and_a_publication_in_one_read_keep_their_order() {
    let mut world = World::new();
    let client = world.client(V311, "c");
    world.publish(client, &retained("a", "old", Q0));
    let mut bytes = vec![0x82, 6, 0, 1, 0, 1, b'a', 0];
    crate::codec::Packet::Publish(message("a", "new", Q0)).encode(V311, &mut bytes);
    world.send_bytes(client, &bytes);
    assert_eq!(
        world.read(client),
        ["SUBACK m1 [0]", "PUBLISH retain a 'old'", "PUBLISH a 'new'"]
    );
}
