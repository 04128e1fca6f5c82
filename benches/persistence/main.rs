//! What persistence costs, on this machine, over loopback, beside mosquitto with
//! its own persistence on.
//!
//!     cargo bench --bench persistence                          throughput and recovery
//!     cargo bench --bench persistence -- throughput --rounds 9 --seconds 2
//!     cargo bench --bench persistence -- recovery --alone --messages 10000000
//!     cargo bench --bench persistence -- year --messages 50000000
//!
//! Throughput: QoS 1 into the session of a client that is away. All brokers of a
//! row are started afresh and take turns; only the ratios within one run mean
//! anything. Recovery: so many messages wait in that session, the broker ends
//! and starts again. Year: so many messages go through a queue that stays as
//! long as it is, and the files are watched.
//!
//! The brokers are `mosquitto` as installed and ours, as Cargo built it or as
//! the variable `MQTT_BROKER` names it. Linux only: the figures come from `/proc`.

#[allow(dead_code, reason = "the other benchmark uses more of it")]
#[path = "../brokers/awake.rs"]
mod awake;
mod broker;
#[allow(dead_code, reason = "the other benchmark uses more of it")]
#[path = "../brokers/connection.rs"]
mod connection;
#[allow(dead_code, reason = "the other benchmark uses more of it")]
#[path = "../brokers/layer.rs"]
mod layer;
mod load;
mod recovery;
mod throughput;
#[allow(dead_code, reason = "the other benchmark uses more of it")]
#[path = "../brokers/wire.rs"]
mod wire;
mod year;

use std::{env, io, time::Duration};

use clap::{Arg, ArgAction, Command, value_parser};

fn main() -> io::Result<()> {
    if !env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` runs this too, and wants it short.
        println!("not measured: that is for `cargo bench`");
        return Ok(());
    }
    let matches = command().get_matches();
    let parts: Vec<_> = matches
        .get_many::<String>("part")
        .into_iter()
        .flatten()
        .collect();
    let wants = |part: &str| parts.iter().any(|wanted| *wanted == part);
    let number = |name: &str| matches.get_one::<u64>(name).copied();
    let quick = matches.get_flag("quick");
    for program in broker::programs()? {
        println!("- {}: {}", program.name, program.version());
    }
    if parts.is_empty() || wants("throughput") {
        let rounds = number("rounds").unwrap_or(if quick { 1 } else { 5 });
        let seconds = matches.get_one::<f64>("seconds").copied();
        let seconds = seconds.unwrap_or(if quick { 0.3 } else { 1.0 });
        throughput::run(rounds, Duration::from_secs_f64(seconds))?;
    }
    if parts.is_empty() || wants("recovery") {
        let default: &[u64] = if quick {
            &[100_000]
        } else {
            &[1_000_000, 5_000_000]
        };
        let given = number("messages").map(|messages| vec![messages]);
        let alone = matches.get_flag("alone");
        recovery::run(&given.unwrap_or(default.to_vec()), alone)?;
    }
    if wants("year") {
        let default = if quick { 500_000 } else { 30_000_000 };
        year::run(number("messages").unwrap_or(default))?;
    }
    Ok(())
}

fn command() -> Command {
    let number = |name: &'static str, help: &'static str| {
        let arg = Arg::new(name).long(name).help(help);
        arg.value_parser(value_parser!(u64).range(1..))
    };
    Command::new("persistence")
        .about("What persistence costs, beside mosquitto")
        .arg(
            Arg::new("part")
                .num_args(..)
                .value_parser(["throughput", "recovery", "year"])
                .help("What to measure [default: throughput and recovery]"),
        )
        .arg(number(
            "rounds",
            "Rounds of throughput, the median counts [default: 5]",
        ))
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_parser(value_parser!(f64))
                .help("Length of a round [default: 1.0]"),
        )
        .arg(number(
            "messages",
            "Messages that wait, or that go through [default: 1 and 5 million, 30 million]",
        ))
        .arg(
            Arg::new("alone")
                .long("alone")
                .action(ArgAction::SetTrue)
                .help("Recovery without mosquitto, which needs long for many messages"),
        )
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("A little of everything, to see that all works"),
        )
        .arg(
            // Cargo says so to every benchmark that it runs.
            Arg::new("bench")
                .long("bench")
                .action(ArgAction::SetTrue)
                .hide(true),
        )
}

/// Three digits that count, whether the figure is large or small.
fn short(figure: f64) -> String {
    let decimals = match figure {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{figure:.decimals$}")
}

fn mebibytes(bytes: u64) -> String {
    short(bytes as f64 / f64::from(1 << 20))
}
