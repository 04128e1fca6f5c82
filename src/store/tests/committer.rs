//! The thread that commits in groups, and crashes that are simulated.

use super::*;

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
    let store = Held {
        inner: Memory::new(),
        syncs,
        go: held,
    };
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
    let Event::Read {
        session: 1,
        from: 1,
        deliveries,
    } = told.recv().unwrap()
    else {
        panic!()
    };
    assert_eq!(deliveries.len(), 2);
    synced.recv().unwrap();
    go.send(()).unwrap();
    assert!(
        matches!(told.recv().unwrap(), Event::Committed(3)),
        "one group"
    );
    let mut store = committer.finish().unwrap();
    assert_eq!(store.recover().unwrap().sessions[0].queue.deliveries, 2);
    assert!(synced.try_recv().is_err(), "nothing was left to sync");
}

#[test]
fn the_other_modes_sync_later_or_at_the_end() {
    for mode in [
        SyncMode::Interval(std::time::Duration::from_millis(1)),
        SyncMode::Never,
    ] {
        let (syncs, synced) = std::sync::mpsc::channel();
        let (go, held) = std::sync::mpsc::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let store = Held {
            inner: Memory::new(),
            syncs,
            go: held,
        };
        let tell = move |event| tell.send(event).unwrap();
        let committer = Committer::start(Box::new(store), mode, tell).unwrap();
        committer.submit(1, vec![put_session(1)]);
        assert!(
            matches!(told.recv().unwrap(), Event::Committed(1)),
            "before any sync"
        );
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
    assert_eq!(
        committer.finish().err().map(|error| error.kind),
        Some(ErrorKind::Full)
    );
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
