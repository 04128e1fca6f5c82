//! A broker with its store, and connections to it whose bytes the test moves.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::broker::{Batch, ConnectionId, Core, Decision, Ended, Group, Policy, Settings};
use crate::codec::{Connect, Frame, Packet, Side, Version};
use crate::store::{Memory, Store};

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

/// A connection to a broker, with the bytes that are on their way.
pub(super) struct Line {
    pub(super) id: ConnectionId,
    pub(super) version: Version,
    pub(super) upward: Vec<u8>,
    pub(super) downward: Vec<u8>,
    /// The broker has ended it.
    pub(super) over: bool,
}

impl Line {
    pub(super) fn put(&mut self, packet: &Packet<'_>) {
        packet.encode(self.version, &mut self.upward);
    }

    /// The bytes of the next whole packet that came.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let frame = Frame::split(&self.downward, usize::MAX).unwrap()?;
        let length = frame.bytes.len();
        Some(self.downward.drain(..length).collect())
    }
}

pub(super) fn decode(bytes: &[u8], version: Version) -> Packet<'_> {
    let frame = Frame::split(bytes, usize::MAX).unwrap().unwrap();
    Packet::decode(frame, version, Side::Server).unwrap()
}

/// A broker and its store.
pub(super) struct Broker {
    pub(super) core: Core,
    pub(super) store: Memory,
    groups: VecDeque<Group>,
    pub(super) now: u64,
    starts: u64,
    /// Near or far.
    number: u64,
    /// Whether it stamps what goes to bridges.
    stamps: bool,
}

impl Broker {
    pub(super) fn new(number: usize, stamps: bool) -> Self {
        let mut broker = Self {
            core: core(),
            store: Memory::new(),
            groups: VecDeque::new(),
            now: 0,
            starts: 0,
            number: number as u64,
            stamps,
        };
        broker.start();
        broker
    }

    pub(super) fn start(&mut self) {
        self.core = core();
        self.now = 0;
        self.starts += 1;
        if self.stamps {
            self.core.set_origin(self.starts << 8 | self.number);
        }
        let recovered = self.store.recover().unwrap();
        self.core.restore(0, self.starts * 1_000_000, recovered);
    }

    /// The power fails. Of what was given to the store and not yet to the
    /// disk, nobody knows how much is there.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let count = random.below(self.groups.len() + 1);
        for group in self.groups.drain(..).take(count) {
            self.store.commit(&group.records).unwrap();
        }
        self.store.crash(random.below(count + 1));
        self.start();
    }

    /// It ends and keeps nothing.
    pub(super) fn lose_all(&mut self) {
        self.groups.clear();
        self.store = Memory::new();
        self.start();
    }

    pub(super) fn gather(&mut self) -> bool {
        let group = self
            .core
            .take_group(self.now, self.starts * 1_000_000 + self.now);
        let is_some = group.is_some();
        self.groups.extend(group);
        is_some
    }

    pub(super) fn commit(&mut self) -> bool {
        let Some(group) = self.groups.pop_front() else {
            return false;
        };
        self.store.commit(&group.records).unwrap();
        self.store.sync().unwrap();
        self.core.committed(self.now, group.number);
        for read in group.reads {
            let queued = self.store.read_queue(read.number, read.from, read.portion);
            self.core.queue_read(self.now, read, &queued.unwrap());
        }
        true
    }

    pub(super) fn connect(&mut self, policy: Policy, connect: &Connect<'_>) -> Line {
        self.now += 1;
        let id = self.core.open(self.now, Arc::new(policy), "simulated");
        self.core
            .connect(self.now, id, connect, Decision::Allowed, 0);
        Line {
            id,
            version: connect.version,
            upward: Vec::new(),
            downward: Vec::new(),
            over: false,
        }
    }

    /// Lets the broker read so many of the bytes on their way to it.
    pub(super) fn read(&mut self, line: &mut Line, count: usize) -> bool {
        let batch = Batch::decode(&line.upward[..count], line.version, u32::MAX);
        let consumed = batch.consumed();
        if !batch.is_empty() {
            self.core.receive(self.now, line.id, &batch);
        }
        line.upward.drain(..consumed);
        consumed > 0
    }

    pub(super) fn write(&mut self, line: &mut Line) -> bool {
        let Some(work) = self.core.take(self.now, line.id) else {
            line.over = true;
            return false;
        };
        line.downward.extend_from_slice(&work.bytes);
        line.over |= work.close;
        !work.bytes.is_empty() || work.more
    }

    /// The connection breaks; some of what is on its way arrives.
    pub(super) fn cut(&mut self, mut line: Line, random: &mut Random) {
        let count = random.below(line.upward.len() + 1);
        self.read(&mut line, count);
        self.core.closed(self.now, line.id, &Ended::ByClient);
    }
}

pub(super) fn core() -> Core {
    let settings = Settings {
        sys_interval: 0,
        max_queued_messages: usize::MAX,
        max_inflight_messages: 6,
        ..Settings::default()
    };
    Core::new(settings, 0)
}
