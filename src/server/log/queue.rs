//! Lines on their way to the thread that writes them.
//!
//! Whoever logs never waits for a terminal, a pipe or a disk: when the queue is
//! full lines are counted instead of kept, and the count is written in their
//! place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::destinations::Destinations;
use super::form::Form;
use crate::config::LogType;

/// What may wait, in bytes.
const LIMIT: usize = 1024 * 1024;

/// What an entry weighs beside its text.
const OVERHEAD: usize = 64;

/// A line in its final form.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: LogType,
    /// With the line end.
    pub(super) line: String,
    /// Where the message begins: behind the time.
    pub(super) message: usize,
}

/// What the writer does, in order.
#[derive(Debug)]
pub(super) enum Item {
    Line(Entry),
    /// Write to these from now on.
    Change(Destinations),
    /// Open the files anew, after somebody moved them away.
    Reopen(Arc<Form>),
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// Something was written.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// What waits and what is being written.
    bytes: usize,
    /// Lines that found the queue full since the last that didn't.
    lost: u64,
    closed: bool,
    /// The writer has come to the end.
    ended: bool,
}

impl Queue {
    /// Adds a line, or counts it where there is no room. `note` makes the line
    /// that tells how many were lost before this one.
    pub(super) fn push(&self, entry: Entry, note: impl FnOnce(u64) -> Entry) {
        let mut state = self.state.lock();
        if state.bytes + entry.weight() > LIMIT {
            state.lost += 1;
            return;
        }
        state.tell_lost(note);
        state.add(entry);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until there is room for another line, at most `patience`.
    pub(super) fn wait_for_room(&self, patience: Duration) {
        let mut state = self.state.lock();
        if state.bytes > LIMIT / 2 {
            let full = |state: &mut State| state.bytes > LIMIT / 2;
            self.written.wait_while_for(&mut state, full, patience);
        }
    }

    /// Adds what is no line; there is always room for it.
    pub(super) fn command(&self, item: Item) {
        self.state.lock().items.push_back(item);
        self.filled.notify_one();
    }

    /// All that waits, once there is something. `None`: the end.
    pub(super) fn take(&self) -> Option<VecDeque<Item>> {
        let mut state = self.state.lock();
        self.filled
            .wait_while(&mut state, |state| state.items.is_empty() && !state.closed);
        if state.items.is_empty() {
            state.ended = true;
            drop(state);
            self.written.notify_all();
            return None;
        }
        Some(std::mem::take(&mut state.items))
    }

    /// Notes that lines of this weight are written.
    pub(super) fn done(&self, weight: usize) {
        self.state.lock().bytes -= weight;
        self.written.notify_all();
    }

    /// Nothing follows.
    pub(super) fn close(&self, note: impl FnOnce(u64) -> Entry) {
        let mut state = self.state.lock();
        state.tell_lost(note);
        state.closed = true;
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until the writer has come to the end, at most `patience`.
    pub(super) fn wait_for_end(&self, patience: Duration) {
        let mut state = self.state.lock();
        let goes_on = |state: &mut State| !state.ended;
        self.written.wait_while_for(&mut state, goes_on, patience);
    }
}

impl State {
    fn tell_lost(&mut self, note: impl FnOnce(u64) -> Entry) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            self.add(note(lost));
        }
    }

    fn add(&mut self, entry: Entry) {
        self.bytes += entry.weight();
        self.items.push_back(Item::Line(entry));
    }
}

impl Entry {
    pub(super) fn weight(&self) -> usize {
        self.line.len() + OVERHEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: String) -> Entry {
        Entry {
            kind: LogType::Notice,
            line,
            message: 0,
        }
    }

    fn lines(items: VecDeque<Item>) -> Vec<String> {
        let line = |item| match item {
            Item::Line(entry) => entry.line,
            other => panic!("{other:?}"),
        };
        items.into_iter().map(line).collect()
    }

    #[test]
    fn what_finds_no_room_is_told_in_its_place() {
        let queue = Queue::default();
        let push = |line| queue.push(entry(line), |lost| entry(format!("{lost} lost")));
        let big = "x".repeat(LIMIT / 2);
        push(big.clone());
        for _ in 0..7 {
            push(big.clone());
        }
        push("small".into());
        let first = queue.take().unwrap();
        let weight = big.len() + OVERHEAD;
        assert_eq!(lines(first), [&*big, "7 lost", "small"]);
        push(big.clone());
        queue.done(weight + 2 * OVERHEAD + 11);
        push(big.clone());
        queue.close(|_| panic!("nothing more is lost"));
        assert_eq!(lines(queue.take().unwrap()), ["1 lost", &*big]);
        assert!(queue.take().is_none());
        queue.wait_for_end(Duration::ZERO);
    }

    #[test]
    fn what_is_lost_at_the_end_is_told_too() {
        let queue = Queue::default();
        queue.push(entry("x".repeat(2 * LIMIT)), |_| panic!("not yet"));
        queue.close(|lost| entry(format!("{lost} lost")));
        assert_eq!(lines(queue.take().unwrap()), ["1 lost"]);
    }
}
