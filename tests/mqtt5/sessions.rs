//! Session expiry interval, clean start, session present, take-over.

use crate::common::oracle_differs;
use crate::stage::{ALL, SCRIPTED, Stage, each};
use serde_json::json;

/// Takes the session up for `seconds` after the connection and tells whether
/// there was one.
fn present(stage: &Stage, clean: bool, seconds: u64, farewell: serde_json::Value) -> bool {
    let properties = json!({"sessionExpiryInterval": seconds});
    let client = stage.connect_with("c", &json!({"clean": clean, "properties": properties}));
    let present = client.connack["present"] == true;
    client.leave_with(farewell);
    present
}

#[test]
fn clean_start_and_session_present() {
    each(ALL, "", |stage| {
        let bye = || json!({});
        assert!(!present(stage, false, 100, bye()), "there was none");
        assert!(present(stage, false, 100, bye()), "it was kept");
        assert!(!present(stage, true, 100, bye()), "clean start");
        assert!(present(stage, false, 0, bye()), "begun clean, but kept");
        assert!(!present(stage, false, 0, bye()), "an interval of 0");
    });
}

#[test]
fn disconnect_changes_the_session_expiry_interval() {
    each(SCRIPTED, "", |stage| {
        let seconds = |n: u64| json!({"properties": {"sessionExpiryInterval": n}});
        assert!(!present(stage, false, 100, seconds(0)));
        assert!(!present(stage, false, 1, seconds(100)), "it was set to 0");
        assert!(present(stage, false, 100, json!({})), "it was set to 100");
    });
}

#[test]
fn disconnect_may_not_give_a_session_to_whom_had_none() {
    each(SCRIPTED, "", |stage| {
        // 3.14.2.2.2: the server treats that as a protocol error.
        let seconds = json!({"properties": {"sessionExpiryInterval": 100}});
        stage.connect("c").leave_with(seconds);
        assert!(!present(stage, false, 0, json!({})));
    });
}

#[test]
fn a_session_expires_after_its_interval() {
    each(ALL, "", |stage| {
        assert!(!present(stage, false, 1, json!({})));
        expired(stage);
        assert!(!present(stage, false, 0, json!({})));
    });
}

/// Waits until the broker has given the session up.
fn expired(stage: &Stage) {
    let log = &stage.broker.process().stderr;
    log.wait_for("Expiring client c due to timeout");
}

#[test]
fn the_interval_counts_from_the_end_of_the_connection() {
    each(&[crate::stage::Kind::Paho], "", |stage| {
        assert!(!present(stage, false, 1, json!({})));
        let properties = json!({"sessionExpiryInterval": 1});
        let long = stage.connect_with("c", &json!({"clean": false, "properties": properties}));
        assert_eq!(long.connack["present"], true);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        long.leave();
        assert!(present(stage, false, 0, json!({})));
    });
}

#[test]
fn the_broker_says_for_how_long_it_keeps_a_session_at_most() {
    if oracle_differs("Mosquitto keeps that to itself") {
        return;
    }
    each(ALL, "persistent_client_expiration 1h", |stage| {
        let told = |seconds: u64| {
            let properties = json!({"sessionExpiryInterval": seconds});
            let client = stage.connect_with("c", &json!({"properties": properties}));
            let told = client.connack["properties"]["sessionExpiryInterval"].clone();
            client.leave();
            told
        };
        assert_eq!(told(u64::from(u32::MAX)), 3600);
        assert_eq!(told(3601), 3600);
        assert_eq!(told(3600), json!(null), "as asked");
        assert_eq!(told(0), json!(null));
    });
}

#[test]
fn a_second_connection_takes_the_session_over() {
    each(ALL, "", |stage| {
        let first = stage.resume("first");
        first.subscribe("t", 1);
        let options = json!({"id": "first", "clean": false});
        let second = stage.connect_with("second", &options);
        assert_eq!(second.connack["present"], true);
        if crate::common::oracle() {
            first.expect(json!({"got": "closed"}));
        } else {
            first.expelled(0x8e);
        }
        stage.connect("sender").publish("t", "x");
        second.payload("x");
    });
}

#[test]
fn what_was_on_its_way_comes_again_marked_as_duplicate() {
    each(crate::stage::MANUAL, "", |stage| {
        let keep =
            json!({"clean": false, "manual": true, "properties": {"sessionExpiryInterval": 100}});
        let receiver = stage.connect_with("receiver", &keep);
        receiver.subscribe("t", 1);
        let sender = stage.connect("sender");
        for payload in ["1", "2", "3"] {
            sender.publish("t", payload);
            receiver.message(json!({"payload": payload, "dup": false}));
        }
        receiver.acknowledge();
        receiver.vanish();
        sender.publish("t", "4");
        let receiver = stage.connect_with("receiver", &keep);
        assert_eq!(receiver.connack["present"], true);
        receiver.message(json!({"payload": "2", "dup": true}));
        receiver.message(json!({"payload": "3", "dup": true}));
        receiver.message(json!({"payload": "4", "dup": false}));
    });
}
