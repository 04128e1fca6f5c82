//! Certificates, keys, CAs and revocation lists taken anew while the broker
//! runs.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::ca::{Pair, text};
use crate::common::broker::{Broker, Setup};
use crate::stage::{Make, Stage, publish, subscribe};

const DONE: &str = "The new configuration holds.";
const NOT_DONE: &str = "The new configuration is not taken";

/// Has the broker read its files again, and waits until it says so.
fn reload(broker: &Broker, outcome: &str) {
    let before = broker.log().matches(outcome).count();
    broker.process().send(Signal::SIGHUP);
    let told = |log: &str| log.matches(outcome).count() > before;
    broker.process().stderr.wait_until(told);
}

fn replace(file: &Path, by: &Path) {
    fs::copy(by, file).expect("copying a file");
}

#[test]
fn a_new_certificate_counts_for_new_connections() {
    let stage = Stage::new();
    let setup = Setup::new();
    let pair = Pair {
        certificate: setup.path("server.crt"),
        key: setup.path("server.key"),
    };
    let install = |new: &Pair| {
        replace(&pair.certificate, &new.certificate);
        replace(&pair.key, &new.key);
    };
    install(&stage.server());
    let conf = format!("listener {{port}}\nallow_anonymous true\n{}", pair.lines());
    let command = setup.command(&conf);
    let broker = setup.start_command(command);
    let (old, new) = (&stage.ca, stage.other_ca());
    let watcher = subscribe(Make::Ours, &broker, &["--cafile", old.path()]);
    let accepted = |ca: &str| publish(Make::Ours, &broker, &["--cafile", ca]).code == Some(0);

    install(&new.issue(&["localhost"]));
    assert!(accepted(old.path()), "nothing was read again");
    reload(&broker, DONE);
    assert!(accepted(new.path()) && !accepted(old.path()));

    // A certificate whose key was forgotten: nothing changes.
    replace(&pair.certificate, &stage.server().certificate);
    reload(&broker, NOT_DONE);
    let log = &broker.process().stderr;
    log.wait_for("is not that of the certificate");
    assert!(accepted(new.path()));

    // Who was there before is there still: it got all three.
    watcher.stdout.wait_until(|text| text.lines().count() == 3);
    assert!(!watcher.ended());
}

#[test]
fn a_new_revocation_list_keeps_out_whom_it_names() {
    let stage = Stage::new();
    let crl = stage.directory.path().join("list.crl");
    replace(&crl, &stage.ca.revoke(&[1]));
    let lines = format!(
        "{}crlfile {}\nuse_identity_as_username true\n",
        stage.required(),
        text(&crl)
    );
    let broker = Make::Ours.broker(&stage.server(), &lines);
    let (joe, ann) = (stage.ca.numbered("joe", 7), stage.ca.numbered("ann", 8));
    let as_client = |client: &Pair| {
        let args = [&["--cafile", stage.ca.path()], &client.arguments()[..]].concat();
        publish(Make::Ours, &broker, &args).code
    };
    let args = [&["--cafile", stage.ca.path()], &ann.arguments()[..]].concat();
    let watcher = subscribe(Make::Ours, &broker, &args);
    assert_eq!(as_client(&joe), Some(0));
    replace(&crl, &stage.ca.revoke(&[7]));
    reload(&broker, DONE);
    assert_eq!(as_client(&joe), Some(8));
    assert_eq!(as_client(&ann), Some(0));
    // Who is not named is there still.
    watcher.stdout.wait_until(|text| text.lines().count() == 2);
    assert!(!watcher.ended());
    // Who is connected when it is named is sent away.
    replace(&crl, &stage.ca.revoke(&[7, 8]));
    reload(&broker, DONE);
    let why = "by a reload: its certificate is not trusted any more";
    broker.process().stderr.wait_until(|log| log.contains(why));
}
