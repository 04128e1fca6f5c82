//! Log destinations that others read, and readers that don't.

use crate::common::broker::{Broker, OPEN, Setup};
use crate::common::clients::{Subscriber, publish};
use crate::common::output::Output;
use crate::common::process::{Process, run};
use crate::common::raw::{Connect, Raw};
use crate::common::{oracle, oracle_differs};
use nix::sys::signal::Signal;
use std::process::Stdio;

#[test]
fn the_log_can_be_subscribed_to() {
    let broker = Broker::start(&format!("log_dest topic\nlog_dest stderr\n{OPEN}"));
    let log = Subscriber::start(&broker, &["-v", "-q", "2", "-t", "$SYS/broker/log/#"]);
    let (mut visitor, _) = Raw::client(broker.port, &Connect::new("visitor"));
    visitor.subscribe("my/topic", 1);
    broker.process().send(Signal::SIGHUP);
    let mut lines = Vec::new();
    while !lines
        .iter()
        .any(|line: &String| line.contains("Reloading config"))
    {
        lines.push(log.process.stdout.line());
    }
    let find = |topic: &str, text: &str| {
        let topic = format!("$SYS/broker/log/{topic} ");
        lines
            .iter()
            .any(|line| line.starts_with(&topic) && line.contains(text))
    };
    assert!(find("N", ": New client connected from"), "{lines:?}");
    assert!(find("M/subscribe", ": visitor 1 my/topic"), "{lines:?}");
    assert!(find("I", ": Reloading config"), "{lines:?}");
    // A line for each packet would have no end.
    assert!(!find("D", ""), "{lines:?}");
    if !oracle() {
        broker.process().stderr.wait_for("'$SYS/broker/log/N'");
        broker.process().stderr.wait_for("visitor 1 my/topic");
    }
}

#[test]
fn a_line_of_json_has_time_type_and_message() {
    if oracle_differs("log_format is ours") {
        return;
    }
    let broker = Broker::start(&format!("log_format json\n{OPEN}"));
    let (mut visitor, _) = Raw::client(broker.port, &Connect::new("vis\"itor"));
    visitor.subscribe("my/topic", 1);
    let log = broker.stop().expect_code(0).stderr;
    let mut types = Vec::new();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect(line);
        let text = |key: &str| {
            line[key]
                .as_str()
                .unwrap_or_else(|| panic!("{line}"))
                .to_owned()
        };
        assert!(text("time").contains('T'), "{line}");
        types.push((text("type"), text("message")));
    }
    let find = |kind: &str, end: &str| {
        types
            .iter()
            .any(|(known, message)| known == kind && message.contains(end))
    };
    assert!(find("notice", "as vis\"itor (p4"), "{log}");
    assert!(find("subscribe", "vis\"itor 1 my/topic"), "{log}");
    assert!(find("information", "running"), "{log}");
}

#[test]
fn a_reader_of_the_log_that_stalls_holds_nobody_up() {
    if oracle_differs("Mosquitto waits for it") {
        return;
    }
    let setup = Setup::new();
    let port = setup.port();
    let mut command = setup.command(OPEN);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the broker");
    let stderr = child.stderr.take().expect("a pipe");
    let broker = Process::adopt(child, "the broker".into());
    let deadline = std::time::Instant::now() + crate::common::TIMEOUT;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(std::time::Instant::now() < deadline, "it does not listen");
        std::thread::sleep(std::time::Duration::from_millis(5)); // between attempts
    }
    let (mut client, _) = Raw::client(port, &Connect::new("busy"));
    // Two lines each; far more than pipe and queue take.
    let mut pings = 20_000;
    for _ in 0..pings / 200 {
        client.send(&[0xc0, 0].repeat(200));
        let answers = client.take(400, crate::common::TIMEOUT);
        assert_eq!(answers.len(), 400);
    }
    let log = Output::collect(stderr);
    // The first line that finds room again tells.
    while !log.text().contains("log lines were lost here") {
        client.send(&[0xc0, 0]);
        client.expect(&[0xd0, 0]);
        pings += 1;
    }
    client.send(&[0xe0, 0]);
    client.expect_end();
    broker.send(Signal::SIGTERM);
    broker.finish().expect_code(0);
    let log = log.whole();
    assert!(
        log.contains("Client busy disconnected."),
        "the end is there"
    );
    let kept = log.matches("Received PINGREQ").count();
    let lost = log.lines().filter_map(|line| {
        let (before, _) = line.split_once(" log lines were lost here")?;
        before.rsplit(' ').next()?.parse::<usize>().ok()
    });
    let sent = log.matches("Sending PINGRESP").count();
    let lost: usize = lost.sum();
    // Nothing else is logged while lines are lost.
    assert_eq!(kept + sent + lost, 2 * pings, "{kept} {sent} {lost}");
}

#[test]
fn a_missing_folder_is_named_with_the_command_that_makes_it() {
    if oracle_differs("the words are ours") {
        return;
    }
    let setup = Setup::new();
    let conf = format!("log_dest file {{dir}}/no/such/log\n{OPEN}");
    let done = run(&mut setup.command(&conf)).expect_code(1);
    let command = format!("`mkdir -p {}`", setup.path("no/such").display());
    assert!(done.stderr.contains(&command), "{done}");
}

#[test]
fn the_last_lines_are_written_before_the_end() {
    let broker = Broker::start(&format!("log_dest file {{dir}}/log\n{OPEN}"));
    publish(&broker, &["-t", "a", "-m", "x"]);
    let file = broker.path("log");
    broker.process().send(Signal::SIGTERM);
    broker.process().wait_end();
    let log = std::fs::read_to_string(file).expect("the log");
    let expected = if oracle() { "terminating" } else { "is ending" };
    // Lines about the publisher that left may follow.
    assert!(log.contains(expected), "{log}");
}
