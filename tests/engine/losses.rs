//! What rumqttd cannot do ends the start, with one list, or is logged.

use crate::command;
use crate::common::Program;
use crate::common::broker::{OPEN, Setup};
use crate::common::clients::{Subscriber, publish};
use crate::common::process::{Finished, run};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::Command;

/// Runs what must end at once; the places of its list, each with the first words.
fn refused(conf: &str) -> (Finished, Vec<String>) {
    let setup = Setup::new();
    // Without the line that the tests of root need, so that lines keep their number.
    let path = setup.write("broker.conf", conf);
    let mut program = Program::Broker.command();
    program.args(["--engine", "rumqttd", "-c"]).arg(&path);
    let done = run(&mut program).expect_code(3);
    let place = format!("{}:", path.display());
    let lines = done.stderr.lines();
    let found: Vec<_> = lines
        .filter_map(|line| line.strip_prefix(&place))
        .map(|line| line.replacen(" error:", "", 1))
        .collect();
    (done, found)
}

#[track_caller]
fn expect(found: &[String], expected: &[&str]) {
    let all_begin = found
        .iter()
        .zip(expected)
        .all(|(found, expected)| found.starts_with(expected));
    assert!(all_begin && found.len() == expected.len(), "{found:#?}");
}

#[test]
fn one_list_names_each_option_with_its_place() {
    let conf = "persistence true\npersistence_location /var/lib/x/\nsys_interval 10\n\
                max_queued_messages 0\nacl_file /nowhere\nmax_packet_size 1000\n\
                listener 1883\nmax_qos 1\nmount_point plant/\n\
                listener 1884\naccept_protocol_versions 3,4,5\nmax_qos 2\n\
                listener 1885\nprotocol websockets\n\
                listener 0 {dir}/socket\n\
                connection elsewhere\naddress 192.0.2.1\ntopic # out\n";
    let (done, found) = refused(conf);
    expect(
        &found,
        &[
            "1:1: `persistence` with rumqttd: sessions,",
            "3:1: `sys_interval` with rumqttd: there is no $SYS",
            "4:1: `max_queued_messages` with rumqttd:",
            "5:1: `acl_file` with rumqttd: there are no rules",
            "8:1: `max_qos` with rumqttd:",
            "9:1: `mount_point` with rumqttd:",
            "11:1: rumqttd has no MQTT 3.1:",
            "13:1: rumqttd has no MQTT 5 over WebSocket;",
            "15:1: rumqttd has no Unix sockets:",
            "16:1: `connection` with rumqttd:",
        ],
    );
    assert!(done.stdout.is_empty());
    assert!(
        done.stderr.ends_with("--engine-lossy and do without.\n"),
        "{done}"
    );
}

#[test]
fn what_a_listener_asks_for_as_a_whole_is_looked_at() {
    let conf = "listener 8883\ncertfile /c\nkeyfile /k\ncafile /a\nrequire_certificate true\n\
                listener 8884\nenable_proxy_protocol 2\n\
                listener 8885\naccept_protocol_versions 5\nbind_interface lo\n\
                listener 8886\nbind_interface lo\nprotocol any\n\
                listener 8887\nsocket_domain ipv6\naccept_protocol_versions 4\n\
                allow_anonymous true\npassword_file /u\n";
    let (_, found) = refused(conf);
    expect(
        &found,
        &[
            "1:1: rumqttd has one version of MQTT on a port, and TLS hides",
            "5:1: `require_certificate` with rumqttd:",
            "7:1: `enable_proxy_protocol` with rumqttd:",
            "10:1: rumqttd would listen beyond lo",
            "13:1: rumqttd does not find out what comes:",
            "15:1: a socket of rumqttd for IPv6",
            "17:1: rumqttd asks all clients for a password,",
        ],
    );
}

#[test]
fn a_check_tells_the_list_too() {
    let setup = Setup::new();
    let path = setup.write("broker.conf", "sys_interval 5\nlistener {port}\n");
    let check = |args: &[&str]| {
        let mut program = Program::Broker.command();
        program.args(["--engine", "rumqttd", "--test-config", "-c"]);
        run(program.arg(&path).args(args))
    };
    let done = check(&[]).expect_code(3);
    assert!(done.stderr.contains("1:1: error: `sys_interval`"), "{done}");
    let done = check(&["--engine-lossy"]).expect_code(0);
    assert!(
        done.stderr.contains("1:1: warning: `sys_interval`"),
        "{done}"
    );
    assert!(done.stdout.contains("sys_interval 5\n"), "{done}");
}

#[test]
fn engine_lossy_starts_and_logs_the_list() {
    let setup = Setup::new();
    let lines = "sys_interval 5\npersistence true\npersistence_location {dir}/\n";
    let mut command = command(&setup, &format!("{OPEN}{lines}"));
    command.arg("--engine-lossy");
    let broker = setup.start_command(command);
    for loss in ["warning: `sys_interval`", "warning: `persistence`"] {
        broker.process().stderr.wait_for(loss);
    }
    let subscriber = Subscriber::start(&broker, &["-t", "t", "-q", "1"]);
    publish(&broker, &["-t", "t", "-q", "1", "-m", "served"]);
    subscriber.expect("served");
}

#[test]
fn lossy_leaves_out_what_cannot_be_served_and_needs_something_that_can() {
    let setup = Setup::new();
    let socket = "listener 0 {dir}/socket\n";
    let mut program = command(&setup, &format!("{OPEN}{socket}"));
    program.arg("--engine-lossy");
    let other = Setup::new();
    let mut alone = command(&other, socket);
    let done = run(alone.arg("--engine-lossy")).expect_code(1);
    assert!(done.stderr.contains("can serve none"), "{done}");
    let path = setup.path("socket");
    let broker = setup.start_command(program);
    // From here on it knows what SIGTERM means.
    broker.process().stderr.wait_for("rumqttd is running");
    assert!(!path.exists());
    broker.stop().expect_code(0);
}

#[test]
fn sockets_of_systemd_are_refused() {
    let setup = Setup::new();
    let program = command(&setup, OPEN);
    let socket = TcpListener::bind(("127.0.0.1", setup.port())).expect("the port");
    let mut shell = Command::new("sh");
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 0</dev/null";
    shell.args(["-c", script, "sh"]).arg(program.get_program());
    shell.args(program.get_args()).stdin(OwnedFd::from(socket));
    let output = shell.output().expect("starting the broker");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("environment: error: LISTEN_FDS"), "{told}");
}
