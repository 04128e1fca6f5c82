//! The store on disk against the one in memory, and against tired disks.

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
        expires: (size % 3 == 0).then_some(NOW + 5000),
        client_id: (size % 5 != 0).then(|| "publisher".into()),
        username: (size % 7 == 0).then(|| "user".into()),
    })
}

fn description(client_id: &str) -> Box<Session> {
    Box::new(Session {
        client_id: client_id.into(),
        username: (client_id.len() % 2 == 0).then(|| "someone".into()),
        listener: 3,
        port: 1883,
        mount_point: "there/".into(),
        version: Version::V5,
        expiry: u64::MAX,
        disconnected: (client_id.len() % 3 == 0).then_some(NOW),
        will: (client_id.len() % 5 == 0).then(|| Will {
            publication: publication("will", 7),
            expiry: Some(9),
            delay: 1000,
        }),
    })
}

fn delivery(publication: &Arc<Publication>, qos: QoS) -> Delivery {
    Delivery {
        publication: Arc::clone(publication),
        qos,
        retain: publication.retain,
        subscription_ids: [7, 268_435_455][..publication.payload.len() % 3].into(),
        group: (publication.payload.len() % 4 == 0).then(|| "$share/g/a/#".into()),
    }
}

fn put_session(session: u64) -> Record {
    Record::PutSession {
        session,
        description: description(&format!("client{session}")),
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
        self.numbers.get(&session).copied().unwrap_or(session + 1000)
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
            Action::Incoming(session, packet_id, put) => match put {
                true => Record::PutIncoming {
                    session: self.number(session),
                    packet_id,
                    fingerprint: u64::MAX - u64::from(packet_id),
                },
                false => Record::DropIncoming {
                    session: self.number(session),
                    packet_id,
                },
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

/// A store with some of everything, part of it in sorted files, part in the
/// journal.
fn furnished(path: &Path) -> (Recovered, Vec<Vec<Queued>>) {
    let (mut store, _) = open_whole(path);
    let fill = |store: &mut Disk, from: u64| {
        for step in from..from + 40 {
            let shared = publication(&format!("shared/{step}"), 400);
            let mut batch: Vec<_> = (1..=4)
                .map(|session| enqueue(session, 2 * step + 1, &shared))
                .collect();
            for session in 1..=4 {
                let own = publication(&format!("own/{session}/{step}"), 300);
                batch.push(enqueue(session, 2 * step + 2, &own));
            }
            batch.push(Record::Retain {
                publication: publication(&format!("kept/{step}"), 200),
            });
            if step % 2 == 0 {
                batch.push(Record::Dequeue {
                    session: 1,
                    sequence: 2 * step,
                });
            }
            store.commit(&batch).unwrap();
        }
    };
    let begin: Vec<_> = (1..=4)
        .flat_map(|session| {
            let subscription = Box::new(Subscription {
                filter: format!("own/{session}/#").into(),
                options: SubscriptionOptions::default(),
                id: Some(session as u32),
            });
            let subscribe = Record::PutSubscription {
                session,
                subscription,
            };
            [put_session(session), subscribe]
        })
        .collect();
    store.commit(&begin).unwrap();
    fill(&mut store, 0);
    store.compact().unwrap();
    fill(&mut store, 40);
    for sequence in 1..9 {
        let stage = Stage::Sent(sequence as u16);
        let batch = [Record::SetStage {
            session: 2,
            sequence,
            stage,
        }];
        store.commit(&batch).unwrap();
    }
    store.sync().unwrap();
    contents(&mut store)
}

/// Reads everything, opening anew when it turns out to be damaged. Returns
/// what there is and what was said.
fn read_damaged(path: &Path) -> ((Recovered, Vec<Vec<Queued>>), Vec<String>) {
    let mut remarks = Vec::new();
    for _ in 0..2 {
        let Opened {
            mut store,
            recovered,
            remarks: more,
        } = open(path, NOW).expect("damage is no error");
        remarks.extend(more);
        let readable = recovered
            .sessions
            .iter()
            .all(|session| match store.read_queue(session.number, 0, ALL) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
                    false
                }
            });
        if readable {
            return (contents(&mut store), remarks);
        }
    }
    panic!("still damaged when opened again: {remarks:?}");
}

/// Nothing is there that was not there before, and what is lost is told.
fn assert_part_of(
    found: &(Recovered, Vec<Vec<Queued>>),
    whole: &(Recovered, Vec<Vec<Queued>>),
    remarks: &[String],
    what: &str,
) {
    for (session, queue) in found.0.sessions.iter().zip(&found.1) {
        let index = whole.0.sessions.iter().position(|s| s.number == session.number);
        let index = index.unwrap_or_else(|| panic!("{what}: an invented session"));
        let original = &whole.0.sessions[index];
        assert_eq!(session.description, original.description, "{what}");
        for queued in queue {
            // As `furnished` made it; it may be one that was done since.
            let step = (queued.sequence - 1) / 2;
            let (topic, size) = match queued.sequence % 2 {
                1 => (format!("shared/{step}"), 400),
                _ => (format!("own/{}/{step}", session.number), 300),
            };
            let made = delivery(&publication(&topic, size), QoS::AtLeastOnce);
            assert_eq!(queued.delivery, made, "{what}");
        }
        assert_eq!(session.queue.deliveries, queue.len() as u64, "{what}");
    }
    assert!(
        found.0.retained.iter().all(|kept| whole.0.retained.contains(kept)),
        "{what}: an invented retained message"
    );
    assert!(found == whole || !remarks.is_empty(), "{what}: a silent loss");
}

/// A small generator of numbers, so that a failure can be played again.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below.max(1)
    }
}

#[test]
fn damaged_files_are_set_aside_and_the_rest_is_kept() {
    // More by the environment.
    let rounds = std::env::var("MOUSTIQUE_STORE_ROUNDS").map_or(20, |n| n.parse().unwrap());
    let directory = scratch();
    let original = directory.path().join("original");
    let whole = furnished(&original);
    let mut lost = 0;
    for round in 0..rounds {
        let mut number = numbers(round);
        let parent = directory.path().join(format!("round{round}"));
        let path = parent.join("store");
        copy_store(&original, &path);
        let files: Vec<_> = files(&path)
            .into_iter()
            .filter(|file| fs::metadata(file).unwrap().len() > 0)
            .collect();
        let file = &files[number(files.len())];
        let mut bytes = fs::read(file).unwrap();
        let at = number(bytes.len());
        let is_journal = file.extension().is_some_and(|e| e == "jnl");
        let truncate = round % 3 == 0 && !is_journal;
        if truncate {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << number(8);
        }
        fs::write(file, &bytes).unwrap();
        let what = format!(
            "round {round}, {} {} at {at} of {}",
            file.strip_prefix(&path).unwrap().display(),
            if truncate { "cut" } else { "flipped" },
            bytes.len()
        );
        let (found, remarks) = read_damaged(&path);
        // The mark that ends the last write: without it the write was not done.
        let tail = is_journal && at + 4 >= bytes.len();
        let excuse = [String::new()];
        let told = if tail { &excuse[..] } else { &remarks };
        assert_part_of(&found, &whole, told, &what);
        lost += usize::from(found != whole);
        if remarks.iter().any(|remark| remark.contains("is damaged (")) {
            let aside = fs::read_dir(&parent).unwrap().map(Result::unwrap);
            let kept = aside.filter(|e| e.file_name().to_string_lossy().contains(".damaged-"));
            assert_eq!(kept.count(), 1, "{what}: {remarks:?}");
        }
        let after = open(&path, NOW).unwrap();
        assert_eq!(after.remarks, [""; 0], "{what}: all is well now");
        fs::remove_dir_all(&parent).unwrap();
    }
    assert!(lost > 0, "no round damaged anything");
}

#[test]
fn a_damaged_journal_is_told_apart_from_a_write_that_was_cut_off() {
    let directory = scratch();
    let original = directory.path().join("original");
    let whole = furnished(&original);
    let journal = |store: &Path| {
        let found = files(store).into_iter().find(|f| f.extension().is_some_and(|e| e == "jnl"));
        found.unwrap()
    };
    let bytes = {
        let copy = directory.path().join("copy");
        copy_store(&original, &copy);
        fs::read(journal(&copy)).unwrap()
    };
    let with_journal = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        copy_store(&original, &path);
        fs::write(journal(&path), bytes).unwrap();
        open(&path, NOW).unwrap()
    };
    let mut cut = with_journal("cut", &bytes[..bytes.len() - 20]);
    assert_eq!(cut.remarks, [""; 0]);
    assert_eq!(contents(&mut cut.store).0.sessions[1].inflight.len(), 7);

    let mut flipped = bytes.clone();
    let last = flipped.len() - 20;
    flipped[last] ^= 1;
    let flipped = with_journal("flipped", &flipped);
    let [remark] = &flipped.remarks[..] else {
        panic!("{:?}", flipped.remarks)
    };
    assert!(remark.contains("is damaged at byte"), "{remark}");
    assert!(remark.contains("a copy of the file is kept as"), "{remark}");
    assert_eq!(flipped.recovered.retained, whole.0.retained);
}

#[test]
fn a_store_of_another_version_is_set_aside() {
    let directory = scratch();
    let path = directory.path().join("store");
    furnished(&path);
    fs::write(path.join("version"), b"FJL\x09").unwrap();
    let opened = open(&path, NOW).unwrap();
    assert!(opened.remarks[0].contains("is of another version"), "{:?}", opened.remarks);
    assert!(directory.path().join("store.damaged-20270115-080000").is_dir());
}

#[test]
fn where_nothing_can_be_written_the_error_says_what_to_do() {
    let directory = scratch();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = open(&file.join("store"), NOW).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(error.to_string().contains("set persistence_location"), "{error}");

    let path = directory.path().join("new/with/parents");
    let first = open(&path, NOW).unwrap();
    assert_eq!(first.recovered, Recovered { next_session: 1, ..Recovered::default() });
    let error = open(&path, NOW).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InUse);
    assert!(error.to_string().contains("end the other broker"), "{error}");
}

/// What a year of a constant load does to the disk, in small: many times what
/// the store may hold passes through it.
#[test]
fn what_was_delivered_takes_no_room() {
    let rounds = std::env::var("MOUSTIQUE_STORE_ROUNDS").map_or(1, |n| n.parse::<u64>().unwrap());
    let directory = scratch();
    let (mut store, _) = open_whole(&directory.path().join("store"));
    store.commit(&[put_session(1), put_session(2)]).unwrap();
    let (per_commit, waiting) = (64, 1000);
    let mut sizes = Vec::new();
    let mut sequence = 0;
    let commits = 1000 * (rounds + 1);
    for commit in 0..commits {
        let mut batch = Vec::new();
        for _ in 0..per_commit {
            sequence += 1;
            let publication = publication("telemetry", 1000);
            batch.push(enqueue(1, sequence, &publication));
            batch.push(enqueue(2, sequence, &publication));
            if let Some(sequence) = sequence.checked_sub(waiting) {
                batch.push(Record::Dequeue { session: 1, sequence });
                batch.push(Record::Dequeue { session: 2, sequence });
            }
        }
        batch.push(Record::Retain { publication: publication("kept", 1000) });
        store.commit(&batch).unwrap();
        if commit % 100 == 99 {
            sizes.push(store.size_on_disk());
        }
    }
    let passed = sequence * 1000;
    // Two journals, and what is not sorted together yet.
    let limit = 300 * 1024 * 1024;
    let most = sizes.iter().max().unwrap();
    assert!(*most < limit, "{most} of {passed} bytes: {sizes:?}");
    store.compact().unwrap();
    let length = store.length(1).unwrap();
    assert_eq!((length.deliveries, length.bytes), (waiting, waiting * 1000));
    eprintln!("{passed} bytes passed, sizes {sizes:?}, {} at the end", store.size_on_disk());
}

#[test]
fn a_session_that_ends_leaves_nothing() {
    let directory = scratch();
    let path = directory.path().join("store");
    furnished(&path);
    let (mut store, recovered) = open_whole(&path);
    let ends: Vec<_> = (1..=3).map(|session| Record::DropSession { session }).collect();
    store.commit(&ends).unwrap();
    assert_eq!(store.recover().unwrap().sessions.len(), 1);
    drop(store);
    let (mut store, _) = open_whole(&path);
    while store.tidy().unwrap() {}
    store.check().unwrap();
    store.commit(&[Record::DropSession { session: 4 }]).unwrap();
    while store.tidy().unwrap() {}
    let left = store.recover().unwrap();
    assert_eq!((left.sessions, left.next_session), (vec![], recovered.next_session));
    let entries = |table| store.scan(table, &[], None).count();
    assert_eq!(entries(super::disk::Table::Queue), 0);
    assert_eq!(entries(super::disk::Table::State), 2, "the version and the numbers");
}

/// A store that stops at each sync until it is let go.
struct Held {
    inner: Memory,
    syncs: std::sync::mpsc::Sender<()>,
    go: std::sync::mpsc::Receiver<()>,
}

impl Store for Held {
    fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.inner.commit(batch)
    }
    fn sync(&mut self) -> Result<(), StoreError> {
        self.syncs.send(()).unwrap();
        self.go.recv().unwrap();
        self.inner.sync()
    }
    fn recover(&mut self) -> Result<Recovered, StoreError> {
        self.inner.recover()
    }
    fn read_queue(&mut self, s: u64, from: u64, p: Portion) -> Result<Vec<Queued>, StoreError> {
        self.inner.read_queue(s, from, p)
    }
    fn tidy(&mut self) -> Result<bool, StoreError> {
        self.inner.tidy()
    }
    fn compact(&mut self) -> Result<(), StoreError> {
        self.inner.compact()
    }
    fn size_on_disk(&self) -> u64 {
        self.inner.size_on_disk()
    }
}

#[test]
fn groups_gather_while_one_is_synced_and_reads_need_not_wait() {
    use std::sync::mpsc::channel;
    let (syncs, synced) = channel();
    let (go, held) = channel();
    let (tell, told) = channel();
    let store = Held { inner: Memory::new(), syncs, go: held };
    let tell = move |event| tell.send(event).unwrap();
    let committer = Committer::start(Box::new(store), SyncMode::Always, tell).unwrap();
    committer.submit(1, vec![put_session(1)]);
    synced.recv().unwrap();
    // While the first is synced.
    committer.submit(2, vec![enqueue(1, 1, &publication("a", 1))]);
    committer.submit(3, vec![enqueue(1, 2, &publication("a", 2))]);
    committer.read_queue(1, 1, ALL);
    assert_eq!(committer.backlog(), 2);
    assert!(told.try_recv().is_err(), "nothing is told before the sync");
    go.send(()).unwrap();
    assert!(matches!(told.recv().unwrap(), Event::Committed(1)));
    // The read sees what was submitted before it, and doesn't wait for its sync.
    let Event::Read { session: 1, from: 1, deliveries } = told.recv().unwrap() else {
        panic!()
    };
    assert_eq!(deliveries.len(), 2);
    synced.recv().unwrap();
    go.send(()).unwrap();
    assert!(matches!(told.recv().unwrap(), Event::Committed(3)), "one group");
    let mut store = committer.finish().unwrap();
    assert_eq!(store.recover().unwrap().sessions[0].queue.deliveries, 2);
    assert!(synced.try_recv().is_err(), "nothing was left to sync");
}

#[test]
fn the_other_modes_sync_later_or_at_the_end() {
    for mode in [SyncMode::Interval(std::time::Duration::from_millis(1)), SyncMode::Never] {
        let (syncs, synced) = std::sync::mpsc::channel();
        let (go, held) = std::sync::mpsc::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let store = Held { inner: Memory::new(), syncs, go: held };
        let tell = move |event| tell.send(event).unwrap();
        let committer = Committer::start(Box::new(store), mode, tell).unwrap();
        committer.submit(1, vec![put_session(1)]);
        assert!(matches!(told.recv().unwrap(), Event::Committed(1)), "before any sync");
        go.send(()).unwrap();
        if mode == SyncMode::Never {
            assert!(synced.try_recv().is_err());
        } else {
            synced.recv().unwrap();
        }
        committer.finish().unwrap();
    }
}

#[test]
fn after_a_failure_nothing_more_is_told() {
    let (tell, told) = std::sync::mpsc::channel();
    let mut store = Memory::new();
    store.fail(ErrorKind::Full);
    let tell = move |event| tell.send(event).unwrap();
    let committer = Committer::start(Box::new(store), SyncMode::Always, tell).unwrap();
    committer.submit(1, vec![put_session(1)]);
    let Event::Failed(error) = told.recv().unwrap() else {
        panic!()
    };
    assert_eq!(error.kind, ErrorKind::Full);
    committer.submit(2, vec![put_session(2)]);
    assert_eq!(committer.finish().err().map(|error| error.kind), Some(ErrorKind::Full));
    assert!(told.recv().is_err());
}

#[test]
fn the_simulation_loses_what_was_not_synced() {
    let mut store = Memory::new();
    for session in 1..=3 {
        store.commit(&[put_session(session)]).unwrap();
        if session == 1 {
            store.sync().unwrap();
        }
    }
    let sessions = |store: &mut Memory| store.recover().unwrap().sessions.len();
    assert_eq!((sessions(&mut store), store.unsynced()), (3, 2));
    store.crash(1);
    assert_eq!(sessions(&mut store), 2);
    store.crash(0);
    assert_eq!(sessions(&mut store), 1);
    store.fail(ErrorKind::Failed);
    assert!(store.commit(&[put_session(9)]).is_err());
    store.crash(usize::MAX);
    assert_eq!(sessions(&mut store), 1);
}
