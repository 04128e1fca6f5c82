//! `--test-config`: what a file says in effect, without starting a broker.

use crate::common::broker::{Broker, Setup};
use crate::common::process::{Finished, run};
use crate::common::{Program, oracle_differs};

fn check(setup: &Setup, conf: &str) -> Finished {
    let path = setup.write("check.conf", conf);
    run(Program::Broker
        .command()
        .arg("--test-config")
        .arg("-c")
        .arg(path))
}

#[test]
fn a_good_file_is_told_in_effect() {
    if oracle_differs("2.0 has no --test-config") {
        return;
    }
    let setup = Setup::new();
    std::fs::create_dir(setup.path("conf.d")).expect("a directory");
    setup.write(
        "conf.d/lab.conf",
        "allow_anonymous 1 # all\nlistener 1885 ::1\n",
    );
    let conf = "# the lab\nlistener 1884\nmax_qos 2\nmax_connections 30 # pupils\n\
                retry_interval 5\ninclude_dir {dir}/conf.d\n";
    let done = check(&setup, conf).expect_code(0);
    assert_eq!(
        done.stdout,
        "allow_anonymous true\n\nlistener 1884\nmax_connections 30\n\nlistener 1885 ::1\n"
    );
    // What it warns of goes elsewhere.
    assert!(done.stderr.contains("check.conf:5:1: warning: "), "{done}");
}

#[test]
fn nothing_is_started_and_no_port_is_needed() {
    if oracle_differs("2.0 has no --test-config") {
        return;
    }
    let broker = Broker::open();
    let setup = Setup::at(broker.port);
    let conf = "listener {port}\nlog_dest file {dir}/log\npid_file {dir}/pid\n";
    check(&setup, conf).expect_code(0);
    assert!(!setup.path("log").exists() && !setup.path("pid").exists());
}

#[test]
fn mistakes_end_it_with_3() {
    if oracle_differs("2.0 has no --test-config") {
        return;
    }
    let setup = Setup::new();
    let done = check(&setup, "listner 1884\nmax_qos 3\n").expect_code(3);
    assert_eq!(done.stdout, "");
    for place in ["check.conf:1:1: error", "check.conf:2:9: error"] {
        assert!(done.stderr.contains(place), "{done}");
    }
    let alone = run(Program::Broker.command().arg("--test-config")).expect_code(3);
    assert!(alone.stderr.contains("--config-file"), "{alone}");
}

#[test]
fn the_files_of_its_listeners_are_checked_too() {
    if oracle_differs("2.0 has no --test-config") {
        return;
    }
    let setup = Setup::new();
    setup.write("users", "eve:$7$nonsense\n");
    setup.write("rights", "user eve\ntopic sideways a\ntopics b\n");
    let conf = "listener 1884\npassword_file {dir}/users\nacl_file {dir}/rights\n";
    let done = check(&setup, conf).expect_code(3);
    for place in ["users:1", "rights:2", "rights:3"] {
        assert!(done.stderr.contains(place), "{done}");
    }
    let missing = check(&setup, "listener 1884\nacl_file {dir}/none\n").expect_code(3);
    assert!(
        missing.stderr.contains("check.conf:2:1: error: "),
        "{missing}"
    );
    assert!(missing.stderr.contains("help: "), "{missing}");

    setup.write("rights", "pattern read plant/#\n");
    let conf = "listener 1884\nacl_file {dir}/rights\n";
    let warned = check(&setup, conf).expect_code(0);
    assert!(warned.stderr.contains("rights:1"), "{warned}");
}

#[cfg(not(feature = "peers"))]
#[test]
fn an_engine_that_was_not_built_is_refused_with_the_command_that_builds_it() {
    if oracle_differs("it has no --engine") {
        return;
    }
    let setup = Setup::new();
    let path = setup.write("check.conf", "listener {port}\n");
    let with = |args: &[&str]| {
        let mut program = Program::Broker.command();
        run(program.args(args).arg("-c").arg(&path))
    };
    for more in [&[][..], &["--test-config"], &["--engine-lossy"]] {
        let done = with(&[&["--engine", "rumqttd"], more].concat()).expect_code(3);
        assert!(done.stderr.contains("--features peers"), "{done}");
    }
    with(&["--engine", "moustique", "--test-config"]).expect_code(0);
    let unknown = with(&["--engine", "vernemq"]).expect_code(3);
    assert!(unknown.stderr.contains("moustique, rumqttd"), "{unknown}");
}
