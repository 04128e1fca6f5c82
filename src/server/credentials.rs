//! Who may come in: user names, passwords, anonymous clients.

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::auth::{LoadError, PasswordFile, Verdict};
use crate::broker::Decision;
use crate::codec::Connect;
use crate::config::Security;

/// What one listener asks of its clients.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    allow_anonymous: bool,
    users: Option<Arc<PasswordFile>>,
    /// Password hashes cost time and memory on purpose: so many at once, for
    /// all listeners together.
    hashing: Arc<Semaphore>,
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
        let users = security
            .password_file
            .as_deref()
            .map(PasswordFile::load)
            .transpose()?;
        Ok(Self {
            allow_anonymous: security.allow_anonymous,
            users: users.map(Arc::new),
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

    /// Whether a client that `before` let in by `decision` may stay.
    pub(super) fn keep(&self, before: &Self, username: Option<&str>, decision: Decision) -> bool {
        let anonymous = || self.allow_anonymous;
        match (decision, username, &self.users) {
            (Decision::Verified, Some(name), Some(users)) => before
                .users
                .as_ref()
                .is_some_and(|old| users.contains(name) && users.agrees(old, name)),
            // Its password was never looked at.
            (Decision::Allowed, Some(_), Some(_)) => false,
            _ => anonymous(),
        }
    }

    /// Decides about a CONNECT. Hashing happens on a thread of its own kind,
    /// so that messages go on meanwhile.
    pub(super) async fn check(&self, connect: &Connect<'_>) -> Decision {
        let (Some(users), Some(username)) = (&self.users, connect.username) else {
            return if self.allow_anonymous {
                Decision::Allowed
            } else {
                Decision::Denied
            };
        };
        let Some(password) = connect.password else {
            return Decision::Denied;
        };
        let (users, username, password) =
            (Arc::clone(users), username.to_owned(), password.to_owned());
        let Ok(permit) = Arc::clone(&self.hashing).acquire_owned().await else {
            return Decision::Denied;
        };
        let verdict = tokio::task::spawn_blocking(move || {
            // Here, because the thread goes on where nobody waits any more.
            let _permit = permit;
            users.verify(&username, &password)
        })
        .await;
        match verdict {
            Ok(Verdict::Accepted) => Decision::Verified,
            _ => Decision::Denied,
        }
    }
}
