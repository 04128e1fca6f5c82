//! Command lines that are wrong: the same first line, the same exit code.

use crate::common::peers::Peer;
use crate::common::process::run;
use crate::common::{Program, oracle_differs};

/// Runs both programs. Mosquitto prints its whole help after some errors, and
/// more or fewer empty lines: the error itself is compared.
#[track_caller]
fn same_error(program: Program, args: &[&str]) {
    let ours = run(program.command().args(args)).expect_code(1);
    assert!(ours.stdout.is_empty(), "{ours}");
    let theirs = run(program.mosquitto().args(args)).expect_code(1);
    let first = |text: &str| text.trim_start().lines().next().unwrap_or("").to_owned();
    assert!(
        first(&ours.stderr) == first(&theirs.stderr),
        "{ours}\nbut {theirs}"
    );
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').filter(|word| !word.is_empty()).collect()
}

#[test]
fn errors_of_mqtt_pub() {
    if !Peer::MosquittoClients.present_for("errors of usage of mqtt-pub") {
        return;
    }
    for line in [
        "",
        "-t a",
        "-m a",
        "--foo",
        "x",
        "-t",
        "-p",
        "-p 99999 -t a -m b",
        "-q 3",
        "-q",
        "-t a/# -m b",
        "-t a/+ -m b",
        "-P x -t a -m b",
        "-c -t a -m b",
        "-c -I pre -t a -m b",
        "-V 5 -c -t a -m b",
        "-V 5 -x -1 -t a -m b",
        "-V 4",
        "-V",
        "-k 4",
        "-k 65536",
        "--keepalive",
        "-i a -I b",
        "--id",
        "--id-prefix",
        "-m a -m b",
        "-m a -n",
        "-n -l",
        "-s -f x",
        "-f",
        "-m",
        "-M",
        "-M 0",
        "--will-payload x -t a -m b",
        "--will-retain -t a -m b",
        "--will-topic a/# -t a -m b",
        "--will-qos 3 --will-topic a",
        "--will-qos",
        "--will-topic",
        "--will-payload",
        "--repeat 0",
        "--repeat",
        "--repeat-delay",
        "--repeat-delay -1",
        "-x",
        "-x abc",
        "-x -2",
        "-x 4294967296",
        "-L",
        "-L http://a",
        "-L mqtt://localhost",
        "-L mqtt://localhost/",
        "-h",
        "-A",
        "-u",
        "-P",
        "--unix",
        "-f /nonexistent -t a",
        "-h nowhere.invalid -t a -m b",
        "--unix /nonexistent -t a -m b",
        "--psk",
        "--psk-identity",
        "--psk 00 -t a -m b",
        "--psk 00 --psk-identity a --cafile x -t a -m b",
        "--psk 0x --psk-identity a -t a -m b",
        "-D",
        "-D connect user-property a",
        "-D foo user-property a b",
        "-D connect foo 1",
        "-D connect content-type x",
        "-D CONNECT Content-Type x",
        "-D publish subscription-identifier 1",
        "-D connect receive-maximum 70000",
        "-D publish payload-format-indicator 300",
        "-D publish message-expiry-interval -1",
        "-D puback user-property a b",
        "-D pubrec user-property a b",
        "-D pubrel user-property a b",
        "-D pubcomp reason-string a",
        "-D auth authentication-method b",
        "-D connect server-keep-alive 3",
    ] {
        same_error(Program::Pub, &words(line));
    }
}

#[test]
fn errors_of_mqtt_sub() {
    if !Peer::MosquittoClients.present_for("errors of usage of mqtt-sub") {
        return;
    }
    for line in [
        "",
        "-l",
        "-t",
        "-t a#",
        "-T a#",
        "-U a#",
        "-T",
        "-U",
        "-C",
        "-C 0",
        "-W",
        "-W 0",
        "-F",
        "-F %z -t a",
        "-F %0 -t a",
        "-F @ -t a",
        "-F \\q -t a",
        "-F %--5l -t a",
        "-R --retained-only -t a",
        "--random-filter",
        "--random-filter 0",
        "-c -t a",
        "-V 5 -x -1 -t a",
        "-D puback user-property a b",
    ] {
        same_error(Program::Sub, &words(line));
    }
}

#[test]
fn errors_of_mqtt_rr() {
    if !Peer::MosquittoClients.present_for("errors of usage of mqtt-rr") {
        return;
    }
    for line in [
        "",
        "-t a",
        "-t a -m b",
        "-e",
        "-e a/# -t x -m y",
        "-e x -t a/# -m y",
        "-l",
    ] {
        same_error(Program::Rr, &words(line));
    }
}

#[test]
fn help_and_version_are_printed_and_exit_with_1() {
    if oracle_differs("our own texts") {
        return;
    }
    for program in [Program::Pub, Program::Sub, Program::Rr] {
        let help = run(program.command().arg("--help")).expect_code(1);
        assert!(help.stdout.contains("--will-topic") && help.stderr.is_empty());
        let version = run(program.command().arg("--version")).expect_code(1);
        let expected = format!("{} version {}", program.name(), env!("CARGO_PKG_VERSION"));
        assert_eq!(version.stdout.trim_end(), expected);
    }
}

#[test]
fn what_comes_later_says_what_to_do_instead() {
    if oracle_differs("our own texts") {
        return;
    }
    for (line, word) in [
        ("--tls-engine pkcs11", "--key"),
        #[cfg(not(feature = "psk"))]
        ("--psk 1234 --psk-identity a", "--features psk"),
        ("--keyform engine --cert c --key k", "OpenSSL engines"),
    ] {
        let args = [&words(line)[..], &["-t", "a", "-m", "b"]].concat();
        let done = run(Program::Pub.command().args(args)).expect_code(1);
        let named = words(line)[0];
        assert!(
            done.stderr.starts_with("Error: ") && done.stderr.contains(word),
            "{named}: {done}"
        );
    }
}

#[test]
fn an_options_file_comes_before_the_command_line() {
    if oracle_differs("our own texts") {
        return;
    }
    let directory = tempfile::TempDir::new().expect("a directory");
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("a file");
    };
    // Port 1 refuses; a bad QoS would be told first.
    write("mosquitto_pub", "-q 3\n");
    let args = ["-t", "a", "-m", "b", "-p", "1", "-h", "127.0.0.1"];
    let at = |args: &[&str]| {
        run(Program::Pub
            .command()
            .env("XDG_CONFIG_HOME", directory.path())
            .args(args))
        .expect_code(1)
        .stderr
    };
    assert!(at(&args).starts_with("Error: Invalid QoS given: 3\n"));
    let overridden = [&args[..], &["-q", "1"]].concat();
    assert_eq!(at(&overridden), "Error: Connection refused\n");
    write("mqtt-pub", "# ours comes first\n-q 4\n");
    assert!(at(&args).starts_with("Error: Invalid QoS given: 4\n"));
    write("other", "--foo\n");
    let other = directory.path().join("other");
    let named = [&args[..], &["-o", other.to_str().expect("a path")]].concat();
    assert!(at(&named).starts_with("Error: Unknown option '--foo'.\n"));
}
