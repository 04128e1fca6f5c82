//! The client against a scripted server at the other end of a pipe.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::codec::{
    Ack, AckKind, ConnAck, Disconnect, Frame, Packet, Properties, Property, Publish, QoS,
    ReasonCode, Side, SubscriptionOptions, SubscriptionRequest, Version,
};

/// The server's end of the pipe.
struct Server {
    stream: DuplexStream,
    version: Version,
    input: Vec<u8>,
}

impl Server {
    fn new(version: Version) -> (DuplexStream, Self) {
        let (client, stream) = duplex(1 << 20);
        let input = Vec::new();
        (
            client,
            Self {
                stream,
                version,
                input,
            },
        )
    }

    async fn send(&mut self, packet: Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes);
        self.stream.write_all(&bytes).await.expect("written");
    }

    /// The next packet, as its debug text without the fields that don't
    /// matter here; empty at the end of the stream.
    async fn next(&mut self) -> String {
        loop {
            if let Some(frame) = Frame::split(&self.input, usize::MAX).expect("a frame") {
                let length = frame.bytes.len();
                let text =
                    describe(&Packet::decode(frame, self.version, Side::Client).expect("a packet"));
                self.input.drain(..length);
                return text;
            }
            if self.stream.read_buf(&mut self.input).await.expect("read") == 0 {
                return String::new();
            }
        }
    }

    async fn accept(&mut self, session_present: bool, properties: Properties<'_>) {
        assert!(self.next().await.starts_with("CONNECT"));
        let reason = ReasonCode::SUCCESS;
        self.send(Packet::ConnAck(ConnAck {
            session_present,
            reason,
            properties,
        }))
        .await;
    }

    async fn ack(&mut self, kind: AckKind, packet_id: u16, reason: ReasonCode) {
        let properties = Properties::new();
        self.send(Packet::Ack(
            kind,
            Ack {
                packet_id,
                reason,
                properties,
            },
        ))
        .await;
    }
}

fn describe(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(connect) => format!("CONNECT {}", connect.client_id),
        Packet::Publish(p) => format!(
            "PUBLISH d{} q{} m{} {} {}",
            u8::from(p.dup),
            p.qos as u8,
            p.packet_id,
            p.topic,
            String::from_utf8_lossy(p.payload)
        ),
        Packet::Ack(kind, ack) => format!("{kind:?} {} {}", ack.packet_id, ack.reason.0),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {}", disconnect.reason.0),
        Packet::PingReq => "PINGREQ".to_owned(),
        other => format!("{other:?}"),
    }
}

fn options(version: Version) -> ConnectOptions {
    ConnectOptions {
        version,
        client_id: "c".to_owned(),
        ..ConnectOptions::default()
    }
}

fn message(topic: &str, packet_id: u16, qos: QoS, dup: bool) -> Publish<'_> {
    Publish {
        dup,
        qos,
        retain: false,
        topic,
        packet_id,
        properties: Properties::new(),
        payload: b"x",
    }
}

async fn connected(version: Version, properties: Properties<'_>) -> (Client<DuplexStream>, Server) {
    let (stream, mut server) = Server::new(version);
    let options = options(version);
    let (client, ()) = tokio::join!(
        Client::connect(stream, &options),
        server.accept(false, properties)
    );
    (client.expect("accepted").0, server)
}

async fn reconnect(
    client: &mut Client<DuplexStream>,
    session_present: bool,
) -> (ConnAckInfo, Server) {
    let (stream, mut server) = Server::new(Version::V311);
    let (info, ()) = tokio::join!(
        client.open(stream),
        server.accept(session_present, Properties::new())
    );
    (info.expect("accepted"), server)
}

fn publish(client: &mut Client<DuplexStream>, payload: &[u8], qos: QoS) -> PublishId {
    client
        .publish("t", payload, qos, false, &Properties::new())
        .expect("taken")
}

#[test]
fn clients_and_their_futures_can_change_threads() {
    fn is_send<T: Send>(_: &T) {}
    let mut client: Client<DuplexStream> = Client::new(ConnectOptions::default());
    is_send(&client);
    is_send(&client.next_event());
}

#[tokio::test]
async fn a_refusal_tells_its_code() {
    for (version, code) in [(Version::V311, 5), (Version::V5, 0x87)] {
        let (stream, mut server) = Server::new(version);
        let options = options(version);
        let refuse = async {
            server.next().await;
            server
                .send(Packet::ConnAck(ConnAck {
                    session_present: false,
                    reason: ReasonCode(code),
                    properties: Properties::new(),
                }))
                .await;
        };
        let (result, ()) = tokio::join!(Client::connect(stream, &options), refuse);
        let Err(ConnectError::Refused { reason, .. }) = result else {
            panic!("not refused");
        };
        assert_eq!(reason, ReasonCode(code));
    }
}

#[tokio::test]
async fn the_receive_maximum_of_the_server_is_obeyed() {
    let properties = Properties::new().with(Property::ReceiveMaximum(1));
    let (mut client, mut server) = connected(Version::V5, properties).await;
    let first = publish(&mut client, b"1", QoS::AtLeastOnce);
    publish(&mut client, b"2", QoS::ExactlyOnce);
    client.flush().await.expect("written");
    assert_eq!(server.next().await, "PUBLISH d0 q1 m1 t 1");
    assert_eq!(client.unacknowledged(), 2);

    server
        .ack(AckKind::PubAck, 1, ReasonCode::NOT_AUTHORIZED)
        .await;
    let Event::Published { id, reason, .. } = client.next_event().await else {
        panic!("no acknowledgement");
    };
    assert_eq!((id, reason), (first, ReasonCode::NOT_AUTHORIZED));
    client.flush().await.expect("written");
    assert_eq!(server.next().await, "PUBLISH d0 q2 m2 t 2");
}

#[tokio::test]
async fn limits_of_the_server_refuse_messages() {
    let properties = Properties::new()
        .with(Property::MaximumPacketSize(20))
        .with(Property::MaximumQoS(1))
        .with(Property::RetainAvailable(0));
    let (mut client, _server) = connected(Version::V5, properties).await;
    let none = Properties::new();
    let mut publish =
        |topic, payload: &[u8], qos, retain| client.publish(topic, payload, qos, retain, &none);
    let at_most_once = QoS::AtMostOnce;
    assert_eq!(
        publish("t", &[0; 20], at_most_once, false),
        Err(RequestError::TooLarge)
    );
    assert_eq!(
        publish("t", b"", QoS::ExactlyOnce, false),
        Err(RequestError::QoSNotSupported)
    );
    assert_eq!(
        publish("t", b"", at_most_once, true),
        Err(RequestError::RetainNotSupported)
    );
    assert_eq!(
        publish("t/#", b"", at_most_once, false),
        Err(RequestError::InvalidTopic)
    );
    assert!(publish("t", &[0; 14], at_most_once, false).is_ok());
}

#[tokio::test]
async fn a_kept_session_sends_again_with_dup_and_finishes_qos_2() {
    let (mut client, mut server) = connected(Version::V311, Properties::new()).await;
    publish(&mut client, b"1", QoS::ExactlyOnce);
    publish(&mut client, b"2", QoS::ExactlyOnce);
    client.flush().await.expect("written");
    server.next().await;
    server.next().await;
    server.ack(AckKind::PubRec, 1, ReasonCode::SUCCESS).await;
    server.send(Packet::PingResp).await;
    drop(server);
    assert!(matches!(
        client.next_event().await,
        Event::Disconnected(DisconnectReason::Lost(_))
    ));

    let (info, mut server) = reconnect(&mut client, true).await;
    assert!(info.session_present && info.republished == 0);
    client.flush().await.expect("written");
    assert_eq!(server.next().await, "PubRel 1 0");
    assert_eq!(server.next().await, "PUBLISH d1 q2 m2 t 2");
    server.ack(AckKind::PubComp, 1, ReasonCode::SUCCESS).await;
    server.ack(AckKind::PubRec, 2, ReasonCode::SUCCESS).await;
    server.ack(AckKind::PubComp, 2, ReasonCode::SUCCESS).await;
    for expected in [PublishId(1), PublishId(2)] {
        let Event::Published { id, .. } = client.next_event().await else {
            panic!("no acknowledgement");
        };
        assert_eq!(id, expected);
    }
    assert_eq!(client.unacknowledged(), 0);
}

#[tokio::test]
async fn a_lost_session_publishes_again_as_new() {
    let (mut client, mut server) = connected(Version::V311, Properties::new()).await;
    publish(&mut client, b"1", QoS::ExactlyOnce);
    publish(&mut client, b"2", QoS::AtLeastOnce);
    client.flush().await.expect("written");
    server.next().await;
    server.next().await;
    server.ack(AckKind::PubRec, 1, ReasonCode::SUCCESS).await;
    drop(server);
    client.next_event().await;

    // A server may keep a message of QoS 2 to itself until it is released, so
    // that one that was not is lost with the session, too.
    let (info, mut server) = reconnect(&mut client, false).await;
    assert_eq!(info.republished, 2);
    client.flush().await.expect("written");
    assert_eq!(server.next().await, "PUBLISH d0 q2 m3 t 1");
    assert_eq!(server.next().await, "PUBLISH d0 q1 m4 t 2");
    server.ack(AckKind::PubAck, 4, ReasonCode::SUCCESS).await;
    server.ack(AckKind::PubRec, 3, ReasonCode::SUCCESS).await;
    server.ack(AckKind::PubComp, 3, ReasonCode::SUCCESS).await;
    for expected in [PublishId(2), PublishId(1)] {
        let Event::Published { id, .. } = client.next_event().await else {
            panic!("no acknowledgement");
        };
        assert_eq!(id, expected);
    }
    assert_eq!(client.unacknowledged(), 0);
}

#[tokio::test]
async fn a_message_of_qos_2_comes_once() {
    let (mut client, mut server) = connected(Version::V311, Properties::new()).await;
    for dup in [false, true, true] {
        let publish = message("t", 7, QoS::ExactlyOnce, dup);
        server.send(Packet::Publish(publish)).await;
    }
    server.ack(AckKind::PubRel, 7, ReasonCode::SUCCESS).await;
    server
        .send(Packet::Publish(message("end", 0, QoS::AtMostOnce, false)))
        .await;
    let mut topics = Vec::new();
    while topics.last().is_none_or(|topic| topic != "end") {
        if let Event::Message(message) = client.next_event().await {
            topics.push(message.topic);
        }
    }
    assert_eq!(topics, ["t", "end"]);
    client.flush().await.expect("written");
    for expected in ["PubRec 7 0", "PubRec 7 0", "PubRec 7 0", "PubComp 7 0"] {
        assert_eq!(server.next().await, expected);
    }
}

#[tokio::test]
async fn what_comes_after_the_end_stays_with_the_server() {
    let (mut client, mut server) = connected(Version::V311, Properties::new()).await;
    for id in [7, 8] {
        let publish = message("t", id, QoS::ExactlyOnce, false);
        server.send(Packet::Publish(publish)).await;
    }
    assert!(matches!(client.next_event().await, Event::Message(_)));
    server.ack(AckKind::PubRel, 7, ReasonCode::SUCCESS).await;
    client.release_received().await;
    client
        .disconnect(ReasonCode::SUCCESS, &Properties::new())
        .await
        .expect("written");
    for expected in ["PubRec 7 0", "PubComp 7 0", "DISCONNECT 0", ""] {
        assert_eq!(server.next().await, expected);
    }
}

#[tokio::test]
async fn topic_aliases_are_resolved() {
    let (stream, mut server) = Server::new(Version::V5);
    let options = ConnectOptions {
        properties: Properties::new().with(Property::TopicAliasMaximum(2)),
        ..options(Version::V5)
    };
    let (client, ()) = tokio::join!(
        Client::connect(stream, &options),
        server.accept(false, Properties::new())
    );
    let mut client = client.expect("accepted").0;
    for (topic, alias) in [("a", 1), ("", 1), ("", 2)] {
        let mut publish = message(topic, 0, QoS::AtMostOnce, false);
        publish.properties.push(Property::TopicAlias(alias));
        server.send(Packet::Publish(publish)).await;
    }
    for _ in 0..2 {
        assert!(matches!(client.next_event().await, Event::Message(m) if m.topic == "a"));
    }
    let Event::Disconnected(DisconnectReason::Protocol(error)) = client.next_event().await else {
        panic!("an unknown alias was taken");
    };
    assert_eq!(error.reason, ReasonCode::TOPIC_ALIAS_INVALID);
    assert_eq!(server.next().await, "DISCONNECT 148");
}

#[tokio::test(start_paused = true)]
async fn silence_is_asked_about_and_then_believed() {
    let (mut client, mut server) = connected(Version::V311, Properties::new()).await;
    let asked = async {
        assert_eq!(server.next().await, "PINGREQ");
        server.send(Packet::PingResp).await;
        assert_eq!(server.next().await, "PINGREQ");
        // No answer this time; keep the stream open.
        tokio::time::sleep(Duration::from_secs(120)).await;
    };
    let begin = tokio::time::Instant::now();
    tokio::select! {
        () = asked => panic!("the client went on"),
        event = client.next_event() => {
            assert!(matches!(
                event,
                Event::Disconnected(DisconnectReason::KeepAliveTimeout)
            ));
        }
    }
    assert_eq!(begin.elapsed().as_secs(), 180);
}

#[tokio::test]
async fn the_servers_goodbye_has_its_reason() {
    let (mut client, mut server) = connected(Version::V5, Properties::new()).await;
    server
        .send(Packet::Disconnect(Disconnect {
            reason: ReasonCode::SERVER_SHUTTING_DOWN,
            properties: Properties::new(),
        }))
        .await;
    let Event::Disconnected(DisconnectReason::ByServer { reason, .. }) = client.next_event().await
    else {
        panic!("no goodbye");
    };
    assert_eq!(reason, ReasonCode::SERVER_SHUTTING_DOWN);
    assert!(matches!(
        client.next_event().await,
        Event::Disconnected(DisconnectReason::NotConnected)
    ));
}

#[tokio::test]
async fn a_will_leaves_without_goodbye_before_mqtt_5() {
    for (version, goodbye) in [(Version::V311, ""), (Version::V5, "DISCONNECT 4")] {
        let (mut client, mut server) = connected(version, Properties::new()).await;
        client
            .disconnect(ReasonCode::DISCONNECT_WITH_WILL, &Properties::new())
            .await
            .expect("written");
        assert_eq!(server.next().await, goodbye);
    }
}

#[tokio::test]
async fn requests_need_a_connection_and_valid_filters() {
    let mut client: Client<DuplexStream> = Client::new(ConnectOptions::default());
    let none = Properties::new();
    let request = |filter| SubscriptionRequest {
        filter,
        options: SubscriptionOptions::default(),
    };
    assert_eq!(
        client.subscribe(&[request("a")], &none),
        Err(RequestError::NotConnected)
    );
    assert_eq!(
        client.subscribe(&[request("a#")], &none),
        Err(RequestError::InvalidTopic)
    );
    assert_eq!(
        client.unsubscribe(&["$share/g"], &none),
        Err(RequestError::InvalidTopic)
    );
    assert_eq!(
        client.publish("t", b"", QoS::AtMostOnce, false, &none),
        Err(RequestError::NotConnected)
    );
    assert!(
        client
            .publish("t", b"", QoS::AtLeastOnce, false, &none)
            .is_ok()
    );
}
