//! The configuration taken anew while the broker runs.
//!
//! All files are read and checked first. Only when nothing is wrong anywhere is
//! anything replaced: the doors, so that new connections meet the new
//! conditions; then, in one entry of the core, settings, limits and rights of
//! those who are connected; then those are sent away who may be here no more.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::sync::{Notify, Semaphore};

use super::bridges::Bridges;
use super::connection::Door;
use super::entrance::Entrance;
use super::hub::Hub;
use super::watch::Fingerprint;
use super::{StartError, door, settings};
use crate::broker::{Grounds, Guest, Refusal};
use crate::codec::Version;
use crate::config::{Bind, Config, Listener, LogType, SocketDomain};
use crate::transport::tls::{self, Keyring};

/// Reads the configuration again from where it came.
pub(super) type Source = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// What it takes to change the configuration of a running broker.
pub(super) struct Control {
    hub: Arc<Hub>,
    hashing: Arc<Semaphore>,
    keyring: Keyring,
    entrances: Vec<Way>,
    /// What a reload cannot change, as it was at the start.
    fixed: Vec<(&'static str, String)>,
    is_persistent: bool,
    source: Option<Source>,
    bridges: Arc<Bridges>,
    state: Mutex<State>,
    /// The configuration was taken anew.
    pub(super) changed: Notify,
}

struct State {
    config: Config,
    /// What the files were like when they were last read.
    seen: Fingerprint,
}

/// A listener that is open.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) number: usize,
    pub(super) place: Place,
    /// Subscriptions and sessions keep it.
    pub(super) mount_point: String,
    pub(super) entrance: Arc<Entrance>,
}

/// Where a listener listens: what a reload cannot change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    port: u16,
    bind: Bind,
    interface: Option<String>,
    domain: Option<SocketDomain>,
}

impl Place {
    pub(super) fn of(listener: &Listener) -> Self {
        Self {
            port: listener.port,
            bind: listener.bind.clone(),
            interface: listener.bind_interface.clone(),
            domain: listener.socket_domain,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`listener {}", self.port)?;
        match &self.bind {
            Bind::Any => {}
            Bind::Loopback => f.write_str(" localhost")?,
            Bind::Host(host) => write!(f, " {host}")?,
            Bind::Unix(path) => write!(f, " {}", path.display())?,
        }
        f.write_str("`")
    }
}

/// The options that hold until the broker ends, with their values. What is a
/// listener's place is told by [`Place`].
fn fixed(config: &Config) -> Vec<(&'static str, String)> {
    vec![
        ("user", format!("{:?}", config.user)),
        ("pid_file", format!("{:?}", config.pid_file)),
        ("persistence", format!("{:?}", config.persistence)),
    ]
}

impl Control {
    pub(super) fn new(
        hub: Arc<Hub>,
        hashing: Arc<Semaphore>,
        keyring: Keyring,
        entrances: Vec<Way>,
        config: Config,
        source: Option<Source>,
    ) -> Self {
        let seen = Fingerprint::of(&config.files());
        Self {
            bridges: Arc::new(Bridges::new(Arc::clone(&hub))),
            hub,
            hashing,
            keyring,
            entrances,
            fixed: fixed(&config),
            is_persistent: config.persistence.enabled,
            source,
            state: Mutex::new(State { config, seen }),
            changed: Notify::new(),
        }
    }

    /// Whether anything is kept on disk.
    pub(super) fn is_persistent(&self) -> bool {
        self.is_persistent
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(super) fn bridges(&self) -> &Bridges {
        &self.bridges
    }

    /// Starts the bridges. Called within a tokio runtime.
    pub(super) fn start_bridges(&self) {
        let config = &self.state.lock().config;
        self.bridges.start(&config.bridges, config.sys_interval);
    }

    /// Reads the configuration again and takes it if nothing is wrong with
    /// it. What is wrong is in the log, and the old one stays. Reads files:
    /// nothing for a thread that serves connections.
    pub(super) fn reload(&self) {
        self.hub.log(LogType::Information, "Reloading config.");
        let Some(source) = &self.source else {
            let text = "There is no configuration file to read again.";
            self.hub.log(LogType::Notice, text);
            return;
        };
        let mut state = self.state.lock();
        // Before reading: what changes from now on is a change again.
        state.seen = Fingerprint::of(&state.config.files());
        let taken = source().and_then(|config| {
            let taken = self.take(&mut state, config);
            taken.map_err(|error| error.to_string())
        });
        drop(state);
        match taken {
            Ok(()) => self
                .hub
                .log(LogType::Information, "The new configuration holds."),
            Err(why) => {
                let text = format!("The new configuration is not taken, the old one holds:\n{why}");
                self.hub.log(LogType::Error, &text);
            }
        }
        self.changed.notify_one();
    }

    /// Takes another configuration.
    ///
    /// # Errors
    /// The first thing that is wrong; then nothing has changed.
    pub(super) fn apply(&self, config: Config) -> Result<(), StartError> {
        let taken = self.take(&mut self.state.lock(), config);
        self.changed.notify_one();
        taken
    }

    /// Whether the files are looked after, and what they were like when they
    /// were read.
    pub(super) fn watched(&self) -> Option<(Vec<std::path::PathBuf>, Fingerprint)> {
        let state = self.state.lock();
        let files = || (state.config.files(), state.seen.clone());
        state.config.reload_on_change.then(files)
    }

    fn take(&self, state: &mut State, config: Config) -> Result<(), StartError> {
        let seen = Fingerprint::of(&config.files());
        let mut warnings = Vec::new();
        let doors = self.doors(&config, &mut warnings)?;
        Bridges::check(&config.bridges)?;
        let log = self.hub.logger().prepare(&config).map_err(StartError)?;
        // From here on nothing fails.
        self.hub.logger().change(log);
        for warning in &config.warnings {
            warnings.push(warning.to_string());
        }
        let now = fixed(&config).into_iter();
        for ((name, before), (_, after)) in self.fixed.iter().zip(now) {
            if *before != after {
                warnings.push(format!("`{name}` changed, that needs a restart."));
            }
        }
        let policies: Vec<_> = doors.iter().map(|(_, door)| door.policy.clone()).collect();
        let exchanged: HashMap<_, _> = doors
            .into_iter()
            .map(|(way, door)| {
                let before = way.entrance.exchange(Arc::clone(&door));
                (way.number, (before, door))
            })
            .collect();
        let settings = settings(&config, self.hub.logger());
        let certificates = self.hub.certificates();
        self.hub.enter(None, |core, now| {
            core.reconfigure(now, settings, &policies);
            core.expel(now, |guest| {
                let shown = certificates.get(&guest.connection);
                why_not(&exchanged, guest, shown.map_or(&[], |shown| shown))
            });
        });
        self.bridges.change(&config.bridges, config.sys_interval);
        for warning in warnings {
            self.hub.log(LogType::Warning, &warning);
        }
        *state = State { config, seen };
        Ok(())
    }

    /// The new door of each listener that is open, with warnings about
    /// listeners that come or go.
    fn doors(
        &self,
        config: &Config,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<(&Way, Arc<Door>)>, StartError> {
        let mut doors = Vec::new();
        let mut listeners: Vec<_> = config.listeners.iter().collect();
        for way in &self.entrances {
            let found = listeners
                .iter()
                .position(|listener| Place::of(listener) == way.place);
            let Some(index) = found else {
                warnings.push(format!(
                    "{} is gone from the configuration; it stays open, as it was, until a restart.",
                    way.place
                ));
                continue;
            };
            let mut listener = listeners.remove(index).clone();
            if listener.mount_point != way.mount_point {
                let place = &way.place;
                warnings.push(format!(
                    "`mount_point` of {place} changed, that needs a restart."
                ));
                listener.mount_point.clone_from(&way.mount_point);
            }
            let hashing = Arc::clone(&self.hashing);
            let logger = self.hub.logger();
            let door = door(
                way.number,
                &listener,
                config,
                hashing,
                &self.keyring,
                logger,
            )?;
            doors.push((way, Arc::new(door)));
        }
        for listener in listeners {
            let place = Place::of(listener);
            warnings.push(format!("{place} is new, that needs a restart."));
        }
        Ok(doors)
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("entrances", &self.entrances)
            .finish()
    }
}

/// Why a client that came in through the first door may not be behind the
/// second.
fn why_not(
    exchanged: &HashMap<usize, (Arc<Door>, Arc<Door>)>,
    guest: &Guest<'_>,
    certificates: &[CertificateDer<'_>],
) -> Option<Refusal> {
    let (before, after) = exchanged.get(&guest.listener)?;
    let policy = &after.policy;
    if !policy.versions[guest.version as usize - Version::V31 as usize] {
        return Some(Refusal::Administrative(
            "its protocol version is not accepted any more",
        ));
    }
    if let Some(tls) = &after.tls
        && !tls.still_trusts(certificates)
    {
        return Some(Refusal::Administrative(
            "its certificate is not trusted any more",
        ));
    }
    let prefix = policy.client_id_prefix.as_deref().unwrap_or_default();
    let is_known = match guest.grounds {
        // Its certificate or key is not looked at again, as long as these count.
        Grounds::Certificate => after.tls.as_ref().is_some_and(tls::Server::identifies),
        grounds => after
            .credentials
            .keep(&before.credentials, guest.username, grounds),
    };
    let stays = guest.client_id.starts_with(prefix) && is_known;
    (!stays).then_some(Refusal::NotAuthorized)
}
