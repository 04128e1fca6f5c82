//! Packets from one broker translated for the other, without any I/O.

use std::collections::HashSet;

use super::topics::Topics;
use crate::codec::{
    Ack, AckKind, DecodeError, Disconnect, ORIGIN, Packet, Properties, Property, Publish, QoS,
    ReasonCode, SubAck, Version,
};
use crate::property;
use crate::session::aliases;

/// Links within the process speak this.
pub(super) const LOCAL_VERSION: Version = Version::V5;

/// What the other broker takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote {
    pub(super) version: Version,
    /// In bytes.
    pub(super) maximum_packet_size: usize,
    pub(super) maximum_qos: QoS,
    /// Whether messages go out with their retain flag.
    pub(super) retain: bool,
    /// Topic aliases that it may use.
    pub(super) topic_alias_maximum: u16,
    /// Whether it is a broker of ours, which knows what a stamp is.
    pub(super) is_ours: bool,
}

/// Why the connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// This broker ended it.
    Local(ReasonCode),
    /// The other broker ended it.
    Remote(ReasonCode),
    /// This broker has no room to store a message now. Acknowledging it would
    /// lose it; not to be connected makes the other broker keep it.
    Full,
    /// The other broker sent what is not allowed.
    Protocol(DecodeError),
}

/// The bytes that leave for the two brokers.
#[derive(Debug)]
pub(super) struct Outputs<'a> {
    pub(super) local: &'a mut Vec<u8>,
    pub(super) remote: &'a mut Vec<u8>,
}

/// What a connection to the other broker needs to know; all that matters
/// beyond it is in the sessions of the two brokers.
#[derive(Debug)]
pub(super) struct Relay {
    topics: Topics,
    remote: Remote,
    /// Whether this broker takes retained messages.
    retains_here: bool,
    aliases: aliases::Received,
    /// The bridge's own SUBSCRIBE to this broker was not answered yet.
    asked_here: bool,
    /// The one to the other broker was not, with its filters.
    asked_there: Option<(u16, Vec<String>)>,
    /// Packet identifiers of messages of QoS 2 that went out at QoS 1, because
    /// the other broker has no more.
    lowered: HashSet<u16>,
    /// What the log should tell.
    pub(super) warnings: Vec<String>,
}

impl Relay {
    pub(super) fn new(topics: Topics, remote: Remote, retains_here: bool) -> Self {
        Self {
            topics,
            remote,
            retains_here,
            aliases: aliases::Received::default(),
            asked_here: false,
            asked_there: None,
            lowered: HashSet::new(),
            warnings: Vec::new(),
        }
    }

    /// The bridge has sent a SUBSCRIBE to this broker.
    pub(super) fn asked_here(&mut self) {
        self.asked_here = true;
    }

    /// The bridge has sent a SUBSCRIBE to the other broker.
    pub(super) fn asked_there(&mut self, packet_id: u16, filters: Vec<String>) {
        self.asked_there = Some((packet_id, filters));
    }

    /// Whether both brokers have answered, so that messages go both ways.
    pub(super) fn is_ready(&self) -> bool {
        !self.asked_here && self.asked_there.is_none()
    }

    /// A packet of this broker.
    pub(super) fn outward(
        &mut self,
        packet: Packet<'_>,
        out: &mut Outputs<'_>,
    ) -> Result<(), Fault> {
        match packet {
            Packet::Publish(publish) => self.publish_outward(publish, out),
            Packet::Ack(kind, ack) => return self.ack_outward(kind, ack, out),
            Packet::Disconnect(Disconnect { reason, .. }) => return Err(Fault::Local(reason)),
            Packet::SubAck(_) => self.asked_here = false,
            // Answers to what the bridge asked of a broker that trusts it.
            _ => {}
        }
        Ok(())
    }

    fn publish_outward(&mut self, publish: Publish<'_>, out: &mut Outputs<'_>) {
        let Some(topic) = self.topics.outward(publish.topic) else {
            // It was queued before the configuration changed.
            return settle_here(&publish, out.local);
        };
        let mut sent = publish.clone();
        sent.topic = &topic;
        if !self.remote.is_ours {
            sent.properties = without_stamp(&publish.properties);
        }
        sent.retain &= self.remote.retain;
        let size = sent.encoded_len(self.remote.version);
        if topic.len() > usize::from(u16::MAX) || size > self.remote.maximum_packet_size {
            self.warnings.push(format!(
                "a message of {size} bytes to '{}' is too large for the other broker and dropped",
                publish.topic
            ));
            return settle_here(&publish, out.local);
        }
        if sent.qos > self.remote.maximum_qos {
            sent.qos = self.remote.maximum_qos;
            if sent.qos == QoS::AtMostOnce {
                settle_here(&publish, out.local);
                sent.packet_id = 0;
                sent.dup = false;
            } else {
                self.lowered.insert(sent.packet_id);
            }
        }
        sent.encode(self.remote.version, out.remote);
    }

    fn ack_outward(
        &mut self,
        kind: AckKind,
        ack: Ack<'_>,
        out: &mut Outputs<'_>,
    ) -> Result<(), Fault> {
        match kind {
            // PUBREC was ours, see `lowered`.
            AckKind::PubRel if self.remote.maximum_qos < QoS::ExactlyOnce => {
                answer(AckKind::PubComp, ack.packet_id, LOCAL_VERSION, out.local);
                return Ok(());
            }
            AckKind::PubAck | AckKind::PubRec if ack.reason == ReasonCode::QUOTA_EXCEEDED => {
                return Err(Fault::Full);
            }
            AckKind::PubAck | AckKind::PubRec if ack.reason.is_error() => {
                let text = format!("this broker refused a message: {}", ack.reason);
                self.warnings.push(text);
                if kind == AckKind::PubRec {
                    self.settle_there(QoS::ExactlyOnce, ack.packet_id, out.remote);
                    return Ok(());
                }
            }
            _ => {}
        }
        pass_on(kind, &ack, self.remote.version, out.remote);
        Ok(())
    }

    /// A packet of the other broker.
    pub(super) fn inward(
        &mut self,
        packet: Packet<'_>,
        out: &mut Outputs<'_>,
    ) -> Result<(), Fault> {
        match packet {
            Packet::Publish(publish) => return self.publish_inward(publish, out),
            Packet::Ack(kind, ack) => self.ack_inward(kind, ack, out),
            Packet::SubAck(ack) => self.on_suback(&ack),
            Packet::UnsubAck(_) | Packet::PingResp => {}
            Packet::Disconnect(Disconnect { reason, .. }) => return Err(Fault::Remote(reason)),
            _ => {
                let error = DecodeError::protocol("a packet that has no place here");
                return Err(Fault::Protocol(error));
            }
        }
        Ok(())
    }

    fn publish_inward(&mut self, publish: Publish<'_>, out: &mut Outputs<'_>) -> Result<(), Fault> {
        let name = self.resolve(&publish)?;
        let topic = self.topics.inward(&name);
        let Some(topic) = topic.filter(|topic| u16::try_from(topic.len()).is_ok()) else {
            // It was subscribed to by an earlier configuration.
            self.settle_there(publish.qos, publish.packet_id, out.remote);
            return Ok(());
        };
        let properties = of_the_message(&publish.properties);
        let passed = Publish {
            topic: &topic,
            properties,
            retain: publish.retain && self.retains_here,
            ..publish
        };
        passed.encode(LOCAL_VERSION, out.local);
        Ok(())
    }

    /// Ends the flow of a message of the other broker that goes no further. At
    /// QoS 2 this broker answers the PUBREL that follows: it knows nothing of
    /// it. An error would be shorter in MQTT 5, but Mosquitto 2.0 counts such a
    /// message as in flight from then on and sends fewer others, at last none.
    fn settle_there(&self, qos: QoS, packet_id: u16, out: &mut Vec<u8>) {
        let kind = match qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => AckKind::PubAck,
            QoS::ExactlyOnce => AckKind::PubRec,
        };
        answer(kind, packet_id, self.remote.version, out);
    }

    /// The topic name of a PUBLISH, through its alias if need be.
    fn resolve(&mut self, publish: &Publish<'_>) -> Result<String, Fault> {
        let Some(alias) = property!(publish.properties, TopicAlias) else {
            return Ok(publish.topic.to_owned());
        };
        let known = if publish.topic.is_empty() {
            self.aliases.get(alias).map(str::to_owned)
        } else {
            let maximum = self.remote.topic_alias_maximum;
            let is_allowed = self.aliases.set(alias, publish.topic, maximum);
            is_allowed.then(|| publish.topic.to_owned())
        };
        known.ok_or_else(|| {
            Fault::Protocol(DecodeError::with(
                ReasonCode::TOPIC_ALIAS_INVALID,
                "a topic alias that means nothing",
            ))
        })
    }

    fn ack_inward(&mut self, kind: AckKind, ack: Ack<'_>, out: &mut Outputs<'_>) {
        if kind != AckKind::PubRel && kind != AckKind::PubComp && ack.reason.is_error() {
            let text = format!("the other broker refused a message: {}", ack.reason);
            self.warnings.push(text);
        }
        let lowered = kind == AckKind::PubAck && self.lowered.remove(&ack.packet_id);
        let kind = if lowered { AckKind::PubRec } else { kind };
        pass_on(kind, &ack, LOCAL_VERSION, out.local);
    }

    fn on_suback(&mut self, ack: &SubAck<'_>) {
        let Some((_, filters)) = self.asked_there.take_if(|(id, _)| *id == ack.packet_id) else {
            return;
        };
        for (filter, code) in filters.iter().zip(ack.reasons.iter()) {
            if *code >= 0x80 {
                let reason = ReasonCode(*code);
                let text = format!("the other broker refused to send '{filter}': {reason}");
                self.warnings.push(text);
            }
        }
    }
}

/// Ends the flow of a message of this broker that goes no further.
fn settle_here(publish: &Publish<'_>, out: &mut Vec<u8>) {
    match publish.qos {
        QoS::AtMostOnce => {}
        QoS::AtLeastOnce => answer(AckKind::PubAck, publish.packet_id, LOCAL_VERSION, out),
        // With an error nothing follows (4.3.3).
        QoS::ExactlyOnce => {
            let ack = Ack {
                packet_id: publish.packet_id,
                reason: ReasonCode::IMPLEMENTATION_SPECIFIC,
                properties: Properties::new(),
            };
            Packet::Ack(AckKind::PubRec, ack).encode(LOCAL_VERSION, out);
        }
    }
}

/// An acknowledgement without its properties, which are words for the log of
/// who got them.
fn pass_on(kind: AckKind, ack: &Ack<'_>, version: Version, out: &mut Vec<u8>) {
    let ack = Ack {
        packet_id: ack.packet_id,
        reason: ack.reason,
        properties: Properties::new(),
    };
    Packet::Ack(kind, ack).encode(version, out);
}

fn answer(kind: AckKind, packet_id: u16, version: Version, out: &mut Vec<u8>) {
    let ack = Ack {
        packet_id,
        reason: ReasonCode::SUCCESS,
        properties: Properties::new(),
    };
    Packet::Ack(kind, ack).encode(version, out);
}

/// The properties without what says where the message was published: the
/// subscribers of another broker would see it.
fn without_stamp<'a>(properties: &Properties<'a>) -> Properties<'a> {
    let mut kept = Properties::new();
    for property in properties.iter() {
        if !matches!(property, Property::UserProperty(ORIGIN, _)) {
            kept.push(property);
        }
    }
    kept
}

/// The properties without those that belong to the other connection.
fn of_the_message<'a>(properties: &Properties<'a>) -> Properties<'a> {
    let mut kept = Properties::new();
    for property in properties.iter() {
        match property {
            Property::TopicAlias(_) | Property::SubscriptionIdentifier(_) => {}
            property => kept.push(property),
        }
    }
    kept
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
