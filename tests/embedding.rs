//! The library in somebody's program: `Broker::bind`, `start` or `run`, and
//! clients on links.

use std::time::Duration;

use moustique::client::{Client, ConnectOptions, Event, Message};
use moustique::codec::{Properties, QoS, SubscriptionOptions, SubscriptionRequest};
use moustique::config::Config;
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

#[tokio::test]
async fn a_stopped_broker_frees_its_port() {
    let running = start();
    let address = running.addresses()[0];
    running.stop();
    std::net::TcpListener::bind(address).expect("the port is free");
}
