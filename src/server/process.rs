//! The broker as a process: background, pid file, privileges.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, User, getuid, setgid, setgroups, setuid};

use crate::auth::permissions::Reader;

/// Goes into the background: a child goes on, the caller's process ends.
/// Called before any thread exists.
///
/// # Errors
/// The system gives no process.
pub(super) fn daemonize() -> Result<(), String> {
    nix::unistd::daemon(true, false)
        .map_err(|error| format!("cannot go into the background: {error}"))
}

/// Lets the process open as many connections as the system allows it. Best
/// effort: with fewer it serves fewer.
pub(super) fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// A file with the number of the process, removed when the broker ends.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(path: &Path) -> Result<Self, String> {
        fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|error| format!("cannot write the pid file {}: {error}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // After privileges were dropped the directory may be out of reach;
        // a stale pid file harms nobody.
        let _ = fs::remove_file(&self.0);
    }
}

/// Becomes `user` if root started the broker. Returns a warning where another
/// user had to do: `nobody` where there is no user `mosquitto`.
///
/// # Errors
/// A user that doesn't exist, or a system that refuses.
pub(super) fn drop_privileges(user: Option<&str>) -> Result<Option<String>, String> {
    let Some((account, warning)) = account(user)? else {
        return Ok(None);
    };
    become_user(account.uid, account.gid)
        .map_err(|error| format!("cannot become user '{}': {error}", account.name))?;
    Ok(warning)
}

/// Whom [`drop_privileges`] becomes, and its warning; none to stay who we are.
///
/// # Errors
/// A user that doesn't exist.
pub(super) fn account(user: Option<&str>) -> Result<Option<(User, Option<String>)>, String> {
    let Some(name) = user.filter(|name| *name != "root" && !name.is_empty()) else {
        return Ok(None);
    };
    if !getuid().is_root() {
        return Ok(None);
    }
    let found = match find(name)? {
        Some(account) => (account, None),
        None if name == "mosquitto" => {
            let nobody = find("nobody")?.ok_or("there is neither a user mosquitto nor nobody")?;
            let warning = "There is no user 'mosquitto' on this machine, 'nobody' takes its place; \
                           write `user NAME` for another one.";
            (nobody, Some(warning.to_owned()))
        }
        None => {
            return Err(format!(
                "there is no user '{name}'; write another `user` line"
            ));
        }
    };
    Ok(Some(found))
}

/// The user that the broker runs as, once [`drop_privileges`] is done.
pub(super) fn reader(user: Option<&str>) -> Option<Reader> {
    match user.filter(|name| *name != "root" && !name.is_empty()) {
        Some(name) if getuid().is_root() => Reader::named(name).or_else(|| Reader::named("nobody")),
        _ => Reader::current(),
    }
}

fn find(name: &str) -> Result<Option<User>, String> {
    User::from_name(name).map_err(|error| format!("cannot look up the user '{name}': {error}"))
}

fn become_user(uid: Uid, gid: Gid) -> nix::Result<()> {
    setgroups(&[gid])?;
    setgid(gid)?;
    setuid(uid)
}
