//! What waits for clients that are away, and what is dropped.

use crate::common::oracle_differs;
use crate::stage::{ALL, MANUAL, Stage, each};
use serde_json::json;

/// Subscribes and goes away.
fn subscribe_and_leave(stage: &Stage, filter: &str, qos: u8) {
    let keeper = stage.resume("keeper");
    keeper.subscribe(filter, qos);
    keeper.leave();
}

/// What waited for the keeper, up to a last message that is sent now.
fn waiting(stage: &Stage) -> String {
    let keeper = stage.resume("keeper");
    keeper.subscribe("end", 2);
    // With QoS 2, because paho hands out QoS 2 later than QoS 1.
    let end = json!({"topic": "end", "payload": "end", "qos": 2});
    stage.connect("witness").publish_with(&end);
    let payloads = std::iter::repeat_with(|| keeper.next()["payload"].as_str().unwrap().to_owned());
    let payloads: Vec<_> = payloads.take_while(|payload| payload != "end").collect();
    payloads.join(" ")
}

const DROPPED: &str = "$SYS/broker/publish/messages/dropped";

#[test]
fn a_full_queue_drops_what_is_new_and_counts_it() {
    let conf = "max_queued_messages 3\nsys_interval 1";
    each(ALL, conf, |stage| {
        subscribe_and_leave(stage, "t", 1);
        let watcher = stage.connect("watcher");
        watcher.subscribe(DROPPED, 0);
        let sender = stage.connect("sender");
        for number in 0..8 {
            let message = json!({"topic": "t", "payload": number.to_string(), "qos": 1});
            sender.publish_with(&message);
        }
        while watcher.next()["payload"] != "5" {}
        let told = "Outgoing messages are being dropped for client keeper";
        stage.broker.process().stderr.wait_for(told);
        assert_eq!(stage.broker.log().matches(told).count(), 1, "told once");
        assert_eq!(waiting(stage), "0 1 2");
    });
}

#[test]
fn a_full_queue_of_one_who_is_there_drops_too() {
    if oracle_differs("Mosquitto counts what is on its way as well") {
        return;
    }
    let conf = "max_queued_messages 3\nmax_inflight_messages 1";
    each(MANUAL, conf, |stage| {
        let slow = stage.connect_with("slow", &json!({"manual": true}));
        slow.subscribe("t", 1);
        let sender = stage.connect("sender");
        for number in 0..6 {
            sender.publish("t", &number.to_string());
        }
        for payload in ["0", "1", "2", "3"] {
            slow.payload(payload);
            slow.acknowledge();
        }
        sender.publish("t", "there is room again");
        slow.payload("there is room again");
    });
}

#[test]
fn max_queued_bytes_counts_payloads() {
    each(ALL, "max_queued_bytes 10\nmax_queued_messages 0", |stage| {
        subscribe_and_leave(stage, "t", 1);
        let sender = stage.connect("sender");
        for payload in ["1234", "567890", "x"] {
            sender.publish_with(&json!({"topic": "t", "payload": payload, "qos": 1}));
        }
        assert_eq!(waiting(stage), "1234 567890");
    });
}

#[test]
fn messages_of_qos_0_wait_only_where_that_is_configured() {
    for (conf, expected) in [
        ("", "1 2"),
        ("queue_qos0_messages false", "1 2"),
        ("queue_qos0_messages true", "0 1 2"),
    ] {
        each(ALL, conf, |stage| {
            subscribe_and_leave(stage, "t", 2);
            let sender = stage.connect("sender");
            for qos in 0..=2 {
                let message = json!({"topic": "t", "payload": qos.to_string(), "qos": qos});
                sender.publish_with(&message);
            }
            assert_eq!(waiting(stage), expected, "{conf}");
        });
    }
}

#[test]
fn a_subscription_of_qos_0_keeps_nothing_unless_that_is_configured() {
    for (conf, expected) in [("", ""), ("queue_qos0_messages true", "x")] {
        each(ALL, conf, |stage| {
            subscribe_and_leave(stage, "t", 0);
            let message = json!({"topic": "t", "payload": "x", "qos": 2});
            stage.connect("sender").publish_with(&message);
            assert_eq!(waiting(stage), expected, "{conf}");
        });
    }
}

#[test]
fn the_quality_of_the_subscription_can_win() {
    each(ALL, "upgrade_outgoing_qos true", |stage| {
        let sender = stage.connect("sender");
        let send = |qos: u8, retain: bool| {
            sender
                .publish_with(&json!({"topic": "t", "payload": "x", "qos": qos, "retain": retain}));
        };
        let client = stage.resume("keeper");
        client.subscribe("t", 2);
        for qos in 0..=2 {
            send(qos, false);
            client.message(json!({"qos": 2}));
        }
        client.subscribe("t", 1);
        send(2, false);
        client.message(json!({"qos": 1}));
        client.acknowledged();
        client.leave();
        send(0, true);
        let client = stage.resume("keeper");
        client.message(json!({"qos": 1, "retain": false}));
        client.subscribe("t", 1);
        client.message(json!({"qos": 1, "retain": true}));
    });
}
