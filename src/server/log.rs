//! The log: lines to the destinations of `log_dest`.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Local};
use parking_lot::Mutex;

use crate::config::{Log, LogDestination, LogType, LogTypes};

/// Writes lines in Mosquitto's form: `<time>: text`.
#[derive(Debug)]
pub(super) struct Logger {
    types: LogTypes,
    clock: Clock,
    stdout: bool,
    stderr: bool,
    files: Vec<LogFile>,
    syslog: Option<Syslog>,
}

/// How a line tells its time.
#[derive(Debug)]
enum Clock {
    None,
    /// Seconds since 1970.
    Seconds,
    /// `log_timestamp_format`.
    Format(Vec<Item<'static>>),
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl Logger {
    /// Opens the destinations.
    ///
    /// # Errors
    /// A file that cannot be opened, a time format that makes no sense; the
    /// words name it.
    pub(super) fn open(config: &Log) -> Result<Self, String> {
        let mut logger = Self {
            types: config.types,
            clock: Clock::new(config)?,
            stdout: false,
            stderr: false,
            files: Vec::new(),
            syslog: None,
        };
        for destination in &config.destinations {
            match destination {
                LogDestination::Stdout => logger.stdout = true,
                LogDestination::Stderr => logger.stderr = true,
                LogDestination::File(path) => {
                    let file = Mutex::new(open(path)?);
                    logger.files.push(LogFile {
                        path: path.clone(),
                        file,
                    });
                }
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
        let line = format!("{}{text}\n", self.clock.now());
        if self.stdout {
            let _ = io::stdout().write_all(line.as_bytes());
        }
        if self.stderr {
            let _ = io::stderr().write_all(line.as_bytes());
        }
        for destination in &self.files {
            let _ = destination.file.lock().write_all(line.as_bytes());
        }
    }

    /// Opens the files anew, after somebody moved them away.
    pub(super) fn reopen(&self) {
        for destination in &self.files {
            match open(&destination.path) {
                Ok(file) => *destination.file.lock() = file,
                Err(error) => self.write(LogType::Error, &error),
            }
        }
    }
}

impl Clock {
    fn new(config: &Log) -> Result<Self, String> {
        let Some(format) = config
            .timestamp_format
            .as_deref()
            .filter(|_| config.timestamp)
        else {
            return Ok(if config.timestamp {
                Self::Seconds
            } else {
                Self::None
            });
        };
        StrftimeItems::new(format)
            .parse_to_owned()
            .map(Self::Format)
            .map_err(|_| {
                format!(
                    "log_timestamp_format `{format}` is no format of strftime; write for instance \
                 `%Y-%m-%dT%H:%M:%S`"
                )
            })
    }

    /// What stands in front of a line.
    fn now(&self) -> String {
        let now: DateTime<Local> = Local::now();
        match self {
            Self::None => String::new(),
            Self::Seconds => format!("{}: ", now.timestamp()),
            Self::Format(items) => {
                let mut text = String::new();
                // A format that was parsed can be written.
                let _ = write!(text, "{}: ", now.format_with_items(items.iter()));
                text
            }
        }
    }
}

fn open(path: &Path) -> Result<File, String> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| {
            let hint = if error.kind() == io::ErrorKind::NotFound {
                let folder = path.parent().unwrap_or(path).display();
                format!("; make its folder with `mkdir -p {folder}`")
            } else {
                String::new()
            };
            format!("cannot open the log file {}: {error}{hint}", path.display())
        })
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
