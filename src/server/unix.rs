//! Unix domain sockets that accept connections.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::listener::BACKLOG;
use super::process::Account;

/// The broker's user and group may connect, as with Mosquitto.
const MODE: u32 = 0o770;

/// The file of a socket, removed when the broker ends.
#[derive(Debug)]
pub(super) struct SocketFile {
    pub(super) path: PathBuf,
    /// Device and number: another broker may have put its own there meanwhile.
    identity: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // After privileges were dropped the directory may be out of reach;
            // the next start removes what nobody listens on.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on a path, for the user that the broker becomes. A socket that is
/// left there by a broker which has ended gives way.
///
/// # Errors
/// The words name path and remedy.
pub(super) fn bind(path: &Path, user: Option<&str>) -> Result<(UnixListener, SocketFile), String> {
    clear(path)?;
    let explain = |error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "; its directory has to be made first",
            io::ErrorKind::PermissionDenied => {
                "; the broker's user must be allowed to write in its directory"
            }
            io::ErrorKind::InvalidInput => "; a shorter path may do, of less than 108 bytes",
            _ => "",
        };
        format!("cannot listen on {}: {error}{remedy}", path.display())
    };
    let account = Account::choose(user)?;
    open(path, account.as_ref()).map_err(explain)
}

fn open(path: &Path, account: Option<&Account>) -> io::Result<(UnixListener, SocketFile)> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    let file = SocketFile {
        path: path.to_owned(),
        identity: identity(path),
    };
    // Nobody gets through before it listens.
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    if let Some(account) = account {
        chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw()))?;
    }
    socket.listen(BACKLOG)?;
    Ok((OwnedFd::from(socket).into(), file))
}

/// Removes a socket on which nobody listens any more. Anything else stays.
fn clear(path: &Path) -> Result<(), String> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let shown = path.display();
    if !found.file_type().is_socket() {
        return Err(format!(
            "cannot listen on {shown}: there is something that is no socket; remove it, or \
             choose another path"
        ));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| format!("cannot remove the old socket {shown}: {error}")),
        _ => Err(format!(
            "cannot listen on {shown}: another program, perhaps another broker, has this socket"
        )),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_nobody_listens_on_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let (listening, file) = bind(&path, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        let busy = bind(&path, None).unwrap_err();
        assert!(busy.contains("has this socket"), "{busy}");
        drop(listening);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diary");
        fs::write(&path, "dear").unwrap();
        let refused = bind(&path, None).unwrap_err();
        assert!(refused.contains("no socket"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"dear");
        let missing = bind(&folder.path().join("none/s"), None).unwrap_err();
        assert!(missing.contains("directory"), "{missing}");
        let long = bind(&folder.path().join("x".repeat(120)), None).unwrap_err();
        assert!(long.contains("shorter"), "{long}");
    }

    #[test]
    fn the_file_of_a_successor_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (_listening, file) = bind(&path, None).unwrap();
        fs::rename(&path, folder.path().join("old")).unwrap();
        let _successor = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
