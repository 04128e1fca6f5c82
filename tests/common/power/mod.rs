//! A power cut, without a machine to pull the plug of.
//!
//! The program runs with a library before the C library's (`unsynced.c`, built
//! here with `cc`) that copies what is synced, and only that, into a mirror.
//! After the program was killed [`Disk::lose_power`] puts in the place of the
//! directory what the mirror has, and as much of the rest as the test wants to
//! survive: sectors of 512 bytes and names of files, each for itself, so that
//! what was written later may be there and what was written before may not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::peers::{program_for, tell};

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// Bytes that are compared at once; whole sectors.
const CHUNK: usize = 128 * SECTOR;
static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// A directory whose unsynced content can be taken away.
pub(crate) struct Disk {
    root: PathBuf,
    mirror: PathBuf,
    library: PathBuf,
}

/// When a program under the library ends, and how long its syncs take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    /// In the place of which of its syncs, counted from 1; 0: by the test.
    pub(crate) at_sync: u64,
    /// The longest that a sync waits, in microseconds.
    pub(crate) delay: u64,
}

/// An entry of a directory: an inode, and whether it is a directory.
type Entry = (u64, bool);
type Names = BTreeMap<String, Entry>;

impl Disk {
    /// A disk in a directory of the test's. `None`: this cannot be played
    /// here, which is told as a missing program is.
    pub(crate) fn new(directory: &Path, check: &str) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            tell(&format!("left out: {check}: it is written for Linux"));
            return None;
        }
        let compiler = program_for("cc", check)?;
        let directory = directory.canonicalize().expect("a directory");
        let library = directory.join("unsynced.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/power/unsynced.c");
        let built = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
            .args([&library, &source])
            .output()
            .expect("a compiler");
        assert!(built.status.success(), "{built:?}");
        let disk = Self {
            root: directory.join("disk"),
            mirror: directory.join("mirror"),
            library,
        };
        fs::create_dir(&disk.root).expect("a directory");
        disk.lose_power(&mut || true);
        Some(disk)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// Takes all away.
    pub(crate) fn clear(&self) {
        fs::remove_dir_all(&self.root).expect("the files of the test");
        fs::create_dir(&self.root).expect("a directory");
        self.lose_power(&mut || true);
    }

    /// What is on the disk, to be looked at.
    pub(crate) fn copy(&self) -> TempDir {
        let copy = TempDir::new().expect("a directory");
        let mut command = Command::new("cp");
        command.args(["-r", "--sparse=always"]);
        command.arg(self.root.join(".")).arg(copy.path());
        assert!(command.status().expect("cp").success());
        copy
    }

    /// Has a program run on the disk.
    pub(crate) fn watch(&self, command: &mut Command, cut: Cut) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("POWER_DISK", &self.root)
            .env("POWER_MIRROR", &self.mirror)
            .env("POWER_CUT", cut.at_sync.to_string())
            .env("POWER_DELAY", cut.delay.to_string());
    }

    /// Leaves of the disk what was synced, and what `survives`. Nobody uses it
    /// meanwhile. What is left counts as synced.
    pub(crate) fn lose_power(&self, survives: &mut dyn FnMut() -> bool) {
        self.try_to_lose_power(survives)
            .expect("the files of the test");
    }

    fn try_to_lose_power(&self, survives: &mut dyn FnMut() -> bool) -> io::Result<()> {
        let [new_root, new_mirror] =
            [&self.root, &self.mirror].map(|path| path.with_extension("new"));
        fs::create_dir(&new_root)?;
        for kind in ["files", "dirs", "held"] {
            fs::create_dir_all(new_mirror.join(kind))?;
        }
        let mut after = After {
            mirror: &self.mirror,
            new_mirror: &new_mirror,
            written: HashMap::new(),
            directories: HashMap::new(),
            survives,
        };
        after.find_directories(&self.root)?;
        after.directory(fs::metadata(&self.root)?.ino(), &new_root)?;
        remove(&self.root)?;
        remove(&self.mirror)?;
        fs::rename(new_root, &self.root)?;
        fs::rename(new_mirror, &self.mirror)
    }
}

/// What is there after a power cut, while it is put together.
struct After<'a> {
    mirror: &'a Path,
    new_mirror: &'a Path,
    /// New files by the inodes of those that they stand for: one may have
    /// several names.
    written: HashMap<u64, PathBuf>,
    /// Where the directories are now, by their inodes.
    directories: HashMap<u64, PathBuf>,
    survives: &'a mut dyn FnMut() -> bool,
}

impl After<'_> {
    fn find_directories(&mut self, directory: &Path) -> io::Result<()> {
        self.directories
            .insert(fs::metadata(directory)?.ino(), directory.to_owned());
        for (name, (_, is_directory)) in self.present(directory)? {
            if is_directory {
                self.find_directories(&directory.join(name))?;
            }
        }
        Ok(())
    }

    /// What a directory holds; each file is held from now on.
    fn present(&self, directory: &Path) -> io::Result<Names> {
        let mut names = Names::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let (inode, is_directory) = (entry.metadata()?.ino(), entry.file_type()?.is_dir());
            let held = self.mirror.join("held").join(inode.to_string());
            if !is_directory && !held.exists() && self.mirror.exists() {
                fs::hard_link(entry.path(), held)?;
            }
            let name = entry.file_name().into_string().expect("a printable name");
            names.insert(name, (inode, is_directory));
        }
        Ok(names)
    }

    fn synced(&self, inode: u64) -> io::Result<Names> {
        let list = self.mirror.join("dirs").join(inode.to_string());
        let text = match fs::read_to_string(list) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let entries = text.lines().map(|line| {
            let mut words = line.splitn(3, ' ');
            let mut word = || words.next().expect("three words");
            let (inode, kind, name) = (word(), word(), word());
            let inode = inode.parse().expect("an inode");
            (name.to_owned(), (inode, kind == "d"))
        });
        Ok(entries.collect())
    }

    fn directory(&mut self, inode: u64, to: &Path) -> io::Result<()> {
        let synced = self.synced(inode)?;
        let present = match self.directories.get(&inode) {
            Some(path) => self.present(path)?,
            None => synced.clone(),
        };
        let mut list = Vec::new();
        for name in synced.keys().chain(present.keys()).collect::<BTreeSet<_>>() {
            let (before, now) = (synced.get(name), present.get(name));
            let keeps_up = before == now || (self.survives)();
            let Some(&(inode, is_directory)) = (if keeps_up { now } else { before }) else {
                continue;
            };
            let target = to.join(name);
            if is_directory {
                fs::create_dir(&target)?;
                self.directory(inode, &target)?;
            } else if let Some(same) = self.written.get(&inode) {
                fs::hard_link(same, &target)?;
            } else {
                self.file(inode, &target)?;
                self.written.insert(inode, target.clone());
            }
            let new_inode = fs::metadata(&target)?.ino();
            let kind = if is_directory { 'd' } else { 'f' };
            list.push(format!("{new_inode} {kind} {name}\n"));
        }
        let inode = fs::metadata(to)?.ino();
        fs::write(
            self.new_mirror.join("dirs").join(inode.to_string()),
            list.concat(),
        )
    }

    fn file(&mut self, inode: u64, to: &Path) -> io::Result<()> {
        let mut after = File::create_new(to)?;
        let new_inode = after.metadata()?.ino().to_string();
        let mut copy = File::create_new(self.new_mirror.join("files").join(&new_inode))?;
        fs::hard_link(to, self.new_mirror.join("held").join(&new_inode))?;
        let mut synced = open(&self.mirror.join("files").join(inode.to_string()))?;
        let mut present = open(&self.mirror.join("held").join(inode.to_string()))?;
        let lengths = [&synced, &present].map(|file| file.as_ref().map_or(0, length));
        let size = lengths[usize::from(lengths[0] != lengths[1] && (self.survives)())];
        let mut place = 0;
        while place < size {
            let count = (size - place).min(CHUNK as u64) as usize;
            let mut bytes = part(synced.as_mut(), count)?;
            let newer = part(present.as_mut(), count)?;
            if bytes != newer {
                let sectors = bytes.chunks_mut(SECTOR).zip(newer.chunks(SECTOR));
                for (sector, newer) in sectors.filter(|(sector, newer)| sector != newer) {
                    if (self.survives)() {
                        sector.copy_from_slice(newer);
                    }
                }
            }
            for file in [&mut after, &mut copy] {
                // Holes stay holes: a journal is mostly one.
                if bytes == ZEROS[..count] {
                    file.seek(SeekFrom::Current(count as i64))?;
                } else {
                    file.write_all(&bytes)?;
                }
            }
            place += count as u64;
        }
        after.set_len(size)?;
        copy.set_len(size)
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

fn length(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

/// The next bytes of a file, and zeros behind its end.
fn part(file: Option<&mut File>, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count);
    if let Some(file) = file {
        file.take(count as u64).read_to_end(&mut bytes)?;
    }
    bytes.resize(count, 0);
    Ok(bytes)
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Numbers that depend on the seed alone (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % bound
    }
}
