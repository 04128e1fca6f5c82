//! The model's PUBLISH, acknowledgements, SUBSCRIBE and UNSUBSCRIBE: who gets
//! what.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use super::ledger::{Delivery, Message, Pending};
use super::model::{Group, Kept, Model, Refused, Wanted, Who, why_denied};
use super::seen::Seen;
use crate::broker::Millis;
use crate::codec::{
    AckKind, Publish, QoS, RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe, Version,
};
use crate::{property, topic};

impl Model {
    pub(super) fn publish(&mut self, who: Who, publish: &Publish<'_>) -> Result<(), Refused> {
        self.counts.publish_received += 1;
        let link = self.links.get_mut(&who).unwrap();
        let (version, wants_reasons) = (link.version, link.wants_reasons);
        let session = self.sessions.get_mut(&who).unwrap();
        let listener = &self.rules.listeners[session.listener];
        let alias = property!(publish.properties, TopicAlias);
        if alias.is_some_and(|alias| alias == 0 || alias > listener.max_topic_alias) {
            return Err(0x94);
        }
        let seen = Seen::new(publish, &mut link.incoming).ok_or(0x82)?;
        if seen.qos > listener.max_qos {
            return Err(0x9B);
        }
        if seen.retain && !self.rules.settings.retain_available {
            return Err(0x9A);
        }
        let id = seen.id;
        let answer = |kind: &str, reason: u8| match reason {
            1.. if version == Version::V5 => {
                let why = why_denied(reason, version, wants_reasons);
                format!("{kind} m{id} 0x{reason:02X}{why}")
            }
            _ => format!("{kind} m{id}"),
        };
        if seen.qos == QoS::ExactlyOnce {
            if session.unreleased.contains(&id) {
                link.unreleased.insert(id);
                self.answer(who, answer("PUBREC", 0));
                return Ok(());
            }
            let most = usize::from(self.rules.settings.max_inflight_messages);
            if version == Version::V5 && link.unreleased.len() >= most {
                return Err(0x93);
            }
        }
        let reason = if seen.payload.len() > self.rules.settings.message_size_limit as usize {
            0x97
        } else if !self.rules.may_write(session.listener, &seen.topic) {
            0x87
        } else {
            if seen.qos == QoS::ExactlyOnce {
                session.unreleased.insert(id);
                link.unreleased.insert(id);
            }
            let expires = seen.expiry.map(|s| self.now + Millis::from(s) * 1000);
            let message = Message {
                publisher: who,
                topic: seen.topic,
                payload: seen.payload,
                qos: seen.qos,
                retain: seen.retain,
                tagged: seen.tagged,
                expires,
            };
            let listener = session.listener;
            let matched = self.route(message, listener);
            if matched || seen.qos != QoS::AtLeastOnce {
                0
            } else {
                0x10
            }
        };
        match seen.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.answer(who, answer("PUBACK", reason)),
            QoS::ExactlyOnce => self.answer(who, answer("PUBREC", reason)),
        }
        Ok(())
    }

    pub(super) fn acknowledge(&mut self, who: Who, kind: AckKind, id: u16, refused: bool) {
        let session = self.sessions.get_mut(&who).unwrap();
        let link = self.links.get_mut(&who).unwrap();
        match kind {
            AckKind::PubRel => {
                let known = session.unreleased.remove(&id);
                link.unreleased.remove(&id);
                let late = if known || link.version != Version::V5 {
                    ""
                } else {
                    " 0x92"
                };
                link.answers.push_back(format!("PUBCOMP m{id}{late}"));
            }
            AckKind::PubRec if !refused => {
                session.ledger.flying.get_mut(&id).unwrap().released = true;
                link.answers.push_back(format!("PUBREL m{id}"));
            }
            _ => {
                let flight = session.ledger.done(link, id).unwrap();
                assert!(flight.heard, "acknowledged unseen: {flight:?}");
            }
        }
    }

    pub(super) fn subscribe(&mut self, who: Who, packet: &Subscribe<'_>) {
        let id = property!(packet.properties, SubscriptionIdentifier);
        let (mut codes, mut refused) = (Vec::new(), 0);
        let v5 = self.links[&who].version == Version::V5;
        for request in &packet.requests {
            let session = self.sessions.get_mut(&who).unwrap();
            let most = self.rules.listeners[session.listener].max_qos;
            let options = SubscriptionOptions {
                qos: request.options.qos.min(most),
                ..request.options
            };
            let (filter, wanted) = (request.filter, Wanted { options, id });
            let (group, unshared) = match filter.strip_prefix("$share/") {
                None => (false, filter),
                Some(rest) => (true, rest.split_once('/').unwrap().1),
            };
            if !self.rules.may_subscribe(session.listener, unshared) {
                codes.push(if v5 { 0x87 } else { 0x80 });
                refused += 1;
                continue;
            }
            codes.push(options.qos as u8);
            if group {
                let group = self.groups.entry(filter.into()).or_insert_with(|| {
                    self.last_group += 1;
                    let (number, members) = (self.last_group, BTreeMap::new());
                    Group { number, members }
                });
                group.members.insert(who, wanted);
                continue;
            }
            let new = session.filters.insert(filter.into(), wanted).is_none();
            match options.retain_handling {
                RetainHandling::Always => self.send_retained(who, filter, wanted),
                RetainHandling::IfNew if new => self.send_retained(who, filter, wanted),
                _ => {}
            }
        }
        let mut line = format!("SUBACK m{} {codes:?}", packet.packet_id);
        if refused > 0 {
            line += why_denied(
                0x87,
                self.links[&who].version,
                self.links[&who].wants_reasons,
            );
        }
        if refused > 1 && line.ends_with("\")") {
            line.truncate(line.len() - 2);
            write!(line, " (the first of {refused} that are refused)\")").unwrap();
        }
        self.answer(who, line);
    }

    fn send_retained(&mut self, who: Who, filter: &str, wanted: Wanted) {
        self.number += 1;
        let (now, number) = (self.now, self.number);
        // Those that have expired are forgotten on this occasion.
        let gone =
            |name: &str, kept: &Kept| topic::matches(filter, name) && kept.message.is_expired(now);
        self.retained.retain(|name, kept| !gone(name, kept));
        let session = self.sessions.get_mut(&who).unwrap();
        for (name, Kept { message, listener }) in &self.retained {
            let may_still =
                !self.rules.settings.check_retain_source || self.rules.may_write(*listener, name);
            if topic::matches(filter, name) && may_still {
                session.ledger.waiting.push_back(Delivery {
                    message: Rc::clone(message),
                    qos: self.rules.granted(wanted.options.qos, message.qos),
                    retain: true,
                    ids: wanted.id.into_iter().collect(),
                    group: None,
                    number,
                    blurred: false,
                    born: self.event,
                });
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, who: Who, packet: &Unsubscribe<'_>) {
        let mut codes = Vec::new();
        for filter in &packet.filters {
            let session = self.sessions.get_mut(&who).unwrap();
            let existed = if filter.starts_with("$share/") {
                self.leave(who, filter)
            } else {
                session.filters.remove(*filter).is_some()
            };
            codes.push(if existed { 0 } else { 0x11 });
        }
        if self.links[&who].version != Version::V5 {
            codes.clear();
        }
        self.answer(who, format!("UNSUBACK m{} {codes:?}", packet.packet_id));
    }

    pub(super) fn leave(&mut self, who: Who, name: &str) -> bool {
        let Some(group) = self.groups.get_mut(name) else {
            return false;
        };
        let was = group.members.remove(&who).is_some();
        if group.members.is_empty() {
            self.groups.remove(name);
        }
        was
    }

    /// A message is kept if it is retained, and goes to all who subscribed.
    /// Returns whether anybody has.
    pub(super) fn route(&mut self, message: Message, listener: usize) -> bool {
        self.number += 1;
        let message = Rc::new(message);
        if message.retain && message.payload.is_empty() {
            self.retained.remove(&message.topic);
        } else if message.retain {
            let name = message.topic.clone();
            let message = Rc::clone(&message);
            self.retained.insert(name, Kept { message, listener });
        }
        let mut matched = false;
        for (who, session) in &mut self.sessions {
            let filters = session.filters.iter();
            let matching = filters.filter(|(filter, _)| topic::matches(filter, &message.topic));
            let mut wanted: Vec<_> = matching.map(|(_, wanted)| Target::from(wanted)).collect();
            matched |= !wanted.is_empty();
            if !self.rules.settings.allow_duplicate_messages {
                wanted = wanted
                    .into_iter()
                    .reduce(Target::merge)
                    .into_iter()
                    .collect();
            }
            for target in wanted {
                let qos = self.rules.granted(target.qos, message.qos);
                let lost = !session.connected
                    && qos == QoS::AtMostOnce
                    && !self.rules.settings.queue_qos0_messages;
                let own = target.no_local && message.publisher == *who;
                if lost || own || !self.rules.may_read(session.listener, &message.topic) {
                    continue;
                }
                session.ledger.waiting.push_back(Delivery {
                    message: Rc::clone(&message),
                    qos,
                    retain: message.retain && target.retain_as_published,
                    ids: target.ids,
                    group: None,
                    number: self.number,
                    blurred: false,
                    born: self.event,
                });
            }
        }
        let mut offers = Vec::new();
        for (name, group) in &self.groups {
            let filter = name.splitn(3, '/').nth(2).unwrap();
            if topic::matches(filter, &message.topic) {
                offers.push(self.offers(group, &message, self.event));
            }
        }
        matched |= !offers.is_empty();
        self.pending.extend(offers);
        matched
    }

    /// Somebody who is there gets it, of those who may read it; somebody who is
    /// away, if nobody is.
    pub(super) fn offers(&self, group: &Group, message: &Rc<Message>, born: u64) -> Pending {
        let here = |who: &Who| self.sessions[who].connected;
        let may_read = |who: &Who| {
            let listener = self.sessions[who].listener;
            self.rules.may_read(listener, &message.topic)
        };
        let somebody = group.members.keys().any(|who| here(who) && may_read(who));
        let members = group.members.iter();
        let chosen = members.filter(|(who, _)| may_read(who) && (!somebody || here(who)));
        let offer = |(who, wanted): (&Who, &Wanted)| {
            let delivery = Delivery {
                message: Rc::clone(message),
                qos: self.rules.granted(wanted.options.qos, message.qos),
                retain: message.retain && wanted.options.retain_as_published,
                ids: wanted.id.into_iter().collect(),
                group: Some(group.number),
                number: self.number,
                blurred: false,
                born,
            };
            (*who, delivery)
        };
        Pending {
            offers: chosen.map(offer).collect(),
            may_be_gone: false,
        }
    }
}

/// What a session wants of a topic.
struct Target {
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    ids: Vec<u32>,
}

impl From<&Wanted> for Target {
    fn from(wanted: &Wanted) -> Self {
        Self {
            qos: wanted.options.qos,
            no_local: wanted.options.no_local,
            retain_as_published: wanted.options.retain_as_published,
            ids: wanted.id.into_iter().collect(),
        }
    }
}

impl Target {
    fn merge(mut self, other: Self) -> Self {
        self.ids.extend(other.ids);
        self.ids.sort_unstable();
        Self {
            qos: self.qos.max(other.qos),
            no_local: self.no_local && other.no_local,
            retain_as_published: self.retain_as_published || other.retain_as_published,
            ids: self.ids,
        }
    }
}
