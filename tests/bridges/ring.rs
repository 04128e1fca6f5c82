//! Three brokers of ours, each with a bridge to the next one.

use crate::common::broker::{Broker, Setup};
use crate::common::raw::{Connect, Raw, publish_qos};
use crate::far::await_state;

/// All that is shared goes both ways, so that each message could go around for
/// ever, both ways around.
fn ring() -> Vec<Broker> {
    let setups: Vec<_> = (0..3).map(|_| Setup::new()).collect();
    let ports: Vec<_> = setups.iter().map(Setup::port).collect();
    let start = |(number, setup): (usize, Setup)| {
        let next = ports[(number + 1) % 3];
        setup.start(&format!(
            "listener {{port}} 127.0.0.1\nallow_anonymous true\nconnection next\n\
             address 127.0.0.1:{next}\nremote_clientid ring{number}\nrestart_timeout 1\n\
             bridge_protocol_version mqttv50\ntopic # both 2\n"
        ))
    };
    let brokers: Vec<_> = setups.into_iter().enumerate().map(start).collect();
    for (number, broker) in brokers.iter().enumerate() {
        await_state(broker, &format!("ring{number}"), "1");
    }
    brokers
}

/// Publishes at QoS 0, 1 or 2, to the end of the flow.
fn play(publisher: &mut Raw, text: &str, qos: u8) {
    let id = if qos == 0 { 0 } else { 7 };
    publisher.send(&publish_qos("t", text, qos, id));
    match qos {
        0 => {}
        1 => publisher.expect(&[0x40, 2, 0, 7]),
        _ => {
            publisher.expect(&[0x50, 2, 0, 7]);
            publisher.send(&[0x62, 2, 0, 7]);
            publisher.expect(&[0x70, 2, 0, 7]);
        }
    }
}

#[test]
fn each_message_comes_once_to_each_broker_of_a_ring() {
    let brokers = ring();
    let client = |broker: &Broker, id| Raw::client(broker.port, &Connect::new(id)).0;
    let mut subscribers: Vec<_> = brokers
        .iter()
        .map(|broker| {
            let mut subscriber = client(broker, "subscriber");
            subscriber.subscribe("t", 0);
            subscriber
        })
        .collect();
    let mut publishers: Vec<_> = brokers
        .iter()
        .map(|broker| client(broker, "publisher"))
        .collect();
    let mut published = Vec::new();
    // The last rounds bring to light what the others left behind on slower ways.
    for round in 0..12 {
        for (from, publisher) in publishers.iter_mut().enumerate() {
            let text = format!("{round:02} {from}");
            play(publisher, &text, round % 3);
            published.push(text);
        }
        let is_last_of_its_kind = round % 3 == 2;
        if !is_last_of_its_kind {
            continue;
        }
        published.sort();
        for (broker, subscriber) in subscribers.iter_mut().enumerate() {
            let mut got: Vec<_> = (0..published.len())
                .map(|_| {
                    let packet = subscriber.packet();
                    String::from_utf8_lossy(&packet[packet.len() - 4..]).into_owned()
                })
                .collect();
            got.sort();
            assert_eq!(got, published, "at broker {broker}");
        }
        published.clear();
    }
}
