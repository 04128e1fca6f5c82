//! `mount_point`, seen by Mosquitto's clients below it and by one beside it.

use crate::common::Program;
use crate::common::broker::{Broker, Setup, free_port};
use crate::common::clients::{Subscriber, at};
use crate::common::oracle_differs;
use crate::common::peers::Peer;
use crate::common::process::run;
use crate::common::raw::{Connect, Raw, packet, publish, text};
use nix::sys::signal::Signal;

/// A broker whose first listener has the mount point `site/` and these rules,
/// and the port of its second one.
fn broker(rules: &str) -> (Broker, u16) {
    let (setup, plain) = (Setup::new(), free_port());
    setup.write("acl", rules);
    // The port that is waited for is opened last.
    let conf = format!(
        "per_listener_settings true\nlistener {plain}\nallow_anonymous true\n\
         listener {{port}}\nallow_anonymous true\nmount_point site/\nacl_file {{dir}}/acl\n"
    );
    (setup.start(&conf), plain)
}

fn subscribe(broker: &Broker, args: &[&str]) -> Subscriber {
    Subscriber::with(Program::Sub.mosquitto(), broker, args)
}

fn publish_below(broker: &Broker, args: &[&str]) {
    let mut program = Program::Pub.mosquitto();
    run(at(&mut program, broker.port).args(args)).expect_code(0);
}

fn watcher(port: u16) -> Raw {
    let (mut watcher, _) = Raw::client(port, &Connect::new("watcher"));
    watcher.subscribe("#", 0);
    watcher
}

/// Mosquitto 2.0.11 forgets to take the mount point off.
fn can_play(check: &str) -> bool {
    !oracle_differs("Mosquitto 2.0.11 delivers topics with the mount point")
        && Peer::MosquittoClients.present_for(check)
}

#[test]
fn clients_see_topics_below_the_mount_point_only() {
    if !can_play("a mount point with mosquitto's clients") {
        return;
    }
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let (broker, plain) = broker("topic readwrite #\n");
        let mut outside = watcher(plain);
        let sub = subscribe(&broker, &["-V", version, "-v", "-t", "#", "-R"]);
        publish_below(&broker, &["-V", version, "-q", "2", "-t", "t", "-m", "in"]);
        sub.expect("t in");
        outside.expect(&publish("site/t", "in", false));
        for topic in ["elsewhere/t", "t", "site"] {
            outside.send(&publish(topic, "not seen", false));
            outside.expect(&publish(topic, "not seen", false));
        }
        outside.send(&publish("site/a/b", "seen", false));
        sub.expect("a/b seen");
        publish_below(&broker, &["-V", version, "-r", "-t", "lamp", "-m", "on"]);
        sub.expect("lamp on");
        let second = subscribe(&broker, &["-V", version, "-v", "-t", "lamp/#"]);
        second.expect("lamp on");
    }
}

#[test]
fn groups_and_wills_and_sessions_have_it_too() {
    if !can_play("a mount point with groups, wills and sessions") {
        return;
    }
    let (broker, plain) = broker("topic readwrite #\n");
    let mut outside = watcher(plain);
    let member = subscribe(&broker, &["-V", "mqttv5", "-v", "-t", "$share/g/t/+"]);
    outside.send(&publish("site/t/1", "x", false));
    member.expect("t/1 x");
    outside.expect(&publish("site/t/1", "x", false));

    let will = ["--will-topic", "will", "--will-payload", "gone"];
    let victim = subscribe(&broker, &[&["-t", "a"], &will[..]].concat());
    victim.process.send(Signal::SIGKILL);
    outside.expect(&publish("site/will", "gone", false));

    let keep = ["-c", "-i", "keeper", "-q", "1", "-v", "-t", "s"];
    let sub = subscribe(&broker, &[&keep[..], &["-C", "1"]].concat());
    publish_below(&broker, &["-q", "1", "-t", "s", "-m", "first"]);
    sub.finish().expect_code(0);
    publish_below(&broker, &["-q", "1", "-t", "s", "-m", "second"]);
    let sub = subscribe(&broker, &[&keep[..], &["-C", "1"]].concat());
    assert_eq!(sub.finish().expect_code(0).stdout, "s second\n");
}

#[test]
fn rights_are_asked_for_the_whole_topic() {
    let (broker, plain) = broker("topic write site/full\ntopic write part\n");
    let mut outside = watcher(plain);
    let (mut below, _) = Raw::client(broker.port, &Connect::new("below"));
    below.send(&publish("part", "x", false));
    below.send(&publish("full", "x", false));
    outside.expect(&publish("site/full", "x", false));
}

#[test]
fn the_whole_topic_must_fit_a_packet() {
    if oracle_differs("Mosquitto has no such limit") {
        return;
    }
    let (broker, _) = broker("topic readwrite #\n");
    let (mut below, _) = Raw::client(broker.port, &Connect::new("below"));
    let filter = "x".repeat(65_531);
    below.send(&packet(0x82, &[&[0, 1], &text(&filter), &[0]]));
    below.expect_end();
}
