//! The programs: broker and clients, started, measured and ended.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Mosquitto,
    Ours,
}

/// Whether there is something to compare with.
pub(crate) fn check() -> io::Result<()> {
    for program in ["mosquitto_pub", "mosquitto_sub"] {
        if Command::new(program).arg("--version").output().is_err() {
            return Err(io::Error::other(format!("{program} is not installed")));
        }
    }
    Ok(())
}

impl Contender {
    pub(crate) fn publisher(self, broker: &Broker) -> Command {
        self.publisher_at(broker, "127.0.0.1")
    }

    pub(crate) fn publisher_at(self, broker: &Broker, host: &str) -> Command {
        let ours = ours("mqtt-pub", env!("CARGO_BIN_EXE_mqtt-pub"));
        self.client("mosquitto_pub", ours, broker, host)
    }

    pub(crate) fn subscriber(self, broker: &Broker) -> Command {
        let ours = ours("mqtt-sub", env!("CARGO_BIN_EXE_mqtt-sub"));
        self.client("mosquitto_sub", ours, broker, "127.0.0.1")
    }

    fn client(self, theirs: &str, ours: PathBuf, broker: &Broker, host: &str) -> Command {
        let mut command = Command::new(match self {
            Self::Mosquitto => PathBuf::from(theirs),
            Self::Ours => ours,
        });
        command
            .args(["-h", host, "-p", &broker.port.to_string()])
            // Nobody's own options.
            .env("XDG_CONFIG_HOME", broker.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }
}

/// A program of ours: as Cargo built it, or from the directory `MQTT_TOOLS`.
fn ours(name: &str, built: &str) -> PathBuf {
    match std::env::var_os("MQTT_TOOLS") {
        Some(directory) => PathBuf::from(directory).join(name),
        None => built.into(),
    }
}

/// Our broker, with a directory for files.
pub(crate) struct Broker {
    port: u16,
    directory: TempDir,
    _process: Running,
}

impl Broker {
    pub(crate) fn start() -> io::Result<Self> {
        let directory = TempDir::with_prefix("tools-")?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let configuration = directory.path().join("broker.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nlog_dest none\n"
        );
        fs::write(&configuration, text)?;
        let mut command = Command::new(ours("mqtt-broker", env!("CARGO_BIN_EXE_mqtt-broker")));
        let process = Running::start(command.arg("-c").arg(configuration).stdin(Stdio::null()))?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other("the broker does not listen"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Self {
            port,
            directory,
            _process: process,
        })
    }

    /// A file with this content, opened for reading.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> io::Result<File> {
        let path = self.directory.path().join(name);
        fs::write(&path, content)?;
        File::open(path)
    }
}

/// A running program. Dropping it ends it.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    pub(crate) fn stdin(&mut self) -> io::Result<ChildStdin> {
        let missing = || io::Error::other("no pipe to the program");
        self.0.stdin.take().ok_or_else(missing)
    }

    pub(crate) fn stdout(&mut self) -> io::Result<ChildStdout> {
        let missing = || io::Error::other("no pipe from the program");
        self.0.stdout.take().ok_or_else(missing)
    }

    /// Waits for its end, and gives the processor time that it took.
    pub(crate) fn finish(mut self) -> io::Result<Duration> {
        // Counted are children that were waited for: no other one meanwhile.
        let before = children()?;
        let status = self.0.wait()?;
        if !status.success() {
            return Err(io::Error::other(format!("a program failed: {status}")));
        }
        Ok(children()?.saturating_sub(before))
    }

    /// Its resident memory in bytes.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .and_then(|text| text.parse::<u64>().ok());
        let unknown = || io::Error::other("the resident memory is not told");
        kibibytes.map(|count| count * 1024).ok_or_else(unknown)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended on its own; either way nothing is left to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The processor time of all children that have ended.
fn children() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |value: TimeVal| {
        Duration::new(value.tv_sec().unsigned_abs(), value.tv_usec() as u32 * 1000)
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}
