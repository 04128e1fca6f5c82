//! The client itself.

mod flow;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::keep_alive::{Due, KeepAlive};
use super::wire::{Exchange, Received as RawPacket, Wire};
use super::{
    ConnAckInfo, ConnectError, ConnectOptions, DisconnectReason, Event, PublishId, RequestError,
};
use crate::codec::{
    DecodeError, Disconnect, Packet, Properties, Publish, QoS, ReasonCode, Side, Subscribe,
    SubscriptionRequest, Unsubscribe, Version,
};
use crate::session::{IdMap, Incoming, Outgoing, aliases};
use crate::{property, topic};
use flow::{Outbound, ServerLimits, send_publish};

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
    /// Messages of QoS 2 whose PUBREL is out, by packet identifier: the server
    /// has them, unless it loses the session.
    releasing: IdMap<Arc<Outbound>>,
    aliases: aliases::Received,
    limits: ServerLimits,
    keep_alive: KeepAlive,
    events: VecDeque<Event>,
    published: u64,
    tracer: Option<Tracer>,
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
        self.wire = None;
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

/// Awaits what must be a CONNACK.
pub(crate) async fn first_packet<S: AsyncRead + AsyncWrite + Unpin>(
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

fn trace(tracer: &mut Option<Tracer>, direction: Direction, packet: &Packet<'_>) {
    if let Some(tracer) = tracer {
        tracer(direction, packet);
    }
}
