//! Publications in a row that differ in their payloads only: whether they come
//! in one read, and are handed on as one piece, or each by itself must make no
//! difference to anybody.

use std::sync::Arc;

use super::harness::*;
use crate::auth::Acl;
use crate::broker::{Policy, Settings};
use crate::codec::{BRIDGE, Connect, Packet, Property, SubscriptionOptions};
use crate::config::LogTypes;

/// Long enough for an alias.
const TOPIC: &str = "site/topic";

/// The clients of a world beside the publisher.
type Guests = fn(&mut World) -> Vec<Client>;

fn guest(world: &mut World, connect: &Connect<'_>, filter: &str) -> Client {
    let client = world.connect(connect);
    world.subscribe(client, filter, Q1);
    client
}

/// A client of another listener.
fn elsewhere(
    world: &mut World,
    change: impl FnOnce(&mut Policy),
    client: impl FnOnce(&mut World) -> Client,
) -> Client {
    let policy = world.policy.clone();
    change(&mut world.policy);
    let client = client(world);
    world.policy = policy;
    client
}

fn plain(world: &mut World) -> Vec<Client> {
    VERSIONS
        .map(|version| guest(world, &hello(version, &format!("{version:?}")), "#"))
        .into()
}

fn particular(world: &mut World) -> Vec<Client> {
    let aliased = with(hello(V5, "aliased"), Property::TopicAliasMaximum(5));
    let small = |version, id| with(hello(version, id), Property::MaximumPacketSize(50));
    let identified = world.client(V5, "identified");
    world.subscribe_with(identified, TOPIC, options(Q0), Some(9));
    let rights = Acl::parse(b"topic read other\n", "acl").unwrap();
    let denied = |policy: &mut Policy| policy.acl = Some(Arc::new(rights));
    vec![
        guest(world, &aliased, TOPIC),
        guest(world, &small(V5, "small"), TOPIC),
        identified,
        elsewhere(world, denied, |w| guest(w, &hello(V311, "denied"), TOPIC)),
    ]
}

fn below(mount_point: &str) -> impl FnOnce(&mut Policy) {
    move |policy| policy.mount_point = mount_point.into()
}

fn mounted(world: &mut World) -> Vec<Client> {
    let mut clients = vec![guest(world, &hello(V311, "outside"), "#")];
    for mount_point in ["site/", "other/"] {
        clients.push(elsewhere(world, below(mount_point), |w| {
            guest(w, &hello(V311, mount_point), "#")
        }));
    }
    clients
}

fn overlapping(world: &mut World) -> Vec<Client> {
    let client = guest(world, &hello(V5, "twice"), TOPIC);
    world.subscribe(client, "#", Q0);
    vec![client]
}

fn shared(world: &mut World) -> Vec<Client> {
    let mut member = |id| guest(world, &hello(V5, id), &format!("$share/g/{TOPIC}"));
    vec![member("a"), member("b")]
}

fn bridged(world: &mut World) -> Vec<Client> {
    let policy = |policy: &mut Policy| *policy = Policy::bridge();
    vec![
        elsewhere(world, policy, |w| {
            guest(
                w,
                &with(lasting(V5, "bridge"), Property::UserProperty(BRIDGE, "")),
                "#",
            )
        }),
        guest(world, &hello(V5, "guest"), "#"),
    ]
}

/// One that is away and comes back for what waited.
fn away(world: &mut World) -> Vec<Client> {
    let client = guest(world, &lasting(V311, "away"), TOPIC);
    world.cut(client);
    Vec::new()
}

/// One whose outbox is full, and who has held others up for too long.
fn stalled(world: &mut World) -> Vec<Client> {
    let client = guest(world, &hello(V311, "stalled"), TOPIC);
    let other = world.client(V311, "other");
    for _ in 0..70 {
        world.publish(other, &message(TOPIC, &"x".repeat(1024), Q0));
    }
    world.pass(200);
    vec![client]
}

/// All that can be seen from outside after some publications came, in one read
/// or each in its own.
fn outcome(
    at_once: bool,
    change: fn(&mut Settings),
    publisher: fn(&mut World) -> Client,
    guests: Guests,
    sizes: &[usize],
) -> Vec<String> {
    let mut world = World::with(change);
    world.core.set_origin(1);
    let mut clients = guests(&mut world);
    let publisher = publisher(&mut world);
    let no_local = SubscriptionOptions {
        no_local: publisher.version == V5,
        ..options(Q0)
    };
    world.subscribe_with(publisher, TOPIC, no_local, None);
    world.log();
    let payloads = sizes.iter().map(|size| "x".repeat(*size));
    let payloads: Vec<_> = payloads
        .enumerate()
        .map(|(n, x)| format!("{n}{x}"))
        .collect();
    let packets = payloads
        .iter()
        .map(|x| Packet::Publish(message(TOPIC, x, Q0)));
    let packets: Vec<_> = packets.collect();
    if at_once {
        world.send_all(publisher, &packets);
    } else {
        for packet in &packets {
            world.send(publisher, packet);
        }
    }
    let mut seen = world.log();
    // How far above the limit a read has led, it tells.
    seen.retain(|line| !line.starts_with("memory_limit"));
    let stats = &world.core.peers.stats;
    seen.push(format!("{stats:?}"));
    seen.push(format!("{:?}", world.core.outlook(publisher.id)));
    world.check();
    clients.push(publisher);
    for client in clients {
        seen.extend(world.read(client));
        seen.push("and".into());
    }
    let (_, waiting) = world.try_connect(&lasting(V311, "away"));
    seen.extend(waiting);
    seen
}

const SETTINGS: [fn(&mut Settings); 6] = [
    |_| {},
    |settings| settings.log = LogTypes::ALL,
    |settings| {
        settings.memory_limit = 85_000;
        settings.queue_qos0_messages = true;
    },
    |settings| settings.message_size_limit = 4,
    |settings| settings.upgrade_outgoing_qos = true,
    |settings| {
        settings.allow_duplicate_messages = false;
        settings.queue_qos0_messages = true;
    },
];

const PUBLISHERS: [fn(&mut World) -> Client; 4] = [
    |world| world.client(V311, "publisher"),
    |world| world.client(V5, "publisher"),
    |world| elsewhere(world, below("site/"), |w| w.client(V311, "publisher")),
    |world| {
        let rights = Acl::parse(format!("topic read {TOPIC}").as_bytes(), "acl").unwrap();
        let reader = |policy: &mut Policy| policy.acl = Some(Arc::new(rights));
        elsewhere(world, reader, |w| w.client(V311, "publisher"))
    },
];

const GUESTS: [Guests; 8] = [
    plain,
    particular,
    mounted,
    overlapping,
    shared,
    bridged,
    away,
    stalled,
];

#[test]
fn messages_that_come_together_are_as_those_that_come_alone() {
    for (s, change) in SETTINGS.into_iter().enumerate() {
        for (p, publisher) in PUBLISHERS.into_iter().enumerate() {
            for (g, guests) in GUESTS.into_iter().enumerate() {
                for sizes in [&[1, 2, 0][..], &[1, 60, 3], &[3000; 30]] {
                    let outcome = |at_once| outcome(at_once, change, publisher, guests, sizes);
                    let (together, alone) = (outcome(true), outcome(false));
                    assert_eq!(together, alone, "settings {s}, publisher {p}, guests {g}");
                }
            }
        }
    }
}
