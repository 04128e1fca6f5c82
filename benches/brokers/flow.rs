//! What arrives of one publisher's messages at one subscriber, and what is
//! wrong with it.

use std::{collections::HashSet, fmt, iter::Sum};

/// A greater step in the sequence than any window allows is a damaged number.
const IMPLAUSIBLE: u64 = 1 << 20;

#[derive(Default)]
pub(crate) struct Flow {
    next: u64,
    missing: HashSet<u64>,
    faults: Faults,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    /// Sent to the wrong subscriber, or not as it was published.
    pub(crate) damaged: u64,
}

impl Flow {
    #[inline]
    pub(crate) fn arrived(&mut self, sequence: u64) {
        if sequence == self.next {
            self.next += 1;
        } else {
            self.arrived_out_of_turn(sequence);
        }
    }

    #[cold]
    fn arrived_out_of_turn(&mut self, sequence: u64) {
        if sequence > self.next + IMPLAUSIBLE {
            self.faults.damaged += 1;
        } else if sequence > self.next {
            self.missing.extend(self.next..sequence);
            self.next = sequence + 1;
        } else if self.missing.remove(&sequence) {
            self.faults.reordered += 1;
        } else {
            self.faults.duplicated += 1;
        }
    }

    /// How far the flow has come; a gap counts, or a loss would stop the load.
    pub(crate) fn progress(&self) -> u64 {
        self.next
    }

    /// The verdict after the last message, given how many there were.
    pub(crate) fn verdict(&self, sent: u64) -> Faults {
        let never_came = sent.saturating_sub(self.next);
        Faults {
            lost: self.missing.len() as u64 + never_came,
            ..self.faults
        }
    }
}

impl Faults {
    pub(crate) fn count(self) -> u64 {
        self.lost + self.duplicated + self.reordered + self.damaged
    }
}

impl Sum for Faults {
    fn sum<I: Iterator<Item = Self>>(faults: I) -> Self {
        faults.fold(Self::default(), |a, b| Self {
            lost: a.lost + b.lost,
            duplicated: a.duplicated + b.duplicated,
            reordered: a.reordered + b.reordered,
            damaged: a.damaged + b.damaged,
        })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.lost, "lost"),
            (self.duplicated, "twice"),
            (self.reordered, "out of order"),
            (self.damaged, "damaged"),
        ];
        let mut separator = "";
        for (count, kind) in kinds.iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {kind}")?;
            separator = ", ";
        }
        if separator.is_empty() {
            f.write_str("none")?;
        }
        Ok(())
    }
}
