//! Messages of every QoS, in both versions, through every kind of listener.

use crate::ca::Ca;
use crate::common::Program;
use crate::common::broker::{Broker, OPEN, Setup};
use crate::common::clients::{Subscriber, at};
use crate::common::peers::Peer;
use crate::common::process::run;
use crate::common::raw::{Connect, Raw};
use crate::start;
use std::process::Command;

const VERSIONS: [&str; 2] = ["mqttv311", "mqttv5"];

/// Ours, and Mosquitto's where they are installed.
fn makes(check: &str) -> Vec<fn(Program) -> Command> {
    let mut makes: Vec<fn(Program) -> Command> = vec![Program::command];
    if Peer::MosquittoClients.present_for(check) {
        makes.push(Program::mosquitto);
    }
    makes
}

/// Every make publishes with every QoS, and a subscriber gets it all in order.
fn pass_messages(broker: &Broker, subscribing: &str, publishing: &[&str]) {
    for subscriber in makes("subscribing with Mosquitto's client") {
        let args = [
            "-V",
            subscribing,
            "-q",
            "2",
            "-t",
            "maison/#",
            "-F",
            "%t %p",
        ];
        let subscriber = Subscriber::with(subscriber(Program::Sub), broker, &args);
        for publisher in makes("publishing with Mosquitto's client") {
            for version in publishing {
                for qos in ["0", "1", "2"] {
                    let mut publisher = publisher(Program::Pub);
                    at(&mut publisher, broker.port);
                    let payload = format!("{version} {qos}");
                    publisher.args(["-V", version, "-q", qos, "-t", "maison/temp"]);
                    run(publisher.args(["-m", &payload])).expect_code(0);
                    subscriber.expect(&format!("maison/temp {payload}"));
                }
            }
        }
    }
}

#[test]
fn both_versions_meet_on_one_port() {
    let broker = start(OPEN);
    for version in VERSIONS {
        pass_messages(&broker, version, &VERSIONS);
    }
}

#[test]
fn a_listener_for_one_version_is_served_by_rumqttd_itself() {
    for (level, version, other) in [("4", "mqttv311", "mqttv5"), ("5", "mqttv5", "mqttv311")] {
        let broker = start(&format!("{OPEN}accept_protocol_versions {level}\n"));
        pass_messages(&broker, version, &[version]);
        let mut stranger = Program::Pub.command();
        at(&mut stranger, broker.port).args(["-V", other, "-t", "a", "-m", "b"]);
        assert!(
            run(&mut stranger).code != Some(0),
            "{other} where {version} is spoken"
        );
    }
}

#[test]
fn a_connect_in_pieces_finds_its_server() {
    let broker = start(OPEN);
    for version in [4, 5] {
        let mut raw = Raw::open(broker.port);
        // rumqttd may close on a client whose identifier left a moment ago.
        let id = format!("pieces{version}");
        let connect = Connect {
            version,
            ..Connect::new(&id)
        };
        for byte in connect.bytes() {
            raw.send(&[byte]);
        }
        let answer = raw.packet();
        assert!(
            answer[0] == 0x20 && answer[3] == 0,
            "{version}: {answer:02x?}"
        );
    }
}

#[test]
fn tls_is_rumqttds() {
    let setup = Setup::new();
    let ca = Ca::new(&setup.path(""), "CA");
    let stranger = Ca::new(&setup.path(""), "Stranger");
    let pair = ca.issue(&["localhost", "127.0.0.1"]);
    for (level, version) in [("4", "mqttv311"), ("5", "mqttv5")] {
        let broker = start(&format!(
            "{OPEN}accept_protocol_versions {level}\n{}",
            pair.lines()
        ));
        for make in makes("TLS with Mosquitto's clients") {
            let client = |program, ca: &Ca, args: &[&str]| {
                let mut client = make(program);
                at(&mut client, broker.port).args(["-V", version, "-q", "1", "-t", "tls"]);
                run(client.args(["--cafile", ca.path()]).args(args))
            };
            let publish = ["-r", "-m", "sealed"];
            client(Program::Pub, &ca, &publish).expect_code(0);
            let received = client(Program::Sub, &ca, &["-C", "1"]).expect_code(0);
            assert_eq!(received.stdout, "sealed\n");
            let refused = client(Program::Pub, &stranger, &publish);
            assert!(refused.code != Some(0), "{refused}");
        }
    }
}

#[test]
fn websocket_carries_mqtt_311() {
    let broker = start(&format!(
        "{OPEN}protocol websockets\naccept_protocol_versions 4\n"
    ));
    let client = |program: Program, args: &[&str]| {
        let mut client = program.command();
        at(&mut client, broker.port).args(["--ws", "-q", "2", "-t", "page"]);
        run(client.args(args)).expect_code(0)
    };
    client(Program::Pub, &["-r", "-m", "framed"]);
    assert_eq!(client(Program::Sub, &["-C", "1"]).stdout, "framed\n");
}
