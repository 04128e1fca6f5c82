//! Where the tools connect to: the path of a WebSocket connection, and brokers
//! that the domain name system tells of.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;
use std::thread;

use simple_dns::rdata::{RData, SRV};
use simple_dns::{CLASS, Packet, RCODE, ResourceRecord};

use crate::common::broker::{Broker, free_port};
use crate::common::peers::{program_for, tell};
use crate::common::process::{Process, run};
use crate::common::{Program, oracle_differs};

/// Set for the process that has a network and an `/etc/resolv.conf` of its own.
const CHILD: &str = "MOUSTIQUE_OWN_NETWORK";

/// The first line of what a tool asks a WebSocket server.
fn request_line(args: &[&str]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener
        .local_addr()
        .expect("its address")
        .port()
        .to_string();
    let args = args.iter().map(|arg| arg.replace("PORT", &port));
    let tool = Process::spawn(Program::Sub.command().args(args));
    let (stream, _) = listener.accept().expect("a connection");
    let mut line = String::new();
    BufReader::new(&stream)
        .read_line(&mut line)
        .expect("a request");
    drop(stream);
    drop(tool);
    line.trim_end().to_owned()
}

#[test]
fn the_path_of_a_websocket_connection_can_be_chosen() {
    if oracle_differs("new in 2.1, and the path is our own") {
        return;
    }
    let plain = ["-h", "127.0.0.1", "-p", "PORT", "-t", "a", "--ws"];
    assert_eq!(request_line(&plain), "GET /mqtt HTTP/1.1");
    for (path, asked) in [("/broker/ws?key=1", "/broker/ws?key=1"), ("x", "/x")] {
        let args = [&plain[..], &["--ws-path", path]].concat();
        assert_eq!(request_line(&args), format!("GET {asked} HTTP/1.1"));
    }
    // What follows the host is the topic, unless there is one already.
    let url = ["-L", "ws://127.0.0.1:PORT/b/c"];
    assert_eq!(request_line(&url), "GET /mqtt HTTP/1.1");
    let beside = [&url[..], &["-t", "a"]].concat();
    assert_eq!(request_line(&beside), "GET /b/c HTTP/1.1");
    let both = [&beside[..], &["--ws-path", "/d"]].concat();
    assert_eq!(request_line(&both), "GET /d HTTP/1.1");

    let args = ["-t", "a", "--ws-path", "/d"];
    let done = run(Program::Sub.command().args(args)).expect_code(1);
    assert!(
        done.stderr.contains("--ws-path is about WebSocket"),
        "{done}"
    );
    let args = ["-t", "a", "--ws", "--ws-path", "/a b"];
    let done = run(Program::Sub.command().args(args)).expect_code(1);
    assert!(done.stderr.contains("Invalid WebSocket path"), "{done}");
}

/// Answers every question with the broker's port, if it is about `name`.
fn serve_names(name: &'static str, port: u16) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).expect("the port of DNS");
    thread::spawn(move || {
        let mut query = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut query).expect("a query");
            let query = Packet::parse(&query[..length]).expect("a query");
            let asked = query.questions[0].qname.clone();
            let mut reply = Packet::new_reply(query.id());
            reply.questions.clone_from(&query.questions);
            if asked.to_string() == name {
                let data = RData::SRV(SRV {
                    priority: 0,
                    weight: 0,
                    port,
                    target: simple_dns::Name::new_unchecked("localhost"),
                });
                reply
                    .answers
                    .push(ResourceRecord::new(asked, CLASS::IN, 10, data));
            } else {
                *reply.rcode_mut() = RCODE::NameError;
            }
            let reply = reply.build_bytes_vec().expect("a reply");
            socket.send_to(&reply, client).expect("sent");
        }
    });
}

#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let broker = Broker::open();
    serve_names("_mqtt._tcp.example.test", broker.port);
    let publish = |args: &[&str]| {
        let mut command = Program::Pub.command();
        run(command
            .args(["-S", "-A", "127.0.0.1", "-t", "a", "-m", "b"])
            .args(args))
    };
    publish(&["-h", "example.test"]).expect_code(0);
    // The port is the record's, whatever is said of another one.
    publish(&["-h", "example.test", "-p", "1"]).expect_code(0);
    publish(&["-L", "mqtt://example.test/a"]).expect_code(0);
    // The local domain of this resolv.conf.
    publish(&[]).expect_code(0);
    for args in [
        &["-h", "other.test"][..],
        &["-h", "example.test", "--tls-use-os-certs"],
    ] {
        let done = publish(args).expect_code(1);
        assert_eq!(done.stderr, "Unable to connect (Lookup error.).\n");
    }
    println!("all were found");
}

#[test]
fn a_broker_is_found_by_its_srv_records() {
    let check = "a look-up of SRV records";
    if oracle_differs("Debian's clients were built without -S") {
        return;
    }
    let (Some(unshare), Some(ip)) = (program_for("unshare", check), program_for("ip", check))
    else {
        return;
    };
    let directory = tempfile::TempDir::new().expect("a directory");
    let names = directory.path().join("resolv.conf");
    std::fs::write(&names, "domain example.test\nnameserver 127.0.0.1\n").expect("a file");
    let script =
        "\"$1\" link set lo up && mount --bind \"$2\" /etc/resolv.conf && shift 2 && exec \"$@\"";
    let inside = || {
        let mut command = Command::new(&unshare);
        command
            .args(["-r", "-m", "-n", "sh", "-c", script, "sh"])
            .arg(&ip)
            .arg(&names);
        command
    };
    if run(inside().arg("true")).code != Some(0) {
        tell(&format!(
            "left out: {check}: no network of our own is allowed"
        ));
        return;
    }
    let mut command = inside();
    command.arg(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "reach::child", "--nocapture"])
        .env(CHILD, "1");
    let done = run(&mut command).expect_code(0);
    assert!(done.stdout.contains("all were found"), "{done}");
}

#[test]
fn look_ups_are_for_tcp_only() {
    if oracle_differs("Debian's clients were built without -S") {
        return;
    }
    let port = free_port().to_string();
    for args in [&["--unix", "/nonexistent"][..], &["--ws", "-p", &port]] {
        let args = [&["-t", "a", "-m", "b", "-S"], args].concat();
        let done = run(Program::Pub.command().args(args)).expect_code(1);
        assert!(
            done.stderr.starts_with("Error: -S is about MQTT over TCP"),
            "{done}"
        );
    }
}
