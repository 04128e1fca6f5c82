//! The configuration of the broker: `mosquitto.conf` as typed, checked values.
//!
//! [`Config::load`] reads a file as Mosquitto would and keeps file and line for
//! messages. All mistakes are reported at once, each with its place and with
//! what to write instead. One table ([`OptionSpec::all`]) holds every option;
//! what this version cannot do is refused, never passed over.
//!
//! ```
//! use moustique::config::{Bind, Config};
//!
//! let config = Config::parse("listener 1884\nallow_anonymous true\n", "example")?;
//! assert_eq!(config.listeners[0].port, 1884);
//! assert_eq!(config.listeners[0].bind, Bind::Any);
//!
//! let mistakes = Config::parse("listner 1884\n", "example").unwrap_err();
//! assert!(mistakes.to_string().contains("did you mean `listener`?"));
//! # Ok::<(), moustique::config::Diagnostics>(())
//! ```

use std::path::{Path, PathBuf};

mod bridge;
mod bridge_read;
#[cfg(test)]
mod bridge_tests;
mod build;
mod ciphers;
mod diagnostic;
mod docs;
mod effective;
mod limits;
mod line;
mod listener;
mod log;
pub mod manual;
mod options;
mod persistence;
mod read;
mod spelling;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod value;

pub use bridge::{
    Bridge, BridgeAddress, BridgeIdentity, BridgeTls, BridgeTopic, BridgeTransport, Direction,
    ReloadType, RestartTimeout, Secret, StartType, TcpKeepalive,
};
pub use ciphers::{Cipher, Ciphers, NoCipher};
pub use diagnostic::{Diagnostic, Diagnostics, Location, Severity};
pub use effective::{Effective, Setting};
pub use limits::Limits;
pub use listener::{Bind, Listener, Protocol, ProtocolVersions, Security, SocketDomain};
pub use log::{Log, LogDestination, LogType, LogTypes};
pub use options::{OptionSpec, Scope};
pub use persistence::{Persistence, Sync};
pub use tls::{OpensslCiphers, Tls, TlsIdentity, TlsVersion};

use read::{Draft, Origin};

/// The configuration of a broker. `Default` is what it does without a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the broker listens; never empty after loading.
    pub listeners: Vec<Listener>,
    /// Whether nothing said where to listen: the listeners are then reachable
    /// from this machine only and let anonymous clients in. Default: true.
    pub local_only: bool,
    /// `allow_anonymous` as it was given for all listeners; none if it was not,
    /// or for each listener by itself. What holds is in [`Listener::security`].
    pub allow_anonymous: Option<bool>,
    /// Limits for all listeners together.
    pub limits: Limits,
    /// The connections to other brokers. Default: none.
    pub bridges: Vec<Bridge>,
    /// What is kept on disk.
    pub persistence: Persistence,
    /// Where the log goes and what it contains.
    pub log: Log,
    /// `pid_file`: where the number of the process is written. Default: nowhere.
    pub pid_file: Option<PathBuf>,
    /// Where the secrets of TLS connections are written, for who looks into
    /// them with Wireshark; an option of the command line. Default: nowhere.
    pub tls_keylog: Option<PathBuf>,
    /// `user`: whom the broker becomes when root starts it. Default: `mosquitto`.
    pub user: Option<String>,
    /// `sys_interval`: seconds between updates of `$SYS`, 0 to 65535. Default:
    /// 10; 0 means that there is no `$SYS`.
    pub sys_interval: u32,
    /// `set_tcp_nodelay`: whether small packets leave at once. Default: true,
    /// where Mosquitto has false; writes are batched anyway.
    pub set_tcp_nodelay: bool,
    /// `websockets_headers_size`: the most that the HTTP request of a WebSocket
    /// client may weigh, in bytes, 256 to 65535. Default: 4096.
    pub websockets_headers_size: u16,
    /// `reload_on_change`: whether the broker looks every two seconds for changes
    /// of its files and then reads them again. Default: false.
    pub reload_on_change: bool,
    /// The files and folders that it was read from.
    pub sources: Vec<PathBuf>,
    /// What the author of the file should know though the broker can start.
    pub warnings: Vec<Diagnostic>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: vec![Listener::local()],
            local_only: true,
            allow_anonymous: None,
            limits: Limits::default(),
            bridges: Vec::new(),
            persistence: Persistence::default(),
            log: Log::default(),
            pid_file: None,
            tls_keylog: None,
            user: Some("mosquitto".into()),
            sys_interval: 10,
            set_tcp_nodelay: true,
            websockets_headers_size: 4096,
            reload_on_change: false,
            sources: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Config {
    /// How many ports [`Config::add_loopback_port`] takes.
    pub const MAX_LOOPBACK_PORTS: usize = 10;

    /// Reads a file, and those of its `include_dir`.
    ///
    /// # Errors
    ///
    /// All mistakes in the files, or the one reason why the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        let mut draft = Draft::default();
        draft.read_file(path, Origin::Main);
        build::build(&mut draft)
    }

    /// As [`Config::load`], with the text of what then holds.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn explain(path: &Path) -> Result<(Self, Effective), Diagnostics> {
        let mut draft = Draft::default();
        draft.read_file(path, Origin::Main);
        let config = build::build(&mut draft)?;
        let effective = Effective::new(&draft, &config);
        Ok((config, effective))
    }

    /// Reads a configuration from memory; `source` stands for the file in
    /// messages. There is no `include_dir` here, and no file is touched.
    ///
    /// # Errors
    ///
    /// All mistakes in the text.
    pub fn parse(text: &str, source: &str) -> Result<Self, Diagnostics> {
        let mut draft = Draft::default();
        draft.read_text(text, source, Origin::Text);
        build::build(&mut draft)
    }

    /// Every file that it depends on, and the folders of `include_dir`: what a
    /// reload would read again.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = self.sources.clone();
        for listener in &self.listeners {
            let security = &listener.security;
            let keys = &listener.tls.psk_file;
            let named = [&security.password_file, &security.acl_file, keys];
            files.extend(named.into_iter().flatten().cloned());
            files.extend(listener.tls.files().cloned());
        }
        files.sort();
        files.dedup();
        files
    }

    /// Listens on a port of the loopback addresses, as `-p` on the command line
    /// asks for: the first port takes the place of 1883, up to nine more join it.
    /// Where the file says where to listen, the port is left out with a warning,
    /// as with Mosquitto.
    ///
    /// # Errors
    ///
    /// The port is the eleventh, or was added before.
    pub fn add_loopback_port(&mut self, port: u16) -> Result<(), Diagnostic> {
        let here = Location::whole("command line");
        if !self.local_only {
            self.warnings.push(
                Diagnostic::warning(
                    here,
                    format!("port {port} is left out, the configuration has listeners"),
                )
                .with_help(format!("write `listener {port} localhost` in the file")),
            );
            return Ok(());
        }
        if self.listeners[0].source.is_some() {
            if self.listeners.len() == Self::MAX_LOOPBACK_PORTS {
                let message = format!("more than {} ports", Self::MAX_LOOPBACK_PORTS);
                return Err(Diagnostic::error(here, message)
                    .with_help("write a configuration file with `listener` lines"));
            }
            if port != 0 && self.listeners.iter().any(|known| known.port == port) {
                return Err(Diagnostic::error(
                    here,
                    format!("port {port} is given twice"),
                ));
            }
            let listener = self.listeners[0].clone();
            self.listeners.push(Listener { port, ..listener });
        } else {
            self.listeners[0].port = port;
            self.listeners[0].source = Some(here);
        }
        Ok(())
    }
}
