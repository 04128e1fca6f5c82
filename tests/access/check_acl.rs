//! `mqtt-broker --check-acl`.

use crate::common::Program;
use crate::common::broker::Setup;
use crate::common::oracle_differs;
use crate::common::process::{Finished, run};

const LIST: &str = "topic read news/#\nuser ann\ntopic deny a/secret\ntopic read a/+\n\
                    pattern write dev/%c/%u\n";

fn setup(conf: &str) -> Setup {
    let setup = Setup::new();
    setup.write("acl", LIST);
    setup.write("broker.conf", conf);
    setup
}

/// The program's answer, with the test's directory as `DIR`.
fn ask(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut program = Program::Broker.command();
    program
        .arg("--check-acl")
        .arg("-c")
        .arg(setup.path("broker.conf"))
        .args(arguments);
    let Finished {
        code,
        stdout,
        stderr,
        ..
    } = run(&mut program);
    let dir = setup.path("");
    let dir = dir.to_str().unwrap().trim_end_matches('/');
    (code, stdout.replace(dir, "DIR"), stderr)
}

#[test]
fn a_decision_comes_with_the_rule_that_made_it() {
    if oracle_differs("Mosquitto has no --check-acl") {
        return;
    }
    let setup = setup("listener {port}\nallow_anonymous true\nacl_file {dir}/acl\n");
    for (arguments, code, answer) in [
        (
            &["ann", "read", "a/b"][..],
            0,
            "allowed by DIR/acl:4 (topic read a/+)\n",
        ),
        (
            &["ann", "read", "a/secret"],
            1,
            "denied by DIR/acl:3 (topic deny a/secret)\nnote: for rules with %c, name the client \
             by --client-id\n",
        ),
        (
            &["ann", "write", "dev/d1/ann", "--client-id", "d1"],
            0,
            "allowed by DIR/acl:5 (pattern write dev/%c/%u)\n",
        ),
        (
            &["ann", "write", "dev/d1/ann", "--client-id", "d2"],
            1,
            "denied: no rule of DIR/acl allows it\n",
        ),
        (
            &["ann", "write", "x", "--client-id", "d+"],
            1,
            "denied: a client identifier or user name with '+' or '#' gets nothing from \
             patterns\n",
        ),
        (
            &["-", "read", "news/today"],
            0,
            "allowed by DIR/acl:1 (topic read news/#)\n",
        ),
        (
            &["", "read", "news/#"],
            0,
            "allowed by DIR/acl:1 (topic read news/#)\n",
        ),
        (
            &["--client-id", "x", "ann", "write", "$SYS/x"],
            1,
            "denied: only the broker itself publishes there\n",
        ),
    ] {
        let (exit, stdout, stderr) = ask(&setup, arguments);
        assert_eq!(
            (exit, &*stdout),
            (Some(code), answer),
            "{arguments:?} {stderr}"
        );
    }
}

#[test]
fn listeners_with_lists_of_their_own_are_told_apart() {
    if oracle_differs("Mosquitto has no --check-acl") {
        return;
    }
    let setup = setup(
        "per_listener_settings true\n\
         listener 4001\nacl_file {dir}/acl\nallow_anonymous false\n\
         listener 4002\nallow_anonymous true\n\
         listener 4003\nallow_anonymous true\n",
    );
    let question = ["-", "read", "x", "--client-id", "c"];
    let everyone = "allowed: there is no acl_file, so everyone may do everything\n";
    let (code, stdout, _) = ask(&setup, &question);
    let expected = format!(
        "port 4001: denied: no rule of DIR/acl allows it\n\
         note: clients without a user name are not let in here (allow_anonymous)\n\
         port 4002, 4003: {everyone}"
    );
    assert_eq!((code, stdout), (Some(1), expected));

    let mounted = self::setup("listener {port}\nmount_point news/\nacl_file {dir}/acl\n");
    let (code, stdout, _) = ask(&mounted, &["-", "read", "today"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("mount_point"), "{stdout}");
    let (code, stdout, _) = ask(&setup, &[&question[..], &["--listener", "4002"]].concat());
    assert_eq!((code, &*stdout), (Some(0), everyone));
    let (code, _, stderr) = ask(&setup, &[&question[..], &["--listener", "4004"]].concat());
    assert_eq!(code, Some(3));
    assert!(stderr.contains("4001, 4002, 4003"), "{stderr}");
}

#[test]
fn what_makes_no_sense_exits_with_3() {
    if oracle_differs("Mosquitto has no --check-acl") {
        return;
    }
    let right = setup("listener {port}\nacl_file {dir}/acl\n");
    for arguments in [
        &["ann", "read"][..],
        &["ann", "see", "x"],
        &["ann", "write", "a/#"],
        &["ann", "read", "a/#/b"],
        &["ann", "read", "x", "more"],
    ] {
        let (code, stdout, stderr) = ask(&right, arguments);
        assert_eq!((code, &*stdout), (Some(3), ""), "{arguments:?}");
        assert!(stderr.starts_with("Error: "), "{stderr}");
    }
    let (code, _, stderr) = ask(
        &setup("listener {port}\nacl_fil x\n"),
        &["ann", "read", "x"],
    );
    assert_eq!(code, Some(3));
    assert!(stderr.contains("acl_file"), "{stderr}");
    let broken = setup("listener {port}\nacl_file {dir}/acl\n");
    broken.write("acl", "topics x\n");
    let (code, _, stderr) = ask(&broken, &["ann", "read", "x"]);
    assert_eq!(code, Some(3));
    assert!(stderr.contains("acl:1: 'topics' is no keyword"), "{stderr}");
    // Without the question, its words are too many.
    let mut program = Program::Broker.command();
    run(program.args(["ann", "read", "x"])).expect_code(3);
}
