//! Brokers side by side under the same load, on this machine, over loopback.
//!
//!     cargo bench --bench brokers                      every row, five rounds of a second
//!     cargo bench --bench brokers -- --quick           one short round of each
//!     cargo bench --bench brokers -- 'QoS 1' --rounds 9 --seconds 2
//!
//! Every row starts each broker afresh and then lets them take turns, round by
//! round, so that whatever else this machine does meets all of them alike. Only
//! the ratios within one run mean anything: never compare with another day's.
//!
//! The brokers are `mosquitto` as installed and ours, as Cargo built it or as
//! the variable `MQTT_BROKER` names it, and rumqttd, where that was built with the
//! feature `peers` (`cargo bench --features peers --bench brokers`). Linux only: the costs come from `/proc`.

mod arguments;
mod awake;
mod brokers;
mod client;
mod connection;
mod contender;
mod cores;
mod flow;
mod generator;
mod layer;
mod machine;
mod relay;
mod report;
mod round;
mod rows;
mod stock;
mod surroundings;
mod wire;

use std::{env, io};

use arguments::Arguments;
use brokers::Program;
use contender::Contender;
use machine::Machine;
use report::Series;
use rows::Row;
use surroundings::Bystanders;

fn main() -> io::Result<()> {
    if !env::args().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` runs this too, and wants it short.
        println!("not measured: that is for `cargo bench`");
        return Ok(());
    }
    let arguments = Arguments::parse();
    if arguments.sleep {
        awake::sleep_always();
    }
    let _held = arguments
        .hold_memory
        .then(machine::hold_memory)
        .transpose()?;
    let machine = Machine::now()?;
    machine::allow_many_files()?;
    let programs = brokers::installed()?;
    report::preamble(&programs, &arguments);
    let mut table = None;
    for row in arguments.rows() {
        if table.replace(row.table) != Some(row.table) {
            report::heading(row.table);
        }
        report::row(row, &compare(row, &programs, &arguments)?);
    }
    report::legend();
    for stock in arguments.stocks() {
        stock::report(stock, &programs, &arguments);
    }
    machine.report()
}

/// Runs one row: all contenders side by side, taking turns.
fn compare(row: &Row, programs: &[Program], arguments: &Arguments) -> io::Result<Vec<Series>> {
    let _confined = row.one_core.then(cores::confine).transpose()?;
    let (mut contenders, mut absent) = (Vec::new(), Vec::new());
    for program in programs {
        match program.start(row) {
            Ok(contender) => contenders.push(contender),
            Err(error) if program.may_fail() => absent.push(Series::failed(program.name, error)),
            Err(error) => return Err(error),
        }
    }
    if row.suits_a_relay() {
        contenders.push(relay::start()?);
    }
    let names = contenders.iter().map(|contender| contender.name.as_str());
    let mut series: Vec<_> = names.map(Series::new).collect();
    for round in 0..arguments.rounds {
        for turn in 0..contenders.len() {
            // Nobody always runs first, or always behind the same neighbour's mess.
            let index = (round + turn) % contenders.len();
            take_turn(row, &contenders[index], &mut series[index], arguments);
        }
    }
    series.extend(absent);
    Ok(series)
}

/// A broker that fails is told in its line of the table and sits out the
/// rounds left; the others go on.
fn take_turn(row: &Row, contender: &Contender, series: &mut Series, arguments: &Arguments) {
    if series.failure.is_some() {
        return;
    }
    // With those of all contenders at once, the files that this process may have
    // open would not be enough for the largest rows.
    let round = Bystanders::connect(row, contender.port)
        .and_then(|_bystanders| round::run(row, contender, arguments.seconds));
    match round {
        Ok(sample) => series.samples.push(sample),
        Err(error) => series.failure = Some(error.to_string()),
    }
}
