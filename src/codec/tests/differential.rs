//! The same bytes mean the same to the codec of rumqttc, which shares no code
//! with this one: it reads what is written here, and what it writes from that
//! is read here. It is more lenient than this one, so only legal packets are
//! compared.

use std::borrow::Cow;

use bytes::BytesMut;
use proptest::prelude::*;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;

use super::super::{
    Ack, AckKind, ConnAck, Connect, Disconnect, Packet, Properties, Property, Publish, QoS,
    ReasonCode, RetainHandling, Side, SubAck, Subscribe, SubscriptionOptions, SubscriptionRequest,
    UnsubAck, Unsubscribe, Version, Will,
};
use super::strategies::{packet, side};
use super::{decode, encode};

/// The reason code of a name in camel case.
fn reason(name: &impl std::fmt::Debug) -> ReasonCode {
    let name = match &*format!("{name:?}") {
        "NormalDisconnection" => "Success".to_owned(),
        "Unspecified" | "Failure" => "UnspecifiedError".to_owned(),
        "ImplementationSpecific" => "ImplementationSpecificError".to_owned(),
        "BadUserNamePassword" => "BadUserNameOrPassword".to_owned(),
        "PkidInUse" => "PacketIdentifierInUse".to_owned(),
        "SubscriptionIdNotSupported" => "SubscriptionIdentifiersNotSupported".to_owned(),
        name => name.to_owned(),
    };
    (0..=255)
        .map(ReasonCode)
        .find(|code| {
            let text: String = code.text().split([' ', '-']).collect();
            text.eq_ignore_ascii_case(&name)
        })
        .unwrap_or_else(|| panic!("no reason code {name}"))
}

/// Properties out of the fields of one of their structures: numbers, then
/// strings and data, then the user properties.
macro_rules! properties {
    ($from:expr; $($number:ident: $field:ident),*; $($text:ident: $text_field:ident),*) => {{
        let mut properties = Properties::new();
        if let Some(from) = $from {
            $(if let Some(value) = from.$field {
                properties.push(Property::$number(value));
            })*
            $(if let Some(value) = &from.$text_field {
                properties.push(Property::$text(value));
            })*
            for (name, value) in &from.user_properties {
                properties.push(Property::UserProperty(name, value));
            }
        }
        properties
    }};
}

macro_rules! qos {
    ($qos:expr) => {
        QoS::from_u8($qos as u8).unwrap()
    };
}

fn connect_of_v5<'a>(
    connect: &'a v5::Connect,
    will: Option<&'a v5::LastWill>,
    login: Option<&'a v5::Login>,
) -> Packet<'a> {
    Packet::Connect(Box::new(Connect {
        version: Version::V5,
        bridge: false,
        clean_start: connect.clean_start,
        keep_alive: connect.keep_alive,
        client_id: &connect.client_id,
        will: will.map(|will| Will {
            topic: std::str::from_utf8(&will.topic).unwrap(),
            payload: &will.message,
            qos: qos!(will.qos),
            retain: will.retain,
            properties: properties!(
                &will.properties;
                WillDelayInterval: delay_interval,
                PayloadFormatIndicator: payload_format_indicator,
                MessageExpiryInterval: message_expiry_interval;
                ContentType: content_type,
                ResponseTopic: response_topic,
                CorrelationData: correlation_data
            ),
        }),
        username: login
            .map(|login| &*login.username)
            .filter(|text| !text.is_empty()),
        password: login
            .map(|login| login.password.as_bytes())
            .filter(|bytes| !bytes.is_empty()),
        properties: properties!(
            &connect.properties;
            SessionExpiryInterval: session_expiry_interval,
            ReceiveMaximum: receive_maximum,
            MaximumPacketSize: max_packet_size,
            TopicAliasMaximum: topic_alias_max,
            RequestResponseInformation: request_response_info,
            RequestProblemInformation: request_problem_info;
            AuthenticationMethod: authentication_method,
            AuthenticationData: authentication_data
        ),
    }))
}

fn publish_of_v5(publish: &v5::Publish) -> Packet<'_> {
    let mut properties = properties!(
        &publish.properties;
        PayloadFormatIndicator: payload_format_indicator,
        MessageExpiryInterval: message_expiry_interval,
        TopicAlias: topic_alias;
        ResponseTopic: response_topic,
        CorrelationData: correlation_data,
        ContentType: content_type
    );
    for id in publish
        .properties
        .iter()
        .flat_map(|p| &p.subscription_identifiers)
    {
        properties.push(Property::SubscriptionIdentifier(*id as u32));
    }
    Packet::Publish(Publish {
        dup: publish.dup,
        qos: qos!(publish.qos),
        retain: publish.retain,
        topic: std::str::from_utf8(&publish.topic).unwrap(),
        packet_id: publish.pkid,
        properties,
        payload: &publish.payload,
    })
}

macro_rules! ack_of_v5 {
    ($kind:ident, $ack:expr) => {
        Packet::Ack(
            AckKind::$kind,
            Ack {
                packet_id: $ack.pkid,
                reason: reason(&$ack.reason),
                properties: properties!(&$ack.properties;; ReasonString: reason_string),
            },
        )
    };
}

/// What their packet of MQTT 5 says, as one of ours.
fn of_v5(theirs: &v5::Packet) -> Packet<'_> {
    match theirs {
        v5::Packet::Connect(connect, will, login) => {
            connect_of_v5(connect, will.as_ref(), login.as_ref())
        }
        v5::Packet::ConnAck(ack) => Packet::ConnAck(ConnAck {
            session_present: ack.session_present,
            reason: reason(&ack.code),
            properties: properties!(
                &ack.properties;
                SessionExpiryInterval: session_expiry_interval,
                ReceiveMaximum: receive_max,
                MaximumQoS: max_qos,
                RetainAvailable: retain_available,
                MaximumPacketSize: max_packet_size,
                TopicAliasMaximum: topic_alias_max,
                WildcardSubscriptionAvailable: wildcard_subscription_available,
                SubscriptionIdentifierAvailable: subscription_identifiers_available,
                SharedSubscriptionAvailable: shared_subscription_available,
                ServerKeepAlive: server_keep_alive;
                AssignedClientIdentifier: assigned_client_identifier,
                ReasonString: reason_string,
                ResponseInformation: response_information,
                ServerReference: server_reference,
                AuthenticationMethod: authentication_method,
                AuthenticationData: authentication_data
            ),
        }),
        v5::Packet::Publish(publish) => publish_of_v5(publish),
        v5::Packet::PubAck(ack) => ack_of_v5!(PubAck, ack),
        v5::Packet::PubRec(ack) => ack_of_v5!(PubRec, ack),
        v5::Packet::PubRel(ack) => ack_of_v5!(PubRel, ack),
        v5::Packet::PubComp(ack) => ack_of_v5!(PubComp, ack),
        v5::Packet::Subscribe(subscribe) => {
            let mut properties = properties!(&subscribe.properties;;);
            if let Some(id) = subscribe.properties.as_ref().and_then(|p| p.id) {
                properties.push(Property::SubscriptionIdentifier(id as u32));
            }
            let requests = subscribe.filters.iter().map(|filter| SubscriptionRequest {
                filter: &filter.path,
                options: SubscriptionOptions {
                    qos: qos!(filter.qos),
                    no_local: filter.nolocal,
                    retain_as_published: filter.preserve_retain,
                    retain_handling: match filter.retain_forward_rule {
                        v5::RetainForwardRule::OnEverySubscribe => RetainHandling::Always,
                        v5::RetainForwardRule::OnNewSubscribe => RetainHandling::IfNew,
                        v5::RetainForwardRule::Never => RetainHandling::Never,
                    },
                },
            });
            Packet::Subscribe(Subscribe {
                packet_id: subscribe.pkid,
                properties,
                requests: requests.collect(),
            })
        }
        v5::Packet::SubAck(ack) => {
            let reasons = ack.return_codes.iter().map(|code| match code {
                v5::SubscribeReasonCode::Success(qos) => *qos as u8,
                failure => reason(failure).0,
            });
            Packet::SubAck(SubAck {
                packet_id: ack.pkid,
                properties: properties!(&ack.properties;; ReasonString: reason_string),
                reasons: Cow::Owned(reasons.collect()),
            })
        }
        v5::Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe(Unsubscribe {
            packet_id: unsubscribe.pkid,
            properties: properties!(&unsubscribe.properties;;),
            filters: unsubscribe.filters.iter().map(|filter| &**filter).collect(),
        }),
        v5::Packet::UnsubAck(ack) => Packet::UnsubAck(UnsubAck {
            packet_id: ack.pkid,
            properties: properties!(&ack.properties;; ReasonString: reason_string),
            reasons: Cow::Owned(ack.reasons.iter().map(|code| reason(code).0).collect()),
        }),
        v5::Packet::PingReq(_) => Packet::PingReq,
        v5::Packet::PingResp(_) => Packet::PingResp,
        v5::Packet::Disconnect(disconnect) => Packet::Disconnect(Disconnect {
            reason: reason(&disconnect.reason_code),
            properties: properties!(
                &disconnect.properties;
                SessionExpiryInterval: session_expiry_interval;
                ReasonString: reason_string,
                ServerReference: server_reference
            ),
        }),
        v5::Packet::Auth(_) => unreachable!("they write AUTH, but don't read it"),
    }
}

/// What their packet of MQTT 3.1.1 says, as one of ours.
fn of_v4(theirs: &v4::Packet) -> Packet<'_> {
    let properties = Properties::new();
    let ack = |kind, packet_id| {
        Packet::Ack(
            kind,
            Ack {
                packet_id,
                reason: ReasonCode::SUCCESS,
                properties: Properties::new(),
            },
        )
    };
    match theirs {
        v4::Packet::Connect(connect) => {
            let login = connect.login.as_ref();
            Packet::Connect(Box::new(Connect {
                version: Version::V311,
                bridge: false,
                clean_start: connect.clean_session,
                keep_alive: connect.keep_alive,
                client_id: &connect.client_id,
                will: connect.last_will.as_ref().map(|will| Will {
                    topic: &will.topic,
                    payload: &will.message,
                    qos: qos!(will.qos),
                    retain: will.retain,
                    properties: Properties::new(),
                }),
                username: login
                    .map(|login| &*login.username)
                    .filter(|text| !text.is_empty()),
                password: login
                    .map(|login| login.password.as_bytes())
                    .filter(|bytes| !bytes.is_empty()),
                properties,
            }))
        }
        v4::Packet::ConnAck(ack) => Packet::ConnAck(ConnAck {
            session_present: ack.session_present,
            reason: ReasonCode(ack.code as u8),
            properties,
        }),
        v4::Packet::Publish(publish) => Packet::Publish(Publish {
            dup: publish.dup,
            qos: qos!(publish.qos),
            retain: publish.retain,
            topic: &publish.topic,
            packet_id: publish.pkid,
            properties,
            payload: &publish.payload,
        }),
        v4::Packet::PubAck(it) => ack(AckKind::PubAck, it.pkid),
        v4::Packet::PubRec(it) => ack(AckKind::PubRec, it.pkid),
        v4::Packet::PubRel(it) => ack(AckKind::PubRel, it.pkid),
        v4::Packet::PubComp(it) => ack(AckKind::PubComp, it.pkid),
        v4::Packet::Subscribe(subscribe) => {
            let requests = subscribe.filters.iter().map(|filter| SubscriptionRequest {
                filter: &filter.path,
                options: SubscriptionOptions {
                    qos: qos!(filter.qos),
                    ..SubscriptionOptions::default()
                },
            });
            Packet::Subscribe(Subscribe {
                packet_id: subscribe.pkid,
                properties,
                requests: requests.collect(),
            })
        }
        v4::Packet::SubAck(ack) => {
            let reasons = ack.return_codes.iter().map(|code| match code {
                v4::SubscribeReasonCode::Success(qos) => *qos as u8,
                v4::SubscribeReasonCode::Failure => 0x80,
            });
            Packet::SubAck(SubAck {
                packet_id: ack.pkid,
                properties,
                reasons: Cow::Owned(reasons.collect()),
            })
        }
        v4::Packet::Unsubscribe(unsubscribe) => Packet::Unsubscribe(Unsubscribe {
            packet_id: unsubscribe.pkid,
            properties,
            filters: unsubscribe.topics.iter().map(|filter| &**filter).collect(),
        }),
        v4::Packet::UnsubAck(ack) => Packet::UnsubAck(UnsubAck {
            packet_id: ack.pkid,
            properties,
            reasons: Cow::Borrowed(&[]),
        }),
        v4::Packet::PingReq => Packet::PingReq,
        v4::Packet::PingResp => Packet::PingResp,
        v4::Packet::Disconnect => Packet::Disconnect(Disconnect {
            reason: ReasonCode::SUCCESS,
            properties,
        }),
    }
}

/// The order of properties says nothing, but for those of one kind: sorted by
/// identifier they can be compared.
fn sorted(mut packet: Packet<'_>) -> Packet<'_> {
    let sort = |properties: &mut Properties<'_>| {
        let owned = properties.clone();
        let mut list: Vec<_> = owned.iter().collect();
        list.sort_by_key(Property::id);
        *properties = list.into_iter().fold(Properties::new(), Properties::with);
    };
    match &mut packet {
        Packet::Connect(p) => {
            sort(&mut p.properties);
            if let Some(will) = &mut p.will {
                sort(&mut will.properties);
            }
        }
        Packet::ConnAck(p) => sort(&mut p.properties),
        Packet::Publish(p) => sort(&mut p.properties),
        Packet::Ack(_, p) => sort(&mut p.properties),
        Packet::Subscribe(p) => sort(&mut p.properties),
        Packet::SubAck(p) => sort(&mut p.properties),
        Packet::Unsubscribe(p) => sort(&mut p.properties),
        Packet::UnsubAck(p) => sort(&mut p.properties),
        Packet::Disconnect(p) => sort(&mut p.properties),
        Packet::Auth(p) => sort(&mut p.properties),
        Packet::PingReq | Packet::PingResp => {}
    }
    packet
}

/// Makes of a packet one that they can say.
fn within_their_means(mut packet: Packet<'static>, v5: bool) -> Packet<'static> {
    match &mut packet {
        Packet::Connect(connect) => {
            connect.bridge = false;
            // They have no empty user names and passwords, and take text only.
            connect.username = connect.username.filter(|text| !text.is_empty());
            connect.password = connect
                .password
                .filter(|_| v5 || connect.username.is_some())
                .map(|_| b"secret".as_slice());
        }
        Packet::Publish(publish) => {
            // They lose count of the property length with more than one.
            let all = publish.properties.clone();
            let mut identified = false;
            publish.properties = all
                .iter()
                .filter(|property| {
                    let id = matches!(property, Property::SubscriptionIdentifier(_));
                    !(id && std::mem::replace(&mut identified, true))
                })
                .fold(Properties::new(), Properties::with);
        }
        Packet::ConnAck(ack) if !v5 => ack.reason.0 %= 6,
        Packet::ConnAck(ack) => ack.reason.0 = if ack.reason.0 < 0x80 { 0 } else { 0x87 },
        Packet::SubAck(ack) => {
            for code in ack.reasons.to_mut() {
                *code = [0, 1, 2, 0x80][usize::from(*code) % 4];
            }
        }
        Packet::UnsubAck(ack) if v5 => {
            for code in ack.reasons.to_mut() {
                *code = [0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91][usize::from(*code) % 7];
            }
        }
        Packet::Disconnect(disconnect) if v5 => {
            disconnect.reason.0 = 0x80 + disconnect.reason.0 % 4;
            // They don't know that the length of no properties may be left out.
            if disconnect.properties.is_empty() {
                disconnect.properties.push(Property::UserProperty("k", "v"));
            }
        }
        _ => {}
    }
    packet
}

fn any_packet(version: Version) -> impl Strategy<Value = (Side, Packet<'static>)> {
    side().prop_flat_map(move |sender| {
        packet(version, sender)
            .prop_filter("not read by them", |packet| {
                !matches!(packet, Packet::Auth(_))
            })
            .prop_map(move |packet| (sender, within_their_means(packet, version == Version::V5)))
    })
}

proptest! {
    #[test]
    fn version_5((sender, ours) in any_packet(Version::V5)) {
        let mut bytes = BytesMut::from(&*encode(&ours, Version::V5));
        let theirs = v5::Packet::read(&mut bytes, None);
        let theirs = theirs.map_err(|error| TestCaseError::fail(format!("{error}, {ours:?}")))?;
        prop_assert!(bytes.is_empty());
        let ours = sorted(ours);
        prop_assert_eq!(&sorted(of_v5(&theirs)), &ours);

        let mut bytes = BytesMut::new();
        theirs.write(&mut bytes, None).unwrap();
        prop_assert_eq!(decode(&bytes, Version::V5, sender).map(sorted), Ok(ours));
    }

    #[test]
    fn version_3_1_1((sender, ours) in any_packet(Version::V311)) {
        let mut bytes = BytesMut::from(&*encode(&ours, Version::V311));
        let theirs = v4::Packet::read(&mut bytes, 1 << 20);
        let theirs = theirs.map_err(|error| TestCaseError::fail(format!("{error}, {ours:?}")))?;
        prop_assert!(bytes.is_empty());
        prop_assert_eq!(&of_v4(&theirs), &ours);

        let mut bytes = BytesMut::new();
        theirs.write(&mut bytes, 1 << 20).unwrap();
        prop_assert_eq!(decode(&bytes, Version::V311, sender), Ok(ours));
    }
}
