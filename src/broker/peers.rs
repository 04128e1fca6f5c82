//! Sessions and connections, and how a delivery reaches them: straight into
//! the outbox where there is room, into the queue where there isn't.

use std::sync::Arc;

use slab::Slab;

use super::Effects;
use super::connection::{Connection, ConnectionId, Stage};
use super::denial::Denials;
use super::fanout::Fanout;
use super::journal::Journal;
use super::memory::Ledger;
use super::publication::Delivery;
use super::routes::Target;
use super::session::{Session, SessionId};
use super::settings::Settings;
use super::stats::Stats;
use super::subscriptions::BEST;
use super::timers::{Millis, Timer, Timers};
use crate::codec::{Ack, AckKind, Packet, Properties, Property, QoS, ReasonCode, Version};
use crate::config::LogType;
use crate::session::{PubRec, Resend};
use crate::store;

/// The size of an outbox, in bytes, from which deliveries wait in the queue
/// and publishers of QoS 0 pause.
pub(super) const SOFT_LIMIT: usize = 64 * 1024;

/// The size from which QoS 0 is lost even if the receiver drains: what many
/// publishers together may add before each of them pauses.
const HARD_LIMIT: usize = 4 * 1024 * 1024;

/// The length of an acknowledgement with a reason code.
const ACK_LENGTH: usize = 5;

/// What a reason string adds to a packet at most, beside its words: identifier
/// and length, and longer lengths of properties and packet.
const REASON_OVERHEAD: usize = 3 + 3 + 3;

#[derive(Debug)]
pub(super) struct Peers {
    pub(super) settings: Settings,
    pub(super) now: Millis,
    pub(super) connections: Slab<Connection>,
    pub(super) sessions: Slab<Session>,
    pub(super) timers: Timers,
    pub(super) effects: Effects,
    pub(super) stats: Stats,
    pub(super) denials: Denials,
    pub(super) journal: Journal,
    /// Buffers for outboxes, given back by the shell.
    pub(super) spare: Vec<Vec<u8>>,
    /// Deliveries of shared groups that need another member.
    pub(super) orphans: Vec<Delivery>,
    /// Bytes in all outboxes, a packet behind.
    pub(super) outboxes: usize,
    /// What is held of publications.
    pub(super) ledger: Ledger,
}

impl Peers {
    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections
            .get_mut(id.slot())
            .filter(|connection| connection.id == id)
    }

    pub(super) fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions
            .get_mut(id.slot as usize)
            .filter(|session| session.id == id)
    }

    /// Forgets timers that lost their meaning, when there are many.
    pub(super) fn tidy_timers(&mut self) {
        if !self.timers.are_many() {
            return;
        }
        let (connections, sessions) = (&self.connections, &self.sessions);
        let session = |id: SessionId| sessions.get(id.slot as usize).filter(|s| s.id == id);
        self.timers.retain(|at, timer| match timer {
            Timer::KeepAlive(id) | Timer::Stalled(id) => {
                connections.get(id.slot()).is_some_and(|c| c.id == id)
            }
            Timer::SessionEnd(id) => {
                session(id).is_some_and(|s| s.connection.is_none() && s.ends_at == at)
            }
            Timer::Will(id) => {
                let will = session(id).and_then(|session| session.will.as_ref());
                will.is_some_and(|will| will.due == Some(at))
            }
            Timer::Retained | Timer::Sys => true,
        });
    }

    /// The connection ends as soon as its outbox is written.
    pub(super) fn end(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id.slot()).filter(|c| c.id == id) {
            connection.stage = Stage::Closing;
            // Who is owed something is told anew on the next connection.
            connection.held = None;
            urge(connection, &mut self.effects);
        }
    }

    /// Adds a log line, if anybody wants its kind.
    #[inline]
    pub(super) fn log(&mut self, kind: LogType, line: impl FnOnce(&Self) -> String) {
        if self.settings.log.contains(kind) {
            self.add_line(kind, line);
        }
    }

    #[cold]
    fn add_line(&mut self, kind: LogType, line: impl FnOnce(&Self) -> String) {
        let line = line(self);
        self.effects.log.push((kind, line));
    }

    /// Adds a log line about a client that comes or goes.
    pub(super) fn log_connection(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.settings.connection_messages {
            self.log(LogType::Notice, line);
        }
    }

    /// The client identifier of a connection, as log lines have it.
    pub(super) fn name(&self, id: ConnectionId) -> Arc<str> {
        let connection = self.connections.get(id.slot());
        let session = connection.and_then(Connection::session);
        session
            .and_then(|session| self.sessions.get(session.slot as usize))
            .map_or_else(
                || "<unknown>".into(),
                |session| Arc::clone(&session.client_id),
            )
    }

    /// Appends a packet to a connection's outbox.
    pub(super) fn send(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        let Some(connection) = self.connections.get_mut(id.slot()).filter(|c| c.id == id) else {
            return;
        };
        let version = connection.version;
        self.stats.messages_sent += 1;
        if let Some(held) = connection.held.as_mut().filter(|held| held.is_gate()) {
            held.push(0, |out| packet.encode(version, out));
            return;
        }
        self.outboxes += connection.count_outbox();
        let out = open_outbox(connection, &mut self.effects, &mut self.spare);
        packet.encode(version, out);
    }

    /// Appends the answer to a packet: it leaves when what the packet made
    /// durable is committed, and after the answers before it.
    pub(super) fn answer(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        let promised = self.journal.promised();
        let Some(connection) = self.connections.get_mut(id.slot()).filter(|c| c.id == id) else {
            return;
        };
        if promised.is_none() && connection.held.is_none() {
            self.send(id, packet);
            return;
        }
        self.stats.messages_sent += 1;
        let version = connection.version;
        let held = connection.held.get_or_insert_default();
        if held.push(promised.unwrap_or(0), |out| packet.encode(version, out)) {
            self.journal.await_commit(held.last_group(), id);
        }
    }

    /// The same for an answer that goes before everything that follows it.
    pub(super) fn answer_first(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        self.answer(id, packet);
        if let Some(connection) = self.connection(id)
            && let Some(held) = &mut connection.held
        {
            held.bar();
        }
    }

    /// Lets go of what a connection held back and is safe now.
    pub(super) fn release_held(&mut self, id: ConnectionId) {
        let committed = self.journal.committed();
        let Some(connection) = self.connections.get_mut(id.slot()).filter(|c| c.id == id) else {
            return;
        };
        let Some(mut held) = connection.held.take() else {
            return;
        };
        self.outboxes += connection.count_outbox();
        let out = open_outbox(connection, &mut self.effects, &mut self.spare);
        let was_gate = held.is_gate();
        let is_empty = held.release(committed, out);
        let opened = was_gate && !held.is_gate();
        if !is_empty {
            connection.held = Some(held);
        }
        if opened {
            self.pump(id);
        }
    }

    /// Appends an acknowledgement.
    pub(super) fn acknowledge(
        &mut self,
        id: ConnectionId,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
    ) {
        self.acknowledge_explained(id, kind, packet_id, reason, None);
    }

    /// The same with words for the client, where it takes them.
    pub(super) fn acknowledge_explained(
        &mut self,
        id: ConnectionId,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
        words: Option<&str>,
    ) {
        let properties = match words {
            None => Properties::new(),
            Some(words) => self.reason_string(id, ACK_LENGTH, words),
        };
        self.log(LogType::Debug, |peers| {
            let name = super::log_name(kind);
            format!(
                "Sending {name} to {} (m{packet_id}, rc{})",
                peers.name(id),
                reason.0
            )
        });
        self.answer(
            id,
            &Packet::Ack(
                kind,
                Ack {
                    packet_id,
                    reason,
                    properties,
                },
            ),
        );
    }

    /// The reason string for a client that is denied something: none where it
    /// wants none, or where the packet, so long without it, would be too long
    /// for it with it (3.4.2.2.2).
    pub(super) fn reason_string(
        &mut self,
        id: ConnectionId,
        length: usize,
        words: &str,
    ) -> Properties<'static> {
        let mut properties = Properties::new();
        let fits = |connection: &mut Connection| {
            connection.version == Version::V5
                && connection.wants_reasons
                && length + REASON_OVERHEAD + words.len() <= connection.max_packet_size
        };
        if self.connection(id).is_some_and(fits) {
            properties.push(Property::ReasonString(words));
        }
        properties
    }

    /// Whether a session could take a message of a shared subscription: the
    /// higher the better, 0 not at all.
    pub(super) fn rank(&self, id: SessionId, size: usize) -> u8 {
        let Some(session) = self.sessions.get(id.slot as usize).filter(|s| s.id == id) else {
            return 0;
        };
        match session.connection {
            Some(_) if session.waiting() == 0 && session.outgoing.has_room_for(size) => BEST,
            Some(_) => 2,
            None => 1,
        }
    }

    /// Whether a member of a shared group may and can be sent a message, as far
    /// as one knows: how large a packet the client takes next time, nobody does.
    pub(super) fn takes(
        &self,
        target: &Target,
        topic: &str,
        delivery: impl FnOnce() -> Delivery,
    ) -> bool {
        let session = self.sessions.get(target.session.slot as usize);
        let Some(session) = session.filter(|s| s.id == target.session) else {
            return false;
        };
        if session.policy.seen(topic).is_none() || session.why_not_read(topic).is_some() {
            return false;
        }
        let connection = session
            .connection
            .and_then(|id| self.connections.get(id.slot()));
        connection.is_none_or(|connection| {
            connection.max_packet_size == usize::MAX
                || connection.takes(&self.retarget(target, delivery()), self.now)
        })
    }

    /// A message of a shared group for another member.
    fn retarget(&self, target: &Target, delivery: Delivery) -> Delivery {
        let publication = &delivery.publication;
        Delivery {
            qos: self.settings.granted(target.qos, publication.qos),
            retain: publication.retain && target.retain_as_published,
            ids: target.ids.clone(),
            sequence: 0,
            ..delivery
        }
    }

    /// Hands a publication to one session.
    pub(super) fn deliver(&mut self, fanout: &mut Fanout<'_>, target: &Target, group: Option<u32>) {
        let Some(session) = self
            .sessions
            .get_mut(target.session.slot as usize)
            .filter(|s| s.id == target.session)
        else {
            return;
        };
        let alike = fanout.is_seen_alike(&session.policy.mount_point);
        if target.no_local && fanout.publisher == Some(target.session)
            || !alike && session.policy.seen(fanout.topic).is_none()
        {
            return;
        }
        if session.why_not_read(fanout.topic).is_some() {
            self.log_unread(target.session, fanout.topic);
            return;
        }
        let qos = self.settings.granted(target.qos, fanout.qos);
        let retain = fanout.retain && target.retain_as_published;
        let connection = session
            .connection
            .and_then(|id| self.connections.get_mut(id.slot()).filter(|c| c.id == id));
        let Some(connection) = connection else {
            if qos != QoS::AtMostOnce || self.settings.queue_qos0_messages {
                let delivery = Delivery {
                    publication: fanout.detached(),
                    qos,
                    retain,
                    ids: target.ids.clone(),
                    group,
                    sequence: 0,
                    replayed: false,
                    pins: 0,
                };
                self.enqueue(target.session, delivery, &mut fanout.stored);
            }
            return;
        };
        let plain = alike
            && (connection.version != Version::V5
                || target.ids.as_slice().is_empty()
                    && connection.assigned_aliases.is_none()
                    && !(connection.is_bridge && fanout.stamp.is_some()));
        let roomy = connection.outbox.len() < SOFT_LIMIT;
        if qos == QoS::AtMostOnce
            && !roomy
            && (connection.stalled || connection.outbox.len() >= HARD_LIMIT)
        {
            self.stats.dropped += 1;
            return;
        }
        if session.must_wait(connection, qos, fanout.payload.len()) {
            let pins = fanout.batch.map_or(Some(0), |batch| session.pin(batch));
            let publication = match pins {
                Some(_) => fanout.shared(),
                None => fanout.detached(),
            };
            let delivery = Delivery {
                publication,
                qos,
                retain,
                ids: target.ids.clone(),
                group,
                sequence: 0,
                replayed: false,
                pins: pins.unwrap_or(0),
            };
            self.enqueue(target.session, delivery, &mut fanout.stored);
            return;
        }
        let (id, version) = (connection.id, connection.version);
        let durable = session.durable.is_some();
        let limit = connection.max_packet_size;
        if plain && limit < usize::MAX && fanout.frame_len(version, qos) > limit {
            return;
        }
        // Only a message that a flight keeps, or that is encoded for this one
        // receiver, needs more than its frame.
        let delivery = (qos != QoS::AtMostOnce || !plain).then(|| Delivery {
            publication: fanout.shared(),
            qos,
            retain,
            ids: target.ids.clone(),
            group,
            sequence: 0,
            replayed: false,
            pins: 0,
        });
        if plain && !(durable && delivery.is_some()) {
            let packet_id = match delivery {
                Some(delivery) if qos != QoS::AtMostOnce => session.launch(delivery),
                _ => 0,
            };
            self.outboxes += connection.count_outbox();
            let out = open_outbox(connection, &mut self.effects, &mut self.spare);
            fanout.append(out, version, qos, retain, packet_id);
            self.stats.count_publish_sent(fanout.payload.len());
            self.log_publish_sent(
                id,
                qos,
                retain,
                packet_id,
                fanout.topic,
                fanout.payload.len(),
            );
        } else if let Some(mut delivery) = delivery {
            if !connection.takes(&delivery, self.now) {
                return;
            }
            self.store_delivery(target.session, &mut delivery, &mut fanout.stored);
            self.transmit(id, target.session, delivery);
        }
        if !roomy && qos == QoS::AtMostOnce {
            self.hold_up(fanout.publisher, id);
        }
    }

    /// Tells of a delivery that the receiver has no right to: in debug lines,
    /// because a subscription to `#` makes one of each publication.
    fn log_unread(&mut self, id: SessionId, topic: &str) {
        self.log(LogType::Debug, |peers| {
            let session = peers.sessions.get(id.slot as usize);
            session
                .and_then(|session| Some((session, session.why_not_read(topic)?)))
                .map_or_else(String::new, |(session, why)| {
                    format!(
                        "Denied delivery to {} ('{topic}'): {why}",
                        session.client_id
                    )
                })
        });
    }

    /// Whether a session would have to queue a publication; `None`: it doesn't
    /// get it.
    pub(super) fn would_wait(&self, fanout: &Fanout<'_>, target: &Target) -> Option<bool> {
        let id = target.session;
        let session = self.sessions.get(id.slot as usize);
        let session = session.filter(|session| session.id == id)?;
        if target.no_local && fanout.publisher == Some(id)
            || session.policy.seen(fanout.topic).is_none()
            || session.why_not_read(fanout.topic).is_some()
        {
            return None;
        }
        let qos = self.settings.granted(target.qos, fanout.qos);
        let connection = session
            .connection
            .and_then(|id| self.connections.get(id.slot()));
        Some(match connection {
            Some(connection) => session.must_wait(connection, qos, fanout.payload.len()),
            None => qos != QoS::AtMostOnce || self.settings.queue_qos0_messages,
        })
    }

    /// A ledger for a publication on its way in.
    pub(super) fn ledger(&self) -> Option<Ledger> {
        (self.settings.memory_limit < usize::MAX).then(|| self.ledger.clone())
    }

    #[inline]
    fn log_publish_sent(
        &mut self,
        id: ConnectionId,
        qos: QoS,
        retain: bool,
        packet_id: u16,
        topic: &str,
        length: usize,
    ) {
        self.log(LogType::Debug, |peers| {
            format!(
                "Sending PUBLISH to {} (d0, q{}, r{}, m{packet_id}, '{topic}', ... ({length} bytes))",
                peers.name(id),
                qos as u8,
                u8::from(retain),
            )
        });
    }

    /// Gives a delivery its packet identifier and appends its packet.
    fn transmit(&mut self, id: ConnectionId, session_id: SessionId, delivery: Delivery) {
        let Some(session) = self.sessions.get_mut(session_id.slot as usize) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(id.slot()) else {
            return;
        };
        let now = self.now;
        let packet_id = match delivery.qos {
            QoS::AtMostOnce => 0,
            _ => session.launch(delivery.clone()),
        };
        // The packet identifier of a stored message of QoS 2 must be safe
        // before anybody sees it, and what follows must not overtake it; nor
        // may QoS 0 overtake the topic alias that it uses.
        let behind = connection.held.as_ref().filter(|held| held.messages);
        let group = match delivery.qos {
            QoS::AtMostOnce if connection.assigned_aliases.is_none() => None,
            QoS::ExactlyOnce if delivery.sequence > 0 => Some(self.journal.gathering()),
            _ => behind.map(|_| 0),
        };
        if let Some(group) = group {
            if connection.append_held(group, &delivery, packet_id, now) {
                self.journal.await_commit(group, id);
            }
        } else {
            self.outboxes += connection.count_outbox();
            open_outbox(connection, &mut self.effects, &mut self.spare);
            connection.append(&delivery, packet_id, false, now);
        }
        self.note_sent(session_id, delivery.sequence, packet_id);
        let publication = &delivery.publication;
        self.stats.count_publish_sent(publication.payload.len());
        let length = publication.payload.len();
        self.log_publish_sent(
            id,
            delivery.qos,
            delivery.retain,
            packet_id,
            &publication.topic,
            length,
        );
    }

    /// Lets a delivery wait for its session, within the limits.
    /// `content` is the message in the store's form, where that was needed
    /// already.
    pub(super) fn enqueue(
        &mut self,
        id: SessionId,
        mut delivery: Delivery,
        content: &mut Option<Arc<store::Publication>>,
    ) {
        let Settings {
            max_queued_messages,
            max_queued_bytes,
            ..
        } = self.settings;
        let now = self.now;
        let Some(session) = self.session(id) else {
            return;
        };
        let has_room = |session: &Session| {
            session.waiting() < max_queued_messages
                && session.waiting_bytes().saturating_add(delivery.size()) <= max_queued_bytes
        };
        let mut room = has_room(session);
        if !room && let Some(expired) = session.drop_expired(now) {
            let connection = session.connection;
            room = has_room(session);
            for sequence in expired {
                self.note_done(id, sequence);
            }
            if let Some(connection) = connection {
                // What has expired may have held up QoS 0 behind it.
                self.pump(connection);
                self.enqueue(id, delivery, content);
                self.pump(connection);
                return;
            }
        }
        if room {
            self.store_delivery(id, &mut delivery, content);
            self.queue_or_spill(id, delivery);
            return;
        }
        self.stats.dropped += 1;
        // What is in the store alone may have expired.
        self.read_ahead(id);
        let Some(session) = self.session(id) else {
            return;
        };
        if !std::mem::replace(&mut session.overflow_told, true) {
            let (client, waiting) = (Arc::clone(&session.client_id), session.waiting());
            let bytes = session.waiting_bytes();
            self.log(LogType::Notice, |_| {
                format!(
                    "Outgoing messages are being dropped for client {client}: {waiting} messages \
                     ({bytes} bytes) are waiting, the limits are max_queued_messages and \
                     max_queued_bytes."
                )
            });
        }
    }

    /// Hands over what a session held of a shared subscription.
    pub(super) fn redeliver(&mut self, target: &Target, delivery: Delivery) {
        let delivery = self.retarget(target, delivery);
        let Some(session) = self.session(target.session) else {
            return;
        };
        let connection = session.connection;
        let at_most_once = delivery.qos == QoS::AtMostOnce;
        if connection.is_none() && at_most_once && !self.settings.queue_qos0_messages {
            return;
        }
        self.enqueue(target.session, delivery, &mut None);
        if let Some(connection) = connection {
            self.pump(connection);
        }
    }

    /// Moves deliveries from the queue to the outbox as far as both limits
    /// allow. True: the outbox is full, and more could follow.
    pub(super) fn pump(&mut self, id: ConnectionId) -> bool {
        let Some(session) = self
            .connection(id)
            .and_then(|connection| connection.session())
        else {
            return false;
        };
        loop {
            self.read_ahead(session);
            let Some(connection) = self.connections.get_mut(id.slot()) else {
                return false;
            };
            let Some(flow) = self.sessions.get_mut(session.slot as usize) else {
                return false;
            };
            if connection.is_gated() {
                return false;
            }
            let full = connection.unsent() >= SOFT_LIMIT;
            if full {
                return flow.outgoing.has_more();
            }
            match flow.outgoing.next_resend() {
                Some(Resend::PubRel(packet_id)) => {
                    self.acknowledge(id, AckKind::PubRel, packet_id, ReasonCode::SUCCESS);
                    continue;
                }
                Some(Resend::Publish(packet_id, delivery)) => {
                    let delivery = delivery.clone();
                    if !connection.takes(&delivery, self.now) {
                        if flow.outgoing.give_up(packet_id) {
                            self.note_received(session, delivery.sequence, packet_id);
                            let done = ReasonCode::SUCCESS;
                            self.acknowledge(id, AckKind::PubRel, packet_id, done);
                        } else {
                            self.orphan(session, delivery);
                        }
                        continue;
                    }
                    self.outboxes += connection.count_outbox();
                    open_outbox(connection, &mut self.effects, &mut self.spare);
                    connection.append(&delivery, packet_id, true, self.now);
                    self.stats
                        .count_publish_sent(delivery.publication.payload.len());
                    continue;
                }
                None => {}
            }
            if !flow.outgoing.head().is_some_and(|head| {
                head.qos == QoS::AtMostOnce || flow.outgoing.has_room_for(head.size())
            }) {
                return false;
            }
            let Some(delivery) = flow.dequeue() else {
                return false;
            };
            if delivery.publication.is_expired(self.now) {
                self.note_done(session, delivery.sequence);
                continue;
            }
            let is_denied = flow.why_not_read(&delivery.publication.topic).is_some();
            if !is_denied && connection.takes(&delivery, self.now) {
                self.transmit(id, session, delivery);
                continue;
            }
            if is_denied {
                self.log_unread(session, &delivery.publication.topic);
            }
            self.orphan(session, delivery);
        }
    }

    /// What a session cannot be sent is for another member, if it was of a
    /// shared group.
    pub(super) fn orphan(&mut self, session: SessionId, delivery: Delivery) {
        self.note_done(session, delivery.sequence);
        if delivery.group.is_some() {
            self.orphans.push(delivery);
        }
    }

    /// PUBACK, PUBREC and PUBCOMP from a client.
    ///
    /// # Errors
    /// The words for a protocol error.
    pub(super) fn acknowledged(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        kind: AckKind,
        ack: &Ack<'_>,
    ) -> Result<(), &'static str> {
        use crate::session::FlowError::{UnknownId, WrongStage};
        let session_id = session;
        let Some(session) = self.session(session) else {
            return Ok(());
        };
        let flow = &mut session.outgoing;
        match kind {
            AckKind::PubAck => match flow.puback(ack.packet_id) {
                Err(WrongStage) => return Err("PUBACK for a message of QoS 2"),
                Ok(delivery) => self.note_done(session_id, delivery.sequence),
                Err(UnknownId) => {}
            },
            AckKind::PubRec => match flow.pubrec(ack.packet_id, ack.reason.is_error()) {
                Ok(PubRec::Refused(delivery)) => self.note_done(session_id, delivery.sequence),
                Ok(PubRec::Release(delivery)) => {
                    self.note_received(session_id, delivery.sequence, ack.packet_id);
                    self.acknowledge(id, AckKind::PubRel, ack.packet_id, ReasonCode::SUCCESS);
                }
                Ok(PubRec::ReleaseAgain) => {
                    self.acknowledge(id, AckKind::PubRel, ack.packet_id, ReasonCode::SUCCESS);
                }
                Err(UnknownId) if ack.reason.is_error() => {}
                Err(UnknownId) => {
                    let reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
                    self.acknowledge(id, AckKind::PubRel, ack.packet_id, reason);
                }
                Err(WrongStage) => return Err("PUBREC for a message of QoS 1"),
            },
            AckKind::PubComp => match flow.pubcomp(ack.packet_id) {
                Err(WrongStage) => return Err("PUBCOMP before PUBREC"),
                Ok(()) => self.note_completed(session_id, ack.packet_id),
                Err(UnknownId) => {}
            },
            AckKind::PubRel => {}
        }
        Ok(())
    }
}

/// The outbox of a connection, with a buffer in it; the shell will be told.
#[inline]
fn open_outbox<'a>(
    connection: &'a mut Connection,
    effects: &mut Effects,
    spare: &mut Vec<Vec<u8>>,
) -> &'a mut Vec<u8> {
    tell(connection, effects);
    if connection.outbox.capacity() == 0
        && let Some(buffer) = spare.pop()
    {
        connection.outbox = buffer;
    }
    &mut connection.outbox
}

/// Asks the shell to look at a connection, once until it does.
#[inline]
pub(super) fn tell(connection: &mut Connection, effects: &mut Effects) {
    if !std::mem::replace(&mut connection.told, true) {
        effects.wake.push(connection.id);
    }
}

/// Asks the shell to look at a connection even if it was asked before: it may
/// have been unable to take the outbox.
pub(super) fn urge(connection: &mut Connection, effects: &mut Effects) {
    connection.told = true;
    effects.wake.push(connection.id);
}
