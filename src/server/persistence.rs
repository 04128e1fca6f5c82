//! Between core and store: what the core records is committed in groups, and
//! queues are read, by a thread.
//!
//! While one group is on its way to the disk, the next one gathers in the core;
//! an idle store commits at once. Where a commit doesn't wait for the disk, a
//! small group is committed by a worker, because to wake the thread and to be
//! woken by it would take longer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::task;

use super::StartError;
use super::hub::{Hub, Next};
use crate::broker::{Core, Group};
use crate::config::{self, LogType, Sync};
use crate::store::import::{self, ImportError, Imported};
use crate::store::{self, Disk, Recovered, Store, StoreError, WallMillis};

/// How long to wait before a store that failed is opened again, and how long
/// until that is told again.
const PAUSE: Duration = Duration::from_secs(1);
const SILENCE: Duration = Duration::from_secs(60);

/// Free space, in bytes, below which nothing more is taken that would have to
/// be stored, and from which on it is taken again.
const RESERVE: u64 = 64 * 1024 * 1024;
const ENOUGH: u64 = 2 * RESERVE;

/// How long there is nothing to do before the store is compacted unasked.
const IDLE: Duration = Duration::from_secs(3);

/// How often the free space is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// About how many bytes of records a worker commits.
const SMALL: usize = 32 * 1024;

/// How long that may take before it is left to the thread, and how long it is.
const SLOW: Duration = Duration::from_millis(5);
const RESPITE: Duration = Duration::from_secs(1);

/// The thread, and who commits beside it, while the broker runs.
#[derive(Debug)]
pub(super) struct Persistence {
    hub: Arc<Hub>,
    thread: JoinHandle<()>,
    at_once: Option<task::JoinHandle<()>>,
}

impl Persistence {
    /// Opens the store, has the core take up what is in it, and starts the
    /// thread. Wants a tokio runtime.
    ///
    /// # Errors
    /// The store cannot be written to; the words name the remedy.
    pub(super) fn start(hub: &Arc<Hub>, options: &config::Persistence) -> Result<Self, StartError> {
        let folder = location(options);
        let path = folder.join(format!("{}.store", options.file));
        let fail = |error: &StoreError| StartError(explain(error, &path));
        let mut keeper = Keeper {
            hub: Arc::clone(hub),
            store: None,
            sync: options.sync,
            autosave: Autosave::new(options),
            unsynced_since: None,
            worked: Instant::now(),
            looked: None,
            is_full: false,
            path: path.clone(),
            slow_since: None,
            failure: None,
            thread_due: None,
        };
        let mut recovered = keeper.open().map_err(|error| fail(&error))?;
        let old = folder.join(&options.file);
        if !recovered.notes.contains_key(import::NOTE)
            && let Some(imported) = read_old(hub, &old, recovered.next_session)
        {
            recovered = keeper.take_over(&imported).map_err(|error| fail(&error))?;
            hub.enter(None, |core, now| {
                core.restore(now, wall(), recovered);
                for message in &imported.unrouted {
                    core.publish_stored(now, &message.publication);
                }
            });
        } else {
            hub.enter(None, |core, now| core.restore(now, wall(), recovered));
        }
        let keeper = Arc::new(Mutex::new(keeper));
        let (its_hub, its_keeper) = (Arc::clone(hub), Arc::clone(&keeper));
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || run(&its_hub, &its_keeper))
            .map_err(|error| StartError(format!("cannot start a thread: {error}")))?;
        let hub = Arc::clone(hub);
        let at_once = (options.sync != Sync::Always)
            .then(|| task::spawn(commit_at_once(Arc::clone(&hub), keeper)));
        Ok(Self {
            hub,
            thread,
            at_once,
        })
    }

    /// Ends the thread when all that was recorded is kept.
    pub(super) fn finish(self) {
        self.hub.end_store();
        // A thread that panicked has told so on stderr.
        let _ = self.thread.join();
        if let Some(task) = self.at_once {
            task.abort();
        }
    }
}

/// The folder of the store.
fn location(options: &config::Persistence) -> PathBuf {
    let from_environment = || std::env::var_os("MOSQUITTO_PERSISTENCE_LOCATION").map(PathBuf::from);
    let location = options.location.clone().or_else(from_environment);
    location.unwrap_or_else(|| PathBuf::from("."))
}

fn explain(error: &StoreError, path: &Path) -> String {
    let folder = path.parent().unwrap_or(path);
    let remedy = if folder.is_dir() {
        String::new()
    } else {
        format!(
            "; make the folder: install -d -o \"$(id -un)\" -m 750 {}",
            folder.display()
        )
    };
    format!("persistence in {}: {error}{remedy}", path.display())
}

/// The system's clock.
fn wall() -> WallMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// What Mosquitto left, if it left anything.
fn read_old(hub: &Hub, path: &Path, first_session: u64) -> Option<Imported> {
    match import::read(path, first_session, wall()) {
        Ok(imported) => {
            let counts = imported.counts;
            let text = format!(
                "Imported {} of Mosquitto: {} sessions, {} subscriptions, {} messages that wait, \
                 {} retained messages. The file stays as it is and is not read again.",
                path.display(),
                counts.sessions,
                counts.subscriptions,
                counts.deliveries,
                counts.retained
            );
            hub.log(LogType::Notice, &text);
            for remark in &imported.remarks {
                hub.log(LogType::Warning, &format!("{}: {remark}", path.display()));
            }
            Some(imported)
        }
        Err(ImportError::Read(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let text = format!("{} is not imported: {error}.", path.display());
            hub.log(LogType::Warning, &text);
            None
        }
    }
}

/// When all is brought to the disk though nobody waits for it.
#[derive(Debug)]
struct Autosave {
    every: Option<Duration>,
    changes: Option<usize>,
    /// Changes since the last time.
    count: usize,
}

impl Autosave {
    fn new(options: &config::Persistence) -> Self {
        let number = options.autosave_interval;
        let wanted = options.sync == Sync::Never && number > 0;
        let on_changes = wanted && options.autosave_on_changes;
        Self {
            every: (wanted && !on_changes).then(|| Duration::from_secs(number.into())),
            changes: on_changes.then_some(number as usize),
            count: 0,
        }
    }
}

/// Who owns the store.
#[derive(Debug)]
struct Keeper {
    hub: Arc<Hub>,
    path: PathBuf,
    /// `None`: it has failed and is not open.
    store: Option<Disk>,
    sync: Sync,
    autosave: Autosave,
    /// Since when something is committed and not on the disk for certain.
    unsynced_since: Option<Instant>,
    /// When the last group was committed or read.
    worked: Instant,
    /// When the free space was looked at.
    looked: Option<Instant>,
    is_full: bool,
    /// When a worker was held up by a commit.
    slow_since: Option<Instant>,
    /// What befell a worker; for the thread to deal with.
    failure: Option<StoreError>,
    /// Until when the thread sleeps if nobody calls it.
    thread_due: Option<Instant>,
}

/// The thread.
fn run(hub: &Hub, keeper: &Mutex<Keeper>) {
    let mut untidy = true;
    loop {
        let due = keeper.lock().note_due();
        let next = hub.next_store_work(untidy, due);
        match keeper.lock().attend(next) {
            Some(more) => untidy = more,
            None => return,
        }
    }
}

/// Commits small groups without the thread. Never ends by itself.
async fn commit_at_once(hub: Arc<Hub>, keeper: Arc<Mutex<Keeper>>) {
    loop {
        hub.small_work().await;
        // Who is ready brings their part first.
        task::yield_now().await;
        let done = keeper
            .try_lock()
            .is_some_and(|mut keeper| keeper.keep_small());
        if !done {
            hub.call_store_thread();
        }
    }
}

impl Keeper {
    fn open(&mut self) -> Result<Recovered, StoreError> {
        let opened = store::open(&self.path, wall())?;
        for remark in &opened.remarks {
            self.hub
                .log(LogType::Warning, &format!("Persistence: {remark}."));
        }
        let recovered = &opened.recovered;
        let text = format!(
            "Persistence: {} sessions and {} retained messages from {}.",
            recovered.sessions.len(),
            recovered.retained.len(),
            self.path.display()
        );
        self.hub.log(LogType::Information, &text);
        self.store = Some(opened.store);
        Ok(opened.recovered)
    }

    fn take_over(&mut self, imported: &Imported) -> Result<Recovered, StoreError> {
        let store = self.store()?;
        store.commit(&imported.records)?;
        store.sync()?;
        store.recover()
    }

    fn store(&mut self) -> Result<&mut Disk, StoreError> {
        self.store.as_mut().ok_or_else(StoreError::closed)
    }

    /// Does what is to be done next. Returns whether there may be something to
    /// tidy up; nothing when the thread ends.
    fn attend(&mut self, next: Next) -> Option<bool> {
        let outcome = match next {
            _ if self.failure.is_some() => self.failure.take().map_or(Ok(true), Err),
            Next::Work => match self.hub.take_group(wall()) {
                Some(group) => self.keep(group).map(|()| true),
                None => Ok(true),
            },
            Next::Save => self.save().map(|()| false),
            Next::Due => {
                self.look_for_space();
                self.compact_if_idle();
                Ok(false)
            }
            Next::Nothing => self.store().and_then(Disk::tidy),
            Next::End => {
                if let Err(error) = self.bring_to_disk() {
                    self.hub
                        .log(LogType::Error, &format!("Persistence: {error}."));
                }
                return None;
            }
        };
        let outcome = outcome.and_then(|more| self.bring_if_due().map(|()| more));
        match outcome {
            Ok(more) => Some(more),
            Err(error) => self.recover_from(&error).then_some(true),
        }
    }

    /// Commits what there is, if it is little and will not take long. False: the
    /// thread shall see to it, or to what comes after.
    fn keep_small(&mut self) -> bool {
        let is_slow = self.slow_since.is_some_and(|at| at.elapsed() < RESPITE);
        if is_slow || self.failure.is_some() || self.store.as_ref().is_none_or(Disk::is_behind) {
            return false;
        }
        let began = Instant::now();
        let Some(group) = self.hub.take_small_group(wall(), SMALL) else {
            return !self.hub.has_store_work();
        };
        self.failure = self.keep(group).err();
        self.slow_since = (began.elapsed() > SLOW).then_some(began);
        let is_untidy = self.store.as_ref().is_some_and(Disk::is_untidy);
        let is_earlier = self
            .next_due()
            .is_some_and(|due| self.thread_due.is_none_or(|known| due < known));
        !is_untidy && !is_earlier && self.failure.is_none() && !self.is_due()
    }

    /// Commits a group, tells the core, and reads what it wants to have.
    fn keep(&mut self, group: Group) -> Result<(), StoreError> {
        if !group.records.is_empty() {
            self.autosave.count += group.records.len();
            self.store()?.commit(&group.records)?;
            self.unsynced_since.get_or_insert_with(Instant::now);
            if self.sync == Sync::Always {
                self.bring_to_disk()?;
            }
            let number = group.number;
            self.hub
                .enter(None, |core, now| core.committed(now, number));
        }
        for read in group.reads {
            let queued = self
                .store()?
                .read_queue(read.number, read.from, read.portion)?;
            self.hub
                .enter(None, |core, now| core.queue_read(now, read, &queued));
        }
        self.worked = Instant::now();
        self.look_for_space();
        Ok(())
    }

    /// When the thread has something to do, if nothing comes before.
    fn note_due(&mut self) -> Option<Instant> {
        self.thread_due = self.next_due();
        self.thread_due
    }

    /// When there is something to do, if nothing comes before.
    fn next_due(&self) -> Option<Instant> {
        // While publications are refused, nothing else may come that would look.
        let look = self.looked.filter(|_| self.is_full).map(|at| at + LOOK);
        let all = [self.due(), self.idle_from(), look];
        all.into_iter().flatten().min()
    }

    /// From when on the store may be compacted, if it may need that.
    fn idle_from(&self) -> Option<Instant> {
        let store = self.store.as_ref()?;
        store.may_have_remains().then(|| self.worked + IDLE)
    }

    fn compact_if_idle(&mut self) {
        if self.idle_from().is_some_and(|from| from <= Instant::now())
            && let Some(store) = &mut self.store
        {
            store.compact_if_worthwhile();
        }
    }

    fn bring_to_disk(&mut self) -> Result<(), StoreError> {
        self.autosave.count = 0;
        if self.unsynced_since.take().is_some() {
            self.store()?.sync()?;
        }
        Ok(())
    }

    /// When it has to be brought to the disk.
    fn due(&self) -> Option<Instant> {
        let after = match self.sync {
            Sync::Interval(interval) => Some(interval),
            Sync::Always | Sync::Never => self.autosave.every,
        };
        Some(self.unsynced_since? + after?)
    }

    /// Whether it has to be brought to the disk now.
    fn is_due(&self) -> bool {
        let most = self.autosave.changes;
        most.is_some_and(|most| self.autosave.count >= most)
            || self.due().is_some_and(|due| due <= Instant::now())
    }

    fn bring_if_due(&mut self) -> Result<(), StoreError> {
        if self.is_due() {
            self.bring_to_disk()?;
        }
        Ok(())
    }

    /// SIGUSR1: all on the disk, and as small as it can be.
    fn save(&mut self) -> Result<(), StoreError> {
        self.bring_to_disk()?;
        let store = self.store()?;
        let before = store.size_on_disk();
        store.compact()?;
        let after = store.size_on_disk();
        let text = format!("Persistence: saved; {before} bytes on disk before, {after} now.");
        self.hub.log(LogType::Notice, &text);
        Ok(())
    }

    /// Has publications refused that would have to be stored while the disk is
    /// nearly full.
    fn look_for_space(&mut self) {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        let Ok(free) = store::free_space(&self.path) else {
            return;
        };
        let is_full = free < if self.is_full { ENOUGH } else { RESERVE };
        if is_full == self.is_full {
            return;
        }
        self.is_full = is_full;
        let text = if is_full {
            format!(
                "Persistence: only {free} bytes are free for {}. Publications that would have to \
                 be stored are refused until there are {ENOUGH}.",
                self.path.display()
            )
        } else {
            format!("Persistence: {free} bytes are free again.")
        };
        self.hub.log(LogType::Warning, &text);
        self.hub
            .enter(None, |core, now| core.set_disk_full(now, is_full));
    }

    /// Sends everybody away, opens the store again as soon as that is possible,
    /// and goes on with what is in it. False: the broker ends meanwhile.
    fn recover_from(&mut self, error: &StoreError) -> bool {
        let text = format!(
            "Persistence: {error}. What was not committed is not acknowledged; all clients are \
             disconnected until the store is open again."
        );
        self.hub.log(LogType::Error, &text);
        self.store = None;
        self.unsynced_since = None;
        self.hub.enter(None, Core::store_failed);
        let mut told = Instant::now();
        loop {
            match self.open() {
                Ok(recovered) => {
                    self.hub
                        .enter(None, |core, now| core.restore(now, wall(), recovered));
                    return true;
                }
                Err(error) if told.elapsed() >= SILENCE => {
                    told = Instant::now();
                    self.hub
                        .log(LogType::Error, &format!("Persistence: {error}."));
                }
                Err(_) => {}
            }
            if self.hub.store_ends_within(PAUSE) {
                return false;
            }
        }
    }
}
