//! Messages and subscriptions in every version: their exact bytes, and back.

use std::borrow::Cow;

use super::super::{
    Ack, AckKind, Packet, Properties, Property, Publish, QoS, ReasonCode, RetainHandling, Side,
    SubAck, Subscribe, SubscriptionOptions, SubscriptionRequest, UnsubAck, Unsubscribe, Version,
};
use super::{SIDES, VERSIONS, decode, encode, hex, read_only, same};
use Version::{V5, V31, V311};

fn message(topic: &str) -> Publish<'_> {
    Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic,
        packet_id: 0,
        properties: Properties::new(),
        payload: b"hi",
    }
}

#[test]
fn publish() {
    for sender in SIDES {
        for version in [V31, V311] {
            same(
                version,
                sender,
                "30 07 0003 'a/b' 'hi'",
                &Packet::Publish(message("a/b")),
            );
            same(
                version,
                sender,
                "3B 09 0003 'a/b' 000A 'hi'",
                &Packet::Publish(Publish {
                    dup: true,
                    qos: QoS::AtLeastOnce,
                    retain: true,
                    packet_id: 10,
                    ..message("a/b")
                }),
            );
            same(
                version,
                sender,
                "34 05 0001 'a' FFFF",
                &Packet::Publish(Publish {
                    qos: QoS::ExactlyOnce,
                    packet_id: 0xFFFF,
                    payload: b"",
                    ..message("a")
                }),
            );
        }
        same(
            V5,
            sender,
            "31 08 0003 'a/b' 00 'hi'",
            &Packet::Publish(Publish {
                retain: true,
                ..message("a/b")
            }),
        );
        same(
            V5,
            sender,
            "3C 0C 0000 0001 05 01 01 23 0007 'hi'",
            &Packet::Publish(Publish {
                dup: true,
                qos: QoS::ExactlyOnce,
                packet_id: 1,
                properties: Properties::new()
                    .with(Property::PayloadFormatIndicator(1))
                    .with(Property::TopicAlias(7)),
                ..message("")
            }),
        );
    }
    same(
        V5,
        Side::Server,
        "30 0B 0001 'a' 05 0B 01 0B FF7F 'hi'",
        &Packet::Publish(Publish {
            properties: Properties::new()
                .with(Property::SubscriptionIdentifier(1))
                .with(Property::SubscriptionIdentifier(16_383)),
            ..message("a")
        }),
    );
}

/// The length that is reserved is the length that is written, over each
/// boundary of the remaining length.
#[test]
fn long_publish() {
    for length in [120, 121, 122, 123, 16_375, 16_380, 70_000, 2_097_150] {
        let payload = vec![7; length];
        for version in [V311, V5] {
            let packet = Publish {
                payload: &payload,
                ..message("a")
            };
            let mut bytes = Vec::new();
            packet.encode(version, &mut bytes);
            assert_eq!(bytes.len(), packet.encoded_len(version), "{length}");
            assert_eq!(
                decode(&bytes, version, Side::Client),
                Ok(Packet::Publish(packet))
            );
        }
    }
}

#[test]
fn acknowledgements() {
    let ack = |code| Ack {
        packet_id: 0x1234,
        reason: ReasonCode(code),
        properties: Properties::new(),
    };
    for (kind, first, code) in [
        (AckKind::PubAck, "40", "10"),
        (AckKind::PubRec, "50", "97"),
        (AckKind::PubRel, "62", "92"),
        (AckKind::PubComp, "70", "92"),
    ] {
        for sender in SIDES {
            let success = Packet::Ack(kind, ack(0));
            for version in VERSIONS {
                same(version, sender, &format!("{first} 02 1234"), &success);
            }
            read_only(V5, sender, &format!("{first} 03 1234 00"), &success);
            read_only(V5, sender, &format!("{first} 04 1234 00 00"), &success);
            let failure = ack(u8::from_str_radix(code, 16).unwrap());
            same(
                V5,
                sender,
                &format!("{first} 03 1234 {code}"),
                &Packet::Ack(kind, failure.clone()),
            );
            read_only(
                V5,
                sender,
                &format!("{first} 04 1234 {code} 00"),
                &Packet::Ack(kind, failure.clone()),
            );
            let properties = Properties::new()
                .with(Property::ReasonString("no"))
                .with(Property::UserProperty("k", "v"));
            same(
                V5,
                sender,
                &format!("{first} 10 1234 {code} 0C 1F 0002 'no' 26 0001 'k' 0001 'v'"),
                &Packet::Ack(
                    kind,
                    Ack {
                        properties: properties.clone(),
                        ..failure
                    },
                ),
            );
            same(
                V5,
                sender,
                &format!("{first} 10 1234 00 0C 1F 0002 'no' 26 0001 'k' 0001 'v'"),
                &Packet::Ack(
                    kind,
                    Ack {
                        properties,
                        ..ack(0)
                    },
                ),
            );
        }
    }
}

/// What a version cannot say is left out.
#[test]
fn acknowledgements_before_version_5_are_bare() {
    let packet = Packet::Ack(
        AckKind::PubRec,
        Ack {
            packet_id: 1,
            reason: ReasonCode::QUOTA_EXCEEDED,
            properties: Properties::new().with(Property::ReasonString("no")),
        },
    );
    assert_eq!(encode(&packet, V311), hex("50 02 0001"));
}

#[test]
fn subscribe() {
    let subscribe = |options: [SubscriptionOptions; 2], properties| {
        Packet::Subscribe(Subscribe {
            packet_id: 10,
            properties,
            requests: vec![
                SubscriptionRequest {
                    filter: "a/#",
                    options: options[0],
                },
                SubscriptionRequest {
                    filter: "+",
                    options: options[1],
                },
            ],
        })
    };
    let plain = |qos| SubscriptionOptions {
        qos,
        ..SubscriptionOptions::default()
    };
    for version in [V31, V311] {
        same(
            version,
            Side::Client,
            "82 0C 000A 0003 'a/#' 01 0001 '+' 02",
            &subscribe(
                [plain(QoS::AtLeastOnce), plain(QoS::ExactlyOnce)],
                Properties::new(),
            ),
        );
    }
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::Never,
    };
    let if_new = SubscriptionOptions {
        retain_handling: RetainHandling::IfNew,
        ..SubscriptionOptions::default()
    };
    let packet = subscribe(
        [options, if_new],
        Properties::new().with(Property::SubscriptionIdentifier(268_435_455)),
    );
    same(
        V5,
        Side::Client,
        "82 12 000A 05 0B FFFFFF7F 0003 'a/#' 2E 0001 '+' 10",
        &packet,
    );
    assert_eq!(
        encode(&packet, V311),
        hex("82 0C 000A 0003 'a/#' 02 0001 '+' 00"),
        "3.1.1 has the QoS only"
    );
}

#[test]
fn suback() {
    let ack = |properties| {
        Packet::SubAck(SubAck {
            packet_id: 10,
            properties,
            reasons: Cow::Borrowed(&[0, 1, 2, 0x80]),
        })
    };
    for version in [V31, V311] {
        same(
            version,
            Side::Server,
            "90 06 000A 00 01 02 80",
            &ack(Properties::new()),
        );
    }
    same(
        V5,
        Side::Server,
        "90 0B 000A 04 1F 0001 'x' 00 01 02 80",
        &ack(Properties::new().with(Property::ReasonString("x"))),
    );
}

#[test]
fn unsubscribe() {
    let unsubscribe = |properties| {
        Packet::Unsubscribe(Unsubscribe {
            packet_id: 10,
            properties,
            filters: vec!["a/#", "+"],
        })
    };
    for version in [V31, V311] {
        same(
            version,
            Side::Client,
            "A2 0A 000A 0003 'a/#' 0001 '+'",
            &unsubscribe(Properties::new()),
        );
    }
    same(
        V5,
        Side::Client,
        "A2 12 000A 07 26 0001 'k' 0001 'v' 0003 'a/#' 0001 '+'",
        &unsubscribe(Properties::new().with(Property::UserProperty("k", "v"))),
    );
}

#[test]
fn unsuback() {
    for version in [V31, V311] {
        same(
            version,
            Side::Server,
            "B0 02 000A",
            &Packet::UnsubAck(UnsubAck {
                packet_id: 10,
                properties: Properties::new(),
                reasons: Cow::Borrowed(&[]),
            }),
        );
    }
    let packet = Packet::UnsubAck(UnsubAck {
        packet_id: 10,
        properties: Properties::new(),
        reasons: Cow::Borrowed(&[0, 0x11]),
    });
    same(V5, Side::Server, "B0 05 000A 00 00 11", &packet);
    assert_eq!(encode(&packet, V311), hex("B0 02 000A"));
}

/// Packets are appended to what is in the buffer already.
#[test]
fn long_packets_behind_others() {
    let reasons = vec![1; 200];
    let packet = Packet::SubAck(SubAck {
        packet_id: 1,
        properties: Properties::new(),
        reasons: Cow::Borrowed(&reasons),
    });
    let mut bytes = hex("D0 00");
    packet.encode(V311, &mut bytes);
    Packet::PingResp.encode(V311, &mut bytes);
    assert_eq!(bytes[..7], hex("D0 00 90 CA01 0001"));
    assert_eq!(bytes.len(), 2 + 205 + 2);
    assert_eq!(bytes[207..], hex("D0 00"));
}
