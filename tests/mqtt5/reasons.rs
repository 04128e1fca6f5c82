//! Reason codes, and what CONNACK tells of the broker.

use crate::common::broker::{Broker, Setup};
use crate::common::oracle_differs;
use crate::stage::{ALL, Kind, SCRIPTED, each, each_with, open};
use serde_json::json;

#[test]
fn a_publisher_learns_that_nobody_listens() {
    each(ALL, "", |stage| {
        let client = stage.connect("c");
        let publish =
            |qos: u8| client.publish_with(&json!({"topic": "t", "payload": "x", "qos": qos}));
        assert_eq!((publish(1), publish(2)), (0x10, 0));
        client.subscribe("t", 0);
        assert_eq!((publish(1), publish(2)), (0, 0));
    });
}

fn with_rights() -> Broker {
    let setup = Setup::new();
    setup.write(
        "acl",
        "topic readwrite open/#\ntopic read readable\ntopic write writable\n",
    );
    setup.start(&open("acl_file {dir}/acl"))
}

#[test]
fn a_publisher_learns_that_it_may_not() {
    each_with(ALL, &with_rights, |stage| {
        let client = stage.connect("c");
        client.subscribe("#", 2);
        let publish = |topic: &str, qos: u8| {
            client.publish_with(&json!({"topic": topic, "payload": topic, "qos": qos}))
        };
        publish("readable", 0);
        assert_eq!(publish("readable", 1), 0x87);
        let refused = publish("readable", 2);
        // paho answers a refusing PUBREC as if it were none.
        assert!(refused == 0x87 || stage.kind == Kind::Paho, "{refused}");
        assert_eq!(publish("writable", 1), 0, "though nobody may read it");
        assert_eq!(publish("open/door", 2), 0);
        client.payload("open/door");
        assert_eq!(publish("$SYS/broker/version", 1), 0x87);
    });
}

#[test]
fn a_will_that_may_not_be_published_is_refused() {
    if oracle_differs("Mosquitto drops it when the time has come") {
        return;
    }
    each_with(ALL, &with_rights, |stage| {
        let will = |topic: &str| json!({"will": {"topic": topic, "payload": "gone"}});
        assert_eq!(stage.attempt("a", &will("readable")).connack["code"], 0x87);
        assert_eq!(stage.attempt("b", &will("open/will")).connack["code"], 0);
    });
}

#[test]
fn the_broker_tells_that_it_retains_nothing() {
    each(ALL, "retain_available false", |stage| {
        let client = stage.connect("c");
        assert_eq!(client.connack["properties"]["retainAvailable"], 0);
        let will = json!({"topic": "t", "payload": "x", "retain": true});
        let heedless = stage.attempt("heedless", &json!({"will": will}));
        assert_eq!(heedless.connack["code"], 0x9a);
        client.send(&json!({"topic": "t", "payload": "x", "qos": 1, "retain": true}));
        client.expelled(0x9a);
    });
}

#[test]
fn the_broker_tells_its_highest_quality() {
    // mqtt.js and rumqttc go on as if they had not been told.
    for (max, above) in [(0, 1), (1, 2)] {
        each(ALL, &format!("max_qos {max}"), |stage| {
            let client = stage.connect("c");
            assert_eq!(client.connack["properties"]["maximumQoS"], max);
            let codes = client.subscribe_with(json!({"filters": [{"filter": "t", "qos": 2}]}));
            assert_eq!(codes, json!([max]), "less is granted");
            client.publish_with(&json!({"topic": "t", "payload": "x", "qos": max}));
            client.message(json!({"payload": "x", "qos": max}));
            let will = json!({"topic": "t", "payload": "x", "qos": above});
            let heedless = stage.attempt("heedless", &json!({"will": will}));
            assert_eq!(heedless.connack["code"], 0x9b);
            client.send(&json!({"topic": "t", "payload": "x", "qos": above}));
            client.expelled(0x9b);
        });
    }
}

#[test]
fn connack_has_nothing_that_is_as_the_specification_presumes() {
    each(ALL, "", |stage| {
        let expected = json!({
            "topicAliasMaximum": 10,
            "maximumPacketSize": 2_000_000,
            "receiveMaximum": 20,
        });
        let mut properties = stage.connect("c").connack["properties"].clone();
        if crate::common::oracle() {
            properties["maximumPacketSize"] = 2_000_000.into(); // since 2.1
        }
        assert_eq!(properties, expected);
    });
}

#[test]
fn an_authentication_method_that_nobody_configured_is_refused() {
    each(&[Kind::MqttJs, Kind::Rumqttc], "", |stage| {
        let properties = json!({"authenticationMethod": "SCRAM-SHA-1"});
        let client = stage.attempt("c", &json!({"properties": properties}));
        assert_eq!(client.connack["code"], 0x8c);
        client.expect(json!({"got": "closed"}));
    });
}

#[test]
fn who_wants_no_explanations_gets_none() {
    each_with(SCRIPTED, &with_rights, |stage| {
        let properties = json!({"requestProblemInformation": 0, "requestResponseInformation": 0});
        let client = stage.connect_with("c", &json!({"properties": properties}));
        for name in ["reasonString", "userProperties", "responseInformation"] {
            assert_eq!(client.connack["properties"][name], json!(null));
        }
        client.send(&json!({"topic": "readable", "payload": "", "qos": 1}));
        client.expect(json!({"got": "published", "code": 0x87, "properties": {}}));
        // Messages keep their properties (3.1.2.11.7).
        client.subscribe("open/#", 1);
        let properties = json!({"userProperties": [["k", "v"]]});
        let message = json!({"topic": "open/t", "payload": "", "qos": 0, "properties": properties});
        client.publish_with(&message);
        client.message(json!({"properties": properties}));
    });
}

#[test]
fn the_end_of_the_broker_is_told() {
    if oracle_differs("Mosquitto 2.0 ends without DISCONNECT") {
        return;
    }
    each(ALL, "", |stage| {
        let client = stage.connect("c");
        stage
            .broker
            .process()
            .send(nix::sys::signal::Signal::SIGTERM);
        client.expelled(0x8b);
    });
}
