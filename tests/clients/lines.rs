//! Standard input and standard output.

use std::fmt::Write as _;

use crate::common::broker::Broker;
use crate::common::clients::{Subscriber, at};
use crate::common::process::Process;
use crate::common::{Program, oracle_differs};

#[test]
fn ten_thousand_lines_at_qos_1_all_arrive_in_order() {
    if oracle_differs("mosquitto_pub -l loses lines") {
        return;
    }
    let broker = Broker::start("listener {port}\nallow_anonymous true\nmax_queued_messages 0\n");
    let subscriber = Subscriber::start(&broker, &["-t", "lines", "-q", "1", "-C", "10000"]);
    let mut lines = String::new();
    for number in 1..=10_000 {
        writeln!(lines, "line {number}").expect("memory");
    }
    let mut publisher = Program::Pub.command();
    at(&mut publisher, broker.port).args(["-t", "lines", "-q", "1", "-l"]);
    let mut publisher = Process::spawn(&mut publisher);
    publisher.write(&lines);
    publisher.finish().expect_code(0);
    let done = subscriber.finish().expect_code(0);
    assert!(done.stdout == lines, "lines are missing or out of order");
}

#[test]
fn a_line_that_comes_alone_leaves_at_once() {
    if oracle_differs("mosquitto_sub holds back what goes into a pipe") {
        return;
    }
    let broker = Broker::open();
    let subscriber = Subscriber::start(&broker, &["-t", "lines", "-v"]);
    let mut publisher = Program::Pub.command();
    at(&mut publisher, broker.port).args(["-t", "lines", "-l"]);
    let mut publisher = Process::spawn(&mut publisher);
    for line in ["one", "", "three\r"] {
        // Standard input stays open, and yet the line arrives.
        publisher.write(&format!("{line}\n"));
        let shown = if line.is_empty() { "(null)" } else { line };
        subscriber.expect(&format!("lines {shown}"));
    }
    publisher.write("the last one has no end");
    publisher.finish().expect_code(0);
    subscriber.expect("lines the last one has no end");
}

#[test]
fn a_reader_that_goes_away_ends_the_subscriber_quietly() {
    if oracle_differs("SIGPIPE kills mosquitto_sub") {
        return;
    }
    let broker = Broker::open();
    let tap = crate::common::tap::Tap::before(broker.port);
    let mut command = std::process::Command::new("sh");
    let program = Program::Sub.command();
    let words: Vec<_> = std::iter::once(program.get_program())
        .chain(program.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let port = tap.port;
    command.arg("-c").arg(format!(
        "{} -h localhost -p {port} -t t | head -n 1",
        words.join(" ")
    ));
    let pipe = Process::spawn(&mut command);
    tap.wait_for(crate::common::tap::From::Broker, 9);
    let mut publisher = Program::Pub.command();
    at(&mut publisher, broker.port).args(["-t", "t", "-l"]);
    let mut publisher = Process::spawn(&mut publisher);
    publisher.write("one\n");
    assert_eq!(pipe.stdout.line(), "one");
    // Only by writing does it learn that nobody reads any more.
    while !pipe.ended() {
        publisher.write("more\n");
        std::thread::yield_now();
    }
    let done = pipe.finish().expect_code(0);
    assert_eq!(done.stderr, "");
}
