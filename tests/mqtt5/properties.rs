//! Properties that travel with a message.

use crate::stage::{ALL, each};
use serde_json::json;

#[test]
fn what_the_publisher_says_of_its_message_arrives() {
    each(ALL, "", |stage| {
        let (sender, receiver) = (stage.connect("sender"), stage.connect("receiver"));
        receiver.subscribe("t", 2);
        let properties = json!({
            "payloadFormatIndicator": 1,
            "contentType": "text/plain",
            "responseTopic": "answers/é",
            "correlationData": "question 7",
            "userProperties": [["k", "1"], ["k", "2"], ["other", ""]],
        });
        for qos in 0..=2 {
            let message =
                json!({"topic": "t", "payload": "é", "qos": qos, "properties": properties});
            assert_eq!(sender.publish_with(&message), 0);
            receiver.message(message);
        }
    });
}

#[test]
fn a_message_without_properties_arrives_without() {
    each(ALL, "", |stage| {
        let (sender, receiver) = (stage.connect("sender"), stage.connect("receiver"));
        receiver.subscribe("t", 1);
        sender.publish("t", "plain");
        receiver.message(json!({"payload": "plain", "properties": {}}));
    });
}

#[test]
fn properties_stay_with_messages_that_are_kept() {
    each(ALL, "", |stage| {
        let properties = json!({
            "payloadFormatIndicator": 0,
            "contentType": "",
            "responseTopic": "r",
            "correlationData": "",
            "userProperties": [["", ""], ["é", "ß"]],
        });
        let keeper = stage.resume("keeper");
        keeper.subscribe("t", 1);
        keeper.leave();
        let sender = stage.connect("sender");
        // An alias is no property of the message.
        let mut sent = properties.clone();
        sent["topicAlias"] = 1.into();
        let message =
            json!({"topic": "t", "payload": "x", "qos": 1, "retain": true, "properties": sent});
        sender.publish_with(&message);
        stage
            .resume("keeper")
            .message(json!({"retain": false, "properties": properties}));
        let late = stage.connect("late");
        late.subscribe("t", 1);
        late.message(json!({"retain": true, "properties": properties}));
    });
}

#[test]
fn many_and_long_properties_arrive() {
    each(ALL, "", |stage| {
        let sender = stage.connect("sender");
        // rumqttc takes 10 KiB unless it says more.
        let options = json!({"properties": {"maximumPacketSize": 1_000_000}});
        let receiver = stage.connect_with("receiver", &options);
        receiver.subscribe("t", 2);
        let pairs: Vec<_> = (0..300)
            .map(|n| [format!("key {n}"), "v".repeat(n)])
            .collect();
        let properties = json!({"contentType": "c".repeat(65_535), "userProperties": pairs});
        let message = json!({"topic": "t", "payload": "x", "qos": 2, "properties": properties});
        sender.publish_with(&message);
        receiver.message(message);
    });
}

#[test]
fn a_request_is_answered() {
    each(ALL, "", |stage| {
        let (asks, answers) = (stage.connect("asks"), stage.connect("answers"));
        answers.subscribe("service", 1);
        asks.subscribe("answers/asks", 1);
        for number in ["1", "2"] {
            let properties = json!({"responseTopic": "answers/asks", "correlationData": number});
            let question =
                json!({"topic": "service", "payload": "?", "qos": 1, "properties": properties});
            asks.publish_with(&question);
            let question = answers.payload("?");
            let data = json!({"correlationData": question["properties"]["correlationData"]});
            let topic = &question["properties"]["responseTopic"];
            answers.publish_with(
                &json!({"topic": topic, "payload": "!", "qos": 1, "properties": data}),
            );
            asks.message(json!({"payload": "!", "properties": {"correlationData": number}}));
        }
    });
}

#[test]
fn user_properties_are_welcome_in_every_packet() {
    each(ALL, "", |stage| {
        let properties = json!({"userProperties": [["k", "v"], ["k", "w"]]});
        let client = stage.connect_with("c", &json!({"properties": properties}));
        let filters = json!([{"filter": "t", "qos": 1}]);
        client.subscribe_with(json!({"filters": filters, "properties": properties}));
        client.publish("t", "x");
        client.message(json!({"payload": "x", "properties": {}}));
        client.leave_with(json!({"properties": properties}));
        let log = &stage.broker.process().stderr;
        log.wait_for("Client c disconnected.\n");
    });
}
