//! The broker as a process: background, pid file, privileges.

use std::fs;
use std::path::{Path, PathBuf};

use nix::libc::mode_t;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, User, getuid, setgid, setgroups, setuid};

use crate::auth::groups::groups_of;
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

/// How much memory the process has in use beyond its program and files, in
/// bytes; `None` where the system doesn't tell.
pub(super) fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(1024 * kilobytes)
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

/// Takes the umask of `UMASK_SET`, in octal digits, if there is one.
///
/// # Errors
/// The value is no such number.
pub(super) fn take_umask() -> Result<(), String> {
    let Some(text) = variable("UMASK_SET") else {
        return Ok(());
    };
    let mask = u32::from_str_radix(&text, 8)
        .ok()
        .filter(|mask| *mask <= 0o777);
    let mask = mask.ok_or_else(|| {
        format!("UMASK_SET is '{text}', not an octal number such as 027; correct or unset it")
    })?;
    umask(Mode::from_bits_truncate(mask as mode_t));
    Ok(())
}

/// Whom the broker becomes when root starts it.
#[derive(Debug)]
pub(super) struct Account {
    /// `None`: only the numbers are known.
    name: Option<String>,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// What deserves a look about the choice.
    pub(super) warning: Option<String>,
}

impl Account {
    /// Finds the account: `PUID` and `PGID` go before `user`. `None`: the
    /// broker stays who it is.
    ///
    /// # Errors
    /// A user that doesn't exist, or numbers that are none.
    pub(super) fn choose(user: Option<&str>) -> Result<Option<Self>, String> {
        if !getuid().is_root() {
            return Ok(None);
        }
        let (uid, gid) = (number("PUID")?, number("PGID")?);
        let mut account = match uid {
            Some(0) => return Ok(None),
            Some(uid) => Self::numbered(Uid::from_raw(uid))?,
            None => match user.filter(|name| *name != "root" && !name.is_empty()) {
                Some(name) => Self::named(name)?,
                None => return Ok(None),
            },
        };
        if let Some(gid) = gid {
            account.gid = Gid::from_raw(gid);
        }
        Ok(Some(account))
    }

    fn numbered(uid: Uid) -> Result<Self, String> {
        let found = User::from_uid(uid);
        let found = found.map_err(|error| format!("cannot look up the user {uid}: {error}"))?;
        Ok(found.map_or_else(
            || Self {
                name: None,
                uid,
                gid: Gid::from_raw(uid.as_raw()),
                warning: None,
            },
            |user| Self::of(user, None),
        ))
    }

    fn named(name: &str) -> Result<Self, String> {
        if let Some(user) = find(name)? {
            return Ok(Self::of(user, None));
        }
        if name != "mosquitto" {
            return Err(format!(
                "there is no user '{name}'; write another `user` line"
            ));
        }
        let nobody = find("nobody")?.ok_or("there is neither a user mosquitto nor nobody")?;
        let warning = "There is no user 'mosquitto' on this machine, 'nobody' takes its place; \
                       write `user NAME` for another one.";
        Ok(Self::of(nobody, Some(warning.to_owned())))
    }

    fn of(user: User, warning: Option<String>) -> Self {
        Self {
            name: Some(user.name),
            uid: user.uid,
            gid: user.gid,
            warning,
        }
    }

    /// Gives up root's rights for this account's.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn enter(&self) -> Result<(), String> {
        let name = self.name.as_deref();
        let groups = name.map_or_else(|| vec![self.gid], |name| groups_of(name, self.gid));
        setgroups(&groups)
            .and_then(|()| setgid(self.gid))
            .and_then(|()| setuid(self.uid))
            .map_err(|error| {
                let name = name.map_or_else(|| self.uid.to_string(), str::to_owned);
                format!("cannot become user '{name}': {error}")
            })
    }
}

/// A variable of the environment that isn't empty.
fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}

fn number(name: &str) -> Result<Option<u32>, String> {
    let read = |text: String| {
        text.parse().map_err(|_| {
            format!("{name} is '{text}', not the number of a user or group; correct or unset it")
        })
    };
    variable(name).map(read).transpose()
}

/// The command with which this user makes a folder that `owner` writes to,
/// where root starts the broker.
pub(super) fn folder_command(folder: &Path, owner: Option<&str>) -> String {
    let folder = folder.display();
    match owner.filter(|name| getuid().is_root() && *name != "root" && !name.is_empty()) {
        Some(owner) => format!("install -d -o {owner} {folder}"),
        None => format!("mkdir -p {folder}"),
    }
}

/// The user that the broker runs as, once it has become its [`Account`].
pub(super) fn reader(user: Option<&str>) -> Option<Reader> {
    match user.filter(|name| *name != "root" && !name.is_empty()) {
        Some(name) if getuid().is_root() => Reader::named(name).or_else(|| Reader::named("nobody")),
        _ => Reader::current(),
    }
}

fn find(name: &str) -> Result<Option<User>, String> {
    User::from_name(name).map_err(|error| format!("cannot look up the user '{name}': {error}"))
}
