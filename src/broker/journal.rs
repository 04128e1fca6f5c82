//! What must be stored before its answer may leave, and the answers that wait.
//!
//! The core gathers records in numbered groups. The shell takes a group,
//! commits it, and tells up to which number everything is safe. Without
//! persistence nothing is gathered and nothing waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::ConnectionId;
use super::durable::ReadQueue;
use super::timers::Millis;
use crate::store::{Publication, Record, WallMillis};

/// What may wait to be committed, in bytes, before publishers pause.
const BACKLOG: usize = 32 * 1024 * 1024;

/// The records of the group that is being gathered.
#[derive(Debug, Default)]
pub(super) struct Journal {
    on: bool,
    records: Vec<Record>,
    /// What the records weigh in bytes, roughly.
    weight: usize,
    /// Groups that were taken. The one that is being gathered is the next.
    taken: u64,
    committed: u64,
    /// The group in which the packet that is being handled made something
    /// durable: its answer waits for that.
    promised: u64,
    /// Connections that hold something back, by the group that it waits for.
    waiting: VecDeque<(u64, ConnectionId)>,
    /// Parts of queues that are to be read from the store.
    pub(super) reads: Vec<ReadQueue>,
    /// The store's clock at our instant 0, and when it is noted again.
    pub(super) wall_base: WallMillis,
    pub(super) clock_due: Millis,
    /// The number of the next session that is stored.
    pub(super) next_session: u64,
    /// The filters of shared subscriptions by the numbers of their groups.
    pub(super) group_filters: HashMap<u32, Arc<str>>,
}

impl Journal {
    /// Begins to gather.
    pub(super) fn switch_on(&mut self) {
        self.on = true;
    }

    /// Whether anything is stored at all.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// The next packet: its answer waits only for what it makes durable itself,
    /// or did in the portions before this one, up to group `promised`.
    pub(super) fn begin(&mut self, promised: u64) {
        self.promised = promised;
    }

    /// Adds a record that the answer to this packet promises.
    pub(super) fn put(&mut self, record: Record) {
        self.promise();
        self.put_lazily(record);
    }

    /// Adds a record that nobody waits for.
    pub(super) fn put_lazily(&mut self, record: Record) {
        debug_assert!(self.on, "nothing is stored without persistence");
        self.weight += weight(&record);
        self.records.push(record);
    }

    /// The answer to this packet waits for what was added.
    pub(super) fn promise(&mut self) {
        self.promised = self.gathering();
    }

    /// The group that the answer to this packet waits for.
    pub(super) fn promised(&self) -> Option<u64> {
        Some(self.promised).filter(|group| *group > self.committed)
    }

    /// The number of the group that is being gathered.
    pub(super) fn gathering(&self) -> u64 {
        self.taken + 1
    }

    /// Whether so much waits to be taken that those who add to it should
    /// pause.
    pub(super) fn is_overdue(&self) -> bool {
        self.weight > BACKLOG
    }

    /// About how many bytes of records are gathered.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Notes that a connection holds something back for the group that is
    /// being gathered.
    pub(super) fn await_commit(&mut self, group: u64, id: ConnectionId) {
        self.waiting.push_back((group, id));
    }

    /// Closes the group and gives it away.
    pub(super) fn take(&mut self) -> (u64, Vec<Record>) {
        self.taken += 1;
        self.weight = 0;
        (self.taken, std::mem::take(&mut self.records))
    }

    /// Everything up to group `number` is safe.
    pub(super) fn commit(&mut self, number: u64) {
        self.committed = self.committed.max(number);
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    /// The next connection that holds something back which is safe now.
    pub(super) fn next_released(&mut self) -> Option<ConnectionId> {
        let (group, _) = self.waiting.front()?;
        if *group > self.committed {
            return None;
        }
        self.waiting.pop_front().map(|(_, id)| id)
    }

    /// Forgets what was gathered and who waits: the store has failed.
    pub(super) fn give_up(&mut self) {
        self.on = false;
        self.records = Vec::new();
        self.weight = 0;
        self.reads.clear();
        self.waiting.clear();
        self.taken += 1;
        self.committed = self.taken;
    }
}

/// About how many bytes a record takes in memory.
fn weight(record: &Record) -> usize {
    let message = |publication: &Publication| publication.topic.len() + publication.payload.len();
    200 + match record {
        Record::Enqueue { delivery, .. } => message(&delivery.publication),
        Record::Retain { publication } => message(publication),
        _ => 0,
    }
}

/// Packets of one connection that leave when their groups are committed, in
/// their order.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    /// Up to where the bytes wait for which group, counted from `base`.
    marks: VecDeque<(u64, usize)>,
    base: usize,
    /// Up to where nothing else may leave before, counted likewise: a CONNACK,
    /// or a SUBACK whose retained messages follow.
    gate: usize,
    /// There are messages among them, which messages must not overtake.
    pub(super) messages: bool,
}

impl Held {
    /// Appends what `encode` writes, to wait for `group`, or for what waits
    /// already. True: it is the first that waits for this group.
    pub(super) fn push(&mut self, group: u64, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        encode(&mut self.bytes);
        let end = self.base + self.bytes.len();
        match self.marks.back_mut() {
            Some((last, mark)) if *last >= group => {
                *mark = end;
                false
            }
            _ => {
                self.marks.push_back((group, end));
                true
            }
        }
    }

    /// Moves what waits for groups up to `committed` into `out`. True: nothing
    /// is left.
    pub(super) fn release(&mut self, committed: u64, out: &mut Vec<u8>) -> bool {
        let mut end = self.base;
        while let Some(&(group, mark)) = self.marks.front()
            && group <= committed
        {
            end = mark;
            self.marks.pop_front();
        }
        out.extend(self.bytes.drain(..end - self.base));
        self.base = end;
        self.marks.is_empty()
    }

    /// Lets nothing leave before what is held now.
    pub(super) fn bar(&mut self) {
        self.gate = self.base + self.bytes.len();
    }

    /// Whether nothing may leave but what is held.
    pub(super) fn is_gate(&self) -> bool {
        self.base < self.gate
    }

    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The last group that something waits for.
    pub(super) fn last_group(&self) -> u64 {
        self.marks.back().map_or(0, |(group, _)| *group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(held: &mut Held, group: u64, byte: u8) -> bool {
        held.push(group, |out| out.push(byte))
    }

    #[test]
    fn a_gate_opens_when_what_it_is_for_has_left() {
        let (mut held, mut out) = (Held::default(), Vec::new());
        push(&mut held, 1, b'a');
        held.bar();
        push(&mut held, 2, b'b');
        assert!(held.is_gate());
        assert!(!held.release(1, &mut out));
        assert!(!held.is_gate());
    }

    #[test]
    fn what_is_held_leaves_in_order_with_its_group() {
        let (mut held, mut out) = (Held::default(), Vec::new());
        assert!(push(&mut held, 1, b'a'));
        assert!(!push(&mut held, 1, b'b'));
        assert!(push(&mut held, 2, b'c'));
        assert!(!push(&mut held, 1, b'd'), "what comes later waits as long");
        assert!(!held.release(1, &mut out));
        assert_eq!(out, b"ab");
        assert!(push(&mut held, 3, b'e'));
        assert!(!held.release(2, &mut out));
        assert_eq!(out, b"abcd");
        assert!(held.release(9, &mut out));
        assert_eq!(out, b"abcde");
    }
}
