//! SUBSCRIBE and UNSUBSCRIBE (3.8 to 3.11).

use std::borrow::Cow;
use std::sync::Arc;

use super::batch::Progress;
use super::connection::ConnectionId;
use super::denial::{Attempt, Explanation};
use super::publication::{Delivery, Ids};
use super::retained::Kept;
use super::session::{SessionId, Source};
use super::subscriptions::SubscriptionKey;
use super::{Core, Policy, Refusal};
use crate::auth::{Access, Client};
use crate::codec::{
    DecodeError, Packet, Properties, QoS, ReasonCode, RetainHandling, SubAck, Subscribe,
    SubscriptionOptions, SubscriptionRequest, UnsubAck, Unsubscribe, Version,
};
use crate::config::LogType;
use crate::store::{self, Record};
use crate::topic::Subscription;

/// The client would have to be told more than it takes in a packet (3.1.2.11.4).
const LONG_ANSWER: Refusal = Refusal::Undecodable(DecodeError::with(
    ReasonCode::PACKET_TOO_LARGE,
    "more topic filters than the answer has room for",
));

const NO_FILTER: Refusal = Refusal::Undecodable(DecodeError::malformed("not a topic filter"));

/// A shared group, if any, and a topic filter below the mount point.
struct Wanted<'a> {
    group: Option<&'a str>,
    filter: Cow<'a, str>,
}

impl<'a> Wanted<'a> {
    fn new(text: &'a str, policy: &Policy) -> Result<Self, Refusal> {
        let Subscription { group, filter } = Subscription::parse(text).ok_or(NO_FILTER)?;
        let filter = policy.mounted(filter);
        if filter.len() > usize::from(u16::MAX) {
            return Err(NO_FILTER);
        }
        Ok(Self { group, filter })
    }

    fn subscription(&self) -> Subscription<'_> {
        Subscription {
            group: self.group,
            filter: &self.filter,
        }
    }
}

impl Core {
    /// Works a SUBSCRIBE off as far as the budget goes.
    pub(super) fn subscribe(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        packet: &Subscribe<'_>,
        progress: &mut Progress,
    ) -> Result<(), Refusal> {
        let Some(policy) = self.policy(id) else {
            return Ok(());
        };
        let all = &packet.requests;
        if progress.is_fresh() {
            self.check_subscribe(id, packet, &policy)?;
        }
        let ids = Ids::new(crate::property!(packet.properties, SubscriptionIdentifier));
        while progress.filters < all.len() {
            if !progress.spend() {
                return Ok(());
            }
            let request = &all[progress.filters];
            let wanted = Wanted::new(request.filter, &policy)?;
            let subscription = wanted.subscription();
            if let Some(why) = self.why_in_vain(session, subscription.filter) {
                self.tell_denied(session, Attempt::Subscribe, request.filter, &why.for_log);
                progress.refuse(self.denied_code(id), why.for_client);
                continue;
            }
            let (granted, new) = self.add_subscription(id, session, request, subscription, &ids);
            let with_retained = match request.options.retain_handling {
                RetainHandling::Always => true,
                RetainHandling::IfNew => new,
                RetainHandling::Never => false,
            };
            if with_retained && subscription.group.is_none() {
                progress.retained.push_back((progress.filters, granted));
            }
            progress.reasons.push(granted as u8);
            progress.filters += 1;
        }
        if !progress.reasons.is_empty() {
            self.answer_subscribe(id, packet.packet_id, progress);
        }
        while let Some(&(number, qos)) = progress.retained.front() {
            if !progress.spend() {
                return Ok(());
            }
            progress.retained.pop_front();
            let wanted = Wanted::new(all[number].filter, &policy)?;
            self.send_retained(session, &wanted.filter, qos, &ids);
        }
        progress.finish();
        Ok(())
    }

    /// All filters are looked at first: what ends the connection has no effect.
    fn check_subscribe(
        &mut self,
        id: ConnectionId,
        packet: &Subscribe<'_>,
        policy: &Policy,
    ) -> Result<(), Refusal> {
        self.peers.log(LogType::Debug, |peers| {
            format!("Received SUBSCRIBE from {}", peers.name(id))
        });
        if !self.may_answer(id, packet.requests.len()) {
            return Err(LONG_ANSWER);
        }
        for request in &packet.requests {
            let wanted = Wanted::new(request.filter, policy)?;
            if wanted.group.is_some() && request.options.no_local {
                return Err(Refusal::Unexpected("no local on a shared subscription"));
            }
        }
        Ok(())
    }

    fn answer_subscribe(&mut self, id: ConnectionId, packet_id: u16, progress: &mut Progress) {
        self.peers.log(LogType::Debug, |peers| {
            format!("Sending SUBACK to {}", peers.name(id))
        });
        let reasons = std::mem::take(&mut progress.reasons);
        let properties = match progress.words.take() {
            None => Properties::new(),
            Some(words) => {
                let words = match progress.refused {
                    1 => words,
                    refused => format!("{words} (the first of {refused} that are refused)"),
                };
                let length = suback_length(reasons.len());
                self.peers.reason_string(id, length, &words)
            }
        };
        let answer = SubAck {
            packet_id,
            properties,
            reasons: Cow::Owned(reasons),
        };
        self.peers.answer_first(id, &Packet::SubAck(answer));
    }

    fn policy(&mut self, id: ConnectionId) -> Option<Arc<Policy>> {
        self.peers.connection(id).map(|c| Arc::clone(&c.policy))
    }

    /// Whether the client takes a SUBACK or UNSUBACK with so many codes.
    fn may_answer(&mut self, id: ConnectionId, codes: usize) -> bool {
        let length = suback_length(codes);
        let connection = self.peers.connection(id);
        connection.is_none_or(|connection| length <= connection.max_packet_size)
    }

    /// Why no message could ever reach a subscription to `filter`, where the
    /// listener has that looked at.
    fn why_in_vain(&mut self, session: SessionId, filter: &str) -> Option<Explanation> {
        let session = self.peers.session(session)?;
        let denial = session.policy.filter_denial(&session.client(), filter)?;
        Some(denial.explain())
    }

    /// The code in SUBACK for a filter that a client has no right to.
    fn denied_code(&mut self, id: ConnectionId) -> u8 {
        match self
            .peers
            .connection(id)
            .map(|connection| connection.version)
        {
            Some(Version::V5) => ReasonCode::NOT_AUTHORIZED.0,
            _ => ReasonCode::UNSPECIFIED.0,
        }
    }

    /// Returns the granted QoS, and whether the subscription is new.
    fn add_subscription(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        request: &SubscriptionRequest<'_>,
        subscription: Subscription<'_>,
        ids: &Ids,
    ) -> (QoS, bool) {
        let connection = self.peers.connection(id);
        let (max_qos, old_bridge) = connection.map_or((2, false), |connection| {
            let cannot_ask = connection.version != Version::V5;
            (
                connection.policy.max_qos,
                connection.is_bridge && cannot_ask,
            )
        });
        let qos = request
            .options
            .qos
            .min(QoS::from_u8(max_qos).unwrap_or_default());
        let options = SubscriptionOptions {
            qos,
            no_local: request.options.no_local || old_bridge && subscription.group.is_none(),
            retain_as_published: request.options.retain_as_published || old_bridge,
            ..request.options
        };
        self.peers.log(LogType::Subscribe, |peers| {
            format!("{} {} {}", peers.name(id), qos as u8, request.filter)
        });
        let ids = ids.as_slice().first().copied();
        let (key, new) = self
            .subscriptions
            .subscribe(session, subscription, options, ids);
        if let Some(session) = self.peers.session(session) {
            session.subscriptions.insert(key);
        }
        self.store_subscription(session, key, subscription, options, ids);
        (qos, new)
    }

    /// Retained messages wait in the queue like others, but the queue's limits
    /// are not for them: they were asked for (3.3.1.3). Only who asks for all of
    /// them again and again, and doesn't read, gets no more of them.
    fn send_retained(&mut self, id: SessionId, filter: &str, qos: QoS, ids: &Ids) {
        let (all, _) = self.retained.counts();
        let session = self.peers.session(id);
        let (waiting, is_bridge) = session.map_or((0, false), |session| {
            (session.queued_replays, session.is_bridge)
        });
        if waiting > 1000 + 4 * all {
            self.peers.stats.dropped += 1;
            return;
        }
        let found = self.retained.matching(filter, self.peers.now);
        self.store_expired();
        for Kept {
            publication,
            source,
        } in found
        {
            if source.is_some_and(|source| !self.may_still_write(&source, &publication.topic)) {
                continue;
            }
            if is_bridge {
                self.stamp_retained(&publication);
            }
            let qos = self.peers.settings.granted(qos, publication.qos);
            let ids = ids.clone();
            let mut delivery = Delivery {
                publication,
                qos,
                retain: true,
                ids,
                group: None,
                sequence: 0,
                replayed: true,
                pins: 0,
            };
            self.peers.store_delivery(id, &mut delivery, &mut None);
            self.peers.queue_or_spill(id, delivery);
        }
    }

    /// Whether who published a retained message still may, by the rights of its
    /// listener as they are now.
    fn may_still_write(&self, source: &Source, topic: &str) -> bool {
        let Some(policy) = self.policies.get(&source.listener) else {
            return true;
        };
        let client = Client {
            client_id: &source.client_id,
            username: source.username.as_deref(),
        };
        !self.peers.settings.check_retain_source
            || policy.denial(&client, Access::Write, topic).is_none()
    }

    /// Works an UNSUBSCRIBE off as far as the budget goes.
    pub(super) fn unsubscribe(
        &mut self,
        id: ConnectionId,
        session: SessionId,
        packet: &Unsubscribe<'_>,
        progress: &mut Progress,
    ) -> Result<(), Refusal> {
        let Some(policy) = self.policy(id) else {
            return Ok(());
        };
        if progress.is_fresh() {
            self.peers.log(LogType::Debug, |peers| {
                format!("Received UNSUBSCRIBE from {}", peers.name(id))
            });
            if !self.may_answer(id, packet.filters.len()) {
                return Err(LONG_ANSWER);
            }
            for filter in &packet.filters {
                Wanted::new(filter, &policy)?;
            }
        }
        while progress.filters < packet.filters.len() {
            if !progress.spend() {
                return Ok(());
            }
            let filter = packet.filters[progress.filters];
            let unwanted = Wanted::new(filter, &policy)?;
            let reason = if self.remove_subscription(session, unwanted.subscription()) {
                ReasonCode::SUCCESS
            } else {
                ReasonCode::NO_SUBSCRIPTION_EXISTED
            };
            progress.reasons.push(reason.0);
            progress.filters += 1;
            self.peers.log(LogType::Unsubscribe, |peers| {
                format!("{} {filter}", peers.name(id))
            });
        }
        let reasons = std::mem::take(&mut progress.reasons);
        progress.finish();
        let v5 = self
            .peers
            .connection(id)
            .is_some_and(|c| c.version == Version::V5);
        let reasons = if v5 {
            Cow::Owned(reasons)
        } else {
            Cow::Borrowed(&[][..])
        };
        let (packet_id, properties) = (packet.packet_id, Properties::new());
        self.peers.answer(
            id,
            &Packet::UnsubAck(UnsubAck {
                packet_id,
                properties,
                reasons,
            }),
        );
        Ok(())
    }

    fn remove_subscription(&mut self, id: SessionId, subscription: Subscription<'_>) -> bool {
        let Some(key) = self.subscriptions.key(subscription) else {
            return false;
        };
        let Some(session) = self.peers.session(id) else {
            return false;
        };
        let existed = session.subscriptions.remove(&key);
        if existed {
            self.end_subscription(id, key);
            let filter = text_of(subscription);
            self.peers
                .promise(id, |session| Record::DropSubscription { session, filter });
        }
        existed
    }

    fn store_subscription(
        &mut self,
        id: SessionId,
        key: SubscriptionKey,
        subscription: Subscription<'_>,
        options: SubscriptionOptions,
        identifier: Option<u32>,
    ) {
        if !self.peers.journal.is_on() {
            return;
        }
        let filter = text_of(subscription);
        if let SubscriptionKey::Shared(group) = key {
            let filters = &mut self.peers.journal.group_filters;
            filters.insert(group, Arc::clone(&filter));
        }
        let subscription = store::Subscription {
            filter,
            options,
            id: identifier,
        };
        self.peers.promise(id, |session| Record::PutSubscription {
            session,
            subscription: Box::new(subscription),
        });
    }
}

/// A subscription as its filter is stored.
fn text_of(subscription: Subscription<'_>) -> Arc<str> {
    match subscription.group {
        Some(group) => format!("$share/{group}/{}", subscription.filter).into(),
        None => subscription.filter.into(),
    }
}

/// The length of a SUBACK or UNSUBACK of MQTT 5 with so many codes.
fn suback_length(codes: usize) -> usize {
    5 + codes + usize::from(codes + 3 >= 0x80) + usize::from(codes + 3 >= 0x4000)
}
