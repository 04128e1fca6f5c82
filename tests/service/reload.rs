//! The configuration read again while clients are connected.

use crate::common::broker::{Broker, Setup};
use crate::common::clients::{Subscriber, at, publish};
use crate::common::peers::Peer;
use crate::common::process::{Process, run};
use crate::common::raw::{Connect, Raw, publish as raw_publish, publish_qos};
use crate::common::{Program, oracle, oracle_differs};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// What the log says when a reload is done, well or badly.
const TAKEN: &str = "The new configuration holds.";
const NOT_TAKEN: &str = "The new configuration is not taken, the old one holds:";

/// Waits for one line more of this text than the log had before `action`.
fn until_told(broker: &Broker, text: &str, action: impl FnOnce()) {
    let before = broker.log().matches(text).count();
    action();
    let more = |log: &str| log.matches(text).count() > before;
    broker.process().stderr.wait_until(more);
}

fn reload(broker: &Broker, outcome: &str) {
    until_told(broker, outcome, || broker.process().send(Signal::SIGHUP));
}

/// Writes the configuration anew, as [`Setup`] wrote it first.
fn rewrite(broker: &Broker, name: &str, text: &str) {
    let dir = broker.path("");
    let dir = dir.to_str().expect("a printable path");
    let text = text
        .replace("{port}", &broker.port.to_string())
        .replace("{dir}", dir.trim_end_matches('/'));
    let user = if name == "broker.conf" && nix::unistd::geteuid().is_root() {
        "user root\n"
    } else {
        ""
    };
    fs::write(broker.path(name), format!("{user}{text}")).expect("writing a file of the test");
}

fn set_password(file: &Path, user: &str, password: &str) {
    let file = file.to_str().expect("a printable path");
    let mut program = Program::Passwd.command();
    if !Path::new(file).exists() {
        program.arg("-c");
    }
    run(program.args(["-b", file, user, password])).expect_code(0);
}

fn client(broker: &Broker, version: u8, id: &str, user: Option<&str>) -> Raw {
    let connect = Connect {
        version,
        user,
        password: user.map(|_| "secret"),
        ..Connect::new(id)
    };
    Raw::client(broker.port, &connect).0
}

fn ping(raw: &mut Raw) {
    raw.send(&[0xc0, 0]);
    raw.expect(&[0xd0, 0]);
}

#[test]
fn under_load_no_message_is_lost_and_no_connection_cut() {
    if !Peer::MosquittoClients.present_for("reload under load") || oracle_differs("log lines") {
        return;
    }
    const ROUNDS: usize = 20;
    const MESSAGES: usize = 500; // a round
    let base = "listener {port}\nallow_anonymous true\nmax_queued_messages 0\n";
    let other = "log_type all\nlog_type none\nlog_type error\nlog_type notice\n\
                 log_type information\nmax_inflight_messages 3\nacl_file {dir}/acl\n\
                 max_packet_size 1000\nsys_interval 1\nallow_duplicate_messages false\n";
    let broker = Broker::quiet(base);
    rewrite(&broker, "acl", "topic readwrite load\n");

    let total = ROUNDS * MESSAGES;
    let count = total.to_string();
    let args = ["-q", "1", "-i", "reader", "-t", "load", "-C", &count];
    let reader = Subscriber::with(Program::Sub.mosquitto(), &broker, &args);
    let mut writer = Program::Pub.mosquitto();
    let args = ["-l", "-q", "1", "-i", "writer", "-t", "load"];
    at(&mut writer, broker.port).args(args);
    let mut writer = Process::spawn(&mut writer);
    for round in 0..ROUNDS {
        let numbers = round * MESSAGES..(round + 1) * MESSAGES;
        let lines: Vec<_> = numbers.map(|number| format!("{number}\n")).collect();
        writer.write(&lines.concat());
        let conf = if round % 2 == 0 { other } else { "" };
        rewrite(&broker, "broker.conf", &format!("{conf}{base}"));
        reload(&broker, TAKEN);
    }
    for number in 0..total {
        reader.expect(&number.to_string());
    }
    reader.finish().expect_code(0);
    writer.finish().expect_code(0);
    // Who had been cut would have come again.
    let log = broker.log();
    assert_eq!(log.matches("New client connected").count(), 2, "{log}");
}

#[test]
fn what_is_wrong_is_told_and_the_old_configuration_holds() {
    if oracle_differs("the words of the log are ours") {
        return;
    }
    let good = "listener {port}\nallow_anonymous true\nacl_file {dir}/acl\n";
    let setup = Setup::new();
    setup.write("acl", "topic readwrite #\n");
    let broker = setup.start(good);
    let mut client = client(&broker, 4, "stays", None);
    client.subscribe("#", 0);
    let attempts = [
        (
            "broker.conf",
            "listener {port}\nmax_qos 9\nacl_fil x\n",
            "broker.conf:3",
        ),
        ("acl", "topic readwrite #\nnonsense\n", "acl:2"),
        (
            "broker.conf",
            "listener {port}\npassword_file {dir}/none\n",
            "none",
        ),
        (
            "broker.conf",
            "listener {port}\nlog_dest file {dir}/no/log\n",
            "mkdir -p",
        ),
    ];
    for (file, text, place) in attempts {
        rewrite(&broker, file, text);
        if file == "acl" {
            rewrite(&broker, "broker.conf", good);
        }
        reload(&broker, NOT_TAKEN);
        broker.process().stderr.wait_for(place);
        publish(&broker, &["-t", "any", "-m", "x"]);
        client.expect(b"\x30\x06\x00\x03anyx");
        rewrite(&broker, "acl", "topic readwrite #\n");
    }
    rewrite(&broker, "broker.conf", good);
    rewrite(&broker, "acl", "topic readwrite other\n");
    reload(&broker, TAKEN);
    publish(&broker, &["-t", "any", "-m", "x"]);
    publish(&broker, &["-t", "other", "-m", "x"]);
    client.expect(b"\x30\x08\x00\x05otherx");
}

#[test]
fn a_right_that_is_lost_is_lost_for_those_who_are_there() {
    let setup = Setup::new();
    setup.write("acl", "topic readwrite a\ntopic readwrite end\n");
    let broker = setup.start("listener {port}\nallow_anonymous true\nacl_file {dir}/acl\n");
    let reader = Subscriber::start(&broker, &["-t", "#", "-v"]);
    publish(&broker, &["-t", "a", "-m", "1"]);
    reader.expect("a 1");
    rewrite(&broker, "acl", "topic write a\ntopic readwrite end\n");
    reload(&broker, if oracle() { "Reloading config." } else { TAKEN });
    publish(&broker, &["-t", "a", "-m", "2"]);
    publish(&broker, &["-t", "end", "-m", "3"]);
    reader.expect("end 3");
}

#[test]
fn who_may_be_here_no_more_is_disconnected() {
    if oracle_differs("Mosquitto lets clients stay until they reconnect") {
        return;
    }
    let setup = Setup::new();
    let passwords = setup.path("passwords");
    for user in ["stays", "gone", "old", "changed"] {
        set_password(&passwords, user, "secret");
    }
    let broker =
        setup.start("listener {port}\nallow_anonymous true\npassword_file {dir}/passwords\n");
    let mut stays = client(&broker, 5, "1", Some("stays"));
    let mut changed = client(&broker, 5, "2", Some("changed"));
    let mut old = client(&broker, 4, "3", Some("old"));
    let mut anonymous = client(&broker, 5, "4", None);
    let heir = Subscriber::start(&broker, &["-u", "stays", "-P", "secret", "-t", "will"]);
    let (mut gone, _) = Raw::client(
        broker.port,
        &Connect {
            version: 5,
            user: Some("gone"),
            password: Some("secret"),
            will: Some(("will", "is gone", 0, false)),
            ..Connect::new("5")
        },
    );
    let text = fs::read_to_string(&passwords).expect("the passwords");
    let left: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("gone:") && !line.starts_with("old:"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&passwords, left.concat()).expect("writing the passwords");
    set_password(&passwords, "changed", "another");
    reload(&broker, TAKEN);
    for raw in [&mut gone, &mut changed] {
        let farewell = raw.packet();
        assert_eq!((farewell[0], farewell[2]), (0xe0, 0x87), "{farewell:02x?}");
        raw.expect_end();
    }
    old.expect_end();
    heir.expect("is gone");
    ping(&mut anonymous);
    ping(&mut stays);

    let conf = "listener {port}\nallow_anonymous false\npassword_file {dir}/passwords\n";
    rewrite(&broker, "broker.conf", conf);
    reload(&broker, TAKEN);
    assert_eq!(anonymous.packet()[2], 0x87);
    anonymous.expect_end();
    ping(&mut stays);

    rewrite(
        &broker,
        "broker.conf",
        &format!("{conf}accept_protocol_versions 3,4\n"),
    );
    reload(&broker, TAKEN);
    assert_eq!(stays.packet()[2], 0x98);
    stays.expect_end();
    // The subscriber speaks 3.1.1.
    assert!(!heir.process.ended());
    let args = [
        "-u",
        "stays",
        "-P",
        "secret",
        "-t",
        "will",
        "-m",
        "still here",
    ];
    publish(&broker, &args);
    heir.expect("still here");
}

#[test]
fn limits_and_log_change_and_what_needs_a_restart_is_named() {
    if oracle_differs("the words of the log are ours") {
        return;
    }
    let setup = Setup::new();
    let second = Setup::new().port();
    let command = setup.quiet_command("listener {port}\nallow_anonymous true\n");
    let broker = setup.start_command(command);
    let mut old = client(&broker, 5, "old", None);
    let conf = format!(
        "log_dest stderr\nlog_dest file {{dir}}/log\nlog_type all\npid_file {{dir}}/pid\n\
         listener {{port}}\nallow_anonymous true\nmax_connections 1\nmax_qos 1\n\
         listener {second}\n"
    );
    rewrite(&broker, "broker.conf", &conf);
    reload(&broker, TAKEN);
    let log = &broker.process().stderr;
    log.wait_for("`pid_file` changed, that needs a restart.");
    log.wait_for(&format!(
        "`listener {second}` is new, that needs a restart."
    ));
    ping(&mut old);
    broker
        .process()
        .stderr
        .wait_for("Received PINGREQ from old");
    let mut late = Raw::open(broker.port);
    late.send(&Connect::new("late").bytes());
    late.expect(&[0x20, 2, 0, 3]);
    old.send(&[0xe0, 0]);
    old.expect_end();
    let connect = Connect {
        version: 5,
        ..Connect::new("new")
    };
    let mut new = Raw::open(broker.port);
    new.send(&connect.bytes());
    let answer = new.packet();
    assert!(
        answer.windows(2).any(|pair| pair == [0x24, 1]),
        "{answer:02x?}"
    );
    // The file has got the lines since the reload.
    let log = crate::common::broker::wait_for_file(&broker.path("log"));
    assert!(!log.contains("starting"), "{log}");

    rewrite(&broker, "broker.conf", &format!("listener {second}\n"));
    reload(&broker, TAKEN);
    let gone = format!("`listener {}` is gone from the configuration", broker.port);
    broker.process().stderr.wait_for(&gone);
    ping(&mut new);
}

/// As Kubernetes mounts a ConfigMap: a file is a link through a link to the
/// folder of a version, and an update exchanges that one link.
#[test]
fn a_link_on_the_way_to_a_file_that_changes_is_noticed() {
    if oracle_differs("reload_on_change is ours") {
        return;
    }
    let setup = Setup::new();
    for (version, acl) in [("v1", "topic readwrite a\n"), ("v2", "topic readwrite b\n")] {
        fs::create_dir(setup.path(version)).expect("a folder");
        setup.write(&format!("{version}/acl"), acl);
    }
    symlink("v1", setup.path("..data")).expect("a link");
    symlink("..data/acl", setup.path("acl")).expect("a link");
    let broker = setup.start(
        "listener {port}\nallow_anonymous true\nacl_file {dir}/acl\nreload_on_change true\n",
    );
    let mut client = client(&broker, 4, "stays", None);
    client.subscribe("#", 0);
    publish(&broker, &["-t", "b", "-m", "0"]);
    publish(&broker, &["-t", "a", "-m", "1"]);
    client.expect(b"\x30\x04\x00\x01a1");
    symlink("v2", broker.path("..new")).expect("a link");
    until_told(&broker, TAKEN, || {
        fs::rename(broker.path("..new"), broker.path("..data")).expect("exchanging the link");
    });
    publish(&broker, &["-t", "a", "-m", "2"]);
    publish(&broker, &["-t", "b", "-m", "3"]);
    client.expect(b"\x30\x04\x00\x01b3");
    // And the configuration itself, which may switch the looking off.
    until_told(&broker, TAKEN, || {
        rewrite(
            &broker,
            "broker.conf",
            "listener {port}\nallow_anonymous true\n",
        );
    });
    publish(&broker, &["-t", "a", "-m", "4"]);
    client.expect(b"\x30\x04\x00\x01a4");
}

/// `check_retain_source`: with the rights of now, not of then.
#[test]
fn a_retained_message_is_kept_back_when_its_publisher_lost_the_right() {
    if oracle_differs("log lines") {
        return;
    }
    let broker = Setup::new();
    let base = "listener {port}\nallow_anonymous true\nacl_file {dir}/acl\n";
    broker.write("acl", "topic readwrite #\n");
    let broker = broker.start(base);
    publish(&broker, &["-q", "1", "-r", "-t", "lamp", "-m", "on"]);
    let mut reader = client(&broker, 4, "reader", None);
    let kept = raw_publish("lamp", "on", true);
    let ask = |reader: &mut Raw, expected: &[Vec<u8>]| {
        reader.subscribe("lamp", 0);
        for packet in expected {
            reader.expect(packet);
        }
        ping(reader);
    };
    ask(&mut reader, std::slice::from_ref(&kept));
    rewrite(&broker, "acl", "topic read #\n");
    reload(&broker, TAKEN);
    ask(&mut reader, &[]);
    rewrite(
        &broker,
        "broker.conf",
        &format!("{base}check_retain_source false\n"),
    );
    reload(&broker, TAKEN);
    ask(&mut reader, std::slice::from_ref(&kept));
}

/// `max_inflight_bytes` and `memory_limit` hold for clients that are there.
#[test]
fn limits_of_bytes_hold_from_the_reload_on() {
    if oracle_differs("log lines") {
        return;
    }
    let base = "listener {port}\nallow_anonymous true\n";
    let broker = Broker::start(base);
    let mut slow = client(&broker, 4, "slow", None);
    slow.subscribe("t", 1);
    let mut other = client(&broker, 4, "other", None);
    rewrite(
        &broker,
        "broker.conf",
        &format!("{base}max_inflight_bytes 3\nmemory_limit 1\n"),
    );
    reload(&broker, TAKEN);
    other.send(&publish_qos("t", "one", 1, 1));
    other.expect(&[0x40, 2, 0, 1]);
    assert!(slow.packet().ends_with(b"one"));
    // The next would have to wait, for which there is no memory.
    other.send(&publish_qos("t", "two", 1, 2));
    other.expect_end();
    rewrite(&broker, "broker.conf", base);
    reload(&broker, TAKEN);
    let mut other = client(&broker, 4, "other", None);
    other.send(&publish_qos("t", "two", 1, 2));
    other.expect(&[0x40, 2, 0, 2]);
    assert!(slow.packet().ends_with(b"two"));
}
