//! What CONNECT asks for, and what CONNACK answers.

use super::harness::*;
use crate::broker::Decision;
use crate::codec::{Connect, Property};

/// The first line of the answer to a CONNECT.
fn answer(world: &mut World, connect: &Connect<'_>) -> String {
    world.try_connect(connect).1.join(", ")
}

#[test]
fn the_properties_of_connack_come_in_mosquittos_order() {
    let mut world = World::with(|settings| settings.max_keep_alive = 60);
    world.policy.max_qos = 1;
    assert_eq!(
        answer(&mut world, &hello(V5, "")),
        "CONNACK 0x00 TopicAliasMaximum(10) \
         AssignedClientIdentifier(\"auto-00000000-0000-0000-0000-000000000001\") \
         ServerKeepAlive(60) MaximumQoS(1) MaximumPacketSize(2000000) ReceiveMaximum(20)"
    );
    let mut world = World::with(|settings| settings.retain_available = false);
    world.policy.max_topic_alias = 0;
    assert_eq!(
        answer(&mut world, &hello(V5, "a")),
        "CONNACK 0x00 RetainAvailable(0) MaximumPacketSize(2000000) ReceiveMaximum(20)"
    );
    assert_eq!(answer(&mut world, &hello(V311, "b")), "CONNACK 0x00");
    assert_eq!(answer(&mut world, &hello(V31, "c")), "CONNACK 0x00");
}

#[test]
fn an_empty_client_identifier_follows_the_rules_of_its_version() {
    let mut world = World::new();
    assert_eq!(answer(&mut world, &hello(V31, "")), "CONNACK 0x02, END");
    assert_eq!(answer(&mut world, &hello(V311, "")), "CONNACK 0x00");
    let keeping = Connect {
        clean_start: false,
        ..hello(V311, "")
    };
    assert_eq!(answer(&mut world, &keeping), "CONNACK 0x02, END");
    let keeping = Connect {
        clean_start: false,
        ..hello(V5, "")
    };
    assert!(answer(&mut world, &keeping).contains("AssignedClientIdentifier"));

    world.policy.allow_zero_length_client_id = false;
    assert_eq!(answer(&mut world, &hello(V311, "")), "CONNACK 0x02, END");
    assert_eq!(answer(&mut world, &hello(V5, "")), "CONNACK 0x85, END");
}

#[test]
fn client_identifiers_follow_the_listeners_rules() {
    let mut world = World::new();
    world.policy.client_id_prefix = Some("dev-".into());
    assert_eq!(answer(&mut world, &hello(V311, "x")), "CONNACK 0x05, END");
    assert_eq!(answer(&mut world, &hello(V5, "x")), "CONNACK 0x87, END");
    world.client(V311, "dev-1");

    let mut world = World::new();
    world.policy.use_username_as_client_id = true;
    assert_eq!(answer(&mut world, &hello(V311, "x")), "CONNACK 0x05, END");
    let named = Connect {
        username: Some("ann"),
        ..hello(V311, "x")
    };
    world.connect(&named);
    assert!(world.core.clients.contains_key("ann"));
}

#[test]
fn refusals_speak_the_language_of_the_version() {
    let mut world = World::new();
    for (version, expected) in [
        (V31, "CONNACK 0x05"),
        (V311, "CONNACK 0x05"),
        (V5, "CONNACK 0x87"),
    ] {
        let client = world.introduce(&hello(version, "a"), Decision::Denied);
        assert_eq!(world.read(client), [expected, "END"]);
    }
    world.policy.versions = [false, true, false];
    assert_eq!(answer(&mut world, &hello(V31, "a")), "CONNACK 0x01, END");
    assert_eq!(answer(&mut world, &hello(V5, "a")), "CONNACK 0x84, END");
    world.client(V311, "a");

    world.policy.versions = [true; 3];
    let enhanced = with(hello(V5, "b"), Property::AuthenticationMethod("SCRAM"));
    assert_eq!(answer(&mut world, &enhanced), "CONNACK 0x8C, END");
}

#[test]
fn wills_are_held_to_the_limits() {
    let mut world = World::with(|settings| settings.retain_available = false);
    world.policy.max_qos = 1;
    let with_will = |version, qos, retain| Connect {
        will: Some(crate::codec::Will {
            qos,
            retain,
            ..will("w", "x")
        }),
        ..hello(version, "a")
    };
    assert_eq!(
        answer(&mut world, &with_will(V5, Q2, false)),
        "CONNACK 0x9B, END"
    );
    assert_eq!(
        answer(&mut world, &with_will(V5, Q1, true)),
        "CONNACK 0x9A, END"
    );
    assert_eq!(answer(&mut world, &with_will(V311, Q2, false)), "END");
    world.connect(&with_will(V311, Q1, false));
    let reserved = Connect {
        will: Some(will("$SYS/x", "x")),
        ..hello(V5, "b")
    };
    assert_eq!(answer(&mut world, &reserved), "CONNACK 0x87, END");
}

#[test]
fn too_many_clients_are_refused_but_not_who_takes_its_session_over() {
    let mut world = World::with(|settings| settings.max_connections = 2);
    let first = world.client(V311, "a");
    world.client(V311, "b");
    assert_eq!(answer(&mut world, &hello(V311, "c")), "CONNACK 0x03, END");
    assert_eq!(answer(&mut world, &hello(V5, "c")), "CONNACK 0x89, END");
    world.client(V311, "a");
    assert_eq!(world.read(first), ["END"]);
    assert_eq!(answer(&mut world, &hello(V311, "c")), "CONNACK 0x03, END");
}

#[test]
fn max_connections_of_a_listener_counts_its_own_clients_only() {
    let mut world = World::new();
    for id in ["a", "b", "c"] {
        world.client(V311, id);
    }
    world.policy.listener = 1;
    world.policy.max_connections = 1;
    let only = world.client(V311, "d");
    assert_eq!(answer(&mut world, &hello(V311, "e")), "CONNACK 0x03, END");
    world.disconnect(only);
    world.client(V311, "e");
    world.check();
}

#[test]
fn one_and_a_half_keep_alives_are_waited_for() {
    let mut world = World::new();
    let clients = VERSIONS.map(|version| {
        let id = ["a", "b", "c"][version as usize - 3];
        world.connect(&Connect {
            keep_alive: 10,
            ..hello(version, id)
        })
    });
    world.pass(14_999);
    for client in &clients[..2] {
        world.send_bytes(*client, &[0xC0, 0]);
        assert_eq!(world.read(*client), ["PINGRESP"]);
    }
    world.pass(1);
    assert_eq!(world.read(clients[2]), ["DISCONNECT 0x8D", "END"]);
    assert_eq!(world.read(clients[0]), Vec::<String>::new());
    world.pass(14_998);
    assert_eq!(world.read(clients[0]), Vec::<String>::new());
    world.pass(1);
    assert_eq!(world.read(clients[0]), ["END"]);
    assert_eq!(world.read(clients[1]), ["END"]);
    world.check_empty();
}

#[test]
fn no_keep_alive_means_to_wait_for_ever() {
    let mut world = World::new();
    let client = world.client(V311, "a");
    world.pass(1_000_000_000);
    assert_eq!(world.read(client), Vec::<String>::new());
}

#[test]
fn a_keep_alive_above_the_limit_is_lowered_or_refused() {
    for asked in [0, 61, u16::MAX] {
        let mut world = World::with(|settings| settings.max_keep_alive = 60);
        let connect = |version| Connect {
            keep_alive: asked,
            ..hello(version, "a")
        };
        assert_eq!(answer(&mut world, &connect(V31)), "CONNACK 0x02, END");
        assert_eq!(answer(&mut world, &connect(V311)), "CONNACK 0x02, END");
        let (client, answer) = world.try_connect(&connect(V5));
        assert!(answer[0].contains("ServerKeepAlive(60)"), "{answer:?}");
        world.pass(90_000);
        assert_eq!(world.read(client), ["DISCONNECT 0x8D", "END"]);
    }
}

#[test]
fn a_second_connect_is_a_protocol_error() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.send(
        client,
        &crate::codec::Packet::Connect(Box::new(hello(V5, "a"))),
    );
    assert_eq!(world.read(client), ["DISCONNECT 0x82", "END"]);
}

#[test]
fn packets_behind_the_end_are_ignored_and_logged_once() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.log();
    // DISCONNECT, PINGREQ, and a packet that is malformed.
    world.send_bytes(client, &[0xE0, 0, 0xC0, 0, 0x36, 0]);
    assert_eq!(world.read(client), ["END"]);
    assert_eq!(world.log(), ["Client a disconnected."]);
}

#[test]
fn a_connack_that_the_client_cannot_take_is_not_sent() {
    let mut world = World::new();
    let tiny = with(hello(V5, "a"), Property::MaximumPacketSize(10));
    assert_eq!(answer(&mut world, &tiny), "END");
    world.check_empty();
}

#[test]
fn clients_that_come_and_go_leave_no_timers() {
    let mut world = World::new();
    for _ in 0..5_000 {
        let client = world.connect(&Connect {
            keep_alive: u16::MAX,
            ..lasting(V311, "a")
        });
        world.disconnect(client);
        let week = with(hello(V5, "b"), Property::SessionExpiryInterval(604_800));
        let client = world.connect(&week);
        world.cut(client);
        world.pass(1_000);
    }
    assert!(world.core.peers.timers.count() < 2_000);
}
