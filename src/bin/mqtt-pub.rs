//! `mqtt-pub`: in the place of `mosquitto_pub`.

use std::process::ExitCode;

use moustique::client::cli::{Tool, run};

fn main() -> ExitCode {
    run(Tool::Pub, std::env::args_os()).into()
}
