//! `mqtt-sub`: in the place of `mosquitto_sub`.

use std::process::ExitCode;

use moustique::client::cli::{Tool, run};

fn main() -> ExitCode {
    run(Tool::Sub, std::env::args_os()).into()
}
