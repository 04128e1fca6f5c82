//! The store on disk against the one in memory, whatever is done and wherever
//! it is cut off.

mod damage;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::codec::{QoS, RetainHandling, SubscriptionOptions, Version};

const NOW: WallMillis = 1_800_000_000_000;
const ALL: Portion = Portion {
    deliveries: usize::MAX,
    bytes: usize::MAX,
};

fn publication(topic: &str, size: usize) -> Arc<Publication> {
    Arc::new(Publication {
        topic: topic.into(),
        payload: Bytes::from(vec![b'p'; size]),
        properties: Bytes::from_static(&[1, 1]),
        qos: QoS::ExactlyOnce,
        retain: size.is_multiple_of(2),
        published: NOW,
        expires: size.is_multiple_of(3).then_some(NOW + 5000),
        client_id: (!size.is_multiple_of(5)).then(|| "publisher".into()),
        username: size.is_multiple_of(7).then(|| "user".into()),
        listener: (size % 3) as u32,
    })
}

fn description(client_id: &str) -> Session {
    Session {
        client_id: client_id.into(),
        username: client_id.len().is_multiple_of(2).then(|| "someone".into()),
        listener: 3,
        port: 1883,
        mount_point: "there/".into(),
        version: Version::V5,
        is_bridge: client_id.len().is_multiple_of(4),
        expiry: u64::MAX,
        disconnected: client_id.len().is_multiple_of(3).then_some(NOW),
        will: client_id.len().is_multiple_of(5).then(|| Will {
            publication: publication("will", 7),
            expiry: Some(9),
            delay: 1000,
        }),
    }
}

fn delivery(publication: &Arc<Publication>, qos: QoS) -> Delivery {
    Delivery {
        publication: Arc::clone(publication),
        qos,
        retain: publication.retain,
        subscription_ids: [7, 268_435_455][..publication.payload.len() % 3].into(),
        group: publication
            .payload
            .len()
            .is_multiple_of(4)
            .then(|| "$share/g/a/#".into()),
    }
}

fn put_session(session: u64) -> Record {
    Record::PutSession {
        session,
        description: Box::new(description(&format!("client{session}"))),
    }
}

fn enqueue(session: u64, sequence: u64, publication: &Arc<Publication>) -> Record {
    Record::Enqueue {
        session,
        sequence,
        delivery: delivery(publication, QoS::AtLeastOnce),
    }
}

/// A directory in memory, if there is such a thing: the tests sync a lot.
fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm").unwrap_or_else(|_| TempDir::new().unwrap())
}

/// Opens a store that nothing is wrong with.
fn open_whole(path: &Path) -> (Disk, Recovered) {
    let opened = open(path, NOW).unwrap();
    assert_eq!(opened.remarks, [""; 0]);
    (opened.store, opened.recovered)
}

/// All that a store holds. Where a queue begins may be known only roughly.
fn contents(store: &mut dyn Store) -> (Recovered, Vec<Vec<Queued>>) {
    let mut recovered = store.recover().unwrap();
    let mut queues = Vec::new();
    for session in &mut recovered.sessions {
        let queue = store.read_queue(session.number, 0, ALL).unwrap();
        let first = queue.first().map_or(session.queue.next, |q| q.sequence);
        assert!(session.queue.first <= first, "{:?} {first}", session.queue);
        session.queue.first = first;
        queues.push(queue);
    }
    (recovered, queues)
}

/// What a test does, in small numbers, so that things meet.
#[derive(Clone, Debug)]
enum Action {
    PutSession(u64),
    DropSession(u64),
    Subscribe(u64, u8),
    Unsubscribe(u64, u8),
    /// To the sessions of a bit set, with a payload of some size.
    Publish(u8, usize),
    SetStage(u64, u64, Stage),
    Dequeue(u64, u64),
    Incoming(u64, u16, bool),
    Retain(u8, usize),
    Unretain(u8),
    Note(u8, bool),
    Commit,
    Sync,
    Read(u64, u64, usize),
    Tidy,
    Reopen,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    use Action as A;
    let session = || 1..5u64;
    let stage = prop_oneof![
        Just(Stage::Waiting),
        (1..9u16).prop_map(Stage::Sent),
        (1..9u16).prop_map(Stage::Received)
    ];
    let action = prop_oneof![
        3 => session().prop_map(A::PutSession),
        1 => session().prop_map(A::DropSession),
        2 => (session(), 0..4u8).prop_map(|(s, f)| A::Subscribe(s, f)),
        1 => (session(), 0..4u8).prop_map(|(s, f)| A::Unsubscribe(s, f)),
        9 => (0..32u8, prop_oneof![0..9usize, 300..400usize]).prop_map(|(s, p)| A::Publish(s, p)),
        4 => (session(), 0..20u64, stage).prop_map(|(s, q, stage)| A::SetStage(s, q, stage)),
        6 => (session(), 0..20u64).prop_map(|(s, q)| A::Dequeue(s, q)),
        2 => (session(), 1..5u16, any::<bool>()).prop_map(|(s, id, put)| A::Incoming(s, id, put)),
        3 => (0..4u8, 0..500usize).prop_map(|(t, p)| A::Retain(t, p)),
        1 => (0..4u8).prop_map(A::Unretain),
        1 => (0..3u8, any::<bool>()).prop_map(|(n, put)| A::Note(n, put)),
        9 => Just(A::Commit),
        2 => Just(A::Sync),
        2 => (session(), 0..20u64, 1..5usize).prop_map(|(s, q, n)| A::Read(s, q, n)),
        1 => Just(A::Tidy),
        1 => Just(A::Reopen),
    ];
    prop::collection::vec(action, 1..120)
}

/// Names of which one is too long for a key.
fn name(number: u8) -> Arc<str> {
    match number {
        3 => "long/".repeat(13_000).into(),
        number => format!("name/{number}").into(),
    }
}

/// Turns actions into records that make sense: sessions have new numbers,
/// sequence numbers grow.
#[derive(Default)]
struct Writer {
    batch: Vec<Record>,
    /// The number that stands for a small one now.
    numbers: std::collections::HashMap<u64, u64>,
    last_number: u64,
    sequences: std::collections::HashMap<u64, u64>,
}

impl Writer {
    fn number(&self, session: u64) -> u64 {
        self.numbers
            .get(&session)
            .copied()
            .unwrap_or(session + 1000)
    }

    fn record(&mut self, action: &Action) {
        let record = match *action {
            Action::PutSession(session) => {
                if !self.numbers.contains_key(&session) {
                    self.last_number += 1;
                    self.numbers.insert(session, self.last_number);
                }
                put_session(self.number(session))
            }
            Action::DropSession(session) => {
                let session = self.numbers.remove(&session).unwrap_or(session + 1000);
                Record::DropSession { session }
            }
            Action::Subscribe(session, filter) => Record::PutSubscription {
                session: self.number(session),
                subscription: Box::new(Subscription {
                    filter: name(filter),
                    options: SubscriptionOptions {
                        qos: QoS::AtLeastOnce,
                        no_local: filter == 1,
                        retain_as_published: filter == 2,
                        retain_handling: RetainHandling::IfNew,
                    },
                    id: (filter > 1).then_some(5),
                }),
            },
            Action::Unsubscribe(session, filter) => Record::DropSubscription {
                session: self.number(session),
                filter: name(filter),
            },
            Action::Publish(sessions, size) => {
                let publication = publication("topic", size);
                for session in (1..5).filter(|session| sessions & (1 << session) != 0) {
                    let session = self.number(session);
                    let sequence = self.sequences.entry(session).or_default();
                    *sequence += 1;
                    self.batch.push(enqueue(session, *sequence, &publication));
                }
                return;
            }
            Action::SetStage(session, sequence, stage) => Record::SetStage {
                session: self.number(session),
                sequence,
                stage,
            },
            Action::Dequeue(session, sequence) => Record::Dequeue {
                session: self.number(session),
                sequence,
            },
            Action::Incoming(session, packet_id, true) => Record::PutIncoming {
                session: self.number(session),
                packet_id,
                fingerprint: u64::MAX - u64::from(packet_id),
            },
            Action::Incoming(session, packet_id, false) => Record::DropIncoming {
                session: self.number(session),
                packet_id,
            },
            Action::Retain(topic, size) => Record::Retain {
                publication: publication(&name(topic), size),
            },
            Action::Unretain(topic) => Record::Unretain { topic: name(topic) },
            Action::Note(number, put) => Record::Note {
                name: name(number)[..6].into(),
                text: if put { "text" } else { "" }.into(),
            },
            _ => return,
        };
        self.batch.push(record);
    }
}

/// Copies a store as a crash leaves it, without the zeros that its journal is
/// filled up with.
fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_store(&entry.path(), &target);
            continue;
        }
        let mut bytes = fs::read(entry.path()).unwrap();
        if target.extension().is_some_and(|e| e == "jnl") {
            let zeros = [0; 4096];
            while bytes.ends_with(&zeros) {
                bytes.truncate(bytes.len() - zeros.len());
            }
            while bytes.last() == Some(&0) {
                bytes.pop();
            }
        }
        fs::write(target, bytes).unwrap();
    }
}

fn files(of: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(of).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is done, both hold the same, also after a crash in which the
    /// process ends, and after one that cuts the last writes off.
    #[test]
    fn disk_and_memory_agree(actions in actions(), cut in any::<prop::sample::Index>()) {
        let directory = scratch();
        let path = directory.path().join("store");
        let (mut disk, _) = open_whole(&path);
        let mut memory = Memory::new();
        let mut writer = Writer::default();
        for action in &actions {
            match *action {
                Action::Commit => {
                    disk.commit(&writer.batch).unwrap();
                    memory.commit(&writer.batch).unwrap();
                    writer.batch.clear();
                }
                Action::Sync => disk.sync().unwrap(),
                Action::Read(session, from, count) => {
                    let session = writer.number(session);
                    let portion = Portion { deliveries: count, bytes: 500 };
                    let found = disk.read_queue(session, from, portion).unwrap();
                    prop_assert_eq!(found, memory.read_queue(session, from, portion).unwrap());
                }
                Action::Tidy => {
                    disk.tidy().unwrap();
                }
                Action::Reopen => {
                    drop(disk);
                    disk = open_whole(&path).0;
                }
                _ => writer.record(action),
            }
        }
        prop_assert_eq!(contents(&mut disk), contents(&mut memory));

        let copy = directory.path().join("copy");
        copy_store(&path, &copy);
        {
            let (mut crashed, _) = open_whole(&copy);
            prop_assert_eq!(contents(&mut crashed), contents(&mut memory));
            while crashed.tidy().unwrap() {}
            crashed.compact().unwrap();
            prop_assert_eq!(contents(&mut crashed), contents(&mut memory));
        }
        fs::remove_dir_all(&copy).unwrap();

        // Without its last bytes the journal holds the first so many commits.
        copy_store(&path, &copy);
        let journal = files(&copy).into_iter().rfind(|f| f.extension().is_some_and(|e| e == "jnl"));
        let journal = journal.unwrap();
        let bytes = fs::read(&journal).unwrap();
        // The first batches make the tables; they were synced.
        let floor = bytes.len() / 2;
        fs::write(&journal, &bytes[..floor + cut.index(bytes.len() - floor + 1)]).unwrap();
        let opened = open(&copy, NOW).unwrap();
        prop_assert_eq!(&opened.remarks, &[""; 0]);
        let mut crashed = opened.store;
        let found = contents(&mut crashed);
        let commits = memory.unsynced();
        let possible = (0..=commits).rev().any(|kept| {
            let mut memory = memory.clone();
            memory.crash(kept);
            contents(&mut memory) == found
        });
        prop_assert!(possible, "{:?}", found);
    }
}
