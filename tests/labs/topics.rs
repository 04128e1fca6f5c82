//! Topics and wildcards.

use crate::common::broker::Broker;
use crate::common::clients::{Subscriber, publish};

/// Publishes to each topic in turn, each acknowledged before the next.
fn publish_to_all(broker: &Broker, topics: &[&str]) {
    for topic in topics {
        publish(broker, &["-q", "1", "-t", topic, "-m", "x"]);
    }
}

#[test]
fn the_four_lines_of_a_first_try() {
    let broker = Broker::open();
    let salon = Subscriber::start(&broker, &["-v", "-t", "maison/+/temp"]);
    publish(&broker, &["-t", "maison/salon/temp", "-m", "21.5"]);
    salon.expect("maison/salon/temp 21.5");
}

#[test]
fn a_message_without_topic_is_printed_alone() {
    let broker = Broker::open();
    let sub = Subscriber::start(&broker, &["-t", "test/val", "-C", "1"]);
    publish(&broker, &["-t", "test/val", "-m", "Bonjour"]);
    let done = sub.finish().expect_code(0);
    assert_eq!(done.stdout, "Bonjour\n");
    assert_eq!(done.stderr, "");
}

#[test]
fn plus_stands_for_one_level() {
    let broker = Broker::open();
    let sub = Subscriber::start(&broker, &["-v", "-t", "maison/+/temp"]);
    publish_to_all(
        &broker,
        &[
            "maison/salon/hum",
            "jardin/temp",
            "maison/temp",
            "maison/rdc/salon/temp",
            "maison/salon/temp/max",
            "maison/salon/temp",
            "maison/garage/temp",
            "maison//temp",
        ],
    );
    sub.expect("maison/salon/temp x");
    sub.expect("maison/garage/temp x");
    sub.expect("maison//temp x");
}

#[test]
fn hash_stands_for_the_level_above_and_all_below() {
    let broker = Broker::open();
    let sub = Subscriber::start(&broker, &["-v", "-t", "maison/#"]);
    publish_to_all(
        &broker,
        &[
            "jardin/temp",
            "maisonnette",
            "maison",
            "maison/salon",
            "maison/rdc/salon/hum",
        ],
    );
    sub.expect("maison x");
    sub.expect("maison/salon x");
    sub.expect("maison/rdc/salon/hum x");
}

#[test]
fn wildcards_at_the_start_get_nothing_that_begins_with_a_dollar() {
    let broker = Broker::start("sys_interval 1\nlistener {port}\nallow_anonymous true\n");
    let all = Subscriber::start(&broker, &["-v", "-t", "#"]);
    let plus = Subscriber::start(&broker, &["-v", "-t", "+/broker/uptime"]);
    // The second line is an update: $SYS has been published since the others subscribed.
    let sys = Subscriber::start(&broker, &["-t", "$SYS/broker/uptime", "-C", "2"]);
    sys.finish().expect_code(0);
    publish_to_all(&broker, &["a/broker/uptime"]);
    all.expect("a/broker/uptime x");
    plus.expect("a/broker/uptime x");
}

#[test]
fn several_topics_in_one_subscription() {
    let broker = Broker::open();
    let sub = Subscriber::start(&broker, &["-v", "-t", "a/+", "-t", "b/#"]);
    publish_to_all(&broker, &["c/1", "a/1", "b/1/2"]);
    sub.expect("a/1 x");
    sub.expect("b/1/2 x");
}

#[test]
fn topics_and_payloads_in_any_language() {
    let broker = Broker::open();
    let topics = ["maison/salon/température", "家/居間/気温", "дом/🌡"];
    let sub = Subscriber::start(&broker, &["-v", "-t", "#"]);
    let exact = Subscriber::start(&broker, &["-t", "maison/salon/température"]);
    for topic in topics {
        publish(&broker, &["-q", "1", "-t", topic, "-m", "21,5 °C"]);
        sub.expect(&format!("{topic} 21,5 °C"));
    }
    exact.expect("21,5 °C");
}

#[test]
fn names_are_compared_letter_by_letter() {
    let broker = Broker::open();
    let sub = Subscriber::start(&broker, &["-v", "-t", "Maison/salon"]);
    publish_to_all(
        &broker,
        &[
            "maison/salon",
            "/Maison/salon",
            "Maison/salon/",
            "Maison/salon",
        ],
    );
    sub.expect("Maison/salon x");
}
