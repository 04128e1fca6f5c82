//! Staying awake while one message comes on the other's heels.
//!
//! Who sleeps must be woken. On a virtual machine that takes tens of
//! microseconds, of the client too, whose write does the waking; where clients
//! wait for answers it is most of what a message costs. So when the workers were
//! woken soon after they had gone to sleep, several times running, they look for
//! what comes next a little while before they sleep again. A broker that has
//! little to do sleeps as ever, and so does one whose clients only connect.

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
    /// How often messages or their acknowledgements came.
    messages: AtomicU64,
    habit: Notify,
}

impl Linger {
    /// A worker goes to sleep.
    pub(super) fn sleep() {
        ASLEEP_SINCE.set(Some(Instant::now()));
    }

    /// A worker was woken.
    pub(super) fn wake(&self) {
        if let Some(since) = ASLEEP_SINCE.take() {
            self.slept(since.elapsed());
        }
    }

    fn slept(&self, span: Duration) {
        if span < SHORT {
            self.short.fetch_add(1, Relaxed);
        } else {
            self.short.store(0, Relaxed);
        }
    }

    /// A message or an acknowledgement came, which others may follow.
    pub(super) fn message(&self) {
        self.messages.fetch_add(1, Relaxed);
        if self.short.load(Relaxed) >= HABIT {
            self.short.store(0, Relaxed);
            self.habit.notify_one();
        }
    }

    /// Keeps a worker awake while that is worthwhile. Never ends by itself.
    pub(super) async fn keep_awake(&self) {
        loop {
            self.habit.notified().await;
            let (mut last, mut since) = (self.messages.load(Relaxed), Instant::now());
            while since.elapsed() < SHORT {
                tokio::task::yield_now().await;
                let messages = self.messages.load(Relaxed);
                if messages == last {
                    // Who else wants this processor goes first.
                    std::thread::yield_now();
                } else {
                    (last, since) = (messages, Instant::now());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn is_called(linger: &Linger) -> bool {
        linger.message();
        let mut called = std::pin::pin!(linger.habit.notified());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        called.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn short_sleeps_one_after_the_other_are_a_habit() {
        let linger = Linger::default();
        for _ in 1..HABIT {
            linger.slept(SHORT / 2);
        }
        assert!(!is_called(&linger), "one is missing");
        linger.slept(SHORT);
        for _ in 1..HABIT {
            linger.slept(SHORT / 2);
        }
        assert!(!is_called(&linger), "a long one was between them");
        linger.slept(SHORT / 2);
        assert!(is_called(&linger));
        assert!(!is_called(&linger), "it has to be seen anew");
    }

    #[test]
    fn a_worker_sleeps_when_nothing_comes_any_more() {
        let sleeps = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sleeps);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .on_thread_park(move || _ = count.fetch_add(1, Relaxed))
            .build();
        let linger = Arc::new(Linger::default());
        runtime.expect("a runtime").block_on(async {
            let awake = Arc::clone(&linger);
            tokio::spawn(async move { awake.keep_awake().await });
            linger.habit.notify_one();
            tokio::time::sleep(100 * SHORT).await;
        });
        assert!(sleeps.load(Relaxed) > 0, "it was awake all the time");
    }
}
