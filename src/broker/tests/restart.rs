//! The way back from a store, after a crash and after the store has failed.

use super::durable::{Kept, NOTHING};
use super::harness::*;
use crate::broker::{Decision, Settings};
use crate::codec::{
    AckKind, Packet, Property, Publish, ReasonCode, RetainHandling, SubscriptionOptions,
};
use crate::store::Store;

/// More than is kept in memory of a queue.
const MANY: usize = 3000;

fn unlimited(settings: &mut Settings) {
    settings.max_queued_messages = usize::MAX;
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number}")).collect()
}

#[test]
fn what_was_not_committed_was_not_acknowledged() {
    let mut kept = Kept::new();
    kept.absent("a", "t", Q1);
    let p = kept.client(V311, "p");
    kept.publish(p, &message("t", "1", Q1));
    let lost = kept.take_group().unwrap();
    assert!(!lost.records.is_empty());
    assert_eq!(kept.read(p), NOTHING);
    kept.crash(0);
    let (a, lines) = kept.join(&lasting(V311, "a"));
    assert_eq!(kept.drain(a, lines), NOTHING);
}

#[test]
fn queue_and_flight_come_back_in_their_order() {
    for (version, receive) in [(V311, None), (V5, Some(3))] {
        let mut kept = Kept::new();
        let mut connect = lasting(version, "c");
        if let Some(maximum) = receive {
            connect = with(connect, Property::ReceiveMaximum(maximum));
        }
        let (c, _) = kept.join(&connect);
        kept.enrol(c, "t", Q2);
        let p = kept.client(V311, "p");
        for (payload, qos) in [("1", Q1), ("2", Q2), ("3", Q2), ("4", Q1), ("5", Q2)] {
            kept.publish_kept(p, &message("t", payload, qos));
        }
        kept.read(c);
        // 1 is done, 2 is received, 3 and what the window had room for is sent.
        kept.ack(c, AckKind::PubAck, 1);
        kept.ack(c, AckKind::PubRec, 2);
        kept.commit();
        kept.read(c);
        kept.crash(0);
        kept.check();
        let (c, lines) = kept.join(&connect);
        assert!(lines[0].starts_with("CONNACK present"), "{lines:?}");
        let sent_again = [
            "PUBREL m2",
            "PUBLISH q2 m3 dup t '3'",
            "PUBLISH q1 m4 dup t '4'",
        ];
        assert_eq!(lines[1..4], sent_again);
        let fifth: &[&str] = match receive {
            None => &["PUBLISH q2 m5 dup t '5'"],
            Some(_) => &[],
        };
        assert_eq!(lines[4..], *fifth);
        assert_eq!(kept.drain(c, lines), ["3", "4", "5"]);
        kept.cut(c);
        kept.commit();
        kept.crash(0);
        let (_, lines) = kept.join(&connect);
        assert_eq!(lines.len(), 1, "nothing is left: {lines:?}");
    }
}

#[test]
fn subscriptions_come_back_with_all_they_are() {
    let mut kept = Kept::new();
    let c = kept.lasting(V5, "c");
    let wanted = SubscriptionOptions {
        no_local: true,
        retain_as_published: true,
        ..options(Q1)
    };
    kept.enrol_with(c, "a/+", wanted, Some(300));
    kept.enrol_with(c, "$share/g/b", options(Q2), Some(5));
    kept.enrol(c, "gone", Q1);
    kept.unsubscribe(c, "gone");
    kept.commit();
    let subscriptions = |kept: &Kept| {
        let mut all = kept.core.subscriptions();
        all.sort();
        all
    };
    let before = subscriptions(&kept);
    kept.crash(0);
    assert_eq!(subscriptions(&kept), before);
    let (c, _) = kept.join(&lasting(V5, "c"));
    kept.publish(c, &message("a/1", "own", Q1));
    assert_eq!(kept.drain(c, Vec::new()), NOTHING);
    kept.commit();
    let acks = kept.read(c);
    assert_eq!(acks.len(), 1, "no local: {acks:?}");
    let p = kept.client(V5, "p");
    kept.publish_kept(p, &retained("a/1", "x", Q2));
    kept.publish_kept(p, &message("b", "y", Q2));
    kept.publish_kept(p, &message("gone", "z", Q0));
    assert_eq!(
        kept.read(c),
        [
            "PUBLISH q1 m1 retain a/1 'x' SubscriptionIdentifier(300)",
            "PUBLISH q2 m2 b 'y' SubscriptionIdentifier(5)",
        ]
    );
    // It exists, so it is not new.
    let if_new = SubscriptionOptions {
        retain_handling: RetainHandling::IfNew,
        ..wanted
    };
    assert_eq!(kept.enrol_with(c, "a/+", if_new, None), NOTHING);
    kept.check();
}

#[test]
fn a_repeat_of_qos_2_is_known_after_a_restart() {
    for version in VERSIONS {
        let mut kept = Kept::new();
        kept.absent("a", "t", Q2);
        let p = kept.lasting(version, "p");
        kept.publish(p, &message("t", "1", Q2));
        kept.commit();
        assert_eq!(kept.read(p), ["PUBREC m7"]);
        kept.crash(0);
        let (p, _) = kept.join(&lasting(version, "p"));
        let again = Publish {
            dup: true,
            ..message("t", "1", Q2)
        };
        kept.publish(p, &again);
        kept.commit();
        assert_eq!(kept.read(p), ["PUBREC m7"]);
        kept.ack(p, AckKind::PubRel, 7);
        kept.commit();
        assert_eq!(kept.read(p), ["PUBCOMP m7"]);
        kept.crash(0);
        // The identifier is free: this is another message.
        let (p, _) = kept.join(&lasting(version, "p"));
        kept.publish(p, &message("t", "1", Q2));
        kept.commit();
        assert_eq!(kept.read(p), ["PUBREC m7"]);
        let (a, lines) = kept.join(&lasting(V311, "a"));
        assert_eq!(kept.drain(a, lines), ["1", "1"]);
    }
}

#[test]
fn retained_messages_come_back_and_expire_while_nobody_is_there() {
    let mut kept = Kept::new();
    let p = kept.client(V5, "p");
    kept.publish_kept(p, &retained("r/forever", "1", Q1));
    let mut short = retained("r/short", "2", Q1);
    short.properties.push(Property::MessageExpiryInterval(60));
    short.properties.push(Property::ContentType("text"));
    kept.publish_kept(p, &short);
    short.topic = "r/shorter";
    short.properties = crate::codec::Properties::new();
    short.properties.push(Property::MessageExpiryInterval(20));
    kept.publish_kept(p, &short);
    kept.publish_kept(p, &retained("r/gone", "3", Q1));
    kept.publish_kept(p, &retained("r/gone", "", Q1));
    kept.pass(10_000);
    kept.crash(20_000);
    let c = kept.client(V5, "c");
    let mut found = kept.subscribe(c, "r/+", Q0);
    found.sort();
    assert_eq!(
        found,
        [
            "PUBLISH retain r/forever '1'",
            "PUBLISH retain r/short '2' ContentType(\"text\") MessageExpiryInterval(30)",
        ]
    );
    kept.commit();
    assert_eq!(kept.store.recover().unwrap().retained.len(), 2);
}

#[test]
fn sessions_and_messages_expire_while_the_broker_is_down() {
    let mut kept = Kept::new();
    for (client_id, seconds) in [("short", 30), ("long", 100)] {
        let mut connect = hello(V5, client_id);
        connect.clean_start = false;
        let (c, _) = kept.join(&with(connect, Property::SessionExpiryInterval(seconds)));
        kept.enrol(c, "t", Q1);
        kept.cut(c);
    }
    let p = kept.client(V5, "p");
    let mut mortal = message("t", "mortal", Q1);
    mortal.properties.push(Property::MessageExpiryInterval(30));
    kept.publish_kept(p, &mortal);
    mortal.payload = b"lasts";
    mortal.properties = crate::codec::Properties::new();
    mortal.properties.push(Property::MessageExpiryInterval(90));
    kept.publish_kept(p, &mortal);
    kept.crash(40_000);
    kept.commit();
    kept.crash(40_000);
    kept.commit();
    assert_eq!(kept.store.recover().unwrap().sessions.len(), 1);
    let connect = with(lasting(V5, "long"), Property::ReceiveMaximum(9));
    let (c, lines) = kept.join(&connect);
    assert_eq!(
        lines[1..],
        ["PUBLISH q1 m1 t 'lasts' MessageExpiryInterval(10)"]
    );
    kept.ack(c, AckKind::PubAck, 1);
    let mut connect = hello(V5, "long");
    connect.clean_start = false;
    kept.cut(c);
    let (c, _) = kept.join(&with(connect, Property::SessionExpiryInterval(100)));
    kept.cut(c);
    kept.commit();
    kept.crash(60_000);
    kept.commit();
    kept.crash(60_000);
    kept.commit();
    assert!(kept.store.recover().unwrap().sessions.is_empty());
}

/// A session whose will was published by a later broker than the one that its
/// client was connected to ends when it should have.
#[test]
fn a_will_with_a_delay_survives_and_comes_once() {
    let mut kept = Kept::new();
    kept.absent("a", "w", Q1);
    let last = with_will("w", "last words", 50);
    let mut connect = with(lasting(V5, "c"), Property::SessionExpiryInterval(100));
    connect.properties = crate::codec::Properties::new();
    connect
        .properties
        .push(Property::SessionExpiryInterval(100));
    connect.will = Some(last);
    let (c, _) = kept.join(&connect);
    kept.cut(c);
    kept.commit();
    kept.crash(30_000);
    kept.commit();
    assert_eq!(queued(&mut kept, "a"), 0);
    kept.crash(30_000);
    kept.commit();
    assert_eq!(queued(&mut kept, "a"), 1);
    kept.crash(30_000);
    kept.commit();
    assert_eq!(queued(&mut kept, "a"), 1);
    assert_eq!(kept.store.recover().unwrap().sessions.len(), 2);
    kept.crash(11_000);
    kept.commit();
    assert_eq!(kept.store.recover().unwrap().sessions.len(), 1);
}

#[test]
fn who_was_connected_counts_as_dropped_at_the_restart() {
    let mut kept = Kept::new();
    kept.absent("a", "w", Q1);
    let mut connect = lasting(V311, "c");
    connect.will = Some(will("w", "last words"));
    kept.join(&connect);
    kept.crash(1000);
    kept.commit();
    kept.crash(1000);
    kept.commit();
    let (a, lines) = kept.join(&lasting(V311, "a"));
    assert_eq!(kept.drain(a, lines), NOTHING, "a will of QoS 0");
    let mut connect = lasting(V311, "c");
    connect.will = Some(crate::codec::Will {
        qos: Q1,
        ..will("w", "last words")
    });
    kept.join(&connect);
    kept.crash(1000);
    kept.commit();
    kept.crash(1000);
    kept.commit();
    let (a, lines) = kept.join(&lasting(V311, "a"));
    assert_eq!(kept.drain(a, lines), ["last words"]);
}

fn with_will(
    topic: &'static str,
    payload: &'static str,
    delay: u32,
) -> crate::codec::Will<'static> {
    let mut will = crate::codec::Will {
        qos: Q1,
        ..will(topic, payload)
    };
    will.properties.push(Property::WillDelayInterval(delay));
    will
}

/// How many messages wait for a client in the store.
fn queued(kept: &mut Kept, client_id: &str) -> u64 {
    let sessions = kept.store.recover().unwrap().sessions;
    let session = sessions
        .iter()
        .find(|s| &*s.description.client_id == client_id);
    session.unwrap().queue.deliveries
}

#[test]
fn a_long_queue_is_read_as_it_drains() {
    for qos in [Q1, Q2] {
        let mut kept = Kept::with(unlimited);
        kept.absent("a", "t", qos);
        let p = kept.client(V311, "p");
        kept.publish_many(p, "t", qos, MANY);
        assert_eq!(queued(&mut kept, "a"), MANY as u64);
        let (a, lines) = kept.join(&lasting(V311, "a"));
        assert_eq!(kept.drain(a, lines), numbered(MANY));
        assert_eq!(queued(&mut kept, "a"), 0);
        kept.check();
    }
}

#[test]
fn a_long_queue_survives_crashes_while_it_drains_and_grows() {
    let mut kept = Kept::with(unlimited);
    kept.absent("a", "t", Q2);
    let p = kept.client(V311, "p");
    kept.publish_many(p, "t", Q2, MANY);
    kept.crash(0);
    let (a, lines) = kept.join(&lasting(V311, "a"));
    let publishes = lines.iter().filter(|line| line.starts_with("PUBLISH"));
    assert_eq!(publishes.count(), 20);
    // Some are taken, others only received when the broker ends.
    for id in 1..=20 {
        kept.ack(a, AckKind::PubRec, id);
    }
    for id in 1..=10 {
        kept.ack(a, AckKind::PubComp, id);
    }
    kept.commit();
    kept.crash(0);
    let p = kept.client(V311, "p");
    kept.publish_kept(p, &message("t", "late", Q2));
    let (a, lines) = kept.join(&lasting(V311, "a"));
    assert_eq!(lines[1], "PUBREL m11");
    assert_eq!(lines[11], "PUBLISH q2 m21 dup t 'm20'");
    let mut rest = numbered(MANY).split_off(20);
    rest.push("late".into());
    assert_eq!(kept.drain(a, lines), rest);
    kept.check();
}

#[test]
fn the_limits_of_a_queue_count_what_is_in_the_store_alone() {
    let mut kept = Kept::with(|settings| settings.max_queued_messages = 700);
    kept.absent("a", "t", Q1);
    let p = kept.client(V311, "p");
    kept.publish_many(p, "t", Q1, 650);
    kept.crash(0);
    let p = kept.client(V311, "p");
    for number in 650..800 {
        kept.publish_kept(p, &message("t", &format!("m{number}"), Q1));
    }
    assert_eq!(queued(&mut kept, "a"), 700);
    let (a, lines) = kept.join(&lasting(V311, "a"));
    assert_eq!(kept.drain(a, lines), numbered(700));
}

#[test]
fn what_has_expired_in_the_store_alone_makes_room() {
    let mut kept = Kept::with(|settings| settings.max_queued_messages = 400);
    kept.absent("a", "t", Q1);
    let p = kept.client(V5, "p");
    let mut mortal = message("t", "mortal", Q1);
    mortal.properties.push(Property::MessageExpiryInterval(10));
    for _ in 0..400 {
        kept.publish_kept(p, &mortal);
    }
    kept.pass(20_000);
    for number in 0..403 {
        kept.publish_kept(p, &message("t", &format!("m{number}"), Q1));
    }
    let (a, lines) = kept.join(&lasting(V311, "a"));
    let received = kept.drain(a, lines);
    // One is lost each time that the store has to be read.
    assert!(received.len() > 390, "{}", received.len());
}

#[test]
fn an_estate_of_a_long_queue_goes_to_other_members() {
    let mut kept = Kept::with(unlimited);
    let (c, _) = kept.join(&with(hello(V5, "c"), Property::SessionExpiryInterval(10)));
    kept.enrol(c, "$share/g/t", Q1);
    kept.cut(c);
    let p = kept.client(V311, "p");
    kept.publish_many(p, "t", Q1, MANY);
    let other = kept.lasting(V311, "other");
    kept.enrol(other, "$share/g/t", Q1);
    kept.disconnect(other);
    kept.commit();
    kept.pass(20_000);
    // The broker ends when a part was handed over.
    let group = kept.take_group().unwrap();
    kept.keep(group);
    kept.crash(0);
    kept.commit();
    assert_eq!(kept.store.recover().unwrap().sessions.len(), 1);
    let (other, lines) = kept.join(&lasting(V311, "other"));
    let mut received = kept.drain(other, lines);
    let mut expected = numbered(MANY);
    received.sort();
    expected.sort();
    assert_eq!(received, expected);
    kept.check();
}

/// The session that holds the message comes back before the other member.
#[test]
fn what_is_in_flight_of_a_shared_subscription_keeps_its_group() {
    let mut kept = Kept::new();
    let (c, _) = kept.join(&with(hello(V5, "c"), Property::SessionExpiryInterval(100)));
    kept.enrol(c, "$share/g/t", Q1);
    let p = kept.client(V311, "p");
    kept.publish_kept(p, &message("t", "1", Q1));
    assert_eq!(kept.read(c).len(), 1);
    let other = kept.lasting(V311, "other");
    kept.enrol(other, "$share/g/t", Q1);
    kept.unsubscribe(c, "$share/g/t");
    kept.cut(c);
    kept.commit();
    kept.crash(0);
    kept.pass(200_000);
    kept.commit();
    let (other, lines) = kept.join(&lasting(V311, "other"));
    assert_eq!(kept.drain(other, lines), ["1"]);
}

#[test]
fn a_store_that_fails_sends_all_away_and_brings_them_back() {
    let mut kept = Kept::with(|settings| settings.sys_interval = 1000);
    kept.absent("a", "t", Q2);
    let p = kept.lasting(V5, "p");
    kept.publish_kept(p, &retained("t", "kept", Q1));
    kept.pass(1000);
    let clean = kept.client(V311, "clean");
    kept.subscribe(clean, "t", Q0);
    kept.publish(p, &message("t", "lost", Q1));
    let lost = kept.take_group().unwrap();
    drop(lost);
    let now = kept.now;
    kept.core.store_failed(now);
    assert_eq!(kept.read(p), ["DISCONNECT 0x89", "END"]);
    assert_eq!(kept.read(clean), ["PUBLISH t 'lost'", "END"]);
    // Nobody is let in meanwhile.
    let early = kept.introduce(&lasting(V5, "p"), Decision::Allowed);
    let answer = kept.read(early);
    assert!(answer[0].starts_with("CONNACK 0x"), "{answer:?}");
    assert_eq!(answer[1], "END");
    kept.check_empty();
    kept.restore();
    kept.commit();
    let (a, lines) = kept.join(&lasting(V311, "a"));
    assert_eq!(kept.drain(a, lines), ["kept"]);
    let (p, lines) = kept.join(&lasting(V5, "p"));
    assert!(lines[0].starts_with("CONNACK present"), "{lines:?}");
    let again = Packet::Publish(Publish {
        dup: true,
        ..message("t", "lost", Q1)
    });
    kept.send(p, &again);
    kept.commit();
    assert_eq!(kept.read(p), ["PUBACK m7"]);
    assert_eq!(kept.drain(a, Vec::new()), NOTHING);
    kept.pass(1000);
    let c = kept.client(V311, "c");
    let version = kept.subscribe(c, "$SYS/broker/version", Q0);
    assert_eq!(version.len(), 1, "{version:?}");
    kept.check();
}

#[test]
fn a_client_that_ends_its_session_leaves_nothing_behind() {
    let mut kept = Kept::new();
    let c = kept.lasting(V5, "c");
    kept.enrol(c, "t", Q2);
    kept.publish(c, &message("t", "1", Q2));
    kept.commit();
    let mut properties = crate::codec::Properties::new();
    properties.push(Property::SessionExpiryInterval(0));
    kept.disconnect_with(c, ReasonCode::SUCCESS, properties);
    kept.commit();
    kept.crash(0);
    kept.check_empty();
    assert!(kept.store.recover().unwrap().sessions.is_empty());
}
