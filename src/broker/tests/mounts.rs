//! Listeners with a mount point.

use super::harness::*;
use crate::codec::{Connect, Property, Publish};

/// A client of a listener with that mount point.
fn below(world: &mut World, mount_point: &str, connect: &Connect<'_>) -> Client {
    world.policy.mount_point = mount_point.into();
    let client = world.connect(connect);
    world.policy.mount_point.clear();
    client
}

#[test]
fn the_mount_point_is_put_on_and_taken_off() {
    for version in VERSIONS {
        for qos in [Q0, Q1, Q2] {
            let mut world = World::new();
            let site = below(&mut world, "site/", &hello(version, "site"));
            let same = below(&mut world, "site/", &hello(version, "same"));
            let other = below(&mut world, "other/", &hello(version, "other"));
            let outside = world.client(version, "outside");
            let inner = below(&mut world, "site/", &hello(version, "inner"));
            let outer = world.client(version, "outer");
            for client in [site, same, other, outside] {
                world.subscribe(client, "#", Q0);
            }
            world.publish_fully(inner, &message("t", "x", qos));
            assert_eq!(world.read(same), ["PUBLISH t 'x'"]);
            assert_eq!(world.read(site), ["PUBLISH t 'x'"]);
            assert_eq!(world.read(other), Vec::<String>::new());
            assert_eq!(world.read(outside), ["PUBLISH site/t 'x'"]);
            for topic in ["site/t", "t", "site", "site/", "sitex/t"] {
                world.publish_fully(outer, &message(topic, "y", qos));
            }
            assert_eq!(world.read(site), ["PUBLISH t 'y'"], "below it only");
            world.unsubscribe(site, "#");
            assert!(world.read(site)[0].starts_with("UNSUBACK m2"));
            world.publish_fully(inner, &message("t", "z", qos));
            assert_eq!(world.read(site), Vec::<String>::new());
            world.check();
        }
    }
}

#[test]
fn the_frame_is_right_whoever_sees_the_topic_how() {
    let mut world = World::new();
    let site = below(&mut world, "site/", &hello(V5, "site"));
    let outside = world.client(V5, "outside");
    let old = world.client(V311, "old");
    let small = with(hello(V5, "small"), Property::MaximumPacketSize(16));
    let small = below(&mut world, "site/", &small);
    for client in [site, outside, old, small] {
        world.subscribe(client, "site/t", Q2);
        world.subscribe(client, "t", Q2);
    }
    let published = Publish {
        packet_id: 9,
        ..message("t", "123456", Q1)
    };
    world.publish(site, &published);
    assert_eq!(world.read(site), ["PUBLISH q1 m1 t '123456'", "PUBACK m9"]);
    assert_eq!(world.read(outside), ["PUBLISH q1 m1 site/t '123456'"]);
    assert_eq!(world.read(old), ["PUBLISH q1 m1 site/t '123456'"]);
    assert_eq!(world.read(small), ["PUBLISH q1 m1 t '123456'"], "it fits");
}

#[test]
fn aliases_stand_for_what_the_client_sees() {
    let mut world = World::new();
    let site = below(&mut world, "site/", &hello(V5, "site"));
    let reader = with(hello(V5, "reader"), Property::TopicAliasMaximum(1));
    let reader = below(&mut world, "site/", &reader);
    let outside = world.client(V311, "outside");
    world.subscribe(reader, "topic", Q0);
    world.subscribe(outside, "#", Q0);
    for topic in ["topic", ""] {
        let mut publish = message(topic, "x", Q0);
        publish.properties.push(Property::TopicAlias(1));
        world.publish(site, &publish);
    }
    assert_eq!(
        world.read(reader),
        [
            "PUBLISH topic 'x' TopicAlias(1)",
            "PUBLISH  'x' TopicAlias(1)"
        ]
    );
    assert_eq!(world.read(outside), ["PUBLISH site/topic 'x'"; 2]);
}

#[test]
fn groups_retained_messages_and_wills_are_below_the_mount_point() {
    let mut world = World::new();
    let mut doomed = hello(V311, "doomed");
    doomed.will = Some(will("w", "gone"));
    let doomed = below(&mut world, "site/", &doomed);
    let member = below(&mut world, "site/", &hello(V5, "member"));
    let outside = world.client(V5, "outside");
    world.subscribe(member, "$share/g/#", Q0);
    world.subscribe(outside, "site/#", Q0);
    world.publish(doomed, &retained("t", "kept", Q0));
    world.cut(doomed);
    assert_eq!(world.read(member), ["PUBLISH t 'kept'", "PUBLISH w 'gone'"]);
    assert_eq!(
        world.read(outside),
        ["PUBLISH site/t 'kept'", "PUBLISH site/w 'gone'"]
    );
    assert_eq!(
        world.subscribe(member, "+", Q0),
        ["PUBLISH retain t 'kept'"]
    );
    let found = world.subscribe(outside, "site/+", Q0);
    assert_eq!(found, ["PUBLISH retain site/t 'kept'"]);
    world.publish(outside, &retained("site/t", "", Q0));
    assert_eq!(world.core.retained.counts(), (0, 0));
}

#[test]
fn a_session_that_was_away_sees_what_its_listener_shows() {
    let mut world = World::new();
    let client = below(&mut world, "site/", &lasting(V5, "a"));
    world.subscribe(client, "t", Q1);
    world.cut(client);
    world.inject("site/t", "1", Q1);
    let client = below(&mut world, "site/", &hello(V5, "passing"));
    world.cut(client);
    world.policy.mount_point = "site/".into();
    let (client, got) = world.try_connect(&lasting(V5, "a"));
    assert_eq!(got[1..], ["PUBLISH q1 m1 t '1'"]);
    world.cut(client);
    world.inject("site/t", "2", Q1);
    world.policy.mount_point = "elsewhere/".into();
    let (client, got) = world.try_connect(&lasting(V5, "a"));
    assert_eq!(got.len(), 1, "out of sight: {got:?}");
    world.cut(client);
    world.policy.mount_point.clear();
    let client = world.connect(&lasting(V5, "a"));
    world.inject("site/t", "3", Q1);
    assert_eq!(world.read(client), ["PUBLISH q1 m2 site/t '3'"]);
    world.check();
}

#[test]
fn what_no_packet_has_room_for_ends_the_connection() {
    let long = "x".repeat(65_530);
    let mut world = World::new();
    let client = below(&mut world, "site/", &hello(V311, "a"));
    world.publish(client, &message(&long, "x", Q0));
    assert!(world.read(client).is_empty(), "65535 bytes fit");
    world.publish(client, &message(&(long.clone() + "x"), "x", Q0));
    assert_eq!(world.read(client), ["END"]);
    let client = below(&mut world, "site/", &hello(V311, "a"));
    world.send_subscribe(client, &[(&(long + "x"), options(Q0))], None);
    assert_eq!(world.read(client), ["END"]);
}
