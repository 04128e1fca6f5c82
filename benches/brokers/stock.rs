//! What a broker keeps for later, and what it costs to keep it: subscriptions,
//! retained messages, the messages of a client that is away, idle connections;
//! and the broker itself.

use std::{
    fs, io,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;

use crate::{
    arguments::Arguments,
    brokers::Program,
    client::Client,
    contender::Contender,
    report, round,
    rows::{self, PLAIN, Row},
    surroundings::Bystanders,
    wire,
};

/// A work that ends with some figures.
pub(crate) struct Stock {
    pub(crate) name: &'static str,
    pub(crate) is_asked_for: bool,
    work: fn(&Program, &Scale) -> io::Result<Vec<Figure>>,
}

/// What was measured, in words with the unit, and how much.
pub(crate) type Figure = (&'static str, f64);

/// How much of everything there is.
struct Scale {
    messages: usize,
    connections: usize,
    /// Messages of an hour.
    hour: u64,
    rest: Duration,
}

const WHOLE: Scale = Scale {
    messages: 100_000,
    connections: 10_000,
    hour: 3_600_000,
    rest: Duration::from_secs(3),
};

const QUICK: Scale = Scale {
    messages: 10_000,
    connections: 1000,
    hour: 100_000,
    rest: Duration::from_millis(300),
};

pub(crate) const STOCKS: &[Stock] = &[
    Stock {
        name: "The idle broker",
        is_asked_for: false,
        work: idle_broker,
    },
    Stock {
        name: "100 000 wildcard subscriptions, memory",
        is_asked_for: false,
        work: subscriptions,
    },
    Stock {
        name: "100 000 retained messages, a level for each device",
        is_asked_for: false,
        work: |program, scale| retained(program, scale, |number| format!("maison/{number}/temp")),
    },
    Stock {
        name: "100 000 retained messages, 1000 devices at each of 100 sites",
        is_asked_for: false,
        work: |program, scale| {
            retained(program, scale, |number| {
                format!("site/{}/device/{number}", number % 100)
            })
        },
    },
    Stock {
        name: "100 000 QoS 1 messages to an offline session",
        is_asked_for: false,
        work: offline,
    },
    Stock {
        name: "10 000 idle connections",
        is_asked_for: false,
        work: idle_connections,
    },
    Stock {
        name: "Growth, an hour of 1000 messages a second",
        is_asked_for: true,
        work: an_hour,
    },
];

/// Runs a work with all brokers in turn, each time with a fresh one, and prints
/// what came out. It takes long enough for three rounds to be enough.
pub(crate) fn report(stock: &Stock, programs: &[Program], arguments: &Arguments) {
    let scale = if arguments.quick { QUICK } else { WHOLE };
    let rounds = arguments.rounds.min(if stock.is_asked_for { 1 } else { 3 });
    let mut figures: Vec<_> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for turn in 0..programs.len() {
            let index = (round + turn) % programs.len();
            figures[index].push((stock.work)(&programs[index], &scale));
        }
    }
    let names: Vec<_> = programs.iter().map(|program| program.name).collect();
    report::stock(stock.name, &names, figures);
}

fn start(program: &Program) -> io::Result<Contender> {
    let row = Row {
        max_inflight: Some(1000),
        ..PLAIN
    };
    program.start(&row)
}

fn resident(contender: &Contender) -> io::Result<f64> {
    Ok(contender.meter.resident()?.unwrap_or(0) as f64)
}

fn idle_broker(program: &Program, scale: &Scale) -> io::Result<Vec<Figure>> {
    let began = Instant::now();
    let contender = start(program)?;
    Client::connect(contender.port, &wire::connect("first", None))?;
    let start = began.elapsed();
    thread::sleep(scale.rest);
    let mut figures = vec![
        ("memory, MiB", resident(&contender)? / f64::from(1 << 20)),
        (
            "of that without the pages of programs and libraries, MiB",
            contender.meter.own_memory()?.unwrap_or(0) as f64 / f64::from(1 << 20),
        ),
        ("start to the first CONNACK, ms", start.as_secs_f64() * 1e3),
    ];
    if let Some(size) = stripped_size(program) {
        figures.push(("the program, stripped, MiB", size / f64::from(1 << 20)));
    }
    Ok(figures)
}

/// What is left when `strip` has been at a copy; none where there is no `strip`.
fn stripped_size(program: &Program) -> Option<f64> {
    let copy = NamedTempFile::new().ok()?;
    let mut strip = Command::new("strip");
    let status = strip.arg("-o").arg(copy.path()).arg(&program.path).status();
    status.ok().filter(std::process::ExitStatus::success)?;
    Some(fs::metadata(copy.path()).ok()?.len() as f64)
}

fn subscriptions(program: &Program, scale: &Scale) -> io::Result<Vec<Figure>> {
    const AT_ONCE: usize = 500;
    let contender = start(program)?;
    let mut client = Client::connect(contender.port, &wire::connect("subscriber", None))?;
    let (memory, began) = (resident(&contender)?, Instant::now());
    let filters: Vec<_> = (0..scale.messages).map(filter).collect();
    for some in filters.chunks(AT_ONCE) {
        client.send(&wire::subscribe(some.iter().map(String::as_str), 0))?;
        client.expect(&wire::suback(some.len(), 0))?;
    }
    let time = began.elapsed();
    let each = (resident(&contender)? - memory) / scale.messages as f64;
    Ok(vec![
        ("subscribed a second", per_second(scale.messages, time)),
        ("memory of each, B", each),
    ])
}

/// A filter with a wildcard in the middle, of which each site has some.
fn filter(number: usize) -> String {
    format!("site/{}/+/device/{number}", number % 100)
}

fn retained(
    program: &Program,
    scale: &Scale,
    topic: fn(usize) -> String,
) -> io::Result<Vec<Figure>> {
    let contender = start(program)?;
    let mut publisher = Client::connect(contender.port, &wire::connect("publisher", None))?;
    let publish = |number| wire::publish(&topic(number), 0, true, 0, &payload(number));
    let bytes: Vec<_> = (0..scale.messages).flat_map(publish).collect();
    let (memory, used) = (resident(&contender)?, contender.meter.cpu()?);
    let began = Instant::now();
    publisher.send(&bytes)?;
    publisher.send(&wire::PINGREQ)?;
    publisher.expect(&wire::PINGRESP)?;
    let stored = began.elapsed();
    let storing = contender.meter.cpu()?.saturating_sub(used);
    let each = (resident(&contender)? - memory) / scale.messages as f64;

    let mut subscriber = Client::connect(contender.port, &wire::connect("subscriber", None))?;
    let (used, began) = (contender.meter.cpu()?, Instant::now());
    subscriber.send(&wire::subscribe(["#"], 0))?;
    subscriber.expect(&wire::suback(1, 0))?;
    let mut seen = vec![false; scale.messages];
    let mut twice = 0;
    subscriber.receive(scale.messages, |number| {
        if seen
            .get_mut(number)
            .is_none_or(|seen| std::mem::replace(seen, true))
        {
            twice += 1;
        }
    })?;
    let received = began.elapsed();
    let sending = contender.meter.cpu()?.saturating_sub(used);
    Ok(vec![
        ("stored a second", per_second(scale.messages, stored)),
        ("received a second", per_second(scale.messages, received)),
        ("CPU to store, µs each", micros(storing, scale.messages)),
        ("CPU to send, µs each", micros(sending, scale.messages)),
        ("memory of each, B", each),
        ("twice or unknown", f64::from(twice)),
    ])
}

fn offline(program: &Program, scale: &Scale) -> io::Result<Vec<Figure>> {
    const WINDOW: usize = 100;
    let contender = start(program)?;
    let hello = wire::connect_lasting("away");
    let mut subscriber = Client::connect(contender.port, &hello)?;
    subscriber.send(&wire::subscribe(["bench"], 1))?;
    subscriber.expect(&wire::suback(1, 1))?;
    subscriber.leave()?;
    let mut publisher = Client::connect(contender.port, &wire::connect("publisher", None))?;
    let publish = |number| {
        let packet_id = (number % 60_000) as u16 + 1;
        wire::publish("bench", 1, false, packet_id, &payload(number))
    };
    let length = publish(0).len();
    let bytes: Vec<_> = (0..scale.messages).flat_map(publish).collect();
    let (memory, used, began) = (
        resident(&contender)?,
        contender.meter.cpu()?,
        Instant::now(),
    );
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < scale.messages {
        let until = scale.messages.min(acknowledged + WINDOW);
        publisher.send(&bytes[sent * length..until * length])?;
        sent = until;
        acknowledged += publisher.await_acknowledgements()?;
    }
    let stored = began.elapsed();
    let storing = contender.meter.cpu()?.saturating_sub(used);
    let each = (resident(&contender)? - memory) / scale.messages as f64;

    let (used, began) = (contender.meter.cpu()?, Instant::now());
    let mut subscriber = Client::reconnect(contender.port, &hello)?;
    let (mut next, mut out_of_order) = (0, 0);
    subscriber.receive(scale.messages, |number| {
        out_of_order += u32::from(number != next);
        next = number + 1;
    })?;
    let delivered = began.elapsed();
    let delivering = contender.meter.cpu()?.saturating_sub(used);
    Ok(vec![
        ("stored a second", per_second(scale.messages, stored)),
        ("delivered a second", per_second(scale.messages, delivered)),
        ("CPU to store, µs each", micros(storing, scale.messages)),
        (
            "CPU to deliver, µs each",
            micros(delivering, scale.messages),
        ),
        ("memory of each, B", each),
        ("out of order or twice", f64::from(out_of_order)),
    ])
}

fn idle_connections(program: &Program, scale: &Scale) -> io::Result<Vec<Figure>> {
    let contender = start(program)?;
    let (memory, used) = (resident(&contender)?, contender.meter.cpu()?);
    let row = Row {
        idle: scale.connections,
        ..PLAIN
    };
    let _idle = Bystanders::connect(&row, contender.port)?;
    let accepting = contender.meter.cpu()?.saturating_sub(used);
    let each = (resident(&contender)? - memory) / scale.connections as f64;
    let (used, began) = (contender.meter.cpu()?, Instant::now());
    thread::sleep(scale.rest);
    let idling = contender.meter.cpu()?.saturating_sub(used).as_secs_f64();
    let share = idling / began.elapsed().as_secs_f64();
    Ok(vec![
        ("memory of each, with a subscription, kB", each / 1000.0),
        (
            "CPU to accept, with CONNECT and SUBSCRIBE, µs each",
            micros(accepting, scale.connections),
        ),
        ("CPU of all while idle, ms a second", share * 1e3),
    ])
}

/// As many messages as an hour has, as fast as they go, in all ways by turns;
/// each turn with connections of its own. What is looked at is whether the
/// broker is the same in the end as it was in the beginning.
fn an_hour(program: &Program, scale: &Scale) -> io::Result<Vec<Figure>> {
    let contender = start(program)?;
    let span = scale.rest / 6;
    let latency = |contender: &Contender| round::run(&rows::STEADY, contender, scale.rest);
    let turns = |until: u64| {
        let (mut delivered, mut faults) = (0.0, 0);
        while delivered < until as f64 {
            for row in rows::MIXED {
                let sample = round::run(row, &contender, span)?;
                delivered += sample.rate * span.as_secs_f64();
                faults += sample.faults.count();
            }
        }
        io::Result::Ok(faults)
    };
    let early = turns(scale.hour / 10)?;
    let first = latency(&contender)?;
    let memory = resident(&contender)?;
    let middle = turns(scale.hour / 2 - scale.hour / 10)?;
    let half = resident(&contender)?;
    let late = turns(scale.hour / 2)?;
    let last = latency(&contender)?;
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    Ok(vec![
        ("memory after a tenth, MiB", mebibytes(memory)),
        ("memory after a half, MiB", mebibytes(half)),
        ("memory in the end, MiB", mebibytes(resident(&contender)?)),
        ("p50 after a tenth, µs", first.median * 1e6),
        ("p50 in the end, µs", last.median * 1e6),
        ("CPU after a tenth, µs/message", first.broker_cpu * 1e6),
        ("CPU in the end, µs/message", last.broker_cpu * 1e6),
        ("faults", (early + middle + late) as f64),
    ])
}

/// 64 bytes that begin with a number.
fn payload(number: usize) -> [u8; 64] {
    let mut payload = [b'.'; 64];
    payload[..8].copy_from_slice(&(number as u64).to_ne_bytes());
    payload
}

fn micros(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
