//! What the behaviour tests share: starting programs, brokers and terminals,
//! listening in on connections, and speaking MQTT by hand.
//!
//! Nothing here uses the crate's own codec: the tests judge the programs from
//! outside. With `MOUSTIQUE_ORACLE=1` they run Mosquitto's programs in the
//! place of ours, which tells whether a test itself is right. With
//! `MOUSTIQUE_ENGINE=rumqttd` (and `--features peers`) they show what rumqttd
//! makes of a test.
//!
//! Every wait is for an event and has a limit ([`TIMEOUT`]).

#![allow(dead_code)] // each test program uses its own part of this

pub(crate) mod broker;
pub(crate) mod clients;
pub(crate) mod output;
pub(crate) mod peers;
pub(crate) mod power;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod tap;
pub(crate) mod terminal;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long a test waits for something that should happen at once.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The programs under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Broker,
    Pub,
    Sub,
    Rr,
    Passwd,
}

impl Program {
    /// A command for the program under test.
    pub(crate) fn command(self) -> Command {
        if oracle() {
            return self.mosquitto();
        }
        let path = match self {
            Self::Broker => option_env!("CARGO_BIN_EXE_mqtt-broker"),
            Self::Pub => option_env!("CARGO_BIN_EXE_mqtt-pub"),
            Self::Sub => option_env!("CARGO_BIN_EXE_mqtt-sub"),
            Self::Rr => option_env!("CARGO_BIN_EXE_mqtt-rr"),
            Self::Passwd => option_env!("CARGO_BIN_EXE_mqtt-passwd"),
        };
        let Some(path) = path else {
            panic!("this package has no program {}", self.name());
        };
        undisturbed(path)
    }

    /// A command for Mosquitto's program of the same purpose.
    pub(crate) fn mosquitto(self) -> Command {
        let name = self.mosquitto_name();
        let path = find_program(name).unwrap_or_else(|| panic!("{name} is not installed"));
        undisturbed(path)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broker => "mqtt-broker",
            Self::Pub => "mqtt-pub",
            Self::Sub => "mqtt-sub",
            Self::Rr => "mqtt-rr",
            Self::Passwd => "mqtt-passwd",
        }
    }

    pub(crate) fn mosquitto_name(self) -> &'static str {
        match self {
            Self::Broker => "mosquitto",
            Self::Pub => "mosquitto_pub",
            Self::Sub => "mosquitto_sub",
            Self::Rr => "mosquitto_rr",
            Self::Passwd => "mosquitto_passwd",
        }
    }
}

/// True when Mosquitto's programs stand in for ours.
pub(crate) fn oracle() -> bool {
    std::env::var_os("MOUSTIQUE_ORACLE").is_some_and(|value| value != "0")
}

/// True in oracle mode, with a line that says why the test ends here. For
/// behaviour in which we differ from Mosquitto on purpose.
pub(crate) fn oracle_differs(what: &str) -> bool {
    if oracle() {
        peers::tell(&format!("left out with Mosquitto's programs: {what}"));
    }
    oracle()
}

/// The full path of a program, also where `PATH` lacks the system's directories.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Keeps away what whoever runs the tests has set: option files, language, and
/// signals that are ignored (in the background of a script, SIGINT is).
fn undisturbed(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("env");
    command
        .arg("--default-signal=INT,HUP,TERM")
        .arg(program)
        .env("HOME", "/nonexistent")
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8");
    command
}
