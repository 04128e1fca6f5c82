//! The library in somebody's program: `Broker::bind`, `start` or `run`, and
//! clients on links.

mod common;

use std::time::Duration;

use common::raw::{Connect, Raw, packet, text};
use moustique::auth;

use moustique::client::{Client, ConnectOptions, Event, Message};
use moustique::codec::{Properties, QoS, SubscriptionOptions, SubscriptionRequest};
use moustique::config::{Config, Sync};
use moustique::server::Link;
use moustique::transport::{Endpoint, connect};
use moustique::{Broker, Running};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

fn config() -> Config {
    let text = "listener 1883 127.0.0.1\nallow_anonymous false\nlog_dest none\n";
    let mut config = Config::parse(text, "test").unwrap();
    config.listeners[0].port = 0;
    config
}

fn start() -> Running {
    Broker::bind(config()).unwrap().start().unwrap()
}

async fn next_message(client: &mut Client<Link>) -> Message {
    loop {
        match timeout(PATIENCE, client.next_event())
            .await
            .expect("an event")
        {
            Event::Message(message) => return message,
            Event::Disconnected(reason) => panic!("{reason}"),
            _ => {}
        }
    }
}

async fn subscribe(client: &mut Client<Link>, filter: &str, qos: QoS) {
    let options = SubscriptionOptions {
        qos,
        ..SubscriptionOptions::default()
    };
    client
        .subscribe(
            &[SubscriptionRequest { filter, options }],
            &Properties::new(),
        )
        .unwrap();
    let answer = timeout(PATIENCE, client.next_event())
        .await
        .expect("an answer");
    assert!(matches!(answer, Event::SubAck { .. }), "{answer:?}");
}

#[tokio::test]
async fn links_are_full_sessions_at_every_qos() {
    let running = start();
    let mut publisher = running.link("publisher").await.unwrap();
    let mut subscriber = running.link("subscriber").await.unwrap();
    subscribe(&mut subscriber, "a/+", QoS::ExactlyOnce).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher
            .publish("a/b", b"hi", qos, false, &Properties::new())
            .unwrap();
        publisher.flush().await.unwrap();
        if qos != QoS::AtMostOnce {
            let done = timeout(PATIENCE, publisher.next_event())
                .await
                .expect("an end");
            assert!(matches!(done, Event::Published { .. }), "{done:?}");
        }
        let message = next_message(&mut subscriber).await;
        assert_eq!(
            (&*message.topic, &*message.payload, message.qos),
            ("a/b", &b"hi"[..], qos)
        );
    }
}

#[tokio::test]
async fn a_link_is_trusted_where_sockets_are_not() {
    let running = start();
    let address = running.addresses()[0];
    let endpoint = Endpoint::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
        bind: None,
    };
    let stream = connect(&endpoint.into()).await.unwrap();
    let refused = Client::connect(stream, &ConnectOptions::default()).await;
    assert!(refused.is_err(), "anonymous clients come in by links only");
    assert!(running.link("inside").await.is_ok());
}

#[tokio::test]
async fn a_session_on_links_survives_its_connection() {
    let running = start();
    let options = ConnectOptions {
        client_id: "keeper".into(),
        clean_start: false,
        ..ConnectOptions::default()
    };
    let links = running.links();
    let (mut keeper, first) = Client::connect(links.open(), &options).await.unwrap();
    assert!(!first.session_present);
    subscribe(&mut keeper, "kept", QoS::AtLeastOnce).await;
    drop(keeper);
    let mut publisher = links.link("publisher").await.unwrap();
    publisher
        .publish(
            "kept",
            b"for later",
            QoS::AtLeastOnce,
            false,
            &Properties::new(),
        )
        .unwrap();
    let done = timeout(PATIENCE, publisher.next_event())
        .await
        .expect("an end");
    assert!(matches!(done, Event::Published { .. }), "{done:?}");
    let (mut keeper, second) = Client::connect(links.open(), &options).await.unwrap();
    assert!(second.session_present);
    assert_eq!(&*next_message(&mut keeper).await.payload, b"for later");
}

#[tokio::test]
async fn a_broker_runs_in_the_callers_runtime_until_it_is_told_to_end() {
    let broker = Broker::bind(config()).unwrap();
    let links = broker.links();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = tokio::spawn(broker.run(async { stopped.await.unwrap_or_default() }));
    let mut client = links.link("client").await.unwrap();
    stop.send(()).unwrap();
    let end = timeout(PATIENCE, client.next_event())
        .await
        .expect("an end");
    assert!(matches!(end, Event::Disconnected(_)), "{end:?}");
    timeout(PATIENCE, run)
        .await
        .expect("the broker ends")
        .unwrap()
        .unwrap();
}

/// Where there are few cores, the program itself has a single worker.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn many_workers_lose_and_reorder_nothing() {
    const PAIRS: usize = 8;
    const MESSAGES: u32 = 300;
    let dir = tempfile::TempDir::new().unwrap();
    let mut config = config();
    config.persistence.enabled = true;
    config.persistence.location = Some(dir.path().into());
    config.persistence.sync = Sync::Never;
    let broker = Broker::bind(config).unwrap();
    let links = broker.links();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = tokio::spawn(broker.run(async { stopped.await.unwrap_or_default() }));
    let mut pairs = tokio::task::JoinSet::new();
    for pair in 0..PAIRS {
        let links = links.clone();
        pairs.spawn(async move {
            let options = ConnectOptions {
                client_id: format!("to {pair}"),
                clean_start: false,
                ..ConnectOptions::default()
            };
            let (mut to, _) = Client::connect(links.open(), &options).await.unwrap();
            let topic = format!("pair/{pair}");
            subscribe(&mut to, &topic, QoS::ExactlyOnce).await;
            let mut from = links.link(&format!("from {pair}")).await.unwrap();
            for number in 0..MESSAGES {
                let payload = number.to_be_bytes();
                from.publish(
                    &topic,
                    &payload,
                    QoS::ExactlyOnce,
                    false,
                    &Properties::new(),
                )
                .unwrap();
            }
            let sent = async {
                let mut done = 0;
                while done < MESSAGES {
                    done += u32::from(matches!(from.next_event().await, Event::Published { .. }));
                }
            };
            let received = async {
                for number in 0..MESSAGES {
                    let message = next_message(&mut to).await;
                    assert_eq!(&*message.payload, number.to_be_bytes(), "{topic}");
                }
                to.flush().await.unwrap();
            };
            tokio::join!(sent, received);
        });
    }
    while let Some(pair) = pairs.join_next().await {
        pair.unwrap();
    }
    stop.send(()).unwrap();
    timeout(PATIENCE, run)
        .await
        .expect("the broker ends")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_stopped_broker_frees_its_port() {
    let running = start();
    let address = running.addresses()[0];
    running.stop();
    std::net::TcpListener::bind(address).expect("the port is free");
}

// Enhanced authentication -----------------------------------------------------

/// A method of the test: the client says its name, is asked for the sum of two
/// numbers, and knows it.
struct Sums;

struct Sum {
    name: Option<String>,
}

impl auth::Method for Sums {
    fn name(&self) -> &'static str {
        "sums"
    }

    fn begin(&self, _: &auth::Client<'_>) -> Box<dyn auth::Exchange> {
        Box::new(Sum { name: None })
    }
}

impl auth::Exchange for Sum {
    fn step(&mut self, data: Option<&[u8]>) -> auth::Step {
        let said = data.map(|data| String::from_utf8_lossy(data).into_owned());
        match (&self.name, said) {
            (None, Some(name)) => {
                self.name = Some(name);
                auth::Step::Continue(b"20+22".to_vec())
            }
            (Some(name), Some(sum)) if sum == "42" => auth::Step::Accept {
                username: Some(name.clone()),
                data: Some(b"right".to_vec()),
            },
            (Some(_), Some(sum)) if sum == "panic" => panic!("a method of the test panics"),
            _ => auth::Step::Deny,
        }
    }
}

/// A broker that has the method, and rules for who came in by it.
fn with_sums() -> (Running, u16, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let acl = dir.path().join("acl");
    std::fs::write(&acl, "pattern write of/%u\n").unwrap();
    let mut config = config();
    config.listeners[0].security.acl_file = Some(acl);
    let broker = Broker::bind(config).unwrap().with_method(Sums);
    let running = broker.start().unwrap();
    let port = running.addresses()[0].port();
    (running, port, dir)
}

/// The properties of an authentication.
fn proof(method: &str, data: Option<&str>) -> Vec<u8> {
    let data = data.map(|data| [&[0x16], &*text(data)].concat());
    [&[0x15], &*text(method), &data.unwrap_or_default()].concat()
}

fn hello<'a>(id: &'a str, properties: &'a [u8]) -> Vec<u8> {
    let connect = Connect {
        version: 5,
        // What it claims here is not what it proves.
        user: Some("root"),
        properties,
        ..Connect::new(id)
    };
    connect.bytes()
}

fn auth_packet(reason: u8, method: &str, data: Option<&str>) -> Vec<u8> {
    let properties = proof(method, data);
    packet(0xF0, &[&[reason, properties.len() as u8], &properties])
}

const QUESTION: (u8, &str, Option<&str>) = (0x18, "sums", Some("20+22"));

#[track_caller]
fn expect_question(client: &mut Raw) {
    client.expect(&auth_packet(QUESTION.0, QUESTION.1, QUESTION.2));
}

/// A client that has proven to be ann.
fn ann(port: u16) -> Raw {
    let mut client = Raw::open(port);
    client.send(&hello("a", &proof("sums", Some("ann"))));
    expect_question(&mut client);
    client.send(&auth_packet(0x18, "sums", Some("42")));
    let connack = client.packet();
    assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:02x?}");
    let told = proof("sums", Some("right"));
    assert!(
        connack.windows(told.len()).any(|part| part == told),
        "{connack:02x?}"
    );
    client
}

#[test]
fn a_method_that_is_plugged_in_lets_clients_in() {
    let (_running, port, _dir) = with_sums();
    let mut ann = ann(port);
    for (topic, reason) in [("of/ann", 0x10), ("of/root", 0x87)] {
        ann.send(&packet(0x32, &[&text(topic), &[0, 7, 0], b"x"]));
        let answer = ann.packet();
        assert_eq!((answer[0], answer[4]), (0x40, reason), "{topic}");
    }
}

#[test]
fn who_cannot_prove_it_stays_out() {
    let (_running, port, _dir) = with_sums();
    for (answer, reason) in [
        (auth_packet(0x18, "sums", Some("41")), 0x87),
        (auth_packet(0x18, "sums", None), 0x87),
        (auth_packet(0x18, "sums", Some("panic")), 0x87),
        (auth_packet(0x18, "other", Some("42")), 0x82),
        (auth_packet(0x19, "sums", Some("42")), 0x82),
        (vec![0xC0, 0], 0x82),
        (vec![0xF0, 2, 0x18, 1], 0x81),
    ] {
        let mut client = Raw::open(port);
        client.send(&hello("a", &proof("sums", Some("ann"))));
        expect_question(&mut client);
        client.send(&answer);
        let connack = client.packet();
        assert_eq!(connack, [0x20, 3, 0, reason, 0], "{answer:02x?}");
        client.expect_end();
    }
    let mut client = Raw::open(port);
    client.send(&hello("a", &proof("sums", Some("ann"))));
    expect_question(&mut client);
    client.send(&[0xE0, 0]);
    client.expect_end();
    let mut client = Raw::open(port);
    client.send(&hello("a", &proof("sums", None)));
    client.expect(&[0x20, 3, 0, 0x87, 0]);
}

#[test]
fn a_method_that_nobody_plugged_in_is_refused() {
    let (_running, port, _dir) = with_sums();
    let plain = start();
    for (port, method) in [(port, "SUMS"), (plain.addresses()[0].port(), "sums")] {
        let mut client = Raw::open(port);
        client.send(&hello("a", &proof(method, Some("ann"))));
        client.expect(&[0x20, 3, 0, 0x8C, 0]);
        client.expect_end();
    }
}

#[test]
fn a_client_proves_again_who_it_is_while_messages_go_on() {
    let (_running, port, _dir) = with_sums();
    let mut ann = ann(port);
    for _ in 0..3 {
        ann.send(&auth_packet(0x19, "sums", Some("ann")));
        expect_question(&mut ann);
        ann.send(&[0xC0, 0]);
        ann.expect(&[0xD0, 0]);
        ann.send(&auth_packet(0x18, "sums", Some("42")));
        ann.expect(&auth_packet(0x00, "sums", Some("right")));
    }
}

#[test]
fn a_client_that_fails_to_prove_it_again_is_disconnected() {
    let (_running, port, _dir) = with_sums();
    // What it sends, each after the answer to the one before; then how it ends.
    for (packets, reason) in [
        (
            &[(0x19, "sums", Some("ann")), (0x18, "sums", Some("41"))][..],
            0x87,
        ),
        (
            &[(0x19, "sums", Some("eve")), (0x18, "sums", Some("42"))],
            0x87,
        ),
        (
            &[(0x19, "sums", Some("ann")), (0x18, "sums", Some("panic"))],
            0x87,
        ),
        (
            &[(0x19, "sums", Some("ann")), (0x19, "sums", Some("ann"))],
            0x82,
        ),
        (&[(0x19, "other", Some("ann"))], 0x82),
        (&[(0x18, "sums", Some("42"))], 0x82),
        (&[(0x00, "sums", None)], 0x82),
    ] {
        let mut ann = ann(port);
        for (index, (code, method, data)) in packets.iter().enumerate() {
            if index > 0 {
                expect_question(&mut ann);
            }
            ann.send(&auth_packet(*code, method, *data));
        }
        ann.expect(&[0xE0, 1, reason]);
        ann.expect_end();
    }
}

#[test]
fn auth_without_a_method_is_a_protocol_error() {
    let mut config = config();
    config.listeners[0].security.allow_anonymous = true;
    let running = Broker::bind(config).unwrap().with_method(Sums);
    let running = running.start().unwrap();
    let connect = Connect {
        version: 5,
        ..Connect::new("a")
    };
    let (mut client, _) = Raw::client(running.addresses()[0].port(), &connect);
    client.send(&auth_packet(0x19, "sums", Some("ann")));
    client.expect(&[0xE0, 1, 0x82]);
    client.expect_end();
}
