//! Very many clients that come and go.

use crate::common::broker::Broker;
use crate::common::raw::{Connect, Raw, packet, publish, publish_qos, text};
use crate::support::{
    DISCONNECT, QUIET, assert_grew_less, client, descriptors, memory, message, ping, puback,
    wait_until,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn two_thousand_clients_that_vanish_leave_nothing_behind() {
    let broker = Broker::quiet(QUIET);
    let mut other = client(broker.port, "other");
    ping(&mut other);
    let (idle, before) = (descriptors(&broker), memory(&broker));
    for number in 0..2000 {
        let id = format!("gone{number}");
        let mut gone = Raw::open(broker.port);
        gone.send(&Connect::new(&id).bytes());
    }
    ping(&mut other);
    wait_until("all are gone", || descriptors(&broker) <= idle);
    assert_grew_less(&broker, before, 16 * 1024);
}

/// One of the ways in which clients use a connection and leave it.
fn visit(port: u16, number: usize) {
    let id = format!("visitor{number}");
    let mut visitor = Raw::client(
        port,
        &Connect {
            keep_alive: 60_000,
            will: Some(("visitors/gone", "gone", 0, false)),
            ..Connect::new(&id)
        },
    )
    .0;
    visitor.send(&packet(
        0x82,
        &[&[0, 1], &text(&format!("visitors/{number}/#")), &[1]],
    ));
    visitor.expect(&[0x90, 3, 0, 1, 1]);
    let topic = format!("visitors/{number}/{number}");
    visitor.send(&publish_qos(&topic, "hello", 1, 1));
    match number % 4 {
        0 => visitor.send(&DISCONNECT),
        1 => visitor.send(&[0xFF]),
        2 => visitor.send(&[0x30, 100, 0, 1]),
        _ => {}
    }
}

#[test]
fn coming_and_going_leaks_nothing_while_messages_flow() {
    let broker = Broker::quiet(QUIET);
    let (port, done) = (broker.port, AtomicBool::new(false));
    let mut receiver = client(port, "receiver");
    receiver.subscribe("flow", 1);
    receiver.subscribe("visitors/gone", 0);
    let mut sender = client(port, "sender");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut id = 0;
            while !done.load(Ordering::Relaxed) {
                id = id % 1000 + 1;
                sender.send(&publish_qos("flow", "x", 1, id));
                sender.expect(&puback(id));
            }
            sender.send(&publish("flow", "end", false));
        });
        scope.spawn(|| {
            loop {
                let packet = receiver.packet();
                match message(&packet) {
                    (0, b"flow", _) => break,
                    (0, ..) => {}
                    (id, ..) => receiver.send(&puback(id)),
                }
            }
        });
        let idle = descriptors(&broker);
        let mut settled = 0;
        for round in 0..3 {
            (0..400).for_each(|number| visit(port, number + round * 400));
            wait_until("the visitors are gone", || descriptors(&broker) <= idle);
            if round == 0 {
                settled = memory(&broker);
            }
        }
        done.store(true, Ordering::Relaxed);
        assert_grew_less(&broker, settled, 4 * 1024);
    });
}
