//! New settings, limits and rights while clients are connected.

use std::sync::Arc;

use super::harness::*;
use crate::auth::Acl;
use crate::broker::{Decision, Grounds, Policy, Refusal, Settings};
use crate::codec::{AckKind, Connect, Property};

fn rules(text: &str) -> Arc<Acl> {
    Arc::new(Acl::parse(text.as_bytes(), "acl").unwrap())
}

impl World {
    fn reload(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings {
            sys_interval: 0,
            ..Settings::default()
        };
        change(&mut settings);
        let policy = Arc::new(self.policy.clone());
        self.core.reconfigure(self.now, settings, &[policy]);
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn rights_change_between_two_messages() {
    let mut world = World::new();
    let reader = world.client(V5, "r");
    let writer = world.client(V5, "w");
    world.subscribe(reader, "#", Q0);
    world.publish(writer, &message("a", "1", Q1));
    assert_eq!(world.read(writer), ["PUBACK m7"]);
    world.policy.acl = Some(rules("topic write a\ntopic read b\n"));
    world.reload(|_| {});
    world.publish(writer, &message("a", "2", Q1));
    assert_eq!(world.read(writer), ["PUBACK m7"], "may be written still");
    world.publish(writer, &message("b", "3", Q1));
    assert!(world.read(writer)[0].starts_with("PUBACK m7 0x87"));
    assert_eq!(world.read(reader), ["PUBLISH a '1'"], "2 isn't for it");
    world.inject("b", "4", Q0);
    assert_eq!(world.read(reader), ["PUBLISH b '4'"]);
}

#[test]
fn what_waits_for_a_client_that_is_away_is_judged_by_the_new_rights() {
    let mut world = World::new();
    let client = world.connect(&lasting(V311, "a"));
    world.subscribe(client, "#", Q1);
    world.cut(client);
    world.inject("a", "1", Q1);
    world.inject("b", "2", Q1);
    world.policy.acl = Some(rules("topic read b\n"));
    world.reload(|_| {});
    world.inject("a", "3", Q1);
    assert_eq!(world.core.peers.sessions[0].outgoing.queued_len(), 2);
    let (_, answer) = world.try_connect(&lasting(V311, "a"));
    assert_eq!(answer[1..], ["PUBLISH q1 m1 b '2'"]);
}

#[test]
fn a_will_is_published_by_the_rights_of_its_moment() {
    for (acl, told) in [("topic readwrite #\n", true), ("topic read #\n", false)] {
        let mut world = World::new();
        let heir = world.client(V311, "h");
        world.subscribe(heir, "w", Q0);
        let client = world.connect(&Connect {
            will: Some(will("w", "gone")),
            ..hello(V311, "a")
        });
        world.policy.acl = Some(rules(acl));
        world.reload(|_| {});
        world.cut(client);
        let expected = if told { &["PUBLISH w 'gone'"][..] } else { &[] };
        assert_eq!(world.read(heir), expected);
    }
}

#[test]
fn other_listeners_keep_their_policy() {
    let mut world = World::new();
    let client = world.client(V311, "a");
    world.policy.acl = Some(rules("topic read x\n"));
    world.policy.listener = 1;
    world.reload(|_| {});
    world.subscribe(client, "#", Q0);
    world.inject("y", "1", Q0);
    assert_eq!(world.read(client), ["PUBLISH y '1'"]);
}

#[test]
fn what_connack_promised_holds_for_the_connection() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.policy.max_qos = 0;
    world.policy.max_topic_alias = 0;
    world.reload(|settings| {
        settings.max_inflight_messages = 1;
        settings.retain_available = false;
    });
    for id in 1..=20 {
        let mut publish = message("t", "x", Q2);
        publish.packet_id = id;
        publish.properties.push(Property::TopicAlias(10));
        world.publish(client, &publish);
    }
    let answers = world.read(client);
    assert_eq!(answers.len(), 20);
    assert!(answers.iter().all(|line| line.starts_with("PUBREC")));
    world.publish(client, &retained("t", "x", Q1));
    assert_eq!(world.read(client), ["PUBACK m7 0x10"]);
    // And a new connection is told what holds now.
    let (_, answer) = world.try_connect(&hello(V5, "b"));
    for told in ["MaximumQoS(0)", "RetainAvailable(0)", "ReceiveMaximum(1)"] {
        assert!(answer[0].contains(told), "{answer:?}");
    }
}

#[test]
fn what_is_allowed_now_is_allowed_to_those_who_are_there() {
    let mut world = World::with(|settings| settings.retain_available = false);
    world.policy.max_qos = 0;
    let client = world.client(V311, "a");
    world.policy.max_qos = 2;
    world.reload(|_| {});
    world.publish(client, &retained("t", "x", Q1));
    assert_eq!(world.read(client), ["PUBACK m7"]);
    assert_eq!(world.core.retained.counts().0, 1);
}

#[test]
fn the_window_towards_a_client_changes_at_once_within_what_it_takes() {
    let mut world = World::with(|settings| settings.max_inflight_messages = 2);
    let client = world.connect(&with(hello(V5, "a"), Property::ReceiveMaximum(3)));
    world.subscribe(client, "t", Q1);
    for _ in 0..9 {
        world.inject("t", "x", Q1);
    }
    assert_eq!(world.read(client).len(), 2);
    world.reload(|settings| settings.max_inflight_messages = 9);
    world.ack(client, AckKind::PubAck, 1);
    assert_eq!(world.read(client).len(), 2, "three are unacknowledged");
    world.reload(|settings| settings.max_inflight_messages = 1);
    for id in 2..=3 {
        world.ack(client, AckKind::PubAck, id);
        assert_eq!(world.read(client), NOTHING, "{id}");
    }
    world.ack(client, AckKind::PubAck, 4);
    assert_eq!(world.read(client).len(), 1);
}

#[test]
fn sessions_end_no_later_than_the_new_limit() {
    let mut world = World::new();
    let away = world.connect(&lasting(V311, "away"));
    let here = world.connect(&lasting(V5, "here"));
    world.cut(away);
    world.reload(|settings| settings.max_session_expiry = 60_000);
    world.pass(59_999);
    assert_eq!(world.core.clients.len(), 2);
    world.pass(1);
    assert_eq!(world.core.clients.len(), 1);
    world.cut(here);
    world.pass(60_000);
    world.check_empty();
}

#[test]
fn overlapping_subscriptions_are_merged_as_soon_as_that_is_asked_for() {
    let mut world = World::new();
    let client = world.client(V311, "a");
    world.subscribe(client, "t", Q0);
    world.subscribe(client, "#", Q0);
    world.publish(client, &message("t", "1", Q0));
    assert_eq!(world.read(client).len(), 2);
    world.reload(|settings| settings.allow_duplicate_messages = false);
    world.publish(client, &message("t", "2", Q0));
    assert_eq!(world.read(client).len(), 1);
}

#[test]
fn sys_begins_changes_its_pace_and_ends() {
    let mut world = World::new();
    world.reload(|settings| settings.sys_interval = 10_000);
    let client = world.client(V311, "a");
    let uptime = "$SYS/broker/uptime";
    assert_eq!(world.subscribe(client, uptime, Q0).len(), 1);
    world.pass(10_000);
    assert_eq!(world.read(client).len(), 1);
    world.reload(|settings| settings.sys_interval = 1_000);
    world.read(client);
    world.pass(10_000);
    assert_eq!(world.read(client).len(), 10);
    world.reload(|_| {});
    world.pass(10_000);
    assert_eq!(world.read(client), NOTHING);
    assert_eq!(world.core.retained.counts().0, 0, "nothing stale stays");
}

#[test]
fn who_is_expelled_is_told_why_and_leaves_a_will() {
    let mut world = World::new();
    let heir = world.client(V311, "heir");
    world.subscribe(heir, "w/+", Q0);
    let guest = |version, id, name| Connect {
        will: Some(will(if version == V5 { "w/5" } else { "w/3" }, id)),
        username: Some(name),
        ..hello(version, id)
    };
    let stays = world.connect(&guest(V5, "stays", "ann"));
    let old = world.connect(&guest(V311, "old", "bob"));
    let new = world.introduce(&guest(V5, "new", "bob"), Decision::Verified);
    world.read(new);
    let count = world.core.expel(world.now, |guest| match guest.username {
        Some("bob") if guest.grounds == Grounds::Password => Some(Refusal::NotAuthorized),
        Some("bob") => Some(Refusal::Administrative("bob goes")),
        _ => None,
    });
    assert_eq!(count, 2);
    assert_eq!(world.read(old), ["END"]);
    assert_eq!(world.read(new), ["DISCONNECT 0x87", "END"]);
    assert_eq!(world.read(stays), NOTHING);
    assert_eq!(world.read(heir), ["PUBLISH w/3 'old'", "PUBLISH w/5 'new'"]);
    world.check();
}

#[test]
fn a_connection_that_is_greeted_gets_the_policy_of_its_connect() {
    let mut world = World::new();
    let id = world.open();
    world.policy = Policy {
        versions: [true, false, true],
        ..Policy::default()
    };
    world.reload(|_| {});
    let connect = hello(V311, "a");
    world
        .core
        .connect(world.now, id, &connect, Decision::Allowed, 1);
    let client = Client { id, version: V311 };
    assert_eq!(world.read(client), ["CONNACK 0x01", "END"]);
}
