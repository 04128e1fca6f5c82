//! The broker's process: its end under load, and its descriptors.

use crate::common::broker::{Broker, Setup};
use crate::common::oracle_differs;
use crate::common::raw::{Connect, Raw, publish};
use crate::support::{QUIET, client, narrow_client, ping};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn sigterm_ends_it_soon_under_load() {
    let broker = Broker::quiet(QUIET);
    let port = broker.port;
    let mut stuck = narrow_client(port, &Connect::new("stuck"));
    stuck.subscribe("load", 0);
    let half = Connect::new("half").bytes();
    let unfinished: Vec<_> = (0..20)
        .map(|_| {
            let mut raw = Raw::open(port);
            raw.send(&half[..5]);
            raw
        })
        .collect();
    let senders: Vec<_> = (0..2)
        .map(|number| {
            let mut sender = client(port, &format!("sender{number}"));
            ping(&mut sender);
            thread::spawn(move || while sender.try_send(&publish("load", "x", false)).is_ok() {})
        })
        .collect();
    // Under way: what is sent now comes in between.
    ping(&mut client(port, "other"));
    let started = Instant::now();
    broker.stop().expect_code(0);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(8), "it took {took:?}");
    for sender in senders {
        sender.join().expect("a sender");
    }
    drop((stuck, unfinished));
}

#[test]
fn without_descriptors_it_serves_whom_it_has() {
    if oracle_differs("the words of the log are ours") {
        return;
    }
    let setup = Setup::new();
    let command = setup.quiet_command(QUIET);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 64 && exec \"$@\"", "sh"]);
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    let broker = setup.start_command(limited);
    let mut first = client(broker.port, "first");
    let mut crowd: Vec<_> = (0..100)
        .map(|number| {
            let mut raw = Raw::open(broker.port);
            raw.send(&Connect::new(&format!("client{number}")).bytes());
            raw
        })
        .collect();
    broker
        .process()
        .stderr
        .wait_for("Cannot accept a connection");
    ping(&mut first);
    // Not the wait for an event, but for the absence of more lines: it tries
    // again several times meanwhile.
    thread::sleep(Duration::from_millis(500));
    ping(&mut first);
    let told = broker.log().matches("Cannot accept").count();
    assert_eq!(told, 1, "{}", broker.log());
    assert!(broker.log().contains("ulimit"), "{}", broker.log());
    // Those who waited come in as soon as others leave.
    let mut waiting = crowd.split_off(60);
    drop(crowd);
    for late in &mut waiting {
        late.expect(&[0x20, 2, 0, 0]);
        ping(late);
    }
    ping(&mut first);
}
