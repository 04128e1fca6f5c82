//! What travels through mosquitto_pub and mosquitto_sub with `-V 5`.

use crate::common::Program;
use crate::common::broker::Broker;
use crate::common::clients::{Subscriber, at};
use crate::common::peers::Peer;
use crate::common::process::{Finished, run};
use crate::stage::open;

fn subscribe(broker: &Broker, args: &[&str]) -> Subscriber {
    let args = [&["-V", "5"], args].concat();
    Subscriber::with(Program::Sub.mosquitto(), broker, &args)
}

fn publish(broker: &Broker, args: &[&str]) -> Finished {
    let mut program = Program::Pub.mosquitto();
    at(&mut program, broker.port).args(["-V", "5"]);
    run(program.args(args))
}

fn broker() -> Option<Broker> {
    let present = Peer::MosquittoClients.present_for("MQTT 5 with mosquitto_pub and _sub");
    present.then(|| Broker::start(&open("")))
}

#[test]
fn properties_of_a_message() {
    let Some(broker) = broker() else { return };
    let format = "%F|%C|%R|%D|%E|%P|%S|%p";
    let args = [
        "-t",
        "t",
        "-F",
        format,
        "-D",
        "subscribe",
        "subscription-identifier",
        "7",
    ];
    let sub = subscribe(&broker, &args);
    let properties = [
        ["payload-format-indicator", "1"],
        ["content-type", "text/plain"],
        ["response-topic", "answers"],
        ["correlation-data", "question"],
        ["message-expiry-interval", "100"],
    ];
    let mut args = vec!["-t", "t", "-m", "é", "-q", "1"];
    for pair in &properties {
        args.extend(["-D", "publish"]);
        args.extend(pair);
    }
    args.extend(["-D", "publish", "user-property", "k", "v"]);
    publish(&broker, &args).expect_code(0);
    sub.expect("1|text/plain|answers|question|100|k:v|7|é");
}

#[test]
fn topic_aliases_of_a_publisher() {
    let Some(broker) = broker() else { return };
    let sub = subscribe(&broker, &["-t", "t", "-q", "1", "-F", "%t %A %p"]);
    let args = ["-t", "t", "-D", "publish", "topic-alias", "3", "-q", "1"];
    let repeated = ["-m", "x", "--repeat", "2"];
    publish(&broker, &[&args[..], &repeated].concat());
    sub.expect("t  x");
    sub.expect("t  x");
}

#[test]
fn retain_as_published() {
    let Some(broker) = broker() else { return };
    let exact = ["-t", "t", "-F", "%r %p", "--retain-as-published"];
    let exact = subscribe(&broker, &exact);
    let plain = subscribe(&broker, &["-t", "t", "-F", "%r %p"]);
    publish(&broker, &["-t", "t", "-m", "new", "-r", "-q", "1"]);
    exact.expect("1 new");
    plain.expect("0 new");
}

#[test]
fn a_publisher_is_told_that_nobody_listens() {
    let Some(broker) = broker() else { return };
    let done = publish(&broker, &["-d", "-t", "t", "-m", "x", "-q", "1"]);
    assert_eq!(done.code, Some(0));
    assert!(done.stdout.contains("PUBACK (Mid: 1, RC:16)"), "{done}");
}
