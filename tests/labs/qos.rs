//! The three qualities of service.

use crate::common::Program;
use crate::common::broker::Broker;
use crate::common::clients::{Subscriber, at, publish};
use crate::common::process::run;
use crate::common::tap::{From, Tap};

/// A publisher of each quality meets a subscriber of each quality.
fn matrix(version: &str) {
    let broker = Broker::open();
    let subscribers = ["0", "1", "2"].map(|qos| {
        let args = ["-V", version, "-t", "t", "-q", qos, "-F", "%q %p"];
        Subscriber::start(&broker, &args)
    });
    for published in 0..=2 {
        let qos = published.to_string();
        let payload = format!("sent with {qos}");
        publish(
            &broker,
            &["-V", version, "-t", "t", "-q", &qos, "-m", &payload],
        );
        for (subscribed, subscriber) in subscribers.iter().enumerate() {
            subscriber.expect(&format!("{} {payload}", published.min(subscribed)));
        }
    }
}

#[test]
fn a_delivery_has_the_lower_quality_of_both_in_mqtt_311() {
    matrix("mqttv311");
}

#[test]
fn a_delivery_has_the_lower_quality_of_both_in_mqtt_31() {
    matrix("mqttv31");
}

#[test]
fn a_delivery_has_the_lower_quality_of_both_in_mqtt_5() {
    matrix("mqttv5");
}

#[test]
fn each_quality_has_its_handshake() {
    // The packets that answer a PUBLISH, by type: who sends which.
    const PUBACK: u8 = 4;
    const PUBREC: u8 = 5;
    const PUBREL: u8 = 6;
    const PUBCOMP: u8 = 7;
    let broker = Broker::open();
    for (qos, expected) in [
        ("0", [0, 0, 0, 0]),
        ("1", [1, 0, 0, 0]),
        ("2", [0, 1, 1, 1]),
    ] {
        let args = ["-t", "t", "-q", qos, "-C", "1"];
        let sub = Subscriber::start(&broker, &args);
        let tap = Tap::before(broker.port);
        let mut publisher = Program::Pub.command();
        run(at(&mut publisher, tap.port).args(["-t", "t", "-q", qos, "-m", "x"])).expect_code(0);
        // The relay has seen all when it has seen the end.
        tap.goodbyes();
        let count = |tap: &Tap, from, kind| tap.packets(from, kind).len();
        let answers = [
            count(&tap, From::Broker, PUBACK),
            count(&tap, From::Broker, PUBREC),
            count(&tap, From::Client, PUBREL),
            count(&tap, From::Broker, PUBCOMP),
        ];
        assert_eq!(answers, expected, "publishing with QoS {qos}");
        let tap = sub.tap;
        sub.process.finish().expect_code(0);
        tap.goodbyes();
        let answers = [
            count(&tap, From::Client, PUBACK),
            count(&tap, From::Client, PUBREC),
            count(&tap, From::Broker, PUBREL),
            count(&tap, From::Client, PUBCOMP),
        ];
        assert_eq!(answers, expected, "subscribing with QoS {qos}");
    }
}

#[test]
fn many_messages_arrive_once_and_in_order() {
    let broker = Broker::open();
    let lines: String = (0..500)
        .map(|number: u32| number.to_string() + "\n")
        .collect();
    for qos in ["1", "2"] {
        let args = ["-t", "t", "-q", qos, "-C", "500"];
        let sub = Subscriber::start(&broker, &args);
        let mut publisher = Program::Pub.command();
        at(&mut publisher, broker.port).args(["-t", "t", "-q", qos, "-l"]);
        crate::common::process::run_with_input(&mut publisher, &lines).expect_code(0);
        assert_eq!(sub.finish().expect_code(0).stdout, lines, "QoS {qos}");
    }
}
