//! Servers that follow a script: what no well-behaved broker does.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use crate::common::process::Process;
use crate::common::raw::Raw;
use crate::common::{Program, TIMEOUT, oracle_differs};

/// Runs `script` with each connection in turn.
fn server(scripts: Vec<fn(&mut Raw)>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let played = thread::spawn(move || {
        for script in scripts {
            let (stream, _): (TcpStream, _) = listener.accept().expect("a connection");
            script(&mut Raw::adopt(stream));
        }
    });
    (port.to_string(), played)
}

fn connected(raw: &mut Raw, session_present: u8) {
    assert_eq!(raw.packet()[0], 0x10, "CONNECT");
    raw.send(&[0x20, 2, session_present, 0]);
}

const LINE_1: &[u8] = &[0x32, 6, 0, 1, b't', 0, 1, b'1'];
const LINE_2: &[u8] = &[0x34, 6, 0, 1, b't', 0, 2, b'2'];

/// The publisher loses the connection in the middle of QoS 2, finds its
/// session again, and goes on where it was.
#[test]
fn lines_at_qos_2_go_on_in_a_session_that_was_kept() {
    if oracle_differs("mosquitto_pub -l doesn't connect again") {
        return;
    }
    let (port, played) = server(vec![
        |raw| {
            connected(raw, 0);
            raw.expect(&[0x34, 6, 0, 1, b't', 0, 1, b'1']);
            raw.expect(LINE_2);
            raw.send(&[0x50, 2, 0, 1]);
            raw.expect(&[0x62, 2, 0, 1]);
        },
        |raw| {
            connected(raw, 1);
            raw.expect(&[0x62, 2, 0, 1]);
            raw.expect(&[0x3C, 6, 0, 1, b't', 0, 2, b'2']);
            raw.send(&[0x70, 2, 0, 1, 0x50, 2, 0, 2]);
            raw.expect(&[0x62, 2, 0, 2]);
            raw.send(&[0x70, 2, 0, 2]);
            raw.expect(&[0xE0, 0]);
            raw.expect_end();
        },
    ]);
    let mut publisher = Process::spawn(Program::Pub.command().args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-t",
        "t",
        "-q",
        "2",
        "-l",
        "-c",
        "-i",
        "me",
    ]));
    publisher.write("1\n2\n");
    let done = publisher.finish().expect_code(0);
    assert_eq!(
        done.stderr,
        "Warning: The connection was lost, connecting again.\n"
    );
    played.join().expect("the script");
}

/// The same where the server has forgotten everything: again, as new.
#[test]
fn lines_are_published_again_in_a_session_that_was_lost() {
    if oracle_differs("mosquitto_pub -l doesn't connect again") {
        return;
    }
    let (port, played) = server(vec![
        |raw| {
            connected(raw, 0);
            raw.expect(LINE_1);
        },
        |raw| {
            connected(raw, 0);
            raw.expect(&[0x32, 6, 0, 1, b't', 0, 2, b'1']);
            raw.send(&[0x40, 2, 0, 2]);
            raw.expect(&[0xE0, 0]);
        },
    ]);
    let mut publisher = Process::spawn(Program::Pub.command().args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-t",
        "t",
        "-q",
        "1",
        "-l",
    ]));
    publisher.write("1\n");
    let done = publisher.finish().expect_code(0);
    assert!(
        done.stderr.contains("1 messages are published again"),
        "{done}"
    );
    played.join().expect("the script");
}

#[test]
fn a_single_message_that_is_lost_is_an_error() {
    let (port, played) = server(vec![|raw| {
        connected(raw, 0);
        raw.expect(&[0x32, 6, 0, 1, b't', 0, 1, b'1']);
    }]);
    let done = Process::spawn(Program::Pub.command().args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-t",
        "t",
        "-q",
        "1",
        "-m",
        "1",
    ]))
    .finish()
    .expect_code(7);
    assert_eq!(done.stderr, "Error: The connection was lost.\n");
    played.join().expect("the script");
}

/// A broker that repeats a message of QoS 2, over a reconnection too.
#[test]
fn a_subscriber_prints_a_message_of_qos_2_once() {
    fn subscribed(raw: &mut Raw) {
        assert_eq!(raw.packet()[0], 0x82, "SUBSCRIBE");
    }
    let (port, played) = server(vec![
        |raw| {
            connected(raw, 0);
            subscribed(raw);
            raw.send(&[0x90, 3, 0, 1, 2]);
            raw.send(&[0x34, 6, 0, 1, b't', 0, 9, b'1']);
            raw.expect(&[0x50, 2, 0, 9]);
        },
        |raw| {
            connected(raw, 1);
            subscribed(raw);
            raw.send(&[0x90, 3, 0, 2, 2]);
            raw.send(&[0x3C, 6, 0, 1, b't', 0, 9, b'1']);
            raw.expect(&[0x50, 2, 0, 9]);
            raw.send(&[0x62, 2, 0, 9]);
            raw.expect(&[0x70, 2, 0, 9]);
            raw.send(&[0x30, 4, 0, 1, b't', b'2']);
            raw.expect(&[0xE0, 0]);
        },
    ]);
    let done = Process::spawn(Program::Sub.command().args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-t",
        "t",
        "-q",
        "2",
        "-C",
        "2",
        "-c",
        "-i",
        "me",
    ]))
    .finish()
    .expect_code(0);
    assert_eq!(done.stdout, "1\n2\n");
    played.join().expect("the script");
}

#[test]
fn denied_subscriptions_end_the_subscriber() {
    let (port, played) = server(vec![|raw| {
        connected(raw, 0);
        assert_eq!(raw.packet()[0], 0x82, "SUBSCRIBE");
        raw.send(&[0x90, 4, 0, 1, 0x80, 0x80]);
        raw.expect(&[0xE0, 0]);
        raw.expect_end();
    }]);
    let done = Process::spawn(Program::Sub.command().args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-t",
        "a",
        "-t",
        "b",
    ]))
    .finish_within(TIMEOUT)
    .expect_code(0);
    assert_eq!(done.stderr, "All subscription requests were denied.\n");
    played.join().expect("the script");
}

#[test]
fn a_denied_subscription_among_others_is_told() {
    if oracle_differs("mosquitto_sub tells nobody") {
        return;
    }
    let (port, played) = server(vec![|raw| {
        connected(raw, 0);
        assert_eq!(raw.packet()[0], 0x82, "SUBSCRIBE");
        raw.send(&[0x90, 4, 0, 1, 0, 0x80]);
        raw.send(&[0x30, 4, 0, 1, b'a', b'1']);
        raw.expect(&[0xE0, 0]);
    }]);
    let done = Process::spawn(Program::Sub.command().args([
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-t",
        "a",
        "-t",
        "b",
        "-C",
        "1",
    ]))
    .finish()
    .expect_code(0);
    assert_eq!(
        done.stderr,
        "Warning: The broker denied the subscription to 'b': Unspecified error.\n"
    );
    played.join().expect("the script");
}

/// The response may come before its request is acknowledged.
#[test]
fn a_request_is_acknowledged_to_its_end() {
    if oracle_differs("mosquitto_rr goes without DISCONNECT") {
        return;
    }
    let (port, played) = server(vec![|raw| {
        connected(raw, 0);
        raw.expect(&[0x82, 6, 0, 1, 0, 1, b'r', 2]);
        raw.send(&[0x90, 3, 0, 1, 2]);
        raw.expect(&[0x34, 6, 0, 1, b't', 0, 2, b'?']);
        raw.send(&[0x34, 6, 0, 1, b'r', 0, 9, b'!']);
        raw.expect(&[0x50, 2, 0, 9]);
        raw.send(&[0x50, 2, 0, 2]);
        raw.expect(&[0x62, 2, 0, 2]);
        raw.send(&[0x70, 2, 0, 2, 0x62, 2, 0, 9]);
        raw.expect(&[0x70, 2, 0, 9]);
        raw.expect(&[0xE0, 0]);
        raw.expect_end();
    }]);
    let args = ["-V", "311", "-q", "2", "-t", "t", "-e", "r", "-m", "?"];
    let mut command = Program::Rr.command();
    command.args(["-h", "127.0.0.1", "-p", &port]).args(args);
    let done = Process::spawn(&mut command).finish().expect_code(0);
    assert_eq!(done.stdout, "!\n");
    played.join().expect("the script");
}
