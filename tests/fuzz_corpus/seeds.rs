//! What fuzzing begins with: valid packets of each kind, texts as users write
//! them, and short lives of connections.

mod lives;

use std::borrow::Cow;

use moustique::codec::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Packet, Properties, Property, Publish, QoS,
    ReasonCode, SubAck, Subscribe, SubscriptionOptions, SubscriptionRequest, UnsubAck, Unsubscribe,
    Version, Will,
};

type Seed = (&'static str, String, Vec<u8>);

pub(super) fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    packets(&mut seeds);
    connects(&mut seeds);
    texts(&mut seeds);
    lives::lives(&mut seeds);
    seeds
}

fn packets(seeds: &mut Vec<Seed>) {
    for (version, number) in [(Version::V31, 0), (Version::V311, 1), (Version::V5, 2)] {
        for (side, offset) in [("client", 0), ("server", 3)] {
            for (name, packet) in of_side(side, version) {
                let mut bytes = vec![number + offset];
                packet.encode(version, &mut bytes);
                let name = format!("{side}-v{}-{name}", version as u8);
                seeds.push(("decode", name, bytes));
            }
        }
    }
}

fn of_side(side: &str, version: Version) -> Vec<(&'static str, Packet<'static>)> {
    let properties = || match version {
        Version::V5 => Properties::new().with(Property::UserProperty("k", "v")),
        _ => Properties::new(),
    };
    let publish = |qos, packet_id| {
        Packet::Publish(Publish {
            dup: packet_id > 1,
            qos,
            retain: packet_id == 1,
            topic: "a/é",
            packet_id,
            properties: properties(),
            payload: b"hello",
        })
    };
    let ack = |kind| {
        Packet::Ack(
            kind,
            Ack {
                packet_id: 7,
                reason: ReasonCode::SUCCESS,
                properties: properties(),
            },
        )
    };
    let mut packets = vec![
        ("publish-0", publish(QoS::AtMostOnce, 0)),
        ("publish-1", publish(QoS::AtLeastOnce, 1)),
        ("publish-2", publish(QoS::ExactlyOnce, 2)),
        ("puback", ack(AckKind::PubAck)),
        ("pubrec", ack(AckKind::PubRec)),
        ("pubrel", ack(AckKind::PubRel)),
        ("pubcomp", ack(AckKind::PubComp)),
    ];
    if side == "client" || version == Version::V5 {
        let reason = match version {
            Version::V5 => ReasonCode::DISCONNECT_WITH_WILL,
            _ => ReasonCode::SUCCESS,
        };
        let disconnect = Disconnect {
            reason,
            properties: properties(),
        };
        packets.push(("disconnect", Packet::Disconnect(disconnect)));
    }
    if version == Version::V5 {
        let auth = Auth {
            reason: ReasonCode::REAUTHENTICATE,
            properties: properties().with(Property::AuthenticationMethod("m")),
        };
        packets.push(("auth", Packet::Auth(auth)));
    }
    if side == "client" {
        let requests = ["a/+", "$share/g/#"].map(|filter| SubscriptionRequest {
            filter,
            options: SubscriptionOptions::default(),
        });
        let subscribe = Subscribe {
            packet_id: 3,
            properties: properties(),
            requests: requests.to_vec(),
        };
        let unsubscribe = Unsubscribe {
            packet_id: 4,
            properties: properties(),
            filters: vec!["a/+", "#"],
        };
        packets.push(("connect", full_connect(version)));
        packets.push(("subscribe", Packet::Subscribe(subscribe)));
        packets.push(("unsubscribe", Packet::Unsubscribe(unsubscribe)));
        packets.push(("pingreq", Packet::PingReq));
    } else {
        let connack = ConnAck {
            session_present: true,
            reason: ReasonCode::SUCCESS,
            properties: properties(),
        };
        let codes = Cow::Borrowed(&[0, 1, 0x80][..]);
        let suback = SubAck {
            packet_id: 3,
            properties: properties(),
            reasons: codes.clone(),
        };
        let unsuback = UnsubAck {
            packet_id: 4,
            properties: properties(),
            reasons: codes,
        };
        packets.push(("connack", Packet::ConnAck(connack)));
        packets.push(("suback", Packet::SubAck(suback)));
        packets.push(("unsuback", Packet::UnsubAck(unsuback)));
        packets.push(("pingresp", Packet::PingResp));
    }
    packets
}

fn full_connect(version: Version) -> Packet<'static> {
    let (mut properties, mut of_will) = (Properties::new(), Properties::new());
    if version == Version::V5 {
        properties.push(Property::SessionExpiryInterval(60));
        properties.push(Property::ReceiveMaximum(5));
        properties.push(Property::MaximumPacketSize(1000));
        properties.push(Property::TopicAliasMaximum(3));
        properties.push(Property::RequestProblemInformation(0));
        of_will.push(Property::WillDelayInterval(2));
        of_will.push(Property::ContentType("text"));
    }
    Packet::Connect(Box::new(Connect {
        version,
        bridge: false,
        clean_start: false,
        keep_alive: 60,
        client_id: "client",
        will: Some(Will {
            topic: "gone",
            payload: b"bye",
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: of_will,
        }),
        username: Some("user"),
        password: Some(b"secret"),
        properties,
    }))
}

fn connects(seeds: &mut Vec<Seed>) {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut bytes = Vec::new();
        full_connect(version).encode(version, &mut bytes);
        // The target makes the fixed header by itself: one byte stands for it.
        bytes.drain(..2);
        bytes.insert(0, 0);
        seeds.push(("connect", format!("full-v{}", version as u8), bytes));
    }
    let bodies: [(&str, &[u8]); 6] = [
        ("empty-id", b"\0\0\x04MQTT\x04\x02\0\x0a\0\0"),
        ("empty-id-v5", b"\0\0\x04MQTT\x05\x02\0\x0a\0\0\0"),
        ("bridge", b"\0\0\x04MQTT\x84\x02\0\x0a\0\x01b"),
        ("version-6", b"\0\0\x04MQTT\x06\x02\0\x0a\0\0"),
        ("foreign-name", b"\0\0\x04HTTP\x04\x02\0\x0a\0\0"),
        (
            "auth-data-alone",
            b"\0\0\x04MQTT\x05\x02\0\x0a\x04\x16\0\x01x\0\0",
        ),
    ];
    for (name, body) in bodies {
        seeds.push(("connect", name.into(), body.to_vec()));
    }
}

fn texts(seeds: &mut Vec<Seed>) {
    let texts: [(&str, &str, &str); 17] = [
        ("config", "open", "listener 1883\nallow_anonymous true\n"),
        (
            "config",
            "listeners",
            "per_listener_settings true\nlistener 1884 localhost\nmax_connections 5\n\
             allow_anonymous true\nlistener 0 /tmp/socket\npassword_file pw\nacl_file acl\n",
        ),
        (
            "config",
            "limits",
            "max_inflight_messages 10\nmax_queued_messages 5\nmax_packet_size 1000\n\
             message_size_limit 100\npersistent_client_expiration 2d\nsys_interval 5\n",
        ),
        (
            "config",
            "log",
            "log_dest stderr\nlog_dest file /tmp/x.log\nlog_type all\nlog_type debug\n\
             log_timestamp_format %Y-%m-%d\nconnection_messages false\n",
        ),
        (
            "config",
            "mistakes",
            "listner 1\nport x\nmax_qos 3\nlistener\nuser\tx # y\n",
        ),
        (
            "config",
            "bridge",
            "connection b\naddress host:1883\ntopic # both\nremote_password p\n",
        ),
        (
            "config",
            "foreign-form",
            "\u{feff}# é\r\n\r\n\tport  1883 \r\nlog_dest none#\r\n",
        ),
        (
            "acl",
            "plain",
            "topic read a/#\n# x\nuser ada\ntopic b\ntopic deny b/c\npattern %c/%u\n",
        ),
        (
            "acl",
            "blanks",
            "topic read a / b\nuser a b \ntopic write x y\r\n",
        ),
        (
            "acl",
            "mistakes",
            "topics x\nuser\ntopic\npattern foo bar\ntopic a/#/b\n",
        ),
        ("acl", "not-utf-8", "topic a\n"),
        (
            "passwords",
            "remarks",
            "# x\n\nremark\nplain:secret\n:x\nold:$1$a$b\nbad:$6$abc\n",
        ),
        (
            "passwords",
            "hashes",
            "a:$6$c2FsdHNhbHRzYWw=$AAAA\nb:$7$101$c2FsdA==$AAAA\n\
             c:$argon2id$v=19$m=47104,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA\n",
        ),
        (
            "topics",
            "wildcards",
            "a/+/b\na/x/b\n#\n+\n$SYS/#\n$SYS/x\n+/x\na/#\na\na/\n/\n//",
        ),
        (
            "topics",
            "shared",
            "$share/g/a/+\n$share/g/#\n$share/g\n$share//a\n$share/g/a#\na/b",
        ),
        (
            "topics",
            "siblings",
            "a/b\na/c\na/d\na/+\na/b/c\na/b/#\na/c/d\n+/b\n+/+/c\nb",
        ),
        ("topics", "invalid", "\na+\n#/a\na/#/b\né/ü\n+é\n "),
    ];
    for (target, name, text) in texts {
        let mut bytes = text.as_bytes().to_vec();
        if name == "not-utf-8" {
            bytes.extend(b"topic \xff\n");
        }
        seeds.push((target, name.into(), bytes));
    }
}
