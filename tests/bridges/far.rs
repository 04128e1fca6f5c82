//! The broker at the far end of a bridge.

use crate::common::Program;
use crate::common::broker::{Broker, Setup};
use crate::common::peers::Peer;
use crate::common::raw::{Connect, Raw};

/// What a far broker may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Far {
    Ours,
    Mosquitto,
}

impl Far {
    /// Those that this machine has.
    pub(crate) fn all(check: &str) -> Vec<Self> {
        let mut all = vec![Self::Ours];
        if Peer::MosquittoBroker.present_for(check) {
            all.push(Self::Mosquitto);
        }
        all
    }

    pub(crate) fn start(self, setup: Setup, conf: &str) -> Broker {
        let command = match self {
            Self::Ours => setup.command(conf),
            Self::Mosquitto => {
                let mut command = Program::Broker.mosquitto();
                let root = nix::unistd::geteuid().is_root();
                let user = if root { "user root\n" } else { "" };
                let file = setup.write("broker.conf", &format!("{user}{conf}"));
                command.arg("-v").arg("-c").arg(file);
                command
            }
        };
        setup.start_command(command)
    }

    pub(crate) fn open(self) -> Broker {
        self.start(
            Setup::new(),
            "listener {port} 127.0.0.1\nallow_anonymous true\n",
        )
    }
}

/// A broker of ours with one bridge, `lines`, to port `far`. It is connected
/// when this returns.
pub(crate) fn bridged(far: u16, lines: &str) -> Broker {
    let near = Broker::start(&conf(far, lines));
    connected(&near);
    near
}

pub(crate) fn conf(far: u16, lines: &str) -> String {
    format!(
        "listener {{port}} 127.0.0.1\nallow_anonymous true\n\
         connection out\naddress 127.0.0.1:{far}\nremote_clientid near\nrestart_timeout 1\n{lines}\n"
    )
}

/// Waits until the bridge has told this broker that it is connected.
pub(crate) fn connected(near: &Broker) {
    await_state(near, "near", "1");
}

pub(crate) fn await_state(near: &Broker, id: &str, state: &str) {
    let (mut watch, _) = Raw::client(near.port, &Connect::new("watch-state"));
    watch.subscribe(&format!("$SYS/broker/connection/{id}/state"), 0);
    while watch.packet().last() != state.as_bytes().last() {}
}
