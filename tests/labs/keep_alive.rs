//! Keep alive: how both sides notice that the other is gone.

use crate::common::TIMEOUT;
use crate::common::broker::Broker;
use crate::common::clients::Subscriber;
use crate::common::process::run;
use crate::common::raw::{Connect, Raw};
use crate::common::tap::From;
use std::time::{Duration, Instant};

const PINGREQ: u8 = 12;
const PINGRESP: u8 = 13;

#[test]
fn a_quiet_subscriber_pings_and_stays_connected() {
    let broker = Broker::open();
    let sub = Subscriber::start(&broker, &["-k", "5", "-t", "a"]);
    assert_eq!(sub.tap.wait_for(From::Client, PINGREQ), [0xc0, 0]);
    assert_eq!(sub.tap.wait_for(From::Broker, PINGRESP), [0xd0, 0]);
    // The second comes when one and a half times the keep alive has passed
    // since CONNECT: it was the first that kept the connection.
    sub.tap.wait_for_nth(From::Client, PINGREQ, 1);
    sub.tap.wait_for_nth(From::Broker, PINGRESP, 1);
    assert!(!sub.process.ended());
}

#[test]
fn a_silent_client_is_dropped_after_one_and_a_half_times_its_keep_alive() {
    let broker = Broker::open();
    let heir = Subscriber::start(&broker, &["-v", "-t", "testament"]);
    let connect = Connect {
        keep_alive: 2,
        will: Some(("testament", "silent", 0, false)),
        ..Connect::new("silent")
    };
    let start = Instant::now();
    let (mut client, _) = Raw::client(broker.port, &connect);
    client.expect_end();
    let after = start.elapsed();
    assert!(after >= Duration::from_secs(3), "dropped after {after:?}");
    heir.expect("testament silent");
}

#[test]
fn a_silent_client_of_mqtt_5_is_dropped_too() {
    let broker = Broker::open();
    let connect = Connect {
        keep_alive: 1,
        version: 5,
        ..Connect::new("silent")
    };
    let (mut client, _) = Raw::client(broker.port, &connect);
    // A reason may be told; if it is, it is this one.
    if let Some(farewell) = client.packet_or_end(TIMEOUT).expect("an end") {
        assert_eq!((farewell[0], farewell[2]), (0xe0, 0x8d), "{farewell:02x?}");
        client.expect_end();
    }
}

#[test]
fn every_packet_counts_not_only_pings() {
    let broker = Broker::open();
    let connect = Connect {
        keep_alive: 1,
        ..Connect::new("busy")
    };
    let (mut busy, _) = Raw::client(broker.port, &connect);
    let (mut silent, _) = Raw::client(
        broker.port,
        &Connect {
            id: "silent",
            ..connect
        },
    );
    // The busy one outlives a silent one that connected after it.
    let start = Instant::now();
    let mut number = 1;
    while start.elapsed() < TIMEOUT {
        busy.subscribe(&format!("a/{number}"), 0);
        number += 1;
        match silent.packet_or_end(Duration::from_millis(200)) {
            Ok(end) => {
                assert_eq!(end, None);
                busy.subscribe("still/here", 0);
                return;
            }
            Err(_nothing_yet) => {}
        }
    }
    panic!("the silent client was not dropped");
}

#[test]
fn keep_alive_zero_means_none() {
    let broker = Broker::open();
    let connect = Connect {
        keep_alive: 0,
        ..Connect::new("patient")
    };
    let (mut patient, _) = Raw::client(broker.port, &connect);
    let (mut silent, _) = Raw::client(
        broker.port,
        &Connect {
            id: "silent",
            keep_alive: 1,
            ..connect
        },
    );
    silent.expect_end();
    patient.subscribe("still/here", 0);
}

#[test]
fn a_keep_alive_below_five_seconds_is_refused_by_the_client() {
    let mut program = crate::common::Program::Sub.command();
    let done = run(program.args(["-t", "a", "-k", "2"])).expect_code(1);
    let reason = "Invalid keepalive given, it must be between 5 and 65535 inclusive";
    assert!(done.stderr.contains(reason), "{done}");
}
