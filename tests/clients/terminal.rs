//! What only a person at a terminal sees.

use crate::common::broker::{Broker, free_port};
use crate::common::clients::{at, publish};
use crate::common::terminal::Terminal;
use crate::common::{Program, oracle_differs};

#[test]
fn a_person_gets_a_hint_and_a_script_does_not() {
    if oracle_differs("Mosquitto's clients have no hints") {
        return;
    }
    let port = free_port().to_string();
    let mut command = Program::Pub.command();
    command
        .env("NO_COLOR", "1")
        .args(["-h", "127.0.0.1", "-p", &port, "-t", "a", "-m", "b"]);
    let terminal = Terminal::spawn(&command);
    terminal
        .screen
        .wait_for(&format!("Hint: nothing listens on 127.0.0.1 port {port}."));
    terminal.screen.wait_for("Error: Connection refused");
    assert!(
        !terminal.screen.text().contains('\x1b'),
        "no colour was wanted"
    );

    let piped = crate::common::process::run(&mut command).expect_code(1);
    assert_eq!(piped.stderr, "Error: Connection refused\n");
}

#[test]
fn a_terminal_shows_colours_unless_they_are_unwanted() {
    if oracle_differs("Mosquitto's clients have no colours") {
        return;
    }
    let broker = Broker::open();
    publish(&broker, &["-t", "a", "-r", "-m", "x"]);
    for (wanted, shown) in [
        ("", "\x1b[36ma\x1b[0m \x1b[32mx\x1b[0m\r\n"),
        ("1", "a x\r\n"),
    ] {
        let mut command = Program::Sub.command();
        command.env("NO_COLOR", wanted).env("TERM", "xterm");
        at(&mut command, broker.port).args(["-t", "a", "-v", "-C", "1"]);
        let terminal = Terminal::spawn(&command);
        terminal.process.wait_end();
        assert_eq!(terminal.screen.whole(), shown, "NO_COLOR={wanted}");
    }
}

/// New in Mosquitto 2.1.
#[test]
fn a_watched_topic_keeps_its_line() {
    if oracle_differs("new in 2.1") {
        return;
    }
    let broker = Broker::open();
    publish(&broker, &["-t", "a/1", "-r", "-m", "one"]);
    publish(&broker, &["-t", "a/2", "-r", "-m", "two"]);
    let mut command = Program::Sub.command();
    command.env("NO_COLOR", "1");
    at(&mut command, broker.port).args(["-t", "a/#", "-v", "-w", "-C", "3"]);
    let terminal = Terminal::spawn(&command);
    terminal.screen.wait_for("\x1b[1;1Ha/1 one\x1b[K");
    terminal.screen.wait_for("\x1b[2;1Ha/2 two\x1b[K");
    publish(&broker, &["-t", "a/1", "-m", "three\nand more"]);
    terminal.screen.wait_for("\x1b[1;1Ha/1 three …\x1b[K");
    terminal.process.wait_end();

    let mut command = Program::Sub.command();
    at(&mut command, broker.port).args(["-t", "a/#", "-w"]);
    let piped = crate::common::process::run(&mut command).expect_code(1);
    assert!(piped.stderr.starts_with("Error: -w needs a terminal"));
}

#[test]
fn a_password_is_asked_for_without_showing_it() {
    if oracle_differs("our own option") {
        return;
    }
    let setup = crate::common::broker::Setup::new();
    let passwords = setup.path("passwords");
    let args = [
        "-b",
        "-c",
        passwords.to_str().expect("a path"),
        "joe",
        "secret",
    ];
    crate::common::process::run(Program::Passwd.command().args(args)).expect_code(0);
    let broker =
        setup.start("listener {port}\nallow_anonymous false\npassword_file {dir}/passwords\n");
    for (password, code) in [("secret", 0), ("Secret", 5)] {
        let mut command = Program::Pub.command();
        at(&mut command, broker.port).args(["-t", "a", "-m", "b", "-u", "joe", "--ask-password"]);
        let mut terminal = Terminal::spawn(&command);
        terminal.wait_for_secret_prompt("Password: ");
        terminal.press(&format!("{password}\n"));
        let done = terminal.process.finish().expect_code(code);
        assert!(!terminal.screen.text().contains(password), "{done}");
    }
}
