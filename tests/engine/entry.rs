//! Who may come in.

use crate::common::broker::{Broker, OPEN, Setup};
use crate::common::clients::at;
use crate::common::process::run;
use crate::common::raw::{Connect, Raw};
use crate::common::{Program, TIMEOUT};
use crate::{command, start};
use std::sync::atomic::{AtomicU32, Ordering};

fn with_users(lines: &str) -> Broker {
    let setup = Setup::new();
    let file = setup.path("passwd");
    for (options, name, password) in [
        (&["-b", "-c"][..], "sondes", "secret"),
        (&["-b"][..], "écran", "clé"),
    ] {
        let mut passwd = Program::Passwd.command();
        run(passwd.args(options).arg(&file).args([name, password])).expect_code(0);
    }
    let conf = format!("listener {{port}}\npassword_file {{dir}}/passwd\n{lines}");
    let command = command(&setup, &conf);
    setup.start_command(command)
}

/// Whether a client is let in; rumqttd closes on all others without a word.
fn enters(broker: &Broker, version: u8, user: Option<&str>, password: Option<&str>) -> bool {
    // rumqttd may close on a client whose identifier left a moment ago.
    static GUESTS: AtomicU32 = AtomicU32::new(0);
    let id = format!("guest{}", GUESTS.fetch_add(1, Ordering::Relaxed));
    let mut raw = Raw::open(broker.port);
    let connect = Connect {
        version,
        user,
        password,
        ..Connect::new(&id)
    };
    raw.send(&connect.bytes());
    let answer = raw.packet_or_end(TIMEOUT).expect("an answer or the end");
    answer.is_some_and(|answer| answer[0] == 0x20 && answer[3] == 0)
}

#[test]
fn users_come_from_the_password_file() {
    let broker = with_users("");
    for version in [4, 5] {
        let enters = |user, password| enters(&broker, version, user, password);
        assert!(enters(Some("sondes"), Some("secret")));
        assert!(enters(Some("écran"), Some("clé")));
        assert!(!enters(Some("sondes"), Some("wrong")));
        assert!(!enters(Some("sondes"), Some("clé")));
        assert!(!enters(Some("sondes"), Some("")));
        assert!(!enters(Some("sondes"), None));
        assert!(!enters(Some("stranger"), Some("secret")));
        assert!(!enters(None, None));
    }
}

#[test]
fn a_wrong_password_ends_our_publisher() {
    let broker = with_users("accept_protocol_versions 4\n");
    let publish = |password| {
        let mut publisher = Program::Pub.command();
        at(&mut publisher, broker.port).args(["-u", "sondes", "-P", password]);
        run(publisher.args(["-t", "a", "-m", "b", "-q", "1"]))
    };
    publish("secret").expect_code(0);
    let refused = publish("wrong");
    assert!(refused.code != Some(0), "{refused}");
}

#[test]
fn without_users_everybody_or_nobody_comes_in() {
    let open = start(OPEN);
    assert!(enters(&open, 4, None, None));
    assert!(enters(&open, 5, Some("whoever"), Some("whatever")));
    let closed = start("listener {port}\n");
    assert!(!enters(&closed, 4, None, None));
    assert!(!enters(&closed, 5, Some("whoever"), Some("whatever")));
}

#[test]
fn rumqttds_own_limits_are_used() {
    let broker = start(&format!(
        "{OPEN}global_max_connections 2\nmax_packet_size 100\n"
    ));
    let (mut first, _) = Raw::client(broker.port, &Connect::new("first"));
    let (_second, _) = Raw::client(broker.port, &Connect::new("second"));
    let mut third = Raw::open(broker.port);
    third.send(&Connect::new("third").bytes());
    third.expect_end();
    first.send(&crate::common::raw::publish("t", &"x".repeat(200), false));
    first.expect_end();
}
