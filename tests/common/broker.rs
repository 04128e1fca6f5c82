//! Brokers on free ports.

use super::process::{Finished, Process};
use super::{Program, TIMEOUT};
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A configuration that lets everybody in.
pub(crate) const OPEN: &str = "listener {port}\nallow_anonymous true\n";

/// A directory for the files of a broker that is yet to start.
pub(crate) struct Setup {
    dir: Arc<TempDir>,
    port: u16,
}

/// A running broker. Its log is shown when a test fails; dropping it kills it.
pub(crate) struct Broker {
    pub(crate) port: u16,
    dir: Arc<TempDir>,
    process: Option<Process>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self::at(free_port())
    }

    /// For a port that the test has chosen.
    pub(crate) fn at(port: u16) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        Self {
            dir: Arc::new(dir),
            port,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, with `{port}` and `{dir}` replaced.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let dir = self.dir.path().to_str().expect("a printable path");
        let text = text
            .replace("{port}", &self.port.to_string())
            .replace("{dir}", dir);
        std::fs::write(&path, text).expect("writing a file of the test");
        path
    }

    /// The broker's program with a configuration file of these lines.
    pub(crate) fn command(&self, conf: &str) -> Command {
        let mut command = self.quiet_command(conf);
        command.arg("-v");
        command
    }

    /// As [`Setup::command`], with the log that the configuration asks for: a
    /// line for each packet would be most of the work under load.
    pub(crate) fn quiet_command(&self, conf: &str) -> Command {
        let path = self.write("broker.conf", &with_user(conf));
        let mut command = Program::Broker.command();
        command.arg("-c").arg(path);
        if let Some(engine) = std::env::var_os("MOUSTIQUE_ENGINE") {
            command.arg("--engine").arg(engine).arg("--engine-lossy");
        }
        command
    }

    /// Starts the broker and waits until it accepts connections.
    pub(crate) fn start(self, conf: &str) -> Broker {
        let command = self.command(conf);
        self.start_command(command)
    }

    /// Starts a broker that listens on the port of this setup.
    pub(crate) fn start_command(self, mut command: Command) -> Broker {
        let broker = Broker {
            port: self.port,
            dir: self.dir,
            process: Some(Process::spawn(&mut command)),
        };
        broker.wait_until_listening();
        broker
    }
}

impl Broker {
    /// A broker for everybody.
    pub(crate) fn open() -> Self {
        Self::start(OPEN)
    }

    /// As [`Broker::start`], logging only what the configuration asks for.
    pub(crate) fn quiet(conf: &str) -> Self {
        let setup = Setup::new();
        let command = setup.quiet_command(conf);
        setup.start_command(command)
    }

    /// A broker with this configuration, `{port}` standing for a free port.
    pub(crate) fn start(conf: &str) -> Self {
        Setup::new().start(conf)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        self.process().stderr.text()
    }

    pub(crate) fn process(&self) -> &Process {
        self.process.as_ref().expect("the broker runs")
    }

    /// Ends the broker as a service manager does.
    pub(crate) fn stop(mut self) -> Finished {
        let process = self.process.take().expect("the broker runs");
        process.send(Signal::SIGTERM);
        process.finish()
    }

    /// Ends the broker with SIGKILL. Another one can be started in its place.
    pub(crate) fn kill(self) -> Setup {
        self.end(Signal::SIGKILL)
    }

    /// As [`Broker::kill`], with a signal that ends it, perhaps after it has
    /// stored what it has.
    pub(crate) fn end(mut self, signal: Signal) -> Setup {
        let process = self.process.take().expect("the broker runs");
        process.send(signal);
        process.wait_end_within(12 * TIMEOUT);
        Setup {
            dir: Arc::clone(&self.dir),
            port: self.port,
        }
    }

    fn wait_until_listening(&self) {
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(!self.process().ended(), "the broker ended at its start");
            assert!(Instant::now() < deadline, "the broker does not listen");
            thread::sleep(Duration::from_millis(5)); // between attempts, not instead of one
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if thread::panicking()
            && let Some(process) = &self.process
        {
            eprintln!("--- log of the broker on port {}:", self.port);
            eprintln!("{}{}---", process.stdout.text(), process.stderr.text());
        }
    }
}

/// Root would give up its rights, and with them the test's files.
fn with_user(conf: &str) -> String {
    if nix::unistd::geteuid().is_root() {
        format!("user root\n{conf}")
    } else {
        conf.to_owned()
    }
}

/// A port that nobody has, on IPv4 and IPv6, outside the range from which the
/// kernel takes the ports of outgoing connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16 % 110;
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (start * 100 + offset) % 12_000;
        if is_free((Ipv6Addr::UNSPECIFIED, port).into())
            && is_free((Ipv4Addr::UNSPECIFIED, port).into())
        {
            return port;
        }
    }
}

/// Binds, but doesn't listen: a program that another thread starts just now has
/// a copy of the socket for a moment, and clients would take it for the broker.
fn is_free(address: SocketAddr) -> bool {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    };
    // A machine without IPv6 has nobody there.
    !matches!(bind(), Err(error) if error.kind() == ErrorKind::AddrInUse)
}

/// Waits until a file exists and holds something.
pub(crate) fn wait_for_file(path: &Path) -> String {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return text,
            _ => assert!(
                Instant::now() < deadline,
                "{} stays empty or absent",
                path.display()
            ),
        }
        thread::sleep(Duration::from_millis(5)); // between attempts
    }
}
