//! What a client may send to make the broker end its connection.

use super::actor::Actor;
use super::random::Random;
use super::rules::{Listener, Rules};
use crate::broker::Batch;
use crate::broker::tests::harness::*;
use crate::codec::{Packet, Properties, Property, Publish, Version};

impl Actor {
    /// Writes something that is wrong, and nothing after it.
    pub(super) fn misbehave(&mut self, random: &mut Random, rules: &Rules, listener: &Listener) {
        let Some(client) = self.connection.filter(|_| self.may_write()) else {
            return;
        };
        let v5 = client.version == V5;
        let alias = |alias| Properties::new().with(Property::TopicAlias(alias));
        let most = listener.max_topic_alias;
        let mut publish = message("a", "bad", Q0);
        match random.below(8) {
            0 if listener.max_qos < Q2 => publish = message("a", "bad", Q2),
            1 if !rules.settings.retain_available => publish.retain = true,
            2 if v5 => publish.properties = alias(most + 1),
            // An alias that was set after all makes this a message.
            3 if v5 => (publish.topic, publish.properties) = ("", alias(most.max(1))),
            4 if v5 && listener.max_qos == Q2 => {
                self.exceed_the_receive_maximum(rules);
            }
            5 => {
                let connect = hello(client.version, "again");
                self.write(&Packet::Connect(Box::new(connect)));
            }
            _ => self.written.extend(garbage(random, client.version)),
        }
        // What is not refused above is a message, and this is not.
        self.write(&Packet::Publish(publish));
        self.written.extend_from_slice(&BAD);
        self.spoilt = true;
    }

    fn exceed_the_receive_maximum(&mut self, rules: &Rules) {
        for n in 0..=rules.settings.max_inflight_messages {
            self.write(&Packet::Publish(Publish {
                packet_id: 1000 + n,
                ..message("a", "bad", Q2)
            }));
        }
        // The broker remembers identifiers that this client knows nothing of.
        self.forgetful = true;
    }
}

/// QoS 3.
const BAD: [u8; 2] = [0x36, 0];

/// Something that is no packet.
fn garbage(random: &mut Random, version: Version) -> Vec<u8> {
    const FIXED: [&[u8]; 8] = [
        &[0x00, 0],
        &[0xC1, 0],
        &[0x82, 2, 0, 1],
        &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1],
        &[0x30, 5, 0, 3, b'a', b'/', b'+'],
        &[0x32, 5, 0, 1, b'a', 0, 0],
        &[0x20, 2, 0, 0],
        &BAD,
    ];
    let mut good = Vec::new();
    let publish = message("a/b", "bad payload", random.qos());
    publish.encode(version, &mut good);
    for _ in 0..10 {
        let mut bytes = random.pick(&FIXED).to_vec();
        if random.chance(60) {
            bytes.clone_from(&good);
            for _ in 0..=random.below(3) {
                let index = random.below(bytes.len());
                bytes[index] = random.next() as u8;
            }
        }
        let batch = Batch::decode(&bytes, version, 2_000_000);
        if batch.error.is_some() && batch.packets.is_empty() {
            return bytes;
        }
    }
    BAD.to_vec()
}
