//! A broker in memory: clients speak bytes to it, and read what it answers as
//! one line of text a packet.

use std::sync::Arc;

use crate::broker::{
    Batch, ConnectionId, Core, Decision, Ended, Millis, Policy, Settings, Work,
    publication::MessageProperties, subscriptions::SubscriptionKey,
};
use crate::codec::{
    Ack, AckKind, Connect, Disconnect, Frame, Packet, Properties, Property, Publish, QoS,
    ReasonCode, Side, Subscribe, SubscriptionOptions, SubscriptionRequest, Unsubscribe, Version,
    Will,
};

pub(super) use QoS::{AtLeastOnce as Q1, AtMostOnce as Q0, ExactlyOnce as Q2};
pub(super) use Version::{V5, V31, V311};

pub(super) const VERSIONS: [Version; 3] = [V31, V311, V5];

/// A connection, as its client sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) id: ConnectionId,
    pub(super) version: Version,
}

/// The broker and its clock.
pub(super) struct World {
    pub(super) core: Core,
    pub(super) now: Millis,
    pub(super) policy: Policy,
    nonce: u128,
}

/// A CONNECT of a client that wants nothing in particular.
pub(super) fn hello(version: Version, client_id: &str) -> Connect<'_> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 0,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: Properties::new(),
    }
}

/// The same of a client whose session outlives its connection.
pub(super) fn lasting(version: Version, client_id: &str) -> Connect<'_> {
    let mut properties = Properties::new();
    if version == V5 {
        properties.push(Property::SessionExpiryInterval(u32::MAX));
    }
    Connect {
        clean_start: false,
        properties,
        ..hello(version, client_id)
    }
}

/// The same with a property.
pub(super) fn with<'a>(mut connect: Connect<'a>, property: Property<'_>) -> Connect<'a> {
    connect.properties.push(property);
    connect
}

pub(super) fn will<'a>(topic: &'a str, payload: &'a str) -> Will<'a> {
    Will {
        topic,
        payload: payload.as_bytes(),
        qos: Q0,
        retain: false,
        properties: Properties::new(),
    }
}

/// A PUBLISH; identifier 7 above QoS 0.
pub(super) fn message<'a>(topic: &'a str, payload: &'a str, qos: QoS) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id: if qos == Q0 { 0 } else { 7 },
        properties: Properties::new(),
        payload: payload.as_bytes(),
    }
}

pub(super) fn retained<'a>(topic: &'a str, payload: &'a str, qos: QoS) -> Publish<'a> {
    Publish {
        retain: true,
        ..message(topic, payload, qos)
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A broker without `$SYS`, with other settings.
    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            sys_interval: 0,
            ..Settings::default()
        };
        change(&mut settings);
        Self {
            core: Core::new(settings, 0),
            now: 0,
            policy: Policy::default(),
            nonce: 0,
        }
    }

    /// Lets time pass, with everything that becomes due on the way.
    pub(super) fn pass(&mut self, time: Millis) {
        let end = self.now + time;
        while let Some(deadline) = self.core.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            self.core.tick(self.now);
        }
        self.now = end;
    }

    pub(super) fn open(&mut self) -> ConnectionId {
        let policy = Arc::new(self.policy.clone());
        self.core.open(self.now, policy, "test")
    }

    /// Connects and gives the answer.
    pub(super) fn try_connect(&mut self, connect: &Connect<'_>) -> (Client, Vec<String>) {
        let client = self.introduce(connect, Decision::Allowed);
        let answer = self.read(client);
        (client, answer)
    }

    /// Sends a CONNECT and doesn't read the answer.
    pub(super) fn introduce(&mut self, connect: &Connect<'_>, decision: Decision) -> Client {
        let id = self.open();
        let mut bytes = Vec::new();
        Packet::Connect(Box::new(connect.clone())).encode(connect.version, &mut bytes);
        let frame = Frame::split(&bytes, usize::MAX).unwrap().unwrap();
        let connect = Connect::decode(frame).unwrap();
        self.nonce += 1;
        self.core
            .connect(self.now, id, &connect, decision, self.nonce);
        Client {
            id,
            version: connect.version,
        }
    }

    /// Connects; what comes behind CONNACK stays unread.
    #[track_caller]
    pub(super) fn connect(&mut self, connect: &Connect<'_>) -> Client {
        let (client, answer) = self.try_connect(connect);
        assert!(answer[0].starts_with("CONNACK"), "{answer:?}");
        assert!(answer[0].contains(" 0x00"), "{answer:?}");
        assert_eq!(answer.len(), 1, "{answer:?}");
        client
    }

    /// Connects with [`hello`].
    #[track_caller]
    pub(super) fn client(&mut self, version: Version, client_id: &str) -> Client {
        self.connect(&hello(version, client_id))
    }

    pub(super) fn send(&mut self, client: Client, packet: &Packet<'_>) {
        self.send_all(client, std::slice::from_ref(packet));
    }

    /// Sends packets that arrive in one read.
    pub(super) fn send_all(&mut self, client: Client, packets: &[Packet<'_>]) {
        let mut bytes = Vec::new();
        for packet in packets {
            packet.encode(client.version, &mut bytes);
        }
        self.send_bytes(client, &bytes);
    }

    pub(super) fn send_bytes(&mut self, client: Client, bytes: &[u8]) {
        let batch = Batch::decode(bytes, client.version, 2_000_000);
        self.core.receive(self.now, client.id, &batch);
    }

    pub(super) fn publish(&mut self, client: Client, publish: &Publish<'_>) {
        self.send(client, &Packet::Publish(publish.clone()));
    }

    /// Publishes and takes the acknowledgements on the way.
    #[track_caller]
    pub(super) fn publish_fully(&mut self, client: Client, publish: &Publish<'_>) {
        self.publish(client, publish);
        match publish.qos {
            Q0 => {}
            Q1 => assert!(self.read(client)[0].starts_with("PUBACK")),
            Q2 => {
                assert!(self.read(client)[0].starts_with("PUBREC"));
                self.ack(client, AckKind::PubRel, publish.packet_id);
                assert!(self.read(client)[0].starts_with("PUBCOMP"));
            }
        }
    }

    /// Publishes what no client sent.
    pub(super) fn inject(&mut self, topic: &str, payload: &str, qos: QoS) {
        let none = MessageProperties::default();
        let payload = payload.as_bytes();
        self.core
            .publish_own(None, topic, payload, qos, false, &none);
    }

    pub(super) fn ack(&mut self, client: Client, kind: AckKind, packet_id: u16) {
        self.ack_with(client, kind, packet_id, ReasonCode::SUCCESS);
    }

    pub(super) fn ack_with(
        &mut self,
        client: Client,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
    ) {
        let properties = Properties::new();
        let ack = Ack {
            packet_id,
            reason,
            properties,
        };
        self.send(client, &Packet::Ack(kind, ack));
    }

    pub(super) fn send_subscribe(
        &mut self,
        client: Client,
        requests: &[(&str, SubscriptionOptions)],
        identifier: Option<u32>,
    ) {
        let mut properties = Properties::new();
        if let Some(identifier) = identifier {
            properties.push(Property::SubscriptionIdentifier(identifier));
        }
        let requests = requests
            .iter()
            .map(|&(filter, options)| SubscriptionRequest { filter, options })
            .collect();
        let subscribe = Subscribe {
            packet_id: 1,
            properties,
            requests,
        };
        self.send(client, &Packet::Subscribe(subscribe));
    }

    /// Subscribes, and gives what comes behind SUBACK.
    #[track_caller]
    pub(super) fn subscribe_with(
        &mut self,
        client: Client,
        filter: &str,
        options: SubscriptionOptions,
        identifier: Option<u32>,
    ) -> Vec<String> {
        self.send_subscribe(client, &[(filter, options)], identifier);
        let mut answer = self.read(client);
        let suback = answer.remove(0);
        assert_eq!(suback, format!("SUBACK m1 [{}]", options.qos as u8));
        answer
    }

    #[track_caller]
    pub(super) fn subscribe(&mut self, client: Client, filter: &str, qos: QoS) -> Vec<String> {
        self.subscribe_with(client, filter, options(qos), None)
    }

    pub(super) fn unsubscribe(&mut self, client: Client, filter: &str) {
        let unsubscribe = Unsubscribe {
            packet_id: 2,
            properties: Properties::new(),
            filters: vec![filter],
        };
        self.send(client, &Packet::Unsubscribe(unsubscribe));
    }

    /// DISCONNECT, and the end of the connection.
    pub(super) fn disconnect(&mut self, client: Client) {
        self.disconnect_with(client, ReasonCode::SUCCESS, Properties::new());
    }

    pub(super) fn disconnect_with(
        &mut self,
        client: Client,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) {
        self.send(
            client,
            &Packet::Disconnect(Disconnect { reason, properties }),
        );
        self.cut(client);
    }

    /// The network connection is gone without a word.
    pub(super) fn cut(&mut self, client: Client) {
        self.core.closed(self.now, client.id, &Ended::ByClient);
    }

    /// All that the client can read now. `END`: the broker ends the connection.
    #[track_caller]
    pub(super) fn read(&mut self, client: Client) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(work) = self.take(client) {
            lines.extend(packets(client.version, &work.bytes).iter().map(show));
            if work.close {
                lines.push("END".into());
                self.cut(client);
            }
            if !work.more {
                break;
            }
        }
        lines
    }

    /// One outbox, as the shell takes it.
    pub(super) fn take(&mut self, client: Client) -> Option<Work> {
        self.core.take(self.now, client.id)
    }

    /// The lines of the log since the last call.
    pub(super) fn log(&mut self) -> Vec<String> {
        let log = std::mem::take(&mut self.core.effects().log);
        log.into_iter().map(|(_, line)| line).collect()
    }

    /// Whether all parts of the core agree with each other.
    #[track_caller]
    pub(super) fn check(&self) {
        let core = &self.core;
        let peers = &core.peers;
        assert_eq!(core.clients.len(), peers.sessions.len());
        let (mut connected, mut plain, mut shared) = (0, 0, 0);
        for (slot, session) in &peers.sessions {
            assert_eq!(session.id.slot as usize, slot);
            assert_eq!(core.clients[&session.client_id], session.id);
            if let Some(id) = session.connection {
                connected += 1;
                assert_eq!(peers.connections[id.slot()].session(), Some(session.id));
            }
            for key in &session.subscriptions {
                match key {
                    SubscriptionKey::Plain(_) => plain += 1,
                    SubscriptionKey::Shared(_) => shared += 1,
                }
            }
            let queue: Vec<_> = session.outgoing.queued().collect();
            let bytes: usize = queue.iter().map(|d| d.size()).sum();
            assert_eq!(session.queued_bytes, bytes);
            let qos0 = queue.iter().filter(|d| d.qos == Q0).count();
            assert_eq!(session.queued_qos0, qos0);
        }
        assert_eq!(core.connected, connected);
        assert_eq!(
            core.connected_by_listener.values().sum::<usize>(),
            connected
        );
        assert_eq!(core.subscriptions.counts(), (plain, shared));
        for (_, connection) in &peers.connections {
            let holders = peers.connections.iter().map(|(_, other)| &other.holds_up);
            let count = holders.filter(|held| held.contains(&connection.id)).count();
            assert_eq!(connection.held_up_by as usize, count, "each of them once");
        }
    }

    /// Nothing is left of clients that are all gone.
    #[track_caller]
    pub(super) fn check_empty(&self) {
        self.check();
        assert_eq!(self.core.peers.sessions.len(), 0);
        assert_eq!(self.core.peers.connections.len(), 0);
        assert!(self.core.subscriptions.is_empty());
    }
}

pub(super) fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        ..SubscriptionOptions::default()
    }
}

/// Decodes what the broker sent. All of it must be whole packets.
pub(super) fn packets(version: Version, mut bytes: &[u8]) -> Vec<Packet<'_>> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let frame = Frame::split(bytes, usize::MAX).unwrap();
        let frame = frame.expect("the broker sends whole packets");
        packets.push(Packet::decode(frame, version, Side::Server).unwrap());
        bytes = &bytes[frame.bytes.len()..];
    }
    packets
}

/// A packet as one line.
pub(super) fn show(packet: &Packet<'_>) -> String {
    let reason = |reason: ReasonCode| match reason.0 {
        0 => String::new(),
        code => format!(" 0x{code:02X}"),
    };
    match packet {
        Packet::ConnAck(ack) => format!(
            "CONNACK{} 0x{:02X}{}",
            if ack.session_present { " present" } else { "" },
            ack.reason.0,
            show_properties(&ack.properties)
        ),
        Packet::Publish(p) => format!(
            "PUBLISH{}{}{} {} '{}'{}",
            match p.qos {
                Q0 => String::new(),
                qos => format!(" q{} m{}", qos as u8, p.packet_id),
            },
            if p.dup { " dup" } else { "" },
            if p.retain { " retain" } else { "" },
            p.topic,
            String::from_utf8_lossy(p.payload),
            show_properties(&p.properties)
        ),
        Packet::Ack(kind, ack) => {
            let name = format!("{kind:?}").to_uppercase();
            let properties = show_properties(&ack.properties);
            format!(
                "{name} m{}{}{properties}",
                ack.packet_id,
                reason(ack.reason)
            )
        }
        Packet::SubAck(ack) => format!(
            "SUBACK m{} {:?}{}",
            ack.packet_id,
            ack.reasons,
            show_properties(&ack.properties)
        ),
        Packet::UnsubAck(ack) => format!("UNSUBACK m{} {:?}", ack.packet_id, ack.reasons),
        Packet::PingResp => "PINGRESP".into(),
        Packet::Disconnect(d) => format!("DISCONNECT{}", reason(d.reason)),
        other => panic!("a server doesn't send {other:?}"),
    }
}

fn show_properties(properties: &Properties<'_>) -> String {
    let all: Vec<_> = properties.iter().map(|p| format!(" {p:?}")).collect();
    all.concat()
}
