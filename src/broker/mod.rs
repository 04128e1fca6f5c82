//! The broker as a deterministic state machine.
//!
//! It is fed events (a connection opened, these packets came, it is now that
//! late) and leaves effects: bytes in the outboxes of connections, connections
//! that the shell should look at, log lines. It opens no socket, reads no
//! clock, draws no random number.
//!
//! | file | concept |
//! |---|---|
//! | `mod.rs` | the events |
//! | `connect.rs` | CONNECT: what is asked and answered |
//! | `proof.rs` | AUTH on an open connection |
//! | `lifetime.rs` | a session's begin, take-over and end |
//! | `estate.rs` | what a session leaves |
//! | `publish.rs` | a publication on its way in, and wills |
//! | `origin.rs` | stamps by which bridged brokers know what came around |
//! | `run.rs` | publications in a row that differ in their payloads only |
//! | `fanout.rs` | one publication while it is handed out |
//! | `peers.rs` | sessions and connections |
//! | `delivery.rs` | the way into outboxes and queues |
//! | `acks.rs` | acknowledgements from clients, many of them in a row |
//! | `work.rs` | what connections have to do: outboxes on their way to the shell |
//! | `answers.rs` | acknowledgements, and answers that wait for the store |
//! | `journal.rs` | what must be stored, and the answers that wait for it |
//! | `durable.rs` | what is told to the store |
//! | `restore.rs` | the way back from the store |
//! | `pressure.rs` | publishers that wait for a full receiver |
//! | `memory.rs` | what is held for clients, and `memory_limit` |
//! | `subscribe.rs` | SUBSCRIBE and UNSUBSCRIBE |
//! | `subscriptions.rs` | who is interested in what |
//! | `routes.rs` | who gets the messages of a topic, remembered |
//! | `retained.rs` | the last message of each topic |
//! | `session.rs`, `connection.rs`, `publication.rs` | what the names say |
//! | `bridge.rs` | what a bridge of this broker asks for beside its connection |
//! | `reload.rs` | new settings, limits and rights while clients are connected |
//! | `timers.rs`, `sys.rs`, `stats.rs` | time, `$SYS`, figures |
//! | `settings.rs`, `refusal.rs` | limits and rights, refusals |
//! | `denial.rs` | rights that are denied, and how often the log hears of it |

mod acks;
mod answers;
mod batch;
mod bridge;
mod connect;
mod connection;
mod delivery;
mod denial;
mod durable;
mod estate;
mod fanout;
mod journal;
mod lifetime;
mod memory;
mod origin;
mod peers;
mod pressure;
mod proof;
mod publication;
mod publish;
mod refusal;
mod reload;
mod restore;
mod retained;
mod routes;
mod run;
mod session;
mod settings;
mod stats;
mod subscribe;
mod subscriptions;
mod sys;
#[cfg(test)]
mod tests;
mod timers;
mod work;

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

pub use batch::Batch;
use batch::Progress;
pub use connect::Decision;
pub use connection::ConnectionId;
pub use denial::Denial;
pub use durable::ReadQueue;
pub use proof::{ProofRequest, auth};
pub use refusal::Refusal;
pub use reload::{Grounds, Guest};
pub use restore::Group;
pub use settings::{Policy, Settings};
pub use timers::Millis;
pub use work::{Outlook, Work};

use crate::codec::{Disconnect, Packet, Properties, QoS, ReasonCode, Version};
use crate::config::LogType;
use connection::{Connection, Promised, Stage};
use journal::Journal;
use memory::Ledger;
use peers::Peers;
use retained::Retained;
use session::SessionId;
use stats::Stats;
use subscriptions::Subscriptions;
use timers::{Timer, Timers};

/// How many topic filters are worked off before others have a turn.
const PORTION: usize = 256;

/// The core of the broker; see the module.
#[derive(Debug)]
pub struct Core {
    peers: Peers,
    clients: HashMap<Arc<str>, SessionId>,
    subscriptions: Subscriptions,
    retained: Retained,
    /// What the listeners ask of their clients, by their numbers.
    policies: HashMap<usize, Arc<Policy>>,
    sys: sys::Sys,
    origins: origin::Origins,
    /// More is held for clients than `memory_limit` allows.
    over_limit: bool,
    /// Whether what the store keeps is here.
    is_restored: bool,
    /// The store has no room.
    is_disk_full: bool,
    last_generation: u32,
    /// How many batches were received.
    batches: u64,
    connected: usize,
    /// The same by the number of the listener.
    connected_by_listener: HashMap<usize, usize>,
}

/// What an event asks the shell to do. Drained by the shell after each event.
#[derive(Debug, Default)]
pub struct Effects {
    /// Connections to look at with [`Core::take`].
    pub wake: Vec<ConnectionId>,
    /// Log lines.
    pub log: Vec<(LogType, String)>,
}

/// One subscription, as [`Core::subscriptions`] tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscribed {
    /// The topic filter, with `$share/` and the group where it is shared.
    pub filter: String,
    /// Whose it is.
    pub client_id: Arc<str>,
    /// The granted QoS.
    pub qos: QoS,
}

/// How a network connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client closed it.
    ByClient,
    /// It broke; the words are the system's.
    Broken(String),
}

impl Core {
    /// A broker without clients at the instant `now`.
    pub fn new(settings: Settings, now: Millis) -> Self {
        let mut broker = Self {
            peers: Peers {
                settings,
                now,
                connections: Slab::new(),
                sessions: Slab::new(),
                timers: Timers::default(),
                effects: Effects::default(),
                stats: Stats::default(),
                denials: denial::Denials::default(),
                journal: Journal::default(),
                spare: Vec::new(),
                orphans: Vec::new(),
                outboxes: 0,
                ledger: Ledger::default(),
            },
            clients: HashMap::new(),
            subscriptions: Subscriptions::default(),
            retained: Retained::default(),
            policies: HashMap::new(),
            sys: sys::Sys::new(now),
            origins: origin::Origins::default(),
            over_limit: false,
            is_restored: true,
            is_disk_full: false,
            last_generation: 0,
            batches: 0,
            connected: 0,
            connected_by_listener: HashMap::new(),
        };
        broker.start_sys();
        broker.start_expiry();
        broker
    }

    /// Makes the policy of a listener known, or puts it in the place of an
    /// earlier one. The rights of clients that are gone are asked for in it
    /// ([`Settings::check_retain_source`]).
    pub fn set_policy(&mut self, policy: Arc<Policy>) {
        self.policies.insert(policy.listener, policy);
    }

    /// The effects of the events since the last call, to be drained.
    pub fn effects(&mut self) -> &mut Effects {
        &mut self.peers.effects
    }

    /// A network connection was accepted. `peer` is its address for the log.
    pub fn open(&mut self, now: Millis, policy: Arc<Policy>, peer: &str) -> ConnectionId {
        self.peers.now = now;
        self.peers.tidy_timers();
        self.last_generation = self.last_generation.wrapping_add(1);
        let entry = self.peers.connections.vacant_entry();
        let id = ConnectionId {
            slot: entry.key() as u32,
            generation: self.last_generation,
        };
        let port = policy.port;
        entry.insert(Connection {
            id,
            policy,
            peer: peer.into(),
            stage: Stage::Greeting,
            version: Version::V311,
            is_bridge: false,
            wants_reasons: true,
            proof: None,
            outbox: Vec::new(),
            held: None,
            counted: 0,
            told: false,
            patience: 0,
            heard: now,
            max_packet_size: usize::MAX,
            receive_maximum: u16::MAX,
            promised: Promised::default(),
            grounds: Grounds::None,
            expiry_fixed: false,
            received_aliases: None,
            assigned_aliases: None,
            last_route: None,
            holds_up: Vec::new(),
            held_up_by: 0,
            holds_up_since: 0,
            watched: false,
            stalled: false,
            taken: now,
        });
        self.peers.stats.sockets += 1;
        self.peers
            .log_connection(|_| format!("New connection from {peer} on port {port}."));
        id
    }

    /// A connection brought packets after its CONNECT.
    pub fn receive(&mut self, now: Millis, id: ConnectionId, batch: &Batch<'_>) {
        while self.receive_some(now, id, batch) {}
    }

    /// The same in portions, so that packets with very many topic filters hold
    /// nobody up. True: there is more, and this connection must not bring
    /// anything else before.
    pub fn receive_some(&mut self, now: Millis, id: ConnectionId, batch: &Batch<'_>) -> bool {
        let mut progress = batch.progress.take();
        if progress.packets == 0 && progress.is_fresh() {
            self.peers.stats.bytes_received += batch.consumed() as u64;
            self.batches += 1;
            batch.number.set(self.batches);
        }
        progress.budget = PORTION;
        let more = self.work_off(now, id, batch, &mut progress);
        batch.progress.replace(progress);
        more
    }

    fn work_off(
        &mut self,
        now: Millis,
        id: ConnectionId,
        batch: &Batch<'_>,
        progress: &mut Progress,
    ) -> bool {
        self.peers.now = now;
        let Some(connection) = self.peers.connection(id) else {
            return false;
        };
        connection.heard = now;
        while let Some(arrival) = batch.packets.get(progress.packets) {
            // A packet before this one may have ended the connection.
            let Some(session) = self.peers.connection(id).and_then(|c| c.session()) else {
                return false;
            };
            if progress.is_fresh() && arrival.run.is_none() {
                self.peers.stats.messages_received += 1;
            }
            self.peers.journal.begin(progress.promised);
            let outcome = match &arrival.packet {
                Packet::Publish(publish) => match &arrival.run {
                    Some(run) => self.publish_run(id, session, publish, run, batch),
                    None => self.publish(id, session, publish, arrival.frame, batch),
                },
                Packet::Ack(kind, ack) => self.settle(id, session, *kind, ack, arrival.row),
                Packet::Subscribe(subscribe) => self.subscribe(id, session, subscribe, progress),
                Packet::Unsubscribe(unsubscribe) => {
                    self.unsubscribe(id, session, unsubscribe, progress)
                }
                other => self.handle(id, session, other),
            };
            if let Err(refusal) = outcome {
                self.close(id, refusal);
                return false;
            }
            if !progress.is_fresh() {
                progress.promised = self.peers.journal.promised().unwrap_or(0);
                return true;
            }
            progress.promised = 0;
            progress.packets += 1;
        }
        if let Some(error) = batch.error {
            self.close(id, error);
            return false;
        }
        self.peers.pump(id);
        self.rehome();
        self.watch_memory();
        false
    }

    fn handle(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        packet: &Packet<'_>,
    ) -> Result<(), Refusal> {
        match packet {
            Packet::PingReq => {
                self.peers.log(LogType::Debug, |peers| {
                    format!("Received PINGREQ from {}", peers.name(id))
                });
                // What an acknowledgement before it made room for goes first.
                self.peers.pump(id);
                self.peers.send(id, &Packet::PingResp);
                self.peers.log(LogType::Debug, |peers| {
                    format!("Sending PINGRESP to {}", peers.name(id))
                });
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.disconnect(id, session, disconnect),
            Packet::Auth(auth) => self.prove(id, session, auth),
            Packet::Connect(_) => Err(Refusal::Unexpected("a second CONNECT")),
            _ => Err(Refusal::Unexpected("a packet that only a server sends")),
        }
    }

    /// A client says goodbye (3.14).
    fn disconnect(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        packet: &Disconnect<'_>,
    ) -> Result<(), Refusal> {
        let Some(connection) = self.peers.connection(id) else {
            return Ok(());
        };
        let fixed = connection.expiry_fixed;
        let policy = Arc::clone(&connection.policy);
        if let Some(seconds) = crate::property!(packet.properties, SessionExpiryInterval) {
            if fixed && seconds != 0 {
                return Err(Refusal::Unexpected(
                    "a session expiry interval where CONNECT had 0",
                ));
            }
            let expiry = self.session_expiry(&policy, Version::V5, false, Some(seconds));
            if let Some(session) = self.peers.session(session) {
                session.expiry = expiry;
            }
        }
        let with_will = packet.reason != ReasonCode::SUCCESS;
        self.peers
            .log_connection(|peers| format!("Client {} disconnected.", peers.name(id)));
        self.detach(id, with_will);
        self.peers.end(id);
        Ok(())
    }

    /// A connection brought the bytes of its CONNECT, for the figures.
    pub fn count_received(&mut self, bytes: usize) {
        self.peers.stats.bytes_received += bytes as u64;
    }

    /// A connection brought a part of a packet.
    pub fn hear(&mut self, now: Millis, id: ConnectionId) {
        if let Some(connection) = self.peers.connection(id) {
            connection.heard = now;
        }
    }

    /// The network connection is over. Its place is free afterwards.
    pub fn closed(&mut self, now: Millis, id: ConnectionId, ended: &Ended) {
        self.peers.now = now;
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        if connection.session().is_some() {
            self.peers.log_connection(|peers| match ended {
                Ended::ByClient => format!("Client {} closed its connection.", peers.name(id)),
                Ended::Broken(why) => {
                    format!(
                        "Socket error on client {}, disconnecting: {why}.",
                        peers.name(id)
                    )
                }
            });
            self.detach(id, true);
        }
        self.peers.let_go(id);
        if let Some(connection) = self.peers.connections.try_remove(id.slot()) {
            self.peers.outboxes -= connection.counted;
        }
        self.watch_memory();
    }

    /// Ends a connection from our side, with the word that its version has.
    fn close(&mut self, id: ConnectionId, refusal: Refusal) {
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        if connection.stage == Stage::Closing {
            return;
        }
        let (version, open) = (connection.version, connection.session().is_some());
        self.peers.log_connection(|peers| {
            format!("Client {} disconnected{}.", peers.name(id), refusal.text())
        });
        if version == Version::V5 && open && refusal.is_told() {
            let properties = Properties::new();
            let disconnect = Disconnect {
                reason: refusal.reason(),
                properties,
            };
            self.peers.send(id, &Packet::Disconnect(disconnect));
        }
        if open {
            self.detach(id, true);
        }
        self.peers.end(id);
    }

    /// The store has failed: what was not committed is not promised to
    /// anybody. Everybody is sent away, what was stored is forgotten, and
    /// nobody is let in until [`restore`](Self::restore) brings it back.
    pub fn store_failed(&mut self, now: Millis) {
        self.peers.now = now;
        self.peers.journal.give_up();
        self.is_restored = false;
        for (_, session) in &mut self.peers.sessions {
            // The will of a stored session waits in the store.
            session.will.take_if(|_| session.durable.is_some());
        }
        let ids: Vec<_> = self.peers.connections.iter().map(|(_, c)| c.id).collect();
        for id in ids {
            self.close(id, Refusal::StoreFailed);
        }
        let sessions = self.peers.sessions.iter().map(|(_, session)| session);
        let stored = sessions.filter(|session| session.durable.is_some());
        let stored: Vec<_> = stored.map(|session| session.id).collect();
        for id in stored {
            self.forget_session(id);
        }
        self.retained = Retained::default();
        self.origins.forget();
        self.sys.forget_published();
    }

    /// Ends all connections, for the end of the broker. All wills are due now,
    /// and those who are connected still get them.
    pub fn shut_down(&mut self, now: Millis) {
        self.peers.now = now;
        self.publish_all_wills();
        let ids: Vec<_> = self.peers.connections.iter().map(|(_, c)| c.id).collect();
        for id in ids {
            self.close(id, Refusal::ShuttingDown);
        }
    }

    /// The number of clients that are connected.
    pub fn connected(&self) -> usize {
        self.connected
    }

    /// Who has subscribed to what, in no particular order.
    pub fn subscriptions(&self) -> Vec<Subscribed> {
        let mut all = Vec::new();
        self.subscriptions.for_each(|filter, group, session, qos| {
            if let Some(session) = self.peers.sessions.get(session.slot as usize) {
                all.push(Subscribed {
                    filter: group.map_or_else(
                        || filter.to_owned(),
                        |group| format!("$share/{group}/{filter}"),
                    ),
                    client_id: Arc::clone(&session.client_id),
                    qos,
                });
            }
        });
        all
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.peers.timers.next()
    }

    /// Time has passed: whatever is due happens.
    pub fn tick(&mut self, now: Millis) {
        self.peers.now = now;
        while let Some(timer) = self.peers.timers.pop_due(now) {
            match timer {
                Timer::KeepAlive(id) => self.check_keep_alive(id),
                Timer::Stalled(id) => self.peers.check_stalled(id),
                Timer::SessionEnd(id) => self.check_session_end(id),
                Timer::Will(id) => self.check_will(id),
                Timer::Retained => self.clear_expired_retained(),
                Timer::Sys => self.update_sys(),
            }
        }
        self.rehome();
        self.watch_memory();
    }

    fn clear_expired_retained(&mut self) {
        let now = self.peers.now;
        self.retained.clear_expired(now);
        self.store_expired();
        self.start_expiry();
    }

    fn start_expiry(&mut self) {
        if let Some(interval @ 1..) = self.peers.settings.retain_expiry_interval {
            self.peers
                .timers
                .set(self.peers.now + interval, Timer::Retained);
        }
    }

    /// A packet costs no timer: the deadline moves when it is looked at.
    fn check_keep_alive(&mut self, id: ConnectionId) {
        let now = self.peers.now;
        let Some(connection) = self.peers.connection(id) else {
            return;
        };
        if connection.session().is_none() {
            return;
        }
        let mut deadline = connection.heard + connection.patience;
        if deadline <= now && connection.held_up_by > 0 {
            // Whom we don't read from cannot be blamed for silence.
            deadline = now + connection.patience;
        }
        if deadline <= now {
            self.close(id, Refusal::KeepAlive);
        } else {
            self.peers.timers.set(deadline, Timer::KeepAlive(id));
        }
    }
}
