//! Random clients against the broker, with a model that says what each of them
//! may and must receive.
//!
//! `MOUSTIQUE_SEED=n` replays one seed; `MOUSTIQUE_SEEDS=n` runs that many
//! instead of the few of an ordinary run, and `MOUSTIQUE_STEPS=n` takes that
//! many steps with each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::harness::*;
use super::model::{self, Arrival, Message, Model, NEVER, Who};
use crate::broker::Decision;
use crate::codec::{
    Ack, AckKind, Connect, Frame, Packet, Properties, Property, Publish, QoS, ReasonCode,
    RetainHandling, Side, Subscribe, SubscriptionOptions, SubscriptionRequest, Unsubscribe,
    Version,
};

const TOPICS: [&str; 7] = ["a", "a/b", "a/c", "b", "b/c", "$x", "$s/1"];
const FILTERS: [&str; 11] = [
    "a",
    "a/b",
    "a/+",
    "a/#",
    "#",
    "+/c",
    "+",
    "b/c",
    "$x",
    "$share/g/$s/#",
    "$share/h/$s/1",
];

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn qos(&mut self) -> QoS {
        self.pick(&[Q0, Q1, Q2])
    }
}

/// A message that a client has sent and that is not acknowledged.
struct Flight {
    packet_id: u16,
    message: Message,
    weight: usize,
    released: bool,
}

/// A client with its own half of the session.
struct Actor {
    name: String,
    connection: Option<Client>,
    /// Written but not yet at the broker, and at the broker but incomplete.
    written: Vec<u8>,
    partial: Vec<u8>,
    flights: Vec<Flight>,
    last_id: u16,
    /// Identifiers of QoS 2 that came and were not released.
    received: BTreeSet<u16>,
    /// What came on this connection and was not acknowledged by the client.
    open: BTreeSet<u16>,
    receive_maximum: usize,
    maximum_packet_size: usize,
    aliases: BTreeMap<u16, String>,
    /// Acknowledgements that the client will send, in order.
    acks: VecDeque<(AckKind, u16)>,
}

impl Actor {
    fn new(who: Who) -> Self {
        Self {
            name: format!("c{who}"),
            connection: None,
            written: Vec::new(),
            partial: Vec::new(),
            flights: Vec::new(),
            last_id: 0,
            received: BTreeSet::new(),
            open: BTreeSet::new(),
            receive_maximum: 0,
            maximum_packet_size: usize::MAX,
            aliases: BTreeMap::new(),
            acks: VecDeque::new(),
        }
    }

    fn version(&self) -> Version {
        self.connection.map_or(V311, |client| client.version)
    }

    fn write(&mut self, packet: &Packet<'_>) {
        let version = self.version();
        packet.encode(version, &mut self.written);
    }

    fn write_ack(&mut self, kind: AckKind, packet_id: u16) {
        let ack = Ack {
            packet_id,
            reason: ReasonCode::SUCCESS,
            properties: Properties::new(),
        };
        self.write(&Packet::Ack(kind, ack));
    }

    fn write_flight(&mut self, index: usize, dup: bool) {
        let Flight {
            packet_id,
            message,
            weight,
            ..
        } = &self.flights[index];
        let (packet_id, weight, message) = (*packet_id, *weight, message.clone());
        self.write_message(&message, packet_id, weight, dup);
    }

    fn write_message(&mut self, message: &Message, packet_id: u16, weight: usize, dup: bool) {
        let payload = model::payload(message, weight);
        let mut properties = Properties::new();
        if let Some(seconds) = message.expiry {
            properties.push(Property::MessageExpiryInterval(seconds));
        }
        let publish = Publish {
            dup,
            qos: message.qos,
            retain: message.retain,
            topic: &message.topic,
            packet_id,
            properties,
            payload: payload.as_bytes(),
        };
        self.write(&Packet::Publish(publish));
    }

    fn forget_connection(&mut self) {
        self.connection = None;
        self.written.clear();
        self.partial.clear();
        self.open.clear();
        self.aliases.clear();
        self.acks.clear();
    }
}

struct Simulation {
    random: Random,
    world: World,
    model: Model,
    actors: Vec<Actor>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let lossy = random.chance(20);
        let mut model = Model::default();
        model.lossy = lossy;
        let world = World::with(|settings| {
            settings.max_inflight_messages = random.pick(&[1, 2, 5, 20]);
            settings.queue_qos0_messages = random.chance(50);
            settings.max_queued_messages = if lossy { 3 } else { usize::MAX };
        });
        let actors = (0..2 + random.below(6)).map(Actor::new).collect();
        Self {
            random,
            world,
            model,
            actors,
        }
    }

    fn step(&mut self) {
        let who = self.random.below(self.actors.len());
        let connected = self.actors[who].connection.is_some();
        match self.random.below(100) {
            0..30 if !connected => self.connect(who, None),
            0..3 => self.connect(who, None),
            3..5 => self.cut(who),
            5 => self.disconnect(who),
            6..36 => self.publish(who),
            36..46 => self.subscribe(who),
            46..50 => self.unsubscribe(who),
            50..68 => self.flush(who),
            68..83 => drop(self.read(who)),
            83..93 => self.acknowledge(who),
            93..99 => self.pass(self.random.0 % 500),
            _ => self.pass(self.random.0 % 20_000),
        }
    }

    fn pass(&mut self, time: u64) {
        self.world.pass(time);
        self.model.pass_to(self.world.now);
    }

    /// `expiry`: take the session up, for that long.
    fn connect(&mut self, who: Who, expiry: Option<u32>) {
        let random = &mut self.random;
        let version = random.pick(&VERSIONS);
        let name = self.actors[who].name.clone();
        let seconds = expiry.unwrap_or_else(|| random.pick(&[0, 5, 60, u32::MAX]));
        let clean_start = expiry.is_none() && random.chance(25);
        let mut connect = Connect {
            clean_start,
            ..hello(version, &name)
        };
        let (mut receive_maximum, mut maximum_packet_size) = (u16::MAX, usize::MAX);
        let mut lasts = if clean_start { 0 } else { NEVER };
        if version == V5 {
            receive_maximum = random.pick(&[1, 3, u16::MAX]);
            connect = with(connect, Property::SessionExpiryInterval(seconds));
            connect = with(connect, Property::ReceiveMaximum(receive_maximum));
            connect = with(
                connect,
                Property::TopicAliasMaximum(random.pick(&[0, 1, 20])),
            );
            if random.chance(20) {
                maximum_packet_size = 1_000_000;
                connect = with(connect, Property::MaximumPacketSize(1_000_000));
            }
            lasts = match seconds {
                u32::MAX => NEVER,
                seconds => u64::from(seconds) * 1000,
            };
        }
        let mut arrival = Arrival {
            clean_start,
            expiry: lasts,
            will: None,
        };
        let mut text = String::new();
        let mut topic = "";
        let mut qos = Q0;
        if expiry.is_none() && random.chance(30) {
            (topic, qos) = (random.pick(&TOPICS), random.qos());
            let delay = match version {
                V5 => random.pick(&[0_u64, 1, 10, 100]),
                _ => 0,
            };
            let message = self.model.register(Message {
                serial: 0,
                publisher: Some(who),
                topic: topic.into(),
                qos,
                retain: false,
                will: true,
                expiry: None,
            });
            text = model::payload(&message, 0);
            arrival.will = Some((message, delay * 1000));
        }
        if let Some((_, delay)) = &arrival.will {
            let mut properties = Properties::new();
            if *delay > 0 {
                properties.push(Property::WillDelayInterval((delay / 1000) as u32));
            }
            connect.will = Some(crate::codec::Will {
                qos,
                properties,
                ..will(topic, &text)
            });
        }
        let client = self.world.introduce(&connect, Decision::Allowed);
        let present = self.model.connect(who, arrival);
        if let Some(old) = self.actors[who].connection.take() {
            let goodbye = self.world.read(old);
            assert_eq!(goodbye.last().map(String::as_str), Some("END"));
        }
        let actor = &mut self.actors[who];
        actor.forget_connection();
        actor.connection = Some(client);
        actor.receive_maximum = receive_maximum.into();
        actor.maximum_packet_size = maximum_packet_size;
        if present {
            for index in 0..actor.flights.len() {
                if actor.flights[index].released {
                    actor.write_ack(AckKind::PubRel, actor.flights[index].packet_id);
                } else {
                    actor.write_flight(index, true);
                }
            }
        } else {
            actor.flights.clear();
            actor.received.clear();
        }
        self.read_greeting(who, present);
    }

    fn read_greeting(&mut self, who: Who, present: bool) {
        let client = self.actors[who].connection.unwrap();
        let work = self.world.take(client).unwrap();
        assert!(!work.close);
        let all = packets(client.version, &work.bytes);
        let Packet::ConnAck(ack) = &all[0] else {
            panic!("{all:?}")
        };
        assert_eq!(ack.reason, ReasonCode::SUCCESS);
        let told = present && client.version != V31;
        assert_eq!(ack.session_present, told, "session present");
        for packet in &all[1..] {
            self.hear(who, packet);
        }
    }

    fn cut(&mut self, who: Who) {
        let Some(client) = self.actors[who].connection else {
            return;
        };
        if self.random.chance(50) {
            // What was on its way to the client is lost.
            self.world.take(client);
        } else {
            self.read(who);
        }
        self.world.cut(client);
        self.model.part(who, true);
        self.actors[who].forget_connection();
    }

    fn disconnect(&mut self, who: Who) {
        let Some(client) = self.actors[who].connection else {
            return;
        };
        self.flush_all(who);
        let with_will = client.version == V5 && self.random.chance(50);
        let reason = if with_will {
            ReasonCode::DISCONNECT_WITH_WILL
        } else {
            ReasonCode::SUCCESS
        };
        self.world
            .disconnect_with(client, reason, Properties::new());
        self.model.part(who, with_will);
        self.actors[who].forget_connection();
    }

    fn publish(&mut self, who: Who) {
        let random = &mut self.random;
        let actor = &mut self.actors[who];
        if actor.connection.is_none() || actor.flights.len() >= 15 {
            return;
        }
        let (topic, mut qos) = (random.pick(&TOPICS), random.qos());
        if actor.flights.iter().filter(|f| f.message.qos == Q2).count() >= 1 && qos == Q2 {
            // Not more than the least receive maximum.
            qos = Q1;
        }
        let expires = actor.version() == V5 && random.chance(10);
        let message = self.model.register(Message {
            serial: 0,
            publisher: Some(who),
            topic: topic.into(),
            qos,
            retain: random.chance(10),
            will: false,
            expiry: expires.then(|| random.below(5) as u32),
        });
        let weight = random.pick(&[0, 0, 0, 10, 100, 2_000, 30_000]);
        if qos == Q0 {
            actor.write_message(&message, 0, weight, false);
            return;
        }
        let packet_id = loop {
            actor.last_id = actor.last_id % 30 + 1;
            let id = actor.last_id;
            if actor.flights.iter().all(|flight| flight.packet_id != id) {
                break id;
            }
        };
        actor.flights.push(Flight {
            packet_id,
            message,
            weight,
            released: false,
        });
        actor.write_flight(actor.flights.len() - 1, false);
    }

    fn subscribe(&mut self, who: Who) {
        let random = &mut self.random;
        let actor = &mut self.actors[who];
        if actor.connection.is_none() {
            return;
        }
        let filter = random.pick(&FILTERS);
        let shared = filter.starts_with("$share");
        let v5 = actor.version() == V5;
        let options = SubscriptionOptions {
            qos: if shared { Q2 } else { random.qos() },
            no_local: v5 && !shared && random.chance(20),
            retain_as_published: v5 && random.chance(20),
            retain_handling: match random.below(3) {
                1 if v5 => RetainHandling::IfNew,
                2 if v5 => RetainHandling::Never,
                _ => RetainHandling::Always,
            },
        };
        let mut properties = Properties::new();
        if v5 && random.chance(30) {
            properties.push(Property::SubscriptionIdentifier(5));
        }
        let requests = vec![SubscriptionRequest { filter, options }];
        actor.write(&Packet::Subscribe(Subscribe {
            packet_id: 1,
            properties,
            requests,
        }));
    }

    fn unsubscribe(&mut self, who: Who) {
        let filters = vec![self.random.pick(&FILTERS)];
        let actor = &mut self.actors[who];
        if actor.connection.is_some() {
            actor.write(&Packet::Unsubscribe(Unsubscribe {
                packet_id: 2,
                properties: Properties::new(),
                filters,
            }));
        }
    }

    fn acknowledge(&mut self, who: Who) {
        let count = self.random.below(self.actors[who].acks.len() + 1);
        self.acknowledge_some(who, count);
    }

    fn acknowledge_some(&mut self, who: Who, count: usize) {
        let actor = &mut self.actors[who];
        for (kind, id) in actor.acks.drain(..count).collect::<Vec<_>>() {
            if matches!(kind, AckKind::PubAck | AckKind::PubComp) {
                actor.open.remove(&id);
            }
            actor.write_ack(kind, id);
        }
    }

    /// Some of what a client has written arrives, cut anywhere.
    fn flush(&mut self, who: Who) {
        let count = self.random.below(self.actors[who].written.len() + 1);
        self.flush_some(who, count);
    }

    fn flush_all(&mut self, who: Who) {
        self.flush_some(who, self.actors[who].written.len());
    }

    fn flush_some(&mut self, who: Who, count: usize) {
        let actor = &mut self.actors[who];
        let Some(client) = actor.connection else {
            return;
        };
        let arrived: Vec<_> = actor.written.drain(..count).collect();
        actor.partial.extend(arrived);
        let bytes = std::mem::take(&mut actor.partial);
        let mut rest = &bytes[..];
        while let Ok(Some(frame)) = Frame::split(rest, usize::MAX) {
            let packet = Packet::decode(frame, client.version, Side::Client).unwrap();
            self.model.receive(who, &packet);
            rest = &rest[frame.bytes.len()..];
        }
        self.world.send_bytes(client, &bytes);
        self.actors[who].partial = rest.to_vec();
    }

    /// The client reads one outbox.
    fn read(&mut self, who: Who) -> bool {
        let Some(client) = self.actors[who].connection else {
            return false;
        };
        let work = self.world.take(client).unwrap();
        assert!(!work.close, "nobody did anything wrong");
        for packet in packets(client.version, &work.bytes) {
            self.hear(who, &packet);
        }
        let heard = !work.bytes.is_empty();
        self.world.core.give_back(work.bytes);
        heard
    }

    fn hear(&mut self, who: Who, packet: &Packet<'_>) {
        match packet {
            Packet::Publish(publish) => self.hear_publish(who, publish),
            Packet::Ack(kind, ack) => self.hear_ack(who, *kind, ack),
            Packet::SubAck(_) | Packet::UnsubAck(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn hear_publish(&mut self, who: Who, publish: &Publish<'_>) {
        let actor = &mut self.actors[who];
        assert!(publish.encoded_len(actor.version()) <= actor.maximum_packet_size);
        let alias = crate::property!(publish.properties, TopicAlias);
        let topic = match alias {
            Some(alias) if publish.topic.is_empty() => actor.aliases[&alias].clone(),
            Some(alias) => {
                actor.aliases.insert(alias, publish.topic.into());
                publish.topic.into()
            }
            None => publish.topic.to_string(),
        };
        let id = publish.packet_id;
        let mut again = false;
        match publish.qos {
            Q0 => {}
            Q1 => {
                assert!(actor.open.insert(id), "an identifier that is in use");
                actor.acks.push_back((AckKind::PubAck, id));
            }
            Q2 => {
                again = !actor.received.insert(id);
                assert!(!again || publish.dup, "an identifier that is in use");
                assert!(actor.open.insert(id), "an identifier that is in use");
                actor.acks.push_back((AckKind::PubRec, id));
            }
        }
        assert!(actor.open.len() <= actor.receive_maximum, "receive maximum");
        self.model.deliver(who, publish, &topic, again);
    }

    fn hear_ack(&mut self, who: Who, kind: AckKind, ack: &Ack<'_>) {
        let actor = &mut self.actors[who];
        let id = ack.packet_id;
        if kind == AckKind::PubRel {
            actor.received.remove(&id);
            actor.acks.push_back((AckKind::PubComp, id));
            return;
        }
        // A PUBREL again, whose first PUBCOMP was lost, finds nothing.
        let done = kind == AckKind::PubComp && ack.reason.0 == 0x92;
        assert!(done || !ack.reason.is_error(), "{kind:?} {ack:?}");
        let flight = actor.flights.iter().position(|f| f.packet_id == id);
        let index = flight.expect("an acknowledgement for something in flight");
        match kind {
            AckKind::PubRec => {
                actor.flights[index].released = true;
                actor.write_ack(AckKind::PubRel, id);
            }
            _ => drop(actor.flights.remove(index)),
        }
    }

    /// All sessions come back, everything is delivered and acknowledged, and
    /// then all end.
    fn finish(&mut self) {
        for who in self.model.away() {
            self.connect(who, Some(u32::MAX));
        }
        let mut busy = true;
        while busy {
            busy = false;
            for who in 0..self.actors.len() {
                busy |= self.read(who);
                self.acknowledge_some(who, self.actors[who].acks.len());
                busy |= !self.actors[who].written.is_empty();
                self.flush_all(who);
            }
        }
        self.world.check();
        self.model.settle();
        for actor in &self.actors {
            let done = actor.flights.is_empty() && actor.open.is_empty();
            assert!(done || actor.connection.is_none());
        }
        for who in 0..self.actors.len() {
            if self.actors[who].connection.is_some() {
                self.disconnect(who);
            }
            let last = self.world.introduce(
                &hello(V311, &self.actors[who].name.clone()),
                Decision::Allowed,
            );
            self.world.cut(last);
        }
        self.world.check_empty();
    }
}

/// Tells how to come back to a failure.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay with MOUSTIQUE_SEED={}", self.0);
        }
    }
}

fn run(seed: u64, steps: u64) {
    let told = Seed(seed);
    let mut simulation = Simulation::new(seed);
    for step in 0..steps {
        simulation.step();
        if step % 64 == 0 {
            simulation.world.check();
        }
    }
    simulation.finish();
    drop(told);
}

#[test]
fn what_clients_receive_is_what_the_model_says() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let steps = number("MOUSTIQUE_STEPS").unwrap_or(600);
    if let Some(seed) = number("MOUSTIQUE_SEED") {
        return run(seed, steps);
    }
    for seed in 0..number("MOUSTIQUE_SEEDS").unwrap_or(150) {
        run(seed, steps);
    }
}
