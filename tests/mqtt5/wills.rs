//! The will of MQTT 5: its delay, its properties, and when there is none.

use crate::common::oracle_differs;
use crate::stage::{ALL, Client, SCRIPTED, Stage, each};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// One who hears wills.
fn heir(stage: &Stage) -> Client<'_> {
    let heir = stage.connect("heir");
    heir.subscribe("will", 1);
    heir
}

/// Options of a client whose will says `gone`.
fn with_will(delay: u32, session: u32) -> Value {
    json!({
        "clean": false,
        "properties": {"sessionExpiryInterval": session},
        "will": {"topic": "will", "payload": "gone", "qos": 1, "properties": {"willDelayInterval": delay}},
    })
}

/// Nothing of the will has come before this.
fn no_will_yet(heir: &Client<'_>, stage: &Stage) {
    let witness = stage.connect("witness");
    witness.publish("will", "none yet");
    heir.payload("none yet");
    witness.leave();
}

#[test]
fn properties_of_a_will_arrive() {
    each(ALL, "", |stage| {
        let heir = heir(stage);
        let properties = json!({
            "payloadFormatIndicator": 1,
            "messageExpiryInterval": 100,
            "contentType": "text/plain",
            "responseTopic": "condolences",
            "correlationData": "grave 5",
            "userProperties": [["k", "1"], ["k", "2"]],
        });
        let will = json!({"topic": "will", "payload": "gone", "qos": 1, "properties": properties});
        stage
            .connect_with("victim", &json!({"will": will}))
            .vanish();
        heir.message(json!({"payload": "gone", "properties": properties}));
    });
}

#[test]
fn a_will_waits_for_its_delay() {
    each(ALL, "", |stage| {
        let heir = heir(stage);
        let victim = stage.connect_with("victim", &with_will(1, 100));
        let start = Instant::now();
        victim.vanish();
        no_will_yet(&heir, stage);
        heir.payload("gone");
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(900), "{waited:?}");
    });
}

#[test]
fn the_end_of_the_session_ends_the_delay() {
    each(ALL, "", |stage| {
        let heir = heir(stage);
        if !oracle_differs("Mosquitto waits though the session has ended") {
            stage.connect_with("victim", &with_will(1000, 0)).vanish();
            heir.payload("gone");
        }
        stage.connect_with("victim", &with_will(1000, 1)).vanish();
        heir.payload("gone");
    });
}

#[test]
fn a_client_that_returns_in_time_has_no_will() {
    each(ALL, "", |stage| {
        let heir = heir(stage);
        stage.connect_with("victim", &with_will(1, 100)).vanish();
        let back = stage.resume("victim");
        assert_eq!(back.connack["present"], true);
        std::thread::sleep(Duration::from_millis(1300)); // the will would be due
        no_will_yet(&heir, stage);
        // Neither has the connection that follows one with a will.
        back.vanish();
        no_will_yet(&heir, stage);
    });
}

#[test]
fn a_clean_start_ends_the_session_and_with_it_the_delay() {
    if oracle_differs("Mosquitto forgets the will") {
        return;
    }
    each(ALL, "", |stage| {
        let heir = heir(stage);
        stage
            .connect_with("victim", &with_will(1000, 2000))
            .vanish();
        stage.connect("victim");
        heir.payload("gone");
    });
}

#[test]
fn a_take_over_publishes_the_will_that_has_no_delay() {
    if oracle_differs("Mosquitto forgets the will") {
        return;
    }
    each(ALL, "", |stage| {
        let heir = heir(stage);
        let _victim = stage.connect_with("victim", &with_will(0, 100));
        let usurper =
            json!({"id": "victim", "clean": false, "properties": {"sessionExpiryInterval": 9}});
        let usurper = stage.connect_with("usurper", &usurper);
        assert_eq!(usurper.connack["present"], true);
        heir.payload("gone");
    });
}

#[test]
fn a_take_over_cancels_the_will_that_waits() {
    each(ALL, "", |stage| {
        let heir = heir(stage);
        let _victim = stage.connect_with("victim", &with_will(1, 100));
        let usurper =
            json!({"id": "victim", "clean": false, "properties": {"sessionExpiryInterval": 9}});
        let _usurper = stage.connect_with("usurper", &usurper);
        std::thread::sleep(Duration::from_millis(1300)); // the will would be due
        no_will_yet(&heir, stage);
    });
}

#[test]
fn a_goodbye_takes_the_will_back_unless_it_says_otherwise() {
    each(SCRIPTED, "", |stage| {
        let heir = heir(stage);
        let victim = || stage.connect_with("victim", &with_will(0, 0));
        victim().leave();
        no_will_yet(&heir, stage);
        victim().leave_with(json!({"code": 0x04}));
        heir.payload("gone");
    });
}

#[test]
fn a_will_begins_to_expire_when_it_is_published() {
    each(ALL, "", |stage| {
        let properties = json!({"willDelayInterval": 1, "messageExpiryInterval": 50});
        let will = json!({
            "topic": "will", "payload": "gone", "qos": 1, "retain": true, "properties": properties,
        });
        let options = json!({"will": will, "properties": {"sessionExpiryInterval": 100}});
        let heir = heir(stage);
        stage.connect_with("victim", &options).vanish();
        heir.message(json!({"payload": "gone", "properties": {"messageExpiryInterval": 50}}));
        let late = stage.connect("late");
        late.subscribe("will", 1);
        let kept = late.message(json!({"payload": "gone", "retain": true}));
        let left = kept["properties"]["messageExpiryInterval"].as_u64();
        assert!(left.is_some_and(|left| left >= 48), "{kept}");
    });
}

#[test]
fn disconnect_with_will_keeps_the_delay() {
    each(SCRIPTED, "", |stage| {
        let heir = heir(stage);
        let victim = stage.connect_with("victim", &with_will(1, 100));
        victim.leave_with(json!({"code": 0x04}));
        no_will_yet(&heir, stage);
        heir.payload("gone");
        let victim = stage.connect_with("victim", &with_will(1000, 100));
        let properties = json!({"sessionExpiryInterval": 0});
        victim.leave_with(json!({"code": 0x04, "properties": properties}));
        if !oracle_differs("Mosquitto waits though the session has ended") {
            heir.payload("gone");
        }
    });
}

#[test]
fn a_retained_will_is_kept() {
    each(ALL, "", |stage| {
        let heir = heir(stage);
        let will = json!({"topic": "will", "payload": "gone", "qos": 1, "retain": true});
        stage
            .connect_with("victim", &json!({"will": will}))
            .vanish();
        heir.message(json!({"payload": "gone", "retain": false}));
        let late = stage.connect("late");
        late.subscribe("will", 1);
        late.message(json!({"payload": "gone", "retain": true}));
    });
}
