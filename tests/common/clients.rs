//! The publishing and subscribing programs, as the tests use them.

use super::Program;
use super::broker::Broker;
use super::output::Output;
use super::peers::Peer;
use super::process::{Finished, Process, run};
use super::tap::{From, Tap};
use super::terminal::Terminal;
use nix::sys::signal::Signal;
use std::process::Command;

/// A subscribing program that is known to have subscribed.
pub(crate) struct Subscriber {
    pub(crate) process: Process,
    pub(crate) tap: Tap,
}

impl Subscriber {
    /// Starts our subscriber and waits until the broker has granted.
    pub(crate) fn start(broker: &Broker, args: &[&str]) -> Self {
        Self::with(Program::Sub.command(), broker, args)
    }

    pub(crate) fn with(mut program: Command, broker: &Broker, args: &[&str]) -> Self {
        let tap = Tap::before(broker.port);
        at(&mut program, tap.port).args(args);
        let process = Process::spawn(&mut program);
        Self { process, tap }.subscribed()
    }

    /// The same on a terminal of its own.
    pub(crate) fn on_terminal(broker: &Broker, args: &[&str]) -> (Terminal, Tap) {
        let tap = Tap::before(broker.port);
        let mut program = Program::Sub.command();
        at(&mut program, tap.port).args(args);
        let terminal = Terminal::keyboard_only(&program);
        tap.wait_for(From::Broker, 9);
        (terminal, tap)
    }

    fn subscribed(self) -> Self {
        self.tap.wait_for(From::Broker, 9);
        self
    }

    fn stdout(&self) -> &Output {
        &self.process.stdout
    }

    /// The next line on standard output must be this one.
    #[track_caller]
    pub(crate) fn expect(&self, line: &str) {
        let got = self.stdout().line();
        assert!(got == line, "expected {line:?}, got {got:?}");
    }

    /// Reads lines until this one comes.
    pub(crate) fn wait_for_line(&self, line: &str) {
        while self.stdout().line() != line {}
    }

    /// Ends it as Ctrl+C does.
    pub(crate) fn interrupt(self) -> Finished {
        self.process.send(Signal::SIGINT);
        self.process.finish()
    }

    /// Waits for its own end.
    pub(crate) fn finish(self) -> Finished {
        self.process.finish()
    }
}

/// Adds host and port.
pub(crate) fn at(command: &mut Command, port: u16) -> &mut Command {
    command.args(["-h", "localhost", "-p", &port.to_string()])
}

/// Runs our publisher.
pub(crate) fn run_pub(broker: &Broker, args: &[&str]) -> Finished {
    run(at(&mut Program::Pub.command(), broker.port).args(args))
}

/// Publishes with our publisher, which must succeed and say nothing.
#[track_caller]
pub(crate) fn publish(broker: &Broker, args: &[&str]) {
    let done = run_pub(broker, args).expect_code(0);
    assert!(done.stdout.is_empty() && done.stderr.is_empty(), "{done}");
}

/// Runs our subscriber to its end.
pub(crate) fn run_sub(broker: &Broker, args: &[&str]) -> Finished {
    run(at(&mut Program::Sub.command(), broker.port).args(args))
}

/// Runs our program and, where it is installed, Mosquitto's with the same
/// arguments: exit code, output and error text must be the same, up to the
/// program's name.
#[track_caller]
pub(crate) fn same_as_mosquitto(program: Program, args: &[&str]) -> Finished {
    let ours = run(program.command().args(args));
    let check = format!("comparing {} {}", program.name(), args.join(" "));
    if !super::oracle() && Peer::MosquittoClients.present_for(&check) {
        let theirs = run(program.mosquitto().args(args));
        let renamed = |text: &str| text.replace(program.mosquitto_name(), program.name());
        assert!(
            ours.code == theirs.code
                && ours.stdout == renamed(&theirs.stdout)
                && ours.stderr == renamed(&theirs.stderr),
            "{ours}\nbut {theirs}"
        );
    }
    ours
}
