//! Retained messages.

use crate::common::broker::Broker;
use crate::common::clients::{Subscriber, publish};

const LAMP: [&str; 4] = ["-t", "lampe/#", "-F", "%r %t %p"];

#[test]
fn a_new_subscriber_gets_the_last_value_marked_as_retained() {
    let broker = Broker::open();
    let present = Subscriber::start(&broker, &LAMP);
    for state in ["off", "on"] {
        publish(&broker, &["-q", "1", "-r", "-t", "lampe/1", "-m", state]);
    }
    present.expect("0 lampe/1 off");
    present.expect("0 lampe/1 on");
    let new = Subscriber::start(&broker, &LAMP);
    new.expect("1 lampe/1 on");
    // Once only, and later ones come live.
    publish(&broker, &["-q", "1", "-r", "-t", "lampe/1", "-m", "off"]);
    new.expect("0 lampe/1 off");
}

#[test]
fn each_topic_keeps_its_own_value() {
    let broker = Broker::open();
    publish(&broker, &["-q", "1", "-r", "-t", "lampe/1", "-m", "on"]);
    publish(&broker, &["-q", "1", "-r", "-t", "lampe/2", "-m", "off"]);
    publish(&broker, &["-q", "1", "-r", "-t", "lampe", "-m", "deux"]);
    publish(&broker, &["-q", "1", "-r", "-t", "radio/1", "-m", "on"]);
    let done = crate::common::clients::run_sub(&broker, &[&LAMP[..], &["-C", "3"]].concat());
    let mut lines: Vec<_> = done.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["1 lampe deux", "1 lampe/1 on", "1 lampe/2 off"]);
}

#[test]
fn an_empty_retained_message_clears_the_value() {
    let broker = Broker::open();
    publish(&broker, &["-q", "1", "-r", "-t", "lampe/1", "-m", "on"]);
    publish(&broker, &["-q", "1", "-r", "-t", "lampe/1", "-n"]);
    let sub = Subscriber::start(&broker, &LAMP);
    publish(&broker, &["-q", "1", "-t", "lampe/1", "-m", "live"]);
    sub.expect("0 lampe/1 live");
}

#[test]
fn nothing_else_clears_the_value() {
    let broker = Broker::open();
    publish(&broker, &["-q", "1", "-r", "-t", "lampe/1", "-m", "on"]);
    let present = Subscriber::start(&broker, &LAMP);
    present.expect("1 lampe/1 on");
    publish(&broker, &["-q", "1", "-t", "lampe/1", "-n"]);
    present.expect("0 lampe/1 ");
    publish(&broker, &["-q", "1", "-t", "lampe/1", "-m", "not retained"]);
    present.expect("0 lampe/1 not retained");
    publish(&broker, &["-q", "1", "-r", "-t", "lampe/2", "-n"]);
    present.expect("0 lampe/2 ");
    let new = Subscriber::start(&broker, &LAMP);
    new.expect("1 lampe/1 on");
}

#[test]
fn subscribing_again_brings_the_value_again() {
    use crate::common::raw::{Connect, Raw, publish as packet};
    let broker = Broker::open();
    publish(&broker, &["-q", "1", "-r", "-t", "lampe/1", "-m", "on"]);
    let (mut client, _) = Raw::client(broker.port, &Connect::new("again"));
    for _ in 0..2 {
        client.subscribe("lampe/+", 0);
        client.expect(&packet("lampe/1", "on", true));
    }
}
