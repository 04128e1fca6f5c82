//! SUBSCRIBE, UNSUBSCRIBE and the options of a subscription.

use super::harness::*;
use crate::broker::Batch;
use crate::codec::{
    Packet, Properties, Subscribe, SubscriptionOptions, SubscriptionRequest, Unsubscribe,
};

#[test]
fn each_filter_gets_its_code() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    let requests = [("a", options(Q0)), ("b/#", options(Q1)), ("+", options(Q2))];
    world.send_subscribe(client, &requests, None);
    assert_eq!(world.read(client), ["SUBACK m1 [0, 1, 2]"]);
    world.unsubscribe(client, "b/#");
    world.unsubscribe(client, "b/#");
    world.unsubscribe(client, "never");
    assert_eq!(
        world.read(client),
        ["UNSUBACK m2 [0]", "UNSUBACK m2 [17]", "UNSUBACK m2 [17]"]
    );
    let old = world.client(V311, "b");
    world.unsubscribe(old, "never");
    assert_eq!(world.read(old), ["UNSUBACK m2 []"]);
    world.check();
}

#[test]
fn what_is_no_filter_ends_the_connection() {
    for filter in ["a/#/b", "a+", "$share/g", "$share//a", "$share/g+/a", ""] {
        let mut world = World::new();
        let client = world.client(V5, "a");
        world.send_subscribe(client, &[(filter, options(Q0))], None);
        assert_eq!(world.read(client), ["DISCONNECT 0x81", "END"], "{filter}");
        world.check_empty();
    }
}

#[test]
fn unsubscribed_topics_come_no_more() {
    let mut world = World::new();
    let client = world.client(V311, "a");
    world.subscribe(client, "t", Q0);
    world.publish(client, &message("t", "1", Q0));
    world.unsubscribe(client, "t");
    world.publish(client, &message("t", "2", Q0));
    assert_eq!(world.read(client), ["PUBLISH t '1'", "UNSUBACK m2 []"]);
}

#[test]
fn a_subscription_again_changes_its_options() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.subscribe_with(client, "t", options(Q0), Some(1));
    world.subscribe_with(client, "t", options(Q1), Some(2));
    world.inject("t", "x", Q2);
    let got = world.read(client);
    assert_eq!(got, ["PUBLISH q1 m1 t 'x' SubscriptionIdentifier(2)"]);
    world.subscribe(client, "t", Q0);
    world.inject("t", "x", Q2);
    assert_eq!(world.read(client), ["PUBLISH t 'x'"]);
    assert_eq!(world.core.subscriptions.counts(), (1, 0));
}

#[test]
fn overlapping_subscriptions_bring_a_copy_each() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.subscribe_with(client, "a/+", options(Q1), Some(1));
    world.subscribe_with(client, "a/#", options(Q0), Some(2));
    world.inject("a/b", "x", Q2);
    let mut got = world.read(client);
    got.sort();
    assert_eq!(
        got,
        [
            "PUBLISH a/b 'x' SubscriptionIdentifier(2)",
            "PUBLISH q1 m1 a/b 'x' SubscriptionIdentifier(1)",
        ]
    );
}

#[test]
fn overlapping_subscriptions_bring_one_copy_where_configured() {
    let mut world = World::with(|settings| settings.allow_duplicate_messages = false);
    let (client, other) = (world.client(V5, "a"), world.client(V5, "b"));
    world.subscribe_with(client, "a/#", options(Q0), Some(2));
    world.subscribe_with(other, "a/b", options(Q0), None);
    world.subscribe_with(client, "a/+", options(Q1), Some(1));
    world.inject("a/b", "x", Q2);
    let got = world.read(client);
    assert_eq!(got.len(), 1, "{got:?}");
    assert!(got[0].starts_with("PUBLISH q1 m1 a/b 'x'"));
    assert!(got[0].contains("SubscriptionIdentifier(1)"));
    assert!(got[0].contains("SubscriptionIdentifier(2)"));
    assert_eq!(world.read(other), ["PUBLISH a/b 'x'"]);
}

#[test]
fn no_local_keeps_away_what_the_client_published_itself() {
    let mut world = World::new();
    let (client, other) = (world.client(V5, "a"), world.client(V5, "b"));
    let no_local = SubscriptionOptions {
        no_local: true,
        ..options(Q0)
    };
    world.subscribe_with(client, "t", no_local, None);
    world.publish(client, &message("t", "own", Q0));
    world.publish(other, &message("t", "other", Q0));
    assert_eq!(world.read(client), ["PUBLISH t 'other'"]);
}

#[test]
fn the_qos_of_a_delivery_is_the_lower_one_or_the_subscriptions() {
    for (upgrade, expected) in [(false, "012011000"), (true, "012012012")] {
        let mut world = World::with(|settings| settings.upgrade_outgoing_qos = upgrade);
        let client = world.client(V311, "a");
        let mut qos = String::new();
        for published in [Q2, Q1, Q0] {
            for subscribed in [Q0, Q1, Q2] {
                world.subscribe(client, "t", subscribed);
                world.inject("t", "x", published);
                let got = world.read(client);
                let digit = got[0]
                    .strip_prefix("PUBLISH q")
                    .map_or("0", |rest| &rest[..1]);
                qos.push_str(digit);
            }
        }
        assert_eq!(qos, expected);
    }
}

#[test]
fn very_long_and_very_deep_topics_work() {
    let mut world = World::new();
    let client = world.client(V311, "a");
    let (long, deep) = ("x".repeat(65_000), "/".repeat(65_000));
    world.subscribe(client, &long, Q0);
    world.subscribe(client, &deep, Q0);
    world.publish(client, &message(&long, "1", Q0));
    world.publish(client, &message(&deep, "2", Q0));
    let got = world.read(client);
    assert!(got[0].ends_with("x '1'") && got[1].ends_with("/ '2'"));
    world.disconnect(client);
    world.check_empty();
}

#[test]
fn many_subscriptions_of_one_client_cost_the_others_nothing() {
    let mut world = World::new();
    let client = world.client(V311, "a");
    for n in 0..20_000 {
        let filter = format!("sensor/{n}/+/value");
        world.send_subscribe(client, &[(&filter, options(Q0))], None);
    }
    assert_eq!(world.read(client).len(), 20_000);
    world.publish(client, &message("sensor/777/a/value", "x", Q0));
    assert_eq!(world.read(client), ["PUBLISH sensor/777/a/value 'x'"]);
    world.disconnect(client);
    world.check_empty();
}

#[test]
fn the_cache_of_routes_is_bounded_whatever_clients_publish_to() {
    let mut world = World::new();
    let filler = "x".repeat(60_000);
    for n in 0..1_500 {
        let subscriptions = &mut world.core.subscriptions;
        subscriptions.route(&format!("{n}/{filler}"), false);
        subscriptions.route("same", false);
        if n % 100 == 0 {
            let client = world.client(V311, &n.to_string());
            world.subscribe(client, "other", Q0);
        }
    }
    let weight = world.core.subscriptions.cache_weight();
    assert!(weight <= 32 * 1024 * 1024, "{weight}");
}

#[test]
fn a_cached_route_follows_every_change() {
    let mut world = World::new();
    let (a, b) = (world.client(V311, "a"), world.client(V311, "b"));
    let publisher = world.client(V311, "p");
    let publish = |world: &mut World| {
        world.publish(publisher, &message("t/u", "x", Q0));
        (world.read(a).len(), world.read(b).len())
    };
    assert_eq!(publish(&mut world), (0, 0));
    world.subscribe(a, "t/+", Q0);
    assert_eq!(publish(&mut world), (1, 0));
    world.subscribe(b, "#", Q0);
    assert_eq!(publish(&mut world), (1, 1));
    world.unsubscribe(a, "t/+");
    world.read(a);
    assert_eq!(publish(&mut world), (0, 1));
    world.cut(b);
    assert_eq!(publish(&mut world), (0, 0));
}

/// Whoever waits for the core gets it between two portions, and order stays.
#[test]
fn packets_with_many_filters_are_worked_off_in_portions() {
    let mut world = World::new();
    let client = world.client(V5, "many");
    let other = world.client(V5, "other");
    world.publish(other, &retained("t/999", "kept", Q0));
    let names: Vec<_> = (0..1000).map(|n| format!("t/{n}")).collect();
    let (mut bytes, mut packets) = (Vec::new(), Vec::new());
    let requests = names.iter().map(|filter| SubscriptionRequest {
        filter,
        options: options(Q0),
    });
    packets.push(Packet::Subscribe(Subscribe {
        packet_id: 1,
        properties: Properties::new(),
        requests: requests.collect(),
    }));
    packets.push(Packet::PingReq);
    packets.push(Packet::Unsubscribe(Unsubscribe {
        packet_id: 2,
        properties: Properties::new(),
        filters: names.iter().map(String::as_str).collect(),
    }));
    packets.push(Packet::PingReq);
    for packet in &packets {
        packet.encode(V5, &mut bytes);
    }
    let batch = Batch::decode(&bytes, V5, 2_000_000);
    let (mut portions, mut got) = (0, Vec::new());
    while world.core.receive_some(world.now, client.id, &batch) {
        portions += 1;
        world.publish(other, &message("t/0", &portions.to_string(), Q0));
        got.extend(world.read(client));
    }
    got.extend(world.read(client));
    assert!(portions > 8, "{portions}");
    let kinds = |kind: &str| got.iter().position(|line| line.starts_with(kind));
    let places = [
        "PUBLISH t/0 '1'",
        "SUBACK",
        "PUBLISH retain t/999",
        "UNSUBACK",
    ]
    .map(kinds);
    assert!(places.is_sorted() && places[0].is_some(), "{places:?}");
    let pings = got.iter().filter(|line| *line == "PINGRESP").count();
    assert_eq!((pings, got.last().unwrap().as_str()), (2, "PINGRESP"));
    assert_eq!(
        world.core.peers.stats.messages_received,
        2 + 4 + portions + 1
    );
    world.check();

    // Between two portions the connection may end.
    let batch = Batch::decode(&bytes, V5, 2_000_000);
    assert!(world.core.receive_some(world.now, client.id, &batch));
    let again = world.client(V5, "many");
    assert!(!world.core.receive_some(world.now, client.id, &batch));
    assert_eq!(world.core.subscriptions.counts(), (0, 0));
    world.cut(client);
    world.cut(again);
    world.check();
}
