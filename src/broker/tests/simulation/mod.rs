//! Random clients against the broker, with a model that says what each of them
//! must receive and when. Virtual time; nothing is left to chance but the seed.
//!
//! `MOUSTIQUE_SEED=n` replays one seed; `MOUSTIQUE_SEEDS=n` runs that many
//! instead of those of an ordinary run, 0 without end, and
//! `MOUSTIQUE_STEPS=n` takes that many steps with each.
//!
//! | file | concept |
//! |---|---|
//! | `schedule.rs` | what happens, in which order |
//! | `actor.rs`, `mischief.rs` | the clients, good and bad |
//! | `rules.rs` | the configuration |
//! | `model.rs`, `routing.rs` | what the broker has to do |
//! | `ledger.rs` | what it owes to one client |
//! | `check.rs` | the broker beside the model |

mod actor;
mod check;
mod ledger;
mod mischief;
mod model;
mod random;
mod routing;
mod rules;
mod schedule;
mod seen;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use schedule::Simulation;

/// Seeds and steps of an ordinary run.
const SEEDS: u64 = 1200;
const STEPS: u64 = 600;

/// A seed failed, so the other threads may rest.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Tells how to come back to a failure.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            FAILED.store(true, Relaxed);
            eprintln!("replay with MOUSTIQUE_SEED={}", self.0);
        }
    }
}

fn run(seed: u64, steps: u64) {
    let _told = Seed(seed);
    let mut simulation = Simulation::new(seed);
    for _ in 0..steps {
        simulation.step();
        simulation.check_now_and_then();
    }
    simulation.finish();
}

#[test]
fn what_clients_receive_is_what_the_model_says() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let steps = number("MOUSTIQUE_STEPS").unwrap_or(STEPS);
    if let Some(seed) = number("MOUSTIQUE_SEED") {
        return run(seed, steps);
    }
    let end = match number("MOUSTIQUE_SEEDS") {
        Some(0) => u64::MAX,
        seeds => seeds.unwrap_or(SEEDS),
    };
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= end || FAILED.load(Relaxed) {
                break;
            }
            run(seed, steps);
            if seed % 10_000 == 9_999 {
                eprintln!("{} million steps", (seed + 1) * steps / 1_000_000);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
}
