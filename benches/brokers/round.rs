//! One round: the load on one contender for a while, and what it showed.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::{
    contender::{Contender, Meter},
    flow::Faults,
    generator::Load,
    rows::Row,
};

const WARM_UP: Duration = Duration::from_millis(200);

/// What one round showed.
#[derive(Clone)]
pub(crate) struct Sample {
    /// Messages delivered a second.
    pub(crate) rate: f64,
    /// Seconds of processor time for each message delivered.
    pub(crate) broker_cpu: f64,
    pub(crate) generator_cpu: f64,
    /// The share of the time that the generator was running.
    pub(crate) generator_load: f64,
    /// Seconds from one end to the other; only in rows about latency.
    pub(crate) median: f64,
    pub(crate) percentile_99: f64,
    pub(crate) resident: Option<u64>,
    pub(crate) faults: Faults,
}

/// Puts the row's load on the contender for that long.
pub(crate) fn run(row: &Row, contender: &Contender, span: Duration) -> io::Result<Sample> {
    let mut load = Load::connect(row, contender.port)?;
    load.run(WARM_UP)?;
    load.latencies.clear();
    let before = Reading::take(&load, contender)?;
    load.run(span)?;
    let after = Reading::take(&load, contender)?;
    let resident = contender.meter.resident()?;
    load.drain()?;
    let faults = load.verdict();
    let (median, percentile_99) = percentiles(&mut load.latencies);
    load.close()?;

    let messages = (after.delivered - before.delivered).max(1) as f64;
    let elapsed = (after.time - before.time).as_secs_f64();
    let generator = after.generator.saturating_sub(before.generator);
    let broker = after.broker.saturating_sub(before.broker);
    Ok(Sample {
        rate: messages / elapsed,
        broker_cpu: broker.as_secs_f64() / messages,
        generator_cpu: generator.as_secs_f64() / messages,
        generator_load: generator.as_secs_f64() / elapsed,
        median,
        percentile_99,
        resident,
        faults,
    })
}

/// The counters at one instant.
struct Reading {
    time: Instant,
    delivered: u64,
    broker: Duration,
    /// Without the time that it was awake for nothing.
    generator: Duration,
}

impl Reading {
    fn take(load: &Load, contender: &Contender) -> io::Result<Self> {
        Ok(Self {
            time: Instant::now(),
            delivered: load.delivered,
            broker: contender.meter.cpu()?,
            generator: Meter::of_this_thread()?.cpu()?.saturating_sub(load.looked),
        })
    }
}

fn percentiles(latencies: &mut [u64]) -> (f64, f64) {
    latencies.sort_unstable();
    let at = |percent| {
        let index = latencies.len() * percent / 100;
        latencies.get(index).map_or(0.0, |&n| n as f64 / 1e9)
    };
    (at(50), at(99))
}
