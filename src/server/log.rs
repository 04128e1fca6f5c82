//! The log: lines to the destinations of `log_dest`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::config::{Log, LogDestination, LogType, LogTypes};

/// Writes lines in Mosquitto's form: `<seconds since 1970>: text`.
#[derive(Debug)]
pub(super) struct Logger {
    types: LogTypes,
    timestamp: bool,
    stdout: bool,
    stderr: bool,
    files: Vec<Mutex<File>>,
    syslog: Option<Syslog>,
}

impl Logger {
    /// Opens the destinations.
    ///
    /// # Errors
    /// A file that cannot be opened; the words name it.
    pub(super) fn open(config: &Log) -> Result<Self, String> {
        let mut logger = Self {
            types: config.types,
            timestamp: config.timestamp,
            stdout: false,
            stderr: false,
            files: Vec::new(),
            syslog: None,
        };
        for destination in &config.destinations {
            match destination {
                LogDestination::Stdout => logger.stdout = true,
                LogDestination::Stderr => logger.stderr = true,
                LogDestination::File(path) => logger.files.push(Mutex::new(open(path)?)),
                LogDestination::Syslog => logger.syslog = Some(Syslog::open(config.facility)?),
                LogDestination::None => {}
            }
        }
        Ok(logger)
    }

    /// The kinds of line that go anywhere.
    pub(super) fn types(&self) -> LogTypes {
        let anywhere =
            self.stdout || self.stderr || self.syslog.is_some() || !self.files.is_empty();
        if anywhere { self.types } else { LogTypes::NONE }
    }

    /// Writes a line. A destination that fails is passed over: the broker's
    /// work doesn't depend on its log.
    pub(super) fn write(&self, kind: LogType, text: &str) {
        if !self.types.contains(kind) {
            return;
        }
        if let Some(syslog) = &self.syslog {
            syslog.write(kind, text);
        }
        let line = if self.timestamp {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            format!("{}: {text}\n", now.as_secs())
        } else {
            format!("{text}\n")
        };
        if self.stdout {
            let _ = io::stdout().write_all(line.as_bytes());
        }
        if self.stderr {
            let _ = io::stderr().write_all(line.as_bytes());
        }
        for file in &self.files {
            let _ = file.lock().write_all(line.as_bytes());
        }
    }
}

fn open(path: &PathBuf) -> Result<File, String> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| format!("cannot open the log file {}: {error}", path.display()))
}

/// The system's log, by its socket (RFC 3164 as syslog(3) writes it).
#[derive(Debug)]
struct Syslog {
    socket: UnixDatagram,
    facility: u8,
}

impl Syslog {
    /// `facility`: `local0` to `local7` by its number, else `daemon`.
    fn open(facility: Option<u8>) -> Result<Self, String> {
        let connect = || {
            let socket = UnixDatagram::unbound()?;
            socket.connect("/dev/log")?;
            Ok(socket)
        };
        let socket = connect().map_err(|error: io::Error| {
            format!("cannot reach the system's log at /dev/log: {error}; write `log_dest stderr`")
        })?;
        Ok(Self {
            socket,
            facility: facility.map_or(3, |local| 16 + local),
        })
    }

    fn write(&self, kind: LogType, text: &str) {
        let severity = match kind {
            LogType::Error => 3,
            LogType::Warning => 4,
            LogType::Notice => 5,
            LogType::Information => 6,
            _ => 7,
        };
        let priority = u16::from(self.facility) * 8 + severity;
        let line = format!("<{priority}>mqtt-broker[{}]: {text}", std::process::id());
        let _ = self.socket.send(line.as_bytes());
    }
}
