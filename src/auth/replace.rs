//! Replacing a file as a whole: a reader sees the old text or the new one.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

const PRIVATE: u32 = 0o600;
const GROUP_READABLE: u32 = 0o640;
/// As many as Linux itself follows.
const MAX_LINKS: usize = 40;

/// Writes `contents` to `path`, following symbolic links.
///
/// An existing file keeps its owner and mode. A new one belongs to the group
/// of its directory and is readable for it, because a broker that gave up root
/// reads it as a member of that group; where the group cannot be given, only
/// the owner may read it.
///
/// Where the directory forbids a new file (a single file mounted into a
/// container, a file of somebody else), the old one is overwritten in place.
pub(super) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let target = follow_links(path)?;
    match fs::metadata(&target) {
        Ok(old) if !old.is_file() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )),
        Ok(old) => match Replacement::prepare(&target, Some(&old)) {
            Ok(new) => new
                .write(contents)?
                .or_else(|_| overwrite(&target, contents)),
            Err(_) => overwrite(&target, contents),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Replacement::prepare(&target, None)?.write(contents)?
        }
        Err(error) => Err(error),
    }
}

/// The file that a chain of links ends at, whether it exists or not.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = directory(&target).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn overwrite(target: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(target)?;
    file.write_all(contents)?;
    file.set_len(contents.len() as u64)?;
    file.sync_all()
}

/// A temporary file beside the one whose place it shall take; removed again
/// unless it came so far.
struct Replacement<'a> {
    target: &'a Path,
    temporary: PathBuf,
    file: File,
    in_place: bool,
}

impl<'a> Replacement<'a> {
    /// Creates the file with the owner and mode that it is to have.
    fn prepare(target: &'a Path, old: Option<&Metadata>) -> io::Result<Self> {
        let temporary = temporary_name(target)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(if old.is_some() {
                PRIVATE
            } else {
                GROUP_READABLE
            })
            .open(&temporary)?;
        let replacement = Self {
            target,
            temporary,
            file,
            in_place: false,
        };
        match old {
            Some(old) => replacement.take_owner_and_mode_of(old)?,
            None => replacement.share_with_group_of_directory()?,
        }
        Ok(replacement)
    }

    fn take_owner_and_mode_of(&self, old: &Metadata) -> io::Result<()> {
        let new = self.file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(&self.file, Some(old.uid()), Some(old.gid()))?;
        }
        self.file.set_permissions(old.permissions())
    }

    fn share_with_group_of_directory(&self) -> io::Result<()> {
        let group = fs::metadata(directory(self.target))?.gid();
        if self.file.metadata()?.gid() != group && fchown(&self.file, None, Some(group)).is_err() {
            self.file.set_permissions(Permissions::from_mode(PRIVATE))?;
        }
        Ok(())
    }

    /// Fills the file and moves it into place. The outer error says that it
    /// could not be filled, the inner one that it could not be moved.
    fn write(mut self, contents: &[u8]) -> io::Result<io::Result<()>> {
        self.file.write_all(contents)?;
        self.file.sync_all()?;
        if let Err(error) = fs::rename(&self.temporary, self.target) {
            return Ok(Err(error));
        }
        self.in_place = true;
        // The rename is durable once the directory is; some file systems
        // cannot sync one, and then there is nothing more to be had.
        let _ = File::open(directory(self.target)).and_then(|directory| directory.sync_all());
        Ok(Ok(()))
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        if !self.in_place {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn temporary_name(target: &Path) -> io::Result<PathBuf> {
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{random:016x}"));
    Ok(directory(target).join(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_not_for_everybody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path) & 0o137, 0);
        let group = fs::metadata(directory.path()).unwrap().gid();
        assert_eq!(fs::metadata(&path).unwrap().gid(), group);
        assert_eq!(names(directory.path()), ["passwd"]);
    }

    #[test]
    fn an_old_file_is_replaced_and_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        fs::write(&path, "old and longer").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        let reader = File::open(&path).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path), 0o604);
        assert_eq!(
            io::read_to_string(reader).unwrap(),
            "old and longer",
            "who reads the old file must not see it change"
        );
        assert_eq!(names(directory.path()), ["passwd"]);
    }

    #[test]
    fn links_stay_links() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        fs::create_dir(path("data")).unwrap();
        fs::write(path("data/passwd"), "old").unwrap();
        symlink("data/passwd", path("second")).unwrap();
        symlink(path("second"), path("first")).unwrap();
        replace(&path("first"), b"new").unwrap();
        assert_eq!(fs::read(path("data/passwd")).unwrap(), b"new");
        assert!(path("first").is_symlink() && path("second").is_symlink());

        symlink("data/fresh", path("dangling")).unwrap();
        replace(&path("dangling"), b"made").unwrap();
        assert_eq!(fs::read(path("data/fresh")).unwrap(), b"made");

        symlink("loop", path("loop")).unwrap();
        assert!(replace(&path("loop"), b"x").is_err());
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = replace(directory.path(), b"x").unwrap_err();
        assert_eq!(error.to_string(), "not a regular file");
        assert!(replace(&directory.path().join("no/passwd"), b"x").is_err());
    }

    #[test]
    fn overwriting_in_place_leaves_no_rest_of_the_old_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwd");
        fs::write(&path, "old and longer").unwrap();
        overwrite(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
