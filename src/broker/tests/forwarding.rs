//! How a message looks when it arrives: versions, properties, aliases, expiry,
//! sizes, and the bytes themselves.

use super::harness::*;
use crate::codec::{AckKind, Packet, Properties, Property, Publish, Version};

/// The same properties as a rich publisher sends them.
fn rich<'a>(topic: &'a str, payload: &'a str, qos: crate::codec::QoS) -> Publish<'a> {
    let properties = Properties::new()
        .with(Property::PayloadFormatIndicator(1))
        .with(Property::ContentType("text"))
        .with(Property::ResponseTopic("r"))
        .with(Property::CorrelationData(b"c"))
        .with(Property::UserProperty("k", "v"))
        .with(Property::UserProperty("k", "w"));
    Publish {
        properties,
        ..message(topic, payload, qos)
    }
}

const RICH: &str = " PayloadFormatIndicator(1) ContentType(\"text\") ResponseTopic(\"r\") \
                    CorrelationData([99]) UserProperty(\"k\", \"v\") UserProperty(\"k\", \"w\")";

#[test]
fn messages_pass_between_all_versions_at_every_qos() {
    for from in VERSIONS {
        for to in VERSIONS {
            let mut world = World::new();
            let (publisher, client) = (world.client(from, "p"), world.client(to, "c"));
            world.subscribe(client, "t", Q2);
            for qos in [Q0, Q1, Q2] {
                world.publish_fully(publisher, &rich("t", "x", qos));
            }
            let properties = if from == V5 && to == V5 { RICH } else { "" };
            let lines =
                ["", " q1 m1", " q2 m2"].map(|qos| format!("PUBLISH{qos} t 'x'{properties}"));
            assert_eq!(world.read(client), lines, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn a_frame_is_passed_on_as_it_came_but_for_dup_retain_and_identifier() {
    for version in VERSIONS {
        let mut world = World::new();
        let (publisher, client) = (world.client(version, "p"), world.client(version, "c"));
        world.subscribe(client, "t", Q1);
        world.inject("t", "makes the next identifier 2", Q1);
        world.read(client);
        let payload = "x".repeat(300);
        let publish = Publish {
            dup: true,
            retain: true,
            packet_id: 0x1234,
            ..rich("t", &payload, Q1)
        };
        world.publish(publisher, &publish);
        let mut expected = Vec::new();
        let publish = Publish {
            dup: false,
            retain: false,
            packet_id: 2,
            ..publish
        };
        publish.encode(version, &mut expected);
        assert_eq!(world.take(client).unwrap().bytes, expected);
    }
}

#[test]
fn a_length_that_is_longer_than_it_need_be_is_not_passed_on() {
    let mut world = World::new();
    let client = world.client(V311, "c");
    world.subscribe(client, "t", Q0);
    world.send_bytes(client, &[0x30, 0x84, 0x80, 0x00, 0, 1, b't', b'x']);
    let bytes = world.take(client).unwrap().bytes;
    assert_eq!(bytes, [0x30, 4, 0, 1, b't', b'x']);
}

#[test]
fn a_queued_message_is_the_same_as_a_live_one() {
    for to in VERSIONS {
        let mut world = World::new();
        let publisher = world.client(V5, "p");
        let client = world.connect(&lasting(to, "c"));
        world.subscribe_with(client, "t", options(Q1), None);
        world.publish_fully(publisher, &rich("t", "x", Q1));
        let live = world.read(client);
        world.ack(client, AckKind::PubAck, 1);
        world.cut(client);
        world.publish_fully(publisher, &rich("t", "x", Q1));
        let (_, answer) = world.try_connect(&lasting(to, "c"));
        assert_eq!(answer[1..], [live[0].replace("m1", "m2")]);
    }
}

#[test]
fn aliases_of_a_publisher_stand_for_its_topics() {
    let mut world = World::new();
    let (publisher, client) = (world.client(V5, "p"), world.client(V5, "c"));
    world.subscribe(client, "#", Q1);
    let aliased = |topic, alias| Publish {
        properties: Properties::new().with(Property::TopicAlias(alias)),
        ..message(topic, "x", Q1)
    };
    for publish in [
        aliased("a", 1),
        aliased("", 1),
        aliased("b", 10),
        aliased("c", 1),
        aliased("", 1),
        aliased("", 10),
    ] {
        world.publish_fully(publisher, &publish);
    }
    let topics: Vec<_> = world
        .read(client)
        .iter()
        .map(|line| line.split(' ').nth(3).unwrap().to_string())
        .collect();
    assert_eq!(topics, ["a", "a", "b", "c", "c", "b"]);
}

#[test]
fn aliases_that_are_not_allowed_end_the_connection() {
    for (topic, alias, reason) in [("t", 11, "0x94"), ("", 3, "0x82")] {
        let mut world = World::new();
        let client = world.client(V5, "p");
        let mut publish = message("t", "x", Q0);
        publish.topic = topic;
        publish.properties.push(Property::TopicAlias(alias));
        world.publish(client, &publish);
        let goodbye = format!("DISCONNECT {reason}");
        assert_eq!(world.read(client), [goodbye, "END".into()]);
    }
    let mut world = World::new();
    world.policy.max_topic_alias = 0;
    let client = world.client(V5, "p");
    let mut publish = message("t", "x", Q0);
    publish.properties.push(Property::TopicAlias(1));
    world.publish(client, &publish);
    assert_eq!(world.read(client)[0], "DISCONNECT 0x94");
}

#[test]
fn a_client_gets_as_many_aliases_as_it_and_the_broker_allow() {
    let mut world = World::new();
    world.policy.max_topic_alias_broker = 2;
    let publisher = world.client(V311, "p");
    let wants = |id| with(lasting(V5, id), Property::TopicAliasMaximum(20));
    let client = world.connect(&wants("c"));
    world.subscribe(client, "#", Q1);
    let topics = ["topic/1", "topic/2", "topic/3", "x"];
    for topic in topics.into_iter().chain(topics) {
        world.publish_fully(publisher, &message(topic, "x", Q0));
    }
    assert_eq!(
        world.read(client),
        [
            "PUBLISH topic/1 'x' TopicAlias(1)",
            "PUBLISH topic/2 'x' TopicAlias(2)",
            "PUBLISH topic/3 'x'",
            "PUBLISH x 'x'",
            "PUBLISH  'x' TopicAlias(1)",
            "PUBLISH  'x' TopicAlias(2)",
            "PUBLISH topic/3 'x'",
            "PUBLISH x 'x'",
        ]
    );
    world.publish_fully(publisher, &message("topic/1", "y", Q1));
    assert_eq!(world.read(client), ["PUBLISH q1 m1  'y' TopicAlias(1)"]);
    world.cut(client);
    let (_, answer) = world.try_connect(&wants("c"));
    assert_eq!(
        answer[1..],
        ["PUBLISH q1 m1 dup topic/1 'y' TopicAlias(1)"],
        "aliases end with their connection"
    );
}

#[test]
fn messages_expire_in_queues_and_tell_what_remains() {
    for to in VERSIONS {
        let mut world = World::new();
        let publisher = world.client(V5, "p");
        let client = world.connect(&lasting(to, "c"));
        world.subscribe(client, "t", Q1);
        world.cut(client);
        for (payload, seconds) in [("short", 5), ("long", 10)] {
            let mut publish = message("t", payload, Q1);
            publish
                .properties
                .push(Property::MessageExpiryInterval(seconds));
            world.publish_fully(publisher, &publish);
        }
        world.pass(5_000);
        let (_, answer) = world.try_connect(&lasting(to, "c"));
        let remaining = if to == V5 {
            " MessageExpiryInterval(5)"
        } else {
            ""
        };
        assert_eq!(answer[1..], [format!("PUBLISH q1 m1 t 'long'{remaining}")]);
    }
}

#[test]
fn a_live_message_keeps_its_expiry_interval() {
    let mut world = World::new();
    let client = world.client(V5, "c");
    world.subscribe_with(client, "t", options(Q0), Some(1));
    let plain = world.client(V5, "d");
    world.subscribe(plain, "t", Q0);
    let mut publish = message("t", "x", Q0);
    publish.properties.push(Property::MessageExpiryInterval(0));
    world.publish(client, &publish);
    let line = "PUBLISH t 'x' SubscriptionIdentifier(1) MessageExpiryInterval(0)";
    assert_eq!(world.read(client), [line]);
    assert_eq!(
        world.read(plain),
        ["PUBLISH t 'x' MessageExpiryInterval(0)"]
    );
}

/// The sizes of the PUBLISH packets that a client gets which takes 60 bytes.
fn sizes(world: &mut World, client: Client) -> Vec<usize> {
    let bytes = world.take(client).unwrap().bytes;
    let all = packets(client.version, &bytes);
    let publishes = all.iter().filter_map(|packet| match packet {
        Packet::Publish(publish) => Some(publish.encoded_len(client.version)),
        _ => None,
    });
    publishes.collect()
}

#[test]
fn no_packet_is_larger_than_the_client_takes() {
    let limited = |id| with(lasting(V5, id), Property::MaximumPacketSize(60));
    let with_aliases = |id| with(limited(id), Property::TopicAliasMaximum(10));
    let mut all = Vec::new();
    for connect in [limited("c"), with_aliases("c")] {
        for (qos, identifier) in [(Q0, None), (Q1, None), (Q0, Some(1)), (Q1, Some(300))] {
            let mut world = World::with(|settings| settings.max_inflight_messages = 1000);
            let publisher = world.client(V311, "p");
            let client = world.connect(&connect);
            world.subscribe_with(client, "#", options(qos), identifier);
            for length in 0..70 {
                let topic = format!("topic/{}", length % 7);
                world.publish_fully(publisher, &message(&topic, &"x".repeat(length), qos));
            }
            let live = sizes(&mut world, client);
            world.cut(client);
            let client = world.introduce(&connect, crate::broker::Decision::Allowed);
            let again = sizes(&mut world, client);
            assert_eq!(again.len(), if qos == Q0 { 0 } else { live.len() });
            all.extend(live);
            all.extend(again);
        }
    }
    assert!(all.iter().all(|size| *size <= 60), "{all:?}");
    assert!(all.contains(&60), "and not smaller than that: {all:?}");
}

#[test]
fn what_is_too_large_for_one_is_nothing_to_the_others() {
    let mut world = World::new();
    let limited = with(hello(V5, "c"), Property::MaximumPacketSize(30));
    let (small, large) = (world.connect(&limited), world.client(V5, "d"));
    for client in [small, large] {
        world.subscribe(client, "t", Q1);
    }
    world.inject("t", &"x".repeat(30), Q1);
    world.inject("t", "fits", Q1);
    assert_eq!(world.read(small), ["PUBLISH q1 m1 t 'fits'"]);
    assert_eq!(world.read(large).len(), 2);
}

#[test]
fn packets_above_the_brokers_maximum_are_refused() {
    let mut world = World::new();
    for (version, expected) in [(V311, &["END"][..]), (V5, &["DISCONNECT 0x95", "END"])] {
        let client = world.client(version, "a");
        let mut head = vec![0x30];
        crate::codec::write_var_int(&mut head, 2_000_000);
        world.send_bytes(client, &head);
        assert_eq!(world.read(client), expected);
    }
}

#[test]
fn a_session_that_changes_its_version_gets_messages_in_the_new_form() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    let client = world.connect(&lasting(V5, "c"));
    world.subscribe_with(client, "t", options(Q1), Some(4));
    world.cut(client);
    world.publish_fully(publisher, &rich("t", "x", Q1));
    let connect = |version: Version| lasting(version, "c");
    let (client, answer) = world.try_connect(&connect(V311));
    assert_eq!(answer[1..], ["PUBLISH q1 m1 t 'x'"]);
    world.cut(client);
    let (_, answer) = world.try_connect(&connect(V5));
    let line = format!("PUBLISH q1 m1 dup t 'x' SubscriptionIdentifier(4){RICH}");
    assert_eq!(answer[1..], [line]);
}
