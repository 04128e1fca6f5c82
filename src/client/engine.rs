//! The client itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::keep_alive::{Due, KeepAlive};
use super::wire::{Exchange, Received as RawPacket, Wire};
use super::{
    ConnAckInfo, ConnectError, ConnectOptions, DisconnectReason, Event, Message, PublishId,
    RequestError,
};
use crate::codec::{
    Ack, AckKind, ConnAck, DecodeError, Disconnect, MAX_REMAINING_LENGTH, Packet, Properties,
    Publish, QoS, ReasonCode, Side, Subscribe, SubscriptionRequest, Unsubscribe, Version,
};
use crate::session::{IdMap, Incoming, Outgoing, PubRec, Received, Resend, aliases};
use crate::{property, topic};

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Sent,
    /// From the server.
    Received,
}

/// Is called with every packet that goes either way.
pub type Tracer = Box<dyn FnMut(Direction, &Packet<'_>) + Send>;

/// An MQTT client over streams `S`. See the [module](super).
pub struct Client<S> {
    options: ConnectOptions,
    wire: Option<Wire<S>>,
    outgoing: Outgoing<Arc<Outbound>>,
    incoming: Incoming,
    /// Messages of QoS 2 whose PUBREL is out, by packet identifier.
    releasing: IdMap<PublishId>,
    aliases: aliases::Received,
    limits: ServerLimits,
    keep_alive: KeepAlive,
    events: VecDeque<Event>,
    published: u64,
    tracer: Option<Tracer>,
}

/// A message of QoS 1 or 2 on its way out.
#[derive(Debug)]
struct Outbound {
    id: PublishId,
    topic: Box<str>,
    payload: Box<[u8]>,
    qos: QoS,
    retain: bool,
    properties: Properties<'static>,
}

impl Outbound {
    fn packet(&self, packet_id: u16, dup: bool) -> Publish<'_> {
        Publish {
            dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id,
            properties: Properties::from_encoded(self.properties.as_bytes()),
            payload: &self.payload,
        }
    }
}

/// What the server has said in CONNACK about itself.
#[derive(Clone, Copy, Debug)]
struct ServerLimits {
    receive_maximum: u16,
    maximum_packet_size: usize,
    maximum_qos: u8,
    retain_available: bool,
}

impl ServerLimits {
    fn new(properties: &Properties<'_>) -> Self {
        Self {
            receive_maximum: property!(properties, ReceiveMaximum).unwrap_or(u16::MAX),
            // Five bytes of fixed header in front of the longest rest.
            maximum_packet_size: property!(properties, MaximumPacketSize)
                .map_or(MAX_REMAINING_LENGTH + 5, |size| size as usize),
            maximum_qos: property!(properties, MaximumQoS).unwrap_or(2),
            retain_available: property!(properties, RetainAvailable) != Some(0),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// A client without a connection; [`open`](Self::open) gives it one.
    pub fn new(options: ConnectOptions) -> Self {
        Self {
            outgoing: Outgoing::new(options.max_inflight),
            options,
            wire: None,
            incoming: Incoming::default(),
            releasing: IdMap::default(),
            aliases: aliases::Received::default(),
            limits: ServerLimits::new(&Properties::new()),
            keep_alive: KeepAlive::new(0),
            events: VecDeque::new(),
            published: 0,
            tracer: None,
        }
    }

    /// Connects over `stream`: sends CONNECT, awaits CONNACK.
    ///
    /// # Errors
    /// The server refused, or broke off.
    pub async fn connect(
        stream: S,
        options: &ConnectOptions,
    ) -> Result<(Self, ConnAckInfo), ConnectError> {
        let mut client = Self::new(options.clone());
        let info = client.open(stream).await?;
        Ok((client, info))
    }

    /// Has `tracer` called with every packet from now on.
    pub fn set_tracer(&mut self, tracer: Tracer) {
        self.tracer = Some(tracer);
    }

    /// The options that the next [`open`](Self::open) connects with, to
    /// change them: a client that starts clean the first time and keeps its
    /// session over reconnections, say.
    pub fn options_mut(&mut self) -> &mut ConnectOptions {
        &mut self.options
    }

    /// Connects over a new stream, for the first time or again. Subscriptions
    /// are the server's: where [`ConnAckInfo::session_present`] is false, make
    /// them again.
    ///
    /// # Errors
    /// The server refused, or broke off. What was queued stays so.
    pub async fn open(&mut self, stream: S) -> Result<ConnAckInfo, ConnectError> {
        let mut wire = Wire::new(stream, self.options.maximum_packet_size());
        let connect = Packet::Connect(Box::new(self.options.packet()));
        trace(&mut self.tracer, Direction::Sent, &connect);
        connect.encode(self.options.version, &mut wire.output);

        let answer = match self.options.keep_alive {
            0 => first_packet(&mut wire).await?,
            seconds => {
                let patience = Duration::from_secs(seconds.into());
                tokio::time::timeout(patience, first_packet(&mut wire))
                    .await
                    .map_err(|_| ConnectError::Timeout)??
            }
        };
        let packet = Packet::decode(answer.frame(), self.options.version, Side::Server)
            .map_err(ConnectError::Protocol)?;
        trace(&mut self.tracer, Direction::Received, &packet);
        let Packet::ConnAck(ack) = packet else {
            return Err(ConnectError::Protocol(DecodeError::protocol(
                "something else than CONNACK",
            )));
        };
        if ack.reason != ReasonCode::SUCCESS {
            return Err(ConnectError::Refused {
                reason: ack.reason,
                properties: ack.properties.into_owned(),
            });
        }
        Ok(self.accepted(wire, ack))
    }

    fn accepted(&mut self, wire: Wire<S>, ack: ConnAck<'_>) -> ConnAckInfo {
        self.wire = Some(wire);
        self.limits = ServerLimits::new(&ack.properties);
        self.aliases = aliases::Received::default();
        self.keep_alive = KeepAlive::new(
            property!(ack.properties, ServerKeepAlive).unwrap_or(self.options.keep_alive),
        );
        let window = self.limits.receive_maximum.min(self.options.max_inflight);
        let mut republished = 0;
        if ack.session_present {
            self.outgoing.resume(window);
            self.incoming.resume();
        } else {
            self.incoming = Incoming::default();
            let queued = self.outgoing.queued_len();
            self.outgoing.restart(window);
            republished = self.outgoing.queued_len() - queued;
            // The server had these; only the last handshake is missing.
            for (packet_id, id) in self.releasing.drain() {
                self.events.push_back(Event::Published {
                    id,
                    packet_id,
                    reason: ReasonCode::SUCCESS,
                    properties: Properties::new(),
                });
            }
        }
        self.send_waiting();
        let assigned = property!(ack.properties, AssignedClientIdentifier).map(str::to_owned);
        ConnAckInfo {
            session_present: ack.session_present,
            assigned_client_id: assigned,
            properties: ack.properties.into_owned(),
            republished,
        }
    }

    /// Whether there is a connection, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    /// How many messages of QoS 1 and 2 wait or are not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.outgoing.queued_len() + self.outgoing.inflight_len()
    }

    /// How many bytes wait to be written: a measure for those who publish
    /// much at QoS 0.
    pub fn backlog(&self) -> usize {
        self.wire.as_ref().map_or(0, Wire::backlog)
    }

    /// Publishes a message. It leaves with the next [`flush`](Self::flush) or
    /// [`next_event`](Self::next_event); at QoS 1 and 2 it waits while the
    /// receive maximum of the server is reached or there is no connection,
    /// and [`Event::Published`] tells its end.
    ///
    /// # Errors
    /// The message cannot be sent, and isn't kept.
    pub fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: QoS,
        retain: bool,
        properties: &Properties<'_>,
    ) -> Result<PublishId, RequestError> {
        let mut packet = Publish {
            dup: false,
            qos,
            retain,
            topic,
            packet_id: u16::from(qos != QoS::AtMostOnce),
            properties: Properties::from_encoded(properties.as_bytes()),
            payload,
        };
        self.check(&packet)?;
        if qos == QoS::AtMostOnce {
            let wire = self.wire.as_mut().ok_or(RequestError::NotConnected)?;
            send_publish(packet, self.options.version, wire, &mut self.tracer);
            return Ok(self.next_publish_id());
        }
        let id = self.next_publish_id();
        let message = Arc::new(Outbound {
            id,
            topic: topic.into(),
            payload: payload.into(),
            qos,
            retain,
            properties: properties.clone().into_owned(),
        });
        match &mut self.wire {
            Some(wire) if self.outgoing.queued_len() == 0 && self.outgoing.has_room() => {
                packet.packet_id = self.outgoing.send(message, qos);
                send_publish(packet, self.options.version, wire, &mut self.tracer);
            }
            _ => self.outgoing.push(message),
        }
        Ok(id)
    }

    fn next_publish_id(&mut self) -> PublishId {
        self.published += 1;
        PublishId(self.published)
    }

    fn check(&self, packet: &Publish<'_>) -> Result<(), RequestError> {
        let aliased = packet.topic.is_empty() && property!(packet.properties, TopicAlias).is_some();
        if !aliased && !topic::is_valid_name(packet.topic) || packet.topic.len() > 0xFFFF {
            return Err(RequestError::InvalidTopic);
        }
        if packet.encoded_len(self.options.version) > self.limits.maximum_packet_size {
            return Err(RequestError::TooLarge);
        }
        if packet.qos as u8 > self.limits.maximum_qos {
            return Err(RequestError::QoSNotSupported);
        }
        if packet.retain && !self.limits.retain_available {
            return Err(RequestError::RetainNotSupported);
        }
        Ok(())
    }

    /// Asks for subscriptions; [`Event::SubAck`] brings the answer. Returns
    /// the packet identifier.
    ///
    /// # Errors
    /// A filter is invalid, or there is no connection.
    pub fn subscribe(
        &mut self,
        requests: &[SubscriptionRequest<'_>],
        properties: &Properties<'_>,
    ) -> Result<u16, RequestError> {
        check_filters(requests.iter().map(|request| request.filter))?;
        let packet_id = self.outgoing.unused_id();
        self.send(&Packet::Subscribe(Subscribe {
            packet_id,
            properties: properties.clone(),
            requests: requests.to_vec(),
        }))?;
        Ok(packet_id)
    }

    /// Ends subscriptions; [`Event::UnsubAck`] brings the answer. Returns the
    /// packet identifier.
    ///
    /// # Errors
    /// A filter is invalid, or there is no connection.
    pub fn unsubscribe(
        &mut self,
        filters: &[&str],
        properties: &Properties<'_>,
    ) -> Result<u16, RequestError> {
        check_filters(filters.iter().copied())?;
        let packet_id = self.outgoing.unused_id();
        self.send(&Packet::Unsubscribe(Unsubscribe {
            packet_id,
            properties: properties.clone(),
            filters: filters.to_vec(),
        }))?;
        Ok(packet_id)
    }

    /// Says goodbye and closes. Before MQTT 5 there is no way to say
    /// [`ReasonCode::DISCONNECT_WITH_WILL`] but to close without a word.
    ///
    /// # Errors
    /// The stream failed before all was written.
    pub async fn disconnect(
        &mut self,
        reason: ReasonCode,
        properties: &Properties<'_>,
    ) -> std::io::Result<()> {
        let wordless = self.options.version != Version::V5 && reason != ReasonCode::SUCCESS;
        if !wordless {
            let properties = properties.clone();
            let _ = self.send(&Packet::Disconnect(Disconnect { reason, properties }));
        }
        match self.wire.take() {
            Some(mut wire) => wire.close().await,
            None => Ok(()),
        }
    }

    /// Writes all that has gathered.
    ///
    /// # Errors
    /// The stream failed; the next [`next_event`](Self::next_event) tells of
    /// it, too.
    pub async fn flush(&mut self) -> std::io::Result<()> {
        let Some(wire) = &mut self.wire else {
            return Ok(());
        };
        self.keep_alive.sent();
        wire.flush().await
    }

    /// The next event. Writes what has gathered whenever it has to wait; may
    /// be dropped while it waits without losing anything.
    pub async fn next_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.try_event() {
                return event;
            }
            let Some(wire) = &mut self.wire else {
                return Event::Disconnected(DisconnectReason::NotConnected);
            };
            if wire.backlog() > 0 {
                self.keep_alive.sent();
            }
            let exchange = tokio::select! {
                biased;
                exchange = wire.exchange() => Some(exchange),
                () = self.keep_alive.wait() => None,
            };
            match exchange {
                Some(Exchange::Input) => self.keep_alive.received(),
                Some(Exchange::End(error)) => return self.lost(DisconnectReason::Lost(error)),
                None => match self.keep_alive.check() {
                    Due::Nothing => {}
                    Due::Ping => self.send_connected(&Packet::PingReq),
                    Due::Dead => return self.lost(DisconnectReason::KeepAliveTimeout),
                },
            }
        }
    }

    /// The next event that has already been read, if there is one. When there
    /// is none it is time to flush one's own output.
    pub fn try_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let handled = match self.wire.as_mut()?.next_packet() {
                Ok(Some(packet)) => self.handle(packet),
                Ok(None) => return None,
                Err(error) => Err(error),
            };
            match handled {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                Err(error) => return Some(self.violated(error)),
            }
        }
    }

    /// Waits until the messages of QoS 2 that were received are released, so
    /// that a session which is kept doesn't bring them again. Other messages
    /// that arrive stay unacknowledged, for the next connection.
    pub async fn release_received(&mut self) {
        while !self.incoming.is_empty() {
            let Some(wire) = &mut self.wire else { return };
            match wire.next_packet() {
                Ok(Some(packet)) if packet.frame().first_byte() >> 4 == 3 => {}
                Ok(Some(packet)) => {
                    if self.handle(packet).is_err() {
                        return;
                    }
                }
                Ok(None) => {
                    if let Exchange::End(_) = wire.exchange().await {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    fn lost(&mut self, reason: DisconnectReason) -> Event {
        self.wire = None;
        Event::Disconnected(reason)
    }

    /// The server broke the protocol: tell it (MQTT 5), and leave.
    fn violated(&mut self, error: DecodeError) -> Event {
        if self.options.version == Version::V5 {
            self.send_connected(&Packet::Disconnect(Disconnect {
                reason: error.reason,
                properties: Properties::new(),
            }));
            if let Some(wire) = &mut self.wire {
                wire.flush_now();
            }
        }
        self.lost(DisconnectReason::Protocol(error))
    }

    fn handle(&mut self, raw: RawPacket) -> Result<Option<Event>, DecodeError> {
        let packet = Packet::decode(raw.frame(), self.options.version, Side::Server)?;
        trace(&mut self.tracer, Direction::Received, &packet);
        Ok(match packet {
            Packet::Publish(publish) => self
                .on_publish(&publish)?
                .map(|topic| Event::Message(message(&raw, publish, topic))),
            Packet::Ack(kind, ack) => self.on_ack(kind, ack)?,
            Packet::SubAck(ack) => Some(Event::SubAck {
                packet_id: ack.packet_id,
                reasons: ack.reasons.into_owned(),
                properties: ack.properties.into_owned(),
            }),
            Packet::UnsubAck(ack) => Some(Event::UnsubAck {
                packet_id: ack.packet_id,
                reasons: ack.reasons.into_owned(),
                properties: ack.properties.into_owned(),
            }),
            Packet::PingResp => None,
            Packet::Disconnect(disconnect) => Some(self.lost(DisconnectReason::ByServer {
                reason: disconnect.reason,
                properties: disconnect.properties.into_owned(),
            })),
            _ => return Err(DecodeError::protocol("a packet that has no place here")),
        })
    }

    /// Acknowledges a PUBLISH. `None`: a repeat, not to be shown again;
    /// otherwise its topic name.
    fn on_publish(&mut self, publish: &Publish<'_>) -> Result<Option<String>, DecodeError> {
        let topic = self.resolve(publish)?;
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.acknowledge(AckKind::PubAck, publish.packet_id, true),
            QoS::ExactlyOnce => {
                let maximum = self.options.receive_maximum();
                // Servers may repeat as often as they like: no fingerprint.
                let received = self
                    .incoming
                    .publish(publish.packet_id, publish.dup, 0, maximum);
                if received == Received::TooMany {
                    return Err(DecodeError::with(
                        ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
                        "more messages than the receive maximum",
                    ));
                }
                self.acknowledge(AckKind::PubRec, publish.packet_id, true);
                if received != Received::New {
                    return Ok(None);
                }
            }
        }
        Ok(Some(topic))
    }

    /// The topic name of a PUBLISH, through its alias if need be.
    fn resolve(&mut self, publish: &Publish<'_>) -> Result<String, DecodeError> {
        let unknown = DecodeError::with(
            ReasonCode::TOPIC_ALIAS_INVALID,
            "a topic alias that means nothing",
        );
        let Some(alias) = property!(publish.properties, TopicAlias) else {
            return Ok(publish.topic.to_owned());
        };
        if publish.topic.is_empty() {
            return self.aliases.get(alias).map(str::to_owned).ok_or(unknown);
        }
        let maximum = self.options.topic_alias_maximum();
        if !self.aliases.set(alias, publish.topic, maximum) {
            return Err(unknown);
        }
        Ok(publish.topic.to_owned())
    }

    fn on_ack(&mut self, kind: AckKind, ack: Ack<'_>) -> Result<Option<Event>, DecodeError> {
        let packet_id = ack.packet_id;
        let done = match kind {
            // An unexpected PUBACK or PUBCOMP changes nothing and harms nobody.
            AckKind::PubAck => self.outgoing.puback(packet_id).ok().map(|m| m.id),
            AckKind::PubComp => match self.outgoing.pubcomp(packet_id) {
                Ok(()) => self.releasing.remove(&packet_id),
                Err(_) => None,
            },
            AckKind::PubRec => self.on_pubrec(packet_id, ack.reason)?,
            AckKind::PubRel => {
                let known = self.incoming.pubrel(packet_id);
                self.acknowledge(AckKind::PubComp, packet_id, known);
                return Ok(None);
            }
        };
        self.send_waiting();
        Ok(done.map(|id| Event::Published {
            id,
            packet_id,
            reason: ack.reason,
            properties: ack.properties.into_owned(),
        }))
    }

    fn on_pubrec(
        &mut self,
        packet_id: u16,
        reason: ReasonCode,
    ) -> Result<Option<PublishId>, DecodeError> {
        match self.outgoing.pubrec(packet_id, reason.is_error()) {
            Ok(PubRec::Release(message)) => {
                self.releasing.insert(packet_id, message.id);
                self.acknowledge(AckKind::PubRel, packet_id, true);
            }
            Ok(PubRec::ReleaseAgain) => self.acknowledge(AckKind::PubRel, packet_id, true),
            Ok(PubRec::Refused(message)) => return Ok(Some(message.id)),
            Err(crate::session::FlowError::UnknownId) => {
                self.acknowledge(AckKind::PubRel, packet_id, false);
            }
            Err(crate::session::FlowError::WrongStage) => {
                return Err(DecodeError::protocol("PUBREC for a message of QoS 1"));
            }
        }
        Ok(None)
    }

    /// Sends an acknowledgement; not `known`: with the reason 'packet
    /// identifier not found'.
    fn acknowledge(&mut self, kind: AckKind, packet_id: u16, known: bool) {
        let reason = if known {
            ReasonCode::SUCCESS
        } else {
            ReasonCode::PACKET_IDENTIFIER_NOT_FOUND
        };
        let ack = Ack {
            packet_id,
            reason,
            properties: Properties::new(),
        };
        self.send_connected(&Packet::Ack(kind, ack));
    }

    /// Sends what the window allows: repeats first, then what is queued.
    fn send_waiting(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let version = self.options.version;
        while let Some(resend) = self.outgoing.next_resend() {
            match resend {
                Resend::Publish(id, message) => {
                    send_publish(message.packet(id, true), version, wire, &mut self.tracer);
                }
                Resend::PubRel(packet_id) => {
                    let release = Packet::Ack(
                        AckKind::PubRel,
                        Ack {
                            packet_id,
                            reason: ReasonCode::SUCCESS,
                            properties: Properties::new(),
                        },
                    );
                    trace(&mut self.tracer, Direction::Sent, &release);
                    release.encode(version, &mut wire.output);
                }
            }
        }
        while self.outgoing.has_room()
            && let Some(message) = self.outgoing.pop()
        {
            let packet = message.packet(1, false);
            // It was queued for a server that took more.
            if packet.encoded_len(version) > self.limits.maximum_packet_size {
                self.events.push_back(Event::Published {
                    id: message.id,
                    packet_id: 0,
                    reason: ReasonCode::PACKET_TOO_LARGE,
                    properties: Properties::new(),
                });
                continue;
            }
            let packet_id = self.outgoing.send(Arc::clone(&message), message.qos);
            send_publish(
                message.packet(packet_id, false),
                version,
                wire,
                &mut self.tracer,
            );
        }
    }

    fn send(&mut self, packet: &Packet<'_>) -> Result<(), RequestError> {
        if self.wire.is_none() {
            return Err(RequestError::NotConnected);
        }
        self.send_connected(packet);
        Ok(())
    }

    /// Appends a packet to the write buffer, if there is a connection.
    fn send_connected(&mut self, packet: &Packet<'_>) {
        if let Some(wire) = &mut self.wire {
            trace(&mut self.tracer, Direction::Sent, packet);
            packet.encode(self.options.version, &mut wire.output);
        }
    }
}

fn check_filters<'a>(mut filters: impl Iterator<Item = &'a str>) -> Result<(), RequestError> {
    let valid = |filter: &str| {
        topic::Subscription::parse(filter).is_some() && u16::try_from(filter.len()).is_ok()
    };
    if filters.all(valid) {
        Ok(())
    } else {
        Err(RequestError::InvalidTopic)
    }
}

async fn first_packet<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
) -> Result<RawPacket, ConnectError> {
    loop {
        if let Some(packet) = wire.next_packet().map_err(ConnectError::Protocol)? {
            return Ok(packet);
        }
        if let Exchange::End(error) = wire.exchange().await {
            return Err(ConnectError::Lost(error));
        }
    }
}

fn send_publish<S>(
    packet: Publish<'_>,
    version: Version,
    wire: &mut Wire<S>,
    tracer: &mut Option<Tracer>,
) {
    if tracer.is_none() {
        return packet.encode(version, &mut wire.output);
    }
    let packet = Packet::Publish(packet);
    trace(tracer, Direction::Sent, &packet);
    packet.encode(version, &mut wire.output);
}

fn trace(tracer: &mut Option<Tracer>, direction: Direction, packet: &Packet<'_>) {
    if let Some(tracer) = tracer {
        tracer(direction, packet);
    }
}

/// The message of a PUBLISH. Its payload stays where it was read.
fn message(raw: &RawPacket, publish: Publish<'_>, topic: String) -> Message {
    Message {
        topic,
        payload: raw.bytes.slice_ref(publish.payload),
        qos: publish.qos,
        retain: publish.retain,
        dup: publish.dup,
        packet_id: publish.packet_id,
        properties: publish.properties.into_owned(),
    }
}
