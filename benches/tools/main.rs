//! The command-line clients beside Mosquitto's, as whole programs, against our
//! broker with its default `max_inflight_messages`.
//!
//!     cargo bench --bench tools                  every row, five rounds
//!     cargo bench --bench tools -- --quick       one round with fewer messages
//!     cargo bench --bench tools -- '-l' --rounds 9
//!
//! Ours are the programs that Cargo built, or those in the directory that the
//! variable `MQTT_TOOLS` names. The two take turns, so that whatever else this
//! machine does meets both alike; a ratio is that of the medians. What is asked
//! for stands beside.

mod programs;
mod rows;

use std::io;

use clap::{Arg, ArgAction, Command, value_parser};

use programs::{Broker, Contender};
use rows::{Job, ROWS, Row, Unit};

fn main() -> io::Result<()> {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` runs this too, and wants it short.
        println!("not measured: that is for `cargo bench`");
        return Ok(());
    }
    let matches = command().get_matches();
    let quick = matches.get_flag("quick");
    let usual = if quick { 1 } else { 5 };
    let rounds = *matches.get_one("rounds").unwrap_or(&usual);
    let filters: Vec<&String> = matches.get_many("filter").into_iter().flatten().collect();

    programs::check()?;
    let broker = Broker::start()?;
    println!("| work | measured | mosquitto | ours | ours : mosquitto | asked for |");
    println!("|---|---|---|---|---|---|");
    for row in ROWS {
        let wanted = |filter: &&String| row.name.contains(filter.as_str());
        if filters.is_empty() || filters.iter().any(wanted) {
            println!("{}", line(row, &broker, rounds, quick)?);
        }
    }
    println!(
        "\nMedians of {rounds} rounds. CPU is the program's own processor time, user and system. \
         Delivered: the lines that a subscriber of QoS 1 got, in the worst round."
    );
    Ok(())
}

fn command() -> Command {
    let names: Vec<_> = ROWS.iter().map(|row| format!("  {}", row.name)).collect();
    Command::new("tools")
        .about("The clients beside Mosquitto's")
        .after_help(format!("Rows:\n{}", names.join("\n")))
        .arg(
            Arg::new("filter")
                .num_args(..)
                .allow_hyphen_values(true)
                .help("Run the rows whose name contains one of these"),
        )
        .arg(
            Arg::new("rounds")
                .long("rounds")
                .value_parser(value_parser!(u16).range(1..))
                .help("Rounds of each row, the median counts [default: 5]"),
        )
        .args(["quick", "bench"].map(|name| {
            let flag = Arg::new(name).long(name).action(ArgAction::SetTrue);
            flag.help("One round with fewer messages")
                .hide(name == "bench")
        }))
}

/// Runs one row, and gives its line of the table.
fn line(row: &Row, broker: &Broker, rounds: u16, quick: bool) -> io::Result<String> {
    let messages = if quick {
        row.messages.div_ceil(5)
    } else {
        row.messages
    };
    let mut series = [Vec::new(), Vec::new()];
    for round in 0..rounds * row.turns {
        for turn in 0..2 {
            // Nobody always runs first.
            let index = usize::from((round + turn) % 2);
            let contender = [Contender::Mosquitto, Contender::Ours][index];
            series[index].push(row.job.run(contender, broker, messages)?);
        }
    }
    let [theirs, ours] = series.map(|samples| {
        let mut figures: Vec<f64> = samples.iter().map(|sample| sample.figure).collect();
        figures.sort_by(f64::total_cmp);
        let delivered = samples.iter().filter_map(|sample| sample.delivered).min();
        (figures[figures.len() / 2], delivered)
    });
    let ratio = ours.0 / theirs.0;
    let mut cells = vec![
        row.name.to_owned(),
        row.unit.name().to_owned(),
        cell(row.unit, theirs),
        cell(row.unit, ours),
        if ratio > 0.5 {
            format!("{ratio:.2}")
        } else {
            format!("1/{:.1}", 1.0 / ratio)
        },
        row.target.to_owned(),
    ];
    if let (Job::Lines { qos: "1" }, Some(delivered)) = (&row.job, ours.1)
        && delivered < messages
    {
        cells.push(format!("**{} lines lost**", messages - delivered));
    }
    Ok(format!("| {} |", cells.join(" | ")))
}

fn cell(unit: Unit, (figure, delivered): (f64, Option<u64>)) -> String {
    let figure = match unit {
        Unit::CpuPerMessage => format!("{:.3} µs", figure * 1e6),
        Unit::Wall => format!("{figure:.2} s"),
        Unit::StartToEnd => format!("{:.2} ms", figure * 1e3),
        Unit::Memory => format!("{:.2} MB", figure / 1e6),
    };
    match delivered {
        None => figure,
        Some(delivered) => format!("{figure}, {delivered} delivered"),
    }
}
