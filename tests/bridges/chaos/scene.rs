//! What those who take part know of each other.

use std::collections::HashMap;
use std::thread;

use super::{PATIENCE, Stream};
use crate::common::output::Watched;

/// Messages of a stream that are on their way at most, so that those who
/// publish wait for the bridge.
const AHEAD: u64 = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Of the broker that has the bridge.
    Near,
    Far,
}

pub(crate) struct Scene {
    ports: [u16; 2],
    state: Watched<State>,
}

#[derive(Default)]
struct State {
    is_up: [bool; 2],
    /// How many messages were published, and how many came over the bridge, by
    /// topic.
    streams: HashMap<String, (u64, u64)>,
    /// No new messages are published.
    is_closing: bool,
    /// Somebody has panicked.
    is_over: bool,
}

impl State {
    fn has_room(&self, stream: Stream, published: u64) -> bool {
        let delivered = self.streams.get(stream.topic).map_or(0, |(_, d)| *d);
        !self.is_closing && published < delivered + AHEAD
    }

    fn delivered(&self) -> u64 {
        self.streams.values().map(|(_, delivered)| delivered).sum()
    }
}

/// Ends the scene for all when who has it panics.
pub(crate) struct Guard<'a>(&'a Scene);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.state.update(|state| state.is_over = true);
        }
    }
}

impl Scene {
    pub(crate) fn new(near: u16, far: u16) -> Self {
        let ports = [near, far];
        let state = Watched::default();
        Self { ports, state }
    }

    pub(crate) fn guard(&self) -> Guard<'_> {
        Guard(self)
    }

    pub(crate) fn port(&self, side: Side) -> u16 {
        self.ports[side as usize]
    }

    pub(crate) fn set_up(&self, side: Side, is_up: bool) {
        self.state
            .update(|state| state.is_up[side as usize] = is_up);
    }

    /// Waits for something; `None`: the scene is over.
    fn wait<R>(&self, mut look: impl FnMut(&State) -> Option<R>) -> Option<R> {
        let found = self.state.wait(PATIENCE, |state| {
            if state.is_over {
                return Some(None);
            }
            look(state).map(Some)
        });
        found.expect("it gets on")
    }

    /// Waits until a broker is there. False: the scene is over.
    pub(crate) fn wait_up(&self, side: Side) -> bool {
        self.wait(|state| state.is_up[side as usize].then_some(()))
            .is_some()
    }

    /// Whether the next message of a stream may be published now.
    pub(crate) fn may_publish(&self, stream: Stream, published: u64) -> bool {
        self.state.read(|state| state.has_room(stream, published))
    }

    /// Waits until it may. False: there is none.
    pub(crate) fn wait_to_publish(&self, stream: Stream, published: u64) -> bool {
        let may = self.wait(|state| {
            let has_room = state.has_room(stream, published);
            (has_room || state.is_closing).then_some(has_room)
        });
        may.unwrap_or(false)
    }

    pub(crate) fn published(&self, stream: Stream, count: u64) {
        self.state.update(|state| {
            state.streams.entry(stream.topic.to_owned()).or_default().0 = count;
        });
    }

    /// Messages of a topic before that number came over the bridge.
    pub(crate) fn delivered(&self, topic: &str, before: u64) {
        self.state.update(|state| {
            let (_, delivered) = state.streams.entry(topic.to_owned()).or_default();
            *delivered = before.max(*delivered);
        });
    }

    /// Waits until so many more messages came over the bridge.
    pub(crate) fn wait_for_deliveries(&self, count: u64) {
        let enough = self.state.read(State::delivered) + count;
        self.wait(|state| (state.delivered() >= enough).then_some(()))
            .expect("nobody panics");
    }

    /// Waits until all streams have so many messages on their way that nobody
    /// publishes.
    pub(crate) fn wait_for_standstill(&self) {
        self.wait(|state| {
            let mut streams = state.streams.values();
            let stands = streams.all(|(published, delivered)| *published >= delivered + AHEAD);
            stands.then_some(())
        })
        .expect("nobody panics");
    }

    /// No new messages from now on.
    pub(crate) fn close(&self) {
        self.state.update(|state| state.is_closing = true);
    }

    /// How many messages of a stream were published.
    pub(crate) fn count(&self, stream: Stream) -> u64 {
        self.state
            .read(|state| state.streams.get(stream.topic).map_or(0, |(p, _)| *p))
    }
}
