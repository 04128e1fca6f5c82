//! What README.md says about rumqttd. When a new version of it does better, one of
//! these fails, and README.md is to be mended.

use crate::common::broker::OPEN;
use crate::common::clients::{Subscriber, publish, run_pub};
use crate::common::raw::{Connect, Raw, packet, text};
use crate::start;

#[test]
fn some_clients_are_closed_without_an_answer() {
    let broker = start(OPEN);
    let strangers = [
        Connect {
            version: 3,
            ..Connect::new("old")
        },
        Connect {
            keep_alive: 0,
            ..Connect::new("patient")
        },
        Connect::new("a/b"),
    ];
    for connect in strangers {
        let mut raw = Raw::open(broker.port);
        raw.send(&connect.bytes());
        raw.expect_end();
    }
}

#[test]
fn who_asks_for_sys_is_disconnected() {
    let broker = start(OPEN);
    let (mut raw, _) = Raw::client(broker.port, &Connect::new("curious"));
    raw.send(&packet(0x82, &[&[0, 1], &text("$SYS/#"), &[0]]));
    raw.expect_end();
}

#[test]
fn the_qos_of_the_subscription_is_that_of_each_message() {
    let broker = start(OPEN);
    let subscriber = Subscriber::start(&broker, &["-t", "t", "-q", "2", "-F", "%q %p"]);
    for qos in ["0", "1", "2"] {
        publish(&broker, &["-t", "t", "-q", qos, "-m", qos]);
        subscriber.expect(&format!("2 {qos}"));
    }
}

#[test]
fn an_empty_message_deletes_what_is_retained() {
    let broker = start(OPEN);
    publish(&broker, &["-t", "t", "-q", "1", "-r", "-m", "kept"]);
    publish(&broker, &["-t", "t", "-q", "1", "-n"]);
    let subscriber = Subscriber::start(&broker, &["-t", "t", "-q", "1"]);
    publish(&broker, &["-t", "t", "-q", "1", "-m", "live"]);
    subscriber.expect("live");
}

#[test]
fn one_topic_ends_it_for_everybody() {
    let broker = start(OPEN);
    let _somebody = Subscriber::start(&broker, &["-t", "t"]);
    run_pub(&broker, &["-t", "é/x", "-m", "boom"]);
    let log = &broker.process().stderr;
    log.wait_for("rumqttd panicked");
    broker.process().wait_end();
    assert_eq!(broker.stop().code, Some(1));
}
