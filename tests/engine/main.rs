//! `--engine rumqttd`: the same configuration, served by rumqttd. In builds with
//! the feature `peers`.

#[path = "../common/mod.rs"]
mod common;

#[allow(dead_code)] // the tests of TLS use more of it
#[path = "../tls/ca.rs"]
mod ca;
mod claims;
mod entry;
mod life;
mod losses;
mod messages;
mod rumqttc_v4;
mod rumqttc_v5;

use common::broker::{Broker, Setup};
use std::process::Command;

/// The program with rumqttd as its engine, and a configuration of these lines.
fn command(setup: &Setup, conf: &str) -> Command {
    let mut command = setup.quiet_command(conf);
    command.args(["--engine", "rumqttd"]);
    command
}

/// Starts it and waits until it accepts connections.
fn start(conf: &str) -> Broker {
    let setup = Setup::new();
    let command = command(&setup, conf);
    setup.start_command(command)
}
