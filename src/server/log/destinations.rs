//! Where lines end: standard output and error, files, the system's log.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};

use super::super::process;
use super::form::Form;
use super::queue::{Entry, Item, Queue};
use crate::config::{Config, LogDestination, LogType};

/// The open destinations of `log_dest`. A destination that fails is passed
/// over: the broker's work doesn't depend on its log.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    stdout: bool,
    stderr: bool,
    files: Vec<LogFile>,
    syslog: Option<Syslog>,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    /// `None`: it couldn't be opened again; what was open before stays.
    file: Option<File>,
}

/// The destinations of a configuration, and what went wrong with files that
/// are open already.
pub(super) type Opened = (Destinations, Vec<String>);

impl Destinations {
    /// Opens what the configuration names. `open` are the files that are
    /// written to already: one that cannot be opened again stays as it is.
    ///
    /// # Errors
    /// A file that cannot be opened, or a system without a log; with a remedy.
    pub(super) fn open(config: &Config, open: &[PathBuf]) -> Result<Opened, String> {
        let (mut all, mut complaints) = (Self::default(), Vec::new());
        for destination in &config.log.destinations {
            match destination {
                LogDestination::Stdout => all.stdout = true,
                LogDestination::Stderr => all.stderr = true,
                LogDestination::File(path) => {
                    let file = match open_file(path) {
                        Ok(file) => Some(file),
                        Err(error) if open.contains(path) => {
                            complaints.push(failure(path, &error));
                            None
                        }
                        Err(error) => {
                            return Err(failure(path, &error) + &remedy(path, &error, config));
                        }
                    };
                    let path = path.clone();
                    all.files.push(LogFile { path, file });
                }
                LogDestination::Syslog => all.syslog = Some(Syslog::open(config.log.facility)?),
                LogDestination::Topic | LogDestination::None => {}
            }
        }
        Ok((all, complaints))
    }

    /// The paths of the files.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }

    /// Makes the files somebody else's, who may want to open them again.
    pub(super) fn give_to(&self, uid: Uid, gid: Gid) {
        for file in self.files.iter().filter_map(|file| file.file.as_ref()) {
            // Best effort: what is open stays usable.
            let _ = nix::unistd::fchown(file, Some(uid), Some(gid));
        }
    }

    /// Writes all that comes through a queue, until its end.
    pub(super) fn serve(mut self, queue: &Queue) {
        while let Some(items) = queue.take() {
            self.handle(items, queue);
        }
    }

    fn handle(&mut self, items: VecDeque<Item>, queue: &Queue) {
        let (mut text, mut weight) = (Vec::new(), 0);
        for item in items {
            match item {
                Item::Line(entry) => {
                    weight += entry.weight();
                    text.extend_from_slice(entry.line.as_bytes());
                    if let Some(syslog) = &self.syslog {
                        syslog.write(&entry);
                    }
                }
                Item::Change(other) => {
                    self.write(&std::mem::take(&mut text));
                    self.change(other);
                }
                Item::Reopen(form) => {
                    self.write(&std::mem::take(&mut text));
                    self.reopen(&form);
                }
            }
        }
        self.write(&text);
        queue.done(weight);
    }

    fn write(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if self.stdout {
            let mut stdout = io::stdout().lock();
            let _ = stdout.write_all(text).and_then(|()| stdout.flush());
        }
        if self.stderr {
            let _ = io::stderr().write_all(text);
        }
        for file in self.files.iter_mut().filter_map(|file| file.file.as_mut()) {
            let _ = file.write_all(text);
        }
    }

    fn change(&mut self, other: Self) {
        let before = std::mem::replace(self, other);
        for known in before.files {
            let same = self.files.iter_mut().find(|file| file.path == known.path);
            if let Some(file) = same.filter(|file| file.file.is_none()) {
                file.file = known.file;
            }
        }
    }

    fn reopen(&mut self, form: &Form) {
        let mut complaints = Vec::new();
        for file in &mut self.files {
            match open_file(&file.path) {
                Ok(new) => file.file = Some(new),
                Err(error) => complaints.push(failure(&file.path, &error)),
            }
        }
        for complaint in complaints {
            self.write(form.entry(LogType::Error, &complaint).line.as_bytes());
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn failure(path: &Path, error: &io::Error) -> String {
    format!("cannot open the log file {}: {error}", path.display())
}

fn remedy(path: &Path, error: &io::Error, config: &Config) -> String {
    match path.parent() {
        Some(folder) if error.kind() == io::ErrorKind::NotFound => {
            let command = process::folder_command(folder, config.user.as_deref());
            format!("; make its folder with `{command}`")
        }
        _ => String::new(),
    }
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

    fn write(&self, entry: &Entry) {
        let severity = match entry.kind {
            LogType::Error => 3,
            LogType::Warning => 4,
            LogType::Notice => 5,
            LogType::Information => 6,
            _ => 7,
        };
        let priority = u16::from(self.facility) * 8 + severity;
        // The system's log has a time of its own.
        let message = entry.line[entry.message..].trim_end();
        let line = format!("<{priority}>mqtt-broker[{}]: {message}", std::process::id());
        let _ = self.socket.send(line.as_bytes());
    }
}
