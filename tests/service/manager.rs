//! systemd, played by the test: what the broker tells it, and sockets that it
//! opened.

use crate::common::broker::{OPEN, Setup, wait_for_file};
use crate::common::peers::program_for;
use crate::common::process::{Process, run};
use crate::common::raw::{Connect, Raw};
use crate::common::{Program, TIMEOUT, oracle_differs};
use nix::sys::signal::Signal;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

/// The socket at which a service tells how it is.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(TIMEOUT)).expect("an option");
        Self(socket)
    }

    /// Reads messages until one has a line that begins so, and gives it whole.
    fn wait_for(&self, line: &str) -> String {
        let mut seen = Vec::new();
        loop {
            let mut buffer = [0; 1024];
            let length = self.0.recv(&mut buffer);
            let length = length.unwrap_or_else(|error| panic!("no {line}: {error}; {seen:?}"));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.lines().any(|told| told.starts_with(line)) {
                return message;
            }
            seen.push(message);
        }
    }
}

#[test]
fn the_manager_is_told_how_the_broker_is() {
    if oracle_differs("Debian's mosquitto tells READY alone") {
        return;
    }
    let setup = Setup::new();
    let path = setup.path("notify");
    let manager = Manager::at(&path);
    let mut command = setup.command(OPEN);
    command.env("NOTIFY_SOCKET", &path);
    command.env("WATCHDOG_USEC", "1000000");
    let broker = setup.start_command(command);
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    let clients: Vec<_> = ["one", "two"]
        .iter()
        .map(|id| Raw::client(broker.port, &Connect::new(id)))
        .collect();
    manager.wait_for("STATUS=2 clients connected");
    drop(clients);
    manager.wait_for("STATUS=0 clients connected");
    broker.process().send(Signal::SIGHUP);
    let reloading = manager.wait_for("RELOADING=1");
    let time = reloading
        .lines()
        .find_map(|l| l.strip_prefix("MONOTONIC_USEC="));
    let time = time.and_then(|time| time.parse::<u64>().ok());
    assert!(time.is_some_and(|time| time > 0), "{reloading}");
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    broker.process().send(Signal::SIGTERM);
    manager.wait_for("STOPPING=1");
    broker.stop().expect_code(0);
}

/// Starts the broker as systemd does: with a socket as descriptor 3.
fn activated(setup: &Setup, socket: TcpListener, conf: &str) -> Process {
    let command = setup.command(conf);
    let mut shell = Command::new("sh");
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 0</dev/null";
    shell.args(["-c", script, "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    let descriptor = OwnedFd::from(socket);
    let child = shell
        .stdin(Stdio::from(descriptor))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting the broker");
    Process::adopt(child, "the activated broker".into())
}

#[test]
fn a_socket_that_the_manager_opened_is_served() {
    if oracle_differs("Debian's mosquitto is built without") {
        return;
    }
    let setup = Setup::new();
    let port = setup.port();
    let socket = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    // Who connects before the broker runs waits.
    let mut early = Raw::open(port);
    let broker = activated(&setup, socket, OPEN);
    early.send(&Connect::new("early").bytes());
    early.expect(&[0x20, 2, 0, 0]);
    broker.send(Signal::SIGTERM);
    broker.finish().expect_code(0);
}

#[test]
fn a_socket_that_no_listener_means_is_left_out_with_a_warning() {
    if oracle_differs("Debian's mosquitto is built without") {
        return;
    }
    let (setup, other) = (Setup::new(), Setup::new().port());
    let socket = TcpListener::bind(("127.0.0.1", other)).expect("the port");
    let broker = activated(&setup, socket, OPEN);
    let told = format!("write `listener {other}`.");
    broker.stderr.wait_for(&told);
    broker.stderr.wait_for("moustique is running");
    Raw::client(setup.port(), &Connect::new("visitor"));
}

#[test]
fn the_unit_file_makes_sense_to_systemd() {
    let Some(analyze) = program_for("systemd-analyze", "verifying the unit file") else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = wait_for_file(&root.join("contrib/moustique.service"));
    let program = Program::Broker.command();
    let program = program.get_args().last().expect("a program").to_owned();
    let program = program.to_str().expect("a printable path");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("moustique.service");
    std::fs::write(&path, unit.replace("/usr/bin/mqtt-broker", program)).expect("the unit");
    let done = run(Command::new(analyze)
        .args(["verify", "--man=no"])
        .arg(&path));
    let done = done.expect_code(0);
    assert!(!done.stderr.contains("moustique.service"), "{done}");
}
