//! Our clients through a SOCKS5 proxy, microsocks.

use crate::common::broker::{Broker, free_port};
use crate::common::clients::{Subscriber, same_as_mosquitto};
use crate::common::peers::program_for;
use crate::common::process::{Process, run};
use crate::common::{Program, TIMEOUT, oracle, oracle_differs};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

struct Proxy {
    port: u16,
    process: Process,
}

impl Proxy {
    fn start(check: &str, args: &[&str]) -> Option<Self> {
        let program = program_for("microsocks", check)?;
        let port = free_port();
        let mut command = Command::new(program);
        command
            .args(["-i", "127.0.0.1", "-p", &port.to_string()])
            .args(args);
        let process = Process::spawn(&mut command);
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(!process.ended() && Instant::now() < deadline, "no proxy");
            thread::sleep(Duration::from_millis(5)); // between attempts
        }
        Some(Self { port, process })
    }

    fn url(&self, scheme: &str, user: &str) -> String {
        format!("{scheme}://{user}127.0.0.1:{}", self.port)
    }
}

/// A publisher and a subscriber by way of the proxy.
fn pass(broker: &Broker, url: &str) {
    let sub = Subscriber::start(broker, &["-t", "t"]);
    let port = broker.port.to_string();
    for host in ["localhost", "127.0.0.1"] {
        let mut publisher = Program::Pub.command();
        publisher.args(["--proxy", url, "-h", host, "-p", &port]);
        let done = run(publisher.args(["-t", "t", "-q", "1", "-m", host])).expect_code(0);
        assert!(done.stderr.is_empty(), "{done}");
        sub.expect(host);
    }
}

#[test]
fn through_an_open_proxy() {
    let Some(proxy) = Proxy::start("clients through a SOCKS5 proxy", &[]) else {
        return;
    };
    let broker = Broker::open();
    pass(&broker, &proxy.url("socks5h", ""));
    // microsocks logs each connection it makes: the broker saw only those.
    proxy.process.stderr.wait_for(&broker.port.to_string());
    if !oracle() {
        pass(&broker, &proxy.url("socks5", ""));
    }
}

#[test]
fn with_user_and_password() {
    if oracle_differs("version 2.0.11 does not decode the password") {
        return;
    }
    let args = ["-u", "joe", "-P", "p:@%"];
    let Some(proxy) = Proxy::start("clients through a SOCKS5 proxy with password", &args) else {
        return;
    };
    let broker = Broker::open();
    pass(&broker, &proxy.url("socks5h", "joe:p%3A%40%25@"));
    for user in ["", "joe:wrong@"] {
        let url = proxy.url("socks5h", user);
        let port = broker.port.to_string();
        let args = ["--proxy", &url, "-p", &port, "-t", "t", "-m", "x"];
        same_as_mosquitto(Program::Pub, &args).expect_code(11);
    }
}

#[test]
fn failures_are_told_as_mosquitto_does() {
    let Some(proxy) = Proxy::start("failures of a SOCKS5 proxy", &[]) else {
        return;
    };
    let url = proxy.url("socks5h", "");
    let nobody = free_port().to_string();
    let message = ["-t", "t", "-m", "x"];
    let run = |args: &[&str], code: i32| {
        same_as_mosquitto(Program::Pub, &[args, &message].concat()).expect_code(code);
    };
    run(&["--proxy", &url, "-p", &nobody], 4);
    run(&["--proxy", &url, "-h", "nowhere.invalid"], 16);
    run(&["--proxy", &format!("socks5h://127.0.0.1:{nobody}")], 1);
    run(&["--proxy", "http://127.0.0.1"], 1);
    run(&["--proxy", "socks5h://"], 1);
}
