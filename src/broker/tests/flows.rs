//! QoS 1 and 2 from a client: acknowledgements, repeats, receive maximum.

use super::harness::*;
use crate::codec::{AckKind, Property, Publish, ReasonCode};

#[test]
fn each_qos_has_its_acknowledgements() {
    for version in VERSIONS {
        let mut world = World::new();
        let client = world.client(version, "a");
        let watcher = world.client(V311, "w");
        world.subscribe(watcher, "t", Q0);
        world.publish(client, &message("t", "0", Q0));
        assert_eq!(world.read(client), Vec::<String>::new());
        world.publish(client, &message("t", "1", Q1));
        assert_eq!(world.read(client), ["PUBACK m7"]);
        world.publish(client, &message("t", "2", Q2));
        assert_eq!(world.read(client), ["PUBREC m7"]);
        world.ack(client, AckKind::PubRel, 7);
        assert_eq!(world.read(client), ["PUBCOMP m7"]);
        assert_eq!(
            world.read(watcher),
            ["PUBLISH t '0'", "PUBLISH t '1'", "PUBLISH t '2'"]
        );
    }
}

#[test]
fn an_outbox_waits_only_for_a_message_that_would_go_at_once() {
    let mut world = World::with(|settings| settings.max_inflight_messages = 2);
    let client = world.client(V311, "a");
    world.subscribe(client, "t", Q2);
    world.inject("t", "1", Q2);
    assert_eq!(world.read(client), ["PUBLISH q2 m1 t '1'"]);
    world.ack(client, AckKind::PubRec, 1);
    world.core.effects().wake.clear();
    assert!(world.core.postpone(client.id));
    assert_eq!(world.core.effects().wake, []);
    world.inject("t", "2", Q2);
    assert_eq!(world.core.effects().wake, [client.id]);
    assert_eq!(world.read(client), ["PUBREL m1", "PUBLISH q2 m2 t '2'"]);

    world.ack(client, AckKind::PubRec, 2);
    assert!(!world.core.postpone(client.id), "two are in flight");
    world.ack(client, AckKind::PubComp, 1);
    assert!(world.core.postpone(client.id));
    world.disconnect(client);
    assert!(!world.core.postpone(client.id), "nothing follows");
}

#[test]
fn only_puback_of_5_tells_that_nobody_listens() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.publish(client, &message("t", "1", Q1));
    world.publish(client, &message("t", "2", Q2));
    assert_eq!(world.read(client), ["PUBACK m7 0x10", "PUBREC m7"]);
    let client = world.client(V311, "b");
    world.publish(client, &message("t", "1", Q1));
    assert_eq!(world.read(client), ["PUBACK m7"]);
}

#[test]
fn a_repeat_of_qos_2_is_delivered_once() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.subscribe(client, "t", Q0);
    world.publish(client, &message("t", "x", Q2));
    let again = Publish {
        dup: true,
        ..message("t", "x", Q2)
    };
    world.publish(client, &again);
    assert_eq!(
        world.read(client),
        ["PUBLISH t 'x'", "PUBREC m7", "PUBREC m7"]
    );
    world.ack(client, AckKind::PubRel, 7);
    world.publish(client, &message("t", "x", Q2));
    assert_eq!(
        world.read(client),
        ["PUBCOMP m7", "PUBLISH t 'x'", "PUBREC m7"]
    );
}

#[test]
fn a_repeat_that_spells_out_its_alias_is_the_same_message() {
    let mut world = World::new();
    let watcher = world.client(V311, "w");
    world.subscribe(watcher, "long/topic", Q0);
    let client = world.connect(&lasting(V5, "a"));
    let aliased = |topic, payload| {
        let mut publish = message(topic, payload, Q2);
        publish.properties.push(Property::TopicAlias(1));
        publish
    };
    world.publish_fully(client, &aliased("long/topic", "1"));
    world.publish(client, &aliased("", "2"));
    world.cut(client);
    let client = world.try_connect(&lasting(V5, "a")).0;
    let again = Publish {
        dup: true,
        ..message("long/topic", "2", Q2)
    };
    world.publish(client, &again);
    assert_eq!(world.read(client), ["PUBREC m7"]);
    let once = ["PUBLISH long/topic '1'", "PUBLISH long/topic '2'"];
    assert_eq!(world.read(watcher), once);
}

#[test]
fn an_identifier_that_is_used_anew_without_dup_brings_a_new_message() {
    let mut world = World::new();
    let watcher = world.client(V311, "w");
    world.subscribe(watcher, "t", Q0);
    let client = world.connect(&lasting(V311, "a"));
    world.publish(client, &message("t", "before", Q2));
    world.cut(client);
    let client = world.try_connect(&lasting(V311, "a")).0;
    world.publish(client, &message("t", "after", Q2));
    assert_eq!(world.read(client), ["PUBREC m7"]);
    let both = ["PUBLISH t 'before'", "PUBLISH t 'after'"];
    assert_eq!(world.read(watcher), both);
}

#[test]
fn the_same_message_three_times_on_one_connection_ends_it() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    for _ in 0..3 {
        world.publish(client, &message("t", "x", Q2));
    }
    let answer = world.read(client);
    assert_eq!(answer, ["PUBREC m7", "PUBREC m7", "DISCONNECT 0x82", "END"]);
}

#[test]
fn a_client_of_5_is_held_to_the_receive_maximum() {
    for version in VERSIONS {
        let mut world = World::with(|settings| settings.max_inflight_messages = 2);
        let client = world.client(version, "a");
        for packet_id in 1..=3 {
            let publish = Publish {
                packet_id,
                ..message("t", "x", Q2)
            };
            world.publish(client, &publish);
        }
        let third = world.read(client)[2..].join(" ");
        match version {
            V5 => assert_eq!(third, "DISCONNECT 0x93 END"),
            _ => assert_eq!(third, "PUBREC m3", "nobody told it"),
        }
    }
}

#[test]
fn acknowledgements_of_unknown_identifiers_are_answered_or_ignored() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.ack(client, AckKind::PubRel, 9);
    world.ack(client, AckKind::PubRec, 9);
    world.ack(client, AckKind::PubAck, 9);
    world.ack(client, AckKind::PubComp, 9);
    assert_eq!(world.read(client), ["PUBCOMP m9 0x92", "PUBREL m9 0x92"]);
    let client = world.client(V311, "b");
    world.ack(client, AckKind::PubRel, 9);
    assert_eq!(world.read(client), ["PUBCOMP m9"]);
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_is_a_protocol_error() {
    for (qos, kind) in [
        (Q1, AckKind::PubRec),
        (Q1, AckKind::PubComp),
        (Q2, AckKind::PubAck),
        (Q2, AckKind::PubComp),
    ] {
        let mut world = World::new();
        let client = world.client(V5, "a");
        world.subscribe(client, "t", Q2);
        world.inject("t", "x", qos);
        world.read(client);
        world.ack(client, kind, 1);
        assert_eq!(world.read(client), ["DISCONNECT 0x82", "END"], "{kind:?}");
    }
}

#[test]
fn acknowledgements_may_come_in_any_order() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.subscribe(client, "t", Q2);
    for _ in 0..3 {
        world.inject("t", "x", Q2);
    }
    world.read(client);
    for id in [3, 1, 2] {
        world.ack(client, AckKind::PubRec, id);
    }
    assert_eq!(world.read(client), ["PUBREL m3", "PUBREL m1", "PUBREL m2"]);
    world.ack(client, AckKind::PubRec, 2);
    assert_eq!(world.read(client), ["PUBREL m2"], "again");
    for id in [2, 3, 1] {
        world.ack(client, AckKind::PubComp, id);
    }
    assert_eq!(world.core.peers.sessions[0].outgoing.inflight_len(), 0);
}

#[test]
fn a_refusing_pubrec_ends_the_flow() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.subscribe(client, "t", Q2);
    world.inject("t", "x", Q2);
    world.read(client);
    world.ack_with(client, AckKind::PubRec, 1, ReasonCode::QUOTA_EXCEEDED);
    assert_eq!(world.read(client), Vec::<String>::new());
    assert_eq!(world.core.peers.sessions[0].outgoing.inflight_len(), 0);
}

#[test]
fn limits_of_a_listener_end_the_connection() {
    let mut world = World::with(|settings| settings.retain_available = false);
    world.policy.max_qos = 1;
    let client = world.client(V5, "a");
    world.publish(client, &message("t", "x", Q2));
    assert_eq!(world.read(client), ["DISCONNECT 0x9B", "END"]);
    let client = world.client(V5, "a");
    world.publish(client, &retained("t", "x", Q0));
    assert_eq!(world.read(client), ["DISCONNECT 0x9A", "END"]);
    let client = world.client(V5, "a");
    world.send_subscribe(client, &[("t", options(Q2))], None);
    assert_eq!(world.read(client), ["SUBACK m1 [1]"]);
}

#[test]
fn a_payload_above_the_limit_is_refused_not_passed_on() {
    let mut world = World::with(|settings| settings.message_size_limit = 3);
    let client = world.client(V5, "a");
    world.subscribe(client, "t", Q0);
    world.publish(client, &message("t", "four", Q1));
    assert_eq!(world.read(client), ["PUBACK m7 0x97"]);
    world.publish(client, &message("t", "thr", Q1));
    assert_eq!(world.read(client), ["PUBLISH t 'thr'", "PUBACK m7"]);
}
