//! Everything that happens at a time, in one structure.
//!
//! A timer that lost its meaning (the connection is gone, a packet came in
//! time) is not taken out at once; it is recognised when it fires, or when too
//! many of its kind have gathered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ConnectionId;
use super::session::SessionId;

/// Milliseconds of a monotonic clock that starts wherever its owner likes.
pub type Millis = u64;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    KeepAlive(ConnectionId),
    /// A receiver that doesn't drain stops holding publishers up.
    Stalled(ConnectionId),
    SessionEnd(SessionId),
    Will(SessionId),
    /// Expired retained messages go.
    Retained,
    Sys,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Millis, u64, Timer)>>,
    /// Keeps timers of one instant in the order in which they were set.
    order: u64,
    /// How many timers had a meaning when it was last looked.
    meaningful: usize,
}

/// Timers that are not worth a look.
const FEW: usize = 1024;

impl Timers {
    pub(super) fn set(&mut self, at: Millis, timer: Timer) {
        self.heap.push(Reverse((at, self.order, timer)));
        self.order += 1;
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Whether so many timers were set that most may have lost their meaning.
    /// Some are set for days ahead: clients that come and go would fill the
    /// memory with them.
    pub(super) fn are_many(&self) -> bool {
        self.heap.len() > FEW + 2 * self.meaningful
    }

    /// Forgets the timers for which `keep` is false.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Millis, Timer) -> bool) {
        self.heap
            .retain(|Reverse((at, _, timer))| keep(*at, *timer));
        self.heap.shrink_to(FEW);
        self.meaningful = self.heap.len();
    }

    pub(super) fn pop_due(&mut self, now: Millis) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, timer))| timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_without_meaning_are_forgotten_before_they_fill_the_memory() {
        let mut timers = Timers::default();
        let mut most = 0;
        for at in 0..100_000 {
            timers.set(at + 1_000_000, Timer::Sys);
            if timers.are_many() {
                timers.retain(|at, _| at % 100 == 0);
            }
            most = most.max(timers.heap.len());
        }
        assert!(most <= FEW + 3 * 1000 + 1, "{most}");
        assert_eq!(timers.next(), Some(1_000_000), "what has a meaning stays");
    }
}
