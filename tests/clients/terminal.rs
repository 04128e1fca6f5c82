//! What only a person at a terminal sees.

use crate::common::broker::free_port;
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
