//! `mqtt-broker`: an MQTT broker in the place of `mosquitto`.

use std::process::ExitCode;

fn main() -> ExitCode {
    moustique::server::cli::run(std::env::args_os())
}
