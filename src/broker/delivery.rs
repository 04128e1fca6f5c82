//! How a delivery reaches a session: straight into the outbox where there is
//! room, into the queue where there isn't, and from there as it drains.

use std::sync::Arc;

use super::connection::ConnectionId;
use super::fanout::Fanout;
use super::peers::{Peers, open_outbox};
use super::publication::Delivery;
use super::routes::Target;
use super::session::{Session, SessionId};
use super::settings::Settings;
use super::subscriptions::BEST;
use crate::codec::{AckKind, QoS, ReasonCode, Version};
use crate::config::LogType;
use crate::session::Resend;
use crate::store;

/// The size of an outbox, in bytes, from which deliveries wait in the queue
/// and publishers of QoS 0 pause.
pub(super) const SOFT_LIMIT: usize = 64 * 1024;

/// The size from which QoS 0 is lost even if the receiver drains: what many
/// publishers together may add before each of them pauses.
const HARD_LIMIT: usize = 4 * 1024 * 1024;

impl Peers {
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
        let delivery_of = |publication, pins| Delivery {
            publication,
            qos,
            retain,
            ids: target.ids.clone(),
            group,
            sequence: 0,
            replayed: false,
            pins,
        };
        let Some(connection) = connection else {
            if qos != QoS::AtMostOnce || self.settings.queue_qos0_messages {
                let delivery = delivery_of(fanout.detached(), 0);
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
            let delivery = delivery_of(publication, pins.unwrap_or(0));
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
        let delivery = (qos != QoS::AtMostOnce || !plain).then(|| delivery_of(fanout.shared(), 0));
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
}
