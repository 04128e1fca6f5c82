//! The brokers as programs: found, configured alike, started, and ended.

use std::{
    env,
    fmt::Write,
    fs::{self, File, Permissions},
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    contender::{Contender, Meter},
    rows::Row,
    surroundings,
};

const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    engine: Engine,
}

/// What carries the messages in the program.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Its,
    /// rumqttd, which ours contains when it is built with the feature `peers`.
    Rumqttd,
}

impl Engine {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Its => &[],
            Self::Rumqttd => &["--engine", "rumqttd"],
        }
    }
}

/// The brokers that there are, mosquitto first: the others are compared to it.
pub(crate) fn installed() -> io::Result<Vec<Program>> {
    let mosquitto = mosquitto().ok_or_else(|| io::Error::other("mosquitto is not installed"))?;
    let mut programs = vec![Program {
        name: "mosquitto",
        path: mosquitto,
        engine: Engine::Its,
    }];
    if let Some(path) = ours() {
        let wrapped = Program {
            name: "rumqttd",
            path: path.clone(),
            engine: Engine::Rumqttd,
        };
        programs.push(Program {
            name: "ours",
            path,
            engine: Engine::Its,
        });
        programs.extend(wrapped.is_built().then_some(wrapped));
    }
    Ok(programs)
}

fn mosquitto() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian puts it where only root's search path looks.
    let directories = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    directories
        .map(|directory| directory.join("mosquitto"))
        .find(|file| file.is_file())
}

fn ours() -> Option<PathBuf> {
    let named = env::var_os("MQTT_BROKER").map(PathBuf::from);
    named.or_else(|| option_env!("CARGO_BIN_EXE_mqtt-broker").map(PathBuf::from))
}

impl Program {
    /// The first line of the program's help, which names its version.
    pub(crate) fn version(&self) -> String {
        let help = Command::new(&self.path).arg("-h").output();
        let text = help.map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().next().unwrap_or("unknown version");
        [&[line], self.engine.arguments()].concat().join(" ")
    }

    /// Whether the program has its engine: it checks an empty configuration.
    fn is_built(&self) -> bool {
        Command::new(&self.path)
            .args(self.engine.arguments())
            .args(["--test-config", "-c", "/dev/null"])
            .output()
            .is_ok_and(|output| output.status.success())
    }

    /// Whether a row may be more than the program can do. Such a row goes on
    /// without it, and says so.
    pub(crate) fn may_fail(&self) -> bool {
        self.engine == Engine::Rumqttd
    }

    pub(crate) fn start(&self, row: &Row) -> io::Result<Contender> {
        let directory = TempDir::with_prefix("brokers-")?;
        let port = free_port()?;
        // Mosquitto reads some of its files after it gave root's rights up.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let config = directory.path().join("broker.conf");
        let text = configuration(row, port, self.engine)
            + &surroundings::configuration(row, directory.path())?;
        fs::write(&config, text)?;
        let complaints = File::create(directory.path().join("stderr"))?;
        let child = Command::new(&self.path)
            .args(self.engine.arguments())
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(complaints)
            .spawn()?;
        let mut process = Process { child, directory };
        process.wait_until_it_listens(self.name, port)?;
        Ok(Contender {
            name: self.name.into(),
            port,
            meter: Meter::of_process(process.child.id()),
            _process: Some(process),
        })
    }
}

fn configuration(row: &Row, port: u16, engine: Engine) -> String {
    let mut text = format!(
        "listener {port} 127.0.0.1\n\
         allow_anonymous {}\n\
         log_dest none\n",
        !row.guarded
    );
    if engine == Engine::Rumqttd {
        // It has no limits to lift, and with one version a port of its own.
        text.push_str("accept_protocol_versions 4\n");
        return text;
    }
    text.push_str("max_queued_messages 0\n");
    if let Some(limit) = row.max_inflight {
        let _ = writeln!(text, "max_inflight_messages {limit}");
    }
    text
}

pub(crate) fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// A running broker. Dropping it ends it, also when the benchmark panics.
pub(crate) struct Process {
    child: Child,
    directory: TempDir,
}

impl Process {
    fn wait_until_it_listens(&mut self, name: &str, port: u16) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                let complaints = fs::read_to_string(self.directory.path().join("stderr"))?;
                let complaints = complaints.lines().next().unwrap_or("it says nothing");
                return Err(io::Error::other(format!(
                    "{name} did not start: {complaints}"
                )));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended on its own; either way nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
