//! Many messages wait, and the broker starts again.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    broker::{self, Broker},
    load::Load,
    mebibytes, short,
};

const PUBLISHERS: usize = 16;

/// `alone`: without mosquitto.
pub(crate) fn run(counts: &[u64], alone: bool) -> io::Result<()> {
    println!(
        "\n## Start with messages that wait for a client\n\n\
         | messages | broker | ended by | to CONNACK s | to the first message s | resident MiB | \
         most at the start MiB | resident before MiB | disk MiB |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    for &count in counts {
        for program in broker::programs()? {
            if alone && program.name == "mosquitto" {
                continue;
            }
            let mut broker = program.start("interval 1")?;
            broker.leave_a_session()?;
            let mut load = Load::connect(broker.port, PUBLISHERS)?;
            load.run_to(count)?;
            load.finish()?;
            let (before, _) = broker.memory()?;
            for signal in [Signal::SIGTERM, Signal::SIGKILL] {
                // Of what mosquitto holds nothing would be left.
                if signal == Signal::SIGKILL && program.name == "mosquitto" {
                    continue;
                }
                let restart = restart(&mut broker, signal)?;
                println!(
                    "| {count} | {} | {} | {} | {} | {} | {} | {} | {} |",
                    program.name,
                    signal.as_str(),
                    short(restart.connected.as_secs_f64()),
                    short(restart.delivered.as_secs_f64()),
                    mebibytes(restart.memory),
                    mebibytes(restart.most),
                    mebibytes(before),
                    mebibytes(broker.disk()),
                );
            }
        }
    }
    Ok(())
}

struct Restart {
    /// From the start of the program.
    connected: Duration,
    delivered: Duration,
    memory: u64,
    most: u64,
}

fn restart(broker: &mut Broker, signal: Signal) -> io::Result<Restart> {
    broker.end(signal)?;
    let began = Instant::now();
    broker.start_again()?;
    let mut stream = broker.return_of_the_absent()?;
    let connected = began.elapsed();
    let mut first = [0];
    stream.read_exact(&mut first)?;
    let delivered = began.elapsed();
    if first[0] & 0xF0 != 0x30 {
        return Err(io::Error::other("no message came"));
    }
    let (memory, most) = broker.memory()?;
    Ok(Restart {
        connected,
        delivered,
        memory,
        most,
    })
}
