//! Options and identifiers of subscriptions, and what several of them bring.

use crate::common::oracle_differs;
use crate::stage::{ALL, Client, Kind, each};
use serde_json::{Value, json};

fn subscribe_as(client: &Client<'_>, filter: &str, qos: u8, id: u32) {
    let codes = client.subscribe_with(json!({
        "filters": [{"filter": filter, "qos": qos}],
        "properties": {"subscriptionIdentifier": id},
    }));
    assert_eq!(codes, json!([qos]));
}

fn ids(message: &Value) -> Value {
    message["properties"]["subscriptionIdentifier"].clone()
}

#[test]
fn a_message_names_the_subscription_that_it_comes_for() {
    each(ALL, "", |stage| {
        let client = stage.connect("c");
        for (topic, id) in [("one", 1), ("big", 268_435_455)] {
            subscribe_as(&client, topic, 0, id);
        }
        client.subscribe("none", 0);
        let sender = stage.connect("sender");
        sender.publish("one", "");
        assert_eq!(ids(&client.next()), json!([1]));
        sender.publish("big", "");
        assert_eq!(ids(&client.next()), json!([268_435_455]));
        sender.publish("none", "");
        assert_eq!(ids(&client.next()), Value::Null);
        subscribe_as(&client, "one", 0, 5);
        client.subscribe("big", 0);
        sender.publish("one", "");
        assert_eq!(ids(&client.next()), json!([5]), "replaced");
        sender.publish("big", "");
        assert_eq!(ids(&client.next()), Value::Null, "taken away");
    });
}

#[test]
fn retained_and_queued_messages_name_their_subscription_too() {
    each(ALL, "", |stage| {
        let sender = stage.connect("sender");
        let kept = json!({"topic": "t", "payload": "kept", "qos": 1, "retain": true});
        sender.publish_with(&kept);
        let client = stage.resume("c");
        subscribe_as(&client, "t", 1, 7);
        let message = client.message(json!({"payload": "kept", "retain": true}));
        assert_eq!(ids(&message), json!([7]));
        client.acknowledged();
        client.leave();
        sender.publish("t", "away");
        let message = stage.resume("c").payload("away");
        assert_eq!(ids(&message), json!([7]));
    });
}

#[test]
fn overlapping_subscriptions_bring_a_copy_each() {
    each(ALL, "", |stage| {
        let client = stage.connect("c");
        subscribe_as(&client, "a/b", 1, 1);
        subscribe_as(&client, "a/+", 2, 2);
        subscribe_as(&client, "#", 0, 3);
        let message = json!({"topic": "a/b", "payload": "x", "qos": 2});
        stage.connect("sender").publish_with(&message);
        let mut copies: Vec<_> = (0..3)
            .map(|_| client.payload("x"))
            .map(|copy| (ids(&copy).to_string(), copy["qos"].as_u64().unwrap()))
            .collect();
        copies.sort();
        let expected = [("[1]", 1), ("[2]", 2), ("[3]", 0)];
        assert_eq!(copies, expected.map(|(id, qos)| (id.to_owned(), qos)));
    });
}

#[test]
fn overlapping_subscriptions_bring_one_copy_where_duplicates_are_forbidden() {
    if oracle_differs("Mosquitto names one of the subscriptions, 3.3.4 wants all") {
        return;
    }
    each(ALL, "allow_duplicate_messages false", |stage| {
        let client = stage.connect("c");
        subscribe_as(&client, "a/b", 1, 1);
        subscribe_as(&client, "a/+", 2, 2);
        client.subscribe("#", 0);
        let sender = stage.connect("sender");
        for payload in ["x", "y"] {
            sender.publish_with(&json!({"topic": "a/b", "payload": payload, "qos": 2}));
            let copy = client.message(json!({"payload": payload, "qos": 2}));
            let mut ids: Vec<_> = ids(&copy).as_array().expect("identifiers").clone();
            ids.sort_by_key(Value::as_u64);
            assert_eq!(ids, [json!(1), json!(2)]);
        }
    });
}

#[test]
fn no_local_keeps_own_messages_away() {
    each(ALL, "", |stage| {
        let (own, other) = (stage.connect("own"), stage.connect("other"));
        own.subscribe_to(json!({"filter": "t", "qos": 1, "noLocal": true}));
        other.subscribe("t", 1);
        own.publish("t", "mine");
        other.payload("mine");
        other.send(&json!({"topic": "t", "payload": "yours", "qos": 0}));
        own.payload("yours");
        other.payload("yours");
    });
}

#[test]
fn a_subscription_again_takes_no_local_back() {
    if oracle_differs("Mosquitto 2.0 keeps the first options") {
        return;
    }
    each(ALL, "", |stage| {
        let client = stage.connect("c");
        client.subscribe_to(json!({"filter": "t", "qos": 1, "noLocal": true}));
        client.subscribe("t", 1);
        client.publish("t", "mine");
        client.payload("mine");
    });
}

#[test]
fn a_subscription_of_a_kept_session_is_not_new() {
    each(ALL, "", |stage| {
        let sender = stage.connect("sender");
        sender.publish_with(&json!({"topic": "t", "payload": "kept", "qos": 1, "retain": true}));
        let if_new = || json!({"filter": "t", "qos": 1, "retainHandling": 1});
        let client = stage.resume("c");
        client.subscribe_to(if_new());
        client.payload("kept");
        client.acknowledged();
        client.leave();
        let client = stage.resume("c");
        client.subscribe_to(if_new());
        sender.publish("t", "nothing before this");
        client.payload("nothing before this");
    });
}

#[test]
fn retain_as_published_keeps_the_flag() {
    each(ALL, "", |stage| {
        let (plain, exact) = (stage.connect("plain"), stage.connect("exact"));
        plain.subscribe("t", 1);
        exact.subscribe_to(json!({"filter": "t", "qos": 1, "retainAsPublished": true}));
        let sender = stage.connect("sender");
        for (payload, retain) in [("kept", true), ("passing", false), ("", true)] {
            let message = json!({"topic": "t", "payload": payload, "qos": 1, "retain": retain});
            sender.publish_with(&message);
            plain.message(json!({"payload": payload, "retain": false}));
            exact.message(json!({"payload": payload, "retain": retain}));
        }
    });
}

#[test]
fn retain_handling_says_when_retained_messages_come() {
    each(ALL, "", |stage| {
        let sender = stage.connect("sender");
        sender.publish_with(&json!({"topic": "t", "payload": "kept", "qos": 1, "retain": true}));
        let client = stage.connect("c");
        let subscribe = |handling: u8| {
            client.subscribe_to(json!({"filter": "t", "qos": 1, "retainHandling": handling}));
        };
        // What comes next tells whether the retained message came before it.
        let nothing_but = |payload: &str| {
            sender.publish("t", payload);
            client.message(json!({"payload": payload, "retain": false}));
        };
        let kept = || client.message(json!({"payload": "kept", "retain": true}));
        subscribe(2);
        nothing_but("never");
        subscribe(1);
        nothing_but("not new");
        subscribe(0);
        kept();
        subscribe(0);
        kept();
        client.unsubscribe(&["t"]);
        subscribe(1);
        kept();
        nothing_but("once");
    });
}

#[test]
fn each_filter_has_its_reason_code() {
    each(ALL, "", |stage| {
        let client = stage.connect("c");
        let filters = json!([
            {"filter": "a", "qos": 2}, {"filter": "b/#", "qos": 0}, {"filter": "$share/g/c", "qos": 1},
        ]);
        let codes = client.subscribe_with(json!({"filters": filters}));
        assert_eq!(codes, json!([2, 0, 1]));
        assert_eq!(client.unsubscribe(&["b/#"]), json!([0]));
        assert_eq!(client.unsubscribe(&["b/#"]), json!([0x11]));
        assert_eq!(client.unsubscribe(&["$share/other/c"]), json!([0x11]));
        assert_eq!(client.unsubscribe(&["$share/g/c"]), json!([0]));
        if stage.kind != Kind::Rumqttc {
            let codes = client.unsubscribe(&["none", "a", "a"]);
            assert_eq!(codes, json!([0x11, 0, 0x11]));
        }
    });
}

#[test]
fn a_subscription_again_changes_its_quality() {
    each(ALL, "", |stage| {
        let (client, sender) = (stage.connect("c"), stage.connect("sender"));
        for qos in [2, 0, 1] {
            client.subscribe("t", qos);
            sender.publish_with(&json!({"topic": "t", "payload": "x", "qos": 2}));
            client.message(json!({"payload": "x", "qos": qos}));
        }
    });
}
