//! Denials, as the log and the clients of others tell them.

use crate::common::broker::{Broker, Setup};
use crate::common::clients::publish;
use crate::common::process::run;
use crate::common::raw::{Connect, Raw, packet, text};
use crate::common::{Program, oracle_differs};

fn broker(conf: &str) -> Broker {
    let setup = Setup::new();
    setup.write("acl", "topic read open\ntopic deny shut\n");
    let conf = format!("listener {{port}}\nallow_anonymous true\nacl_file {{dir}}/acl\n{conf}");
    let command = setup.quiet_command(&conf);
    setup.start_command(command)
}

#[test]
fn the_log_has_one_line_that_says_all() {
    if oracle_differs("Mosquitto tells in debug lines") {
        return;
    }
    let broker = broker("");
    for _ in 0..3 {
        publish(
            &broker,
            &["-i", "dev", "-u", "ann", "-q", "1", "-t", "shut", "-m", "x"],
        );
        publish(&broker, &["-i", "own", "-q", "1", "-t", "shut", "-m", "x"]);
    }
    let acl = broker.path("acl").display().to_string();
    let log = broker.stop().stderr;
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("may not"))
        .collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("Client dev [127.0.0.1:"), "{}", lines[0]);
    let end = format!(", user ann] may not publish to 'shut': no rule of {acl} allows it.");
    assert!(lines[0].ends_with(&end), "{}", lines[0]);
    assert!(lines[1].contains("Client own [127.0.0.1:"), "{}", lines[1]);
    let end = format!("] may not publish to 'shut': denied by {acl}:2 (topic deny shut).");
    assert!(lines[1].ends_with(&end), "{}", lines[1]);
}

#[test]
fn a_subscription_in_vain_is_refused_where_that_is_asked_for() {
    if oracle_differs("Mosquitto grants it") {
        return;
    }
    let broker = broker("acl_check_subscribe true\n");
    let port = broker.port.to_string();
    let mut theirs = Program::Sub.mosquitto();
    theirs.args(["-p", &port, "-V", "mqttv5", "-t", "shut"]);
    let finished = run(&mut theirs);
    assert!(
        finished
            .stderr
            .contains("All subscription requests were denied."),
        "{finished:?}"
    );
    let (mut old, _) = Raw::client(broker.port, &Connect::new("old"));
    old.send(&packet(
        0x82,
        &[&[0, 1], &text("shut"), &[0], &text("#"), &[1]],
    ));
    old.expect(&[0x90, 4, 0, 1, 0x80, 1]);
}
