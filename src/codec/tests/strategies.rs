//! Arbitrary legal packets of every version and side.

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::{
    Ack, AckKind, Auth, ConnAck, Connect, Context, Disconnect, Packet, Properties, Property,
    Publish, QoS, ReasonCode, RetainHandling, Side, SubAck, Subscribe, SubscriptionOptions,
    SubscriptionRequest, UnsubAck, Unsubscribe, Version, Will,
};
use super::properties::TABLE;
use super::{SIDES, VERSIONS};

// Packets borrow, and a strategy has nobody to borrow from: what they are made
// of is leaked. It is small, and the process is short.
fn leak_text(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn leak_bytes(bytes: Vec<u8>) -> &'static [u8] {
    Box::leak(bytes.into_boxed_slice())
}

fn text() -> impl Strategy<Value = &'static str> {
    let character = any::<char>().prop_filter("legal in a string", |&c| {
        !c.is_control() && c as u32 & 0xFFFE != 0xFFFE && !('\u{FDD0}'..='\u{FDEF}').contains(&c)
    });
    prop_oneof![
        3 => "[ -~]{0,40}",
        1 => vec(character, 0..20).prop_map(|chars| chars.into_iter().collect()),
    ]
    .prop_map(leak_text)
}

fn topic() -> impl Strategy<Value = &'static str> {
    text().prop_map(|text| {
        let topic = text.replace(['+', '#'], "/");
        leak_text(if topic.is_empty() { "t".into() } else { topic })
    })
}

fn filter() -> impl Strategy<Value = &'static str> {
    text().prop_map(|text| if text.is_empty() { "#" } else { text })
}

fn binary() -> impl Strategy<Value = &'static [u8]> {
    vec(any::<u8>(), 0..300).prop_map(leak_bytes)
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn packet_id() -> impl Strategy<Value = u16> {
    1..=u16::MAX
}

fn property(id: u8) -> BoxedStrategy<Property<'static>> {
    use Property as P;
    let flag = 0..=1u8;
    match id {
        0x01 => flag.prop_map(P::PayloadFormatIndicator).boxed(),
        0x02 => any::<u32>().prop_map(P::MessageExpiryInterval).boxed(),
        0x03 => text().prop_map(P::ContentType).boxed(),
        0x08 => topic().prop_map(P::ResponseTopic).boxed(),
        0x09 => binary().prop_map(P::CorrelationData).boxed(),
        0x0B => (1..=268_435_455u32)
            .prop_map(P::SubscriptionIdentifier)
            .boxed(),
        0x11 => any::<u32>().prop_map(P::SessionExpiryInterval).boxed(),
        0x12 => text().prop_map(P::AssignedClientIdentifier).boxed(),
        0x13 => any::<u16>().prop_map(P::ServerKeepAlive).boxed(),
        0x15 => text().prop_map(P::AuthenticationMethod).boxed(),
        0x16 => binary().prop_map(P::AuthenticationData).boxed(),
        0x17 => flag.prop_map(P::RequestProblemInformation).boxed(),
        0x18 => any::<u32>().prop_map(P::WillDelayInterval).boxed(),
        0x19 => flag.prop_map(P::RequestResponseInformation).boxed(),
        0x1A => text().prop_map(P::ResponseInformation).boxed(),
        0x1C => text().prop_map(P::ServerReference).boxed(),
        0x1F => text().prop_map(P::ReasonString).boxed(),
        0x21 => (1..=u16::MAX).prop_map(P::ReceiveMaximum).boxed(),
        0x22 => any::<u16>().prop_map(P::TopicAliasMaximum).boxed(),
        0x23 => (1..=u16::MAX).prop_map(P::TopicAlias).boxed(),
        0x24 => flag.prop_map(P::MaximumQoS).boxed(),
        0x25 => flag.prop_map(P::RetainAvailable).boxed(),
        0x26 => (text(), text())
            .prop_map(|(k, v)| P::UserProperty(k, v))
            .boxed(),
        0x27 => (1..=u32::MAX).prop_map(P::MaximumPacketSize).boxed(),
        0x28 => flag.prop_map(P::WildcardSubscriptionAvailable).boxed(),
        0x29 => flag.prop_map(P::SubscriptionIdentifierAvailable).boxed(),
        0x2A => flag.prop_map(P::SharedSubscriptionAvailable).boxed(),
        _ => unreachable!("no such property"),
    }
}

/// Legal properties of such a packet in any order; none before MQTT 5.
fn properties(version: Version, context: Context) -> BoxedStrategy<Properties<'static>> {
    if version != Version::V5 {
        return Just(Properties::new()).boxed();
    }
    let ids: Vec<u8> = TABLE
        .iter()
        .filter(|(.., allowed)| allowed.contains(&context))
        .map(|(id, ..)| *id)
        .collect();
    vec(select(ids).prop_flat_map(property), 0..6)
        .prop_map(move |list| {
            let mut properties = Properties::new();
            let mut seen = Vec::new();
            for property in list {
                let id = property.id();
                let repeatable = id == 0x26 || id == 0x0B && context != Context::Subscribe;
                if !seen.contains(&id) || repeatable {
                    seen.push(id);
                    properties.push(property);
                }
            }
            if seen.contains(&0x16) && !seen.contains(&0x15) {
                properties.push(Property::AuthenticationMethod("m"));
            }
            properties
        })
        .boxed()
}

fn will(version: Version) -> impl Strategy<Value = Will<'static>> {
    (
        topic(),
        binary(),
        qos(),
        any::<bool>(),
        properties(version, Context::Will),
    )
        .prop_map(|(topic, payload, qos, retain, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            properties,
        })
}

fn connect(version: Version) -> BoxedStrategy<Packet<'static>> {
    (
        (any::<bool>(), any::<bool>(), any::<u16>()),
        text(),
        option::of(will(version)),
        option::of(text()),
        option::of(binary()),
        properties(version, Context::Connect),
    )
        .prop_map(
            move |((bridge, clean_start, keep_alive), client_id, will, username, password, p)| {
                let v5 = version == Version::V5;
                Packet::Connect(Box::new(Connect {
                    version,
                    bridge: bridge && !v5,
                    clean_start,
                    keep_alive,
                    client_id,
                    will,
                    username,
                    password: password.filter(|_| v5 || username.is_some()),
                    properties: p,
                }))
            },
        )
        .boxed()
}

fn publish(version: Version, sender: Side) -> BoxedStrategy<Packet<'static>> {
    (
        (any::<bool>(), qos(), any::<bool>(), any::<bool>()),
        topic(),
        packet_id(),
        properties(version, Context::Publish(sender)),
        binary(),
    )
        .prop_map(
            |((dup, qos, retain, nameless), topic, id, properties, payload)| {
                let alias = crate::property!(properties, TopicAlias).is_some();
                let repeatable = qos != QoS::AtMostOnce;
                Packet::Publish(Publish {
                    dup: dup && repeatable,
                    qos,
                    retain,
                    topic: if nameless && alias { "" } else { topic },
                    packet_id: if repeatable { id } else { 0 },
                    properties,
                    payload,
                })
            },
        )
        .boxed()
}

fn ack(version: Version) -> BoxedStrategy<Packet<'static>> {
    let first = select(vec![0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99_u8]);
    let second = select(vec![0, 0x92_u8]);
    (
        select(vec![
            AckKind::PubAck,
            AckKind::PubRec,
            AckKind::PubRel,
            AckKind::PubComp,
        ]),
        first,
        second,
        packet_id(),
        properties(version, Context::Ack),
    )
        .prop_map(move |(kind, first, second, packet_id, properties)| {
            let reason = match kind {
                _ if version != Version::V5 => 0,
                AckKind::PubAck | AckKind::PubRec => first,
                AckKind::PubRel | AckKind::PubComp => second,
            };
            Packet::Ack(
                kind,
                Ack {
                    packet_id,
                    reason: ReasonCode(reason),
                    properties,
                },
            )
        })
        .boxed()
}

fn subscription_options(version: Version) -> BoxedStrategy<SubscriptionOptions> {
    if version != Version::V5 {
        return qos()
            .prop_map(|qos| SubscriptionOptions {
                qos,
                ..SubscriptionOptions::default()
            })
            .boxed();
    }
    (
        qos(),
        any::<bool>(),
        any::<bool>(),
        select(vec![
            RetainHandling::Always,
            RetainHandling::IfNew,
            RetainHandling::Never,
        ]),
    )
        .prop_map(
            |(qos, no_local, retain_as_published, retain_handling)| SubscriptionOptions {
                qos,
                no_local,
                retain_as_published,
                retain_handling,
            },
        )
        .boxed()
}

fn of_client(version: Version) -> BoxedStrategy<Packet<'static>> {
    let request = (filter(), subscription_options(version))
        .prop_map(|(filter, options)| SubscriptionRequest { filter, options });
    prop_oneof![
        connect(version),
        (
            packet_id(),
            properties(version, Context::Subscribe),
            vec(request, 1..8)
        )
            .prop_map(|(packet_id, properties, requests)| {
                Packet::Subscribe(Subscribe {
                    packet_id,
                    properties,
                    requests,
                })
            }),
        (
            packet_id(),
            properties(version, Context::Unsubscribe),
            vec(filter(), 1..8)
        )
            .prop_map(|(packet_id, properties, filters)| {
                Packet::Unsubscribe(Unsubscribe {
                    packet_id,
                    properties,
                    filters,
                })
            }),
        Just(Packet::PingReq),
    ]
    .boxed()
}

fn of_server(version: Version) -> BoxedStrategy<Packet<'static>> {
    let v5 = version == Version::V5;
    prop_oneof![
        (
            any::<bool>(),
            any::<u8>(),
            properties(version, Context::ConnAck)
        )
            .prop_map(|(session_present, reason, properties)| {
                Packet::ConnAck(ConnAck {
                    session_present,
                    reason: ReasonCode(reason),
                    properties,
                })
            }),
        (
            packet_id(),
            properties(version, Context::Ack),
            vec(any::<u8>(), 1..200)
        )
            .prop_map(|(packet_id, properties, reasons)| {
                Packet::SubAck(SubAck {
                    packet_id,
                    properties,
                    reasons: Cow::Owned(reasons),
                })
            }),
        (
            packet_id(),
            properties(version, Context::Ack),
            vec(any::<u8>(), 1..200)
        )
            .prop_map(move |(packet_id, properties, reasons)| {
                Packet::UnsubAck(UnsubAck {
                    packet_id,
                    properties,
                    reasons: Cow::Owned(if v5 { reasons } else { Vec::new() }),
                })
            }),
        Just(Packet::PingResp),
    ]
    .boxed()
}

fn of_both(version: Version, sender: Side) -> BoxedStrategy<Packet<'static>> {
    let v5 = version == Version::V5;
    let flow = prop_oneof![publish(version, sender), ack(version)];
    let disconnect = (
        any::<u8>(),
        properties(version, Context::Disconnect(sender)),
    )
        .prop_map(move |(reason, properties)| {
            Packet::Disconnect(Disconnect {
                reason: ReasonCode(if v5 { reason } else { 0 }),
                properties,
            })
        });
    let auth = (
        select(vec![0, 0x18, 0x19_u8]),
        properties(version, Context::Auth),
    )
        .prop_map(|(reason, properties)| {
            Packet::Auth(Auth {
                reason: ReasonCode(reason),
                properties,
            })
        });
    match (version, sender) {
        (Version::V5, _) => prop_oneof![4 => flow, 1 => disconnect, 1 => auth].boxed(),
        (_, Side::Client) => prop_oneof![4 => flow, 1 => disconnect].boxed(),
        (_, Side::Server) => flow.boxed(),
    }
}

/// Any legal packet that such a peer sends.
pub(super) fn packet(version: Version, sender: Side) -> BoxedStrategy<Packet<'static>> {
    let own = match sender {
        Side::Client => of_client(version),
        Side::Server => of_server(version),
    };
    prop_oneof![own, of_both(version, sender)].boxed()
}

pub(super) fn version() -> impl Strategy<Value = Version> {
    select(VERSIONS.to_vec())
}

pub(super) fn side() -> impl Strategy<Value = Side> {
    select(SIDES.to_vec())
}

/// A legal packet together with who sends it and the version.
pub(super) fn any_packet() -> impl Strategy<Value = (Version, Side, Packet<'static>)> {
    (version(), side()).prop_flat_map(|(version, sender)| {
        packet(version, sender).prop_map(move |packet| (version, sender, packet))
    })
}
