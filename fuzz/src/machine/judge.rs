//! What a client may expect of the server, whatever it sent itself.

use std::collections::{HashMap, VecDeque};

use moustique::codec::{
    AckKind, Connect, Frame, MAX_REMAINING_LENGTH, Packet, Property, QoS, RefusedConnect, Side,
    Version,
};
use moustique::{property, topic};

pub(super) struct Judge {
    version: Version,
    greeted: bool,
    accepted: bool,
    /// The server has said its last word.
    over: bool,
    max_packet_size: usize,
    alias_maximum: u16,
    aliases: HashMap<u16, String>,
    /// Answers in the order in which they are owed.
    owed: VecDeque<Answer>,
    window: u16,
    /// What the server sent and the client didn't acknowledge.
    inflight: HashMap<u16, QoS>,
    /// Identifiers that the client acknowledged before it could know them:
    /// from then on nobody knows how many are in flight.
    guessed: bool,
}

/// Packet type, packet identifier, number of codes.
type Answer = (u8, u16, usize);

impl Judge {
    pub(super) fn new(window: u16) -> Self {
        Self {
            version: Version::V311,
            greeted: false,
            accepted: false,
            over: false,
            max_packet_size: usize::MAX,
            alias_maximum: 0,
            aliases: HashMap::new(),
            owed: VecDeque::new(),
            window,
            inflight: HashMap::new(),
            guessed: false,
        }
    }

    /// The server has read a CONNECT.
    pub(super) fn greeted(&mut self, connect: &Connect<'_>) {
        self.greeted = true;
        self.version = connect.version;
        let properties = &connect.properties;
        self.max_packet_size =
            property!(properties, MaximumPacketSize).map_or(usize::MAX, |size| size as usize);
        self.alias_maximum = property!(properties, TopicAliasMaximum).unwrap_or(0);
        self.window = self
            .window
            .min(property!(properties, ReceiveMaximum).unwrap_or(u16::MAX));
    }

    /// The server has read a CONNECT that it cannot decode.
    pub(super) fn refused(&mut self, refused: &RefusedConnect) {
        self.greeted = refused.connack.is_some();
        if let Some((version, _)) = refused.connack {
            self.version = version;
        }
    }

    /// The server has read these whole packets.
    pub(super) fn client_sent(&mut self, mut bytes: &[u8], version: Version) {
        while let Ok(Some(frame)) = Frame::split(bytes, MAX_REMAINING_LENGTH) {
            bytes = &bytes[frame.bytes.len()..];
            match Packet::decode(frame, version, Side::Client).expect("the batch has decoded it") {
                Packet::Publish(publish) => match publish.qos {
                    QoS::AtMostOnce => {}
                    QoS::AtLeastOnce => self.owed.push_back((4, publish.packet_id, 0)),
                    QoS::ExactlyOnce => self.owed.push_back((5, publish.packet_id, 0)),
                },
                Packet::Ack(AckKind::PubRel, ack) => self.owed.push_back((7, ack.packet_id, 0)),
                Packet::Ack(kind, ack) => {
                    let Some(&qos) = self.inflight.get(&ack.packet_id) else {
                        self.guessed = true;
                        continue;
                    };
                    let done = match kind {
                        AckKind::PubAck => qos == QoS::AtLeastOnce,
                        AckKind::PubRec => qos == QoS::ExactlyOnce && ack.reason.is_error(),
                        _ => qos == QoS::ExactlyOnce,
                    };
                    if done {
                        self.inflight.remove(&ack.packet_id);
                    }
                }
                Packet::Subscribe(packet) => {
                    self.owed
                        .push_back((9, packet.packet_id, packet.requests.len()));
                }
                Packet::Unsubscribe(packet) => {
                    let codes = match version {
                        Version::V5 => packet.filters.len(),
                        _ => 0,
                    };
                    self.owed.push_back((11, packet.packet_id, codes));
                }
                Packet::PingReq => self.owed.push_back((13, 0, 0)),
                _ => {}
            }
        }
    }

    /// The server has written these bytes.
    pub(super) fn server_sent(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let frame = Frame::split(bytes, MAX_REMAINING_LENGTH).expect("a frame");
            let frame = frame.expect("a whole packet");
            bytes = &bytes[frame.bytes.len()..];
            let packet = Packet::decode(frame, self.version, Side::Server);
            let packet = packet.expect("a packet that a server may send");
            assert!(!self.over, "{packet:?} after the last one");
            let length = frame.bytes.len();
            assert!(
                length <= self.max_packet_size,
                "{length} bytes, header {:#x}",
                frame.first_byte()
            );
            self.judge(&packet);
        }
    }

    fn judge(&mut self, packet: &Packet<'_>) {
        if let Packet::ConnAck(ack) = packet {
            assert!(self.greeted && !self.accepted, "{packet:?} unasked");
            self.accepted = ack.reason.0 == 0;
            self.over = !self.accepted;
            assert!(self.accepted || !ack.session_present, "{packet:?}");
            return;
        }
        assert!(self.accepted, "{packet:?} before CONNACK");
        match packet {
            Packet::Publish(publish) => {
                let topic = self.resolve(publish.topic, &publish.properties);
                assert!(topic::is_valid_name(&topic), "{packet:?}");
                if publish.qos != QoS::AtMostOnce {
                    self.in_flight(publish.packet_id, publish.qos);
                }
            }
            Packet::Ack(AckKind::PubRel, _) => {}
            Packet::Ack(kind, ack) => self.answer((*kind as u8, ack.packet_id, 0)),
            Packet::SubAck(ack) => {
                let codes = ack.reasons.iter();
                assert!(codes.clone().all(|code| *code <= 2 || *code >= 0x80));
                self.answer((9, ack.packet_id, codes.len()));
            }
            Packet::UnsubAck(ack) => self.answer((11, ack.packet_id, ack.reasons.len())),
            Packet::PingResp => self.answer((13, 0, 0)),
            Packet::Disconnect(_) => self.over = true,
            _ => panic!("{packet:?} from a server without authentication methods"),
        }
    }

    fn resolve(&mut self, topic: &str, properties: &moustique::codec::Properties<'_>) -> String {
        let aliases = properties.iter().filter_map(|property| match property {
            Property::TopicAlias(alias) => Some(alias),
            _ => None,
        });
        for alias in aliases {
            assert!(alias <= self.alias_maximum, "alias {alias}");
            if topic.is_empty() {
                return self
                    .aliases
                    .get(&alias)
                    .expect("an alias that was set")
                    .clone();
            }
            self.aliases.insert(alias, topic.into());
        }
        topic.into()
    }

    fn in_flight(&mut self, id: u16, qos: QoS) {
        if self.guessed {
            return;
        }
        assert_eq!(
            self.inflight.insert(id, qos),
            None,
            "identifier {id} in use"
        );
        let count = self.inflight.len();
        assert!(count <= usize::from(self.window), "{count} in flight");
    }

    fn answer(&mut self, answer: Answer) {
        let owed = self.owed.pop_front();
        assert_eq!(owed, Some(answer), "(packet type, identifier, codes)");
    }

    /// Nothing more comes unless something happens: all answers were given.
    pub(super) fn at_rest(&self) {
        assert!(self.owed.is_empty(), "unanswered: {:?}", self.owed);
        assert!(self.accepted || !self.greeted, "no CONNACK");
    }
}
