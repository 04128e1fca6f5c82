//! Starting, ending and running in the background.

use crate::common::broker::{Broker, OPEN, Setup, wait_for_file};
use crate::common::process::run;
use crate::common::raw::{Connect, Raw};
use crate::common::{Program, TIMEOUT};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn the_signals_to_end_it_end_it_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let broker = Broker::open();
        let (mut client, _) = Raw::client(broker.port, &Connect::new("connected"));
        broker.process().send(signal);
        client.expect_end();
        broker.stop().expect_code(0);
    }
}

#[test]
fn a_client_of_mqtt_5_is_told_that_the_broker_ends() {
    let broker = Broker::open();
    let connect = Connect {
        version: 5,
        ..Connect::new("connected")
    };
    let (mut client, _) = Raw::client(broker.port, &connect);
    broker.process().send(Signal::SIGTERM);
    if let Some(farewell) = client.packet_or_end(TIMEOUT).expect("an end") {
        assert_eq!((farewell[0], farewell[2]), (0xe0, 0x8b), "{farewell:02x?}");
        client.expect_end();
    }
    broker.stop().expect_code(0);
}

#[test]
fn it_can_be_started_again_at_once_on_the_same_port() {
    let setup = Setup::new();
    let port = setup.port();
    let broker = setup.start(OPEN);
    let _client = Raw::client(port, &Connect::new("connected"));
    broker.stop().expect_code(0);
    let again = Setup::at(port).start(OPEN);
    Raw::client(again.port, &Connect::new("connected"));
}

#[test]
fn a_port_in_use_ends_it_with_1_and_a_clear_message() {
    let broker = Broker::open();
    let second = Setup::at(broker.port);
    let done = run(&mut second.command(OPEN)).expect_code(1);
    assert!(done.stderr.contains("Address already in use"), "{done}");
    assert!(done.stderr.contains(&broker.port.to_string()), "{done}");
}

/// The pid of a program that is no child of the test's; dropping it ends it.
struct Background(Pid);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

#[test]
fn in_the_background_it_leaves_its_number_in_the_pid_file() {
    let setup = Setup::new();
    let port = setup.port();
    let pid_file = setup.path("broker.pid");
    let mut command = setup.command(&format!("pid_file {{dir}}/broker.pid\n{OPEN}"));
    run(command.arg("-d")).expect_code(0);
    let text = wait_for_file(&pid_file);
    let pid = text.trim().parse().expect("a number");
    let background = Background(Pid::from_raw(pid));
    wait_until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    Raw::client(port, &Connect::new("visitor"));
    kill(background.0, Signal::SIGTERM).expect("the background process");
    wait_until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    wait_until(|| !pid_file.exists());
    std::mem::forget(background); // it has ended, its number may be another's
}

#[test]
fn it_starts_without_any_configured_user() {
    // As root it gives up its rights where it can; it must work either way.
    let setup = Setup::new();
    let mut command = Program::Broker.command();
    command.args(["-p", &setup.port().to_string()]);
    let broker = setup.start_command(command);
    Raw::client(broker.port, &Connect::new("visitor"));
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain");
        thread::sleep(Duration::from_millis(5)); // between two looks
    }
}
