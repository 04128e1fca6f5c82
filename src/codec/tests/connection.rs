//! The packets around a connection in every version: their exact bytes, and
//! back. CONNECT, CONNACK, pings, DISCONNECT, AUTH.

use super::super::{
    Auth, ConnAck, Connect, Disconnect, Packet, Properties, Property, QoS, ReasonCode, Side,
    Version, Will,
};
use super::{SIDES, VERSIONS, decode, encode, hex, read_only, same};
use Version::{V5, V31, V311};

fn minimal(version: Version) -> Connect<'static> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 60,
        client_id: "p",
        will: None,
        username: None,
        password: None,
        properties: Properties::new(),
    }
}

fn full(version: Version) -> Connect<'static> {
    Connect {
        clean_start: false,
        will: Some(Will {
            topic: "w",
            payload: &[0, 1],
            qos: QoS::ExactlyOnce,
            retain: true,
            properties: Properties::new(),
        }),
        username: Some("u"),
        password: Some(&[0xFF]),
        ..minimal(version)
    }
}

fn connect(connect: Connect<'_>) -> Packet<'_> {
    Packet::Connect(Box::new(connect))
}

#[test]
fn connect_in_each_version() {
    let c = Side::Client;
    same(
        V31,
        c,
        "10 0F 0006 'MQIsdp' 03 02 003C 0001 'p'",
        &connect(minimal(V31)),
    );
    same(
        V311,
        c,
        "10 0D 0004 'MQTT' 04 02 003C 0001 'p'",
        &connect(minimal(V311)),
    );
    same(
        V5,
        c,
        "10 0E 0004 'MQTT' 05 02 003C 00 0001 'p'",
        &connect(minimal(V5)),
    );
    same(
        V31,
        c,
        "10 1C 0006 'MQIsdp' 03 F4 003C 0001 'p' 0001 'w' 0002 0001 0001 'u' 0001 FF",
        &connect(full(V31)),
    );
    same(
        V311,
        c,
        "10 1A 0004 'MQTT' 04 F4 003C 0001 'p' 0001 'w' 0002 0001 0001 'u' 0001 FF",
        &connect(full(V311)),
    );
    let mut v5 = full(V5);
    v5.properties.push(Property::SessionExpiryInterval(1));
    v5.properties.push(Property::UserProperty("a", ""));
    if let Some(will) = &mut v5.will {
        will.properties.push(Property::WillDelayInterval(2));
    }
    same(
        V5,
        c,
        "10 2C 0004 'MQTT' 05 F4 003C 0B 11 00000001 26 0001 'a' 0000 0001 'p' \
         05 18 00000002 0001 'w' 0002 0001 0001 'u' 0001 FF",
        &connect(v5),
    );
}

#[test]
fn connect_of_bridges_and_of_nobody() {
    for (version, wire) in [
        (V31, "10 0F 0006 'MQIsdp' 83 02 003C 0001 'p'"),
        (V311, "10 0D 0004 'MQTT' 84 02 003C 0001 'p'"),
    ] {
        let bridge = Connect {
            bridge: true,
            ..minimal(version)
        };
        same(version, Side::Client, wire, &connect(bridge));
    }
    let nobody = Connect {
        client_id: "",
        password: Some(b""),
        keep_alive: 0,
        ..minimal(V5)
    };
    same(
        V5,
        Side::Client,
        "10 0F 0004 'MQTT' 05 42 0000 00 0000 0000",
        &connect(nobody),
    );
}

/// CONNECT tells its version itself.
#[test]
fn connect_is_decoded_whatever_was_spoken_before() {
    let bytes = hex("10 0E 0004 'MQTT' 05 02 003C 00 0001 'p'");
    for version in VERSIONS {
        assert_eq!(
            decode(&bytes, version, Side::Client),
            Ok(connect(minimal(V5)))
        );
    }
}

#[test]
fn connack() {
    let ack = |session_present, code| ConnAck {
        session_present,
        reason: ReasonCode(code),
        properties: Properties::new(),
    };
    let s = Side::Server;
    for version in [V31, V311] {
        same(version, s, "20 02 00 00", &Packet::ConnAck(ack(false, 0)));
        same(version, s, "20 02 01 00", &Packet::ConnAck(ack(true, 0)));
        same(version, s, "20 02 00 05", &Packet::ConnAck(ack(false, 5)));
    }
    same(V5, s, "20 03 01 00 00", &Packet::ConnAck(ack(true, 0)));
    same(V5, s, "20 03 00 84 00", &Packet::ConnAck(ack(false, 0x84)));
    read_only(V5, s, "20 02 00 01", &Packet::ConnAck(ack(false, 1)));
    let mut full = ack(false, 0);
    full.properties = Properties::new()
        .with(Property::TopicAliasMaximum(10))
        .with(Property::MaximumPacketSize(2_000_000))
        .with(Property::ReceiveMaximum(20));
    same(
        V5,
        s,
        "20 0E 00 00 0B 22 000A 27 001E8480 21 0014",
        &Packet::ConnAck(full),
    );
}

#[test]
fn pings() {
    for version in VERSIONS {
        same(version, Side::Client, "C0 00", &Packet::PingReq);
        same(version, Side::Server, "D0 00", &Packet::PingResp);
    }
}

#[test]
fn disconnect() {
    let disconnect = |code, properties| {
        Packet::Disconnect(Disconnect {
            reason: ReasonCode(code),
            properties,
        })
    };
    let none = Properties::new;
    for version in [V31, V311] {
        same(version, Side::Client, "E0 00", &disconnect(0, none()));
        assert_eq!(encode(&disconnect(4, none()), version), hex("E0 00"));
    }
    for sender in SIDES {
        same(V5, sender, "E0 00", &disconnect(0, none()));
        same(V5, sender, "E0 01 04", &disconnect(4, none()));
        same(V5, sender, "E0 01 82", &disconnect(0x82, none()));
        read_only(V5, sender, "E0 01 00", &disconnect(0, none()));
        read_only(V5, sender, "E0 02 82 00", &disconnect(0x82, none()));
        same(
            V5,
            sender,
            "E0 07 9C 05 1C 0002 'no'",
            &disconnect(0x9C, none().with(Property::ServerReference("no"))),
        );
    }
    same(
        V5,
        Side::Client,
        "E0 07 00 05 11 FFFFFFFF",
        &disconnect(0, none().with(Property::SessionExpiryInterval(u32::MAX))),
    );
}

#[test]
fn auth() {
    let auth = |code, properties| {
        Packet::Auth(Auth {
            reason: ReasonCode(code),
            properties,
        })
    };
    for sender in SIDES {
        same(V5, sender, "F0 00", &auth(0, Properties::new()));
        same(V5, sender, "F0 01 19", &auth(0x19, Properties::new()));
        same(
            V5,
            sender,
            "F0 0C 18 0A 15 0002 'xy' 16 0002 00FF",
            &auth(
                0x18,
                Properties::new()
                    .with(Property::AuthenticationMethod("xy"))
                    .with(Property::AuthenticationData(&[0, 0xFF])),
            ),
        );
    }
}
