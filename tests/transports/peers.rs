//! Clients over WebSocket: theirs with our broker, ours with theirs.

use crate::common::Program;
use crate::common::broker::{Broker, Setup, free_port};
use crate::common::oracle_differs;
use crate::common::peers::Peer;
use crate::common::process::{Process, run, run_with_input};
use crate::websocket;
use std::process::Command;
use std::time::Duration;

/// QoS 0, 1 and 2 both ways, retained messages, the will, sessions.
fn play(peer: Peer) {
    if !peer.present_for(&format!("{peer:?} over WebSocket")) {
        return;
    }
    let (_broker, port) = websocket::broker("");
    for version in ["3", "4", "5"] {
        let mut command = peer.command();
        command.args([
            &port.to_string(),
            version,
            &format!("ws-{version}"),
            "websockets",
        ]);
        // An interpreter that starts on a busy machine takes its time.
        let done = Process::spawn(&mut command)
            .finish_within(Duration::from_secs(60))
            .expect_code(0);
        assert_eq!(done.stdout, "ok\n");
    }
}

#[test]
fn paho() {
    play(Peer::Paho);
}

#[test]
fn mqttjs() {
    play(Peer::MqttJs);
}

fn to(mut program: Command, url: &str) -> Command {
    program.args(["-L", url]);
    program
}

/// Our clients, connecting to `port` by WebSocket, with a message of `large`
/// bytes among others.
fn our_clients(port: u16, large: usize) {
    let url = format!("ws://localhost:{port}/maison/température");
    let host = ["--ws", "-h", "localhost", "-p", &port.to_string()].map(str::to_owned);

    let mut publisher = to(Program::Pub.command(), &url);
    run(publisher.args(["-r", "-q", "2", "-m", "21,5 °C"])).expect_code(0);
    let mut subscriber = Program::Sub.command();
    subscriber
        .args(&host)
        .args(["-t", "maison/#", "-v", "-C", "1"]);
    let done = run(&mut subscriber).expect_code(0);
    assert_eq!(done.stdout, "maison/température 21,5 °C\n");

    // Many lines and a large message, for a subscriber that is away first.
    let keep = ["-c", "-i", "keeper", "-q", "1", "-t", "lines"];
    let subscriber = || {
        let mut program = Program::Sub.command();
        program.args(&host).args(keep);
        program
    };
    run(subscriber().arg("-E")).expect_code(0);
    let lines: Vec<_> = (0..500).map(|number| format!("line {number}\n")).collect();
    let lines = lines.concat();
    let mut publisher = Program::Pub.command();
    publisher.args(&host).args(["-t", "lines", "-q", "1", "-l"]);
    run_with_input(&mut publisher, &lines).expect_code(0);
    let large = "0123456789".repeat(large / 10);
    let mut publisher = Program::Pub.command();
    publisher.args(&host).args(["-t", "lines", "-q", "1", "-s"]);
    run_with_input(&mut publisher, &large).expect_code(0);
    let done = run(subscriber().args(["-C", "501"])).expect_code(0);
    assert!(done.stdout == lines + &large + "\n", "what arrives differs");
}

#[test]
fn our_clients_and_our_broker() {
    if oracle_differs("clients of version 2.0 have no `--ws`") {
        return;
    }
    let (_broker, port) = websocket::broker("max_queued_messages 0");
    our_clients(port, 500_000);
}

#[test]
fn our_clients_and_mosquitto() {
    if oracle_differs("clients of version 2.0 have no `--ws`") {
        return;
    }
    if !Peer::MosquittoBroker.present_for("our clients over WebSocket with mosquitto") {
        return;
    }
    let (setup, port) = (Setup::new(), free_port());
    let conf = setup.write(
        "broker.conf",
        &format!(
            "allow_anonymous true\nmax_queued_messages 0\nlistener {port}\nprotocol websockets\n\
             listener {{port}}\n"
        ),
    );
    let mut command = Program::Broker.mosquitto();
    command.arg("-c").arg(conf);
    let _broker: Broker = setup.start_command(command);
    // Version 2.0.11 loses messages of 200 kB on this way, with paho too.
    our_clients(port, 100_000);
}

/// A server that speaks no WebSocket.
#[test]
fn a_port_without_websocket_is_named() {
    if oracle_differs("clients of version 2.0 have no `--ws`") {
        return;
    }
    let broker = Broker::open();
    let url = format!("ws://localhost:{}/t", broker.port);
    let mut publisher = to(Program::Pub.command(), &url);
    let done = run(publisher.args(["-m", "x"])).expect_code(1);
    assert!(done.stderr.contains("WebSocket"), "{done}");
}
