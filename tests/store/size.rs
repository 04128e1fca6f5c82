//! The room on the disk is that of what is there, not of what ever was.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moustique::store::{Delivery, Publication, Record, Store, open};
use tempfile::TempDir;

use crate::common;
use crate::common::broker::Broker;
use crate::common::raw::{Connect, Raw, packet, publish_qos};
use crate::killed::{begin, publication};

/// How long the broker may take to be idle and to compact.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes that the files below a directory take.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            // It may be gone already.
            metadata => metadata.map_or(0, |metadata| metadata.blocks() * 512),
        })
        .sum()
}

/// `cargo bench --bench persistence -- year` does the same to a broker, and for
/// longer.
#[test]
fn a_constant_load_takes_a_constant_room() {
    const DEPTH: u64 = 100;
    const MESSAGES: u64 = 30_000;
    const PAYLOAD: usize = 16 * 1024;
    let directory = TempDir::new().expect("a directory");
    let mut store = open(&directory.path().join("store"), 0)
        .expect("a store")
        .store;
    store.commit(&begin()).expect("a commit");
    let mut most = 0;
    let numbers: Vec<_> = (1..=MESSAGES).collect();
    for group in numbers.chunks(50) {
        let records = group.iter().flat_map(|&sequence| {
            let publication = Arc::new(Publication {
                payload: Bytes::from(vec![sequence as u8; PAYLOAD]),
                ..Publication::clone(&publication(sequence))
            });
            let delivery = Delivery {
                publication,
                qos: moustique::codec::QoS::AtLeastOnce,
                retain: false,
                subscription_ids: [].into(),
                group: None,
            };
            let joins = Record::Enqueue {
                session: 1,
                sequence,
                delivery,
            };
            let leaves = sequence.checked_sub(DEPTH).map(|sequence| Record::Dequeue {
                session: 1,
                sequence,
            });
            [joins].into_iter().chain(leaves)
        });
        store
            .commit(&records.collect::<Vec<_>>())
            .expect("a commit");
        most = most.max(size(directory.path()));
    }
    let written = MESSAGES * PAYLOAD as u64;
    println!("at most {most} of {written} bytes");
    assert!(most < written / 2, "{most} of {written} bytes");
}

#[test]
fn a_queue_that_has_drained_gives_its_room_back_unasked() {
    const MESSAGES: u16 = 500;
    if common::oracle_differs("it has one file, written as a whole") {
        return;
    }
    let broker = Broker::quiet(
        "listener {port}\nallow_anonymous true\npersistence true\n\
         persistence_location {dir}\npersistence_sync never\nmax_queued_messages 0\n",
    );
    let away = Connect {
        clean: false,
        keep_alive: 0,
        ..Connect::new("away")
    };
    let (mut raw, _) = Raw::client(broker.port, &away);
    raw.subscribe("load", 1);
    drop(raw);
    let (mut raw, _) = Raw::client(broker.port, &Connect::new("publisher"));
    let payload = "x".repeat(64 * 1024);
    for id in 1..=MESSAGES {
        raw.send(&publish_qos("load", &payload, 1, id));
        assert_eq!(raw.packet()[0], 0x40);
    }
    let (mut raw, present) = Raw::client(broker.port, &away);
    assert!(present);
    for _ in 0..MESSAGES {
        let message = raw.packet();
        // Header of 4 bytes, and the topic.
        assert_eq!(message[0], 0x32);
        raw.send(&packet(0x40, &[&message[10..12]]));
    }
    let tables = broker.path("mosquitto.db.store/keyspaces");
    let deadline = Instant::now() + PATIENCE;
    while size(&tables) > 1 << 20 {
        assert!(Instant::now() < deadline, "{} bytes", size(&tables));
        thread::sleep(Duration::from_millis(20)); // between looks
    }
}
