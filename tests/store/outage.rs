//! The program on a disk that runs full, and whose writes fail: what it
//! acknowledged is there in the end, and all goes on by itself. The disk is a
//! small one in memory, in a name space of its own.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::common::broker::{Broker, Setup};
use crate::common::raw::{Connect, Raw, packet, publish_qos, text};
use crate::common::{self, TIMEOUT};
use crate::small_disk;

/// The directory, for the process that has the disk mounted there.
const CHILD: &str = "MOUSTIQUE_STORE_OUTAGE";

const MEBIBYTE: usize = 1 << 20;

/// What is kept free before publications are refused.
const RESERVE: u64 = 64 << 20;

#[test]
fn child() {
    let Some(directory) = std::env::var_os(CHILD).map(PathBuf::from) else {
        return;
    };
    for sync in ["always", "interval 1", "never"] {
        println!("persistence_sync {sync}");
        let store = directory.join(sync.replace(' ', "-"));
        fs::create_dir(&store).expect("a directory");
        let broker = start(&store, sync);
        let mut subscriber = durable(broker.port);
        subscriber.subscribe("queue", 1);
        drop(subscriber);
        let mut accepted = a_nearly_full_disk_refuses(&broker, &directory);
        // What is small is not written by the same thread as what is large.
        for size in [1000, MEBIBYTE] {
            accepted += a_failed_write_is_not_acknowledged(&broker, &directory, accepted, size);
        }
        receive(broker.port, accepted);
        assert!(broker.stop().code == Some(0));
        fs::remove_dir_all(store).expect("its end");
    }
    println!("all went on");
}

fn start(store: &Path, sync: &str) -> Broker {
    let setup = Setup::new();
    let command = setup.quiet_command(&format!(
        "listener {{port}}\nallow_anonymous true\npersistence true\nmax_queued_messages 0\n\
         persistence_location {}\npersistence_sync {sync}\n",
        store.display()
    ));
    setup.start_command(command)
}

/// The client whose messages are kept while it is away.
fn durable(port: u16) -> Raw {
    let connect = Connect {
        clean: false,
        ..Connect::new("durable")
    };
    Raw::client(port, &connect).0
}

/// Publishes until that is refused, makes room, and publishes until that is
/// accepted. Returns how many were.
fn a_nearly_full_disk_refuses(broker: &Broker, directory: &Path) -> u32 {
    let ballast = fill(directory, RESERVE / 2);
    let mut publisher = Raw::open(broker.port);
    let connect = Connect {
        version: 5,
        ..Connect::new("publisher")
    };
    publisher.send(&connect.bytes());
    assert_eq!(publisher.packet()[3], 0, "connected");
    let mut accepted = 0;
    let deadline = Instant::now() + TIMEOUT;
    let mut until = |wanted: u8, publisher: &mut Raw| {
        loop {
            let number = format!("{}", accepted + 1);
            publisher.send(&publish_5("queue", &number));
            let reason = publisher.packet().get(4).copied().unwrap_or(0);
            accepted += u32::from(reason == 0);
            if reason == wanted {
                break;
            }
            assert!(Instant::now() < deadline, "{reason:02x}, not {wanted:02x}");
        }
    };
    until(0x97, &mut publisher);
    // What need not be stored is as welcome as ever.
    publisher.send(&publish_5("nobody's", "?"));
    assert_eq!(publisher.packet()[4], 0x10, "no matching subscribers");
    // MQTT 3.1.1 has no other way to say no.
    let mut older = Raw::client(broker.port, &Connect::new("older")).0;
    older.send(&publish_qos("queue", "never", 1, 1));
    older.expect_end();
    fs::remove_file(ballast).expect("room");
    until(0, &mut publisher);
    broker.process().stderr.wait_for("bytes are free again");
    accepted
}

/// Has a write fail, which ends the connections, and publishes what was not
/// acknowledged once more. Returns how many were.
fn a_failed_write_is_not_acknowledged(
    broker: &Broker,
    directory: &Path,
    after: u32,
    size: usize,
) -> u32 {
    let failures = |log: &str| log.matches("What was not committed").count();
    let before = failures(&broker.log());
    let mut publisher = Raw::client(broker.port, &Connect::new("publisher")).0;
    let ballast = fill(directory, 0);
    let filler = "x".repeat(size);
    let mut accepted = 0;
    // The first ones may find room that the store has taken already.
    loop {
        let message = format!("{} {filler}", after + accepted + 1);
        let bytes = publish_qos("queue", &message, 1, 1);
        let answer = publisher.try_send(&bytes);
        let answer = answer.and_then(|()| publisher.packet_or_end(TIMEOUT));
        match answer {
            Ok(Some(answer)) => assert_eq!(answer, [0x40, 2, 0, 1]),
            Ok(None) => break,
            // It went before it had read all.
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("neither acknowledged nor closed: {error}"),
        }
        accepted += 1;
        assert!(accepted < 200, "the disk is never full");
    }
    fs::remove_file(ballast).expect("room");
    let message = format!("{}", after + accepted + 1);
    let deadline = Instant::now() + TIMEOUT;
    while !publish_once(broker.port, &message) {
        assert!(Instant::now() < deadline, "refused: {}", broker.log());
    }
    let stderr = &broker.process().stderr;
    stderr.wait_until(|log| failures(log) > before);
    accepted + 1
}

/// Whether it was acknowledged.
fn publish_once(port: u16, message: &str) -> bool {
    let mut raw = Raw::open(port);
    let bytes = [
        Connect::new("again").bytes(),
        publish_qos("queue", message, 1, 1),
    ];
    let sent = raw.try_send(&bytes.concat());
    let answer = sent.and_then(|()| raw.packet_or_end(TIMEOUT));
    matches!(answer, Ok(Some(answer)) if answer == [0x20, 2, 0, 0])
        && matches!(raw.packet_or_end(TIMEOUT), Ok(Some(answer)) if answer == [0x40, 2, 0, 1])
}

/// All that was acknowledged has to come, in order; what was not may.
fn receive(port: u16, accepted: u32) {
    let mut subscriber = durable(port);
    let mut number = 0;
    while number < accepted {
        let message = subscriber.packet();
        assert_eq!(message[0] & 0xF6, 0x32, "a PUBLISH of QoS 1");
        let topic = message.windows(7).position(|part| part == text("queue"));
        let (id, payload) = message[topic.expect("the topic") + 7..].split_at(2);
        let digits = payload.iter().take_while(|byte| byte.is_ascii_digit());
        let digits: String = digits.map(|byte| char::from(*byte)).collect();
        let got: u32 = digits.parse().expect("a number");
        assert!(got == number || got == number + 1, "{got} after {number}");
        number = got;
        subscriber.send(&packet(0x40, &[id]));
    }
}

/// A PUBLISH of QoS 1 for MQTT 5.
fn publish_5(topic: &str, message: &str) -> Vec<u8> {
    packet(0x32, &[&text(topic), &[0, 1, 0], message.as_bytes()])
}

/// Takes all room but so many bytes.
fn fill(directory: &Path, leave: u64) -> PathBuf {
    let path = directory.join("ballast");
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&path)
        .expect("a file");
    let zeros = vec![0; MEBIBYTE / 16];
    while free(directory) > leave && file.write_all(&zeros).is_ok() {}
    path
}

fn free(directory: &Path) -> u64 {
    moustique::store::free_space(directory).expect("a figure")
}

#[test]
fn an_outage_of_the_disk_loses_nothing_that_was_acknowledged() {
    let check = "the broker on a full disk";
    if common::oracle_differs("it doesn't look") {
        return;
    }
    let Some(finished) = small_disk::run(check, 300, "outage::child", CHILD) else {
        return;
    };
    assert!(finished.stdout.contains("all went on"), "{finished}");
}
