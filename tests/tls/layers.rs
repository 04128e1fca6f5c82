//! TLS with other layers over and beside it.

use crate::common::Program;
use crate::common::broker::free_port;
use crate::common::oracle_differs;
use crate::common::peers::Peer;
use crate::common::process::{Process, run};
use crate::common::raw::{Connect, Raw};
use crate::stage::{Make, Stage, publish, subscribe};
use std::time::Duration;

/// Our clients over `wss://`, with whose broker ever.
fn websocket_over_tls(make: Make) {
    let stage = Stage::new();
    // Mosquitto 2.0 ends unless it has a listener of another kind.
    let lines = format!("protocol websockets\nlistener {}\n", free_port());
    let broker = make.broker(&stage.server(), &lines);
    let url = format!("wss://localhost:{}/maison/salon", broker.port);
    let trust = ["--cafile", stage.ca.path()];
    run(Program::Pub
        .command()
        .args(["-L", &url, "-q", "1", "-r", "-m", "21,5 °C"])
        .args(trust))
    .expect_code(0);
    let port = broker.port.to_string();
    let done = run(Program::Sub
        .command()
        .args(["--ws", "-h", "localhost", "-p", &port])
        .args(["-t", "maison/#", "-C", "1"])
        .args(trust))
    .expect_code(0);
    assert_eq!(done.stdout, "21,5 °C\n");
    // A certificate of nobody we know.
    let stranger = run(Program::Pub.command().args(["-L", &url, "-m", "x"])).expect_code(8);
    assert!(stranger.stderr.contains("certificate"), "{stranger}");
}

#[test]
fn websocket_over_tls_with_our_broker() {
    if !oracle_differs("clients of version 2.0 have no `--ws`") {
        websocket_over_tls(Make::Ours);
    }
}

#[test]
fn websocket_over_tls_with_mosquitto() {
    if Peer::MosquittoBroker.present_for("WebSocket over TLS with mosquitto")
        && !oracle_differs("clients of version 2.0 have no `--ws`")
    {
        websocket_over_tls(Make::Mosquitto);
    }
}

#[test]
fn mqttjs_with_websocket_over_tls() {
    if !Peer::MqttJs.present_for("mqtt.js with WebSocket over TLS") {
        return;
    }
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "protocol websockets\n");
    let mut command = Peer::MqttJs.command();
    command
        .args([&broker.port.to_string(), "5", "wss", "wss"])
        .env("NODE_EXTRA_CA_CERTS", stage.ca.path());
    let done = Process::spawn(&mut command)
        .finish_within(Duration::from_secs(60))
        .expect_code(0);
    assert_eq!(done.stdout, "ok\n");
}

#[test]
fn four_ways_on_one_port() {
    if oracle_differs("several protocols on one port") {
        return;
    }
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "protocol any\n");
    let trust = ["--cafile", stage.ca.path()];
    let subscriber = subscribe(Make::Ours, &broker, &trust);
    for way in [&[][..], &["--ws"], &trust, &["--ws", trust[0], trust[1]]] {
        publish(Make::Ours, &broker, way).expect_code(0);
        assert_eq!(subscriber.stdout.line(), "hello", "{way:?}");
    }
}

/// Whoever has no certificate finds no way around.
#[test]
fn a_required_certificate_is_required_of_all() {
    if oracle_differs("several protocols on one port") {
        return;
    }
    let stage = Stage::new();
    let lines = format!("{}protocol any\n", stage.required());
    let broker = Make::Ours.broker(&stage.server(), &lines);
    let mut plain = Raw::open(broker.port);
    plain.send(&Connect::new("plain").bytes());
    plain.expect_end();
    let why = "without TLS, and a certificate is required";
    broker.process().stderr.wait_for(why);
    assert_ne!(publish(Make::Ours, &broker, &["--ws"]).code, Some(0));
}
