//! Clients that we did not write at our broker, and ours at theirs.

use std::process::Command;

use crate::ca::text;
use crate::common::Program;
use crate::common::peers::Peer;
use crate::common::process::{run, run_with_input};
use crate::stage::{Make, Stage, publish, subscribe};

const PAIRS: [(Make, Make); 3] = [
    (Make::Ours, Make::Ours),
    (Make::Ours, Make::Mosquitto),
    (Make::Mosquitto, Make::Ours),
];

#[test]
fn messages_of_every_size_in_both_versions() {
    if !Peer::MosquittoClients.present_for("TLS with mosquitto's programs") {
        return;
    }
    let stage = Stage::new();
    let large = "x".repeat(1_000_000);
    for (broker, client) in PAIRS {
        let broker = broker.broker(&stage.server(), "max_packet_size 2000000\n");
        for version in ["tlsv1.2", "tlsv1.3"] {
            let tls = ["--cafile", stage.ca.path(), "--tls-version", version];
            let subscriber = subscribe(client, &broker, &[&tls[..], &["-C", "3"]].concat());
            for (qos, message) in [("0", "small"), ("1", large.as_str()), ("2", "é")] {
                let mut command = client.command(Program::Pub);
                command.args(["-h", "localhost", "-p", &broker.port.to_string()]);
                command.args(["-t", "t", "-q", qos, "-s"]).args(tls);
                run_with_input(&mut command, message).expect_code(0);
                subscriber.stdout.wait_for(&format!("{message}\n"));
            }
            subscriber.finish().expect_code(0);
        }
    }
}

/// Many small records: what was read together must arrive whole and in order.
#[test]
fn many_messages_arrive_in_order() {
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "max_queued_messages 0\nlog_type none\n");
    let tls = ["--cafile", stage.ca.path()];
    let subscriber = subscribe(Make::Ours, &broker, &[&tls[..], &["-C", "5000"]].concat());
    let lines: Vec<_> = (0..5_000).map(|number| format!("{number:05}\n")).collect();
    let lines = lines.concat();
    let mut publisher = Program::Pub.command();
    publisher.args(["-h", "localhost", "-p", &broker.port.to_string()]);
    publisher.args(["-t", "t", "-q", "1", "-l"]).args(tls);
    run_with_input(&mut publisher, &lines).expect_code(0);
    let done = subscriber.finish().expect_code(0);
    assert!(done.stdout == lines, "not what was sent");
}

#[test]
fn paho() {
    if !Peer::Paho.present_for("TLS with paho-mqtt") {
        return;
    }
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), &stage.required());
    let client = stage.ca.issue_to("joe");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/paho_tls.py");
    let mut python = Command::new("python3");
    python
        .arg(script)
        .arg(broker.port.to_string())
        .arg(stage.ca.path());
    python.arg(text(&client.certificate)).arg(text(&client.key));
    let done = run(&mut python).expect_code(0);
    assert_eq!(done.stdout, "ok\n");
}

#[test]
fn a_directory_of_cas_needs_no_hashed_names() {
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "");
    let directory = text(stage.directory.path());
    publish(Make::Ours, &broker, &["--capath", directory]).expect_code(0);
}

#[test]
fn the_cas_of_the_system_are_trusted_where_asked() {
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "");
    let url = format!("mqtts://localhost:{}/t", broker.port);
    for args in [
        &["-L", &url][..],
        &[
            "-p",
            &broker.port.to_string(),
            "-t",
            "t",
            "--tls-use-os-certs",
        ],
    ] {
        for (file, code) in [(stage.ca.path(), 0), (stage.other_ca().path(), 8)] {
            let mut command = Program::Pub.command();
            command
                .args(args)
                .args(["-m", "x"])
                .env("SSL_CERT_FILE", file);
            run(&mut command).expect_code(code);
        }
    }
}

#[test]
fn one_protocol_of_several_may_be_asked_for() {
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "");
    let alpn = ["--cafile", stage.ca.path(), "--tls-alpn", "mqtt"];
    publish(Make::Ours, &broker, &alpn).expect_code(0);
}

#[test]
fn secrets_are_written_for_wireshark() {
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "");
    let log = stage.directory.path().join("secrets");
    let args = ["--cafile", stage.ca.path(), "--tls-keylog", text(&log)];
    publish(Make::Ours, &broker, &args).expect_code(0);
    let secrets = std::fs::read_to_string(&log).expect("the secrets");
    assert!(secrets.contains("CLIENT_TRAFFIC_SECRET_0 "), "{secrets}");
}

#[test]
fn the_connection_goes_without_tls_when_told_so() {
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "");
    let done = publish(
        Make::Ours,
        &broker,
        &["--cafile", stage.ca.path(), "--no-tls"],
    );
    assert_ne!(done.code, Some(0), "{done}");
    broker.process().stderr.wait_for("what it sent is not TLS");
}

#[test]
fn mistakes_on_the_command_line_are_told_as_mosquitto_tells_them() {
    for args in [
        &["--cert", "x"][..],
        &["--key", "x"],
        &["--cafile", "x", "--cert", "x"],
        &["--keyform", "engine"],
    ] {
        crate::common::clients::same_as_mosquitto(
            Program::Pub,
            &[&["-t", "t", "-m", "m"], args].concat(),
        );
    }
    for (args, word) in [
        (&["--cafile", "/nonexistent"][..], "/nonexistent"),
        (&["--cafile", "/etc/hostname"], "/etc/hostname"),
        (&["--capath", "/nonexistent"], "/nonexistent"),
        (&["--insecure"], "--insecure"),
        (
            &["--tls-use-os-certs", "--tls-version", "tlsv1.1"],
            "TLS options",
        ),
        (&["--tls-use-os-certs", "--ciphers", "RC4"], "TLS options"),
        (&["--tls-engine", "x"], "OpenSSL engines"),
    ] {
        let mut command = Program::Pub.command();
        let done = run(command.args(["-t", "t", "-m", "m"]).args(args)).expect_code(1);
        assert!(done.stderr.contains(word), "{done}");
    }
}
