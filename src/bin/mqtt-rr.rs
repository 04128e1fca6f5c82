//! `mqtt-rr`: in the place of `mosquitto_rr`.

use std::process::ExitCode;

use moustique::client::cli::{Tool, run};

fn main() -> ExitCode {
    run(Tool::Rr, std::env::args_os()).into()
}
