//! Pre-shared keys in place of certificates, with Mosquitto's programs on
//! either side. Only in a build with the feature `psk`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::common::Program;
use crate::common::broker::{Broker, Setup};
use crate::common::peers::{Peer, program_for};
use crate::common::process::{Finished, run, run_with_input};
use crate::stage::{Make, publish, subscribe};

/// A key that begins with zeros, which a number would lose.
const ANN: [&str; 4] = ["--psk", "0000ff10c4", "--psk-identity", "ann"];
const BOB: [&str; 4] = ["--psk", "b0b0b0b0b0", "--psk-identity", "bob"];

fn broker(make: Make, lines: &str) -> Broker {
    let setup = Setup::new();
    setup.write("keys", "# two\nann:0000ff10c4\nbob:b0b0b0b0b0\n");
    let conf = format!(
        "listener {{port}}\nallow_anonymous true\npsk_file {{dir}}/keys\npsk_hint a hint\n{lines}"
    );
    let command = match make {
        Make::Ours => setup.command(&conf),
        Make::Mosquitto => {
            let path = setup.write("broker.conf", &format!("user root\n{conf}"));
            let mut command = Program::Broker.mosquitto();
            command.arg("-v").arg("-c").arg(path);
            command
        }
    };
    setup.start_command(command)
}

fn pairs() -> Vec<(Make, Make)> {
    let mut pairs = vec![(Make::Ours, Make::Ours)];
    if Peer::MosquittoClients.present_for("pre-shared keys of mosquitto_pub") {
        pairs.push((Make::Ours, Make::Mosquitto));
    }
    if Peer::MosquittoBroker.present_for("pre-shared keys of mosquitto") {
        pairs.push((Make::Mosquitto, Make::Ours));
    }
    pairs
}

/// Waits for one line more of this text than the log had before `action`.
fn until_told<R>(broker: &Broker, text: &str, action: impl FnOnce() -> R) -> R {
    let before = broker.log().matches(text).count();
    let result = action();
    let more = |log: &str| log.matches(text).count() > before;
    broker.process().stderr.wait_until(more);
    result
}

/// The publisher that isn't let in, and why the broker's log says so.
fn refused(make: Make, broker: &Broker, args: &[&str], why: &str) -> Finished {
    let done = until_told(broker, why, || publish(make, broker, args));
    assert_ne!(done.code, Some(0), "{done}");
    done
}

#[test]
fn messages_of_every_size_in_both_versions() {
    let large = "x".repeat(1_000_000);
    for (broker_make, client) in pairs() {
        let broker = broker(broker_make, "max_packet_size 2000000\n");
        for version in ["tlsv1.2", "tlsv1.3"] {
            let tls = [&ANN[..], &["--tls-version", version]].concat();
            let subscriber = subscribe(client, &broker, &[&tls[..], &["-C", "3"]].concat());
            for (qos, message) in [("0", "small"), ("1", large.as_str()), ("2", "é")] {
                let mut command = client.command(Program::Pub);
                command.args(["-h", "localhost", "-p", &broker.port.to_string()]);
                command.args(["-t", "t", "-q", qos, "-s"]).args(BOB);
                run_with_input(&mut command, message).expect_code(0);
                subscriber.stdout.wait_for(&format!("{message}\n"));
            }
            subscriber.finish().expect_code(0);
        }
    }
}

#[test]
fn ciphers_go_to_openssl() {
    let own = broker(
        Make::Ours,
        "tls_version tlsv1.3\nciphers_tls1.3 TLS_AES_128_CCM_SHA256\n",
    );
    let suite = ["--ciphers", "TLS_AES_128_CCM_SHA256"];
    publish(Make::Ours, &own, &[&ANN[..], &suite].concat()).expect_code(0);
    let others = ["--ciphers", "TLS_AES_256_GCM_SHA384"];
    let args = [&ANN[..], &others].concat();
    refused(Make::Ours, &own, &args, "no shared cipher");

    let setup = Setup::new();
    setup.write("keys", "ann:00\n");
    let conf = "listener {port}\npsk_file {dir}/keys\npsk_hint h\nciphers AES256-BACON\n";
    let done = run(&mut setup.command(conf)).expect_code(1);
    assert!(
        done.stderr
            .contains("`AES256-BACON` leaves no cipher suite"),
        "{done}"
    );
}

#[test]
fn who_has_no_key_or_another_stays_out_and_others_notice_nothing() {
    let broker = broker(Make::Ours, "");
    let watcher = subscribe(Make::Ours, &broker, &ANN);
    let clients = pairs()
        .into_iter()
        .filter(|(broker, _)| *broker == Make::Ours);
    for (_, client) in clients {
        let wrong = ["--psk", "ff10c4", "--psk-identity", "ann"];
        let why = "rejected, TLS failed: the key of identity 'ann' differs";
        refused(client, &broker, &wrong, why);
        let unknown = ["--psk", "0000ff10c4", "--psk-identity", "a'n\nn"];
        let why = r"rejected, TLS failed: identity 'a\'n\nn' is not in `psk_file`";
        refused(client, &broker, &unknown, why);
        let certificates = [
            "--cafile",
            "/etc/ssl/certs/ca-certificates.crt",
            "--insecure",
        ];
        if fs::exists(certificates[1]).is_ok_and(|there| there) {
            let why = "rejected, TLS failed: it offers no pre-shared key";
            refused(client, &broker, &certificates, why);
        }
        let why = "rejected, TLS failed: what it sent is not TLS";
        refused(client, &broker, &[], why);
    }
    let done = publish(
        Make::Ours,
        &broker,
        &["--psk", "00", "--psk-identity", "ann"],
    )
    .expect_code(8);
    assert!(done.stderr.contains("refused the pre-shared key"), "{done}");
    publish(Make::Ours, &broker, &BOB).expect_code(0);
    watcher.stdout.wait_for("hello");
}

/// In TLS 1.2 a wrong key shows only when the handshake ends.
#[test]
fn a_wrong_key_is_told_in_both_versions() {
    let Some(openssl) = program_for("openssl", "a wrong key in TLS 1.2") else {
        return;
    };
    let own = broker(Make::Ours, "");
    for suite in ["TLS_AES_128_GCM_SHA256", "PSK-AES256-GCM-SHA384"] {
        let mut command = Command::new(&openssl);
        command.args(["s_client", "-connect", &format!("127.0.0.1:{}", own.port)]);
        command.args(["-psk", "00", "-psk_identity", "bob"]);
        if suite.starts_with("TLS_") {
            command.args(["-tls1_3", "-ciphersuites", suite]);
        } else {
            command.args(["-tls1_2", "-cipher", suite]);
        }
        let why = "rejected, TLS failed: the key of identity 'bob' differs";
        let done = until_told(&own, why, || run(&mut command));
        assert_ne!(done.code, Some(0), "{done}");
    }
}

/// At their broker: the words are ours, the refusal is theirs.
#[test]
fn mosquitto_refuses_a_wrong_key_of_ours() {
    if !Peer::MosquittoBroker.present_for("pre-shared keys that mosquitto refuses") {
        return;
    }
    let broker = broker(Make::Mosquitto, "");
    for wrong in [
        ["--psk", "ff10c4", "--psk-identity", "ann"],
        ["--psk", "0000ff10c4", "--psk-identity", "joe"],
    ] {
        let done = publish(Make::Ours, &broker, &wrong).expect_code(8);
        assert!(done.stderr.contains("refused the pre-shared key"), "{done}");
    }
}

/// A broker with a certificate that doesn't know the key is not trusted.
#[test]
fn a_certificate_is_no_answer_to_a_key() {
    let stage = crate::stage::Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "");
    let done = publish(Make::Ours, &broker, &ANN).expect_code(8);
    assert!(done.stderr.contains("a certificate instead"), "{done}");
}

/// Rules go by the identity; neither password file nor the name in CONNECT
/// count. At Mosquitto's broker the same.
#[test]
fn the_identity_may_be_the_user_name() {
    for (make, client) in pairs() {
        let setup = Setup::new();
        setup.write("keys", "ann:0000ff10c4\nbob:b0b0b0b0b0\n");
        setup.write("acl", "user ann\ntopic readwrite t\n");
        let users = setup.path("users");
        let users = users.to_str().expect("a printable path");
        run(Program::Passwd
            .command()
            .args(["-c", "-H", "sha512-pbkdf2", "-b", users, "bob", "x"]))
        .expect_code(0);
        let conf = "user root\nlistener {port}\npsk_file {dir}/keys\npsk_hint h\n\
                    use_identity_as_username true\nallow_anonymous false\n\
                    acl_file {dir}/acl\npassword_file {dir}/users\n";
        let path = setup.write("broker.conf", conf);
        let mut command = make.command(Program::Broker);
        command.arg("-v").arg("-c").arg(path);
        let broker = setup.start_command(command);
        let subscriber = subscribe(client, &broker, &ANN);
        publish(client, &broker, &ANN).expect_code(0);
        subscriber.stdout.wait_for("hello\n");
        let allowed = |args: &[&str]| {
            let done = publish(Make::Ours, &broker, &[args, &["-V", "5"]].concat());
            !done.stderr.contains("Not authorized")
        };
        assert!(allowed(&[&ANN[..], &["-u", "bob", "-P", "y"]].concat()));
        assert!(!allowed(&[&BOB[..], &["-u", "ann", "-P", "y"]].concat()));
        broker.process().stderr.wait_for("u'ann'"); // the name of the identity
    }
}

/// The keys are read again; who is connected stays, as with Mosquitto.
#[test]
fn a_reload_takes_the_file_anew() {
    let broker = broker(
        Make::Ours,
        "use_identity_as_username true\nallow_anonymous false\n",
    );
    let watcher = subscribe(Make::Ours, &broker, &ANN);
    fs::write(broker.path("keys"), "bob:b0b0b0b0b0\n").expect("writing keys");
    until_told(&broker, "The new configuration holds.", || {
        broker.process().send(Signal::SIGHUP);
    });
    refused(Make::Ours, &broker, &ANN, "identity 'ann' is not in");
    publish(Make::Ours, &broker, &BOB).expect_code(0);
    watcher.stdout.wait_for("hello\n");
    // A file with a mistake leaves the old keys.
    fs::write(broker.path("keys"), "bob\n").expect("writing keys");
    until_told(&broker, "there is no colon in this line", || {
        broker.process().send(Signal::SIGHUP);
    });
    publish(Make::Ours, &broker, &BOB).expect_code(0);
}

#[test]
fn a_file_that_everybody_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let setup = Setup::new();
    let keys = setup.write("keys", "ann:00\n");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).expect("the mode of a file");
    let broker = setup.start("listener {port}\npsk_file {dir}/keys\npsk_hint h\n");
    let warning = format!("can read {}", keys.display());
    broker.process().stderr.wait_for(&warning);
}

/// TLS below WebSocket, behind a proxy's header.
#[test]
fn other_layers_go_over_and_under_it() {
    let web = broker(Make::Ours, "protocol websockets\n");
    publish(Make::Ours, &web, &[&ANN[..], &["--ws"]].concat()).expect_code(0);

    let any = broker(Make::Ours, "protocol any\n");
    publish(Make::Ours, &any, &ANN).expect_code(0);
    publish(Make::Ours, &any, &[]).expect_code(0);

    let proxied = broker(Make::Ours, "enable_proxy_protocol 1\n");
    let mut socket = TcpStream::connect(("127.0.0.1", proxied.port)).expect("connected");
    socket
        .write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 99 88\r\nno TLS")
        .expect("writing");
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let why = "192.0.2.7:99 rejected, TLS failed: what it sent is not TLS";
    proxied.process().stderr.wait_for(why);
}

#[test]
fn secrets_can_be_logged_for_wireshark() {
    let own = broker(Make::Ours, "");
    let file = own.path("secrets");
    let file = file.to_str().expect("a printable path");
    publish(
        Make::Ours,
        &own,
        &[&ANN[..], &["--tls-keylog", file]].concat(),
    )
    .expect_code(0);
    let secrets = fs::read_to_string(file).expect("secrets");
    assert!(secrets.contains("CLIENT_TRAFFIC_SECRET_0 "), "{secrets}");
}
