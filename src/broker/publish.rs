//! A publication on its way in: PUBLISH (3.3), wills (3.1.2.5), our own.

use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::batch::Batch;
use super::connection::ConnectionId;
use super::denial::{Attempt, Denied, Explanation};
use super::fanout::{Fanout, Frames};
use super::publication::MessageProperties;
use super::routes::Route;
use super::session::{Session, SessionId, Source, Will};
use super::{Core, Refusal};
use crate::codec::{AckKind, Frame, Publish, QoS, ReasonCode};
use crate::config::LogType;
use crate::session::Received;
use crate::store::Record;

/// What no packet has room for (1.5.4).
pub(super) const LONG_TOPIC: Refusal =
    Refusal::Unexpected("a topic name that is too long with the mount point");

impl Core {
    pub(super) fn publish(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        publish: &Publish<'_>,
        frame: Frame<'_>,
        batch: &Batch<'_>,
    ) -> Result<(), Refusal> {
        let mut properties = MessageProperties::new(&publish.properties);
        let alias = crate::property!(publish.properties, TopicAlias);
        self.log_received(id, publish);
        let stats = &mut self.peers.stats;
        stats.publish_received += 1;
        stats.publish_bytes_received += publish.payload.len() as u64;

        let route = self.find_route(id, publish.topic, alias)?;
        let Some(connection) = self.peers.connection(id) else {
            return Ok(());
        };
        let (version, promised) = (connection.version, connection.promised);
        let is_bridge = connection.is_bridge;
        let mount = connection.policy.mount_point.len();
        if publish.qos as u8 > promised.max_qos {
            return Err(Refusal::QoS);
        }
        if publish.retain && !promised.retain {
            return Err(Refusal::Retain);
        }
        let receive_maximum = promised.receive_maximum;
        if publish.qos == QoS::ExactlyOnce
            && !self.is_new(session, &route.topic, publish, receive_maximum)?
        {
            self.peers
                .acknowledge(id, AckKind::PubRec, publish.packet_id, ReasonCode::SUCCESS);
            return Ok(());
        }
        let stamp = if is_bridge {
            properties.take_stamp()
        } else {
            None
        };
        let refused = self.why_not(session, &route.topic, publish);
        let mut words = None;
        let reason = if let Some((reason, denial)) = refused {
            self.refuse_publish(session, publish, reason);
            if let Some(why) = denial {
                self.tell_denied(session, Attempt::Publish, &route.topic, &why.for_log);
                words = why.for_client;
            }
            reason
        } else {
            let mut fanout = Fanout::new(
                &route.topic,
                publish.payload,
                publish.qos,
                publish.retain,
                &properties,
                self.peers.now,
            );
            fanout.publisher = Some(session);
            if publish.retain {
                fanout.source = self.peers.session(session).map(Session::source);
            }
            fanout.mount = mount;
            fanout.ledger = self.peers.ledger();
            fanout.batch = Some(batch);
            fanout.stamp = stamp;
            if alias.is_none() && stamp.is_none() {
                fanout.frames = Frames::received(frame, version, publish.qos);
            }
            let came_around = stamp
                .as_ref()
                .is_some_and(|stamp| self.origins.knows(stamp, &route.topic));
            let full = match fanout.ledger {
                _ if came_around => None,
                None if !self.is_disk_full => None,
                _ => self.refuses(&route, &fanout),
            };
            if let Some(full) = full {
                self.peers.stats.dropped += 1;
                self.refuse_publish(session, publish, full.reason());
                if version != crate::codec::Version::V5 && publish.qos != QoS::AtMostOnce {
                    return Err(full);
                }
                full.reason()
            } else {
                if publish.qos == QoS::ExactlyOnce {
                    self.store_incoming(session, &route.topic, publish);
                }
                if let Some(stamp) = &stamp {
                    self.origins.remember(stamp, &route.topic);
                }
                let matched = came_around || self.distribute(&route, &mut fanout);
                // Only PUBACK tells that nobody listens, as in Mosquitto.
                if matched || publish.qos != QoS::AtLeastOnce {
                    ReasonCode::SUCCESS
                } else {
                    ReasonCode::NO_MATCHING_SUBSCRIBERS
                }
            }
        };
        let kind = match publish.qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => Some(AckKind::PubAck),
            QoS::ExactlyOnce => Some(AckKind::PubRec),
        };
        if let Some(kind) = kind {
            let (peers, packet_id) = (&mut self.peers, publish.packet_id);
            match words {
                None => peers.acknowledge(id, kind, packet_id, reason),
                Some(words) => peers.acknowledge_explained(id, kind, packet_id, reason, &words),
            }
        }
        if let Some(connection) = self.peers.connection(id) {
            connection.last_route = Some(route);
        }
        Ok(())
    }

    fn log_received(&mut self, id: ConnectionId, publish: &Publish<'_>) {
        self.peers.log(LogType::Debug, |peers| {
            format!(
                "Received PUBLISH from {} (d{}, q{}, r{}, m{}, '{}', ... ({} bytes))",
                peers.name(id),
                u8::from(publish.dup),
                publish.qos as u8,
                u8::from(publish.retain),
                publish.packet_id,
                publish.topic,
                publish.payload.len(),
            )
        });
    }

    /// The route of the topic that a PUBLISH names or has an alias for
    /// (3.3.2.3.4). The connection's last one is given away, until it is put back.
    pub(super) fn find_route(
        &mut self,
        id: ConnectionId,
        topic: &str,
        alias: Option<u16>,
    ) -> Result<Arc<Route>, Refusal> {
        let merge = !self.peers.settings.allow_duplicate_messages;
        let Some(connection) = self.peers.connection(id) else {
            return Ok(self.subscriptions.route(topic, merge));
        };
        let topic = match alias {
            None => topic,
            Some(alias) => {
                let maximum = connection.promised.topic_alias_maximum;
                if alias == 0 || alias > maximum {
                    return Err(Refusal::TopicAlias);
                }
                let aliases = connection.received_aliases.get_or_insert_default();
                if !topic.is_empty() {
                    aliases.set(alias, topic, maximum);
                }
                aliases
                    .get(alias)
                    .ok_or(Refusal::Unexpected("a topic alias that was never set"))?
            }
        };
        let policy = &connection.policy;
        let last = connection.last_route.take_if(|last| {
            policy.seen(&last.topic) == Some(topic) && self.subscriptions.is_current(last)
        });
        if let Some(last) = last {
            return Ok(last);
        }
        let topic = policy.mounted(topic);
        if topic.len() > usize::from(u16::MAX) {
            return Err(LONG_TOPIC);
        }
        Ok(self.subscriptions.route(&topic, merge))
    }

    /// Whether a message of QoS 2 is not a repeat.
    fn is_new(
        &mut self,
        session: SessionId,
        topic: &str,
        publish: &Publish<'_>,
        receive_maximum: u16,
    ) -> Result<bool, Refusal> {
        let Some(session) = self.peers.session(session) else {
            return Ok(false);
        };
        let fingerprint = fingerprint(topic, publish.payload);
        // The broker behind a bridge may have lost its session without the
        // bridge having heard: what is another message is no repeat then.
        let dup = publish.dup && !session.policy.is_bridge;
        match session
            .incoming
            .publish(publish.packet_id, dup, fingerprint, receive_maximum)
        {
            Received::New => Ok(true),
            Received::Repeat => Ok(false),
            Received::RepeatedTooOften => Err(Refusal::Unexpected(
                "the same message of QoS 2 for the third time",
            )),
            Received::TooMany => Err(Refusal::ReceiveMaximum),
        }
    }

    /// Why a client may not publish that, if it may not; with words where it
    /// has no right to.
    fn why_not(
        &mut self,
        session: SessionId,
        topic: &str,
        publish: &Publish<'_>,
    ) -> Option<(ReasonCode, Option<Explanation>)> {
        let limit = self.peers.settings.message_size_limit as usize;
        let session = self.peers.session(session)?;
        // A bridge tries again what there is no room for, but not that.
        let too_large = if session.policy.is_bridge {
            ReasonCode::IMPLEMENTATION_SPECIFIC
        } else {
            ReasonCode::QUOTA_EXCEEDED
        };
        if publish.payload.len() > limit {
            // Mosquitto says 0x95, which no acknowledgement can have; clients
            // that know their codes end the connection for it.
            return Some((too_large, None));
        }
        let denial = session.why_not_write(topic)?;
        Some((ReasonCode::NOT_AUTHORIZED, Some(denial.explain())))
    }

    /// Tells the log that a session's client was denied something.
    pub(super) fn tell_denied(
        &mut self,
        session: SessionId,
        attempt: Attempt,
        topic: &str,
        why: &str,
    ) {
        let Some(session) = self.peers.session(session) else {
            return;
        };
        let (client_id, username) = (Arc::clone(&session.client_id), session.username.clone());
        let connection = session.connection;
        let address = connection
            .and_then(|id| self.peers.connection(id))
            .map(|connection| connection.peer.clone());
        let denied = Denied {
            client_id: &client_id,
            username: username.as_deref(),
            address: address.as_deref(),
            attempt,
            topic,
        };
        self.peers.tell_denied(&denied, why);
    }

    /// The packet identifier of a message of QoS 2 is safe before its PUBREC.
    fn store_incoming(&mut self, session: SessionId, topic: &str, publish: &Publish<'_>) {
        let packet_id = publish.packet_id;
        self.peers.promise(session, |session| Record::PutIncoming {
            session,
            packet_id,
            fingerprint: fingerprint(topic, publish.payload),
        });
    }

    fn refuse_publish(&mut self, session: SessionId, publish: &Publish<'_>, reason: ReasonCode) {
        let Some(session) = self.peers.session(session) else {
            return;
        };
        session.incoming.refuse(publish.packet_id);
        let client_id = Arc::clone(&session.client_id);
        self.peers.log(LogType::Debug, |_| {
            format!(
                "Denied PUBLISH from {client_id} (d{}, q{}, r{}, m{}, '{}', ... ({} bytes)): {reason}",
                u8::from(publish.dup),
                publish.qos as u8,
                u8::from(publish.retain),
                publish.packet_id,
                publish.topic,
                publish.payload.len(),
            )
        });
    }

    /// Keeps a message if it is retained, and hands it to all who subscribed.
    /// Returns whether anybody has.
    pub(super) fn distribute(&mut self, route: &Route, fanout: &mut Fanout<'_>) -> bool {
        if route.reaches_bridge && fanout.stamp.is_none() {
            fanout.stamp = self.new_stamp(fanout.topic);
        }
        fanout.is_for_one = route.targets.len() == 1 && route.groups.is_empty();
        for target in &route.targets {
            self.peers.deliver(fanout, target, None);
        }
        for &group in &route.groups {
            let peers = &self.peers;
            let (topic, size) = (fanout.topic, fanout.payload.len());
            let chosen = self.subscriptions.choose(
                group,
                |session| peers.rank(session, size),
                |target| peers.takes(target, topic, || fanout.delivery_of(group)),
            );
            if let Some(target) = chosen {
                self.peers.deliver(fanout, &target, Some(group));
            }
        }
        // Last, when nobody else needs the copy.
        if fanout.retain {
            if !fanout.payload.is_empty() {
                let (publication, source) = (fanout.take_detached(), fanout.source.take());
                self.peers.store_retained(&publication, source.as_deref());
                self.retained.set(publication, source);
            } else if self.retained.clear(fanout.topic) {
                self.peers.drop_retained(fanout.topic, fanout.qos);
            }
        }
        !route.is_empty()
    }

    /// Publishes a will whose moment has come.
    pub(super) fn check_will(&mut self, id: SessionId) {
        let now = self.peers.now;
        let Some(session) = self.peers.session(id) else {
            return;
        };
        let due = session.will.as_ref().and_then(|will| will.due);
        if session.connection.is_none() && due.is_some_and(|due| due <= now) {
            self.publish_will_of(id);
        }
    }

    /// Publishes the will of every session, delayed or not.
    pub(super) fn publish_all_wills(&mut self) {
        let sessions = self.peers.sessions.iter();
        let testators = sessions.filter(|(_, session)| session.will.is_some());
        let ids: Vec<_> = testators.map(|(_, session)| session.id).collect();
        for id in ids {
            self.publish_will_of(id);
        }
    }

    pub(super) fn publish_will_of(&mut self, id: SessionId) {
        let Some(session) = self.peers.session(id) else {
            return;
        };
        let Some(will) = session.will.take() else {
            return;
        };
        self.peers.store_session(id);
        let Some(session) = self.peers.session(id) else {
            return;
        };
        // Rights are asked again: they may have changed since CONNECT.
        let topic = &will.publication.topic;
        match session.why_not_write(topic).map(|denial| denial.explain()) {
            None => {
                let source = session.source();
                self.publish_will(id, source, *will);
            }
            Some(why) => self.tell_denied(id, Attempt::Will, topic, &why.for_log),
        }
    }

    fn publish_will(&mut self, session: SessionId, source: Arc<Source>, will: Will) {
        let publication = will.publication;
        let mut live = publication.properties().to_vec();
        if let Some(seconds) = will.expiry {
            crate::codec::Property::MessageExpiryInterval(seconds).encode(&mut live);
        }
        let properties = MessageProperties {
            live: live.into(),
            kept: publication.properties().into(),
            expiry: will.expiry,
        };
        let (qos, retain) = (publication.qos, publication.retain);
        self.publish_own(
            Some((session, source)),
            &publication.topic,
            &publication.payload,
            qos,
            retain,
            &properties,
        );
    }

    /// Publishes a message that no connection sent. `publisher`: whose message
    /// it is; 'no local' subscriptions of that session are not reached.
    pub(super) fn publish_own(
        &mut self,
        publisher: Option<(SessionId, Arc<Source>)>,
        topic: &str,
        payload: &[u8],
        qos: QoS,
        retain: bool,
        properties: &MessageProperties<'_>,
    ) {
        let retain = retain && self.peers.settings.retain_available;
        let route = self
            .subscriptions
            .route(topic, !self.peers.settings.allow_duplicate_messages);
        let now = self.peers.now;
        let mut fanout = Fanout::new(&route.topic, payload, qos, retain, properties, now);
        (fanout.publisher, fanout.source) = publisher.unzip();
        fanout.ledger = self.peers.ledger();
        // A will is a client's; what the broker tells of itself, it may keep.
        if fanout.publisher.is_some() && self.refuses(&route, &fanout).is_some() {
            self.peers.stats.dropped += 1;
            return;
        }
        self.distribute(&route, &mut fanout);
    }
}

/// Tells one message from another with the same packet identifier (XXH3; a
/// collision only means that a peer's mistake isn't noticed). The topic is the
/// one that an alias stands for: a repeat spells it out.
fn fingerprint(topic: &str, payload: &[u8]) -> u64 {
    xxh3_64_with_seed(payload, xxh3_64(topic.as_bytes()))
}
