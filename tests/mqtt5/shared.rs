//! Shared subscriptions (4.8.2).

use crate::common::oracle_differs;
use crate::stage::{ALL, MANUAL, SCRIPTED, Stage, each};
use serde_json::json;

const GROUP: &str = "$share/g/t";

/// The payloads that each of two members gets of ten messages.
fn share_ten(stage: &Stage, members: [&crate::stage::Client<'_>; 2]) -> [Vec<String>; 2] {
    let sender = stage.connect("sender");
    for number in 0..10 {
        sender.publish("t", &number.to_string());
    }
    // Each gets this last one, by a subscription of its own.
    for member in members {
        member.subscribe("end", 1);
    }
    sender.publish("end", "end");
    members.map(|member| {
        let all = std::iter::repeat_with(|| member.next()["payload"].as_str().unwrap().to_owned());
        all.take_while(|payload| payload != "end").collect()
    })
}

#[test]
fn members_take_turns() {
    each(ALL, "", |stage| {
        let (one, two) = (stage.connect("one"), stage.connect("two"));
        one.subscribe(GROUP, 1);
        two.subscribe(GROUP, 0);
        let [first, second] = share_ten(stage, [&one, &two]);
        assert_eq!((first.len(), second.len()), (5, 5), "{first:?} {second:?}");
        let mut all = [first, second].concat();
        all.sort();
        assert_eq!(all.concat(), "0123456789");
    });
}

#[test]
fn each_group_gets_every_message_and_so_does_a_plain_subscription() {
    each(ALL, "", |stage| {
        let (one, two) = (stage.connect("one"), stage.connect("two"));
        one.subscribe(GROUP, 1);
        two.subscribe("$share/other/+", 1);
        two.subscribe("t", 1);
        let sender = stage.connect("sender");
        sender.publish("t", "x");
        one.payload("x");
        two.payload("x");
        two.payload("x");
        sender.publish("t", "y");
        one.payload("y");
    });
}

#[test]
fn there_are_no_retained_messages_for_a_group() {
    if oracle_differs("Mosquitto 2.0 sends them") {
        return;
    }
    each(ALL, "", |stage| {
        let sender = stage.connect("sender");
        sender.publish_with(&json!({"topic": "t", "payload": "kept", "qos": 1, "retain": true}));
        let member = stage.connect("member");
        member.subscribe(GROUP, 1);
        sender.publish("t", "live");
        member.payload("live");
    });
}

#[test]
fn no_local_is_forbidden_in_a_group() {
    if oracle_differs("Mosquitto 2.0 grants it") {
        return;
    }
    each(SCRIPTED, "", |stage| {
        let member = stage.connect("member");
        member.order_subscription(json!({"filter": GROUP, "qos": 1, "noLocal": true}));
        member.expelled(0x82);
    });
}

#[test]
fn members_that_are_away_get_nothing_while_others_are_there() {
    if oracle_differs("Mosquitto deals to members that are away, too") {
        return;
    }
    each(ALL, "", |stage| {
        let (here, away) = (stage.resume("here"), stage.resume("away"));
        here.subscribe(GROUP, 1);
        away.subscribe(GROUP, 1);
        away.leave();
        let sender = stage.connect("sender");
        for payload in ["1", "2", "3"] {
            sender.publish("t", payload);
            here.payload(payload);
            here.acknowledged();
        }
        here.leave();
        sender.publish("t", "to be had later");
        let later = [stage.resume("here"), stage.resume("away")];
        for member in &later {
            member.subscribe("end", 1);
        }
        sender.publish("end", "end");
        let [one, other] = later.map(|member| member.next()["payload"].clone());
        let (one, other) = (one.as_str().unwrap(), other.as_str().unwrap());
        assert!(
            [one, other].contains(&"to be had later") && [one, other].contains(&"end"),
            "exactly one gets it: {one}, {other}"
        );
    });
}

#[test]
fn what_a_member_has_not_acknowledged_goes_to_another_when_its_session_ends() {
    if oracle_differs("Mosquitto drops it with the session") {
        return;
    }
    each(MANUAL, "", |stage| {
        let doomed = stage.connect_with("doomed", &json!({"manual": true}));
        doomed.subscribe(GROUP, 1);
        let sender = stage.connect("sender");
        for payload in ["1", "2", "3"] {
            sender.publish("t", payload);
            doomed.payload(payload);
        }
        doomed.acknowledge();
        let heir = stage.connect("heir");
        heir.subscribe(GROUP, 1);
        doomed.vanish();
        heir.message(json!({"payload": "2", "dup": false}));
        heir.message(json!({"payload": "3", "dup": false}));
        sender.publish("t", "4");
        heir.payload("4");
    });
}

#[test]
fn what_waits_for_a_member_moves_on_when_its_session_ends() {
    if oracle_differs("Mosquitto drops it with the session") {
        return;
    }
    each(MANUAL, "", |stage| {
        let one_at_a_time = json!({"manual": true, "properties": {"receiveMaximum": 1}});
        let doomed = stage.connect_with("doomed", &one_at_a_time);
        doomed.subscribe(GROUP, 1);
        let sender = stage.connect("sender");
        for payload in ["1", "2", "3"] {
            sender.publish("t", payload);
        }
        doomed.payload("1");
        let heir = stage.connect("heir");
        heir.subscribe(GROUP, 1);
        doomed.vanish();
        for payload in ["1", "2", "3"] {
            heir.payload(payload);
        }
    });
}

#[test]
fn who_has_left_a_group_gets_nothing_more_of_it() {
    each(ALL, "", |stage| {
        let (stays, leaves) = (stage.connect("stays"), stage.connect("leaves"));
        stays.subscribe(GROUP, 1);
        leaves.subscribe(GROUP, 1);
        assert_eq!(leaves.unsubscribe(&[GROUP]), json!([0]));
        let sender = stage.connect("sender");
        for payload in ["1", "2", "3"] {
            sender.publish("t", payload);
            stays.payload(payload);
        }
    });
}

#[test]
fn a_message_tells_the_identifier_of_the_shared_subscription() {
    each(ALL, "", |stage| {
        let member = stage.connect("member");
        let codes = member.subscribe_with(json!({
            "filters": [{"filter": GROUP, "qos": 1}],
            "properties": {"subscriptionIdentifier": 9},
        }));
        assert_eq!(codes, json!([1]));
        stage.connect("sender").publish("t", "x");
        member.message(json!({"payload": "x", "properties": {"subscriptionIdentifier": [9]}}));
    });
}
