//! Unix domain sockets.

use crate::common::Program;
use crate::common::broker::{Broker, Setup};
use crate::common::oracle_differs;
use crate::common::peers::Peer;
use crate::common::process::run;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

const CONF: &str = "allow_anonymous true\nlistener 0 {dir}/m.sock\nlistener {port}\n";

fn start() -> Broker {
    Setup::new().start(CONF)
}

#[test]
fn clients_come_by_the_socket() {
    let broker = start();
    let path = broker.path("m.sock");
    let socket = path.to_str().expect("a printable path");
    let mut programs = vec![(Program::Pub.command(), Program::Sub.command())];
    if Peer::MosquittoClients.present_for("mosquitto_pub --unix") {
        programs.push((Program::Pub.mosquitto(), Program::Sub.mosquitto()));
    }
    for (mut publisher, mut subscriber) in programs {
        let common = ["--unix", socket, "-t", "maison/salon", "-q", "1"];
        run(publisher.args(common).args(["-r", "-m", "21,5 °C"])).expect_code(0);
        let done = run(subscriber.args(common).args(["-C", "1"])).expect_code(0);
        assert_eq!(done.stdout, "21,5 °C\n");
    }
    for line in [
        format!("Opening unix listen socket on path {socket}."),
        format!("New connection from {socket}:0 on port 0."),
    ] {
        broker.process().stderr.wait_for(&line);
    }
}

#[test]
fn the_file_is_for_user_and_group_and_ends_with_the_broker() {
    let broker = start();
    let path = broker.path("m.sock");
    let found = std::fs::metadata(&path).expect("the socket");
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o770);
    let keep = tempfile::tempdir().expect("a directory");
    let elsewhere = keep.path().join("link");
    std::fs::hard_link(&path, &elsewhere).expect("a second name");
    // Before, a signal would find nobody to heed it.
    broker.process().stderr.wait_for("running");
    broker.stop().expect_code(0);
    assert!(!path.exists());
    assert!(elsewhere.exists());
}

#[test]
fn a_socket_that_was_left_behind_gives_way() {
    let setup = Setup::new();
    let path = setup.path("m.sock");
    drop(UnixListener::bind(&path).expect("a socket"));
    assert!(path.exists());
    let broker = setup.start(CONF);
    let mut publisher = Program::Pub.command();
    publisher
        .arg("--unix")
        .arg(&path)
        .args(["-t", "t", "-m", "x"]);
    run(&mut publisher).expect_code(0);
    assert!(!broker.process().ended());
}

#[test]
fn what_is_no_socket_and_what_is_in_use_stays() {
    if oracle_differs("Mosquitto removes whatever is there") {
        return;
    }
    let setup = Setup::new();
    let diary = setup.write("m.sock", "dear diary");
    let refused = run(&mut setup.command(CONF)).expect_code(1);
    assert!(refused.stderr.contains("no socket"), "{refused}");
    assert_eq!(std::fs::read(&diary).expect("a file"), b"dear diary");
    std::fs::remove_file(&diary).expect("removed");
    let _busy = UnixListener::bind(&diary).expect("a socket");
    let refused = run(&mut setup.command(CONF)).expect_code(1);
    assert!(refused.stderr.contains("has this socket"), "{refused}");
    assert!(diary.exists());
}
