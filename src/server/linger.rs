//! Staying awake while one message comes on the other's heels.
//!
//! Who sleeps must be woken. On a virtual machine that takes tens of
//! microseconds, of the client too, whose write does the waking; where clients
//! wait for answers it is most of what a message costs. So when the workers were
//! woken soon after they had gone to sleep, several times running, they look for
//! what comes next a little while before they sleep again. A broker that has
//! little to do sleeps as ever.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Who sleeps for less than this had better stayed awake; and so long at most
/// the workers look for what comes next.
const SHORT: Duration = Duration::from_micros(100);

/// So many short sleeps running are a habit.
const HABIT: u32 = 8;

thread_local! {
    static ASLEEP_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What the workers of a runtime know about their sleep.
#[derive(Debug, Default)]
pub(super) struct Linger {
    /// Short sleeps, one after the other.
    short: AtomicU32,
    /// How often something happened.
    events: AtomicU64,
    habit: Notify,
}

impl Linger {
    /// A worker goes to sleep.
    pub(super) fn sleep() {
        ASLEEP_SINCE.set(Some(Instant::now()));
    }

    /// A worker was woken.
    pub(super) fn wake(&self) {
        if ASLEEP_SINCE
            .take()
            .is_some_and(|since| since.elapsed() < SHORT)
        {
            self.short.fetch_add(1, Relaxed);
        } else {
            self.short.store(0, Relaxed);
        }
    }

    /// Something happened that others may follow.
    pub(super) fn event(&self) {
        self.events.fetch_add(1, Relaxed);
        if self.short.load(Relaxed) >= HABIT {
            self.short.store(0, Relaxed);
            self.habit.notify_one();
        }
    }

    /// Keeps a worker awake while that is worthwhile. Never ends by itself.
    pub(super) async fn keep_awake(&self) {
        loop {
            self.habit.notified().await;
            let (mut last, mut since) = (self.events.load(Relaxed), Instant::now());
            while since.elapsed() < SHORT {
                // Who else wants this processor goes first.
                std::thread::yield_now();
                tokio::task::yield_now().await;
                let events = self.events.load(Relaxed);
                if events != last {
                    (last, since) = (events, Instant::now());
                }
            }
        }
    }
}
