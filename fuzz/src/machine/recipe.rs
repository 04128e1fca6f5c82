//! Three bytes → a packet of a client: short inputs reach far that way. What
//! comes out is well-formed, not always allowed.

use moustique::codec::{
    Ack, AckKind, Auth, Connect, Disconnect, Packet, Properties, Property, Publish, QoS,
    ReasonCode, RetainHandling, Subscribe, SubscriptionOptions, SubscriptionRequest, Unsubscribe,
    Version, Will,
};

const NAMES: [&str; 8] = [
    "a/b",
    "a/c",
    "a",
    "b/x",
    "c1/x",
    "$SYS/x",
    "/",
    "a/long/topic/name",
];
const FILTERS: [&str; 12] = [
    "a/b",
    "a/+",
    "#",
    "+/x",
    "$share/g/a/+",
    "$share/g/#",
    "$SYS/#",
    "a/#",
    "/",
    "$share/h/a/b",
    "a#",
    "+/+/topic/#",
];
const SIZES: [usize; 8] = [0, 1, 2, 10, 90, 130, 1000, 9000];
const REASONS: [u8; 8] = [0, 0, 0, 0x10, 0x80, 0x92, 0x97, 0x04];

/// The packet, in the form of the connection's version.
pub(super) fn packet(version: Version, [what, a, b]: [u8; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let reason = ReasonCode(REASONS[usize::from(a >> 5)]);
    let payload = [what; 9000];
    let more = what >> 4;
    let mut properties = Properties::new();
    match what & 15 {
        0 | 13 => return connect(more, a, b),
        1..=3 | 14 => {
            let mut topic = NAMES[usize::from(a & 7)];
            if more & 1 != 0 {
                properties.push(Property::MessageExpiryInterval(u32::from(b & 7)));
            }
            if more & 2 != 0 {
                properties.push(Property::UserProperty("k", topic));
            }
            if what & 15 == 14 {
                properties.push(Property::TopicAlias(u16::from(b & 3) + 1));
                topic = if more & 4 != 0 { "" } else { topic };
            }
            let qos = QoS::from_u8(a >> 3 & 3).unwrap_or_default();
            let packet = Publish {
                dup: more & 8 != 0 && qos != QoS::AtMostOnce,
                qos,
                retain: a & 32 != 0,
                topic,
                packet_id: if qos == QoS::AtMostOnce {
                    0
                } else {
                    1 + u16::from(b & 7)
                },
                properties,
                payload: &payload[..SIZES[usize::from(b >> 5)]],
            };
            Packet::Publish(packet).encode(version, &mut bytes);
        }
        4 | 15 => {
            let options = SubscriptionOptions {
                qos: QoS::from_u8(b & 3).unwrap_or_default(),
                no_local: b & 4 != 0,
                retain_as_published: b & 8 != 0,
                retain_handling: match b >> 4 & 3 {
                    1 => RetainHandling::IfNew,
                    2 => RetainHandling::Never,
                    _ => RetainHandling::Always,
                },
            };
            if b & 64 != 0 {
                properties.push(Property::SubscriptionIdentifier(1 + u32::from(more)));
            }
            let count = if what & 15 == 15 { 5 } else { 1 };
            let filters = FILTERS.iter().cycle().skip(usize::from(a % 12));
            let requests = filters
                .take(count)
                .map(|&filter| SubscriptionRequest { filter, options });
            let packet = Subscribe {
                packet_id: 1 + u16::from(a >> 5),
                properties,
                requests: requests.collect(),
            };
            Packet::Subscribe(packet).encode(version, &mut bytes);
        }
        5 => {
            let filters = FILTERS.iter().cycle().skip(usize::from(a % 12));
            let packet = Unsubscribe {
                packet_id: 1 + u16::from(a >> 5),
                properties,
                filters: filters.copied().take(usize::from(b & 3) + 1).collect(),
            };
            Packet::Unsubscribe(packet).encode(version, &mut bytes);
        }
        6..=9 => {
            let kind = [
                AckKind::PubAck,
                AckKind::PubRec,
                AckKind::PubRel,
                AckKind::PubComp,
            ][usize::from(what & 15) - 6];
            let packet = Ack {
                packet_id: 1 + u16::from(b & 31),
                reason,
                properties,
            };
            Packet::Ack(kind, packet).encode(version, &mut bytes);
        }
        10 => Packet::PingReq.encode(version, &mut bytes),
        11 => {
            if b & 1 != 0 {
                properties.push(Property::SessionExpiryInterval(u32::from(b >> 1)));
            }
            Packet::Disconnect(Disconnect { reason, properties }).encode(version, &mut bytes);
        }
        _ => Packet::Auth(Auth { reason, properties }).encode(version, &mut bytes),
    }
    bytes
}

fn connect(more: u8, a: u8, b: u8) -> Vec<u8> {
    let version = [Version::V5, Version::V311, Version::V31, Version::V5][usize::from(a & 3)];
    let mut properties = Properties::new();
    let numbers = [
        (
            a >> 4 & 3,
            [0, 10, u32::MAX].map(Property::SessionExpiryInterval),
        ),
        (a >> 6 & 3, [1, 2, 5].map(Property::ReceiveMaximum)),
        (b >> 2 & 3, [12, 30, 140].map(Property::MaximumPacketSize)),
        (b >> 4 & 3, [0, 1, 10].map(Property::TopicAliasMaximum)),
    ];
    for (chosen, values) in numbers {
        if chosen > 0 {
            properties.push(values[usize::from(chosen) - 1]);
        }
    }
    let mut will_properties = Properties::new();
    if more & 4 != 0 {
        will_properties.push(Property::WillDelayInterval(3));
        will_properties.push(Property::MessageExpiryInterval(2));
    }
    let will = (a & 8 != 0).then_some(Will {
        topic: NAMES[usize::from(more) % 8],
        payload: b"gone",
        qos: QoS::from_u8(more & 3).unwrap_or_default(),
        retain: more & 8 != 0,
        properties: will_properties,
    });
    let mut bytes = Vec::new();
    Packet::Connect(Box::new(Connect {
        version,
        bridge: false,
        clean_start: a & 4 != 0,
        keep_alive: if b & 128 != 0 { 10 } else { 0 },
        client_id: ["c1", "c2", "c3", ""][usize::from(b & 3)],
        will,
        username: (b & 64 != 0).then_some("u"),
        password: None,
        properties,
    }))
    .encode(version, &mut bytes);
    bytes
}
