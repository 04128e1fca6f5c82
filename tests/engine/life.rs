//! Start and end of the process.

use crate::common::broker::{OPEN, Setup};
use crate::common::clients::publish;
use crate::common::process::run;
use crate::{command, start};
use nix::sys::signal::Signal;

#[test]
fn sigterm_ends_it_and_sighup_does_not() {
    let setup = Setup::new();
    let conf = format!("{OPEN}pid_file {{dir}}/pid\n");
    let command = command(&setup, &conf);
    let broker = setup.start_command(command);
    let pid = crate::common::broker::wait_for_file(&broker.path("pid"));
    assert!(pid.trim().parse::<u32>().is_ok(), "{pid}");
    broker.process().stderr.wait_for("rumqttd is running");
    broker.process().send(Signal::SIGHUP);
    broker.process().stderr.wait_for("SIGHUP: rumqttd");
    publish(&broker, &["-t", "t", "-q", "1", "-m", "still there"]);
    let file = broker.path("pid");
    broker.stop().expect_code(0);
    assert!(!file.exists());
}

#[test]
fn a_port_in_use_ends_the_start_in_our_words() {
    for version in [
        "",
        "accept_protocol_versions 4\n",
        "accept_protocol_versions 5\n",
    ] {
        let broker = start(OPEN);
        let setup = Setup::at(broker.port);
        let done = run(&mut command(&setup, &format!("{OPEN}{version}"))).expect_code(1);
        let place = format!(":{}: ", broker.port);
        assert!(done.stderr.contains("cannot listen on"), "{done}");
        assert!(done.stderr.contains(&place), "{done}");
    }
}

#[test]
fn files_that_rumqttd_would_find_bad_later_are_told_at_the_start() {
    for (lines, told) in [
        ("password_file {dir}/none\n", "cannot read"),
        ("certfile {dir}/none\nkeyfile {dir}/none\n", "TLS on port"),
    ] {
        let setup = Setup::new();
        let conf = format!("listener {{port}}\naccept_protocol_versions 4\n{lines}");
        let done = run(&mut command(&setup, &conf)).expect_code(1);
        assert!(done.stderr.contains(told), "{done}");
    }
}
