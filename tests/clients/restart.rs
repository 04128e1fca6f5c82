//! Lines of QoS 2 while the broker ends and starts anew, again and again, and
//! broker, publisher and subscriber keep their sessions.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::common::broker::Setup;
use crate::common::clients::at;
use crate::common::peers::program_for;
use crate::common::process::{Process, run};
use crate::common::{Program, oracle_differs};

const LINES: usize = 3000;
const RESTARTS: usize = 3;

const KEEPS_SESSIONS: &str = "listener {port}\nallow_anonymous true\nmax_queued_messages 0\n\
                              persistence true\npersistence_location {dir}/\n";

/// Waits until all lines are there, and returns those that came more than once.
fn repeated_lines(end: Signal, start: impl Fn(&Setup) -> Command) -> Vec<String> {
    let setup = Setup::new();
    let command = start(&setup);
    let mut broker = setup.start_command(command);
    let port = broker.port;
    let session = ["-t", "lines", "-q", "2", "-c", "-i", "reader"];
    let subscriber = || {
        let mut command = Program::Sub.command();
        at(&mut command, port).args(session);
        command
    };
    run(subscriber().arg("-E")).expect_code(0);
    let reader = Process::spawn(&mut subscriber());
    let mut publisher = Program::Pub.command();
    at(&mut publisher, port).args(["-t", "lines", "-q", "2", "-c", "-i", "writer", "-l"]);
    let mut publisher = Process::spawn(&mut publisher);

    let all: Vec<_> = (0..LINES)
        .map(|number| format!("line {number}\n"))
        .collect();
    let size = LINES / RESTARTS;
    for part in all.chunks(size) {
        publisher.write(&part.concat());
        // The rest of the part is on its way.
        reader.stdout.wait_for(&part[size / 10]);
        broker.process().send(end);
        broker.process().wait_end();
        let setup = broker.kill();
        let command = start(&setup);
        broker = setup.start_command(command);
    }
    publisher.finish().expect_code(0);
    let times = |text: &str, line: &str| text.matches(line).count();
    reader.stdout.wait_until(|text| {
        text.lines().count() >= LINES && all.iter().all(|line| times(text, line) > 0)
    });
    reader.send(Signal::SIGINT);
    let printed = reader.finish().expect_code(0).stdout;
    all.into_iter()
        .filter(|line| times(&printed, line) > 1)
        .collect()
}

#[test]
fn lines_come_once_over_a_broker_that_is_killed() {
    if oracle_differs("mosquitto_pub -l doesn't connect again") {
        return;
    }
    let start = |setup: &Setup| setup.quiet_command(KEEPS_SESSIONS);
    assert_eq!(repeated_lines(Signal::SIGKILL, start), [""; 0]);
}

/// Mosquitto saves its sessions when it is asked to end. It forgets which
/// messages it has released already, and sends those again.
#[test]
fn no_line_is_lost_over_a_restart_of_mosquitto() {
    if oracle_differs("mosquitto_pub -l doesn't connect again")
        || program_for("mosquitto", "lines over a restart of Mosquitto").is_none()
    {
        return;
    }
    repeated_lines(Signal::SIGTERM, |setup| {
        let root = nix::unistd::geteuid().is_root();
        let user = if root { "user root\n" } else { "" };
        let conf = setup.write("mosquitto.conf", &format!("{user}{KEEPS_SESSIONS}"));
        let mut command = Program::Broker.mosquitto();
        command.arg("-c").arg(conf);
        command
    });
}
