//! A process that commits and syncs loses its power at any of its syncs, that
//! of its opening and compacting included; what it said was kept is there
//! afterwards, and what is there fits together.
//!
//! `MOUSTIQUE_POWER_ROUNDS` says how often, `MOUSTIQUE_POWER_SEED` when.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use moustique::store::{Store, open};
use tempfile::TempDir;

use crate::common::power::{Cut, Disk, Random, number};
use crate::killed::{begin, check, step};

/// Tells the process that loses its power from the test; its value is whether
/// it syncs, and the directory.
const CHILD: &str = "MOUSTIQUE_STORE_POWER";

/// The process that loses its power. Does nothing when it is run as a test.
#[test]
fn child() {
    let Ok(value) = std::env::var(CHILD) else {
        return;
    };
    let (mode, path) = value.split_once(':').expect("mode:path");
    let opened = open(Path::new(path), 0).expect("a store");
    let mut store = opened.store;
    let mut out = std::io::stdout();
    let mut last = 0;
    if let Some(session) = opened.recovered.sessions.first() {
        last = session.queue.next - 1;
    } else {
        store.commit(&begin()).expect("a commit");
    }
    // What it finds it acts upon.
    writeln!(out, "kept {last}").expect("a reader");
    for (turn, size) in (0_u64..).zip([1, 3, 200, 40, 5, 100].into_iter().cycle()) {
        let group = last + 1..=last + size;
        last = *group.end();
        let records: Vec<_> = group.flat_map(step).collect();
        store.commit(&records).expect("a commit");
        if mode == "sync" {
            store.sync().expect("a sync");
        }
        writeln!(out, "kept {last}").expect("a reader");
        if mode == "sync" && turn % 8 == 7 {
            store.compact().expect("room for that");
        }
    }
}

/// Runs the child until it was cut off or said so many lines; the last number
/// that it said was kept.
fn run_child(disk: &Disk, mode: &str, cut: Cut, lines: usize) -> u64 {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "power::child", "--nocapture"])
        .env(CHILD, format!("{mode}:{}/store", disk.path().display()))
        .stdout(Stdio::piped());
    disk.watch(&mut command, cut);
    let mut child = command.spawn().expect("a child");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let mut kept = 0;
    let mut seen = 0;
    for line in output.lines() {
        let line = line.expect("its output");
        if let Some((_, number)) = line.trim().rsplit_once("kept ") {
            kept = number.parse().expect("a number");
            seen += 1;
            if seen == lines {
                child.kill().expect("a living child");
            }
        }
    }
    let status = child.wait().expect("its end");
    assert!(
        status.code().is_none(),
        "the child ended by itself: {status}"
    );
    kept
}

/// What a store holds after a power cut: the number of the last step. Looks at a
/// copy, for the look would write.
fn look(disk: &Disk, remarks_allowed: bool) -> u64 {
    let copy = disk.copy();
    let opened = open(&copy.path().join("store"), 0).expect("damage is no error");
    assert!(
        remarks_allowed || opened.remarks.is_empty(),
        "{:?}",
        opened.remarks
    );
    check(opened)
}

#[test]
fn what_was_synced_survives_a_power_cut() {
    let directory = TempDir::new().expect("a directory");
    let Some(disk) = Disk::new(directory.path(), "a store that loses its power") else {
        return;
    };
    let (rounds, seed) = (
        number("MOUSTIQUE_POWER_ROUNDS", 16),
        number("MOUSTIQUE_POWER_SEED", 1),
    );
    let mut random = Random(seed);
    let mut kept = 0;
    for round in 0..rounds {
        let cut = Cut {
            at_sync: 20 + random.below(60),
            delay: random.below(3000),
        };
        kept = run_child(&disk, "sync", cut, usize::MAX).max(kept);
        let way = random.below(4);
        println!("seed {seed}, round {round}: {cut:?}, {kept} kept, way {way}");
        let share = match way {
            // Only the process has ended.
            0 => continue,
            // Nothing survives that was not synced.
            1 | 2 => 0,
            // Some does, and not that which was written first.
            _ => 1 + random.below(99),
        };
        disk.lose_power(&mut || random.below(100) < share);
        let last = look(&disk, share > 0);
        assert!(last >= kept, "{kept} was kept, {last} is there");
        kept = last;
    }
}

#[test]
fn a_store_may_lose_its_power_while_it_is_made() {
    let directory = TempDir::new().expect("a directory");
    let Some(disk) = Disk::new(directory.path(), "a new store that loses its power") else {
        return;
    };
    let mut at_sync = 1;
    // Until it comes so far that it keeps something for certain.
    while {
        let cut = Cut { at_sync, delay: 0 };
        let kept = run_child(&disk, "sync", cut, usize::MAX);
        disk.lose_power(&mut || false);
        let last = look(&disk, false);
        assert!(last >= kept, "sync {at_sync}: {kept} kept, {last} there");
        kept < 4
    } {
        disk.clear();
        at_sync += 2;
    }
    println!("{at_sync} syncs");
}

#[test]
fn what_was_not_synced_does_not_survive_a_power_cut() {
    let directory = TempDir::new().expect("a directory");
    let Some(disk) = Disk::new(directory.path(), "a store that loses its power") else {
        return;
    };
    let kept = run_child(&disk, "write", Cut::default(), 5);
    disk.lose_power(&mut || false);
    assert!(kept > look(&disk, false), "the disk loses nothing");
}
