//! mosquitto_pub and mosquitto_sub.

use crate::common::Program;
use crate::common::broker::Broker;
use crate::common::clients::{Subscriber, at};
use crate::common::peers::Peer;
use crate::common::process::{Finished, run};
use crate::common::tap::From;
use nix::sys::signal::Signal;

/// The broker and a version for its clients.
struct Pair {
    broker: Broker,
    version: &'static str,
}

impl Pair {
    fn subscribe(&self, args: &[&str]) -> Subscriber {
        let args = [&["-V", self.version], args].concat();
        Subscriber::with(Program::Sub.mosquitto(), &self.broker, &args)
    }

    fn publish(&self, args: &[&str]) -> Finished {
        let mut program = Program::Pub.mosquitto();
        at(&mut program, self.broker.port).args(["-V", self.version]);
        run(program.args(args)).expect_code(0)
    }
}

fn each_version(check: &str, play: impl Fn(&Pair)) {
    if Peer::MosquittoClients.present_for(check) {
        for version in ["mqttv31", "mqttv311", "mqttv5"] {
            let broker = Broker::open();
            play(&Pair { broker, version });
        }
    }
}

#[test]
fn qualities_both_ways() {
    each_version("mosquitto_pub and mosquitto_sub with each QoS", |pair| {
        for granted in 0..=2 {
            let qos = granted.to_string();
            let sub = pair.subscribe(&["-q", &qos, "-t", "t", "-F", "%q %p"]);
            for sent in 0..=2 {
                let qos = sent.to_string();
                pair.publish(&["-q", &qos, "-t", "t", "-m", &qos]);
                sub.expect(&format!("{} {sent}", granted.min(sent)));
            }
        }
    });
}

#[test]
fn retained_messages() {
    each_version("mosquitto's clients with retained messages", |pair| {
        pair.publish(&["-q", "1", "-r", "-t", "lamp", "-m", "on"]);
        let first = pair.subscribe(&["-t", "lamp", "-F", "%r %p"]);
        first.expect("1 on");
        pair.publish(&["-q", "1", "-r", "-t", "lamp", "-n"]);
        first.expect("0 ");
        let second = pair.subscribe(&["-t", "lamp", "-F", "%r %p"]);
        pair.publish(&["-q", "1", "-t", "lamp", "-m", "live"]);
        second.expect("0 live");
    });
}

#[test]
fn the_will() {
    each_version("mosquitto's clients with a will", |pair| {
        let heir = pair.subscribe(&["-q", "1", "-t", "will", "-F", "%q %p"]);
        let will = ["--will-topic", "will", "--will-payload", "gone"];
        let victim = [&["-t", "a", "--will-qos", "1"], &will[..]].concat();
        let victim = pair.subscribe(&victim);
        victim.process.send(Signal::SIGKILL);
        heir.expect("1 gone");
    });
}

#[test]
fn persistent_sessions() {
    each_version("mosquitto's clients with persistent sessions", |pair| {
        let keep = ["-c", "-i", "keeper", "-q", "2", "-t", "s"];
        let sub = pair.subscribe(&[&keep[..], &["-C", "1"]].concat());
        pair.publish(&["-q", "1", "-t", "s", "-m", "first"]);
        sub.finish().expect_code(0);
        for number in ["1", "2", "3"] {
            pair.publish(&["-q", "1", "-t", "s", "-m", number]);
        }
        let sub = pair.subscribe(&[&keep[..], &["-C", "3"]].concat());
        let present = sub.tap.wait_for(From::Broker, 2)[2] == 1;
        assert_eq!(present, pair.version != "mqttv31", "3.1 cannot tell");
        assert_eq!(sub.finish().expect_code(0).stdout, "1\n2\n3\n");
    });
}
