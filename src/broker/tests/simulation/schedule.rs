//! What happens, in which order: clients, the network and time.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::actor::{Actor, Heard};
use super::model::{Model, Who};
use super::random::Random;
use super::rules::{Rules, will_topic};
use crate::broker::acks::packet_ids;
use crate::broker::tests::harness::*;
use crate::broker::{Batch, Decision, Millis, Policy};
use crate::codec::{Ack, Connect, Disconnect, Packet, Properties, Property, ReasonCode};

/// Each client acts at instants of its own, modulo this many milliseconds; all
/// intervals are multiples of it. So what is due for two clients never falls on
/// the same instant, where nobody could say which comes first.
const TURN: Millis = 20;

pub(super) struct Simulation {
    pub(super) random: Random,
    pub(super) world: World,
    pub(super) model: Model,
    pub(super) actors: Vec<Actor>,
    policies: Vec<Policy>,
    pub(super) dropped: u64,
    steps: u64,
}

impl Simulation {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let rules = Rules::new(&mut random);
        let policies = (0..2).map(|number| rules.policy(number)).collect();
        let world = World::with(|settings| *settings = rules.settings.clone());
        let count = random.pick(&[2, 3, 4, 5, 6, 7, 12]);
        let actors = (1..=count).map(|who| Actor::new(who, &mut random));
        let actors = actors.collect();
        Self {
            random,
            world,
            model: Model::new(rules),
            actors,
            policies,
            dropped: 0,
            steps: 0,
        }
    }

    fn actor(&mut self, who: Who) -> &mut Actor {
        &mut self.actors[who - 1]
    }

    pub(super) fn step(&mut self) {
        self.steps += 1;
        let who = 1 + self.random.below(self.actors.len());
        let wait = (TURN + who as Millis - self.world.now % TURN) % TURN;
        self.pass(wait);
        let (random, actor) = (&mut self.random, &mut self.actors[who - 1]);
        let choice = random.below(1000);
        if actor.connection.is_none() {
            match choice {
                0..400 => self.connect(who, false),
                _ => self.pass_some(choice),
            }
            return;
        }
        match choice {
            0..15 => self.connect(who, false),
            15..35 => self.cut(who),
            35..45 => self.disconnect(who),
            45..52 => {
                let listener = self.model.sessions[&who].listener;
                let rules = &self.model.rules;
                actor.misbehave(random, rules, &rules.listeners[listener]);
            }
            52..350 => actor.publish(random),
            350..440 => actor.subscribe(random),
            440..480 => actor.unsubscribe(random),
            480..500 => actor.write(&Packet::PingReq),
            500..680 => {
                let count = random.below(actor.written.len() + 1);
                self.flush(who, count);
            }
            680..830 => self.read(who),
            830..928 => {
                let count = random.below(actor.owes_acks() + 1);
                self.acknowledge(who, count);
            }
            928..931 => self.reconfigure(),
            _ => self.pass_some(choice),
        }
    }

    fn pass_some(&mut self, choice: usize) {
        let time = if choice < 990 { 500 } else { 20_000 };
        let time = self.random.next() % time;
        self.pass(time);
    }

    pub(super) fn pass(&mut self, time: Millis) {
        let end = self.world.now + time;
        let next = |world: &World| world.core.next_deadline().filter(|at| *at <= end);
        while let Some(deadline) = next(&self.world) {
            self.world.now = self.world.now.max(deadline);
            let now = self.world.now;
            let paused = |actor: &&Actor| {
                let client = actor.connection.unwrap();
                self.world.core.peers.connections[client.id.slot()].held_up_by > 0
            };
            let connected = self
                .actors
                .iter()
                .filter(|actor| actor.connection.is_some());
            let paused: BTreeSet<_> = connected.filter(paused).map(|actor| actor.who).collect();
            self.world.core.tick(now);
            self.check_figures();
            self.model.pass_to(now, &paused);
            self.settle();
        }
        self.world.now = end;
        self.model.now = end;
        assert!(!self.model.is_due(end), "something was forgotten");
    }

    /// `for_ever`: whatever the session holds is to be heard.
    pub(super) fn connect(&mut self, who: Who, for_ever: bool) {
        let random = &mut self.random;
        let actor = &mut self.actors[who - 1];
        let version = random.pick(&VERSIONS);
        let name = actor.name.clone();
        let clean_start = !for_ever && random.chance(20) || actor.forgetful;
        let mut connect = Connect {
            clean_start,
            keep_alive: if for_ever {
                0
            } else {
                random.pick(&[0, 0, 0, 0, 2, 10, 60])
            },
            ..hello(version, &name)
        };
        let (mut receive_maximum, mut maximum_packet_size) = (u16::MAX, usize::MAX);
        let mut alias_maximum = 0;
        if version == V5 {
            receive_maximum = random.pick(&[1, 3, u16::MAX]);
            alias_maximum = random.pick(&[0, 1, 20]);
            let seconds = random.pick(&[0, 5, 60, u32::MAX]);
            let seconds = if for_ever { u32::MAX } else { seconds };
            connect = with(connect, Property::SessionExpiryInterval(seconds));
            connect = with(connect, Property::ReceiveMaximum(receive_maximum));
            connect = with(connect, Property::TopicAliasMaximum(alias_maximum));
            if random.chance(10) {
                connect = with(connect, Property::RequestProblemInformation(0));
            }
            if random.chance(30) {
                let size = random.pick(&[100, 2_050, 1_000_000]);
                maximum_packet_size = size as usize;
                connect = with(connect, Property::MaximumPacketSize(size));
            }
        }
        let (topic, text) = (will_topic(who), actor.payload(0));
        if !for_ever && random.chance(30) {
            let mut properties = Properties::new();
            if version == V5 {
                if random.chance(50) {
                    let delay = random.pick(&[1, 10, 100]);
                    properties.push(Property::WillDelayInterval(delay));
                }
                if random.chance(30) {
                    properties.push(Property::UserProperty("k", "v"));
                }
                if random.chance(30) {
                    let expiry = random.below(10) as u32;
                    properties.push(Property::MessageExpiryInterval(expiry));
                }
            }
            connect.will = Some(crate::codec::Will {
                qos: random.qos(),
                retain: random.chance(30),
                properties,
                ..will(&topic, &text)
            });
        }
        // Nobody begins at QoS 2 and goes on where there is none.
        let flights = &actor.flights;
        let most = flights.iter().map(|flight| flight.qos).max();
        let mut listener = random.below(2);
        if most > Some(self.model.rules.listeners[listener].max_qos) {
            listener = 0;
        }
        self.world.policy = self.policies[listener].clone();
        let client = self.world.introduce(&connect, Decision::Allowed);
        let old = self.actor(who).connection;
        let old_link = old.is_some().then(|| self.model.links[&who].version);
        let (answer, present) = self.model.connect(who, &connect, listener);
        let Some(present) = present else {
            let heard = self.world.read(client);
            let expected: Vec<_> = answer.into_iter().chain(["END".into()]).collect();
            assert_eq!(heard, expected, "{connect:?}");
            return;
        };
        if let Some(old) = old {
            // What was not observed of the old connection is its last word.
            let observed = self.actor(who).observed;
            let work = self.world.take(old).unwrap();
            let words: Vec<_> = packets(old.version, &work.bytes[observed..])
                .iter()
                .map(show)
                .collect();
            assert!(work.close);
            match old_link {
                Some(V5) => assert_eq!(words, ["DISCONNECT 0x8E"]),
                _ => assert!(words.is_empty(), "{words:?}"),
            }
            self.world.cut(old);
        }
        let line = answer.unwrap();
        self.model
            .links
            .get_mut(&who)
            .unwrap()
            .answers
            .push_back(line);
        let actor = &mut self.actors[who - 1];
        let rules = &self.model.rules;
        actor.begin(client, present, rules, &rules.listeners[listener]);
        actor.receive_maximum = receive_maximum.into();
        actor.maximum_packet_size = maximum_packet_size;
        actor.alias_maximum = alias_maximum;
        self.settle();
        self.read(who);
    }

    /// The connection breaks.
    fn cut(&mut self, who: Who) {
        if self.random.chance(50) {
            self.read(who);
        }
        let Some(client) = self.actor(who).connection else {
            return;
        };
        self.world.cut(client);
        self.model.part(who, true);
        self.model.links.remove(&who);
        self.actor(who).forget_connection();
        self.settle();
    }

    pub(super) fn disconnect(&mut self, who: Who) {
        let all = self.actor(who).written.len();
        self.flush(who, all);
        let actor = &mut self.actors[who - 1];
        let Some(client) = actor.connection else {
            return;
        };
        if actor.spoilt || !actor.partial.is_empty() || !actor.written.is_empty() {
            return;
        }
        let v5 = client.version == V5;
        let random = &mut self.random;
        let mut properties = Properties::new();
        if v5 && random.chance(20) {
            let seconds = random.pick(&[0, 5, 60]);
            properties.push(Property::SessionExpiryInterval(seconds));
        }
        let reason = if v5 && random.chance(50) {
            ReasonCode::DISCONNECT_WITH_WILL
        } else {
            ReasonCode::SUCCESS
        };
        actor.write(&Packet::Disconnect(Disconnect { reason, properties }));
        let all = actor.written.len();
        self.flush(who, all);
    }

    fn acknowledge(&mut self, who: Who, count: usize) {
        let (random, actor) = (&mut self.random, &mut self.actors[who - 1]);
        for refused in actor.acknowledge(random, count) {
            let session = self.model.sessions.get_mut(&who).unwrap();
            session.ledger.refuse(refused);
        }
    }

    /// Some of what a client has written arrives, cut anywhere.
    pub(super) fn flush(&mut self, who: Who, count: usize) {
        let now = self.world.now;
        let actor = &mut self.actors[who - 1];
        let Some(client) = actor.connection.filter(|_| count > 0) else {
            return;
        };
        if self.world.core.outlook(client.id).pause {
            return;
        }
        actor.partial.extend(actor.written.drain(..count));
        let bytes = std::mem::take(&mut actor.partial);
        let batch = Batch::decode(&bytes, client.version, 2_000_000);
        actor.partial.extend_from_slice(&bytes[batch.consumed()..]);
        self.model.links.get_mut(&who).unwrap().heard = now;
        if batch.is_empty() {
            self.world.core.hear(now, client.id);
            return;
        }
        self.world.core.receive(now, client.id, &batch);
        for arrival in &batch.packets {
            match (&arrival.packet, &arrival.run) {
                (Packet::Publish(first), Some(run)) => {
                    for (publish, _) in run.packets(first) {
                        self.model.receive(who, &Packet::Publish(publish));
                    }
                }
                (packet, _) => {
                    self.model.receive(who, packet);
                    if let Packet::Ack(kind, _) = packet {
                        for packet_id in packet_ids(arrival.row) {
                            let ack = Ack {
                                packet_id,
                                reason: ReasonCode::SUCCESS,
                                properties: Properties::new(),
                            };
                            self.model.receive(who, &Packet::Ack(*kind, ack));
                        }
                    }
                }
            }
        }
        if batch.error.is_some() {
            self.model.receive_garbage(who);
        }
        self.settle();
    }

    /// The client reads one outbox.
    pub(super) fn read(&mut self, who: Who) {
        let Some(client) = self.actor(who).connection else {
            return;
        };
        let work = self.world.take(client).unwrap();
        let observed = std::mem::take(&mut self.actor(who).observed);
        self.actor(who).woken = false;
        self.actor(who).more = work.more;
        self.settle_with(Some((who, &work.bytes[observed..])));
        for packet in packets(client.version, &work.bytes) {
            if let Heard::Message { id, new } = self.actor(who).hear(&packet) {
                let session = self.model.sessions.get_mut(&who).unwrap();
                session.ledger.hear(id, new);
            }
        }
        self.world.core.give_back(work.bytes);
    }

    /// Somebody changes the configuration.
    fn reconfigure(&mut self) {
        let rules = &mut self.model.rules;
        rules.change(&mut self.random);
        self.policies[1] = rules.policy(1);
        let policies = self.policies.iter().cloned().map(Arc::new);
        let policies: Vec<_> = policies.collect();
        let (now, settings) = (self.world.now, rules.settings.clone());
        self.world.core.reconfigure(now, settings, &policies);
        self.settle();
    }

    /// All sessions come back, everything is delivered and acknowledged, and
    /// then all end.
    pub(super) fn finish(&mut self) {
        let (mut busy, mut rounds) = (true, 0);
        while busy {
            busy = false;
            rounds += 1;
            assert!(rounds < 10_000, "there is no end to it");
            for who in 1..=self.actors.len() {
                let away = self.model.sessions.get(&who).is_some_and(|s| !s.connected);
                if away {
                    self.connect(who, true);
                    busy = true;
                }
                let before = self.world.core.peers.stats;
                self.read(who);
                let all = self.actor(who).owes_acks();
                self.acknowledge(who, all);
                let actor = self.actor(who);
                let all = actor.written.len();
                busy |= all > 0;
                self.flush(who, all);
                busy |= self.actor(who).more;
                busy |= self.world.core.peers.stats.messages_sent != before.messages_sent;
            }
        }
        self.world.check();
        for (who, session) in &self.model.sessions {
            let ledger = &session.ledger;
            assert!(ledger.waiting.is_empty(), "{who}: {:?}", ledger.waiting);
            assert!(ledger.flying.is_empty(), "{who}: {:?}", ledger.flying);
        }
        let mut connected = self.actors.iter().filter(|a| a.connection.is_some());
        assert!(connected.all(|actor| actor.flights.is_empty()));
        for who in 1..=self.actors.len() {
            let name = self.actor(who).name.clone();
            if let Some(client) = self.actor(who).connection {
                self.world.cut(client);
            }
            let last = self.world.introduce(&hello(V5, &name), Decision::Allowed);
            self.world.cut(last);
        }
        self.world.check_empty();
    }

    pub(super) fn check_now_and_then(&mut self) {
        if self.steps.is_multiple_of(64) {
            self.world.check();
        }
    }
}
