//! Brokers with TLS, and clients that use it.

use std::process::Command;

use tempfile::TempDir;

use crate::ca::{Ca, Pair};
use crate::common::Program;
use crate::common::broker::{Broker, Setup};
use crate::common::process::{Finished, Process, run};

/// Whose programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    Ours,
    Mosquitto,
}

impl Make {
    pub(crate) fn command(self, program: Program) -> Command {
        match self {
            Self::Ours => program.command(),
            Self::Mosquitto => program.mosquitto(),
        }
    }

    /// Starts a broker with a listener of these lines on top of TLS.
    pub(crate) fn broker(self, pair: &Pair, lines: &str) -> Broker {
        let conf = format!(
            "listener {{port}}\nallow_anonymous true\n{}{lines}",
            pair.lines()
        );
        let setup = Setup::new();
        let command = match self {
            Self::Ours => setup.command(&conf),
            Self::Mosquitto => {
                let path = setup.write("broker.conf", &format!("user root\n{conf}"));
                let mut command = Program::Broker.mosquitto();
                command.arg("-v").arg("-c").arg(path);
                command
            }
        };
        setup.start_command(command)
    }
}

/// A directory and a CA in it.
pub(crate) struct Stage {
    pub(crate) directory: TempDir,
    pub(crate) ca: Ca,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let ca = Ca::new(directory.path(), "CA");
        Self { directory, ca }
    }

    pub(crate) fn other_ca(&self) -> Ca {
        Ca::new(self.directory.path(), "Other")
    }

    /// The certificate of a good server.
    pub(crate) fn server(&self) -> Pair {
        self.ca.issue(&["localhost", "127.0.0.1"])
    }

    /// The lines that ask clients for certificates of this CA.
    pub(crate) fn required(&self) -> String {
        format!("cafile {}\nrequire_certificate true\n", self.ca.path())
    }
}

/// Runs a publisher against a broker on `localhost`.
pub(crate) fn publish(make: Make, broker: &Broker, args: &[&str]) -> Finished {
    run(make
        .command(Program::Pub)
        .args(["-h", "localhost", "-p", &broker.port.to_string()])
        .args(["-t", "t", "-q", "1", "-m", "hello"])
        .args(args))
}

/// Starts a subscriber and waits until it has subscribed.
pub(crate) fn subscribe(make: Make, broker: &Broker, args: &[&str]) -> Process {
    let granted = |log: &str| log.matches("Sending SUBACK").count();
    let before = granted(&broker.log());
    let subscriber = Process::spawn(
        make.command(Program::Sub)
            .args(["-h", "localhost", "-p", &broker.port.to_string()])
            .args(["-q", "2", "-t", "t"])
            .args(args),
    );
    broker
        .process()
        .stderr
        .wait_until(|log| granted(log) > before);
    subscriber
}
