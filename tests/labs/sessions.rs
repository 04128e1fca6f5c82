//! Sessions that outlive their connection.

use crate::common::broker::Broker;
use crate::common::clients::{Subscriber, publish};
use crate::common::oracle_differs;
use crate::common::raw::{Connect, Raw, packet, publish_qos, text};
use crate::common::tap::From;

/// The session-present flag of the CONNACK that a subscriber got.
fn session_present(sub: &Subscriber) -> bool {
    sub.tap.wait_for(From::Broker, 2)[2] == 1
}

/// A subscriber that leaves after its first message.
fn come_and_go(broker: &Broker, args: &[&str]) {
    let sub = Subscriber::start(broker, &[args, &["-C", "1"]].concat());
    assert!(!session_present(&sub));
    publish(broker, &["-q", "1", "-t", "a/b", "-m", "first"]);
    assert_eq!(sub.finish().expect_code(0).stdout, "first\n");
}

#[test]
fn a_persistent_session_gets_what_came_while_it_was_away() {
    let broker = Broker::open();
    let args = ["-c", "-i", "test", "-q", "1", "-t", "a/b"];
    come_and_go(&broker, &args);
    for number in ["1", "2", "3"] {
        publish(&broker, &["-q", "1", "-t", "a/b", "-m", number]);
    }
    let sub = Subscriber::start(&broker, &[&args[..], &["-C", "3"]].concat());
    assert!(session_present(&sub));
    assert_eq!(sub.finish().expect_code(0).stdout, "1\n2\n3\n");
}

#[test]
fn a_persistent_session_of_mqtt_5_gets_what_came_while_it_was_away() {
    let broker = Broker::open();
    let args = ["-V", "mqttv5", "-c", "-i", "test", "-q", "1", "-t", "a/b"];
    come_and_go(&broker, &args);
    for number in ["1", "2", "3"] {
        publish(&broker, &["-q", "2", "-t", "a/b", "-m", number]);
    }
    let sub = Subscriber::start(&broker, &[&args[..], &["-C", "3"]].concat());
    assert!(session_present(&sub));
    assert_eq!(sub.finish().expect_code(0).stdout, "1\n2\n3\n");
}

#[test]
fn a_clean_session_misses_what_came_while_it_was_away() {
    let broker = Broker::open();
    let args = ["-i", "test", "-q", "1", "-t", "a/b"];
    come_and_go(&broker, &args);
    publish(&broker, &["-q", "1", "-t", "a/b", "-m", "missed"]);
    let sub = Subscriber::start(&broker, &args);
    assert!(!session_present(&sub));
    publish(&broker, &["-q", "1", "-t", "a/b", "-m", "present"]);
    sub.expect("present");
}

#[test]
fn a_session_keeps_its_subscriptions_without_subscribing_again() {
    let broker = Broker::open();
    let keep = Connect {
        clean: false,
        ..Connect::new("kept")
    };
    let (mut client, _) = Raw::client(broker.port, &keep);
    client.subscribe("a/b", 1);
    client.send(&[0xe0, 0]);
    client.expect_end();
    publish(&broker, &["-q", "1", "-t", "a/b", "-m", "away"]);
    let (mut client, present) = Raw::client(broker.port, &keep);
    assert!(present);
    client.expect(&publish_qos("a/b", "away", 1, 1));
}

#[test]
fn an_unacknowledged_message_comes_again_marked_as_duplicate() {
    let broker = Broker::open();
    let keep = Connect {
        clean: false,
        ..Connect::new("forgetful")
    };
    let (mut client, _) = Raw::client(broker.port, &keep);
    client.subscribe("a/b", 1);
    publish(&broker, &["-q", "1", "-t", "a/b", "-m", "again"]);
    let first = client.packet();
    assert_eq!(first, publish_qos("a/b", "again", 1, 1));
    drop(client); // without PUBACK
    let (mut client, _) = Raw::client(broker.port, &keep);
    let second = client.packet();
    assert_eq!(second[0], first[0] | 0x08, "the DUP flag");
    assert_eq!(second[1..], first[1..]);
}

#[test]
fn session_present_is_right_each_time() {
    let broker = Broker::open();
    let present = |clean: bool, version: u8| {
        let connect = Connect {
            version,
            clean,
            ..Connect::new("sometimes")
        };
        let (mut client, present) = Raw::client(broker.port, &connect);
        client.send(&[0xe0, 0]);
        client.expect_end();
        present
    };
    assert!(!present(false, 4), "there was none yet");
    assert!(present(false, 4), "it was kept");
    assert!(present(false, 4), "it is still kept");
    assert!(!present(true, 4), "a clean session asks for none");
    assert!(!present(false, 4), "the clean session removed it");
    assert!(!present(false, 3), "MQTT 3.1 has no such flag");
}

#[test]
fn a_session_of_mqtt_5_lives_as_long_as_it_asks() {
    let broker = Broker::open();
    let present = |clean: bool, properties: &[u8], goodbye: &[u8]| {
        let connect = Connect {
            version: 5,
            clean,
            properties,
            ..Connect::new("five")
        };
        let (mut client, present) = Raw::client(broker.port, &connect);
        client.send(goodbye);
        client.expect_end();
        present
    };
    let hour: &[u8] = &[0x11, 0, 0, 0x0e, 0x10];
    let bye: &[u8] = &[0xe0, 0];
    let bye_and_forget: &[u8] = &[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0];
    assert!(!present(false, &[], bye));
    assert!(
        !present(false, hour, bye),
        "without an interval it ended at once"
    );
    assert!(present(false, hour, bye));
    assert!(present(false, hour, bye_and_forget));
    assert!(
        !present(false, hour, bye),
        "DISCONNECT set the interval to 0"
    );
    assert!(!present(true, hour, bye), "clean start");
    assert!(present(false, hour, bye), "kept although it began clean");
}

#[test]
fn a_second_connection_takes_the_session_over() {
    let broker = Broker::open();
    let keep = Connect {
        clean: false,
        ..Connect::new("twin")
    };
    let (mut first, _) = Raw::client(broker.port, &keep);
    first.subscribe("a/b", 1);
    let (mut second, present) = Raw::client(broker.port, &keep);
    assert!(present);
    first.expect_end();
    publish(&broker, &["-q", "1", "-t", "a/b", "-m", "x"]);
    second.expect(&publish_qos("a/b", "x", 1, 1));
}

#[test]
fn a_second_connection_of_mqtt_5_tells_the_first_why_it_ends() {
    if oracle_differs("Mosquitto 2.0 takes a session over without DISCONNECT") {
        return;
    }
    let broker = Broker::open();
    let connect = Connect {
        version: 5,
        ..Connect::new("twin")
    };
    let (mut first, _) = Raw::client(broker.port, &connect);
    let (mut second, _) = Raw::client(broker.port, &connect);
    let farewell = first.packet();
    assert_eq!(
        (farewell[0], farewell[2]),
        (0xe0, 0x8e),
        "session taken over"
    );
    first.expect_end();
    second.send(&packet(0x82, &[&[0, 1, 0], &text("a"), &[0]]));
    second.expect(&[0x90, 4, 0, 1, 0, 0]);
}
