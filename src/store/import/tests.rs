use super::*;

/// Written by Mosquitto 2.0.11: `plain` (3.1.1) waits for a/1, a/2, a/3
/// and a/r; `five` for these and for b/x; `short` has an hour; `halfway`
/// has not released a/half; of `flight`'s three messages the first is
/// unacknowledged, the second is received. Two messages are retained.
const FILE: &[u8] = include_bytes!("mosquitto-2.0.11.db");
const NOW: WallMillis = 1_795_250_999_000;

fn parsed(bytes: &[u8]) -> Imported {
    parse(Bytes::copy_from_slice(bytes), 10, NOW).unwrap()
}

fn session<'a>(imported: &'a Imported, client_id: &str) -> (u64, &'a Session) {
    imported
        .records
        .iter()
        .find_map(|record| match record {
            Record::PutSession {
                session,
                description,
            } if &*description.client_id == client_id => Some((*session, &**description)),
            _ => None,
        })
        .unwrap()
}

fn queue<'a>(imported: &'a Imported, client_id: &str) -> Vec<(u64, &'a Delivery)> {
    let (number, _) = session(imported, client_id);
    let deliveries = imported.records.iter().filter_map(|record| match record {
        Record::Enqueue {
            session,
            sequence,
            delivery,
        } if *session == number => Some((*sequence, delivery)),
        _ => None,
    });
    deliveries.collect()
}

fn stages(imported: &Imported, client_id: &str) -> Vec<(u64, Stage)> {
    let (number, _) = session(imported, client_id);
    let stages = imported.records.iter().filter_map(|record| match record {
        Record::SetStage {
            session,
            sequence,
            stage,
        } if *session == number => Some((*sequence, *stage)),
        _ => None,
    });
    stages.collect()
}

#[test]
fn sessions_come_with_what_describes_them() {
    let imported = parsed(FILE);
    assert_eq!(
        imported.counts,
        Counts {
            sessions: 5,
            subscriptions: 4,
            deliveries: 12,
            retained: 2
        }
    );
    let (number, plain) = session(&imported, "plain");
    assert_eq!(number, 10);
    assert_eq!(
        (plain.expiry, plain.port, plain.version, &plain.username),
        (u64::MAX, 18831, Version::V311, &None)
    );
    let (_, short) = session(&imported, "short");
    assert_eq!(short.expiry, 3_600_000);
    assert_eq!(short.username.as_deref(), Some("someone"));
    assert_eq!(short.disconnected, Some(1_795_250_900_000));
    assert_eq!(short.version, Version::V5);
    let subscriptions: Vec<_> = imported
        .records
        .iter()
        .filter_map(|record| match record {
            Record::PutSubscription {
                session,
                subscription,
            } => Some((*session, &**subscription)),
            _ => None,
        })
        .map(|(session, s)| {
            (
                session,
                &*s.filter,
                s.options.qos as u8,
                s.id,
                s.options.retain_as_published,
            )
        })
        .collect();
    assert_eq!(
        subscriptions,
        [
            (10, "a/#", 1, None, false),
            (11, "a/+", 2, Some(7), false),
            (12, "c", 1, None, true),
            (14, "f/#", 2, None, false)
        ]
    );
}

#[test]
fn queues_keep_their_order_and_their_stages() {
    let imported = parsed(FILE);
    let seen = |client_id| {
        queue(&imported, client_id)
            .into_iter()
            .map(|(sequence, d)| {
                let payload = String::from_utf8_lossy(&d.publication.payload).into_owned();
                (
                    sequence,
                    d.publication.topic.to_string(),
                    payload,
                    d.qos as u8,
                )
            })
            .collect::<Vec<_>>()
    };
    let entry = |sequence, topic: &str, payload: &str, qos| {
        (sequence, topic.to_owned(), payload.to_owned(), qos)
    };
    assert_eq!(
        seen("plain"),
        [
            entry(1, "a/1", "one", 1),
            entry(2, "a/2", "two", 1),
            entry(3, "a/3", "three", 1),
            entry(4, "a/r", "kept", 1)
        ]
    );
    let five = queue(&imported, "five");
    assert_eq!(five.len(), 5);
    assert!(five.iter().all(|(_, d)| *d.subscription_ids == [7]));
    let three = &five[2].1.publication;
    assert_eq!(three.expires, Some(0x6B02_E174 * 1000));
    let properties: Vec<_> = Properties::from_encoded(&three.properties)
        .iter()
        .map(|property| format!("{property:?}"))
        .collect();
    assert_eq!(
        properties,
        [r#"UserProperty("k", "v")"#, r#"ContentType("text")"#]
    );
    let two = &five[1].1.publication;
    assert_eq!(
        (two.client_id.as_deref(), two.username.as_deref()),
        (Some("publisher"), Some("user"))
    );
    assert!(Arc::ptr_eq(
        two,
        &queue(&imported, "plain")[1].1.publication
    ));
    assert_eq!(
        stages(&imported, "flight"),
        [
            (1, Stage::Sent(1)),
            (2, Stage::Received(2)),
            (3, Stage::Sent(3))
        ]
    );
    assert_eq!(stages(&imported, "plain"), []);
    let [half] = &imported.unrouted[..] else {
        panic!("{:?}", imported.unrouted)
    };
    assert_eq!((half.session, half.packet_id), (13, 77));
    assert_eq!(half.publication.payload, "half");
}

#[test]
fn retained_messages_come_with_their_properties() {
    let imported = parsed(FILE);
    let retained: Vec<_> = imported
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Retain { publication } => Some((&*publication.topic, &publication.payload)),
            _ => None,
        })
        .collect();
    assert_eq!(retained.len(), 2);
    assert!(retained.contains(&("a/r", &Bytes::from_static(b"kept"))));
    assert!(retained.contains(&("r/5", &Bytes::from_static(b"kept5"))));
}

#[test]
fn what_mosquitto_wrote_wrongly_is_told_of() {
    let imported = parsed(FILE);
    assert_eq!(
        imported.remarks,
        ["the user name of client halfway makes no sense and is left out"]
    );
}

#[test]
fn other_files_are_refused() {
    let refusal = |bytes: &[u8]| {
        parse(Bytes::copy_from_slice(bytes), 1, NOW)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refusal(b""), "it is not a persistence file of Mosquitto");
    assert_eq!(
        refusal(&FILE[..20]),
        "it is not a persistence file of Mosquitto"
    );
    let mut old = FILE[..100].to_vec();
    old[22] = 4;
    assert!(refusal(&old).starts_with("it is of version 4, versions 5 and 6 are known;"));
}

/// Version 5 has neither port nor user name of a client. There is no such
/// Mosquitto to ask here, so the file is made from that of version 6.
#[test]
fn version_5_is_read() {
    let mut file = FILE[..23].to_vec();
    file[22] = 5;
    let mut rest = &FILE[23..];
    while !rest.is_empty() {
        let (kind, length) = (rest.get_u32(), rest.get_u32() as usize);
        let (mut chunk, tail) = (rest[..length].to_vec(), &rest[length..]);
        if kind == 6 {
            let id_len = usize::from(chunk[15]);
            chunk.drain(16..24);
            chunk.truncate(16 + id_len);
        }
        file.extend_from_slice(&kind.to_be_bytes());
        file.extend_from_slice(&(chunk.len() as u32).to_be_bytes());
        file.extend_from_slice(&chunk);
        rest = tail;
    }
    let imported = parsed(&file);
    assert_eq!(imported.remarks, [""; 0]);
    assert_eq!(imported.counts, parsed(FILE).counts);
    assert_eq!(session(&imported, "halfway").1.username, None);
}

#[test]
fn a_file_that_is_cut_off_gives_what_is_whole() {
    let full = parsed(FILE).counts;
    for length in 23..FILE.len() {
        let imported = parsed(&FILE[..length]);
        let Counts {
            sessions,
            subscriptions,
            deliveries,
            retained,
        } = imported.counts;
        assert!(sessions <= full.sessions && subscriptions <= full.subscriptions);
        assert!(deliveries <= full.deliveries && retained <= full.retained);
    }
    let cut = parsed(&FILE[..FILE.len() - 1]);
    assert_eq!(cut.counts.retained, full.retained - 1);
    let last = cut.remarks.last().unwrap();
    assert!(
        last.starts_with("the file is cut off or damaged at byte 3245;"),
        "{last}"
    );
}

#[test]
fn a_flipped_bit_is_no_panic() {
    for at in 23..FILE.len() {
        let mut file = FILE.to_vec();
        file[at] ^= 1 << (at % 8);
        parsed(&file);
    }
}
