//! Sessions and connections, and what they share.

use std::sync::Arc;

use slab::Slab;

use super::Effects;
use super::connection::{Connection, ConnectionId, Stage};
use super::denial::Denials;
use super::journal::Journal;
use super::memory::Ledger;
use super::publication::Delivery;
use super::session::{Session, SessionId};
use super::settings::Settings;
use super::stats::Stats;
use super::timers::{Millis, Timer, Timers};
use crate::config::LogType;

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

    /// A ledger for a publication on its way in.
    pub(super) fn ledger(&self) -> Option<Ledger> {
        (self.settings.memory_limit < usize::MAX).then(|| self.ledger.clone())
    }
}

/// The outbox of a connection, with a buffer in it; the shell will be told.
#[inline]
pub(super) fn open_outbox<'a>(
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
