//! What an acknowledgement promises: it waits until the store has it.

use std::ops::{Deref, DerefMut};

use super::harness::*;
use crate::broker::{Group, Millis, Settings};
use crate::codec::{
    AckKind, Connect, Packet, Property, Publish, QoS, SubscriptionOptions, Version,
};
use crate::store::{Memory, Store};

/// The system's clock at the start of the first broker.
const WALL: u64 = 1_700_000_000_000;

/// A broker with a store.
pub(super) struct Kept {
    world: World,
    pub(super) store: Memory,
    change: fn(&mut Settings),
    /// The system's clock at this broker's start.
    wall: u64,
}

impl Deref for Kept {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.world
    }
}

impl Kept {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: fn(&mut Settings)) -> Self {
        let mut kept = Self {
            world: World::with(change),
            store: Memory::new(),
            change,
            wall: WALL,
        };
        kept.restore();
        kept
    }

    pub(super) fn restore(&mut self) {
        let recovered = self.store.recover().unwrap();
        let now = self.world.now;
        self.world.core.restore(now, self.wall + now, recovered);
    }

    /// The broker ends without a word; another one starts `down` later with
    /// what was committed.
    pub(super) fn crash(&mut self, down: Millis) {
        self.crash_into(down, |_| {});
    }

    /// The same with what the next broker is told before it takes up anything.
    pub(super) fn crash_into(&mut self, down: Millis, prepare: impl FnOnce(&mut World)) {
        self.store.crash(usize::MAX);
        self.wall += self.world.now + down;
        self.world = World::with(self.change);
        prepare(&mut self.world);
        self.restore();
        self.world.pass(0);
    }

    pub(super) fn take_group(&mut self) -> Option<Group> {
        let now = self.world.now;
        self.world.core.take_group(now, self.wall + now)
    }

    pub(super) fn keep(&mut self, group: Group) {
        let now = self.world.now;
        self.store.commit(&group.records).unwrap();
        self.store.sync().unwrap();
        self.world.core.committed(now, group.number);
        for read in group.reads {
            let queued = self.store.read_queue(read.number, read.from, read.portion);
            self.world.core.queue_read(now, read, &queued.unwrap());
        }
    }

    /// Commits all there is.
    pub(super) fn commit(&mut self) {
        while let Some(group) = self.take_group() {
            self.keep(group);
        }
    }

    /// What a client can read now, and when all is committed.
    #[track_caller]
    pub(super) fn read_before_and_after(&mut self, client: Client) -> [Vec<String>; 2] {
        let before = self.read(client);
        self.commit();
        [before, self.read(client)]
    }

    /// Connects, and gives what comes behind CONNACK too.
    #[track_caller]
    pub(super) fn join(&mut self, connect: &Connect<'_>) -> (Client, Vec<String>) {
        let client = self.introduce(connect, crate::broker::Decision::Allowed);
        self.commit();
        let answer = self.read(client);
        assert!(answer[0].starts_with("CONNACK"), "{answer:?}");
        (client, answer)
    }

    /// A durable session.
    #[track_caller]
    pub(super) fn lasting(&mut self, version: Version, client_id: &str) -> Client {
        self.join(&lasting(version, client_id)).0
    }

    /// Subscribes, and gives what comes behind SUBACK.
    #[track_caller]
    pub(super) fn enrol(&mut self, client: Client, filter: &str, qos: QoS) -> Vec<String> {
        self.enrol_with(client, filter, options(qos), None)
    }

    #[track_caller]
    pub(super) fn enrol_with(
        &mut self,
        client: Client,
        filter: &str,
        options: SubscriptionOptions,
        identifier: Option<u32>,
    ) -> Vec<String> {
        self.send_subscribe(client, &[(filter, options)], identifier);
        self.commit();
        let mut answer = self.read(client);
        let suback = answer.remove(0);
        assert_eq!(suback, format!("SUBACK m1 [{}]", options.qos as u8));
        answer
    }

    /// A durable session that has subscribed and is away.
    #[track_caller]
    pub(super) fn absent(&mut self, client_id: &str, filter: &str, qos: QoS) {
        let client = self.lasting(V311, client_id);
        self.enrol(client, filter, qos);
        self.disconnect(client);
        self.commit();
    }

    /// Publishes `m0`, `m1`... and takes all acknowledgements.
    #[track_caller]
    pub(super) fn publish_many(&mut self, client: Client, topic: &str, qos: QoS, count: usize) {
        for number in 0..count {
            let text = format!("m{number}");
            self.publish_kept(client, &message(topic, &text, qos));
        }
    }

    /// Publishes and takes the acknowledgements on the way.
    #[track_caller]
    pub(super) fn publish_kept(&mut self, client: Client, publish: &Publish<'_>) {
        self.publish(client, publish);
        self.commit();
        match publish.qos {
            Q0 => {}
            Q1 => self.expect_ack(client, "PUBACK m7"),
            Q2 => {
                self.expect_ack(client, "PUBREC m7");
                self.ack(client, AckKind::PubRel, 7);
                self.commit();
                assert_eq!(self.read(client), ["PUBCOMP m7"]);
            }
        }
    }

    /// Reads one acknowledgement; it may tell that nobody has subscribed.
    #[track_caller]
    fn expect_ack(&mut self, client: Client, ack: &str) {
        let answer = self.read(client);
        assert_eq!(answer.len(), 1, "{answer:?}");
        assert!(answer[0].starts_with(ack), "{answer:?}");
    }

    /// Acknowledges all that comes, until nothing does; gives the payloads in
    /// the order of their arrival.
    #[track_caller]
    pub(super) fn drain(&mut self, client: Client, mut lines: Vec<String>) -> Vec<String> {
        let mut payloads = Vec::new();
        while !lines.is_empty() {
            for line in lines {
                let id = || {
                    let id = line.split(" m").nth(1).unwrap().split(' ').next().unwrap();
                    id.parse().unwrap()
                };
                if line.starts_with("PUBLISH") {
                    payloads.push(line.split('\'').nth(1).unwrap().to_owned());
                }
                if line.starts_with("PUBLISH q1") {
                    self.ack(client, AckKind::PubAck, id());
                } else if line.starts_with("PUBLISH q2") {
                    self.ack(client, AckKind::PubRec, id());
                } else if line.starts_with("PUBREL") {
                    self.ack(client, AckKind::PubComp, id());
                }
            }
            self.commit();
            lines = self.read(client);
        }
        payloads
    }
}

pub(super) const NOTHING: [&str; 0] = [];

#[test]
fn an_acknowledgement_of_what_a_durable_session_gets_waits() {
    for version in VERSIONS {
        let mut kept = Kept::new();
        kept.absent("a", "t", Q2);
        let p = kept.client(version, "p");
        kept.publish(p, &message("t", "1", Q1));
        let [before, after] = kept.read_before_and_after(p);
        assert_eq!(before, NOTHING);
        assert_eq!(after, ["PUBACK m7"]);
        kept.publish(p, &message("t", "2", Q2));
        let [before, after] = kept.read_before_and_after(p);
        assert_eq!(before, NOTHING);
        assert_eq!(after, ["PUBREC m7"]);
        kept.check();
    }
}

#[test]
fn an_acknowledgement_of_a_retained_message_waits() {
    let mut kept = Kept::new();
    let p = kept.client(V311, "p");
    for payload in ["there", ""] {
        kept.publish(p, &retained("r", payload, Q1));
        let [before, after] = kept.read_before_and_after(p);
        assert_eq!(before, NOTHING);
        assert_eq!(after, ["PUBACK m7"]);
    }
    // There is nothing to remove any more.
    kept.publish(p, &retained("r", "", Q1));
    assert_eq!(kept.read(p), ["PUBACK m7"]);
}

#[test]
fn what_makes_nothing_durable_is_answered_at_once() {
    let mut kept = Kept::new();
    kept.absent("a", "t", Q1);
    // Records of others that wait are no reason to.
    let other = kept.client(V311, "other");
    kept.publish(other, &message("t", "stored", Q1));
    let c = kept.client(V5, "clean");
    kept.subscribe(c, "clean/#", Q2);
    for qos in [Q1, Q2] {
        kept.publish_fully(c, &message("nobody", "1", qos));
    }
    let p = kept.client(V311, "p");
    kept.publish_fully(p, &message("clean/1", "2", Q2));
    assert_eq!(kept.read(c), ["PUBLISH q2 m1 clean/1 '2'"]);
    kept.ack(c, AckKind::PubRec, 1);
    assert_eq!(kept.read(c), ["PUBREL m1"]);
    kept.unsubscribe(c, "clean/#");
    assert_eq!(kept.read(c), ["UNSUBACK m2 [0]"]);
    assert_eq!(kept.read(other), NOTHING);
}

#[test]
fn nobody_waits_for_qos_0_and_a_retained_one_is_stored_all_the_same() {
    let mut kept = Kept::new();
    kept.absent("a", "r", Q2);
    let p = kept.client(V311, "p");
    kept.publish(p, &retained("r", "kept", Q0));
    kept.publish(p, &message("nobody", "1", Q1));
    assert_eq!(kept.read(p), ["PUBACK m7"]);
    kept.commit();
    kept.crash(0);
    let c = kept.client(V311, "c");
    assert_eq!(kept.subscribe(c, "r", Q1), ["PUBLISH retain r 'kept'"]);
}

#[test]
fn answers_to_a_durable_session_about_itself_wait() {
    for version in VERSIONS {
        let mut kept = Kept::new();
        let c = kept.introduce(&lasting(version, "c"), crate::broker::Decision::Allowed);
        let [before, after] = kept.read_before_and_after(c);
        assert_eq!(before, NOTHING);
        assert!(after[0].starts_with("CONNACK 0x00"), "{after:?}");
        kept.send_subscribe(c, &[("t", options(Q2))], None);
        let [before, after] = kept.read_before_and_after(c);
        assert_eq!(before, NOTHING);
        assert_eq!(after, ["SUBACK m1 [2]"]);
        kept.publish(c, &message("nobody", "1", Q2));
        let [before, after] = kept.read_before_and_after(c);
        assert_eq!(before, NOTHING, "its packet identifier is stored");
        assert_eq!(after, ["PUBREC m7"]);
        kept.ack(c, AckKind::PubRel, 7);
        let [before, after] = kept.read_before_and_after(c);
        assert_eq!(before, NOTHING);
        assert_eq!(after, ["PUBCOMP m7"]);
        kept.unsubscribe(c, "t");
        let [before, after] = kept.read_before_and_after(c);
        assert_eq!(before, NOTHING);
        assert!(after[0].starts_with("UNSUBACK"), "{after:?}");
        // A clean start ends what is stored.
        let c = kept.introduce(&hello(version, "c"), crate::broker::Decision::Allowed);
        let [before, after] = kept.read_before_and_after(c);
        assert_eq!(before, NOTHING);
        assert!(after[0].starts_with("CONNACK 0x00"), "{after:?}");
        assert!(kept.store.recover().unwrap().sessions.is_empty());
        kept.check();
    }
}

#[test]
fn an_answer_of_many_portions_waits_for_all_of_them() {
    let mut kept = Kept::new();
    let c = kept.lasting(V5, "c");
    let filters: Vec<_> = (0..300).map(|number| format!("f{number}")).collect();
    for filter in &filters[..256] {
        kept.enrol(c, filter, Q1);
    }
    let unsubscribe = Packet::Unsubscribe(crate::codec::Unsubscribe {
        packet_id: 2,
        properties: crate::codec::Properties::new(),
        // The second portion removes nothing.
        filters: filters.iter().map(String::as_str).collect(),
    });
    kept.send(c, &unsubscribe);
    let [before, after] = kept.read_before_and_after(c);
    assert_eq!(before, NOTHING);
    assert!(after[0].starts_with("UNSUBACK m2 [0, 0, "), "{after:?}");
}

#[test]
fn acknowledgements_never_overtake_each_other() {
    let mut kept = Kept::new();
    kept.absent("a", "t", Q2);
    let p = kept.client(V311, "p");
    let publish = |topic, packet_id| {
        Packet::Publish(Publish {
            packet_id,
            ..message(topic, "x", Q1)
        })
    };
    kept.send_all(p, &[publish("t", 1), publish("nobody", 2)]);
    let first = kept.take_group().unwrap();
    kept.send_all(
        p,
        &[publish("nobody", 3), publish("t", 4), publish("nobody", 5)],
    );
    let second = kept.take_group().unwrap();
    assert_eq!(kept.read(p), NOTHING);
    kept.keep(first);
    assert_eq!(kept.read(p), ["PUBACK m1", "PUBACK m2", "PUBACK m3"]);
    kept.send(p, &Packet::PingReq);
    assert_eq!(kept.read(p), ["PINGRESP"], "it is no acknowledgement");
    kept.keep(second);
    assert_eq!(kept.read(p), ["PUBACK m4", "PUBACK m5"]);
    kept.send(p, &publish("nobody", 6));
    assert_eq!(kept.read(p), ["PUBACK m6"]);
}

#[test]
fn messages_follow_the_suback_that_waits() {
    let mut kept = Kept::new();
    let p = kept.client(V311, "p");
    kept.publish_kept(p, &retained("t", "old", Q1));
    let c = kept.lasting(V311, "c");
    kept.send_subscribe(c, &[("t", options(Q1))], None);
    kept.publish(p, &message("t", "new", Q1));
    kept.publish(p, &message("t", "newer", Q0));
    assert_eq!(kept.read(c), NOTHING);
    kept.commit();
    assert_eq!(
        kept.read(c),
        [
            "SUBACK m1 [1]",
            "PUBLISH q1 m1 retain t 'old'",
            "PUBLISH q1 m2 t 'new'",
            "PUBLISH t 'newer'",
        ]
    );
}

/// A client that publishes without a pause always has an answer that waits.
#[test]
fn messages_wait_for_suback_and_not_for_what_comes_behind_it() {
    let mut kept = Kept::new();
    let c = kept.lasting(V311, "c");
    kept.send_subscribe(c, &[("t", options(Q1))], None);
    let first = kept.take_group().unwrap();
    kept.publish(c, &message("t", "1", Q1));
    let second = kept.take_group().unwrap();
    kept.keep(first);
    assert_eq!(kept.read(c), ["SUBACK m1 [1]", "PUBLISH q1 m1 t '1'"]);
    kept.keep(second);
    assert_eq!(kept.read(c), ["PUBACK m7"]);
}

#[test]
fn qos_2_reaches_a_durable_session_when_its_packet_identifier_is_safe() {
    let mut kept = Kept::new();
    let c = kept.lasting(V311, "c");
    kept.enrol(c, "t", Q2);
    let p = kept.client(V311, "p");
    kept.publish(p, &message("t", "0", Q1));
    assert_eq!(
        kept.read(c),
        ["PUBLISH q1 m1 t '0'"],
        "QoS 1 may be repeated"
    );
    kept.publish(p, &message("t", "1", Q2));
    kept.publish(p, &message("t", "2", Q1));
    let [before, after] = kept.read_before_and_after(c);
    assert_eq!(before, NOTHING);
    assert_eq!(after, ["PUBLISH q2 m2 t '1'", "PUBLISH q1 m3 t '2'"]);
    kept.ack(c, AckKind::PubRec, 2);
    let [before, after] = kept.read_before_and_after(c);
    assert_eq!(before, NOTHING, "PUBREL waits for 'PUBREC received'");
    assert_eq!(after, ["PUBREL m2"]);
    kept.ack(c, AckKind::PubComp, 2);
    assert_eq!(kept.read(c), NOTHING);
}

#[test]
fn qos_0_does_not_overtake_the_alias_of_its_topic() {
    let mut kept = Kept::new();
    let connect = with(lasting(V5, "c"), Property::TopicAliasMaximum(5));
    let (c, _) = kept.join(&connect);
    kept.enrol(c, "topic", Q2);
    let p = kept.client(V311, "p");
    kept.publish(p, &message("topic", "1", Q2));
    kept.publish(p, &message("topic", "2", Q0));
    let [before, after] = kept.read_before_and_after(c);
    assert_eq!(before, NOTHING);
    assert_eq!(
        after,
        [
            "PUBLISH q2 m1 topic '1' TopicAlias(1)",
            "PUBLISH  '2' TopicAlias(1)"
        ]
    );
}

#[test]
fn pubrel_is_repeated_on_the_next_connection() {
    let mut kept = Kept::new();
    let c = kept.lasting(V311, "c");
    kept.enrol(c, "t", Q2);
    let p = kept.client(V311, "p");
    kept.publish(p, &message("t", "1", Q2));
    kept.commit();
    kept.read(c);
    kept.ack(c, AckKind::PubRec, 1);
    kept.commit();
    kept.cut(c);
    kept.commit();
    let (c, lines) = kept.join(&lasting(V311, "c"));
    assert_eq!(lines, ["CONNACK present 0x00", "PUBREL m1"]);
    kept.ack(c, AckKind::PubComp, 1);
    kept.commit();
    kept.crash(0);
    let (_, lines) = kept.join(&lasting(V311, "c"));
    assert_eq!(lines, ["CONNACK present 0x00"]);
}

#[test]
fn a_takeover_discards_what_was_held() {
    let mut kept = Kept::new();
    kept.absent("a", "t", Q1);
    let old = kept.lasting(V5, "p");
    kept.publish(old, &message("t", "1", Q2));
    let new = kept.introduce(&lasting(V5, "p"), crate::broker::Decision::Allowed);
    kept.commit();
    assert_eq!(kept.read(old), ["DISCONNECT 0x8E", "END"]);
    let answer = kept.read(new);
    assert!(answer[0].starts_with("CONNACK present"), "{answer:?}");
    assert_eq!(answer.len(), 1, "{answer:?}");
    let again = Publish {
        dup: true,
        ..message("t", "1", Q2)
    };
    kept.publish(new, &again);
    assert_eq!(
        kept.read(new),
        ["PUBREC m7"],
        "it was stored before CONNACK"
    );
    kept.commit();
    let (a, lines) = kept.join(&lasting(V311, "a"));
    assert_eq!(kept.drain(a, lines), ["1"]);
    kept.check();
}
