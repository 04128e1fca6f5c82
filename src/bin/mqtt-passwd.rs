//! `mqtt-passwd`: manages the password file of an MQTT broker.

use std::process::ExitCode;

fn main() -> ExitCode {
    moustique::auth::cli::run(std::env::args_os())
}
