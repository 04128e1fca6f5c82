//! What the broker writes, and where.

use crate::common::TIMEOUT;
use crate::common::broker::{Broker, OPEN, Setup, wait_for_file};
use crate::common::raw::{Connect, Raw};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Connects as `my-client`, subscribes to `my/topic` and leaves.
fn visit(broker: &Broker) {
    let (mut client, _) = Raw::client(broker.port, &Connect::new("my-client"));
    client.subscribe("my/topic", 0);
    client.send(&[0xe0, 0]);
    client.expect_end();
}

/// The line about the visitor, as scripts know it from Mosquitto.
fn visitors_line(log: &str) -> &str {
    log.lines()
        .find(|line| {
            line.contains("New client connected from ") && line.contains(" as my-client (")
        })
        .unwrap_or_else(|| panic!("no line about the visitor in: {log}"))
}

/// Starts with this configuration and without `-v`.
fn plainly(setup: Setup, conf: &str) -> Broker {
    let mut command = crate::common::Program::Broker.command();
    let written = setup.command(conf);
    let without_v = written.get_args().filter(|arg| *arg != "-v");
    // The first arguments and the program belong to `command` already.
    command.args(without_v.skip_while(|arg| *arg != "-c"));
    setup.start_command(command)
}

#[test]
fn each_line_begins_with_the_time() {
    let broker = Broker::open();
    visit(&broker);
    let log = broker.stop().stderr;
    let (time, _) = visitors_line(&log).split_once(": ").expect("a time");
    assert!(time.parse::<u64>().is_ok(), "{log}");
}

#[test]
fn the_time_can_be_left_out() {
    let broker = Broker::start(&format!("log_timestamp false\n{OPEN}"));
    visit(&broker);
    let log = broker.stop().stderr;
    assert!(visitors_line(&log).starts_with("New client"), "{log}");
}

#[test]
fn the_usual_log_has_connections_but_not_every_packet() {
    let broker = plainly(Setup::new(), OPEN);
    visit(&broker);
    let log = broker.stop().stderr;
    visitors_line(&log);
    assert!(!log.contains("my/topic"), "{log}");
}

#[test]
fn the_verbose_log_has_every_packet() {
    let broker = Broker::open();
    visit(&broker);
    let log = broker.stop().stderr;
    visitors_line(&log);
    assert!(log.contains("my/topic"), "{log}");
}

#[test]
fn the_log_can_go_to_a_file() {
    let setup = Setup::new();
    let conf = format!("log_dest file {{dir}}/broker.log\n{OPEN}");
    let broker = plainly(setup, &conf);
    visit(&broker);
    let file = broker.path("broker.log");
    wait_for_file(&file);
    let errors = broker.log();
    assert!(!errors.contains("my-client"), "{errors}");
    // What was written is certain to be in the file after a normal end.
    broker.process().send(nix::sys::signal::Signal::SIGTERM);
    broker.process().wait_end();
    let log = std::fs::read_to_string(&file).expect("the log");
    visitors_line(&log);
}

#[test]
fn only_the_chosen_kinds_are_logged() {
    let broker = plainly(
        Setup::new(),
        &format!("log_type error\nlog_type subscribe\n{OPEN}"),
    );
    visit(&broker);
    let log = broker.stop().stderr;
    assert!(log.contains("my/topic"), "{log}");
    assert!(!log.contains("New client connected"), "{log}");
}

/// The system's log, where the machine has none of its own.
struct SystemLog(UnixDatagram);

impl SystemLog {
    const PATH: &str = "/dev/log";

    fn open() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() || Path::new(Self::PATH).exists() {
            return None;
        }
        let socket = UnixDatagram::bind(Self::PATH).expect("a socket");
        socket.set_read_timeout(Some(TIMEOUT)).expect("an option");
        Some(Self(socket))
    }

    /// The next line of a process.
    fn line_of(&self, pid: i32) -> String {
        let mut buffer = [0; 4096];
        loop {
            let count = self.0.recv(&mut buffer).expect("a line");
            let line = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if line.contains(&format!("[{pid}]: ")) {
                return line;
            }
        }
    }
}

impl Drop for SystemLog {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Self::PATH);
    }
}

#[test]
fn the_facility_of_the_systems_log() {
    let Some(log) = SystemLog::open() else {
        return;
    };
    let broker = Broker::start(
        "listener {port}\nallow_anonymous true\nlog_dest syslog\nlog_dest stderr\nlog_facility 3\n",
    );
    // Facility local3 is 19, information is 6.
    let line = log.line_of(broker.process().pid());
    assert!(line.starts_with("<158>"), "{line}");
}
