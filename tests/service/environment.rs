//! What the broker takes from its environment, and whom it becomes.

use crate::common::broker::{OPEN, Setup, wait_for_file};
use crate::common::peers::tell;
use crate::common::process::{Process, run};
use crate::common::raw::{Connect, Raw};
use crate::common::{Program, oracle_differs};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Whether the test runs as root, who alone can become somebody else.
fn root_for(check: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        tell(&format!("left out: {check}: not root"));
    }
    root
}

/// User and group that a process runs as, and all of its groups.
fn ids(process: &Process) -> (u32, u32, Vec<u32>) {
    let path = format!("/proc/{}/status", process.pid());
    let status = std::fs::read_to_string(path).expect("the state of the process");
    let numbers = |name: &str| -> Vec<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let words = line.expect("such a line").split_whitespace();
        words.map(|id| id.parse().expect("a number")).collect()
    };
    (numbers("Uid:")[0], numbers("Gid:")[0], numbers("Groups:"))
}

#[test]
fn user_and_group_can_be_numbers_of_the_environment() {
    if !root_for("PUID and PGID") || oracle_differs("only 2.1 knows them") {
        return;
    }
    // One without a name, and nobody.
    for uid in [12345, 65534] {
        let setup = Setup::new();
        let mut command = setup.command(OPEN);
        command.env("PUID", uid.to_string()).env("PGID", "23456");
        let broker = setup.start_command(command);
        broker.process().stderr.wait_for("moustique is running");
        assert_eq!(ids(broker.process()), (uid, 23456, vec![23456]));
    }

    let setup = Setup::new();
    let mut command = setup.command(OPEN);
    let done = run(command.env("PUID", "mosquitto")).expect_code(1);
    assert!(done.stderr.contains("PUID is 'mosquitto'"), "{done}");
}

#[test]
fn the_umask_can_come_from_the_environment() {
    if oracle_differs("only 2.1 knows it") {
        return;
    }
    let setup = Setup::new();
    let mut command = setup.command(&format!("log_dest file {{dir}}/log\n{OPEN}"));
    command.env("UMASK_SET", "037");
    let broker = setup.start_command(command);
    let log = broker.path("log");
    wait_for_file(&log);
    let mode = std::fs::metadata(log)
        .expect("the log")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);

    let setup = Setup::new();
    let mut command = setup.command(OPEN);
    let done = run(command.env("UMASK_SET", "29")).expect_code(1);
    assert!(done.stderr.contains("UMASK_SET is '29'"), "{done}");
}

#[test]
fn links_are_followed_whatever_the_environment_says() {
    for name in [None, Some("MOSQUITTO_UNSAFE_ALLOW_SYMLINKS")] {
        let setup = Setup::new();
        setup.write("real", "topic readwrite #\n");
        std::os::unix::fs::symlink("real", setup.path("acl")).expect("a link");
        let mut command = setup.command(&format!("acl_file {{dir}}/acl\n{OPEN}"));
        if let Some(name) = name {
            command.env(name, "1");
        }
        let broker = setup.start_command(command);
        Raw::client(broker.port, &Connect::new("visitor"));
        broker.stop().expect_code(0);
    }
}

#[test]
fn without_a_user_mosquitto_it_becomes_nobody() {
    if !root_for("the fallback to nobody") || oracle_differs("the words are ours") {
        return;
    }
    // A view of the system without that user, for this process only.
    let script = "grep -v ^mosquitto: /etc/passwd >\"$1\" && mount --bind \"$1\" /etc/passwd \
                  && shift && exec \"$@\"";
    let setup = Setup::new();
    let passwd = setup.path("passwd");
    let own_view = |command: &Command| {
        let mut view = Command::new("unshare");
        view.args(["-m", "sh", "-c", script, "sh"]).arg(&passwd);
        view.arg(command.get_program()).args(command.get_args());
        view
    };
    if run(&mut own_view(&Command::new("true"))).code != Some(0) {
        tell("left out: the fallback to nobody: no mount namespaces here");
        return;
    }
    let mut command = Program::Broker.command();
    command.args(["-p", &setup.port().to_string()]);
    let command = own_view(&command);
    let broker = setup.start_command(command);
    broker.process().stderr.wait_for("'nobody' takes its place");
    broker.process().stderr.wait_for("moustique is running");
    let nobody = nix::unistd::User::from_name("nobody").expect("a look-up");
    let nobody = nobody.expect("the user nobody").uid.as_raw();
    assert_eq!(ids(broker.process()).0, nobody);
}

#[test]
fn an_unknown_user_ends_the_start() {
    if !root_for("an unknown user") {
        return;
    }
    let setup = Setup::new();
    let path = setup.write("conf", &format!("user no-such-user\n{OPEN}"));
    assert!(Path::new(&path).exists());
    let done = run(Program::Broker.command().arg("-c").arg(path)).expect_code(1);
    assert!(done.stderr.contains("no-such-user"), "{done}");
}
