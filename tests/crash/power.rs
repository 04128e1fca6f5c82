//! The broker loses its power at random moments instead, while it syncs before
//! it acknowledges.
//!
//! `MOUSTIQUE_POWER_ROUNDS` says how often, `MOUSTIQUE_POWER_SEED` when.

use crate::common::broker::{Broker, Setup};
use crate::common::power::{Cut, Disk, Random, number};
use crate::common::raw::{Connect, Raw};
use crate::{Clients, LONGEST_LIFE, common, publisher};

fn start(setup: Setup, disk: &Disk, sync: &str, delay: u64) -> Broker {
    let conf = format!(
        "listener {{port}}\nallow_anonymous true\npersistence true\n\
         persistence_location {}\npersistence_sync {sync}\n\
         max_queued_messages 0\nmax_inflight_messages 500\n",
        disk.path().display()
    );
    let mut command = setup.quiet_command(&conf);
    disk.watch(&mut command, Cut { at_sync: 0, delay });
    setup.start_command(command)
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    if common::oracle_differs("it acknowledges first and stores later") {
        return;
    }
    let mut setup = Setup::new();
    let Some(disk) = Disk::new(&setup.path(""), "a broker that loses its power") else {
        return;
    };
    let (rounds, seed) = (
        number("MOUSTIQUE_POWER_ROUNDS", 20),
        number("MOUSTIQUE_POWER_SEED", 1),
    );
    let mut random = Random(seed);
    let mut clients = Clients::new();
    for round in 0..rounds {
        // A sync that takes its time has much written behind it.
        let broker = start(setup, &disk, "always", random.below(4000));
        if round == 0 {
            clients.arrive(broker.port);
        }
        clients.look(broker.port);
        let (life, way) = (random.below(LONGEST_LIFE), random.below(8));
        println!("seed {seed}, round {round}: cut after {life} acknowledgements, way {way}");
        setup = clients.work_until_killed(broker, life, random.below(u64::MAX));
        let share = match way {
            // Only the process has ended.
            0 => continue,
            // Nothing survives that was not synced.
            1..=4 => 0,
            // Some does, and not that which was written first.
            _ => 1 + random.below(99),
        };
        disk.lose_power(&mut || random.below(100) < share);
    }
    let broker = start(setup, &disk, "always", 0);
    clients.look(broker.port);
    clients.finish(broker.port);
}

/// Were it not lost, the test above would show nothing.
#[test]
fn what_is_synced_later_does_not_survive_a_power_cut() {
    if common::oracle_differs("it has no such option") {
        return;
    }
    let setup = Setup::new();
    let Some(disk) = Disk::new(&setup.path(""), "a broker that loses its power") else {
        return;
    };
    let here = Connect {
        clean: false,
        ..Connect::new("here")
    };
    let broker = start(setup, &disk, "interval 3600", 0);
    let (mut raw, _) = Raw::client(broker.port, &here);
    raw.subscribe("load/#", 1);
    publisher::publish_once(broker.port, "load/one", "one 0");
    let setup = broker.kill();
    disk.lose_power(&mut || false);
    let broker = start(setup, &disk, "interval 3600", 0);
    let (_, present) = Raw::client(broker.port, &here);
    assert!(!present, "the session survived");
}
