//! Enhanced authentication (4.12): AUTH on a connection that is open. The
//! shell runs the method; here is whose turn it is.

use std::sync::Arc;

use super::connection::ConnectionId;
use super::peers;
use super::session::SessionId;
use super::timers::Millis;
use super::{Core, Refusal};
use crate::auth::Step;
use crate::codec::{Auth, Packet, Properties, Property, ReasonCode};

/// How a client proved who it is, and whether it is about to do so again.
#[derive(Debug)]
pub(super) struct Proof {
    method: Box<str>,
    turn: Turn,
}

#[derive(Debug)]
enum Turn {
    /// It is proven.
    Nobody,
    /// What the client said waits for the shell.
    Ours(Option<Box<ProofRequest>>),
    /// The client has to answer.
    Client,
}

/// A step of a client's new proof, for the shell to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofRequest {
    /// Whether it is the first step.
    pub begins: bool,
    /// The method that CONNECT named.
    pub method: Box<str>,
    /// The client identifier.
    pub client_id: Arc<str>,
    /// The user name that was proven before.
    pub username: Option<Box<str>>,
    /// The authentication data of the packet.
    pub data: Option<Vec<u8>>,
}

impl Proof {
    pub(super) fn new(method: &str) -> Self {
        Self {
            method: method.into(),
            turn: Turn::Nobody,
        }
    }

    /// What the shell should run.
    pub(super) fn take(&mut self) -> Option<Box<ProofRequest>> {
        match &mut self.turn {
            Turn::Ours(request) => request.take(),
            Turn::Nobody | Turn::Client => None,
        }
    }
}

impl Core {
    /// AUTH from a client.
    pub(super) fn prove(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        packet: &Auth<'_>,
    ) -> Result<(), Refusal> {
        let Some(session) = self.peers.session(session) else {
            return Ok(());
        };
        let (client_id, username) = (Arc::clone(&session.client_id), session.username.clone());
        let Some(connection) = self.peers.connections.get_mut(id.slot()) else {
            return Ok(());
        };
        let Some(proof) = &mut connection.proof else {
            return Err(Refusal::Unexpected("AUTH without an authentication method"));
        };
        if crate::property!(packet.properties, AuthenticationMethod) != Some(&*proof.method) {
            return Err(Refusal::Unexpected(
                "AUTH with another authentication method",
            ));
        }
        let begins = packet.reason == ReasonCode::REAUTHENTICATE;
        match (&proof.turn, packet.reason) {
            (Turn::Nobody, ReasonCode::REAUTHENTICATE)
            | (Turn::Client, ReasonCode::CONTINUE_AUTHENTICATION) => {}
            _ => return Err(Refusal::Unexpected("AUTH out of turn")),
        }
        let data = crate::property!(packet.properties, AuthenticationData);
        proof.turn = Turn::Ours(Some(Box::new(ProofRequest {
            begins,
            method: proof.method.clone(),
            client_id,
            username,
            data: data.map(<[u8]>::to_vec),
        })));
        peers::tell(connection, &mut self.peers.effects);
        Ok(())
    }

    /// What the method says to the [`ProofRequest`] that was taken.
    pub fn proceed(&mut self, now: Millis, id: ConnectionId, step: &Step) {
        self.peers.now = now;
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        let Some(session) = connection.session() else {
            return;
        };
        let Some(proof) = &mut connection.proof else {
            return;
        };
        let (turn, reason, data) = match step {
            Step::Continue(data) => (
                Turn::Client,
                ReasonCode::CONTINUE_AUTHENTICATION,
                Some(&**data),
            ),
            Step::Accept { data, .. } => (Turn::Nobody, ReasonCode::SUCCESS, data.as_deref()),
            Step::Deny => return self.close(id, Refusal::NotAuthorized),
        };
        proof.turn = turn;
        let method = proof.method.clone();
        if let Step::Accept { username, .. } = step
            && self
                .peers
                .session(session)
                .is_some_and(|session| session.username.as_deref() != username.as_deref())
        {
            return self.close(id, Refusal::NotAuthorized);
        }
        let packet = auth(reason, &method, data);
        self.peers.send(id, &packet);
    }
}

/// An AUTH packet from us.
pub fn auth<'a>(reason: ReasonCode, method: &str, data: Option<&[u8]>) -> Packet<'a> {
    let mut properties = Properties::new();
    properties.push(Property::AuthenticationMethod(method));
    if let Some(data) = data {
        properties.push(Property::AuthenticationData(data));
    }
    Packet::Auth(Auth { reason, properties })
}
