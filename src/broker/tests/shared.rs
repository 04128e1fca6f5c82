//! Shared subscriptions (4.8.2).

use super::harness::*;
use std::io::Write as _;
use std::sync::Arc;

use crate::auth::Acl;
use crate::codec::{AckKind, Connect, Property, SubscriptionOptions};

const GROUP: &str = "$share/g/t";

fn members(world: &mut World, names: &[&'static str]) -> Vec<Client> {
    let join = |name: &&'static str| {
        let client = world.client(V5, name);
        world.subscribe(client, GROUP, Q1);
        client
    };
    names.iter().map(join).collect()
}

#[test]
fn present_members_take_turns() {
    let mut world = World::new();
    let members = members(&mut world, &["a", "b", "c"]);
    for _ in 0..300 {
        world.inject("t", "x", Q0);
    }
    for member in members {
        assert_eq!(world.read(member).len(), 100);
    }
}

#[test]
fn groups_and_plain_subscriptions_get_their_own_copies() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    for filter in ["$share/g/t", "$share/h/t", "$share/g/+", "t"] {
        world.subscribe(client, filter, Q0);
    }
    world.inject("t", "x", Q0);
    assert_eq!(world.read(client).len(), 4);
    assert_eq!(world.core.subscriptions.counts(), (1, 3));
    world.disconnect(client);
    world.check_empty();
}

#[test]
fn a_member_without_room_is_passed_over() {
    let mut world = World::with(|settings| settings.max_inflight_messages = 1);
    let members = members(&mut world, &["a", "b"]);
    world.inject("t", "1", Q1);
    world.inject("t", "2", Q1);
    assert_eq!(world.read(members[0]).len(), 1);
    assert_eq!(world.read(members[1]).len(), 1);
    world.ack(members[1], AckKind::PubAck, 1);
    for payload in ["3", "4", "5"] {
        world.inject("t", payload, Q1);
        assert_eq!(world.read(members[1]).len(), 1, "a doesn't acknowledge");
        let id = payload.parse::<u16>().unwrap() - 1;
        world.ack(members[1], AckKind::PubAck, id);
    }
}

#[test]
fn absent_members_get_only_what_nobody_else_takes() {
    let mut world = World::new();
    let absent = world.connect(&lasting(V5, "absent"));
    world.subscribe(absent, GROUP, Q1);
    world.cut(absent);
    let present = members(&mut world, &["a"])[0];
    for _ in 0..4 {
        world.inject("t", "x", Q1);
    }
    assert_eq!(world.read(present).len(), 4);
    world.unsubscribe(present, GROUP);
    world.inject("t", "y", Q1);
    let (_, answer) = world.try_connect(&lasting(V5, "absent"));
    assert_eq!(answer[1..], ["PUBLISH q1 m1 t 'y'"]);
}

#[test]
fn what_an_ended_session_held_goes_to_another_member() {
    let mut world = World::with(|settings| settings.max_inflight_messages = 2);
    let first = world.client(V5, "a");
    world.subscribe_with(first, GROUP, options(Q2), Some(1));
    world.inject("t", "1", Q1);
    world.inject("t", "2", Q2);
    world.inject("t", "3", Q2);
    assert_eq!(world.read(first).len(), 2, "the third waits");
    let heir = world.client(V5, "b");
    let as_published = SubscriptionOptions {
        retain_as_published: true,
        ..options(Q1)
    };
    world.subscribe_with(heir, GROUP, as_published, Some(9));
    world.cut(first);
    assert_eq!(
        world.read(heir),
        [
            "PUBLISH q1 m1 t '1' SubscriptionIdentifier(9)",
            "PUBLISH q1 m2 t '3' SubscriptionIdentifier(9)",
        ],
        "QoS 2 in progress is not repeated; the heir's QoS and identifier count"
    );
}

#[test]
fn acknowledged_messages_are_not_inherited_nor_is_anything_without_heirs() {
    let mut world = World::new();
    let both = members(&mut world, &["a", "b"]);
    world.inject("t", "1", Q1);
    world.read(both[0]);
    world.ack(both[0], AckKind::PubAck, 1);
    world.cut(both[0]);
    assert_eq!(world.read(both[1]), Vec::<String>::new());
    world.inject("t", "2", Q1);
    world.cut(both[1]);
    world.check_empty();
}

#[test]
fn a_member_that_unsubscribed_or_left_is_no_longer_chosen() {
    let mut world = World::new();
    let members = members(&mut world, &["a", "b", "c"]);
    world.unsubscribe(members[1], GROUP);
    world.read(members[1]);
    world.cut(members[2]);
    for _ in 0..4 {
        world.inject("t", "x", Q0);
    }
    assert_eq!(world.read(members[0]).len(), 4);
    assert_eq!(world.read(members[1]).len(), 0);
    world.unsubscribe(members[0], GROUP);
    world.inject("t", "x", Q0);
    assert_eq!(world.read(members[0]), ["UNSUBACK m2 [0]"]);
    assert!(world.core.subscriptions.is_empty());
}

#[test]
fn no_local_is_forbidden_and_retained_messages_do_not_come() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.publish(client, &retained("t", "x", Q0));
    assert_eq!(world.subscribe(client, GROUP, Q0), Vec::<String>::new());
    let no_local = SubscriptionOptions {
        no_local: true,
        ..options(Q0)
    };
    world.send_subscribe(client, &[("$share/g/u", no_local)], None);
    assert_eq!(world.read(client), ["DISCONNECT 0x82", "END"]);
}

#[test]
fn old_clients_share_too() {
    let mut world = World::new();
    let members = VERSIONS.map(|version| {
        let client = world.client(version, ["a", "b", "c"][version as usize - 3]);
        world.subscribe(client, GROUP, Q0);
        client
    });
    for _ in 0..3 {
        world.inject("t", "x", Q0);
    }
    for member in members {
        assert_eq!(world.read(member), ["PUBLISH t 'x'"]);
    }
}

#[test]
fn who_may_not_read_it_or_cannot_take_it_is_passed_over() {
    for qos in [Q0, Q1, Q2] {
        let mut world = World::new();
        let mut rules = tempfile::NamedTempFile::new().unwrap();
        rules.write_all(b"user u\ntopic read #\n").unwrap();
        world.policy.acl = Some(Arc::new(Acl::load(rules.path()).unwrap()));
        let user = Connect {
            username: Some("u"),
            ..hello(V5, "small")
        };
        let small = with(user.clone(), Property::MaximumPacketSize(20));
        let able = Connect {
            client_id: "able",
            ..user
        };
        let clients = [hello(V5, "denied"), small, able].map(|connect| {
            let client = world.connect(&connect);
            world.subscribe(client, "$share/g/t", Q2);
            client
        });
        let long = "x".repeat(30);
        for n in 1..=30 {
            world.inject("t", &long, qos);
            let got = world.read(clients[2]);
            assert_eq!(got.len(), 1, "{n}");
            let acks: &[AckKind] = match qos {
                Q0 => &[],
                Q1 => &[AckKind::PubAck],
                Q2 => &[AckKind::PubRec, AckKind::PubComp],
            };
            for ack in acks {
                world.ack(clients[2], *ack, n);
            }
            world.read(clients[2]);
        }
        for _ in 0..30 {
            world.inject("t", "s", Q0);
        }
        assert_eq!(
            world.read(clients[1]).len(),
            15,
            "what it can take, it gets"
        );
        assert!(world.read(clients[0]).is_empty());
        world.check();
    }
}

#[test]
fn what_a_member_may_not_have_goes_to_another_though_its_connection_ends() {
    let mut world = World::with(|settings| settings.max_inflight_messages = 1);
    world.policy.listener = 1;
    let first = world.connect(&lasting(V311, "first"));
    world.subscribe(first, GROUP, Q1);
    world.inject("t", "1", Q1);
    world.inject("t", "2", Q1);
    world.policy.acl = Some(Arc::new(Acl::parse(b"topic read u\n", "acl").unwrap()));
    let strict = Arc::new(world.policy.clone());
    let settings = world.core.peers.settings.clone();
    world.core.reconfigure(world.now, settings, &[strict]);
    world.policy = crate::broker::Policy::default();
    let second = world.client(V5, "second");
    world.subscribe(second, GROUP, Q1);
    assert_eq!(world.read(first), ["PUBLISH q1 m1 t '1'"]);
    world.core.effects().wake.clear();
    // PUBACK makes room, PINGREQ has it looked for, QoS 3 ends the connection.
    world.send_bytes(first, b"\x40\x02\0\x01\xC0\0\x36\0");
    let woken = &world.core.effects().wake;
    assert!(woken.contains(&second.id), "at once: {woken:?}");
    assert_eq!(world.read(second), ["PUBLISH q1 m1 t '2'"]);
}

#[test]
fn what_a_member_can_no_longer_take_goes_to_another() {
    let mut world = World::new();
    let first = world.connect(&lasting(V5, "first"));
    world.subscribe(first, GROUP, Q1);
    for n in 0..25 {
        world.inject("t", &format!("{n:030}"), Q1);
    }
    assert_eq!(world.read(first).len(), 20, "the others wait");
    let second = world.client(V5, "second");
    world.subscribe(second, GROUP, Q1);
    world.cut(first);
    // It takes only small packets now: all 25 are for the other one.
    let small = with(lasting(V5, "first"), Property::MaximumPacketSize(30));
    let (first, got) = world.try_connect(&small);
    assert_eq!(got.len(), 1, "{got:?}");
    let mut numbers: Vec<usize> = Vec::new();
    let mut got = world.read(second);
    while !got.is_empty() {
        for line in got {
            let id = line[12..].split(' ').next().unwrap().parse().unwrap();
            world.ack(second, AckKind::PubAck, id);
            let number = line.split('\'').nth(1).unwrap();
            numbers.push(number.parse().unwrap());
        }
        got = world.read(second);
    }
    assert_eq!(numbers, (0..25).collect::<Vec<_>>());
    world.disconnect(second);
    world.inject("t", &format!("{:030}", 1), Q1);
    assert!(world.read(first).is_empty(), "nobody can take it");
    world.check();
}
