//! Who may come in: user names, passwords, anonymous clients.

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::recent::Recent;
use crate::auth::{LoadError, PasswordFile, Verdict};
use crate::broker::{Decision, Grounds};
use crate::config::Security;

/// What one listener asks of its clients.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    allow_anonymous: bool,
    users: Option<Arc<Users>>,
    /// Password hashes cost time and memory on purpose: so many at once, for
    /// all listeners together.
    hashing: Arc<Semaphore>,
}

/// A password file as it was loaded, with the passwords of it that were found
/// right of late.
#[derive(Debug)]
struct Users {
    file: PasswordFile,
    recent: Recent,
}

/// How many passwords may be checked at once.
pub(super) fn hashing() -> Arc<Semaphore> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Arc::new(Semaphore::new(cores))
}

impl Credentials {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// A password file that cannot be read, or has lines that make no sense.
    pub(super) fn load(security: &Security, hashing: Arc<Semaphore>) -> Result<Self, LoadError> {
        let users = match &security.password_file {
            None => None,
            Some(path) => Some(Arc::new(Users::new(PasswordFile::load(path)?)?)),
        };
        Ok(Self {
            allow_anonymous: security.allow_anonymous,
            users,
            hashing,
        })
    }

    /// Everybody may come in: clients within the process.
    pub(super) fn trusting() -> Self {
        Self {
            allow_anonymous: true,
            users: None,
            hashing: hashing(),
        }
    }

    /// Whether a client that `before` let in by `grounds` may stay.
    pub(super) fn keep(&self, before: &Self, username: Option<&str>, grounds: Grounds) -> bool {
        match (grounds, username, &self.users) {
            // That is no listener's business.
            (Grounds::Method, ..) => true,
            (Grounds::Password, Some(name), Some(users)) => {
                let before = before.users.as_ref();
                before.is_some_and(|old| {
                    users.file.contains(name) && users.file.agrees(&old.file, name)
                })
            }
            // Its password was never looked at.
            (Grounds::None, Some(_), Some(_)) => false,
            _ => self.allow_anonymous,
        }
    }

    /// The bound on slow work.
    pub(super) fn hashing(&self) -> &Arc<Semaphore> {
        &self.hashing
    }

    /// Decides about the user name and password of a CONNECT. While it waits it
    /// keeps nothing but these.
    pub(super) async fn check(
        &self,
        username: Option<&str>,
        password: Option<&[u8]>,
    ) -> Decision<'static> {
        let (is_right, decision) = match (&self.users, username, password) {
            (Some(users), Some(username), Some(password)) => {
                let check = self.hash(users, username, password);
                let is_right = users.recent.is_right(username, password, check).await;
                (is_right, Decision::Verified)
            }
            (Some(_), Some(_), None) => (false, Decision::Denied),
            _ => (self.allow_anonymous, Decision::Allowed),
        };
        if is_right { decision } else { Decision::Denied }
    }

    /// Asks the file. Hashing happens on a thread of its own kind, so that
    /// messages go on meanwhile.
    async fn hash(&self, users: &Arc<Users>, username: &str, password: &[u8]) -> bool {
        let Ok(permit) = Arc::clone(&self.hashing).acquire_owned().await else {
            return false;
        };
        let (users, username, password) =
            (Arc::clone(users), username.to_owned(), password.to_owned());
        let verdict = tokio::task::spawn_blocking(move || {
            // Here, because the thread goes on where nobody waits any more.
            let _permit = permit;
            users.file.verify(&username, &password)
        })
        .await;
        matches!(verdict, Ok(Verdict::Accepted))
    }
}

impl Users {
    fn new(file: PasswordFile) -> Result<Self, LoadError> {
        let recent = Recent::new().map_err(|error| LoadError::Read {
            file: "random bytes from the system".into(),
            error,
        })?;
        Ok(Self { file, recent })
    }
}
