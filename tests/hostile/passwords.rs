//! Storms of wrong passwords.

use crate::common::broker::{Broker, Setup};
use crate::common::process::run;
use crate::common::raw::{Connect, Raw, publish};
use crate::common::{Program, oracle_differs};
use crate::support::threads;
use std::time::{Duration, Instant};

fn broker() -> Broker {
    let setup = Setup::new();
    let mut passwd = Program::Passwd.command();
    passwd
        .args(["-b", "-c"])
        .arg(setup.path("users"))
        .args(["anna", "right"]);
    run(&mut passwd).expect_code(0);
    let command = setup
        .quiet_command("listener {port} 127.0.0.1\npassword_file {dir}/users\nlog_type warning\n");
    setup.start_command(command)
}

fn login<'a>(id: &'a str, password: &'a str) -> Connect<'a> {
    Connect {
        user: Some("anna"),
        password: Some(password),
        ..Connect::new(id)
    }
}

#[test]
fn wrong_passwords_delay_no_messages() {
    if oracle_differs("Mosquitto hashes where it forwards") {
        return;
    }
    let broker = broker();
    let (mut anna, _) = Raw::client(broker.port, &login("a", "right"));
    anna.subscribe("a", 0);
    let calm = threads(&broker);
    let guessers: Vec<_> = (0..60)
        .map(|number| {
            let mut guesser = Raw::open(broker.port);
            guesser.send(&login(&format!("g{number}"), "wrong").bytes());
            guesser
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        let started = Instant::now();
        anna.send(&publish("a", "x", false));
        anna.expect(&publish("a", "x", false));
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let cores = thread_count();
    let most = calm.max(1 + cores) + cores;
    assert!(threads(&broker) <= most, "{} threads", threads(&broker));
    for mut guesser in guessers {
        guesser.expect(&[0x20, 2, 0, 5]);
        guesser.expect_end();
    }
}

fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[test]
fn nobody_waits_for_the_passwords_of_those_who_left() {
    if oracle_differs("Mosquitto checks them all") {
        return;
    }
    let broker = broker();
    for number in 0..400 {
        let mut guesser = Raw::open(broker.port);
        guesser.send(&login(&format!("g{number}"), "wrong").bytes());
    }
    let (mut anna, _) = Raw::client(broker.port, &login("a", "right"));
    anna.subscribe("a", 0);
}
