//! The same command through Mosquitto's clients and ours, against Mosquitto's
//! broker: what is printed must be the same, up to names that are drawn at
//! random.

use crate::common::broker::{Broker, Setup};
use crate::common::clients::at;
use crate::common::peers::{Peer, tell};
use crate::common::process::{Finished, run};
use crate::common::{Program, find_program};

/// Mosquitto's broker, if it is there.
fn mosquitto(check: &str) -> Option<Broker> {
    if !Peer::MosquittoClients.present_for(check) {
        return None;
    }
    if find_program("mosquitto").is_none() {
        let missing = format!("left out: {check}: Mosquitto's broker is missing");
        assert!(
            std::env::var_os("MOUSTIQUE_REQUIRE_PEERS").is_none_or(|value| value == "0"),
            "{missing}"
        );
        tell(&missing);
        return None;
    }
    let setup = Setup::new();
    let conf = setup.write("mosquitto.conf", "listener {port}\nallow_anonymous true\n");
    let mut command = Program::Broker.mosquitto();
    command.arg("-c").arg(conf);
    Some(setup.start_command(command))
}

/// Takes out what differs from run to run.
fn settled(program: Program, text: &str) -> String {
    let text = text.replace(program.mosquitto_name(), program.name());
    let mut settled = String::new();
    for word in text.split_inclusive([' ', '\n']) {
        let end = word.len() - word.trim_end().len();
        let (name, end) = word.split_at(word.len() - end);
        let random = ["auto-", "mosq-", "prefix-"]
            .iter()
            .find(|prefix| name.starts_with(**prefix));
        settled.push_str(random.copied().unwrap_or(name));
        settled.push_str(end);
    }
    settled
}

#[track_caller]
fn same(broker: &Broker, program: Program, args: &[&str]) -> Finished {
    let theirs = run(at(&mut program.mosquitto(), broker.port).args(args));
    let ours = run(at(&mut program.command(), broker.port).args(args));
    assert!(
        ours.code == theirs.code
            && settled(program, &ours.stdout) == settled(program, &theirs.stdout)
            && settled(program, &ours.stderr) == settled(program, &theirs.stderr),
        "{ours}\nbut {theirs}"
    );
    ours
}

#[test]
fn debug_lines_of_mqtt_pub() {
    let Some(broker) = mosquitto("debug lines of mqtt-pub") else {
        return;
    };
    for version in ["31", "311", "5"] {
        for qos in ["0", "1", "2"] {
            let args = ["-d", "-t", "a/b", "-m", "hello", "-V", version, "-q", qos];
            same(&broker, Program::Pub, &args);
        }
    }
    for args in [
        &[
            "-d", "-t", "a", "-m", "x", "-i", "me", "-q", "1", "--repeat", "3",
        ][..],
        &[
            "-d",
            "-t",
            "a",
            "-m",
            "x",
            "--repeat",
            "3",
            "--repeat-delay",
            "0.01",
        ],
        &["-d", "-t", "a", "-n", "-r", "-I", "prefix-"],
        &[
            "-d",
            "-t",
            "a",
            "-m",
            "-x",
            "-D",
            "publish",
            "content-type",
            "-y",
        ],
        &[
            "-d", "-t", "a", "-m", "x", "-c", "-i", "me", "-V", "5", "-x", "30",
        ],
        // Not allowed: MQTT 5 says so, and it is shown.
        &["-t", "$SYS/x", "-m", "x", "-q", "1", "-V", "5"],
        &["-t", "$SYS/x", "-m", "x", "-q", "2", "-V", "5", "--quiet"],
        &[
            "-t",
            "a",
            "-m",
            "x",
            "-D",
            "connect",
            "authentication-method",
            "no",
        ],
        &["-t", "a", "-s"],
    ] {
        same(&broker, Program::Pub, args);
    }
}

#[test]
fn output_of_mqtt_sub() {
    let Some(broker) = mosquitto("output of mqtt-sub") else {
        return;
    };
    let publish = |args: &[&str]| {
        run(at(&mut Program::Pub.mosquitto(), broker.port).args(args)).expect_code(0);
    };
    publish(&["-t", "r/a", "-r", "-q", "1", "-m", "hello"]);
    publish(&[
        "-t",
        "r/b",
        "-r",
        "-m",
        " {\"a\": 1.0, \"b\": [1, 2.50, {\"c\": null}]}",
    ]);
    publish(&[
        "-t",
        "p",
        "-r",
        "-m",
        "x",
        "-D",
        "publish",
        "content-type",
        "text/plain",
        "-D",
        "publish",
        "user-property",
        "k",
        "v",
        "-D",
        "publish",
        "response-topic",
        "re",
        "-D",
        "publish",
        "correlation-data",
        "abc",
        "-D",
        "publish",
        "payload-format-indicator",
        "1",
    ]);
    for args in [
        &["-d", "-t", "r/a", "-C", "1", "-v"][..],
        &[
            "-d", "-t", "r/a", "-t", "other/#", "-q", "1", "-V", "5", "-C", "1",
        ],
        &["-d", "-t", "r/a", "-t", "other", "-E", "-q", "2"],
        &["-d", "-t", "x", "-E", "--retain-as-published", "-V", "5"],
        &[
            "-d",
            "-t",
            "x",
            "-E",
            "-D",
            "subscribe",
            "subscription-identifier",
            "7",
        ],
        &["-d", "-t", "x", "-U", "r/a", "-U", "r/b", "-W", "1"],
        &["-t", "r/#", "-T", "r/a", "-C", "1"],
        &["-t", "r/a", "-R", "-W", "1"],
        &["-t", "r/a", "--quiet", "-R", "-W", "1"],
        &[
            "-t",
            "r/+",
            "-C",
            "2",
            "-q",
            "1",
            "-F",
            "%t|%10l|%05q|%r|%m|%x|%-12p|%%",
        ],
        &["-t", "r/a", "-C", "1", "-N", "-F", "\\e%X\\0%p\\n"],
        &[
            "-t",
            "p",
            "-C",
            "1",
            "-V",
            "5",
            "-F",
            "%A|%C|%D|%E|%F|%P|%R|%S|%.2C|%20R",
        ],
        &["-t", "r/a", "-C", "1", "-F", "%J"],
    ] {
        same(&broker, Program::Sub, args);
    }
}

/// `-h`, `-p` and `-t` beside `-L`, in either order. The broker's address comes
/// in front of them.
#[test]
fn the_later_option_counts() {
    let Some(broker) = mosquitto("options that say the same") else {
        return;
    };
    let url = format!("mqtt://127.0.0.1:{}/u", broker.port);
    let publish = ["-d", "-i", "me", "-m", "x"];
    for args in [
        &["-p", "1", "-L", &url][..],
        &["-h", "nowhere.invalid", "-t", "t", "-L", &url],
        &["-L", "mqtt://nowhere.invalid/u"],
        &["-L", "mqtt://nowhere.invalid/u", "-h", "localhost"],
        &["-L", &url, "-t", "t"],
        &["-L", &url, "-p", "1"],
        &["-p", "1", "-L", "mqtt://127.0.0.1/u"],
        &["--unix", "/nonexistent", "-L", &url],
        &["-L", &url, "--unix", "/nonexistent"],
    ] {
        same(&broker, Program::Pub, &[&publish[..], args].concat());
    }
    run(at(&mut Program::Pub.mosquitto(), broker.port).args(["-t", "u", "-r", "-m", "1"]));
    run(at(&mut Program::Pub.mosquitto(), broker.port).args(["-t", "t", "-r", "-m", "2"]));
    for args in [["-t", "t", "-L", &url], ["-L", &url, "-t", "t"]] {
        let args = [&["-d", "-i", "me", "-v", "-C", "2"][..], &args].concat();
        same(&broker, Program::Sub, &args);
    }
    for (program, rest) in [
        (Program::Pub, &["-t", "a", "-m", "b"][..]),
        (Program::Sub, &["-t", "a"]),
        (Program::Rr, &["-t", "a", "-e", "b", "-m", "c"]),
    ] {
        same(&broker, program, &[rest, &["-i", ""]].concat());
    }
}

/// JSON, up to the time stamp, in which 2.0 has a needless `Z`.
#[test]
fn json_of_mqtt_sub() {
    let Some(broker) = mosquitto("JSON of mqtt-sub") else {
        return;
    };
    let payload = "{\"a\": 1.0, \"b\":[1, 2.50, 1e3, {}], \"c\": \"é\\n\\u00e9\", \"d\": -0.5}";
    let args = [
        "-t",
        "j",
        "-r",
        "-q",
        "1",
        "-m",
        payload,
        "-D",
        "publish",
        "user-property",
        "k",
        "v",
        "-D",
        "publish",
        "content-type",
        "json",
        "-D",
        "publish",
        "user-property",
        "l",
        "w",
    ];
    run(at(&mut Program::Pub.command(), broker.port).args(args)).expect_code(0);
    let without_time = |text: &str| {
        let start = text
            .find("\"topic\"")
            .unwrap_or_else(|| panic!("no topic in {text}"));
        text[start..].to_owned()
    };
    for format in [
        &["-F", "%j"][..],
        &["-F", "%J"],
        &["-F", "%j", "--pretty"],
        &["-F", "%J", "--pretty"],
    ] {
        for version in ["311", "5"] {
            let args = [&["-t", "j", "-C", "1", "-q", "1", "-V", version], format].concat();
            let theirs = run(at(&mut Program::Sub.mosquitto(), broker.port).args(&args));
            let ours = run(at(&mut Program::Sub.command(), broker.port).args(&args));
            assert_eq!(without_time(&ours.stdout), without_time(&theirs.stdout));
        }
    }
}

#[test]
fn requests_and_responses() {
    let Some(broker) = mosquitto("mqtt-rr") else {
        return;
    };
    for args in [
        &["-t", "rr", "-e", "rr", "-m", "hello", "-v"][..],
        &[
            "-t", "rr", "-e", "rr", "-m", "hello", "-q", "2", "-V", "311",
        ],
        &[
            "-t",
            "rr",
            "-e",
            "rr",
            "-m",
            "x",
            "-D",
            "publish",
            "user-property",
            "a",
            "b",
            "-F",
            "%R %P",
        ],
        &["-t", "nobody", "-e", "rr", "-n", "-W", "1"],
    ] {
        same(&broker, Program::Rr, args);
    }
}

#[test]
fn connections_that_fail() {
    if !Peer::MosquittoClients.present_for("failing connections") {
        return;
    }
    let port = crate::common::broker::free_port().to_string();
    for args in [
        &["-h", "127.0.0.1", "-p", &port][..],
        &["-h", "127.0.0.1", "-p", &port, "--quiet"],
        &["-h", "nowhere.invalid"],
        &["-h", "127.0.0.1", "-p", &port, "-A", "192.0.2.1"],
        &["--unix", "/nonexistent"],
    ] {
        for (program, rest) in [
            (Program::Pub, &["-t", "a", "-m", "b"][..]),
            (Program::Sub, &["-t", "a"]),
            (Program::Rr, &["-t", "a", "-e", "b", "-m", "c"]),
        ] {
            crate::common::clients::same_as_mosquitto(program, &[args, rest].concat());
        }
    }
}
