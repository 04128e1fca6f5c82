//! Files with secrets, and who can read them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::common::broker::{Broker, Setup, free_port};
use crate::common::process::run;
use crate::common::raw::{Connect, Raw};
use crate::common::{Program, oracle_differs};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A broker with a password file and a list of these modes, behind links.
fn broker(password_mode: u32, list_mode: u32) -> Broker {
    let setup = Setup::new();
    let mut passwd = Program::Passwd.command();
    passwd
        .args(["-H", "sha512", "-c", "-b"])
        .arg(setup.path("passwords"))
        .args(["ann", "secret"]);
    run(&mut passwd).expect_code(0);
    setup.write("list", "user ann\ntopic #\n");
    for (name, mode) in [("passwords", password_mode), ("list", list_mode)] {
        set_mode(&setup.path(name), mode);
        let link = setup.path(&format!("{name}.link"));
        std::os::unix::fs::symlink(setup.path(name), link).unwrap();
    }
    let security = "password_file {dir}/passwords.link\nacl_file {dir}/list.link\n";
    setup.start(&format!(
        "per_listener_settings true\n\
         listener {{port}} 127.0.0.1\n{security}listener {} 127.0.0.1\n{security}",
        free_port()
    ))
}

fn connects(broker: &Broker) {
    let connect = Connect {
        user: Some("ann"),
        password: Some("secret"),
        ..Connect::new("a")
    };
    Raw::client(broker.port, &connect);
}

#[test]
fn each_file_that_everybody_can_read_is_warned_of_once_and_works() {
    if oracle_differs("Mosquitto 2.0.11 warns of nothing") {
        return;
    }
    let broker = broker(0o644, 0o640);
    connects(&broker);
    let link = broker.path("passwords.link").display().to_string();
    let log = broker.stop().stderr;
    let warnings: Vec<_> = log
        .lines()
        .filter(|line| line.contains("Every user of this machine"))
        .collect();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    let end = format!("can read {link}; mend it with: chmod o-rwx {link}");
    assert!(warnings[0].ends_with(&end), "{}", warnings[0]);
}

#[test]
fn files_that_are_closed_are_not_mentioned() {
    let broker = broker(0o640, 0o600);
    connects(&broker);
    let log = broker.stop().stderr;
    assert!(!log.contains("Every user of this machine"), "{log}");
}
