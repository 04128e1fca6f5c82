//! Two brokers with a bridge between them, which end, lose each other and their
//! clients at any moment: whatever a broker has acknowledged comes to both, at
//! QoS 2 exactly once. The other broker may lose its sessions too; what passes
//! afterwards is as good.
//!
//! `MOUSTIQUE_SEED=n` replays one seed; `MOUSTIQUE_SEEDS=n` runs that many, 0
//! without end.

mod actor;
mod broker;

use std::collections::HashMap;

use actor::Actor;
use broker::{Broker, Line, Random, decode};

use super::hello::{self, Identity, Manner};
use super::relay::{LOCAL_VERSION, Outputs, Relay, Remote};
use super::topics::Topics;
use crate::broker::Policy;
use crate::codec::{Packet, QoS, RetainHandling, Version};
use crate::config::{Bridge, Config};
use crate::property;
use crate::store::Store;

const SEEDS: u64 = 60;
const STEPS: usize = 3000;

/// How far a bridge has come in connecting, as in `joining.rs`.
enum Stage {
    Apart,
    /// CONNECT went to the other broker.
    Greeting {
        far: Line,
    },
    /// And to this one.
    Joining {
        far: Line,
        near: Line,
        limits: Remote,
    },
    Joined {
        far: Line,
        near: Line,
        relay: Box<Relay>,
    },
}

const NEAR: usize = 0;
const FAR: usize = 1;

struct Simulation {
    random: Random,
    brokers: [Broker; 2],
    actors: [Actor; 2],
    bridge: Bridge,
    identity: Identity,
    topics: Topics,
    stage: Stage,
    /// The other broker has lost its sessions, and the bridge doesn't know yet.
    is_lost: bool,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let version = ["mqttv31", "mqttv311", "mqttv50"][random.below(3)];
        let text = format!(
            "listener 1883\nconnection b\naddress h:1\nremote_clientid there\n\
             local_clientid here\nbridge_protocol_version {version}\ntopic # both 2\n"
        );
        let config = Config::parse(&text, "b.conf").unwrap();
        let bridge = config.bridges[0].clone();
        // What stamps recognise needs no flow that is right: half goes without.
        let stamps = random.below(2) == 0;
        let versions = [Version::V31, Version::V311, Version::V5];
        let mut simulation = Self {
            brokers: [NEAR, FAR].map(|number| Broker::new(number, stamps)),
            actors: ["near", "far"].map(|name| Actor::new(name, versions[random.below(3)])),
            identity: Identity::of(&bridge, "host"),
            topics: Topics::of(&bridge),
            bridge,
            stage: Stage::Apart,
            is_lost: false,
            random,
        };
        simulation.prepare();
        simulation
    }

    /// All have their sessions, and what is to wait in them waits.
    fn prepare(&mut self) {
        for (actor, broker) in self.actors.iter_mut().zip(&mut self.brokers) {
            actor.enrol(broker);
        }
        self.quieten();
        let connect = hello::to_local(&self.bridge, &self.identity, false, 1);
        let Packet::Connect(connect) = connect else {
            unreachable!()
        };
        let mut line = self.brokers[NEAR].connect(Policy::bridge(), &connect);
        let filters = self.topics.local_filters();
        line.put(&hello::subscribe(1, &filters, RetainHandling::Never));
        let length = line.upward.len();
        self.brokers[NEAR].read(&mut line, length);
        self.brokers[NEAR].cut(line, &mut self.random);
        // The other broker has the bridge's session from its first connection.
        while !matches!(self.stage, Stage::Joined { .. }) {
            self.advance();
            self.quieten();
        }
        self.quieten();
    }

    fn step(&mut self) {
        let side = self.random.below(2);
        let (actor, broker) = (&mut self.actors[side], &mut self.brokers[side]);
        match self.random.below(1000) {
            0..150 => {
                let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
                actor.publish(qos[self.random.below(3)]);
            }
            150..300 => {
                if let Some(line) = &mut actor.line {
                    let count = self.random.below(line.upward.len() + 1);
                    broker.read(line, count);
                    broker.write(line);
                }
            }
            300..400 => {
                actor.hear();
            }
            400..500 => {
                broker.gather();
            }
            500..640 => {
                broker.commit();
            }
            640..950 => {
                self.carry();
            }
            950..965 => self.part(),
            965..985 => match actor.line.take() {
                Some(line) if self.random.below(3) == 0 => broker.cut(line, &mut self.random),
                Some(line) => actor.line = Some(line),
                None => actor.connect(broker),
            },
            985..990 => self.crash(side),
            990..992 => self.lose_sessions(),
            _ => self.advance(),
        }
        self.notice();
    }

    /// Moves some bytes over the connections of the bridge.
    fn carry(&mut self) {
        let lot = self.random.below(5);
        let mut some = |length: usize| self.random.below(length + 1);
        let [near_broker, far_broker] = &mut self.brokers;
        match &mut self.stage {
            Stage::Apart => {}
            Stage::Greeting { far } => {
                far_broker.write(far);
            }
            Stage::Joining { far, near, .. } => {
                far_broker.write(far);
                near_broker.write(near);
            }
            Stage::Joined { far, near, relay } => match lot {
                0 => {
                    near_broker.read(near, some(near.upward.len()));
                }
                1 => {
                    far_broker.read(far, some(far.upward.len()));
                }
                2 => {
                    near_broker.write(near);
                }
                3 => {
                    far_broker.write(far);
                }
                _ => {
                    relay_one(relay, near, far);
                }
            },
        }
        self.advance();
    }

    /// What comes next in connecting.
    fn advance(&mut self) {
        let [near_broker, far_broker] = &mut self.brokers;
        self.stage = match std::mem::replace(&mut self.stage, Stage::Apart) {
            Stage::Apart => {
                let options = hello::to_remote(
                    &self.bridge,
                    &self.identity,
                    Manner::of(&self.bridge),
                    u16::MAX,
                );
                let far = far_broker.connect(Policy::default(), &options.packet());
                Stage::Greeting { far }
            }
            Stage::Greeting { mut far } => match far.next() {
                None => Stage::Greeting { far },
                Some(bytes) => {
                    let Packet::ConnAck(ack) = decode(&bytes, far.version) else {
                        panic!("something else than CONNACK");
                    };
                    if self.bridge.cleansession || super::joining::is_lost(far.version, &ack) {
                        near_broker
                            .core
                            .forget_received(near_broker.now, &self.identity.local);
                    }
                    let limits = hello::limits(&self.bridge, &ack.properties);
                    let window = property!(ack.properties, ReceiveMaximum).unwrap_or(u16::MAX);
                    let connect = hello::to_local(&self.bridge, &self.identity, false, window);
                    let Packet::Connect(connect) = connect else {
                        unreachable!()
                    };
                    let near = near_broker.connect(Policy::bridge(), &connect);
                    Stage::Joining { far, near, limits }
                }
            },
            Stage::Joining {
                mut far,
                mut near,
                limits,
            } => {
                if near.next().is_none() {
                    Stage::Joining { far, near, limits }
                } else {
                    let mut relay = Relay::new(self.topics.clone(), limits, true);
                    let (local, remote) =
                        (self.topics.local_filters(), self.topics.remote_filters());
                    near.put(&hello::subscribe(1, &local, RetainHandling::IfNew));
                    relay.asked_here();
                    let id = near_broker.core.unused_id(&self.identity.local).unwrap();
                    far.put(&hello::subscribe(id, &remote, RetainHandling::IfNew));
                    relay.asked_there(id, remote.into_iter().map(|(filter, _)| filter).collect());
                    let relay = Box::new(relay);
                    Stage::Joined { far, near, relay }
                }
            }
            joined @ Stage::Joined { .. } => joined,
        };
    }

    /// The bridge loses its connections, in no particular order.
    fn part(&mut self) {
        let [near_broker, far_broker] = &mut self.brokers;
        match std::mem::replace(&mut self.stage, Stage::Apart) {
            Stage::Apart => {}
            Stage::Greeting { far } => far_broker.cut(far, &mut self.random),
            Stage::Joining { far, near, .. } | Stage::Joined { far, near, .. } => {
                far_broker.cut(far, &mut self.random);
                near_broker.cut(near, &mut self.random);
            }
        }
    }

    /// A broker ends, with all of its connections.
    fn crash(&mut self, side: usize) {
        self.part();
        self.actors[side].line = None;
        self.actors[side].greeted = false;
        self.brokers[side].crash(&mut self.random);
    }

    /// The other broker ends and keeps nothing. MQTT 3.1 has no word for that.
    fn lose_sessions(&mut self) {
        if hello::version(&self.bridge) == Version::V31 {
            return;
        }
        self.part();
        self.brokers[FAR].lose_all();
        self.actors[FAR].lose_session();
        self.actors[FAR].enrol(&mut self.brokers[FAR]);
        self.is_lost = true;
    }

    /// Connections that a broker has ended are over.
    fn notice(&mut self) {
        for (actor, broker) in self.actors.iter_mut().zip(&mut self.brokers) {
            if let Some(line) = actor.line.take_if(|line| line.over) {
                broker.cut(line, &mut self.random);
                actor.greeted = false;
            }
        }
        if let Stage::Joined { relay, .. } = &self.stage
            && relay.is_ready()
            && std::mem::take(&mut self.is_lost)
        {
            for actor in &mut self.actors {
                actor.settled = actor.published.len();
            }
        }
        let is_over = match &self.stage {
            Stage::Apart => false,
            Stage::Greeting { far } => far.over,
            Stage::Joining { far, near, .. } | Stage::Joined { far, near, .. } => {
                far.over || near.over
            }
        };
        if is_over {
            self.part();
        }
    }

    /// Nothing fails any more, and everything that moves comes to its end.
    fn quieten(&mut self) {
        let mut idle = 0;
        while idle < 3 {
            let mut moved = false;
            for (actor, broker) in self.actors.iter_mut().zip(&mut self.brokers) {
                if actor.line.is_none() {
                    actor.connect(broker);
                }
                if let Some(line) = &mut actor.line {
                    let length = line.upward.len();
                    moved |= broker.read(line, length) | broker.write(line);
                }
                while actor.hear() {
                    moved = true;
                }
                while broker.gather() | broker.commit() {
                    moved = true;
                }
            }
            moved |= self.flush();
            self.notice();
            idle = if moved { 0 } else { idle + 1 };
        }
    }

    fn flush(&mut self) -> bool {
        let [near_broker, far_broker] = &mut self.brokers;
        let mut moved = false;
        match &mut self.stage {
            Stage::Apart => {}
            Stage::Greeting { far } => moved = far_broker.write(far),
            Stage::Joining { far, near, .. } => {
                moved = far_broker.write(far) | near_broker.write(near);
            }
            Stage::Joined { far, near, relay } => {
                while relay_one(relay, near, far) {
                    moved = true;
                }
                for (broker, line) in [(near_broker, near), (far_broker, far)] {
                    let length = line.upward.len();
                    moved |= broker.read(line, length) | broker.write(line);
                }
            }
        }
        moved
    }

    fn finish(mut self) {
        while !matches!(self.stage, Stage::Joined { .. }) {
            self.quieten();
            self.advance();
        }
        self.quieten();
        for broker in &mut self.brokers {
            for session in broker.store.recover().unwrap().sessions {
                assert_eq!(session.queue.deliveries, 0, "a ghost in {session:?}");
                // A bridge may not have heard that what it knows is forgotten.
                let is_known = session.incoming.is_empty() || self.actors[FAR].settled > 0;
                assert!(is_known, "a ghost in {session:?}");
            }
        }
        for receiver in &self.actors {
            self.check(receiver);
        }
    }

    /// It got all, at QoS 2 exactly once and in order.
    fn check(&self, receiver: &Actor) {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for text in &receiver.got {
            *counts.entry(text).or_default() += 1;
        }
        for publisher in &self.actors {
            assert!(publisher.flights.is_empty());
            for (number, qos) in publisher.published.iter().enumerate() {
                let text = format!("{} {number}", publisher.name);
                let count = counts.remove(text.as_str()).unwrap_or(0);
                let is_safe =
                    number >= publisher.settled || [publisher.name, receiver.name] == ["near"; 2];
                let is_right = match qos {
                    // It left the other broker before that lost all.
                    QoS::ExactlyOnce if !is_safe => count <= 1 || receiver.name == "far",
                    _ if !is_safe => true,
                    QoS::AtMostOnce => count <= 1,
                    QoS::AtLeastOnce => count > 0,
                    QoS::ExactlyOnce => count == 1,
                };
                let (name, qos) = (receiver.name, *qos as u8);
                assert!(is_right, "{count} times '{text}' of QoS {qos} to {name}");
            }
            let exactly: Vec<_> = receiver
                .got
                .iter()
                .filter_map(|text| text.strip_prefix(publisher.name)?.trim().parse().ok())
                .filter(|number: &usize| {
                    *number >= publisher.settled && publisher.published[*number] == QoS::ExactlyOnce
                })
                .collect();
            assert!(
                exactly.is_sorted(),
                "{} at {}",
                publisher.name,
                receiver.name
            );
        }
        assert!(counts.is_empty(), "nobody published {counts:?}");
    }
}

/// Passes one packet on, of this broker or of the other. False: there is none.
fn relay_one(relay: &mut Relay, near: &mut Line, far: &mut Line) -> bool {
    let (outward, inward) = (near.next(), far.next());
    let version = far.version;
    let mut out = Outputs {
        local: &mut near.upward,
        remote: &mut far.upward,
    };
    if let Some(bytes) = &outward {
        // Whatever ends it, the connections are over by themselves.
        let _ = relay.outward(decode(bytes, LOCAL_VERSION), &mut out);
    }
    if let Some(bytes) = &inward {
        let _ = relay.inward(decode(bytes, version), &mut out);
    }
    outward.is_some() || inward.is_some()
}

#[test]
fn nothing_is_lost_on_a_bridge_and_qos_2_comes_once_whatever_ends() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("MOUSTIQUE_SEED") {
        Some(seed) => seed..seed + 1,
        None => match number("MOUSTIQUE_SEEDS") {
            Some(0) => 0..u64::MAX,
            seeds => 0..seeds.unwrap_or(SEEDS),
        },
    };
    for seed in seeds {
        println!("MOUSTIQUE_SEED={seed}");
        let mut simulation = Simulation::new(seed);
        for _ in 0..STEPS {
            simulation.step();
        }
        simulation.finish();
    }
}
