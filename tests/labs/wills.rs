//! The will: what the broker publishes for a client that vanished.

use crate::common::broker::Broker;
use crate::common::clients::{Subscriber, publish};
use crate::common::oracle_differs;
use crate::common::process::Finished;
use crate::common::raw::{Connect, Raw};
use nix::sys::signal::Signal;

/// The line of the course.
const LAB: [&str; 10] = [
    "-t",
    "some/topic",
    "-q",
    "1",
    "--will-topic",
    "testament/topic",
    "--will-payload",
    "Client unexpectedly disconnected",
    "--will-qos",
    "1",
];
const WILL: &str = "1 testament/topic Client unexpectedly disconnected";

fn heir(broker: &Broker) -> Subscriber {
    let args = ["-q", "2", "-t", "testament/#", "-F", "%q %t %p"];
    Subscriber::start(broker, &args)
}

/// The heir must not have got the will before this.
fn expect_no_will(broker: &Broker, heir: &Subscriber) {
    publish(broker, &["-q", "1", "-t", "testament/none", "-m", "ok"]);
    heir.expect("1 testament/none ok");
}

/// Ends the lab's client with a signal; returns its DISCONNECTs and its end.
fn end_by(signal: Signal, broker: &Broker, more: &[&str]) -> (Vec<Vec<u8>>, Finished) {
    let Subscriber { process, tap } = Subscriber::start(broker, &[&LAB[..], more].concat());
    process.send(signal);
    let done = process.finish();
    (tap.goodbyes(), done)
}

#[test]
fn ctrl_c_publishes_the_will() {
    if oracle_differs("mosquitto_sub sends DISCONNECT on Ctrl+C, so no will") {
        return;
    }
    let broker = Broker::open();
    let heir = heir(&broker);
    let (mut terminal, tap) = Subscriber::on_terminal(&broker, &LAB);
    terminal.press("\x03");
    heir.expect(WILL);
    assert_eq!(tap.goodbyes(), [] as [Vec<u8>; 0]);
    terminal.process.finish();
}

#[test]
fn each_ending_signal_publishes_the_will() {
    if oracle_differs("mosquitto_sub sends DISCONNECT on SIGINT and SIGTERM, so no will") {
        return;
    }
    let broker = Broker::open();
    let heir = heir(&broker);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (goodbyes, _) = end_by(signal, &broker, &[]);
        heir.expect(WILL);
        assert_eq!(goodbyes, [] as [Vec<u8>; 0], "{signal}");
    }
}

#[test]
fn each_ending_signal_publishes_the_will_in_mqtt_5() {
    if oracle_differs("mosquitto_sub sends DISCONNECT without reason on SIGINT") {
        return;
    }
    let broker = Broker::open();
    let heir = heir(&broker);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (goodbyes, _) = end_by(signal, &broker, &["-V", "mqttv5"]);
        heir.expect(WILL);
        // Either without a word or with reason 0x04, 'disconnect with will'.
        for goodbye in goodbyes {
            assert_eq!((goodbye[0], goodbye[2]), (0xe0, 0x04), "{signal}");
        }
    }
}

#[test]
fn a_client_without_a_will_says_goodbye_on_ctrl_c() {
    let broker = Broker::open();
    let Subscriber { process, tap } = Subscriber::start(&broker, &["-t", "some/topic"]);
    process.send(Signal::SIGINT);
    process.finish();
    assert_eq!(tap.goodbyes(), [[0xe0, 0]]);
}

#[test]
fn closing_the_terminal_publishes_the_will() {
    let broker = Broker::open();
    let heir = heir(&broker);
    let (terminal, _tap) = Subscriber::on_terminal(&broker, &LAB);
    let process = terminal.close();
    heir.expect(WILL);
    process.finish();
}

#[test]
fn killing_the_client_publishes_the_will() {
    let broker = Broker::open();
    let heir = heir(&broker);
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        end_by(Signal::SIGKILL, &broker, &["-V", version]);
        heir.expect(WILL);
    }
}

#[test]
fn a_normal_end_publishes_no_will() {
    let broker = Broker::open();
    let heir = heir(&broker);
    let sub = Subscriber::start(&broker, &[&LAB[..], &["-C", "1"]].concat());
    publish(&broker, &["-t", "some/topic", "-m", "last"]);
    let Subscriber { process, tap } = sub;
    assert_eq!(process.finish().expect_code(0).stdout, "last\n");
    assert_eq!(tap.goodbyes(), [[0xe0, 0]]);
    expect_no_will(&broker, &heir);
}

#[test]
fn the_end_of_the_waiting_time_publishes_no_will() {
    let broker = Broker::open();
    let heir = heir(&broker);
    let Subscriber { process, tap } =
        Subscriber::start(&broker, &[&LAB[..], &["-W", "1"]].concat());
    let done = process.finish().expect_code(27);
    assert_eq!(done.stderr, "Timed out\n");
    assert_eq!(tap.goodbyes(), [[0xe0, 0]]);
    expect_no_will(&broker, &heir);
}

#[test]
fn a_publisher_that_ends_normally_publishes_no_will() {
    let broker = Broker::open();
    let heir = heir(&broker);
    let will = ["--will-topic", "testament/pub", "--will-payload", "dead"];
    publish(
        &broker,
        &[&["-q", "1", "-t", "a", "-m", "x"], &will[..]].concat(),
    );
    expect_no_will(&broker, &heir);
}

#[test]
fn a_retained_will_stays() {
    let broker = Broker::open();
    let heir = heir(&broker);
    end_by(Signal::SIGKILL, &broker, &["--will-retain"]);
    heir.expect(WILL);
    let late = Subscriber::start(&broker, &["-t", "testament/#", "-F", "%r %p"]);
    late.expect("1 Client unexpectedly disconnected");
}

#[test]
fn a_protocol_error_publishes_the_will() {
    let broker = Broker::open();
    let heir = heir(&broker);
    let connect = Connect {
        will: Some((
            "testament/topic",
            "Client unexpectedly disconnected",
            1,
            false,
        )),
        ..Connect::new("wrong")
    };
    let (mut client, _) = Raw::client(broker.port, &connect);
    client.send(&[0x00, 0]); // packet type 0 does not exist
    client.expect_end();
    heir.expect(WILL);
}
