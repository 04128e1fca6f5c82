//! CONNECT (3.1): what a client may ask for, and what it is answered.

use std::sync::Arc;

use super::connection::{ConnectionId, Promised, Stage};
use super::denial::{Attempt, Denied, Explanation};
use super::proof::Proof;
use super::publication::{Extras, MessageProperties, Publication};
use super::publish::LONG_TOPIC;
use super::session::Will;
use super::timers::{Millis, Timer};
use super::{Core, Grounds, Policy, Refusal};
use crate::auth::{Access, Client};
use crate::codec::{
    BRIDGE, ConnAck, Connect, Packet, Properties, Property, ReasonCode, RefusedConnect, Version,
};
use crate::config::LogType;
use crate::session::aliases;

/// What authentication said about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// No credentials were needed: an anonymous client, or a user name that
    /// nobody checked. A CONNECT that names an authentication method doesn't
    /// come in by that.
    Allowed,
    /// User name and password are right; the same holds.
    Verified,
    /// The layers below MQTT know its user name; the same holds.
    Certified,
    /// They are wrong or missing, or the method denied.
    Denied,
    /// The method that CONNECT names is satisfied; its last data, for CONNACK.
    Proven(Option<&'a [u8]>),
}

impl Core {
    /// A connection brought its CONNECT. `nonce` is a fresh random number, for
    /// a client identifier where the client has none.
    pub fn connect(
        &mut self,
        now: Millis,
        id: ConnectionId,
        connect: &Connect<'_>,
        decision: Decision<'_>,
        nonce: u128,
    ) {
        self.peers.now = now;
        self.peers.stats.messages_received += 1;
        self.peers.stats.connects += 1;
        self.peers.journal.begin(0);
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        if connection.stage != Stage::Greeting {
            return;
        }
        connection.version = connect.version;
        let introduced = |property| matches!(property, Property::UserProperty(BRIDGE, _));
        connection.is_bridge = connect.bridge
            || connection.policy.is_bridge
            || connect.properties.iter().any(introduced);
        connection.max_packet_size = crate::property!(connect.properties, MaximumPacketSize)
            .map_or(usize::MAX, |size| size as usize);
        connection.wants_reasons =
            crate::property!(connect.properties, RequestProblemInformation) != Some(0);
        connection.heard = now;
        let policy = Arc::clone(&connection.policy);
        let outcome = self
            .admit(&policy, connect, decision, nonce)
            .map(|client_id| self.accept(id, &policy, connect, client_id, decision));
        if let Err(rejection) = outcome {
            self.refuse(id, connect, rejection);
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

    fn refuse(&mut self, id: ConnectionId, connect: &Connect<'_>, rejection: Rejection) {
        let Rejection { refusal, will } = rejection;
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
            // Reason strings explain denied rights and nothing else.
            let words = will.as_ref().and_then(|why| why.for_client.as_deref());
            let properties = match words {
                Some(words) => self.peers.reason_string(id, 5, words),
                None => Properties::new(),
            };
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
        if let (Some(why), Some(will)) = (&will, &connect.will) {
            let denied = Denied {
                client_id: match connect.client_id {
                    "" => "<unknown>",
                    client_id => client_id,
                },
                username: connect.username,
                address: Some(&peer),
                attempt: Attempt::Will,
                topic: will.topic,
            };
            self.peers.tell_denied(&denied, &why.for_log);
        }
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
        &mut self,
        policy: &Policy,
        connect: &Connect<'_>,
        decision: Decision<'_>,
        nonce: u128,
    ) -> Result<Arc<str>, Rejection> {
        if !policy.versions[connect.version as usize - Version::V31 as usize] {
            return Err(Refusal::Version.into());
        }
        if !matches!(decision, Decision::Denied | Decision::Proven(_))
            && crate::property!(connect.properties, AuthenticationMethod).is_some()
        {
            return Err(Refusal::AuthenticationMethod.into());
        }
        if !self.is_restored {
            return Err(Refusal::StoreFailed.into());
        }
        let client_id = client_id(policy, connect, nonce)?;
        let keep_alive = self.peers.settings.keep_alive(policy, connect.keep_alive);
        if keep_alive != connect.keep_alive && connect.version != Version::V5 {
            return Err(Refusal::KeepAliveTooLong.into());
        }
        if let Some(will) = &connect.will {
            if will.qos as u8 > policy.max_qos {
                return Err(Refusal::QoS.into());
            }
            if will.retain && !self.peers.settings.retain_available {
                return Err(Refusal::Retain.into());
            }
        }
        if decision == Decision::Denied {
            return Err(Refusal::NotAuthorized.into());
        }
        let client = Client {
            client_id: &client_id,
            username: connect.username,
        };
        if let Some(will) = &connect.will {
            let topic = policy.mounted(will.topic);
            if topic.len() > usize::from(u16::MAX) {
                return Err(LONG_TOPIC.into());
            }
            if let Some(denial) = policy.denial(&client, Access::Write, &topic) {
                return Err(Rejection {
                    refusal: Refusal::NotAuthorized,
                    will: Some(denial.explain()),
                });
            }
        }
        let here = self.connected_by_listener.get(&policy.listener);
        let full = !policy.is_bridge
            && (self.guests() >= self.peers.settings.max_connections
                || here.is_some_and(|count| *count >= policy.max_connections));
        // A client that takes its own session over needs no further place.
        if full && !self.is_connected(&client_id) {
            return Err(Refusal::TooManyConnections.into());
        }
        if !self.clients.contains_key(&client_id) {
            self.check_room()?;
        }
        Ok(client_id)
    }

    /// The clients that are connected, without our bridges.
    fn guests(&self) -> usize {
        let bridges = self.connected_by_listener.get(&Policy::BRIDGES);
        self.connected - bridges.copied().unwrap_or(0)
    }

    fn is_connected(&self, client_id: &str) -> bool {
        let session = self.clients.get(client_id);
        session
            .and_then(|id| self.peers.sessions.get(id.slot as usize))
            .is_some_and(|session| session.connection.is_some())
    }

    /// Begins or takes up a session, and says so.
    fn accept(
        &mut self,
        id: ConnectionId,
        policy: &Arc<Policy>,
        connect: &Connect<'_>,
        client_id: Arc<str>,
        decision: Decision<'_>,
    ) {
        let now = self.peers.now;
        let existing = self.clients.get(&client_id).copied();
        if let Some(session) = existing {
            // It may be due, and its timer not have been looked at.
            self.check_session_end(session);
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
        let session =
            resumed.unwrap_or_else(|| self.new_session(policy, connect.version, &client_id));
        self.connected += 1;
        *self
            .connected_by_listener
            .entry(policy.listener)
            .or_default() += 1;
        let stats = &mut self.peers.stats;
        stats.clients_maximum = stats.clients_maximum.max(self.connected);

        let expiry_interval = crate::property!(connect.properties, SessionExpiryInterval);
        let expiry = self.session_expiry(
            policy,
            connect.version,
            connect.clean_start,
            expiry_interval,
        );
        let receive_maximum =
            crate::property!(connect.properties, ReceiveMaximum).unwrap_or(u16::MAX);
        let window = self
            .peers
            .settings
            .max_inflight_messages
            .min(receive_maximum);
        let byte_window = self.peers.settings.max_inflight_bytes;
        let will = connect
            .will
            .as_ref()
            .map(|will| Box::new(stored_will(will, policy)));
        let keep_alive = self.peers.settings.keep_alive(policy, connect.keep_alive);
        let aliases = crate::property!(connect.properties, TopicAliasMaximum)
            .unwrap_or(0)
            .min(policy.max_topic_alias_broker);

        let promised = Promised::new(connect.version, &self.peers.settings, policy);
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        connection.stage = Stage::Open(session);
        connection.receive_maximum = receive_maximum;
        connection.promised = promised;
        connection.grounds = Grounds::of(decision);
        let method = crate::property!(connect.properties, AuthenticationMethod);
        connection.proof = method.map(|method| Box::new(Proof::new(method)));
        connection.patience = Millis::from(keep_alive) * 1500;
        connection.expiry_fixed =
            connect.version == Version::V5 && expiry_interval.unwrap_or(0) == 0;
        connection.assigned_aliases =
            (aliases > 0).then(|| Box::new(aliases::Assigned::new(aliases)));
        let (patience, peer) = (connection.patience, connection.peer.clone());
        let is_bridge = connection.is_bridge;
        if patience > 0 {
            self.peers.timers.set(now + patience, Timer::KeepAlive(id));
        }
        let gets_stamps = is_bridge && connect.version == Version::V5;
        self.subscriptions.set_bridge(session, gets_stamps);
        if let Some(session) = self.peers.session(session) {
            session.connection = Some(id);
            session.left = None;
            session.version = connect.version;
            session.is_bridge = gets_stamps;
            session.username = connect.username.map(Into::into);
            session.policy = Arc::clone(policy);
            session.source = None;
            session.expiry = expiry;
            session.will = will;
            session.outgoing.limit_bytes(byte_window);
            session.outgoing.resume(window);
            session.incoming.resume();
        }
        self.peers.log_connection(|_| {
            let user = connect
                .username
                .map(|name| format!(", u'{name}'"))
                .unwrap_or_default();
            let kind = if is_bridge { "bridge" } else { "client" };
            format!(
                "New {kind} connected from {peer} as {client_id} (p{}, c{}, k{}{user}).",
                connect.version as u8,
                u8::from(connect.clean_start),
                connect.keep_alive,
            )
        });
        let server_keep_alive = (keep_alive != connect.keep_alive).then_some(keep_alive);
        let assigned = connect.client_id.is_empty().then_some(&*client_id);
        let wanted =
            super::lifetime::wanted_expiry(connect.version, connect.clean_start, expiry_interval);
        let granted = (expiry < wanted).then_some((expiry / 1000) as u32);
        let granted = Granted {
            assigned,
            keep_alive: server_keep_alive,
            session_expiry: granted,
            is_bridge,
            method,
            data: match decision {
                Decision::Proven(data) => data,
                _ => None,
            },
        };
        self.peers.store_session(session);
        self.greet(id, policy, resumed.is_some(), &granted);
        self.peers.pump(id);
        self.rehome();
    }

    /// CONNACK, with the properties in Mosquitto's order.
    fn greet(
        &mut self,
        id: ConnectionId,
        policy: &Policy,
        session_present: bool,
        granted: &Granted<'_>,
    ) {
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        let (version, max_packet_size) = (connection.version, connection.max_packet_size);
        let receive_maximum = connection.promised.receive_maximum;
        let settings = &self.peers.settings;
        let mut properties = Properties::new();
        if version == Version::V5 {
            if policy.max_topic_alias > 0 {
                properties.push(Property::TopicAliasMaximum(policy.max_topic_alias));
            }
            if let Some(client_id) = granted.assigned {
                properties.push(Property::AssignedClientIdentifier(client_id));
            }
            if let Some(seconds) = granted.keep_alive {
                properties.push(Property::ServerKeepAlive(seconds));
            }
            if let Some(seconds) = granted.session_expiry {
                properties.push(Property::SessionExpiryInterval(seconds));
            }
            if let Some(method) = granted.method {
                properties.push(Property::AuthenticationMethod(method));
            }
            if let Some(data) = granted.data {
                properties.push(Property::AuthenticationData(data));
            }
            if granted.is_bridge {
                properties.push(Property::UserProperty(BRIDGE, ""));
            }
            if policy.max_qos < 2 {
                properties.push(Property::MaximumQoS(policy.max_qos));
            }
            if !settings.retain_available {
                properties.push(Property::RetainAvailable(0));
            }
            properties.push(Property::MaximumPacketSize(settings.max_packet_size));
            if receive_maximum < u16::MAX {
                properties.push(Property::ReceiveMaximum(receive_maximum));
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
        self.peers.answer_first(id, &Packet::ConnAck(packet));
    }

    /// Ends a connection that cannot be told why: its packets are too small.
    fn close_silently(&mut self, id: ConnectionId) {
        self.detach(id, true);
        self.peers.end(id);
    }
}

/// Why a CONNECT is refused.
struct Rejection {
    refusal: Refusal,
    /// Why the client may not publish its will, if it is that.
    will: Option<Explanation>,
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            will: None,
        }
    }
}

/// What a client gets other than it asked for (3.2.2.3).
struct Granted<'a> {
    assigned: Option<&'a str>,
    keep_alive: Option<u16>,
    session_expiry: Option<u32>,
    /// It is a bridge, and shall know that this broker is one of ours.
    is_bridge: bool,
    /// The authentication method that let it in, and its last data.
    method: Option<&'a str>,
    data: Option<&'a [u8]>,
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

fn stored_will(will: &crate::codec::Will<'_>, policy: &Policy) -> Will {
    let properties = MessageProperties::new(&will.properties);
    let delay = crate::property!(will.properties, WillDelayInterval).unwrap_or(0);
    let extras = Extras {
        properties: (&*properties.kept).into(),
        ..Extras::default()
    };
    Will {
        publication: Publication {
            topic: policy.mounted(will.topic).into(),
            payload: bytes::Bytes::copy_from_slice(will.payload),
            qos: will.qos,
            retain: will.retain,
            extras: extras.kept(),
        },
        expiry: properties.expiry,
        delay: Millis::from(delay) * 1000,
        due: None,
    }
}
