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
}

impl Timers {
    pub(super) fn set(&mut self, at: Millis, timer: Timer) {
        self.heap.push(Reverse((at, self.order, timer)));
        self.order += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Keeps the timers that still mean something.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Millis, Timer) -> bool) {
        self.heap
            .retain(|Reverse((at, _, timer))| keep(*at, *timer));
    }

    pub(super) fn next(&self) -> Option<Millis> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn pop_due(&mut self, now: Millis) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, timer))| timer)
    }
}
