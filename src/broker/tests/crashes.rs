//! Random clients of a broker that ends at any moment, between any two steps
//! of a commit: what was acknowledged is there afterwards, QoS 2 comes exactly
//! once, and nothing is left when all is delivered.
//!
//! `MOUSTIQUE_SEED=n` replays one seed; `MOUSTIQUE_SEEDS=n` runs that many, 0
//! without end.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::durable::Kept;
use super::harness::*;
use crate::broker::{Decision, Group};
use crate::codec::{AckKind, Packet, Property, Publish, QoS, Version};
use crate::store::Store;

const SEEDS: u64 = 60;
const STEPS: usize = 2000;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// A message that a client has sent and that is not acknowledged.
struct Flight {
    id: u16,
    number: usize,
    qos: QoS,
    received: bool,
}

/// A client that publishes and has subscribed, with its half of the session.
struct Actor {
    name: String,
    version: Version,
    /// What it has subscribed to, and at which QoS.
    filter: &'static str,
    qos: QoS,
    /// It seldom comes.
    is_rare: bool,
    client: Option<Client>,
    greeted: bool,
    /// It was told of its session once.
    known: bool,
    /// The QoS of its messages, by their numbers.
    published: Vec<QoS>,
    /// Its messages below this number are acknowledged.
    acknowledged: usize,
    flights: Vec<Flight>,
    /// All that it got, in order.
    got: Vec<String>,
    unreleased: HashMap<u16, String>,
    aliases: BTreeSet<String>,
    acks: VecDeque<(AckKind, u16)>,
}

impl Actor {
    fn new(index: usize, random: &mut Random) -> Self {
        Self {
            name: format!("c{index}"),
            version: VERSIONS[random.below(3)],
            filter: ["#", "#", "$share/g/#", "$share/g/#"][index],
            qos: [Q1, Q2, Q2, Q2][(index + random.below(2)) % 4],
            is_rare: index == 1,
            client: None,
            greeted: false,
            known: false,
            published: Vec::new(),
            acknowledged: 0,
            flights: Vec::new(),
            got: Vec::new(),
            unreleased: HashMap::new(),
            aliases: BTreeSet::new(),
            acks: VecDeque::new(),
        }
    }

    fn forget_connection(&mut self) {
        self.client = None;
        self.greeted = false;
        self.aliases.clear();
        self.acks.clear();
    }

    /// Notes what a packet says; a message once for each packet identifier.
    fn hear(&mut self, line: &str) {
        let id = || {
            let id = line.split(" m").nth(1).unwrap();
            id.split(' ').next().unwrap().parse::<u16>().unwrap()
        };
        let flights = &mut self.flights;
        match line.split(' ').next().unwrap() {
            "CONNACK" => {
                assert!(line.contains(" 0x00"), "{line}");
                let present = line.starts_with("CONNACK present");
                assert!(present || !self.known || self.version == V31, "{line}");
                (self.greeted, self.known) = (true, true);
            }
            "PUBACK" => {
                let place = flights.iter().position(|flight| !flight.received);
                let flight = flights.remove(place.expect(line));
                assert_eq!(flight.id, id(), "{line}");
                self.acknowledged = flight.number + 1;
            }
            "PUBREC" => {
                let flight = flights.iter_mut().find(|flight| !flight.received);
                let flight = flight.unwrap();
                assert_eq!(flight.id, id(), "{line}");
                flight.received = true;
                self.acknowledged = flight.number + 1;
                self.acks.push_back((AckKind::PubRel, flight.id));
            }
            "PUBCOMP" => {
                let place = flights.iter().position(|f| f.received && f.id == id());
                flights.remove(place.expect(line));
            }
            "PUBREL" => {
                self.unreleased.remove(&id());
                self.acks.push_back((AckKind::PubComp, id()));
            }
            "PUBLISH" => {
                if let Some((head, alias)) = line.split_once("TopicAlias") {
                    let named = !head.contains("  '");
                    assert!(named || self.aliases.contains(alias), "{line}");
                    self.aliases.insert(alias.to_owned());
                }
                let payload = line.split('\'').nth(1).unwrap().to_owned();
                if line.starts_with("PUBLISH q1") {
                    self.got.push(payload);
                    self.acks.push_back((AckKind::PubAck, id()));
                    return;
                }
                if let Some(other) = self.unreleased.get(&id()) {
                    assert_eq!(*other, payload, "{line}");
                } else {
                    self.unreleased.insert(id(), payload.clone());
                    self.got.push(payload);
                }
                self.acks.push_back((AckKind::PubRec, id()));
            }
            _ => panic!("{line}"),
        }
    }
}

struct Crashes {
    random: Random,
    kept: Kept,
    actors: Vec<Actor>,
    /// Groups that were taken and are not kept yet.
    groups: VecDeque<Group>,
}

impl Crashes {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut kept = Kept::with(|settings| {
            settings.max_queued_messages = usize::MAX;
            settings.max_inflight_messages = 6;
        });
        let actors: Vec<_> = (0..4).map(|i| Actor::new(i, &mut random)).collect();
        for actor in &actors {
            let client = kept.lasting(actor.version, &actor.name);
            kept.enrol(client, actor.filter, actor.qos);
            kept.cut(client);
        }
        kept.commit();
        Self {
            random,
            kept,
            actors,
            groups: VecDeque::new(),
        }
    }

    fn step(&mut self) {
        let index = self.random.below(self.actors.len());
        match self.random.below(1000) {
            0..300 => self.publish(index),
            300..550 => self.read(index),
            550..700 => {
                let count = self.random.below(self.actors[index].acks.len() + 1);
                self.acknowledge(index, count);
            }
            700..800 => self.groups.extend(self.kept.take_group()),
            800..950 => {
                if let Some(group) = self.groups.pop_front() {
                    self.kept.keep(group);
                }
            }
            950..970 => self.connect(index),
            970..985 => self.cut(index),
            985..990 => self.crash(),
            990..992 => self.fail(),
            _ => {
                let time = self.random.below(5000);
                self.kept.pass(time as u64);
            }
        }
    }

    fn connect(&mut self, index: usize) {
        let lot = self.random.below(8);
        let actor = &mut self.actors[index];
        if actor.client.is_some() && lot > 0 || actor.is_rare && lot > 1 {
            return;
        }
        let old = actor.client;
        actor.forget_connection();
        let mut connect = lasting(actor.version, &actor.name);
        if actor.version == V5 {
            connect = with(connect, Property::TopicAliasMaximum(1));
        }
        let client = self.kept.introduce(&connect, Decision::Allowed);
        self.actors[index].client = Some(client);
        if let Some(old) = old {
            self.kept.cut(old);
        }
    }

    fn cut(&mut self, index: usize) {
        if let Some(client) = self.actors[index].client {
            self.kept.cut(client);
            self.actors[index].forget_connection();
        }
    }

    fn publish(&mut self, index: usize) {
        // A repeat of QoS 1 may be retained in the place of a later message of
        // QoS 2, so who retains has one QoS.
        let lot = self.random.below(2);
        let actor = &mut self.actors[index];
        let qos = match index {
            0 => actor.qos,
            _ => [Q1, Q2][lot],
        };
        if !actor.greeted || actor.flights.len() >= 5 {
            return;
        }
        let number = actor.published.len();
        actor.published.push(qos);
        let flight = Flight {
            id: (number % 60_000) as u16 + 1,
            number,
            qos,
            received: false,
        };
        self.send(index, &flight, false);
        self.actors[index].flights.push(flight);
    }

    /// The first client retains all that it publishes.
    fn send(&mut self, index: usize, flight: &Flight, dup: bool) {
        let actor = &self.actors[index];
        let (topic, text) = (
            format!("topic/{index}"),
            format!("{index} {}", flight.number),
        );
        let publish = Publish {
            dup,
            retain: index == 0,
            packet_id: flight.id,
            ..message(&topic, &text, flight.qos)
        };
        let client = actor.client.unwrap();
        self.kept.send(client, &Packet::Publish(publish));
    }

    fn read(&mut self, index: usize) {
        let Some(client) = self.actors[index].client else {
            return;
        };
        let was_greeted = self.actors[index].greeted;
        for line in self.kept.read(client) {
            if line.starts_with("DISCONNECT") {
                continue;
            }
            if line == "END" {
                self.actors[index].forget_connection();
                return;
            }
            self.actors[index].hear(&line);
        }
        if self.actors[index].greeted && !was_greeted {
            for flight in std::mem::take(&mut self.actors[index].flights) {
                if flight.received {
                    self.kept.ack(client, AckKind::PubRel, flight.id);
                } else {
                    self.send(index, &flight, true);
                }
                self.actors[index].flights.push(flight);
            }
        }
    }

    fn acknowledge(&mut self, index: usize, count: usize) {
        for (kind, id) in self.actors[index].acks.drain(..count).collect::<Vec<_>>() {
            let client = self.actors[index].client.unwrap();
            self.kept.ack(client, kind, id);
        }
    }

    /// The power fails. Of what was given to the store and not yet to the
    /// disk, nobody knows how much is there.
    fn lose_power(&mut self) {
        let count = self.random.below(self.groups.len() + 1);
        for group in self.groups.drain(..).take(count) {
            self.kept.store.commit(&group.records).unwrap();
        }
        let left = self.random.below(count + 1);
        self.kept.store.crash(left);
        for actor in &mut self.actors {
            actor.forget_connection();
        }
    }

    fn crash(&mut self) {
        self.lose_power();
        let down = self.random.below(100_000);
        self.kept.crash(down as u64);
        self.check_retained();
    }

    /// The store fails while the broker goes on.
    fn fail(&mut self) {
        let clients: Vec<_> = self.actors.iter().filter_map(|a| a.client).collect();
        self.lose_power();
        let now = self.kept.now;
        self.kept.core.store_failed(now);
        for client in clients {
            self.kept.cut(client);
        }
        self.kept.check_empty();
        self.kept.restore();
        self.check_retained();
    }

    fn check_retained(&mut self) {
        self.kept.check();
        let client = self.kept.client(V311, "looks");
        let found = self.kept.subscribe(client, "topic/0", Q0);
        self.kept.cut(client);
        let publisher = &self.actors[0];
        let number = found.first().map(|line| {
            let payload = line.split('\'').nth(1).unwrap();
            payload.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
        });
        let range = publisher.acknowledged..=publisher.published.len();
        let next = number.map_or(0, |number| number + 1);
        assert!(range.contains(&next), "{found:?} of {range:?}");
    }

    /// Everything comes to its end, and everybody has everything.
    fn finish(&mut self) {
        for group in std::mem::take(&mut self.groups) {
            self.kept.keep(group);
        }
        let mut idle = 0;
        while idle < 3 {
            let before = self.kept.core.peers.stats;
            for index in 0..self.actors.len() {
                if self.actors[index].client.is_none() {
                    self.actors[index].is_rare = false;
                    self.connect(index);
                }
                self.kept.commit();
                self.read(index);
                self.acknowledge(index, self.actors[index].acks.len());
                self.kept.commit();
            }
            let stats = self.kept.core.peers.stats;
            let is_idle = stats.messages_sent == before.messages_sent
                && stats.messages_received == before.messages_received;
            idle = if is_idle { idle + 1 } else { 0 };
        }
        self.kept.check();
        for session in self.kept.store.recover().unwrap().sessions {
            assert_eq!(session.queue.deliveries, 0, "a ghost in {session:?}");
            assert_eq!(session.incoming, [], "a ghost in {session:?}");
        }
        let [first, second, third, fourth] = &self.actors[..] else {
            unreachable!()
        };
        self.check(&[first]);
        self.check(&[second]);
        self.check(&[third, fourth]);
    }

    /// These together got all, at QoS 2 exactly once.
    fn check(&self, receivers: &[&Actor]) {
        let mut counts = BTreeMap::new();
        for receiver in receivers {
            let mut greatest = BTreeMap::new();
            for payload in &receiver.got {
                let (publisher, number) = payload.split_once(' ').unwrap();
                let number: usize = number.parse().unwrap();
                let publisher: usize = publisher.parse().unwrap();
                let count = counts.entry((publisher, number)).or_insert(0);
                *count += 1;
                let greatest = greatest.entry(publisher).or_insert(0);
                // A repeat may choose another member of a shared subscription.
                let in_order = *count > 1 || number >= *greatest;
                assert!(in_order || receivers.len() > 1, "{payload} comes late");
                *greatest = number.max(*greatest);
            }
        }
        let qos = receivers.iter().map(|receiver| receiver.qos).min().unwrap();
        for (index, publisher) in self.actors.iter().enumerate() {
            assert!(publisher.flights.is_empty());
            for (number, published) in publisher.published.iter().enumerate() {
                let count = counts.remove(&(index, number)).unwrap_or(0);
                let is_right = match qos.min(*published) {
                    Q2 => count == 1,
                    _ => count > 0,
                };
                let names: Vec<_> = receivers.iter().map(|r| &r.name).collect();
                assert!(is_right, "{count} times '{index} {number}' to {names:?}");
            }
        }
        assert!(counts.is_empty(), "nobody published {counts:?}");
    }
}

#[test]
fn what_was_acknowledged_survives_at_every_boundary() {
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
        let mut crashes = Crashes::new(seed);
        // Now and then long enough for queues that don't stay in memory.
        let steps = STEPS * if seed % 20 == 0 { 10 } else { 1 };
        for _ in 0..steps {
            crashes.step();
        }
        crashes.finish();
    }
}
