//! The core alone, without sockets: what codec and routing cost for a message.
//! A fixed amount of work, for a profiler that counts instructions: they stay
//! the same however busy the machine is.
//!
//!     cargo bench --bench core                              nanoseconds, roughly
//!     valgrind --tool=callgrind --toggle-collect='*measured*' \
//!         target/release/deps/core-… --bench 'QoS 1, 1 to 1'
//!
//! What callgrind says that it collected, divided by the messages delivered that
//! the program prints, is the cost of one: decoding, routing, the outbox, and at
//! QoS 1 both acknowledgements. The clients' own work isn't in it.

use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moustique::broker::{Batch, ConnectionId, Core, Decision, Policy, Settings};
use moustique::codec::{Connect, Frame, Packet, Properties, Publish, QoS, Version};
use moustique::codec::{Subscribe, SubscriptionOptions, SubscriptionRequest};

/// Messages that a publisher sends with one write, and how often it does.
const WINDOW: usize = 100;
const ROUNDS: usize = 200;

const VERSION: Version = Version::V311;

struct Row {
    name: &'static str,
    publishers: usize,
    subscribers: usize,
    qos: QoS,
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "QoS 0, 1 to 1", publishers: 1, subscribers: 1, qos: QoS::AtMostOnce },
    Row { name: "QoS 1, 1 to 1", publishers: 1, subscribers: 1, qos: QoS::AtLeastOnce },
    Row { name: "QoS 2, 1 to 1", publishers: 1, subscribers: 1, qos: QoS::ExactlyOnce },
    Row { name: "QoS 0, 1 to 50", publishers: 1, subscribers: 50, qos: QoS::AtMostOnce },
    Row { name: "QoS 1, 1 to 50", publishers: 1, subscribers: 50, qos: QoS::AtLeastOnce },
    Row { name: "QoS 0, 50 to 1", publishers: 50, subscribers: 1, qos: QoS::AtMostOnce },
];

fn main() {
    let mut words = env::args().skip(1);
    // Cargo says `--bench` to what it runs for `cargo bench`, and only then.
    if words.next().as_deref() != Some("--bench") {
        return;
    }
    let filters: Vec<_> = words.collect();
    let wanted = |row: &&Row| filters.is_empty() || filters.iter().any(|f| row.name.contains(f));
    for row in ROWS.iter().filter(wanted) {
        let (delivered, time) = run(row);
        let each = time.as_nanos() as f64 / delivered as f64;
        println!(
            "{}: {delivered} messages delivered, {each:.0} ns each",
            row.name
        );
    }
}

/// How many messages were delivered, and how long the broker took for them.
fn run(row: &Row) -> (usize, Duration) {
    let mut broker = Broker::new();
    let subscribers: Vec<_> = (0..row.subscribers)
        .map(|number| broker.connect(&format!("subscriber-{number}"), Some(row.qos)))
        .collect();
    let publishers: Vec<_> = (0..row.publishers)
        .map(|number| broker.connect(&format!("publisher-{number}"), None))
        .collect();
    (broker.time, broker.delivered) = (Duration::ZERO, 0);
    let payload = [b'.'; 64];
    let publications: Vec<_> = (0..row.publishers)
        .map(|number| {
            let topic = format!("bench/{number}");
            let mut bytes = Vec::new();
            for packet_id in 1..=WINDOW as u16 {
                let publish = Publish {
                    dup: false,
                    qos: row.qos,
                    retain: false,
                    topic: &topic,
                    packet_id,
                    properties: Properties::new(),
                    payload: &payload,
                };
                Packet::Publish(publish).encode(VERSION, &mut bytes);
            }
            bytes
        })
        .collect();
    for _ in 0..ROUNDS {
        for (publisher, bytes) in publishers.iter().zip(&publications) {
            broker.bring(*publisher, bytes);
            broker.settle();
        }
    }
    let expected = ROUNDS * WINDOW * publishers.len() * subscribers.len();
    assert_eq!(broker.delivered, expected, "messages were lost");
    (broker.delivered, broker.time)
}

struct Broker {
    core: Core,
    time: Duration,
    delivered: usize,
}

impl Broker {
    fn new() -> Self {
        let settings = Settings {
            sys_interval: 0,
            max_inflight_messages: 1000,
            max_queued_messages: usize::MAX,
            ..Settings::default()
        };
        Self {
            core: Core::new(settings, 0),
            time: Duration::ZERO,
            delivered: 0,
        }
    }

    fn connect(&mut self, client_id: &str, subscription: Option<QoS>) -> ConnectionId {
        let id = self.core.open(0, Arc::new(Policy::default()), "nowhere");
        let connect = Connect {
            version: VERSION,
            bridge: false,
            clean_start: true,
            keep_alive: 0,
            client_id,
            will: None,
            username: None,
            password: None,
            properties: Properties::new(),
        };
        self.core.connect(0, id, &connect, Decision::Allowed, 0);
        if let Some(qos) = subscription {
            let subscribe = Subscribe {
                packet_id: 1,
                properties: Properties::new(),
                requests: vec![SubscriptionRequest {
                    filter: "bench/+",
                    options: SubscriptionOptions {
                        qos,
                        ..SubscriptionOptions::default()
                    },
                }],
            };
            let mut bytes = Vec::new();
            Packet::Subscribe(subscribe).encode(VERSION, &mut bytes);
            self.bring(id, &bytes);
        }
        self.settle();
        id
    }

    /// One read of a connection: its bytes to the core.
    fn bring(&mut self, id: ConnectionId, bytes: &[u8]) {
        let began = Instant::now();
        measured_receive(&mut self.core, id, bytes);
        self.time += began.elapsed();
    }

    /// Empties the outboxes, and lets the clients answer, until all is quiet.
    fn settle(&mut self) {
        loop {
            let woken: Vec<_> = self.core.effects().wake.drain(..).collect();
            if woken.is_empty() {
                return;
            }
            for id in woken {
                let began = Instant::now();
                let bytes = measured_take(&mut self.core, id);
                self.time += began.elapsed();
                let answers = self.answer(&bytes);
                self.core.give_back(bytes);
                if !answers.is_empty() {
                    self.bring(id, &answers);
                }
            }
        }
    }

    fn answer(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut answers = Vec::new();
        while let Ok(Some(frame)) = Frame::split(bytes, usize::MAX) {
            let body = frame.body();
            let kind = match frame.first_byte() >> 1 {
                0x18 => None,
                0x19 => Some(0x40),
                0x1A => Some(0x50),
                0x28 => Some(0x62),
                0x31 => Some(0x70),
                _ => None,
            };
            let is_publish = frame.first_byte() >> 4 == 3;
            self.delivered += usize::from(is_publish);
            if let Some(kind) = kind {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let at = if is_publish { 2 + topic } else { 0 };
                answers.extend_from_slice(&[kind, 2, body[at], body[at + 1]]);
            }
            bytes = &bytes[frame.bytes.len()..];
        }
        answers
    }
}

#[inline(never)]
fn measured_receive(core: &mut Core, id: ConnectionId, bytes: &[u8]) {
    let batch = Batch::decode(bytes, VERSION, u32::MAX);
    core.receive(0, id, &batch);
}

#[inline(never)]
fn measured_take(core: &mut Core, id: ConnectionId) -> Vec<u8> {
    core.take(0, id).map_or_else(Vec::new, |work| work.bytes)
}
