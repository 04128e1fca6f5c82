//! `memory_limit`.

use super::harness::*;
use crate::codec::{AckKind, Connect, Packet};

const LIMIT: usize = 100_000;

fn limited() -> World {
    World::with(|settings| settings.memory_limit = LIMIT)
}

/// Publishes until more is held than what one client could change.
fn fill(world: &mut World, topic: &str) {
    let payload = "x".repeat(1000);
    while world.core.memory() <= LIMIT + 5000 {
        world.inject(topic, &payload, Q1);
    }
    world.core.tick(world.now);
}

/// A world above its limit: a session that is away has a full queue, another
/// is away with an empty one.
fn crowded() -> World {
    let mut world = limited();
    let away = world.connect(&lasting(V5, "away"));
    world.subscribe(away, "away/#", Q1);
    world.cut(away);
    let other = world.connect(&lasting(V311, "other"));
    world.cut(other);
    fill(&mut world, "away/t");
    world
}

fn told(world: &mut World, words: &str) -> usize {
    let log = world.log();
    log.iter().filter(|line| line.contains(words)).count()
}

#[test]
fn what_would_have_to_be_kept_is_refused_and_everything_else_goes_on() {
    let mut world = limited();
    world.policy.max_qos = 2;
    let clients = VERSIONS.map(|version| world.client(version, &format!("{version:?}")));
    let reader = world.client(V5, "reader");
    world.subscribe(reader, "t", Q2);
    let away = world.connect(&lasting(V5, "away"));
    world.subscribe(away, "away", Q1);
    world.cut(away);
    world.publish(reader, &retained("r", "kept", Q0));
    fill(&mut world, "away");
    for (round, client) in clients.into_iter().enumerate() {
        let got = world.core.peers.stats.dropped;
        for topic in ["t", "nobody"] {
            world.publish_fully(client, &message(topic, "x", Q1));
            world.publish_fully(client, &message(topic, "x", Q2));
        }
        assert_eq!(world.core.peers.stats.dropped, got);
        assert_eq!(world.read(reader).len(), 2);
        let id = 2 * round as u16 + 1;
        world.ack(reader, AckKind::PubAck, id);
        world.ack(reader, AckKind::PubRec, id + 1);
        world.ack(reader, AckKind::PubComp, id + 1);
        world.read(reader);
        world.publish(client, &message("away", "x", Q0));
        world.publish(client, &retained("t", "x", Q0));
        assert_eq!(world.core.peers.stats.dropped, got + 1, "QoS 0 isn't kept");
        assert_eq!(world.core.retained.counts(), (1, 4));
        assert_eq!(world.read(reader), Vec::<String>::new());
        world.publish(client, &message("away", "x", Q1));
        let answer = world.read(client);
        if client.version == V5 {
            assert_eq!(answer, ["PUBACK m7 0x97"]);
            world.publish(client, &retained("new", "x", Q2));
            assert_eq!(world.read(client), ["PUBREC m7 0x97"]);
        } else {
            assert_eq!(answer, ["END"]);
        }
    }
    world.publish(reader, &retained("r", "", Q0));
    assert_eq!(world.core.retained.counts(), (0, 0), "it may be cleared");
    world.check();
}

#[test]
fn new_sessions_are_refused_and_old_ones_come_back() {
    let mut world = crowded();
    let refused = [
        (V31, "CONNACK 0x03"),
        (V311, "CONNACK 0x03"),
        (V5, "CONNACK 0x97"),
    ];
    for (version, answer) in refused {
        let (_, got) = world.try_connect(&hello(version, "new"));
        assert_eq!(got, [answer, "END"]);
    }
    for connect in [lasting(V311, "other"), hello(V311, "other")] {
        let (client, got) = world.try_connect(&connect);
        assert!(got[0].contains(" 0x00"), "{got:?}");
        world.cut(client);
    }
}

#[test]
fn it_ends_a_little_below_the_limit_and_is_told_once_each() {
    let mut world = crowded();
    let (client, _) = world.try_connect(&lasting(V311, "other"));
    assert_eq!(told(&mut world, "memory_limit is reached"), 1);
    let (away, mut got) = world.try_connect(&lasting(V5, "away"));
    let mut free = false;
    while !got.is_empty() {
        assert!(!free || world.core.memory() < LIMIT);
        for line in std::mem::take(&mut got) {
            if let Some(id) = line.strip_prefix("PUBLISH q1 m") {
                let id = id.split(' ').next().unwrap().parse().unwrap();
                world.ack(away, AckKind::PubAck, id);
            }
        }
        free |= told(&mut world, "memory_limit is kept again") == 1;
        let below = world.core.memory() <= LIMIT - LIMIT / 16;
        assert_eq!(free, below, "{}", world.core.memory());
        got = world.read(away);
    }
    assert!(free, "the queue is empty: {}", world.core.memory());
    world.publish_fully(client, &retained("t", "x", Q1));
    assert_eq!(world.core.retained.counts(), (1, 1));
}

#[test]
fn a_will_that_would_have_to_be_kept_is_dropped_and_counted() {
    let mut world = limited();
    let mut doomed = hello(V311, "doomed");
    doomed.will = Some(will("away/will", "gone"));
    doomed.will.as_mut().unwrap().qos = Q1;
    let doomed = world.connect(&doomed);
    let away = world.connect(&lasting(V5, "away"));
    world.subscribe(away, "away/#", Q1);
    world.cut(away);
    fill(&mut world, "away/t");
    world.cut(doomed);
    assert_eq!(world.core.peers.stats.dropped, 1);
}

/// Everything that counts is there, and nothing stays counted that is gone.
#[test]
fn what_is_held_is_counted_and_goes() {
    let mut world = limited();
    let start = world.core.memory();
    let connect = Connect {
        clean_start: true,
        ..lasting(V5, "a")
    };
    let client = world.connect(&connect);
    let sessions = world.core.memory();
    assert!(sessions > start + 1000);
    let filter = "f".repeat(5000);
    world.subscribe(client, &filter, Q1);
    let subscribed = world.core.memory();
    assert!(subscribed > sessions + 5000);
    let payload = "x".repeat(5000);
    world.publish(client, &retained("t", &payload, Q0));
    let kept = world.core.memory();
    assert!(kept > subscribed + 5000);
    world.publish(client, &message(&filter, &payload, Q1));
    world.publish(client, &message(&filter, &payload, Q1));
    let flying = world.core.memory();
    assert!(flying > kept + 2 * 5000 + 2 * 5000, "in flight and outbox");
    world.read(client);
    assert!(world.core.memory() > kept + 2 * 5000, "in flight");
    world.ack(client, AckKind::PubAck, 1);
    world.ack(client, AckKind::PubAck, 2);
    world.publish(client, &retained("t", "", Q0));
    assert_eq!(world.core.memory(), subscribed);
    world.unsubscribe(client, &filter);
    world.read(client);
    assert_eq!(world.core.memory(), sessions);
    world.disconnect(client);
    let again = world.connect(&hello(V5, "a"));
    world.cut(again);
    assert_eq!(world.core.memory(), start);
}

#[test]
fn a_long_queue_does_not_keep_the_batches_that_its_messages_came_in() {
    let mut world = World::with(|settings| settings.memory_limit = usize::MAX - 1);
    let slow = world.client(V5, "slow");
    world.subscribe(slow, "t", Q1);
    let publisher = world.client(V5, "publisher");
    let ballast = "x".repeat(60_000);
    let batch = [
        Packet::Publish(message("nobody", &ballast, Q0)),
        Packet::Publish(message("t", "small", Q1)),
    ];
    let before = world.core.memory();
    for _ in 0..1000 {
        world.send_all(publisher, &batch);
        world.read(publisher);
    }
    let held = world.core.memory() - before;
    let pinned = 20 * 61_000 + 256 * 1024;
    assert!(held < pinned + 1000 * 500, "{held}");
    world.cut(slow);
    world.cut(publisher);
}
