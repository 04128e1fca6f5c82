//! What the signals do that Mosquitto knows.

use crate::common::broker::{Broker, OPEN, Setup, wait_for_file};
use crate::common::clients::Subscriber;
use crate::common::oracle_differs;
use crate::common::process::run;
use crate::common::raw::{Connect, Raw};
use nix::sys::signal::Signal;
use std::process::Command;

#[test]
fn usr1_and_usr2_are_answered_in_the_log() {
    if oracle_differs("Mosquitto prints the tree on standard output") {
        return;
    }
    let broker = Broker::open();
    let (mut one, _) = Raw::client(broker.port, &Connect::new("one"));
    one.subscribe("a/+/b", 1);
    one.subscribe("$share/group/c/#", 0);
    let (mut two, _) = Raw::client(broker.port, &Connect::new("two"));
    two.subscribe("a/+/b", 2);
    broker.process().send(Signal::SIGUSR2);
    let stderr = &broker.process().stderr;
    stderr.wait_for("  a/+/b (two, 2)\n");
    let log = broker.log();
    let from = log.find("Subscriptions: 3").expect("the number");
    let lines: Vec<_> = log[from..].lines().skip(1).take(3).collect();
    let lines: Vec<_> = lines
        .iter()
        .map(|line| line.split_once(": ").expect("a time").1)
        .collect();
    let expected = [
        "  $share/group/c/# (one, 0)",
        "  a/+/b (one, 1)",
        "  a/+/b (two, 2)",
    ];
    assert_eq!(lines, expected, "{log}");
    broker.process().send(Signal::SIGUSR1);
    stderr.wait_for("SIGUSR1: ");
}

#[test]
fn a_log_file_that_was_moved_away_is_opened_anew() {
    for signal in [nix::libc::SIGRTMIN(), nix::libc::SIGHUP] {
        if signal != nix::libc::SIGHUP && oracle_differs("2.0.11 knows no RTMIN") {
            continue;
        }
        let setup = Setup::new();
        let conf = format!("log_dest file {{dir}}/log\n{OPEN}");
        let broker = setup.start(&conf);
        let (path, moved) = (broker.path("log"), broker.path("log.1"));
        wait_for_file(&path);
        std::fs::rename(&path, &moved).expect("moving the log");
        let pid = broker.process().pid().to_string();
        run(Command::new("kill").args([&format!("-{signal}"), &pid])).expect_code(0);
        // The file is made when the signal is dealt with, and gets lines then.
        let deadline = std::time::Instant::now() + crate::common::TIMEOUT;
        while !path.exists() {
            assert!(std::time::Instant::now() < deadline, "no new log");
            std::thread::sleep(std::time::Duration::from_millis(5)); // between looks
        }
        Raw::client(broker.port, &Connect::new("afterwards"));
        broker.process().send(Signal::SIGTERM);
        broker.process().wait_end();
        let log = std::fs::read_to_string(&path).expect("the new log");
        assert!(log.contains("afterwards"), "{log}");
        let old = std::fs::read_to_string(&moved).expect("the old log");
        assert!(!old.contains("afterwards"), "{old}");
    }
}

#[test]
fn those_who_are_connected_get_the_wills_of_the_end() {
    let broker = Broker::open();
    let heir = Subscriber::start(&broker, &["-v", "-t", "will/#"]);
    let clients: Vec<_> = [4, 5]
        .map(|version| {
            let topic = format!("will/{version}");
            let connect = Connect {
                version,
                will: Some((&topic, "ends", 0, false)),
                ..Connect::new(&topic)
            };
            Raw::client(broker.port, &connect)
        })
        .into();
    broker.process().send(Signal::SIGTERM);
    let mut wills = [heir.process.stdout.line(), heir.process.stdout.line()];
    wills.sort();
    assert_eq!(wills, ["will/4 ends", "will/5 ends"]);
    broker.process().wait_end();
    drop(clients);
}
