//! What a broker owes to its clients, as simple as it can be said: no bytes,
//! no windows, no limits of queues. [`ledger`](super::ledger) keeps what
//! is owed to each.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::ledger::{Delivery, Ledger, Link, Message, Pending};
use super::rules::Rules;
use crate::broker::Millis;
use crate::codec::{Connect, Disconnect, Packet, Property, QoS, SubscriptionOptions, Version};
use crate::property;

/// A client, by its number: 1 and up.
pub(super) type Who = usize;

pub(super) const NEVER: Millis = Millis::MAX;

#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) options: SubscriptionOptions,
    pub(super) id: Option<u32>,
}

#[derive(Debug)]
struct Will {
    message: Message,
    /// Seconds, counted from its publication.
    expiry: Option<u32>,
    delay: Millis,
    due: Millis,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) filters: BTreeMap<String, Wanted>,
    pub(super) unreleased: BTreeSet<u16>,
    pub(super) ledger: Ledger,
    pub(super) connected: bool,
    pub(super) listener: usize,
    expiry: Millis,
    ends_at: Millis,
    will: Option<Will>,
}

/// A retained message.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) message: Rc<Message>,
    /// The listener that its publisher came by.
    pub(super) listener: usize,
}

#[derive(Debug)]
pub(super) struct Group {
    /// A group that comes again by the same name is another one.
    pub(super) number: u32,
    pub(super) members: BTreeMap<Who, Wanted>,
}

/// Counters of `$SYS`.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) packets_received: usize,
    pub(super) packets_sent: usize,
    pub(super) publish_received: usize,
    pub(super) publish_sent: usize,
    expired: usize,
    most_connected: usize,
}

pub(super) struct Model {
    pub(super) now: Millis,
    pub(super) rules: Rules,
    pub(super) sessions: BTreeMap<Who, Session>,
    /// Connections, until the simulation takes them away.
    pub(super) links: BTreeMap<Who, Link>,
    pub(super) retained: BTreeMap<String, Kept>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) last_group: u32,
    pub(super) pending: Vec<Pending>,
    /// Deliveries that ended with their sessions since the last look.
    pub(super) gone: u64,
    pub(super) number: u64,
    /// Counts events.
    pub(super) event: u64,
    pub(super) counts: Counts,
}

/// The reason of the DISCONNECT that a packet is answered with.
pub(super) type Refused = u8;

impl Model {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            now: 0,
            rules,
            sessions: BTreeMap::new(),
            links: BTreeMap::new(),
            retained: BTreeMap::new(),
            groups: BTreeMap::new(),
            last_group: 0,
            pending: Vec::new(),
            gone: 0,
            number: 0,
            event: 1,
            counts: Counts::default(),
        }
    }

    /// What the broker says to a CONNECT, and whether there is a session; `None`:
    /// it is refused.
    pub(super) fn connect(
        &mut self,
        who: Who,
        connect: &Connect<'_>,
        listener: usize,
    ) -> (Option<String>, Option<bool>) {
        self.counts.packets_received += 1;
        let version = connect.version;
        if let Some((v3, v5)) = self.refuse(connect, listener) {
            let code = if version == Version::V5 { Some(v5) } else { v3 };
            self.counts.packets_sent += usize::from(code.is_some());
            let reasons = property!(connect.properties, RequestProblemInformation) != Some(0);
            let why = why_denied(v5, version, reasons);
            return (code.map(|code| format!("CONNACK 0x{code:02X}{why}")), None);
        }
        if self.sessions.get(&who).is_some_and(|s| s.connected) {
            self.part(who, true);
            // Its last word is 'taken over'.
            self.counts.packets_sent += usize::from(self.links[&who].version == Version::V5);
        }
        if connect.clean_start {
            self.end(who);
        }
        let asked = property!(connect.properties, SessionExpiryInterval);
        let wanted = match (version, asked) {
            (Version::V5, Some(u32::MAX)) => NEVER,
            (Version::V5, seconds) => Millis::from(seconds.unwrap_or(0)) * 1000,
            _ if connect.clean_start => 0,
            _ => NEVER,
        };
        let settings = &self.rules.settings;
        let receive_maximum = property!(connect.properties, ReceiveMaximum).unwrap_or(u16::MAX);
        let window = settings.max_inflight_messages.min(receive_maximum);
        let keep_alive = self.rules.keep_alive(connect.keep_alive);
        let present = self.sessions.contains_key(&who);
        let session = self.sessions.entry(who).or_insert_with(|| Session {
            filters: BTreeMap::new(),
            unreleased: BTreeSet::new(),
            ledger: Ledger::default(),
            connected: true,
            listener,
            expiry: 0,
            ends_at: NEVER,
            will: None,
        });
        session.connected = true;
        session.listener = listener;
        session.expiry = self.rules.session_expiry(wanted);
        session.ledger.version = Some(version);
        session.ledger.max_packet_size = property!(connect.properties, MaximumPacketSize)
            .map_or(usize::MAX, |size| size as usize);
        session.will = connect.will.as_ref().map(|will| Will {
            message: Message {
                publisher: who,
                topic: will.topic.into(),
                payload: String::from_utf8(will.payload.to_vec()).unwrap(),
                qos: will.qos,
                retain: will.retain,
                tagged: will
                    .properties
                    .iter()
                    .any(|p| p == Property::UserProperty("k", "v")),
                expires: None,
            },
            expiry: property!(will.properties, MessageExpiryInterval),
            delay: Millis::from(property!(will.properties, WillDelayInterval).unwrap_or(0)) * 1000,
            due: NEVER,
        });
        let mut link = Link::new(version, self.now);
        link.window = window.into();
        link.byte_window = settings.max_inflight_bytes;
        link.wants_reasons = property!(connect.properties, RequestProblemInformation) != Some(0);
        link.patience = Millis::from(keep_alive) * 1500;
        link.expiry_fixed = asked.unwrap_or(0) == 0;
        session.ledger.resume(&mut link);
        self.links.insert(who, link);
        let connected = self.sessions.values().filter(|s| s.connected).count();
        self.counts.most_connected = self.counts.most_connected.max(connected);
        let greeting = self.greeting(connect, listener, wanted, present);
        (Some(greeting), Some(present))
    }

    /// The codes before MQTT 5, if there is one, and in it.
    fn refuse(&self, connect: &Connect<'_>, listener: usize) -> Option<(Option<u8>, u8)> {
        let wanted = connect.keep_alive;
        if connect.version != Version::V5 && self.rules.keep_alive(wanted) != wanted {
            return Some((Some(2), 0x85));
        }
        let will = connect.will.as_ref()?;
        if will.qos > self.rules.listeners[listener].max_qos {
            Some((None, 0x9B))
        } else if will.retain && !self.rules.settings.retain_available {
            Some((None, 0x9A))
        } else if !self.rules.may_write(listener, will.topic) {
            Some((Some(5), 0x87))
        } else {
            None
        }
    }

    fn greeting(
        &self,
        connect: &Connect<'_>,
        listener: usize,
        wanted: Millis,
        present: bool,
    ) -> String {
        let settings = &self.rules.settings;
        let listener = &self.rules.listeners[listener];
        let told = present && connect.version != Version::V31;
        let mut line = format!("CONNACK{} 0x00", if told { " present" } else { "" });
        if connect.version != Version::V5 {
            return line;
        }
        let mut add = |text: String| line += &text;
        if listener.max_topic_alias > 0 {
            add(format!(" TopicAliasMaximum({})", listener.max_topic_alias));
        }
        let keep_alive = self.rules.keep_alive(connect.keep_alive);
        if keep_alive != connect.keep_alive {
            add(format!(" ServerKeepAlive({keep_alive})"));
        }
        let expiry = self.rules.session_expiry(wanted);
        if expiry != wanted {
            add(format!(" SessionExpiryInterval({})", expiry / 1000));
        }
        if listener.max_qos != QoS::ExactlyOnce {
            add(format!(" MaximumQoS({})", listener.max_qos as u8));
        }
        if !settings.retain_available {
            add(" RetainAvailable(0)".into());
        }
        add(format!(" MaximumPacketSize({})", settings.max_packet_size));
        add(format!(
            " ReceiveMaximum({})",
            settings.max_inflight_messages
        ));
        line
    }

    /// The connection of a client ends.
    pub(super) fn part(&mut self, who: Who, with_will: bool) {
        let now = self.now;
        if let Some(link) = self.links.get_mut(&who) {
            link.over = true;
        }
        let Some(session) = self.sessions.get_mut(&who) else {
            return;
        };
        session.connected = false;
        session.ends_at = now.saturating_add(session.expiry);
        if !with_will {
            session.will = None;
        }
        if session.expiry == 0 {
            self.end(who);
            return;
        }
        if let Some(will) = &mut session.will {
            will.due = now + will.delay.min(session.expiry);
        }
        self.check_will(who);
    }

    fn check_will(&mut self, who: Who) {
        let now = self.now;
        let session = self.sessions.get_mut(&who).unwrap();
        if let Some(will) = session.will.take_if(|will| will.due <= now) {
            let listener = session.listener;
            self.publish_will(listener, will);
        }
    }

    fn publish_will(&mut self, listener: usize, will: Will) {
        if self.rules.may_write(listener, &will.message.topic) {
            let expires = will.expiry.map(|s| self.now + Millis::from(s) * 1000);
            let message = Message {
                expires,
                ..will.message
            };
            self.route(message, listener);
        }
    }

    /// The session of a client ends.
    fn end(&mut self, who: Who) {
        let Some(session) = self.sessions.remove(&who) else {
            return;
        };
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            self.leave(who, &name);
        }
        if let Some(will) = session.will {
            self.publish_will(session.listener, will);
        }
        self.gone += session.ledger.waiting.len() as u64;
        self.withdraw_offers(who);
        // What waited may have been sent just before, and end with the session.
        let here = self.links.contains_key(&who);
        let may_be_gone = |d: &Delivery| here && d.qos != QoS::AtLeastOnce;
        self.offer_again(session.ledger.orphans(), may_be_gone);
    }

    /// What of shared groups its receiver doesn't get is for other members.
    pub(super) fn offer_again(
        &mut self,
        orphans: Vec<Delivery>,
        may_be_gone: impl Fn(&Delivery) -> bool,
    ) {
        for orphan in orphans {
            self.number += 1;
            let mut groups = self.groups.values();
            let group = groups.find(|group| Some(group.number) == orphan.group);
            let Some(group) = group else { continue };
            let mut pending = self.offers(group, &orphan.message, orphan.born);
            pending.may_be_gone = may_be_gone(&orphan);
            for offer in pending.offers.values_mut() {
                offer.blurred = orphan.blurred;
            }
            self.pending.push(pending);
        }
    }

    /// What may have been given to a client whose session ends now may be given
    /// to others now.
    fn withdraw_offers(&mut self, who: Who) {
        let mut pending = std::mem::take(&mut self.pending);
        for pending in &mut pending {
            if let Some(offer) = pending.offers.remove(&who) {
                pending.may_be_gone = true;
                let mut groups = self.groups.values();
                if let Some(group) = groups.find(|group| Some(group.number) == offer.group) {
                    let others = self.offers(group, &offer.message, offer.born);
                    pending.offers.extend(others.offers);
                }
            }
        }
        self.pending.append(&mut pending);
    }

    /// Whether something should have happened by now.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        self.sessions.iter().any(|(who, session)| {
            let will = session.will.as_ref().is_some_and(|will| will.due <= now);
            !session.connected && (will || session.ends_at <= now)
                || session.connected && self.links[who].is_silent(now)
        })
    }

    /// Everything that is due now happens. `paused`: whom the broker doesn't
    /// read from.
    pub(super) fn pass_to(&mut self, now: Millis, paused: &BTreeSet<Who>) {
        self.now = now;
        let all: Vec<_> = self.sessions.keys().copied().collect();
        for who in all {
            if self.sessions[&who].connected {
                let link = self.links.get_mut(&who).unwrap();
                if paused.contains(&who) && link.is_silent(now) {
                    link.heard = now;
                }
                if link.is_silent(now) {
                    self.refuse_packet(who, 0x8D);
                }
                continue;
            }
            self.check_will(who);
            if self.sessions[&who].ends_at <= now {
                self.counts.expired += 1;
                self.end(who);
            }
        }
        if let Some(interval) = self.rules.settings.retain_expiry_interval
            && now.is_multiple_of(interval)
        {
            self.retained
                .retain(|_, kept| !kept.message.is_expired(now));
        }
    }

    /// The connection ends with a DISCONNECT of this reason.
    fn refuse_packet(&mut self, who: Who, reason: Refused) {
        let link = self.links.get_mut(&who).unwrap();
        if link.version == Version::V5 {
            link.answers.push_back(format!("DISCONNECT 0x{reason:02X}"));
        }
        self.part(who, true);
    }

    /// A client sent what is no packet.
    pub(super) fn receive_garbage(&mut self, who: Who) {
        let link = self.links.get_mut(&who).unwrap();
        if !link.over {
            link.any_last_word = true;
            self.part(who, true);
        }
    }

    /// The broker receives a packet of a client.
    pub(super) fn receive(&mut self, who: Who, packet: &Packet<'_>) {
        let link = self.links.get_mut(&who).unwrap();
        link.heard = self.now;
        if link.over {
            return;
        }
        self.counts.packets_received += 1;
        let outcome = match packet {
            Packet::Publish(publish) => self.publish(who, publish),
            Packet::Ack(kind, ack) => {
                self.acknowledge(who, *kind, ack.packet_id, ack.reason.is_error());
                Ok(())
            }
            Packet::Subscribe(subscribe) => {
                self.subscribe(who, subscribe);
                Ok(())
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribe(who, unsubscribe);
                Ok(())
            }
            Packet::PingReq => {
                self.answer(who, "PINGRESP".into());
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.disconnect(who, disconnect),
            _ => Err(0x82),
        };
        if let Err(reason) = outcome {
            self.refuse_packet(who, reason);
        }
    }

    pub(super) fn answer(&mut self, who: Who, line: String) {
        self.links.get_mut(&who).unwrap().answers.push_back(line);
    }

    fn disconnect(&mut self, who: Who, disconnect: &Disconnect<'_>) -> Result<(), Refused> {
        if let Some(seconds) = property!(disconnect.properties, SessionExpiryInterval) {
            if self.links[&who].expiry_fixed && seconds != 0 {
                return Err(0x82);
            }
            let wanted = match seconds {
                u32::MAX => NEVER,
                seconds => Millis::from(seconds) * 1000,
            };
            self.sessions.get_mut(&who).unwrap().expiry = self.rules.session_expiry(wanted);
        }
        self.part(who, disconnect.reason.0 != 0);
        Ok(())
    }

    /// What `$SYS` tells, below `$SYS/broker/`. `own`: how many retained
    /// messages are its own.
    pub(super) fn figures(&self, own: usize) -> Vec<(&'static str, usize)> {
        let sessions = || self.sessions.values();
        let connected = sessions().filter(|session| session.connected).count();
        let retained = self.retained.len() + own;
        let held = sessions().map(|s| s.ledger.waiting.len() + s.ledger.flying.len());
        let members = self.groups.values().map(|group| group.members.len());
        let subscriptions = sessions().map(|session| session.filters.len());
        vec![
            ("clients/total", self.sessions.len()),
            ("clients/connected", connected),
            ("clients/active", connected),
            ("clients/disconnected", self.sessions.len() - connected),
            ("clients/expired", self.counts.expired),
            ("clients/maximum", self.counts.most_connected),
            ("subscriptions/count", subscriptions.sum()),
            ("shared_subscriptions/count", members.sum()),
            ("retained messages/count", retained),
            ("messages/stored", retained + held.sum::<usize>()),
            ("messages/received", self.counts.packets_received),
            ("messages/sent", self.counts.packets_sent),
            ("publish/messages/received", self.counts.publish_received),
            ("publish/messages/sent", self.counts.publish_sent),
        ]
    }
}

/// The reason string, where rights are denied: no access control list here has
/// rules that deny, so none that allow is always it.
pub(super) fn why_denied(reason: Refused, version: Version, wanted: bool) -> &'static str {
    match reason {
        0x87 if version == Version::V5 && wanted => {
            " ReasonString(\"no rule of the access control list allows it\")"
        }
        _ => "",
    }
}

impl Link {
    fn is_silent(&self, now: Millis) -> bool {
        self.patience > 0 && self.heard + self.patience <= now
    }
}
