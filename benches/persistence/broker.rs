//! A broker that stores, as a program: configured, started, ended, started
//! again, and what it costs.

use std::{
    env, fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// Mosquitto reads all that it has before it listens.
const PATIENCE: Duration = Duration::from_secs(600);

/// The client that is away: its session gets the messages.
const AWAY: &str = "away";

#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    path: PathBuf,
    is_ours: bool,
}

/// The brokers that there are, mosquitto first: ours are compared to it.
pub(crate) fn programs() -> io::Result<Vec<Program>> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian puts it where only root's search path looks.
    let mosquitto = env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join("mosquitto"))
        .find(|file| file.is_file())
        .ok_or_else(|| io::Error::other("mosquitto is not installed"))?;
    let named = env::var_os("MQTT_BROKER").map(PathBuf::from);
    let ours = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_mqtt-broker").into());
    Ok(vec![
        Program {
            name: "mosquitto",
            path: mosquitto,
            is_ours: false,
        },
        Program {
            name: "ours",
            path: ours,
            is_ours: true,
        },
    ])
}

impl Program {
    /// The first line of the program's help, which names its version.
    pub(crate) fn version(&self) -> String {
        let help = Command::new(&self.path).arg("-h").output();
        let text = help.map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().next().unwrap_or("unknown version").into()
    }

    /// Starts the broker on an empty directory; `sync` is ours alone.
    pub(crate) fn start(&self, sync: &str) -> io::Result<Broker> {
        let directory = TempDir::with_prefix("persistence-")?;
        let location = directory.path().join("data");
        fs::create_dir(&location)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let mut text = format!(
            "listener {port} 127.0.0.1\n\
             allow_anonymous true\n\
             max_queued_messages 0\n\
             log_dest none\n\
             persistence true\n\
             persistence_location {}/\n",
            location.display()
        );
        if nix::unistd::geteuid().is_root() {
            // It would give up its rights, and with them the directory.
            text += "user root\n";
        }
        if self.is_ours {
            text.extend(["persistence_sync ", sync, "\n"]);
        }
        fs::write(directory.path().join("broker.conf"), text)?;
        let child = launch(&self.path, directory.path())?;
        let mut broker = Broker {
            program: self.path.clone(),
            port,
            child,
            directory,
        };
        drop(broker.attempt(&connect(AWAY, false))?);
        Ok(broker)
    }
}

fn launch(program: &Path, directory: &Path) -> io::Result<Child> {
    Command::new(program)
        .arg("-c")
        .arg(directory.join("broker.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn connect(client: &str, clean: bool) -> Vec<u8> {
    if clean {
        crate::wire::connect(client, None)
    } else {
        crate::wire::connect_lasting(client)
    }
}

/// A running broker. Dropping it ends it, also when the benchmark panics.
pub(crate) struct Broker {
    program: PathBuf,
    pub(crate) port: u16,
    child: Child,
    directory: TempDir,
}

impl Broker {
    /// Connects as soon as the broker answers.
    fn attempt(&mut self, connect: &[u8]) -> io::Result<TcpStream> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.exchange(connect) {
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(error) if self.child.try_wait()?.is_some() => {
                    let what = format!("{} ended: {error}", self.program.display());
                    return Err(io::Error::other(what));
                }
                Err(_) => thread::sleep(Duration::from_millis(1)),
                connected => return connected,
            }
        }
    }

    fn exchange(&self, connect: &[u8]) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_nodelay(true)?;
        stream.write_all(connect)?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        match answer {
            [0x20, 2, _, 0] => Ok(stream),
            _ => Err(io::Error::other("the broker refused to connect")),
        }
    }

    /// The client that is away comes.
    pub(crate) fn return_of_the_absent(&mut self) -> io::Result<TcpStream> {
        self.attempt(&connect(AWAY, false))
    }

    /// It subscribes to everything at QoS 1, and leaves.
    pub(crate) fn leave_a_session(&mut self) -> io::Result<()> {
        let mut stream = self.return_of_the_absent()?;
        stream.write_all(&crate::wire::subscribe(["bench/#"], 1))?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        stream.write_all(&crate::wire::DISCONNECT)
    }

    /// Ends the broker.
    pub(crate) fn end(&mut self, signal: Signal) -> io::Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), signal)?;
        self.child.wait().map(drop)
    }

    /// Starts it again.
    pub(crate) fn start_again(&mut self) -> io::Result<()> {
        self.child = launch(&self.program, self.directory.path())?;
        Ok(())
    }

    /// The processor time used so far.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut sum = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))?.flatten() {
            // A thread may end between being listed and being read.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let first = text.split(' ').next().and_then(|word| word.parse().ok());
            sum += Duration::from_nanos(first.unwrap_or_default());
        }
        Ok(sum)
    }

    /// The memory that is resident, in bytes, and the most that ever was.
    pub(crate) fn memory(&self) -> io::Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
        };
        let missing = || io::Error::other("the status is not understood");
        Ok((
            field("VmRSS:").ok_or_else(missing)?,
            field("VmHWM:").ok_or_else(missing)?,
        ))
    }

    /// Bytes that its files take on the disk.
    pub(crate) fn disk(&self) -> u64 {
        blocks(&self.directory.path().join("data")) * 512
    }
}

fn blocks(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => blocks(&entry.path()),
            // It may be gone already.
            metadata => metadata.map_or(0, |metadata| metadata.blocks()),
        })
        .sum()
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended on its own; either way nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
