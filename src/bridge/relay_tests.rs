use super::*;
use crate::codec::{Frame, Side};
use crate::config::Config;

const RULES: &str = "topic out/# out 2 \"\" far/\ntopic in/# in 2 near/ \"\"";

/// A relay, and what left it for the two brokers since anybody looked.
struct World {
    relay: Relay,
    local: Vec<u8>,
    remote: Vec<u8>,
}

/// What a packet is, in short: name, packet identifier, and what else matters.
fn brief(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(publish) => {
            let flags = [(publish.dup, " dup"), (publish.retain, " retain")];
            let flags = flags.map(|(is_set, flag)| if is_set { flag } else { "" });
            let Publish {
                topic, packet_id, ..
            } = publish;
            let qos = publish.qos as u8;
            format!("PUBLISH {topic} q{qos} m{packet_id}{}", flags.concat())
        }
        Packet::Ack(kind, ack) if ack.reason == ReasonCode::SUCCESS => {
            format!("{kind:?} m{}", ack.packet_id)
        }
        Packet::Ack(kind, ack) => format!("{kind:?} m{} {:#x}", ack.packet_id, ack.reason.0),
        other => format!("{other:?}"),
    }
}

fn briefly(bytes: &mut Vec<u8>, version: Version) -> Vec<String> {
    let mut told = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some(frame) = Frame::split(rest, usize::MAX).unwrap() {
        // Whoever reads it, all of these go both ways.
        let packet = Packet::decode(frame, version, Side::Client).unwrap();
        told.push(brief(&packet));
        rest = &rest[frame.bytes.len()..];
    }
    assert!(rest.is_empty());
    bytes.clear();
    told
}

fn remote(version: Version) -> Remote {
    Remote {
        version,
        maximum_packet_size: usize::MAX,
        maximum_qos: QoS::ExactlyOnce,
        retain: true,
        topic_alias_maximum: 2,
        is_ours: false,
    }
}

impl World {
    fn new(remote: Remote) -> Self {
        let text = format!("listener 1883\nconnection b\naddress h:1\n{RULES}\n");
        let config = Config::parse(&text, "m.conf").unwrap();
        let topics = Topics::of(&config.bridges[0]);
        Self {
            relay: Relay::new(topics, remote, true),
            local: Vec::new(),
            remote: Vec::new(),
        }
    }

    /// A packet of this broker.
    fn try_outward(&mut self, packet: Packet<'_>) -> Result<(), Fault> {
        let mut out = Outputs {
            local: &mut self.local,
            remote: &mut self.remote,
        };
        self.relay.outward(packet, &mut out)
    }

    /// A packet of the other broker.
    fn try_inward(&mut self, packet: Packet<'_>) -> Result<(), Fault> {
        let mut out = Outputs {
            local: &mut self.local,
            remote: &mut self.remote,
        };
        self.relay.inward(packet, &mut out)
    }

    /// What this broker and the other one get for a packet of this one.
    fn outward(&mut self, packet: Packet<'_>) -> [Vec<String>; 2] {
        self.try_outward(packet).unwrap();
        self.sent()
    }

    /// The same for a packet of the other one.
    fn inward(&mut self, packet: Packet<'_>) -> [Vec<String>; 2] {
        self.try_inward(packet).unwrap();
        self.sent()
    }

    fn sent(&mut self) -> [Vec<String>; 2] {
        [
            briefly(&mut self.local, LOCAL_VERSION),
            briefly(&mut self.remote, self.relay.remote.version),
        ]
    }
}

fn here(packet: &str) -> [Vec<String>; 2] {
    [vec![packet.to_owned()], Vec::new()]
}

fn there(packet: &str) -> [Vec<String>; 2] {
    [Vec::new(), vec![packet.to_owned()]]
}

fn nothing() -> [Vec<String>; 2] {
    [Vec::new(), Vec::new()]
}

fn publish(topic: &str, qos: QoS, packet_id: u16) -> Publish<'_> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id,
        properties: Properties::new(),
        payload: b"0123456789",
    }
}

fn ack(kind: AckKind, packet_id: u16, reason: ReasonCode) -> Packet<'static> {
    let properties = Properties::new().with(Property::ReasonString("because"));
    Packet::Ack(
        kind,
        Ack {
            packet_id,
            reason,
            properties,
        },
    )
}

fn done(kind: AckKind, packet_id: u16) -> Packet<'static> {
    ack(kind, packet_id, ReasonCode::SUCCESS)
}

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

#[test]
fn packet_identifiers_pass_unchanged_in_both_directions() {
    for version in VERSIONS {
        let mut world = World::new(remote(version));
        for (qos, id) in [
            (QoS::AtMostOnce, 0),
            (QoS::AtLeastOnce, 7),
            (QoS::ExactlyOnce, 65535),
        ] {
            let rest = format!("q{} m{id}", qos as u8);
            assert_eq!(
                world.outward(Packet::Publish(publish("out/a", qos, id))),
                there(&format!("PUBLISH far/out/a {rest}"))
            );
            assert_eq!(
                world.inward(Packet::Publish(publish("in/a", qos, id))),
                here(&format!("PUBLISH near/in/a {rest}"))
            );
        }
        for kind in [
            AckKind::PubAck,
            AckKind::PubRec,
            AckKind::PubRel,
            AckKind::PubComp,
        ] {
            assert_eq!(
                world.outward(done(kind, 513)),
                there(&format!("{kind:?} m513"))
            );
            assert_eq!(
                world.inward(done(kind, 513)),
                here(&format!("{kind:?} m513"))
            );
        }
    }
}

#[test]
fn a_repeat_stays_one() {
    let mut world = World::new(remote(Version::V311));
    let mut repeat = publish("out/a", QoS::ExactlyOnce, 3);
    repeat.dup = true;
    assert_eq!(
        world.outward(Packet::Publish(repeat.clone())),
        there("PUBLISH far/out/a q2 m3 dup")
    );
    repeat.topic = "in/a";
    assert_eq!(
        world.inward(Packet::Publish(repeat)),
        here("PUBLISH near/in/a q2 m3 dup")
    );
}

#[test]
fn qos_2_becomes_qos_1_for_a_broker_that_has_no_more() {
    let mut less = remote(Version::V5);
    less.maximum_qos = QoS::AtLeastOnce;
    let mut world = World::new(less);
    let exactly_once = || Packet::Publish(publish("out/a", QoS::ExactlyOnce, 9));
    let as_qos_1 = there("PUBLISH far/out/a q1 m9");
    assert_eq!(world.outward(exactly_once()), as_qos_1);
    assert_eq!(world.inward(done(AckKind::PubAck, 9)), here("PubRec m9"));
    assert_eq!(world.outward(done(AckKind::PubRel, 9)), here("PubComp m9"));

    assert_eq!(
        world.outward(Packet::Publish(publish("out/a", QoS::AtLeastOnce, 9))),
        as_qos_1,
        "the identifier is free again"
    );
    assert_eq!(world.inward(done(AckKind::PubAck, 9)), here("PubAck m9"));

    assert_eq!(world.outward(exactly_once()), as_qos_1);
    let refused = ack(AckKind::PubAck, 9, ReasonCode::NOT_AUTHORIZED);
    assert_eq!(
        world.inward(refused),
        here("PubRec m9 0x87"),
        "that ends it"
    );
}

#[test]
fn pubrel_of_an_earlier_connection_is_answered_for_a_broker_without_qos_2() {
    let mut less = remote(Version::V5);
    less.maximum_qos = QoS::AtLeastOnce;
    let mut world = World::new(less);
    assert_eq!(world.outward(done(AckKind::PubRel, 4)), here("PubComp m4"));
}

#[test]
fn messages_go_out_once_to_a_broker_of_qos_0() {
    let mut less = remote(Version::V5);
    less.maximum_qos = QoS::AtMostOnce;
    let mut world = World::new(less);
    for (qos, settled) in [
        (QoS::AtLeastOnce, "PubAck m5"),
        (QoS::ExactlyOnce, "PubRec m5 0x83"),
    ] {
        let mut repeat = publish("out/a", qos, 5);
        repeat.dup = true;
        assert_eq!(
            world.outward(Packet::Publish(repeat)),
            [
                vec![settled.to_owned()],
                vec!["PUBLISH far/out/a q0 m0".to_owned()]
            ]
        );
    }
}

#[test]
fn what_goes_no_further_is_settled() {
    for version in VERSIONS {
        let mut world = World::new(remote(version));
        for (qos, outward, inward) in [
            (QoS::AtMostOnce, None, None),
            (QoS::AtLeastOnce, Some("PubAck m8"), Some("PubAck m8")),
            (QoS::ExactlyOnce, Some("PubRec m8 0x83"), Some("PubRec m8")),
        ] {
            let id = if qos == QoS::AtMostOnce { 0 } else { 8 };
            // Neither is in the configuration any more.
            assert_eq!(
                world.outward(Packet::Publish(publish("in/a", qos, id))),
                outward.map_or_else(nothing, here)
            );
            assert_eq!(
                world.inward(Packet::Publish(publish("out/a", qos, id))),
                inward.map_or_else(nothing, there)
            );
        }
        // The flow goes on with this broker, which has never heard of it.
        assert_eq!(world.inward(done(AckKind::PubRel, 8)), here("PubRel m8"));
        let unknown = ack(AckKind::PubComp, 8, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
        let code = if version == Version::V5 { " 0x92" } else { "" };
        assert_eq!(world.outward(unknown), there(&format!("PubComp m8{code}")));
        assert!(world.relay.warnings.is_empty());
    }
}

#[test]
fn what_is_too_large_is_settled_and_told() {
    let mut less = remote(Version::V311);
    let fits = publish("out/a", QoS::ExactlyOnce, 1);
    let as_sent = Publish {
        topic: "far/out/a",
        ..fits.clone()
    };
    less.maximum_packet_size = as_sent.encoded_len(Version::V311);
    let mut world = World::new(less);
    assert_eq!(
        world.outward(Packet::Publish(fits)),
        there("PUBLISH far/out/a q2 m1")
    );
    assert_eq!(
        world.outward(Packet::Publish(publish("out/ab", QoS::ExactlyOnce, 2))),
        here("PubRec m2 0x83")
    );
    assert_eq!(
        world.outward(Packet::Publish(publish("out/ab", QoS::AtLeastOnce, 3))),
        here("PubAck m3")
    );
    assert_eq!(world.relay.warnings.len(), 2);
    assert!(world.relay.warnings[0].contains("'out/ab' is too large"));
}

#[test]
fn a_topic_that_the_prefix_makes_too_long_is_settled() {
    let mut world = World::new(remote(Version::V5));
    let long = format!("out/{}", "x".repeat(65_530));
    assert_eq!(
        world.outward(Packet::Publish(publish(&long, QoS::AtLeastOnce, 3))),
        here("PubAck m3")
    );
    let long = format!("in/{}", "x".repeat(65_530));
    assert_eq!(
        world.inward(Packet::Publish(publish(&long, QoS::AtLeastOnce, 3))),
        there("PubAck m3")
    );
}

#[test]
fn topic_aliases_are_resolved() {
    let mut world = World::new(remote(Version::V5));
    let aliased = |topic, alias| {
        let mut publish = publish(topic, QoS::AtMostOnce, 0);
        publish.properties = Properties::new().with(Property::TopicAlias(alias));
        Packet::Publish(publish)
    };
    let (a, b) = (
        here("PUBLISH near/in/a q0 m0"),
        here("PUBLISH near/in/b q0 m0"),
    );
    assert_eq!(world.inward(aliased("in/a", 1)), a);
    assert_eq!(world.inward(aliased("in/b", 2)), b);
    assert_eq!(world.inward(aliased("", 1)), a);
    assert_eq!(world.inward(aliased("in/b", 1)), b);
    assert_eq!(world.inward(aliased("", 1)), b);
    for wrong in [aliased("in/a", 3), aliased("in/a", 0)] {
        let Err(Fault::Protocol(error)) = world.try_inward(wrong) else {
            panic!("it is not allowed");
        };
        assert_eq!(error.reason, ReasonCode::TOPIC_ALIAS_INVALID);
    }
    let mut fresh = World::new(remote(Version::V5));
    assert!(fresh.try_inward(aliased("", 1)).is_err(), "never set");
}

#[test]
fn properties_of_the_connection_stay_and_those_of_the_message_go() {
    let mut world = World::new(remote(Version::V5));
    let mut message = publish("in/a", QoS::AtMostOnce, 0);
    message.properties = Properties::new()
        .with(Property::TopicAlias(1))
        .with(Property::SubscriptionIdentifier(4))
        .with(Property::ContentType("text/plain"))
        .with(Property::UserProperty("a", "b"));
    assert_eq!(world.try_inward(Packet::Publish(message)), Ok(()));
    let frame = Frame::split(&world.local, usize::MAX).unwrap().unwrap();
    let packet = Packet::decode(frame, LOCAL_VERSION, Side::Client).unwrap();
    let Packet::Publish(passed) = packet else {
        panic!("a message");
    };
    let kept: Vec<_> = passed.properties.iter().collect();
    assert_eq!(
        kept,
        [
            Property::ContentType("text/plain"),
            Property::UserProperty("a", "b")
        ]
    );
}

#[test]
fn a_message_that_this_broker_cannot_store_stays_with_the_other_one() {
    for kind in [AckKind::PubAck, AckKind::PubRec] {
        let mut world = World::new(remote(Version::V311));
        let full = ack(kind, 1, ReasonCode::QUOTA_EXCEEDED);
        assert_eq!(world.try_outward(full), Err(Fault::Full));
        assert_eq!(world.sent(), nothing(), "nothing acknowledges it");
    }
}

#[test]
fn a_message_that_this_broker_refuses_is_told_and_settled() {
    let mut world = World::new(remote(Version::V5));
    let refused = |kind| ack(kind, 6, ReasonCode::NOT_AUTHORIZED);
    assert_eq!(
        world.outward(refused(AckKind::PubAck)),
        there("PubAck m6 0x87")
    );
    // PUBREL shall follow, see `settle_there`.
    assert_eq!(world.outward(refused(AckKind::PubRec)), there("PubRec m6"));
    assert_eq!(world.relay.warnings.len(), 2);
    assert_eq!(
        world.inward(refused(AckKind::PubAck)),
        here("PubAck m6 0x87")
    );
    assert_eq!(world.relay.warnings.len(), 3);
    let nobody = ack(AckKind::PubAck, 6, ReasonCode::NO_MATCHING_SUBSCRIBERS);
    assert_eq!(world.outward(nobody), there("PubAck m6 0x10"));
    assert_eq!(world.relay.warnings.len(), 3);
}

#[test]
fn retain_flags_go_where_they_are_taken() {
    let retained = |topic| {
        let mut publish = publish(topic, QoS::AtMostOnce, 0);
        publish.retain = true;
        Packet::Publish(publish)
    };
    let mut world = World::new(remote(Version::V311));
    assert_eq!(
        world.outward(retained("out/a")),
        there("PUBLISH far/out/a q0 m0 retain")
    );
    assert_eq!(
        world.inward(retained("in/a")),
        here("PUBLISH near/in/a q0 m0 retain")
    );
    world.relay.remote.retain = false;
    world.relay.retains_here = false;
    assert_eq!(
        world.outward(retained("out/a")),
        there("PUBLISH far/out/a q0 m0")
    );
    assert_eq!(
        world.inward(retained("in/a")),
        here("PUBLISH near/in/a q0 m0")
    );
}

#[test]
fn each_broker_may_end_the_connection() {
    let mut world = World::new(remote(Version::V5));
    let goodbye = || {
        Packet::Disconnect(Disconnect {
            reason: ReasonCode::SERVER_SHUTTING_DOWN,
            properties: Properties::new(),
        })
    };
    let reason = ReasonCode::SERVER_SHUTTING_DOWN;
    assert_eq!(world.try_outward(goodbye()), Err(Fault::Local(reason)));
    assert_eq!(world.try_inward(goodbye()), Err(Fault::Remote(reason)));
    let misplaced = world.try_inward(Packet::PingReq);
    assert!(matches!(misplaced, Err(Fault::Protocol(_))));
}

#[test]
fn it_is_ready_when_both_brokers_have_granted() {
    let mut world = World::new(remote(Version::V311));
    assert!(world.relay.is_ready(), "nothing was asked");
    world.relay.asked_here();
    let filters = ["in/a", "in/b"].map(str::to_owned).to_vec();
    world.relay.asked_there(77, filters);
    let granted = |packet_id, reasons: &[u8]| {
        Packet::SubAck(SubAck {
            packet_id,
            properties: Properties::new(),
            reasons: reasons.to_vec().into(),
        })
    };
    assert_eq!(world.outward(granted(1, &[2])), nothing());
    assert!(!world.relay.is_ready());
    assert_eq!(world.inward(granted(76, &[2, 2])), nothing());
    assert!(!world.relay.is_ready(), "that was another one");
    assert_eq!(world.inward(granted(77, &[1, 0x80])), nothing());
    assert!(world.relay.is_ready());
    assert_eq!(world.relay.warnings.len(), 1);
    assert!(world.relay.warnings[0].contains("'in/b'"));
}

#[test]
fn a_stamp_goes_to_brokers_that_know_it_only() {
    for is_ours in [true, false] {
        let mut world = World::new(Remote {
            is_ours,
            ..remote(Version::V5)
        });
        let properties = [("mine", "1"), (ORIGIN, "1.2.3")]
            .map(|(name, value)| Property::UserProperty(name, value))
            .into_iter()
            .fold(Properties::new(), Properties::with);
        let message = Publish {
            properties,
            ..publish("out/a", QoS::AtMostOnce, 0)
        };
        let mut out = Outputs {
            local: &mut world.local,
            remote: &mut world.remote,
        };
        let passed = world.relay.outward(Packet::Publish(message), &mut out);
        passed.unwrap();
        let frame = Frame::split(&world.remote, usize::MAX).unwrap().unwrap();
        let Ok(Packet::Publish(sent)) = Packet::decode(frame, Version::V5, Side::Client) else {
            panic!("no PUBLISH");
        };
        let user = sent
            .properties
            .iter()
            .filter_map(|property| match property {
                Property::UserProperty(name, _) => Some(name.to_owned()),
                _ => None,
            });
        let expected: &[&str] = if is_ours {
            &["mine", ORIGIN]
        } else {
            &["mine"]
        };
        assert_eq!(user.collect::<Vec<_>>(), expected);
    }
}
