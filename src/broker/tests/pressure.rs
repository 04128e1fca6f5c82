//! Receivers that read slowly or not at all, and who waits for them.

use super::harness::*;
use crate::codec::{AckKind, Packet};

const KIB: usize = 1024;

/// Publishes QoS 0 of a KiB each.
fn flood(world: &mut World, publisher: Client, count: usize) {
    let payload = "x".repeat(KIB);
    for _ in 0..count {
        world.publish(publisher, &message("t", &payload, Q0));
    }
}

fn is_paused(world: &mut World, client: Client) -> bool {
    world.take(client).is_some_and(|work| work.pause)
}

fn pair() -> (World, Client, Client) {
    let mut world = World::new();
    let (publisher, client) = (world.client(V311, "p"), world.client(V311, "c"));
    world.subscribe(client, "t", Q1);
    (world, publisher, client)
}

#[test]
fn a_publisher_of_qos_0_pauses_for_a_full_outbox_and_goes_on_when_it_is_taken() {
    let (mut world, publisher, client) = pair();
    flood(&mut world, publisher, 60);
    assert!(!is_paused(&mut world, publisher));
    flood(&mut world, publisher, 40);
    assert!(is_paused(&mut world, publisher));
    world.core.effects().wake.clear();
    assert_eq!(world.read(client).len(), 100, "nothing is lost");
    assert!(world.core.effects().wake.contains(&publisher.id), "woken");
    assert!(!is_paused(&mut world, publisher));
    assert_eq!(world.core.peers.stats.dropped, 0);
    world.check();
}

#[test]
fn a_stalled_receiver_loses_qos_0_and_holds_nobody_up() {
    let (mut world, publisher, client) = pair();
    let (other, payload) = (world.client(V311, "d"), "y".repeat(KIB));
    world.subscribe(other, "t", Q0);
    flood(&mut world, publisher, 70);
    assert_eq!(world.read(other).len(), 70);
    assert!(is_paused(&mut world, publisher));
    world.pass(100);
    assert!(!is_paused(&mut world, publisher), "long enough");
    flood(&mut world, publisher, 5);
    assert_eq!(world.core.peers.stats.dropped, 5);
    assert!(!is_paused(&mut world, publisher));
    assert_eq!(world.read(other).len(), 5, "others notice nothing");
    for _ in 0..5 {
        world.publish_fully(publisher, &message("t", &payload, Q1));
    }
    world.read(other);
    let got = world.read(client);
    assert_eq!(got.len(), 75, "70 of QoS 0 and all of QoS 1");
    flood(&mut world, publisher, 5);
    assert_eq!(world.read(client).len(), 5, "it drains again");
    world.check();
}

#[test]
fn who_stays_slow_holds_others_up_only_once() {
    let (mut world, publisher, client) = pair();
    flood(&mut world, publisher, 70);
    assert!(is_paused(&mut world, publisher));
    for _ in 0..5 {
        world.pass(1000);
        assert!(!world.take(client).unwrap().bytes.is_empty());
        flood(&mut world, publisher, 100);
        assert!(!is_paused(&mut world, publisher));
    }
    world.pass(1000);
    world.take(client);
    flood(&mut world, publisher, 70);
    world.take(client);
    flood(&mut world, publisher, 70);
    assert!(is_paused(&mut world, publisher), "it is fast again");
    world.check();
}

#[test]
fn the_time_of_a_receiver_counts_from_the_first_that_waits() {
    let (mut world, publisher, client) = pair();
    for _ in 0..10 {
        flood(&mut world, publisher, 70);
        world.pass(60);
        assert!(is_paused(&mut world, publisher));
        world.read(client);
        assert!(!is_paused(&mut world, publisher));
    }
    assert_eq!(world.core.peers.stats.dropped, 0);
}

#[test]
fn many_publishers_together_are_bounded() {
    let mut world = World::new();
    let client = world.client(V311, "c");
    world.subscribe(client, "t", Q0);
    let payload = "x".repeat(100 * KIB);
    for n in 0..100 {
        let publisher = world.client(V311, &format!("p{n}"));
        world.publish(publisher, &message("t", &payload, Q0));
    }
    let bytes = world.take(client).unwrap().bytes.len();
    assert!(bytes < 4 * KIB * KIB + 200 * KIB, "{bytes}");
    assert!(world.core.peers.stats.dropped > 50);
    world.check();
}

#[test]
fn the_end_of_a_receiver_or_a_publisher_frees_the_other() {
    let (mut world, publisher, client) = pair();
    flood(&mut world, publisher, 100);
    assert!(is_paused(&mut world, publisher));
    world.cut(client);
    assert!(!is_paused(&mut world, publisher));

    let client = world.client(V311, "c");
    world.subscribe(client, "t", Q0);
    flood(&mut world, publisher, 100);
    world.cut(publisher);
    let successor = world.client(V311, "q");
    assert!(!is_paused(&mut world, successor), "in the same place");
    assert_eq!(world.read(client).len(), 100);
    assert!(!is_paused(&mut world, successor));
    world.check();
}

#[test]
fn a_client_may_hold_itself_up() {
    let mut world = World::new();
    let client = world.client(V311, "c");
    world.subscribe(client, "t", Q0);
    flood(&mut world, client, 100);
    let work = world.take(client).unwrap();
    assert!(!work.pause, "its outbox was taken with the same look");
    assert_eq!(packets(V311, &work.bytes).len(), 100);
    world.check();
}

#[test]
fn qos_1_waits_in_the_queue_and_pauses_nobody() {
    let mut world = World::with(|settings| settings.max_inflight_messages = 1000);
    let (publisher, client) = (world.client(V311, "p"), world.client(V311, "c"));
    world.subscribe(client, "t", Q1);
    let payload = "x".repeat(KIB);
    for _ in 0..200 {
        world.publish_fully(publisher, &message("t", &payload, Q1));
    }
    let work = world.take(client).unwrap();
    assert!(work.bytes.len() < 70 * KIB && work.more);
    assert_eq!(
        packets(V311, &work.bytes).len() + world.read(client).len(),
        200
    );
}

#[test]
fn a_keep_alive_is_not_held_against_a_paused_publisher() {
    let mut world = World::new();
    let publisher = world.connect(&crate::codec::Connect {
        keep_alive: 1,
        ..hello(V311, "p")
    });
    let client = world.client(V311, "c");
    world.subscribe(client, "t", Q0);
    world.pass(1_450);
    // Reading stops just before the keep alive ends.
    world.core.peers.connections[publisher.id.slot()].heard = 0;
    flood(&mut world, publisher, 100);
    world.core.peers.connections[publisher.id.slot()].heard = 0;
    world.pass(50);
    assert!(is_paused(&mut world, publisher));
    world.pass(10_000);
    assert_eq!(world.read(publisher), ["END"], "but nobody waits for ever");
    world.read(client);
    world.check();
}

#[test]
fn a_keep_alive_is_not_put_off_by_a_pause_that_is_over() {
    let mut world = World::new();
    let publisher = world.connect(&crate::codec::Connect {
        keep_alive: 2,
        ..hello(V311, "p")
    });
    let client = world.client(V311, "c");
    world.subscribe(client, "t", Q0);
    world.pass(2_950);
    flood(&mut world, publisher, 100);
    // It pauses when the keep alive is looked at, but not when it ends.
    world.pass(50);
    assert!(is_paused(&mut world, publisher));
    world.read(client);
    world.pass(2_949);
    assert_eq!(world.read(publisher), Vec::<String>::new());
    world.pass(1);
    assert_eq!(world.read(publisher), ["END"]);
}

#[test]
fn who_does_not_read_its_acknowledgements_is_congested() {
    let mut world = World::new();
    let client = world.client(V311, "c");
    let pings = [0xC0, 0].repeat(1_000);
    for _ in 0..127 {
        world.send_bytes(client, &pings);
    }
    assert!(!world.core.outlook(client.id).pause);
    for _ in 0..10 {
        world.send_bytes(client, &pings);
    }
    assert!(world.core.outlook(client.id).pause);
    assert_eq!(world.read(client).len(), 137_000);
    assert!(!world.core.outlook(client.id).pause);
}

#[test]
fn packets_of_one_read_take_effect_in_order() {
    let mut world = World::with(|settings| settings.max_inflight_messages = 1);
    let client = world.client(V311, "c");
    world.subscribe(client, "t", Q1);
    world.inject("t", "1", Q1);
    world.inject("t", "2", Q1);
    world.read(client);
    let ack = crate::codec::Ack {
        packet_id: 1,
        reason: crate::codec::ReasonCode::SUCCESS,
        properties: crate::codec::Properties::new(),
    };
    let batch = [
        Packet::Ack(AckKind::PubAck, ack),
        Packet::PingReq,
        Packet::Publish(message("t", "3", Q0)),
    ];
    world.send_all(client, &batch);
    assert_eq!(
        world.read(client),
        ["PUBLISH q1 m2 t '2'", "PINGRESP", "PUBLISH t '3'"]
    );
}

#[test]
fn buffers_are_used_again() {
    let mut world = World::new();
    let client = world.client(V311, "c");
    world.send(client, &Packet::PingReq);
    let mut buffer = world.take(client).unwrap().bytes;
    buffer.reserve(1000);
    let capacity = buffer.capacity();
    world.core.give_back(buffer);
    world.send(client, &Packet::PingReq);
    let again = world.take(client).unwrap().bytes;
    assert_eq!((again.capacity(), &again[..]), (capacity, &[0xD0, 0][..]));
}
