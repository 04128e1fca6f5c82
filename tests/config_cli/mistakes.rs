//! Mistakes in the configuration are told, and nothing is started.

use crate::common::broker::{OPEN, Setup};
use crate::common::process::{Finished, run};
use crate::common::{Program, oracle, oracle_differs};

/// Runs a configuration that must be refused at its `line`.
fn refused(conf: &str, line: usize) -> Finished {
    let setup = Setup::new();
    let mut command = setup.command(conf);
    let written = std::fs::read_to_string(setup.path("broker.conf")).expect("the file");
    // The harness puts lines of its own in front.
    let added = written.lines().count() - conf.lines().count();
    let done = run(&mut command).expect_code(3);
    let place = format!("broker.conf:{}", line + added);
    assert!(done.stderr.contains(&place), "expected {place}: {done}");
    done
}

#[test]
fn an_unknown_option_is_told_with_file_and_line() {
    let done = refused("listener {port}\n\nallow_anonymos true\n", 3);
    assert!(done.stderr.contains("allow_anonymos"), "{done}");
}

#[test]
fn a_near_miss_is_answered_with_a_suggestion() {
    if oracle_differs("there is no 'did you mean'") {
        return;
    }
    for (wrong, right) in [
        ("allow_anonymos true", "allow_anonymous"),
        ("listner 1883", "listener"),
        ("pasword_file x", "password_file"),
        ("log_tpye all", "log_type"),
    ] {
        let done = refused(&format!("{wrong}\n"), 1);
        let text = done.stderr.to_lowercase();
        assert!(text.contains("did you mean"), "{done}");
        assert!(text.contains(right), "{done}");
    }
}

#[test]
fn a_bad_value_is_told_with_file_and_line() {
    // The last column: Mosquitto refuses it too, and names the value.
    for (line, wrong, by_both) in [
        ("listener notaport", "notaport", false),
        ("listener 99999", "99999", true),
        ("allow_anonymous perhaps", "perhaps", true),
        ("max_inflight_messages many", "many", false),
        ("log_type shouting", "shouting", true),
        ("log_dest nowhere", "nowhere", true),
    ] {
        if by_both || !oracle() {
            let done = refused(&format!("{OPEN}{line}\n"), 3);
            assert!(done.stderr.contains(wrong), "{done}");
        }
    }
}

#[test]
fn a_missing_value_is_told() {
    for line in ["listener", "allow_anonymous", "password_file"] {
        refused(&format!("{line}\n"), 1);
    }
}

#[test]
fn a_mistake_in_an_included_file_names_that_file() {
    let setup = Setup::new();
    std::fs::create_dir(setup.path("conf.d")).expect("a directory");
    setup.write("conf.d/lab.conf", "listener {port}\nnonsense 1\n");
    let done = run(&mut setup.command("include_dir {dir}/conf.d\n")).expect_code(3);
    assert!(done.stderr.contains("lab.conf:2"), "{done}");
}

#[test]
fn mistakes_of_all_kinds_and_files_are_told_at_once() {
    if oracle_differs("it stops at the first mistake") {
        return;
    }
    let setup = Setup::new();
    std::fs::create_dir(setup.path("conf.d")).expect("a directory");
    setup.write(
        "conf.d/bridge.conf",
        "connection home\naddress h:0\ntopic a up\nconnection home\n",
    );
    let conf = "per_listener_settings perhaps\nlistener {port}\nlistener {port}\nmax_qos 3\n\
                nonsense 1\nlog_type\nacl_file a\nacl_file b\ninclude_dir {dir}/conf.d\n\
                include_dir {dir}/none\ntopic #\n";
    let done = run(&mut setup.command(conf)).expect_code(3);
    let text = std::fs::read_to_string(setup.path("broker.conf")).expect("the file");
    let added = text.lines().count() - conf.lines().count();
    for (line, column) in [
        (1, 23),
        (3, 1),
        (4, 9),
        (5, 1),
        (6, 1),
        (8, 1),
        (10, 13),
        (11, 1),
    ] {
        let place = format!("broker.conf:{}:{column}: error: ", line + added);
        assert!(done.stderr.contains(&place), "expected {place}: {done}");
    }
    for place in ["2:11", "3:9", "4:12"] {
        let place = format!("bridge.conf:{place}: error: ");
        assert!(done.stderr.contains(&place), "expected {place}: {done}");
    }
    // Each shows the place and says what to do.
    let count = |part: &str| {
        done.stderr
            .lines()
            .filter(|line| line.contains(part))
            .count()
    };
    let errors = count(": error: ");
    assert_eq!(count("^"), errors, "{done}");
    assert_eq!(count("  help: "), errors, "{done}");
}

#[test]
fn a_missing_file_is_told() {
    let setup = Setup::new();
    let missing = setup.path("missing.conf");
    let done = run(Program::Broker.command().arg("-c").arg(&missing)).expect_code(3);
    assert!(done.stderr.contains("missing.conf"), "{done}");
}

#[test]
fn a_missing_password_file_is_told() {
    let setup = Setup::new();
    let conf = "listener {port}\npassword_file {dir}/missing\n";
    let done = run(&mut setup.command(conf));
    assert!(done.code != Some(0) && done.signal.is_none(), "{done}");
    assert!(done.stderr.contains("missing"), "{done}");
}

#[test]
fn unknown_words_on_the_command_line_are_told() {
    for args in [&["--nonsense"][..], &["-p"], &["-p", "many"], &["-c"]] {
        let done = run(Program::Broker.command().args(args)).expect_code(3);
        assert!(done.stderr.contains("Error"), "{done}");
    }
}
