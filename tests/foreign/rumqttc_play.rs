//! What each version of rumqttc plays. They are alike but share no type, so
//! this file is a module of both, with the types of whoever includes it.

use super::{Client, Event, LastWill, MqttOptions, NAME, Packet, QoS, set_session, will};
use crate::common::TIMEOUT;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What a client noticed.
#[derive(Debug, PartialEq)]
enum Seen {
    Connected {
        session_present: bool,
    },
    Granted,
    Acknowledged,
    Message {
        topic: String,
        payload: String,
        qos: u8,
        retain: bool,
    },
}

struct Peer {
    client: Client,
    seen: Receiver<Seen>,
    vanish: Arc<AtomicBool>,
    driver: JoinHandle<()>,
}

fn connect(port: u16, name: &str, keep: bool, with_will: bool) -> (Peer, bool) {
    let id = format!("{NAME}-{name}");
    let mut options = MqttOptions::new(id, "localhost", port);
    set_session(&mut options, keep);
    if with_will {
        let will: LastWill = will(&format!("{NAME}/will"));
        options.set_last_will(will);
    }
    let (client, mut connection) = Client::new(options, 10);
    let (sender, seen) = channel();
    let vanish = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&vanish);
    let driver = thread::spawn(move || {
        // A time limit that passes while rumqttc connects makes it connect
        // again, so that there is none before CONNACK.
        let mut patience = TIMEOUT;
        while !stop.load(Ordering::Relaxed) {
            match connection.recv_timeout(patience) {
                Err(_nothing_yet) => {}
                Ok(Ok(Event::Incoming(packet))) => {
                    patience = Duration::from_millis(20);
                    if let Some(seen) = translate(packet) {
                        let _ = sender.send(seen);
                    }
                }
                Ok(Ok(Event::Outgoing(_))) => {}
                Ok(Err(_ended)) => break,
            }
        }
    });
    let peer = Peer {
        client,
        seen,
        vanish,
        driver,
    };
    match peer.next() {
        Seen::Connected { session_present } => (peer, session_present),
        other => panic!("before CONNACK: {other:?}"),
    }
}

fn translate(packet: Packet) -> Option<Seen> {
    Some(match packet {
        Packet::ConnAck(ack) => Seen::Connected {
            session_present: ack.session_present,
        },
        Packet::SubAck(_) => Seen::Granted,
        Packet::PubAck(_) | Packet::PubComp(_) => Seen::Acknowledged,
        Packet::Publish(publish) => Seen::Message {
            topic: String::from_utf8_lossy(publish.topic.as_ref()).into_owned(),
            payload: String::from_utf8_lossy(&publish.payload).into_owned(),
            qos: publish.qos as u8,
            retain: publish.retain,
        },
        _ => return None,
    })
}

fn level(qos: u8) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(qos)]
}

impl Peer {
    fn next(&self) -> Seen {
        self.seen.recv_timeout(TIMEOUT).expect("a packet in time")
    }

    fn subscribe(&self, filter: &str, qos: u8) {
        self.client
            .subscribe(filter, level(qos))
            .expect("subscribing");
        assert_eq!(self.next(), Seen::Granted);
    }

    fn publish(&self, topic: &str, payload: &str, qos: u8, retain: bool) {
        self.client
            .publish(topic, level(qos), retain, payload.to_owned())
            .expect("publishing");
        if qos > 0 {
            assert_eq!(self.next(), Seen::Acknowledged);
        }
    }

    #[track_caller]
    fn expect(&self, topic: &str, payload: &str, qos: u8, retain: bool) {
        let (topic, payload) = (topic.to_owned(), payload.to_owned());
        let expected = Seen::Message {
            topic,
            payload,
            qos,
            retain,
        };
        assert_eq!(self.next(), expected);
    }

    fn leave(self) {
        self.client.disconnect().expect("disconnecting");
        self.driver.join().expect("the client's thread");
    }

    /// Closes the connection without DISCONNECT.
    fn vanish(self) {
        self.vanish.store(true, Ordering::Relaxed);
        self.driver.join().expect("the client's thread");
    }
}

/// A message of each QoS that is acknowledged: for brokers that can do no more.
#[allow(dead_code)] // whoever includes this plays one or the other
pub(crate) fn exchange(port: u16) {
    let join = |name: &str| connect(port, name, false, false).0;
    let (receiver, sender) = (join("receiver"), join("sender"));
    for qos in 1..=2 {
        let topic = format!("{NAME}/{qos}");
        receiver.subscribe(&topic, qos);
        sender.publish(&topic, "é", qos, false);
        receiver.expect(&topic, "é", qos, false);
    }
    receiver.leave();
    sender.leave();
}

/// QoS both ways, retained messages, the will, a persistent session.
pub(crate) fn play(port: u16) {
    let join = |name: &str| connect(port, name, false, false).0;
    let topic = |last: &str| format!("{NAME}/{last}");

    let (receiver, sender) = (join("receiver"), join("sender"));
    for granted in 0..=2 {
        receiver.subscribe(&topic("qos"), granted);
        for sent in 0..=2 {
            sender.publish(&topic("qos"), "é", sent, false);
            receiver.expect(&topic("qos"), "é", granted.min(sent), false);
        }
    }
    receiver.leave();

    sender.publish(&topic("kept"), "kept", 1, true);
    let first = join("first");
    first.subscribe(&topic("kept"), 1);
    first.expect(&topic("kept"), "kept", 1, true);
    sender.publish(&topic("kept"), "", 1, true);
    first.expect(&topic("kept"), "", 1, false);
    first.leave();
    let second = join("second");
    second.subscribe(&topic("kept"), 1);
    sender.publish(&topic("kept"), "live", 1, false);
    second.expect(&topic("kept"), "live", 1, false);
    second.leave();

    let heir = join("heir");
    heir.subscribe(&topic("will"), 1);
    connect(port, "polite", false, true).0.leave();
    sender.publish(&topic("will"), "no will before this", 1, false);
    heir.expect(&topic("will"), "no will before this", 1, false);
    connect(port, "vanishing", false, true).0.vanish();
    heir.expect(&topic("will"), "gone", 1, false);
    heir.leave();

    let (keeper, present) = connect(port, "keeper", true, false);
    assert!(!present);
    keeper.subscribe(&topic("session"), 2);
    keeper.leave();
    for number in 0..6 {
        sender.publish(
            &topic("session"),
            &number.to_string(),
            1 + number / 3,
            false,
        );
    }
    let (keeper, present) = connect(port, "keeper", true, false);
    assert!(present);
    for number in 0..6 {
        keeper.expect(
            &topic("session"),
            &number.to_string(),
            1 + number / 3,
            false,
        );
    }
    keeper.leave();
    assert!(!connect(port, "keeper", false, false).1);
    sender.leave();
}
