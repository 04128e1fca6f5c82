//! QoS 1 into the session of a client that is away.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::{
    broker::{self, Broker, Program},
    load::Load,
    mebibytes, short,
};

const PUBLISHERS: [usize; 3] = [1, 16, 256];
const SYNC: [&str; 3] = ["always", "interval 1", "never"];
const WARM_UP: Duration = Duration::from_millis(200);

struct Contender {
    name: String,
    broker: Broker,
    samples: Vec<Sample>,
}

struct Sample {
    /// Acknowledgements a second.
    rate: f64,
    /// Seconds of processor time of the broker for each.
    cpu: f64,
}

pub(crate) fn run(rounds: u64, span: Duration) -> io::Result<()> {
    println!(
        "\n## QoS 1 into a session whose client is away, 16 in flight for each publisher\n\n\
         {rounds} rounds of {} s\n\n\
         | publishers | broker | messages/s | of mosquitto | of `interval` | CPU µs/message | resident MiB | disk MiB |\n\
         |---|---|---|---|---|---|---|---|",
        span.as_secs_f64()
    );
    for publishers in PUBLISHERS {
        let mut contenders = contenders()?;
        for round in 0..rounds as usize {
            for turn in 0..contenders.len() {
                // Nobody always runs first, or always behind the same neighbour's mess.
                let index = (round + turn) % contenders.len();
                let contender = &mut contenders[index];
                let sample = play(&contender.broker, publishers, span)?;
                contender.samples.push(sample);
            }
        }
        for contender in &contenders {
            let ratio = |to: &Contender| ratio(contender, to);
            println!(
                "| {publishers} | {} | {:.0} | {} | {} | {} | {} | {} |",
                contender.name,
                middle(contender.samples.iter().map(|sample| sample.rate)),
                ratio(&contenders[0]),
                ratio(&contenders[2]),
                short(middle(
                    contender.samples.iter().map(|sample| sample.cpu * 1e6)
                )),
                mebibytes(contender.broker.memory()?.0),
                mebibytes(contender.broker.disk()),
            );
        }
    }
    Ok(())
}

fn contenders() -> io::Result<Vec<Contender>> {
    let start = |program: &Program, sync: &str| {
        let mut broker = program.start(sync)?;
        broker.leave_a_session()?;
        Ok(Contender {
            name: format!("{} {sync}", program.name).trim_end().to_owned(),
            broker,
            samples: Vec::new(),
        })
    };
    let [mosquitto, ours] = <[Program; 2]>::try_from(broker::programs()?)
        .ok()
        .expect("two");
    let ours = SYNC.iter().map(|sync| start(&ours, sync));
    std::iter::once(start(&mosquitto, "")).chain(ours).collect()
}

fn play(broker: &Broker, publishers: usize, span: Duration) -> io::Result<Sample> {
    let mut load = Load::connect(broker.port, publishers)?;
    load.run(WARM_UP)?;
    let (began, before, cpu) = (Instant::now(), load.acknowledged, broker.cpu()?);
    load.run(span)?;
    let messages = (load.acknowledged - before).max(1) as f64;
    let sample = Sample {
        rate: messages / began.elapsed().as_secs_f64(),
        cpu: broker.cpu()?.saturating_sub(cpu).as_secs_f64() / messages,
    };
    load.finish()?;
    Ok(sample)
}

/// One contender's rate as a multiple of another's, in rounds that stood next
/// to each other.
fn ratio(contender: &Contender, to: &Contender) -> String {
    let pairs = contender.samples.iter().zip(&to.samples);
    let ratios: Vec<_> = pairs.map(|(a, b)| a.rate / b.rate).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    let middle = middle(ratios.into_iter());
    format!("{} ({}–{})", short(middle), short(least), short(most))
}

fn middle(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}
