//! Clean start, session expiry, session present, take-over.

use super::harness::*;
use crate::codec::{AckKind, Connect, Properties, Property, ReasonCode};

/// Whether a client finds a session of its own, which it leaves at once.
fn finds_session(world: &mut World, connect: &Connect<'_>) -> bool {
    let (client, answer) = world.try_connect(connect);
    assert!(answer[0].contains(" 0x00"), "{answer:?}");
    world.disconnect(client);
    answer[0].contains("present")
}

fn expiring(client_id: &str, seconds: u32) -> Connect<'_> {
    with(
        Connect {
            clean_start: false,
            ..hello(V5, client_id)
        },
        Property::SessionExpiryInterval(seconds),
    )
}

#[test]
fn a_clean_session_of_3_1_1_ends_with_its_connection() {
    let mut world = World::new();
    assert!(!finds_session(&mut world, &hello(V311, "a")));
    assert!(!finds_session(&mut world, &lasting(V311, "a")));
    assert!(finds_session(&mut world, &lasting(V311, "a")));
    assert!(!finds_session(&mut world, &hello(V311, "a")), "clean again");
    assert!(!finds_session(&mut world, &lasting(V311, "a")));
    world.pass(u64::MAX / 2);
    assert!(finds_session(&mut world, &lasting(V311, "a")), "for ever");
}

#[test]
fn a_client_of_3_1_is_not_told_of_its_session_but_has_it() {
    let mut world = World::new();
    let client = world.connect(&lasting(V31, "a"));
    world.subscribe(client, "t", Q1);
    world.disconnect(client);
    let publisher = world.client(V311, "p");
    world.publish(publisher, &message("t", "x", Q1));
    let (_, answer) = world.try_connect(&lasting(V31, "a"));
    assert_eq!(answer, ["CONNACK 0x00", "PUBLISH q1 m1 t 'x'"]);
}

#[test]
fn a_session_of_5_lives_as_long_as_it_asked() {
    let mut world = World::new();
    assert!(!finds_session(&mut world, &expiring("a", 10)));
    world.pass(9_999);
    assert!(finds_session(&mut world, &expiring("a", 10)));
    world.pass(10_000);
    assert!(!finds_session(&mut world, &expiring("a", 10)));
    assert!(finds_session(&mut world, &expiring("a", u32::MAX)));
    world.pass(u64::MAX / 2);
    assert!(finds_session(&mut world, &expiring("a", 0)), "0: not kept");
    assert!(!finds_session(&mut world, &expiring("a", 0)));
    assert!(world.core.peers.sessions.is_empty());
}

#[test]
fn a_session_that_is_due_ends_even_before_its_timer_fires() {
    let mut world = World::new();
    finds_session(&mut world, &expiring("a", 10));
    world.now += 10_000;
    assert!(!finds_session(&mut world, &expiring("a", 10)));
}

#[test]
fn clean_start_and_expiry_are_independent_in_5() {
    let mut world = World::new();
    let clean = with(hello(V5, "a"), Property::SessionExpiryInterval(60));
    assert!(!finds_session(&mut world, &clean));
    assert!(!finds_session(&mut world, &clean), "clean start");
    assert!(finds_session(&mut world, &expiring("a", 60)));
}

#[test]
fn sessions_pass_between_versions() {
    let mut world = World::new();
    assert!(!finds_session(&mut world, &lasting(V311, "a")));
    assert!(finds_session(&mut world, &expiring("a", 60)));
    world.pass(59_000);
    assert!(finds_session(&mut world, &lasting(V311, "a")));
    world.pass(600_000);
    assert!(finds_session(&mut world, &lasting(V311, "a")));
}

#[test]
fn persistent_client_expiration_bounds_all_sessions() {
    let mut world = World::with(|settings| settings.max_session_expiry = 5_000);
    finds_session(&mut world, &lasting(V311, "a"));
    finds_session(&mut world, &expiring("b", u32::MAX));
    world.pass(4_999);
    assert_eq!(world.core.peers.sessions.len(), 2);
    world.pass(1);
    assert_eq!(world.core.peers.sessions.len(), 0);
    assert_eq!(world.core.peers.stats.expired, 2);
}

#[test]
fn disconnect_changes_the_expiry_but_not_from_0() {
    let mut world = World::new();
    let expiry = |seconds| Properties::new().with(Property::SessionExpiryInterval(seconds));
    let client = world.connect(&expiring("a", 10));
    world.disconnect_with(client, ReasonCode::SUCCESS, expiry(100));
    world.pass(99_000);
    assert!(finds_session(&mut world, &expiring("a", 10)));
    let client = world.try_connect(&expiring("a", 10)).0;
    world.disconnect_with(client, ReasonCode::SUCCESS, expiry(0));
    assert!(world.core.peers.sessions.is_empty());

    let client = world.connect(&hello(V5, "a"));
    let packet = crate::codec::Disconnect {
        reason: ReasonCode::SUCCESS,
        properties: expiry(1),
    };
    world.send(client, &crate::codec::Packet::Disconnect(packet));
    assert_eq!(world.read(client), ["DISCONNECT 0x82", "END"]);
}

#[test]
fn a_second_connection_takes_the_session_over() {
    let mut world = World::new();
    for version in VERSIONS {
        let first = world.connect(&lasting(version, "a"));
        world.subscribe(first, "t", Q1);
        let (second, answer) = world.try_connect(&lasting(version, "a"));
        assert_eq!(answer[0].contains("present"), version != V31);
        let goodbye = world.read(first);
        match version {
            V5 => assert_eq!(goodbye, ["DISCONNECT 0x8E", "END"]),
            _ => assert_eq!(goodbye, ["END"]),
        }
        world.publish(second, &message("t", "x", Q0));
        assert!(world.read(second)[0].starts_with("PUBLISH t 'x'"));
        world.check();
        world.disconnect(second);
        let clean = world.client(version, "a");
        world.disconnect(clean);
        world.check_empty();
    }
}

#[test]
fn what_a_session_kept_comes_in_order_and_behind_connack() {
    let mut world = World::new();
    let publisher = world.client(V311, "p");
    let client = world.connect(&lasting(V311, "a"));
    world.subscribe(client, "t", Q2);
    world.disconnect(client);
    for (payload, qos) in [("1", Q1), ("2", Q0), ("3", Q2), ("4", Q1)] {
        world.publish_fully(publisher, &message("t", payload, qos));
    }
    let (_, answer) = world.try_connect(&lasting(V311, "a"));
    assert_eq!(
        answer,
        [
            "CONNACK present 0x00",
            "PUBLISH q1 m1 t '1'",
            "PUBLISH q2 m2 t '3'",
            "PUBLISH q1 m3 t '4'",
        ]
    );
}

#[test]
fn qos_0_waits_for_the_absent_only_where_configured() {
    let mut world = World::with(|settings| settings.queue_qos0_messages = true);
    let publisher = world.client(V311, "p");
    let client = world.connect(&lasting(V311, "a"));
    world.subscribe(client, "t", Q2);
    world.cut(client);
    world.publish(publisher, &message("t", "1", Q0));
    let (_, answer) = world.try_connect(&lasting(V311, "a"));
    assert_eq!(answer, ["CONNACK present 0x00", "PUBLISH t '1'"]);
}

#[test]
fn what_was_in_flight_is_sent_again_in_its_order() {
    let mut world = World::new();
    let publisher = world.client(V311, "p");
    let client = world.connect(&lasting(V311, "a"));
    world.subscribe(client, "t", Q2);
    for (payload, qos) in [("1", Q2), ("2", Q1), ("3", Q2), ("4", Q1), ("5", Q1)] {
        world.publish_fully(publisher, &message("t", payload, qos));
    }
    world.read(client);
    world.ack(client, AckKind::PubRec, 1);
    world.ack(client, AckKind::PubAck, 4);
    assert_eq!(world.read(client), ["PUBREL m1"]);
    world.cut(client);
    world.publish_fully(publisher, &message("t", "6", Q1));
    let (client, answer) = world.try_connect(&lasting(V311, "a"));
    assert_eq!(
        answer,
        [
            "CONNACK present 0x00",
            "PUBREL m1",
            "PUBLISH q1 m2 dup t '2'",
            "PUBLISH q2 m3 dup t '3'",
            "PUBLISH q1 m5 dup t '5'",
            "PUBLISH q1 m6 t '6'",
        ]
    );
    for (kind, id) in [
        (AckKind::PubComp, 1),
        (AckKind::PubAck, 2),
        (AckKind::PubRec, 3),
        (AckKind::PubAck, 5),
        (AckKind::PubAck, 6),
        (AckKind::PubComp, 3),
    ] {
        world.ack(client, kind, id);
    }
    assert_eq!(world.read(client), ["PUBREL m3"]);
    world.disconnect(client);
    let (_, answer) = world.try_connect(&lasting(V311, "a"));
    assert_eq!(answer, ["CONNACK present 0x00"], "all is done");
}

#[test]
fn a_resend_that_fills_the_outbox_goes_on_when_it_is_taken() {
    let mut world = World::new();
    let publisher = world.client(V311, "p");
    let client = world.connect(&lasting(V311, "a"));
    world.subscribe(client, "t", Q1);
    let large = "x".repeat(10_000);
    for _ in 0..20 {
        world.publish_fully(publisher, &message("t", &large, Q1));
    }
    assert_eq!(world.read(client).len(), 20);
    world.cut(client);
    let (_, answer) = world.try_connect(&lasting(V311, "a"));
    assert_eq!(answer.len(), 21, "without an acknowledgement");
}

#[test]
fn what_is_sent_again_respects_the_new_maximum_packet_size() {
    let mut world = World::new();
    let publisher = world.client(V311, "p");
    let client = world.connect(&lasting(V5, "a"));
    world.subscribe(client, "t", Q2);
    let large = "x".repeat(200);
    world.publish_fully(publisher, &message("t", &large, Q1));
    world.publish_fully(publisher, &message("t", &large, Q2));
    world.publish_fully(publisher, &message("t", "small", Q1));
    assert_eq!(world.read(client).len(), 3);
    world.cut(client);
    let small = with(lasting(V5, "a"), Property::MaximumPacketSize(100));
    let (client, answer) = world.try_connect(&small);
    assert_eq!(answer[1..], ["PUBREL m2", "PUBLISH q1 m3 dup t 'small'"]);
    world.ack(client, AckKind::PubComp, 2);
    world.ack(client, AckKind::PubAck, 3);
    assert_eq!(world.core.peers.sessions[1].outgoing.inflight_len(), 0);
}

#[test]
fn a_session_keeps_the_identifiers_that_it_received() {
    let mut world = World::new();
    let watcher = world.client(V311, "w");
    world.subscribe(watcher, "t", Q0);
    let client = world.connect(&lasting(V311, "a"));
    world.publish(client, &message("t", "x", Q2));
    assert_eq!(world.read(client), ["PUBREC m7"]);
    world.cut(client);
    let client = world.try_connect(&lasting(V311, "a")).0;
    let again = crate::codec::Publish {
        dup: true,
        ..message("t", "x", Q2)
    };
    world.publish(client, &again);
    assert_eq!(world.read(client), ["PUBREC m7"]);
    assert_eq!(world.read(watcher), ["PUBLISH t 'x'"], "once");
}
