//! Staying awake while one message comes on the other's heels.
//!
//! Who sleeps must be woken. On a virtual machine that takes tens of
//! microseconds, of the client too, whose write does the waking; where clients
//! wait for answers it is most of what a message costs. So when the workers were
//! woken soon after they had gone to sleep, several times running, they look for
//! what comes next a little while before they sleep again. A broker that has
//! little to do sleeps as ever, and so does one whose clients only connect.
//!
//! While they are awake, what is in no hurry can wait a moment for what will go
//! the same way.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Who sleeps for less than this had better stayed awake; and so long at most
/// the workers look for what comes next.
const SHORT: Duration = Duration::from_micros(100);

/// So many short sleeps running are a habit.
const HABIT: u32 = 8;

/// How long something waits for company, with one look more at what came.
const PATIENCE: Duration = Duration::from_micros(20);

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
    /// Tasks that wait for company, and since when; `None` while the workers may
    /// sleep.
    postponed: Mutex<Option<VecDeque<(Instant, Waker)>>>,
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
            self.begin();
            let mut now = Instant::now();
            let (mut last, mut since) = (self.messages.load(Relaxed), now);
            while now - since < SHORT {
                tokio::task::yield_now().await;
                now = Instant::now();
                self.wake_postponed(now);
                let messages = self.messages.load(Relaxed);
                if messages == last {
                    // Who else wants this processor goes first.
                    std::thread::yield_now();
                } else {
                    (last, since) = (messages, now);
                }
            }
            self.end();
        }
    }

    /// From now on tasks can be postponed.
    pub(super) fn begin(&self) {
        *self.postponed.lock() = Some(VecDeque::new());
    }

    /// Nobody would wake them any more.
    pub(super) fn end(&self) {
        let postponed = self.postponed.lock().take();
        for (_, task) in postponed.into_iter().flatten() {
            task.wake();
        }
    }

    /// Has a task woken in a moment. False: the workers may sleep then.
    pub(super) fn postpone(&self, task: &Waker) -> bool {
        let mut postponed = self.postponed.lock();
        let postponed = postponed.as_mut();
        postponed.is_some_and(|tasks| {
            tasks.push_back((Instant::now(), task.clone()));
            true
        })
    }

    /// How many are postponed.
    #[cfg(test)]
    pub(super) fn postponed(&self) -> usize {
        self.postponed.lock().as_ref().map_or(0, VecDeque::len)
    }

    /// Wakes those who have waited long enough.
    pub(super) fn wake_postponed(&self, now: Instant) {
        let next = || {
            let mut postponed = self.postponed.lock();
            let tasks = postponed.as_mut()?;
            let (since, _) = tasks.front()?;
            let is_due = now.saturating_duration_since(*since) >= PATIENCE;
            is_due.then(|| tasks.pop_front()).flatten()
        };
        while let Some((_, task)) = next() {
            task.wake();
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
        let mut context = std::task::Context::from_waker(Waker::noop());
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

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Task {
        fn woken(&self) -> usize {
            self.0.load(Relaxed)
        }
    }

    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn who_is_postponed_is_woken_soon_and_before_the_workers_sleep() {
        let (linger, task) = (Linger::default(), Arc::new(Task::default()));
        let waker = Waker::from(Arc::clone(&task));
        assert!(!linger.postpone(&waker), "nobody would wake it");
        linger.begin();
        let before = Instant::now();
        assert!(linger.postpone(&waker));
        linger.wake_postponed(before);
        assert_eq!(task.woken(), 0, "it waits for company");
        linger.wake_postponed(Instant::now() + PATIENCE);
        assert_eq!(task.woken(), 1);
        assert!(linger.postpone(&waker));
        linger.end();
        assert_eq!(task.woken(), 2);
        assert!(!linger.postpone(&waker));
    }

    #[test]
    fn the_worker_that_is_awake_wakes_who_is_postponed() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let (linger, task) = (Arc::new(Linger::default()), Arc::new(Task::default()));
        let waker = Waker::from(Arc::clone(&task));
        runtime.expect("a runtime").block_on(async {
            let awake = Arc::clone(&linger);
            tokio::spawn(async move { awake.keep_awake().await });
            linger.habit.notify_one();
            let woken = async {
                while !linger.postpone(&waker) {
                    tokio::task::yield_now().await;
                }
                while task.woken() == 0 {
                    tokio::task::yield_now().await;
                }
            };
            let woken = tokio::time::timeout(Duration::from_secs(5), woken).await;
            assert!(woken.is_ok(), "nobody wakes it");
        });
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
            let is_awake = || linger.postpone(Waker::noop());
            let falls_asleep = async {
                while !is_awake() {
                    tokio::task::yield_now().await;
                }
                while is_awake() {
                    tokio::task::yield_now().await;
                }
            };
            let asleep = tokio::time::timeout(Duration::from_secs(5), falls_asleep).await;
            assert!(asleep.is_ok(), "nobody would wake who is postponed");
            tokio::time::sleep(100 * SHORT).await;
        });
        assert!(sleeps.load(Relaxed) > 0, "it was awake all the time");
    }
}
