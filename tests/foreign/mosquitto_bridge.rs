//! Mosquitto's bridges to our broker.

use crate::common::Program;
use crate::common::broker::{Broker, Setup};
use crate::common::clients::{Subscriber, at};
use crate::common::peers::Peer;
use crate::common::process::run;
use crate::common::tap::{From, Tap};

const SUBACK: u8 = 9;

/// Our broker, and Mosquitto's with a bridge to it.
struct Pair {
    ours: Broker,
    theirs: Broker,
    tap: Tap,
}

impl Pair {
    /// With so many topics that come in; each of them is one SUBSCRIBE.
    fn start(version: &str, topics: &str, incoming: usize) -> Self {
        Self::join(Broker::open(), version, topics, incoming)
    }

    /// The same to a broker that runs already.
    fn join(ours: Broker, version: &str, topics: &str, incoming: usize) -> Self {
        let tap = Tap::before(ours.port);
        let setup = Setup::new();
        let conf = format!(
            "user root\nlistener {{port}} 127.0.0.1\nallow_anonymous true\nconnection edge\n\
             address 127.0.0.1:{}\nremote_clientid edge\nbridge_protocol_version {version}\n\
             {topics}\n",
            tap.port
        );
        let conf = setup.write("mosquitto.conf", &conf);
        let mut command = Program::Broker.mosquitto();
        command.arg("-v").arg("-c").arg(conf);
        let theirs = setup.start_command(command);
        tap.wait_for_nth(From::Broker, SUBACK, incoming - 1);
        Self { ours, theirs, tap }
    }

    /// Who sees the retain flag as it was published.
    fn watch(broker: &Broker, filter: &str) -> Subscriber {
        let args = ["-V", "mqttv5", "--retain-as-published", "-q", "1"];
        let args = [&args[..], &["-t", filter, "-F", "%r %t %p"]].concat();
        Subscriber::with(Program::Sub.mosquitto(), broker, &args)
    }

    fn publish(broker: &Broker, topic: &str, more: &[&str]) {
        let mut program = Program::Pub.mosquitto();
        at(&mut program, broker.port).args(["-q", "1", "-t", topic, "-m", "x"]);
        run(program.args(more)).expect_code(0);
    }
}

fn each_version(check: &str, play: impl Fn(&str)) {
    if Peer::MosquittoClients.present_for(check) && Peer::MosquittoBroker.present_for(check) {
        ["mqttv31", "mqttv311", "mqttv50"]
            .into_iter()
            .for_each(play);
    }
}

#[test]
fn messages_cross_in_their_directions_once_and_as_they_were() {
    each_version("Mosquitto's bridge to our broker", |version| {
        let topics = "topic # out 1 o/ o/\ntopic # in 1 i/ i/\ntopic # both 1 b/ b/";
        let pair = Pair::start(version, topics, 2);
        let (ours, theirs) = (&pair.ours, &pair.theirs);
        let far = Pair::watch(ours, "#");
        let near = Pair::watch(theirs, "#");
        let both = |line: &str| {
            near.expect(line);
            far.expect(line);
        };
        Pair::publish(theirs, "b/kept", &["-r"]);
        both("1 b/kept x");
        Pair::publish(ours, "b/kept", &["-r"]);
        both("1 b/kept x");
        Pair::publish(theirs, "o/live", &[]);
        both("0 o/live x");
        Pair::publish(ours, "i/live", &[]);
        both("0 i/live x");
        // What goes the wrong way, or comes back, would come before the end.
        Pair::publish(theirs, "i/wrong", &[]);
        near.expect("0 i/wrong x");
        Pair::publish(ours, "o/wrong", &[]);
        far.expect("0 o/wrong x");
        Pair::publish(ours, "b/end", &[]);
        both("0 b/end x");
        Pair::publish(theirs, "b/end", &[]);
        both("0 b/end x");
    });
}

#[test]
fn what_is_retained_comes_with_its_flag_when_a_bridge_subscribes() {
    each_version("Mosquitto's bridge with retained messages", |version| {
        let ours = Broker::open();
        Pair::publish(&ours, "t", &["-r"]);
        let pair = Pair::join(ours, version, "topic t in 1", 1);
        let near = Pair::watch(&pair.theirs, "t");
        near.expect("1 t x");
    });
}

#[test]
fn the_state_of_a_bridge_is_told_here_and_its_will_too() {
    each_version("Mosquitto's bridge and its state", |version| {
        let pair = Pair::start(version, "topic t in", 1);
        let state = "$SYS/broker/connection/edge/state";
        let watcher = Pair::watch(&pair.ours, "$SYS/broker/connection/#");
        watcher.expect(&format!("1 {state} 1"));
        drop(pair.theirs.kill());
        watcher.expect(&format!("1 {state} 0"));
        Pair::watch(&pair.ours, state).expect(&format!("1 {state} 0"));
        drop(pair.tap);
    });
}
