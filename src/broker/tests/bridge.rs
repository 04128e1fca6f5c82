//! What bridges ask for: those of this broker, and those of others.

use std::sync::Arc;

use super::durable::Kept;
use super::harness::*;
use crate::auth::Acl;
use crate::broker::Policy;
use crate::codec::{AckKind, Connect, Version};

/// A CONNECT in the way of Mosquitto's bridges.
fn private(version: Version, client_id: &str) -> Connect<'_> {
    Connect {
        bridge: true,
        ..lasting(version, client_id)
    }
}

/// A connection of a bridge of this broker.
fn link(world: &mut World, connect: &Connect<'_>) -> Client {
    let policy = std::mem::replace(&mut world.policy, Policy::bridge());
    let client = world.connect(connect);
    world.policy = policy;
    client
}

fn rules(text: &str) -> Arc<Acl> {
    Arc::new(Acl::parse(text.as_bytes(), "acl").unwrap())
}

#[test]
fn a_bridge_sees_the_retain_flag_and_nothing_of_its_own() {
    for version in [V31, V311] {
        let mut world = World::new();
        let other = world.client(V311, "other");
        world.publish(other, &retained("old", "1", Q0));
        let bridge = world.connect(&private(version, "bridge"));
        assert_eq!(
            world.subscribe(bridge, "#", Q1),
            ["PUBLISH retain old '1'"],
            "{version:?}"
        );
        world.publish(bridge, &retained("own", "2", Q0));
        world.publish(other, &retained("new", "3", Q0));
        world.publish(other, &message("new", "4", Q0));
        assert_eq!(
            world.read(bridge),
            ["PUBLISH retain new '3'", "PUBLISH new '4'"]
        );
        assert_eq!(
            world.subscribe(other, "own", Q0),
            ["PUBLISH retain own '2'"]
        );
    }
}

#[test]
fn the_log_tells_bridges_from_clients() {
    let mut world = World::new();
    world.connect(&private(V311, "far"));
    assert!(world.log()[1].starts_with("New bridge connected from test as far (p4, c0, k0"));
    world.connect(&lasting(V311, "near"));
    assert!(world.log()[1].starts_with("New client connected from test as near (p4, c0, k0"));
}

#[test]
fn a_bridge_may_share_a_subscription() {
    let mut world = World::new();
    let bridge = world.connect(&private(V311, "bridge"));
    world.subscribe(bridge, "$share/g/t", Q0);
    let other = world.client(V311, "other");
    world.publish(other, &message("t", "x", Q0));
    assert_eq!(world.read(bridge), ["PUBLISH t 'x'"]);
}

#[test]
fn our_bridges_have_all_rights_and_take_no_place() {
    let mut world = World::with(|settings| {
        settings.max_connections = 1;
        settings.max_keep_alive = 10;
        settings.max_session_expiry = 1000;
    });
    world.policy.acl = Some(rules("user a\ntopic #\n"));
    let user = Connect {
        username: Some("a"),
        keep_alive: 10,
        ..hello(V311, "user")
    };
    let first = link(&mut world, &lasting(V5, "first"));
    let user = world.connect(&user);
    link(&mut world, &lasting(V5, "second"));
    let (_, answer) = world.try_connect(&hello(V5, "third"));
    assert_eq!(answer[0], "CONNACK 0x89");

    world.subscribe(first, "#", Q1);
    world.publish(user, &message("in", "1", Q0));
    assert_eq!(world.read(first), ["PUBLISH in '1'"]);
    world.publish(
        first,
        &message("$SYS/broker/connection/first/state", "1", Q1),
    );
    world.publish(first, &message("$SYS/x", "1", Q1));
    assert_eq!(world.read(first), ["PUBACK m7 0x10", "PUBACK m7 0x87"]);
    // Neither silence nor absence ends anything.
    world.cut(user);
    world.pass(3_600_000);
    assert_eq!(world.read(first), Vec::<String>::new());
    world.cut(first);
    world.pass(3_600_000);
    let (_, answer) = {
        world.policy = Policy::bridge();
        world.try_connect(&lasting(V5, "first"))
    };
    assert!(answer[0].starts_with("CONNACK present"), "{answer:?}");
}

#[test]
fn a_reload_changes_nothing_for_our_bridges() {
    let mut world = World::new();
    let bridge = link(&mut world, &lasting(V5, "bridge"));
    world.subscribe(bridge, "#", Q1);
    world.cut(bridge);
    let mut settings = world.core.peers.settings.clone();
    settings.max_session_expiry = 1000;
    let strict = Policy {
        listener: 1,
        acl: Some(rules("")),
        ..Policy::default()
    };
    world.core.reconfigure(0, settings, &[Arc::new(strict)]);
    world.pass(10_000);
    world.inject("t", "x", Q1);
    assert_eq!(world.core.queued("bridge"), Some(1));
}

#[test]
fn what_waits_for_a_client_is_counted_wherever_it_is() {
    let mut kept = Kept::new();
    let client = kept.lasting(V311, "client");
    kept.enrol(client, "#", Q1);
    kept.disconnect(client);
    kept.commit();
    assert_eq!(kept.core.queued("client"), Some(0));
    assert_eq!(kept.core.queued("nobody"), None);
    let other = kept.lasting(V311, "other");
    kept.publish_many(other, "t", Q1, 400);
    assert_eq!(kept.core.queued("client"), Some(400));
    kept.crash(0);
    assert_eq!(kept.core.queued("client"), Some(400), "on disk alone");
    let client = kept.introduce(&lasting(V311, "client"), crate::broker::Decision::Allowed);
    kept.commit();
    assert_eq!(kept.read(client).len(), 1 + 20, "twenty are in flight");
    assert_eq!(kept.core.queued("client"), Some(400));
    kept.ack(client, AckKind::PubAck, 1);
    assert_eq!(kept.core.queued("client"), Some(399));
}

#[test]
fn an_unused_identifier_stays_unused_for_long() {
    let mut world = World::new();
    let client = world.client(V311, "client");
    world.subscribe(client, "#", Q1);
    world.inject("t", "x", Q1);
    assert_eq!(world.read(client), ["PUBLISH q1 m1 t 'x'"]);
    assert_eq!(world.core.unused_id("client"), Some(2));
    assert_eq!(world.core.unused_id("nobody"), None);
    let mut next_id = || {
        world.inject("t", "x", Q1);
        let line = world.read(client).concat();
        let id = line.split(' ').nth(2).and_then(|id| id.strip_prefix('m'));
        let id = id.and_then(|id| id.parse().ok()).expect(&line);
        world.ack(client, AckKind::PubAck, id);
        id
    };
    for _ in 0..45_000 {
        assert!(next_id() > 2, "1 is in flight, 2 was given away");
    }
    assert!((0..65_535).any(|_| next_id() == 2), "2 is lost");
}

#[test]
fn an_identifier_is_unused_however_many_are_in_flight() {
    let mut world = World::with(|settings| settings.max_inflight_messages = u16::MAX);
    let client = world.client(V311, "client");
    world.subscribe(client, "#", Q1);
    for _ in 0..u16::MAX {
        world.inject("t", "x", Q1);
        world.read(client);
    }
    assert_eq!(world.core.queued("client"), Some(65_535), "one waits");
    assert_eq!(world.core.unused_id("client"), Some(65_535));
    world.ack(client, AckKind::PubAck, 9);
    assert_eq!(world.read(client), ["PUBLISH q1 m9 t 'x'"]);
    assert_eq!(world.core.unused_id("client"), Some(65_535));
}

#[test]
fn what_a_lost_session_had_sent_is_forgotten_for_good() {
    let mut kept = Kept::new();
    let listener = kept.lasting(V311, "listener");
    kept.enrol(listener, "#", Q0);
    let client = kept.lasting(V5, "client");
    let first = message("t", "1", Q2);
    kept.publish(client, &first);
    kept.commit();
    assert_eq!(kept.read(client), ["PUBREC m7"]);
    kept.cut(client);

    kept.core.forget_received(0, "client");
    kept.core.forget_received(0, "nobody");
    // What CONNACK waits for.
    let client = kept.introduce(&lasting(V5, "client"), crate::broker::Decision::Allowed);
    assert_eq!(kept.read(client), Vec::<String>::new());
    kept.commit();
    assert!(kept.read(client)[0].starts_with("CONNACK present"));
    kept.crash(0);

    let listener = kept.lasting(V311, "listener");
    let client = kept.lasting(V5, "client");
    let again = crate::codec::Publish { dup: true, ..first };
    kept.publish(client, &again);
    kept.commit();
    assert_eq!(kept.read(client), ["PUBREC m7"]);
    assert_eq!(kept.read(listener), ["PUBLISH t '1'"]);
}

#[test]
fn another_message_of_a_bridge_is_no_repeat_whatever_it_says() {
    let mut world = World::new();
    let listener = world.client(V311, "listener");
    world.subscribe(listener, "#", Q0);
    let bridge = link(&mut world, &lasting(V5, "bridge"));
    let first = message("t", "1", Q2);
    let other = crate::codec::Publish {
        dup: true,
        ..message("t", "2", Q2)
    };
    for publish in [&first, &first, &other, &other] {
        world.publish(bridge, publish);
        assert_eq!(world.read(bridge), ["PUBREC m7"]);
    }
    assert_eq!(world.read(listener), ["PUBLISH t '1'", "PUBLISH t '2'"]);
}

#[test]
fn notifications_reach_who_may_read_them_and_last() {
    let mut kept = Kept::new();
    let state = "$SYS/broker/connection/b/state";
    let client = kept.lasting(V311, "client");
    kept.enrol(client, "$SYS/#", Q1);
    kept.enrol(client, "news", Q1);
    kept.core.publish_notification(0, state, "1", true);
    kept.core.publish_notification(0, "news", "1", true);
    kept.commit();
    assert_eq!(
        kept.read(client),
        [
            format!("PUBLISH q1 m1 {state} '1'"),
            "PUBLISH q1 m2 news '1'".to_owned()
        ]
    );
    let late = kept.lasting(V311, "late");
    assert_eq!(
        kept.enrol(late, state, Q0),
        [format!("PUBLISH retain {state} '1'")]
    );
    kept.crash(0);
    let late = kept.lasting(V311, "later");
    assert_eq!(kept.enrol(late, state, Q0), Vec::<String>::new());
    assert_eq!(kept.enrol(late, "news", Q0), ["PUBLISH retain news '1'"]);
}

#[test]
fn a_session_that_is_removed_is_gone_for_good() {
    let mut kept = Kept::new();
    let client = kept.lasting(V5, "client");
    kept.enrol(client, "#", Q1);
    kept.inject("t", "x", Q1);
    kept.commit();
    assert!(kept.core.remove_session(0, "client"));
    assert!(!kept.core.remove_session(0, "client"));
    kept.commit();
    assert_eq!(
        kept.read(client),
        ["PUBLISH q1 m1 t 'x'", "DISCONNECT 0x98", "END"]
    );
    kept.crash(0);
    assert_eq!(kept.core.queued("client"), None);

    let brief = kept.client(V311, "brief");
    assert!(kept.core.remove_session(0, "brief"));
    assert_eq!(kept.read(brief), ["END"]);
    kept.check_empty();
}

#[test]
fn a_bridge_keeps_its_rights_while_it_is_away_after_a_start() {
    let mut kept = Kept::new();
    kept.policy = Policy::bridge();
    let bridge = kept.lasting(V5, "bridge");
    kept.enrol(bridge, "#", Q1);
    kept.commit();
    kept.crash_into(0, |world| {
        let acl = Some(rules(""));
        let listener = 1;
        world.core.set_policy(Arc::new(Policy {
            listener,
            acl,
            ..Policy::default()
        }));
    });
    kept.inject("t", "x", Q1);
    assert_eq!(kept.core.queued("bridge"), Some(1));
}
