//! Servers whose certificates are good, or are not.

use crate::ca::{self, Pair, text};
use crate::common::peers::Peer;
use crate::stage::{Make, Stage, publish};

/// A server with this certificate is refused by our client, who says why.
#[track_caller]
fn refused(stage: &Stage, server: &Pair, why: &str) {
    for make in makes() {
        let broker = make.broker(server, "");
        let done = publish(Make::Ours, &broker, &["--cafile", stage.ca.path()]).expect_code(8);
        assert!(
            done.stderr.contains("Error: A TLS error occurred.\n"),
            "{done}"
        );
        assert!(done.stderr.contains(why), "{done}");
    }
}

fn makes() -> Vec<Make> {
    let mut makes = vec![Make::Ours];
    if Peer::MosquittoBroker.present_for("bad certificates of mosquitto") {
        makes.push(Make::Mosquitto);
    }
    makes
}

#[test]
fn bad_certificates_are_refused_and_named() {
    let stage = Stage::new();
    let names = ["localhost"];
    refused(
        &stage,
        &stage.ca.expired(&names),
        "it has expired. It is 'CN=localhost,O=Course'",
    );
    refused(
        &stage,
        &stage.ca.not_yet_valid(&names),
        "it is not valid yet",
    );
    refused(
        &stage,
        &stage.other_ca().issue(&names),
        "no CA that is trusted here issued it",
    );
    refused(
        &stage,
        &ca::self_signed(stage.directory.path(), &names),
        "it is signed by itself",
    );
    refused(
        &stage,
        &stage.ca.issue(&["example.org"]),
        "it is not for 'localhost' but for 'example.org'",
    );
}

#[test]
fn the_name_may_be_left_unchecked_but_nothing_else() {
    let stage = Stage::new();
    for (server, code) in [
        (stage.ca.issue(&["example.org"]), 0),
        (stage.ca.expired(&["example.org"]), 8),
        (stage.other_ca().issue(&["localhost"]), 8),
    ] {
        let broker = Make::Ours.broker(&server, "");
        let args = ["--cafile", stage.ca.path(), "--insecure"];
        publish(Make::Ours, &broker, &args).expect_code(code);
    }
}

/// Courses write the server's own certificate into cafile.
#[test]
fn a_certificate_signed_by_itself_is_trusted_by_name() {
    let stage = Stage::new();
    let server = ca::self_signed(stage.directory.path(), &["localhost"]);
    let broker = Make::Ours.broker(&server, "");
    for make in makes() {
        publish(make, &broker, &["--cafile", text(&server.certificate)]).expect_code(0);
    }
}

#[test]
fn addresses_are_names_too() {
    let stage = Stage::new();
    let broker = Make::Ours.broker(&stage.server(), "");
    for make in makes() {
        let args = ["--cafile", stage.ca.path(), "-h", "127.0.0.1"];
        publish(make, &broker, &args).expect_code(0);
    }
}

/// Let's Encrypt's `cert.pem` and `chain.pem`, as recipes for Mosquitto have
/// them: the CA between stands in cafile.
#[test]
fn the_chain_is_completed_from_cafile() {
    let stage = Stage::new();
    let between = stage.ca.subordinate("Between");
    let server = between.issue(&["localhost"]);
    for (lines, complete) in [
        (format!("cafile {}\n", between.path()), true),
        (String::new(), false),
    ] {
        let broker = Make::Ours.broker(&server, &lines);
        for make in makes() {
            let done = publish(make, &broker, &["--cafile", stage.ca.path()]);
            assert_eq!(done.code == Some(0), complete, "{done}");
        }
    }
}
