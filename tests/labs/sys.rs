//! What the broker tells of itself under `$SYS`.

use crate::common::broker::Broker;
use crate::common::clients::{Subscriber, publish, run_sub};
use crate::common::oracle_differs;
use crate::common::raw::{Connect, Raw};

fn broker() -> Broker {
    Broker::start("sys_interval 1\nlistener {port}\nallow_anonymous true\n")
}

/// The payload of the first message on a topic.
fn figure(broker: &Broker, topic: &str) -> String {
    let done = run_sub(broker, &["-t", topic, "-C", "1"]).expect_code(0);
    done.stdout.trim_end().to_owned()
}

#[test]
fn the_version_names_the_program() {
    if oracle_differs("$SYS/broker/version names moustique") {
        return;
    }
    // No interval to wait for: it must be there from the start.
    let broker = Broker::open();
    let done = run_sub(&broker, &["-v", "-t", "$SYS/broker/version", "-C", "1"]).expect_code(0);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        done.stdout,
        format!("$SYS/broker/version moustique version {version}\n")
    );
}

#[test]
fn the_uptime_is_in_seconds() {
    let text = figure(&broker(), "$SYS/broker/uptime");
    let number = text.strip_suffix(" seconds").unwrap_or("none");
    assert!(number.parse::<u32>().is_ok(), "{text:?}");
}

#[test]
fn connected_clients_are_counted() {
    let broker = broker();
    let one = Raw::client(broker.port, &Connect::new("one"));
    let two = Raw::client(broker.port, &Connect::new("two"));
    let sub = Subscriber::start(&broker, &["-v", "-t", "$SYS/broker/clients/+"]);
    sub.wait_for_line("$SYS/broker/clients/connected 3");
    drop(one);
    drop(two);
    sub.wait_for_line("$SYS/broker/clients/connected 1");
    // The maximum stays.
    assert_eq!(figure(&broker, "$SYS/broker/clients/maximum"), "3");
}

#[test]
fn received_messages_are_counted() {
    let broker = broker();
    let sub = Subscriber::start(&broker, &["-t", "$SYS/broker/messages/received"]);
    for _ in 0..20 {
        publish(&broker, &["-t", "a", "-m", "x"]);
    }
    // Twenty times CONNECT and PUBLISH at the least.
    loop {
        let figure = sub.process.stdout.line();
        if figure.parse::<u64>().expect("a number") >= 40 {
            break;
        }
    }
}

#[test]
fn the_figures_of_the_course_are_there() {
    let broker = broker();
    for topic in [
        "$SYS/broker/clients/connected",
        "$SYS/broker/clients/maximum",
        "$SYS/broker/messages/received",
    ] {
        let text = figure(&broker, topic);
        assert!(text.parse::<u64>().is_ok(), "{topic}: {text:?}");
    }
}
