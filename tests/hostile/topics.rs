//! Topics and subscriptions at their limits.

use crate::common::broker::Broker;
use crate::common::oracle_differs;
use crate::common::raw::{packet, publish, text};
use crate::support::{
    DISCONNECT, PINGREQ, PINGRESP, QUIET, assert_grew_less, client, memory, ping,
};

#[test]
fn topics_may_be_deep_and_long() {
    if oracle_differs("Mosquitto refuses more than 200 levels") {
        return;
    }
    let broker = Broker::quiet(QUIET);
    let deep = vec!["a"; 30_000].join("/");
    let slashes = "/".repeat(65_535);
    let long = "l".repeat(65_535);
    let mut sender = client(broker.port, "sender");
    let mut receiver = client(broker.port, "receiver");
    for topic in [&deep, &slashes, &long] {
        for filter in [topic.as_str(), "#", "+/#"] {
            receiver.subscribe(filter, 0);
            sender.send(&publish(topic, "x", true));
            receiver.expect(&publish(topic, "x", false));
            sender.send(&publish(topic, "", true)); // forget it
            receiver.expect(&publish(topic, "", false));
            receiver.send(&packet(0xA2, &[&[0, 2], &text(filter)]));
            receiver.expect(&[0xB0, 2, 0, 2]);
        }
    }
    let plus = vec!["+"; 30_000].join("/");
    receiver.subscribe(&plus, 0);
    sender.send(&publish(&deep, "x", false));
    receiver.expect(&publish(&deep, "x", false));
}

#[test]
fn one_client_may_have_ten_thousand_subscriptions() {
    if oracle_differs("Mosquitto sends one copy") {
        return;
    }
    let broker = Broker::quiet(QUIET);
    let before = memory(&broker);
    let mut many = client(broker.port, "many");
    for batch in 0..10 {
        let filters = (0..1000).map(|n| [text(&format!("+/{}/#", batch * 1000 + n)), vec![0]]);
        let filters: Vec<u8> = filters.flatten().flatten().collect();
        many.send(&packet(0x82, &[&[0, 1], &filters]));
        assert_eq!(many.packet().len(), 3 + 2 + 1000);
    }
    let mut sender = client(broker.port, "sender");
    for number in [0, 77, 9999] {
        let topic = format!("any/{number}/x/y");
        sender.send(&publish(&topic, "x", false));
        many.expect(&publish(&topic, "x", false));
    }
    // Wildcards at every place: each of the 2^10 filters matches.
    let filters = (0..1024u32).map(|mask| {
        let level = |bit: u32| if mask >> bit & 1 == 1 { "+" } else { "w" };
        let levels: Vec<_> = (0..10).map(level).collect();
        [text(&levels.join("/")), vec![0]]
    });
    let filters: Vec<u8> = filters.flatten().flatten().collect();
    many.send(&packet(0x82, &[&[0, 1], &filters]));
    assert_eq!(many.packet()[0], 0x90);
    let topic = ["w"; 10].join("/");
    sender.send(&publish(&topic, "x", false));
    for _ in 0..1024 {
        many.expect(&publish(&topic, "x", false));
    }
    assert_grew_less(&broker, before, 24 * 1024);
    many.send(&DISCONNECT);
    many.expect_end();
    ping(&mut sender);
}

#[test]
fn one_client_may_have_a_hundred_thousand_subscriptions() {
    if oracle_differs("Mosquitto takes its time") {
        return;
    }
    const ALL: usize = 100_000;
    const EACH: usize = 4000;
    let broker = Broker::quiet(QUIET);
    let before = memory(&broker);
    let mut many = client(broker.port, "many");
    let mut sender = client(broker.port, "sender");
    let filter = |number| text(&format!("plant/{number}/+"));
    for first in (0..ALL).step_by(EACH) {
        let filters = (first..first + EACH).flat_map(|n| [filter(n), vec![0]].concat());
        many.send(&packet(0x82, &[&[0, 1], &filters.collect::<Vec<_>>()]));
        assert_eq!(many.packet()[0], 0x90);
    }
    for number in [0, 7777, ALL - 1] {
        let message = publish(&format!("plant/{number}/x"), "x", false);
        sender.send(&message);
        many.expect(&message);
    }
    assert_grew_less(&broker, before, 96 * 1024);
    for first in (0..ALL).step_by(EACH) {
        let filters: Vec<_> = (first..first + EACH).flat_map(filter).collect();
        many.send(&packet(0xA2, &[&[0, 2], &filters]));
        many.expect(&[0xB0, 2, 0, 2]);
    }
    sender.send(&publish("plant/7777/x", "nobody", false));
    ping(&mut sender);
    ping(&mut many);
    assert_grew_less(&broker, before, 96 * 1024);
}

#[test]
fn asking_for_the_same_retained_messages_again_and_again_is_bounded() {
    if oracle_differs("Mosquitto takes its time") {
        return;
    }
    let broker = Broker::quiet(QUIET);
    let mut greedy = client(broker.port, "greedy");
    let filters: Vec<u8> = [text("$SYS/#"), vec![0]].concat().repeat(50_000);
    let before = memory(&broker);
    greedy.send(&packet(0x82, &[&[0, 1], &filters]));
    greedy.send(&PINGREQ);
    let mut other = client(broker.port, "other");
    ping(&mut other);
    while greedy.packet() != PINGRESP {}
    assert_grew_less(&broker, before, 24 * 1024);
}

#[test]
fn routes_of_long_topics_are_forgotten() {
    let broker = Broker::quiet(QUIET);
    let mut sender = client(broker.port, "sender");
    let before = memory(&broker);
    for number in 0..2000 {
        sender.send(&publish(&format!("{number:065535}"), "", false));
    }
    ping(&mut sender);
    assert_grew_less(&broker, before, 96 * 1024);
}
