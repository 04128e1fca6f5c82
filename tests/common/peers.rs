//! Clients that we did not write, where the machine has them.

use super::{Program, find_program};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The path of a program. Where it is missing, that is told as
/// [`Peer::present_for`] tells it.
pub(crate) fn program_for(name: &str, check: &str) -> Option<PathBuf> {
    let found = find_program(name);
    if found.is_none() {
        tell_missing(&format!("{name} is"), check);
    }
    found
}

fn tell_missing(what: &str, check: &str) {
    let missing = format!(
        "left out: {check}: {what} missing; tests/install-peers.sh installs all such programs"
    );
    let required = std::env::var_os("MOUSTIQUE_REQUIRE_PEERS");
    assert!(required.is_none_or(|value| value == "0"), "{missing}");
    tell(&missing);
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// mosquitto_pub and mosquitto_sub.
    MosquittoClients,
    /// mosquitto, the broker.
    MosquittoBroker,
    /// paho-mqtt for Python.
    Paho,
    /// mqtt.js for Node.
    MqttJs,
    /// Chromium, with Paho's JavaScript client and mqtt.js in a page.
    Browser,
}

impl Peer {
    /// Whether the peer is there. A missing one is told on the real standard
    /// error, with the check that is left out; it is a failure when
    /// `MOUSTIQUE_REQUIRE_PEERS=1`.
    pub(crate) fn present_for(self, check: &str) -> bool {
        let present = self.present();
        if !present {
            tell_missing(self.name(), check);
        }
        present
    }

    fn name(self) -> &'static str {
        match self {
            Self::MosquittoClients => "mosquitto_pub and mosquitto_sub are",
            Self::MosquittoBroker => "mosquitto is",
            Self::Paho => "paho-mqtt for Python is",
            Self::MqttJs => "mqtt.js for Node is",
            Self::Browser => "Chromium, or a library for its pages, is",
        }
    }

    fn present(self) -> bool {
        static PAHO: OnceLock<bool> = OnceLock::new();
        match self {
            Self::MosquittoClients => [Program::Pub, Program::Sub, Program::Passwd]
                .iter()
                .all(|program| find_program(program.mosquitto_name()).is_some()),
            Self::MosquittoBroker => find_program(Program::Broker.mosquitto_name()).is_some(),
            Self::Paho => *PAHO.get_or_init(|| {
                let mut python = Command::new("python3");
                python.args(["-c", "import paho.mqtt.client"]);
                python.stderr(Stdio::null()).stdout(Stdio::null());
                python.status().is_ok_and(|status| status.success())
            }),
            Self::MqttJs => {
                find_program("node").is_some() && script("node_modules/mqtt/package.json").is_file()
            }
            Self::Browser => {
                Self::MqttJs.present()
                    && find_program("chromium").is_some()
                    && script("node_modules/paho-mqtt/package.json").is_file()
            }
        }
    }

    /// The command that plays this peer's part.
    pub(crate) fn command(self) -> Command {
        self.script("client")
    }

    /// The command that opens a page: its arguments go on with what browser.js
    /// says.
    pub(crate) fn browse(profile: &Path) -> Command {
        let mut command = Command::new("node");
        command.arg(script("browser.js"));
        command.arg(find_program("chromium").expect("chromium"));
        command.arg(profile);
        command
    }

    /// The command that plays this peer by order, line by line.
    pub(crate) fn by_order(self) -> Command {
        self.script("play")
    }

    fn script(self, kind: &str) -> Command {
        let (interpreter, name) = match self {
            Self::MosquittoClients | Self::MosquittoBroker => panic!("use Program::mosquitto"),
            Self::Browser => panic!("use Peer::browse"),
            Self::Paho => ("python3", format!("paho_{kind}.py")),
            Self::MqttJs => ("node", format!("mqttjs_{kind}.js")),
        };
        let mut command = Command::new(interpreter);
        command.arg(script(&name));
        command
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/peers")
        .join(name)
}

/// Writes a line to the real standard error, which the test runner captures
/// from `eprintln!` but not from here.
pub(crate) fn tell(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
