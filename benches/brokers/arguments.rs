//! What follows `--` on the command line.

use std::time::Duration;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::{
    rows::{ROWS, Row},
    stock::{STOCKS, Stock},
};

pub(crate) struct Arguments {
    pub(crate) quick: bool,
    pub(crate) sleep: bool,
    pub(crate) hold_memory: bool,
    filters: Vec<String>,
    pub(crate) rounds: usize,
    pub(crate) seconds: Duration,
}

impl Arguments {
    pub(crate) fn parse() -> Self {
        let matches = command().get_matches();
        let quick = matches.get_flag("quick");
        let given = |name| matches.get_many::<String>(name).into_iter().flatten();
        Self {
            quick,
            sleep: matches.get_flag("sleep"),
            hold_memory: matches.get_flag("hold-memory"),
            filters: given("filter").map(|f| f.to_lowercase()).collect(),
            rounds: *matches
                .get_one("rounds")
                .unwrap_or(if quick { &1 } else { &5 }),
            seconds: *matches.get_one("seconds").unwrap_or(&if quick {
                Duration::from_millis(300)
            } else {
                Duration::from_secs(1)
            }),
        }
    }

    /// The rows whose name contains one of the filters; without a filter, all
    /// but those that need asking for.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static Row> {
        ROWS.iter()
            .filter(|row| self.wants(row.name, !row.table.is_asked_for()))
    }

    /// The same of the works about what brokers keep.
    pub(crate) fn stocks(&self) -> impl Iterator<Item = &'static Stock> {
        STOCKS
            .iter()
            .filter(|stock| self.wants(stock.name, !stock.is_asked_for))
    }

    fn wants(&self, name: &str, unasked: bool) -> bool {
        let name = name.to_lowercase();
        match &*self.filters {
            [] => unasked,
            filters => filters.iter().any(|filter| name.contains(filter)),
        }
    }
}

fn command() -> Command {
    let names = ROWS.iter().map(|row| row.name);
    let names = names.chain(STOCKS.iter().map(|stock| stock.name));
    let names: Vec<_> = names.map(|name| format!("  {name}")).collect();
    Command::new("brokers")
        .about("Brokers side by side under the same load")
        .after_help(format!("Rows:\n{}", names.join("\n")))
        .arg(
            Arg::new("filter")
                .num_args(..)
                .help("Run the rows whose name contains one of these [default: all but 'growth']"),
        )
        .arg(
            Arg::new("rounds")
                .long("rounds")
                .value_parser(rounds)
                .help("Rounds of each row, the median counts [default: 5]"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_parser(seconds)
                .help("Length of a round [default: 1.0]"),
        )
        .arg(
            Arg::new("quick")
                .long("quick")
                .action(ArgAction::SetTrue)
                .help("One round of 0.3 seconds, to see that all works"),
        )
        .arg(
            Arg::new("sleep")
                .long("sleep")
                .action(ArgAction::SetTrue)
                .help("Have the generator sleep whenever it waits, as clients do"),
        )
        .arg(
            Arg::new("hold-memory")
                .long("hold-memory")
                .action(ArgAction::SetTrue)
                .help("Hold all free memory but a GiB meanwhile, where a host takes back what is free"),
        )
        .arg(
            // Cargo says so to every benchmark that it runs.
            Arg::new("bench")
                .long("bench")
                .action(ArgAction::SetTrue)
                .value_parser(value_parser!(bool))
                .hide(true),
        )
}

fn rounds(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(rounds @ 1..=1000) => Ok(rounds),
        _ => Err("a number from 1 to 1000 is wanted".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number from 0.01 to 3600 is wanted".into()),
    }
}
