//! The return codes of CONNACK, from the broker and at the clients.

use crate::common::broker::{Broker, Setup};
use crate::common::clients::same_as_mosquitto;
use crate::common::process::run;
use crate::common::raw::{Connect, Raw, packet, text};
use crate::common::{Program, TIMEOUT, oracle_differs};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

/// A CONNECT of this protocol name and level.
fn connect_as(port: u16, name: &str, level: u8) -> Raw {
    let mut client = Raw::open(port);
    let header = [level, 2, 0, 60];
    client.send(&packet(0x10, &[&text(name), &header, &text("new")]));
    client
}

#[test]
fn a_version_that_does_not_fit_the_protocols_name_gets_code_1() {
    let broker = Broker::open();
    for (name, level) in [("MQTT", 3), ("MQIsdp", 4)] {
        let mut client = connect_as(broker.port, name, level);
        client.expect(&[0x20, 2, 0, 1]);
        client.expect_end();
    }
}

#[test]
fn a_version_that_does_not_exist_gets_the_answer_of_mqtt_5() {
    if oracle_differs("Mosquitto 2.0 answers with code 1, 2.1 with 0x84") {
        return;
    }
    let broker = Broker::open();
    for (name, level) in [("MQTT", 9), ("MQIsdp", 2)] {
        let mut client = connect_as(broker.port, name, level);
        client.expect(&[0x20, 3, 0, 0x84, 0]);
        client.expect_end();
    }
}

#[test]
fn an_empty_client_identifier_without_clean_session_gets_code_2() {
    let broker = Broker::open();
    let mut client = Raw::open(broker.port);
    let nameless = Connect {
        clean: false,
        ..Connect::new("")
    };
    client.send(&nameless.bytes());
    client.expect(&[0x20, 2, 0, 2]);
    client.expect_end();
}

#[test]
fn an_empty_client_identifier_with_clean_session_is_fine() {
    let broker = Broker::open();
    let (mut client, present) = Raw::client(broker.port, &Connect::new(""));
    assert!(!present);
    client.subscribe("a", 0);
}

/// A broker that knows only `sonde` with the password `secret`.
fn guarded() -> Broker {
    let setup = Setup::new();
    let file = setup.path("passwords");
    let file = file.to_str().expect("a printable path");
    run(Program::Passwd
        .command()
        .args(["-c", "-b", file, "sonde", "secret"]))
    .expect_code(0);
    setup.start("listener {port}\nallow_anonymous false\npassword_file {dir}/passwords\n")
}

#[test]
fn a_wrong_or_missing_password_gets_code_5() {
    let broker = guarded();
    for (user, password) in [
        (None, None),
        (Some("sonde"), Some("wrong")),
        (Some("sonde"), None),
        (Some("nobody"), Some("secret")),
    ] {
        for version in [3, 4] {
            let connect = Connect {
                version,
                user,
                password,
                ..Connect::new("me")
            };
            let mut client = Raw::open(broker.port);
            client.send(&connect.bytes());
            client.expect(&[0x20, 2, 0, 5]);
            client.expect_end();
        }
    }
}

#[test]
fn a_wrong_or_missing_password_gets_not_authorized_in_mqtt_5() {
    let broker = guarded();
    for (user, password) in [
        (None, None),
        (Some("sonde"), Some("wrong")),
        (Some("nobody"), Some("secret")),
    ] {
        let connect = Connect {
            version: 5,
            user,
            password,
            ..Connect::new("me")
        };
        let mut client = Raw::open(broker.port);
        client.send(&connect.bytes());
        let answer = client.packet();
        assert_eq!((answer[0], answer[3]), (0x20, 0x87), "{answer:02x?}");
        client.expect_end();
    }
}

#[test]
fn the_right_password_passes() {
    let broker = guarded();
    for version in [3, 4, 5] {
        let connect = Connect {
            version,
            user: Some("sonde"),
            password: Some("secret"),
            ..Connect::new("me")
        };
        Raw::client(broker.port, &connect);
    }
}

/// A server that answers every CONNECT with this and closes. It ends with the test.
fn scripted_server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("a port").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(TIMEOUT));
            let mut connect = [0; 512];
            // A CONNECT of a few bytes comes in one piece.
            if stream.read(&mut connect).is_ok_and(|count| count > 0) {
                let _ = stream.write_all(answer);
                // Until the client closes: closing first may lose the answer.
                while stream.read(&mut connect).is_ok_and(|count| count > 0) {}
            }
        }
    });
    port.to_string()
}

/// What mosquitto_pub and mosquitto_sub 2.0 print for each code of MQTT 3.x.
const REASONS: [(&[u8], i32, &str); 5] = [
    (
        &[0x20, 2, 0, 1],
        1,
        "Connection error: Connection Refused: unacceptable protocol version.\n",
    ),
    (
        &[0x20, 2, 0, 2],
        2,
        "Connection error: Connection Refused: identifier rejected.\n",
    ),
    (
        &[0x20, 2, 0, 3],
        3,
        "Connection error: Connection Refused: broker unavailable.\n",
    ),
    (
        &[0x20, 2, 0, 4],
        4,
        "Connection error: Connection Refused: bad user name or password.\n",
    ),
    (
        &[0x20, 2, 0, 5],
        5,
        "Connection error: Connection Refused: not authorised.\n",
    ),
];

#[test]
fn the_subscriber_shows_every_code() {
    for (answer, code, text) in REASONS {
        let port = scripted_server(answer);
        let args = ["-h", "localhost", "-p", &port, "-t", "a"];
        let done = same_as_mosquitto(Program::Sub, &args).expect_code(code);
        assert_eq!(done.stderr, text);
    }
}

#[test]
fn the_publisher_shows_every_code() {
    for (answer, code, text) in REASONS {
        let port = scripted_server(answer);
        let args = ["-h", "localhost", "-p", &port, "-t", "a", "-m", "x"];
        let done = same_as_mosquitto(Program::Pub, &args).expect_code(code);
        let whole = format!("{text}Error: The connection was refused.\n");
        assert_eq!(done.stderr, whole);
    }
}

#[test]
fn the_clients_show_the_reasons_of_mqtt_5() {
    let answers: [(&[u8], i32); 4] = [
        (&[0x20, 3, 0, 0x84, 0], 132),
        (&[0x20, 3, 0, 0x85, 0], 133),
        (&[0x20, 3, 0, 0x86, 0], 134),
        (&[0x20, 3, 0, 0x87, 0], 135),
    ];
    for (answer, code) in answers {
        let port = scripted_server(answer);
        let common = ["-V", "mqttv5", "-h", "localhost", "-p", &port, "-t", "a"];
        let sub = same_as_mosquitto(Program::Sub, &common).expect_code(code);
        assert!(sub.stderr.starts_with("Connection error: "), "{sub}");
        let args = [&common[..], &["-m", "x"]].concat();
        same_as_mosquitto(Program::Pub, &args).expect_code(code);
    }
}

#[test]
fn quiet_clients_say_nothing() {
    let port = scripted_server(&[0x20, 2, 0, 5]);
    let args = ["--quiet", "-h", "localhost", "-p", &port, "-t", "a"];
    let sub = same_as_mosquitto(Program::Sub, &args).expect_code(5);
    assert_eq!(sub.stderr, "");
    let args = [&args[..], &["-m", "x"]].concat();
    let publisher = same_as_mosquitto(Program::Pub, &args).expect_code(5);
    assert_eq!(publisher.stderr, "");
}

#[test]
fn without_a_broker_the_clients_say_so() {
    let port = Setup::new().port().to_string();
    let args = ["-h", "localhost", "-p", &port, "-t", "a"];
    let sub = same_as_mosquitto(Program::Sub, &args).expect_code(1);
    assert_eq!(sub.stderr, "Error: Connection refused\n");
    let args = [&args[..], &["-m", "x"]].concat();
    let publisher = same_as_mosquitto(Program::Pub, &args).expect_code(1);
    assert_eq!(publisher.stderr, "Error: Connection refused\n");
}
