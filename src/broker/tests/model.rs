//! What a broker owes to its clients, as simple as it can be said: no queues,
//! no windows, no bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::broker::Millis;
use crate::codec::{AckKind, Packet, Publish, QoS, RetainHandling};
use crate::topic;

/// A client, by its number.
pub(super) type Who = usize;

/// A message; its payload begins with its number.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) serial: usize,
    pub(super) publisher: Option<Who>,
    pub(super) topic: String,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// A will is numbered long before it is published.
    pub(super) will: bool,
    /// Seconds.
    pub(super) expiry: Option<u32>,
}

/// How often a message may and must come at one QoS.
#[derive(Clone, Copy, Debug, Default)]
struct Debt {
    allowed: u32,
    owed: u32,
    /// Without DUP, and as the client counts.
    fresh: u32,
    accepted: u32,
    /// It came to the broker again, or was retained: others may be earlier.
    late: bool,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    qos: QoS,
    no_local: bool,
}

#[derive(Clone, Debug)]
struct Will {
    message: Message,
    delay: Millis,
    due: Option<Millis>,
}

#[derive(Debug, Default)]
struct Session {
    filters: BTreeMap<String, Wanted>,
    unreleased: HashSet<u16>,
    debts: HashMap<(usize, QoS), Debt>,
    /// The highest number that came first, by publisher, topic and QoS.
    order: HashMap<(Option<Who>, String, QoS), usize>,
    connected: bool,
    expiry: Millis,
    ends_at: Millis,
    will: Option<Will>,
}

/// A message of a shared subscription belongs to the group, not to a member.
#[derive(Debug, Default)]
struct Shared {
    members: BTreeSet<Who>,
    /// How often it was without members: what it held is lost then.
    lost: u32,
}

/// What was handed to groups: how often, and how often it came.
#[derive(Debug, Default)]
struct SharedDebt {
    allowed: u32,
    accepted: u32,
    /// Groups that owe it, as they were then.
    owed: Vec<(String, u32)>,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    now: Millis,
    sessions: BTreeMap<Who, Session>,
    retained: BTreeMap<String, (Message, Millis)>,
    groups: BTreeMap<String, Shared>,
    shared: HashMap<usize, SharedDebt>,
    messages: Vec<Message>,
    routed: HashSet<usize>,
    /// Whether queues have limits, so that nothing is owed.
    pub(super) lossy: bool,
}

/// What CONNECT says about a session.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) clean_start: bool,
    pub(super) expiry: Millis,
    pub(super) will: Option<(Message, Millis)>,
}

pub(super) const NEVER: Millis = Millis::MAX;

impl Model {
    /// A number for the next message.
    pub(super) fn register(&mut self, mut message: Message) -> Message {
        message.serial = self.messages.len();
        self.messages.push(message.clone());
        message
    }

    pub(super) fn away(&self) -> Vec<Who> {
        let away = self.sessions.iter().filter(|(_, s)| !s.connected);
        away.map(|(who, _)| *who).collect()
    }

    /// Returns whether the client finds a session.
    pub(super) fn connect(&mut self, who: Who, arrival: Arrival) -> bool {
        if self.sessions.get(&who).is_some_and(|s| s.connected) {
            self.part(who, true);
        }
        if arrival.clean_start {
            self.end(who);
        }
        let present = self.sessions.contains_key(&who);
        let session = self.sessions.entry(who).or_default();
        session.connected = true;
        session.expiry = arrival.expiry;
        session.will = arrival.will.map(|(message, delay)| Will {
            message,
            delay,
            due: None,
        });
        present
    }

    /// The connection of a client ends.
    pub(super) fn part(&mut self, who: Who, with_will: bool) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(&who) else {
            return;
        };
        session.connected = false;
        session.ends_at = now.saturating_add(session.expiry);
        if !with_will {
            session.will = None;
        }
        if let Some(will) = &mut session.will {
            will.due = Some(now + will.delay.min(session.expiry));
        }
        self.pass_to(now);
    }

    /// Everything that is due until then happens.
    pub(super) fn pass_to(&mut self, now: Millis) {
        self.now = now;
        for who in self.away() {
            let Some(session) = self.sessions.get_mut(&who) else {
                continue;
            };
            let due = session.will.as_ref().and_then(|will| will.due);
            if due.is_some_and(|due| due <= now)
                && let Some(will) = session.will.take()
            {
                self.route(&will.message);
            }
            if self.sessions.get(&who).is_some_and(|s| s.ends_at <= now) {
                self.end(who);
            }
        }
    }

    fn end(&mut self, who: Who) {
        let Some(session) = self.sessions.remove(&who) else {
            return;
        };
        let filters: Vec<_> = self.groups.keys().cloned().collect();
        for filter in filters {
            self.leave(who, &filter);
        }
        if let Some(will) = session.will {
            self.route(&will.message);
        }
    }

    fn leave(&mut self, who: Who, filter: &str) {
        if let Some(group) = self.groups.get_mut(filter)
            && group.members.remove(&who)
            && group.members.is_empty()
        {
            group.lost += 1;
        }
    }

    /// The broker receives a packet of a client.
    pub(super) fn receive(&mut self, who: Who, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) => {
                let Some(session) = self.sessions.get_mut(&who) else {
                    return;
                };
                let new =
                    publish.qos != QoS::ExactlyOnce || session.unreleased.insert(publish.packet_id);
                if new {
                    // A client that came back in 3.x cannot say it any more.
                    let expiry = crate::property!(publish.properties, MessageExpiryInterval);
                    let message = self.messages[serial_of(publish)].clone();
                    self.route(&Message { expiry, ..message });
                }
            }
            Packet::Ack(AckKind::PubRel, ack) => {
                if let Some(session) = self.sessions.get_mut(&who) {
                    session.unreleased.remove(&ack.packet_id);
                }
            }
            Packet::Subscribe(subscribe) => {
                for request in &subscribe.requests {
                    let wanted = Wanted {
                        qos: request.options.qos,
                        no_local: request.options.no_local,
                    };
                    self.subscribe(who, request.filter, wanted, request.options.retain_handling);
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                for filter in &unsubscribe.filters {
                    if filter.starts_with("$share/") {
                        self.leave(who, filter);
                    } else if let Some(session) = self.sessions.get_mut(&who) {
                        session.filters.remove(*filter);
                    }
                }
            }
            _ => {}
        }
    }

    fn subscribe(&mut self, who: Who, filter: &str, wanted: Wanted, handling: RetainHandling) {
        if filter.starts_with("$share/") {
            let group = self.groups.entry(filter.into()).or_default();
            group.members.insert(who);
            return;
        }
        let Some(session) = self.sessions.get_mut(&who) else {
            return;
        };
        let new = session.filters.insert(filter.into(), wanted).is_none();
        let asks = match handling {
            RetainHandling::Always => true,
            RetainHandling::IfNew => new,
            RetainHandling::Never => false,
        };
        for (message, expires) in self.retained.values() {
            if asks && *expires > self.now && topic::matches(filter, &message.topic) {
                session.owe(message, wanted.qos, self.lossy, true);
            }
        }
    }

    fn route(&mut self, message: &Message) {
        let again = message.will || !self.routed.insert(message.serial);
        if message.retain {
            let expires = message
                .expiry
                .map_or(NEVER, |seconds| self.now + Millis::from(seconds) * 1000);
            self.retained
                .insert(message.topic.clone(), (message.clone(), expires));
        }
        for (who, session) in &mut self.sessions {
            let matching: Vec<_> = session
                .filters
                .iter()
                .filter(|(filter, wanted)| {
                    topic::matches(filter, &message.topic)
                        && !(wanted.no_local && message.publisher == Some(*who))
                })
                .map(|(_, wanted)| wanted.qos)
                .collect();
            for qos in matching {
                session.owe(message, qos, self.lossy, again);
            }
        }
        for (name, group) in &self.groups {
            let filter = name.splitn(3, '/').nth(2).unwrap();
            if group.members.is_empty() || !topic::matches(filter, &message.topic) {
                continue;
            }
            let debt = self.shared.entry(message.serial).or_default();
            debt.allowed += 1;
            if message.qos == QoS::AtLeastOnce && message.expiry.is_none() && !self.lossy {
                debt.owed.push((name.clone(), group.lost));
            }
        }
    }

    /// A client receives a message. `again`: it has the identifier of one that
    /// it knows already (QoS 2).
    pub(super) fn deliver(&mut self, who: Who, publish: &Publish<'_>, topic: &str, again: bool) {
        let message = &self.messages[serial_of(publish)];
        assert_eq!(topic, message.topic, "the topic of {message:?}");
        let Some(session) = self.sessions.get_mut(&who) else {
            panic!("{who} has no session and receives {message:?}");
        };
        if message.topic.starts_with("$s/") {
            assert_eq!(publish.qos, message.qos, "all members take QoS 2");
            let debt = self.shared.get_mut(&message.serial);
            let Some(debt) = debt else {
                panic!("no group had members for {message:?}");
            };
            debt.accepted += u32::from(!again);
            assert!(
                publish.qos == QoS::AtLeastOnce || debt.accepted <= debt.allowed,
                "{message:?} comes too often to a group"
            );
            return;
        }
        let debt = session.debts.get_mut(&(message.serial, publish.qos));
        let Some(debt) = debt else {
            panic!(
                "{who} did not subscribe to {message:?} at {:?}",
                publish.qos
            );
        };
        debt.accepted += u32::from(!again);
        debt.fresh += u32::from(!publish.dup);
        assert!(
            debt.fresh <= debt.allowed,
            "{message:?} comes too often to {who}"
        );
        assert!(
            publish.qos == QoS::AtLeastOnce || debt.accepted <= debt.allowed,
            "{message:?} is accepted too often by {who}"
        );
        if debt.accepted == 1 && !again && !debt.late {
            let key = (message.publisher, message.topic.clone(), publish.qos);
            let last = session.order.entry(key).or_insert(message.serial);
            assert!(
                *last <= message.serial,
                "{message:?} comes to {who} after {last}"
            );
            *last = message.serial;
        }
    }

    /// All sessions are connected and read everything: nothing is owed.
    pub(super) fn settle(&self) {
        for (who, session) in &self.sessions {
            for ((serial, qos), debt) in &session.debts {
                let message = &self.messages[*serial];
                assert!(
                    debt.accepted >= debt.owed,
                    "{message:?} came {} times to {who} at {qos:?}, {} are owed",
                    debt.accepted,
                    debt.owed
                );
            }
        }
        for (serial, debt) in &self.shared {
            let still = |(name, lost): &&(String, u32)| self.groups[name].lost == *lost;
            let owed = debt.owed.iter().filter(still).count();
            let message = &self.messages[*serial];
            assert!(
                debt.accepted as usize >= owed,
                "{message:?} came {} times to {owed} groups",
                debt.accepted
            );
        }
    }
}

impl Session {
    fn owe(&mut self, message: &Message, wanted: QoS, lossy: bool, late: bool) {
        let qos = wanted.min(message.qos);
        let debt = self.debts.entry((message.serial, qos)).or_default();
        debt.late |= late;
        debt.allowed += 1;
        let certain = qos != QoS::AtMostOnce && message.expiry.is_none() && !lossy;
        debt.owed += u32::from(certain);
    }
}

/// The payload of a message: its number, and something to weigh.
pub(super) fn payload(message: &Message, weight: usize) -> String {
    format!("{} {}", message.serial, "x".repeat(weight))
}

fn serial_of(publish: &Publish<'_>) -> usize {
    let text = std::str::from_utf8(publish.payload).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
