//! What `server/connection.rs` does with a core, without sockets and tasks.

use std::collections::VecDeque;
use std::sync::Arc;

use moustique::broker::{
    Batch, ConnectionId, Core, Decision, Ended, Millis, Policy, Settings, Work,
};
use moustique::codec::{Connect, Frame, Version};

use super::judge::Judge;

pub(super) struct Shell {
    core: Core,
    now: Millis,
    policy: Arc<Policy>,
    max_packet_size: u32,
    max_inflight: u16,
    keeps_time: bool,
    lines: [Option<Line>; 4],
    nonce: u128,
    seen: Vec<u8>,
}

/// One connection.
struct Line {
    id: ConnectionId,
    judge: Judge,
    version: Version,
    greeting: bool,
    /// Bytes that the client has sent and nobody has read yet.
    input: Vec<u8>,
    /// The client reads nothing, so nothing is taken from the outbox.
    blocked: bool,
    paused: bool,
    closing: bool,
}

impl Shell {
    pub(super) fn new(settings: Settings, policy: Policy) -> Self {
        let (max_packet_size, max_inflight) =
            (settings.max_packet_size, settings.max_inflight_messages);
        let keeps_time = settings.sys_interval > 0 || settings.retain_expiry_interval.is_some();
        Self {
            core: Core::new(settings, 0),
            now: 0,
            policy: Arc::new(policy),
            max_packet_size,
            max_inflight,
            keeps_time,
            lines: [const { None }; 4],
            nonce: 0,
            seen: Vec::new(),
        }
    }

    /// The version that a connection speaks.
    pub(super) fn version(&self, line: usize) -> Version {
        self.lines[line]
            .as_ref()
            .map_or(Version::V5, |line| line.version)
    }

    /// The client sends bytes; its connection is made if there is none.
    pub(super) fn append(&mut self, index: usize, bytes: &[u8]) {
        let (core, policy) = (&mut self.core, &self.policy);
        let line = self.lines[index].get_or_insert_with(|| Line {
            id: core.open(self.now, Arc::clone(policy), "fuzz"),
            judge: Judge::new(self.max_inflight),
            version: Version::V5,
            greeting: true,
            input: Vec::new(),
            blocked: false,
            paused: false,
            closing: false,
        });
        // Far more than a socket's buffer is no new case.
        if line.input.len() < 400_000 {
            line.input.extend_from_slice(bytes);
        }
    }

    /// The server reads what the client has sent.
    pub(super) fn feed(&mut self, index: usize) {
        self.take(index);
        let Some(line) = &mut self.lines[index] else {
            return;
        };
        if line.closing || line.paused {
            return;
        }
        if line.greeting && !self.greet(index) {
            return;
        }
        let Some(line) = &mut self.lines[index] else {
            return;
        };
        let input = std::mem::take(&mut line.input);
        let batch = Batch::decode(&input, line.version, self.max_packet_size);
        line.input.extend_from_slice(&input[batch.consumed()..]);
        if batch.is_empty() {
            return;
        }
        line.judge
            .client_sent(&input[..batch.consumed()], line.version);
        let id = line.id;
        self.core.receive(self.now, id, &batch);
        self.take(index);
    }

    /// Handles CONNECT. False: that was all for now.
    fn greet(&mut self, index: usize) -> bool {
        let Some(line) = &mut self.lines[index] else {
            return false;
        };
        let (id, now) = (line.id, self.now);
        let Some(first) = line.input.first() else {
            return false;
        };
        if first >> 4 != 1 {
            self.core.refuse_silently(now, id, "no CONNECT");
            line.greeting = false;
            return true;
        }
        let frame = match Frame::split(&line.input, self.max_packet_size as usize) {
            Err(error) => {
                self.core.refuse_silently(now, id, error.what);
                line.greeting = false;
                return true;
            }
            Ok(None) => return false,
            Ok(Some(frame)) => frame,
        };
        let length = frame.bytes.len();
        line.greeting = false;
        match Connect::decode(frame) {
            Err(refused) => {
                line.judge.refused(&refused);
                self.core.refuse_connect(now, id, &refused);
            }
            Ok(connect) => {
                let denied = connect.password == Some(b"wrong".as_slice());
                let decision = [Decision::Allowed, Decision::Denied][usize::from(denied)];
                line.version = connect.version;
                line.judge.greeted(&connect);
                self.nonce += 1;
                self.core.connect(now, id, &connect, decision, self.nonce);
            }
        }
        line.input.drain(..length);
        true
    }

    /// The connection's outbox is written, unless its client reads nothing.
    fn take(&mut self, index: usize) {
        let Some(line) = self.lines[index].as_mut().filter(|line| !line.blocked) else {
            return;
        };
        loop {
            let work = self.core.take(self.now, line.id);
            let gone = work.is_none();
            let Work {
                bytes,
                more,
                pause,
                close,
                // Nobody comes in by a method here.
                proof: _,
            } = work.unwrap_or_default();
            self.seen.push(index as u8);
            self.seen.extend_from_slice(&bytes);
            line.judge.server_sent(&bytes);
            assert!(!more || !bytes.is_empty(), "more, but nothing now");
            self.core.give_back(bytes);
            line.paused = pause;
            line.closing = close || gone;
            if line.closing {
                self.core.closed(self.now, line.id, &Ended::ByClient);
                self.lines[index] = None;
                return;
            }
            if !more {
                return;
            }
        }
    }

    /// The client's end of the connection goes away.
    pub(super) fn cut(&mut self, index: usize, broken: bool) {
        if let Some(line) = self.lines[index].take() {
            let ended = if broken {
                Ended::Broken("cut".into())
            } else {
                Ended::ByClient
            };
            self.core.closed(self.now, line.id, &ended);
        }
    }

    /// The client stops reading, or goes on with it.
    pub(super) fn block(&mut self, index: usize) {
        if let Some(line) = &mut self.lines[index] {
            line.blocked = !line.blocked;
            if !line.blocked {
                self.take(index);
            }
        }
    }

    /// Time passes. Not all that is due has to happen at its moment: a busy
    /// machine, or one that sleeps, comes late.
    pub(super) fn wait(&mut self, duration: Millis) {
        let end = self.now + duration;
        for _ in 0..4 {
            match self.core.next_deadline() {
                Some(deadline) if deadline <= end => {
                    self.now = self.now.max(deadline);
                    self.core.tick(self.now);
                    self.settle();
                }
                _ => break,
            }
        }
        self.now = end;
        self.core.tick(end);
        let next = self.core.next_deadline();
        assert!(
            next.is_none_or(|next| next > end),
            "a tick leaves nothing due"
        );
    }

    /// Everything that the core asks for is done, until it asks for nothing.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            let effects = self.core.effects();
            for (_, line) in effects.log.drain(..) {
                self.seen.extend_from_slice(line.as_bytes());
            }
            let woken: VecDeque<_> = effects.wake.drain(..).collect();
            if woken.is_empty() {
                return;
            }
            for id in woken {
                let of_id = |line: &Option<Line>| line.as_ref().is_some_and(|line| line.id == id);
                let Some(index) = self.lines.iter().position(of_id) else {
                    continue;
                };
                let was_paused = self.lines[index].as_ref().is_some_and(|line| line.paused);
                self.take(index);
                // What was not read while it was paused is read now.
                let goes_on = |line: &Line| was_paused && !line.paused && !line.input.is_empty();
                if self.lines[index].as_ref().is_some_and(goes_on) {
                    self.feed(index);
                }
            }
        }
        panic!("the core asks for something without end");
    }

    /// Ends everything; returns what was seen.
    pub(super) fn finish(mut self) -> Vec<u8> {
        for index in 0..self.lines.len() {
            if self.lines[index].as_ref().is_some_and(|line| line.blocked) {
                self.block(index);
            }
        }
        self.settle();
        for index in 0..self.lines.len() {
            let before = self.seen.len();
            self.take(index);
            if let Some(line) = &self.lines[index] {
                assert_eq!(
                    self.seen.len(),
                    before + 1,
                    "bytes that nobody was woken for"
                );
                assert!(!line.paused, "nobody is left to wait for");
                line.judge.at_rest();
            } else {
                assert_eq!(self.seen.len(), before, "an end that nobody was woken for");
            }
        }
        self.wait(1000);
        self.settle();
        self.core.shut_down(self.now);
        self.settle();
        assert!(
            self.lines.iter().all(Option::is_none),
            "all connections end"
        );
        self.wait(1 << 45);
        assert_eq!(
            self.core.next_deadline().is_some(),
            self.keeps_time,
            "nothing is due any more"
        );
        self.seen
    }
}
