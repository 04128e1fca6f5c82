//! What is measured, and how.

use std::io::{self, BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::programs::{Broker, Contender, Running};

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) job: Job,
    pub(crate) messages: u64,
    /// How often the two take turns in one round: short jobs do so more often,
    /// because this machine may be slow just when one of them has its turn.
    pub(crate) turns: u16,
    pub(crate) unit: Unit,
    /// Relative to Mosquitto 2.0 in the same run.
    pub(crate) target: &'static str,
}

pub(crate) enum Job {
    /// `mqtt-pub -l`
    Lines { qos: &'static str },
    /// `mqtt-sub -C`, printing so.
    Print { how: &'static [&'static str] },
    /// `mqtt-pub -m x`
    One { host: &'static str },
    /// `mqtt-sub` that waits.
    Wait,
}

#[derive(Clone, Copy)]
pub(crate) enum Unit {
    CpuPerMessage,
    Wall,
    StartToEnd,
    Memory,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CpuPerMessage => "CPU per message",
            Self::Wall => "wall time",
            Self::StartToEnd => "start to end",
            Self::Memory => "resident memory",
        }
    }
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "mqtt-pub -l, QoS 0",
        job: Job::Lines { qos: "0" },
        messages: 500_000,
        turns: 1,
        unit: Unit::CpuPerMessage,
        target: "1/8",
    },
    Row {
        name: "mqtt-pub -l, QoS 1",
        job: Job::Lines { qos: "1" },
        messages: 100_000,
        turns: 1,
        unit: Unit::Wall,
        target: "1/3, all delivered",
    },
    Row {
        name: "mqtt-sub -v",
        job: Job::Print { how: &["-v"] },
        messages: 500_000,
        turns: 1,
        unit: Unit::CpuPerMessage,
        target: "1/8",
    },
    Row {
        name: "mqtt-sub -F '%I %t %p'",
        job: Job::Print {
            how: &["-F", "%I %t %p"],
        },
        messages: 500_000,
        turns: 1,
        unit: Unit::CpuPerMessage,
        target: "1/6",
    },
    Row {
        name: "mqtt-sub -F %j",
        job: Job::Print { how: &["-F", "%j"] },
        messages: 500_000,
        turns: 1,
        unit: Unit::CpuPerMessage,
        target: "1/6",
    },
    Row {
        name: "mqtt-pub -m x",
        job: Job::One { host: "localhost" },
        messages: 5,
        turns: 20,
        unit: Unit::StartToEnd,
        target: "1",
    },
    Row {
        name: "mqtt-pub -h 127.0.0.1 -m x",
        job: Job::One { host: "127.0.0.1" },
        messages: 5,
        turns: 20,
        unit: Unit::StartToEnd,
        target: "1",
    },
    Row {
        name: "mqtt-sub that waits",
        job: Job::Wait,
        messages: 1,
        turns: 1,
        unit: Unit::Memory,
        target: "1.5",
    },
];

/// What one run showed.
pub(crate) struct Sample {
    /// In the unit of the row: seconds or bytes.
    pub(crate) figure: f64,
    pub(crate) delivered: Option<u64>,
}

impl From<f64> for Sample {
    fn from(figure: f64) -> Self {
        Self {
            figure,
            delivered: None,
        }
    }
}

/// So long is a line, its end included.
const LINE: usize = 64;
const TOPIC: &str = "house/kitchen/temperature";
/// Sent behind all lines, to know when the last has come.
const END: &str = "end";

impl Job {
    pub(crate) fn run(
        &self,
        contender: Contender,
        broker: &Broker,
        messages: u64,
    ) -> io::Result<Sample> {
        match self {
            Self::Lines { qos: "0" } => {
                let (_, cpu) = publish_lines(contender, broker, "0", messages)?;
                Ok((cpu.as_secs_f64() / messages as f64).into())
            }
            Self::Lines { qos } => deliver_lines(contender, broker, qos, messages),
            Self::Print { how } => print(contender, broker, how, messages),
            Self::One { host } => one(contender, broker, host, messages),
            Self::Wait => wait(contender, broker),
        }
    }
}

fn lines(count: u64) -> Vec<u8> {
    let mut lines = Vec::with_capacity(count as usize * LINE);
    for number in 0..count {
        // To write to a Vec cannot fail.
        let _ = writeln!(lines, "{number:0width$}", width = LINE - 1);
    }
    lines
}

/// Wall time and processor time of `-l`, its input in a file.
fn publish_lines(
    contender: Contender,
    broker: &Broker,
    qos: &str,
    messages: u64,
) -> io::Result<(Duration, Duration)> {
    let input = broker.file("lines", &lines(messages))?;
    let start = Instant::now();
    let mut publisher = contender.publisher(broker);
    publisher.args(["-t", TOPIC, "-l", "-q", qos]).stdin(input);
    let cpu = Running::start(&mut publisher)?.finish()?;
    Ok((start.elapsed(), cpu))
}

/// The same, beside a subscriber that counts what arrives.
fn deliver_lines(
    contender: Contender,
    broker: &Broker,
    qos: &str,
    messages: u64,
) -> io::Result<Sample> {
    let mut counter = Contender::Ours.subscriber(broker);
    counter
        .args(["-t", TOPIC, "-q", "1", "-d"])
        .stdout(Stdio::piped());
    let mut counter = Running::start(&mut counter)?;
    let mut output = BufReader::new(counter.stdout()?);
    wait_for_line(&mut output, "Subscribed")?;
    let (wall, _) = publish_lines(contender, broker, qos, messages)?;
    let mut end = Contender::Ours.publisher(broker);
    Running::start(end.args(["-t", TOPIC, "-q", "1", "-m", END]))?.finish()?;
    let mut delivered = 0;
    for line in output.lines() {
        match line?.as_str() {
            END => break,
            line if line.len() == LINE - 1 && line.starts_with("000") => delivered += 1,
            _ => {}
        }
    }
    Ok(Sample {
        figure: wall.as_secs_f64(),
        delivered: Some(delivered),
    })
}

/// Processor time for each message of a subscriber that gets more than it asks
/// for.
fn print(contender: Contender, broker: &Broker, how: &[&str], messages: u64) -> io::Result<Sample> {
    let mut subscriber = contender.subscriber(broker);
    let count = messages.to_string();
    subscriber.args(["-t", TOPIC, "-C", &count]).args(how);
    let subscriber = Running::start(&mut subscriber)?;
    let mut feeder = Contender::Ours.publisher(broker);
    feeder
        .args(["-t", TOPIC, "-l", "--quiet"])
        .stdin(Stdio::piped());
    let mut feeder = Running::start(&mut feeder)?;
    let mut feed = feeder.stdin()?;
    let block = lines(10_000);
    // It ends when the feeder does.
    let feeding = thread::spawn(move || while feed.write_all(&block).is_ok() {});
    let cpu = subscriber.finish()?;
    drop(feeder);
    feeding
        .join()
        .map_err(|_| io::Error::other("the feeding thread panicked"))?;
    Ok((cpu.as_secs_f64() / messages as f64).into())
}

/// From start to end, the median of so many runs.
fn one(contender: Contender, broker: &Broker, host: &str, runs: u64) -> io::Result<Sample> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let mut publisher = contender.publisher_at(broker, host);
        publisher.args(["-t", TOPIC, "-m", "x"]);
        let start = Instant::now();
        Running::start(&mut publisher)?.finish()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2].into())
}

fn wait(contender: Contender, broker: &Broker) -> io::Result<Sample> {
    let mut subscriber = contender.subscriber(broker);
    subscriber
        .args(["-t", "nothing", "-d"])
        .stdout(Stdio::piped());
    let mut subscriber = Running::start(&mut subscriber)?;
    let mut output = BufReader::new(subscriber.stdout()?);
    // What goes into a pipe Mosquitto holds back until there is much of it.
    if contender == Contender::Ours {
        wait_for_line(&mut output, "Subscribed")?;
    } else {
        thread::sleep(Duration::from_millis(500));
    }
    Ok((subscriber.resident()? as f64).into())
}

fn wait_for_line(output: &mut impl BufRead, start: &str) -> io::Result<()> {
    let mut line = String::new();
    while !line.starts_with(start) {
        line.clear();
        if output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the subscriber has ended"));
        }
    }
    Ok(())
}
