//! The thread that commits in groups.
//!
//! While one group is on its way to the disk the next one gathers; an idle
//! store commits at once. Reads are answered by the same thread, in the order
//! in which they were asked among the batches: who reads a queue sees what it
//! has put there.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Store;
use super::error::StoreError;
use super::record::{Portion, Queued, Record};

/// How often what was committed is brought to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// Before it is told as committed: it survives the loss of power.
    #[default]
    Always,
    /// This long after the last time, if there was anything: it survives the
    /// end of the process, and the loss of power up to that long.
    Interval(Duration),
    /// Whenever the system does.
    Never,
}

/// What the committer has to tell.
#[derive(Debug)]
pub enum Event {
    /// All batches up to this number are kept.
    Committed(u64),
    /// Part of a queue was read.
    Read {
        /// Whose queue.
        session: u64,
        /// The first sequence number that was asked for.
        from: u64,
        /// What was found; empty: there is nothing from there on.
        deliveries: Vec<Queued>,
    },
    /// The store failed. Nothing that was not told as committed may be counted
    /// on, and nothing more will be told: end the committer, open the store
    /// anew.
    Failed(StoreError),
}

/// A store with a thread of its own.
///
/// Ending it by [`finish`](Self::finish) keeps all that was submitted; dropping
/// it does so too, without telling whether it worked.
#[derive(Debug)]
pub struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<Box<dyn Store>, StoreError>>>,
}

#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    work: Vec<Work>,
    /// Records in `work`.
    records: usize,
    ends: bool,
}

#[derive(Debug)]
enum Work {
    Batch(u64, Vec<Record>),
    Read {
        session: u64,
        from: u64,
        portion: Portion,
    },
    Compact,
}

impl Committer {
    /// Starts the thread. `tell` is called on it, once for each event; it
    /// should not take long.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub fn start(
        store: Box<dyn Store>,
        mode: SyncMode,
        tell: impl FnMut(Event) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            shared: Arc::clone(&shared),
            store,
            mode,
            tell,
            unsynced_since: None,
        };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(|| worker.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Hands a batch over. Numbers grow; [`Event::Committed`] tells them back.
    pub fn submit(&self, number: u64, batch: Vec<Record>) {
        self.add(Work::Batch(number, batch));
    }

    /// Asks for a part of a queue; [`Event::Read`] answers.
    pub fn read_queue(&self, session: u64, from: u64, portion: Portion) {
        self.add(Work::Read {
            session,
            from,
            portion,
        });
    }

    /// Asks for a compaction.
    pub fn compact(&self) {
        self.add(Work::Compact);
    }

    /// How many records wait to be written. Those that are being written don't
    /// count.
    pub fn backlog(&self) -> usize {
        self.shared.inbox.lock().records
    }

    /// Ends the thread when all that was submitted is kept and synced.
    ///
    /// # Errors
    /// The store failed, now or before.
    pub fn finish(mut self) -> Result<Box<dyn Store>, StoreError> {
        self.end().unwrap_or_else(|| {
            Err(StoreError::new(
                super::ErrorKind::Failed,
                "its thread has panicked",
            ))
        })
    }

    fn add(&self, work: Work) {
        let mut inbox = self.shared.inbox.lock();
        if let Work::Batch(_, records) = &work {
            inbox.records += records.len();
        }
        inbox.work.push(work);
        drop(inbox);
        self.shared.filled.notify_one();
    }

    fn end(&mut self) -> Option<Result<Box<dyn Store>, StoreError>> {
        let thread = self.thread.take()?;
        self.shared.inbox.lock().ends = true;
        self.shared.filled.notify_one();
        thread.join().ok()
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.end();
    }
}

struct Worker<T> {
    shared: Arc<Shared>,
    store: Box<dyn Store>,
    mode: SyncMode,
    tell: T,
    /// Since when something is committed and not synced.
    unsynced_since: Option<Instant>,
}

/// What the inbox brought.
enum Next {
    Work(Vec<Work>),
    /// Nothing, and the time to sync has come.
    Due,
    End,
}

impl<T: FnMut(Event)> Worker<T> {
    fn run(mut self) -> Result<Box<dyn Store>, StoreError> {
        match self.work() {
            Ok(()) => Ok(self.store),
            Err(error) => {
                (self.tell)(Event::Failed(error.clone()));
                Err(error)
            }
        }
    }

    fn work(&mut self) -> Result<(), StoreError> {
        let mut untidy = true;
        loop {
            match self.next(untidy) {
                Next::Work(work) if work.is_empty() => untidy = self.store.tidy()?,
                Next::Work(work) => {
                    self.group(work)?;
                    untidy = true;
                }
                Next::Due => self.sync()?,
                Next::End => return self.sync(),
            }
            self.sync_if_due()?;
        }
    }

    /// Waits for work. `untidy`: not at all, because there is something to do
    /// meanwhile.
    fn next(&self, untidy: bool) -> Next {
        let mut inbox = self.shared.inbox.lock();
        while inbox.work.is_empty() {
            if inbox.ends {
                return Next::End;
            }
            if untidy {
                break;
            }
            match self.sync_due() {
                Some(due) => {
                    if self.shared.filled.wait_until(&mut inbox, due).timed_out() {
                        return Next::Due;
                    }
                }
                None => self.shared.filled.wait(&mut inbox),
            }
        }
        inbox.records = 0;
        Next::Work(std::mem::take(&mut inbox.work))
    }

    /// Commits what has gathered. Reads are answered before the sync, as they
    /// need not wait for it.
    fn group(&mut self, work: Vec<Work>) -> Result<(), StoreError> {
        let mut records = Vec::new();
        let mut last = None;
        let mut compact = false;
        for item in work {
            match item {
                Work::Batch(number, batch) => {
                    last = Some(number);
                    if records.is_empty() {
                        records = batch;
                    } else {
                        records.extend(batch);
                    }
                }
                Work::Read {
                    session,
                    from,
                    portion,
                } => {
                    self.commit(&mut records)?;
                    let deliveries = self.store.read_queue(session, from, portion)?;
                    (self.tell)(Event::Read {
                        session,
                        from,
                        deliveries,
                    });
                }
                Work::Compact => compact = true,
            }
        }
        self.commit(&mut records)?;
        if let Some(number) = last {
            if self.mode == SyncMode::Always {
                self.sync()?;
            }
            (self.tell)(Event::Committed(number));
        }
        if compact {
            self.store.compact()?;
        }
        Ok(())
    }

    fn commit(&mut self, records: &mut Vec<Record>) -> Result<(), StoreError> {
        if !records.is_empty() {
            self.store.commit(records)?;
            self.unsynced_since.get_or_insert_with(Instant::now);
            records.clear();
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced_since.take().is_some() {
            self.store.sync()?;
        }
        Ok(())
    }

    fn sync_due(&self) -> Option<Instant> {
        match self.mode {
            SyncMode::Interval(interval) => self.unsynced_since.map(|since| since + interval),
            SyncMode::Always | SyncMode::Never => None,
        }
    }

    fn sync_if_due(&mut self) -> Result<(), StoreError> {
        match self.sync_due() {
            Some(due) if due <= Instant::now() => self.sync(),
            _ => Ok(()),
        }
    }
}
