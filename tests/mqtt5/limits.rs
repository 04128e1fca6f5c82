//! Receive maximum, maximum packet size and topic aliases, both ways.

use crate::common::broker::Broker;
use crate::common::oracle_differs;
use crate::common::raw::{Connect, Raw, packet, text};
use crate::stage::{ALL, Kind, MANUAL, SCRIPTED, each, open};
use serde_json::{Value, json};

#[test]
fn the_client_limits_what_is_on_its_way_to_it() {
    each(MANUAL, "", |stage| {
        let properties = json!({"receiveMaximum": 2});
        let options = json!({"manual": true, "properties": properties});
        let receiver = stage.connect_with("receiver", &options);
        receiver.subscribe("t", 1);
        receiver.subscribe("free", 0);
        let sender = stage.connect("sender");
        for payload in ["1", "2", "3", "4"] {
            sender.publish("t", payload);
        }
        sender.publish("free", "QoS 0 is not counted");
        receiver.payload("1");
        receiver.payload("2");
        receiver.payload("QoS 0 is not counted");
        receiver.acknowledge();
        receiver.payload("3");
        receiver.acknowledge();
        receiver.payload("4");
    });
}

#[test]
fn the_broker_tells_its_receive_maximum_and_clients_keep_to_it() {
    // paho keeps to it when it is told by hand, mqtt.js never.
    each(MANUAL, "max_inflight_messages 2", |stage| {
        let sender = stage.connect_with("sender", &json!({"inflight": 2}));
        let receiver = stage.connect("receiver");
        assert_eq!(sender.connack["properties"]["receiveMaximum"], 2);
        receiver.subscribe("t", 2);
        let count = 30;
        for number in 0..count {
            let payload = number.to_string();
            sender.send(&json!({"topic": "t", "payload": payload, "qos": 2}));
        }
        for number in 0..count {
            receiver.payload(&number.to_string());
        }
        for _ in 0..count {
            sender.expect(json!({"got": "published", "code": 0}));
        }
    });
}

#[test]
fn more_than_the_receive_maximum_ends_the_connection() {
    if oracle_differs("Mosquitto refuses that message with 0x97 and goes on") {
        return;
    }
    each(&[Kind::MqttJs], "max_inflight_messages 2", |stage| {
        let client = stage.connect("c");
        for payload in ["1", "2", "3"] {
            client.send(&json!({"topic": "t", "payload": payload, "qos": 2}));
        }
        client.expelled(0x93);
        let connect = Connect {
            version: 5,
            ..Connect::new("greedy")
        };
        let (mut raw, _) = Raw::client(stage.broker.port, &connect);
        for id in 1..=3 {
            raw.send(&packet(0x34, &[&text("t"), &[0, id, 0]]));
        }
        for id in 1..=2 {
            raw.expect(&[0x50, 2, 0, id]);
        }
        raw.expect(&[0xe0, 1, 0x93]);
        raw.expect_end();
    });
}

#[test]
fn the_client_limits_the_size_of_packets() {
    each(ALL, "", |stage| {
        let properties = json!({"maximumPacketSize": 100, "sessionExpiryInterval": 100});
        let options = json!({"clean": false, "properties": properties});
        let small = stage.connect_with("small", &options);
        let all = stage.connect("all");
        let sender = stage.connect("sender");
        let (long, short) = ("x".repeat(100), "short");
        let send = |qos: u8, payload: &str, retain: bool| {
            let message = json!({"topic": "t", "payload": payload, "qos": qos, "retain": retain});
            sender.publish_with(&message);
        };
        small.subscribe("t", 2);
        all.subscribe("t", 2);
        for qos in 0..=2 {
            send(qos, &long, false);
            send(qos, short, false);
            small.payload(short);
            all.payload(&long);
            all.payload(short);
        }
        small.acknowledged();
        send(1, &long, true);
        small.subscribe("t", 1); // it isn't sent retained either
        send(1, short, false);
        small.payload(short);
        small.acknowledged();
        small.leave();
        send(1, &long, false);
        send(1, "waiting", false);
        let small = stage.connect_with("small", &options);
        small.payload("waiting");
    });
}

#[test]
fn properties_count_for_the_size_of_a_packet() {
    each(ALL, "", |stage| {
        let options = json!({"properties": {"maximumPacketSize": 60}});
        let small = stage.connect_with("small", &options);
        let codes = small.subscribe_with(json!({
            "filters": [{"filter": "t", "qos": 1}],
            "properties": {"subscriptionIdentifier": 1},
        }));
        assert_eq!(codes, json!([1]));
        let sender = stage.connect("sender");
        // 10 bytes of header, topic, packet identifier, property length and
        // subscription identifier, 5 of the user property, its texts and the
        // payload.
        for (length, fits) in [(43, false), (42, true)] {
            let properties = json!({"userProperties": [["k", "v".repeat(length)]]});
            let message =
                json!({"topic": "t", "payload": fits.to_string(), "properties": properties});
            sender.publish_with(&message);
        }
        let long = json!({"topic": "t", "payload": "", "qos": 1});
        sender.publish_with(&long);
        let first = small.next();
        assert_eq!(first["payload"], "true", "{first}");
    });
}

#[test]
fn the_broker_limits_the_size_of_packets() {
    each(&[Kind::Paho], "max_packet_size 100", |stage| {
        // paho doesn't keep to it.
        let client = stage.connect("c");
        assert_eq!(client.connack["properties"]["maximumPacketSize"], 100);
        client.subscribe("t", 1);
        client.publish("t", &"x".repeat(90));
        client.payload(&"x".repeat(90));
        client.send(&json!({"topic": "t", "payload": "x".repeat(100), "qos": 1}));
        client.expelled(0x95);
    });
    each(
        &[Kind::MqttJs, Kind::Rumqttc],
        "max_packet_size 100",
        |stage| {
            let client = stage.connect("c");
            assert_eq!(client.connack["properties"]["maximumPacketSize"], 100);
        },
    );
}

#[test]
fn the_size_of_payloads_is_limited_without_ending_the_connection() {
    if oracle_differs("Mosquitto answers 0x95, which PUBACK doesn't have (3.4.2.1)") {
        return;
    }
    each(ALL, "message_size_limit 10", |stage| {
        let client = stage.connect("c");
        client.subscribe("t", 2);
        let of_length = |length: usize, qos: u8| json!({"topic": "t", "payload": "x".repeat(length), "qos": qos});
        client.publish_with(&of_length(11, 0));
        assert_eq!(
            client.publish_with(&of_length(11, 1)),
            0x97,
            "quota exceeded"
        );
        let refused = client.publish_with(&of_length(11, 2));
        // paho answers a refusing PUBREC as if it were none.
        assert!(refused == 0x97 || stage.kind == Kind::Paho, "{refused}");
        client.publish_with(&of_length(10, 2));
        client.payload(&"x".repeat(10));
    });
}

/// The topic and the alias that a message had on its way.
fn sent(message: &Value) -> (&str, u64) {
    let alias = message["properties"]["topicAlias"].as_u64();
    (
        message["sent"].as_str().expect("a topic"),
        alias.unwrap_or(0),
    )
}

#[test]
fn the_broker_uses_aliases_where_the_client_allows_them() {
    if oracle_differs("Mosquitto 2.0 assigns no aliases") {
        return;
    }
    each(ALL, "", |stage| {
        let options = json!({"properties": {"topicAliasMaximum": 2}});
        let client = stage.connect_with("c", &options);
        client.subscribe("long/#", 2);
        let sender = stage.connect("sender");
        let get = |topic: &str, qos: u8| {
            let topic = format!("long/topic/{topic}");
            sender.publish_with(&json!({"topic": topic, "payload": "x", "qos": qos}));
            client.message(json!({"topic": topic, "payload": "x", "qos": qos}))
        };
        for round in 0..3 {
            for (number, topic) in [(1, "one"), (2, "two")] {
                let full = format!("long/topic/{topic}");
                let expected = if round == 0 { full.as_str() } else { "" };
                assert_eq!(sent(&get(topic, round)), (expected, number));
            }
        }
        // Whatever the broker does when it has no alias left, the topic is clear.
        for topic in ["three", "one", "three", "two"] {
            get(topic, 1);
        }
    });
}

#[test]
fn the_broker_uses_no_more_aliases_than_it_is_told() {
    if oracle_differs("Mosquitto 2.0 assigns no aliases") {
        return;
    }
    for (conf, client_allows, expected) in [
        ("max_topic_alias_broker 0", Some(5), 0),
        ("max_topic_alias_broker 1", Some(5), 1),
        ("", Some(0), 0),
        ("", None, 0),
    ] {
        each(ALL, conf, |stage| {
            let properties = client_allows.map_or(json!({}), |n| json!({"topicAliasMaximum": n}));
            let client = stage.connect_with("c", &json!({"properties": properties}));
            client.subscribe("long/#", 0);
            let sender = stage.connect("sender");
            let mut highest = 0;
            for topic in ["long/one", "long/two", "long/one", "long/two"] {
                sender.publish(topic, "x");
                let message = client.message(json!({"topic": topic}));
                highest = highest.max(sent(&message).1);
            }
            assert_eq!(highest, expected, "{conf} {client_allows:?}");
        });
    }
}

#[test]
fn aliases_end_with_the_connection() {
    if oracle_differs("Mosquitto 2.0 assigns no aliases") {
        return;
    }
    each(ALL, "", |stage| {
        let properties = json!({"topicAliasMaximum": 5, "sessionExpiryInterval": 100});
        let options = json!({"clean": false, "properties": properties});
        let client = stage.connect_with("c", &options);
        client.subscribe("topic", 1);
        let sender = stage.connect("sender");
        sender.publish("topic", "1");
        assert_eq!(sent(&client.payload("1")), ("topic", 1));
        client.acknowledged();
        client.leave();
        sender.publish("topic", "2");
        let client = stage.connect_with("c", &options);
        assert_eq!(sent(&client.payload("2")), ("topic", 1));
    });
}

#[test]
fn clients_may_use_aliases_towards_the_broker() {
    each(ALL, "max_topic_alias 3", |stage| {
        let (sender, receiver) = (stage.connect("sender"), stage.connect("receiver"));
        assert_eq!(sender.connack["properties"]["topicAliasMaximum"], 3);
        receiver.subscribe("#", 2);
        let publish = |topic: &str, alias: u16, qos: u8, meant: &str| {
            let properties = json!({"topicAlias": alias});
            let message =
                json!({"topic": topic, "payload": meant, "qos": qos, "properties": properties});
            assert_eq!(sender.publish_with(&message), 0);
            // The alias is not the receiver's business (3.3.2.3.4).
            receiver.message(json!({"topic": meant, "payload": meant, "properties": {}}));
        };
        publish("a", 3, 0, "a");
        // mqtt.js fills the topic in by itself.
        publish("", 3, 1, "a");
        publish("b", 1, 2, "b");
        publish("", 3, 2, "a");
        publish("c", 3, 1, "c");
        publish("", 3, 1, "c");
        publish("", 1, 0, "b");
    });
}

#[test]
fn aliases_that_are_out_of_range_or_unknown_end_the_connection() {
    let broker = Broker::start(&open("max_topic_alias 3"));
    for (topic, alias, code) in [("t", 0, 0x82), ("t", 4, 0x94), ("", 2, 0x82)] {
        if alias == 0 && oracle_differs("Mosquitto calls an alias of 0 malformed") {
            continue;
        }
        // No client sends these.
        let connect = Connect {
            version: 5,
            ..Connect::new("wrong")
        };
        let (mut raw, _) = Raw::client(broker.port, &connect);
        raw.send(&packet(0x30, &[&text(topic), &[3, 0x23, 0, alias]]));
        raw.expect(&[0xe0, 1, code]);
        raw.expect_end();
    }
}

#[test]
fn an_alias_is_only_the_connections() {
    each(SCRIPTED, "", |stage| {
        let client = stage.resume("c");
        let set = json!({"topic": "t", "payload": "x", "qos": 1, "properties": {"topicAlias": 1}});
        client.publish_with(&set);
        client.leave();
        let (again, other) = (stage.resume("c"), stage.connect("other"));
        other.subscribe("#", 1);
        let topic = "u";
        let message =
            json!({"topic": topic, "payload": "y", "qos": 1, "properties": {"topicAlias": 1}});
        again.publish_with(&message);
        other.message(json!({"topic": topic, "payload": "y"}));
    });
}
