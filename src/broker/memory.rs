//! What the core holds for clients, and what happens above `memory_limit`.
//!
//! Above it nothing more is taken that would have to be kept: no publication
//! that somebody would queue or retain, no new session. Everything else goes on,
//! so that what is held can leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fanout::Fanout;
use super::routes::{Route, Target};
use super::session::SessionId;
use super::{Core, Refusal};
use crate::codec::QoS;
use crate::config::LogType;

/// About what a session and a connection take beside what is counted, in bytes.
const SESSION: usize = 1024;
const CONNECTION: usize = 768;

/// Counts bytes that live in many places.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Arc<AtomicUsize>);

impl Ledger {
    pub(super) fn weigh(&self, bytes: usize) -> Weight {
        let mut weight = Weight {
            ledger: self.clone(),
            bytes: 0,
        };
        weight.set(bytes);
        weight
    }
}

/// Bytes that count as long as it lives.
#[derive(Debug)]
pub(super) struct Weight {
    ledger: Ledger,
    bytes: usize,
}

impl Weight {
    pub(super) fn set(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        // Batches are dropped outside the core's lock.
        let total = &self.ledger.0;
        total.fetch_add(bytes, Ordering::Relaxed);
        total.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.ledger.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes with their weight.
pub(super) struct Weighed {
    bytes: Box<[u8]>,
    #[expect(dead_code, reason = "it counts while it lives")]
    weight: Weight,
}

impl Weighed {
    pub(super) fn new(bytes: &[u8], ledger: &Ledger) -> Self {
        Self {
            bytes: bytes.into(),
            weight: ledger.weigh(bytes.len()),
        }
    }
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Core {
    /// About how many bytes are held for clients. Publications count from the
    /// moment on when there is a limit.
    pub(super) fn memory(&self) -> usize {
        let peers = &self.peers;
        peers.ledger.0.load(Ordering::Relaxed)
            + peers.sessions.len() * SESSION
            + peers.connections.len() * CONNECTION
            + peers.outboxes
            + self.subscriptions.weight()
            + self.retained.weight()
    }

    /// Looks whether the limit is passed, in either direction, and tells.
    pub(super) fn watch_memory(&mut self) {
        let limit = self.peers.settings.memory_limit;
        if limit == usize::MAX && !self.over_limit {
            return;
        }
        let held = self.memory();
        // It ends a little below the limit, so that it doesn't flicker.
        let ends = limit - limit / 16;
        if !self.over_limit && held > limit {
            self.over_limit = true;
            self.peers.log(LogType::Warning, |_| {
                format!(
                    "memory_limit is reached: {held} bytes are held for clients, the limit is \
                     {limit}. New sessions are refused, and publications that would have to be \
                     queued or retained, until it is {ends} again."
                )
            });
        } else if self.over_limit && held <= ends {
            self.over_limit = false;
            self.peers.log(LogType::Notice, |_| {
                format!("memory_limit is kept again: {held} bytes are held for clients.")
            });
        }
    }

    /// Whether something may be taken that has to be kept.
    pub(super) fn check_room(&mut self) -> Result<(), Refusal> {
        self.watch_memory();
        if self.over_limit {
            return Err(Refusal::Full("there is no room below memory_limit"));
        }
        Ok(())
    }

    /// The same for a publication, which may be one that nobody would keep.
    pub(super) fn refuses(&mut self, route: &Route, fanout: &Fanout<'_>) -> Option<Refusal> {
        if self.is_disk_full && self.would_be_stored(route, fanout) {
            return Some(Refusal::Full("there is no room on the disk"));
        }
        let full = self.check_room().err()?;
        self.would_be_kept(route, fanout).then_some(full)
    }

    fn would_be_stored(&self, route: &Route, fanout: &Fanout<'_>) -> bool {
        let is_stored = |id: SessionId| {
            let session = self.peers.sessions.get(id.slot as usize);
            session.is_some_and(|session| session.durable.is_some())
        };
        let above_0 = fanout.qos != QoS::AtMostOnce || self.peers.settings.upgrade_outgoing_qos;
        let in_group = |group: &u32| {
            let mut members = self.subscriptions.members(*group);
            members.any(|target| is_stored(target.session))
        };
        fanout.retain && !fanout.payload.is_empty()
            || above_0
                && (route.targets.iter().any(|target| is_stored(target.session))
                    || route.groups.iter().any(in_group))
    }

    fn would_be_kept(&self, route: &Route, fanout: &Fanout<'_>) -> bool {
        if fanout.retain && !fanout.payload.is_empty() {
            return true;
        }
        let waits = |target: &Target| self.peers.would_wait(fanout, target);
        let in_group = |group: u32| {
            let members = self.subscriptions.members(group);
            let outlooks: Vec<_> = members.filter_map(|target| waits(&target)).collect();
            !outlooks.is_empty() && outlooks.iter().all(|wait| *wait)
        };
        route
            .targets
            .iter()
            .any(|target| waits(target) == Some(true))
            || route.groups.iter().any(|group| in_group(*group))
    }
}
