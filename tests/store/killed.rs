//! A process that commits is killed at random moments; what it said was kept
//! is there afterwards.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use moustique::codec::{QoS, Version};
use moustique::store::{Delivery, Opened, Portion, Publication, Record, Session, Store, open};
use tempfile::TempDir;

/// Tells the process that is to be killed from the test; its value is the
/// directory and the mode.
const CHILD: &str = "MOUSTIQUE_STORE_CHILD";

const SESSIONS: u64 = 4;

pub(crate) fn publication(number: u64) -> Arc<Publication> {
    // Of many sizes, so that writes are cut off anywhere.
    let size = (number * 7919 % 3000) as usize;
    let mut payload = number.to_be_bytes().to_vec();
    payload.resize(8 + size, number as u8);
    Arc::new(Publication {
        topic: format!("topic/{}", number % 10).into(),
        payload: Bytes::from(payload),
        properties: Bytes::new(),
        qos: QoS::AtLeastOnce,
        retain: false,
        published: number,
        expires: None,
        client_id: None,
        username: None,
        listener: 0,
    })
}

fn description(session: u64) -> Session {
    Session {
        is_bridge: false,
        client_id: session.to_string().into(),
        username: None,
        listener: 0,
        port: 0,
        mount_point: "".into(),
        version: Version::V5,
        expiry: u64::MAX,
        disconnected: None,
        will: None,
    }
}

/// What is done with number n: it joins all queues and is retained, the
/// twentieth before it leaves them.
pub(crate) fn step(number: u64) -> Vec<Record> {
    let publication = publication(number);
    let mut records = Vec::new();
    for session in 1..=SESSIONS {
        records.push(Record::Enqueue {
            session,
            sequence: number,
            delivery: Delivery {
                publication: Arc::clone(&publication),
                qos: QoS::AtLeastOnce,
                retain: false,
                subscription_ids: [].into(),
                group: None,
            },
        });
        if number > 20 {
            let sequence = number - 20;
            records.push(Record::Dequeue { session, sequence });
        }
    }
    records.push(Record::Retain { publication });
    records
}

/// What comes before the first.
pub(crate) fn begin() -> Vec<Record> {
    (1..=SESSIONS)
        .map(|session| Record::PutSession {
            session,
            description: Box::new(description(session)),
        })
        .collect()
}

/// The process that is killed. Does nothing when it is run as a test.
#[test]
fn child() {
    let Ok(value) = std::env::var(CHILD) else {
        return;
    };
    let (mode, path) = value.split_once(':').expect("mode:path");
    let opened = open(Path::new(path), 0).expect("a store");
    assert_eq!(opened.remarks, [""; 0]);
    let sessions = &opened.recovered.sessions;
    let last = sessions.first().map_or(0, |s| s.queue.next - 1);
    let mut store = opened.store;
    if last == 0 {
        store.commit(&begin()).expect("a commit");
    }
    let mut out = std::io::stdout();
    let mut next = last + 1;
    for size in (1..40).cycle() {
        let group = next..next + size;
        next = group.end;
        let records: Vec<_> = group.flat_map(step).collect();
        store.commit(&records).expect("a commit");
        if mode == "sync" {
            store.sync().expect("a sync");
        }
        writeln!(out, "kept {}", next - 1).expect("a reader");
    }
}

/// Runs the child for as long as the reader of its lines likes, kills it, and
/// returns the last number that it said was kept.
fn run_child(value: &str, lines: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "killed::child", "--nocapture"])
        .env(CHILD, value)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    let (mut line, mut kept, mut seen) = (String::new(), 0, 0);
    while output.read_line(&mut line).expect("its output") > 0 {
        if let Some(number) = line.trim().rsplit_once("kept ") {
            kept = number.1.parse().expect("a number");
            seen += 1;
            if seen == lines {
                // It goes on writing until the signal reaches it.
                child.kill().expect("a living child");
            }
        }
        line.clear();
    }
    assert!(
        seen >= lines,
        "the child ended by itself: {:?}",
        child.wait()
    );
    child.wait().expect("its end");
    kept
}

#[test]
fn what_was_told_as_kept_survives_kill_9() {
    // More by the environment.
    let rounds: usize = std::env::var("MOUSTIQUE_STORE_ROUNDS").map_or(4, |n| n.parse().unwrap());
    for mode in ["sync", "write"] {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("store");
        let value = format!("{mode}:{}", path.display());
        let mut before = 0;
        for round in 0..rounds {
            let kept = run_child(&value, 1 + round * 7 % 30);
            let opened = open(&path, 0).expect("damage is no error");
            assert_eq!(opened.remarks, [""; 0]);
            let last = check(opened);
            assert!(
                last >= kept.max(before),
                "{mode}: {kept} was kept, {last} is there"
            );
            before = last;
        }
    }
}

/// What is there fits together; the number of the last step that is there.
pub(crate) fn check(opened: Opened) -> u64 {
    let (mut store, recovered) = (opened.store, opened.recovered);
    let last = match recovered.sessions.first() {
        Some(session) => session.queue.next - 1,
        None => return 0,
    };
    let expected: BTreeSet<_> = (last.saturating_sub(20) + 1..=last).collect();
    for session in &recovered.sessions {
        let portion = Portion {
            deliveries: usize::MAX,
            bytes: usize::MAX,
        };
        let queue = store
            .read_queue(session.number, 0, portion)
            .expect("a queue");
        let found: BTreeSet<_> = queue.iter().map(|queued| queued.sequence).collect();
        assert_eq!(found, expected, "a batch is kept as a whole or not at all");
        for queued in queue {
            assert_eq!(queued.delivery.publication, publication(queued.sequence));
        }
    }
    let retained: BTreeSet<_> = recovered
        .retained
        .iter()
        .map(|kept| kept.published)
        .collect();
    let expected: BTreeSet<_> = (last.saturating_sub(10) + 1..=last).collect();
    assert_eq!(retained, expected);
    last
}
