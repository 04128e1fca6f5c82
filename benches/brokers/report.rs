//! The findings as Markdown, a line for each contender as soon as its row is
//! done.

use std::{fs, io, ptr, thread};

use crate::{
    arguments::Arguments,
    brokers::Program,
    flow::Faults,
    round::Sample,
    rows::{Row, Table},
    stock::Figure,
};

/// From this share of a processor on, the generator may be what limits.
const SATURATED: f64 = 0.9;

/// What the rounds of one contender showed in one row.
pub(crate) struct Series {
    name: String,
    pub(crate) samples: Vec<Sample>,
    pub(crate) failure: Option<String>,
}

impl Series {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            samples: Vec::new(),
            failure: None,
        }
    }

    /// That of a contender that did not start.
    pub(crate) fn failed(name: &str, why: io::Error) -> Self {
        Self {
            failure: Some(why.to_string()),
            ..Self::new(name)
        }
    }

    fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        middle(self.samples.iter().map(figure).collect())
    }

    /// This contender's figure as a multiple of another's. Rounds that stood
    /// next to each other are compared, which takes out what came and went on
    /// this machine meanwhile; the spread tells how well that went.
    fn ratio(&self, to: &Self, figure: impl Fn(&Sample) -> f64) -> String {
        if ptr::eq(self, to) {
            return "1".into();
        }
        let pairs = self.samples.iter().zip(&to.samples);
        let ratios: Vec<_> = pairs.map(|(a, b)| figure(a) / figure(b)).collect();
        if ratios.is_empty() {
            return "–".into();
        }
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        format!(
            "{} ({}–{})",
            short(middle(ratios)),
            short(least),
            short(most)
        )
    }

    fn resident(&self) -> String {
        let bytes = self.samples.iter().filter_map(|sample| sample.resident);
        match bytes.max() {
            Some(most) => format!("{:.1}", most as f64 / f64::from(1 << 20)),
            None => "–".into(),
        }
    }

    fn generator_load(&self) -> String {
        let share = self.median(|sample| sample.generator_load);
        let mark = if share > SATURATED { " \\*" } else { "" };
        format!("{:.0} %{mark}", share * 100.0)
    }

    fn faults(&self) -> Faults {
        self.samples.iter().map(|sample| sample.faults).sum()
    }
}

/// Three digits that count, whether the figure is large or small.
fn short(figure: f64) -> String {
    let decimals = match figure {
        0.0 => 0,
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{figure:.decimals$}")
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}

/// Says what is compared and how busy the machine is with other things.
pub(crate) fn preamble(programs: &[Program], arguments: &Arguments) {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("# Brokers side by side\n");
    for program in programs {
        println!("- {}: {}", program.name, program.version());
    }
    println!(
        "- rounds: {} of {} s, cores: {cores}, load before: {}",
        arguments.rounds,
        arguments.seconds.as_secs_f64(),
        load.split(' ').next().unwrap_or("unknown"),
    );
    if !programs.iter().any(|program| program.name == "ours") {
        println!("- ours is not built and `MQTT_BROKER` not set: mosquitto runs alone");
    }
}

pub(crate) fn heading(table: Table) {
    let title = match table {
        Table::Throughput => "Throughput",
        Table::Latency => "Latency",
        Table::Growth => "How it grows",
        Table::Undisturbed => "Who is slow disturbs nobody",
    };
    let columns = match table {
        Table::Throughput | Table::Growth => {
            "messages/s | ratio | CPU µs/message | ratio | generator µs/message | generator load"
        }
        Table::Latency | Table::Undisturbed => {
            "p50 µs | ratio | p99 µs | ratio | messages/s | CPU µs/message | ratio | generator µs/message"
        }
    };
    let columns = format!("| row | broker | {columns} | resident MiB | faults |");
    let rule: String = columns
        .chars()
        .map(|c| if c == '|' { '|' } else { '-' })
        .collect();
    println!("\n## {title}\n\n{columns}\n{rule}");
}

pub(crate) fn row(row: &Row, contenders: &[Series]) {
    let baseline = &contenders[0];
    for series in contenders {
        let findings = match &series.failure {
            Some(failure) => format!("failed: {failure}"),
            None => findings(row, series, baseline),
        };
        println!("| {} | {} | {findings} |", row.name, series.name);
    }
}

fn findings(row: &Row, series: &Series, baseline: &Series) -> String {
    let micros = |figure: fn(&Sample) -> f64| short(series.median(figure) * 1e6);
    let ratio = |figure: fn(&Sample) -> f64| series.ratio(baseline, figure);
    let rate = format!("{:.0}", series.median(|s| s.rate));
    let mut cells = match row.table {
        Table::Throughput | Table::Growth => vec![
            rate,
            ratio(|s| s.rate),
            micros(|s| s.broker_cpu),
            ratio(|s| s.broker_cpu),
            micros(|s| s.generator_cpu),
            series.generator_load(),
        ],
        Table::Latency | Table::Undisturbed => vec![
            micros(|s| s.median),
            ratio(|s| s.median),
            micros(|s| s.percentile_99),
            ratio(|s| s.percentile_99),
            rate,
            micros(|s| s.broker_cpu),
            ratio(|s| s.broker_cpu),
            micros(|s| s.generator_cpu),
        ],
    };
    cells.extend([series.resident(), series.faults().to_string()]);
    cells.join(" | ")
}

/// The figures of a work that all brokers did so many times, the first's to
/// compare with.
pub(crate) fn stock(name: &str, brokers: &[&str], rounds: Vec<Vec<io::Result<Vec<Figure>>>>) {
    println!("\n## {name}\n\n| broker | figure | median | ratio |\n|-|-|-|-|");
    let mut baseline: Vec<Figure> = Vec::new();
    for (broker, rounds) in brokers.iter().zip(rounds) {
        let medians = match rounds.into_iter().collect::<io::Result<Vec<_>>>() {
            Ok(rounds) => medians(&rounds),
            Err(failure) => {
                println!("| {broker} | failed: {failure} | | |");
                continue;
            }
        };
        for (figure, median) in &medians {
            let compared = baseline.iter().find(|(other, _)| other == figure);
            let ratio = compared.map_or("–".into(), |(_, other)| short(median / other));
            println!("| {broker} | {figure} | {} | {ratio} |", short(*median));
        }
        if baseline.is_empty() {
            baseline = medians;
        }
    }
}

fn medians(rounds: &[Vec<Figure>]) -> Vec<Figure> {
    let first = rounds
        .iter()
        .flatten()
        .take(rounds.first().map_or(0, Vec::len));
    first
        .enumerate()
        .map(|(index, (figure, _))| {
            (
                *figure,
                middle(rounds.iter().map(|round| round[index].1).collect()),
            )
        })
        .collect()
}

pub(crate) fn legend() {
    println!(
        "\nMedians of the rounds. A ratio is the figure divided by mosquitto's in the same round \
         (median, least and greatest): more is better for messages/s, less for all else. CPU is \
         the broker's processor time for each message delivered, the generator's stands beside \
         it. \\* the generator was busy nearly all the time and may have been the limit. \
         Resident: the most seen under load. Faults: over all rounds."
    );
}
