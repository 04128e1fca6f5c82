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
