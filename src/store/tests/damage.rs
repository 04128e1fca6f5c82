//! Tired disks, full directories, and what stays behind.

use std::fs;
use std::path::Path;

use super::*;

const MEBIBYTE: u64 = 1024 * 1024;

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
        let readable = recovered.sessions.iter().all(|session| {
            match store.read_queue(session.number, 0, ALL) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
                    false
                }
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
        let index = whole
            .0
            .sessions
            .iter()
            .position(|s| s.number == session.number);
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
        found
            .0
            .retained
            .iter()
            .all(|kept| whole.0.retained.contains(kept)),
        "{what}: an invented retained message"
    );
    assert!(
        found == whole || !remarks.is_empty(),
        "{what}: a silent loss"
    );
}

/// A small generator of numbers, so that a failure can be played again.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
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
        let found = files(store)
            .into_iter()
            .find(|f| f.extension().is_some_and(|e| e == "jnl"));
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
    assert!(
        opened.remarks[0].contains("is of another version"),
        "{:?}",
        opened.remarks
    );
    assert!(
        directory
            .path()
            .join("store.damaged-20270115-080000")
            .is_dir()
    );
}

#[test]
fn where_nothing_can_be_written_the_error_says_what_to_do() {
    let directory = scratch();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = open(&file.join("store"), NOW).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(
        error.to_string().contains("set persistence_location"),
        "{error}"
    );

    let path = directory.path().join("new/with/parents");
    let first = open(&path, NOW).unwrap();
    assert_eq!(
        first.recovered,
        Recovered {
            next_session: 1,
            ..Recovered::default()
        }
    );
    let error = open(&path, NOW).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InUse);
    assert!(
        error.to_string().contains("end the other broker"),
        "{error}"
    );
}

/// What a year of a constant load does to the disk, in small: many times what
/// the store may hold passes through it.
#[test]
fn what_was_delivered_takes_no_room() {
    let rounds = std::env::var("MOUSTIQUE_STORE_ROUNDS").map_or(0, |n| n.parse::<u64>().unwrap());
    let directory = scratch();
    let (mut store, _) = open_whole(&directory.path().join("store"));
    store.commit(&[put_session(1), put_session(2)]).unwrap();
    let (per_commit, waiting) = (64, 1000);
    let mut sizes = Vec::new();
    let mut sequence = 0;
    let commits = 300 + 1000 * rounds;
    for commit in 0..commits {
        let mut batch = Vec::new();
        for _ in 0..per_commit {
            sequence += 1;
            let publication = publication("telemetry", 1000);
            batch.push(enqueue(1, sequence, &publication));
            batch.push(enqueue(2, sequence, &publication));
            if let Some(sequence) = sequence.checked_sub(waiting) {
                batch.push(Record::Dequeue {
                    session: 1,
                    sequence,
                });
                batch.push(Record::Dequeue {
                    session: 2,
                    sequence,
                });
            }
        }
        batch.push(Record::Retain {
            publication: publication("kept", 1000),
        });
        store.commit(&batch).unwrap();
        if commit % 100 == 99 {
            sizes.push(store.size_on_disk());
        }
    }
    // Two journals, and what is not sorted together yet.
    let most = sizes.iter().max().unwrap();
    assert!(*most < 300 * MEBIBYTE, "{sizes:?}");
    store.compact().unwrap();
    let length = store.length(1).unwrap();
    assert_eq!((length.deliveries, length.bytes), (waiting, waiting * 1000));
    // The journal and a megabyte that waits; some twenty have passed.
    assert!(sequence * 1000 > 18 * MEBIBYTE);
    let left = store.size_on_disk();
    assert!(left < (64 + 4) * MEBIBYTE, "{left} bytes are left");
}

#[test]
fn a_session_that_ends_leaves_nothing() {
    let directory = scratch();
    let path = directory.path().join("store");
    furnished(&path);
    let (mut store, recovered) = open_whole(&path);
    let ends: Vec<_> = (1..=3)
        .map(|session| Record::DropSession { session })
        .collect();
    store.commit(&ends).unwrap();
    assert_eq!(store.recover().unwrap().sessions.len(), 1);
    drop(store);
    let (mut store, _) = open_whole(&path);
    while store.tidy().unwrap() {}
    store.check().unwrap();
    store.commit(&[Record::DropSession { session: 4 }]).unwrap();
    while store.tidy().unwrap() {}
    let left = store.recover().unwrap();
    assert_eq!(
        (left.sessions, left.next_session),
        (vec![], recovered.next_session)
    );
    let entries = |table| store.scan(table, &[], None).count();
    assert_eq!(entries(disk::Table::Queue), 0);
    assert_eq!(
        entries(disk::Table::State),
        2,
        "the version and the numbers"
    );
}
