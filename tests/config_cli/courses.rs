//! Files as courses, wikis and packages hand them around: what our broker makes of
//! them, and Mosquitto's.
//!
//! Paths are moved into a directory of the test, and ports to free ones. The files
//! may ask for what this version lacks; it must then refuse just that.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::broker::{Setup, free_port};
use crate::common::peers::{Peer, tell};
use crate::common::process::{Finished, Process};
use crate::common::raw::Connect;
use crate::common::{Program, TIMEOUT, oracle};

const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

/// What a broker makes of a file, with the ports as they stand in it.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Listens(BTreeSet<u16>),
    Ends,
}

fn listens(ports: &[u16]) -> Fate {
    Fate::Listens(ports.iter().copied().collect())
}

/// A file, moved to a place where it can be tried.
struct Trial {
    setup: Setup,
    name: &'static str,
    text: String,
    /// Ports of the file, and those that stand for them.
    ports: BTreeMap<u16, u16>,
}

impl Trial {
    fn new(name: &'static str) -> Self {
        let mut trial = Self {
            setup: Setup::new(),
            name,
            text: String::new(),
            ports: BTreeMap::new(),
        };
        trial.text = trial.moved(name);
        trial
    }

    /// The text of a file with paths and ports moved.
    fn moved(&mut self, name: &str) -> String {
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config_cli/files");
        let text = std::fs::read_to_string(files.join(name)).expect("a file of the test");
        let dir = self.setup.path("");
        let dir = dir
            .to_str()
            .expect("a printable path")
            .trim_end_matches('/');
        let mut moved = String::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (option, value) = (words.next(), words.next().unwrap_or_default());
            let mut line = line.replace(" /", &format!(" {dir}/"));
            if let Some(path) = line.split_whitespace().find(|word| word.starts_with(dir)) {
                provide(option, Path::new(path));
            }
            if let (Some("listener" | "port"), Ok(port)) = (option, value.parse::<u16>()) {
                let free = *self.ports.entry(port).or_insert_with(free_port);
                line = line.replacen(value, &free.to_string(), 1);
            }
            moved += &line;
            moved.push('\n');
        }
        moved
    }

    /// Puts a second file where the first includes it.
    fn including(mut self, name: &str, place: &str) -> Self {
        let text = self.moved(name);
        std::fs::write(self.setup.path(place), text).expect("writing a file");
        self
    }

    fn with_text(mut self, change: impl Fn(&str) -> String) -> Self {
        self.text = change(&self.text);
        self
    }

    fn command(&self, mut program: Command) -> Command {
        let user = if nix::unistd::geteuid().is_root() && !self.text.contains("\nuser ") {
            "user root\n"
        } else {
            ""
        };
        // At the end, so that lines keep their numbers.
        let path = self.setup.path("course.conf");
        std::fs::write(&path, format!("{}{user}", self.text)).expect("writing a file");
        program.arg("-c").arg(path);
        program
    }

    /// Starts a broker, and waits until it answers or ends.
    fn play(&self, program: Command) -> (Fate, Option<Finished>) {
        let process = Process::spawn(&mut self.command(program));
        let deadline = Instant::now() + TIMEOUT;
        let mut streams = loop {
            let ports = self.ports.values();
            let open = ports.map(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)));
            match open.collect::<Result<Vec<_>, _>>() {
                Ok(streams) => break streams,
                Err(_) if process.ended() => return (Fate::Ends, Some(process.finish())),
                Err(_) => assert!(Instant::now() < deadline, "{} is not served", self.name),
            }
            std::thread::sleep(BETWEEN_ATTEMPTS);
        };
        // It has opened all that it wants to open once it answers, be it by closing
        // where this is not the protocol.
        for stream in &mut streams {
            stream
                .set_read_timeout(Some(BETWEEN_ATTEMPTS))
                .expect("a limit");
            stream
                .write_all(&Connect::new("course").bytes())
                .expect("a CONNECT");
        }
        while !streams
            .iter_mut()
            .any(|stream| stream.read(&mut [0; 64]).is_ok())
        {
            assert!(Instant::now() < deadline, "{} is not answered", self.name);
        }
        let serving = listening_ports(process.pid());
        let as_written = |free: u16| {
            let mut ports = self.ports.iter();
            ports
                .find(|(_, known)| **known == free)
                .map_or(free, |(port, _)| *port)
        };
        (
            Fate::Listens(serving.into_iter().map(as_written).collect()),
            None,
        )
    }

    /// Ours must come to that end, or refuse only what it cannot do yet.
    fn ours(&self, expected: &Fate) -> Option<Finished> {
        if oracle() {
            return None;
        }
        let (fate, finished) = self.play(Program::Broker.command());
        if let Some(finished) = &finished
            && finished.code == Some(3)
            && *expected != Fate::Ends
        {
            let errors = || {
                finished
                    .stderr
                    .lines()
                    .filter(|line| line.contains(": error: "))
            };
            assert!(errors().count() > 0, "{}: {finished}", self.name);
            for error in errors() {
                assert!(error.contains("this version"), "{}: {finished}", self.name);
            }
            tell(&format!(
                "{}: refused for what this version lacks",
                self.name
            ));
            return None;
        }
        assert_eq!(fate, *expected, "{}: {finished:?}", self.name);
        finished
    }

    fn mosquitto(&self, expected: &Fate) {
        if !Peer::MosquittoBroker.present_for("what Mosquitto makes of files of courses") {
            return;
        }
        let (fate, finished) = self.play(Program::Broker.mosquitto());
        assert_eq!(fate, *expected, "{}: {finished:?}", self.name);
    }

    /// Both brokers serve the same ports.
    fn both(&self, ports: &[u16]) {
        self.ours(&listens(ports));
        self.mosquitto(&listens(ports));
    }
}

/// Makes the directories and files that a line names.
fn provide(option: Option<&str>, path: &Path) {
    let is_directory = matches!(option, Some("persistence_location" | "include_dir"));
    let directory = if is_directory {
        Some(path)
    } else {
        path.parent()
    };
    std::fs::create_dir_all(directory.expect("a path with a parent")).expect("a directory");
    match option {
        Some("password_file") => std::fs::write(path, "").expect("writing a file"),
        Some("acl_file") => std::fs::write(path, "topic #\n").expect("writing a file"),
        _ => {}
    }
}

/// The TCP ports that a process listens on, by what the kernel tells.
fn listening_ports(pid: i32) -> BTreeSet<u16> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process");
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let sockets: Vec<_> = targets
        .filter_map(|target| {
            let target = target.to_str()?.strip_prefix("socket:[")?;
            Some(target.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut ports = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let lines = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in lines.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            let (local, state, inode) = (words[1], words[3], words[9]);
            if state == "0A" && sockets.iter().any(|socket| socket == inode) {
                let port = local.rsplit(':').next().expect("address and port");
                ports.insert(u16::from_str_radix(port, 16).expect("a port"));
            }
        }
    }
    ports
}

#[test]
fn debians_own_file_with_one_of_the_reader() {
    Trial::new("debian.conf")
        .including("debian-local.conf", "etc/mosquitto/conf.d/local.conf")
        .both(&[1883]);
}

#[test]
fn a_course_with_french_comments() {
    Trial::new("cours.conf").both(&[1883]);
}

#[test]
fn a_comment_behind_a_path_is_part_of_it() {
    let trial = Trial::new("cours-commentaire.conf");
    if let Some(finished) = trial.ours(&Fate::Ends) {
        assert!(
            finished.stderr.contains("course.conf:4:1: warning"),
            "{finished}"
        );
        assert!(finished.stderr.contains("a line of its own"), "{finished}");
    }
    trial.mosquitto(&Fate::Ends);
}

#[test]
fn a_course_with_slips() {
    let trial = Trial::new("cours-fautes.conf");
    if let Some(finished) = trial.ours(&Fate::Ends) {
        assert_eq!(finished.code, Some(3), "{finished}");
        for place in [":2:1", ":3:1", ":5:9", ":6:10", ":7:"] {
            let place = format!("course.conf{place}");
            assert!(finished.stderr.contains(&place), "{place}: {finished}");
        }
    }
    trial.mosquitto(&Fate::Ends);
}

#[test]
fn the_add_on_of_home_assistant() {
    Trial::new("home-assistant.conf").both(&[1883, 1884]);
}

#[test]
fn a_stack_of_containers() {
    Trial::new("iotstack.conf").both(&[1883]);
}

#[test]
fn a_nas_whose_default_port_speaks_websocket() {
    Trial::new("synology.conf").both(&[1883, 1884]);
}

#[test]
fn a_guide_to_listeners() {
    Trial::new("guide-listeners.conf").both(&[1883, 1884]);
}

#[test]
fn a_guide_to_bridges() {
    Trial::new("guide-bridge.conf").both(&[1883]);
}

#[test]
fn two_lines_for_a_home() {
    Trial::new("zigbee.conf").both(&[1883]);
}

#[test]
fn a_file_of_long_ago() {
    let trial = Trial::new("old.conf");
    trial.ours(&listens(&[1883, 1884]));
    // 2.0 dropped `store_clean_interval`.
    trial.mosquitto(&Fate::Ends);
    let shorter = trial.with_text(|text| text.replace("store_clean_interval 10\n", ""));
    shorter.both(&[1883, 1884]);
}

#[test]
fn line_ends_and_byte_order_mark_of_windows() {
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let trial = Trial::new("windows.conf").with_text(windows);
    trial.ours(&listens(&[1883]));
    // Mosquitto knows the line ends, not the mark.
    trial.mosquitto(&Fate::Ends);
    let unmarked = trial.with_text(|text| text.replace('\u{feff}', ""));
    unmarked.both(&[1883]);
}
