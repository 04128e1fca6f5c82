//! The ACL lab: who may read and who may write.

use crate::common::broker::{Broker, Setup};
use crate::common::clients::{Subscriber, publish, same_as_mosquitto};
use crate::common::process::run;
use crate::common::raw::{Connect, Raw, packet, publish_qos, text};
use crate::common::{Program, oracle_differs};

const PLAIN: &str = "myRasp/groundfloor/livingroom/temperature";
/// As the course prints it.
const BLANKS: &str = "myRasp / groundfloor / livingroom / temperature";

/// The broker of the lab: user1 may read the topic, user2 may write it; all
/// may use `end`, by which the tests know that nothing came before it.
fn lab(topic: &str) -> Broker {
    let setup = Setup::new();
    let passwords = setup.path("passwords");
    let file = passwords.to_str().expect("a printable path");
    for (flags, user) in [("-cb", "user1"), ("-b", "user2"), ("-b", "user3")] {
        let flags: &[&str] = if flags == "-cb" {
            &["-c", "-b"]
        } else {
            &["-b"]
        };
        let args = [flags, &[file, user, "secret"]].concat();
        run(Program::Passwd.command().args(args)).expect_code(0);
    }
    setup.write(
        "acl",
        &format!(
            "# the lab\n\
             user user1\ntopic read {topic}\n\n\
             user user2\ntopic write {topic}\n\n\
             pattern readwrite end\n"
        ),
    );
    setup.start(
        "listener {port}\nallow_anonymous false\n\
         password_file {dir}/passwords\nacl_file {dir}/acl\n",
    )
}

fn reader(broker: &Broker, user: &str, topic: &str) -> Subscriber {
    let args = ["-u", user, "-P", "secret", "-t", topic, "-t", "end"];
    Subscriber::start(broker, &[&args[..], &["-q", "1"]].concat())
}

/// Publishes with QoS 1; also a denied message is acknowledged.
fn write(broker: &Broker, user: &str, topic: &str, text: &str) {
    let args = [
        "-u", user, "-P", "secret", "-q", "1", "-t", topic, "-m", text,
    ];
    publish(broker, &args);
}

fn play_lab(topic: &str) {
    let broker = lab(topic);
    let may_read = reader(&broker, "user1", topic);
    let may_write = reader(&broker, "user2", topic);
    let may_nothing = reader(&broker, "user3", topic);
    let everything = reader(&broker, "user1", "#");
    write(&broker, "user1", topic, "forbidden");
    write(&broker, "user3", topic, "forbidden");
    write(&broker, "user2", "other/topic", "forbidden");
    write(&broker, "user2", topic, "21.5");
    write(&broker, "user3", "end", "end");
    may_read.expect("21.5");
    may_read.expect("end");
    may_write.expect("end");
    may_nothing.expect("end");
    everything.expect("21.5");
    everything.expect("end");
}

#[test]
fn one_user_reads_and_the_other_writes() {
    play_lab(PLAIN);
}

#[test]
fn blanks_around_the_slashes_belong_to_the_topic() {
    play_lab(BLANKS);
}

/// Mosquitto takes the blanks literally and denies everything to clients that
/// write the topic without them; ours warns and allows both spellings.
#[test]
fn a_rule_with_blanks_serves_clients_that_write_none() {
    if oracle_differs("a rule with blanks is for a topic with blanks only") {
        return;
    }
    let broker = lab(BLANKS);
    let sub = reader(&broker, "user1", "#");
    write(&broker, "user2", PLAIN, "21.5");
    write(&broker, "user2", "myRasp/groundfloor", "forbidden");
    write(&broker, "user2", BLANKS, "22");
    sub.expect("21.5");
    sub.expect("22");
    // The line is named.
    broker.process().stderr.wait_for("acl:3");
}

#[test]
fn a_denied_publish_is_acknowledged_and_dropped_in_mqtt_311() {
    let broker = lab(PLAIN);
    let sub = reader(&broker, "user1", PLAIN);
    let connect = Connect {
        user: Some("user1"),
        password: Some("secret"),
        ..Connect::new("denied")
    };
    let (mut client, _) = Raw::client(broker.port, &connect);
    client.send(&publish_qos(PLAIN, "forbidden", 1, 7));
    client.expect(&[0x40, 2, 0, 7]);
    client.send(&publish_qos(PLAIN, "forbidden", 2, 8));
    client.expect(&[0x50, 2, 0, 8]);
    client.send(&[0x62, 2, 0, 8]);
    client.expect(&[0x70, 2, 0, 8]);
    write(&broker, "user2", PLAIN, "allowed");
    sub.expect("allowed");
}

#[test]
fn a_denied_publish_is_told_so_in_mqtt_5() {
    let broker = lab(PLAIN);
    let connect = Connect {
        version: 5,
        user: Some("user1"),
        password: Some("secret"),
        ..Connect::new("denied")
    };
    let (mut client, _) = Raw::client(broker.port, &connect);
    let topic = text(PLAIN);
    client.send(&packet(0x32, &[&topic, &[0, 7, 0], b"forbidden"]));
    let answer = client.packet();
    assert_eq!(answer[0], 0x40);
    assert_eq!(answer[2..5], [0, 7, 0x87], "not authorised");
    client.send(&packet(0x34, &[&topic, &[0, 8, 0], b"forbidden"]));
    let answer = client.packet();
    assert_eq!(answer[0], 0x50);
    assert_eq!(answer[2..5], [0, 8, 0x87], "not authorised");
}

#[test]
fn the_publisher_shows_a_denial_as_mosquittos() {
    let broker = lab(PLAIN);
    let port = broker.port.to_string();
    let place = [
        "-h",
        "localhost",
        "-p",
        &port,
        "-u",
        "user1",
        "-P",
        "secret",
    ];
    for version in ["mqttv311", "mqttv5"] {
        let args = ["-V", version, "-q", "1", "-t", PLAIN, "-m", "x"];
        same_as_mosquitto(Program::Pub, &[&place[..], &args].concat());
    }
}

#[test]
fn patterns_stand_for_the_user_and_the_client() {
    let setup = Setup::new();
    setup.write(
        "acl",
        "topic read #\npattern write clients/%c/#\npattern write users/%u/#\n",
    );
    let broker = setup.start("listener {port}\nallow_anonymous true\nacl_file {dir}/acl\n");
    let sub = Subscriber::start(&broker, &["-v", "-t", "#"]);
    for topic in ["clients/other/a", "users/other/a", "clients/me/a"] {
        publish(&broker, &["-i", "me", "-q", "1", "-t", topic, "-m", "x"]);
    }
    sub.expect("clients/me/a x");
}
