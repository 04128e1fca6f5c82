//! Versions and ciphers, clients that never finish, files that are wrong.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use crate::ca::{Pair, text};
use crate::common::broker::Setup;
use crate::common::process::run;
use crate::stage::{Make, Stage, publish};

/// Whether OpenSSL's own client gets through with these options.
fn openssl_gets_through(port: u16, args: &[&str]) -> bool {
    let mut client = Command::new("openssl");
    client
        .args(["s_client", "-connect", &format!("localhost:{port}")])
        .args(args);
    run(&mut client).code == Some(0)
}

#[test]
fn versions_are_those_that_are_allowed() {
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "");
    assert!(openssl_gets_through(broker.port, &["-tls1_2"]));
    assert!(openssl_gets_through(broker.port, &["-tls1_3"]));
    assert!(!openssl_gets_through(
        broker.port,
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]
    ));
    let broker = Make::Ours.broker(&stage.server(), "tls_version tlsv1.3\n");
    assert!(!openssl_gets_through(broker.port, &["-tls1_2"]));
    assert!(openssl_gets_through(broker.port, &["-tls1_3"]));
    let tls = ["--cafile", stage.ca.path(), "--tls-version", "tlsv1.3"];
    publish(Make::Ours, &broker, &tls).expect_code(0);
}

#[test]
fn ciphers_are_those_that_are_allowed() {
    let stage = Stage::new();
    let lines = "ciphers ECDHE+CHACHA20:!aNULL\nciphers_tls1.3 TLS_AES_128_GCM_SHA256\n";
    let broker = Make::Ours.broker(&stage.server(), lines);
    let tls12 = |list| openssl_gets_through(broker.port, &["-tls1_2", "-cipher", list]);
    assert!(tls12("ECDHE-ECDSA-CHACHA20-POLY1305"));
    assert!(!tls12("ECDHE-ECDSA-AES128-GCM-SHA256"));
    let tls13 = |list| openssl_gets_through(broker.port, &["-tls1_3", "-ciphersuites", list]);
    assert!(tls13("TLS_AES_128_GCM_SHA256"));
    assert!(!tls13("TLS_AES_256_GCM_SHA384"));
    for (list, code) in [
        ("TLS_AES_128_GCM_SHA256", 0),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", 0),
        ("TLS_AES_256_GCM_SHA384", 8),
    ] {
        let args = ["--cafile", stage.ca.path(), "--ciphers", list];
        publish(Make::Ours, &broker, &args).expect_code(code);
    }
}

/// Clients that say nothing, half a word or nonsense keep nobody out.
#[test]
fn clients_that_never_finish_keep_nobody_out() {
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "");
    let connect = || TcpStream::connect(("localhost", broker.port)).expect("a connection");
    let mut stuck = Vec::new();
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01"] {
        for _ in 0..50 {
            let mut stream = connect();
            stream.write_all(beginning).expect("writing");
            stuck.push(stream);
        }
    }
    publish(Make::Ours, &broker, &["--cafile", stage.ca.path()]).expect_code(0);

    let mut garbage = connect();
    garbage
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("writing");
    let mut answer = Vec::new();
    // An alert, and the end.
    garbage.read_to_end(&mut answer).expect("reading");
    assert_eq!(answer.first(), Some(&0x15), "{answer:?}");
    broker.process().stderr.wait_for("what it sent is not TLS");
    drop(stuck);
    publish(Make::Ours, &broker, &["--cafile", stage.ca.path()]).expect_code(0);
}

/// The broker doesn't start, and says which file is wrong and why.
#[test]
fn files_that_are_wrong_are_named() {
    let stage = Stage::new();
    let (server, other) = (stage.server(), stage.server());
    let hostname = std::path::Path::new("/etc/hostname");
    let missing = std::path::Path::new("/nonexistent");
    let with = |certificate: &std::path::Path, key: &std::path::Path| Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    for (pair, lines, what) in [
        (with(missing, &server.key), "", "cannot read /nonexistent"),
        (
            with(hostname, &server.key),
            "",
            "/etc/hostname holds no certificate",
        ),
        (
            with(&server.certificate, missing),
            "",
            "cannot read /nonexistent",
        ),
        (
            with(&server.certificate, hostname),
            "",
            "/etc/hostname holds no private key",
        ),
        (
            with(&server.certificate, &other.key),
            "",
            "is not that of the certificate",
        ),
        (
            server.clone(),
            "cafile /nonexistent\n",
            "cannot read /nonexistent",
        ),
        (
            server.clone(),
            "capath /nonexistent\n",
            "cannot read the directory /nonexistent",
        ),
    ] {
        let setup = Setup::new();
        let conf = format!("listener {{port}}\n{}{lines}", pair.lines());
        // The line is told by who only looks.
        let done = run(setup.command(&conf).arg("--test-config")).expect_code(3);
        assert!(done.stderr.contains(what), "{done}");
        assert!(done.stderr.contains("broker.conf:"), "{done}");
        let done = run(&mut setup.command(&conf)).expect_code(1);
        assert!(done.stderr.contains(what), "{done}");
        let place = format!("TLS on port {}", setup.port());
        assert!(done.stderr.contains(&place), "{done}");
    }
    let crl = format!(
        "{}crlfile {}\n",
        stage.required(),
        text(&server.certificate)
    );
    let setup = Setup::new();
    let conf = format!("listener {{port}}\n{}{crl}", server.lines());
    let done = run(&mut setup.command(&conf)).expect_code(1);
    assert!(done.stderr.contains("holds no revocation list"), "{done}");
}

#[test]
fn the_broker_writes_secrets_for_wireshark() {
    let stage = Stage::new();
    let setup = Setup::new();
    let secrets = setup.path("secrets");
    let conf = format!(
        "listener {{port}}\nallow_anonymous true\n{}",
        stage.server().lines()
    );
    let mut command = setup.command(&conf);
    command.arg("--tls-keylog").arg(&secrets);
    let broker = setup.start_command(command);
    publish(Make::Ours, &broker, &["--cafile", stage.ca.path()]).expect_code(0);
    let secrets = std::fs::read_to_string(&secrets).expect("the secrets");
    assert!(secrets.contains("SERVER_TRAFFIC_SECRET_0 "), "{secrets}");
}
