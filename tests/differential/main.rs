//! The same streams of valid and slightly broken packets to our broker and to
//! Mosquitto 2.0, one connection at a time: what comes back is compared.
//!
//! A difference that isn't wanted fails and prints its seed; with
//! `MOUSTIQUE_DIFFERENTIAL_SEED=n` only that stream is played, and shown.
//! `MOUSTIQUE_DIFFERENTIAL_SEEDS=n` plays another number of streams.

#[path = "../common/mod.rs"]
mod common;
mod outcome;
mod stream;
mod wanted;

use common::Program;
use common::broker::{Broker, Setup};
use common::peers::{Peer, tell};
use outcome::{Step, play};
use stream::Stream;
use wanted::{Is, WANTED};

/// Streams that an ordinary run plays.
const SEEDS: u64 = 4000;

#[test]
fn the_same_packets_have_the_same_outcome() {
    if !Peer::MosquittoBroker.present_for("the comparison with Mosquitto's broker") {
        return;
    }
    let (mut ours, mut theirs) = (Broker::open(), mosquitto());
    if let Some(seed) = number("MOUSTIQUE_DIFFERENTIAL_SEED") {
        show(seed, &ours, &theirs);
        return;
    }
    let seeds = number("MOUSTIQUE_DIFFERENTIAL_SEEDS");
    let mut used: Vec<Vec<u64>> = vec![Vec::new(); WANTED.len()];
    let mut failures = Vec::new();
    let examples = WANTED.iter().map(|wanted| wanted.example);
    let range = 0..seeds.unwrap_or(SEEDS);
    // Not twice: sessions and retained messages stay.
    let beyond = examples.filter(|seed| !range.contains(seed));
    for seed in range.clone().chain(beyond) {
        let mut verdict = compare(seed, &ours, &theirs);
        if matches!(verdict, Verdict::Unwanted(_)) {
            // A topic filter that an earlier stream broke may match everything;
            // what counts is what a replay of this stream alone shows.
            (ours, theirs) = (Broker::open(), mosquitto());
            verdict = compare(seed, &ours, &theirs);
        }
        match verdict {
            Verdict::Same => {}
            Verdict::Wanted(index) => used[index].push(seed),
            Verdict::Unwanted(text) => failures.push(format!("seed {seed}: {text}")),
        }
    }
    let count = failures.len();
    failures.truncate(60);
    assert!(count == 0, "{}\n{count} differ", failures.join("\n"));
    for (wanted, seeds) in WANTED.iter().zip(&used) {
        println!(
            "{} × {}, first {:?}",
            seeds.len(),
            wanted.what,
            seeds.first()
        );
    }
    for (wanted, seeds) in WANTED.iter().zip(&used) {
        let shown = seeds.contains(&wanted.example) || common::oracle();
        assert!(shown, "{} no longer shows: {}", wanted.example, wanted.what);
    }
}

/// Whether a packet of a version shows something.
type Shows = fn(u8, &[u8]) -> bool;

#[test]
fn all_features_are_among_the_streams() {
    let features: [(&str, Shows); 4] = [
        ("MQTT 3.1", |version, _| version == 3),
        ("retained", |_, bytes| bytes[0] & 0xF1 == 0x31),
        ("$share", |_, bytes| {
            bytes.windows(7).any(|part| part == b"$share/")
        }),
        ("will", |_, bytes| bytes[0] == 0x10 && has_will(bytes)),
    ];
    for (what, is) in features {
        let shows = |seed: &u64| {
            let mut connections = Stream::of(*seed).connections.into_iter();
            connections.any(|one| one.packets.iter().any(|bytes| is(one.version, bytes)))
        };
        let count = (0..SEEDS).filter(shows).count() as u64;
        println!("{what}: {count} of {SEEDS} streams");
        assert!(count > SEEDS / 10, "{what} in {count} streams");
    }
}

/// Whether a CONNECT has a will.
fn has_will(connect: &[u8]) -> bool {
    let body = stream::body(connect);
    let name = body.get(1).copied().unwrap_or_default();
    let flags = body.get(3 + usize::from(name));
    flags.is_some_and(|flags| flags & 4 != 0)
}

enum Verdict {
    Same,
    /// The index of the difference in the table.
    Wanted(usize),
    Unwanted(String),
}

fn compare(seed: u64, ours: &Broker, theirs: &Broker) -> Verdict {
    let stream = Stream::of(seed);
    judge(&play(ours.port, &stream), &play(theirs.port, &stream))
}

/// After the first difference the two are no longer in the same state.
fn judge(ours: &[Step], theirs: &[Step]) -> Verdict {
    let mut first = 0; // of the connection
    for (index, (our, their)) in ours.iter().zip(theirs).enumerate() {
        let before = &ours[..index];
        let found = if our.answers != their.answers || our.end != their.end {
            find(|is| match is {
                Is::Step(is) => is(our, their),
                Is::Messages(_) => false,
                Is::State(is) => is(before),
            })
            .ok_or_else(|| describe(our, their))
        } else if our.is_last {
            // Not in each step: a message of QoS 2 may be handed out at PUBLISH
            // or at PUBREL.
            let (our, their) = messages(&ours[first..=index], &theirs[first..=index]);
            first = index + 1;
            if our.is_empty() && their.is_empty() {
                continue;
            }
            find(|is| match is {
                Is::Step(_) => false,
                Is::Messages(is) => is(&ours[..=index], &our, &their),
                Is::State(is) => is(before),
            })
            .ok_or_else(|| format!("only ours {our:?}, only theirs {their:?}"))
        } else {
            continue;
        };
        return found.map_or_else(Verdict::Unwanted, Verdict::Wanted);
    }
    assert_eq!(ours.len(), theirs.len(), "as many steps");
    Verdict::Same
}

fn find(is_it: impl Fn(Is) -> bool) -> Option<usize> {
    WANTED.iter().position(|wanted| is_it(wanted.is))
}

/// The messages that only one of the two brokers handed out.
fn messages(ours: &[Step], theirs: &[Step]) -> (Vec<String>, Vec<String>) {
    let all = |steps: &[Step]| -> Vec<String> {
        steps
            .iter()
            .flat_map(|step| step.messages.clone())
            .collect()
    };
    let (ours, mut theirs) = (all(ours), all(theirs));
    let mut only_ours = Vec::new();
    for message in ours {
        match theirs.iter().position(|other| *other == message) {
            Some(index) => drop(theirs.remove(index)),
            None => only_ours.push(message),
        }
    }
    (only_ours, theirs)
}

fn describe(our: &Step, their: &Step) -> String {
    let side = |step: &Step| {
        let answers = step.answers.iter();
        let answers = answers.map(|a| format!("{}({},{:02x?})", a.kind, a.id, a.codes));
        let answers: Vec<_> = answers.collect();
        format!("{:?} {} {:?}", step.end, answers.join(" "), step.messages)
    };
    format!(
        "version {} {}\n  ours:   {}\n  theirs: {}",
        our.version,
        hex(&our.sent),
        side(our),
        side(their)
    )
}

/// Plays one stream and fails with its whole course if there is a difference.
fn show(seed: u64, ours: &Broker, theirs: &Broker) {
    let stream = Stream::of(seed);
    let (our_steps, their_steps) = (play(ours.port, &stream), play(theirs.port, &stream));
    for (our, their) in our_steps.iter().zip(&their_steps) {
        tell(&describe(our, their));
    }
    match judge(&our_steps, &their_steps) {
        Verdict::Same => tell("no difference"),
        Verdict::Wanted(index) => tell(&format!("wanted: {}", WANTED[index].what)),
        Verdict::Unwanted(text) => {
            panic!("{text}\ntheir log:\n{}", theirs.log())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

fn mosquitto() -> Broker {
    let setup = Setup::new();
    // Without 'nodelay' an answer may wait for 40 ms behind another; duplicates
    // are not what 2.0 does by default, though its manual says so.
    let conf = "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nallow_duplicate_messages true\n\
                log_type all\nlog_dest stderr\nuser root\n";
    let path = setup.write("mosquitto.conf", conf);
    let mut command = Program::Broker.mosquitto();
    command.arg("-c").arg(path);
    setup.start_command(command)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number")),
    )
}
