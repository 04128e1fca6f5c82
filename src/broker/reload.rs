//! New settings, limits and rights while clients are connected.
//!
//! A client keeps what CONNACK promised it; everything else holds from the
//! next packet on. Read rights are asked for each delivery and write rights for
//! each publication, so new ones need no more than to be put in place.

use std::collections::HashMap;
use std::sync::Arc;

use super::connection::Promised;
use super::timers::{Millis, Timer};
use super::{ConnectionId, Core, Decision, Policy, Refusal, Settings};
use crate::codec::Version;

/// A client that is connected, for [`Core::expel`] to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// Its connection.
    pub connection: ConnectionId,
    /// The listener that it came through, as [`Policy::listener`] counts.
    pub listener: usize,
    /// The client identifier.
    pub client_id: &'a str,
    /// The user name, if it has one.
    pub username: Option<&'a str>,
    /// The version of the protocol.
    pub version: Version,
    /// What it was let in by.
    pub grounds: Grounds,
}

/// What a client was let in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// Nobody asked, or its user name was not checked.
    None,
    /// Its password.
    Password,
    /// The authentication method that it named.
    Method,
    /// Its certificate, or its pre-shared key.
    Certificate,
}

impl Grounds {
    pub(super) fn of(decision: Decision<'_>) -> Self {
        match decision {
            Decision::Allowed | Decision::Denied => Self::None,
            Decision::Verified => Self::Password,
            Decision::Proven(_) => Self::Method,
            Decision::Certified => Self::Certificate,
        }
    }
}

impl Core {
    /// Takes new settings, and for each listener that `policies` has one for,
    /// by its number, the new policy: for its connections and for the sessions
    /// whose clients are away.
    ///
    /// The receive maximum, the aliases and the keep alive that a client was
    /// told hold for its connection, and what waits in a queue above a new
    /// limit stays there. A session
    /// lives no longer from now on than
    /// [`max_session_expiry`](Settings::max_session_expiry) allows. Nobody is
    /// disconnected; see [`expel`](Self::expel).
    pub fn reconfigure(&mut self, now: Millis, settings: Settings, policies: &[Arc<Policy>]) {
        self.peers.now = now;
        let before = std::mem::replace(&mut self.peers.settings, settings);
        for policy in policies {
            self.set_policy(Arc::clone(policy));
        }
        let policies: HashMap<_, _> = policies.iter().map(|p| (p.listener, p)).collect();
        for (_, connection) in &mut self.peers.connections {
            if let Some(policy) = policies.get(&connection.policy.listener) {
                connection.policy = Arc::clone(policy);
            }
            let granted =
                Promised::new(connection.version, &self.peers.settings, &connection.policy);
            connection.promised = connection.promised.widened(granted);
            let window = self.peers.settings.max_inflight_messages;
            if let Some(session) = connection.session()
                && let Some(session) = self.peers.sessions.get_mut(session.slot as usize)
            {
                let window = window.min(connection.receive_maximum);
                session.outgoing.set_window(window);
                let bytes = self.peers.settings.max_inflight_bytes;
                session.outgoing.limit_bytes(bytes);
            }
        }
        let limit = self.peers.settings.max_session_expiry;
        let latest = now.saturating_add(limit);
        for (_, session) in &mut self.peers.sessions {
            if let Some(policy) = policies.get(&session.policy.listener) {
                session.policy = Arc::clone(policy);
            }
            if session.policy.is_bridge {
                continue;
            }
            session.expiry = session.expiry.min(limit);
            if session.connection.is_none() && session.ends_at > latest {
                session.ends_at = latest;
                self.peers.timers.set(latest, Timer::SessionEnd(session.id));
            }
        }
        // Whether overlapping subscriptions are merged is a part of a route.
        self.subscriptions.forget_routes();
        let settings = &self.peers.settings;
        if settings.retain_expiry_interval != before.retain_expiry_interval {
            self.peers.timers.retain(|_, t| t != Timer::Retained);
            self.start_expiry();
        }
        if self.peers.settings.sys_interval != before.sys_interval {
            self.peers.timers.retain(|_, t| t != Timer::Sys);
            self.start_sys();
        }
    }

    /// Disconnects the clients for which `judge` has a refusal: in MQTT 5 with
    /// its reason, in 3.x without a word. Their wills are published as after
    /// any connection that didn't end by the client's DISCONNECT (3.1.2.5).
    /// Returns how many they were.
    pub fn expel(
        &mut self,
        now: Millis,
        mut judge: impl FnMut(&Guest<'_>) -> Option<Refusal>,
    ) -> usize {
        self.peers.now = now;
        let mut condemned = Vec::new();
        for (_, connection) in &self.peers.connections {
            let session = connection
                .session()
                .and_then(|id| self.peers.sessions.get(id.slot as usize));
            let Some(session) = session else {
                continue;
            };
            let guest = Guest {
                connection: connection.id,
                listener: connection.policy.listener,
                client_id: &session.client_id,
                username: session.username.as_deref(),
                version: connection.version,
                grounds: connection.grounds,
            };
            if let Some(refusal) = judge(&guest) {
                condemned.push((connection.id, refusal));
            }
        }
        for &(id, refusal) in &condemned {
            self.close(id, refusal);
        }
        condemned.len()
    }
}
