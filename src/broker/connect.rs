//! CONNECT (3.1): what a client may ask for, and how a session begins, is
//! taken over and ends.

use std::sync::Arc;

use super::connection::{ConnectionId, Stage};
use super::publication::{MessageProperties, Publication};
use super::session::{Session, SessionId, Will};
use super::timers::{Millis, Timer};
use super::{Core, Policy, Refusal};
use crate::codec::{
    ConnAck, Connect, Packet, Properties, Property, ReasonCode, RefusedConnect, Version,
};
use crate::config::LogType;
use crate::session::{Incoming, Outgoing, aliases};

/// What authentication said about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The credentials are right, or none were needed.
    Allowed,
    /// They are wrong or missing.
    Denied,
}

/// A session expiry interval that never ends (3.1.2.11.2).
const NEVER: Millis = Millis::MAX;

impl Core {
    /// A connection brought its CONNECT. `nonce` is a fresh random number, for
    /// a client identifier where the client has none.
    pub fn connect(
        &mut self,
        now: Millis,
        id: ConnectionId,
        connect: &Connect<'_>,
        decision: Decision,
        nonce: u128,
    ) {
        self.peers.now = now;
        self.peers.stats.messages_received += 1;
        self.peers.stats.connects += 1;
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        if connection.stage != Stage::Greeting {
            return;
        }
        connection.version = connect.version;
        connection.is_bridge = connect.bridge;
        connection.heard = now;
        let policy = Arc::clone(&connection.policy);
        let outcome = self
            .admit(&policy, connect, decision, nonce)
            .map(|client_id| self.accept(id, connect, client_id));
        if let Err(refusal) = outcome {
            self.refuse(id, connect, refusal);
        }
    }

    /// A connection brought a CONNECT that cannot be decoded.
    pub fn refuse_connect(&mut self, now: Millis, id: ConnectionId, refused: &RefusedConnect) {
        self.peers.now = now;
        self.peers.stats.messages_received += 1;
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        if let Some((version, reason)) = refused.connack {
            connection.version = version;
            let properties = Properties::new();
            let packet = ConnAck {
                session_present: false,
                reason,
                properties,
            };
            self.peers.send(id, &Packet::ConnAck(packet));
        }
        self.close(id, Refusal::Undecodable(refused.error));
    }

    /// A connection brought something else, or nothing in time.
    pub fn refuse_silently(&mut self, now: Millis, id: ConnectionId, why: &'static str) {
        self.peers.now = now;
        self.close(id, Refusal::Unexpected(why));
    }

    fn refuse(&mut self, id: ConnectionId, connect: &Connect<'_>, refusal: Refusal) {
        let reason = match connect.version {
            Version::V5 => Some(refusal.reason()),
            _ => refusal.return_code().map(ReasonCode),
        };
        // What a CONNACK without properties takes; there are clients to which
        // even that is too long (3.1.2.11.4).
        let takes = crate::property!(connect.properties, MaximumPacketSize).unwrap_or(5);
        if let Some(reason) = reason
            && takes >= 5
        {
            let properties = Properties::new();
            let packet = ConnAck {
                session_present: false,
                reason,
                properties,
            };
            self.peers.send(id, &Packet::ConnAck(packet));
        }
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        let peer = connection.peer.clone();
        self.peers.end(id);
        self.peers.log_connection(|_| {
            let user = connect
                .username
                .map(|name| format!(", user {name}"))
                .unwrap_or_default();
            format!(
                "Client {} [{peer}{user}] disconnected{}.",
                if connect.client_id.is_empty() {
                    "<unknown>"
                } else {
                    connect.client_id
                },
                refusal.text(),
            )
        });
    }

    /// Checks everything that a CONNECT asks for, in Mosquitto's order, and
    /// finds the client identifier.
    fn admit(
        &self,
        policy: &Policy,
        connect: &Connect<'_>,
        decision: Decision,
        nonce: u128,
    ) -> Result<Arc<str>, Refusal> {
        if !policy.versions[connect.version as usize - Version::V31 as usize] {
            return Err(Refusal::Version);
        }
        if crate::property!(connect.properties, AuthenticationMethod).is_some() {
            return Err(Refusal::AuthenticationMethod);
        }
        let client_id = client_id(policy, connect, nonce)?;
        let too_long = connect.keep_alive > self.peers.settings.max_keep_alive;
        if too_long && connect.version != Version::V5 {
            return Err(Refusal::KeepAliveTooLong);
        }
        if let Some(will) = &connect.will {
            if will.qos as u8 > policy.max_qos {
                return Err(Refusal::QoS);
            }
            if will.retain && !self.peers.settings.retain_available {
                return Err(Refusal::Retain);
            }
        }
        if decision == Decision::Denied {
            return Err(Refusal::NotAuthorized);
        }
        if let Some(will) = &connect.will
            && !super::publish::may_write(policy, &client_id, connect.username, will.topic)
        {
            return Err(Refusal::NotAuthorized);
        }
        // A client that takes its own session over needs no further place.
        let present = self.clients.get(&client_id).and_then(|id| {
            self.peers
                .sessions
                .get(id.slot as usize)
                .and_then(|session| session.connection)
        });
        let here = policy
            .max_connections
            .min(self.peers.settings.max_connections);
        if self.connected >= here && present.is_none() {
            return Err(Refusal::TooManyConnections);
        }
        Ok(client_id)
    }

    /// Begins or takes up a session, and says so.
    fn accept(&mut self, id: ConnectionId, connect: &Connect<'_>, client_id: Arc<str>) {
        let now = self.peers.now;
        let existing = self.clients.get(&client_id).copied();
        if let Some(session) = existing {
            self.take_over(session);
        }
        // The old connection's end may have ended the session.
        let existing = existing.filter(|session| self.peers.session(*session).is_some());
        if connect.clean_start
            && let Some(session) = existing
        {
            self.end_session(session);
        }
        let resumed = existing.filter(|_| !connect.clean_start);
        let session = resumed.unwrap_or_else(|| self.new_session(id, connect, &client_id));
        self.connected += 1;
        let stats = &mut self.peers.stats;
        stats.clients_maximum = stats.clients_maximum.max(self.connected);

        let expiry_interval = crate::property!(connect.properties, SessionExpiryInterval);
        let expiry = self.session_expiry(connect.version, connect.clean_start, expiry_interval);
        let window = self
            .peers
            .settings
            .max_inflight_messages
            .min(crate::property!(connect.properties, ReceiveMaximum).unwrap_or(u16::MAX));
        let will = connect
            .will
            .as_ref()
            .map(|will| Box::new(stored_will(will)));
        let keep_alive = connect.keep_alive.min(self.peers.settings.max_keep_alive);
        let keep_alive = match connect.keep_alive {
            0 if self.peers.settings.max_keep_alive < u16::MAX
                && connect.version == Version::V5 =>
            {
                self.peers.settings.max_keep_alive
            }
            _ => keep_alive,
        };
        let aliases = crate::property!(connect.properties, TopicAliasMaximum)
            .unwrap_or(0)
            .min(self.peers.settings.max_topic_alias_broker);

        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        connection.stage = Stage::Open(session);
        connection.patience = Millis::from(keep_alive) * 1500;
        connection.max_packet_size = crate::property!(connect.properties, MaximumPacketSize)
            .map_or(usize::MAX, |size| size as usize);
        connection.expiry_fixed =
            connect.version == Version::V5 && expiry_interval.unwrap_or(0) == 0;
        connection.assigned_aliases =
            (aliases > 0).then(|| Box::new(aliases::Assigned::new(aliases)));
        let (patience, peer) = (connection.patience, connection.peer.clone());
        let policy = Arc::clone(&connection.policy);
        if patience > 0 {
            self.peers.timers.set(now + patience, Timer::KeepAlive(id));
        }
        if let Some(session) = self.peers.session(session) {
            session.connection = Some(id);
            session.version = connect.version;
            session.username = connect.username.map(Into::into);
            session.policy = Arc::clone(&policy);
            session.expiry = expiry;
            session.will = will;
            session.outgoing.resume(window);
            session.incoming.resume();
        }
        self.peers.log_connection(|_| {
            let user = connect
                .username
                .map(|name| format!(", u'{name}'"))
                .unwrap_or_default();
            format!(
                "New client connected from {peer} as {client_id} (p{}, c{}, k{}{user}).",
                connect.version as u8,
                u8::from(connect.clean_start),
                connect.keep_alive,
            )
        });
        let server_keep_alive = (keep_alive != connect.keep_alive).then_some(keep_alive);
        let assigned = connect.client_id.is_empty().then_some(&*client_id);
        self.greet(id, &policy, resumed.is_some(), assigned, server_keep_alive);
        self.peers.pump(id);
    }

    /// CONNACK, with the properties in Mosquitto's order.
    fn greet(
        &mut self,
        id: ConnectionId,
        policy: &Policy,
        session_present: bool,
        assigned: Option<&str>,
        keep_alive: Option<u16>,
    ) {
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        let (version, max_packet_size) = (connection.version, connection.max_packet_size);
        let settings = &self.peers.settings;
        let mut properties = Properties::new();
        if version == Version::V5 {
            if policy.max_topic_alias > 0 {
                properties.push(Property::TopicAliasMaximum(policy.max_topic_alias));
            }
            if let Some(client_id) = assigned {
                properties.push(Property::AssignedClientIdentifier(client_id));
            }
            if let Some(seconds) = keep_alive {
                properties.push(Property::ServerKeepAlive(seconds));
            }
            if policy.max_qos < 2 {
                properties.push(Property::MaximumQoS(policy.max_qos));
            }
            if !settings.retain_available {
                properties.push(Property::RetainAvailable(0));
            }
            properties.push(Property::MaximumPacketSize(settings.max_packet_size));
            if settings.max_inflight_messages < u16::MAX {
                properties.push(Property::ReceiveMaximum(settings.max_inflight_messages));
            }
        }
        // MQTT 3.1 has no session-present flag (its byte is reserved).
        let session_present = session_present && version != Version::V31;
        let length = 5 + properties.as_bytes().len();
        let packet = ConnAck {
            session_present,
            reason: ReasonCode::SUCCESS,
            properties,
        };
        if length > max_packet_size {
            self.close_silently(id);
            return;
        }
        self.peers.log(LogType::Debug, |peers| {
            format!(
                "Sending CONNACK to {} ({}, 0)",
                peers.name(id),
                u8::from(session_present)
            )
        });
        self.peers.send(id, &Packet::ConnAck(packet));
    }

    /// Ends a connection that cannot be told why: its packets are too small.
    fn close_silently(&mut self, id: ConnectionId) {
        self.detach(id, true);
        self.peers.end(id);
    }

    /// Ends the connection that a session has, because another one came.
    fn take_over(&mut self, session: SessionId) {
        let Some(session) = self.peers.session(session) else {
            return;
        };
        let client_id = Arc::clone(&session.client_id);
        if let Some(old) = session.connection {
            self.peers.log_connection(|_| {
                format!("Client {client_id} already connected, closing old connection.")
            });
            self.close(old, Refusal::TakenOver);
        }
    }

    fn new_session(
        &mut self,
        connection: ConnectionId,
        connect: &Connect<'_>,
        client_id: &Arc<str>,
    ) -> SessionId {
        self.last_generation = self.last_generation.wrapping_add(1);
        let policy = self
            .peers
            .connection(connection)
            .map(|c| Arc::clone(&c.policy));
        let entry = self.peers.sessions.vacant_entry();
        let id = SessionId {
            slot: entry.key() as u32,
            generation: self.last_generation,
        };
        entry.insert(Session {
            id,
            client_id: Arc::clone(client_id),
            username: None,
            policy: policy.unwrap_or_default(),
            version: connect.version,
            connection: None,
            expiry: 0,
            ends_at: NEVER,
            will: None,
            outgoing: Outgoing::new(1),
            queued_bytes: 0,
            overflow_told: false,
            incoming: Incoming::default(),
            subscriptions: std::collections::HashSet::new(),
        });
        self.clients.insert(Arc::clone(client_id), id);
        id
    }

    /// How long a session outlives its connection (3.1.2.11.2; in 3.x clean
    /// session says it), within `persistent_client_expiration`.
    pub(super) fn session_expiry(
        &self,
        version: Version,
        clean_start: bool,
        interval: Option<u32>,
    ) -> Millis {
        let wanted = match (version, interval) {
            (Version::V5, Some(u32::MAX)) => NEVER,
            (Version::V5, interval) => Millis::from(interval.unwrap_or(0)) * 1000,
            _ if clean_start => 0,
            _ => NEVER,
        };
        wanted.min(self.peers.settings.max_session_expiry)
    }

    /// Parts a session from its connection, which ends now. `with_will`: not
    /// by a normal DISCONNECT.
    pub(super) fn detach(&mut self, id: ConnectionId, with_will: bool) {
        let now = self.peers.now;
        let Some(session_id) = self.peers.connection(id).and_then(|c| c.session()) else {
            return;
        };
        if let Some(connection) = self.peers.connection(id) {
            connection.stage = Stage::Closing;
            connection.last_route = None;
        }
        self.connected -= 1;
        let Some(session) = self.peers.session(session_id) else {
            return;
        };
        session.connection = None;
        if !with_will {
            session.will = None;
        }
        let (transient, expiry) = (session.is_transient(), session.expiry);
        session.ends_at = now.saturating_add(expiry);
        let ends_at = session.ends_at;
        if transient {
            self.end_session(session_id);
            return;
        }
        if let Some(will) = &mut session.will {
            let due = now + will.delay.min(expiry);
            will.due = Some(due);
            self.peers.timers.set(due, Timer::Will(session_id));
            self.check_will(session_id);
        }
        if ends_at != NEVER {
            self.peers
                .timers
                .set(ends_at, Timer::SessionEnd(session_id));
        }
    }

    pub(super) fn check_session_end(&mut self, id: SessionId) {
        let now = self.peers.now;
        let due = |session: &mut Session| session.connection.is_none() && session.ends_at <= now;
        if self.peers.session(id).is_some_and(due) {
            self.peers.stats.expired += 1;
            self.peers.log_connection(|peers| {
                let client_id = &peers.sessions[id.slot as usize].client_id;
                format!("Expiring client {client_id} due to timeout.")
            });
            self.end_session(id);
        }
    }

    /// Ends a session: its will is due now (3.1.2.5), what it held of shared
    /// subscriptions goes to other members.
    pub(super) fn end_session(&mut self, id: SessionId) {
        if self.peers.session(id).is_none() {
            return;
        }
        let mut session = self.peers.sessions.remove(id.slot as usize);
        self.clients.remove(&session.client_id);
        for key in std::mem::take(&mut session.subscriptions) {
            self.subscriptions.unsubscribe(id, key);
        }
        if let Some(will) = session.will.take() {
            self.publish_will(&session, *will);
        }
        let orphans: Vec<_> = session
            .outgoing
            .into_undelivered()
            .filter(|delivery| delivery.group.is_some())
            .collect();
        for delivery in orphans {
            let Some(group) = delivery.group else {
                continue;
            };
            let peers = &self.peers;
            let chosen = self
                .subscriptions
                .choose(group, |session| peers.rank(session));
            if let Some(target) = chosen {
                let connection = self
                    .peers
                    .session(target.session)
                    .and_then(|s| s.connection);
                self.peers.enqueue(target.session, delivery);
                if let Some(connection) = connection {
                    self.peers.pump(connection);
                }
            }
        }
    }
}

/// The client identifier that a client gets, by the rules of its version
/// (3.1.3.1) and of its listener.
fn client_id(policy: &Policy, connect: &Connect<'_>, nonce: u128) -> Result<Arc<str>, Refusal> {
    if policy.use_username_as_client_id {
        return connect
            .username
            .map(Into::into)
            .ok_or(Refusal::NotAuthorized);
    }
    if connect.client_id.is_empty() {
        let may = match connect.version {
            Version::V31 => false,
            Version::V311 => connect.clean_start,
            Version::V5 => true,
        };
        if !may || !policy.allow_zero_length_client_id {
            return Err(Refusal::ClientId);
        }
        return Ok(made_up_id(&policy.auto_id_prefix, nonce).into());
    }
    match &policy.client_id_prefix {
        Some(prefix) if !connect.client_id.starts_with(prefix.as_str()) => {
            Err(Refusal::NotAuthorized)
        }
        _ => Ok(connect.client_id.into()),
    }
}

/// An identifier in the form of a UUID, as Mosquitto makes them.
fn made_up_id(prefix: &str, nonce: u128) -> String {
    let hex = format!("{nonce:032X}");
    format!(
        "{prefix}{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

fn stored_will(will: &crate::codec::Will<'_>) -> Will {
    let properties = MessageProperties::new(&will.properties);
    Will {
        publication: Publication {
            topic: will.topic.into(),
            payload: bytes::Bytes::copy_from_slice(will.payload),
            properties: bytes::Bytes::copy_from_slice(&properties.kept),
            qos: will.qos,
            retain: will.retain,
            expires: None,
        },
        expiry: properties.expiry,
        delay: Millis::from(properties.will_delay) * 1000,
        due: None,
    }
}
