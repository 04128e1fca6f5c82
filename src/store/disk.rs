//! The store on disk, over fjall: a log-structured tree whose journal takes
//! writes with or without syncing.

mod reading;

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Slice};

use super::Store;
use super::changes::{Change, Changes, Queue};
use super::encoding::{self, Place};
use super::error::{ErrorKind, StoreError};
use super::keys;
use super::record::{Portion, QueueLength, Queued, Record, Recovered};

/// A file in the store's directory that asks the next opening to read all that
/// there is and look for damage.
pub(super) const SUSPECT: &str = "suspect";

/// The version of our own form of keys and values.
const FORMAT: u8 = 1;

/// Bytes of new data that each table holds in memory before they are sorted
/// into files.
const MEMTABLE: u64 = 8 * 1024 * 1024;
/// Bytes of the cache for blocks that were read.
const CACHE: u64 = 16 * 1024 * 1024;
/// Bytes of journals from which on the oldest are worked off. The engine takes
/// no less.
const JOURNALS: u64 = 64 * 1024 * 1024;

/// Entries that `tidy` removes in one go.
const SWEEP: usize = 4096;

/// Deliveries that may leave a queue out of order before its beginning is
/// looked for. Until then a scan from the beginning passes over their remains.
const STRAYS: u32 = 1024;

/// Publication numbers are taken in blocks, so that not each commit has to
/// write how far they have come.
const NUMBER_BLOCK: u64 = 4096;

/// How long a write waits for the engine to work off earlier ones.
const PATIENCE: Duration = Duration::from_secs(60);

/// Parts of a table that may wait to be sorted into files while more is written.
const BEHIND: usize = 2;

/// Bytes that leave the queues before it is worth a look how much room their
/// remains take, and bytes of remains that don't matter.
const REMAINS: u64 = 16 * 1024 * 1024;

/// About what the store needs for a delivery besides its payload.
const AROUND: u64 = 64;

/// The parts of the store; each is sorted and compacted for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// All that is small.
    State,
    /// Deliveries and the publications that they share.
    Queue,
    /// Retained messages.
    Retained,
}

/// The store on disk; see [`open`](super::open).
pub struct Disk {
    path: PathBuf,
    database: Database,
    tables: [Keyspace; 3],
    pub(super) queues: HashMap<u64, Queue>,
    /// Sessions whose belongings are to be removed, and where their queues
    /// begin.
    ended: VecDeque<(u64, u64)>,
    next_session: u64,
    next_publication: u64,
    /// What is written of the two.
    numbers: (u64, u64),
    /// Bytes of deliveries that have left since the remains were looked at. A
    /// store that was just opened may have any number of them.
    left: u64,
    /// Compacts while all else goes on.
    compaction: Option<JoinHandle<()>>,
}

/// A key and its value.
pub(super) type Entry = Result<(Slice, Slice), StoreError>;

impl Disk {
    /// Opens a directory that exists. Anything may come of it if a file is
    /// damaged, panics included.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::builder(path)
            .worker_threads(2)
            .cache_size(CACHE)
            .max_journaling_size(JOURNALS)
            .journal_compression(CompressionType::None)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
        let tables = [
            database.keyspace("state", options)?,
            database.keyspace("queue", options)?,
            database.keyspace("retained", options)?,
        ];
        let mut disk = Self {
            path: path.into(),
            database,
            tables,
            queues: HashMap::new(),
            ended: VecDeque::new(),
            next_session: 1,
            next_publication: 1,
            numbers: (0, 0),
            left: REMAINS,
            compaction: None,
        };
        disk.check_format()?;
        Ok(disk)
    }

    fn check_format(&mut self) -> Result<(), StoreError> {
        match self.get(Table::State, keys::FORMAT)?.as_deref() {
            Some([FORMAT]) => Ok(()),
            Some(other) => Err(StoreError::damaged(format!(
                "{} is of version {other:?}, this program knows version {FORMAT}",
                self.path.display()
            ))),
            None if self.scan(Table::State, &[], None).next().is_some() => {
                Err(StoreError::damaged("the version is missing"))
            }
            None => {
                let version = Slice::from([FORMAT]);
                self.write(vec![(Table::State, keys::FORMAT.into(), Some(version))])
            }
        }
    }

    fn table(&self, table: Table) -> &Keyspace {
        &self.tables[table as usize]
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        Ok(self.table(table).get(key)?)
    }

    /// The entries whose keys begin with `prefix`, from `from` on.
    pub(super) fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        from: Option<Slice>,
    ) -> impl DoubleEndedIterator<Item = Entry> + use<> {
        let table = self.table(table);
        let entries = match from {
            None => table.prefix(prefix),
            Some(from) => {
                let mut end = prefix.to_vec();
                end.extend_from_slice(&[0xFF; 9]);
                table.range(from..=Slice::from(end))
            }
        };
        entries.map(|entry| entry.into_inner().map_err(StoreError::from))
    }

    /// How many deliveries share a publication.
    pub(super) fn shares(&self, id: u64) -> Result<u32, StoreError> {
        let value = self.get(Table::State, &keys::one(keys::SHARES, id))?;
        let shares = value.and_then(|value| Some(u32::from_be_bytes((*value).try_into().ok()?)));
        shares.ok_or_else(|| StoreError::damaged("a shared publication has no count"))
    }

    pub(super) fn new_publication(&mut self) -> u64 {
        self.next_publication += 1;
        self.next_publication - 1
    }

    pub(super) fn begin_session(&mut self, session: u64) {
        self.next_session = self.next_session.max(session.saturating_add(1));
        self.queues.entry(session).or_insert(Queue {
            length: QueueLength::EMPTY,
            strays: 0,
        });
    }

    pub(super) fn end_session(&mut self, session: u64) -> Option<QueueLength> {
        let length = self.queues.remove(&session)?.length;
        self.ended.push_back((session, length.first));
        Some(length)
    }

    pub(super) fn length(&self, session: u64) -> Option<QueueLength> {
        self.queues.get(&session).map(|queue| queue.length)
    }

    /// A delivery joins a queue.
    pub(super) fn lengthen(&mut self, session: u64, sequence: u64, bytes: usize) {
        if let Some(Queue { length, .. }) = self.queues.get_mut(&session) {
            if length.deliveries == 0 {
                length.first = sequence;
            }
            length.deliveries += 1;
            length.bytes += bytes as u64;
            length.next = length.next.max(sequence.saturating_add(1));
        }
    }

    /// A delivery leaves a queue.
    pub(super) fn shorten(
        &mut self,
        session: u64,
        sequence: u64,
        bytes: usize,
    ) -> Result<(), StoreError> {
        let Some(queue) = self.queues.get_mut(&session) else {
            return Ok(());
        };
        self.left += bytes as u64 + AROUND;
        let length = &mut queue.length;
        length.deliveries = length.deliveries.saturating_sub(1);
        length.bytes = length.bytes.saturating_sub(bytes as u64);
        if length.deliveries == 0 {
            length.first = length.next;
        } else if sequence == length.first {
            length.first += 1;
        } else {
            queue.strays += 1;
        }
        if queue.strays >= STRAYS {
            queue.strays = 0;
            let first = length.first;
            let prefix = keys::one(keys::DELIVERY, session);
            let from = keys::two(keys::DELIVERY, session, first);
            let found = self.scan(Table::Queue, &prefix, Some(from)).next();
            if let Some(found) = found.transpose()?
                && let Some(first) = keys::second(&found.0)
                && let Some(queue) = self.queues.get_mut(&session)
            {
                queue.length.first = first;
            }
        }
        Ok(())
    }

    fn write(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.wait_for_engine(BEHIND)?;
        let mut batch = self.database.batch();
        for (table, key, value) in changes {
            match value {
                Some(value) => batch.insert(self.table(table), key, value),
                None => batch.remove(self.table(table), key),
            }
        }
        self.note_numbers(&mut batch);
        Ok(batch.commit()?)
    }

    fn note_numbers(&mut self, batch: &mut fjall::OwnedWriteBatch) {
        let (session, publication) = self.numbers;
        if self.next_session > session || self.next_publication > publication {
            let publication = if self.next_publication > publication {
                self.next_publication + NUMBER_BLOCK
            } else {
                publication
            };
            self.numbers = (self.next_session, publication);
            let value = encoding::numbers(self.next_session, publication);
            batch.insert(self.table(Table::State), keys::NUMBERS, value);
        }
    }

    fn wait_for_engine(&self, behind: usize) -> Result<(), StoreError> {
        wait_for_engine(&self.database, &self.tables, behind)
    }

    /// Whether a write would wait for the engine to work off earlier ones.
    pub fn is_behind(&self) -> bool {
        let mut tables = self.tables.iter();
        tables.any(|table| table.sealed_memtable_count() > BEHIND)
    }

    /// Whether [`tidy`](Store::tidy) has something to do.
    pub fn is_untidy(&self) -> bool {
        !self.ended.is_empty()
    }

    /// Whether so much has left the queues that
    /// [`compact_if_worthwhile`](Self::compact_if_worthwhile) should be asked
    /// when there is nothing else to do.
    pub fn may_have_remains(&self) -> bool {
        self.left >= REMAINS
    }

    /// Begins to compact, on a thread of its own, if most of the room is taken
    /// by what is no longer there.
    pub fn compact_if_worthwhile(&mut self) {
        self.left = 0;
        let lengths = self.queues.values().map(|queue| queue.length);
        let needed: u64 = lengths.map(|l| l.bytes + l.deliveries * AROUND).sum();
        let used = self.table(Table::Queue).disk_space();
        let is_busy = self.compaction.as_ref().is_some_and(|c| !c.is_finished());
        if used <= 4 * needed + REMAINS || is_busy {
            return;
        }
        let (database, tables) = (self.database.clone(), self.tables.clone());
        let compact = move || {
            // If the engine has failed, the next commit tells.
            let _ = catch_unwind(AssertUnwindSafe(|| squeeze(&database, &tables)));
        };
        let thread = std::thread::Builder::new().name("compaction".into());
        // Without a thread it is left for another time.
        self.compaction = thread.spawn(compact).ok();
    }

    /// Does something with the engine. After a failure that may come of damage
    /// the next opening will look for it.
    fn with_care<R>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let result = catch_unwind(AssertUnwindSafe(|| act(self)))
            .unwrap_or_else(|_| Err(StoreError::damaged("the engine panicked")));
        if let Err(error) = &result
            && matches!(error.kind, ErrorKind::Damaged | ErrorKind::Failed)
        {
            // If even that cannot be written, the disk has greater trouble.
            let _ = fs::write(self.path.join(SUSPECT), error.to_string());
        }
        result
    }

    /// Reads all that there is, and counts whether it fits together: after
    /// damage the tables may be of different moments.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let apart = || StoreError::damaged("the tables don't fit together");
        for entry in self.scan(Table::Retained, &[], None) {
            entry?;
        }
        let mut lengths: HashMap<u64, QueueLength> = HashMap::new();
        let mut ended = HashSet::new();
        let mut shares: HashMap<u64, u32> = HashMap::new();
        for entry in self.scan(Table::State, &[], None) {
            let (key, value) = entry?;
            let Some(number) = keys::number(&key) else {
                continue;
            };
            match key[0] {
                keys::LENGTH => {
                    lengths.insert(number, encoding::read_length(&value).ok_or_else(apart)?);
                }
                keys::ENDED => _ = ended.insert(number),
                keys::SHARES => _ = shares.insert(number, self.shares(number)?),
                _ => {}
            }
        }
        let sessions = self.scan(Table::State, &[keys::SESSION], None);
        let sessions = sessions.filter_map(|entry| keys::number(&entry.ok()?.0));
        if !sessions.eq(sorted(lengths.keys().copied())) {
            return Err(apart());
        }
        for entry in self.scan(Table::Queue, &[], None) {
            let (key, value) = entry?;
            let session = keys::number(&key).ok_or_else(apart)?;
            if key[0] == keys::PUBLICATION {
                continue;
            }
            let header = encoding::read_header(&value).ok_or_else(apart)?;
            if let Place::Shared(id) = header.place {
                let left = shares
                    .get_mut(&id)
                    .and_then(|left| left.checked_sub(1).map(|_| left));
                *left.ok_or_else(apart)? -= 1;
            }
            if let Some(length) = lengths.get_mut(&session) {
                let bytes = u64::from(header.payload_len);
                let left = length.deliveries.checked_sub(1);
                length.deliveries = left.ok_or_else(apart)?;
                length.bytes = length.bytes.checked_sub(bytes).ok_or_else(apart)?;
            } else if !ended.contains(&session) {
                return Err(apart());
            }
        }
        let all_counted = lengths
            .values()
            .all(|left| left.deliveries == 0 && left.bytes == 0)
            && shares.values().all(|left| *left == 0);
        all_counted.then_some(()).ok_or_else(apart)
    }

    fn sweep(&mut self) -> Result<bool, StoreError> {
        let Some((session, mut first)) = self.ended.pop_front() else {
            return Ok(false);
        };
        let mut changes = Changes::default();
        if !changes.sweep(self, session, &mut first, SWEEP)? {
            self.ended.push_front((session, first));
        }
        let changes = changes.finish(self);
        self.write(changes)?;
        Ok(!self.ended.is_empty())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Until it ends the directory is in use. A panic was caught in it.
        if let Some(compaction) = self.compaction.take() {
            let _ = compaction.join();
        }
    }
}

/// Waits until the engine has at most so many parts of a table left to sort
/// into files.
///
/// The engine holds a writer up while it is behind with sorting, and would do
/// so for ever if its own threads had ended in the meantime: they do when the
/// disk is full. So the waiting is done here.
fn wait_for_engine(
    database: &Database,
    tables: &[Keyspace],
    behind: usize,
) -> Result<(), StoreError> {
    let since = Instant::now();
    while tables.iter().any(|t| t.sealed_memtable_count() > behind) {
        // Fails if the engine has failed.
        database.persist(PersistMode::Buffer)?;
        if since.elapsed() > PATIENCE {
            let what = "the engine doesn't come forward with sorting what was written";
            return Err(StoreError::new(ErrorKind::Failed, what));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Sorts all into files that hold nothing but what is there.
fn squeeze(database: &Database, tables: &[Keyspace; 3]) -> Result<(), StoreError> {
    // The engine looks what nobody needs any more when a table with something
    // new is about to be sorted: the first time to see what may be left out, the
    // second time to remove the files that were read.
    let look = || {
        let state = &tables[Table::State as usize];
        state.insert(keys::FORMAT, [FORMAT])?;
        state.rotate_memtable()
    };
    for table in tables {
        table.rotate_memtable()?;
    }
    look()?;
    wait_for_engine(database, tables, 0)?;
    for table in tables {
        table.major_compact()?;
    }
    look()?;
    Ok(())
}

fn sorted(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

impl Store for Disk {
    fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.with_care(|disk| {
            let mut changes = Changes::default();
            for record in batch {
                changes.add(disk, record)?;
            }
            let changes = changes.finish(disk);
            if changes.is_empty() {
                return Ok(());
            }
            disk.write(changes)
        })
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.with_care(|disk| Ok(disk.database.persist(PersistMode::SyncData)?))
    }

    fn recover(&mut self) -> Result<Recovered, StoreError> {
        self.with_care(Self::read_all)
    }

    fn read_queue(
        &mut self,
        session: u64,
        from: u64,
        portion: Portion,
    ) -> Result<Vec<Queued>, StoreError> {
        self.with_care(|disk| disk.read_portion(session, from, portion))
    }

    fn tidy(&mut self) -> Result<bool, StoreError> {
        self.with_care(Self::sweep)
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        self.with_care(|disk| {
            while disk.sweep()? {}
            squeeze(&disk.database, &disk.tables)
        })
    }

    fn size_on_disk(&self) -> u64 {
        self.database.disk_space().unwrap_or(0)
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).finish()
    }
}
