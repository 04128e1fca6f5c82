//! What Mosquitto's clients don't have: payloads put into words, time stamps,
//! environment variables, passwords off the command line, `--retry`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::copy;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use crate::common::broker::{Broker, Setup, free_port};
use crate::common::clients::{Subscriber, at, publish, run_pub, run_sub};
use crate::common::process::{Process, run, run_with_input};
use crate::common::{Program, oracle_differs};

const OURS: &str = "our own options";

#[test]
fn payloads_are_encoded_and_decoded() {
    if oracle_differs(OURS) {
        return;
    }
    let broker = Broker::open();
    let json = r#"{"z":[1,-2.5,null],"a":"é"}"#;
    for (form, shown) in [
        ("json", json),
        ("hex", json),
        ("base64", json),
        ("cbor", json),
        ("msgpack", json),
    ] {
        publish(&broker, &["-t", form, "-r", "-m", json, "--encode", form]);
        let done = run_sub(&broker, &["-t", form, "-C", "1", "--decode", form]);
        assert_eq!(done.expect_code(0).stdout, format!("{shown}\n"), "{form}");
    }
    // The bytes themselves, as the specifications of CBOR and MessagePack have them.
    for (form, hex) in [("cbor", "a1616101"), ("msgpack", "81a16101")] {
        publish(
            &broker,
            &["-t", "x", "-r", "-m", r#"{"a": 1}"#, "--encode", form],
        );
        let done = run_sub(&broker, &["-t", "x", "-C", "1", "-F", "%x"]);
        assert_eq!(done.expect_code(0).stdout, format!("{hex}\n"));
    }
    let done = run_sub(
        &broker,
        &["-t", "x", "-C", "1", "--decode", "msgpack", "--pretty"],
    );
    assert_eq!(done.expect_code(0).stdout, "{\n  \"a\": 1\n}\n");
}

#[test]
fn what_has_another_form_is_shown_as_it_is() {
    if oracle_differs(OURS) {
        return;
    }
    let broker = Broker::open();
    publish(&broker, &["-t", "a", "-r", "-m", "<hello>"]);
    let done = run_sub(&broker, &["-t", "a", "-C", "1", "-v", "--decode", "cbor"]).expect_code(0);
    assert_eq!(done.stdout, "a <hello>\n");
    assert_eq!(
        done.stderr,
        "Error: Message payload is not valid CBOR on topic a.\n"
    );
    let done = run_pub(&broker, &["-t", "a", "-m", "{", "--encode", "cbor"]).expect_code(1);
    assert!(
        done.stderr.starts_with("Error: The message is not JSON: "),
        "{done}"
    );
}

#[test]
fn a_line_that_cannot_be_encoded_is_left_out_and_told() {
    if oracle_differs(OURS) {
        return;
    }
    let broker = Broker::open();
    let subscriber = Subscriber::start(&broker, &["-t", "l", "-F", "%x", "-C", "2"]);
    let mut command = Program::Pub.command();
    at(&mut command, broker.port).args(["-t", "l", "-l", "--encode", "msgpack"]);
    let done = run_with_input(&mut command, "[1]\noops\n[2]\n").expect_code(1);
    assert!(
        done.stderr
            .starts_with("Warning: Line 2 is not sent, it is not JSON"),
        "{done}"
    );
    assert_eq!(subscriber.finish().expect_code(0).stdout, "9101\n9102\n");
}

#[test]
fn a_time_stamp_stands_in_front_of_a_message() {
    if oracle_differs(OURS) {
        return;
    }
    let broker = Broker::open();
    publish(&broker, &["-t", "a", "-r", "-m", "x"]);
    for (args, rest) in [(&["-v"][..], "a x\n"), (&["-F", "%p!"], "x!\n")] {
        let args = [&["-t", "a", "-C", "1", "--timestamp"], args].concat();
        let shown = run_sub(&broker, &args).expect_code(0).stdout;
        let (stamp, message) = shown.split_once(' ').expect("a blank");
        assert_eq!(message, rest);
        let digits = stamp.replace(|c: char| c.is_ascii_digit(), "9");
        assert_eq!(digits.replace('-', "+"), "9999+99+99T99:99:99.999+9999");
    }
}

#[test]
fn options_come_from_the_environment_where_nobody_says_otherwise() {
    if oracle_differs(OURS) {
        return;
    }
    let broker = Broker::open();
    publish(&broker, &["-t", "a", "-r", "-m", "x"]);
    publish(&broker, &["-t", "b", "-r", "-m", "y"]);
    let directory = tempfile::TempDir::new().expect("a directory");
    let environment = |args: &[&str]| {
        let mut command = Program::Sub.command();
        command
            .env("MQTT_HOST", "localhost")
            .env("MQTT_PORT", broker.port.to_string())
            .env("MQTT_TOPIC", "a\nb")
            .env("MQTT_VERBOSE", "true")
            .env("MQTT_NO_NEWLINE", "no")
            .env("MQTT_COUNT", "2")
            .env("MQTT_FORMAT", "")
            .env("XDG_CONFIG_HOME", directory.path())
            .args(args);
        run(&mut command).expect_code(0).stdout
    };
    assert_eq!(environment(&[]), "a x\nb y\n");
    std::fs::write(directory.path().join("mqtt-sub"), "-t b\n-C 3\n").expect("a file");
    assert_eq!(environment(&["-C", "1"]), "b y\n");

    let mut command = Program::Pub.command();
    command
        .env("MQTT_RETAIN", "perhaps")
        .args(["-t", "a", "-m", "b"]);
    let done = run(&mut command).expect_code(1);
    assert!(done.stderr.contains("MQTT_RETAIN is a switch"), "{done}");
}

#[test]
fn a_password_comes_from_a_file() {
    if oracle_differs(OURS) {
        return;
    }
    let setup = Setup::new();
    // Of the word `secret`.
    let passwords = setup.path("passwords");
    let args = [
        "-b",
        "-c",
        passwords.to_str().expect("a path"),
        "joe",
        "secret",
    ];
    run(Program::Passwd.command().args(args)).expect_code(0);
    let right = setup.write("right", "secret\r\nand a remark\n");
    let wrong = setup.write("wrong", "Secret\n");
    let broker =
        setup.start("listener {port}\nallow_anonymous false\npassword_file {dir}/passwords\n");
    let login = |file: &std::path::Path| {
        let file = file.to_str().expect("a path");
        run_pub(
            &broker,
            &["-t", "a", "-m", "b", "-u", "joe", "--password-file", file],
        )
    };
    login(&right).expect_code(0);
    login(&wrong).expect_code(5);
    let both = run_pub(
        &broker,
        &["-t", "a", "-m", "b", "-P", "x", "--password-file", "y"],
    );
    let expected = "Error: Only one of -P, --password-file and --ask-password can be used.\n";
    assert!(both.expect_code(1).stderr.starts_with(expected));
}

#[test]
fn retry_waits_for_a_broker_that_comes_later() {
    if oracle_differs(OURS) {
        return;
    }
    let setup = Setup::new();
    let mut publisher = Program::Pub.command();
    at(&mut publisher, setup.port()).args(["-t", "a", "-q", "1", "-r", "-m", "late", "--retry"]);
    let publisher = Process::spawn(&mut publisher);
    let broker = setup.start(crate::common::broker::OPEN);
    publisher.finish().expect_code(0);
    let done = run_sub(&broker, &["-t", "a", "-C", "1"]).expect_code(0);
    assert_eq!(done.stdout, "late\n");
}

#[test]
fn retry_gives_up_in_the_end_and_where_it_makes_no_sense() {
    if oracle_differs(OURS) {
        return;
    }
    let port = free_port().to_string();
    let args = [
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-t",
        "a",
        "-m",
        "b",
        "--retry",
        "1",
    ];
    let done = run(Program::Pub.command().args(args)).expect_code(1);
    assert_eq!(done.stderr, "Error: Connection refused\n");

    let broker = Broker::start("listener {port}\nallow_anonymous false\n");
    let done = run_pub(&broker, &["-t", "a", "-m", "b", "--retry"]).expect_code(5);
    assert!(
        done.stderr
            .starts_with("Connection error: Connection Refused: not authorised.\n")
    );
}

#[test]
fn a_dry_run_removes_nothing() {
    if oracle_differs(OURS) {
        return;
    }
    let broker = Broker::open();
    for topic in ["a/1", "a/2"] {
        publish(&broker, &["-t", topic, "-q", "1", "-r", "-m", "x"]);
    }
    let args = ["-t", "a/#", "-v", "--remove-retained", "-C", "2"];
    for _ in 0..2 {
        let done = run_sub(&broker, &[&args[..], &["--dry-run"]].concat()).expect_code(0);
        assert_eq!(done.stdout, "a/1 x\na/2 x\n");
        assert_eq!(
            done.stderr,
            "2 retained messages would have been removed.\n"
        );
    }
    run_sub(&broker, &args).expect_code(0);
    let done = run_sub(&broker, &["-t", "a/#", "-W", "1"]).expect_code(27);
    assert_eq!(done.stdout, "");
}

#[test]
fn colours_come_where_they_are_asked_for_only() {
    if oracle_differs(OURS) {
        return;
    }
    let broker = Broker::open();
    publish(&broker, &["-t", "a", "-r", "-m", r#"{"k":1}"#]);
    let shown = |args: &[&str]| {
        let args = [&["-t", "a", "-C", "1", "-v"], args].concat();
        run_sub(&broker, &args).expect_code(0).stdout
    };
    assert_eq!(shown(&[]), "a {\"k\":1}\n");
    assert_eq!(shown(&["--pretty", "--color", "auto"]), "a {\"k\":1}\n");
    assert_eq!(
        shown(&["--color", "always"]),
        "\x1b[36ma\x1b[0m \x1b[32m{\"k\":1}\x1b[0m\n"
    );
    assert_eq!(
        shown(&["--color", "always", "--pretty"]),
        "\x1b[36ma\x1b[0m {\x1b[34m\"k\"\x1b[0m:\x1b[33m1\x1b[0m}\n"
    );
    let done = run_sub(&broker, &["-t", "a", "--color", "pink"]).expect_code(1);
    let expected = "Error: Invalid --color 'pink', it must be one of auto, always, never.\n";
    assert!(done.stderr.starts_with(expected), "{done}");
}

/// New in Mosquitto 2.1.
#[test]
fn messages_can_be_counted_instead_of_printed() {
    if oracle_differs("new in 2.1") {
        return;
    }
    let broker = Broker::open();
    let subscriber = Subscriber::start(&broker, &["-t", "a", "--message-rate", "-v"]);
    publish(&broker, &["-t", "a", "-m", "x", "--repeat", "3"]);
    let mut counted = 0;
    while counted < 3 {
        let line = subscriber.process.stdout.line();
        let count = line.strip_suffix(" msgs/s").expect("a rate");
        counted += count.parse::<u32>().expect("a number");
    }
    assert_eq!(counted, 3);
    subscriber.interrupt().expect_code(0);
}

/// New in Mosquitto 2.1.
#[test]
fn a_request_tells_its_latency() {
    if oracle_differs("new in 2.1") {
        return;
    }
    let broker = Broker::open();
    let mut command = Program::Rr.command();
    let args = ["-t", "r", "-e", "r", "-m", "x", "--latency"];
    let done = run(at(&mut command, broker.port).args(args)).expect_code(0);
    let latency = done.stdout.strip_prefix("x\nLatency: ").expect("a latency");
    let seconds = latency.strip_suffix(" s\n").expect("seconds");
    assert!(seconds.parse::<f64>().expect("a number") > 0.0);
}

/// New in Mosquitto 2.1: `-U` alone.
#[test]
fn a_session_can_be_rid_of_a_subscription() {
    if oracle_differs("new in 2.1") {
        return;
    }
    let broker = Broker::open();
    let session = ["-c", "-i", "me", "-q", "1"];
    run_sub(
        &broker,
        &[&session[..], &["-t", "a", "-t", "b", "-E"]].concat(),
    )
    .expect_code(0);
    run_sub(&broker, &[&session[..], &["-U", "a", "-E"]].concat()).expect_code(0);
    publish(&broker, &["-t", "a", "-m", "gone", "-q", "1"]);
    publish(&broker, &["-t", "b", "-m", "kept", "-q", "1"]);
    let done = run_sub(&broker, &[&session[..], &["-t", "b", "-C", "1"]].concat());
    assert_eq!(done.expect_code(0).stdout, "kept\n");
}

/// The lines of `mqtt-pub -l` while the connection is lost, the broker dies and
/// another takes its place: none is lost.
#[test]
fn lines_survive_the_end_of_a_broker() {
    if oracle_differs("mosquitto_pub -l doesn't connect again") {
        return;
    }
    const LINES: usize = 4000;
    let road = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = road.local_addr().expect("a port").port();
    let conf = "listener {port}\nallow_anonymous true\nmax_queued_messages 0\n";

    let mut publisher = Program::Pub.command();
    publisher
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(["-t", "lines", "-q", "2", "-l", "--will-topic", "lines"])
        .args(["--will-payload", "cut off", "--will-qos", "2"]);
    let mut publisher = Process::spawn(&mut publisher);
    let all: Vec<String> = (0..LINES).map(|number| format!("line {number}")).collect();
    let mut text = String::new();
    for line in &all {
        writeln!(text, "{line}").expect("memory");
    }
    let mut seen = BTreeSet::new();

    let first = Broker::quiet(conf);
    let subscriber = Subscriber::start(&first, &["-t", "lines", "-q", "2"]);
    let relayed = relay(&road, first.port);
    let writer = std::thread::spawn(move || {
        publisher.write(&text);
        publisher.finish().expect_code(0)
    });
    let client = relayed.client.recv().expect("the publisher comes");
    subscriber.wait_for_line("line 100");
    client.shutdown(Shutdown::Both).expect("cut off");
    relayed.done.join().expect("the road is free");
    // Behind all that the first broker has taken: nothing of that is lost.
    subscriber.wait_for_line("cut off");
    drop(first);
    let printed = subscriber.interrupt();
    seen.extend(printed.stdout.lines().map(str::to_owned));

    let second = Broker::quiet(conf);
    let subscriber = Subscriber::start(&second, &["-t", "lines", "-q", "2"]);
    let relayed = relay(&road, second.port);
    let done = writer.join().expect("the publisher ends well");
    assert!(done.stderr.contains("published again"), "{done}");
    relayed.done.join().expect("the road is free");
    subscriber.wait_for_line(&format!("line {}", LINES - 1));
    seen.extend(subscriber.interrupt().stdout.lines().map(str::to_owned));
    let lost: Vec<_> = all.iter().filter(|line| !seen.contains(*line)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

struct Relay {
    /// The connection, once it stands.
    client: Receiver<TcpStream>,
    done: JoinHandle<()>,
}

/// Leads the next connection to a broker, until one of the two ends it.
fn relay(road: &TcpListener, broker: u16) -> Relay {
    let road = road.try_clone().expect("a socket");
    let (tell, client) = channel();
    let done = std::thread::spawn(move || {
        let (mut client, _) = road.accept().expect("a client");
        let mut server = TcpStream::connect(("127.0.0.1", broker)).expect("a broker");
        let clone = |stream: &TcpStream| stream.try_clone().expect("a socket");
        let mut answers = (clone(&server), clone(&client));
        // Nobody may want to cut it.
        let _ = tell.send(clone(&client));
        let back = std::thread::spawn(move || {
            let _ = copy(&mut answers.0, &mut answers.1);
            let _ = answers.1.shutdown(Shutdown::Both);
        });
        let _ = copy(&mut client, &mut server);
        let _ = server.shutdown(Shutdown::Both);
        back.join().expect("no panic");
    });
    Relay { client, done }
}
