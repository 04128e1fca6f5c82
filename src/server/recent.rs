//! Passwords that were found right a moment ago, so that a thousand devices
//! that come back at once don't cost a thousand hashes.
//!
//! Neither names nor passwords are kept, only a keyed hash of both, whose key
//! no one knows. A password that is wrong is never kept. All of it belongs to
//! one loaded password file and goes with it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// How long a password counts as right without being hashed again.
const LIFE: Duration = Duration::from_secs(60);

/// How many are kept; the oldest goes first.
const CAPACITY: usize = 10_000;

type Tag = [u8; 32];

pub(super) struct Recent {
    keyed: Hmac<Sha256>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    right: HashMap<Tag, Instant>,
    /// The same by age.
    order: VecDeque<(Instant, Tag)>,
    /// Checks that are under way, for all who wait for the same.
    running: HashMap<Tag, Arc<OnceCell<bool>>>,
}

impl Recent {
    /// # Errors
    /// The system gives no random bytes.
    pub(super) fn new() -> io::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
        let keyed = Hmac::new_from_slice(&key).map_err(io::Error::other)?;
        Ok(Self {
            keyed,
            state: Mutex::default(),
        })
    }

    /// Whether the password is right: known from a moment ago, or as `check`
    /// says. Of all who ask the same at once, one runs its `check`; another
    /// takes over when that one gives up.
    pub(super) async fn is_right(
        &self,
        username: &str,
        password: &[u8],
        check: impl Future<Output = bool>,
    ) -> bool {
        let tag = self.tag(username, password);
        let waiting = {
            let mut state = self.state.lock();
            if state.is_right(&tag, Instant::now()) {
                return true;
            }
            Waiting {
                recent: self,
                tag,
                cell: Arc::clone(state.running.entry(tag).or_default()),
            }
        };
        let right = *waiting.cell.get_or_init(|| check).await;
        if right {
            self.state.lock().keep(tag, Instant::now());
        }
        right
    }

    fn tag(&self, username: &str, password: &[u8]) -> Tag {
        let mut hash = self.keyed.clone();
        hash.update(&(username.len() as u64).to_le_bytes());
        hash.update(username.as_bytes());
        hash.update(password);
        hash.finalize().into_bytes().into()
    }
}

impl State {
    fn is_right(&self, tag: &Tag, now: Instant) -> bool {
        self.right.get(tag).is_some_and(|at| now < *at + LIFE)
    }

    /// Keeps a password from its first check on: who comes back all the time
    /// is checked again when its time is over.
    fn keep(&mut self, tag: Tag, now: Instant) {
        while let Some((at, oldest)) = self.order.front()
            && (self.order.len() >= CAPACITY || now >= *at + LIFE)
        {
            self.right.remove(oldest);
            self.order.pop_front();
        }
        if let std::collections::hash_map::Entry::Vacant(place) = self.right.entry(tag) {
            place.insert(now);
            self.order.push_back((now, tag));
        }
    }
}

/// One who waits for a check. The last one takes it off the list.
struct Waiting<'a> {
    recent: &'a Recent,
    tag: Tag,
    cell: Arc<OnceCell<bool>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.recent.state.lock();
        // The list's own, and this one's.
        if Arc::strong_count(&self.cell) <= 2 {
            state.running.remove(&self.tag);
        }
    }
}

/// Nothing of what it holds is for a log.
impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    /// Asks; counts the checks that this takes.
    async fn ask(recent: &Recent, password: &str, verdict: bool, checks: &mut u32) -> bool {
        let check = async {
            *checks += 1;
            verdict
        };
        recent.is_right("ann", password.as_bytes(), check).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_right_is_not_checked_again_for_a_while() {
        let recent = Recent::new().unwrap();
        let mut checks = 0;
        assert!(ask(&recent, "right", true, &mut checks).await);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(ask(&recent, "right", true, &mut checks).await);
        assert_eq!(checks, 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!ask(&recent, "right", false, &mut checks).await);
        assert_eq!(checks, 2);
    }

    #[tokio::test]
    async fn what_is_wrong_is_always_checked() {
        let recent = Recent::new().unwrap();
        let mut checks = 0;
        for _ in 0..3 {
            assert!(!ask(&recent, "wrong", false, &mut checks).await);
        }
        assert!(ask(&recent, "right", true, &mut checks).await);
        assert!(!ask(&recent, "wrong", false, &mut checks).await);
        assert_eq!(checks, 5);
        let state = recent.state.lock();
        assert_eq!((state.right.len(), state.running.len()), (1, 0));
    }

    #[tokio::test]
    async fn name_and_password_are_told_apart() {
        let recent = Recent::new().unwrap();
        assert_ne!(recent.tag("ab", b"c"), recent.tag("a", b"bc"));
        let other = Recent::new().unwrap();
        assert_ne!(recent.tag("a", b"b"), other.tag("a", b"b"));
    }

    #[tokio::test]
    async fn who_asks_the_same_at_once_waits_for_one_check() {
        let recent = Arc::new(Recent::new().unwrap());
        let (checks, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let ask = |verdict| {
            let (recent, checks, go) = (Arc::clone(&recent), Arc::clone(&checks), Arc::clone(&go));
            tokio::spawn(async move {
                let check = async {
                    checks.fetch_add(1, Ordering::Relaxed);
                    go.notified().await;
                    verdict
                };
                recent.is_right("ann", b"x", check).await
            })
        };
        let first = ask(true);
        let others: Vec<_> = (0..100).map(|_| ask(true)).collect();
        while Arc::strong_count(&recent) < 102
            || recent
                .state
                .lock()
                .running
                .values()
                .map(Arc::strong_count)
                .sum::<usize>()
                < 102
        {
            tokio::task::yield_now().await;
        }
        // The one who checks goes away: another takes over.
        first.abort();
        let _ = first.await;
        while checks.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        for other in others {
            assert!(other.await.unwrap());
        }
        assert_eq!(checks.load(Ordering::Relaxed), 2);
        assert!(recent.state.lock().running.is_empty());
    }

    #[test]
    fn the_oldest_goes_first() {
        let mut state = State::default();
        let start = Instant::now();
        let tag = |number: usize| {
            let mut tag = [0; 32];
            tag[..8].copy_from_slice(&number.to_le_bytes());
            tag
        };
        for number in 0..=CAPACITY {
            state.keep(tag(number), start);
        }
        assert_eq!((state.right.len(), state.order.len()), (CAPACITY, CAPACITY));
        assert!(!state.is_right(&tag(0), start) && state.is_right(&tag(1), start));
        state.keep(tag(1), start + LIFE);
        assert_eq!((state.right.len(), state.order.len()), (1, 1));
        assert!(state.is_right(&tag(1), start + LIFE));
    }
}
