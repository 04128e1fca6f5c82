//! What can go wrong with a store, with the remedy.

use std::fmt;
use std::io;
use std::path::Path;

/// Why the store failed, in words that say what to do.
#[derive(Clone, Debug)]
pub struct StoreError {
    /// What kind of trouble it is.
    pub kind: ErrorKind,
    what: String,
}

/// Kinds of trouble, as far as they are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no room on the disk.
    Full,
    /// The system doesn't let us write there.
    Forbidden,
    /// Another process has the store open.
    InUse,
    /// Files don't hold what was written to them. The next opening looks for
    /// what is whole.
    Damaged,
    /// The system or the engine failed otherwise. The next opening looks for
    /// damage.
    Failed,
}

impl StoreError {
    pub(super) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
        }
    }

    /// The store is not open.
    pub fn closed() -> Self {
        Self::new(ErrorKind::Failed, "it is closed")
    }

    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, what)
    }

    /// What the system answered to something done with a file.
    pub(super) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        let what = format!("cannot {doing} {}: {error}", path.display());
        Self::new(kind_of(error), what)
    }

    pub(super) fn engine(error: &fjall::Error) -> Self {
        use fjall::{Error as E, LsmError};
        let kind = match error {
            E::Io(io) | E::Storage(LsmError::Io(io)) => kind_of(io),
            E::Locked => ErrorKind::InUse,
            E::Poisoned | E::KeyspaceDeleted => ErrorKind::Failed,
            _ => ErrorKind::Damaged,
        };
        let what = match error {
            E::Io(io) | E::Storage(LsmError::Io(io)) => io.to_string(),
            E::Locked => "another process has it open".into(),
            E::Poisoned => "an earlier write failed".into(),
            other => other.to_string(),
        };
        Self::new(kind, what)
    }

    fn remedy(&self) -> &'static str {
        match self.kind {
            ErrorKind::Full => "make room on the disk, or move persistence_location to another",
            ErrorKind::Forbidden => {
                "give the user that the broker runs as the right to write there, or set \
                 persistence_location to a directory that it may write to"
            }
            ErrorKind::InUse => "end the other broker, or give each its own persistence_location",
            ErrorKind::Damaged => {
                "the broker keeps the damaged files aside and goes on with what is whole; \
                 check the disk"
            }
            ErrorKind::Failed => "look into the system's log for the disk's errors",
        }
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Forbidden,
        io::ErrorKind::NotFound
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::Other => ErrorKind::Damaged,
        _ => ErrorKind::Failed,
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store failed: {}; {}", self.what, self.remedy())
    }
}

impl std::error::Error for StoreError {}

impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        Self::engine(&error)
    }
}
