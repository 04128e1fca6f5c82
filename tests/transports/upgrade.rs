//! The request by which a WebSocket connection begins.

use crate::common::broker::Setup;
use crate::common::oracle_differs;
use crate::common::raw::Connect;
use crate::websocket::{BINARY, Socket, broker, frame};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;

#[test]
fn subprotocols() {
    if oracle_differs("requests as libwebsockets answers them") {
        return;
    }
    let (_broker, port) = broker("");
    for (offer, answer) in [
        (&[][..], None),
        (&["Sec-WebSocket-Protocol: mqtt"], Some("mqtt")),
        (&["Sec-WebSocket-Protocol: mqttv3.1"], Some("mqttv3.1")),
        (&["Sec-WebSocket-Protocol: wamp, mqtt"], Some("mqtt")),
    ] {
        let mut socket = Socket::open(port);
        let head = socket.ask(&Socket::request(offer));
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let expected = answer.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
        match expected {
            Some(line) => assert!(head.contains(&line), "{head}"),
            None => assert!(!head.contains("Protocol:"), "{head}"),
        }
        socket.send(&frame(BINARY, &Connect::new("a").bytes()));
        socket.expect(BINARY, &[0x20, 2, 0, 0]);
    }
    let mut socket = Socket::open(port);
    let head = socket.ask(&Socket::request(&["Sec-WebSocket-Protocol: wamp"]));
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

/// The answer to something that is no request for WebSocket; the connection
/// ends with it.
fn answer(port: u16, request: &str) -> String {
    let mut socket = Socket::open(port);
    let head = socket.ask(request);
    head + &String::from_utf8(socket.rest()).expect("text")
}

#[test]
fn other_requests_are_told_what_is_here() {
    if oracle_differs("requests as libwebsockets answers them") {
        return;
    }
    let (broker, port) = broker("");
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /mqtt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let answer = answer(port, request);
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        assert!(answer.contains("Upgrade: websocket\r\n"), "{answer}");
        assert!(answer.contains("MQTT"), "{answer}");
    }
    let old = Socket::request(&[]).replace("Version: 13", "Version: 8");
    let told = answer(port, &old);
    assert!(told.starts_with("HTTP/1.1 426 "), "{told}");
    assert!(told.contains("Sec-WebSocket-Version: 13\r\n"), "{told}");
    for garbage in ["\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0", "GET\r\n\r\n"] {
        let answer = answer(port, garbage);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    let stderr = &broker.process().stderr;
    stderr.wait_until(|log| log.matches("rejected, answered 4").count() == 6);
}

#[test]
fn pages_of_other_origins_stay_out() {
    if oracle_differs("requests as libwebsockets answers them") {
        return;
    }
    let (_broker, port) =
        broker("websockets_origin http://a.example:8080\nwebsockets_origin https://b.example");
    for (origin, status) in [
        ("Origin: http://a.example:8080", 101),
        ("Origin: https://b.example", 101),
        ("Origin: http://a.example", 403),
        ("Origin: null", 403),
        ("X-No: origin", 403),
    ] {
        let mut socket = Socket::open(port);
        let head = socket.ask(&Socket::request(&[origin]));
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{origin}: {head}"
        );
    }
}

#[test]
fn the_request_may_weigh_what_the_configuration_says() {
    if oracle_differs("requests as libwebsockets answers them") {
        return;
    }
    let (_broker, port) = broker("websockets_headers_size 1000");
    let cookie = |size: usize| format!("Cookie: {}", "c".repeat(size));
    let head = Socket::open(port).ask(&Socket::request(&[&cookie(600)]));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let told = answer(port, &Socket::request(&[&cookie(2000)])[..1000]);
    assert!(told.starts_with("HTTP/1.1 431 "), "{told}");
    assert!(told.contains("websockets_headers_size"), "{told}");
}

#[test]
fn the_log_names_the_client_of_a_proxy() {
    if oracle_differs("requests as libwebsockets answers them") {
        return;
    }
    let (broker, port) = broker("");
    let mut socket = Socket::open(port);
    socket.ask(&Socket::request(&["X-Forwarded-For: 192.0.2.7, 10.0.0.1"]));
    socket.send(&frame(BINARY, &Connect::new("far").bytes()));
    socket.expect(BINARY, &[0x20, 2, 0, 0]);
    broker.process().stderr.wait_for("as far ");
    let log = broker.log();
    let line = log.lines().find(|line| line.contains("as far "));
    assert!(
        line.is_some_and(|line| line.contains("New client connected from 192.0.2.7:")),
        "{log}"
    );
}

#[test]
fn a_reload_changes_who_may_connect() {
    if oracle_differs("version 2.0 has no `websockets_origin`") {
        return;
    }
    let conf = |origin: &str| {
        format!(
            "allow_anonymous true\nlistener {{port}}\nprotocol websockets\n\
             websockets_origin {origin}\n"
        )
    };
    let setup = Setup::new();
    let (port, file) = (setup.port(), setup.path("broker.conf"));
    let broker = setup.start(&conf("http://old.example"));
    let status = |origin: &str| {
        let origin = format!("Origin: {origin}");
        let head = Socket::open(port).ask(&Socket::request(&[&origin]));
        head[9..12].to_owned()
    };
    assert_eq!(status("http://old.example"), "101");
    assert_eq!(status("http://new.example"), "403");
    // The setup wrote such a line too.
    let me = if geteuid().is_root() {
        "user root\n"
    } else {
        ""
    };
    let text = me.to_owned() + &conf("http://new.example").replace("{port}", &port.to_string());
    std::fs::write(file, text).expect("writing the configuration");
    broker.process().send(Signal::SIGHUP);
    broker
        .process()
        .stderr
        .wait_for("The new configuration holds.");
    assert_eq!(status("http://old.example"), "403");
    assert_eq!(status("http://new.example"), "101");
}

/// A client that sends its request byte by byte, or not at all, keeps nobody
/// else waiting.
#[test]
fn slow_handshakes_hold_nobody_up() {
    let (_broker, port) = broker("");
    let silent: Vec<_> = (0..50).map(|_| Socket::open(port)).collect();
    let request = Socket::request(&["Sec-WebSocket-Protocol: mqtt"]);
    let mut slow = Socket::open(port);
    for (number, byte) in request.bytes().enumerate() {
        slow.send(&[byte]);
        if number % 100 == 0 {
            Socket::client(port, &format!("quick{number}"));
        }
    }
    assert!(slow.head().starts_with("HTTP/1.1 101 "));
    drop(silent);
}

/// A client need not wait for the answer.
#[test]
fn frames_may_follow_the_request_at_once() {
    let (_broker, port) = broker("");
    let mut socket = Socket::open(port);
    let connect = frame(BINARY, &Connect::new("eager").bytes());
    let request = Socket::request(&["Sec-WebSocket-Protocol: mqtt"]);
    socket.send(&[request.as_bytes(), &connect].concat());
    assert!(socket.head().starts_with("HTTP/1.1 101 "));
    socket.expect(BINARY, &[0x20, 2, 0, 0]);
}
