//! Message expiry interval (3.3.2.3.3).

use crate::common::{oracle, oracle_differs};
use crate::stage::{ALL, Kind, Stage, each};
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::Duration;

fn expiring(topic: &str, payload: &str, seconds: u32, retain: bool) -> Value {
    let properties = json!({"messageExpiryInterval": seconds});
    json!({"topic": topic, "payload": payload, "qos": 1, "retain": retain, "properties": properties})
}

fn remaining(message: &Value) -> u64 {
    let interval = &message["properties"]["messageExpiryInterval"];
    interval.as_u64().expect("an expiry interval")
}

/// Waits until what expires after a second has expired. Mosquitto counts in
/// whole seconds.
fn until_expired() {
    sleep(Duration::from_millis(if oracle() { 2100 } else { 1200 }));
}

/// What a client finds that was away until short-lived messages expired.
fn after_a_while<'a>(stage: &'a Stage, messages: &[Value]) -> crate::stage::Client<'a> {
    let keeper = stage.resume("keeper");
    keeper.subscribe("t", 1);
    keeper.leave();
    let sender = stage.connect("sender");
    for message in messages {
        assert_eq!(sender.publish_with(message), 0);
    }
    until_expired();
    stage.resume("keeper")
}

#[test]
fn the_interval_shrinks_in_the_queue_and_ends_a_message() {
    each(ALL, "", |stage| {
        let messages = [
            expiring("t", "short", 1, false),
            expiring("t", "long", 100, false),
            json!({"topic": "t", "payload": "for ever", "qos": 1}),
        ];
        let keeper = after_a_while(stage, &messages);
        let long = keeper.payload("long");
        assert!((97..=99).contains(&remaining(&long)), "{long}");
        keeper.message(json!({"payload": "for ever", "properties": {}}));
    });
}

#[test]
fn an_expired_message_frees_its_place_in_the_queue() {
    if oracle_differs("Mosquitto counts expired messages until it looks at them") {
        return;
    }
    each(&[Kind::Rumqttc], "max_queued_messages 2", |stage| {
        let keeper = stage.resume("keeper");
        keeper.subscribe("t", 1);
        keeper.leave();
        let sender = stage.connect("sender");
        for payload in ["gone 1", "gone 2"] {
            sender.publish_with(&expiring("t", payload, 1, false));
        }
        until_expired();
        for payload in ["1", "2"] {
            sender.publish_with(&json!({"topic": "t", "payload": payload, "qos": 1}));
        }
        let keeper = stage.resume("keeper");
        keeper.payload("1");
        keeper.payload("2");
    });
}

#[test]
fn a_message_for_one_who_is_there_keeps_its_interval() {
    each(ALL, "", |stage| {
        let client = stage.connect("c");
        client.subscribe("t", 1);
        stage
            .connect("sender")
            .publish_with(&expiring("t", "x", 50, false));
        assert_eq!(remaining(&client.payload("x")), 50);
    });
}

#[test]
fn a_retained_message_expires() {
    each(ALL, "", |stage| {
        let (early, late) = (stage.connect("early"), stage.connect("late"));
        let sender = stage.connect("sender");
        for (topic, seconds) in [("t/short", 1), ("t/long", 100)] {
            sender.publish_with(&expiring(topic, "x", seconds, true));
        }
        early.subscribe("t/short", 1);
        early.message(json!({"topic": "t/short", "retain": true}));
        until_expired();
        late.subscribe("t/#", 1);
        let message = late.message(json!({"topic": "t/long", "retain": true}));
        assert!((97..=99).contains(&remaining(&message)), "{message}");
    });
}

#[test]
fn an_expiring_message_takes_the_place_of_a_retained_one() {
    each(&[Kind::Paho], "", |stage| {
        let sender = stage.connect("sender");
        sender.publish_with(&json!({"topic": "t", "payload": "old", "qos": 1, "retain": true}));
        sender.publish_with(&expiring("t", "new", 1, true));
        until_expired();
        let client = stage.connect("c");
        client.subscribe("t", 1);
        sender.publish("t", "nothing before this");
        client.payload("nothing before this");
    });
}
