//! The broker is killed at random moments while clients publish, subscribe,
//! come and go: what was acknowledged is there after the next start, and QoS 2
//! comes exactly once.
//!
//! `MOUSTIQUE_CRASH_ROUNDS` says how often it is killed, `MOUSTIQUE_CRASH_SEED`
//! when.

#[path = "../common/mod.rs"]
mod common;

mod power;
mod publisher;
mod restless;
mod subscriber;

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use common::broker::{Broker, Setup};
use common::power::{Random, number};
use common::raw::{Connect, Raw};
use common::tap::packet_length;
use publisher::Publisher;
use restless::Restless;
use subscriber::Subscriber;

/// How long an answer may take on a machine that does a lot else.
const PATIENCE: Duration = Duration::from_secs(120);

/// More acknowledgements than that are not awaited before the broker is killed.
const LONGEST_LIFE: u64 = 400;

/// What each broker in turn does about the disk; `kill -9` loses nothing in any
/// of them.
const SYNC: [&str; 3] = ["always", "interval 1", "never"];

fn conf(sync: &str) -> String {
    format!(
        "listener {{port}}\nallow_anonymous true\npersistence true\n\
         persistence_location {{dir}}\npersistence_sync {sync}\n\
         max_queued_messages 0\nmax_inflight_messages 500\n"
    )
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    if common::oracle_differs("it acknowledges first and stores later") {
        return;
    }
    let (rounds, seed) = (
        number("MOUSTIQUE_CRASH_ROUNDS", 16),
        number("MOUSTIQUE_CRASH_SEED", 1),
    );
    let mut random = Random(seed);
    let mut clients = Clients::new();
    let mut setup = Setup::new();
    for round in 0..rounds {
        let broker = start(setup, round);
        if round == 0 {
            clients.arrive(broker.port);
        }
        clients.look(broker.port);
        let life = random.below(LONGEST_LIFE);
        println!("seed {seed}, round {round}: killed after {life} acknowledgements");
        setup = clients.work_until_killed(broker, life, random.below(u64::MAX));
    }
    let broker = start(setup, 0);
    clients.look(broker.port);
    clients.finish(broker.port);
}

fn start(setup: Setup, round: u64) -> Broker {
    let sync = SYNC[round as usize % SYNC.len()];
    let command = setup.quiet_command(&conf(sync));
    setup.start_command(command)
}

/// All who take part.
struct Clients {
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    /// This one stays away until the end.
    absent: Subscriber,
    restless: Restless,
}

impl Clients {
    fn new() -> Self {
        Self {
            publishers: vec![
                Publisher::new("two", 2),
                Publisher::new("twice", 2),
                Publisher::new("one", 1),
                Publisher::retaining("last", 1),
            ],
            subscribers: vec![
                Subscriber::new("stays", 2, None),
                Subscriber::new("comes and goes", 2, Some(60)),
                Subscriber::new("takes repeats", 1, Some(90)),
            ],
            absent: Subscriber::new("absent", 2, None),
            restless: Restless::new(),
        }
    }

    /// The subscribers are there before the first message.
    fn arrive(&mut self, port: u16) {
        for subscriber in self.subscribers.iter_mut().chain([&mut self.absent]) {
            subscriber.subscribe(port).expect("a broker that lives");
        }
    }

    /// What a broker that has just started knows of retained messages.
    fn look(&self, port: u16) {
        for publisher in &self.publishers {
            publisher.check_retained(port);
        }
    }

    /// Works until the broker is killed after so many acknowledgements.
    fn work_until_killed(&mut self, broker: Broker, life: u64, seed: u64) -> Setup {
        let port = broker.port;
        let (progress, acknowledged) = channel();
        thread::scope(|scope| {
            for publisher in &mut self.publishers {
                let progress = progress.clone();
                scope.spawn(move || publisher.work(port, &progress));
            }
            for (index, subscriber) in self.subscribers.iter_mut().enumerate() {
                let random = Random(seed.wrapping_add(index as u64));
                scope.spawn(move || subscriber.work(port, random));
            }
            let restless = &mut self.restless;
            scope.spawn(move || restless.work(port, Random(!seed)));
            wait_for(&acknowledged, life);
            broker.kill()
        })
    }

    /// All flows come to their end; then everybody has everything.
    fn finish(&mut self, port: u16) {
        let Self {
            publishers,
            subscribers,
            absent,
            restless,
        } = self;
        for publisher in &mut *publishers {
            publisher.finish(port).expect("a broker that lives");
        }
        publisher::publish_once(port, "load/end", "end 0");
        for subscriber in subscribers.iter_mut().chain([absent]) {
            subscriber.finish(port).expect("a broker that lives");
            for publisher in &*publishers {
                subscriber.check(publisher.name(), publisher.published());
            }
        }
        restless.check(port);
    }
}

/// Waits for so many acknowledgements.
fn wait_for(acknowledged: &Receiver<()>, count: u64) {
    for _ in 0..count {
        acknowledged
            .recv_timeout(PATIENCE)
            .expect("the publishers get on");
    }
}

/// Takes a durable session up. `known`: its CONNACK came once.
fn resume(port: u16, id: &str, known: &mut bool) -> Result<Raw> {
    let connect = Connect {
        clean: false,
        keep_alive: 0,
        ..Connect::new(id)
    };
    let mut raw = Raw::adopt(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?);
    raw.try_send(&connect.bytes())?;
    let answer = next(&mut raw)?;
    assert_eq!((answer[0], answer[3]), (0x20, 0), "{id}: {answer:02x?}");
    let present = answer[2] & 1 == 1;
    assert!(present || !*known, "{id}: the session is gone");
    *known = true;
    Ok(raw)
}

/// The next whole packet.
///
/// # Errors
/// The broker has ended.
fn next(raw: &mut Raw) -> Result<Vec<u8>> {
    let packet = raw.packet_or_end(PATIENCE)?;
    packet
        .filter(|packet| packet_length(packet) == Some(packet.len()))
        .ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))
}

/// The packet identifier behind a header of two bytes.
fn packet_id(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

/// An acknowledgement.
fn ack(first: u8, id: u16) -> Vec<u8> {
    common::raw::packet(first, &[&id.to_be_bytes()])
}

/// Tells of an acknowledgement; nobody may listen any more.
fn tell(progress: &Sender<()>) {
    let _ = progress.send(());
}
