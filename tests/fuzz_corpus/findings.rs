//! What fuzzing and the comparison with Mosquitto found in the core, each by
//! its name.

use std::sync::Arc;

use moustique::broker::{Batch, ConnectionId, Core, Decision, Policy, Settings, Work};
use moustique::codec::{
    Connect, Frame, Packet, Properties, Property, Publish, QoS, Side, Subscribe,
    SubscriptionOptions, SubscriptionRequest, Unsubscribe, Version,
};

/// A client of MQTT 5 whose session stays, and what it is greeted with.
fn connect(core: &mut Core, properties: Properties<'_>) -> (ConnectionId, Work) {
    let id = core.open(0, Arc::new(Policy::default()), "test");
    let connect = Connect {
        version: Version::V5,
        bridge: false,
        clean_start: false,
        keep_alive: 0,
        client_id: "c",
        will: None,
        username: None,
        password: None,
        properties: properties.with(Property::SessionExpiryInterval(60)),
    };
    core.connect(0, id, &connect, Decision::Allowed, 0);
    (id, core.take(0, id).expect("a connection"))
}

fn send(core: &mut Core, id: ConnectionId, packet: Packet<'_>) -> Work {
    let mut bytes = Vec::new();
    packet.encode(Version::V5, &mut bytes);
    core.receive(0, id, &Batch::decode(&bytes, Version::V5, u32::MAX));
    core.take(0, id).expect("a connection")
}

fn subscribe(core: &mut Core, id: ConnectionId, filters: &[&'static str]) -> Work {
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        ..SubscriptionOptions::default()
    };
    let requests = filters
        .iter()
        .map(|&filter| SubscriptionRequest { filter, options });
    let subscribe = Subscribe {
        packet_id: 1,
        properties: Properties::new(),
        requests: requests.collect(),
    };
    send(core, id, Packet::Subscribe(subscribe))
}

fn publish(core: &mut Core, id: ConnectionId, payload: &[u8]) -> Work {
    let publish = Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "a",
        packet_id: 9,
        properties: Properties::new(),
        payload,
    };
    send(core, id, Packet::Publish(publish))
}

fn unsubscribe(core: &mut Core, id: ConnectionId, filters: Vec<&str>) -> Work {
    let unsubscribe = Unsubscribe {
        packet_id: 1,
        properties: Properties::new(),
        filters,
    };
    send(core, id, Packet::Unsubscribe(unsubscribe))
}

/// The packet types in what was written.
fn kinds(work: &Work) -> Vec<u8> {
    kinds_of(work, Version::V5)
}

fn kinds_of(work: &Work, version: Version) -> Vec<u8> {
    let (mut rest, mut kinds) = (&work.bytes[..], Vec::new());
    while let Ok(Some(frame)) = Frame::split(rest, usize::MAX) {
        Packet::decode(frame, version, Side::Server).expect("a packet of a server");
        kinds.push(frame.first_byte() >> 4);
        rest = &rest[frame.bytes.len()..];
    }
    kinds
}

fn at_most(bytes: u32) -> Properties<'static> {
    Properties::new().with(Property::MaximumPacketSize(bytes))
}

#[test]
fn a_message_in_flight_is_not_sent_again_when_the_client_takes_smaller_packets() {
    let mut core = Core::new(Settings::default(), 0);
    let (id, _) = connect(&mut core, Properties::new());
    subscribe(&mut core, id, &["a"]);
    assert_eq!(kinds(&publish(&mut core, id, &[0; 100])), [3, 4]);
    let (id, work) = connect(&mut core, at_most(50));
    assert_eq!(kinds(&work), [2], "the message is too long");
    // Its place in the window is free again.
    assert_eq!(kinds(&publish(&mut core, id, b"short")), [3, 4]);
}

#[test]
fn more_than_an_outbox_in_flight_is_sent_again_without_a_further_event() {
    let mut core = Core::new(Settings::default(), 0);
    let (id, _) = connect(&mut core, Properties::new());
    subscribe(&mut core, id, &["a"]);
    for _ in 0..15 {
        assert_eq!(kinds(&publish(&mut core, id, &[0; 9000])), [3, 4]);
    }
    let (id, mut work) = connect(&mut core, Properties::new());
    let mut count = kinds(&work).len() - 1;
    while work.more {
        work = core.take(0, id).expect("a connection");
        count += kinds(&work).len();
    }
    assert_eq!(count, 15, "135 kB in flight");
}

#[test]
fn a_refusal_is_not_told_to_a_client_that_takes_nothing_so_long() {
    for (size, told) in [(4, vec![]), (5, vec![2])] {
        let mut core = Core::new(Settings::default(), 0);
        let method = at_most(size).with(Property::AuthenticationMethod("m"));
        let (_, work) = connect(&mut core, method);
        assert_eq!(kinds(&work), told);
        assert!(work.close);
    }
}

#[test]
fn an_answer_longer_than_the_client_takes_ends_the_connection() {
    let filters = |count: usize| vec!["a"; count];
    for (count, kind) in [(25, 9), (26, 14)] {
        let mut core = Core::new(Settings::default(), 0);
        let (id, _) = connect(&mut core, at_most(30));
        let work = subscribe(&mut core, id, &filters(count));
        assert_eq!(kinds(&work), [kind], "SUBSCRIBE with {count}");
    }
    for (count, kind) in [(25, 11), (26, 14)] {
        let mut core = Core::new(Settings::default(), 0);
        let (id, _) = connect(&mut core, at_most(30));
        let work = unsubscribe(&mut core, id, filters(count));
        assert_eq!(kinds(&work), [kind], "UNSUBSCRIBE with {count}");
    }
}

#[test]
fn a_bridge_of_mqtt_3_does_not_get_its_own_messages_back() {
    let mut core = Core::new(Settings::default(), 0);
    for (level, kinds_back) in [(0x84, vec![9, 4]), (0x04, vec![9, 3, 4])] {
        let id = core.open(0, Arc::new(Policy::default()), "test");
        let connect = [b"\x10\x0d\0\x04MQTT", &[level][..], b"\x02\0\0\0\x01b"].concat();
        let frame = Frame::split(&connect, 100)
            .expect("a frame")
            .expect("whole");
        let connect = Connect::decode(frame).expect("a CONNECT");
        core.connect(0, id, &connect, Decision::Allowed, 0);
        core.take(0, id).expect("a connection");
        let bytes = b"\x82\x06\0\x01\0\x01a\x01\x32\x06\0\x01a\0\x01x";
        core.receive(0, id, &Batch::decode(bytes, Version::V311, 100));
        let work = core.take(0, id).expect("a connection");
        assert_eq!(
            kinds_of(&work, Version::V311),
            kinds_back,
            "level {level:#x}"
        );
    }
}

#[test]
fn a_subscribe_that_ends_the_connection_has_no_effect() {
    let mut core = Core::new(Settings::default(), 0);
    let (id, _) = connect(&mut core, Properties::new());
    assert!(subscribe(&mut core, id, &["a", "no#"]).close);
    let (id, _) = connect(&mut core, Properties::new());
    assert_eq!(kinds(&publish(&mut core, id, b"x")), [4], "no subscription");
    subscribe(&mut core, id, &["a"]);
    assert!(unsubscribe(&mut core, id, vec!["a", "no#"]).close);
    let (id, _) = connect(&mut core, Properties::new());
    assert_eq!(
        kinds(&publish(&mut core, id, b"x")),
        [3, 4],
        "still subscribed"
    );
}
