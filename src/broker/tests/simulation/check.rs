//! After each event: what the broker did beside what the model says.

use super::model::Who;
use super::schedule::Simulation;
use crate::broker::connection::Stage;
use crate::broker::delivery::SOFT_LIMIT;
use crate::broker::tests::harness::*;
use crate::codec::{AckKind, Packet, QoS};

use super::ledger::Delivery;
use super::seen::Seen;

impl Simulation {
    /// Looks at everything that an event has done.
    pub(super) fn settle(&mut self) {
        self.settle_with(None);
    }

    /// The same when a client has just taken these bytes out of its outbox.
    pub(super) fn settle_with(&mut self, taken: Option<(Who, &[u8])>) {
        let effects = self.world.core.effects();
        effects.log.clear();
        for id in effects.wake.drain(..) {
            let of_id = |client: Client| client.id == id;
            let mut actors = self.actors.iter_mut();
            if let Some(actor) = actors.find(|actor| actor.connection.is_some_and(of_id)) {
                actor.woken = true;
            }
        }
        self.sort_out();
        if let Some((who, bytes)) = taken {
            self.observe(who, bytes);
        }
        for index in 0..self.actors.len() {
            let actor = &mut self.actors[index];
            let Some(client) = actor.connection else {
                continue;
            };
            let connection = &self.world.core.peers.connections[client.id.slot()];
            let over = self.model.links[&actor.who].over;
            let ends = connection.stage == Stage::Closing;
            assert_eq!(ends, over, "the end of {}", actor.name);
            let outbox = &connection.outbox;
            if outbox.len() > actor.observed {
                assert!(actor.woken, "nobody looks at {}", actor.name);
                let bytes = outbox[actor.observed..].to_vec();
                actor.observed += bytes.len();
                self.observe(index + 1, &bytes);
            }
        }
        self.reconcile();
        for who in 1..=self.actors.len() {
            self.end_if_over(who);
        }
    }

    /// Sorts out what the broker still holds for each session.
    fn sort_out(&mut self) {
        let (core, model) = (&self.world.core, &mut self.model);
        assert_eq!(core.peers.sessions.len(), model.sessions.len());
        let mut forbidden = Vec::new();
        for (who, session) in &mut model.sessions {
            let id = core.clients[self.actors[who - 1].name.as_str()];
            let held = &core.peers.sessions[id.slot as usize].outgoing;
            let ledger = &mut session.ledger;
            let held: Vec<_> = held.queued().collect();
            ledger.sort_out(&held);
            let may_read = |topic: &str| model.rules.may_read(session.listener, topic);
            forbidden.extend(ledger.forbidden(may_read));
        }
        model.offer_again(forbidden, |_| false);
        for (who, session) in &mut model.sessions {
            session.ledger.take_in(*who, &mut model.pending);
        }
    }

    /// The broker has put these packets into an outbox.
    fn observe(&mut self, who: Who, bytes: &[u8]) {
        let model = &mut self.model;
        let link = model.links.get_mut(&who).unwrap();
        for packet in packets(link.version, bytes) {
            model.counts.packets_sent += 1;
            if let Packet::Publish(publish) = &packet {
                model.counts.publish_sent += 1;
                let seen = Seen::new(publish, &mut link.outgoing).expect("an alias");
                let Some(session) = model.sessions.get_mut(&who) else {
                    continue;
                };
                let may_read = model.rules.may_read(session.listener, &seen.topic);
                let pending = &mut model.pending;
                let when = (self.world.now, model.event);
                session
                    .ledger
                    .send(who, link, &seen, when, pending, may_read);
                continue;
            }
            let line = show(&packet);
            if link.answers.front() == Some(&line) {
                link.answers.pop_front();
                continue;
            }
            match &packet {
                Packet::Ack(AckKind::PubRel, ack) => {
                    let Some(session) = model.sessions.get_mut(&who) else {
                        continue;
                    };
                    session.ledger.release_again(link, ack.packet_id);
                }
                Packet::Disconnect(_) if link.any_last_word => {}
                _ => panic!("{line} to {who}, not {:?}", link.answers),
            }
        }
    }

    /// Nothing vanishes but for a reason, nothing waits without one, and all
    /// that is answered is answered at once.
    fn reconcile(&mut self) {
        let (core, model) = (&self.world.core, &mut self.model);
        let (mut excused, mut missing) = (std::mem::take(&mut model.gone), 0);
        let rules = &model.rules;
        let now = self.world.now;
        for (who, session) in &mut model.sessions {
            let id = core.clients[self.actors[who - 1].name.as_str()];
            let held = &core.peers.sessions[id.slot as usize];
            let connection = held.connection;
            let outbox = connection.map(|id| core.peers.connections[id.slot()].outbox.len());
            let full = outbox.is_some_and(|length| length >= SOFT_LIMIT);
            let ledger = &mut session.ledger;
            let vanished = std::mem::take(&mut ledger.loose);
            for delivery in &vanished {
                if ledger.is_excused(delivery, now)
                    || !rules.may_read(session.listener, &delivery.message.topic)
                {
                    excused += 1;
                    continue;
                }
                missing += 1;
                let waited = ledger.waiting.len() + ledger.left + vanished.len();
                let settings = &rules.settings;
                let overflow =
                    waited > settings.max_queued_messages || settings.max_queued_bytes < usize::MAX;
                // Nobody knows how full the outbox was of who is just gone.
                let gone = model.links.get(who).is_some_and(|link| link.over);
                let lost = (full || gone) && delivery.qos == QoS::AtMostOnce;
                assert!(overflow || lost, "{delivery:?} to {who} is lost");
            }
            ledger.left = 0;
            let link = model.links.get_mut(who).filter(|_| session.connected);
            let here = link.is_some();
            ledger.compare_flights(link, held.outgoing.inflight_len());
            if here && !full && !self.actors[who - 1].more {
                let head = held.outgoing.head().map(|head| (head.qos, head.size()));
                let must = ledger.must_wait(&model.links[who], head);
                assert!(must, "{who} could get {:?}", ledger.waiting.front());
            }
        }
        for pending in model.pending.drain(..) {
            let excuse = |(who, delivery): (&Who, &Delivery)| {
                let session = &model.sessions[who];
                session.ledger.is_excused(delivery, now)
                    || !rules.may_read(session.listener, &delivery.message.topic)
                    || !session.connected
                        && delivery.qos == QoS::AtMostOnce
                        && !rules.settings.queue_qos0_messages
            };
            let nobody = pending.offers.is_empty();
            if nobody || pending.may_be_gone || pending.offers.iter().any(excuse) {
                excused += 1;
            } else {
                missing += 1;
            }
        }
        let counted = core.peers.stats.dropped;
        let dropped = counted - std::mem::replace(&mut self.dropped, counted);
        assert!(
            missing <= dropped,
            "{missing} are lost, {dropped} are counted"
        );
        assert!(dropped <= missing + excused, "{dropped} counted as dropped");
        model.event += 1;
        for (who, link) in &model.links {
            let answers = &link.answers;
            assert!(answers.is_empty(), "{who} gets no {answers:?}");
        }
    }

    /// A connection that the broker ends is ended.
    fn end_if_over(&mut self, who: Who) {
        let actor = &mut self.actors[who - 1];
        let Some(client) = actor.connection else {
            return;
        };
        if self.model.links[&who].over {
            assert!(actor.woken, "nobody ends the connection of {who}");
            actor.forget_connection();
            self.model.links.remove(&who);
            self.world.cut(client);
        }
    }

    /// After an update of `$SYS`.
    pub(super) fn check_figures(&mut self) {
        let settings = &self.model.rules.settings;
        let interval = settings.sys_interval;
        let now = self.world.now;
        if !settings.retain_available || interval == 0 || !now.is_multiple_of(interval) {
            return;
        }
        let retained = &mut self.world.core.retained;
        let own = retained.matching("$SYS/#", now).len();
        for (name, value) in self.model.figures(own) {
            let found = retained.matching(&format!("$SYS/broker/{name}"), now);
            let text = std::str::from_utf8(&found[0].publication.payload).unwrap();
            assert_eq!(text, value.to_string(), "{name} at {now}");
        }
    }
}
