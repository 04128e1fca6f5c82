//! Opening a store, and what happens to files that are damaged: they are kept
//! under another name, and what is whole in them is taken over.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::Slice;

use super::disk::{Disk, SUSPECT, Table};
use super::encoding;
use super::error::{ErrorKind, StoreError};
use super::journal::{self, Loss};
use super::keys;
use super::record::{Publication, Record, Recovered, Session, Stage};
use super::{Store, WallMillis};

/// The engine's own mark in a directory, and what it holds.
const VERSION_FILE: &str = "version";
const VERSION: &[u8] = b"FJL\x03";
const LOCK_FILE: &str = "lock";

/// What a store is called while it is made: a new one, and one that takes a
/// damaged one's place.
const NEW: &str = "new";
const RESCUED: &str = "rescued";

/// Records that are taken over in one commit.
const PORTION: usize = 512;

/// A store that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Disk,
    /// What it holds.
    pub recovered: Recovered,
    /// What was found damaged, where it is kept, and what was lost: for the
    /// log. Empty when all is well.
    pub remarks: Vec<String>,
}

/// Opens the store in a directory, which is made if it isn't there. `now`
/// names what is set aside.
///
/// # Errors
/// The directory cannot be written to, or another process has the store open.
/// Damage is no error.
pub fn open(path: &Path, now: WallMillis) -> Result<Opened, StoreError> {
    if !path.exists() {
        let rescued = with_suffix(path, RESCUED);
        if rescued.exists() {
            // A rescue was cut off before its last step.
            fs::rename(&rescued, path).map_err(|e| forbidden("rename", &rescued, &e))?;
        } else {
            create(path)?;
        }
    }
    let probe = path.join("probe");
    fs::write(&probe, b"")
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|e| forbidden("write to", path, &e))?;
    let mut remarks = Vec::new();
    let result = whole(path, now, &mut remarks).and_then(|check| attempt(path, check));
    match result {
        Ok((store, recovered)) => Ok(Opened {
            store,
            recovered,
            remarks,
        }),
        Err(error) if error.kind == ErrorKind::Damaged => rescue(path, now, &error, remarks),
        Err(error) => Err(error),
    }
}

/// Makes a store, as a whole or not at all.
fn create(path: &Path) -> Result<(), StoreError> {
    let new = with_suffix(path, NEW);
    remove(&new).map_err(|e| forbidden("remove", &new, &e))?;
    make_directory(&new).map_err(|e| forbidden("make the directory", path, &e))?;
    drop(Disk::open(&new)?);
    sync_names(&new)?;
    fs::rename(&new, path).map_err(|e| forbidden("rename", &new, &e))
}

/// Makes a directory that survives a power cut, and those above it.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = above(path);
    make_directory(above)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_directory(above),
    }
}

/// The directory that a path is in.
fn above(path: &Path) -> &Path {
    let parent = path.parent().unwrap_or(path);
    if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    }
}

/// Brings the names in a directory to the disk.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Bytes that are free for us on the file system of a path.
///
/// # Errors
/// What the system answered.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    #[allow(clippy::useless_conversion, reason = "narrower on 32 bits")]
    Ok(u64::from(stat.blocks_available()) * u64::from(stat.fragment_size()))
}

/// Whatever keeps us from writing there, it is no damage.
fn forbidden(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    let mut error = StoreError::io(doing, path, error);
    if error.kind != ErrorKind::Full {
        error.kind = ErrorKind::Forbidden;
    }
    error
}

/// Looks at what the engine would not tell of. True: all should be read once.
fn whole(path: &Path, now: WallMillis, remarks: &mut Vec<String>) -> Result<bool, StoreError> {
    let used = fs::read_dir(path)
        .map_err(|e| StoreError::io("read", path, &e))?
        .flatten()
        .any(|entry| {
            let name = entry.file_name();
            name == "keyspaces" || Path::new(&name).extension().is_some_and(|e| e == "jnl")
        });
    if used && fs::read(path.join(VERSION_FILE)).ok().as_deref() != Some(VERSION) {
        return Err(StoreError::damaged(format!(
            "{} is of another version",
            path.display()
        )));
    }
    if used && !path.join(LOCK_FILE).exists() {
        let lock = path.join(LOCK_FILE);
        fs::write(&lock, b"").map_err(|e| StoreError::io("write", &lock, &e))?;
    }
    let losses = journal::inspect(path)?;
    if losses.iter().any(|loss| loss.in_between) {
        // Changes are missing before others that are there.
        return Err(StoreError::damaged(describe(&losses[0])));
    }
    let check = !losses.is_empty() || path.join(SUSPECT).exists();
    for loss in losses {
        let aside = unused(&loss.file.with_extension(format!("damaged-{}", stamp(now))));
        fs::copy(&loss.file, &aside)
            .and_then(|_| File::open(&aside)?.sync_all())
            .and_then(|()| sync_directory(path))
            .map_err(|e| StoreError::io("write", &aside, &e))?;
        journal::cut(&loss).map_err(|e| StoreError::io("write", &loss.file, &e))?;
        remarks.push(format!(
            "{}; what came before is whole and in use, a copy of the file is kept as {}",
            describe(&loss),
            aside.display()
        ));
    }
    Ok(check)
}

fn describe(loss: &Loss) -> String {
    format!(
        "the journal {} is damaged at byte {}: the changes in the {} bytes from there on are lost",
        loss.file.display(),
        loss.at,
        loss.bytes
    )
}

/// Opens and reads. A damaged file can make the engine do anything but write
/// nonsense; a panic is only one more way to say that it is damaged.
fn attempt(path: &Path, check: bool) -> Result<(Disk, Recovered), StoreError> {
    careful(|| {
        let mut disk = Disk::open(path)?;
        sync_names(path)?;
        // What a process left that was killed is acted upon from now on.
        disk.sync()?;
        if check {
            disk.check()?;
        }
        let recovered = disk.recover()?;
        if check {
            let suspect = path.join(SUSPECT);
            fs::remove_file(&suspect)
                .or_else(|e| match e.kind() {
                    io::ErrorKind::NotFound => Ok(()),
                    _ => Err(e),
                })
                .map_err(|e| StoreError::io("remove", &suspect, &e))?;
        }
        Ok((disk, recovered))
    })
}

/// Brings to the disk where everything is: the engine syncs what is in its
/// files, and the names of most of them.
fn sync_names(path: &Path) -> Result<(), StoreError> {
    for directory in [&path.join("keyspaces"), path, above(path)] {
        match sync_directory(directory) {
            // Where we may make files we need not be allowed to list them.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced.map_err(|e| StoreError::io("sync", directory, &e))?,
        }
    }
    Ok(())
}

fn careful<R>(act: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|_| Err(StoreError::damaged("the engine cannot read its files")))
}

/// Starts anew with what is whole in a store, and sets the old one aside. Until
/// that is done the old one stays where it is.
fn rescue(
    path: &Path,
    now: WallMillis,
    why: &StoreError,
    mut remarks: Vec<String>,
) -> Result<Opened, StoreError> {
    let fresh = with_suffix(path, RESCUED);
    // The engine changes what it opens, so it gets a copy.
    let copy = with_suffix(path, "rescue");
    for left in [&fresh, &copy] {
        // Of a rescue that was cut off.
        remove(left).map_err(|e| StoreError::io("remove", left, &e))?;
    }
    make_directory(&fresh).map_err(|e| forbidden("make the directory", &fresh, &e))?;
    let mut store = Disk::open(&fresh)?;
    let salvaged = link_all(path, &copy)
        .map_err(|e| StoreError::io("copy", path, &e))
        .and_then(|()| careful(|| salvage(&copy, &mut store)));
    // It is only a copy.
    let _ = remove(&copy);
    let taken_over = match salvaged {
        Ok(Salvaged {
            sessions,
            subscriptions,
            deliveries,
            retained,
            lost,
        }) => {
            let complete = match lost {
                0 => "no part was unreadable",
                _ => "some parts were unreadable",
            };
            format!(
                "taken over from it: {sessions} sessions with {subscriptions} subscriptions and \
                 {deliveries} queued messages, {retained} retained messages; {complete}"
            )
        }
        // Our own side failed.
        Err(error) if error.kind != ErrorKind::Damaged => return Err(error),
        Err(error) => format!(
            "nothing could be taken over from it ({error}): the broker starts without sessions \
             and retained messages"
        ),
    };
    store.sync()?;
    drop(store);
    sync_names(&fresh)?;
    let aside = unused(&with_suffix(path, &format!("damaged-{}", stamp(now))));
    fs::rename(path, &aside).map_err(|e| forbidden("rename", path, &e))?;
    fs::rename(&fresh, path).map_err(|e| forbidden("rename", &fresh, &e))?;
    let (store, recovered) = attempt(path, false)?;
    remarks.push(format!(
        "the store {} is damaged ({why}); it is kept as {}",
        path.display(),
        aside.display()
    ));
    remarks.push(taken_over);
    Ok(Opened {
        store,
        recovered,
        remarks,
    })
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[derive(Default)]
struct Salvaged {
    sessions: usize,
    subscriptions: usize,
    deliveries: usize,
    retained: usize,
    /// Places that could not be read.
    lost: usize,
}

/// Reads what is whole in a damaged store into another.
fn salvage(from: &Path, to: &mut Disk) -> Result<Salvaged, StoreError> {
    for loss in journal::inspect(from)? {
        journal::cut(&loss).map_err(|e| StoreError::io("write", &loss.file, &e))?;
    }
    let version = from.join(VERSION_FILE);
    if !fs::read(&version).is_ok_and(|found| is_version(&found)) {
        fs::write(&version, VERSION).map_err(|e| StoreError::io("write", &version, &e))?;
    }
    let from = Disk::open(from)?;
    let mut done = Salvaged::default();
    let mut records = Vec::new();
    let mut stages = HashMap::new();
    let state = salvage_state(&from, &mut done, &mut stages, &mut records);
    save(to, &mut records)?;

    let mut shared: HashMap<u64, Arc<Publication>> = HashMap::new();
    let queues = readable(&from, Table::Queue, &[keys::DELIVERY], &mut done.lost);
    for (key, value) in queues {
        let (Some(session), Some(sequence)) = (keys::number(&key), keys::second(&key)) else {
            continue;
        };
        if !state.contains_key(&session) {
            continue;
        }
        let Ok(Ok(delivery)) = catch_unwind(AssertUnwindSafe(|| from.decode(&value, &mut shared)))
        else {
            done.lost += 1;
            continue;
        };
        done.deliveries += 1;
        records.push(Record::Enqueue {
            session,
            sequence,
            delivery,
        });
        if let Some(&stage) = stages.get(&(session, sequence)) {
            records.push(Record::SetStage {
                session,
                sequence,
                stage,
            });
        }
        if records.len() >= PORTION {
            save(to, &mut records)?;
            shared.clear();
        }
    }
    for (_, value) in readable(&from, Table::Retained, &[], &mut done.lost) {
        let Some(publication) = encoding::read_publication(&value) else {
            done.lost += 1;
            continue;
        };
        done.retained += 1;
        records.push(Record::Retain {
            publication: Arc::new(publication),
        });
        if records.len() >= PORTION {
            save(to, &mut records)?;
        }
    }
    save(to, &mut records)?;
    Ok(done)
}

fn is_version(found: &[u8]) -> bool {
    found.len() == VERSION.len() && found.starts_with(&VERSION[..3]) && found[3] < 10
}

fn save(to: &mut Disk, records: &mut Vec<Record>) -> Result<(), StoreError> {
    // A failure here is not of the store that is read.
    to.commit(records).map_err(|mut error| {
        if error.kind == ErrorKind::Damaged {
            error.kind = ErrorKind::Failed;
        }
        error
    })?;
    records.clear();
    Ok(())
}

/// Sessions, what belongs to them but their queues, and notes. Returns the
/// sessions that are there.
fn salvage_state(
    from: &Disk,
    done: &mut Salvaged,
    stages: &mut HashMap<(u64, u64), Stage>,
    records: &mut Vec<Record>,
) -> BTreeMap<u64, Session> {
    let mut read = |kind: u8| readable(from, Table::State, &[kind], &mut done.lost);
    let mut sessions: BTreeMap<u64, Session> = read(keys::SESSION)
        .into_iter()
        .filter_map(|(key, value)| keys::number(&key).zip(encoding::read_session(&value)))
        .collect();
    for (key, _) in read(keys::ENDED) {
        if let Some(number) = keys::number(&key) {
            sessions.remove(&number);
        }
    }
    records.extend(sessions.iter().map(|(&session, description)| {
        let description = Box::new(description.clone());
        Record::PutSession {
            session,
            description,
        }
    }));
    let owned = |key: &Slice| keys::number(key).filter(|number| sessions.contains_key(number));
    let mut subscriptions = 0;
    for (key, value) in read(keys::SUBSCRIPTION) {
        if let Some((session, subscription)) = owned(&key).zip(encoding::read_subscription(&value))
        {
            subscriptions += 1;
            let subscription = Box::new(subscription);
            records.push(Record::PutSubscription {
                session,
                subscription,
            });
        }
    }
    for (key, value) in read(keys::INCOMING) {
        let found = owned(&key).zip(keys::second(&key));
        if let Some(((session, id), fingerprint)) = found.zip(encoding::read_u64(&value)) {
            records.push(Record::PutIncoming {
                session,
                packet_id: id as u16,
                fingerprint,
            });
        }
    }
    for (key, value) in read(keys::INFLIGHT) {
        let place = keys::number(&key).zip(keys::second(&key));
        if let Some((place, stage)) = place.zip(encoding::read_stage(&value)) {
            stages.insert(place, stage);
        }
    }
    for (_, value) in read(keys::NOTE) {
        let text = std::str::from_utf8(&value).ok();
        if let Some((name, text)) = text.and_then(|text| text.split_once('\0')) {
            records.push(Record::Note {
                name: name.into(),
                text: text.into(),
            });
        }
    }
    done.sessions = sessions.len();
    done.subscriptions = subscriptions;
    sessions
}

/// The entries that can be read: forward up to what is damaged, and backward
/// down to it.
fn readable(from: &Disk, table: Table, prefix: &[u8], lost: &mut usize) -> Vec<(Slice, Slice)> {
    let mut found = Vec::new();
    let forward = collect(from.scan(table, prefix, None), None, &mut found);
    if !forward {
        *lost += 1;
        let last = found.last().map(|(key, _): &(Slice, Slice)| key.clone());
        let mut rest = Vec::new();
        collect(from.scan(table, prefix, None).rev(), last, &mut rest);
        found.extend(rest.into_iter().rev());
    }
    found
}

/// Gathers entries up to a damaged one, or to one that is known. False: one is
/// damaged.
fn collect(
    mut entries: impl Iterator<Item = super::disk::Entry>,
    known: Option<Slice>,
    found: &mut Vec<(Slice, Slice)>,
) -> bool {
    loop {
        match catch_unwind(AssertUnwindSafe(|| entries.next())) {
            Ok(None) => return true,
            Ok(Some(Ok((key, _)))) if known.as_ref().is_some_and(|known| key <= *known) => {
                return true;
            }
            Ok(Some(Ok(entry))) => found.push(entry),
            Ok(Some(Err(_))) | Err(_) => return false,
        }
    }
}

/// A copy of a store's directory. Files that are never changed are linked.
fn link_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            link_all(&source, &target)?;
        } else {
            let sorted = from.file_name().is_some_and(|name| name == "tables");
            if !(sorted && fs::hard_link(&source, &target).is_ok()) {
                fs::copy(&source, &target)?;
            }
        }
    }
    Ok(())
}

/// The time as file names have it.
fn stamp(now: WallMillis) -> String {
    chrono::DateTime::from_timestamp_millis(now as i64).map_or_else(
        || now.to_string(),
        |time| time.format("%Y%m%d-%H%M%S").to_string(),
    )
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The path, or one like it that nothing has.
fn unused(path: &Path) -> PathBuf {
    let mut candidate = path.to_path_buf();
    let mut number = 1;
    while candidate.exists() {
        number += 1;
        candidate = with_suffix(path, &number.to_string());
    }
    candidate
}
